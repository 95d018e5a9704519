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

// An option of a program, "--train", that a whole number follows.
struct number {
    const char *name;
    uint64_t *value, least, most;
};
// Reads the options, which end with a NULL name, and the one folder that a program writes to. `usage` begins with "usage:
// NAME ". -1 to go on, else the status to exit with: 0 after --help, 2 after a sentence about wrong usage.
int arguments_read(const char **folder, const struct number *numbers, const char *usage, int count, char **arguments);
// The exit status of a program whose work ended with `status`; when that is not 0 it says why.
int program_end(int status, const char *usage, const struct error *e);

#endif
