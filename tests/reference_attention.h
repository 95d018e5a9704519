// SPDX-License-Identifier: MIT
//
// reference_attention.h: causal attention with grouped queries, isolated documents, a window and dropout, in plain
// double precision with the whole T x T matrix, beside how far f32 kernels may be off. Definitions: shaders/args.h.
#ifndef PUMICE_REFERENCE_ATTENTION_H
#define PUMICE_REFERENCE_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

// What products multiply: f32, or numbers rounded to 16 bits first; sums are f32.
enum reference_halves { REFERENCE_F32, REFERENCE_FP16, REFERENCE_BF16 };

// Dense matrices: q, out, dout, dq [rows, heads D]; k, v, dk, dv [keys, kv_heads D]; lse, delta [heads, rows]. Query t
// sees the keys first[t] .. last[t]. factor [heads, rows, keys]: what dropout multiplies a probability by; NULL: 1.
struct reference_attention {
    int rows, keys, heads, kv_heads, head_dim;
    double scale;
    const uint32_t *first, *last;
    const double *factor;
    const double *q, *k, *v;
    enum reference_halves halves;
    bool exact; // q, k, v and dout are given as the halves hold them
};

// Bounds, where not NULL, have the shape of their results: see reference_attention.c.
void reference_attention(
    double *out, double *lse, double *out_bound, double *lse_bound, const struct reference_attention *a);
void reference_attention_delta(
    double *delta, double *bound, const double *out, const double *dout, int rows, int heads, int head_dim);
// From dout, and from lse and delta as they are given (with those of the functions above: the gradient).
struct reference_attention_gradient {
    double *dq, *dk, *dv;
    double *dq_bound, *dk_bound, *dv_bound;
    double *ds, *ds_bound; // [heads, rows, keys], of scaled scores, where a query sees a key; NULL: not wanted
};
void reference_attention_backward(const struct reference_attention_gradient *g, const double *dout, const double *lse,
    const double *delta, const struct reference_attention *a);

#endif
