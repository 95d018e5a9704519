// SPDX-License-Identifier: MIT
//
// The rates were printed by transformers 4.57.1 (optimization.py) in Python, with 17 digits.
#include "test.h"
#include "train/schedule.h"

struct rate {
    uint64_t step;
    double rate;
};
static const struct {
    enum config_scheduler type;
    double learning_rate, lr_end;
    uint64_t steps;
    double warmup_ratio;
    uint64_t warmup_steps, warmup; // as set, as computed
    struct rate rates[11];         // until the step is 0 again
} cases[] = {
    {SCHEDULER_COSINE, 2e-05, 0, 3051, 0.03, 0, 92,
        {{0, 0.0}, {1, 2.173913043478261e-07}, {2, 4.347826086956522e-07}, {3, 6.521739130434783e-07}, {92, 2e-05},
            {1017, 1.555294334455768e-05}, {1525, 1.0493493487408753e-05}, {3049, 2.254445015226203e-11},
            {3050, 5.6361141265171e-12}, {3051, 0.0}, {3056, 1.409025355014748e-10}}},
    {SCHEDULER_COSINE, 2e-05, 0, 21, 0.03, 0, 1,
        {{0, 0.0}, {1, 2e-05}, {2, 1.9876883405951378e-05}, {3, 1.9510565162951538e-05}, {7, 1.5877852522924733e-05},
            {10, 1.156434465040231e-05}, {19, 4.894348370484648e-07}, {20, 1.231165940486234e-07}, {21, 0.0},
            {26, 2.9289321881345236e-06}}},
    {SCHEDULER_COSINE, 0.0001, 1e-06, 100, 0.1, 0, 10,
        {{0, 0.0}, {1, 1e-05}, {2, 2e-05}, {3, 3e-05}, {10, 0.0001}, {33, 8.488558933772037e-05},
            {50, 5.909558479451306e-05}, {98, 1.1205795121387022e-06}, {99, 1.0301540625547597e-06}, {100, 1e-06},
            {105, 1.7520162258957028e-06}}},
    {SCHEDULER_COSINE, 0.0003, 0, 10, 0, 4, 4,
        {{0, 0.0}, {1, 7.5e-05}, {2, 0.00015}, {3, 0.000225}, {4, 0.0003}, {5, 0.0002799038105676658},
            {8, 7.500000000000002e-05}, {9, 2.009618943233419e-05}, {10, 0.0}, {15, 0.00027990381056766574}}},
    {SCHEDULER_LINEAR, 2e-05, 0, 2031, 0.03, 0, 61,
        {{0, 0.0}, {1, 3.278688524590164e-07}, {2, 6.557377049180328e-07}, {3, 9.836065573770493e-07}, {61, 2e-05},
            {677, 1.3746192893401015e-05}, {1015, 1.0314720812182742e-05}, {2029, 2.0304568527918784e-08},
            {2030, 1.0152284263959392e-08}, {2031, 0.0}, {2036, 0.0}}},
    {SCHEDULER_LINEAR, 1e-05, 0, 7, 0, 0, 0,
        {{0, 1e-05}, {1, 8.571428571428571e-06}, {2, 7.1428571428571436e-06}, {3, 5.7142857142857145e-06},
            {5, 2.8571428571428573e-06}, {6, 1.4285714285714286e-06}, {7, 0.0}, {12, 0.0}}},
    {SCHEDULER_LINEAR, 5e-05, 0, 5, 0, 9, 9,
        {{0, 0.0}, {1, 5.555555555555556e-06}, {2, 1.1111111111111112e-05}, {3, 1.6666666666666667e-05},
            {4, 2.2222222222222223e-05}, {5, 2.777777777777778e-05}, {9, 0.0}, {10, 0.0}}},
    {SCHEDULER_CONSTANT, 0.001, 0, 10, 0.5, 0, 5,
        {{0, 0.001}, {1, 0.001}, {2, 0.001}, {3, 0.001}, {5, 0.001}, {8, 0.001}, {9, 0.001}, {10, 0.001}, {15, 0.001}}},
    {SCHEDULER_CONSTANT_WITH_WARMUP, 0.001, 0, 10, 0.25, 0, 3,
        {{0, 0.0}, {1, 0.0003333333333333333}, {2, 0.0006666666666666666}, {3, 0.001}, {5, 0.001}, {8, 0.001},
            {9, 0.001}, {10, 0.001}, {15, 0.001}}},
    {SCHEDULER_POLYNOMIAL, 1e-05, 1e-06, 60, 0, 0, 0,
        {{0, 1e-05}, {1, 9.85e-06}, {2, 9.7e-06}, {3, 9.55e-06}, {20, 7.000000000000002e-06}, {30, 5.5e-06},
            {58, 1.2999999999999998e-06}, {59, 1.1500000000000004e-06}, {60, 1e-06}, {65, 1e-06}}},
    {SCHEDULER_POLYNOMIAL, 0.0002, 0, 33, 0.1, 0, 4,
        {{0, 0.0}, {1, 5e-05}, {2, 0.0001}, {3, 0.00015000000000000001}, {4, 0.0002}, {11, 0.00015172413793103449},
            {16, 0.00011724137931034485}, {31, 1.3793103448275868e-05}, {32, 6.896551724137923e-06}, {33, 0.0},
            {38, 0.0}}},
    {SCHEDULER_POLYNOMIAL, 1e-05, 3e-07, 12, 0, 3, 3,
        {{0, 0.0}, {1, 3.3333333333333333e-06}, {2, 6.666666666666667e-06}, {3, 1e-05}, {4, 8.922222222222222e-06},
            {6, 6.7666666666666665e-06}, {10, 2.4555555555555554e-06}, {11, 1.3777777777777782e-06}, {12, 3e-07},
            {17, 3e-07}}},
    {SCHEDULER_COSINE, 2e-05, 0, 1, 0.03, 0, 1, {{0, 0.0}, {1, 2e-05}, {2, 0.0}, {3, 2e-05}, {6, 0.0}}},
};

