// SPDX-License-Identifier: MIT
//
// The matrix products: every layout, storage, live count and epilogue on shapes with tails, against double precision;
// the choice of variants; mutations.
#include "matmul_run.h"

static struct limits limits;

// A forced variant of a run with workgroups of run_group; rows 0: matmul_plain.
static struct matmul_variant forced(const struct product *p, uint32_t rows, uint32_t steps, bool deal)
{
    uint32_t wide = (p->n + 3) / 4, tiles = rows ? (p->m + rows - 1) / rows : 0;
    struct matmul_variant v = {.kernel = rows ? "matmul_register" : "matmul_plain", .group = run_group, .groups_y = 1};
    v.groups_x = rows ? tiles * ((wide + run_group - 1) / run_group) : (p->m * wide + run_group - 1) / run_group;
    if (rows) {
        v.constant_count = 4;
        memcpy(v.constants, (uint32_t[]){rows, steps, 3, deal}, 4 * sizeof *v.constants);
    }
    return v;
}

struct how {
    uint32_t rows, steps;
    bool deal;
    uint64_t seed;
};

static void run_forced(const struct product *p, void *context)
{
    struct how *how = context;
    struct matmul_variant v = forced(p, how->rows, how->steps, how->deal);
    product_run(p, &v, &how->seed);
}

static void test_layout(uint32_t layout, uint32_t rows, uint32_t steps, bool deal)
{
    struct how how = {rows, steps, deal, layout + 1};
    product_each(layout, run_forced, &how);
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
            test_layout(layout, layout == LAYOUT_NN ? 16 : 8, layout == LAYOUT_TN ? 1 : 2, true);
        if (run_group < 128) test_layout(layout, 0, 0, false);
        test_layout(layout, layout == LAYOUT_NN ? 8 : 4, 1, false);
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
        struct product p = {.layout = s[0], .m = s[1], .n = s[2], .k = s[3], .scale = 1};
        struct matmul_variant v =
            matmul_choose(&limits, &(struct matmul_shape){.layout = p.layout, .m = p.m, .n = p.n, .k = p.k});
        product_run(&p, &v, &seed);
    }
}

// One product that uses everything, for the mutations.
static void test_all(void)
{
    uint64_t seed = 5;
    struct product p = {.m = 13,
        .n = 21,
        .k = 10,
        .live_m = LIVE_TOKENS,
        .count = 14,
        .first_row = 3,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_RESIDUAL,
        .scale = 0.5f};
    struct matmul_variant v = forced(&p, 8, 1, false);
    product_run(&p, &v, &seed);
}

static void test_all_tn(void)
{
    uint64_t seed = 6;
    struct product p = {.layout = LAYOUT_TN,
        .m = 13,
        .n = 21,
        .k = 10,
        .live_k = LIVE_TARGETS,
        .count = 10,
        .first_row = 3,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_BIAS,
        .scale = 0.5f};
    struct matmul_variant v = forced(&p, 8, 1, false);
    product_run(&p, &v, &seed);
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
