// SPDX-License-Identifier: MIT
//
// outcome.h: the mark of a finished run, output_dir/pumice_outcome.json: {"state":"done","steps","hash"}. It is written
// when all else is on disk, the final model too, and taken away before a run begins or goes on: a run that was killed,
// at whatever instant, has none.
#ifndef PUMICE_OUTCOME_H
#define PUMICE_OUTCOME_H

#include "base.h"

#define OUTPUT_OUTCOME "pumice_outcome.json"

struct outcome {
    uint64_t steps, hash; // of the last line of log.jsonl
};
int outcome_write(const char *output_dir, const struct outcome *o, struct error *e);
// A missing one is no error.
int outcome_remove(const char *output_dir, struct error *e);
// 1, or 0 when the run is not finished; -1 with the reason when the file is there and is none of ours.
int outcome_read(struct outcome *o, const char *output_dir, struct error *e);

// Whether it is the mark of a log that ends with that step and that hash ("": none).
bool outcome_fits(const struct outcome *o, uint64_t steps, const char *hash);

#endif
