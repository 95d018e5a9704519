// SPDX-License-Identifier: MIT
//
// stages.h: which rows each stage trains on, in which order, in how many steps.
//
// A strategy stands for a list of stages (Dong et al., "How abilities in large language models are affected by
// supervised fine-tuning data composition", arXiv 2310.05492, section 3 and figure 1); a stage is a mix of sources; an
// epoch of a stage is every row of its mix once. Everything is known before the first step, and follows from the
// config, the number of rows of each source, and the seed.
#ifndef PUMICE_STAGES_H
#define PUMICE_STAGES_H

#include "base.h"
#include "data/conversation.h"
#include "train/config.h"

// Writes the stages that config.strategy stands for into config.stages; with STRATEGY_STAGES does nothing.
//   multi_task        "multi_task": every source, in the order of "sources"
//   sequential        one for each specialized source, of its name, in the order written; "general": the general ones
//   mixed_sequential  "specialized": all of them; "general"
//   dmt               "specialized": all of them; "general": the general ones, and dmt_k of each specialized one
// Every named source is taken in full, but for dmt_k. The names must be those of sources (config_check sees to it).
void stages_expand(struct config *c);

struct stage_row {
    uint32_t source; // index into config.sources
    uint32_t row;    // place among the source's good rows, from 0
};

// What one source gives to one stage.
struct stage_share {
    uint32_t source;
    const char *name;                // the config's
    uint32_t available;              // rows the source has
    uint32_t rows;                   // rows an epoch of the stage takes from it; more than available: whole passes
    uint64_t tokens, trained_tokens; // of those rows; 0 before stages_count_tokens
};

struct stage {
    const char *name;                       // the config's
    const struct config_settings *settings; // the config's
    struct stage_share *shares;             // (share_count), in the order of the mix
    size_t share_count;
    struct stage_row *rows; // (row_count) one epoch, in mix and file order
    uint32_t row_count;
    uint64_t steps_per_epoch; // ceil(row_count / train_batch_size)
    uint64_t steps;           // max_steps, or ceil(num_train_epochs * steps_per_epoch)
    uint64_t first_step;      // steps of all stages before this one
    // keep_optimizer makes one chain of a stage and those before it: the schedule runs over the chain.
    uint64_t chain_steps; // steps of the whole chain
    uint64_t chain_first; // steps of the chain before this stage
};

struct stages {
    struct stage *stages; // (count)
    size_t count;
    uint64_t steps; // of all stages
    uint64_t seed;
};

// Draws the rows of every stage. available (stages, sources of the config): how many good rows each source has for each
// stage (the lengths a stage allows may differ); what a source's max_rows leaves away is not counted. 0, or -1 with
// the reason: a mix asks for more rows than there are, or a stage has none. Keeps pointers into the config.
int stages_make(struct stages *s, const struct config *c, const uint32_t *available, struct error *e);
void stages_free(struct stages *s);

// Says on stderr of which sources a stage draws nothing though it asks for some, and why: small files and a small dmt_k make
// it less than one row, or mix_rows are too few.
void stages_say_empty(const struct stages *s, const struct config *c);

// Adds up the tokens of one stage's shares. rows (sources of the config): each source's conversations, (available) of
// that stage; sources that the stage leaves out may be NULL.
void stages_count_tokens(struct stage *stage, const struct conversation *const *rows);

// A step, counted from 0 through all stages.
struct stage_step {
    size_t stage;
    uint64_t step;  // within the stage, from 0
    uint64_t epoch; // within the stage, from 0
    uint32_t first; // of the epoch's conversations, the first of this step
    uint32_t count; // conversations: train_batch_size, or what an epoch's last step has left
};
// Where a step stands; step < stages.steps.
struct stage_step stages_step(const struct stages *s, uint64_t step);

// Reads the steps' conversations, fastest in the order of the steps. It holds the order of one epoch; going to another
// one costs time and memory O(rows).
struct stage_cursor {
    const struct stages *stages;
    size_t stage; // whose order is held: of this stage and epoch; stages.count: none yet
    uint64_t epoch;
    uint32_t *order;        // (rows of the stage)
    struct stage_row *rows; // (conversations of the largest step)
};
void stage_cursor_make(struct stage_cursor *c, const struct stages *s); // keeps s
void stage_cursor_free(struct stage_cursor *c);
// The conversations of a step, (stages_step(step).count), the cursor's until the next call.
const struct stage_row *stage_cursor_rows(struct stage_cursor *c, uint64_t step);

// Tokens of the stage's largest step, among those of its first million conversations; rows as for stages_count_tokens.
uint64_t stages_largest_step(const struct stages *s, size_t stage, const struct conversation *const *rows);

// Writes a stage's manifest: a JSON line for every conversation in the order trained,
//   {"step":0,"epoch":0,"source":"math","row":17,"file":0,"line":18,"hash":"0123456789abcdef"}
// step counted through all stages, row the place among the good rows from 0, line (or element of an array) from 1 in
// the source's file, hash over tokens and mask. rows as for stages_count_tokens. The file is complete when the stage
// begins; writing it again, after a kill at any instant too, gives the same bytes, or the data have changed. `digest`
// (may be NULL) is FNV-1a 64 of the file: what a checkpoint keeps to notice that. path NULL: only the digest. 0, or -1 with the reason.
int stages_manifest(const struct stages *s, const struct config *c, size_t stage,
    const struct conversation *const *rows, const char *path, uint64_t *digest, struct error *e);

#endif
