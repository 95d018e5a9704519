// SPDX-License-Identifier: MIT
//
// ability.h: how well a model does what a set of rows asks for, as a share of rows.
//
//   exact       greedy decoding would give the row's last trained turn word for word: the arg max of one teacher-forced
//               pass is right at every trained token of it
//   numeric     the number that a greedy answer gives is the reference's (metrics.h)
//   contains    the reference stands in the greedy answer; of a list of answers one of them
//   cloze       the greedy answer is the reference, up to case, white space and punctuation (metric_cloze)
//   true_false  the greedy answer says true or false, as the reference does (metric_verdict); where it says neither or
//               both, the more probable of the two words decides, as choice would have it
//   choice      of the row's "choices" the right one is the most probable answer, by the sum over its turn's tokens; where
//               every choice is one token (letters), by that token alone, which compares their logits
//   rank        of the row's "choices" the right one has the lowest perplexity (as DoIT ranks candidates, Song et al.
//               2023)
//
// DoIT takes a greedy answer that is a bare letter as it is, and compares the letters' logits otherwise. That is what
// choice does with letters: a bare letter is the token with the highest logit of all, so the highest of the letters too.
//
// The reference is the row's "answer", else its last assistant turn. For choice and rank it is the text of a choice, or its
// place, a letter (A: the first) or a number (0: the first); a turn is no place where choices are letters or numbers too.
// An answer that is none of these leaves it to the turn's text. Where neither is a choice the reference is a further
// candidate in rank, but not a place beyond the choices, which is a slip, unless choices are letters or numbers too;
// without any, the first choice is the right one in rank. Of candidates that are equally good the first one wins.
//
// Chance: the expected score of answers at random. choice and rank: the mean over rows of 1 / candidates; true_false 1/2;
// of open answers 0.
#ifndef PUMICE_ABILITY_H
#define PUMICE_ABILITY_H

#include "data/source.h"
#include "train/config.h"
#include "train/session.h"

struct ability {
    enum config_metric metric;
    uint32_t rows;     // that are scored
    size_t skipped;    // rows of the source that cannot be
    char *problem;     // why the first of them, with its place, or NULL
    double chance;     // score of rows that are answered at random; 0: open answers, where chance finds nothing
    uint32_t longest;  // tokens of the longest conversation of the session's pass; 0: none
    uint32_t capacity; // tokens of the longest prompt and its answer to be generated; 0: none
    uint32_t max_new_tokens;

    // exact, choice, rank, true_false: candidates first[i] .. first[i + 1) belong to row i; right[i] is the index among them.
    struct pack_item *items;
    uint32_t item_count, item_capacity, *first, *right;
    // numeric, contains, cloze, true_false
    struct generate_request *requests; // (rows)
    const char **references;           // (rows)
    const char ***others;              // (rows) further texts that count as right (contains), ended by NULL; NULL: none
    struct stops stops;
    const struct tokenizer *tokenizer;
    struct arena arena;
};

struct ability_options {
    enum config_metric metric;
    uint32_t max_new_tokens;         // of a generated answer
    uint32_t max_length;             // longer prompts and candidates are left out; 0: no limit
    const struct template *template; // NULL: the bundle's
};
// Prepares the rows of a source that was loaded with keep_rows. Source, bundle and template outlive it. -1 with the
// reason when no row can be scored. Rows that cannot be are left out and counted.
int ability_make(struct ability *a, const struct source *s, const struct bundle *bundle,
    const struct ability_options *options, struct error *e);
void ability_free(struct ability *a);

struct ability_score {
    double score; // correct / rows
    uint32_t correct, rows;
};
// `session` is needed when ability.longest is not 0 (with at least that budget), `generator` when ability.capacity is
// not (with at least that capacity). `ended` (or NULL) is called as generate_settings says.
void ability_run(const struct ability *a, struct session *session, struct generator *generator,
    void (*ended)(void *context, uint32_t request, uint64_t tokens), void *context, struct ability_score *out);

#endif
