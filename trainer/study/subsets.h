// SPDX-License-Identifier: MIT
//
// subsets.h: training and test rows by memory level (memory.h), and what is written of a selection. All facts have been
// asked. Pure C.
#ifndef PUMICE_SUBSETS_H
#define PUMICE_SUBSETS_H

#include "study/memory.h"

struct cJSON;

// Facts of one kind: by relation and level.
struct memory_counts {
    uint32_t (*training)[MEMORY_LEVELS], (*test)[MEMORY_LEVELS]; // (relations)
};
void memory_counts_make(struct memory_counts *c, const struct memory *m);
void memory_counts_free(struct memory_counts *c);

// `size` facts of a level for training, balanced over the relations for which `trains` (relations) says so: they take
// turns in the order of the templates' file, each giving its facts in the order of memory_order. So a smaller subset is
// the beginning of a larger one, and where size is no multiple of the relations the first ones have one more. Writes
// their indices to out (size), or nothing: -1 where a relation has too few, with a sentence that says which level and how
// many there are of how many needed.
int memory_subset(size_t *out, size_t size, const struct memory *m, const size_t *order, int level, const bool *trains,
    struct error *e);

// Rows for `pumice train` and `score`: {"prompt": question, "completion": object, "answer": object or [object,
// synonyms], "subject", "relation", "level"}.
int memory_write_rows(const struct memory *m, const size_t *facts, size_t count, const char *path, struct error *e);
// A line a fact, in the order of the facts: {"subject", "relation", "object", "split", "hits", "samples", "share",
// "level"}.
int memory_write_levels(const struct memory *m, const char *path, struct error *e);
// {"facts", "levels": [5], "relations": {name: {"training": [5], "test": [5]}}}; the caller deletes.
struct cJSON *memory_summary(const struct memory *m);

#endif
