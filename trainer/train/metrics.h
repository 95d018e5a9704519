// SPDX-License-Identifier: MIT
//
// metrics.h: is a generated answer right? Pure C.
#ifndef PUMICE_METRICS_H
#define PUMICE_METRICS_H

#include <stdbool.h>
#include <stddef.h>

// The number an answer gives: the first after its last "####" (GSM8K's mark), else the last of the text. Thousands
// separators and dollar signs are dropped ("$1,234.50", "-$5"); a minus counts where nothing stands before it that it
// could be taken from ("7 - 3 = -4" gives -4, "7-3" gives 3). False when there is none.
bool metric_number(double *number, const char *text, size_t bytes);

// Both give a number, and they differ by at most 1e-4 (Yuan et al. 2023, the answer check of their released code).
bool metric_numeric(const char *text, size_t bytes, const char *reference);
// The reference, without white space around it, stands in the text as it is. An empty reference is in none.
bool metric_contains(const char *text, size_t bytes, const char *reference);

#endif
