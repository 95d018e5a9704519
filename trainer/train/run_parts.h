// SPDX-License-Identifier: MIT
//
// run_parts.h: what run.c and run_plan.c share.
#ifndef PUMICE_RUN_PARTS_H
#define PUMICE_RUN_PARTS_H

#include "train/pace.h"
#include "train/run.h"

// AdamW when any stage uses it: it has room for SGD's updates too.
enum optimizer run_optimizer(const struct config *c);
struct blueprint_options run_blueprint_options(
    const struct config *c, const struct dataset *d, const struct model *model, const struct limits *limits);
// Whether this version and the device do what the config asks for. 0, or -1 with the reason.
int run_supported(const struct config *c, const struct gpu_info *info, struct error *e);
// The bytes that the run will have on disk when it ends: a model and its checkpoints. *peak: what it has at a time beside them, a
// checkpoint that is written before the oldest goes.
uint64_t run_disk(const struct config *c, const struct blueprint *b, const struct stages *stages, uint64_t *peak);
// The work (pace.h) of one evaluation of each stage, (stages). The caller frees.
double *run_evaluation_work(const struct dataset *d);
// The work that is left when `done` steps are made, the evaluation that is due after the last of them included. A stage's
// steps are taken to be of one length.
struct pace_work run_work_left(const struct stages *s, const double *evaluations, uint64_t done);
// Whether the model is still the one that the run in output_dir began with, as far as its plan says; -1 when it is not.
int run_compare_model(const struct config *c, const struct model *m, struct error *e);
// Of the manifest of a stage, counted from 0. The caller frees.
char *run_manifest_path(const struct config *c, size_t stage, const char *name);

#endif
