// SPDX-License-Identifier: MIT
//
// report.h: finished, running and broken runs, read from their folders, to be laid side by side.
//
// A run's folder is what `train` leaves (train/output.h): pumice_config.json, pumice_plan.json, log.jsonl, a manifest a
// stage. A sweep's folder holds results.json and one folder a run. Reading changes nothing in them. What is missing or
// torn is left out and noted: a report shows what is there.
//
//   report.h              the runs (report_run.c reads one folder, report.c finds them and makes groups of them)
//   report_statistics.h   what the tables say: pure arithmetic
//   report_pictures.h     curves, drawn by gnuplot
//   report_page.h         the HTML page, and the same numbers as JSON
#ifndef PUMICE_REPORT_H
#define PUMICE_REPORT_H

#include "base.h"

struct cJSON;

#define REPORT_NONE UINT32_MAX // an index that is none

struct report_names {
    char **names; // (count)
    size_t count, capacity;
};

// One source's part of a step.
struct report_part {
    uint32_t source; // index into report.sources
    uint64_t conversations, tokens, trained;
    double loss; // mean over its trained tokens; NAN: none
};
struct report_step {
    uint64_t step;                    // from 1, through all stages
    uint32_t stage;                   // index into run.stages
    double loss, norm, rate, seconds; // NAN: not finite
    uint64_t tokens, trained;
    bool skipped;
    size_t first_part, part_count; // of run.parts
};
// One ability in one evaluation.
struct report_mark {
    uint32_t ability;           // index into report.abilities
    double loss, score, chance; // NAN: none
};
struct report_eval {
    uint64_t step;
    uint32_t stage;
    size_t first_mark, mark_count; // of run.marks
};

// What a stage was planned to take from a source in an epoch, and what an epoch's share came to in the steps done.
struct report_share {
    uint32_t source;
    uint64_t asked_rows, asked_tokens, asked_trained; // of the plan; the rows of the manifest without one
    uint64_t rows, tokens, trained;                   // of the log, over all epochs so far
};
struct report_stage {
    char *name;
    uint64_t rows, steps; // rows an epoch, steps; 0: not known
    uint64_t first, last; // steps logged; 0: none
    uint64_t manifest;    // FNV-1a 64 of its manifest
    bool has_manifest;
    struct report_share *shares; // (share_count), those of the plan first
    size_t share_count;
};

enum report_state {
    REPORT_DONE,    // every step there is to be is in the log; where that is not known: the final model is there
    REPORT_RUNNING, // a process holds the folder's lock
    REPORT_STOPPED, // neither: interrupted, killed or failed
};

struct report_run {
    char *name;   // unique within the report
    char *folder; // as it was given
    enum report_state state;
    char *why;                                    // it failed, as its sweep says; NULL
    char *sweep;                                  // the sweep's folder; NULL: of none
    struct cJSON *axes;                           // values of the sweep's axes by name; NULL: not of a sweep
    struct cJSON *config;                         // pumice_config.json; NULL: cannot be read
    char *config_text;                            // the file as it is, ended by 0; NULL
    uint64_t config_hash;                         // FNV-1a 64 of it
    char *device, *driver, *precision, *products; // NULL: not known
    uint64_t total_steps;                         // of all stages; 0: not known
    char hash[17];                                // of the last step; "": none
    struct report_stage *stages;                  // (stage_count)
    size_t stage_count, stage_capacity;
    bool planned;              // there is a plan: tokens asked for are known
    bool staged;               // by the plan or the manifests: all stages are known, their steps and rows
    struct report_step *steps; // (step_count), ascending
    size_t step_count, step_capacity;
    struct report_part *parts;
    size_t part_count, part_capacity;
    struct report_eval *evals; // (eval_count), ascending
    size_t eval_count, eval_capacity;
    struct report_mark *marks;
    size_t mark_count, mark_capacity;
    uint64_t tokens, trained, skipped; // sums over the steps
    double seconds;
    char *notes; // what was left out, a line each; NULL: nothing
    uint32_t group;
    uint32_t copy_of; // index of the run that it is a copy of, and that counts in the group instead; REPORT_NONE: it counts
};

// Runs that differ in nothing but the seed. Runs of one config and seed whose hashes are the same are one run, however often
// it was copied or made again: it counts once, or the spread would be too small.
struct report_group {
    char *label;
    struct cJSON *settings; // what tells it from other groups, by name: a sweep's axes, or keys of the config
    size_t *runs;           // (run_count) indices into report.runs, without copies
    size_t run_count;
    double k;            // dmt_k; 0 for mixed_sequential; NAN for other strategies
    uint64_t rows;       // of the last stage's mix, an epoch; 0: not known
    char *k_series;      // equal for groups that differ in nothing but k; NULL: no k
    char *amount_series; // equal for groups that differ in nothing but the amount of rows; NULL: not known
};

struct report {
    struct report_names sources, abilities;
    struct report_run *runs; // (run_count)
    size_t run_count, run_capacity;
    struct report_group *groups; // (group_count), in the order of their first runs
    size_t group_count, group_capacity;
    char *notes; // of folders, a line each; NULL: nothing
};

// Reads the runs of the folders given: a run, a sweep, or a folder of runs. The same run given twice counts once. 0, or
// -1 with the reason (a folder that holds no run).
int report_read(struct report *r, const char *const *folders, size_t count, struct error *e);
void report_free(struct report *r);

// Reads one folder that holds a run (output_is_run) into *run, whose name, why and axes stay the caller's to set. Adds to
// the report's names.
void report_run_read(struct report_run *run, struct report *r, const char *folder);
void report_run_free(struct report_run *run);
// The index of a name, which is added if it is new.
uint32_t report_name(struct report_names *names, const char *name);
// A setting as a label says it: "dmt", "k=1/256", "learning_rate=2e-05".
void report_setting(struct text *t, const char *key, const struct cJSON *value);
// "1/256" for the inverse of a whole number, else the fewest digits that tell it from others.
void report_fraction(struct text *t, double x);

#endif
