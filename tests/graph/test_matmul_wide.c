// SPDX-License-Identifier: MIT
//
// matmul_wide and strips, for software drivers whose kernels may read through addresses: every layout, storage, live
// count and epilogue on shapes with tails, against double precision; mutations.
#include "matmul_run.h"

static struct limits limits;

// The wide variant for a product, as its storages stand in p->store; false where there is none.
static bool wide(const struct product *p, struct matmul_variant *v)
{
    struct matmul_variant all[MATMUL_CANDIDATES];
    struct matmul_shape shape = {.layout = p->layout, .m = p->m, .n = p->n, .k = p->k, .a_bf16 = p->store >> 1 & 1,
        .b_bf16 = p->store >> 2 & 1, .c_bf16 = p->store >> 3 & 1};
    int count = matmul_candidates(&limits, &shape, all, MATMUL_CANDIDATES);
    for (int i = 0; i < count; i++) {
        if (strcmp(all[i].kernel, "matmul_wide") != 0) continue;
        *v = all[i];
        return true;
    }
    return false;
}

// Storages (bit 1 A, 2 B, 3 C, 4 E; a residual as C) and what goes with them. The kernel reads f32: V in strips, U as it is, turned (TN's A) or
// copied (bf16).
static const struct product settings[] = {
    {.layout = LAYOUT_NT, .scale = 1},
    {.layout = LAYOUT_NT, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_RESIDUAL, .store = 1 << 2 | 1 << 3 | 1 << 4, .scale = 0.5f},
    {.layout = LAYOUT_NT, .live_m = LIVE_TARGETS, .epilogue = EPILOGUE_BIAS, .add = ADD_ALWAYS, .store = 1 << 2, .scale = 1},
    {.layout = LAYOUT_NT, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_BIAS, .store = 1 << 2 | 1 << 3, .scale = 1}, // as Qwen2 has it
    {.layout = LAYOUT_NN, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_RESIDUAL, .scale = -1.25f},
    {.layout = LAYOUT_NN, .live_m = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 1 | 1 << 2 | 1 << 3, .scale = 1},
    {.layout = LAYOUT_NN, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_BIAS, .store = 1 << 2 | 1 << 3 | 1 << 4, .scale = 1},
    {.layout = LAYOUT_TN, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .scale = 1},
    {.layout = LAYOUT_TN, .live_k = LIVE_TARGETS, .add = ADD_UNLESS_FIRST, .store = 1 << 1 | 1 << 2, .scale = 2},
    {.layout = LAYOUT_TN, .live_k = LIVE_TARGETS, .store = 1 << 2, .scale = 1},
    {.layout = LAYOUT_TN, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 1 | 1 << 2 | 1 << 3, .scale = 1}, // a gradient
    {.layout = LAYOUT_TN, .live_k = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 2 | 1 << 3, .scale = 1}, // in bf16; the head's
};

static void test_products(void)
{
    static const uint32_t shapes[][3] = {{8, 32, 32}, {9, 64, 33}, {24, 64, 40}, {25, 96, 71}, {77, 40, 64}, {130, 128, 50},
        {60, 34, 47}, {50, 256, 136}};
    uint64_t seed = 3;
    int run = 0;
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            struct product p = settings[s];
            p.m = shapes[i][0], p.n = shapes[i][1], p.k = shapes[i][2];
            struct matmul_variant v;
            if (!wide(&p, &v)) continue;
            uint32_t live = p.live_k ? p.k : p.m;
            for (int count = 0; count < (p.live_m || p.live_k ? 4 : 1); count++) {
                p.first_row = i % 2 ? 7 : 0;
                p.count = (uint32_t[]){p.first_row + live, p.first_row + live / 2, p.first_row / 2, p.first_row + 1}[count];
                p.first = (uint32_t)(i + (size_t)count) % 2;
                product_run(&p, &v, &seed);
                run++;
            }
        }
    CHECK(run > 100);
}

