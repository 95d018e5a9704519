// SPDX-License-Identifier: MIT
//
// The attention kernels against double precision: documents of all lengths side by side, grouped queries, windows, head
// sizes, f32 and bf16, live counts, dropout, one document of NaNs that no other may notice; generation over caches; the
// reference's own backward pass against differences; mutations. Bounds: reference_attention.c.
#include "attention_run.h"
#include "reference.h"

#define GAP 8
#define doubles attention_doubles

struct shape {
    struct attention_case c;
    uint32_t deal, block, split; // split where it does not deal
};

// `part`: of some rows alone.
static void run_form(struct attention_state *x, const struct shape *s, bool wide, int kernel, bool part)
{
    static const char *const names[2][4] = {{"attention_forward", NULL, "attention_dq", "attention_dkv"},
        {"attention_forward_wide", NULL, "attention_dq_wide", "attention_dkv_wide"}};
    struct attention_form form = {.kernel = names[wide][kernel],
        .constants = {s->deal, s->block, s->split},
        .constant_count = 3,
        .group = run_group,
        .rows = run_group / s->split};
    if (kernel == 1) {
        attention_run_delta(x);
        return;
    }
    if (part && !attention_own_part(x, &form)) return;
    if (kernel == 0)
        attention_run_forward(x, &form);
    else
        attention_run_backward(x, &form, kernel == 3);
    attention_own_all(x);
}

static void run_kernels(const struct shape *s, bool wide)
{
    struct attention_state x;
    attention_state_make(&x, &s->c);
    for (int kernel = 0; kernel < 4; kernel++) {
        if (kernel != 1) run_form(&x, s, wide, kernel, true);
        run_form(&x, s, wide, kernel, false);
    }
    attention_state_free(&x);
}

static int mutated_keys; // which of the two a mutation is for

// The backward pass with kept gradients of scores: in whole, of some rows, of one key head.
static void run_scores(const struct shape *s)
{
    struct attention_state x;
    attention_state_make(&x, &s->c);
    uint32_t lanes = run_group, part = lanes > 8 ? 8 : 6;
    reference_attention(x.out, x.lse, NULL, NULL, &x.a);
    attention_store_out(&x);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, (int)s->c.heads, (int)s->c.head_dim);
    const struct attention_form forms[] = {{"attention_dq_scores_wide", {24, part, 2, 16}, 4, lanes, 0, 24},
        {"attention_dkv_scores_wide", {1, 8, 1}, 3, lanes, 0, lanes}};
    for (int keys = 0; keys < 2; keys++) {
        if (run_mutation && keys != mutated_keys) continue;
        attention_run_scores(&x, &forms[keys], keys);
        if (run_mutation) continue;
        if (attention_own_part(&x, &forms[keys])) attention_run_scores(&x, &forms[keys], keys);
        attention_own_all(&x);
        x.first_kv = s->c.kv_heads - 1, x.own_kv = 1;
        attention_run_scores(&x, &forms[keys], keys);
        x.first_kv = 0, x.own_kv = s->c.kv_heads;
    }
    attention_state_free(&x);
}

static void run_shape(struct shape s)
{
    // Dealing asks for a workgroup that is one subgroup.
    if (run_group != gpu_info(run_gpu())->subgroup_size || run_group < 8 || run_group > 16) s.deal = 0;
    if (s.deal) s.split = 1;
    if (s.split > run_group) return;
    run_kernels(&s, false);
    if (!s.deal || !gpu_info(run_gpu())->addresses) return;
    s.block *= 2;
    run_kernels(&s, true);
    if (s.c.head_dim % (2 * run_group) == 0) run_scores(&s);
}

