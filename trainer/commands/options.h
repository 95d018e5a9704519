// SPDX-License-Identifier: MIT
//
// options.h: a command's flags as a table, its help text, and the exit statuses all commands share.
#ifndef PUMICE_OPTIONS_H
#define PUMICE_OPTIONS_H

#include "base.h"

enum { STATUS_DONE = 0, STATUS_USER = 1, STATUS_USAGE = 2, STATUS_DEVICE = 3, STATUS_INTERRUPTED = 130 };

enum option_kind {
    OPTION_FLAG,   // bool
    OPTION_TEXT,   // const char *
    OPTION_LIST,   // struct option_list: may be given several times, and takes all words up to the next flag
    OPTION_PAIRS,  // the same, of words KEY=VALUE
    OPTION_COUNT,  // uint64_t
    OPTION_NUMBER, // double
};
struct option_list {
    const char **words; // (count), owned; the words are argv's
    size_t count;
};
struct option {
    const char *name; // without the dashes; NULL ends the table
    enum option_kind kind;
    void *value;
    const char *word, *help; // of the value, for help
};

struct command {
    const char *name, *summary;
    const char *usage;   // what follows the name, e.g. "CONFIG [options]"
    const char *text;    // more help, or NULL
    const char *example; // a command line that works
    int (*run)(const struct command *c, int argc, char **argv); // argv[0] is the command's name
};
extern const struct command commands[]; // ended by a NULL name; main.c

// Parses argv[1..]. Words that belong to no flag go to `positional` (at most `positional_most`, at least
// `positional_least`). Returns -1 to go on, else the status to exit with: 0 after --help, 2 after a sentence about wrong usage.
int options_parse(const struct command *c, const struct option *options, int argc, char **argv, const char **positional,
    int positional_least, int positional_most);

// Says that words are missing and how the command is used; returns STATUS_USAGE.
int options_missing(const struct command *c);

// Prints "pumice: " and the sentence on stderr; returns STATUS_USER, or STATUS_DEVICE when there is no device.
int fail(const struct error *e);

#endif
