// SPDX-License-Identifier: MIT
#include "study/grid.h"

#include "formats/json_file.h"
#include "train/config_read.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- axes --------------------------------------------------------------------------------------------------------

// Comments may stand among axes, variants and what a variant sets.
static void remove_why(cJSON *object, int below)
{
    if (!cJSON_IsObject(object)) return;
    if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(object, "why"))) cJSON_DeleteItemFromObjectCaseSensitive(object, "why");
    for (cJSON *item = object->child; item && below; item = item->next) remove_why(item, below - 1);
}

// Keys that the sweep itself gives to each run.
static int check_key(const char *axis, const char *key, struct error *e)
{
    size_t n = strcspn(key, ".");
    char *first = mem_string_n(key, n);
    bool ours = strcmp(first, "output_dir") == 0 || strcmp(first, CONFIG_SWEEP) == 0;
    int status = ours ? error_set(e, "%s: an axis cannot set %s; every run has a folder of its own within output_dir", axis, first) : 0;
    free(first);
    return status;
}

// Whether setting `later` undoes what `earlier` has set: the same key, or one around it.
static bool undoes(const char *later, const char *earlier)
{
    size_t n = strlen(later);
    return strncmp(later, earlier, n) == 0 && (earlier[n] == 0 || earlier[n] == '.');
}

// Of one variant: keys are set in the order written.
static int check_variant(const cJSON *axis, const cJSON *variant, struct error *e)
{
    for (const cJSON *key = variant->child; key; key = key->next) {
        if (check_key(axis->string, key->string, e)) return -1;
        for (const cJSON *earlier = variant->child; earlier != key; earlier = earlier->next)
            if (undoes(key->string, earlier->string))
                return error_set(e, "%s.%s: %s undoes what it sets before, %s; write %s first, or once", axis->string,
                    variant->string, key->string, earlier->string, key->string);
    }
    return 0;
}

// From 2^53 on whole numbers are rounded to one another: two that were written apart may be one.
static int check_numbers(const cJSON *axis, struct error *e)
{
    for (const cJSON *value = axis->child; value; value = value->next) {
        if (!cJSON_IsNumber(value) || fabs(value->valuedouble) < 0x1p53) continue;
        for (const cJSON *other = axis->child; other != value; other = other->next)
            if (cJSON_IsNumber(other) && other->valuedouble == value->valuedouble)
                return error_set(e, "%s: holds %.17g twice, or whole numbers that are too large to be told apart", axis->string,
                    value->valuedouble);
    }
    return 0;
}

static int check_axis(const cJSON *axis, struct error *e)
{
    if (!*axis->string) return error_set(e, "\"\": an axis needs a name");
    if (!cJSON_IsArray(axis) && !cJSON_IsObject(axis))
        return error_set(e, "%s: an axis is a list of values, [1, 2], or an object of variants, {\"label\": {\"key\": value}}",
            axis->string);
    if (!axis->child) return error_set(e, "%s: has no values", axis->string);
    if (cJSON_IsArray(axis)) return check_numbers(axis, e) ? -1 : check_key(axis->string, axis->string, e);
    for (const cJSON *value = axis->child; value; value = value->next) {
        if (!*value->string) return error_set(e, "%s: a variant needs a label", axis->string);
        if (!cJSON_IsObject(value))
            return error_set(e, "%s.%s: a variant is an object of what it sets: {\"key\": value}", axis->string, value->string);
        if (check_variant(axis, value, e)) return -1;
    }
    return 0;
}

// The keys of an axis, one after the other: *variant begins as NULL, and so does the result.
static const char *next_key(const cJSON *axis, const cJSON **variant, const cJSON **key)
{
    if (cJSON_IsArray(axis)) return *variant ? NULL : (*variant = axis, axis->string);
    if (*key) *key = (*key)->next;
    while (!*key) {
        *variant = *variant ? (*variant)->next : axis->child;
        if (!*variant) return NULL;
        *key = cJSON_IsObject(*variant) ? (*variant)->child : NULL;
    }
    return (*key)->string;
}

