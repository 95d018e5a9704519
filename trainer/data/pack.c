// SPDX-License-Identifier: MIT
#include "data/pack.h"

#include "base.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint32_t pack_targets(const uint8_t *mask, uint32_t tokens)
{
    uint32_t targets = 0;
    for (uint32_t t = 1; t < tokens; t++) targets += mask[t] != 0;
    return targets;
}

struct placed {
    uint32_t length, item, batch;
};

static int longest_first(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return x->item < y->item ? -1 : 1;
}

static int by_batch(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->batch != y->batch) return x->batch < y->batch ? -1 : 1;
    return x->item < y->item ? -1 : 1;
}

void pack_make(struct pack *p, const uint32_t *lengths, uint32_t count, uint32_t budget, bool packing)
{
    struct placed *placed = mem_alloc(((size_t)count + 1) * sizeof *placed);
    uint32_t *room = mem_alloc(((size_t)count + 1) * sizeof *room); // tokens left in each micro-batch
    *p = (struct pack){0};
    for (uint32_t i = 0; i < count; i++) {
        assert(lengths[i] >= 1 && lengths[i] <= budget);
        placed[i] = (struct placed){.length = lengths[i], .item = i};
    }
    if (packing) qsort(placed, count, sizeof *placed, longest_first);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t b = packing ? 0 : p->count;
        while (b < p->count && room[b] < placed[i].length) b++;
        if (b == p->count) room[p->count++] = budget;
        room[b] -= placed[i].length;
        placed[i].batch = b;
    }
    qsort(placed, count, sizeof *placed, by_batch);
    p->items = mem_alloc(((size_t)count + 1) * sizeof *p->items);
    p->first = mem_zero((size_t)p->count + 1, sizeof *p->first);
    for (uint32_t i = 0; i < count; i++) {
        p->items[i] = placed[i].item;
        p->first[placed[i].batch + 1] = i + 1;
    }
    free(room);
    free(placed);
}

void pack_free(struct pack *p)
{
    free(p->first);
    free(p->items);
    *p = (struct pack){0};
}

void micro_batch_make(struct micro_batch *m, uint32_t budget)
{
    assert(budget > 0);
    *m = (struct micro_batch){.budget = budget};
    m->ids = mem_zero(budget, sizeof *m->ids);
    m->positions = mem_zero(budget, sizeof *m->positions);
    m->starts = mem_zero(budget, sizeof *m->starts);
    m->ends = mem_zero(budget, sizeof *m->ends);
    m->conversation = mem_zero(budget, sizeof *m->conversation);
    m->target_rows = mem_zero(budget, sizeof *m->target_rows);
    m->target_ids = mem_zero(budget, sizeof *m->target_ids);
    m->target_source = mem_zero(budget, sizeof *m->target_source);
    m->sorted_rows = mem_zero(budget, sizeof *m->sorted_rows);
    m->group_first = mem_zero((size_t)budget + 1, sizeof *m->group_first);
    m->group_ids = mem_zero(budget, sizeof *m->group_ids);
    m->scratch = mem_zero(budget, sizeof *m->scratch);
}

void micro_batch_free(struct micro_batch *m)
{
    free(m->ids);
    free(m->positions);
    free(m->starts);
    free(m->ends);
    free(m->conversation);
    free(m->target_rows);
    free(m->target_ids);
    free(m->target_source);
    free(m->sorted_rows);
    free(m->group_first);
    free(m->group_ids);
    free(m->scratch);
    *m = (struct micro_batch){0};
}

// Sorts the live rows by token id, equal ids by row: counting sort on the ids' bytes, lowest first, each pass stable.
static void sort_rows(struct micro_batch *m)
{
    uint32_t largest = 0, *from = m->sorted_rows, *to = m->scratch;
    for (uint32_t row = 0; row < m->tokens; row++) {
        from[row] = row;
        if (m->ids[row] > largest) largest = m->ids[row];
    }
    for (unsigned shift = 0; shift < 32 && largest >> shift != 0; shift += 8) {
        uint32_t next[257] = {0}; // next[v]: where the next row whose byte is v goes
        for (uint32_t i = 0; i < m->tokens; i++) next[(m->ids[from[i]] >> shift & 255) + 1]++;
        for (int v = 0; v < 256; v++) next[v + 1] += next[v];
        for (uint32_t i = 0; i < m->tokens; i++) to[next[m->ids[from[i]] >> shift & 255]++] = from[i];
        uint32_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != m->sorted_rows) memcpy(m->sorted_rows, from, m->tokens * sizeof *from);
}

static void group_rows(struct micro_batch *m)
{
    m->distinct = 0;
    for (uint32_t i = 0; i < m->tokens; i++) {
        uint32_t id = m->ids[m->sorted_rows[i]];
        if (i > 0 && id == m->group_ids[m->distinct - 1]) continue;
        m->group_ids[m->distinct] = id;
        m->group_first[m->distinct++] = i;
    }
    m->group_first[m->distinct] = m->tokens;
}

// Zeroes what lies beyond the live part of every array.
static void clear_rest(struct micro_batch *m)
{
    uint32_t *rows[] = {m->ids, m->positions, m->starts, m->ends, m->conversation, m->sorted_rows};
    uint32_t *targets[] = {m->target_rows, m->target_ids, m->target_source};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        memset(rows[i] + m->tokens, 0, (m->budget - m->tokens) * sizeof **rows);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        memset(targets[i] + m->targets, 0, (m->budget - m->targets) * sizeof **targets);
    memset(m->group_ids + m->distinct, 0, (m->budget - m->distinct) * sizeof *m->group_ids);
    memset(m->group_first + m->distinct + 1, 0, (m->budget - m->distinct) * sizeof *m->group_first);
}

void micro_batch_fill(struct micro_batch *m, const struct pack_item *items, const uint32_t *which, uint32_t count)
{
    uint32_t row = 0, targets = 0;
    for (uint32_t d = 0; d < count; d++) {
        const struct pack_item *item = &items[which[d]];
        assert(item->tokens >= 1 && item->tokens <= m->budget - row);
        uint32_t start = row, end = row + item->tokens;
        for (uint32_t t = 0; t < item->tokens; t++, row++) {
            m->ids[row] = item->ids[t];
            m->positions[row] = t;
            m->starts[row] = start;
            m->ends[row] = end;
            m->conversation[row] = which[d];
            if (t == 0 || !item->mask[t]) continue;
            m->target_rows[targets] = row - 1;
            m->target_ids[targets] = item->ids[t];
            m->target_source[targets++] = item->source;
        }
    }
    m->tokens = row;
    m->documents = count;
    m->targets = targets;
    sort_rows(m);
    group_rows(m);
    clear_rest(m);
}