static const struct shape shapes[] = {
    {{3, 1, 16, 0, 0, 0, {1, 17, 2, 30, 16, 5}, 3, 5, .scale = 0.25f}, 1, 4, 4},
    {{4, 2, 40, 7, 7, 0.25, {33, 1, 12}, -1, 0, .scale = 0.2f}, 1, 2, 2},
    {{2, 2, 72, 0, 1, 0, {9, 40}, 0, 3, .scale = 0.1f}, 1, 4, 1},
    {{2, 1, 128, 20, 6, 0, {50}, -1, 1, .scale = 0.1f}, 0, 1, 4},
    {{3, 1, 40, 0, 2, 0.25, {9, 25}, 0, 2, .scale = 0.2f}, 0, 2, 8}, // ten vec4s a row, dealt to four and to eight lanes
    {{2, 2, 56, 9, 3, 0, {1, 30}, -1, 1, .scale = 0.1f}, 0, 1, 4},
    {{4, 2, 32, 0, 7, 0.2, {3, 70, 1, 40}, 2, 2, .scale = 0.15f}, 1, 4, 4},
    {{6, 2, 64, 5, 7, 0, {1, 17, 2, 30, 16, 5}, 3, 5, .scale = 0.125f}, 1, 4, 4},
    {{6, 2, 64, 0, 0, 0, {16}, -1, 0, .scale = 0.125f}, 1, 4, 4},
};

static void test_shapes(void)
{
    // The same pipelines serve all documents of a shape: full, one row, one more and one less than blocks and groups.
    bool all = run_group == gpu_info(run_gpu())->subgroup_size; // elsewhere two: pipelines take their time to make
    for (size_t i = 0; i < (all ? sizeof shapes / sizeof *shapes : 2); i++) run_shape(shapes[i]);
    static const int more[][8] = {{1}, {15, 1}, {16, 17}, {3, 4, 5, 6, 7, 8, 9}, {64}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        struct shape s = shapes[0];
        memcpy(s.c.lengths, more[i], sizeof s.c.lengths);
        s.c.poisoned = i == 3 ? 4 : -1;
        run_shape(s);
    }
}

static void test_wide(void)
{
    run_shape((struct shape){{1, 1, 256, 0, 0, 0, {18, 5}, -1, 0, .scale = 0.06f}, 1, 1, 1});
}

static void test_nothing_alive(void)
{
    struct shape s = shapes[0];
    s.c.lengths[0] = 0;
    s.c.poisoned = -1;
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
            1, CAPACITY, (int)heads, (int)kv_heads, (int)D, (double)args.scale, &first, &last, NULL, query, k, .v = v};
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
    run_cache(3, 1, 40, 0, 1, 4, 0); // ten vec4s a row, dealt to four lanes
}

// ---- the reference itself ------------------------------------------------------------------------------------------

// sum(weight out), as a function of everything that goes in.
static double objective(const struct attention_state *x)
{
    reference_attention(x->out, x->lse, NULL, NULL, &x->a);
    double sum = 0;
    for (size_t i = 0; i < (size_t)x->rows * x->s.heads * x->s.head_dim; i++) sum += x->dout[i] * x->out[i];
    return sum;
}

static void differentiate(
    const struct attention_state *x, double *input, size_t count, const double *gradient, const char *name)
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
    struct attention_state x;
    attention_state_make(&x, &(struct attention_case){4, 2, 8, 3, 0, 0.3, {2, 5}, -1, 0, .scale = 0.7f});
    objective(&x);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, 4, 8);
    size_t q = x.rows * 4 * 8, k = x.rows * 2 * 8;
    struct reference_attention_gradient g = {doubles(q), doubles(k), doubles(k), NULL, NULL, NULL, NULL, NULL};
    reference_attention_backward(&g, x.dout, x.lse, x.delta, &x.a);
    differentiate(&x, x.q, q, g.dq, "dq");
    differentiate(&x, x.k, k, g.dk, "dk");
    differentiate(&x, x.v, k, g.dv, "dv");
    free(g.dq), free(g.dk), free(g.dv);
    attention_state_free(&x);
}

// ---- mutations -----------------------------------------------------------------------------------------------------

