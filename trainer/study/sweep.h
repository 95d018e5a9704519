// SPDX-License-Identifier: MIT
//
// sweep.h: many runs from one config: the runs of its grid (grid.h), each in a folder of its name within output_dir, each
// just what `pumice train` would have made of its config.
//
//   output_dir/NAME/          a run: log.jsonl, pumice_config.json, manifests, checkpoints, model (output.h)
//   output_dir/sweep.json     {"axes":[{"name","values":[]}],"runs":[{"name","axes":{},"set":{}}],"earlier":[the same]}: the grid,
//                             and those runs in the folder that only earlier grids had
//   output_dir/results.json   {"axes":[names],"runs":[{"name","axes":{},"asked","state","why","seconds","steps","loss","hash",
//                              "evaluations":[{"step","stage","eval":{"math":{"loss","score"}}}]}]}
//   output_dir/results.csv    the same, a row a run and evaluation; an axis or evaluation whose column would have the name
//                             of another gets "axis_" or "eval_" before it ("eval_train_loss")
//
// Results are those of all runs in the folder; "asked" are those of the grid asked for last, which come first.
//
// A sweep goes on where it was broken off: a run that is done is left alone, one that was begun goes on from its newest
// checkpoint or, without one, starts afresh. A run is done when it has left its mark (outcome.h), its log ends with the
// step and the hash of that mark, and its model is there; nothing else is believed. "seconds" is what the steps took, "loss"
// that of the last one.
#ifndef PUMICE_SWEEP_H
#define PUMICE_SWEEP_H

#include "study/grid.h"
#include "train/config.h"
#include "train/run.h"

enum sweep_state {
    SWEEP_WAITING, // not begun
    SWEEP_BEGUN,   // broken off
    SWEEP_DONE,
    SWEEP_LOST,   // done, but its model was taken away since: to make it again takes its time and may give other numbers
                  // on another driver, so that is for the user to say
    SWEEP_FAILED, // `why` says how: it could not be made, or its loss is not finite at its end
};

struct sweep_run {
    struct config config;
    double work; // run_forecast's
    // What its folder says:
    enum sweep_state state;
    bool finished;              // it has left its mark: done, lost, or failed and of no use to be made again
    char *why;                  // of FAILED, else NULL
    uint64_t steps;             // in its log
    double seconds, loss;       // NAN: none
    char hash[17];              // of the last step, or ""
    struct cJSON *evaluations;  // a list of the log's lines
};

// A run in the folder that is none of the grid's.
struct sweep_earlier {
    char *name;
    struct cJSON *axes, *set; // as in grid_run; empty where no sweep.json has known them
    struct sweep_run run;     // of its config output_dir alone
};

struct sweep {
    char *folder; // output_dir
    struct grid grid;
    struct sweep_run *runs; // (grid.count)
    struct sweep_earlier *earlier; // (earlier_count) in the order of their names; none before sweep_find_earlier
    size_t earlier_count;
};

// Reads the config of every run, and what their folders hold. `sets` are overrides of the base, `axes` grid_make's extra
// ones. Trains and writes nothing. 0, or -1 with the reason, which names the run.
int sweep_open(struct sweep *s, const char *path, const char *const *sets, size_t set_count, const char *const *axes,
    size_t axis_count, struct error *e);
void sweep_close(struct sweep *s);

// Checks every run (run_check, that those begun are the same as today's, and that none is lost), then makes those that are
// not done, one after the other in the grid's order; results are written after each. Progress goes to stderr. A run that fails is named and
// the others go on. *interrupted: by ctrl-C, after a checkpoint. 0, or -1 with the reason when nothing was trained or the
// sweep cannot go on; failed runs are no such reason.
int sweep_train(struct sweep *s, struct workshop *w, bool *interrupted, struct error *e);

// How far a sweep is, in work (run_forecast's) and seconds.
struct sweep_progress {
    double work, seconds; // of the runs that this process has made before the present one
    double now, from;     // work of the present one, and the share of it that was done when it was begun here
    double later;         // of the runs after it
};
// Seconds left for all: `spent` on the present run so far, of which `share` is done, `left` seconds that it will take by its
// own measure (NAN: none yet). NAN: nothing is measured yet.
double sweep_time_left(const struct sweep_progress *p, double spent, double share, double left);

// ---- results (sweep_results.c) -----------------------------------------------------------------------------------

const char *sweep_state_name(enum sweep_state state);
// Reads what the run's folder holds into the run. 0, or -1 with the reason.
int sweep_look(struct sweep_run *run, struct error *e);
// Marks runs that failed when results.json was written and have not been tried since.
void sweep_recall(struct sweep *s);
// Finds the runs in the folder that are none of the grid's, with the axes that the folder's sweep.json knows of. One that
// cannot be read counts as failed. 0, or -1 with the reason: sweep.json cannot be read.
int sweep_find_earlier(struct sweep *s, struct error *e);
struct cJSON *sweep_json(const struct sweep *s); // as results.json; cJSON_Delete
void sweep_csv(struct text *out, const struct sweep *s);
// A line a run of the grid, for people: its values, state, last loss, and what its last evaluation gave.
void sweep_table(struct text *out, const struct sweep *s);
// sweep.json, results.json and results.csv, each atomically.
int sweep_write_grid(const struct sweep *s, struct error *e);
int sweep_write_results(const struct sweep *s, struct error *e);

#endif
