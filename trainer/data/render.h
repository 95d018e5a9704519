// SPDX-License-Identifier: MIT
//
// render.h: a conversation as text, and which of its bytes are trained.
//
// The trained spans are found by rendering message by message, never by searching: what the model is given before an
// assistant turn is the rendering of the messages before it with the generation prompt, the turn ends where the
// rendering up to and with it ends, and both must be beginnings of the whole text. A template for which they are not
// (it merges turns, or writes a turn differently once another follows) is refused for that row with this reason,
// because training would show the model contexts that never occur when it is used. Within the turn the span begins with
// the content (with the white space before it that the generation prompt leaves to the model), and ends after the
// closing turn token, without white space that follows it: headers, an empty reasoning block and the newline after
// <|im_end|> are not trained.
#ifndef PUMICE_RENDER_H
#define PUMICE_RENDER_H

#include "data/template.h"

struct span {
    size_t begin, end; // the trained bytes of the text
    size_t turn_end;   // where the message's turn ends
    uint32_t message;
};

// Start from {0}, use again and again, free at the end.
struct rendering {
    struct jinja_output full;
    struct text_run
        *runs; // (run_count) full's text for the tokenizer: content plain, template text with special tokens
    size_t run_count, run_capacity;
    struct span *spans; // (span_count) ascending, apart
    size_t span_count, span_capacity;
    struct jinja_output part; // renderings of beginnings
    struct arena scratch;
};

// Renders all messages and finds the spans of those that are trained (message_trained). 0, or -1 with the reason.
int render_messages(
    struct rendering *r, const struct template *t, const struct message *messages, size_t count, struct error *e);
// Renders the messages with the generation prompt, as the model is asked for an answer. No spans.
int render_prompt(
    struct rendering *r, const struct template *t, const struct message *messages, size_t count, struct error *e);
void rendering_free(struct rendering *r);

#endif
