// SPDX-License-Identifier: MIT
//
// The attention kernels against double precision: documents of all lengths side by side, grouped queries, windows, head
// sizes, f32 and bf16, live counts, dropout, one document of NaNs that no other may notice; generation over caches; the
// reference's own backward pass against differences; mutations. Bounds: reference_attention.c.
#include "kernel_run.h"
#include "reference.h"
#include "reference_attention.h"

#define MOST_ROWS 80

struct shape {
    uint32_t heads, kv_heads, head_dim, window;
    uint32_t store; // bf16: 1 qkv, 2 out and dout, 4 dqkv
    double dropout;
    uint32_t deal, block, split; // split where it does not deal
    int lengths[8];              // of the documents, ended by 0
    int poisoned;                // the document of NaNs, or -1
    uint32_t spare;              // rows of the budget beyond the live ones
    float scale;
};

// Everything a case needs, made once for its four kernels.
struct state {
    struct shape s;
    bool wide;        // by the kernels that read through addresses
    uint32_t rows, T; // live, budget
    uint32_t starts[MOST_ROWS], ends[MOST_ROWS], positions[MOST_ROWS], conversation[MOST_ROWS], first[MOST_ROWS],
        last[MOST_ROWS];
    bool poisoned[MOST_ROWS];
    double *q, *k, *v, *dout, *out, *lse, *delta, *factor; // dense; lse and delta rounded to f32
    struct reference_attention a;
};

static const uint32_t seed[2] = {17, 99}, step = 5;
#define LAYER 3
#define GAP 8 // columns between and beside the parts of qkv

static double *doubles(size_t count)
{
    double *x = malloc(count * sizeof *x);
    if (!x) abort();
    return x;
}

static double *dense(size_t count, double amplitude, bool bf16, uint64_t *random)
{
    double *x = doubles(count);
    for (size_t i = 0; i < count; i++) {
        float value = (float)(amplitude * test_uniform(random));
        x[i] = bf16 ? reference_bf16(value) : value;
    }
    return x;
}

static double *dropout_factors(const struct state *x)
{
    double *factor = doubles((size_t)x->s.heads * x->rows * x->rows);
    for (uint32_t h = 0; h < x->s.heads; h++)
        for (uint32_t t = 0; t < x->rows; t++)
            for (uint32_t s = 0; s < x->rows; s++) {
                bool keep = reference_dropout_keeps(x->conversation[t], x->positions[t], x->positions[s],
                    LAYER * 16 + 8 + 16 * 4096 * (h + 1), seed, step, (float)x->s.dropout);
                factor[((size_t)h * x->rows + t) * x->rows + s] = keep ? 1 / (1 - (double)(float)x->s.dropout) : 0;
            }
    return factor;
}

static void state_make(struct state *x, const struct shape *s)
{
    uint64_t random = s->heads + s->head_dim + s->window;
    *x = (struct state){.s = *s};
    for (int d = 0; s->lengths[d]; d++)
        for (int i = 0; i < s->lengths[d]; i++) {
            uint32_t t = x->rows++;
            x->starts[t] = t - (uint32_t)i;
            x->ends[t] = x->starts[t] + (uint32_t)s->lengths[d];
            x->positions[t] = (uint32_t)i;
            x->conversation[t] = 40 + (uint32_t)d;
            x->poisoned[t] = d == s->poisoned;
            x->last[t] = t;
            x->first[t] = s->window && (uint32_t)i + 1 > s->window ? t + 1 - s->window : x->starts[t];
        }
    x->T = x->rows + s->spare;
    uint32_t D = s->head_dim, rows = x->rows;
    x->q = dense((size_t)rows * s->heads * D, 3, s->store & 1, &random);
    x->k = dense((size_t)rows * s->kv_heads * D, 2, s->store & 1, &random);
    x->v = dense((size_t)rows * s->kv_heads * D, 1, s->store & 1, &random);
    x->dout = dense((size_t)rows * s->heads * D, 1, s->store & 2, &random);
    x->out = doubles((size_t)rows * s->heads * D);
    x->lse = doubles((size_t)s->heads * rows);
    x->delta = doubles((size_t)s->heads * rows);
    x->factor = s->dropout > 0 ? dropout_factors(x) : NULL;
    x->a = (struct reference_attention){(int)rows, (int)rows, (int)s->heads, (int)s->kv_heads, (int)D, (double)s->scale,
        x->first, x->last, x->factor, x->q, x->k, x->v};
}

