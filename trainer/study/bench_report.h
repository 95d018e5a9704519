// SPDX-License-Identifier: MIT
//
// bench_report.h: a bench for people, for programs, and beside an earlier one.
#ifndef PUMICE_BENCH_REPORT_H
#define PUMICE_BENCH_REPORT_H

#include "study/bench.h"

#include <cjson/cJSON.h>

// What was measured on what.
struct bench_subject {
    const char *model;
    const struct gpu_info *info;
    const struct blueprint *blueprint;
    const struct step_settings *settings;
    uint64_t parameters;
    uint32_t documents;
    uint64_t allocated, resident; // bytes: on the device; the process's most in RAM (0: not known)
    double opened, loaded;        // seconds: to allocate, make kernels and record; to write the weights
    double started;               // seconds from the command's start to the end of the first step, peaks not counted
};

// All of it as one object. cJSON_Delete.
cJSON *bench_json(const struct bench *b, const struct bench_subject *subject);
// An object of bench_json from a file; cJSON_Delete. NULL and a sentence when the file holds no such thing.
cJSON *bench_read(const char *path, struct error *e);
// Adds, to an object of bench_json, how it compares with an earlier one, which is from the file `path`: "compare", and in
// each kernel what it took before. Products are compared by shape, whatever kernel computes them. Says on stderr what was
// not alike.
void bench_compare(cJSON *now, const cJSON *old, const char *path);
// The object as a table on stdout.
void bench_print(const cJSON *now);

#endif