static void test_rates(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct config_settings settings = {.lr_scheduler_type = cases[i].type,
            .learning_rate = cases[i].learning_rate,
            .lr_end = cases[i].lr_end,
            .warmup_ratio = cases[i].warmup_ratio,
            .warmup_steps = cases[i].warmup_steps};
        struct schedule s = schedule_make(&settings, cases[i].steps);
        CHECK(s.warmup == cases[i].warmup);
        for (int k = 0; k < 11 && (k == 0 || cases[i].rates[k].step > 0); k++) {
            double got = schedule_rate(&s, cases[i].rates[k].step), want = cases[i].rates[k].rate;
            // the same operations in the same order; only cos may differ between C libraries, by a unit in the last
            // place of a number of size 1
            double bound = cases[i].type == SCHEDULER_COSINE ? 0x1p-52 * cases[i].learning_rate : 0;
            CHECK_SAY(fabs(got - want) <= bound, "case %zu, step %llu: got %.17g, want %.17g", i,
                (unsigned long long)cases[i].rates[k].step, got, want);
        }
    }
}

// DoIT (Song et al. 2023): 15 epochs of 10,000 rows in batches of 64, from 1e-5 to 1e-6 in equal steps, no warm-up. The
// end is reached by the step after the last one.
static void test_doit(void)
{
    enum { STEPS = 15 * 157 }; // 157 = ceil(10000 / 64)
    const struct config_settings settings = {
        .lr_scheduler_type = SCHEDULER_POLYNOMIAL, .learning_rate = 1e-5, .lr_end = 1e-6};
    struct schedule s = schedule_make(&settings, STEPS);
    CHECK(s.warmup == 0 && schedule_rate(&s, 0) == 1e-5);
    for (uint64_t step = 0; step <= STEPS; step++) {
        double want = (1e-5 * (double)(STEPS - step) + 1e-6 * (double)step) / STEPS; // some roundings of numbers below 1e-5
        CHECK(fabs(schedule_rate(&s, step) - want) <= 8 * 0x1p-53 * 1e-5);
    }
    CHECK(schedule_rate(&s, STEPS - 1) > 1e-6 && fabs(schedule_rate(&s, STEPS) - 1e-6) <= 0x1p-52 * 1e-6);
}

static void test_bounds(void)
{
    const struct config_settings settings = {
        .lr_scheduler_type = SCHEDULER_LINEAR, .learning_rate = 1, .warmup_ratio = 1};
    struct schedule s = schedule_make(&settings, 4); // all warm-up
    CHECK(s.warmup == 4 && schedule_rate(&s, 0) == 0 && schedule_rate(&s, 3) == 0.75 && schedule_rate(&s, 4) == 0);
    const struct config_settings frozen = {.lr_scheduler_type = SCHEDULER_COSINE};
    s = schedule_make(&frozen, 10); // a rate of 0 is 0 throughout
    for (uint64_t step = 0; step < 12; step++) CHECK(schedule_rate(&s, step) == 0);
}

int main(void)
{
    test_rates();
    test_doit();
    test_bounds();
    return test_end();
}
