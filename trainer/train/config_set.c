// SPDX-License-Identifier: MIT
//
// config_set.c: overrides, "stages.0.learning_rate=1e-5".
#include "formats/json_file.h"
#include "train/config_read.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 16

static int set_at(cJSON *at, const char *path, cJSON *value, int depth, struct error *e);

static int set_in_object(cJSON *object, const char *path, cJSON *value, int depth, struct error *e)
{
    size_t n = strcspn(path, ".");
    if (n == 0 || depth == DEEPEST) return error_set(e, "wants names with dots between them, then = and a value");
    char *name = mem_string_n(path, n);
    cJSON *child = cJSON_GetObjectItemCaseSensitive(object, name), *made = NULL;
    bool had = child != NULL;
    if (path[n] == 0)
        made = value;
    else if (!child || cJSON_IsNull(child))
        made = child = cJSON_CreateObject();
    if (made && had)
        cJSON_ReplaceItemInObjectCaseSensitive(object, name, made);
    else if (made)
        cJSON_AddItemToObject(object, name, made);
    free(name);
    return path[n] == 0 ? 0 : set_at(child, path + n + 1, value, depth + 1, e);
}

static int set_in_list(cJSON *list, const char *path, cJSON *value, int depth, struct error *e)
{
    size_t n = strcspn(path, ".");
    int count = cJSON_GetArraySize(list), place = n > 0 && n < 9 && strspn(path, "0123456789") == n ? atoi(path) : -1;
    if (place < 0 || place >= count || depth == DEEPEST)
        return error_set(e, "\"%.*s\" is no place in this list of %d (the first is 0)", (int)n, path, count);
    if (path[n] == 0) return cJSON_ReplaceItemInArray(list, place, value) ? 0 : -1;
    return set_at(cJSON_GetArrayItem(list, place), path + n + 1, value, depth + 1, e);
}

static int set_at(cJSON *at, const char *path, cJSON *value, int depth, struct error *e)
{
    if (cJSON_IsObject(at)) return set_in_object(at, path, value, depth, e);
    if (cJSON_IsArray(at)) return set_in_list(at, path, value, depth, e);
    return error_set(e, "\"%s\" would be inside something that is neither an object nor a list", path);
}

// Sources and evals written as a path alone become objects, so that their other keys can be set.
static void open_entries(cJSON *entries)
{
    cJSON *next;
    for (cJSON *item = cJSON_IsObject(entries) ? entries->child : NULL; item; item = next) {
        next = item->next;
        if ((!cJSON_IsString(item) && !cJSON_IsArray(item)) || strcmp(item->string, "why") == 0) continue;
        cJSON *object = cJSON_CreateObject(), *path = cJSON_Duplicate(item, true);
        cJSON_AddItemToObject(object, "path", path);
        char *name = mem_string(item->string);
        cJSON_ReplaceItemInObjectCaseSensitive(entries, name, object);
        free(name);
    }
}

bool config_is_utf8(const char *text)
{
    cJSON *string = cJSON_CreateString(text), *again;
    char *printed = cJSON_PrintUnformatted(string);
    again = json_read_text("", printed, strlen(printed), NULL);
    bool good = again != NULL;
    cJSON_free(printed);
    cJSON_Delete(string);
    cJSON_Delete(again);
    return good;
}

int config_set_value(cJSON *root, const char *path, cJSON *value, struct error *e)
{
    const cJSON *stages = cJSON_GetObjectItemCaseSensitive(root, "stages"), *stage;
    open_entries(cJSON_GetObjectItemCaseSensitive(root, "sources"));
    open_entries(cJSON_GetObjectItemCaseSensitive(root, "eval"));
    cJSON_ArrayForEach(stage, stages) open_entries(cJSON_GetObjectItemCaseSensitive(stage, "eval"));
    int status = set_at(root, path, value, 0, e);
    if (status) cJSON_Delete(value);
    return status;
}

int config_set(cJSON *root, const char *assignment, struct error *e)
{
    const char *equals = strchr(assignment, '=');
    if (!equals) return error_set(e, "--set %s: wants KEY=VALUE, as in --set learning_rate=1e-5", assignment);
    if (!config_is_utf8(assignment)) return error_set(e, "--set %s: is not UTF-8 text", assignment);
    char *path = mem_string_n(assignment, (size_t)(equals - assignment));
    cJSON *value = json_read_text("value", equals + 1, strlen(equals + 1), NULL);
    if (!value) value = cJSON_CreateString(equals + 1);
    int status = config_set_value(root, path, value, e);
    if (status) error_prefix(e, "--set %s: ", assignment);
    free(path);
    return status;
}
