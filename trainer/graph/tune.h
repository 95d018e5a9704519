// SPDX-License-Identifier: MIT
//
// tune.h: never trust a driver: each variant of a matrix product is checked for its numbers on the device itself before it is
// used, and on GPUs the fastest right one is found by measurement; attention on matrix units is checked, too.
//
// The check of products is exact: operands of small whole numbers, of rank one, whose product is known in closed form (args.h, probe_fill,
// probe_compare), so that it needs no slow reference and has no tolerance.
#ifndef PUMICE_TUNE_H
#define PUMICE_TUNE_H

#include "choices.h"

struct tune_report {
    int products, tried, wrong; // shapes; variants of them that were tried; those with wrong numbers or refused, not used
    int attentions;             // shapes of attention
    double device_seconds;      // of the runs for measuring
    double seconds;             // in all, with making pipelines
};

// Seconds of runs that measuring may take in all, making pipelines not counted. Checks are made whatever they take.
#define TUNE_SECONDS 1.0

// Adds to `choices` a right variant for every shape that `met` holds and `choices` does not: the fastest of the table's first
// few where `measure`, else the first right one. With `measure` shapes with the most arithmetic come first; those for which no time
// is left get the table's guess, checked. What is being done, and a wrong variant, is said on stderr. Without `measure` products with many rows
// are checked on fewer. Attention on matrix units is tried, too. -1 and a sentence when no variant of a product is right (e->device),
// or without memory for one.
int tune(struct choices *choices, struct gpu *gpu, const struct limits *limits, const struct choices *met, bool measure,
    struct tune_report *report, struct error *e);

// One variant of a product on the device, for tune and for tests of it: whether its numbers are right; *seconds (may be NULL)
// the least of `runs` runs. A pipeline that the driver makes none of is no error here. TUNE_FAILED and a sentence without memory.
enum tune_verdict { TUNE_FAILED = -1, TUNE_WRONG, TUNE_RIGHT, TUNE_REFUSED };
int tune_try(struct gpu *gpu, const struct limits *limits, const struct matmul_shape *shape,
    const struct matmul_variant *variant, int runs, double *seconds, struct error *e);

// Attention on matrix units: the kernels of the mask, or all three, against the host. `change`, for tests of it, gets each call.
int tune_attention_try(struct gpu *gpu, const struct limits *limits, const struct attention_shape *shape, uint32_t kernels,
    void (*change)(struct call *c), struct error *e);

// ---- for tune.c and tune_attention.c -------------------------------------------------------------------------------

// A program's pipelines, held so that the engine finds them made. False: the driver refuses one.
struct tune_kernels {
    struct gpu_kernel **list;
    int count;
};
bool tune_kernels_make(struct tune_kernels *kernels, struct gpu *gpu, const struct program *p);
void tune_kernels_free(struct tune_kernels *kernels, struct gpu *gpu);

#endif
