// SPDX-License-Identifier: MIT
//
// loss_scale.h: dynamic loss scaling (Micikevicius et al. 2018), for products in fp16, whose smallest number is 2^-24 and
// whose largest 65504: the loss is multiplied by a scale, so that gradients are not lost below the one, and their sum is
// divided by it again before norm and update. A step whose gradient is not finite is skipped and halves the scale; after
// LOSS_SCALE_INTERVAL steps in a row that are finite it doubles (the constants are those of PyTorch's GradScaler). The
// scale is a power of two, so that scaling alone changes no bit of a gradient in f32.
#ifndef PUMICE_LOSS_SCALE_H
#define PUMICE_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#define LOSS_SCALE_START 65536.0
#define LOSS_SCALE_INTERVAL 2000
// No more: 2^24 moves 2^-48 up to fp16's smallest number, far below what an update in f32 can see, and what grows beyond
// ends in a skipped step. No less: with 1 there is no scaling, and what is not finite then is not a matter of it.
#define LOSS_SCALE_MOST 0x1p24
#define LOSS_SCALE_LEAST 1.0

struct loss_scale {
    double scale;  // 0: no scaling
    uint32_t good; // finite steps in a row since the scale last changed
};
struct loss_scale loss_scale_start(void);
// After a step. Returns false when the step was not finite and the scale could not go lower.
bool loss_scale_step(struct loss_scale *s, bool skipped);
// Can this be the state of a run? (What a checkpoint says.)
bool loss_scale_valid(const struct loss_scale *s);

#endif
