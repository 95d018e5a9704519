// SPDX-License-Identifier: MIT
//
// The numbers expected here come from a second implementation, in Python, written from the header's text.
#include "data/draw.h"
#include "test.h"

#include <stdbool.h>

static void test_stream(void)
{
    struct draw d = draw_start("rows", "math", 42, 0, 0);
    CHECK(d.key == UINT64_C(0xa4b2b362928c69c5));
    CHECK(draw_next(&d) == UINT64_C(0x0eb08410686e253c));
    CHECK(draw_next(&d) == UINT64_C(0x5928940ea0a958e9));
    CHECK(draw_next(&d) == UINT64_C(0x36abf701769cfa39));
    CHECK(draw_start("epoch", "", 42, 1, 2).key == UINT64_C(0xb0498bc3a93e6701));
    d = draw_start("x", "", 1, 0, 0); // 3e9 turns 30 % of the numbers away
    uint32_t last = 0;
    for (int i = 0; i < 20; i++) last = draw_below(&d, 3000000000u);
    CHECK_SAY(last == 2256794691u && d.used == 26, "%u after %u", (unsigned)last, (unsigned)d.used);
    for (int i = 0; i < 100; i++) CHECK(draw_below(&d, 1) == 0);
}

// Every argument makes a stream of its own; a name is not glued to its neighbour.
static void test_keys_differ(void)
{
    struct draw all[] = {draw_start("rows", "math", 1, 2, 3), draw_start("epoch", "math", 1, 2, 3),
        draw_start("rows", "code", 1, 2, 3), draw_start("rows", "math", 2, 2, 3), draw_start("rows", "math", 1, 3, 3),
        draw_start("rows", "math", 1, 2, 4), draw_start("row", "smath", 1, 2, 3), draw_start("rows", "", 1, 2, 3),
        draw_start("rows", "math", 1, 3, 2), draw_start("rows", "math", UINT64_C(1) << 53, 2, 3)};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < i; k++) CHECK_SAY(all[i].key != all[k].key, "%zu and %zu", i, k);
}

static void test_below_is_even(void)
{
    uint32_t counts[7] = {0};
    struct draw d = draw_start("even", "", 5, 0, 0);
    for (int i = 0; i < 70000; i++) {
        uint32_t x = draw_below(&d, 7);
        CHECK(x < 7);
        if (x < 7) counts[x]++;
    }
    // standard deviation of a count: sqrt(70000 * 1/7 * 6/7) = 92.6; the seed is fixed, so this cannot flicker
    for (int i = 0; i < 7; i++) CHECK_SAY(counts[i] > 9600 && counts[i] < 10400, "%d: %u", i, (unsigned)counts[i]);
}

static void test_fraction(void)
{
    CHECK(draw_fraction(110142, 1.0 / 256) == 430);
    CHECK(draw_fraction(20022, 1.0 / 256) == 78);
    CHECK(draw_fraction(86060, 1.0 / 256) == 336);
    CHECK(draw_fraction(110142, 1.0 / 4) == 27535);
    CHECK(draw_fraction(20022, 1.0 / 16) == 1251);
    CHECK(draw_fraction(86060, 1.0 / 64) == 1344);
    CHECK(draw_fraction(100, 0.29) == 29);
    CHECK(draw_fraction(10, 0.1) == 1);
    CHECK(draw_fraction(3, 1.0 / 3) == 1);
    CHECK(draw_fraction(0, 1) == 0);
    CHECK(draw_fraction(5, 0) == 0);
    CHECK(draw_fraction(255, 1.0 / 256) == 0);
    CHECK(draw_fraction(UINT32_MAX, 1) == UINT32_MAX);
}

static bool same(const uint32_t *a, const uint32_t *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static void test_rows(void)
{
    static const uint32_t math[8] = {2, 4, 7, 10, 14, 18, 30, 33}, code[8] = {0, 8, 10, 12, 16, 23, 31, 38},
                          other[8] = {3, 10, 14, 23, 26, 30, 32, 35};
    uint32_t rows[8];
    draw_rows(rows, 8, 40, 42, "math");
    CHECK(same(rows, math, 8));
    draw_rows(rows, 8, 40, 42, "code");
    CHECK(same(rows, code, 8));
    draw_rows(rows, 8, 40, 43, "math");
    CHECK(same(rows, other, 8));
}

// Fewer rows are among more rows, none twice, in file order.
static void test_rows_nested(void)
{
    enum { N = 97 };
    uint32_t more[N], fewer[N];
    for (uint32_t n = 1; n <= N; n++) {
        draw_rows(more, n, N, 7, "source");
        draw_rows(fewer, n - 1, N, 7, "source");
        for (uint32_t i = 0; i < n; i++) CHECK(more[i] < N && (i == 0 || more[i] > more[i - 1]));
        uint32_t found = 0;
        for (uint32_t i = 0; i < n; i++) found += found < n - 1 && fewer[found] == more[i];
        CHECK_SAY(found == n - 1, "%u of %u", (unsigned)found, (unsigned)n - 1);
    }
    draw_rows(more, 0, 0, 7, "source"); // an empty source is no error
}

static void test_order(void)
{
    static const uint32_t want[3][10] = {
        {5, 6, 2, 1, 3, 4, 8, 7, 9, 0}, {4, 1, 3, 2, 8, 5, 0, 7, 6, 9}, {5, 6, 3, 0, 4, 2, 7, 9, 1, 8}};
    uint32_t order[10];
    draw_order(order, 10, 42, 0, 0);
    CHECK(same(order, want[0], 10));
    draw_order(order, 10, 42, 0, 1);
    CHECK(same(order, want[1], 10));
    draw_order(order, 10, 42, 1, 0);
    CHECK(same(order, want[2], 10));
    draw_order(order, 1, 42, 0, 0);
    CHECK(order[0] == 0);
}

// Each of the 6 orders of 3 rows comes about equally often.
static void test_order_is_even(void)
{
    unsigned counts[27] = {0}, kinds = 0;
    for (uint64_t epoch = 0; epoch < 6000; epoch++) {
        uint32_t order[3];
        draw_order(order, 3, 1, 0, epoch);
        counts[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    for (int i = 0; i < 27; i++) {
        kinds += counts[i] > 0;
        CHECK_SAY(counts[i] == 0 || (counts[i] > 880 && counts[i] < 1120), "%d: %u", i, counts[i]); // 4 * 28.9
    }
    CHECK(kinds == 6);
}

int main(void)
{
    test_stream();
    test_keys_differ();
    test_below_is_even();
    test_fraction();
    test_rows();
    test_rows_nested();
    test_order();
    test_order_is_even();
    return test_end();
}
