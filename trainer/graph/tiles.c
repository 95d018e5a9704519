// SPDX-License-Identifier: MIT
#include "tiles.h"

#include "args.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void variant_list_add(struct variant_list *c, struct matmul_variant *v, uint64_t groups, double cost)
{
    assert(c->count < c->capacity && c->capacity <= TILES_VARIANTS);
    fold_groups(c->limits, groups, &v->groups_x, &v->groups_y);
    int at = c->count++;
    for (; at > 0 && c->cost[at - 1] > cost; at--) {
        c->out[at] = c->out[at - 1];
        c->cost[at] = c->cost[at - 1];
    }
    c->out[at] = *v;
    c->cost[at] = cost;
}

static void constant(struct matmul_variant *v, uint32_t value)
{
    assert(v->constant_count < MATMUL_CONSTANTS);
    v->constants[v->constant_count++] = value;
}

// A guess of how a GPU spends its time, in clocks: a workgroup stays in one of `units`, which does 64 multiply-adds in a
// clock if it has 256 lanes to choose from; memory and caches give so many bytes. What is best is then measured on the device
// (choices.h); the guess only has to be sane.
struct speed {
    double units, bytes, launch;
};
#define UNIT_WIDTH 64.0
#define UNIT_LANES 256.0

static struct speed speed_of(const struct limits *limits)
{
    double units = limits->info && limits->info->type == GPU_INTEGRATED ? 12 : 64;
    return (struct speed){.units = units, .bytes = 8 * units, .launch = 3000};
}

uint32_t lane_sums(const struct limits *limits)
{
    const struct gpu_info *info = limits->info;
    if (!info) return 64;
    if (info->subgroup_max <= 16) return 16;
    if (info->subgroup_min <= 16) return 32;
    return info->type == GPU_INTEGRATED && info->subgroup_max != 64 ? 32 : 64;
}

bool scarce_registers(const struct limits *limits)
{
    return !limits->software && lane_sums(limits) < 32;
}

static bool fits(const struct limits *limits, uint32_t group, uint64_t shared)
{
    shared += 8 * group + 128; // lang.glsl's own
    return !limits->info ||
        (group <= limits->info->max_invocations && group <= limits->info->max_group_size && shared <= limits->info->max_shared);
}

uint64_t split_bytes(const struct limits *limits, const struct matmul_shape *s, uint64_t steps, uint32_t split)
{
    uint64_t partial = 4 * split * s->m * graph_ld(TENSOR_ACTIVATION, s->n);
    if (steps < 4 * split || partial > limits->max_range || partial > limits->max_allocation) return 0;
    // A split that leaves its last parts without work is a smaller one in disguise.
    return (split - 1) * divide_up(steps, split) < steps ? partial : 0;
}

// matmul_shared: a workgroup's rows and columns of C and step of k, a lane's rows and columns, the share of the device's
// multiply-adds that its inner loop can reach (products among all instructions, and vec4s from shared memory for each).
static const struct tile {
    uint32_t m, n, k, lane_m, lane_n;
    double share;
} tiles[] = {
    {128, 128, 32, 8, 8, 0.87},
    {128, 128, 16, 8, 8, 0.85},
    {64, 128, 16, 8, 8, 0.85},
    {128, 64, 16, 8, 4, 0.75},
    {64, 64, 32, 8, 4, 0.76},
    {64, 64, 16, 8, 4, 0.7},
    {32, 64, 16, 8, 4, 0.65},
    {64, 64, 16, 4, 4, 0.55},
    {32, 32, 16, 4, 4, 0.5},
};

#define VULKAN_1_4 (1u << 22 | 4u << 12) // as devices say it