static void state_free(struct state *x)
{
    double *all[] = {x->q, x->k, x->v, x->dout, x->out, x->lse, x->delta, x->factor};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

// ---- bindings ------------------------------------------------------------------------------------------------------

// qkv and dqkv hold V, Q and K in this order, with gaps.
static struct attention_args arguments(const struct state *x)
{
    uint32_t q = x->s.heads * x->s.head_dim, kv = x->s.kv_heads * x->s.head_dim;
    return (struct attention_args){.rows = x->T,
        .heads = x->s.heads,
        .kv_heads = x->s.kv_heads,
        .offset_v = GAP,
        .offset_q = 2 * GAP + kv,
        .offset_k = 3 * GAP + kv + q,
        .window = x->s.window,
        .layer = LAYER,
        .scale = x->s.scale};
}

static uint32_t qkv_columns(const struct state *x)
{
    return 4 * GAP + (x->s.heads + 2 * x->s.kv_heads) * x->s.head_dim;
}

// Puts dense [rows, columns] into columns from `offset` on; poisoned rows stay the pattern, a NaN.
static void put(const struct state *x, struct field *f, uint32_t offset, const double *from, uint32_t columns)
{
    for (uint32_t t = 0; t < x->rows; t++)
        for (uint32_t c = 0; c < columns && !x->poisoned[t]; c++) field_set(f, t, offset + c, from[t * columns + c]);
}

static void want(const struct state *x, struct field *f, uint32_t offset, const double *result, const double *bound,
    uint32_t columns)
{
    for (uint32_t t = 0; t < x->rows; t++)
        for (uint32_t c = 0; c < columns; c++)
            field_want(f, t, offset + c, result[t * columns + c], x->poisoned[t] ? NON_FINITE : bound[t * columns + c]);
}

static struct field *words(const struct state *x, struct run *r, const uint32_t *from)
{
    struct field *f = run_words(r, x->T);
    for (uint32_t t = 0; t < x->rows; t++) field_set(f, t, 0, from[t]);
    return f;
}

// [heads, T] of f32.
static struct field *by_head(const struct state *x, struct run *r, double *values)
{
    struct field *f = run_floats(r, x->s.heads * x->T);
    for (uint32_t h = 0; h < x->s.heads && values; h++)
        for (uint32_t t = 0; t < x->rows; t++) {
            double *value = &values[h * x->rows + t];
            if (!x->poisoned[t]) *value = field_set(f, h * x->T + t, 0, *value);
        }
    return f;
}

static void begin(struct run *r, const char *kernel, const struct state *x, uint32_t store)
{
    run_begin(r, kernel, store);
    run_constant(r, x->s.head_dim);
    run_constant(r, x->s.dropout > 0);
    run_constant(r, x->s.deal);
    run_constant(r, x->s.block);
    run_constant(r, x->s.split);
    r->live.tokens = x->rows;
    r->live.dropout = (float)x->s.dropout;
    r->live.seed_low = seed[0], r->live.seed_high = seed[1], r->live.step = step;
}

// The last arguments, from the bindings that are there now.
static void finish(struct run *r, const struct state *x, const struct field *qkv, const struct field *out)
{
    struct attention_args args = arguments(x);
    args.ld_qkv = qkv ? qkv->ld : 8;
    args.ld_out = out->ld;
    args.ld_lse = x->T;
    run_args(r, &args, sizeof args);
}

static uint32_t row_groups(const struct state *x)
{
    uint32_t lines = run_group / x->s.split;
    return (x->T + lines - 1) / lines;
}

// ---- the kernels ---------------------------------------------------------------------------------------------------

static void forward(struct state *x)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads;
    size_t count = (size_t)x->rows * H * D;
    double *out_bound = doubles(count), *lse_bound = doubles((size_t)H * x->rows);
    reference_attention(x->out, x->lse, out_bound, lse_bound, &x->a);
    struct run r;
    begin(&r, x->wide ? "attention_forward_wide" : "attention_forward", x, (x->s.store & 1) << 2 | (x->s.store & 2) << 2);
    words(x, &r, x->starts);
    struct field *qkv = run_tensor(&r, x->T, qkv_columns(x)), *out = run_tensor(&r, x->T, H * D);
    struct field *lse = by_head(x, &r, NULL);
    words(x, &r, x->conversation);
    words(x, &r, x->positions);
    finish(&r, x, qkv, out);
    struct attention_args args = arguments(x);
    put(x, qkv, args.offset_q, x->q, H * D);
    put(x, qkv, args.offset_k, x->k, G * D);
    put(x, qkv, args.offset_v, x->v, G * D);
    want(x, out, 0, x->out, out_bound, H * D);
    for (uint32_t h = 0; h < H; h++)
        for (uint32_t t = 0; t < x->rows; t++)
            field_want(lse, h * x->T + t, 0, x->lse[h * x->rows + t],
                x->poisoned[t] ? NON_FINITE : lse_bound[h * x->rows + t]);
    run_check(&r, row_groups(x) * H + 1);
    for (size_t i = 0; i < count; i++) x->out[i] = x->s.store & 2 ? reference_bf16((float)x->out[i]) : (float)x->out[i];
    free(out_bound);
    free(lse_bound);
}

