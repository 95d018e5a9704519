// SPDX-License-Identifier: MIT
#include "variants.h"
#include "choices.h"
#include "coopmat.h"
#include "tiles.h"

#include "args.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// ---- matrix products -------------------------------------------------------------------------------------------

struct candidates {
    const struct limits *limits;
    const struct matmul_shape *shape;
    struct matmul_variant list[MATMUL_CANDIDATES];
    int count;
};

static void add(struct candidates *c, const struct matmul_variant *v)
{
    if (c->limits->lean && v->split > 1) return;
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->list[i].name, v->name) == 0) return; // the first choice, met again in the full list
    assert(c->count < MATMUL_CANDIDATES);
    c->list[c->count++] = *v;
}

// Rows of a register tile: what a lane loads of B serves so many rows, but rows beyond m are work for nothing.
static uint32_t tile_rows(uint64_t m, uint32_t most)
{
    uint32_t rows = 1;
    while (rows < most && rows < m) rows *= 2;
    return rows;
}

static bool can_deal(const struct limits *limits)
{
    uint32_t lanes = limits->info ? limits->info->subgroup_size : 0;
    return limits->software && lanes >= 8 && lanes <= 16;
}

bool wide_kernels(const struct limits *limits)
{
    return can_deal(limits) && limits->info->addresses && limits->products == PRODUCTS_F32;
}

// Do the row kernels for such rows read through addresses?
static bool wide_rows(const struct limits *limits, uint64_t columns)
{
    bool suits = can_deal(limits) && limits->info->addresses && limits->group == limits->info->subgroup_size;
    return suits && columns % (4 * limits->group) == 0;
}

static void add_register(struct candidates *c, uint32_t rows, bool deal, const char *why)
{
    const struct matmul_shape *s = c->shape;
    struct matmul_variant v = {.kernel = "matmul_register", .group = deal ? c->limits->info->subgroup_size : 64, .split = 1,
        .why = why};
    if (v.group > c->limits->group) v.group = c->limits->group;
    uint32_t steps = deal && s->layout != LAYOUT_TN && rows < 32 ? 4 : 1;
    v.constants[v.constant_count++] = rows;
    v.constants[v.constant_count++] = steps;
    v.constants[v.constant_count++] = (s->k % (4 * steps) != 0) | (s->n % 4 != 0) << 1;
    v.constants[v.constant_count++] = deal;
    snprintf(v.name, sizeof v.name, "register %ux%u%s", rows, 4 * v.group, deal ? " dealt" : "");
    fold_groups(c->limits, divide_up(s->m, rows) * divide_up(s->n, 4 * v.group), &v.groups_x, &v.groups_y);
    add(c, &v);
}

#define WIDE_ROWS 24
#define WIDE_VECTORS 2 // of a row
static uint32_t wide_part(uint32_t lanes) // rows whose sums fit in the registers
{
    return lanes > 8 ? 8 : 6;
}

// Tiles as a CPU's own kernels have them (matmul_wide.comp): the sums of a part of the tile, two vectors of six rows, fill
// AVX2's 16 registers together with what is multiplied, and stay there while k runs from end to end. Such drivers make no fused
// multiply-adds, so that a product needs a register of its own. Flop a cycle of the driver's loop by llvm-mca for Zen 3, with
// rows x vectors x terms in one pass: 4 x 2 x 16: 16.1, 4 x 2 x 32: 18.3, 6 x 2 x 16: 17.6, 6 x 2 x 32: 19.1; 3 x 4 x 32 would have
// 20.2 and is slower (five streams of loads). All 24 rows in one pass, with sums in memory between passes, had 17.3. AVX-512
// has twice as many registers.
static void add_wide(struct candidates *c)
{
    const struct matmul_shape *s = c->shape;
    const struct gpu_info *info = c->limits->info;
    if (!wide_kernels(c->limits) || s->k < 32 || s->products != PRODUCTS_F32) return;
    uint32_t lanes = info->subgroup_size, wide = WIDE_VECTORS;
    bool nt = s->layout == LAYOUT_NT;
    if (nt && s->m < 8) return; // strips for nothing
    if (!nt && s->c_bf16 && !s->b_bf16) return; // C's pairs are B's
    uint64_t u = nt ? s->n : s->m, v = nt ? s->m : s->n;
    bool pairs = nt && s->c_bf16; // rows of the tile, two in a word
    if (u < WIDE_ROWS || (pairs && u % 2 != 0)) return;
    // What is made of the operands, in f32, is bound as a whole (product.c cuts the product so that this holds where it can).
    uint64_t most = c->limits->max_range / 4, across = divide_up(v, wide * lanes) * wide * lanes;
    bool copied = s->layout == LAYOUT_TN || (nt ? s->b_bf16 : s->a_bf16);
    if (across * s->k > most || (copied && u * (s->k + 32) > most)) return;
    uint64_t block = (UINT64_C(256) << 10) / (4 * WIDE_ROWS * s->k); // tiles whose rows fit in half of a core's cache
    struct matmul_variant w = {.kernel = "matmul_wide", .group = lanes, .split = 1, .strips = wide * lanes,
        .why = "software: a CPU's tiles", .constant_count = 5,
        .constants = {WIDE_ROWS, wide_part(lanes), wide, lanes > 8 ? 16 : 32, (uint32_t)(block ? block : 1)}};
    snprintf(w.name, sizeof w.name, "wide %ux%u", WIDE_ROWS, wide * lanes);
    fold_groups(c->limits, divide_up(u, WIDE_ROWS) * divide_up(v, wide * lanes), &w.groups_x, &w.groups_y);
    add(c, &w);
}

