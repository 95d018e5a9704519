// SPDX-License-Identifier: MIT
//
// The table of product variants, without a device: what it offers fits the device, each name once, the reference last;
// what was measured goes before what the table guesses.
#include "test.h"

#include "graph/choices.h"
#include "graph/coopmat.h"
#include "graph/tiles.h"

#include "args.h"

#include <string.h>

static struct gpu_info device(enum gpu_type type, uint32_t subgroup, uint32_t shared, uint32_t invocations)
{
    return (struct gpu_info){.type = type, .subgroup_size = subgroup, .subgroup_min = subgroup, .subgroup_max = subgroup,
        .max_shared = shared, .max_invocations = invocations, .max_group_size = invocations, .max_groups = 65535,
        .max_range = UINT64_C(1) << 30, .max_allocation = UINT64_C(1) << 30, .heap_bytes = UINT64_C(1) << 33};
}

static const struct matmul_shape shapes[] = {
    {.layout = LAYOUT_NT, .m = 1, .n = 576, .k = 576},
    {.layout = LAYOUT_NT, .m = 512, .n = 1536, .k = 576, .live_m = LIVE_TOKENS},
    {.layout = LAYOUT_NN, .m = 4096, .n = 576, .k = 1536, .a_bf16 = true, .b_bf16 = true, .c_bf16 = true},
    {.layout = LAYOUT_TN, .m = 576, .n = 576, .k = 8192, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST},
    {.layout = LAYOUT_TN, .m = 3, .n = 5, .k = 7},
};

static void test_candidates(void)
{
    const struct gpu_info devices[] = {
        device(GPU_SOFTWARE, 16, 32768, 1024),
        device(GPU_SOFTWARE, 8, 32768, 1024),
        device(GPU_SOFTWARE, 4, 32768, 256),
        device(GPU_DISCRETE, 64, 65536, 1024),
        device(GPU_DISCRETE, 32, 49152, 1024),
        device(GPU_INTEGRATED, 16, 16384, 256),
    };
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const struct gpu_info *info = &devices[d];
            struct limits limits = limits_of(info);
            struct matmul_variant v[MATMUL_CANDIDATES], few[2];
            int count = matmul_candidates(&limits, &shapes[s], v, MATMUL_CANDIDATES);
            CHECK(count >= 2 && count <= MATMUL_CANDIDATES);
            CHECK(matmul_candidates(&limits, &shapes[s], few, 2) == count);
            CHECK(strcmp(few[1].name, v[1].name) == 0);
            CHECK(strcmp(v[count - 1].kernel, "matmul_plain") == 0);
            struct matmul_variant chosen = matmul_choose(&limits, &shapes[s]);
            CHECK(strcmp(chosen.name, v[0].name) == 0);
            for (int i = 0; i < count; i++) {
                CHECK(v[i].group > 0 && v[i].group <= info->max_invocations && v[i].why && v[i].split >= 1);
                CHECK(v[i].groups_x > 0 && v[i].groups_x <= limits.max_groups && v[i].groups_y > 0);
                for (int k = 0; k < i; k++) CHECK_SAY(strcmp(v[i].name, v[k].name) != 0, "%s twice", v[i].name);
            }
        }
}

static void test_choices(void)
{
    struct gpu_info info = device(GPU_DISCRETE, 32, 49152, 1024);
    struct limits limits = limits_of(&info);
    struct choices *choices = choices_new();
    limits.choices = choices;
    struct matmul_variant v[MATMUL_CANDIDATES];
    int count = matmul_candidates(&limits, &shapes[1], v, MATMUL_CANDIDATES);
    CHECK(choices_find(choices, &shapes[1]) == NULL);
    struct matmul_variant found = v[1];
    CHECK(!matmul_find(&limits, &shapes[1], "no such variant", &found) && strcmp(found.name, v[1].name) == 0);
    CHECK(matmul_find(&limits, &shapes[1], v[count - 1].name, &found) && strcmp(found.name, v[count - 1].name) == 0);
    choices_set(choices, &shapes[1], &v[1], 0);
    choices_set(choices, &shapes[1], &found, 1e-3);
    CHECK(choices_count(choices) == 1 && choices_at(choices, 0)->seconds == 1e-3);
    CHECK(strcmp(matmul_choose(&limits, &shapes[1]).name, v[count - 1].name) == 0);
    CHECK(strcmp(matmul_choose(&limits, &shapes[2]).name, v[count - 1].name) != 0);
    struct matmul_shape other = shapes[1];
    other.m++;
    CHECK(choices_find(choices, &other) == NULL);
    other = shapes[1];
    other.add = ADD_ALWAYS;
    CHECK(choices_find(choices, &other) == NULL);
    choices_free(choices);
    choices_free(NULL);
}

