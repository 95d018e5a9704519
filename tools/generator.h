// SPDX-License-Identifier: MIT
//
// generator.h: what the programs that write example data share: templates with {names}, rows as JSON, options.
#ifndef PUMICE_TOOLS_GENERATOR_H
#define PUMICE_TOOLS_GENERATOR_H

#include "base.h"

#define LENGTH(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

// What a row asks and what it is answered. Free both with row_free.
struct row {
    struct text question, answer;
};
void row_free(struct row *row); // and back to {0}

// A name in a template, "{name}", and what stands for it.
struct field {
    const char *name, *value;
};
// Adds the template with its {names} replaced by their values; `fields` ends with a NULL name.
void text_fill(struct text *to, const char *template, const struct field *fields);

// Adds a line of .jsonl: {"messages": [the user's question, the assistant's answer]}. ASCII; control characters other
// than newlines are not escaped.
void text_add_chat(struct text *to, const struct row *row);

// Reads a whole number of at most `most`. False: it is none.
bool number_read(uint64_t *number, const char *text, uint64_t most);

#endif