static void delta(struct state *x)
{
    uint32_t D = x->s.head_dim, H = x->s.heads;
    double *bound = doubles((size_t)H * x->rows);
    reference_attention_delta(x->delta, bound, x->out, x->dout, (int)x->rows, (int)H, (int)D);
    struct run r;
    begin(&r, "attention_delta", x, x->s.store & 2 ? 6 : 0);
    struct field *out = run_tensor(&r, x->T, H * D), *dout = run_tensor(&r, x->T, H * D);
    dout->ld = out->ld; // one ld_out serves both
    struct field *result = by_head(x, &r, NULL);
    finish(&r, x, NULL, out);
    put(x, out, 0, x->out, H * D);
    put(x, dout, 0, x->dout, H * D);
    for (uint32_t h = 0; h < H; h++)
        for (uint32_t t = 0; t < x->rows; t++)
            field_want(result, h * x->T + t, 0, x->delta[h * x->rows + t],
                x->poisoned[t] ? NON_FINITE : bound[h * x->rows + t]);
    run_check(&r, (x->T * H + run_group - 1) / run_group + 1);
    free(bound);
}

static void backward(struct state *x, bool keys)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads;
    size_t q_count = (size_t)x->rows * H * D, k_count = (size_t)x->rows * G * D;
    struct run r;
    static const char *const names[2][2] = {{"attention_dq", "attention_dkv"}, {"attention_dq_wide", "attention_dkv_wide"}};
    begin(&r, names[x->wide][keys], x,
        (x->s.store & 1) << 2 | (x->s.store & 2) << 2 | (x->s.store & 4) << 4);
    words(x, &r, keys ? x->ends : x->starts);
    struct field *qkv = run_tensor(&r, x->T, qkv_columns(x)), *dout = run_tensor(&r, x->T, H * D);
    by_head(x, &r, x->lse);
    by_head(x, &r, x->delta);
    struct field *dqkv = run_tensor(&r, x->T, qkv_columns(x));
    dqkv->ld = qkv->ld;
    words(x, &r, x->conversation);
    words(x, &r, x->positions);
    finish(&r, x, qkv, dout);
    struct attention_args args = arguments(x);
    put(x, qkv, args.offset_q, x->q, H * D);
    put(x, qkv, args.offset_k, x->k, G * D);
    put(x, qkv, args.offset_v, x->v, G * D);
    put(x, dout, 0, x->dout, H * D);
    for (uint32_t t = 0; t < x->T; t++) // what the kernel must leave alone
        for (uint32_t c = 0; c < dqkv->columns; c++) field_set(dqkv, t, c, 7);
    struct reference_attention_gradient g = {
        doubles(q_count), doubles(k_count), doubles(k_count), doubles(q_count), doubles(k_count), doubles(k_count)};
    reference_attention_backward(&g, x->dout, x->lse, x->delta, &x->a);
    if (keys) {
        want(x, dqkv, args.offset_k, g.dk, g.dk_bound, G * D);
        want(x, dqkv, args.offset_v, g.dv, g.dv_bound, G * D);
    } else {
        want(x, dqkv, args.offset_q, g.dq, g.dq_bound, H * D);
    }
    run_check(&r, row_groups(x) * (keys ? G : H) + 1);
    double *all[] = {g.dq, g.dk, g.dv, g.dq_bound, g.dk_bound, g.dv_bound};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void run_kernels(const struct shape *s, bool wide)
{
    struct state x;
    state_make(&x, s);
    x.wide = wide;
    forward(&x);
    delta(&x);
    backward(&x, false);
    backward(&x, true);
    state_free(&x);
}