// x's rows and columns in strips of `width`; 0: in whole rows (TURNED: the transpose's).
static void run_strips(uint32_t rows, uint32_t columns, uint32_t live, uint32_t first_row, bool bf16, uint32_t order, uint32_t width, bool pairs)
{
    bool turn = order == TURNED_ORDER, whole_rows = order == ROWS_ORDER;
    struct run r;
    uint64_t seed = rows + columns;
    run_begin(&r, "strips", bf16 ? 1 << 1 : 0);
    run_constant(&r, LIVE_TOKENS);
    run_constant(&r, order);
    run_constant(&r, pairs);
    r.live.tokens = live + first_row;
    uint32_t across = turn ? rows : columns, along = turn ? columns : rows, shift = 8 * (rows % 2);
    if (!width) width = (across + 15) / 16 * 16 + 16;
    struct field *x = run_tensor(&r, rows, columns + shift), *y = run_floats(&r, (across + width - 1) / width * along * width);
    struct strips_args args = {rows, columns, x->ld, width, shift, first_row};
    run_args(&r, &args, sizeof args);
    field_random(x, 0, rows, 1, &seed);
    uint32_t done = whole_rows ? live : (live + 15) / 16 * 16; // of bands all is written; the last row stands for those beyond
    for (uint32_t i = 0; i < done; i++)
        for (uint32_t j = 0; j < columns; j++) {
            uint32_t in = (turn ? i : j) % width, block = in % (2 * run_group);
            if (pairs) in += block % 2 * run_group + block / 2 - block;
            size_t at = turn ? (size_t)(i / width * columns + j) * width + in : (size_t)(j / width * rows + i) * width + in;
            if (i < live && i < rows) field_want(y, (uint32_t)at, 0, x->value[i * x->columns + j + shift], EXACT);
            else if (turn || i < rows) field_want(y, (uint32_t)at, 0, 0, ANYTHING);
        }
    uint32_t at_once = (bf16 ? 2 * run_group : run_group) * (whole_rows ? ROWS_VECTORS : 1);
    run_check(&r, (whole_rows ? rows : (rows + 15) / 16) * ((columns + at_once - 1) / at_once) + 1);
}

static void test_strips(void)
{
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int kind = 0; kind < 5; kind++) { // side by side, in pairs, turned, the transpose, rows
            if (kind == 1 && !bf16) continue;
            uint32_t order = kind < 2 ? STRIPS_ORDER : kind < 4 ? TURNED_ORDER : ROWS_ORDER;
            uint32_t width = kind >= 3 ? 0 : 2 * run_group;
            run_strips(33, 72, 33, 0, bf16, order, width, kind == 1);
            run_strips(16, 32, 9, 5, bf16, order, width, kind == 1);
            run_strips(50, 45, 50, 0, bf16, order, width, kind == 1);
            run_strips(70, 104, 34, 0, bf16, order, width, kind == 1);
            run_strips(5, 100, 0, 0, bf16, order, width, kind == 1);
            if (kind == 4) run_strips(3, 600, 3, 0, bf16, order, width, false);
        }
}

static void test_rows(void)
{
    run_strips(19, 300, 17, 3, true, ROWS_ORDER, 0, false);
}

static void test_turned(void)
{
    run_strips(18, 40, 17, 3, true, TURNED_ORDER, 2 * run_group, false);
}

static void test_beside(void)
{
    run_strips(18, 40, 17, 3, true, STRIPS_ORDER, 2 * run_group, true);
}

static void test_all(struct product p)
{
    uint64_t seed = 5;
    struct matmul_variant v;
    if (wide(&p, &v)) product_run(&p, &v, &seed);
}

static void test_nt(void)
{
    test_all((struct product){.m = 61, .n = 51, .k = 43, .live_m = LIVE_TOKENS, .count = 59, .first_row = 3,
        .add = ADD_UNLESS_FIRST, .epilogue = EPILOGUE_RESIDUAL, .store = 1 << 2, .scale = 0.5f});
}

static void test_nn(void)
{
    test_all((struct product){.layout = LAYOUT_NN, .m = 29, .n = 64, .k = 43, .live_m = LIVE_TOKENS, .count = 27,
        .first_row = 3, .epilogue = EPILOGUE_RESIDUAL, .store = 1 << 2 | 1 << 3 | 1 << 4, .scale = 0.5f});
}

static void test_tn(void)
{
    test_all((struct product){.layout = LAYOUT_TN, .m = 30, .n = 64, .k = 43, .live_k = LIVE_TARGETS, .count = 40,
        .first_row = 3, .add = ADD_UNLESS_FIRST, .epilogue = EPILOGUE_BIAS, .store = 1 << 1, .scale = 0.5f});
}

