// SPDX-License-Identifier: MIT
//
// config_read.h: what the parts of the config's reader share.
#ifndef PUMICE_CONFIG_READ_H
#define PUMICE_CONFIG_READ_H

#include "train/config.h"

#include <cjson/cJSON.h>

// What a terminal hands over need not be UTF-8, which JSON is.
bool config_is_utf8(const char *text);
// Carries out one "path.in.config=value" on the tree. 0, or -1 with the reason.
int config_set(cJSON *root, const char *assignment, struct error *e);
// The same for a path and its value, which becomes the tree's (or is deleted).
int config_set_value(cJSON *root, const char *path, cJSON *value, struct error *e);
// Whether the keys make sense together; then writes the stages that `strategy` stands for, and the notes. The error
// begins with the path in the config. 0 or -1.
int config_check(struct config *c, struct error *e);

// How an amount that is an object is written: "rows" for AMOUNT_ROWS; NULL for those that are numbers.
const char *config_amount_name(enum config_amount amount);

void config_names_free(struct config_names *names);
void config_settings_copy(struct config_settings *to, const struct config_settings *from); // deep
void config_settings_free(struct config_settings *settings);

#endif
