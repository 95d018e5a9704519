// SPDX-License-Identifier: MIT
//
// The attention kernels on matrix units against double precision, with the rounding of what is multiplied in the bounds
// (reference_attention.c): every tile's ways (rows held or not, phases, subgroups side by side), head sizes, documents
// of all lengths, grouped queries, windows, dropout, f32 and bf16, documents of NaNs, what leaves fp16's range; the
// choice of tiles; mutations. Skipped where there are no matrix units.
#include "attention_run.h"
#include "reference.h"

#include "graph/coopmat.h"

static struct limits limits;
static struct gpu_matrix unit;
static uint32_t lanes;

struct tile {
    uint32_t waves_m, waves_n, block, hold, phased;
};

static const char *const names[][2] = {{"attention_forward_coopmat_fp16", "attention_forward_coopmat_bf16"},
    {NULL, NULL}, {"attention_dq_coopmat_fp16", "attention_dq_coopmat_bf16"},
    {"attention_dkv_coopmat_fp16", "attention_dkv_coopmat_bf16"}};

static enum reference_halves halves(void)
{
    return limits.products == PRODUCTS_BF16 ? REFERENCE_BF16 : REFERENCE_FP16;
}

static void run_form(struct attention_state *x, const struct attention_form *form, int kernel)
{
    if (kernel == 0)
        attention_run_forward(x, form);
    else if (kernel == 1)
        attention_run_delta(x);
    else
        attention_run_backward(x, form, kernel == 3);
}

static void run_tile(struct attention_state *x, const struct tile *t, int kernel)
{
    struct attention_form form = {.kernel = names[kernel][limits.products == PRODUCTS_BF16],
        .constants = {unit.m, unit.n, unit.k, t->waves_m, t->waves_n, t->block, t->hold, t->phased},
        .constant_count = 8,
        .group = lanes * t->waves_m * t->waves_n,
        .subgroup = gpu_info(run_gpu())->subgroup_control ? lanes : 0,
        .rows = unit.m * t->waves_m};
    if (kernel != 1 && !run_mutation && attention_own_part(x, &form)) run_form(x, &form, kernel);
    attention_own_all(x);
    run_form(x, &form, kernel);
}

static void run_case(struct attention_case c, const struct tile *t)
{
    struct attention_state x;
    c.halves = halves();
    attention_state_make(&x, &c);
    for (int kernel = 0; kernel < 4; kernel++) run_tile(&x, t, kernel);
    attention_state_free(&x);
}

// A block that is one step of the reduction and one fragment at least: of the units' own size.
static uint32_t block(void)
{
    return unit.n > unit.k ? unit.n : unit.k;
}

static void test_documents(void)
{
    // The same pipelines serve all documents of a shape: one row, one more and one less than blocks and tiles.
    const struct tile t = {2, 2, block(), 0, 0}; // one of two subgroups has no scores to make
    static const struct {
        int lengths[8], poisoned;
        uint32_t spare;
    } documents[] = {{{1}, -1, 0}, {{1, 17, 2, 31, 16, 5}, 3, 5}, {{15, 1, 1}, 1, 3}, {{16, 17}, -1, 1},
        {{3, 4, 5, 6, 7, 8, 9}, 4, 0}, {{127}, -1, 2}, {{0}, -1, 9}};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        struct attention_case c = {.heads = 3,
            .kv_heads = 1,
            .head_dim = 16,
            .poisoned = documents[i].poisoned,
            .spare = documents[i].spare,
            .scale = 0.25f,
            .exact = true};
        memcpy(c.lengths, documents[i].lengths, sizeof c.lengths);
        run_case(c, &t);
    }
    // The same with numbers that are rounded when they are read, and one that fp16 cannot hold.
    struct attention_case c = {.heads = 3,
        .kv_heads = 1,
        .head_dim = 16,
        .window = 20,
        .lengths = {11, 50, 7},
        .poisoned = -1,
        .scale = 0.25f};
    run_case(c, &t);
    if (limits.products != PRODUCTS_FP16) return;
    struct attention_state x;
    c.halves = halves();
    c.exact = true;
    c.lost = 19;
    attention_state_make(&x, &c);
    run_tile(&x, &t, 0);
    attention_state_free(&x);
}

