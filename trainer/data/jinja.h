// SPDX-License-Identifier: MIT
//
// jinja.h: the part of the Jinja language that chat templates are written in, and where each byte of a rendering came
// from.
//
// A checkpoint's chat template is run as Hugging Face's apply_chat_template runs it (trim_blocks, lstrip_blocks, one
// final newline of the source dropped, Python's strings and white space), so its white space, default system turn and
// refusals are its own. Every byte of the output knows whether it is the template's or a message's content; that is
// how special-token spellings inside content stay plain text and how the trained spans are found.
//
// Language: text, {{ }}, {% if for set macro generation break continue %}, comments, white space control; all
// operators; the string and dictionary methods, filters and tests that published templates use. What is not known is
// an error only when it is reached: the tool branches of a template may hold anything that parses.
//
// Variables: messages (role, content), add_generation_prompt, bos_token, eos_token (undefined when NULL), tools and
// documents (none). strftime_now gives 26 July 2024 and passes for undefined, so that a run is the same tomorrow: a
// template that would print today's date prints its own fixed one, or this.
#ifndef PUMICE_JINJA_H
#define PUMICE_JINJA_H

#include "base.h"

#include "data/arena.h"
#include "data/messages.h"

struct jinja; // a parsed template; rendering does not change it, so threads may share it

// Parses `bytes` of source, which is copied. NULL with the reason and the line.
struct jinja *jinja_open(const char *source, size_t bytes, struct error *e);
void jinja_close(struct jinja *program); // NULL is fine

struct jinja_input {
    const struct message *messages; // (count)
    size_t count;
    bool generation;       // add_generation_prompt
    const char *bos, *eos; // the tokens' spellings, or NULL
};

// A stretch of the output with one origin: 0 the template, i + 1 the content of message i. Neighbours differ.
struct jinja_run {
    size_t end; // offset in the text past its last byte
    uint32_t origin;
};

// Start from {0}; used again and again, freed by jinja_output_free.
struct jinja_output {
    struct text text;
    struct jinja_run *runs; // (count)
    size_t count, capacity;
};

// Renders into `out`, replacing what it held. `scratch` is reset first. 0, or -1 with the reason, the template's own
// words when it refuses the messages (raise_exception). Endless loops and runaway strings are errors.
int jinja_render(const struct jinja *program, struct jinja_output *out, struct arena *scratch,
    const struct jinja_input *input, struct error *e);
void jinja_output_free(struct jinja_output *out);

#endif
