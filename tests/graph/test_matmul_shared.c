// SPDX-License-Identifier: MIT
//
// The matrix products made for GPUs: every tile of matmul_shared, whole and with k split, matmul_reduce, matmul_skinny;
// each layout, storage, live count and epilogue on shapes with tails and without; mutations. The error bound stands in
// matmul_run.h. The variants are the table's own, for a GPU that has this device's limits.
#include "matmul_run.h"

static struct gpu_info info;
static struct limits limits; // of a GPU like that

// The table's variant of that name for the product's shape. False where the device is too small for it.
static bool take(const struct product *p, const char *name, struct matmul_variant *take)
{
    struct matmul_variant v[MATMUL_CANDIDATES];
    struct matmul_shape shape = {.layout = p->layout,
        .m = p->m,
        .n = p->n,
        .k = p->k,
        .a_bf16 = p->store >> 1 & 1,
        .b_bf16 = p->store >> 2 & 1,
        .c_bf16 = p->store >> 3 & 1,
        .live_m = p->live_m,
        .live_k = p->live_k,
        .add = p->add,
        .epilogue = p->epilogue};
    int count = matmul_candidates(&limits, &shape, v, MATMUL_CANDIDATES);
    for (int i = 0; i < count; i++)
        if (strcmp(v[i].name, name) == 0) {
            *take = v[i];
            return true;
        }
    return false;
}

static const struct product settings[] = {
    {.scale = 1},
    {.live_m = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .epilogue = EPILOGUE_BIAS, .store = 1 << 1 | 1 << 3, .scale = 0.5f},
    {.live_m = LIVE_TARGETS,
        .epilogue = EPILOGUE_RESIDUAL,
        .store = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
        .scale = -1.25f},
    {.live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 2, .scale = 1},
    {.live_k = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 1, .scale = 2},
};

// One shape under one setting, with all, half and none of it live.
static int run_setting(const char *name, uint32_t layout, size_t setting, const uint32_t *shape, uint64_t *seed)
{
    struct product p = settings[setting];
    p.layout = layout;
    p.m = shape[0], p.n = shape[1], p.k = shape[2];
    struct matmul_variant v;
    if (!take(&p, name, &v)) return 0;
    uint32_t live = p.live_k ? p.k : p.m;
    for (int count = 0; count < (p.live_m || p.live_k ? 3 : 1); count++) {
        p.first_row = shape[0] % 2 ? 7 : 0;
        p.count = count == 0 ? p.first_row + live : count == 1 ? p.first_row + live / 2 : p.first_row / 2;
        p.first = (uint32_t)count % 2;
        product_run(&p, &v, seed);
    }
    return 1;
}

// A software driver takes seconds for a pipeline (and twice as many for vectors twice as wide), so that each layout of a
// tile gets one setting, with tails everywhere and more than one tile, and one tile gets all of them.
static void test_tiles(bool all)
{
    static const struct {
        const char *name;
        uint32_t m, n;
    } tiles[] = {{"shared 32x32x16 4x4", 32, 32}, {"shared 128x128x16 8x8", 128, 128}, {"shared 64x128x16 8x8", 64, 128},
        {"shared 128x64x16 8x4", 128, 64}, {"shared 64x64x16 8x4", 64, 64}, {"shared 32x64x16 8x4", 32, 64},
        {"shared 64x64x16 4x4", 64, 64}};
    uint64_t seed = 1;
    for (uint32_t t = 0; t < (all ? sizeof tiles / sizeof *tiles : 1); t++)
        for (uint32_t layout = LAYOUT_NT; layout <= LAYOUT_TN; layout++) {
            uint32_t m = tiles[t].m, n = tiles[t].n;
            size_t live = layout == LAYOUT_TN ? 3 : 1; // as operators do
            const uint32_t shapes[][3] = {{m + 5, n - 3, 37}, {m / 2 + 1, 2 * n + 6, 35}, {1, 1, 1}, {2 * m, n, 48}};
            size_t which = (t + layout) % 2;
            CHECK(run_setting(tiles[t].name, layout, live + which, shapes[which], &seed));
            if (!all || t > 0) continue;
            CHECK(run_setting(tiles[t].name, layout, live + !which, shapes[!which], &seed));
            CHECK(run_setting(tiles[t].name, layout, live + which, shapes[2], &seed));
            CHECK(run_setting(tiles[t].name, layout, 0, shapes[3], &seed)); // whole tiles, no tail
        }
}