static void run_shape(struct shape s)
{
    // Dealing asks for a workgroup that is one subgroup.
    if (run_group != gpu_info(run_gpu())->subgroup_size || run_group < 8 || run_group > 16) s.deal = 0;
    if (s.deal) s.split = 1;
    run_kernels(&s, false);
    if (!s.deal || !gpu_info(run_gpu())->addresses) return;
    s.block *= 2;
    run_kernels(&s, true);
}

static const struct shape shapes[] = {
    {3, 1, 16, 0, 0, 0, 1, 4, 4, {1, 17, 2, 30, 16, 5}, 3, 5, 0.25f},
    {4, 2, 40, 7, 7, 0.25, 1, 2, 2, {33, 1, 12}, -1, 0, 0.2f},
    {2, 2, 72, 0, 1, 0, 1, 4, 1, {9, 40}, 0, 3, 0.1f},
    {2, 1, 128, 20, 6, 0, 0, 1, 4, {50}, -1, 1, 0.1f},
};

static void test_shapes(void)
{
    // The same pipelines serve all documents of a shape: full, one row, one more and one less than blocks and groups.
    bool all = run_group == gpu_info(run_gpu())->subgroup_size; // elsewhere two: pipelines take their time to make
    for (size_t i = 0; i < (all ? sizeof shapes / sizeof *shapes : 2); i++) run_shape(shapes[i]);
    static const int more[][8] = {{1}, {15, 1}, {16, 17}, {3, 4, 5, 6, 7, 8, 9}, {64}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        struct shape s = shapes[0];
        memcpy(s.lengths, more[i], sizeof s.lengths);
        s.poisoned = i == 3 ? 4 : -1;
        run_shape(s);
    }
}

static void test_wide(void)
{
    run_shape((struct shape){1, 1, 256, 0, 0, 0, 1, 1, 1, {18, 5}, -1, 0, 0.06f});
}

static void test_nothing_alive(void)
{
    struct shape s = shapes[0];
    s.lengths[0] = 0;
    s.poisoned = -1;
    run_shape(s);
}

// ---- generation ----------------------------------------------------------------------------------------------------

