// SPDX-License-Identifier: MIT
//
// dataset.h: everything a config trains and evaluates on, loaded: the sources at each stage's max_length, the stages drawn
// from them, the evaluation files.
#ifndef PUMICE_DATASET_H
#define PUMICE_DATASET_H

#include "data/source.h"
#include "train/ability.h"
#include "train/bundle.h"
#include "train/stages.h"

// The sources as one max_length cuts them. Stages of the same max_length share it.
struct cut {
    uint64_t max_length;
    struct source *sources;           // (config.source_count); sources that no such stage uses are empty
    const struct conversation **rows; // (config.source_count) their conversations, as stages.h takes them
};

// An evaluation file as one stage sees it; equal ones are shared.
struct eval_set {
    const struct config_eval *entry; // of the config
    uint64_t max_length;
    struct template *template; // its own, or the run's
    bool own_template;
    struct source source;
    struct ability ability; // where entry->metric asks for one
};

struct dataset {
    const struct config *config;
    struct cut *cuts; // (cut_count)
    size_t cut_count;
    size_t *stage_cut; // (stages) index into cuts
    struct template *templates; // (config.source_count) of sources that have their own
    struct stages stages; // with token counts
    struct eval_set *evals; // (eval_count)
    size_t eval_count;
    uint32_t longest;     // tokens of the longest conversation, evaluation included
    uint64_t step_tokens; // about those of the largest step
    uint32_t capacity;    // tokens of the longest answer to be generated with its prompt; 0: none is
    uint32_t requests;    // most answers to generate for one evaluation file
};

// Loads and draws; says on stderr what was skipped and cut. `with_evals` false: for `plan`. -1 with the reason.
int dataset_open(struct dataset *d, const struct config *c, const struct bundle *b, bool with_evals, struct error *e);
void dataset_close(struct dataset *d);

const struct cut *dataset_cut(const struct dataset *d, size_t stage);
// The evaluation set of a stage's entry.
const struct eval_set *dataset_eval(const struct dataset *d, size_t stage, size_t entry);

#endif