static const struct mutation mutations[] = {
    {test_nt, "one row less", IN_ARGS, WORD(matmul_args, m), ADD, -6},
    {test_nt, "a column less", IN_ARGS, WORD(matmul_args, n), ADD, -1},
    {test_nt, "a term less", IN_ARGS, WORD(matmul_args, k), ADD, -1},
    {test_nt, "a term more", IN_ARGS, WORD(matmul_args, k), ADD, 1},
    {test_tn, "the transpose's leading dimension", IN_ARGS, WORD(matmul_args, lda), ADD, -8},
    {test_nt, "B's leading dimension", IN_ARGS, WORD(matmul_args, ldb), ADD, -8},
    {test_nt, "B's offset", IN_ARGS, WORD(matmul_args, offset_b), SET, 0},
    {test_nt, "which rows are live", IN_CONSTANTS, 3, SET, LIVE_NONE},
    {test_nt, "adding", IN_CONSTANTS, 5, SET, ADD_NONE},
    {test_nt, "rows of a tile", IN_CONSTANTS, 7, SET, 8},
    {test_nt, "vectors of a tile", IN_CONSTANTS, 9, SET, 1},
    {test_nn, "one row less", IN_ARGS, WORD(matmul_args, m), ADD, -6},
    {test_nn, "C's leading dimension", IN_ARGS, WORD(matmul_args, ldc), ADD, -8},
    {test_nn, "E's leading dimension", IN_ARGS, WORD(matmul_args, lde), ADD, -8},
    {test_nn, "A's offset", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {test_nn, "C's offset", IN_ARGS, WORD(matmul_args, offset_c), ADD, 8},
    {test_nn, "E's offset", IN_ARGS, WORD(matmul_args, offset_e), SET, 0},
    {test_nn, "first row", IN_ARGS, WORD(matmul_args, first_row), ADD, 1},
    {test_nn, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {test_nn, "no epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_NONE},
    {test_nn, "layout", IN_CONSTANTS, 2, SET, LAYOUT_NT},
    {test_tn, "live targets", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {test_tn, "which terms are live", IN_CONSTANTS, 4, SET, LIVE_NONE},
    {test_tn, "scale", IN_ARGS, WORD(matmul_args, scale), TIMES, 1.001},
    {test_tn, "first micro-batch", IN_LIVE, WORD(live_block, first), SET, 1},
    {test_tn, "bias as residual", IN_CONSTANTS, 6, SET, EPILOGUE_RESIDUAL},
    {test_turned, "columns", IN_ARGS, WORD(strips_args, columns), ADD, -1},
    {test_turned, "x's leading dimension", IN_ARGS, WORD(strips_args, ldx), ADD, -8},
    {test_turned, "width of a strip", IN_ARGS, WORD(strips_args, width), ADD, 16},
    {test_turned, "first row", IN_ARGS, WORD(strips_args, first_row), ADD, 2},
    {test_turned, "no turning", IN_CONSTANTS, 3, SET, STRIPS_ORDER},
    {test_rows, "columns", IN_ARGS, WORD(strips_args, columns), ADD, -1},
    {test_rows, "x's leading dimension", IN_ARGS, WORD(strips_args, ldx), ADD, -8},
    {test_rows, "leading dimension", IN_ARGS, WORD(strips_args, width), ADD, -16},
    {test_rows, "first column", IN_ARGS, WORD(strips_args, offset), ADD, 8},
    {test_rows, "first row", IN_ARGS, WORD(strips_args, first_row), ADD, 2},
    {test_rows, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -2},
    {test_rows, "strips", IN_CONSTANTS, 3, SET, STRIPS_ORDER},
    {test_turned, "which rows are live", IN_CONSTANTS, 2, SET, LIVE_TARGETS},
    {test_beside, "rows", IN_ARGS, WORD(strips_args, rows), ADD, -1},
    {test_beside, "first column", IN_ARGS, WORD(strips_args, offset), ADD, 8},
    {test_beside, "pairs", IN_CONSTANTS, 4, SET, 0},
    {test_turned, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -2},
};

int main(void)
{
    if (!run_open()) return 77;
    limits = limits_of(gpu_info(run_gpu()));
    run_group = gpu_info(run_gpu())->subgroup_size;
    if (!gpu_info(run_gpu())->addresses || run_group < 8 || run_group > 16) {
        printf("skipped: this device's kernels cannot read through addresses, or its subgroups are not 8 or 16 wide\n");
        run_close();
        return 77;
    }
    test_products();
    test_strips();
    run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
