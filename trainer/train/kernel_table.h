// SPDX-License-Identifier: MIT
//
// kernel_table.h: every kernel that a session on a blueprint makes, and what for. Pure C: no device is needed.
#ifndef PUMICE_KERNEL_TABLE_H
#define PUMICE_KERNEL_TABLE_H

#include "graph/kernel_set.h"
#include "train/session.h"

// Calls of one kernel on one shape in one part of the work.
struct kernel_use {
    const char *work; // "train", "update", "eval", "generate"
    char shape[48];   // call_shape
    const char *why;  // this variant was chosen, or NULL
    int calls;        // in one micro-batch, update, or submission of generation
    double flop;      // of all of them
};
struct kernel_row {
    struct kernel_use *uses; // (use_count), in the order in which they were first met
    int use_count, use_capacity;
    int calls; // of all uses
};
struct kernel_table {
    struct kernel_set set;
    struct kernel_row *rows; // (set.count)
};
void kernel_table_make(struct kernel_table *t, const struct blueprint *b);
void kernel_table_free(struct kernel_table *t);

#endif
