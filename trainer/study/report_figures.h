// SPDX-License-Identifier: MIT
//
// report_figures.h: which pictures a report shows.
//
// One setting: its sources, its abilities as lines of one picture. More: a picture a source and ability with a line a
// setting, which is the mean over its seeds, eight lines a picture at most; further settings get pictures of their own.
#ifndef PUMICE_REPORT_FIGURES_H
#define PUMICE_REPORT_FIGURES_H

#include "study/report_pictures.h"

struct figure_legend {
    unsigned color;
    char *label;
};
enum figure_part { FIGURE_TRAINING, FIGURE_EVALUATION, FIGURE_K, FIGURE_GROWTH };
// Pictures that share a legend.
struct report_figure {
    enum figure_part part;
    char *title, *text;           // text: a sentence or two on how to read it
    struct figure_legend *legend; // (legend_count)
    size_t legend_count;
    struct picture *pictures; // (picture_count) with something to see each
    size_t picture_count;
};
struct report_figures {
    struct report_figure *figures; // (count)
    size_t count;
    struct error problem; // why there are no pictures; "": there are
};
// All that the runs give, drawn; without gnuplot they have no svg.
void report_figures_make(struct report_figures *f, const struct report *r, const struct report_tables *t);
void report_figures_free(struct report_figures *f);

#endif
