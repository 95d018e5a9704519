// SPDX-License-Identifier: MIT
//
// Variants of the matrix product checked and chosen on the device: every candidate of every kind of product passes the exact
// check; a variant that is wrong in one number does not; what is chosen is a candidate, measured where that was asked for.
#include "kernel_run.h"
#include "graph/coopmat.h"
#include "graph/tune.h"

#include <string.h>

// The kinds of products that training has, on shapes with tails and without.
static const struct matmul_shape kinds[] = {
    {.layout = LAYOUT_NT, .m = 64, .n = 64, .k = 64},
    {.layout = LAYOUT_NT, .m = 67, .n = 136, .k = 72, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_RESIDUAL},
    {.layout = LAYOUT_NT, .m = 130, .n = 72, .k = 64, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_BIAS},
    {.layout = LAYOUT_NT, .m = 5, .n = 104, .k = 200, .live_m = LIVE_TARGETS},
    {.layout = LAYOUT_NN, .m = 67, .n = 96, .k = 104, .live_m = LIVE_TOKENS, .add = ADD_ALWAYS},
    {.layout = LAYOUT_NN, .m = 128, .n = 64, .k = 1536, .live_m = LIVE_TARGETS},
    {.layout = LAYOUT_TN, .m = 72, .n = 64, .k = 130, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST},
    {.layout = LAYOUT_TN, .m = 136, .n = 200, .k = 67, .live_k = LIVE_TARGETS, .add = ADD_UNLESS_FIRST},
};

// A weight's gradient in bf16: a linear's, and the head's, to which each chunk of targets adds.
static const struct matmul_shape narrow[] = {
    {.layout = LAYOUT_TN, .m = 72, .n = 64, .k = 130, .a_bf16 = true, .b_bf16 = true, .c_bf16 = true, .live_k = LIVE_TOKENS,
        .add = ADD_UNLESS_FIRST},
    {.layout = LAYOUT_TN, .m = 136, .n = 200, .k = 67, .b_bf16 = true, .c_bf16 = true, .live_k = LIVE_TARGETS, .add = ADD_ALWAYS},
};

static struct limits limits;

static struct matmul_shape stored(const struct matmul_shape *kind, bool bf16)
{
    struct matmul_shape s = *kind;
    s.a_bf16 = s.b_bf16 = bf16;
    s.c_bf16 = bf16 && s.layout != LAYOUT_TN;
    return s;
}

// The table's guess and the reference; the tests of each kernel go through all the others.
static void test_candidates_are_right(void)
{
    size_t all = sizeof kinds / sizeof *kinds, more = sizeof narrow / sizeof *narrow;
    for (size_t i = 0; i <= all + more; i++) {
        // After the kinds: a bias, f32 always, where all else is bf16.
        struct matmul_shape s = i < all ? stored(&kinds[i], i % 2) : i == all ? stored(&kinds[2], true) : narrow[i - all - 1];
        struct matmul_variant v[MATMUL_CANDIDATES];
        int count = matmul_candidates(&limits, &s, v, MATMUL_CANDIDATES);
        for (int k = 0; k < count; k += count - 1) {
            struct error e = {0};
            int right = tune_try(run_gpu(), &limits, &s, &v[k], 1, NULL, &e);
            CHECK_SAY(right == 1, "%zu: %s %s is %d %s", i, v[k].kernel, v[k].name, right, e.text);
        }
    }
}

// One wrong number in a variant: in its grid, in its constants, its kernel.
static void test_wrong_ones_are_caught(void)
{
    struct error e = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct matmul_shape s = stored(&kinds[i], i % 2);
        struct matmul_variant first, plain, v;
        matmul_candidates(&limits, &s, &first, 1);
        CHECK(matmul_find(&limits, &s, "plain", &plain));
        v = plain;
        v.groups_x--;
        CHECK_SAY(tune_try(run_gpu(), &limits, &s, &v, 1, NULL, &e) == 0, "%zu: plain, a group less", i);
        if (strcmp(first.kernel, "matmul_plain") == 0 || first.groups_x < 2) continue;
        v = first;
        v.groups_x--;
        CHECK_SAY(tune_try(run_gpu(), &limits, &s, &v, 1, NULL, &e) == 0, "%zu: %s, a group less", i, v.name);
    }
    // Register tiles that do not know of the tail of k (the third constant's bit 0).
    struct matmul_shape s = {.layout = LAYOUT_NT, .m = 8, .n = 64, .k = 66};
    struct matmul_variant v;
    char name[MATMUL_NAME];
    snprintf(name, sizeof name, "register 8x%u", 4 * (limits.group < 64 ? limits.group : 64));
    CHECK(matmul_find(&limits, &s, name, &v));
    CHECK(tune_try(run_gpu(), &limits, &s, &v, 1, NULL, &e) == 1);
    v.constants[2] &= ~1u;
    CHECK(tune_try(run_gpu(), &limits, &s, &v, 1, NULL, &e) == 0);
}