static int check_apart(const cJSON *earlier, const cJSON *later, struct error *e)
{
    const cJSON *va = NULL, *ka = NULL, *vb, *kb;
    for (const char *a; (a = next_key(earlier, &va, &ka));) {
        vb = kb = NULL;
        for (const char *b; (b = next_key(later, &vb, &kb));)
            if (undoes(b, a)) return error_set(e, "%s and %s: both axes set %s", earlier->string, later->string, b);
    }
    return 0;
}

// The texts between commas.
static cJSON *split(const char *text)
{
    cJSON *parts = cJSON_CreateArray();
    for (;; text++) {
        size_t n = strcspn(text, ",");
        char *part = mem_string_n(text, n);
        cJSON_AddItemToArray(parts, cJSON_CreateString(part));
        free(part);
        text += n;
        if (!*text) return parts;
    }
}

// "V1,V2": the values as a JSON list without its brackets, or else one by one, each JSON or a text.
static cJSON *read_values(const char *text)
{
    char *list = mem_format("[%s]", text);
    cJSON *values = json_read_text("values", list, strlen(list), NULL);
    free(list);
    if (values) return values;
    values = cJSON_CreateArray();
    cJSON *parts = split(text);
    for (const cJSON *part = parts->child; part; part = part->next) {
        size_t n = strlen(part->valuestring);
        cJSON *value = n ? json_read_text("value", part->valuestring, n, NULL) : NULL;
        if (n) cJSON_AddItemToArray(values, value ? value : cJSON_CreateString(part->valuestring));
    }
    cJSON_Delete(parts);
    return values;
}

// Moves the variant of that label to those that are picked. -1 with the reason: there is none.
static int pick(cJSON *picked, cJSON *variants, const char *label, struct error *e)
{
    cJSON *variant = cJSON_DetachItemFromObjectCaseSensitive(variants, label);
    if (variant) {
        cJSON_AddItemToObject(picked, label, variant);
    } else if (cJSON_GetObjectItemCaseSensitive(picked, label)) {
        return error_set(e, "names %s twice", label);
    } else {
        const char **names = mem_zero((size_t)cJSON_GetArraySize(variants) + 1, sizeof *names);
        size_t count = 0;
        for (const cJSON *v = variants->child; v; v = v->next) names[count++] = v->string;
        const char *near = nearest_name(label, names);
        error_set(e, "has variants, which are picked by their labels, and none is \"%s\"%s%s%s", label,
            near ? "; did you mean \"" : count ? "; the first is \"" : "", near ? near : count ? names[0] : "", count ? "\"" : "");
        free(names);
        return -1;
    }
    return 0;
}

// Of an axis with variants those whose labels stand in the text, in its order: the text is one label, or labels with commas
// between them, or JSON texts.
static cJSON *pick_variants(const cJSON *axis, const char *text, struct error *e)
{
    cJSON *variants = cJSON_Duplicate(axis, true), *picked = cJSON_CreateObject();
    cJSON *values = NULL;
    int status = 0;
    if (cJSON_GetObjectItemCaseSensitive(variants, text))
        status = pick(picked, variants, text, e);
    else
        values = *text == '"' ? read_values(text) : split(text);
    for (const cJSON *value = values ? values->child : NULL; value && status == 0; value = value->next)
        status = pick(picked, variants, cJSON_IsString(value) ? value->valuestring : "", e);
    cJSON_Delete(values);
    cJSON_Delete(variants);
    if (status == 0) return picked;
    cJSON_Delete(picked);
    return NULL;
}

// "KEY=V1,V2" of a command line.
static int add_extra(cJSON *axes, const char *word, struct error *e)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) return error_set(e, "--axis %s: wants KEY=VALUE,VALUE,..., as in --axis seed=1,2,3", word);
    if (!config_is_utf8(word)) return error_set(e, "--axis %s: is not UTF-8 text", word);
    char *name = mem_string_n(word, (size_t)(equals - word));
    const cJSON *old = cJSON_GetObjectItemCaseSensitive(axes, name);
    cJSON *axis = cJSON_IsObject(old) ? pick_variants(old, equals + 1, e) : read_values(equals + 1);
    if (!axis)
        error_prefix(e, "--axis %s: ", name);
    else if (old)
        cJSON_ReplaceItemInObjectCaseSensitive(axes, name, axis);
    else
        cJSON_AddItemToObject(axes, name, axis);
    free(name);
    return axis ? 0 : -1;
}

