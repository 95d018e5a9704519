// SPDX-License-Identifier: MIT
#include "choices.h"

#include <stdlib.h>

struct choices {
    struct choice *list;
    int count, capacity;
    struct attention_choice *attention;
    int attention_count, attention_capacity;
};

struct choices *choices_new(void)
{
    return mem_zero(1, sizeof(struct choices));
}

void choices_free(struct choices *choices)
{
    if (!choices) return;
    free(choices->list);
    free(choices->attention);
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

static struct choice *entry(struct choices *choices, const struct matmul_shape *shape)
{
    struct choice *c = find(choices, shape);
    if (c) return c;
    GROW(choices->list, choices->count, choices->capacity);
    c = &choices->list[choices->count++];
    *c = (struct choice){.shape = *shape};
    return c;
}

void choices_set(struct choices *choices, const struct matmul_shape *shape, const struct matmul_variant *variant, double seconds)
{
    struct choice *c = entry(choices, shape);
    c->variant = *variant;
    c->variant.why = seconds > 0 ? "the fastest right one on this device" : "the table's guess, right on this device";
    c->seconds = seconds;
}

void choices_meet(struct choices *choices, const struct matmul_shape *shape, const struct matmul_variant *variant)
{
    struct choice *c = entry(choices, shape);
    c->variant = *variant;
    c->flop += 2.0 * (double)shape->m * (double)shape->n * (double)shape->k;
}

const struct choice *choices_find(const struct choices *choices, const struct matmul_shape *shape)
{
    return find(choices, shape);
}

double choices_speed(const struct choices *choices)
{
    double flop = 0, seconds = 0;
    for (int i = 0; choices && i < choices->count; i++) {
        const struct choice *c = &choices->list[i];
        if (c->seconds <= 0) continue;
        flop += 2.0 * (double)c->shape.m * (double)c->shape.n * (double)c->shape.k;
        seconds += c->seconds;
    }
    return seconds > 0 ? flop / seconds : 0;
}

int choices_count(const struct choices *choices)
{
    return choices->count;
}

const struct choice *choices_at(const struct choices *choices, int i)
{
    return &choices->list[i];
}

// ---- attention -----------------------------------------------------------------------------------------------------

static struct attention_choice *find_attention(const struct choices *choices, const struct attention_shape *x)
{
    for (int i = 0; choices && i < choices->attention_count; i++) {
        const struct attention_shape *y = &choices->attention[i].shape;
        if (x->head_dim == y->head_dim && x->bf16 == y->bf16 && x->dropout == y->dropout && x->products == y->products)
            return &choices->attention[i];
    }
    return NULL;
}

static struct attention_choice *attention_entry(struct choices *choices, const struct attention_shape *shape)
{
    struct attention_choice *c = find_attention(choices, shape);
    if (c) return c;
    GROW(choices->attention, choices->attention_count, choices->attention_capacity);
    c = &choices->attention[choices->attention_count++];
    *c = (struct attention_choice){.shape = *shape};
    return c;
}

void choices_meet_attention(struct choices *choices, const struct attention_shape *shape, enum attention_kernel kernel)
{
    attention_entry(choices, shape)->kernels |= 1u << kernel;
}

void choices_set_attention(struct choices *choices, const struct attention_choice *choice)
{
    *attention_entry(choices, &choice->shape) = *choice;
}

const struct attention_choice *choices_find_attention(
    const struct choices *choices, const struct attention_shape *shape, uint32_t kernels)
{
    const struct attention_choice *c = find_attention(choices, shape);
    return c && (c->kernels & kernels) == kernels ? c : NULL;
}

int choices_attention_count(const struct choices *choices)
{
    return choices->attention_count;
}

const struct attention_choice *choices_attention_at(const struct choices *choices, int i)
{
    return &choices->attention[i];
}
