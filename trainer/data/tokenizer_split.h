// SPDX-License-Identifier: MIT
//
// tokenizer_split.h: one stage of a pre-tokenizer, which cuts a text into pieces by a pattern. Used by tokenizer*.c
// only.
//
// Patterns come from tokenizer.json, where they are written for Oniguruma. They run on PCRE2 (UTF, UCP, JIT); what the
// two read differently is rewritten (\s, \d, scripts, \uHHHH) or refused by name (anchors, \w, \b, sets in sets,
// inline options but (?i:, quantified quantifiers).
#ifndef PUMICE_TOKENIZER_SPLIT_H
#define PUMICE_TOKENIZER_SPLIT_H

#include "base.h"

enum split_behavior {
    SPLIT_ISOLATED,   // every match and every gap between matches is a piece
    SPLIT_CONTIGUOUS, // the same, matches without a gap between them joined
    SPLIT_REMOVED,    // gaps only
};

struct split_stage {
    void *code; // pcre2_code; NULL cuts nothing
    enum split_behavior behavior;
    bool invert;       // gaps are matches and matches are gaps
    bool prefix_space; // puts a space in front of a piece that does not begin with one, before matching
};

// A pattern with the words of tokenizer.json. -1 with the reason. The stage is freed also after failure.
int split_make(struct split_stage *s, const char *pattern, enum split_behavior behavior, bool invert, struct error *e);
// The pattern of exactly that text, for "String" patterns; the caller frees.
char *split_literal(const char *text);
void split_free(struct split_stage *s);

// What matching needs besides; one to a thread.
struct split_work {
    void *match, *context, *stack; // pcre2_match_data, pcre2_match_context, pcre2_jit_stack
};
void split_work_make(struct split_work *w);
void split_work_free(struct split_work *w);

// Calls `piece` with every piece text[start .. end - 1] from left to right, none empty; stops when it returns -1.
// `text` is valid UTF-8. 0, or -1 with the reason: that of `piece`, or that the pattern gave up.
typedef int split_piece(void *context, size_t start, size_t end, struct error *e);
int split_text(const struct split_stage *s, const struct split_work *w, const char *text, size_t bytes,
    split_piece *piece, void *context, struct error *e);
// Whether the pattern matches anywhere in the text.
bool split_matches(const struct split_stage *s, const struct split_work *w, const char *text, size_t bytes);

#endif
