// SPDX-License-Identifier: MIT
//
// command_run.h: runs a command of the program inside a test, with what it prints in memory.
#ifndef PUMICE_COMMAND_RUN_H
#define PUMICE_COMMAND_RUN_H

#include "commands/options.h"
#include "test.h"

#include <unistd.h>

static struct text command_out, command_err; // of the last command

static void command_take(struct text *t, FILE *file, int stream, int saved)
{
    char piece[4096];
    size_t n;
    dup2(saved, stream);
    close(saved);
    text_free(t);
    text_add(t, "", 0);
    rewind(file);
    while ((n = fread(piece, 1, sizeof piece, file)) > 0) text_add(t, piece, n);
    fclose(file);
}

// The exit status; `words` end with NULL.
static int command_run(const struct command *c, const char *const *words)
{
    char *argv[32] = {mem_string(c->name)};
    int argc = 1;
    for (; *words && argc < 32; words++) argv[argc++] = mem_string(*words);
    fflush(stdout);
    FILE *files[2] = {tmpfile(), tmpfile()};
    int saved[2] = {dup(1), dup(2)};
    for (int i = 0; i < 2; i++) dup2(fileno(files[i]), i + 1);
    int status = c->run(c, argc, argv);
    fflush(stdout);
    command_take(&command_out, files[0], 1, saved[0]);
    command_take(&command_err, files[1], 2, saved[1]);
    for (int i = 0; i < argc; i++) free(argv[i]);
    return status;
}
#define CHECK_SAID(part)                                                                                               \
    CHECK_SAY(strstr(command_err.data, part) != NULL, "it said \"%s\"", command_err.data)

#endif
