// SPDX-License-Identifier: MIT
//
// The time a run will still take: nothing before a second step, then by tokens; the work that is left after each step.
#include "test.h"
#include "train/pace.h"
#include "train/run_parts.h"

#include <math.h>

static bool near(double got, double want)
{
    return fabs(got - want) <= 1e-12 * fmax(1, fabs(want));
}

static void test_pace(void)
{
    struct pace p = {0};
    CHECK(isnan(pace_left(&p, (struct pace_work){1, 1})));
    pace_eval(&p, 10, 1);
    CHECK(isnan(pace_left(&p, (struct pace_work){1, 1})));
    pace_step(&p, 100, 50); // slow: it made what the others find ready
    CHECK(isnan(pace_left(&p, (struct pace_work){1, 1})));
    pace_step(&p, 100, 2);
    CHECK(near(pace_left(&p, (struct pace_work){1000, 50}), 20 + 5));
    pace_step(&p, 300, 6); // a longer one is no slower
    CHECK(near(pace_left(&p, (struct pace_work){1000, 0}), 20));
    pace_step(&p, 100, 4);
    CHECK(near(pace_left(&p, (struct pace_work){1000, 0}), 1000 * (0.97 * (0.97 * 2 + 6) + 4) / (0.97 * (0.97 * 100 + 300) + 100)));
    pace_eval(&p, 10, 3);
    CHECK(near(pace_left(&p, (struct pace_work){0, 30}), 30 * (0.5 + 3) / (5 + 10)));
    p = (struct pace){0};
    pace_step(&p, 9, 9);
    pace_step(&p, 30, 3); // no evaluation yet: as fast as training
    CHECK(near(pace_left(&p, (struct pace_work){60, 40}), 10));
}

// Two stages: 10 rows of 100 tokens in steps of 4, 1.5 epochs, evaluated each epoch; then one long row, two epochs, evaluated
// every second step.
static void test_work(void)
{
    struct config_settings settings[2] = {{.eval_strategy = WHEN_EPOCH}, {.eval_strategy = WHEN_STEPS, .eval_steps = 2}};
    struct stage_share shares[2] = {{.tokens = 1000}, {.tokens = 5000}};
    struct stage stages[2] = {
        {.settings = &settings[0], .shares = &shares[0], .share_count = 1, .steps_per_epoch = 3, .steps = 5},
        {.settings = &settings[1], .shares = &shares[1], .share_count = 1, .steps_per_epoch = 1, .steps = 2, .first_step = 5}};
    const struct stages all = {.stages = stages, .count = 2, .steps = 7};
    static const double evals[] = {70, 11}, third = 1000 / 3.0;
    // After each step, with its own evaluation: after steps 3 and 5 in the first stage, after step 6 in the second.
    static const struct pace_work want[] = {{5 * 1000, 151}, {4 * 1000, 151}, {3 * 1000, 151}, {2 * 1000, 151}, {1000, 81},
        {0, 81}, {0, 11}, {0, 0}};
    static const double long_rows[] = {10000, 10000, 10000, 10000, 10000, 10000, 5000, 0};
    for (uint64_t n = 0; n <= 7; n++) {
        struct pace_work left = run_work_left(&all, evals, n);
        CHECK_SAY(near(left.train, 3 * (want[n].train / 1000 * third + long_rows[n])) && near(left.eval, want[n].eval),
            "after step %d: %g and %g", (int)n, left.train, left.eval);
    }
    settings[0].eval_strategy = settings[1].eval_strategy = WHEN_NO;
    CHECK(run_work_left(&all, evals, 0).eval == 0);
}

int main(void)
{
    test_pace();
    test_work();
    return test_end();
}