// Long sums into few tiles: first by parts that all have terms, a few of them, and whole ones among what is measured. No parts
// where tiles are many, sums short, or devices have nothing to fill.
static void test_parts(const struct limits *limits)
{
    struct matmul_variant v[COOPMAT_VARIANTS];
    struct matmul_shape few = {.layout = LAYOUT_TN, .m = 576, .n = 576, .k = 16384, .products = PRODUCTS_FP16};
    for (few.layout = LAYOUT_NT; few.layout <= LAYOUT_TN; few.layout++) {
        int count = coopmat_variants(limits, &few, v), splits = 0, whole = 0;
        CHECK(v[0].split > 1 && strstr(v[0].name, " split ") && strstr(v[0].why, "split"));
        for (int i = 0; i < count; i++) {
            if (i < 8) whole += v[i].split == 1;
            if (v[i].split == 1) continue;
            uint64_t steps = (few.k + v[i].step - 1) / v[i].step, part = (steps + v[i].split - 1) / v[i].split;
            CHECK((v[i].split - 1) * part < steps && v[i].split <= 16);
            splits++;
        }
        CHECK_SAY(splits >= 2 && splits <= 4 && whole >= 3, "%d of %d in parts, %d whole", splits, count, whole);
    }
    const struct matmul_shape others[] = {{.m = 4096, .n = 4096, .k = 16384, .products = PRODUCTS_FP16},
        {.m = 576, .n = 576, .k = 96, .products = PRODUCTS_FP16}};
    for (int s = 0; s < 2; s++)
        for (int i = coopmat_variants(limits, &others[s], v); i--;) CHECK(v[i].split == 1);
    struct limits other = *limits;
    other.max_range = 4 * 576 * 576;
    for (int i = coopmat_variants(&other, &few, v); i--;) CHECK(v[i].split == 1);
    other = *limits;
    other.software = true;
    for (int i = coopmat_variants(&other, &few, v); i--;) CHECK(v[i].split == 1);
}

