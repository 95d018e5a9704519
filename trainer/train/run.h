// SPDX-License-Identifier: MIT
//
// run.h: a whole training run: stages, steps, evaluation, checkpoints, in the order they happen.
#ifndef PUMICE_RUN_H
#define PUMICE_RUN_H

#include "train/dataset.h"
#include "train/log.h"
#include "train/session.h"
#include "train/workshop.h"

// Storage, budget, recomputation of a config on a device's limits. -1 with what would fit.
int run_blueprint(struct blueprint *b, const struct config *c, const struct dataset *d, const struct bundle *bundle,
    const struct limits *limits, struct error *e);

// ---- before a run ------------------------------------------------------------------------------------------------

// Compares the config with the one that the run in its output_dir was begun with, if there is one: -1 when a key has
// changed that --resume refuses (config.h). Other changes are named on stderr when the run is to go on; when it is only
// to be the same run (`going_on` false), a model of another name is refused too. Else the number of changed keys that what
// is trained does not depend on.
int run_compare(const struct config *c, bool going_on, struct error *e);

struct run_forecast {
    uint64_t steps;
    double work; // in proportion to the time it takes, roughly: by tokens, evaluations and weights
    uint64_t disk;      // bytes that it will have written at its end; of a finished run 0
    uint64_t disk_peak; // and at a time beside them
};
// Whether a run can be made: opens its device, model and data in the workshop and plans its memory; writes nothing.
// made: the run is finished in its output_dir; then whether it was made from the rows that its config draws today, and from
// the model that is there today.
int run_check(const struct config *c, struct workshop *w, bool made, struct run_forecast *out, struct error *e);

// ---- the run -----------------------------------------------------------------------------------------------------

struct run_options {
    bool resume; // go on from the newest checkpoint in output_dir, or start afresh there
    log_leading stepped; // log_lead of the run's log, called after every step; NULL: the log's own words only
    void *context;
};
struct run_outcome {
    bool interrupted; // by ctrl-C (interrupt.h); a checkpoint was written
    char *last_line;  // of log.jsonl, or NULL when no step was made; the caller frees
};
// Trains. Messages go to stderr. -1 with the reason; what was reached is in the last checkpoint. A run that ends leaves
// outcome.h's mark.
int run_train(const struct config *c, struct workshop *w, const struct run_options *options, struct run_outcome *out,
    struct error *e);

#endif