static void run_one(int kernel)
{
    static const struct shape s = {{4, 2, 16, 9, 0, 0.3, {21, 3, 14}, -1, 2, .scale = 0.25f}, 0, 4, 2};
    struct attention_state x;
    attention_state_make(&x, &s.c);
    const struct mutation *mutation = run_mutation;
    run_mutation = NULL; // the kernels before the one of interest only make its inputs
    reference_attention(x.out, x.lse, NULL, NULL, &x.a);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, 4, 16);
    run_mutation = mutation;
    run_form(&x, &s, false, kernel, false);
    attention_state_free(&x);
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

static void run_scores_one(int keys)
{
    static const struct shape s = {{4, 2, 32, 19, 0, 0.3, {21, 3, 34}, -1, 2, .scale = 0.25f}, 0, 4, 2};
    mutated_keys = keys;
    run_scores(&s);
}

static void test_dq_scores(void)
{
    run_scores_one(0);
}

static void test_dkv_scores(void)
{
    run_scores_one(1);
}

// Where sums are f32 alone, a thousandth shows.
#define COMMON(test)                                                                                                   \
    ATTENTION_MUTATIONS(test), {test, #test " scale", IN_ARGS, WORD(attention_args, scale), TIMES, 1.001},             \
    {                                                                                                                  \
        test, #test " dropout's rate", IN_LIVE, WORD(live_block, dropout), TIMES, 1.001                                \
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

static const struct mutation scores_mutations[] = { // what dkv_scores shares with dkv is tried there
    {test_dkv_scores, "rows, dkv_scores", IN_ARGS, WORD(attention_args, rows), ADD, -17},
    {test_dkv_scores, "a key head less, dkv_scores", IN_ARGS, WORD(attention_args, own_kv), ADD, -1},
    {test_dkv_scores, "first key head, dkv_scores", IN_ARGS, WORD(attention_args, first_kv), ADD, 1},
    {test_dq_scores, "rows, dq_scores", IN_ARGS, WORD(attention_args, rows), ADD, -17},
    {test_dq_scores, "first row, dq_scores", IN_ARGS, WORD(attention_args, first_row), ADD, 8},
    {test_dq_scores, "own rows, dq_scores", IN_ARGS, WORD(attention_args, own_rows), SET, 1},
    {test_dq_scores, "key heads, dq_scores", IN_ARGS, WORD(attention_args, kv_heads), SET, 4},
    {test_dq_scores, "a key head less, dq_scores", IN_ARGS, WORD(attention_args, own_kv), ADD, -1},
    {test_dq_scores, "first key head, dq_scores", IN_ARGS, WORD(attention_args, first_kv), ADD, 1},
    {test_dq_scores, "ld_qkv, dq_scores", IN_ARGS, WORD(attention_args, ld_qkv), ADD, 8},
    {test_dq_scores, "offset_q, dq_scores", IN_ARGS, WORD(attention_args, offset_q), ADD, 8},
    {test_dq_scores, "wider window, dq_scores", IN_ARGS, WORD(attention_args, window), ADD, 1},
    {test_dq_scores, "narrower window, dq_scores", IN_ARGS, WORD(attention_args, window), ADD, -1},
    {test_dq_scores, "scale, dq_scores", IN_ARGS, WORD(attention_args, scale), TIMES, 1.001},
    {test_dq_scores, "tokens, dq_scores", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {test_dq_scores, "more tokens, dq_scores", IN_LIVE, WORD(live_block, tokens), ADD, 1},
    {test_dq_scores, "rows of a tile, dq_scores", IN_CONSTANTS, 4, SET, 12},
    {test_dq_scores, "a strip's width, dq_scores", IN_CONSTANTS, 6, SET, 1},
    {test_dq_scores, "head size, dq_scores", IN_CONSTANTS, 2, SET, 16}};

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
    if (run_group >= 8 && run_group <= 16 && gpu_info(run_gpu())->addresses)
        run_mutations(scores_mutations, sizeof scores_mutations / sizeof *scores_mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