// All axes as one object, checked. NULL with the reason.
static cJSON *axes_of(const cJSON *sweep, const char *const *extra, size_t extra_count, struct error *e)
{
    int status = 0;
    if (sweep && !cJSON_IsNull(sweep) && !cJSON_IsObject(sweep)) {
        error_set(e, "should be an object of axes: {\"learning_rate\": [1e-5, 2e-5]}");
        return NULL;
    }
    cJSON *axes = cJSON_CreateObject();
    for (const cJSON *item = sweep ? sweep->child : NULL; item; item = item->next)
        cJSON_AddItemToObject(axes, item->string, cJSON_Duplicate(item, true));
    remove_why(axes, 2); // before a label is looked for
    for (size_t i = 0; i < extra_count && status == 0; i++) {
        size_t n = strcspn(extra[i], "=") + 1;
        for (size_t k = 0; k < i && status == 0; k++)
            if (strncmp(extra[k], extra[i], n) == 0)
                status = error_set(e, "--axis %.*s: stands there twice; write all its values after one", (int)n - 1, extra[i]);
        if (status == 0) status = add_extra(axes, extra[i], e);
    }
    for (const cJSON *axis = axes->child; axis && status == 0; axis = axis->next) status = check_axis(axis, e);
    for (const cJSON *later = axes->child; later && status == 0; later = later->next)
        for (const cJSON *earlier = axes->child; earlier != later && status == 0; earlier = earlier->next)
            status = check_apart(earlier, later, e);
    if (status == 0 && !axes->child) status = error_set(e, "has no axis");
    if (status == 0) return axes;
    cJSON_Delete(axes);
    return NULL;
}

// ---- runs --------------------------------------------------------------------------------------------------------

// A value as it stands in a table: a text as it is, everything else as JSON.
static char *label_of(const cJSON *value)
{
    return cJSON_IsString(value) ? mem_string(value->valuestring) : json_print(value, false);
}

// What a folder's name may hold of a text: each run of other characters is one "-", none at the ends.
static void add_safe(struct text *name, const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=-";
    bool gap = false, begun = false;
    for (; *text; text++) {
        if (!(*text & 0x80) && !strchr(safe, *text)) {
            gap = begun;
            continue;
        }
        if (gap) text_add(name, "-", 1);
        gap = false;
        begun = true;
        text_add(name, text, 1);
    }
}

// Cut where a character begins; the hash of all of it keeps two long names apart.
static void shorten(struct text *name)
{
    if (name->bytes <= GRID_NAME) return;
    uint64_t hash = fnv1a(FNV_START, name->data, name->bytes);
    size_t n = GRID_NAME - 17;
    while ((name->data[n] & 0xc0) == 0x80) n--;
    name->bytes = n;
    text_print(name, "-%016" PRIx64, hash);
}

// The value of an axis with that number: of a list, or a variant.
static const cJSON *value_at(const cJSON *axis, size_t number)
{
    const cJSON *value = axis->child;
    while (value && number--) value = value->next;
    return value;
}

static void set_item(cJSON *set, const char *key, const cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(set, key);
    cJSON_AddItemToObject(set, key, cJSON_Duplicate(value, true));
}