// Matrix units of the shapes there are: used where the products ask for them, by tiles that fit the device.
static void test_matrix_units(void)
{
    static const struct {
        uint32_t lanes, m, n, k;
    } units[] = {{32, 16, 16, 16}, {16, 8, 16, 16}, {8, 8, 8, 16}, {8, 8, 8, 8}};
    CHECK(products_can(NULL, PRODUCTS_F32) && !products_can(NULL, PRODUCTS_FP16) && products_best(NULL) == PRODUCTS_F32);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        struct gpu_info info = device(GPU_DISCRETE, 32, 49152, 1024);
        CHECK(!products_can(&info, PRODUCTS_FP16) && products_best(&info) == PRODUCTS_F32);
        info.subgroup_control = true;
        info.subgroup_min = 8;
        info.subgroup_max = 64;
        info.matrix_count = 4;
        info.matrices[0] = (struct gpu_matrix){units[u].m, units[u].n, units[u].k, GPU_F16, GPU_F16};
        info.matrices[1] = (struct gpu_matrix){units[u].m, 8, 8, GPU_F16, GPU_F32};
        info.matrices[2] = (struct gpu_matrix){units[u].m, units[u].n, units[u].k, GPU_F16, GPU_F32};
        info.matrices[3] = (struct gpu_matrix){units[u].m, units[u].n, 12, GPU_BF16, GPU_F32};
        CHECK(products_can(&info, PRODUCTS_FP16) && !products_can(&info, PRODUCTS_BF16));
        CHECK(products_best(&info) == PRODUCTS_FP16);
        struct limits limits = limits_of(&info);
        for (size_t s = 0; s < 3 * (sizeof shapes / sizeof *shapes); s++) {
            struct matmul_shape shape = shapes[s / 3];
            shape.layout = s % 3; // NT, NN, TN
            struct matmul_variant v[COOPMAT_VARIANTS];
            CHECK(coopmat_variants(&limits, &shape, v) == 0);
            shape.products = PRODUCTS_BF16;
            CHECK(coopmat_variants(&limits, &shape, v) == 0);
            shape.products = PRODUCTS_FP16;
            int count = coopmat_variants(&limits, &shape, v);
            CHECK((count > 0) == (shape.m > 8 && shape.n > 8));
            CHECK((strncmp(matmul_choose(&limits, &shape).kernel, "matmul_coopmat_", 15) == 0) == (count > 0));
            int wide = 0;
            for (int i = 0; i < count; i++) {
                const uint32_t *c = v[i].constants;
                bool twice = strstr(v[i].name, " by 64"); // where the unit needs 32
                CHECK(!twice || (units[u].lanes == 32 && c[0] * c[1] / 64 == 4));
                CHECK(v[i].subgroup == (twice ? 64 : units[u].lanes));
                CHECK(v[i].group == v[i].subgroup * c[3] * c[4] && v[i].group <= 1024);
                wide += twice;
                uint64_t tiles_m = (shape.m + c[0] * c[3] * c[5] - 1) / (c[0] * c[3] * c[5]);
                uint64_t tiles_n = (shape.n + c[1] * c[4] * c[6] - 1) / (c[1] * c[4] * c[6]);
                CHECK((uint64_t)v[i].groups_x * v[i].groups_y >= tiles_m * tiles_n * v[i].split && (v[i].split == 1 || c[11] == v[i].split));
                CHECK(v[i].split == 1 || v[i].step == c[2] * c[7]);
                CHECK(((c[8] & 1) != 0) == (shape.k % (c[2] * c[7]) != 0));
                for (int j = 0; j < i; j++) CHECK(strcmp(v[i].name, v[j].name) != 0); // the table would drop one of them
            }
            CHECK((wide > 0) == (count > 0 && units[u].lanes == 32));
            // From bf16 a lane of 64 may have 128 sums, of a subgroup of 8 x 4 fragments, if four subgroups have all: not beside
            // rows of B that are turned for rows of A that are not, and never in parts.
            for (int i = 0; i < count; i++) CHECK(v[i].constants[5] <= 4 || (shape.a_bf16 && shape.b_bf16));
            shape.a_bf16 = shape.b_bf16 = true;
            int tall = 0;
            for (int i = coopmat_variants(&limits, &shape, v); i--;) {
                if (v[i].constants[5] <= 4) continue;
                CHECK(v[i].group == 256 && v[i].subgroup == 64 && v[i].split == 1);
                tall++;
            }
            CHECK((tall > 0) == (wide > 0 && shape.layout != LAYOUT_NN));
        }
        test_parts(&limits);
        info.matrices[3].k = 16;
        CHECK(products_best(&info) == PRODUCTS_BF16);
        info.type = GPU_SOFTWARE;
        CHECK(products_best(&info) == PRODUCTS_F32);
        info.max_shared = 1024;
        CHECK(coopmat_variants(&limits, &(struct matmul_shape){.m = 512, .n = 512, .k = 512, .products = PRODUCTS_FP16},
                  (struct matmul_variant[COOPMAT_VARIANTS]){0}) == 0);
    }
}

// Products where a lane has 64 registers have a step's terms side by side in the code; elsewhere the compiler unrolls as it likes.
static void test_tiles_scarce(void)
{
    for (uint32_t subgroup = 16; subgroup <= 64; subgroup *= 4) {
        struct gpu_info info = device(GPU_INTEGRATED, subgroup, 32768, 1024);
        struct limits limits = limits_of(&info);
        struct matmul_variant v = matmul_choose(&limits, &shapes[3]);
        CHECK_STRING(v.kernel, "matmul_shared");
        CHECK(v.constants[14 - 7] == (subgroup == 16 ? 16 : 0)); // DEPTH: constant 14, of those from 7 on
    }
}

