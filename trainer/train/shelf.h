// SPDX-License-Identifier: MIT
//
// shelf.h: rows read, rendered and tokenised once, for all stages and all runs of a process that want the same of them:
// the same files under the same name, model, template, max_length, max_rows and strictness.
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
struct shelf *shelf_make(void);
void shelf_free(struct shelf *s); // before the bundles that its rows were made with; NULL is fine

// The rows of a source of the config, or of an evaluation, at a max_length: the shelf's, loaded at the first call, which says
// on stderr what was skipped and cut. NULL with the reason.
const struct shelf_rows *shelf_train(struct shelf *s, const struct config *c, size_t source, uint64_t max_length,
    const struct bundle *b, struct error *e);
const struct shelf_rows *shelf_eval(struct shelf *s, const struct config *c, const struct config_eval *entry,
    uint64_t max_length, const struct bundle *b, struct error *e);

#endif
