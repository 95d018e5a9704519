// SPDX-License-Identifier: MIT
//
// config_json.c: a config written as JSON, and what has changed between two of them.
#include "formats/json_file.h"
#include "train/config_keys.h"
#include "train/config_read.h"

#include <stdlib.h>
#include <string.h>

static cJSON *names_json(const struct config_names *names)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < names->count; i++) cJSON_AddItemToArray(list, cJSON_CreateString(names->names[i]));
    return list;
}

static cJSON *enum_json(const struct config_key *key, unsigned value)
{
    const struct key_value *v = key->values;
    while (v->name && v->value != value) v++;
    if (!v->name) return NULL;
    if (strcmp(v->name, "true") == 0) return cJSON_CreateTrue();
    if (strcmp(v->name, "false") == 0) return cJSON_CreateFalse();
    return cJSON_CreateString(v->name);
}

static cJSON *table_json(const struct config_key *keys, const void *base);

static cJSON *evals_json(const struct config_settings *s)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < s->eval_count; i++)
        cJSON_AddItemToObject(object, s->eval[i].name, table_json(eval_keys, &s->eval[i]));
    return object;
}

static cJSON *sources_json(const struct config *c)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < c->source_count; i++)
        cJSON_AddItemToObject(object, c->sources[i].name, table_json(source_keys, &c->sources[i]));
    return object;
}

// The value of a field, or NULL when it holds none. KEY_SOURCES and KEY_STAGES are written by their own functions.
static cJSON *value_json(const struct config_key *key, const void *field, const struct config_settings *settings)
{
    const struct config_names *names = field;
    const char *string;
    const cJSON *json;
    uint64_t count;
    switch (key->type) {
    case KEY_STRING:
    case KEY_PATH:
    case KEY_MODEL:
    case KEY_DEVICE:
        string = *(char *const *)field;
        return string ? cJSON_CreateString(string) : NULL;
    case KEY_BOOL:
        return cJSON_CreateBool(*(const bool *)field);
    case KEY_COUNT:
    case KEY_COUNT_OR_AUTO:
        count = *(const uint64_t *)field;
        return key->type == KEY_COUNT || count ? cJSON_CreateNumber((double)count) : cJSON_CreateString("auto");
    case KEY_NUMBER:
        return cJSON_CreateNumber(*(const double *)field);
    case KEY_ENUM:
        return enum_json(key, *(const unsigned *)field);
    case KEY_NAMES:
        return names->count ? names_json(names) : NULL;
    case KEY_PATHS:
        return names_json(names);
    case KEY_TARGETS:
        return names->count ? names_json(names) : cJSON_CreateString("all-linear");
    case KEY_TEMPLATE:
    case KEY_INIT:
        json = *(cJSON *const *)field;
        return json ? cJSON_Duplicate(json, true) : NULL;
    case KEY_EVAL:
        return evals_json(settings);
    case KEY_SOURCES:
    case KEY_STAGES:
        return NULL;
    }
    return NULL;
}

static cJSON *table_json(const struct config_key *keys, const void *base)
{
    cJSON *object = cJSON_CreateObject();
    for (const struct config_key *key = keys; key->name; key++) {
        cJSON *value = value_json(key, (const char *)base + key->offset, NULL);
        if (value) cJSON_AddItemToObject(object, key->name, value);
    }
    return object;
}

// A stage; of its settings all, or those that differ from `top`.
static cJSON *stage_json(const struct config *c, const struct config_stage *stage, const struct config_settings *top)
{
    cJSON *object = cJSON_CreateObject(), *mix = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", stage->name);
    cJSON_AddItemToObject(object, "mix", mix);
    for (size_t i = 0; i < stage->mix_count; i++) {
        const struct config_mix *m = &stage->mix[i];
        const char *name = c->sources[m->source].name;
        const char *amount = config_amount_name(m->amount);
        cJSON_AddNumberToObject(amount ? cJSON_AddObjectToObject(mix, name) : mix, amount ? amount : name, m->value);
    }
    for (const struct config_key *key = config_keys; key->name; key++) {
        if (!key->in_stage) continue;
        cJSON *own = value_json(key, (const char *)&stage->settings + key->offset, &stage->settings);
        cJSON *same = top ? value_json(key, (const char *)top + key->offset, top) : NULL;
        if (top && cJSON_Compare(own, same, true))
            cJSON_Delete(own);
        else
            cJSON_AddItemToObject(object, key->name, own);
        cJSON_Delete(same);
    }
    return object;
}

static cJSON *stages_json(const struct config *c, const struct config_settings *top)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < c->stage_count; i++) cJSON_AddItemToArray(list, stage_json(c, &c->stages[i], top));
    return list;
}

cJSON *config_stages_json(const struct config *c)
{
    return stages_json(c, &c->settings);
}

cJSON *config_json(const struct config *c)
{
    cJSON *object = cJSON_CreateObject();
    for (const struct config_key *key = config_keys; key->name; key++) {
        const char *base = key->in_stage ? (const char *)&c->settings : (const char *)c;
        cJSON *value = value_json(key, base + key->offset, &c->settings);
        if (key->type == KEY_SOURCES) value = sources_json(c);
        if (key->type == KEY_STAGES && c->strategy == STRATEGY_STAGES) value = stages_json(c, NULL);
        if (value) cJSON_AddItemToObject(object, key->name, value);
    }
    return object;
}

