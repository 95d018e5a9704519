// SPDX-License-Identifier: MIT
//
// The bounds, in units of an f32's last place u = 2^-23 (Vulkan: + - * one u, division 2.5, exp 3 + 2 |x|, log 3 and
// 2^-21 absolute near 1). D is the head size, n the number of keys a query sees (or of queries that see a key).
//
//   score z        D products, D sums, the scale: off by e(z) = (D + 3) u scale sum |q k|
//   weight         exp(z - top), then at most n times multiplied by exp(old top - new top), a correction of 1 for most
//                  blocks. The arguments of these corrections add up to at most r, the range of the scores. So a weight
//                  is off by the part w = 2 max e(z) + (10 + 6 r + 5 n) u of itself, n larger than the number of
//                  blocks.
//   out            numerator and denominator each by w, and a sum of n terms: (2 w + (n + 8) u) sum P |v|
//   lse            w from the sum, e(z) from the top, the logarithm: w + max e(z) + 2^-21 + 8 u (|lse| + r + 1)
//   P (backward)   exp(z - lse): the part b = e(z) + u (|z| + |lse|) + (4 + 2 |z - lse|) u of itself
//   dP             (D + 3) u sum |dout v|
//   dS             P ((b + 4 u) (|dP| + |delta|) + e(dP))
//   dq, dk, dv     their terms' errors, and (n + 4) u of the sum of their sizes
//
// Where products multiply halves, numbers are rounded to them before: operands (unless they are given as halves hold
// them), P with dropout's factor, and dS without the scale. h(x) is how far that moves x: 2^-10 |x| for fp16, whose
// direction of rounding is the driver's (all of x below 2^-14, where a driver may flush), 2^-8 |x| for bf16, which is
// to nearest. A product x y of operands is then off by h(x) |y| + |x| h(y) + h(x) h(y), which e(z) and the error of dP
// take in. In the forward pass P is rounded as exp(z - a maximum so far), which is never less than exp(z - top), and
// then fades by at most 1: h(exp(z - top) f), divided by the weight, bounds that.
#include "reference_attention.h"
#include "base.h"

#include <math.h>
#include <stdlib.h>

#define U 0x1p-23
#define TINY 0x1p-100 // results flushed to zero

static double rounding(const struct reference_attention *a, double x)
{
    if (a->halves == REFERENCE_F32) return 0;
    if (a->halves == REFERENCE_BF16) return 0x1p-8 * fabs(x);
    return fmax(0x1p-10 * fabs(x), fmin(fabs(x), 0x1p-14));
}

static double operand_rounding(const struct reference_attention *a, double x)
{
    return a->exact ? 0 : rounding(a, x);
}

static double factor_of(const struct reference_attention *a, int h, int t, int s)
{
    return a->factor ? a->factor[((size_t)h * (size_t)a->rows + (size_t)t) * (size_t)a->keys + (size_t)s] : 1;
}

// Rows of head h: element d of row t is at [t * heads * D + h * D + d].
static const double *head_row(const double *x, int t, int heads, int h, int D)
{
    return x + ((size_t)t * (size_t)heads + (size_t)h) * (size_t)D;
}

static double dot(const double *a, const double *b, int n, double *size)
{
    double sum = 0;
    *size = 0;
    for (int i = 0; i < n; i++) {
        sum += a[i] * b[i];
        *size += fabs(a[i] * b[i]);
    }
    return sum;
}

// A product of rows, and how far off its f32 sum may be, for operands in halves too.
static double product(const struct reference_attention *a, const double *x, const double *y, double *error)
{
    double size, off = 0, sum = dot(x, y, a->head_dim, &size);
    for (int i = 0; i < a->head_dim && !a->exact; i++) {
        double hx = operand_rounding(a, x[i]), hy = operand_rounding(a, y[i]);
        off += fabs(x[i]) * hy + fabs(y[i]) * hx + hx * hy;
    }
    *error = (a->head_dim + 3) * U * (size + off) + off;
    return sum;
}

// scale q k of (h, t, s), and how far off it may be.
static double score(const struct reference_attention *a, int h, int t, int s, double *error)
{
    int D = a->head_dim, g = h / (a->heads / a->kv_heads);
    double z = product(a, head_row(a->q, t, a->heads, h, D), head_row(a->k, s, a->kv_heads, g, D), error);
    *error *= fabs(a->scale);
    return a->scale * z;
}

static void forward_row(
    double *out, double *lse, double *out_bound, double *lse_bound, const struct reference_attention *a, int h, int t)
{
    int D = a->head_dim, g = h / (a->heads / a->kv_heads), n = (int)(a->last[t] - a->first[t]) + 1;
    double top = -INFINITY, low = INFINITY, sum = 0, error = 0, e;
    for (uint32_t s = a->first[t]; s <= a->last[t]; s++) {
        double z = score(a, h, t, (int)s, &e);
        top = fmax(top, z), low = fmin(low, z), error = fmax(error, e);
    }
    double *p = mem_alloc((size_t)n * sizeof *p);
    for (int i = 0; i < n; i++) sum += p[i] = exp(score(a, h, t, (int)a->first[t] + i, &e) - top);
    double range = top - low, weight = 2 * error + (10 + 6 * range + 5 * n) * U;
    *lse = top + log(sum);
    if (lse_bound) *lse_bound = weight + error + 0x1p-21 + 8 * U * (fabs(*lse) + range + 1);
    for (int d = 0; d < D; d++) {
        double all = 0, size = 0, off = 0;
        for (int i = 0; i < n; i++) {
            int s = (int)a->first[t] + i;
            double f = factor_of(a, h, t, s), v = head_row(a->v, s, a->kv_heads, g, D)[d], x = p[i] / sum * f * v;
            double hp = rounding(a, p[i] * f) / sum, hv = operand_rounding(a, v);
            all += x;
            size += fabs(x);
            off += hp * fabs(v) + (hp + p[i] / sum * f) * hv;
        }
        out[d] = all;
        if (out_bound) out_bound[d] = (2 * weight + (n + 8) * U) * (size + off) + off + TINY;
    }
    free(p);
}

