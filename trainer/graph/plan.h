// SPDX-License-Identifier: MIT
//
// plan.h: every byte before any byte. Where each tensor of a program lies and how long it lives, without a device.
//
// Weights, gradients and moments lie in arenas with one common layout, so that norm and optimizer run over whole arenas and not
// over tensors. Activations and scratch share one arena: two tensors whose lives do not overlap may share bytes.
#ifndef PUMICE_PLAN_H
#define PUMICE_PLAN_H

#include "program.h"

#define PLAN_ALIGNMENT 256 // bytes: what every device accepts as a binding's offset
#define ARENA_BLOCKS 64

// Where something lies: block of its arena, byte offset in it.
struct place {
    int block; // -1: nowhere
    uint64_t offset, bytes;
};

struct footprint {
    uint64_t bytes[ARENA_BLOCKS]; // of each block
    int blocks;
};

// The layout of a model's weights in blocks, in elements, common to all arenas of its training state. A block holds matrices
// (stored as bf16 where the run says so, with weight decay) or vectors (norms and biases: always f32, no decay), trainable or
// frozen ones. Offsets are multiples of 128 elements (256 bytes in bf16).
struct weight_layout {
    int count; // weights, by tensor.index
    struct weight_place {
        int block;
        uint64_t first, elements; // elements = rows * ld
    } *weights;
    int blocks;
    struct weight_block {
        uint64_t elements;
        bool trainable, matrices;
        enum storage gradient;
    } block[ARENA_BLOCKS];
    uint64_t parameters, trainable; // real ones, without padding
};
// Which arenas a block has: f32 values (masters, or what kernels read), the bf16 copy kernels read.
bool block_has_master(const struct weight_block *b, enum storage storage, bool training);
bool block_has_copy(const struct weight_block *b, enum storage storage);
// -1 and a sentence when one weight is larger than a single allocation of the device may be.
int weight_layout_make(struct weight_layout *w, const struct graph *g, const struct limits *limits, struct error *e);
void weight_layout_free(struct weight_layout *w);

struct plan {
    struct place *places; // by tensor: activations and scratch (weights have their layout, inputs and states their own memory)
    int count;
    struct footprint arena;
    uint64_t kept; // bytes of activations that live from the forward into the backward pass
    const struct graph *graph; // the program's: its states have memory of their own
};
// The program's graph outlives the plan.
int plan_make(struct plan *plan, const struct program *p, struct error *e);
void plan_free(struct plan *plan);

// Bytes of device memory of a run, as `pumice plan` prints them and as they are then allocated.
struct memory_sum {
    uint64_t weights;     // f32 masters and, in bf16 storage, the copies kernels read
    uint64_t gradients, optimizer;
    uint64_t activations; // kept from forward to backward
    uint64_t scratch;     // everything else: shared scratch, states, input arrays, results
    uint64_t total;
};
// States (caches, tables, results) of one name and size are one memory, as they are in an engine.
struct memory_sum memory_sum_of(const struct weight_layout *w, const struct plan *const *plans, int count, bool training,
    int moments, enum storage storage);

// Parameters of the gradient norm: fixed blocks, so that the sum's order depends on the layout alone.
#define NORM_BLOCK 4096u
uint64_t norm_partials(const struct weight_layout *w);

#endif
