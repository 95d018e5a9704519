// SPDX-License-Identifier: MIT
//
// The matrix products: every layout, storage, live count and epilogue on shapes with tails, against double precision;
// the choice of variants; mutations.
//
// Bound of one element, from the sum's own terms: a product is off by one ULP, and each of the k additions by one ULP
// of a partial sum, which is never larger than the sum of the terms' sizes s: (k + 1) ULP s. The scale adds one ULP of
// that, every tensor added later one ULP of the sizes added so far: (k + 5) ULP (|scale| s + |e| + |c|) covers all.
#include "kernel_run.h"
#include "graph/variants.h"

struct product {
    const char *kernel; // NULL: as matmul_choose says
    uint32_t layout, m, n, k;
    uint32_t live_m, live_k, first_row, count; // LIVE_ kinds; tokens or targets in the live block
    uint32_t add, epilogue, first;
    uint32_t store, rows, steps, deal; // the variant's constants; rows 0: matmul_plain has none
    float scale;
};

static struct limits limits;

static uint32_t alive(uint32_t kind, uint32_t most, const struct product *p)
{
    uint32_t count = p->count > p->first_row ? p->count - p->first_row : 0;
    return kind == LIVE_NONE || count > most ? most : count;
}

static void run_product(const struct product *p, uint64_t *seed)
{
    struct run r;
    struct matmul_variant v =
        matmul_choose(&limits, &(struct matmul_shape){.layout = p->layout, .m = p->m, .n = p->n, .k = p->k});
    uint32_t groups = v.groups_x * v.groups_y, group_before = run_group;
    if (!p->kernel) run_group = v.group;
    run_begin(&r, p->kernel ? p->kernel : v.kernel, p->store);
    uint32_t constants[] = {p->layout, p->live_m, p->live_k, p->add, p->epilogue};
    for (int i = 0; i < 5; i++) run_constant(&r, constants[i]);
    if (!p->kernel) {
        for (uint32_t i = 0; i < v.constant_count; i++) run_constant(&r, v.constants[i]);
    } else if (p->rows) {
        run_constant(&r, p->rows);
        run_constant(&r, p->steps);
        run_constant(&r, 3);
        run_constant(&r, p->deal);
        groups = (p->m + p->rows - 1) / p->rows * ((p->n + 4 * run_group - 1) / (4 * run_group)) + 1;
    } else {
        groups = (p->m * ((p->n + 3) / 4) + run_group - 1) / run_group + 1;
    }
    r.live.tokens = p->live_m == LIVE_TOKENS || p->live_k == LIVE_TOKENS ? p->count : 1000;
    r.live.targets = p->live_m == LIVE_TARGETS || p->live_k == LIVE_TARGETS ? p->count : 1000;
    r.live.first = p->first;

    // Rows beyond the live ones keep the pattern, a NaN; every matrix begins a few columns (a multiple of 8) into its
    // rows.
    uint32_t m = alive(p->live_m, p->m, p), k = alive(p->live_k, p->k, p);
    bool a_by_k = p->layout == LAYOUT_TN, b_by_n = p->layout == LAYOUT_NT;
    uint32_t shift_a = 8 * (p->m % 2), shift_b = 8 * (p->n % 2), shift_c = 8 * (p->k % 2), shift_e = 8 * (p->m % 3);
    struct field *a = run_tensor(&r, a_by_k ? p->k : p->m, (a_by_k ? p->m : p->k) + shift_a);
    struct field *b = run_tensor(&r, b_by_n ? p->n : p->k, (b_by_n ? p->k : p->n) + shift_b);
    uint32_t beyond = p->store >> 3 & p->n & 1 ? 0 : 1; // a bf16 pair's second half may become 0
    struct field *c = run_tensor(&r, p->m, p->n + shift_c + beyond);
    bool residual = p->epilogue == EPILOGUE_RESIDUAL, bias = p->epilogue == EPILOGUE_BIAS;
    struct field *e = residual || bias ? run_tensor(&r, bias ? 1 : p->m, p->n + shift_e) : run_shared(&r, 1);
    struct matmul_args args = {p->m, p->n, p->k, a->ld, b->ld, c->ld, e->ld, shift_a, shift_b, shift_c,
        residual || bias ? shift_e : 0, p->first_row, p->scale};
    run_args(&r, &args, sizeof args);

    for (uint32_t i = 0; i < k; i++) {
        for (uint32_t j = 0; j < m; j++) field_set(a, a_by_k ? i : j, (a_by_k ? j : i) + shift_a, test_uniform(seed));
        for (uint32_t j = 0; j < p->n; j++)
            field_set(b, b_by_n ? j : i, (b_by_n ? i : j) + shift_b, test_uniform(seed));
    }
    field_random(c, 0, p->m, 1, seed);
    bool adds = p->add == ADD_ALWAYS || (p->add == ADD_UNLESS_FIRST && !p->first);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < p->n; j++) {
            double sum = 0, size = 0, added = 0, added_size = 0;
            for (uint32_t q = 0; q < k; q++) {
                double x = a->value[(a_by_k ? q : i) * a->columns + (a_by_k ? i : q) + shift_a];
                double y = b->value[(b_by_n ? j : q) * b->columns + (b_by_n ? q : j) + shift_b];
                sum += x * y;
                size += fabs(x * y);
            }
            if (residual || (bias && i == 0)) field_set(e, i, j + shift_e, test_uniform(seed));
            if (residual || bias) added += e->value[(bias ? 0 : i) * e->columns + j + shift_e];
            added_size = fabs(added);
            if (adds) {
                double old = c->value[i * c->columns + j + shift_c];
                added += old;
                added_size += fabs(old);
            }
            double bound = (k + 5) * ULP * (fabs((double)p->scale) * size + added_size) + TINY;
            field_want(c, i, j + shift_c, sum * (double)p->scale + added, bound);
        }
    run_check(&r, groups);
    run_group = group_before;
}

