// SPDX-License-Identifier: MIT
//
// variants.h: which kernel variant, constants and grid suit a device and a shape. One table a family; pure C.
#ifndef PUMICE_VARIANTS_H
#define PUMICE_VARIANTS_H

#include "program.h"

// A matrix product's kernel: constants 7 .. 7 + constant_count - 1 (args.h lists 0 to 6), workgroup size, grid.
struct matmul_variant {
    const char *kernel;
    uint32_t group, subgroup; // workgroup size; required subgroup size or 0
    uint32_t constants[8], constant_count;
    uint32_t groups_x, groups_y;
};
// For op(A) op(B) = C[m, n] with a sum of k terms; layout is a LAYOUT_ of args.h.
struct matmul_variant matmul_choose(const struct limits *limits, uint32_t layout, uint64_t m, uint64_t n, uint64_t k);

// Sets workgroup size, constants from id 4 on, and grid of an attention kernel's call for T rows.
enum attention_kernel { ATTENTION_FORWARD, ATTENTION_DELTA, ATTENTION_DQ, ATTENTION_DKV, ATTENTION_CACHE };
void attention_variant(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T, uint32_t heads,
    uint32_t kv_heads, uint32_t head_dim);

#endif