int config_save(const struct config *c, const char *path, struct error *e)
{
    cJSON *object = config_json(c);
    int status = json_write_file(path, object, e);
    cJSON_Delete(object);
    return status;
}

// What --resume makes of a change at a path: "stages.0.eval_steps", "sources.math.path".
static enum config_resume path_resume(const char *path)
{
    char first[64];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(path, "."), path);
    const struct config_key *key = config_key_find(config_keys, first), *inner = NULL;
    if (!key) return RESUME_REFUSED;
    const char *last = strrchr(path, '.');
    if (key->type == KEY_SOURCES && last != strchr(path, '.')) inner = config_key_find(source_keys, last + 1);
    if (key->type == KEY_STAGES) {
        unsigned stage;
        char name[64] = "";
        if (sscanf(path, "stages.%u.%63[^.]", &stage, name) == 2) inner = config_key_find(config_keys, name);
        if (inner && !inner->in_stage) inner = NULL;
    }
    return inner ? inner->resume : key->resume;
}

// As JSON, numbers with all their bits (cJSON leaves the last one away). NULL for NULL.
static char *shown(const cJSON *value)
{
    if (!value) return NULL;
    if (!cJSON_IsNumber(value)) return cJSON_PrintUnformatted(value);
    char number[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value->valuedouble);
        if (strtod(number, NULL) == value->valuedouble) break;
    }
    return mem_string(number);
}

static void add_change(struct config_changes *out, const char *path, const cJSON *before, const cJSON *after)
{
    enum config_resume resume = path_resume(path);
    out->changes = mem_resize(out->changes, (out->count + 1) * sizeof *out->changes);
    out->changes[out->count++] = (struct config_change){
        .key = mem_string(path), .before = shown(before), .after = shown(after), .resume = resume};
    out->refused += resume == RESUME_REFUSED;
}

static bool is_nested(const cJSON *value)
{
    return cJSON_IsObject(value) || (cJSON_IsArray(value) && cJSON_IsObject(value->child));
}

static const cJSON *member(const cJSON *nested, const char *name, int place)
{
    return cJSON_IsArray(nested) ? cJSON_GetArrayItem(nested, place) : cJSON_GetObjectItemCaseSensitive(nested, name);
}

// cJSON_Compare takes numbers for equal that differ in the last bit; a resumed run may not.
static bool equal(const cJSON *a, const cJSON *b)
{
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) return a->valuedouble == b->valuedouble;
    return cJSON_Compare(a, b, true);
}

static cJSON *member_names(const cJSON *object)
{
    cJSON *names = cJSON_CreateArray();
    for (const cJSON *item = object->child; item; item = item->next)
        cJSON_AddItemToArray(names, cJSON_CreateString(item->string));
    return names;
}

// The order of sources and of a mix is the order of their rows; other objects have none.
static void compare_order(struct config_changes *out, const char *path, const cJSON *before, const cJSON *after)
{
    size_t n = strlen(path);
    if (strcmp(path, "sources") != 0 && (n < 4 || strcmp(path + n - 4, ".mix") != 0)) return;
    cJSON *old = member_names(before), *new = member_names(after);
    bool same_names = cJSON_GetArraySize(old) == cJSON_GetArraySize(new);
    for (const cJSON *item = before->child; item; item = item->next)
        same_names = same_names && cJSON_GetObjectItemCaseSensitive(after, item->string);
    if (same_names && !cJSON_Compare(old, new, true)) add_change(out, path, old, new);
    cJSON_Delete(old);
    cJSON_Delete(new);
}

static void compare(struct config_changes *out, struct text *path, const cJSON *before, const cJSON *after)
{
    bool nested = is_nested(before) && is_nested(after) && cJSON_IsArray(before) == cJSON_IsArray(after);
    if (!nested) {
        if (!before || !after || !equal(before, after)) add_change(out, path->data, before, after);
        return;
    }
    if (path->bytes) compare_order(out, path->data, before, after);
    for (int side = 0; side < 2; side++) {
        int place = 0;
        for (const cJSON *item = (side ? after : before)->child; item; item = item->next, place++) {
            char number[16];
            snprintf(number, sizeof number, "%d", place);
            const cJSON *other = member(side ? before : after, item->string, place);
            if (side && other) continue; // seen from the other side
            size_t bytes = path->bytes;
            text_print(path, bytes ? ".%s" : "%s", cJSON_IsArray(before) ? number : item->string);
            compare(out, path, side ? NULL : item, side ? item : other);
            path->bytes = bytes;
            path->data[bytes] = 0;
        }
    }
}

void config_compare(struct config_changes *out, const struct config *before, const struct config *after)
{
    *out = (struct config_changes){0};
    cJSON *a = config_json(before), *b = config_json(after);
    struct text path = {0};
    compare(out, &path, a, b);
    text_free(&path);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

void config_changes_free(struct config_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->changes[i].key);
        free(changes->changes[i].before);
        free(changes->changes[i].after);
    }
    free(changes->changes);
    *changes = (struct config_changes){0};
}
