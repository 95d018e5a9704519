// SPDX-License-Identifier: MIT
//
// record.h: programs on a device: the engine owns kernels, weights and their training state; a replay is a program with its
// memory and its recorded lists, submitted again and again.
#ifndef PUMICE_RECORD_H
#define PUMICE_RECORD_H

#include "kernel_set.h"
#include "update.h"

#include "args.h"

struct engine;
// Allocates the weights and what training them needs; all zeros. The layout is the engine's from now on. -1 and a sentence
// when the device has not enough memory. `gpu` outlives the engine.
struct engine *engine_open(struct gpu *gpu, const struct graph *g, enum optimizer optimizer, struct error *e);
void engine_close(struct engine *engine);
const struct limits *engine_limits(const struct engine *engine);
const struct weight_layout *engine_layout(const struct engine *engine);
struct gpu *engine_gpu(const struct engine *engine);
const struct kernel_set *engine_kernels(const struct engine *engine); // made so far

// Parts of a weight's training state. VALUE is what is saved: the f32 master where there is one.
enum state { STATE_VALUE, STATE_GRADIENT, STATE_MOMENT1, STATE_MOMENT2 };
// Copies elements [first, first + count) of weight `index` (row-major with its leading dimension) from or to the host as f32.
// Writing VALUE also writes the bf16 copy. Waits for the device.
void engine_write(struct engine *engine, int index, enum state state, uint64_t first, uint64_t count, const float *from);
void engine_read(struct engine *engine, int index, enum state state, uint64_t first, uint64_t count, float *to);
void engine_zero_moments(struct engine *engine);

// Announces a plan: the arena all replays share must hold the largest. All plans are announced before the first replay.
void engine_reserve(struct engine *engine, const struct plan *plan);

// A program with memory and lists. Replays of one engine share the activation arena and, by index, the caches; so only one
// of them may be pending at a time.
struct replay;
// The program and the plan outlive the replay.
struct replay *replay_make(struct engine *engine, const struct program *p, const struct plan *plan, bool timed, struct error *e);
// The update of all trainable weights: norm, clip, optimizer. SGD runs on an engine with moments too.
struct replay *replay_make_update(struct engine *engine, enum optimizer optimizer, bool timed, struct error *e);
void replay_free(struct engine *engine, struct replay *r);

// Two slots take turns, so that the host writes one while the device works on the other. Waits until the slot is free.
struct replay_input {
    struct live_block *live;
    uint32_t *array[INPUT_COUNT]; // NULL for an update
};
struct replay_input replay_begin(struct replay *r);
// Submits what replay_begin filled in. At most one submission a slot is pending.
void replay_submit(struct replay *r);
// Waits for the oldest pending submission and gives its results (valid until that slot's next replay_begin).
struct replay_output {
    const float *loss;         // (targets) or NULL
    const uint32_t *hit;       // (targets) or NULL
    const uint32_t *sampled;   // (targets) or NULL
    struct step_result result; // of an update
};
struct replay_output replay_wait(struct replay *r);
int replay_pending(const struct replay *r); // submissions not yet waited for

// Fills a TENSOR_STATE tensor of the program from the host (rotary table).
void replay_state_write(struct replay *r, tensor_id t, const void *data, uint64_t bytes);
void replay_state_read(struct replay *r, tensor_id t, void *data, uint64_t first_byte, uint64_t bytes);

// Seconds of each call in the last completed submission of a timed replay, by call: the program's, or update_make's.
// Returns their number, 0 where the device has no timestamps.
int replay_times(struct replay *r, double *seconds, int capacity);
int replay_cuts(const struct replay *r); // submissions that one replay makes

#endif
