// SPDX-License-Identifier: MIT
//
// tune_attention.c: attention's kernels on matrix units tried on the device, on a case small enough for the host to know its
// numbers: documents beside one of NaNs, which no other may notice, rows that end within a block, NaNs in all padding.
//
// What is multiplied are quarters up to 1, which fp16 and bf16 hold exactly, so that only these are off: P and dS, which are rounded
// to 16 bits before they are multiplied (h of themselves; what lies below fp16's least normal number, that), f32 arithmetic, and what
// is stored. The bounds are those of tests/reference_attention.c, which derives them, with simpler and wider terms for f32: n terms
// of a sum, the weights of a row and exp together are off by less than F32 of themselves, so few are the rows here.
#include "tune.h"

#include "ops_parts.h"
#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADS 2
#define F32 0x1p-11 // 2^-23 (2 (D + 3) scale sum |q k| + 10 + 6 r + 5 n): n is at most 70, D 256, where the sum is about 100, r below 12
#define SPARE 9
static const uint32_t lengths[] = {70, 9, 33};
#define POISONED 1 // of these documents
#define LIVE 112
#define ROWS (LIVE + SPARE)

enum { Q, K, V, DY };

struct attention_probe {
    struct graph graph;
    struct program program;
    struct plan plan;
    tensor_id qkv, dout, out, lse, dqkv;
    bool backward, bf16;
    uint32_t D;
    double half, tiny; // rounding to 16 bits
    uint32_t first[ROWS], end[ROWS];
    float *o, *d, *l; // what the device made: out, dqkv, lse, in f32
};

// ---- what goes in ----------------------------------------------------------------------------------------------------

static double number(int what, uint32_t row, uint32_t column)
{
    return 0.25 * PROBE_FACTOR(row * 1021u + column, (uint32_t)what + PROBE_U);
}

static bool poisoned(uint32_t row)
{
    return row >= LIVE || (row >= lengths[0] && row < lengths[0] + lengths[POISONED]);
}

static uint16_t bf16_of(float x) // of numbers that it holds, and NaNs
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

// A whole tensor of numbers and NaNs: columns 0 .. columns - 1 from those of `what`, whose first column is `first`.
static void write_tensor(struct replay *r, const struct program *p, tensor_id t, bool query)
{
    uint64_t wide = ld(p, t), count = at(p, t)->rows * wide;
    float *x = mem_alloc(count * sizeof *x);
    uint16_t *half = mem_alloc(count * sizeof *half);
    uint32_t D = columns(p, t) / (query ? HEADS + 2 : HEADS);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t row = (uint32_t)(i / wide), c = (uint32_t)(i % wide);
        int what = !query ? DY : c < HEADS * D ? Q : c < (HEADS + 1) * D ? K : V;
        uint32_t first = what == K ? HEADS * D : what == V ? (HEADS + 1) * D : 0;
        x[i] = poisoned(row) || c >= columns(p, t) ? NAN : (float)number(what, row, c - first);
        half[i] = bf16_of(x[i]);
    }
    if (element_bytes(p, t) == 2) replay_state_write(r, t, half, count * sizeof *half);
    else replay_state_write(r, t, x, count * sizeof *x);
    free(half);
    free(x);
}

static float *read_tensor(struct replay *r, const struct program *p, tensor_id t)
{
    uint64_t count = at(p, t)->rows * ld(p, t);
    float *x = mem_alloc(count * sizeof *x);
    uint16_t *half = (uint16_t *)x;
    replay_state_read(r, t, x, 0, count * element_bytes(p, t));
    for (uint64_t i = element_bytes(p, t) == 2 ? count : 0; i--;) {
        uint32_t bits = (uint32_t)half[i] << 16;
        memcpy(&x[i], &bits, sizeof bits);
    }
    return x;
}

static tensor_id state(struct attention_probe *x, const char *name, enum storage storage, uint64_t rows, uint64_t columns, uint64_t more)
{
    tensor_id t = graph_tensor(&x->graph, TENSOR_STATE, storage, rows, columns, "%s", name);
    graph_at(&x->graph, t)->ld = (columns + 7) / 8 * 8 + more;
    return t;
}

