// SPDX-License-Identifier: MIT
#include "coopmat.h"
#include "tiles.h"

#include "args.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// The matrix shape that multiplies most at once; the kernel asks for multiples of 8. NULL: none.
static const struct gpu_matrix *matrix_of(const struct gpu_info *info, enum products products)
{
    const struct gpu_matrix *best = NULL;
    enum gpu_element ab = products == PRODUCTS_BF16 ? GPU_BF16 : GPU_F16;
    for (uint32_t i = 0; info && products != PRODUCTS_F32 && i < info->matrix_count; i++) {
        const struct gpu_matrix *x = &info->matrices[i];
        if (x->ab != ab || x->c != GPU_F32 || x->m % 8 || x->n % 8 || x->k % 8) continue;
        if (!best || x->m * x->n * x->k > best->m * best->n * best->k) best = x;
    }
    return best;
}

// Lanes of a subgroup: matrix units give a lane eight of a fragment's sums (seen on every one there is: 8x8 with 8 lanes,
// 8x16 with 16, 16x16 with 32). 0: the device offers no subgroups that a kernel could rely on.
static uint32_t lanes_of(const struct gpu_info *info, const struct gpu_matrix *x)
{
    uint32_t lanes = x->m * x->n / 8;
    if (!info->subgroup_control) return info->subgroup_min == info->subgroup_max ? info->subgroup_size : 0;
    if (lanes < info->subgroup_min) lanes = info->subgroup_min;
    return lanes > info->subgroup_max ? info->subgroup_max : lanes;
}

bool coopmat_unit(const struct gpu_info *info, enum products products, struct gpu_matrix *unit, uint32_t *lanes)
{
    const struct gpu_matrix *x = matrix_of(info, products);
    *lanes = x ? lanes_of(info, x) : 0;
    if (*lanes) *unit = *x;
    return *lanes > 0;
}

bool products_can(const struct gpu_info *info, enum products products)
{
    if (products == PRODUCTS_F32) return true;
    const struct gpu_matrix *x = matrix_of(info, products);
    return x && lanes_of(info, x) > 0;
}

enum products products_best(const struct gpu_info *info)
{
    if (!info || info->type == GPU_SOFTWARE) return PRODUCTS_F32;
    return products_can(info, PRODUCTS_BF16)   ? PRODUCTS_BF16
           : products_can(info, PRODUCTS_FP16) ? PRODUCTS_FP16
                                               : PRODUCTS_F32;
}

const char *products_name(enum products products)
{
    return products == PRODUCTS_BF16 ? "bf16" : products == PRODUCTS_FP16 ? "fp16" : "f32";
}

bool products_find(enum products *products, const char *name)
{
    for (enum products p = PRODUCTS_F32; p <= PRODUCTS_BF16; p++)
        if (strcmp(products_name(p), name) == 0) return *products = p, true;
    return false;
}

// Subgroups and fragments of a tile, fragments of k in a step. What fits in registers decides: 64 sums a lane, or 128 of 32
// lanes, and two steps of k in flight where subgroups have 32 lanes or more; 32 sums where they are narrower, whose compilers
// have 128 registers, and operands in f32, twice as many registers in flight, leave no room for some rows there (what is
// chosen first spills no vector register on any device that we can compile for). Where a device that needs 32 lanes can have
// 64, these go first: a fragment then takes half of a lane's registers, and copying half of its instructions; and a loop that
// ends at its bottom saves some more there, where others would keep copies of the sums, or spill. From bf16 the first of these
// gives four subgroups what eight have below: twice the products for one and a half times the matrix loads.
static const struct row {
    uint32_t waves_m, waves_n, frags_m, frags_n, steps;
    uint32_t least_lanes, most_lanes; // of a subgroup
    bool bf16;                        // only for operands stored as bf16
} rows[] = {
    {2, 2, 8, 4, 2, 64, 128, true},
    {4, 2, 4, 4, 2, 64, 128, false},
    {2, 2, 4, 4, 2, 64, 128, false},
    {2, 2, 2, 4, 2, 64, 128, false},
    {2, 2, 2, 2, 2, 64, 128, false},
    {4, 2, 4, 4, 2, 32, 32, false},
    {4, 2, 2, 4, 2, 32, 32, false},
    {2, 2, 2, 4, 2, 32, 32, false},
    {2, 2, 2, 2, 2, 32, 32, false},
    {8, 4, 2, 2, 2, 16, 31, true},
    {8, 4, 2, 2, 1, 1, 31, false},
    {4, 4, 2, 2, 1, 1, 31, false},
    {4, 2, 2, 2, 1, 16, 31, false},
    {4, 2, 2, 2, 1, 1, 15, true},
    {2, 2, 1, 1, 2, 1, 128, false},
};

