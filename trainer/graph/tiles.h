// SPDX-License-Identifier: MIT
//
// tiles.h: the f32 matrix products made for GPUs: tiles in shared memory (matmul_shared.comp), with k split where C alone
// would leave the device idle, and the few rows of generation (matmul_skinny.comp). Pure C; a part of the table of
// variants.h.
#ifndef PUMICE_TILES_H
#define PUMICE_TILES_H

#include "variants.h"

// Sums that a lane can hold beside its operands without spilling, from what subgroup sizes say of the register file (read
// off the vendors' compilers): those that pack a varying number of lanes into one thread's registers (from 8 or 16 lanes
// on) hold 32, those with small subgroups only (up to 16) 16, integrated ones whose lanes share few registers 32.
uint32_t lane_sums(const struct limits *limits);
bool scarce_registers(const struct limits *limits); // of a GPU's lane: 64

// Variants in the order of a guess of their time; equal ones in the order they come in.
#define TILES_VARIANTS 49
struct variant_list {
    const struct limits *limits;
    const struct matmul_shape *shape;
    struct matmul_variant *out; // (capacity)
    int capacity, count;        // at most TILES_VARIANTS
    double cost[TILES_VARIANTS];
};
// groups: of the whole product, folded into the variant's grid.
void variant_list_add(struct variant_list *list, struct matmul_variant *v, uint64_t groups, double cost);

// What fits the device, the best guess first; returns their number, at most TILES_VARIANTS.
int tiles_variants(const struct limits *limits, const struct matmul_shape *shape, struct matmul_variant *out);

// Bytes of what `split` parts of sums of so many steps leave to be added up; 0 where k cannot be cut so: too much for a binding,
// too little for a part.
uint64_t split_bytes(const struct limits *limits, const struct matmul_shape *s, uint64_t steps, uint32_t split);

#endif