static void make_run(struct grid_run *run, const struct grid *g, const cJSON *axes, size_t number)
{
    struct text name = {0};
    size_t rest = g->count, i = 0;
    run->axes = cJSON_CreateObject();
    run->set = cJSON_CreateObject();
    for (const cJSON *axis = axes->child; axis; axis = axis->next, i++) {
        rest /= g->axes[i].count;
        size_t at = number / rest % g->axes[i].count;
        const cJSON *value = value_at(axis, at);
        if (i) text_print(&name, ",");
        add_safe(&name, axis->string);
        text_print(&name, "=");
        add_safe(&name, g->axes[i].labels[at]);
        if (cJSON_IsArray(axis)) {
            set_item(run->set, axis->string, value);
            set_item(run->axes, axis->string, value);
        } else {
            for (const cJSON *key = value->child; key; key = key->next) set_item(run->set, key->string, key);
            cJSON_AddStringToObject(run->axes, axis->string, value->string);
        }
    }
    shorten(&name);
    run->name = name.data;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const struct grid *g, struct error *e)
{
    const char **names = mem_alloc(g->count * sizeof *names);
    int status = 0;
    for (size_t i = 0; i < g->count; i++) names[i] = g->runs[i].name;
    qsort(names, g->count, sizeof *names, compare_names);
    for (size_t i = 1; i < g->count && status == 0; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = error_set(e, "two runs have the name %s: a value stands there twice, or two differ only in characters that no "
                "folder's name has; use variants with labels, {\"label\": {\"key\": value}}", names[i]);
    free(names);
    return status;
}

int grid_make(struct grid *g, const cJSON *sweep, const char *const *extra, size_t extra_count, struct error *e)
{
    *g = (struct grid){.count = 1};
    cJSON *axes = axes_of(sweep, extra, extra_count, e);
    if (!axes) return error_prefix(e, CONFIG_SWEEP ": ");
    g->axes = mem_zero((size_t)cJSON_GetArraySize(axes), sizeof *g->axes);
    double runs = 1;
    for (const cJSON *axis = axes->child; axis; axis = axis->next) {
        struct grid_axis *a = &g->axes[g->axis_count++];
        a->name = mem_string(axis->string);
        a->labels = mem_zero((size_t)cJSON_GetArraySize(axis), sizeof *a->labels);
        for (const cJSON *value; (value = value_at(axis, a->count)); a->count++)
            a->labels[a->count] = cJSON_IsArray(axis) ? label_of(value) : mem_string(value->string);
        runs *= (double)a->count;
        g->count = runs <= GRID_RUNS ? g->count * a->count : 0;
    }
    int status = g->count ? 0 : error_set(e, CONFIG_SWEEP ": the grid has %.0f runs; at most %d are made", runs, GRID_RUNS);
    g->runs = mem_zero(g->count + 1, sizeof *g->runs);
    for (size_t i = 0; i < g->count; i++) make_run(&g->runs[i], g, axes, i);
    cJSON_Delete(axes);
    if (status == 0) status = check_names(g, e) ? error_prefix(e, CONFIG_SWEEP ": ") : 0;
    if (status) grid_free(g);
    return status;
}

void grid_free(struct grid *g)
{
    for (size_t i = 0; i < g->axis_count; i++) {
        for (size_t k = 0; k < g->axes[i].count; k++) free(g->axes[i].labels[k]);
        free(g->axes[i].labels);
        free(g->axes[i].name);
    }
    for (size_t i = 0; g->runs && i < g->count; i++) {
        free(g->runs[i].name);
        cJSON_Delete(g->runs[i].axes);
        cJSON_Delete(g->runs[i].set);
    }
    free(g->axes);
    free(g->runs);
    *g = (struct grid){0};
}

// ---- changes -----------------------------------------------------------------------------------------------------

// All but the last name of the path must be there: a slip in the middle would make a new source, say, that lacks its path.
static int check_path(const cJSON *root, const char *path, struct error *e)
{
    const cJSON *at = root;
    for (const char *dot; at && (dot = strchr(path, '.')); path = dot + 1) {
        char *name = mem_string_n(path, (size_t)(dot - path));
        if (cJSON_IsArray(at)) { // config_set_value knows lists
            free(name);
            return 0;
        }
        const cJSON *next = cJSON_GetObjectItemCaseSensitive(at, name);
        if (!next && cJSON_IsObject(at)) {
            const char **names = mem_zero((size_t)cJSON_GetArraySize(at) + 1, sizeof *names);
            size_t count = 0;
            for (const cJSON *item = at->child; item; item = item->next) names[count++] = item->string;
            const char *near = nearest_name(name, names);
            error_set(e, "there is no \"%s\" in the config%s%s%s", name, near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
            free(names);
            free(name);
            return -1;
        }
        at = next;
        free(name);
    }
    return 0;
}

int grid_apply(cJSON *root, const struct grid_run *run, struct error *e)
{
    for (const cJSON *item = run->set->child; item; item = item->next)
        if (check_path(root, item->string, e) || config_set_value(root, item->string, cJSON_Duplicate(item, true), e))
            return error_prefix(e, "%s: ", item->string);
    return 0;
}
