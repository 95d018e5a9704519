// SPDX-License-Identifier: MIT
//
// draw.h: seeded random draws over the rows of data: which rows a fraction takes, and in which order an epoch goes.
//
// The generator is counter-based and the same on every machine. A stream is a 64-bit key; its n-th number
// (n = 0, 1, ...) is mix(key + (n + 1) * 0x9e3779b97f4a7c15) with SplitMix64's finalizer
//     mix(z): z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;  z = (z ^ z >> 27) * 0x94d049bb133111eb;  z ^ z >> 31
// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014), all modulo 2^64. The key is
//     mix(FNV-1a 64 of: purpose, a 0 byte, name, a 0 byte, seed, a, b, the three as 8 bytes each, lowest first).
// A number below n is the upper half of (a number's upper 32 bits) * n, drawn again while the lower half is below
// 2^32 mod n (Lemire, "Fast random integer generation in an interval", 2019): every value equally likely.
#ifndef PUMICE_DRAW_H
#define PUMICE_DRAW_H

#include <stdint.h>

// A stream and how many of its numbers are used up. Copy it to draw the same numbers twice.
struct draw {
    uint64_t key, used;
};

// The stream for a purpose ("rows", "epoch", ...); streams that differ in any argument are independent.
struct draw draw_start(const char *purpose, const char *name, uint64_t seed, uint64_t a, uint64_t b);
// The next number, all 64 bits.
uint64_t draw_next(struct draw *d);
// The next number below n, n >= 1.
uint32_t draw_below(struct draw *d, uint32_t n);

// How many rows the fraction x, 0 <= x <= 1, of `rows` is: floor(rows * x + 1e-9), in double. (The small term makes
// 0.29 of 100 rows 29 although the product is 28.999999999999996; 1/256 of 110142 rows is 430.)
uint32_t draw_fraction(uint32_t rows, double x);

// `count` different ones of the rows 0 .. available-1 of the source `source`, ascending, into `rows` (count).
// They are the first `count` places of a Fisher-Yates shuffle (place i trades with a place drawn from i .. available-1)
// of the stream ("rows", source, seed): so those of a smaller count are among those of a larger one, and do not depend
// on the other sources. count <= available.
void draw_rows(uint32_t *rows, uint32_t count, uint32_t available, uint64_t seed, const char *source);

// Puts 0 .. count-1 into `order` (count), shuffled: epoch `epoch` of stage `stage`, each pair an order of its own
// (the same Fisher-Yates, stream ("epoch", "", seed, stage, epoch)).
void draw_order(uint32_t *order, uint32_t count, uint64_t seed, uint64_t stage, uint64_t epoch);

#endif
