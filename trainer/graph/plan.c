// SPDX-License-Identifier: MIT
#include "plan.h"

#include "args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (UINT64_C(1) << 30) // larger ones only where one tensor needs it

static uint64_t up(uint64_t x, uint64_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

// ---- weights -----------------------------------------------------------------------------------------------------

int weight_layout_make(struct weight_layout *w, const struct graph *g, const struct limits *limits, struct error *e)
{
    *w = (struct weight_layout){.count = g->kind_count[TENSOR_WEIGHT]};
    w->weights = mem_zero((size_t)w->count, sizeof *w->weights);
    for (int kind = 0; kind < 4; kind++) {
        bool trainable = kind < 2, matrices = kind % 2 == 0, open = false;
        for (int i = 0; i < g->tensor_count; i++) {
            const struct tensor *t = &g->tensors[i];
            if (t->kind != TENSOR_WEIGHT || t->trainable != trainable || t->decay != matrices) continue;
            uint64_t elements = t->rows * t->ld, size = up(elements, 128);
            if (size * 4 > limits->max_allocation)
                return error_set(e, "the weight %s takes %.1f GB, more than the %.1f GB this device allocates at once; use a "
                    "smaller model or another device", t->name, (double)elements * 4e-9, (double)limits->max_allocation * 1e-9);
            if (!open || (w->block[w->blocks - 1].elements + size) * 4 > BLOCK_BYTES) {
                if (w->blocks == ARENA_BLOCKS)
                    return error_set(e, "the model has more weights than %d blocks of memory hold", ARENA_BLOCKS);
                w->block[w->blocks++] = (struct weight_block){
                    .trainable = trainable, .matrices = matrices, .gradient = t->gradient};
                open = true;
            }
            struct weight_block *b = &w->block[w->blocks - 1];
            w->weights[t->index] = (struct weight_place){w->blocks - 1, b->elements, elements};
            b->elements += size;
            w->parameters += t->rows * t->columns;
            if (trainable) w->trainable += t->rows * t->columns;
        }
    }
    return 0;
}

bool block_has_master(const struct weight_block *b, enum storage storage, bool training)
{
    return storage == STORAGE_F32 || !b->matrices || (training && b->trainable);
}

bool block_has_copy(const struct weight_block *b, enum storage storage)
{
    return storage == STORAGE_BF16 && b->matrices;
}

void weight_layout_free(struct weight_layout *w)
{
    free(w->weights);
    *w = (struct weight_layout){0};
}

uint64_t norm_partials(const struct weight_layout *w)
{
    uint64_t partials = 0;
    for (int b = 0; b < w->blocks; b++)
        if (w->block[b].trainable) partials += (w->block[b].elements + NORM_BLOCK - 1) / NORM_BLOCK;
    return partials;
}

// ---- activations -------------------------------------------------------------------------------------------------

struct life {
    int tensor, first, last; // calls
    uint64_t bytes;
};

static int larger_first(const void *a, const void *b)
{
    const struct life *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->tensor - y->tensor;
}

static struct life *lives(const struct program *p, int *count)
{
    const struct graph *g = p->graph;
    struct life *all = mem_zero((size_t)g->tensor_count, sizeof *all);
    for (int i = 0; i < g->tensor_count; i++) all[i] = (struct life){.tensor = i, .first = -1};
    for (int i = 0; i < p->call_count; i++)
        for (int u = 0; u < p->calls[i].use_count; u++) {
            tensor_id t = tensor_root(g, p->calls[i].uses[u].tensor);
            if (graph_at(g, t)->kind != TENSOR_ACTIVATION) continue;
            if (all[t].first < 0) all[t].first = i;
            all[t].last = i;
            all[t].bytes = up(graph_at(g, t)->rows * tensor_row_bytes(g, t, PART_VALUE), PLAN_ALIGNMENT);
        }
    int n = 0;
    for (int i = 0; i < g->tensor_count; i++)
        if (all[i].first >= 0) all[n++] = all[i];
    *count = n;
    return all;
}

// The lowest offset of a block where `x` meets none of the placed tensors that live at the same time; placed[] is
// sorted by offset.
static uint64_t lowest_gap(const struct life *x, const struct life *placed, const struct place *places, const int *order,
    int count, int block)
{
    uint64_t offset = 0;
    for (int i = 0; i < count; i++) {
        const struct life *y = &placed[order[i]];
        const struct place *at = &places[y->tensor];
        if (at->block != block || y->last < x->first || x->last < y->first) continue;
        if (at->offset >= offset + x->bytes) break;
        if (at->offset + at->bytes > offset) offset = at->offset + at->bytes;
    }
    return offset;
}

// Every binding must fit the device's range; kernels that need a whole tensor at once bound the micro-batch.
static int check_ranges(const struct program *p, struct error *e)
{
    for (int i = 0; i < p->call_count; i++)
        for (int u = 0; u < p->calls[i].use_count; u++) {
            const struct use *use = &p->calls[i].uses[u];
            const struct tensor *t = graph_at(p->graph, use->tensor);
            uint64_t bytes = (use->rows ? use->rows : t->rows) * tensor_row_bytes(p->graph, use->tensor, use->part);
            if (bytes > p->limits.max_range)
                return error_set(e, "for %llu tokens %s takes %.0f MB, more than the %.0f MB this device shows a kernel at once; "
                    "lower micro_batch_tokens or max_length, or use precision bf16", (unsigned long long)p->graph->tokens,
                    t->name, (double)bytes * 1e-6, (double)p->limits.max_range * 1e-6);
        }
    return 0;
}

int plan_make(struct plan *plan, const struct program *p, struct error *e)
{
    const struct graph *g = p->graph;
    if (check_ranges(p, e)) {
        *plan = (struct plan){0};
        return -1;
    }
    *plan = (struct plan){.count = g->tensor_count, .graph = g};
    plan->places = mem_alloc((size_t)g->tensor_count * sizeof *plan->places);
    for (int i = 0; i < g->tensor_count; i++) plan->places[i] = (struct place){.block = -1};
    int count, status = 0, forward = 0;
    struct life *life = lives(p, &count);
    while (forward < p->call_count && !p->calls[forward].backward) forward++;
    qsort(life, (size_t)count, sizeof *life, larger_first);
    int *order = mem_alloc((size_t)(count + 1) * sizeof *order); // placed tensors by offset
    for (int i = 0; i < count && status == 0; i++) {
        struct life *x = &life[i];
        const struct tensor *t = graph_at(g, x->tensor);
        if (x->bytes > p->limits.max_allocation) {
            status = error_set(e, "the activation %s takes %.1f GB for %llu tokens, more than this device allocates at once; "
                "lower micro_batch_tokens or max_length", t->name, (double)x->bytes * 1e-9, (unsigned long long)g->tokens);
            break;
        }
        uint64_t capacity = BLOCK_BYTES < p->limits.max_allocation ? BLOCK_BYTES : p->limits.max_allocation;
        if (x->bytes > capacity) capacity = x->bytes;
        struct place place = {.bytes = x->bytes};
        for (;; place.block++) {
            if (place.block == ARENA_BLOCKS) {
                status = error_set(e, "activations for %llu tokens need more memory than %d blocks; lower micro_batch_tokens",
                    (unsigned long long)g->tokens, ARENA_BLOCKS);
                break;
            }
            place.offset = lowest_gap(x, life, plan->places, order, i, place.block);
            if (place.offset + x->bytes <= capacity) break;
        }
        if (status) break;
        plan->places[x->tensor] = place;
        if (place.block >= plan->arena.blocks) plan->arena.blocks = place.block + 1;
        if (place.offset + place.bytes > plan->arena.bytes[place.block])
            plan->arena.bytes[place.block] = place.offset + place.bytes;
        int at = i;
        while (at > 0 && plan->places[life[order[at - 1]].tensor].offset > place.offset) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
        if (x->first < forward && x->last >= forward && t->producer >= 0) plan->kept += x->bytes;
    }
    for (int i = 0; i < g->tensor_count && status == 0; i++) {
        tensor_id root = tensor_root(g, i);
        if (root != i) plan->places[i] = plan->places[root];
    }
    free(order);
    free(life);
    return status;
}

void plan_free(struct plan *plan)
{
    free(plan->places);
    *plan = (struct plan){0};
}

// A replay's live block and input arrays.
static uint64_t input_bytes(const struct graph *g)
{
    uint64_t bytes = PLAN_ALIGNMENT;
    for (int i = 0; i < INPUT_COUNT; i++) bytes += up(4 * graph_at(g, g->input[i])->columns, PLAN_ALIGNMENT);
    return bytes;
}

static uint64_t state_bytes(const struct graph *g, int tensor)
{
    return up(g->tensors[tensor].rows * tensor_row_bytes(g, tensor, PART_VALUE), PLAN_ALIGNMENT);
}

// Whether a state of plan `which` is also one of a plan before it.
static bool state_is_shared(const struct plan *const *plans, int which, int tensor)
{
    const struct graph *g = plans[which]->graph;
    for (int p = 0; p < which; p++) {
        const struct graph *h = plans[p]->graph;
        if (g == h) return true;
        for (int i = 0; i < h->tensor_count; i++)
            if (h->tensors[i].kind == TENSOR_STATE && strcmp(h->tensors[i].name, g->tensors[tensor].name) == 0 &&
                state_bytes(h, i) == state_bytes(g, tensor))
                return true;
    }
    return false;
}

struct memory_sum memory_sum_of(const struct weight_layout *w, const struct plan *const *plans, int count, bool training,
    int moments, enum storage storage)
{
    struct memory_sum m = {0};
    uint64_t arena[ARENA_BLOCKS] = {0};
    for (int b = 0; b < w->blocks; b++) {
        uint64_t n = w->block[b].elements;
        m.weights += (block_has_master(&w->block[b], storage, training) ? 4 * n : 0) +
            (block_has_copy(&w->block[b], storage) ? 2 * n : 0);
        if (!training || !w->block[b].trainable) continue;
        m.gradients += storage_bytes(w->block[b].gradient) * n;
        m.optimizer += 4 * n * (uint64_t)moments;
    }
    for (int i = 0; i < count; i++) {
        for (int b = 0; b < plans[i]->arena.blocks; b++)
            if (plans[i]->arena.bytes[b] > arena[b]) arena[b] = plans[i]->arena.bytes[b];
        if (plans[i]->kept > m.activations) m.activations = plans[i]->kept;
        m.scratch += input_bytes(plans[i]->graph);
        for (int t = 0; t < plans[i]->graph->tensor_count; t++)
            if (plans[i]->graph->tensors[t].kind == TENSOR_STATE && !state_is_shared(plans, i, t))
                m.scratch += state_bytes(plans[i]->graph, t);
    }
    uint64_t shared = 0;
    for (int b = 0; b < ARENA_BLOCKS; b++) shared += arena[b];
    m.scratch += shared - m.activations;
    m.scratch += up(4 * norm_partials(w) + 4, PLAN_ALIGNMENT) + 2 * PLAN_ALIGNMENT; // the engine's partial sums and results
    if (training) m.scratch += (moments ? 2 : 1) * PLAN_ALIGNMENT; // live blocks of the updates, by AdamW and SGD
    m.total = m.weights + m.gradients + m.optimizer + m.activations + m.scratch;
    return m;
}
