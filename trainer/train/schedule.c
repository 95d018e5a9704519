// SPDX-License-Identifier: MIT
#include "train/schedule.h"

#include <assert.h>
#include <math.h>

struct schedule schedule_make(const struct config_settings *s, uint64_t steps)
{
    uint64_t warmup = s->warmup_steps ? s->warmup_steps : (uint64_t)ceil((double)steps * s->warmup_ratio);
    return (struct schedule){s->lr_scheduler_type, s->learning_rate, s->lr_end, steps, warmup};
}

// What the rate is multiplied by. The order of the operations is that of the original, for the same bits.
static double factor(const struct schedule *s, uint64_t step)
{
    if (s->type == SCHEDULER_CONSTANT) return 1;
    if (step < s->warmup) return (double)step / (double)s->warmup;
    double past = (double)(step - s->warmup), decay = s->steps > s->warmup ? (double)(s->steps - s->warmup) : 1;
    switch (s->type) {
    case SCHEDULER_CONSTANT:
    case SCHEDULER_CONSTANT_WITH_WARMUP:
        return 1;
    case SCHEDULER_LINEAR:
        return step < s->steps ? (double)(s->steps - step) / decay : 0;
    case SCHEDULER_COSINE: {
        double least = s->end > 0 ? s->end / s->rate : 0;
        double wave = 0.5 * (1.0 + cos(M_PI * 0.5 * 2.0 * (past / decay)));
        return fmax(0, wave * (1 - least) + least);
    }
    case SCHEDULER_POLYNOMIAL:
        if (step > s->steps) return s->end / s->rate;
        return ((s->rate - s->end) * (1 - past / decay) + s->end) / s->rate;
    }
    assert(!"a schedule that exists");
    return 0;
}

double schedule_rate(const struct schedule *s, uint64_t step)
{
    return s->rate * factor(s, step);
}
