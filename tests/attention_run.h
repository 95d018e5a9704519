// SPDX-License-Identifier: MIT
//
// attention_run.h: the attention kernels of training on the device against double precision, in any form (scalar, wide,
// on matrix units): documents side by side, some of them NaNs that no other may notice. Bounds: reference_attention.c.
#ifndef PUMICE_ATTENTION_RUN_H
#define PUMICE_ATTENTION_RUN_H

#include "kernel_run.h"
#include "reference_attention.h"

#define MOST_ROWS 144

struct attention_case {
    uint32_t heads, kv_heads, head_dim, window;
    uint32_t store; // bf16: 1 qkv, 2 out and dout, 4 dqkv
    double dropout;
    int lengths[8]; // of the documents, ended by 0
    int poisoned;   // the document of NaNs, or -1
    uint32_t spare; // rows of the budget beyond the live ones
    float scale;
    enum reference_halves halves; // what products multiply
    bool exact;                   // all numbers are such that fp16 and bf16 hold them
    uint32_t lost;                // not 0: this row's values are beyond fp16 (the forward pass alone)
};

// A kernel's constants from id 4 on (args.h lists 0 to 3), workgroup, and rows that one workgroup owns.
struct attention_form {
    const char *kernel;
    uint32_t constants[8], constant_count;
    uint32_t group, subgroup, rows;
};

// A case, made once for all its kernels.
struct attention_state {
    struct attention_case s;
    uint32_t rows, T; // live, budget
    uint32_t first_kv, own_kv; // key heads that the kernels which keep scores work on: all at first
    uint32_t first_own, own; // rows that forward, dq and dkv work on: all (attention_own_all) at first
    uint32_t starts[MOST_ROWS], ends[MOST_ROWS], positions[MOST_ROWS], conversation[MOST_ROWS], first[MOST_ROWS],
        last[MOST_ROWS];
    bool poisoned[MOST_ROWS];
    double *q, *k, *v, *dout, *out, *lse, *delta, *factor; // dense; lse and delta rounded to f32
    struct reference_attention a;
};
void attention_state_make(struct attention_state *x, const struct attention_case *s);
void attention_state_free(struct attention_state *x);
double *attention_doubles(size_t count);

// The kernels in this order, for each takes what the ones before it make: out and lse, delta, dqkv. Return how many
// elements are wrong; the inline functions judge (checks are counted in the test's own file).
int attention_execute_forward(struct attention_state *x, const struct attention_form *form);
int attention_execute_delta(struct attention_state *x);
int attention_execute_backward(struct attention_state *x, const struct attention_form *form, bool keys);
int attention_execute_dkv_scores(struct attention_state *x, const struct attention_form *form);
int attention_execute_dq_scores(struct attention_state *x, const struct attention_form *form);
void attention_store_out(struct attention_state *x); // out as it is stored, for tests that leave out the forward pass

// A part of the rows for forward, dq and dkv: the form's second workgroup's of each head, where more rows follow; else false.
static inline bool attention_own_part(struct attention_state *x, const struct attention_form *form)
{
    if (2 * form->rows >= x->rows) return false;
    x->first_own = x->own = form->rows;
    return true;
}

static inline void attention_own_all(struct attention_state *x)
{
    x->first_own = 0;
    x->own = x->T;
}

static inline void attention_run_forward(struct attention_state *x, const struct attention_form *form)
{
    run_judge(form->kernel, attention_execute_forward(x, form));
}

static inline void attention_run_delta(struct attention_state *x)
{
    run_judge("attention_delta", attention_execute_delta(x));
}

static inline void attention_run_backward(struct attention_state *x, const struct attention_form *form, bool keys)
{
    run_judge(form->kernel, attention_execute_backward(x, form, keys));
}

static inline void attention_run_scores(struct attention_state *x, const struct attention_form *form, bool keys)
{
    run_judge(form->kernel, (keys ? attention_execute_dkv_scores : attention_execute_dq_scores)(x, form));
}

// Wrong numbers that every form of the forward pass, of dQ and of dK and dV must notice, with case and groups to suit.
#define ATTENTION_MUTATIONS(test)                                                                                      \
    {test, #test " rows", IN_ARGS, WORD(attention_args, rows), ADD, -3},                                               \
        {test, #test " first row", IN_ARGS, WORD(attention_args, first_row), ADD, 8},                                  \
        {test, #test " own rows", IN_ARGS, WORD(attention_args, own_rows), SET, 1},                                    \
        {test, #test " key heads", IN_ARGS, WORD(attention_args, kv_heads), SET, 4},                                   \
        {test, #test " ld_qkv", IN_ARGS, WORD(attention_args, ld_qkv), ADD, 8},                                        \
        {test, #test " ld_out", IN_ARGS, WORD(attention_args, ld_out), ADD, 8},                                        \
        {test, #test " ld_lse", IN_ARGS, WORD(attention_args, ld_lse), ADD, 1},                                        \
        {test, #test " offset_q", IN_ARGS, WORD(attention_args, offset_q), ADD, 8},                                    \
        {test, #test " offset_k", IN_ARGS, WORD(attention_args, offset_k), ADD, -8},                                   \
        {test, #test " offset_v", IN_ARGS, WORD(attention_args, offset_v), ADD, 8},                                    \
        {test, #test " wider window", IN_ARGS, WORD(attention_args, window), ADD, 1},                                  \
        {test, #test " narrower window", IN_ARGS, WORD(attention_args, window), ADD, -1},                              \
        {test, #test " no window", IN_ARGS, WORD(attention_args, window), SET, 0},                                     \
        {test, #test " layer", IN_ARGS, WORD(attention_args, layer), ADD, 1},                                          \
        {test, #test " tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},                                           \
        {test, #test " more tokens", IN_LIVE, WORD(live_block, tokens), ADD, 1},                                       \
        {test, #test " seed", IN_LIVE, WORD(live_block, seed_low), ADD, 1},                                            \
        {test, #test " seed's other half", IN_LIVE, WORD(live_block, seed_high), ADD, 1},                              \
        {test, #test " step", IN_LIVE, WORD(live_block, step), ADD, 8},                                                \
    {                                                                                                                  \
        test, #test " dropout off", IN_CONSTANTS, 3, SET, 0                                                            \
    }

#endif
