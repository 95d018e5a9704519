// SPDX-License-Identifier: MIT
//
// report_page.h: a report as one HTML file that needs no network, and its numbers as JSON.
#ifndef PUMICE_REPORT_PAGE_H
#define PUMICE_REPORT_PAGE_H

#include "study/report_figures.h"

struct cJSON;

// Stands near the beginning of every page of ours: what tells one from a file of someone else's.
#define REPORT_MARK "<meta name=\"generator\" content=\"pumice report\">"

// The page. title: plain text.
void report_page(struct text *out, const struct report *r, const struct report_tables *t,
    const struct report_figures *f, const char *title);
// {"report","pictures","problem","runs":[...],"tables":{"abilities","shares","k","growth","forgetting"}}: what the
// page's tables are made of, unrounded; null: not known. path: of the page. cJSON_Delete.
struct cJSON *report_json(
    const struct report *r, const struct report_tables *t, const struct report_figures *f, const char *path);

#endif