void reference_attention(
    double *out, double *lse, double *out_bound, double *lse_bound, const struct reference_attention *a)
{
    for (int t = 0; t < a->rows; t++)
        for (int h = 0; h < a->heads; h++) {
            size_t row = ((size_t)t * (size_t)a->heads + (size_t)h) * (size_t)a->head_dim;
            size_t i = (size_t)h * (size_t)a->rows + (size_t)t;
            forward_row(
                out + row, lse + i, out_bound ? out_bound + row : NULL, lse_bound ? lse_bound + i : NULL, a, h, t);
        }
}

void reference_attention_delta(
    double *delta, double *bound, const double *out, const double *dout, int rows, int heads, int head_dim)
{
    for (int h = 0; h < heads; h++)
        for (int t = 0; t < rows; t++) {
            double size;
            delta[h * rows + t] =
                dot(head_row(out, t, heads, h, head_dim), head_row(dout, t, heads, h, head_dim), head_dim, &size);
            if (bound) bound[h * rows + t] = (head_dim + 3) * U * size + TINY;
        }
}

// Adds x y to a sum: the errors are theirs, `sums` the part of |x y| by which the sum itself is off.
static void add(double *sum, double *bound, double x, double error, double y, double y_error, double sums)
{
    *sum += x * y;
    if (bound) *bound += (error + sums * (fabs(x) + error)) * (fabs(y) + y_error) + fabs(x) * y_error;
}

void reference_attention_backward(const struct reference_attention_gradient *g, const double *dout, const double *lse,
    const double *delta, const struct reference_attention *a)
{
    int D = a->head_dim, per = a->heads / a->kv_heads;
    size_t q_count = (size_t)a->rows * (size_t)a->heads * (size_t)D,
           k_count = (size_t)a->keys * (size_t)a->kv_heads * (size_t)D;
    for (size_t i = 0; i < q_count; i++) {
        g->dq[i] = 0;
        if (g->dq_bound) g->dq_bound[i] = TINY;
    }
    for (size_t i = 0; i < k_count; i++) {
        g->dk[i] = g->dv[i] = 0;
        if (g->dk_bound) g->dk_bound[i] = g->dv_bound[i] = TINY;
    }
    double many = (a->rows * per + 4) * U, few = (a->keys + 4) * U; // rounding of sums over queries, over keys
    for (int t = 0; t < a->rows; t++)
        for (int h = 0; h < a->heads; h++)
            for (uint32_t key = a->first[t]; key <= a->last[t]; key++) {
                int s = (int)key;
                double e, L = lse[h * a->rows + t], z = score(a, h, t, s, &e), f = factor_of(a, h, t, s);
                double p = exp(z - L), part = e + U * (fabs(z) + fabs(L)) + (4 + 2 * fabs(z - L)) * U;
                const double *q = head_row(a->q, t, a->heads, h, D), *k = head_row(a->k, s, a->kv_heads, h / per, D);
                const double *v = head_row(a->v, s, a->kv_heads, h / per, D), *dy = head_row(dout, t, a->heads, h, D);
                double dp_error, dp = f * product(a, dy, v, &dp_error), dl = delta[h * a->rows + t], ds = p * (dp - dl);
                double ds_error = p * ((part + 4 * U) * (fabs(dp) + fabs(dl)) + f * dp_error);
                double p_error = p * f * part;
                if (a->halves != REFERENCE_F32) { // of what is rounded, with its own error
                    ds_error += rounding(a, fabs(ds) + ds_error);
                    p_error += rounding(a, p * f + p_error);
                }
                size_t pair = ((size_t)h * (size_t)a->rows + (size_t)t) * (size_t)a->keys + (size_t)s;
                if (g->ds) g->ds[pair] = ds;
                if (g->ds_bound) g->ds_bound[pair] = ds_error + TINY;
                size_t q_at = (size_t)(q - a->q), k_at = (size_t)(k - a->k);
                for (int d = 0; d < D; d++) {
                    size_t i = q_at + (size_t)d, j = k_at + (size_t)d;
                    add(&g->dq[i], g->dq_bound ? &g->dq_bound[i] : NULL, ds * a->scale, ds_error * fabs(a->scale), k[d],
                        operand_rounding(a, k[d]), few);
                    add(&g->dk[j], g->dk_bound ? &g->dk_bound[j] : NULL, ds * a->scale, ds_error * fabs(a->scale), q[d],
                        operand_rounding(a, q[d]), many);
                    add(&g->dv[j], g->dv_bound ? &g->dv_bound[j] : NULL, p * f, p_error, dy[d],
                        operand_rounding(a, dy[d]), many);
                }
            }
}
