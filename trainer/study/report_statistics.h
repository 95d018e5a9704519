// SPDX-License-Identifier: MIT
//
// report_statistics.h: what the tables and pictures of a report say. Pure arithmetic over report.h's runs.
#ifndef PUMICE_REPORT_STATISTICS_H
#define PUMICE_REPORT_STATISTICS_H

#include "study/report.h"

// Mean and sample standard deviation (divisor n - 1).
struct report_spread {
    double mean, deviation; // NAN: of no value; of fewer than two
    size_t count;
};
// Of those values that are not NAN.
struct report_spread report_spread(const double *values, size_t count);

// An ability in the run's last evaluation of it; NULL: none. With score, in the last one that gave a score.
const struct report_mark *report_final(const struct report_run *run, uint32_t ability, bool score);

// What a run had and lost: the best value of any evaluation that belongs to an earlier stage, minus the final one
// (loss: the final one minus the lowest). Positive: forgotten, negative: gained. NAN: not known, as the final
// evaluation is not of the run's last stage, or there is no earlier stage.
double report_forgotten(const struct report_run *run, uint32_t ability, bool score);

// What a group comes to. Only runs that are done count; if none is, all do, and so_far says so.
struct report_summary {
    struct report_spread score, loss;           // final
    struct report_spread forgotten, loss_risen; // report_forgotten of score and of loss
    double chance;                              // NAN: not known
};
struct report_tables {
    struct report_summary *cells; // (groups, abilities)
    bool *so_far;                 // (groups)
    bool any_score, any_loss, any_forgotten, any_loss_risen;
};
void report_tables_make(struct report_tables *t, const struct report *r);
void report_tables_free(struct report_tables *t);
const struct report_summary *report_cell(
    const struct report_tables *t, const struct report *r, size_t group, size_t ability);

// Groups that differ in nothing but k (Dong et al. 2023, section 3.4), or in nothing but the amount of rows (Song et
// al. 2023: growth of abilities).
enum report_axis { REPORT_K, REPORT_AMOUNT };
struct report_line {
    char *label;    // the settings its groups have alike; if none, the label of its first group
    size_t *groups; // (count), by rising x
    size_t count;
};
double report_x(const struct report_group *g, enum report_axis axis); // k, or rows of the last stage's mix
// The lines with two different x or more, for the caller to report_lines_free. Returns their number.
size_t report_lines(struct report_line **lines, const struct report *r, enum report_axis axis);
void report_lines_free(struct report_line *lines, size_t count);

// A curve over the steps, the mean over the runs of a group.
enum report_quantity { REPORT_LOSS, REPORT_RATE, REPORT_NORM, REPORT_SPEED };
struct report_point {
    double x, y, deviation; // deviation NAN: none
    uint32_t stage;
};
struct report_curve {
    struct report_point *points; // (count)
    size_t count, capacity;
    uint64_t width; // steps a point stands for, at most
};
#define REPORT_POINTS 120 // a curve has about so many at most, as many as a picture can show
// A source's loss, or with REPORT_NONE that of all and the other quantities, which have no sources. A point is the mean
// over `width` steps of one stage: losses over their trained tokens, rates and norms over the steps, tokens/s over
// seconds; then the mean over the runs.
void report_curve_steps(
    struct report_curve *c, const struct report *r, size_t group, enum report_quantity quantity, uint32_t source);
// An ability's score or loss at every evaluation: mean and deviation over the runs.
void report_curve_evals(struct report_curve *c, const struct report *r, size_t group, uint32_t ability, bool score);
void report_curve_free(struct report_curve *c);

#endif