static void run_cache(
    uint32_t heads, uint32_t kv_heads, uint32_t D, uint32_t window, uint32_t block, uint32_t split, uint32_t store)
{
    enum { ROWS = 6, SLOTS = 4, CAPACITY = 75 };
    static const uint32_t slots[ROWS] = {2, 0, 3, 1, 1, 2}, positions[ROWS] = {0, 74, 15, 16, 17, 40};
    uint32_t rows = ROWS - 1, kv = kv_heads * D, q = heads * D, ld_count;
    uint64_t random = D;
    struct run r;
    run_begin(&r, "attention_cache", store);
    const uint32_t constants[] = {D, 0, 0, block, split};
    for (int i = 0; i < 5; i++) run_constant(&r, constants[i]);
    r.live.tokens = rows;
    struct field *slot = run_words(&r, ROWS), *position = run_words(&r, ROWS),
                 *qkv = run_tensor(&r, ROWS, q + 2 * kv + GAP);
    struct field *keys = run_tensor(&r, SLOTS * CAPACITY, kv), *values = run_tensor(&r, SLOTS * CAPACITY, kv);
    struct field *out = run_tensor(&r, ROWS, q);
    ld_count = values->ld = keys->ld;
    struct cache_args args = {
        ROWS, heads, kv_heads, D, qkv->ld, GAP, GAP + q, GAP + q + kv, out->ld, ld_count, CAPACITY, window, 0.3f};
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < rows; t++) {
        field_set(slot, t, 0, slots[t]);
        field_set(position, t, 0, positions[t]);
        double *query = doubles(q), *k = doubles((size_t)CAPACITY * kv), *v = doubles((size_t)CAPACITY * kv);
        double *y = doubles(q), *lse = doubles(heads), *bound = doubles(q);
        for (uint32_t c = 0; c < q; c++) query[c] = field_set(qkv, t, GAP + c, 3 * test_uniform(&random));
        for (uint32_t s = 0; s <= positions[t]; s++) // two rows may share a slot
            for (uint32_t c = 0; c < kv; c++) {
                size_t at = (size_t)(slots[t] * CAPACITY + s) * kv + c;
                if (isnan(keys->value[at])) {
                    field_set(keys, slots[t] * CAPACITY + s, c, test_uniform(&random));
                    field_set(values, slots[t] * CAPACITY + s, c, test_uniform(&random));
                }
                k[s * kv + c] = keys->value[at];
                v[s * kv + c] = values->value[at];
            }
        uint32_t last = positions[t], first = window && last + 1 > window ? last + 1 - window : 0;
        struct reference_attention a = {
            1, CAPACITY, (int)heads, (int)kv_heads, (int)D, (double)args.scale, &first, &last, NULL, query, k, v};
        reference_attention(y, lse, bound, NULL, &a);
        for (uint32_t c = 0; c < q; c++) field_want(out, t, c, y[c], bound[c]);
        double *all[] = {query, k, v, y, lse, bound};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    run_check(&r, ROWS * heads + 1);
}

static void test_cache(void)
{
    run_cache(6, 2, 16, 0, 1, 1, 0);
    run_cache(2, 1, 72, 20, 2, 2, 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6);
}

// ---- the reference itself ------------------------------------------------------------------------------------------

// sum(weight out), as a function of everything that goes in.
static double objective(const struct state *x)
{
    reference_attention(x->out, x->lse, NULL, NULL, &x->a);
    double sum = 0;
    for (size_t i = 0; i < (size_t)x->rows * x->s.heads * x->s.head_dim; i++) sum += x->dout[i] * x->out[i];
    return sum;
}

static void differentiate(const struct state *x, double *input, size_t count, const double *gradient, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        double at = input[i], slope[2];
        for (int k = 0; k < 2; k++) {
            double h = k ? 5e-4 : 1e-3;
            input[i] = at + h;
            double up = objective(x);
            input[i] = at - h;
            slope[k] = (up - objective(x)) / (2 * h);
        }
        input[i] = at;
        double got = (4 * slope[1] - slope[0]) / 3;
        CHECK_SAY(fabs(got - gradient[i]) <= 1e-8 * (1 + fabs(got)), "%s[%zu]: %.12g, differences give %.12g", name, i,
            gradient[i], got);
    }
}

static void test_reference(void)
{
    struct state x;
    state_make(&x, &(struct shape){4, 2, 8, 3, 0, 0.3, 0, 4, 1, {2, 5}, -1, 0, 0.7f});
    objective(&x);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, 4, 8);
    size_t q = x.rows * 4 * 8, k = x.rows * 2 * 8;
    struct reference_attention_gradient g = {doubles(q), doubles(k), doubles(k), NULL, NULL, NULL};
    reference_attention_backward(&g, x.dout, x.lse, x.delta, &x.a);
    differentiate(&x, x.q, q, g.dq, "dq");
    differentiate(&x, x.k, k, g.dk, "dk");
    differentiate(&x, x.v, k, g.dv, "dv");
    free(g.dq), free(g.dk), free(g.dv);
    state_free(&x);
}

// ---- mutations -----------------------------------------------------------------------------------------------------

