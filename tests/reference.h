// SPDX-License-Identifier: MIT
//
// reference.h: what every operator means, in plain double precision, one row after the other and nothing clever.
// Matrices are dense and row-major. Kernels are compared with these; the backward functions are themselves checked
// against differences of the forward functions (tests/graph/test_reference.c). Formulas and names are those of
// shaders/args.h.
#ifndef PUMICE_REFERENCE_H
#define PUMICE_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#define REFERENCE_NO_TARGET 0xffffffffu

// y[t,:] = scale table[ids[t],:]
void reference_embed(double *y, const uint32_t *ids, const double *table, int rows, int columns, double scale);
// dtable[ids[t],:] += scale dy[t,:]
void reference_embed_backward(
    double *dtable, const uint32_t *ids, const double *dy, int rows, int columns, double scale);

// y = x rstd (w + shift), rstd = 1 / sqrt(mean x^2 + epsilon) for each row
void reference_rmsnorm(
    double *y, double *rstd, const double *x, const double *w, int rows, int columns, double epsilon, double shift);
// dx = the gradient of x, dw += that of w, from dy and the rstd of the forward pass
void reference_rmsnorm_backward(double *dx, double *dw, const double *x, const double *w, const double *rstd,
    const double *dy, int rows, int columns, double shift);

// In place on heads side by side; table [P, head_dim]: cosines, then sines; sign -1 is the backward pass.
void reference_rope(
    double *x, const uint32_t *positions, const double *table, int rows, int heads, int head_dim, double sign);

enum reference_activation { REFERENCE_SILU, REFERENCE_GELU_TANH };
// y [rows, columns] = act(gate) up; gate_up [rows, 2 columns]
void reference_glu(double *y, const double *gate_up, int rows, int columns, enum reference_activation activation);
void reference_glu_backward(double *dgate_up, const double *gate_up, const double *dy, int rows, int columns,
    enum reference_activation activation);

// loss[i] = log sum exp z[i,:] - z[i,target]; hit: the target is the first of the largest; dz = (softmax - onehot)
// scale.
void reference_cross_entropy(
    double *loss, bool *hit, double *dz, const double *z, const uint32_t *targets, int rows, int columns, double scale);

// Philox 4x32-10 (Salmon et al. 2011): random[4] from counter[4] and key[2].
void reference_philox(uint32_t random[4], const uint32_t counter[4], const uint32_t key[2]);
// Whether dropout keeps column c of a row of (conversation, position), at layer * 16 + site.
bool reference_dropout_keeps(uint32_t conversation, uint32_t position, uint32_t column, uint32_t layer_site,
    const uint32_t seed[2], uint32_t step, float probability);

struct reference_update {
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    double correction1, correction2; // 1 / (1 - beta^t)
    double scale;                    // of the gradient, clipping included
};
void reference_adamw(double *p, double *m, double *v, const double *g, int count, const struct reference_update *u);
void reference_sgd(double *p, const double *g, int count, const struct reference_update *u);

// A row's tokens ordered by probability (larger logit first, smaller index first among equals): order[columns], and
// weight[columns] = exp((z - largest) / temperature) in that order.
void reference_sample_order(uint32_t *order, double *weight, const float *logits, int columns, double temperature);

// To the nearest bf16, ties to even, as the float of that value; NaN stays NaN.
float reference_bf16(float x);

#endif
