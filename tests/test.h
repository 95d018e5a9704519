// SPDX-License-Identifier: MIT
//
// test.h: what every test program uses. A test is a plain function with CHECKs, called from a list in main, which ends
// with `return test_end();`. Checks count failures and go on; no build removes them.
#ifndef PUMICE_TEST_H
#define PUMICE_TEST_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failures, test_checks;

#define CHECK(condition)                                                                                               \
    (test_checks++, (condition) ? (void)0 : (void)(test_failures++, printf("%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition)))
// CHECK with a printf-style explanation.
#define CHECK_SAY(condition, ...)                                                                                      \
    (test_checks++, (condition) ? (void)0                                                                              \
                                : (void)(test_failures++, printf("%s:%d: CHECK(%s): ", __FILE__, __LINE__, #condition),   \
                                          printf(__VA_ARGS__), printf("\n")))
#define CHECK_STRING(got, want)                                                                                        \
    do {                                                                                                               \
        const char *got_ = (got), *want_ = (want);                                                                     \
        CHECK_SAY(got_ && want_ && strcmp(got_, want_) == 0, "got \"%s\", want \"%s\"", got_ ? got_ : "(null)",         \
            want_ ? want_ : "(null)");                                                                                 \
    } while (0)
// The error text of a struct error must contain `part`.
#define CHECK_ERROR(e, part) CHECK_SAY(strstr((e).text, part) != NULL, "error is \"%s\"", (e).text)

static inline int test_end(void)
{
    printf("%d checks, %d failed\n", test_checks, test_failures);
    return test_failures ? 1 : 0;
}

// A counter-based generator for test data: the same everywhere.
static inline uint32_t test_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

// Uniform in [-1, 1).
static inline float test_uniform(uint64_t *state)
{
    return (float)(int32_t)test_random(state) * 0x1p-31f;
}

#endif
