// SPDX-License-Identifier: MIT
//
// difference.h: what training has changed in a model, after arXiv 2509.16596: parameters ranked by |after - before| /
// |before|, how much of the summed relative change the first of them carry, the most changed ones set back; and how far
// the first token of an answer has moved.
//
// The change of a parameter is 0 where nothing changed, infinity where only `before` is 0, else the quotient (double)
// rounded to f32. Parameters are ranked by change, the largest first, those of equal change by their place in the model
// (weights in the order of the forward pass, then rows, then columns): a total order, so every count and every choice
// is exact. Infinite changes come first and are in no sum.
#ifndef PUMICE_DIFFERENCE_H
#define PUMICE_DIFFERENCE_H

#include "model/model.h"

// -1 and a sentence that names the first difference when the two models do not have the same weights.
int difference_check(const struct model *before, const struct model *after, struct error *e);

float difference_change(float before, float after);

// The first `count` parameters of the ranking: all whose change is above that of `bits` (an f32), and the first `equal`
// of those that have it.
struct difference_top {
    double fraction; // asked for: count = floor(parameters * fraction + 1e-9)
    uint64_t count;
    double share; // of the sum of all finite changes that they carry; 0 when nothing changed
    uint32_t bits;
    uint64_t equal;
};
struct difference {
    uint64_t parameters, changed, infinite;
    double sum; // of all finite changes
    float most; // the largest finite change
};
// Two passes over both files; `tops` (count) have their fractions, from 0 to 1. -1 with the reason when a file cannot
// be read or a weight is not finite. Memory does not grow with the model.
int difference_measure(struct difference *d, struct difference_top *tops, int count, const struct model *before,
    const struct model *after, struct error *e);

// A source of weights (model_write): those of `after`, but of the top those of `before`.
struct difference_restore {
    const struct model *before, *after;
    const struct difference_top *top;
    uint64_t equal, restored; // so far; begin with 0
};
int difference_restore_read(
    void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e);

// The first token of an answer: the TOP_LOGITS largest logits of the tuned model, smaller ids first among equals.
#define TOP_LOGITS 10
struct top_logits {
    uint32_t ids[TOP_LOGITS], count; // count: the vocabulary, if that is smaller
    float logits[TOP_LOGITS];
};
void top_logits_take(struct top_logits *t, const float *logits, uint32_t vocabulary);
// KL(p_tuned || p_base) in nats, both models' softmax over those ids alone. `base`: all logits of the other model.
double top_logits_divergence(const struct top_logits *t, const float *base);

#endif
