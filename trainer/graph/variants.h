// SPDX-License-Identifier: MIT
//
// variants.h: which kernel variant, constants and grid suit a device and a shape. One table a family; pure C.
#ifndef PUMICE_VARIANTS_H
#define PUMICE_VARIANTS_H

#include "program.h"

// op(A) op(B) = C[m, n] with a sum of k terms, as args.h says.
struct matmul_shape {
    uint32_t layout; // LAYOUT_
    uint64_t m, n, k;
    bool a_bf16, b_bf16, c_bf16;            // how the operands are stored; a residual as C, a bias in f32
    uint32_t live_m, live_k, add, epilogue; // LIVE_, LIVE_, ADD_, EPILOGUE_
    enum products products;
};

// A matrix product's kernel: constants 7 .. 7 + constant_count - 1 (args.h lists 0 to 6), workgroup size, grid.
#define MATMUL_NAME 80
#define MATMUL_CONSTANTS 16
#define MATMUL_CANDIDATES 85 // never more
struct matmul_variant {
    char name[MATMUL_NAME]; // the same for the same kernel and constants (but those that the shape decides): for logs, caches
    const char *why;        // it was chosen, in a few words
    const char *kernel;
    uint32_t group, subgroup; // workgroup size; required subgroup size or 0
    uint32_t constants[MATMUL_CONSTANTS], constant_count;
    uint32_t groups_x, groups_y;
    uint32_t strips; // not 0: matmul_wide, which reads V in strips of this width, and A turned where both are walked by k
    // Parts that k is cut into, 1: none. Else the kernel's C is scratch of its own, f32 [split * m, n], from offset 0, with
    // neither ADD nor EPILOGUE, and matmul_reduce adds the parts up (constants: split, step). Parts begin at multiples of
    // `step` terms.
    uint32_t split, step;
};

// Every variant that is right for this device and shape, the table's best guess first and matmul_plain, the reference of
// all others, last. Returns their number, at least 1 and at most MATMUL_CANDIDATES; no more than `capacity` are written.
int matmul_candidates(
    const struct limits *limits, const struct matmul_shape *shape, struct matmul_variant *out, int capacity);
// The candidate of this name: false when there is none, and *out as it was.
bool matmul_find(const struct limits *limits, const struct matmul_shape *shape, const char *name, struct matmul_variant *out);
// What limits->choices holds for this shape, else the first candidate.
struct matmul_variant matmul_choose(const struct limits *limits, const struct matmul_shape *shape);

// Does the device run products and attention by kernels that read through addresses (wide.glsl)?
bool wide_kernels(const struct limits *limits);

// Sets workgroup size, constants from id 4 on, and grid of an attention kernel's call that works on T rows. Returns the rows of
// a workgroup, at multiples of which a part of the rows may begin (not of ATTENTION_DELTA and ATTENTION_CACHE).
enum attention_kernel {
    ATTENTION_FORWARD,
    ATTENTION_DELTA,
    ATTENTION_DQ,
    ATTENTION_DKV,
    ATTENTION_CACHE,
    ATTENTION_DKV_SCORES, // dK and dV that keep the gradients of scores, and dQ from them: where attention_strips
    ATTENTION_DQ_SCORES
};
uint32_t attention_variant(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T, uint32_t heads,
    uint32_t kv_heads, uint32_t head_dim);
// Width of the strips of K that ATTENTION_DQ_SCORES reads for a budget of T rows; 0: the device has no such form of the backward pass.
uint32_t attention_strips(const struct limits *limits, uint64_t T, uint32_t head_dim);

// The form of a row kernel: `wide` on software drivers that read through addresses (row.glsl), where rows are whole rounds of
// the workgroup.
const char *row_variant(const struct limits *limits, const char *plain, const char *wide, uint64_t columns);
// The last constant of a row kernel that goes over whole rows, where it is the wide form.
void row_rounds(const struct limits *limits, struct call *c, uint64_t columns);

#endif
