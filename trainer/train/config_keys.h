// SPDX-License-Identifier: MIT
//
// config_keys.h: the table of a config's keys. Reading, defaults, overrides, help, saving and the comparison of a
// resumed run all follow it; what the keys mean together is checked in config_check.c.
#ifndef PUMICE_CONFIG_KEYS_H
#define PUMICE_CONFIG_KEYS_H

#include "train/config.h"

// What a key holds, as JSON and in its struct.
enum key_type {
    KEY_STRING,        // a string that is not empty: char *
    KEY_PATH,          // a file or folder: char *, absolute
    KEY_PATHS,         // one such string or a list of them: struct config_names
    KEY_MODEL,         // a file or folder, or a hub id "owner/name": char *
    KEY_DEVICE,        // a string, or a number, which becomes one: char *
    KEY_BOOL,          // bool
    KEY_COUNT,         // a whole number: uint64_t
    KEY_COUNT_OR_AUTO, // "auto" is 0: uint64_t
    KEY_NUMBER,        // double
    KEY_ENUM,          // one of `values`, of which "true" and "false" are JSON's: an enum
    KEY_NAMES,         // one string or a list of them: struct config_names
    KEY_TARGETS,       // "all-linear", which becomes the empty list, or a list: struct config_names
    KEY_TEMPLATE,      // a string or an object: struct cJSON *
    KEY_INIT,          // an object: struct cJSON *
    KEY_SOURCES,       // config.sources
    KEY_STAGES,        // config.stages
    KEY_EVAL           // settings.eval
};

struct key_value {
    const char *name; // NULL ends a list
    unsigned value;
};

struct config_key {
    const char *name; // NULL ends a table
    enum key_type type;
    bool in_stage; // the field stands in struct config_settings; otherwise in the struct of the table
    size_t offset;
    const char *standard;           // the default as JSON; NULL: none
    double low, high;               // numbers: low <= x <= high,
    bool below;                     // or x < high
    const struct key_value *values; // KEY_ENUM
    enum config_resume resume;
    const char *help;
};

extern const struct config_key config_keys[]; // struct config and struct config_settings
extern const struct config_key source_keys[]; // struct config_source
extern const struct config_key eval_keys[];   // struct config_eval

// The key of that name, or NULL.
const struct config_key *config_key_find(const struct config_key *keys, const char *name);
// Where the key's value stands in a config (for a stage's own: in a copy of its settings, `settings`).
void *config_key_field(const struct config_key *key, struct config *c, struct config_settings *settings);
// ", did you mean ..." for a key that does not exist, or "": the nearest name, or ours for another trainer's.
const char *config_key_hint(const struct config_key *keys, const char *name, char *buffer, size_t bytes);

#endif
