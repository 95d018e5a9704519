// SPDX-License-Identifier: MIT
//
// cost.h: the least that a kernel call has to do: arithmetic, and bytes that must come from or go to memory when every
// operand is moved once. A call's own `flop` and `bytes` (program.h) are those of a full micro-batch; these are of the
// rows that are live.
#ifndef PUMICE_COST_H
#define PUMICE_COST_H

#include "update.h"

struct cost {
    double flop, bytes;
};

// What a micro-batch holds.
struct live_counts {
    uint64_t tokens, targets;
    double pairs; // the sum of its documents' rows squared: attention looks at half of so many pairs
    bool first;   // of its step: gradients are set, not read and added to
};

// Of a call of a training program. Kernels that do not know of live rows, and new ones, cost what they do when full.
struct cost call_cost(const struct program *p, const struct call *c, const struct live_counts *live);
// The matrix product that a call computes, C[m, n] from a sum of k terms, by a LAYOUT_ of args.h: false for other kernels.
struct product_shape {
    uint32_t layout, m, n, k;
};
bool call_product(const struct call *c, struct product_shape *shape);
const char *layout_name(uint32_t layout); // "NT", "NN", "TN"
// What an attention kernel's own rows are of all pairs in one document of T rows (beyond it: nothing): 1 where they are all.
double attention_share(const struct call *c, uint64_t T);
// Of the gradients of scores that an attention kernel writes or reads where it does so many floating-point operations.
double scores_bytes(const struct call *c, double flop);
struct cost update_cost(const struct update_call *c);

#endif
