// SPDX-License-Identifier: MIT
//
// bench.h: how fast a model's training step is on a device, kernel by kernel, and how fast it could be there at most.
//
// Wall time comes from whole steps, as training makes them; the time of each kernel call from timestamps in the same step
// recorded with them. The roof of a call is what the device needs for its arithmetic or for its bytes, whichever takes
// longer (Williams, Waterman and Patterson 2009; peaks.h, cost.h); the roof of a step the sum over its calls.
#ifndef PUMICE_BENCH_H
#define PUMICE_BENCH_H

#include "graph/peaks.h"
#include "train/session.h"

// One kernel call of the step; each micro-batch has its own.
struct bench_call {
    const char *kernel;      // the blueprint's or the shader's
    const struct call *call; // NULL: of the update
    double seconds;          // least of the timed steps; 0 without timestamps
    struct cost cost;
};

// All calls of one kernel and, for matrix products, of one shape.
struct bench_row {
    const char *kernel;
    bool product, update;
    struct product_shape shape; // of a product
    uint32_t calls;
    double seconds, flop, bytes;
    double roof;     // seconds
    bool flop_bound; // most of the roof is arithmetic
};

struct bench_work {
    const struct pack_item *items; // (count), all of one source
    uint32_t count;
    struct step_settings settings; // update and step are counted on
    uint32_t repeat;               // steps after the first, and timed steps
};

struct bench {
    uint32_t repeat, micro_batches;
    uint64_t tokens, trained;
    float *losses;                                // (1 + repeat) of the untimed steps
    double first, best, median;                   // seconds: the first step; the best and the middle one of the others
    double fill, submit, wait;                    // the host's seconds in the best one
    struct update update;                         // whose calls come last:
    struct bench_call *calls;                     // (call_count)
    int call_count;
    bool timed;                                   // the device has timestamps
    double device;                                // seconds of all calls
    // After bench_roof:
    struct peaks peaks;
    struct bench_row *rows; // (row_count) those that take longest first
    int row_count;
    double roof;                                  // seconds of the step
    double products_seconds, update_seconds;      // of `device`: products, their strips and sums of parts; the update
};

// Makes a first step, then `repeat` steps and as many timed ones; weights change as in training. -1 and a
// sentence when the timed lists find no memory. The session may go away after it; the blueprint stays.
int bench_run(struct bench *b, struct session *s, const struct blueprint *blueprint, const struct bench_work *work,
    struct error *e);
// Sets the measured calls against the device's peaks.
void bench_roof(struct bench *b, const struct peaks *peaks);
void bench_free(struct bench *b);

// `documents` conversations of random token ids, `tokens` in all, every token trained; the ids are those of tools/compare.
// Free with bench_items_free.
struct pack_item *bench_items(uint32_t tokens, uint32_t documents, uint32_t vocabulary);
void bench_items_free(struct pack_item *items);

#endif
