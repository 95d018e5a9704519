// SPDX-License-Identifier: MIT
#include "cost.h"
#include "variants.h"

#include "args.h"

#include <assert.h>
#include <stdlib.h>

static struct update_call *update_call(struct update *u, const struct limits *limits, const char *kernel, const void *args,
    size_t args_bytes, uint64_t groups, uint32_t constant)
{
    struct program p = {.limits = *limits};
    GROW(u->calls, u->count, u->capacity);
    struct update_call *c = &u->calls[u->count++];
    *c = (struct update_call){.call = {.kernel = kernel, .constants = {limits->group, 0, constant}, .constant_count = 3}};
    call_args(&c->call, args, args_bytes);
    call_groups(&p, &c->call, groups);
    return c;
}

static void update_use(struct update_call *c, enum update_part part, bool writes)
{
    c->uses[c->use_count].part = part;
    c->uses[c->use_count++].writes = writes;
}

// A piece of a block's gradient, in whatever it is stored.
static void update_use_gradient(struct update_call *c, const struct weight_block *b)
{
    update_use(c, UPDATE_GRADIENT, false);
    if (b->gradient == STORAGE_BF16) c->call.constants[1] |= 1u << c->use_count;
}

#define ELEMENT_BYTES 30 // that AdamW moves of an element, a bf16 copy included

// A block's next piece: as many elements as one binding shows and a watchdog has patience for. Whole blocks of the norm's sums,
// which are those of one piece.
static uint64_t piece_of(const struct limits *limits, const struct weight_block *b, uint64_t first)
{
    uint64_t most = limits->max_range / 4 / NORM_BLOCK, rest = b->elements - first;
    double patience = limits->dispatch_seconds * limits->bytes_per_second / ELEMENT_BYTES / NORM_BLOCK;
    assert(most);
    if (patience > 0 && patience < (double)most) most = patience < 1 ? 1 : (uint64_t)patience;
    most *= NORM_BLOCK;
    return rest < most ? rest : most;
}

static void update_norm(struct update *u, const struct weight_layout *w, const struct limits *limits)
{
    uint64_t partials = norm_partials(w), done = 0;
    for (int b = 0; b < w->blocks; b++)
        for (uint64_t first = 0, n; w->block[b].trainable && first < w->block[b].elements; first += n) {
            n = piece_of(limits, &w->block[b], first);
            uint64_t blocks = (n + NORM_BLOCK - 1) / NORM_BLOCK;
            struct sum_squares_args args = {.count = (uint32_t)n, .block = NORM_BLOCK, .first_partial = (uint32_t)done};
            struct update_call *c = update_call(u, limits, row_variant(limits, "sum_squares", "sum_squares_wide", n), &args,
                sizeof args, blocks, 0);
            c->block = b, c->first = first, c->count = n;
            update_use_gradient(c, &w->block[b]);
            update_use(c, UPDATE_PARTIALS, true);
            done += blocks;
        }
    assert(done == partials);
    struct norm_args norm = {.count = (uint32_t)partials};
    struct update_call *c = update_call(u, limits, "norm_finish", &norm, sizeof norm, 1, 0);
    update_use(c, UPDATE_PARTIALS, false);
    update_use(c, UPDATE_RESULT, true);
}

void update_make(struct update *u, const struct weight_layout *w, const struct limits *limits, enum storage storage,
    enum optimizer optimizer)
{
    *u = (struct update){0};
    assert(optimizer != OPTIMIZER_NONE);
    update_norm(u, w, limits);
    bool adamw = optimizer == OPTIMIZER_ADAMW;
    for (int b = 0; b < w->blocks; b++) {
        const struct weight_block *block = &w->block[b];
        bool copy = block_has_copy(block, storage);
        for (uint64_t first = 0, n; block->trainable && first < block->elements; first += n) {
            n = piece_of(limits, block, first);
            struct optimizer_args args = {.count = (uint32_t)n, .decay = block->matrices};
            uint64_t lanes = (uint64_t)limits->group * ELEMENTS_A_LANE;
            const char *kernel = adamw ? row_variant(limits, "adamw", "adamw_wide", n) : "sgd";
            struct update_call *c = update_call(u, limits, kernel, &args, sizeof args, (n + lanes - 1) / lanes, copy);
            c->block = b, c->first = first, c->count = n;
            update_use(c, UPDATE_RESULT, false);
            update_use_gradient(c, &w->block[b]);
            update_use(c, UPDATE_MASTER, true);
            if (adamw) {
                update_use(c, UPDATE_MOMENT1, true);
                update_use(c, UPDATE_MOMENT2, true);
            }
            update_use(c, copy ? UPDATE_COPY : UPDATE_UNUSED, true);
        }
    }
    for (int i = 0; i < u->count; i++) u->calls[i].call.bytes = update_cost(&u->calls[i]).bytes;
}

void update_free(struct update *u)
{
    free(u->calls);
    *u = (struct update){0};
}