// Long steps, for chips with narrow subgroups of one width (in two halves) and of several (in one, loads behind a branch).
static void test_long(void)
{
    struct gpu_info wide = info;
    uint64_t seed = 3;
    info.subgroup_min = info.subgroup_max = 32;
    CHECK(run_setting("shared 64x64x32 8x4", LAYOUT_NN, 1, (const uint32_t[]){69, 61, 75}, &seed));
    info.subgroup_min = 8, info.api_version = 1u << 22 | 4u << 12;
    CHECK(run_setting("shared 64x64x32 8x4", LAYOUT_NT, 0, (const uint32_t[]){65, 61, 101}, &seed));
    struct matmul_variant v;
    const struct product tail = {.layout = LAYOUT_NN, .m = 64, .n = 64, .k = 101};
    CHECK(!take(&tail, "shared 64x64x32 8x4", &v)); // spills there
    info.api_version = 1u << 22 | 3u << 12;
    const struct product f32 = {.layout = LAYOUT_NT, .m = 64, .n = 64, .k = 128};
    CHECK(!take(&f32, "shared 64x64x32 8x4", &v)); // older compilers
    info = wide;
}

static void test_split(bool all)
{
    // Parts of different lengths, a last step with a tail, whole parts.
    static const struct {
        const char *name;
        uint32_t layout, setting, shape[3];
    } cases[] = {{"shared 32x32x16 4x4 split 2", LAYOUT_TN, 3, {37, 41, 270}},
        {"shared 32x32x16 4x4 split 4", LAYOUT_TN, 4, {64, 32, 512}}, {"shared 64x64x16 8x4 split 8", LAYOUT_NT, 1, {33, 30, 609}},
        {"shared 32x32x16 4x4 split 4", LAYOUT_NN, 2, {40, 36, 300}}};
    uint64_t seed = 3;
    for (size_t i = 0; i < (all ? sizeof cases / sizeof *cases : 1); i++)
        CHECK(run_setting(cases[i].name, cases[i].layout, cases[i].setting, cases[i].shape, &seed));
}

static void test_skinny(bool all)
{
    static const uint32_t shapes[][3] = {{3, 130, 69}, {1, 96, 64}, {13, 33, 31}, {2, 65, 301}, {16, 64, 64}};
    uint64_t seed = 4;
    for (size_t i = 0; i < (all ? sizeof shapes / sizeof *shapes : 2); i++) {
        const char *name = i == 1 ? "skinny 4x32" : "skinny 4x16";
        CHECK(run_setting(name, LAYOUT_NT, (i + 1) % 3, shapes[i], &seed));
    }
    struct product p = {.m = 17, .n = 8, .k = 8};
    struct matmul_variant v;
    CHECK(!take(&p, "skinny 4x16", &v));
}

// ---- mutations: one product that uses everything, by each kernel ---------------------------------------------------

static void run_mutable(const char *name, uint32_t layout)
{
    uint64_t seed = 5;
    struct product p = {.layout = layout,
        .m = 13,
        .n = 21,
        .k = layout == LAYOUT_TN ? 139 : 42,
        .live_m = layout == LAYOUT_TN ? LIVE_NONE : LIVE_TOKENS,
        .live_k = layout == LAYOUT_TN ? LIVE_TARGETS : LIVE_NONE,
        .count = layout == LAYOUT_TN ? 128 : 14,
        .first_row = 3,
        .add = ADD_UNLESS_FIRST,
        .epilogue = layout == LAYOUT_TN ? EPILOGUE_BIAS : EPILOGUE_RESIDUAL,
        .scale = 0.5f};
    struct matmul_variant v;
    CHECK(take(&p, name, &v));
    product_run(&p, &v, &seed);
}

static void shared_nt(void)
{
    run_mutable("shared 32x32x16 4x4", LAYOUT_NT);
}

static void shared_tn(void)
{
    run_mutable("shared 32x32x16 4x4", LAYOUT_TN);
}

static void split_tn(void)
{
    run_mutable("shared 32x32x16 4x4 split 2", LAYOUT_TN);
}

static void skinny(void)
{
    run_mutable("skinny 4x16", LAYOUT_NT);
}