// A device that mostly draws a screen, too, gets work of a frame's time, unless its user says otherwise.
static void test_full_speed(void)
{
    struct gpu_info info = device(GPU_INTEGRATED, 32, 32768, 1024);
    CHECK(limits_of(&info).cut_seconds == CUT_SECONDS_INTEGRATED);
    info.full_speed = true;
    CHECK(limits_of(&info).cut_seconds == CUT_SECONDS);
}

// Attention where a lane has 64 registers (subgroups of 16): fewer vec4s of a row in each lane, fewer still beside dropout's random
// words.
static void test_attention_scarce(void)
{
    static const char *const names[] = {[ATTENTION_FORWARD] = "attention_forward", [ATTENTION_DQ] = "attention_dq",
        [ATTENTION_DKV] = "attention_dkv"};
    static const struct {
        enum gpu_type type;
        uint32_t subgroup, dropout;
        enum attention_kernel kind;
        uint32_t block, split;
    } cases[] = {{GPU_INTEGRATED, 16, 0, ATTENTION_FORWARD, 2, 4}, {GPU_INTEGRATED, 16, 0, ATTENTION_DQ, 1, 8},
        {GPU_INTEGRATED, 16, 0, ATTENTION_DKV, 2, 16}, {GPU_INTEGRATED, 16, 1, ATTENTION_FORWARD, 1, 8},
        {GPU_INTEGRATED, 16, 1, ATTENTION_DQ, 1, 16}, {GPU_INTEGRATED, 16, 1, ATTENTION_DKV, 1, 16},
        {GPU_INTEGRATED, 32, 0, ATTENTION_DQ, 1, 4}, {GPU_INTEGRATED, 32, 1, ATTENTION_DKV, 2, 8},
        {GPU_DISCRETE, 32, 0, ATTENTION_FORWARD, 4, 4}, {GPU_DISCRETE, 32, 1, ATTENTION_DQ, 2, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gpu_info info = device(cases[i].type, cases[i].subgroup, 32768, 1024);
        struct limits limits = limits_of(&info);
        struct call c = {.kernel = names[cases[i].kind], .constants = {0, 0, 64, cases[i].dropout}, .constant_count = 4};
        attention_variant(&limits, &c, cases[i].kind, 1000, 6, 2, 64);
        CHECK_SAY(c.constants[5] == cases[i].block && c.constants[6] == cases[i].split, "case %zu: block %u, split %u", i,
            c.constants[5], c.constants[6]);
    }
}

// Attention on matrix units of the shapes there are: tiles that the kernels can work with, for all three or for none.
static void test_attention(void)
{
    static const struct {
        uint32_t lanes, m, n, k;
    } units[] = {{32, 16, 16, 16}, {16, 8, 16, 16}, {8, 8, 8, 16}, {8, 8, 8, 8}};
    static const uint32_t heads[] = {32, 64, 80, 96, 128, 256, 72};
    static const char *const names[] = {[ATTENTION_FORWARD] = "attention_forward", [ATTENTION_DQ] = "attention_dq",
        [ATTENTION_DKV] = "attention_dkv"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
            struct gpu_info info = device(GPU_DISCRETE, units[u].lanes, 49152, 1024);
            info.subgroup_control = true;
            info.matrix_count = 1;
            info.matrices[0] = (struct gpu_matrix){units[u].m, units[u].n, units[u].k, GPU_BF16, GPU_F32};
            struct limits limits = limits_of(&info);
            bool divides = heads[i] % units[u].n == 0 && heads[i] % units[u].k == 0;
            int used = 0;
            for (enum attention_kernel kind = ATTENTION_FORWARD; kind <= ATTENTION_DKV; kind++) {
                if (kind == ATTENTION_DELTA) continue;
                struct call c = {.kernel = names[kind], .constants = {0, 0, heads[i], 0}, .constant_count = 4};
                limits.products = PRODUCTS_F32;
                attention_variant(&limits, &c, kind, 1000, 6, 2, heads[i]);
                CHECK_STRING(c.kernel, names[kind]);
                c.constant_count = 4;
                limits.products = PRODUCTS_BF16;
                attention_variant(&limits, &c, kind, 1000, 6, 2, heads[i]);
                if (strcmp(c.kernel, names[kind]) == 0) {
                    CHECK_STRING(c.why, divides ? "tiles for matrix units do not fit the device" :
                                                  "the matrix units' shape does not divide the head");
                    continue;
                }
                const uint32_t *x = &c.constants[4];
                uint32_t columns = heads[i] / x[1], rows = x[0] * x[3];
                CHECK(divides && strstr(c.kernel, "_coopmat_bf16") && c.subgroup == units[u].lanes);
                CHECK(c.constants[0] == units[u].lanes * x[3] * x[4] && c.constants[0] <= 256 && c.constant_count == 12);
                CHECK(x[5] % x[1] == 0 && x[5] % x[2] == 0 && (columns + x[4] - 1) / x[4] <= 8);
                CHECK(!x[6] || heads[i] / x[2] <= 8);
                CHECK(c.constants[0] >= rows && x[5] % 8 == 0);
                CHECK(c.groups_x * c.groups_y >= (1000 + rows - 1) / rows * (kind == ATTENTION_DKV ? 2 : 6));
                used++;
            }
            CHECK_SAY(used == 0 || used == 3, "%d of three kernels, head size %u", used, heads[i]);
            CHECK_SAY(used == 3 || !divides || heads[i] == 256, "head size %u", heads[i]);
        }
}

// Tiles in shared memory: they fit memory and registers, cover C, and every part of a split has terms.
static void test_tiles(void)
{
    struct gpu_info devices[] = {device(GPU_DISCRETE, 64, 65536, 1024), device(GPU_DISCRETE, 32, 49152, 1024),
        device(GPU_INTEGRATED, 32, 32768, 1024), device(GPU_INTEGRATED, 16, 16384, 256), device(GPU_DISCRETE, 32, 49152, 1024),
        device(GPU_INTEGRATED, 16, 4096, 64)};
    devices[4].subgroup_min = 8; // lanes of varying width share a register file
    const uint32_t sums[] = {64, 64, 32, 16, 32, 16};
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const struct matmul_shape *x = &shapes[s];
            struct limits limits = limits_of(&devices[d]);
            struct matmul_variant v[TILES_VARIANTS];
            int count = tiles_variants(&limits, x, v), split = 0;
            if (d < 5) CHECK(count > 0);
            for (int i = 0; i < count; i++) {
                const uint32_t *c = v[i].constants;
                if (strcmp(v[i].kernel, "matmul_skinny") == 0) {
                    CHECK(x->layout == LAYOUT_NT && c[0] == x->m && v[i].group % c[1] == 0 && i < 2);
                    continue;
                }
                CHECK(v[i].group == c[0] / c[3] * (c[1] / c[4]) && c[3] * c[4] <= sums[d] && v[i].step == c[2]);
                CHECK(16 * c[2] * (c[0] / 4 + c[1] / 4 + 2) + 8 * v[i].group + 128 <= devices[d].max_shared);
                uint64_t tiles = (x->m + c[0] - 1) / c[0] * ((x->n + c[1] - 1) / c[1]);
                CHECK((uint64_t)v[i].groups_x * v[i].groups_y >= tiles * v[i].split && c[6] == v[i].split);
                CHECK(((c[5] & 1) != 0) == (x->k % c[2] != 0) && ((c[5] & 2) != 0) == (x->n % 4 != 0));
                uint64_t steps = (x->k + c[2] - 1) / c[2], part = (steps + v[i].split - 1) / v[i].split;
                CHECK((v[i].split - 1) * part < steps && v[i].split * x->m * ((x->n + 7) / 8 * 8) * 4 <= limits.max_range);
                split += v[i].split > 1;
            }
            if (d < 5) CHECK(x->k < 512 || split > 0);
        }
    // Sums of 8,192 terms into 81 tiles do not fill a GPU.
    struct limits limits = limits_of(&devices[0]);
    CHECK(matmul_choose(&limits, &shapes[3]).split > 1);
    limits.max_range = 4 * 576 * 576;
    CHECK(matmul_choose(&limits, &shapes[3]).split == 1);
}

int main(void)
{
    test_tiles();
    test_candidates();
    test_matrix_units();
    test_attention();
    test_attention_scarce();
    test_tiles_scarce();
    test_full_speed();
    test_choices();
    return test_end();
}
