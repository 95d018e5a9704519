// SPDX-License-Identifier: MIT
#include "variants.h"

#include "args.h"

static void fold(const struct limits *limits, uint64_t groups, uint32_t *x, uint32_t *y)
{
    uint64_t rows = (groups + limits->max_groups - 1) / limits->max_groups;
    *y = (uint32_t)rows;
    *x = (uint32_t)((groups + rows - 1) / rows);
}

struct matmul_variant matmul_choose(const struct limits *limits, uint32_t layout, uint64_t m, uint64_t n, uint64_t k)
{
    (void)layout, (void)k;
    struct matmul_variant v = {.kernel = "matmul_plain", .group = limits->group};
    fold(limits, (m * ((n + 3) / 4) + v.group - 1) / v.group, &v.groups_x, &v.groups_y);
    return v;
}

void attention_variant(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T, uint32_t heads,
    uint32_t kv_heads, uint32_t head_dim)
{
    (void)head_dim;
    fold(limits, (T * (kind == ATTENTION_DKV ? kv_heads : heads) + c->constants[0] - 1) / c->constants[0], &c->groups_x,
        &c->groups_y);
}
