// SPDX-License-Identifier: MIT
#include "train/shelf.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct shelf_rows rows; // the first member: what is handed out
    char *key;
    struct template template;
    bool own_template, scored; // of those two, which is there
    size_t holders;
    uint64_t released; // the shelf's count of releases at its last one
};

struct shelf {
    struct entry **entries; // (count); pointers, as rows are handed out and stay where they are
    size_t count, capacity;
    uint64_t spare, releases;
};

struct shelf *shelf_make(uint64_t spare)
{
    struct shelf *s = mem_zero(1, sizeof *s);
    s->spare = spare;
    return s;
}

static void entry_free(struct entry *entry)
{
    if (entry->scored) ability_free(&entry->rows.ability);
    source_free(&entry->rows.source);
    if (entry->own_template) template_close(&entry->template);
    free(entry->key);
    free(entry);
}

void shelf_free(struct shelf *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->count; i++) entry_free(s->entries[i]);
    free(s->entries);
    free(s);
}

static uint64_t entry_bytes(const struct entry *entry)
{
    const struct source *s = &entry->rows.source;
    const struct ability *a = &entry->rows.ability;
    uint64_t bytes = s->capacity * (sizeof *s->rows + (s->raw ? sizeof *s->raw : 0));
    for (int i = 0; i <= SOURCE_THREADS; i++) bytes += s->arenas[i].total;
    return bytes + a->arena.total + a->item_capacity * sizeof *a->items;
}

uint64_t shelf_bytes(const struct shelf *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->count; i++) bytes += entry_bytes(s->entries[i]);
    return bytes;
}

// Of what nobody holds, what is too much, the longest released first.
static void clear_away(struct shelf *s)
{
    for (;;) {
        uint64_t idle = 0;
        size_t oldest = s->count;
        for (size_t i = 0; i < s->count; i++) {
            const struct entry *entry = s->entries[i];
            if (entry->holders) continue;
            idle += entry_bytes(entry);
            if (oldest == s->count || entry->released < s->entries[oldest]->released) oldest = i;
        }
        if (idle <= s->spare) return;
        entry_free(s->entries[oldest]);
        s->entries[oldest] = s->entries[--s->count];
    }
}

void shelf_release(struct shelf *s, const struct shelf_rows *rows)
{
    for (size_t i = 0; i < s->count; i++) {
        struct entry *entry = s->entries[i];
        if (&entry->rows != rows) continue;
        entry->holders--;
        entry->released = ++s->releases;
        clear_away(s);
        return;
    }
}

// What is wanted of some rows; metric and max_new_tokens are an evaluation's.
struct wish {
    const struct source_options *source; // without its template
    const cJSON *template;               // NULL: the bundle's
    const struct config_eval *eval;      // NULL: to train on
    const struct bundle *bundle;
};

static void add_word(struct text *key, const char *word)
{
    text_print(key, "%zu:%s ", word ? strlen(word) : 0, word ? word : "");
}

// Everything that the rows depend on. A bundle's address stands for model, tokenizer and the run's template: it lives as
// long as the rows.
static char *key_of(const struct wish *w)
{
    const struct source_options *o = w->source;
    struct text key = {0};
    text_print(&key, "%p %" PRIu32 " %zu %d %d ", (const void *)w->bundle, o->max_length, o->max_rows, o->strict, w->eval != NULL);
    if (w->eval) text_print(&key, "%d %" PRIu64 " ", (int)w->eval->metric, w->eval->max_new_tokens);
    char *template = w->template ? cJSON_PrintUnformatted(w->template) : NULL;
    add_word(&key, template);
    cJSON_free(template);
    add_word(&key, o->name);
    add_word(&key, o->ability);
    for (size_t i = 0; i < o->path_count; i++) add_word(&key, o->paths[i]);
    return key.data;
}

static int load(struct entry *entry, const struct wish *w, struct error *e)
{
    const struct template *template = &w->bundle->template;
    if (w->template) {
        if (template_open(&entry->template, w->template, w->bundle->tokenizer, e))
            return error_prefix(e, "%s %s: ", w->eval ? "eval" : "source", w->source->name);
        entry->own_template = true;
        template = &entry->template;
    }
    struct source_options o = *w->source;
    o.template = template;
    if (source_load(&entry->rows.source, &o, w->bundle->tokenizer, e)) return -1;
    source_report(&entry->rows.source);
    if (!w->eval || w->eval->metric == METRIC_NONE) return 0;
    const struct ability_options a = {.metric = w->eval->metric, .max_new_tokens = (uint32_t)w->eval->max_new_tokens,
        .max_length = o.max_length, .template = template};
    struct ability *ability = &entry->rows.ability;
    if (ability_make(ability, &entry->rows.source, w->bundle, &a, e)) return error_prefix(e, "eval %s: ", o.name);
    entry->scored = true;
    if (ability->skipped)
        say("eval %s: %zu row%s cannot be scored (%s)", o.name, ability->skipped, plural(ability->skipped),
            ability->problem ? ability->problem : "");
    return 0;
}

static const struct shelf_rows *find(struct shelf *s, const struct wish *w, struct error *e)
{
    char *key = key_of(w);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->entries[i]->key, key) == 0) {
            free(key);
            s->entries[i]->holders++;
            return &s->entries[i]->rows;
        }
    struct entry *entry = mem_zero(1, sizeof *entry);
    entry->key = key;
    if (load(entry, w, e)) {
        entry_free(entry);
        return NULL;
    }
    entry->holders = 1;
    GROW(s->entries, s->count, s->capacity);
    s->entries[s->count++] = entry;
    return &entry->rows;
}

const struct shelf_rows *shelf_train(struct shelf *s, const struct config *c, size_t source, uint64_t max_length,
    const struct bundle *b, struct error *e)
{
    const struct config_source *from = &c->sources[source];
    const struct source_options o = {.name = from->name, .ability = from->ability,
        .paths = (const char *const *)from->path.names, .path_count = from->path.count, .max_length = (uint32_t)max_length,
        .max_rows = from->max_rows, .strict = c->strict};
    const struct shelf_rows *rows = find(s, &(struct wish){&o, from->chat_template, NULL, b}, e);
    if (!rows) config_missing(c, o.paths, o.path_count, e);
    return rows;
}

const struct shelf_rows *shelf_eval(struct shelf *s, const struct config *c, const struct config_eval *entry,
    uint64_t max_length, const struct bundle *b, struct error *e)
{
    const struct source_options o = {.name = entry->name, .paths = (const char *const *)entry->path.names,
        .path_count = entry->path.count, .max_length = (uint32_t)max_length, .max_rows = entry->max_rows, .strict = c->strict,
        .keep_rows = entry->metric != METRIC_NONE};
    const struct shelf_rows *rows = find(s, &(struct wish){&o, entry->chat_template, entry, b}, e);
    if (!rows) config_missing(c, o.paths, o.path_count, e);
    return rows;
}
