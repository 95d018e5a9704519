// SPDX-License-Identifier: MIT
//
// source.h: the rows of one source of data, loaded: read, rendered, tokenised, counted.
#ifndef PUMICE_SOURCE_H
#define PUMICE_SOURCE_H

#include "data/conversation.h"

#define SOURCE_PROBLEMS 5 // skipped rows that are named
#define SOURCE_THREADS 16 // at most

struct source_options {
    const char *name;         // in messages
    const char *ability;      // or NULL
    const char *const *paths; // (path_count) files, read in this order
    size_t path_count;
    const struct template *template;
    uint32_t max_length; // tokens of a row; 0: no limit
    size_t max_rows;     // usable rows to take, from the first; 0: all
    bool strict;         // the first bad row is an error
    bool keep_rows;      // keep the rows as read too (`raw`), also those that have nothing to train, only a prompt
    bool as_is;          // `text` rows get no begin and end token, and no row needs a trained token
    unsigned threads;    // 0: as many as the machine has cores; the result does not depend on it
};

struct source {
    char *name, *ability; // ability NULL if none was given
    char **files;         // (file_count)
    bool *arrays;         // (file_count) a JSON array, not lines
    size_t file_count;

    struct conversation
        *rows;       // (count) in the order of the files; with keep_rows, those without anything to train have 0 tokens
    struct row *raw; // (count) with keep_rows, else NULL
    size_t count, capacity;

    // Of all files together; tokens and trained tokens are those of `rows`.
    size_t read, skipped, truncated;
    uint64_t tokens, trained_tokens, cut_tokens;
    uint32_t longest; // tokens of the longest row

    char *problems[SOURCE_PROBLEMS]; // (problem_count) the first skipped rows: "data.jsonl:12: why"
    size_t problem_count;

    struct arena arenas[SOURCE_THREADS + 1]; // what ids, masks and raw rows point into
};

// Loads the files. 0, or -1 with the reason: a file that cannot be read, a bad row when strict, no usable row at all
// (naming the first bad one). On failure nothing is kept.
int source_load(
    struct source *out, const struct source_options *options, const struct tokenizer *tokenizer, struct error *e);
void source_free(struct source *s);

// The place of row i: "data.jsonl:12". The caller frees.
char *source_place(const struct source *s, size_t i);

// Says on stderr what was skipped and truncated; nothing when all is well.
void source_report(const struct source *s);
// Says how many of `all` rows were skipped, of which the first SOURCE_PROBLEMS have been named: "skipped: 3 more", then
// "where" with "8 of 20 rows skipped". Nothing when none was.
void skipped_report(const char *where, size_t skipped, size_t all, const char *row);

#endif
