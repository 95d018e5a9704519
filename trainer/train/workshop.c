// SPDX-License-Identifier: MIT
#include "train/workshop.h"

#include "formats/json_file.h"
#include "graph/choices.h"

#include <stdlib.h>
#include <string.h>

// Sessions kept: one for each value of an axis that changes the blueprint, when it is not the slowest one.
#define SESSIONS 4

// Part of the machine's memory that rows may keep between runs.
#define SPARE_ROWS 8

struct device {
    char *choice;
    struct gpu *gpu;
};

struct opened {
    char *key;
    struct bundle *bundle;
};

struct seat {
    struct blueprint *blueprint;
    struct choices *choices; // the blueprint's
    const struct bundle *bundle;
    struct gpu *gpu;
    struct session *session;
};

struct workshop {
    workshop_device open;
    void *context;
    struct device *devices; // (device_count)
    size_t device_count;
    struct opened *bundles; // (bundle_count)
    size_t bundle_count;
    struct shelf *shelf;
    struct seat *seats[SESSIONS]; // (seat_count), the latest used first
    int seat_count;
};

struct workshop *workshop_open(workshop_device open, void *context)
{
    struct workshop *w = mem_zero(1, sizeof *w);
    w->open = open;
    w->context = context;
    w->shelf = shelf_make(memory_total() / SPARE_ROWS);
    return w;
}

static void seat_free(struct seat *s)
{
    session_close(s->session);
    blueprint_free(s->blueprint);
    choices_free(s->choices);
    free(s->blueprint);
    free(s);
}

// The one that was not used for the longest time.
static void drop_seat(struct workshop *w)
{
    seat_free(w->seats[--w->seat_count]);
}

void workshop_make_room(struct workshop *w)
{
    while (w->seat_count) drop_seat(w);
}

void workshop_close(struct workshop *w)
{
    if (!w) return;
    workshop_make_room(w);
    shelf_free(w->shelf);
    for (size_t i = 0; i < w->bundle_count; i++) {
        bundle_close(w->bundles[i].bundle);
        free(w->bundles[i].bundle);
        free(w->bundles[i].key);
    }
    for (size_t i = 0; i < w->device_count; i++) {
        gpu_close(w->devices[i].gpu);
        free(w->devices[i].choice);
    }
    free(w->bundles);
    free(w->devices);
    free(w);
}

struct gpu *workshop_gpu(struct workshop *w, const char *choice, struct error *e)
{
    for (size_t i = 0; i < w->device_count; i++)
        if (strcmp(w->devices[i].choice, choice) == 0) return w->devices[i].gpu;
    struct gpu *gpu = w->open(w->context, choice, e);
    if (!gpu) return NULL;
    w->devices = mem_resize(w->devices, (w->device_count + 1) * sizeof *w->devices);
    w->devices[w->device_count++] = (struct device){mem_string(choice), gpu};
    return gpu;
}

const struct bundle *workshop_bundle(struct workshop *w, const struct config *c, struct error *e)
{
    // All that bundle_open_config looks at.
    cJSON *all = cJSON_CreateArray();
    cJSON_AddItemToArray(all, c->model_name_or_path ? cJSON_CreateString(c->model_name_or_path) : cJSON_Duplicate(c->init, true));
    cJSON_AddItemToArray(all, c->chat_template ? cJSON_Duplicate(c->chat_template, true) : cJSON_CreateNull());
    char *key = json_print(all, false);
    cJSON_Delete(all);
    for (size_t i = 0; i < w->bundle_count; i++)
        if (strcmp(w->bundles[i].key, key) == 0) {
            free(key);
            return w->bundles[i].bundle;
        }
    struct bundle *bundle = mem_zero(1, sizeof *bundle);
    if (bundle_open_config(bundle, c, e)) {
        free(bundle);
        free(key);
        return NULL;
    }
    w->bundles = mem_resize(w->bundles, (w->bundle_count + 1) * sizeof *w->bundles);
    w->bundles[w->bundle_count++] = (struct opened){key, bundle};
    return bundle;
}

struct shelf *workshop_shelf(struct workshop *w)
{
    return w->shelf;
}

// The seat of an equal blueprint becomes the first.
static struct seat *find_seat(struct workshop *w, const struct blueprint *b, const struct bundle *bundle, const struct gpu *gpu)
{
    for (int i = 0; i < w->seat_count; i++) {
        struct seat *s = w->seats[i];
        if (s->gpu != gpu || s->bundle != bundle || !blueprint_equal(s->blueprint, b)) continue;
        memmove(w->seats + 1, w->seats, (size_t)i * sizeof *w->seats);
        return w->seats[0] = s;
    }
    return NULL;
}

struct session *workshop_session(struct workshop *w, const struct blueprint **blueprint, struct blueprint *b,
    struct choices *choices, const struct bundle *bundle, struct gpu *gpu, struct error *e)
{
    struct seat *s = find_seat(w, b, bundle, gpu);
    if (s) {
        blueprint_free(b);
        choices_free(choices);
        free(b);
        engine_zero_moments(session_engine(s->session));
        *blueprint = s->blueprint;
        return s->session;
    }
    // Others stay as long as half of the device is enough for all; the first one may have all of it.
    uint64_t total = b->memory.total;
    int keep = 0;
    while (keep < w->seat_count && keep < SESSIONS - 1 && (total += w->seats[keep]->blueprint->memory.total) <= b->limits.heap / 2)
        keep++;
    while (w->seat_count > keep) drop_seat(w);
    s = mem_zero(1, sizeof *s);
    *s = (struct seat){b, choices, bundle, gpu, session_open(b, &bundle->model, gpu, e)};
    if (!s->session && w->seat_count) { // what else uses the device may have taken the rest
        workshop_make_room(w);
        s->session = session_open(b, &bundle->model, gpu, e);
    }
    if (!s->session) {
        seat_free(s);
        return NULL;
    }
    memmove(w->seats + 1, w->seats, (size_t)w->seat_count++ * sizeof *w->seats);
    w->seats[0] = s;
    *blueprint = b;
    return s->session;
}
