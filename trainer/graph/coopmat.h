// SPDX-License-Identifier: MIT
//
// coopmat.h: which matrix units a device has for products, and the tiles of matmul_coopmat_* (matmul_coopmat.glsl) and of
// attention_*_coopmat_* (attention_coopmat.glsl) that suit a device and a shape. Pure C; a part of the table of variants.h.
#ifndef PUMICE_COOPMAT_H
#define PUMICE_COOPMAT_H

#include "variants.h"

// Can the device multiply in `products` with f32 sums? F32 can be multiplied everywhere. info NULL: no device, F32 only.
bool products_can(const struct gpu_info *info, enum products products);
// The matrix unit that products then use, and the lanes of the subgroups that work it; false without one.
bool coopmat_unit(const struct gpu_info *info, enum products products, struct gpu_matrix *unit, uint32_t *lanes);
// What a device should multiply in: bf16, whose range is f32's; else fp16 (training then scales the loss); F32 without
// matrix units, and on software devices, whose matrix units are for tests.
enum products products_best(const struct gpu_info *info);
const char *products_name(enum products products); // "f32", "fp16", "bf16"
bool products_find(enum products *products, const char *name); // the other way

// The tiles for this shape, the best guess first; returns their number, at most COOPMAT_VARIANTS. 0 for products in F32, on
// devices without that matrix unit, and for shapes of fewer rows or columns than one fragment.
#define COOPMAT_VARIANTS 24
int coopmat_variants(const struct limits *limits, const struct matmul_shape *shape, struct matmul_variant *out);

// Attention's forward pass, dQ or dK and dV on the matrix unit of limits->products: sets a call's kernel, workgroup and
// subgroup size, constants from id 4 on, grid and `why`, and returns NULL. Else it leaves the call alone and returns why not: ""
// where products are in f32, or in a few words; limits->choices may hold that they were found wrong on the device. The three kernels go together: all of them use matrix units or none.
const char *attention_units(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T, uint32_t heads,
    uint32_t kv_heads, uint32_t head_dim);
// Adds the attention kernels on matrix units among the program's calls to limits.met.
void attention_meet(const struct program *p);
// Of the constants that these kernels would have: two builds may choose other tiles.
struct attention_shape;
uint64_t attention_fingerprint(const struct limits *limits, const struct attention_shape *shape);

#endif