#define ALL(test)                                                                                                      \
    {test, #test ": one row less", IN_ARGS, WORD(matmul_args, m), ADD, -3},                                            \
        {test, #test ": a column less", IN_ARGS, WORD(matmul_args, n), ADD, -1},                                       \
        {test, #test ": a column more", IN_ARGS, WORD(matmul_args, n), ADD, 1},                                        \
        {test, #test ": A's leading dimension", IN_ARGS, WORD(matmul_args, lda), ADD, -8},                             \
        {test, #test ": C's leading dimension", IN_ARGS, WORD(matmul_args, ldc), ADD, -8},                             \
        {test, #test ": C's offset", IN_ARGS, WORD(matmul_args, offset_c), ADD, 8},                                    \
        {test, #test ": E's offset", IN_ARGS, WORD(matmul_args, offset_e), ADD, 8},                                    \
        {test, #test ": first row", IN_ARGS, WORD(matmul_args, first_row), ADD, 1},                                    \
        {test, #test ": scale", IN_ARGS, WORD(matmul_args, scale), TIMES, 1.001},                                      \
        {test, #test ": first micro-batch", IN_LIVE, WORD(live_block, first), SET, 1}

static const struct mutation mutations[] = {
    ALL(shared_nt),
    ALL(shared_tn),
    ALL(skinny),
    {shared_nt, "a term less", IN_ARGS, WORD(matmul_args, k), ADD, -1},
    {shared_nt, "a term more", IN_ARGS, WORD(matmul_args, k), ADD, 1},
    {shared_nt, "B's leading dimension", IN_ARGS, WORD(matmul_args, ldb), ADD, -8},
    {shared_nt, "A's offset", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {shared_nt, "B's offset", IN_ARGS, WORD(matmul_args, offset_b), SET, 0},
    {shared_nt, "E's leading dimension", IN_ARGS, WORD(matmul_args, lde), ADD, -8},
    {shared_nt, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {shared_nt, "layout", IN_CONSTANTS, 2, SET, LAYOUT_NN},
    {shared_nt, "which rows are live", IN_CONSTANTS, 3, SET, LIVE_NONE},
    {shared_nt, "adding", IN_CONSTANTS, 5, SET, ADD_NONE},
    {shared_nt, "no epilogue", IN_CONSTANTS, 6, SET, EPILOGUE_NONE},
    {shared_nt, "tails of k", IN_CONSTANTS, 12, SET, 2},
    {shared_nt, "tails of n", IN_CONSTANTS, 12, SET, 1},
    {shared_nt, "a lane's columns", IN_CONSTANTS, 11, SET, 8},
    {shared_tn, "B's leading dimension, TN", IN_ARGS, WORD(matmul_args, ldb), ADD, -8},
    {shared_tn, "A's offset, TN", IN_ARGS, WORD(matmul_args, offset_a), SET, 0},
    {shared_tn, "live targets", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {shared_tn, "which terms are live", IN_CONSTANTS, 4, SET, LIVE_NONE},
    {split_tn, "split: parts", IN_CONSTANTS, 13, SET, 4},
    {split_tn, "split: fewer terms", IN_ARGS, WORD(matmul_args, k), ADD, -32},
    {split_tn, "split: live targets", IN_LIVE, WORD(live_block, targets), ADD, -1},
    {split_tn, "split: the step, and how many parts are added up", IN_CONSTANTS, 8, SET, 64},
    {split_tn, "split: rows, and where parts lie", IN_ARGS, WORD(matmul_args, m), ADD, -3},
    {skinny, "a term less", IN_ARGS, WORD(matmul_args, k), ADD, -1},
    {skinny, "B's leading dimension", IN_ARGS, WORD(matmul_args, ldb), ADD, -8},
    {skinny, "live tokens", IN_LIVE, WORD(live_block, tokens), ADD, -1},
    {skinny, "lanes of a set", IN_CONSTANTS, 8, SET, 64},
    {skinny, "rows", IN_CONSTANTS, 7, SET, 8},
    {skinny, "tails of k", IN_CONSTANTS, 9, SET, 2},
    {skinny, "tails of n", IN_CONSTANTS, 9, SET, 1},
};

int main(void)
{
    if (!run_open()) return 77;
    // A GPU of its limits: what a lane can hold is not this device's business here.
    info = *gpu_info(run_gpu());
    info.type = GPU_DISCRETE;
    info.subgroup_min = 32, info.subgroup_max = 64;
    limits = limits_of(&info);
    // Everything on one driver only: lavapipe with vectors of 256 bits.
    bool all = gpu_info(run_gpu())->subgroup_size == 8;
    test_tiles(all);
    if (all) test_long();
    test_split(all);
    test_skinny(all);
    if (all) run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
