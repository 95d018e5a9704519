// SPDX-License-Identifier: MIT
#include "data/draw.h"

#include "base.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct draw draw_start(const char *purpose, const char *name, uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t hash = fnv1a(FNV_START, purpose, strlen(purpose) + 1);
    hash = fnv1a(hash, name, strlen(name) + 1);
    const uint64_t numbers[3] = {seed, a, b};
    for (int i = 0; i < 3; i++)
        for (int byte = 0; byte < 8; byte++) {
            uint8_t value = (uint8_t)(numbers[i] >> (8 * byte));
            hash = fnv1a(hash, &value, 1);
        }
    return (struct draw){.key = mix(hash), .used = 0};
}

uint64_t draw_next(struct draw *d)
{
    return mix(d->key + ++d->used * UINT64_C(0x9e3779b97f4a7c15));
}

uint32_t draw_below(struct draw *d, uint32_t n)
{
    assert(n > 0);
    uint32_t unfair = (uint32_t)(-n) % n; // 2^32 mod n
    for (;;) {
        uint64_t product = (draw_next(d) >> 32) * n;
        if ((uint32_t)product >= unfair) return (uint32_t)(product >> 32);
    }
}

uint32_t draw_fraction(uint32_t rows, double x)
{
    assert(x >= 0 && x <= 1);
    return (uint32_t)floor((double)rows * x + 1e-9);
}

// The first `count` places of a shuffle of 0 .. available-1; `places` (available) holds it.
static void shuffle(uint32_t *places, uint32_t count, uint32_t available, struct draw d)
{
    for (uint32_t i = 0; i < available; i++) places[i] = i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = i + draw_below(&d, available - i), kept = places[i];
        places[i] = places[j];
        places[j] = kept;
    }
}

void draw_rows(uint32_t *rows, uint32_t count, uint32_t available, uint64_t seed, const char *source)
{
    assert(count <= available);
    uint32_t *places = mem_alloc(((size_t)available + 1) * sizeof *places);
    bool *taken = mem_zero((size_t)available + 1, sizeof *taken);
    shuffle(places, count, available, draw_start("rows", source, seed, 0, 0));
    for (uint32_t i = 0; i < count; i++) taken[places[i]] = true;
    for (uint32_t row = 0, n = 0; row < available; row++)
        if (taken[row]) rows[n++] = row;
    free(taken);
    free(places);
}

void draw_order(uint32_t *order, uint32_t count, uint64_t seed, uint64_t stage, uint64_t epoch)
{
    shuffle(order, count, count, draw_start("epoch", "", seed, stage, epoch));
}
