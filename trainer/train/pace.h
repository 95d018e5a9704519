// SPDX-License-Identifier: MIT
//
// pace.h: how long a run will still take, by what its steps and evaluations have taken so far. Pure.
//
// Work is counted in tokens, not in steps, which differ in length from stage to stage: a token counts once in an evaluation
// and three times in training. Evaluations are measured apart; until there has been one its work is taken to go as fast as
// training's.
#ifndef PUMICE_PACE_H
#define PUMICE_PACE_H

#include "base.h"

struct pace_work {
    double train, eval;
};
struct pace {
    struct pace_work work, seconds; // measured, the newest with the most weight
    uint64_t steps;                 // measured
};

// A step or an evaluation that was made. A process's first step also makes what later ones find ready, so that it counts
// only until there is a second.
void pace_step(struct pace *p, double work, double seconds);
void pace_eval(struct pace *p, double work, double seconds);
// Seconds that the rest will take; NAN: no step has been measured but the first.
double pace_left(const struct pace *p, struct pace_work left);

#endif
