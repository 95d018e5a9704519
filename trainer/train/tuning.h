// SPDX-License-Identifier: MIT
//
// tuning.h: which variants of the matrix products a program uses on its device (graph/tune.h): what a run decided before,
// else what the cache holds for this device, driver and build, else a check on the device itself and, on GPUs, a measurement of
// at most a second. Software devices take the table's guess, checked.
#ifndef PUMICE_TUNING_H
#define PUMICE_TUNING_H

#include "graph/tune.h"
#include "train/session.h"

struct cJSON;

// Choices for every product in `met`; the caller frees them, after the programs that use them. own: tuning_json of the run that
// goes on, which is taken as it is; NULL: none. Says on stderr what was chosen, and keeps what was found out in the device's
// cache folder. NULL with the reason: no variant of a product is right on this device (e->device).
struct choices *tuning_choose(struct gpu *gpu, const struct limits *limits, const struct choices *met, const struct cJSON *own,
    struct error *e);
// The same for a blueprint, which is made again with them (blueprint_choose_variants); they outlive it. Where the device has not the
// memory that they ask for, others are chosen that ask for none.
struct choices *tuning_blueprint(struct blueprint *b, const struct model *model, struct gpu *gpu, const struct cJSON *own,
    struct error *e);
void tuning_forget(const struct gpu *gpu); // empties the cache, so that all is tried again
// What the cache in this folder (NULL: none) holds for this device, driver and build. Nothing is run. The caller frees.
struct choices *tuning_cached(const struct gpu *gpu, const char *folder, const struct limits *limits);

// The choices as a list of objects: shape, variant, its fingerprint, seconds. cJSON_Delete.
struct cJSON *tuning_json(const struct choices *choices);
// Adds what such a list holds and this build still has, to the bits of its constants; the rest is left out. Returns how many.
int tuning_read(struct choices *choices, const struct limits *limits, const struct cJSON *list);

// Whether such a list holds what this build no longer has.
bool tuning_lost(const struct cJSON *list, const struct limits *limits);

// "shared 64x64x16 4x4 (12 products), skinny (3)": for people; most frequent first.
void tuning_print(struct text *out, const struct choices *choices, const struct choices *met);

#endif
