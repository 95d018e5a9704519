// SPDX-License-Identifier: MIT
//
// plan_file.h: what a run is going to do, for `plan` and, in its folder, for those who look at it later.
#ifndef PUMICE_PLAN_FILE_H
#define PUMICE_PLAN_FILE_H

#include "train/checkpoint.h"
#include "train/stages.h"

struct cJSON;

// The stages with what an epoch takes from each source:
//   [{"name","rows","steps_per_epoch","steps","sources":[{"name","ability","available","rows","tokens","trained_tokens"}]}]
// "ability" where the config says one. cJSON_Delete.
struct cJSON *plan_stages_json(const struct config *c, const struct stages *s);

// Writes OUTPUT_PLAN to the run's folder, atomically: {"stages": as above, "device", "driver", "precision",
// "matmul_precision", "gradient_dtype", "micro_batch_tokens", "model"}; the six before the last are those of the start or
// resume that wrote it, "model" is the fingerprint of the weights that the run began with, NULL: not known. 0, or -1 with the
// reason.
int plan_save(
    const struct config *c, const struct stages *s, const struct run_state *state, const char *model, struct error *e);
// The "model" of the plan in a folder; false where it does not say: random weights, or a plan of an older version.
bool plan_model(char model[17], const char *folder);

#endif
