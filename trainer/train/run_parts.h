// SPDX-License-Identifier: MIT
//
// run_parts.h: what run.c and run_plan.c share.
#ifndef PUMICE_RUN_PARTS_H
#define PUMICE_RUN_PARTS_H

#include "train/run.h"

// AdamW when any stage uses it: it has room for SGD's updates too.
enum optimizer run_optimizer(const struct config *c);
struct blueprint_options run_blueprint_options(
    const struct config *c, const struct dataset *d, const struct model *model, const struct limits *limits);
// Whether this version and the device do what the config asks for. 0, or -1 with the reason.
int run_supported(const struct config *c, const struct gpu_info *info, struct error *e);
// Of the manifest of a stage, counted from 0. The caller frees.
char *run_manifest_path(const struct config *c, size_t stage, const char *name);

#endif
