// SPDX-License-Identifier: MIT
//
// common.h: what several commands do alike: open the device the user asked for, make a session for evaluation or a
// generator of text.
#ifndef PUMICE_COMMON_H
#define PUMICE_COMMON_H

#include "commands/options.h"
#include "data/source.h"
#include "train/bundle.h"
#include "train/session.h"

struct cJSON;

// What the cache holds of the products' variants on this device (tuning.h), opened without it too. The caller frees.
struct choices *device_choices(const struct gpu *gpu, const struct limits *limits);
// What to try where there is no device, as commands say it behind the reason in *e (empty: none was found). Returns -1.
int device_missing(struct error *e);
// Opens a device by the user's choice (NULL: auto) and says on stderr which, and when it is software. NULL with the reason.
struct gpu *device_open(const char *choice, struct error *e);
// The same with options of the caller's own: no pipeline cache, the validation layer.
struct gpu *device_open_with(const struct gpu_options *options, struct error *e);
// For workshop_open: --device (a const char *, NULL: not given), else the config's choice.
struct gpu *device_choose(void *flag, const char *choice, struct error *e);
// An option of the commands that work on the device for long: how device_open opens it.
extern bool device_full_speed;
#define FULL_SPEED_OPTION                                                                                              \
    {                                                                                                                  \
        "full-speed", OPTION_FLAG, &device_full_speed, NULL,                                                           \
            "integrated devices: submissions of 100 ms, not 16: less waiting between them, and a screen that stutters" \
    }
// --tokens and --budget at most: a plan of more takes minutes to make, and no device has the memory.
#define MOST_TOKENS (1u << 20)
// The shapes of its matrix units, as "16x16x16 f16->f32".
struct cJSON *device_matrices(const struct gpu_info *info);
// "f32", "bf16", "auto" (or NULL) as storage: auto is f32 on software devices, where bf16 saves memory but no time, else bf16.
int precision_parse(enum storage *storage, const char *word, const struct gpu_info *info, struct error *e);
// --precision as an override of the config's key: adds "precision=WORD" to the list. NULL adds nothing. Returns the text to
// free after the list.
char *precision_set(struct option_list *sets, const char *word);

// A model on a device for evaluation, with its weights loaded.
struct evaluator {
    struct bundle *bundle;
    struct gpu *gpu;
    struct blueprint blueprint;
    struct choices *choices;
    struct session *session;
};
// longest: tokens of the longest conversation to come. -1 with the reason.
int evaluator_open(struct evaluator *v, struct bundle *bundle, struct gpu *gpu, enum storage storage, uint32_t longest,
    struct error *e);
void evaluator_close(struct evaluator *v);

// A model on a device that writes text, with its weights loaded.
struct writer {
    struct generation generation;
    struct choices *choices;
    struct engine *engine;
    struct generator *generator;
};
// capacity: tokens of the longest prompt with its answer; most: sequences at a time, 0: as many as suit the device. -1 with
// the reason.
int writer_open(struct writer *w, struct bundle *bundle, struct gpu *gpu, enum storage storage, uint32_t capacity, uint32_t most,
    struct error *e);
// The same with a say in what requests have in common (generate.h): o's capacity, and slots and together if not
// 0, are used, the rest is chosen.
int writer_open_with(struct writer *w, struct bundle *bundle, struct gpu *gpu, enum storage storage,
    const struct generation_options *o, uint32_t most, struct error *e);
void writer_close(struct writer *w);

// Says on stderr, every few seconds, how many requests have ended; for generate_settings.ended.
struct progress {
    uint32_t count, done;
    double began, said; // clock
};
struct progress progress_begin(size_t count);
void progress_ended(void *progress, uint32_t request, uint64_t tokens);

// Conversations as the session takes them, all of source 0; the arrays stay the source's. The caller frees.
struct pack_item *source_items(const struct source *s);

// Gives every row of a file to `take`, whose -1 with a sentence skips the row: the first SOURCE_PROBLEMS of *skipped are said
// with their place, `strict` stops at one. Row and place ("FILE:LINE") last until `take` returns. 0, or -1 with the reason.
typedef int (*row_taker)(void *context, const struct row *row, const char *place, struct error *why);
int rows_walk(const char *path, bool strict, row_taker take, void *context, size_t *skipped, struct error *e);

// Prints a value as one line of JSON on stdout and deletes it.
void print_json(struct cJSON *value);

#endif
