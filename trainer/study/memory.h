// SPDX-License-Identifier: MIT
//
// memory.h: how well a model remembers facts (Ye et al. 2024, "60 data points are sufficient", arXiv 2409.15825;
// formula and settings as in arXiv 2509.16596). A fact is (subject, relation, object). A relation's templates turn a
// subject into unfinished sentences; the model goes on with each of them several times. With I templates and J samples
//     R(fact) = (samples of all templates that contain the object) / (I * J)
// and the level is 0 for R = 0, 1 for 0 < R <= 1/4, 2 for R <= 1/2, 3 for R <= 3/4, 4 above. Pure C; recall.h asks the
// model, subsets.h picks training rows.
#ifndef PUMICE_MEMORY_H
#define PUMICE_MEMORY_H

#include "base.h"

#define MEMORY_LEVELS 5
#define MEMORY_SUBJECT "{subject}" // stands for the subject in templates and questions

struct memory_relation {
    char *name;
    char **templates; // (template_count) each holds MEMORY_SUBJECT, none ends in white space, no two are the same
    size_t template_count;
    char *question; // likewise, for training and tests; NULL: none
};
struct memory_fact {
    char *subject, *object;
    char **synonyms; // (synonym_count) of the object, none empty
    size_t synonym_count;
    char *question;         // of its own, or NULL: the relation's
    size_t relation;        // index
    bool test;              // kept out of training
    uint32_t hits, samples; // of recall; samples 0: not asked yet
};
struct memory {
    struct memory_relation *relations; // (relation_count), in the order of the templates' file
    size_t relation_count;
    struct memory_fact *facts; // (fact_count), in the order of the facts' file
    size_t fact_count, fact_capacity;
    size_t skipped;   // bad facts
    bool test_marked; // some fact said whether it is for training or a test
};

// Templates: a .json file with one object, relation -> list of templates, or -> {"templates": [...], "question":
// "..."}; or rows
// (.jsonl, or .json holding an array) {"relation", "templates", "question"?}. -1 with the reason: nothing is skipped
// here.
int memory_read_templates(struct memory *m, const char *path, struct error *e);
// Facts: rows {"subject", "relation", "object", "synonyms"?: [...], "question"?, "split"?: "train" or "test"}; other
// keys mean nothing. The templates have been read. A bad fact (a key missing or empty, a relation without templates,
// the same subject, relation and object once more) is said on stderr and skipped, or with `strict` the reason of -1. -1
// also when none is left.
int memory_read_facts(struct memory *m, const char *path, bool strict, struct error *e);
void memory_free(struct memory *m); // zeros are fine

// Where no fact said so: marks all facts of floor(subjects * share + 1e-9) subjects of each relation as tests, by a seeded
// order that depends on the facts alone: neither on the model nor on their order. A subject with several objects is on one
// side with all of them: they answer one question.
void memory_split(struct memory *m, double share, uint64_t seed);

// The level of `hits` among `samples` > 0 outputs.
int memory_level(uint32_t hits, uint32_t samples);
// Does a text contain the fact's object or one of its synonyms, as they are written?
bool memory_matches(const struct memory_fact *f, const char *text, size_t bytes);

// The unfinished sentence, or the question (its own, the relation's, else the first template). The caller frees.
char *memory_prompt(const struct memory *m, const struct memory_fact *f, size_t template);
char *memory_question(const struct memory *m, const struct memory_fact *f);
// The key of a sample's draws (generate_settings.keys): of the sentence and the sample's number, so that what a fact is
// given depends on nothing else in the files.
uint64_t memory_sample_key(const char *prompt, uint32_t sample);
// Of all that a fact's number of hits depends on beside model and settings: names it in files.
uint64_t memory_fact_key(const struct memory *m, const struct memory_fact *f);
// All facts in a seeded order that depends on the facts, not on their places in the file. The caller frees.
size_t *memory_order(const struct memory *m, uint64_t seed);

#endif
