// SPDX-License-Identifier: MIT
//
// update.h: the update of all trainable weights as a sequence of calls: norm, clip, optimizer, over whole arenas and not over
// tensors. Pure C; record.h binds and submits it.
#ifndef PUMICE_UPDATE_H
#define PUMICE_UPDATE_H

#include "plan.h"

enum optimizer { OPTIMIZER_NONE, OPTIMIZER_SGD, OPTIMIZER_ADAMW }; // NONE: evaluation and generation, no gradients

// What an update binds: of the engine, or elements [first, first + count) of an arena's block.
enum update_part {
    UPDATE_RESULT, UPDATE_PARTIALS, UPDATE_UNUSED, // the engine's; UNUSED stands for the copy where there is none
    UPDATE_GRADIENT, UPDATE_MASTER, UPDATE_MOMENT1, UPDATE_MOMENT2, UPDATE_COPY
};
struct update_call {
    struct call call; // without uses
    int block;
    uint64_t first, count;
    struct {
        enum update_part part;
        bool writes;
    } uses[6]; // bindings 1 .. use_count
    int use_count;
};
struct update {
    struct update_call *calls; // (count)
    int count, capacity;
};
void update_make(struct update *u, const struct weight_layout *w, const struct limits *limits, enum storage storage,
    enum optimizer optimizer);
void update_free(struct update *u);

#endif