static void add_plain(struct candidates *c)
{
    struct matmul_variant v = {.name = "plain", .kernel = "matmul_plain", .group = c->limits->group, .split = 1,
        .why = "the reference"};
    fold_groups(c->limits, divide_up(c->shape->m * divide_up(c->shape->n, 4), v.group), &v.groups_x, &v.groups_y);
    add(c, &v);
}

int matmul_candidates(
    const struct limits *limits, const struct matmul_shape *shape, struct matmul_variant *out, int capacity)
{
    struct candidates c = {.limits = limits, .shape = shape};
    struct matmul_variant units[COOPMAT_VARIANTS];
    int unit_count = coopmat_variants(limits, shape, units);
    for (int i = 0; i < unit_count; i++) add(&c, &units[i]);
    struct matmul_variant tiles[TILES_VARIANTS];
    int tile_count = tiles_variants(limits, shape, tiles);
    for (int i = 0; i < tile_count && !limits->software; i++) add(&c, &tiles[i]);
    bool deal = can_deal(limits);
    add_wide(&c);
    uint32_t rows = tile_rows(shape->m, deal ? 64 : 8);
    add_register(&c, rows, deal, deal ? "software: dealt register tiles" : "register tiles");
    for (rows = tile_rows(shape->m, 64); rows >= 4; rows /= 2) {
        if (!limits->software && 4 * rows > lane_sums(limits)) continue; // a GPU's registers hold no more
        if (deal) add_register(&c, rows, true, "dealt register tiles");
        add_register(&c, rows, false, "register tiles");
    }
    for (int i = 0; i < tile_count; i++) add(&c, &tiles[i]); // right on software too, but barriers cost more there than they save
    add_plain(&c);
    for (int i = 0; i < c.count && i < capacity; i++) out[i] = c.list[i];
    return c.count;
}

bool matmul_find(const struct limits *limits, const struct matmul_shape *shape, const char *name, struct matmul_variant *out)
{
    struct matmul_variant v[MATMUL_CANDIDATES];
    int count = matmul_candidates(limits, shape, v, MATMUL_CANDIDATES);
    for (int i = 0; i < count; i++)
        if (strcmp(v[i].name, name) == 0) {
            *out = v[i];
            return true;
        }
    return false;
}

struct matmul_variant matmul_choose(const struct limits *limits, const struct matmul_shape *shape)
{
    const struct choice *chosen = choices_find(limits->choices, shape);
    if (chosen) return chosen->variant;
    struct matmul_variant first;
    matmul_candidates(limits, shape, &first, 1);
    return first;
}

// ---- attention ---------------------------------------------------------------------------------------------------

#define WIDE_BLOCK SCORES_ROWS // streamed rows, so sums side by side, of the attention kernels that read through addresses

// Registers of a lane: 128 or more; fewer; 64 (told by the sums of a product that they hold). Where lanes deal rows to each other
// the registers are a CPU's, and the compiler's to fill.
enum room { AMPLE, FEW, SCARCE };
static enum room attention_room(const struct limits *limits, bool deal)
{
    return deal || lane_sums(limits) >= 64 ? AMPLE : scarce_registers(limits) ? SCARCE : FEW;
}

// Lanes that share a row of a head: enough that a lane holds few vec4s of it (it has 2, 3 or 4 such rows, which must fit in
// registers, with dropout beside its random words).
static uint32_t attention_split(uint32_t head_dim, uint32_t group, enum attention_kernel kind, bool dropout, enum room room)
{
    uint32_t split = 1, most = kind != ATTENTION_DKV ? 4 : room == AMPLE ? 3 : 2;
    if (room == SCARCE && (kind == ATTENTION_DQ || kind == ATTENTION_DKV)) most /= 2;
    if (room == SCARCE && dropout && most > 1) most /= 2;
    while (split < 32 && 2 * split <= group && divide_up(head_dim / 4, split) > most) split *= 2;
    return split;
}

