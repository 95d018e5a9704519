// SPDX-License-Identifier: MIT
//
// matmul_run.h: one matrix product on the device against double precision, by any variant.
//
// Bound of one element, from the sum's own terms: a product is off by one ULP, and each of the k additions by one ULP
// of a partial sum, which is never larger than the sum of the terms' sizes s: (k + 1) ULP s. The scale adds one ULP of
// that, every tensor added later one ULP of the sizes added so far: (k + 5) ULP (|scale| s + |e| + |c|) covers all.
//
// Where operands are rounded first (products in fp16 or bf16), a term x y is off by |x| dy + |y| dx + dx dy, too: dx is
// 2^-10 |x| for fp16 (all of x below 2^-14, where a driver may flush) and 2^-7 |x| for bf16: the direction of rounding is the
// driver's. bf16 storage is exact in bf16, and in fp16 from 2^-14 on. What fp16 cannot hold (from 65520 on to nearest) is
// an infinity: elements that it touches must not be finite.
#ifndef PUMICE_MATMUL_RUN_H
#define PUMICE_MATMUL_RUN_H

#include "kernel_run.h"
#include "graph/variants.h"

struct product {
    uint32_t layout, m, n, k;
    uint32_t live_m, live_k, first_row, count; // LIVE_ kinds; tokens or targets in the live block
    uint32_t add, epilogue, first;
    uint32_t store;
    float scale;
    enum products products;
    float huge; // when not 0: the first element of A
};

// Runs the product by the variant, whose grid must cover the shape, and returns how many elements are wrong. A variant that
// splits k is two runs: the kernel's into scratch, and matmul_reduce's from random sums.
int product_execute(const struct product *p, const struct matmul_variant *v, uint64_t *seed);
static inline void product_run(const struct product *p, const struct matmul_variant *v, uint64_t *seed)
{
    run_judge(v->kernel, product_execute(p, v, seed));
}

// The settings that every variant is tried with, three or four a layout, so that compiling pipelines does not take longer
// than all the rest; and shapes with tails, for each of which the count of live rows or terms is all, half and none.
// Calls `run` with each product.
void product_each(uint32_t layout, void (*run)(const struct product *p, void *context), void *context);

#endif
