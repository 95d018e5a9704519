// SPDX-License-Identifier: MIT
//
// config_set.c: overrides, "stages.0.learning_rate=1e-5".
#include "formats/json_file.h"
#include "train/config_read.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 16

// Length of the existing key of `object` with which the path begins, the longest if several do (names may hold dots),
// or of the path's first segment.
static size_t first_length(const cJSON *object, const char *path)
{
    size_t best = 0;
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t n = strlen(item->string);
        if (n > best && strncmp(path, item->string, n) == 0 && (path[n] == 0 || path[n] == '.')) best = n;
    }
    return best ? best : strcspn(path, ".");
}

static int set_at(cJSON *at, const char *path, cJSON *value, int depth, struct error *e);

static int set_in_object(cJSON *object, const char *path, cJSON *value, int depth, struct error *e)
{
    size_t n = first_length(object, path);
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

int config_set(cJSON *root, const char *assignment, struct error *e)
{
    const char *equals = strchr(assignment, '=');
    if (!equals) return error_set(e, "--set %s: wants KEY=VALUE, as in --set learning_rate=1e-5", assignment);
    char *path = mem_string_n(assignment, (size_t)(equals - assignment));
    cJSON *value = json_read_text("value", equals + 1, strlen(equals + 1), NULL);
    if (!value) value = cJSON_CreateString(equals + 1);
    int status = set_at(root, path, value, 0, e);
    if (status) {
        cJSON_Delete(value);
        error_prefix(e, "--set %s: ", assignment);
    }
    free(path);
    return status;
}