// Streamed rows at a time. On GPUs the forward pass has registers for 4 unless dropout's random words need them too, or
// the chip has few; dQ, three rows of each lane's own, has them for 1 there.
static uint32_t attention_block(enum attention_kernel kind, bool deal, bool dropout, enum room room)
{
    if (kind == ATTENTION_CACHE || (room == SCARCE && dropout)) return 1;
    if (kind == ATTENTION_FORWARD) return deal || (!dropout && room == AMPLE) ? 4 : 2;
    if (kind == ATTENTION_DQ) return deal ? 4 : room == AMPLE ? 2 : 1;
    return 2;
}

#define SCORES_STEPS 16 // keys in one pass

uint32_t attention_strips(const struct limits *limits, uint64_t T, uint32_t head_dim)
{
    if (!wide_kernels(limits) || T < SCORES_STEPS) return 0;
    uint32_t width = WIDE_VECTORS * limits->info->subgroup_size;
    return head_dim % width == 0 ? width : 0;
}

// dQ in a CPU's tiles, like matmul_wide's.
static uint32_t scores_variant(const struct limits *limits, struct call *c, uint64_t T, uint32_t heads, uint32_t head_dim)
{
    uint32_t lanes = limits->info->subgroup_size, strips = head_dim / (WIDE_VECTORS * lanes);
    c->constants[0] = lanes;
    c->why = "software: a CPU's tiles";
    call_constant(c, WIDE_ROWS);
    call_constant(c, wide_part(lanes));
    call_constant(c, WIDE_VECTORS);
    call_constant(c, SCORES_STEPS);
    fold_groups(limits, divide_up(T, WIDE_ROWS) * heads * strips, &c->groups_x, &c->groups_y);
    return WIDE_ROWS;
}

uint32_t attention_variant(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T,
    uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    if (kind == ATTENTION_DQ_SCORES) return scores_variant(limits, c, T, heads, head_dim);
    bool keeps = kind == ATTENTION_DKV_SCORES;
    if (keeps) kind = ATTENTION_DKV;
    bool streams = !keeps && (kind == ATTENTION_FORWARD || kind == ATTENTION_DQ || kind == ATTENTION_DKV);
    const char *without = streams ? attention_units(limits, c, kind, T, heads, kv_heads, head_dim) : "";
    if (!without) return c->constants[4] * c->constants[7]; // M, WAVES_M
    uint32_t group = limits->group < 64 ? limits->group : 64, deal = limits->software && group >= 8 && group <= 16;
    bool dropout = streams && c->constants[3];
    enum room room = attention_room(limits, deal);
    uint32_t split = deal ? 1 : attention_split(head_dim, group, kind, dropout, room);
    uint64_t groups = divide_up(T, group / split) * (kind == ATTENTION_DKV ? kv_heads : heads);
    if (kind == ATTENTION_DELTA) {
        c->kernel = row_variant(limits, "attention_delta", "attention_delta_wide", head_dim);
        groups = wide_rows(limits, head_dim) ? T : divide_up(T * heads, group);
    }
    if (kind == ATTENTION_CACHE) {
        call_constant(c, 0); // no dropout
        groups = T * heads;
    }
    static const char *const wide_names[] = {[ATTENTION_FORWARD] = "attention_forward_wide",
        [ATTENTION_DQ] = "attention_dq_wide", [ATTENTION_DKV] = "attention_dkv_wide", [ATTENTION_CACHE] = NULL};
    bool wide = can_deal(limits) && deal && limits->info->addresses && wide_names[kind];
    if (wide && !keeps) c->kernel = wide_names[kind];
    c->constants[0] = group;
    c->why = kind == ATTENTION_DELTA ? NULL
             : without[0]            ? without
             : wide                  ? "software: streamed rows through addresses"
             : deal                  ? "software: dealt rows"
             : split > 1             ? "lanes share a row, so that it fits in registers"
                                     : "a lane a row";
    if (kind != ATTENTION_DELTA) {
        call_constant(c, kind == ATTENTION_CACHE ? 0 : deal);
        call_constant(c, wide ? WIDE_BLOCK : attention_block(kind, deal, dropout, room));
        call_constant(c, split);
    }
    fold_groups(limits, groups, &c->groups_x, &c->groups_y);
    return group / split;
}

// ---- row kernels -------------------------------------------------------------------------------------------------

const char *row_variant(const struct limits *limits, const char *plain, const char *wide, uint64_t columns)
{
    return wide_rows(limits, columns) ? wide : plain;
}

void row_rounds(const struct limits *limits, struct call *c, uint64_t columns)
{
    if (!wide_rows(limits, columns)) return;
    while (c->constant_count < ROW_ROUNDS) call_constant(c, 0);
    call_constant(c, (uint32_t)(columns / (4 * limits->group)));
}
