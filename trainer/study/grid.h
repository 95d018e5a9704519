// SPDX-License-Identifier: MIT
//
// grid.h: the runs that a sweep stands for: every combination of the values of its axes, the first axis slowest. Pure.
//
// An axis is a member of the object "sweep", in the order written:
//   "KEY.PATH": [value, ...]                        a key of the config, or a path as in --set, takes each value in turn
//   "NAME": {"LABEL": {"KEY.PATH": value, ...}, ...} variants that set several keys together; {} changes nothing
// "why" may stand among them. Values are the config's; null takes a key away.
//
// A run's name is made of its values, "strategy=dmt,dmt_k=0.25,seed=1", and is the name of its folder: letters, digits
// and . _ + - = stay as they are, everything else is "-". It depends on nothing else, so that a run keeps its name when
// the grid grows.
#ifndef PUMICE_GRID_H
#define PUMICE_GRID_H

#include "base.h"

struct cJSON;

#define GRID_RUNS 10000 // at most
#define GRID_NAME 200   // bytes of a run's name; longer ones end with a hash

struct grid_axis {
    char *name;
    char **labels; // (count) of its values, as they stand in names, but with every character
    size_t count;
};
struct grid_run {
    char *name;
    struct cJSON *axes; // {"strategy": "dmt", "seed": 1}: the value of each axis, a variant's label
    struct cJSON *set;  // {"KEY.PATH": value}: what it changes, in the order of the axes
};
struct grid {
    struct grid_axis *axes; // (axis_count)
    size_t axis_count;
    struct grid_run *runs; // (count)
    size_t count;
};

// From the object "sweep" (NULL: none), and axes of a command line, "KEY=V1,V2,..." (extra_count), which replace one of the
// same name or come after the others; of an axis with variants they are labels and pick some, "method=dmt,sequential". 0,
// or -1 with the reason: no axis, an axis without values, a key that two axes set, two runs of one name, too many runs.
int grid_make(struct grid *g, const struct cJSON *sweep, const char *const *extra, size_t extra_count, struct error *e);
void grid_free(struct grid *g);

// Carries a run's changes out on a config's tree. -1 with the reason: a path through something that is not there.
int grid_apply(struct cJSON *root, const struct grid_run *run, struct error *e);

#endif
