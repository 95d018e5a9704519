// SPDX-License-Identifier: MIT
//
// conversation.h: a row as tokens, with the ones that are trained marked.
//
// Tokens are those of the whole rendered text. A token is trained if its last byte lies in a trained span (render.h).
// The model's begin token stands in front once: put there when the model asks for it and the text does not begin with
// it already. The first token is never trained, because nothing predicts it.
#ifndef PUMICE_CONVERSATION_H
#define PUMICE_CONVERSATION_H

#include "data/render.h"
#include "data/rows.h"

struct conversation {
    uint32_t *ids;    // (tokens)
    uint8_t *mask;    // (tokens) 1: the model learns to predict this token
    uint32_t tokens;  // 1 or more
    uint32_t trained; // tokens whose mask is 1
    uint32_t cut;     // tokens that max_length took away
    uint32_t row;     // line, or element of an array, from 1
    uint32_t file;    // index of its file within the source
    uint64_t hash;    // FNV-1a over ids and mask
};

// What is needed while rows become tokens; one for each thread. Start from {0}, free at the end.
struct conversation_maker {
    const struct template *template;   // set by the caller
    const struct tokenizer *tokenizer; // set by the caller
    uint32_t max_length;               // set by the caller; 0: no limit
    bool as_is; // set by the caller: `text` rows get nothing added, and no row needs a trained token
    struct rendering rendering;
    struct tokens tokens;
    uint8_t *mask; // (mask_capacity)
    size_t mask_capacity;
};
void conversation_maker_free(struct conversation_maker *m);

// Makes a row's conversation; ids and mask live in `keep`. `row` and `file` are left to the caller.
//
// Messages: as the header says. Longer than max_length: trailing turns are dropped so that it ends with the last
// trained turn that fits; if not even one fits, the tokens are cut at max_length. `text`: special tokens' spellings are
// recognised, the end token is put at the end unless it is there, all is trained. `input_ids`: as they are. 0, or -1
// with the reason why the row is to be skipped, among them "longer than max_length" when nothing trained is left.
int conversation_make(
    struct conversation *out, struct conversation_maker *m, struct arena *keep, const struct row *row, struct error *e);

// The tokens that ask for the row's last assistant turn (the messages before it with the generation prompt; all of
// them if there is none) into m->tokens, and that turn's text, which stays the row's, or NULL. 0, or -1 with the
// reason: rows of `text` and `input_ids` have no prompt.
int conversation_prompt(struct conversation_maker *m, const char **reference, const struct row *row, struct error *e);

// Adds the decoded text with what is trained in brackets: <|im_start|>assistant\n[+Hello.<|im_end|>+]\n. Only the
// first and the last tokens are shown when there are more than `limit` (0: all).
void conversation_print(
    struct text *out, const struct conversation *c, const struct tokenizer *tokenizer, uint32_t limit);

#endif
