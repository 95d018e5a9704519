// SPDX-License-Identifier: MIT
//
// common.h: what several commands do alike: open the device the user asked for, load rows, make an evaluation session.
#ifndef PUMICE_COMMON_H
#define PUMICE_COMMON_H

#include "commands/options.h"
#include "data/source.h"
#include "train/bundle.h"
#include "train/session.h"

struct cJSON;

// Opens a device by the user's choice (NULL: auto) and says on stderr which, and when it is software. NULL with the reason.
struct gpu *device_open(const char *choice, struct error *e);
// "f32", "bf16", "auto" (or NULL) as storage: auto is f32 on software devices, where bf16 saves memory but no time, else bf16.
int precision_parse(enum storage *storage, const char *word, const struct gpu_info *info, struct error *e);
const char *storage_name(enum storage storage);

// A model on a device for evaluation, with its weights loaded.
struct evaluator {
    struct bundle *bundle;
    struct gpu *gpu;
    struct blueprint blueprint;
    struct session *session;
};
// longest: tokens of the longest conversation to come. -1 with the reason.
int evaluator_open(struct evaluator *v, struct bundle *bundle, struct gpu *gpu, enum storage storage, uint32_t longest,
    struct error *e);
void evaluator_close(struct evaluator *v);

// Conversations as the session takes them, all of source 0; the arrays stay the source's. The caller frees.
struct pack_item *source_items(const struct source *s);

// Prints a value as one line of JSON on stdout and deletes it.
void print_json(struct cJSON *value);

#endif
