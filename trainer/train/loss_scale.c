// SPDX-License-Identifier: MIT
#include "train/loss_scale.h"

#include <math.h>

struct loss_scale loss_scale_start(void)
{
    return (struct loss_scale){.scale = LOSS_SCALE_START};
}

bool loss_scale_step(struct loss_scale *s, bool skipped)
{
    if (s->scale == 0) return true;
    if (skipped) {
        bool lowest = s->scale <= LOSS_SCALE_LEAST;
        if (!lowest) s->scale /= 2;
        s->good = 0;
        return !lowest;
    }
    if (++s->good >= LOSS_SCALE_INTERVAL) {
        if (s->scale < LOSS_SCALE_MOST) s->scale *= 2;
        s->good = 0;
    }
    return true;
}

bool loss_scale_valid(const struct loss_scale *s)
{
    int exponent;
    if (s->scale == 0) return s->good == 0;
    return s->scale >= LOSS_SCALE_LEAST && s->scale <= LOSS_SCALE_MOST && frexp(s->scale, &exponent) == 0.5 &&
        s->good < LOSS_SCALE_INTERVAL;
}