static void add_shared(struct variant_list *c, const struct tile *t, uint32_t split)
{
    const struct matmul_shape *s = c->shape;
    struct matmul_variant v = {.kernel = "matmul_shared", .group = t->m / t->lane_m * (t->n / t->lane_n), .split = split,
        .step = t->k, .why = "tiles in shared memory"};
    if (t->lane_m * t->lane_n > lane_sums(c->limits)) return;
    bool halves = s->a_bf16 && s->b_bf16, whole = s->k % t->k == 0 && s->live_k == LIVE_NONE;
    bool narrow = c->limits->info && c->limits->info->subgroup_max < 64, one_width = narrow && c->limits->info->subgroup_min == 32;
    // A long step's blocks wait in registers: room enough for chips with subgroups below 64. Where these pack lanes, f32 fits
    // with compilers of drivers of today only (the others name an older Vulkan), and not with both operands' own ways into the tail.
    if (t->k > 16 && !narrow) return;
    if (t->k > 16 && !one_width && !halves) {
        if (c->limits->info->api_version < VULKAN_1_4) return;
        if (s->layout == LAYOUT_NN && !s->a_bf16 && !s->b_bf16 && !whole) return;
    }
    // The vec4s that a lane brings at a time wait there too; the places of both operands' rows, in TN, beside them.
    uint32_t waiting = (t->m + t->n) * t->k / 4 / v.group;
    if (lane_sums(c->limits) < 64 && s->layout == LAYOUT_TN && waiting > 4 && !halves) return;
    // Where registers are fewest, those places leave room for small tiles only.
    bool few = scarce_registers(c->limits);
    if (few && s->layout == LAYOUT_TN && !halves && t->m > 32) return;
    if (!fits(c->limits, v.group, 16ull * t->k * (t->m / 4 + 1 + t->n / 4 + 1))) return;
    uint64_t steps = divide_up(s->k, t->k), tiles_m = divide_up(s->m, t->m), groups = tiles_m * divide_up(s->n, t->n);
    struct speed speed = speed_of(c->limits);
    double cost = 0;
    if (split > 1) {
        uint64_t partial = split_bytes(c->limits, s, steps, split);
        if (partial == 0) return;
        v.why = "tiles in shared memory, k split to fill the device";
        cost = speed.launch + 2 * (double)partial / speed.bytes;
    }
    constant(&v, t->m);
    constant(&v, t->n);
    constant(&v, t->k);
    constant(&v, t->lane_m);
    constant(&v, t->lane_n);
    constant(&v, (s->k % t->k != 0) | (s->n % 4 != 0) << 1);
    constant(&v, split);
    // Where subgroups have 32 lanes, and no other number, compilers stop unrolling early; others at 32 terms, and there have
    // registers for many vec4s only if a branch keeps their loads together. Where registers are fewest, all 16 are straight code.
    constant(&v, one_width || few ? 16 : t->k > 16 ? t->k : 0);
    constant(&v, narrow && !one_width && waiting > 4);
    snprintf(v.name, sizeof v.name, "shared %ux%ux%u %ux%u", t->m, t->n, t->k, t->lane_m, t->lane_n);
    if (split > 1) snprintf(v.name + strlen(v.name), sizeof v.name - strlen(v.name), " split %u", split);
    double each = (double)divide_up(groups * split, (uint64_t)speed.units), lanes = each * v.group / UNIT_LANES;
    cost += each * (double)(t->m * t->n) * (double)(divide_up(steps, split) * t->k) / UNIT_WIDTH / t->share / (lanes < 1 ? lanes : 1);
    variant_list_add(c, &v, groups * split, cost);
}

// A few rows: as many as are asked for, so that none is work for nothing.
#define SKINNY_ROWS 16
static void add_skinny(struct variant_list *c, uint32_t group, uint32_t spread, double cost)
{
    const struct matmul_shape *s = c->shape;
    struct matmul_variant v = {.kernel = "matmul_skinny", .group = group, .split = 1, .why = "few rows: B is read once"};
    if (s->layout != LAYOUT_NT || s->m > SKINNY_ROWS || 4 * s->m > lane_sums(c->limits)) return;
    if (!fits(c->limits, group, 16ull * group * s->m)) return;
    constant(&v, (uint32_t)s->m);
    constant(&v, spread);
    constant(&v, (s->k % 4 != 0) | (s->n % 4 != 0) << 1);
    snprintf(v.name, sizeof v.name, "skinny %ux%u", group / spread, spread);
    variant_list_add(c, &v, divide_up(divide_up(s->n, 4), group / spread), cost);
}

int tiles_variants(const struct limits *limits, const struct matmul_shape *shape, struct matmul_variant *out)
{
    struct variant_list c = {.limits = limits, .shape = shape, .out = out, .capacity = TILES_VARIANTS};
    add_skinny(&c, 64, 16, 0);
    add_skinny(&c, 128, 32, 0);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        for (uint32_t split = 1; split <= 16; split *= 2) add_shared(&c, &tiles[i], split);
    return c.count;
}
