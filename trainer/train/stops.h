// SPDX-License-Identifier: MIT
//
// stops.h: what ends an answer: the model's end tokens, what closes a turn in the chat template, the user's own texts.
#ifndef PUMICE_STOPS_H
#define PUMICE_STOPS_H

#include "train/bundle.h"

struct stops {
    uint32_t *ids; // (id_count)
    size_t id_count;
    char **texts; // (text_count), none empty
    size_t text_count;
    uint32_t closing; // tokens that close an assistant turn and are trained with it: most often 1
};
// The end tokens of tokenizer, config.json and generation_config.json (a number or a list there), and what the template
// (of the bundle, or another) writes after an assistant's text: a token where it is a single special one, else a text.
// -1 when a file that is there cannot be read.
int stops_make(struct stops *s, const struct bundle *b, const struct template *template, struct error *e);
void stops_add_text(struct stops *s, const char *text);
void stops_free(struct stops *s); // and back to {0}

bool stops_at(const struct stops *s, uint32_t id);
// Bytes of `text` before the first stop text, or all of them.
size_t stops_before(const struct stops *s, const char *text, size_t bytes);

#endif