static void probe_make(struct attention_probe *x, const struct limits *limits, const struct attention_shape *s, bool backward)
{
    enum storage storage = s->bf16 ? STORAGE_BF16 : STORAGE_F32;
    uint32_t D = s->head_dim;
    x->D = D;
    x->backward = backward;
    x->bf16 = s->bf16;
    x->half = s->products == PRODUCTS_BF16 ? 0x1p-7 : 0x1p-10;
    x->tiny = s->products == PRODUCTS_BF16 ? 0 : 0x1p-14;
    for (uint32_t d = 0, row = 0; d < 3; d++)
        for (uint32_t i = 0, begin = row; i < lengths[d]; i++, row++) x->first[row] = begin, x->end[row] = begin + lengths[d];
    graph_init(&x->graph, ROWS, storage);
    x->graph.dropout = s->dropout;
    x->qkv = state(x, "qkv", storage, ROWS, (HEADS + 2) * D, 8);
    x->dout = state(x, "dout", storage, ROWS, HEADS * D, 8);
    x->out = state(x, "out", storage, ROWS, HEADS * D, 8);
    x->lse = state(x, "lse", STORAGE_F32, HEADS, ROWS, 0);
    x->dqkv = state(x, "dqkv", STORAGE_F32, ROWS, (HEADS + 2) * D, 0);
    struct node n = {.op = OP_ATTENTION, .in = {x->qkv, NO_TENSOR, NO_TENSOR, NO_TENSOR}, .out = {x->out, x->lse}, .layer = 0,
        .scale = 1 / sqrtf((float)D), .heads = HEADS, .kv_heads = 1, .head_dim = D};
    struct program *p = &x->program;
    program_begin(p, &x->graph, limits);
    operators[OP_ATTENTION].forward(p, &n, n.in, n.out);
    if (!backward) return;
    program_set_gradient(p, x->out, x->dout);
    operators[OP_ATTENTION].backward(p, &n);
    tensor_id made = program_gradient(p, x->qkv);
    graph_at(&x->graph, made)->ld = graph_at(&x->graph, x->dqkv)->ld = ld(p, x->qkv); // the kernels know one for both
    struct call *c = call_begin(p, "convert");
    call_read(c, made);
    call_write(c, x->dqkv);
    struct convert_args args = {.count = (uint32_t)(at(p, made)->rows * ld(p, made))};
    call_args(c, &args, sizeof args);
    call_groups(p, c, stream_groups(p, args.count));
}

static void probe_free(struct attention_probe *x)
{
    free(x->o);
    free(x->d);
    free(x->l);
    plan_free(&x->plan);
    program_free(&x->program);
    graph_free(&x->graph);
}

static void run(struct attention_probe *x, struct replay *r)
{
    const struct program *p = &x->program;
    write_tensor(r, p, x->qkv, true);
    write_tensor(r, p, x->dout, false);
    struct replay_input in = replay_begin(r);
    *in.live = (struct live_block){.tokens = LIVE, .targets = LIVE, .documents = 3, .first = 1};
    for (uint32_t t = 0; t < LIVE; t++) {
        in.array[INPUT_STARTS][t] = x->first[t];
        in.array[INPUT_ENDS][t] = x->end[t];
        in.array[INPUT_POSITIONS][t] = t - x->first[t];
        in.array[INPUT_CONVERSATION][t] = x->first[t];
    }
    replay_submit(r);
    replay_wait(r);
    x->o = read_tensor(r, p, x->out);
    x->l = read_tensor(r, p, x->lse);
    if (x->backward) x->d = read_tensor(r, p, x->dqkv);
}

// ---- what must come out ------------------------------------------------------------------------------------------------

// By bits, so that no compiler takes a NaN for a number.
static bool near(const struct attention_probe *x, float found, double right, double bound, bool stored)
{
    if (stored && x->bf16) bound += 0x1p-8 * (fabs(right) + bound);
    return isfinite(found) && fabs((double)found - right) <= bound + 0x1p-100;
}

static double rounded(const struct attention_probe *x, double v)
{
    return fmax(x->half * fabs(v), fmin(fabs(v), x->tiny));
}

static double score(const struct attention_probe *x, uint32_t h, uint32_t t, uint32_t s)
{
    double sum = 0;
    for (uint32_t d = 0; d < x->D; d++) sum += number(Q, t, h * x->D + d) * number(K, s, d);
    return sum * (double)(1 / sqrtf((float)x->D));
}

static bool forward_right(const struct attention_probe *x, uint32_t h, uint32_t t)
{
    const struct program *p = &x->program;
    uint32_t first = x->first[t];
    double weight[ROWS], top = -INFINITY, sum = 0;
    for (uint32_t s = first; s <= t; s++) top = fmax(top, weight[s] = score(x, h, t, s));
    for (uint32_t s = first; s <= t; s++) sum += weight[s] = exp(weight[s] - top);
    bool right = near(x, x->l[(uint64_t)h * ld(p, x->lse) + t], top + log(sum), F32 * (fabs(top) + log(sum) + 1), false);
    for (uint32_t d = 0; d < x->D && right; d++) {
        double all = 0, bound = 0;
        for (uint32_t s = first; s <= t; s++) {
            double v = number(V, s, d);
            all += weight[s] / sum * v;
            bound += (rounded(x, weight[s]) + 2 * F32 * weight[s]) / sum * fabs(v);
        }
        right = near(x, x->o[(uint64_t)t * ld(p, x->out) + h * x->D + d], all, bound, true);
    }
    return right;
}

