// SPDX-License-Identifier: MIT
#include "choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choices {
    struct choice {
        struct matmul_shape shape;
        char variant[MATMUL_NAME];
    } *list;
    int count, capacity;
};

struct choices *choices_new(void)
{
    return mem_zero(1, sizeof(struct choices));
}

void choices_free(struct choices *choices)
{
    if (!choices) return;
    free(choices->list);
    free(choices);
}

static bool same(const struct matmul_shape *a, const struct matmul_shape *b)
{
    return a->layout == b->layout && a->m == b->m && a->n == b->n && a->k == b->k && a->a_bf16 == b->a_bf16 &&
        a->b_bf16 == b->b_bf16 && a->c_bf16 == b->c_bf16 && a->live_m == b->live_m && a->live_k == b->live_k &&
        a->add == b->add && a->epilogue == b->epilogue && a->products == b->products;
}

static struct choice *find(const struct choices *choices, const struct matmul_shape *shape)
{
    for (int i = 0; choices && i < choices->count; i++)
        if (same(&choices->list[i].shape, shape)) return &choices->list[i];
    return NULL;
}

void choices_set(struct choices *choices, const struct matmul_shape *shape, const char *variant)
{
    struct choice *c = find(choices, shape);
    if (!c) {
        GROW(choices->list, choices->count, choices->capacity);
        c = &choices->list[choices->count++];
        c->shape = *shape;
    }
    snprintf(c->variant, sizeof c->variant, "%s", variant);
}

const char *choices_find(const struct choices *choices, const struct matmul_shape *shape)
{
    const struct choice *c = find(choices, shape);
    return c ? c->variant : NULL;
}
