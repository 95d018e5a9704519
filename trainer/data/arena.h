// SPDX-License-Identifier: MIT
//
// arena.h: memory handed out in pieces and given back all at once: for the rows of a source, and for what one
// rendering needs.
#ifndef PUMICE_ARENA_H
#define PUMICE_ARENA_H

#include <stddef.h>

// Start from {0}.
struct arena {
    struct arena_block *blocks; // the one in use first
    size_t used;                // bytes of that block
    size_t total;               // bytes handed out since the last reset
};

// `bytes` of memory aligned to 8, uninitialised; never NULL (mem_alloc's rule).
void *arena_alloc(struct arena *a, size_t bytes);
// A copy of data[0 .. bytes), followed by a 0.
char *arena_copy(struct arena *a, const void *data, size_t bytes);
// Gives everything back but keeps one block to go on with.
void arena_reset(struct arena *a);
// Gives everything back, to {0}.
void arena_free(struct arena *a);

#endif