// What a layout is run with: three pipelines or four, so that compiling them does not take longer than all the rest.
static const struct product settings[] = {
    {.scale = 1},
    {.live_m = LIVE_TOKENS,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_BIAS,
        .store = 1 << 1 | 1 << 3,
        .scale = 0.5f},
    {.live_m = LIVE_TARGETS,
        .epilogue = EPILOGUE_RESIDUAL,
        .store = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
        .scale = -1.25f},
    {.live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 2, .scale = 1},
    {.live_k = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 1, .scale = 2},
};

static void test_layout(const char *kernel, uint32_t layout, uint32_t rows, uint32_t steps, bool deal)
{
    static const uint32_t shapes[][3] = {
        {1, 1, 1}, {1, 8, 4}, {5, 7, 3}, {9, 33, 31}, {16, 64, 32}, {17, 66, 37}, {33, 130, 68}, {8, 3, 129}};
    uint64_t seed = layout + 1;
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        struct product p = settings[s];
        if (s == 0 ? layout != LAYOUT_NT : (p.live_k != LIVE_NONE) != (layout == LAYOUT_TN))
            continue; // as operators do
        p.kernel = kernel;
        p.layout = layout;
        p.rows = rows;
        p.steps = steps;
        p.deal = deal;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            p.m = shapes[i][0], p.n = shapes[i][1], p.k = shapes[i][2];
            uint32_t live = p.live_k ? p.k : p.m;
            for (int count = 0; count < (p.live_m || p.live_k ? 3 : 1); count++) {
                p.first_row = i % 2 ? 7 : 0;
                p.count = count == 0 ? p.first_row + live : count == 1 ? p.first_row + live / 2 : p.first_row / 2;
                p.first = (uint32_t)(i + (size_t)count) % 2;
                run_product(&p, &seed);
            }
        }
    }
}

// Dealing asks for a workgroup that is one subgroup.
static bool dealing_here(void)
{
    return run_group == gpu_info(run_gpu())->subgroup_size && run_group >= 8 && run_group <= 16;
}

static void test_kernels(void)
{
    for (uint32_t layout = LAYOUT_NT; layout <= LAYOUT_TN; layout++) {
        if (dealing_here())
            test_layout("matmul_register", layout, layout == LAYOUT_NN ? 16 : 8, layout == LAYOUT_TN ? 1 : 2, true);
        if (run_group < 128) test_layout("matmul_plain", layout, 0, 0, false);
        test_layout("matmul_register", layout, layout == LAYOUT_NN ? 8 : 4, 1, false);
    }
}

// Whatever matmul_choose says for this device must be right too: every number of rows of the skinny variants, full
// tiles and partial ones, multiples of the passes and not.
static void test_choice(void)
{
    static const uint32_t shapes[][4] = {{LAYOUT_NT, 1, 96, 64}, {LAYOUT_NT, 2, 65, 36}, {LAYOUT_NT, 4, 40, 24},
        {LAYOUT_NT, 13, 64, 30}, {LAYOUT_NT, 100, 72, 48}, {LAYOUT_NN, 70, 60, 33}, {LAYOUT_TN, 65, 68, 20},
        {LAYOUT_TN, 8, 31, 12}};
    uint64_t seed = 99;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t *s = shapes[i];
        run_product(&(struct product){.layout = s[0], .m = s[1], .n = s[2], .k = s[3], .scale = 1}, &seed);
    }
}

