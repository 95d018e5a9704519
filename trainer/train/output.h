// SPDX-License-Identifier: MIT
//
// output.h: the folder a run writes to. One process owns it at a time, and one run for good.
//
//   .lock                 held by the process that trains; says which one
//   OUTPUT_CONFIG         the config as the run understood it
//   OUTPUT_PLAN           what it is going to do, and on what (run.c)
//   OUTPUT_LOG            a line a step (log.h)
//   OUTPUT_EVENTS/        TensorBoard's copy of it
//   pumice_outcome.json   there only while the run is finished (outcome.h)
//   checkpoint-<step>/    all that is needed to go on (checkpoint.h)
//   model.safetensors, config.json, tokenizer files      the finished model, in Hugging Face's layout
//
// What has a name ending in .tmp is being written and of no use to anyone after a crash.
#ifndef PUMICE_OUTPUT_H
#define PUMICE_OUTPUT_H

#include "base.h"

#define OUTPUT_LOCK ".lock"
#define OUTPUT_CONFIG "pumice_config.json"
#define OUTPUT_PLAN "pumice_plan.json"
#define OUTPUT_LOG "log.jsonl"
#define OUTPUT_EVENTS "runs"
#define OUTPUT_GRID "sweep.json" // of a sweep, in whose folder each run has a folder of its own (study/sweep.h)

// What a name in the folder is.
enum output_name {
    OUTPUT_OTHER,
    OUTPUT_CHECKPOINT, // checkpoint-<step>
    OUTPUT_REPLACED,   // checkpoint-<step>.old: the name its successor's rename takes it under (checkpoint_save)
    OUTPUT_TEMPORARY   // checkpoint-<step>.tmp, model.tmp
};
// *step (may be NULL) is written for the first two.
enum output_name output_name(const char *name, uint64_t *step);

struct output;

// Makes the folder if it is missing and locks it; the lock dies with the process, however it ends. A file system
// without locks is used with a warning.
//
// resume false: refused when the folder holds a run that has begun (a checkpoint, a line in the log), or files that the
// finished model would replace. resume true: refused only in the latter case, and only without a log and without a
// checkpoint, as then they are no run's of ours; *resumable says whether there is a checkpoint to go on from, or the
// run starts afresh. NULL with the reason, which names the process that holds the folder if one does.
struct output *output_open(const char *folder, bool resume, bool *resumable, struct error *e);
void output_close(struct output *o); // NULL is fine
// Whether output_open could make or use the folder, and write that many bytes there, as far as can be seen without making
// anything: for the first second of what takes long. 0, or -1 with the reason.
int output_check(const char *folder, uint64_t bytes, struct error *e);
// Whether a process holds the folder now. Changes nothing in it.
bool output_in_use(const char *folder);

// Whether a run has begun in the folder: its config or its log lies there.
bool output_is_run(const char *folder);
// The first file there that a run, a sweep or a model has left; NULL: none.
const char *output_holds(const char *folder);
// The first file of the finished model that is not there; NULL: all are.
const char *output_lacks(const char *folder);

#endif