// A product in parts, as the table has it for a GPU, by this device's matrix units; and with one constant wrong: where they
// begin.
static void test_parts(void)
{
    struct gpu_info like = *gpu_info(run_gpu());
    like.type = GPU_DISCRETE;
    struct limits here = limits, there = limits_of(&like);
    here.products = there.products = products_can(&like, PRODUCTS_FP16) ? PRODUCTS_FP16 : PRODUCTS_F32;
    struct matmul_shape s = kinds[6];
    s.k = 1029;
    s.products = here.products;
    struct matmul_variant v[MATMUL_CANDIDATES];
    int count = matmul_candidates(&there, &s, v, MATMUL_CANDIDATES), i = 0;
    while (i < count && v[i].split == 1) i++;
    CHECK(i < count && (here.products == PRODUCTS_F32 || strstr(v[i].kernel, "coopmat")));
    if (i == count) return;
    struct error e = {0};
    CHECK_SAY(tune_try(run_gpu(), &here, &s, &v[i], 1, NULL, &e) == 1, "%s %s %s", v[i].kernel, v[i].name, e.text);
    struct matmul_variant wrong = v[i];
    wrong.step *= 2;
    CHECK(tune_try(run_gpu(), &here, &s, &wrong, 1, NULL, &e) == 0);
}

// Of the first `count` kinds; the second one has been chosen before.
static void test_choice(bool measure, size_t count)
{
    struct choices *met = choices_new(), *choices = choices_new();
    for (size_t i = 0; i < count; i++) {
        struct matmul_variant first;
        matmul_candidates(&limits, &kinds[i], &first, 1);
        choices_meet(met, &kinds[i], &first);
        choices_meet(met, &kinds[i], &first);
    }
    CHECK(choices_count(met) == (int)count && choices_at(met, 0)->flop == 2 * 2.0 * 64 * 64 * 64);
    struct matmul_variant plain;
    CHECK(matmul_find(&limits, &kinds[1], "plain", &plain));
    choices_set(choices, &kinds[1], &plain, 1); // chosen before: stays
    struct tune_report r;
    struct error e = {0};
    CHECK_SAY(tune(choices, run_gpu(), &limits, met, measure, &r, &e) == 0, "%s", e.text);
    CHECK(r.products == (int)count - 1 && r.tried >= r.products && r.wrong == 0 && r.device_seconds < 2 * TUNE_SECONDS);
    CHECK(choices_count(choices) == (int)count && strcmp(choices_find(choices, &kinds[1])->variant.name, "plain") == 0);
    struct limits with = limits;
    with.choices = choices;
    for (size_t i = 0; i < count; i++) {
        const struct choice *c = choices_find(choices, &kinds[i]);
        struct matmul_variant found, chosen = matmul_choose(&with, &kinds[i]);
        CHECK(c && matmul_find(&limits, &kinds[i], c->variant.name, &found) && strcmp(chosen.name, c->variant.name) == 0);
        CHECK((c->seconds > 0) == (measure || i == 1));
        matmul_candidates(&limits, &kinds[i], &found, 1);
        if (!measure && i != 1) CHECK_STRING(c->variant.name, found.name);
    }
    choices_free(choices);
    choices_free(met);
}

int main(void)
{
    if (!run_open()) return 77;
    limits = limits_of(gpu_info(run_gpu()));
    test_candidates_are_right();
    test_wrong_ones_are_caught();
    test_parts();
    test_choice(false, 4);
    test_choice(true, 2);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
