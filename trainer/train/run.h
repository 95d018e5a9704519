// SPDX-License-Identifier: MIT
//
// run.h: a whole training run: stages, steps, evaluation, checkpoints, in the order they happen.
#ifndef PUMICE_RUN_H
#define PUMICE_RUN_H

#include "train/dataset.h"
#include "train/session.h"

// Storage, budget, recomputation of a config on a device's limits. -1 with what would fit.
int run_blueprint(struct blueprint *b, const struct config *c, const struct dataset *d, const struct bundle *bundle,
    const struct limits *limits, struct error *e);

struct run_outcome {
    bool interrupted; // by ctrl-C; a checkpoint was written
    char *last_line;  // of log.jsonl, or NULL when no step was made; the caller frees
};
// Trains. `gpu` is open. Messages go to stderr. -1 with the reason; what was reached is in the last checkpoint.
int run_train(const struct config *c, struct gpu *gpu, bool resume, struct run_outcome *out, struct error *e);

#endif
