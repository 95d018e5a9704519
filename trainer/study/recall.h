// SPDX-License-Identifier: MIT
//
// recall.h: asks a model for facts: every template's sentence of a fact, several samples each, and counts the outputs
// that contain the object (memory.h). Facts that are done are lines of a file, so that a stopped run goes on and
// another choice of subsets asks nothing again.
#ifndef PUMICE_RECALL_H
#define PUMICE_RECALL_H

#include "study/memory.h"
#include "train/bundle.h"
#include "train/generate.h"

// The file: a first line that holds all that the numbers depend on beside the facts, then a line a fact.
struct recall_file {
    char *path;
    FILE *file; // locked by this process
};
// Opens or makes it. `settings` is its first line, a JSON object without its newline; a file that begins otherwise is
// refused, and is left as it is. Facts that it holds get their hits and samples; *known: how many. A last line that was
// not finished is cut off. -1 with the reason.
int recall_file_open(
    struct recall_file *f, const char *path, const char *settings, struct memory *m, size_t *known, struct error *e);
void recall_file_close(struct recall_file *f);

struct recall_settings {
    uint32_t samples; // of each template
    uint32_t max_new_tokens;
    double temperature;
    uint64_t seed;
    const struct stops *stops;
    // Called every few seconds at most: samples that have ended and that there will be in all, tokens so far. NULL:
    // not.
    void (*progress)(void *context, uint64_t done, uint64_t all, uint64_t tokens);
    void *context;
};

// The sentences' tokens of all facts without samples: the longest, and the number of requests a fact has at most.
struct recall_size {
    uint32_t longest, together;
};
int recall_measure(
    struct recall_size *size, const struct memory *m, const struct bundle *b, uint32_t samples, struct error *e);

// Asks for all facts without samples, with a generator whose capacity holds the longest sentence and max_new_tokens,
// and writes each to the file (NULL: none) when it is done. *work: what was computed. Ends early when asked to
// (interrupt.h); facts without samples are then left. -1 with the reason when the file cannot be written.
int recall_run(struct memory *m, const struct bundle *b, struct generator *g, const struct recall_settings *settings,
    struct recall_file *file, struct generation_work *work, struct error *e);

#endif
