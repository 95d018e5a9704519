// SPDX-License-Identifier: MIT
//
// report_pictures.h: curves as SVG, to stand inside an HTML page, drawn by gnuplot.
//
// One gnuplot draws all pictures of a report. It is given numbers and words of ours only: what stands in files (names
// of sources, settings) goes into the page around the pictures and never into a script.
#ifndef PUMICE_REPORT_PICTURES_H
#define PUMICE_REPORT_PICTURES_H

#include "study/report_statistics.h"

#define PICTURE_COLORS 8
#define PICTURE_GREY PICTURE_COLORS
// "#rrggbb", told apart by the colour-blind too (Okabe and Ito 2008); index up to PICTURE_GREY.
extern const char *const picture_colors[PICTURE_COLORS + 1];

struct picture_series {
    struct report_curve curve; // owned; broken between stages
    unsigned color;
    bool marks; // few points, each shown with its deviation; else a line
};
struct picture_tick {
    double at;
    char *label; // digits, signs and slashes only
};
struct picture_rule { // a dashed line from top to bottom
    double at;
    unsigned color;
};
struct picture {
    char *title;                   // of the page's own text around it; owned
    const char *x_label, *y_label; // words of ours, without quotes
    double x_base;                 // of a logarithmic x axis; 0: linear from 0
    bool y_log, y_from_zero;
    struct picture_series *series; // (series_count) with a finite point at least each
    size_t series_count;
    struct picture_rule *rules; // (rule_count)
    size_t rule_count;
    struct picture_tick *ticks; // (tick_count) of the x axis; none: gnuplot's own
    size_t tick_count;
    double level; // a dotted line from left to right; NAN: none
    char *svg;    // what pictures_draw made of it; NULL: nothing yet
};
void picture_free(struct picture *p);
// Takes the curve over, or frees it when no point of it can be shown.
void picture_add(struct picture *p, struct report_curve *curve, unsigned color, bool marks);

// Draws them all. 0, or -1 with the reason (there is no gnuplot, or it failed), and then none has an svg. Pictures
// without series stay without svg.
int pictures_draw(struct picture *const *pictures, size_t count, struct error *e);

#endif
