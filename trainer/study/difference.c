// SPDX-License-Identifier: MIT
#include "study/difference.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int difference_check(const struct model *before, const struct model *after, struct error *e)
{
    int count = before->weight_count < after->weight_count ? before->weight_count : after->weight_count;
    for (int i = 0; i < count; i++) {
        const struct model_weight *a = &before->weights[i], *b = &after->weights[i];
        if (strcmp(a->name, b->name) != 0)
            return error_set(e, "the models differ in their weights: %s before, %s after", a->name, b->name);
        if (a->rows != b->rows || a->columns != b->columns)
            return error_set(e,
                "the models differ in shape: %s is %" PRIu64 " x %" PRIu64 " before, %" PRIu64 " x %" PRIu64 " after",
                a->name, a->rows, a->columns, b->rows, b->columns);
        for (int k = 0; k < a->part_count; k++)
            if (k >= b->part_count || a->parts[k].rows != b->parts[k].rows)
                return error_set(e, "the models differ in shape: %s is not the same before and after", a->parts[k].hf);
    }
    if (before->weight_count == after->weight_count) return 0;
    const struct model *more = before->weight_count > count ? before : after;
    return error_set(e, "the models differ in their weights: %s is only there %s", more->weights[count].name,
        more == before ? "before" : "after");
}

float difference_change(float before, float after)
{
    if (before == after) return 0;
    if (before == 0) return INFINITY;
    double change = fabs((double)after - before) / fabs((double)before);
    return change > FLT_MAX ? FLT_MAX : (float)change;
}

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float of_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// ---- passes --------------------------------------------------------------------------------------------------------

#define PIECE UINT64_C(1048576) // elements at a time

// Calls `piece` with the changes of all parameters in order.
static int each_piece(const struct model *before, const struct model *after,
    void (*piece)(void *context, const float *changes, uint64_t count), void *context, struct error *e)
{
    int status = 0;
    for (int i = 0; i < before->weight_count && status == 0; i++)
        for (int k = 0; k < before->weights[i].part_count && status == 0; k++) {
            uint64_t rows, columns;
            model_part_shape(&before->weights[i], k, &rows, &columns);
            uint64_t step = PIECE / columns ? PIECE / columns : 1;
            if (step > rows) step = rows;
            float *a = mem_alloc(step * columns * sizeof *a), *b = mem_alloc(step * columns * sizeof *b);
            for (uint64_t first = 0; first < rows && status == 0; first += step) {
                uint64_t n = rows - first < step ? rows - first : step;
                status = model_read_part(before, i, k, first, n, a, e);
                if (status == 0) status = model_read_part(after, i, k, first, n, b, e);
                for (uint64_t c = 0; c < n * columns && status == 0; c++) {
                    if (!isfinite(a[c]) || !isfinite(b[c]))
                        status = error_set(e, "%s holds a number that is not finite", before->weights[i].parts[k].hf);
                    a[c] = difference_change(a[c], b[c]);
                }
                if (status == 0) piece(context, a, n * columns);
            }
            free(a);
            free(b);
        }
    return status;
}

// Changes are not negative: their bits, as integers, are in their order. The first pass counts by the upper half of the
// bits, the second, for the few halves at which a top ends, by the lower one.
#define HALF 65536u
#define INFINITE 0x7f800000u
#define NOWHERE UINT32_MAX
struct counting {
    uint64_t count[HALF];
    double sum[HALF]; // of each upper half
    uint32_t most;    // bits of the largest finite change
    int *fine_of;     // (HALF) index among `fine`, or -1
    uint64_t (*fine)[HALF];
    int fine_count;
};

static void count_upper(void *context, const float *changes, uint64_t count)
{
    struct counting *c = context;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(changes[i]);
        c->count[bits / HALF]++;
        if (bits >= INFINITE) continue;
        c->sum[bits / HALF] += (double)changes[i];
        if (bits > c->most) c->most = bits;
    }
}

static void count_lower(void *context, const float *changes, uint64_t count)
{
    struct counting *c = context;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(changes[i]);
        int fine = c->fine_of[bits / HALF];
        if (fine >= 0) c->fine[fine][bits % HALF]++;
    }
}

// The upper half at which a top of `count` parameters ends, and how many come before it.
static uint32_t find_upper(const struct counting *c, uint64_t count, uint64_t *before, double *sum)
{
    *before = 0;
    *sum = 0;
    for (uint32_t u = HALF; count && u-- > 0;) {
        if (*before + c->count[u] >= count) return u;
        *before += c->count[u];
        *sum += c->sum[u];
    }
    return NOWHERE;
}

