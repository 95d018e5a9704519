// SPDX-License-Identifier: MIT
//
// The matrix products on matrix units: every layout, storage, live count and epilogue on shapes with tails, against double
// precision; what the table chooses; what leaves fp16's range; mutations. Skipped where there are no matrix units.
#include "matmul_run.h"

#include "graph/coopmat.h"

static struct limits limits;
static uint32_t unit[3]; // the matrix shape's m, n, k, as the table has it
static uint32_t lanes, subgroup;

struct tile {
    uint32_t waves_m, waves_n, frags_m, frags_n, steps, turn, bottom, split;
};

static struct matmul_variant forced(const struct product *p, const struct tile *t)
{
    uint32_t m = unit[0] * t->waves_m * t->frags_m, n = unit[1] * t->waves_n * t->frags_n;
    return (struct matmul_variant){
        .kernel = t->split > 1 ? (p->products == PRODUCTS_BF16 ? "matmul_coopmat_parts_bf16" : "matmul_coopmat_parts_fp16")
                               : (p->products == PRODUCTS_BF16 ? "matmul_coopmat_bf16" : "matmul_coopmat_fp16"),
        .group = lanes * t->waves_m * t->waves_n, .subgroup = subgroup, .constant_count = t->split > 1 ? 12 : 11,
        .constants = {unit[0], unit[1], unit[2], t->waves_m, t->waves_n, t->frags_m, t->frags_n, t->steps, 3, t->turn, t->bottom, t->split},
        .groups_x = (p->m + m - 1) / m * ((p->n + n - 1) / n) * t->split, .groups_y = 1, .split = t->split, .step = unit[2] * t->steps};
}

struct how {
    enum products products;
    const struct tile *tile;
    uint64_t seed;
};

static void run_forced(const struct product *each, void *context)
{
    struct how *how = context;
    struct product p = *each;
    p.products = how->products;
    struct matmul_variant v = forced(&p, how->tile);
    product_run(&p, &v, &how->seed);
}

// More lanes than groups to copy and fewer; one fragment a subgroup and several; steps of one fragment and of two;
// turned and not; steps that end at their beginning and at their end.
static void test_tiles(enum products products)
{
    static const struct tile tiles[] = {{1, 2, 1, 3, 2, 1, 0, 1}, {4, 1, 1, 1, 1, 0, 1, 1}};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        for (uint32_t layout = LAYOUT_NT; layout <= LAYOUT_TN; layout++)
            product_each(layout, run_forced, &(struct how){products, &tiles[i], 10 * i + layout});
}

static struct matmul_shape shape_of(const struct product *p)
{
    return (struct matmul_shape){.layout = p->layout, .m = p->m, .n = p->n, .k = p->k, .products = p->products};
}

// What the table offers for this device, on full tiles and partial ones, and so many that there are several bands. (Not
// every row with every layout: it is one kernel, and compiling it is what takes time.)
static void test_table(enum products products)
{
    static const uint32_t shapes[][4] = {
        {LAYOUT_NT, 100, 72, 48}, {LAYOUT_NN, 70, 140, 33}, {LAYOUT_TN, 136, 68, 20}, {LAYOUT_NT, 300, 24, 16}};
    uint64_t seed = 99;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t *s = shapes[i];
        struct product p = {.layout = s[0], .m = s[1], .n = s[2], .k = s[3], .scale = 1, .products = products};
        struct matmul_shape shape = shape_of(&p);
        struct matmul_variant v[COOPMAT_VARIANTS];
        int count = coopmat_variants(&limits, &shape, v);
        CHECK(count > 0);
        product_run(&p, &v[i % (size_t)count], &seed);
        CHECK_STRING(matmul_choose(&limits, &shape).name, v[0].name);
    }
    struct matmul_shape few = {.m = unit[0] - 1, .n = 64, .k = 64, .products = products};
    CHECK(strstr(matmul_choose(&limits, &few).kernel, "coopmat") == NULL);
}

// As many fragments as a subgroup may have, along n and along m, which narrow subgroups are not offered.
static void test_fragments(enum products products)
{
    uint64_t seed = 7;
    for (uint32_t layout = LAYOUT_NT; layout <= LAYOUT_TN; layout += LAYOUT_TN - LAYOUT_NT) {
        struct product p = {.layout = layout, .m = 75, .n = 70, .k = 40, .add = ADD_ALWAYS, .scale = 1, .products = products};
        static const struct tile wide = {2, 1, 4, 4, 1, 1, 1, 1}, tall = {1, 1, 8, 1, 2, 1, 1, 1};
        struct matmul_variant v = forced(&p, layout == LAYOUT_NT ? &tall : &wide);
        product_run(&p, &v, &seed);
    }
}

// Parts of different lengths, a last step with a tail, whole parts; parts without a live term, which must leave theirs alone.
static void test_split(enum products products)
{
    static const struct {
        struct tile tile;
        struct product p;
    } cases[] = {
        {{1, 2, 1, 3, 2, 1, 0, 2}, {LAYOUT_TN, 37, 41, 270, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 2}},
        {{1, 2, 1, 3, 2, 1, 0, 4}, {LAYOUT_TN, 64, 100, 512, .live_k = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 1}},
        {{4, 1, 1, 1, 1, 0, 1, 8}, {LAYOUT_NT, 66, 30, 609, .live_m = LIVE_TARGETS, .epilogue = EPILOGUE_BIAS, .store = 1 << 3}},
        {{4, 1, 1, 1, 1, 1, 1, 4}, {LAYOUT_NN, 40, 36, 300, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_RESIDUAL, .store = 30}},
    };
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t live = 0; live < 4; live++) {
            struct product p = cases[i].p;
            uint32_t all = p.live_k ? p.k : p.m;
            p.scale = 0.75f;
            p.products = products;
            p.first_row = i % 2 ? 7 : 0;
            p.count = live == 0 ? p.first_row + all : live == 1 ? p.first_row + all / 2 + 1 : live == 2 ? p.first_row + 3 : 0;
            struct matmul_variant v = forced(&p, &cases[i].tile);
            product_run(&p, &v, &seed);
        }
}

