// SPDX-License-Identifier: MIT
//
// dataset.h: everything a config trains and evaluates on, loaded: the sources at each stage's max_length, the stages drawn
// from them, the evaluation files.
#ifndef PUMICE_DATASET_H
#define PUMICE_DATASET_H

#include "train/shelf.h"
#include "train/stages.h"

// The sources as one max_length cuts them. Stages of the same max_length share it.
struct cut {
    uint64_t max_length;
    const struct shelf_rows **sources; // (config.source_count), the shelf's; NULL: no such stage uses it
    const struct conversation **rows; // (config.source_count) their conversations, as stages.h takes them
};

struct dataset {
    const struct config *config;
    struct shelf *shelf; // where the rows are
    struct shelf *own;   // the same when none was given, else NULL
    struct cut *cuts;  // (cut_count)
    size_t cut_count;
    size_t *stage_cut;    // (stages) index into cuts
    struct stages stages; // with token counts
    const struct shelf_rows **evals; // (eval_count) of all stages' entries in turn, the shelf's
    size_t *stage_eval;              // (stages) each one's first
    size_t eval_count;
    uint32_t longest;     // tokens of the longest conversation, evaluation included
    uint64_t step_tokens; // those of the largest step
    uint32_t capacity;    // tokens of the longest answer to be generated with its prompt; 0: none is
    uint32_t requests;    // most answers to generate for one evaluation file
};

// Loads and draws; says on stderr what was skipped and cut. The rows of `shelf` are held until dataset_close; it outlives the dataset.
// NULL: the dataset has its own, to be closed before the bundle. `with_evals` false: for what only trains. -1 with the
// reason.
int dataset_open(struct dataset *d, const struct config *c, const struct bundle *b, struct shelf *shelf, bool with_evals,
    struct error *e);
void dataset_close(struct dataset *d);

const struct cut *dataset_cut(const struct dataset *d, size_t stage);
// The evaluation rows of a stage's entry.
const struct shelf_rows *dataset_eval(const struct dataset *d, size_t stage, size_t entry);

#endif