static void finish_top(const struct counting *c, struct difference_top *top, double all)
{
    uint64_t before;
    double sum;
    uint32_t upper = find_upper(c, top->count, &before, &sum);
    top->bits = NOWHERE;
    top->equal = 0;
    const uint64_t *fine = upper == NOWHERE ? NULL : c->fine[c->fine_of[upper]];
    for (uint32_t l = HALF; fine && l-- > 0;) {
        uint64_t take = fine[l] < top->count - before ? fine[l] : top->count - before;
        if (!take) continue;
        top->bits = upper * HALF + l;
        top->equal = take;
        if (top->bits < INFINITE) sum += (double)take * (double)of_bits(top->bits);
        before += take;
        if (before == top->count) break;
    }
    top->share = all > 0 ? sum / all : 0;
}

int difference_measure(struct difference *d, struct difference_top *tops, int count, const struct model *before,
    const struct model *after, struct error *e)
{
    struct counting *c = mem_zero(1, sizeof *c);
    *d = (struct difference){0};
    int status = each_piece(before, after, count_upper, c, e);
    for (uint32_t u = 0; u < HALF; u++) {
        d->parameters += c->count[u];
        d->sum += c->sum[u];
    }
    d->infinite = c->count[INFINITE / HALF];
    d->most = of_bits(c->most);
    c->fine_of = mem_alloc(HALF * sizeof *c->fine_of);
    for (uint32_t u = 0; u < HALF; u++) c->fine_of[u] = -1;
    c->fine = mem_zero((size_t)count + 1, sizeof *c->fine);
    c->fine_of[0] = c->fine_count++; // where 0 is, to count what has not changed
    for (int i = 0; i < count && status == 0; i++) {
        uint64_t skip;
        double sum;
        tops[i].count = (uint64_t)floor((double)d->parameters * tops[i].fraction + 1e-9);
        uint32_t upper = find_upper(c, tops[i].count, &skip, &sum);
        if (upper != NOWHERE && c->fine_of[upper] < 0) c->fine_of[upper] = c->fine_count++;
    }
    if (status == 0) status = each_piece(before, after, count_lower, c, e);
    for (int i = 0; i < count && status == 0; i++) finish_top(c, &tops[i], d->sum);
    d->changed = d->parameters - c->fine[0][0];
    free(c->fine_of);
    free(c->fine);
    free(c);
    return status;
}

int difference_restore_read(
    void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e)
{
    struct difference_restore *r = context;
    uint64_t all, columns;
    model_part_shape(&r->after->weights[weight], part, &all, &columns);
    float *old = mem_alloc(rows * columns * sizeof *old);
    int status = model_read_part(r->after, weight, part, first, rows, out, e);
    if (status == 0) status = model_read_part(r->before, weight, part, first, rows, old, e);
    for (uint64_t i = 0; i < rows * columns && status == 0 && r->top->count; i++) {
        uint32_t bits = bits_of(difference_change(old[i], out[i]));
        if (bits < r->top->bits || (bits == r->top->bits && r->equal == r->top->equal)) continue;
        r->equal += bits == r->top->bits;
        r->restored++;
        out[i] = old[i];
    }
    free(old);
    return status;
}

// ---- first tokens --------------------------------------------------------------------------------------------------

void top_logits_take(struct top_logits *t, const float *logits, uint32_t vocabulary)
{
    t->count = 0;
    for (uint32_t id = 0; id < vocabulary; id++) {
        if (t->count == TOP_LOGITS && !(logits[id] > t->logits[TOP_LOGITS - 1])) continue;
        uint32_t at = t->count < TOP_LOGITS ? t->count++ : TOP_LOGITS - 1;
        for (; at && logits[id] > t->logits[at - 1]; at--) {
            t->ids[at] = t->ids[at - 1];
            t->logits[at] = t->logits[at - 1];
        }
        t->ids[at] = id;
        t->logits[at] = logits[id];
    }
}

static double log_sum(const float *x, uint32_t count)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < count; i++) most = (double)x[i] > most ? (double)x[i] : most;
    for (uint32_t i = 0; i < count; i++) sum += exp((double)x[i] - most);
    return most + log(sum);
}

double top_logits_divergence(const struct top_logits *t, const float *base)
{
    float others[TOP_LOGITS];
    for (uint32_t i = 0; i < t->count; i++) others[i] = base[t->ids[i]];
    double tuned_sum = log_sum(t->logits, t->count), base_sum = log_sum(others, t->count), divergence = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        double tuned = (double)t->logits[i] - tuned_sum;
        divergence += exp(tuned) * (tuned - ((double)others[i] - base_sum));
    }
    return divergence > 0 ? divergence : 0; // by a rounding it may be below
}
