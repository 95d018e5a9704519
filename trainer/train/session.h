// SPDX-License-Identifier: MIT
//
// session.h: a model on a device, ready for optimizer steps and evaluation. The blueprint is pure C and holds every
// byte; the session is the blueprint on a device.
//
// What a step means never depends on the device: its conversations are laid out in micro-batches of `budget` tokens,
// their gradients added up, and the summed loss divided by the trained tokens of the whole step.
#ifndef PUMICE_SESSION_H
#define PUMICE_SESSION_H

#include "data/pack.h"
#include "graph/cost.h"
#include "model/model.h"
#include "train/generate.h"

struct blueprint_options {
    uint32_t budget;          // tokens of a micro-batch, at least the longest conversation
    uint32_t positions;       // rows of the rotary table: the longest conversation
    enum storage storage;     // F32 or BF16
    enum storage gradients;   // of matrices: F32, or with BF16 storage BF16
    bool checkpoint;          // recompute layers in the backward pass
    bool dropout;             // some stage uses it
    enum optimizer optimizer; // NONE: evaluation only
    struct generation_options generation; // for scores of generated text, with the same weights; slots 0: none.
                                          // Its storage and rotary table follow the members above.
};

struct blueprint {
    struct blueprint_options options;
    struct limits limits;
    struct graph graph;
    struct weight_layout layout;
    struct program train, eval; // train has no calls when evaluation only
    struct plan train_plan, eval_plan;
    struct generation generation; // empty without
    struct memory_sum memory;
};
// -1 and a sentence when the device's limits cannot hold it at all (memory.total may still exceed the heap: see
// blueprint_fits). `model` is only read.
int blueprint_make(struct blueprint *b, const struct model *model, const struct limits *limits,
    const struct blueprint_options *options, struct error *e);
void blueprint_free(struct blueprint *b);
// Whether two blueprints of the same model and the same device are the same to the byte: a session of one serves the other.
bool blueprint_equal(const struct blueprint *a, const struct blueprint *b);

// Chooses budget and recomputation from total limits (never from free memory): the options hold `positions` (the
// longest row), and budget 0 for auto; `checkpoint` is the choice TRUE or FALSE, or auto when `checkpoint_auto`.
// step_tokens: tokens of the largest step, beyond which a budget is of no use. -1 and what would fit when nothing does.
int blueprint_choose(struct blueprint *b, const struct model *model, const struct limits *limits,
    const struct blueprint_options *options, bool checkpoint_auto, uint64_t step_tokens, struct error *e);

// What the blueprint's products are, with the variants they were planned with, added to `met` (choices.h).
void blueprint_meet(const struct blueprint *b, const struct model *model, struct choices *met);
// Makes the blueprint again in its place with these choices, which outlive it, for its products. Should it then need more
// memory than the device has, it is as before, and the result false.
bool blueprint_choose_variants(struct blueprint *b, const struct model *model, const struct choices *choices);

struct session;
// The blueprint outlives the session. Weights are zero until model_load.
struct session *session_open(const struct blueprint *b, const struct model *model, struct gpu *gpu, struct error *e);
void session_close(struct session *s);
struct engine *session_engine(struct session *s);
int session_cuts(const struct session *s); // submissions that a micro-batch of training makes
struct generator *session_generator(struct session *s); // NULL without generation; the session's

// What changes from step to step.
struct step_settings {
    enum optimizer optimizer; // SGD, or the blueprint's
    double learning_rate, beta1, beta2, epsilon, weight_decay, max_norm, dropout;
    uint64_t update;     // counts the optimizer's updates from 1: bias correction
    uint64_t seed, step; // keys of dropout
    double loss_scale;   // loss_scale.h, a power of two; 0: none
    bool packing;
};

struct source_sum {
    uint32_t conversations;
    uint64_t trained;
    double loss; // sum over its trained tokens
    uint64_t tokens;
};
struct step_outcome {
    float loss, grad_norm; // token mean before the update; norm before clipping
    bool skipped;          // the norm was not finite: nothing was updated
    uint64_t tokens, trained;
    uint32_t micro_batches;
    // The host's part of the step, seconds: laying out and filling micro-batches, submitting, waiting for the device.
    double fill_seconds, submit_seconds, wait_seconds;
};
// What the kernels key dropout with, before they add the step to it (^): far apart even for seeds that are neighbours, which
// must not meet in each other's steps.
uint64_t session_dropout_key(uint64_t seed);

// One optimizer step over `count` conversations. sources (source_count) are added to, indexed by pack_item.source.
void session_step(struct session *s, const struct pack_item *items, uint32_t count,
    const struct step_settings *settings, struct step_outcome *out, struct source_sum *sources);

// The losses of conversations without training. For each conversation: the sum of its trained tokens' losses, their
// number, and how many of them the model's arg max would have got right.
struct eval_outcome {
    double loss;
    uint32_t trained, hits;
};
void session_eval(
    struct session *s, const struct pack_item *items, uint32_t count, bool packing, struct eval_outcome *out);

// Seconds of every call of one training micro-batch, or of the update after it (update_make's calls), by the device's
// timestamps, for bench; `first`: of its step. The micro-batch holds the conversations items[which[0 .. count)]; `live`
// gets what there was in it. A timed replay is made at the first use: -1 and a sentence when it cannot be. Returns the
// number of calls, 0 where the device has no timestamps. Weights and moments change as in a step.
int session_time_batch(struct session *s, const struct pack_item *items, const uint32_t *which, uint32_t count, bool first,
    const struct step_settings *settings, struct live_counts *live, double *seconds, int capacity, struct error *e);
int session_time_update(
    struct session *s, const struct step_settings *settings, double *seconds, int capacity, struct error *e);

#endif
