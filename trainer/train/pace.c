// SPDX-License-Identifier: MIT
#include "train/pace.h"

#include <math.h>

#define KEEP 0.97 // of what was measured, with each new step; of evaluations, which are few and long, half

static void measure(double *work, double *seconds, double keep, double new_work, double new_seconds)
{
    *work = keep * *work + new_work;
    *seconds = keep * *seconds + new_seconds;
}

void pace_step(struct pace *p, double work, double seconds)
{
    measure(&p->work.train, &p->seconds.train, p->steps > 1 ? KEEP : 0, work, seconds);
    p->steps++;
}

void pace_eval(struct pace *p, double work, double seconds)
{
    measure(&p->work.eval, &p->seconds.eval, 0.5, work, seconds);
}

double pace_left(const struct pace *p, struct pace_work left)
{
    if (p->steps < 2 || !(p->work.train > 0)) return NAN;
    double train = p->seconds.train / p->work.train, eval = p->work.eval > 0 ? p->seconds.eval / p->work.eval : train;
    return left.train * train + left.eval * eval;
}