// One product that uses everything, for the mutations.
static void test_all(void)
{
    uint64_t seed = 5;
    struct product p = {.kernel = "matmul_register",
        .m = 13,
        .n = 21,
        .k = 10,
        .live_m = LIVE_TOKENS,
        .count = 14,
        .first_row = 3,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_RESIDUAL,
        .rows = 8,
        .steps = 1,
        .scale = 0.5f};
    run_product(&p, &seed);
}

static void test_all_tn(void)
{
    uint64_t seed = 6;
    struct product p = {.kernel = "matmul_register",
        .layout = LAYOUT_TN,
        .m = 13,
        .n = 21,
        .k = 10,
        .live_k = LIVE_TARGETS,
        .count = 10,
        .first_row = 3,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_BIAS,
        .rows = 8,
        .steps = 1,
        .scale = 0.5f};
    run_product(&p, &seed);
}

static const struct mutation mutations[] = {
    {test_all, "one row less", IN_ARGS, WORD(matmul_args, m), ADD, -3},
    {test_all, "a column less", IN_ARGS, WORD(matmul_args, n), ADD, -1},
    {test_all, "a column more", IN_ARGS, WORD(matmul_args, n), ADD, 1},
    {test_all, "a term less", IN_ARGS, WORD(matmul_args, k), ADD, -1},
    {test_all, "a term more", IN_ARGS, WORD(matmul_args, k), ADD, 1},
    {test_all, "A's leading dimension", IN_ARGS, WORD(matmul_args, lda), ADD, -8},
    {test_all, "B's leading dimension", IN_ARGS, WORD(matmul_args, ldb), ADD, -8},
    {test_all, "C's leading dimension", IN_ARGS, WORD(matmul_args, ldc), ADD, -8},
    {test_all, "E's leading dimension", IN_ARGS, WORD(matmul_args, lde), ADD, -8},
    {test_all, "A's offset", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {test_all, "B's offset", IN_ARGS, WORD(matmul_args, offset_b), SET, 0},
    {test_all, "C's offset", IN_ARGS, WORD(matmul_args, offset_c), ADD, 8},
    {test_all, "E's offset", IN_ARGS, WORD(matmul_args, offset_e), SET, 0},
    {test_all, "first row", IN_ARGS, WORD(matmul_args, first_row), ADD, 1},
    {test_all, "scale", IN_ARGS, WORD(matmul_args, scale), TIMES, 1.001},
    {test_all, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {test_all, "first micro-batch", IN_LIVE, WORD(live_block, first), SET, 1},
    {test_all, "layout", IN_CONSTANTS, 2, SET, LAYOUT_NN},
    {test_all, "which rows are live", IN_CONSTANTS, 3, SET, LIVE_NONE},
    {test_all, "adding", IN_CONSTANTS, 5, SET, ADD_NONE},
    {test_all, "epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_BIAS},
    {test_all, "no epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_NONE},
    {test_all, "tails of k", IN_CONSTANTS, 9, SET, 2},
    {test_all, "tails of n", IN_CONSTANTS, 9, SET, 1},
    {test_all_tn, "live targets", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {test_all_tn, "which terms are live", IN_CONSTANTS, 4, SET, LIVE_NONE},
    {test_all_tn, "bias as residual", IN_CONSTANTS, 6, SET, EPILOGUE_RESIDUAL},
    {test_all_tn, "A's leading dimension, TN", IN_ARGS, WORD(matmul_args, lda), ADD, -8},
    {test_all_tn, "A's offset, TN", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {test_all_tn, "always adding", IN_LIVE, WORD(live_block, first), SET, 1},
};

int main(int argc, char **argv)
{
    if (!run_open()) return 77;
    limits = limits_of(gpu_info(run_gpu()));
    int count;
    const uint32_t *sizes = run_group_sizes(&count, argc, argv);
    for (int i = 0; i < count; i++) {
        run_group = sizes[i];
        test_kernels();
    }
    test_choice();
    run_group = gpu_info(run_gpu())->subgroup_size;
    // Each wrong constant is a pipeline of its own; a driver with subgroups of four (SwiftShader) takes seconds for
    // one.
    if (run_group >= 8) run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
