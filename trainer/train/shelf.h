// SPDX-License-Identifier: MIT
//
// shelf.h: rows read, rendered and tokenised once, for all stages and all runs of a process that want the same of them:
// the same files under the same name, model, template, max_length, max_rows and strictness. What nobody holds stays for the
// next one who wants it, as far as there is room: a long grid in which every run has rows of its own needs no more memory
// than a short one.
#ifndef PUMICE_SHELF_H
#define PUMICE_SHELF_H

#include "data/source.h"
#include "train/ability.h"
#include "train/bundle.h"
#include "train/config.h"

struct shelf_rows {
    struct source source;
    struct ability ability; // of an evaluation with a metric; else empty
};

struct shelf;
// spare: bytes of rows that are kept though nobody holds them; beyond that, those not wanted for the longest time go.
struct shelf *shelf_make(uint64_t spare);
void shelf_free(struct shelf *s); // before the bundles that its rows were made with; NULL is fine

// The rows of a source of the config, or of an evaluation, at a max_length: the shelf's, loaded where it has not got them, which
// says on stderr what was skipped and cut. The caller holds them until shelf_release. NULL with the reason.
const struct shelf_rows *shelf_train(struct shelf *s, const struct config *c, size_t source, uint64_t max_length,
    const struct bundle *b, struct error *e);
const struct shelf_rows *shelf_eval(struct shelf *s, const struct config *c, const struct config_eval *entry,
    uint64_t max_length, const struct bundle *b, struct error *e);
// Gives back what one of the two calls above has handed out.
void shelf_release(struct shelf *s, const struct shelf_rows *rows);
// Of all rows on the shelf, roughly.
uint64_t shelf_bytes(const struct shelf *s);

#endif
