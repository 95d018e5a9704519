// SPDX-License-Identifier: MIT
//
// reference.c: the operators in plain double precision.
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void reference_embed(double *y, const uint32_t *ids, const double *table, int rows, int columns, double scale)
{
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < columns; c++) y[t * columns + c] = scale * table[ids[t] * (size_t)columns + c];
}

void reference_embed_backward(
    double *dtable, const uint32_t *ids, const double *dy, int rows, int columns, double scale)
{
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < columns; c++) dtable[ids[t] * (size_t)columns + c] += scale * dy[t * columns + c];
}

void reference_rmsnorm(
    double *y, double *rstd, const double *x, const double *w, int rows, int columns, double epsilon, double shift)
{
    for (int t = 0; t < rows; t++) {
        double squares = 0;
        for (int c = 0; c < columns; c++) squares += x[t * columns + c] * x[t * columns + c];
        rstd[t] = 1 / sqrt(squares / columns + epsilon);
        for (int c = 0; c < columns; c++) y[t * columns + c] = x[t * columns + c] * rstd[t] * (w[c] + shift);
    }
}

void reference_rmsnorm_backward(double *dx, double *dw, const double *x, const double *w, const double *rstd,
    const double *dy, int rows, int columns, double shift)
{
    for (int t = 0; t < rows; t++) {
        const double *row = x + t * columns, *d = dy + t * columns;
        double mean = 0;
        for (int c = 0; c < columns; c++) mean += d[c] * (w[c] + shift) * row[c] * rstd[t] / columns;
        for (int c = 0; c < columns; c++) {
            dx[t * columns + c] = rstd[t] * (d[c] * (w[c] + shift) - row[c] * rstd[t] * mean);
            dw[c] += d[c] * row[c] * rstd[t];
        }
    }
}

void reference_rope(
    double *x, const uint32_t *positions, const double *table, int rows, int heads, int head_dim, double sign)
{
    int half = head_dim / 2;
    for (int t = 0; t < rows; t++)
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < half; i++) {
                double *a = x + (t * heads + h) * head_dim + i, *b = a + half;
                double c = table[positions[t] * (size_t)head_dim + i];
                double s = sign * table[positions[t] * (size_t)head_dim + half + i];
                double turned = *a * c - *b * s;
                *b = *b * c + *a * s;
                *a = turned;
            }
}

static double activate(double x, enum reference_activation activation)
{
    if (activation == REFERENCE_SILU) return x / (1 + exp(-x));
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double activate_slope(double x, enum reference_activation activation)
{
    if (activation == REFERENCE_SILU) {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    double k = sqrt(2 / acos(-1)), u = tanh(k * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + u) + 0.5 * x * (1 - u * u) * k * (1 + 3 * 0.044715 * x * x);
}

void reference_glu(double *y, const double *gate_up, int rows, int columns, enum reference_activation activation)
{
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < columns; c++) {
            const double *gate = gate_up + t * 2 * columns + c;
            y[t * columns + c] = activate(gate[0], activation) * gate[columns];
        }
}

void reference_glu_backward(double *dgate_up, const double *gate_up, const double *dy, int rows, int columns,
    enum reference_activation activation)
{
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < columns; c++) {
            const double *gate = gate_up + t * 2 * columns + c;
            double *dgate = dgate_up + t * 2 * columns + c, d = dy[t * columns + c];
            dgate[0] = d * gate[columns] * activate_slope(gate[0], activation);
            dgate[columns] = d * activate(gate[0], activation);
        }
}

void reference_cross_entropy(
    double *loss, bool *hit, double *dz, const double *z, const uint32_t *targets, int rows, int columns, double scale)
{
    for (int t = 0; t < rows; t++) {
        const double *row = z + (size_t)t * columns;
        int largest = 0;
        for (int c = 1; c < columns; c++)
            if (row[c] > row[largest]) largest = c;
        double sum = 0;
        for (int c = 0; c < columns; c++) sum += exp(row[c] - row[largest]);
        loss[t] = row[largest] - row[targets[t]] + log(sum);
        hit[t] = (uint32_t)largest == targets[t];
        for (int c = 0; c < columns; c++) {
            double one = (uint32_t)c == targets[t];
            dz[(size_t)t * columns + c] = (exp(row[c] - row[largest]) / sum - one) * scale;
        }
    }
}

void reference_philox(uint32_t random[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53 * c[0], b = (uint64_t)0xcd9e8d57 * c[2];
        uint32_t next[4] = {
            (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        k[0] += 0x9e3779b9;
        k[1] += 0xbb67ae85;
    }
    memcpy(random, c, sizeof c);
}

bool reference_dropout_keeps(uint32_t conversation, uint32_t position, uint32_t column, uint32_t layer_site,
    const uint32_t seed[2], uint32_t step, float probability)
{
    uint32_t random[4], counter[4] = {conversation, position, column / 4, layer_site},
                        key[2] = {seed[0] ^ step, seed[1]};
    reference_philox(random, counter, key);
    return random[column % 4] >= (double)probability * 4294967296.0;
}

void reference_adamw(double *p, double *m, double *v, const double *g, int count, const struct reference_update *u)
{
    for (int i = 0; i < count; i++) {
        double d = g[i] * u->scale;
        p[i] -= u->learning_rate * u->weight_decay * p[i];
        m[i] = u->beta1 * m[i] + (1 - u->beta1) * d;
        v[i] = u->beta2 * v[i] + (1 - u->beta2) * d * d;
        p[i] -= u->learning_rate * (m[i] * u->correction1) / (sqrt(v[i] * u->correction2) + u->epsilon);
    }
}

void reference_sgd(double *p, const double *g, int count, const struct reference_update *u)
{
    for (int i = 0; i < count; i++) p[i] -= u->learning_rate * (g[i] * u->scale + u->weight_decay * p[i]);
}

static const float *order_logits; // of the row being ordered: qsort passes no context
static int order_compare(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (order_logits[i] != order_logits[j]) return order_logits[i] > order_logits[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

void reference_sample_order(uint32_t *order, double *weight, const float *logits, int columns, double temperature)
{
    for (int i = 0; i < columns; i++) order[i] = (uint32_t)i;
    order_logits = logits;
    qsort(order, (size_t)columns, sizeof *order, order_compare);
    for (int i = 0; i < columns; i++) weight[i] = exp(((double)logits[order[i]] - logits[order[0]]) / temperature);
}

float reference_bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (x != x)
        u |= 0x00400000;
    else if ((u & 0xffff) > 0x8000 || ((u & 0xffff) == 0x8000 && (u & 0x10000)))
        u += 0x10000;
    u &= 0xffff0000;
    memcpy(&x, &u, sizeof x);
    return x;
}
