// SPDX-License-Identifier: MIT
#include "data/arena.h"

#include "base.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 16)

struct arena_block {
    struct arena_block *next;
    size_t bytes; // of `data`
    _Alignas(8) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t bytes)
{
    bytes = (bytes + 7) & ~(size_t)7;
    if (!a->blocks || a->blocks->bytes - a->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        struct arena_block *block = mem_alloc(sizeof *block + room);
        *block = (struct arena_block){a->blocks, room};
        a->blocks = block;
        a->used = 0;
    }
    void *p = a->blocks->data + a->used;
    a->used += bytes;
    a->total += bytes;
    return p;
}

char *arena_copy(struct arena *a, const void *data, size_t bytes)
{
    char *copy = arena_alloc(a, bytes + 1);
    if (bytes) memcpy(copy, data, bytes);
    copy[bytes] = 0;
    return copy;
}

static void free_from(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_reset(struct arena *a)
{
    if (!a->blocks) return;
    free_from(a->blocks->next);
    a->blocks->next = NULL;
    a->used = a->total = 0;
}

void arena_free(struct arena *a)
{
    free_from(a->blocks);
    *a = (struct arena){0};
}
