// SPDX-License-Identifier: MIT
//
// log_read.h: the log of a run that is there, line by line, as log.h writes it. Reading changes nothing.
#ifndef PUMICE_LOG_READ_H
#define PUMICE_LOG_READ_H

#include "base.h"

struct cJSON;

struct log_reader {
    char *path;
    struct file_map file;
    size_t at, line; // bytes and lines read
    bool torn;       // it ends with half a line, which is left out
    struct cJSON *json;
};

enum log_kind {
    LOG_OTHER, // no JSON, or no line of ours
    LOG_STEP,
    LOG_EVAL,
};
struct log_line {
    enum log_kind kind;
    uint64_t step;
    const char *stage;
    const char *hash;         // of a step; "": none
    double loss, seconds;     // of a step; NAN: not finite
    const struct cJSON *eval; // of an evaluation, {"math":{"loss","score"}}
    struct cJSON *json;       // all of it; NULL: no JSON
};

// The score of an evaluation (an item of `eval`), NAN: none. Where its loss is not finite the model was not, and what it
// answered counts nothing.
double log_score_read(const struct cJSON *item);

// Opens the log in output_dir. 1, or 0 when there is none; -1 with the reason.
int log_reader_open(struct log_reader *r, const char *output_dir, struct error *e);
void log_reader_close(struct log_reader *r); // {0} is fine
// The next whole line; what it points to stays until the next call. False at the end.
bool log_reader_next(struct log_reader *r, struct log_line *line);

#endif