// Head sizes, tiles' ways, storage, windows, dropout. Compiling takes the time: a case more for each kernel in turn.
static void test_ways(void)
{
    const uint32_t b = block();
    const struct {
        struct attention_case c;
        struct tile t;
        int kernels; // a mask
    } ways[] = {
        {{4, 2, 32, 13, 7, 0.25, {37, 1, 12, 29}, 2, 1, .scale = 0.2f, .exact = true}, {1, 2, 2 * b, 1, 1}, 15},
        {{4, 2, 64, 13, 1, 0, {37, 1, 12, 29}, 2, 1, .scale = 0.125f, .exact = true}, {1, 4, 2 * b, 0, 1}, 3},
        {{2, 2, 80, 0, 2, 0, {9, 40}, 0, 3, .scale = 0.1f, .exact = true}, {1, 4, 2 * b, 0, 0},
            6}, // 5 or 10 fragments for 4 subgroups
        {{2, 1, 96, 20, 6, 0, {21, 20}, -1, 0, .scale = 0.1f, .exact = true}, {2, 4, b, 0, 1}, 10},
        {{1, 1, 128, 0, 4, 0, {18, 5, 30}, -1, 1, .scale = 0.08f, .exact = true}, {1, 4, b, 0, 0}, 3},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (ways[i].c.head_dim % unit.n != 0 || ways[i].c.head_dim % unit.k != 0) continue;
        struct attention_state x;
        struct attention_case c = ways[i].c;
        c.halves = halves();
        attention_state_make(&x, &c);
        reference_attention(x.out, x.lse, NULL, NULL, &x.a); // for kernels left out
        attention_store_out(&x);
        for (int kernel = 0; kernel < 4; kernel++)
            if (ways[i].kernels >> kernel & 1)
                run_tile(&x, &ways[i].t, kernel);
            else if (kernel == 1)
                reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, (int)c.heads, (int)c.head_dim);
        attention_state_free(&x);
    }
}

// What a program takes: tiles that cover the rows; none where the matrix shape does not divide the head.
static void test_choice(void)
{
    static const enum attention_kernel kinds[] = {ATTENTION_FORWARD, ATTENTION_DELTA, ATTENTION_DQ, ATTENTION_DKV};
    for (int kernel = 0; kernel < 4; kernel++) {
        struct call call = {.constants = {0, 0, 64, 0}, .constant_count = 4};
        attention_variant(&limits, &call, kinds[kernel], 75, 6, 2, 64);
        if (kernel == 1) continue;
        const uint32_t *c = call.constants;
        CHECK_STRING(call.kernel, names[kernel][limits.products == PRODUCTS_BF16]);
        CHECK_STRING(call.why, "matrix units");
        CHECK(call.constant_count == 12 && c[4] == unit.m && c[5] == unit.n && c[6] == unit.k &&
              c[0] == lanes * c[7] * c[8]);
        CHECK(call.groups_x * call.groups_y >= (75 + c[4] * c[7] - 1) / (c[4] * c[7]) * (kernel == 3 ? 2 : 6));
    }
    struct call call = {.kernel = "attention_dq", .constants = {0, 0, 60, 0}, .constant_count = 4};
    attention_variant(&limits, &call, ATTENTION_DQ, 64, 2, 1, 60);
    CHECK(strstr(call.kernel, "coopmat") == NULL);
    CHECK_STRING(call.why, "the matrix units' shape does not divide the head");
}

// ---- mutations -----------------------------------------------------------------------------------------------------

static void run_one(int kernel)
{
    struct attention_state x;
    attention_state_make(&x, &(struct attention_case){4, 2, 16, 9, 0, 0.3, {21, 3, 14}, -1, 2, .scale = 0.25f,
                                 .halves = halves(), .exact = true});
    const struct mutation *mutation = run_mutation;
    run_mutation = NULL; // the kernels before the one of interest only make its inputs
    reference_attention(x.out, x.lse, NULL, NULL, &x.a);
    reference_attention_delta(x.delta, NULL, x.out, x.dout, (int)x.rows, 4, 16);
    run_mutation = mutation;
    run_tile(&x, &(struct tile){2, 2, block(), 0, 0}, kernel); // the pipelines of test_documents, where they can be
    attention_state_free(&x);
}

static void test_forward(void)
{
    run_one(0);
}

static void test_dq(void)
{
    run_one(2);
}

static void test_dkv(void)
{
    run_one(3);
}

// What halves round hides what is smaller than that: a fiftieth shows.
#define COMMON(test)                                                                                                   \
    ATTENTION_MUTATIONS(test), {test, #test " scale", IN_ARGS, WORD(attention_args, scale), TIMES, 1.02},              \
    {                                                                                                                  \
        test, #test " dropout's rate", IN_LIVE, WORD(live_block, dropout), TIMES, 1.05                                 \
    }

static const struct mutation mutations[] = {COMMON(test_forward), COMMON(test_dq), COMMON(test_dkv),
    {test_forward, "a head less", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_dq, "a head less, dq", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_dkv, "a head less a group, dkv", IN_ARGS, WORD(attention_args, heads), ADD, -2},
    {test_dq, "head size", IN_CONSTANTS, 2, SET, 8}};

int main(void)
{
    if (!run_open()) return 77;
    const struct gpu_info *info = gpu_info(run_gpu());
    bool any = false;
    for (enum products products = PRODUCTS_FP16; products <= PRODUCTS_BF16; products++) {
        limits = limits_of(info);
        limits.products = products;
        if (!coopmat_unit(info, products, &unit, &lanes)) {
            printf("no matrix units that multiply %s\n", products_name(products));
            continue;
        }
        any = true;
        test_documents();
        test_ways();
        test_choice();
        run_mutations(mutations, sizeof mutations / sizeof *mutations);
    }
    CHECK(run_validation_messages() == 0);
    run_close();
    if (!any) printf("skipped: there is nothing to run\n");
    return any ? test_end() : 77;
}