#define SPLITS 4          // of a shape, at most: the first few of the list are measured, and whole ones must be among them
#define MOST_PARTS 16

static uint64_t shared_bytes(const struct row *r, const struct gpu_matrix *x, uint32_t layout, bool turn, uint32_t group)
{
    uint64_t m = x->m * r->frags_m * r->waves_m, n = x->n * r->frags_n * r->waves_n, k = x->k * r->steps;
    uint64_t a = layout == LAYOUT_TN && !turn ? k * (m / 8 + 1) : m * (k / 8 + 1);
    uint64_t b = layout != LAYOUT_NT && !turn ? k * (n / 8 + 1) : n * (k / 8 + 1);
    uint64_t c = r->waves_m * r->waves_n * x->m * (x->n / 4 + 1);
    return 16 * (a + b > c ? a + b : c) + 8 * (uint64_t)group + 256; // and lang.glsl's own
}

// A guess of how many workgroups the device works on at a time.
static uint64_t units_of(const struct limits *limits)
{
    return !limits->info || limits->info->type == GPU_DISCRETE ? 64 : 16;
}

struct tile {
    uint64_t m, n, k; // k: of a step
    uint64_t count;   // of C's
};

// A guess of the time, in multiply-adds of one unit: tiles, or parts of them, are worked on in rounds of as many as the device has
// units; each term of one costs its products and, 64 times as much an element, the copying of its edges. What a split leaves is
// written and read once more, as dear a byte as the edges, by a kernel of its own.
#define BYTE 32.0
#define LAUNCH 1e6
static double cost(const struct limits *limits, const struct matmul_shape *s, const struct tile *t, uint32_t split)
{
    uint64_t units = units_of(limits), steps = divide_up(s->k, t->k);
    double term = (double)divide_up(t->count * split, units) * (double)(t->m * t->n + 64 * (t->m + t->n));
    if (split == 1) return term * (double)s->k;
    double again = 2 * BYTE * (double)split_bytes(limits, s, steps, split) / (double)units;
    return term * (double)(divide_up(steps, split) * t->k) + again + LAUNCH;
}

struct list {
    struct variant_list all;
    int splits;
};

// Of the splits only the best stay.
static void add(struct list *c, struct matmul_variant *v, uint64_t groups, double cost)
{
    struct variant_list *all = &c->all;
    if (v->split > 1 && c->splits == SPLITS) {
        int worst = all->count - 1;
        while (all->out[worst].split == 1) worst--;
        if (all->cost[worst] <= cost) return;
        all->count--;
        for (int i = worst; i < all->count; i++) all->cost[i] = all->cost[i + 1], all->out[i] = all->out[i + 1];
        c->splits--;
    }
    variant_list_add(all, v, groups, cost);
    c->splits += v->split > 1;
}

static void add_parts(struct list *c, const struct matmul_variant *whole, const struct tile *t, uint32_t split, double cost)
{
    struct matmul_variant v = *whole;
    if (split > 1) {
        v.kernel = c->all.shape->products == PRODUCTS_BF16 ? "matmul_coopmat_parts_bf16" : "matmul_coopmat_parts_fp16";
        v.constants[v.constant_count++] = v.split = split;
        v.step = (uint32_t)t->k;
        v.why = "matrix units, k split to fill the device";
        snprintf(v.name + strlen(v.name), sizeof v.name - strlen(v.name), " split %u", split);
    }
    add(c, &v, t->count * split, cost);
}