// Adds query t's part to what the gradient of q, k and v must be, and to how far off it may be: [ROWS, 4 D] both.
static void backward_add(const struct attention_probe *x, double *want, double *bound, uint32_t h, uint32_t t)
{
    const struct program *p = &x->program;
    uint32_t D = x->D, wide = (HEADS + 2) * D;
    double L = (double)x->l[(uint64_t)h * ld(p, x->lse) + t], delta = 0, delta_size = 0, scale = (double)(1 / sqrtf((float)D));
    for (uint32_t d = 0; d < D; d++) {
        double y = number(DY, t, h * D + d) * (double)x->o[(uint64_t)t * ld(p, x->out) + h * D + d];
        delta += y;
        delta_size += fabs(y);
    }
    for (uint32_t s = x->first[t]; s <= t; s++) {
        double z = score(x, h, t, s), P = exp(z - L), dP = 0, size = 0;
        for (uint32_t d = 0; d < D; d++) {
            double y = number(DY, t, h * D + d) * number(V, s, d);
            dP += y;
            size += fabs(y);
        }
        double dS = P * (dP - delta), off = F32 * P * (fabs(dP) + fabs(delta) + size + delta_size), P_off = F32 * P;
        off = scale * (off + rounded(x, fabs(dS) + off));
        P_off += rounded(x, P + P_off);
        for (uint32_t d = 0; d < D; d++) {
            double q = number(Q, t, h * D + d), k = number(K, s, d), y = number(DY, t, h * D + d);
            uint32_t at_q = t * wide + h * D + d, at_k = s * wide + HEADS * D + d, at_v = at_k + D;
            want[at_q] += scale * dS * k;
            want[at_k] += scale * dS * q;
            want[at_v] += P * y;
            bound[at_q] += (off + F32 * scale * fabs(dS)) * fabs(k);
            bound[at_k] += (off + F32 * scale * fabs(dS)) * fabs(q);
            bound[at_v] += (P_off + F32 * P) * fabs(y);
        }
    }
}

static bool right_numbers(const struct attention_probe *x)
{
    bool right = true;
    for (uint32_t t = 0; t < LIVE; t++)
        for (uint32_t h = 0; h < HEADS && right && !poisoned(t); h++) right = forward_right(x, h, t);
    if (!x->backward || !right) return right;
    uint64_t wide = (HEADS + 2) * x->D, count = ROWS * wide;
    double *want = mem_zero(count, sizeof *want), *bound = mem_zero(count, sizeof *bound);
    for (uint32_t t = 0; t < LIVE; t++)
        for (uint32_t h = 0; h < HEADS && !poisoned(t); h++) backward_add(x, want, bound, h, t);
    for (uint64_t i = 0; i < count && right; i++)
        if (!poisoned((uint32_t)(i / wide)))
            right = near(x, x->d[i / wide * ld(&x->program, x->dqkv) + i % wide], want[i], bound[i], true);
    free(want);
    free(bound);
    return right;
}

// ---- the trial -----------------------------------------------------------------------------------------------------------

int tune_attention_try(struct gpu *gpu, const struct limits *limits, const struct attention_shape *shape, uint32_t kernels,
    void (*change)(struct call *c), struct error *e)
{
    struct limits own = *limits;
    own.choices = NULL;
    own.met = NULL;
    own.products = shape->products;
    struct attention_probe x = {0};
    probe_make(&x, &own, shape, kernels >> ATTENTION_DQ != 0);
    for (int i = 0; change && i < x.program.call_count; i++) change(&x.program.calls[i]);
    int verdict = TUNE_FAILED;
    struct engine *engine = NULL;
    struct replay *r = NULL;
    struct tune_kernels made = {0};
    if (!tune_kernels_make(&made, gpu, &x.program)) {
        verdict = TUNE_REFUSED;
    } else if (plan_make(&x.plan, &x.program, e) == 0 && (engine = engine_open(gpu, &x.graph, OPTIMIZER_NONE, e))) {
        engine_reserve(engine, &x.plan);
        r = replay_make(engine, &x.program, &x.plan, false, e);
    }
    if (r) {
        run(&x, r);
        verdict = right_numbers(&x) ? TUNE_RIGHT : TUNE_WRONG;
        replay_free(engine, r);
    }
    engine_close(engine);
    tune_kernels_free(&made, gpu);
    probe_free(&x);
    return verdict;
}
