// SPDX-License-Identifier: MIT
#include "variants.h"

#include "args.h"

static void fold(const struct limits *limits, uint64_t groups, uint32_t *x, uint32_t *y)
{
    uint64_t rows = (groups + limits->max_groups - 1) / limits->max_groups;
    *y = (uint32_t)rows;
    *x = (uint32_t)((groups + rows - 1) / rows);
}

static uint64_t divide_up(uint64_t x, uint64_t y)
{
    return (x + y - 1) / y;
}

// Rows of a register tile: what a lane loads of B serves so many rows, but rows beyond m are work for nothing.
static uint32_t tile_rows(uint64_t m, uint32_t most)
{
    uint32_t rows = 1;
    while (rows < most && rows < m) rows *= 2;
    return rows;
}

struct matmul_variant matmul_choose(const struct limits *limits, uint32_t layout, uint64_t m, uint64_t n, uint64_t k)
{
    uint32_t lanes = limits->info ? limits->info->subgroup_size : 0;
    bool deal = limits->software && lanes >= 4 && lanes <= 32;
    struct matmul_variant v = {.kernel = "matmul_register", .group = deal ? lanes : 64};
    if (v.group > limits->group) v.group = limits->group;
    uint32_t rows = tile_rows(m, deal ? 64 : 8), steps = deal && layout != LAYOUT_TN && rows < 32 ? 4 : 1;
    v.constants[v.constant_count++] = rows;
    v.constants[v.constant_count++] = steps;
    v.constants[v.constant_count++] = (k % (4 * steps) != 0) | (n % 4 != 0) << 1;
    v.constants[v.constant_count++] = deal;
    fold(limits, divide_up(m, rows) * divide_up(n, 4 * v.group), &v.groups_x, &v.groups_y);
    return v;
}

void attention_variant(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T,
    uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    uint32_t group = limits->group < 64 ? limits->group : 64, share = heads / kv_heads;
    bool deal = limits->software && group <= 32;
    // Query heads that a lane holds: what is loaded of K and V serves them all. On GPUs registers are dearer.
    uint32_t held = deal && head_dim <= 64 && share <= 4 ? share : 1;
    uint64_t blocks = divide_up(T, group), groups = 0;
    c->constants[0] = group;
    switch (kind) {
    case ATTENTION_DELTA:
        groups = divide_up(T * heads, group);
        break;
    case ATTENTION_CACHE:
        call_constant(c, 1);
        groups = T * heads;
        break;
    case ATTENTION_FORWARD:
    case ATTENTION_DQ:
    case ATTENTION_DKV:
        call_constant(c, deal);
        call_constant(c, 4);
        if (kind != ATTENTION_DKV) call_constant(c, held);
        groups = blocks * (kind == ATTENTION_DKV ? kv_heads : heads / held);
        break;
    }
    fold(limits, groups, &c->groups_x, &c->groups_y);
}