// fp16 ends at 65504: beyond, the elements of C concerned must not be finite, all others as ever. bf16 goes on.
static void test_huge(enum products products)
{
    uint64_t seed = 3;
    for (uint32_t layout = LAYOUT_NT; layout <= LAYOUT_TN; layout++) {
        struct product p = {.layout = layout, .m = 20, .n = 24, .k = 18, .scale = 1, .products = products, .huge = 7e4f};
        struct matmul_variant v = forced(&p, &(struct tile){1, 1, 2, 2, 1, 1, 0, 1});
        product_run(&p, &v, &seed);
        p.huge = -65000;
        product_run(&p, &v, &seed);
    }
}

// One product that uses everything, for the mutations.
static enum products mutated;

static void run_all(struct product p)
{
    uint64_t seed = 5;
    p.m = 13, p.n = 21, p.k = 10;
    p.first_row = 3;
    p.add = ADD_UNLESS_FIRST;
    p.scale = 0.5f;
    p.products = mutated;
    struct matmul_variant v = forced(&p, &(struct tile){1, 2, 1, 1, 1, 1, 0, 1});
    product_run(&p, &v, &seed);
}

static void test_all(void)
{
    run_all((struct product){.live_m = LIVE_TOKENS, .count = 14, .epilogue = EPILOGUE_RESIDUAL, .store = 1 << 2});
}

static void test_all_tn(void)
{
    run_all((struct product){
        .layout = LAYOUT_TN, .live_k = LIVE_TARGETS, .count = 10, .epilogue = EPILOGUE_BIAS, .store = 1 << 1});
}

static void test_parts(void)
{
    uint64_t seed = 6;
    struct product p = {LAYOUT_TN, 13, 21, 139, .live_k = LIVE_TARGETS, .count = 131, .first_row = 3, .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_BIAS, .scale = 0.5f, .products = mutated};
    struct matmul_variant v = forced(&p, &(struct tile){1, 2, 1, 1, 1, 1, 0, 2});
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
    {test_all, "scale", IN_ARGS, WORD(matmul_args, scale), TIMES, 1.1},
    {test_all, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {test_all, "first micro-batch", IN_LIVE, WORD(live_block, first), SET, 1},
    {test_all, "storage of A", IN_CONSTANTS, 1, SET, 1 << 1 | 1 << 2},
    {test_all, "layout", IN_CONSTANTS, 2, SET, LAYOUT_NN},
    {test_all, "which rows are live", IN_CONSTANTS, 3, SET, LIVE_NONE},
    {test_all, "adding", IN_CONSTANTS, 5, SET, ADD_NONE},
    {test_all, "epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_BIAS},
    {test_all, "no epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_NONE},
    {test_all, "subgroups across", IN_CONSTANTS, 11, SET, 1},
    {test_all, "tails of k", IN_CONSTANTS, 15, SET, 2},
    {test_all, "tails of n", IN_CONSTANTS, 15, SET, 1},
    {test_parts, "parts", IN_CONSTANTS, 18, SET, 4},
    {test_parts, "fewer terms", IN_ARGS, WORD(matmul_args, k), ADD, -64},
    {test_parts, "live targets of parts", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {test_parts, "rows, and where parts lie", IN_ARGS, WORD(matmul_args, m), ADD, -3},
    {test_all_tn, "live targets", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {test_all_tn, "which terms are live", IN_CONSTANTS, 4, SET, LIVE_NONE},
    {test_all_tn, "subgroups across, turned", IN_CONSTANTS, 11, SET, 1},
    {test_all_tn, "bias as residual", IN_CONSTANTS, 6, SET, EPILOGUE_RESIDUAL},
    {test_all_tn, "A's leading dimension, TN", IN_ARGS, WORD(matmul_args, lda), ADD, -8},
    {test_all_tn, "A's offset, TN", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {test_all_tn, "always adding", IN_LIVE, WORD(live_block, first), SET, 1},
};

int main(void)
{
    if (!run_open()) return 77;
    const struct gpu_info *info = gpu_info(run_gpu());
    limits = limits_of(info);
    bool any = false;
    for (enum products products = PRODUCTS_FP16; products <= PRODUCTS_BF16; products++) {
        if (!products_can(info, products)) {
            printf("no matrix units that multiply %s\n", products_name(products));
            continue;
        }
        any = true;
        struct matmul_shape shape = {.m = 64, .n = 64, .k = 64, .products = products};
        struct matmul_variant v[COOPMAT_VARIANTS];
        if (coopmat_variants(&limits, &shape, v) == 0) continue; // reported by test_table
        memcpy(unit, v[0].constants, sizeof unit);
        lanes = v[0].group / (v[0].constants[3] * v[0].constants[4]);
        subgroup = v[0].subgroup;
        test_tiles(products);
        test_table(products);
        test_fragments(products);
        test_huge(products);
        test_split(products);
        mutated = products;
        run_mutations(mutations, sizeof mutations / sizeof *mutations);
    }
    CHECK(run_validation_messages() == 0);
    run_close();
    if (!any) printf("skipped: there is nothing to run\n");
    return any ? test_end() : 77;
}