// Where tiles leave units idle: the two best ways to split k, if the guess is that they pay.
static void add_splits(struct list *c, const struct matmul_variant *whole, const struct tile *t)
{
    uint32_t taken = 1;
    if (t->count >= 2 * units_of(c->all.limits)) return;
    for (int way = 0; way < 2; way++) {
        uint32_t best = 1;
        double least = cost(c->all.limits, c->all.shape, t, 1);
        for (uint32_t split = 2; split <= MOST_PARTS; split *= 2) {
            if (split == taken || !split_bytes(c->all.limits, c->all.shape, divide_up(c->all.shape->k, t->k), split)) continue;
            double each = cost(c->all.limits, c->all.shape, t, split);
            if (each < least) best = split, least = each;
        }
        if (best == 1) return;
        add_parts(c, whole, t, best, least);
        taken = best;
    }
}

int coopmat_variants(const struct limits *limits, const struct matmul_shape *s, struct matmul_variant *out)
{
    const struct gpu_info *info = limits->info;
    const struct gpu_matrix *x = matrix_of(info, s->products);
    uint32_t least = x ? lanes_of(info, x) : 0;
    if (!least || s->m < x->m || s->n < x->n) return 0;
    struct list list = {.all = {.limits = limits, .shape = s, .out = out, .capacity = COOPMAT_VARIANTS}};
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        const struct row *r = &rows[i / 2];
        // Operands that k walks are turned on the way: fewer instructions with every compiler that we can look into. Next
        // to it the other way, for devices that have loads for it.
        bool turn = s->layout != LAYOUT_NT && i % 2 == 0;
        if ((s->layout == LAYOUT_NT && i % 2) || (r->bf16 && !(s->a_bf16 && s->b_bf16))) continue;
        bool wide = least == 32 && info->subgroup_control && info->subgroup_max >= 64, twice = wide && r->least_lanes == 64;
        uint32_t lanes = twice ? 64 : least;
        if (lanes < r->least_lanes || lanes > r->most_lanes) continue;
        // Eight subgroups with 16 fragments each fill the registers of smaller chips that have subgroups of 64: there is no room
        // for loads across, nor, with those, for two ways of copying.
        bool room = (s->layout == LAYOUT_NT || turn) && (!twice || (s->layout != LAYOUT_NN && s->a_bf16 && s->b_bf16));
        if (wide && !room && r->waves_m * r->waves_n * r->frags_m * r->frags_n == 128) continue;
        // Two operands in f32, both to be turned, leave lanes of the narrowest subgroups no registers for several fragments.
        bool across = lanes < 16 && r->frags_m > 1 && s->layout == LAYOUT_TN && !s->a_bf16 && !s->b_bf16;
        if (turn && across) continue;
        uint64_t m = x->m * r->frags_m * r->waves_m, n = x->n * r->frags_n * r->waves_n, k = x->k * r->steps;
        uint32_t group = lanes * r->waves_m * r->waves_n;
        if (group > info->max_invocations || group > info->max_group_size ||
            shared_bytes(r, x, s->layout, turn, group) > info->max_shared)
            continue;
        struct matmul_variant v = {.kernel = s->products == PRODUCTS_BF16 ? "matmul_coopmat_bf16" : "matmul_coopmat_fp16",
            .why = "matrix units", .group = group, .subgroup = info->subgroup_control ? lanes : 0, .constant_count = 11,
            .constants = {x->m, x->n, x->k, r->waves_m, r->waves_n, r->frags_m, r->frags_n, r->steps,
                (s->k % k != 0) | (s->n % 4 != 0) << 1, turn, twice},
            .split = 1};
        snprintf(v.name, sizeof v.name, "coopmat %s %ux%ux%u%s%s%s", products_name(s->products), (unsigned)m, (unsigned)n,
            (unsigned)k, twice ? " by 64" : "", r->frags_m > 4 ? " tall" : "", turn || s->layout == LAYOUT_NT ? "" : " across");
        // Software devices have no units that stand idle.
        struct tile t = {m, n, k, divide_up(s->m, m) * divide_up(s->n, n)};
        add_parts(&list, &v, &t, 1, cost(limits, s, &t, 1));
        // Of the rows that fill a lane's registers none (a part's number takes one more).
        if (!limits->software && !r->bf16 && (turn || across || s->layout == LAYOUT_NT)) add_splits(&list, &v, &t);
    }
    return list.all.count;
}