static void run_one(int kernel)
{
    struct state x;
    state_make(&x, &(struct shape){4, 2, 16, 9, 0, 0.3, 0, 4, 2, {21, 3, 14}, -1, 2, 0.25f});
    const struct mutation *mutation = run_mutation;
    run_mutation = NULL; // the kernels before the one of interest only make its inputs
    reference_attention(x.out, x.lse, NULL, NULL, &x.a);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, 4, 16);
    run_mutation = mutation;
    if (kernel == 0)
        forward(&x);
    else if (kernel == 1)
        delta(&x);
    else
        backward(&x, kernel == 3);
    state_free(&x);
}

static void test_forward(void)
{
    run_one(0);
}

static void test_delta(void)
{
    run_one(1);
}

static void test_dq(void)
{
    run_one(2);
}

static void test_dkv(void)
{
    run_one(3);
}

#define COMMON(test)                                                                                                   \
    {test, #test " rows", IN_ARGS, WORD(attention_args, rows), ADD, -3},                                               \
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
        {test, #test " scale", IN_ARGS, WORD(attention_args, scale), TIMES, 1.001},                                    \
        {test, #test " tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},                                           \
        {test, #test " more tokens", IN_LIVE, WORD(live_block, tokens), ADD, 1},                                       \
        {test, #test " seed", IN_LIVE, WORD(live_block, seed_low), ADD, 1},                                            \
        {test, #test " seed's other half", IN_LIVE, WORD(live_block, seed_high), ADD, 1},                              \
        {test, #test " step", IN_LIVE, WORD(live_block, step), ADD, 8},                                                \
        {test, #test " dropout's rate", IN_LIVE, WORD(live_block, dropout), TIMES, 1.001},                             \
    {                                                                                                                  \
        test, #test " dropout off", IN_CONSTANTS, 3, SET, 0                                                            \
    }

static const struct mutation mutations[] = {COMMON(test_forward), COMMON(test_dq), COMMON(test_dkv),
    {test_forward, "a head less", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_dq, "a head less, dq", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_dkv, "a key head more a group, dkv", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_forward, "head size", IN_CONSTANTS, 2, SET, 8}, {test_delta, "head size, delta", IN_CONSTANTS, 2, SET, 8},
    {test_delta, "heads, delta", IN_ARGS, WORD(attention_args, heads), ADD, -1},
    {test_delta, "ld_out, delta", IN_ARGS, WORD(attention_args, ld_out), ADD, 8},
    {test_delta, "ld_lse, delta", IN_ARGS, WORD(attention_args, ld_lse), ADD, 1},
    {test_delta, "tokens, delta", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {test_cache, "rows, cache", IN_ARGS, WORD(cache_args, rows), ADD, -2},
    {test_cache, "heads, cache", IN_ARGS, WORD(cache_args, heads), ADD, -1},
    {test_cache, "ld_qkv, cache", IN_ARGS, WORD(cache_args, ld_qkv), ADD, 8},
    {test_cache, "ld_out, cache", IN_ARGS, WORD(cache_args, ld_out), ADD, 8},
    {test_cache, "ld_cache, cache", IN_ARGS, WORD(cache_args, ld_cache), ADD, 8},
    {test_cache, "offset_q, cache", IN_ARGS, WORD(cache_args, offset_q), SET, 0},
    {test_cache, "capacity, cache", IN_ARGS, WORD(cache_args, capacity), ADD, -1},
    {test_cache, "window, cache", IN_ARGS, WORD(cache_args, window), SET, 19},
    {test_cache, "scale, cache", IN_ARGS, WORD(cache_args, scale), TIMES, 1.001},
    {test_cache, "tokens, cache", IN_LIVE, WORD(live_block, tokens), ADD, -1}};

int main(int argc, char **argv)
{
    if (!run_open()) return 77;
    test_reference();
    int count;
    const uint32_t *sizes = run_group_sizes(&count, argc, argv);
    for (int i = 0; i < count; i++) {
        run_group = sizes[i];
        test_shapes();
        test_cache();
    }
    run_group = gpu_info(run_gpu())->subgroup_size;
    test_wide();
    test_nothing_alive();
    // Each wrong constant is a pipeline of its own; a driver with subgroups of four (SwiftShader) takes seconds for
    // one.
    if (run_group >= 8) run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
