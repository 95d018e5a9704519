// SPDX-License-Identifier: MIT
//
// schedule.h: the learning rate of every step, by the formulas of Hugging Face transformers (optimization.py:
// get_cosine_schedule_with_warmup and get_cosine_with_min_lr_schedule_with_warmup, linear, constant,
// constant_with_warmup, polynomial_decay with power 1), in double, step index from 0:
//
//   warm-up, step < W    rate * step / max(1, W)                          (so the very first step moves nothing)
//   cosine               rate * max(0, f * (1 - m) + m), f = (1 + cos(pi * p)) / 2, m = end / rate
//   linear               rate * max(0, (N - step) / max(1, N - W))
//   polynomial           rate * (((rate - end) * (1 - p) + end) / rate), and end itself beyond N
//   constant             rate, without warm-up; constant_with_warmup with it
//
// where N is the number of steps, W that of the warm-up, p = (step - W) / max(1, N - W).
#ifndef PUMICE_SCHEDULE_H
#define PUMICE_SCHEDULE_H

#include "train/config.h"

struct schedule {
    enum config_scheduler type;
    double rate, end;
    uint64_t steps, warmup; // N and W
};

// The schedule of `steps` steps: of a stage, or of a chain of stages that keep the optimizer (stage.chain_steps).
// W = warmup_steps if above 0, else ceil(steps * warmup_ratio).
struct schedule schedule_make(const struct config_settings *s, uint64_t steps);
// The rate of a step, counted from 0 (stage.chain_first plus the step within the stage).
double schedule_rate(const struct schedule *s, uint64_t step);

#endif
