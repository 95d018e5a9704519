// SPDX-License-Identifier: MIT
//
// list.h: every command's function, for the table in main.c.
#ifndef PUMICE_COMMANDS_LIST_H
#define PUMICE_COMMANDS_LIST_H

#include "commands/options.h"

int command_devices(const struct command *c, int argc, char **argv);
int command_plan(const struct command *c, int argc, char **argv);
int command_train(const struct command *c, int argc, char **argv);
int command_sweep(const struct command *c, int argc, char **argv);
int command_eval(const struct command *c, int argc, char **argv);
int command_score(const struct command *c, int argc, char **argv);
int command_generate(const struct command *c, int argc, char **argv);
int command_kernels(const struct command *c, int argc, char **argv);
int command_tokenize(const struct command *c, int argc, char **argv);
int command_report(const struct command *c, int argc, char **argv);
int command_bench(const struct command *c, int argc, char **argv);
int command_diff(const struct command *c, int argc, char **argv);
int command_select(const struct command *c, int argc, char **argv);
int select_memory(const struct command *c, int argc, char **argv);

#endif
