// SPDX-License-Identifier: MIT
#include "formats/json_file.h"
#include "train/config_keys.h"
#include "train/config_read.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct config *c;
    const char *folder; // what relative paths are relative to, absolute
    struct text where;  // path of the value at hand: "stages.0.mix"
    struct error *e;
};

// Enters a member of the value at hand; returns what to give to `leave`.
static size_t enter(struct reading *r, const char *name)
{
    size_t before = r->where.bytes;
    text_print(&r->where, before ? ".%s" : "%s", name);
    return before;
}

static void leave(struct reading *r, size_t before)
{
    r->where.bytes = before;
    r->where.data[before] = 0;
}

static int fail(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct reading *r, const char *format, ...)
{
    char sentence[700];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return error_set(r->e, "%s%s%s", r->where.bytes ? r->where.data : "", r->where.bytes ? ": " : "", sentence);
}

// "is VALUE, but must be WHAT".
static int fail_value(struct reading *r, const cJSON *value, const char *what)
{
    char *shown = cJSON_PrintUnformatted(value);
    int status = fail(r, "is %.60s%s, but must be %s", shown, strlen(shown) > 60 ? "..." : "", what);
    cJSON_free(shown);
    return status;
}

// Names appear in logs, file names and paths of keys: letters, digits, _ - + and whatever is not ASCII.
static int check_name(struct reading *r, const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+";
    size_t n = strlen(name);
    bool good = n >= 1 && n <= 64;
    for (size_t i = 0; i < n; i++) good = good && ((name[i] & 0x80) || strchr(allowed, name[i]));
    if (good && strcmp(name, "why") != 0) return 0;
    return fail(r, "\"%.80s\" is no name: up to 64 letters, digits, _, - and +, and not \"why\"", name);
}

// The path seen from the config's folder. Leading "./" and "../" go away, for the sake of messages; the folder holds no
// links, so that its parent is the folder before it.
static char *path_resolve(const char *folder, const char *path)
{
    char *base = mem_string(folder);
    for (;; path += strspn(path, "/")) {
        if (strncmp(path, "./", 2) == 0) {
            path += 2;
        } else if (strncmp(path, "../", 3) == 0 && base[0] == '/') {
            char *slash = strrchr(base, '/');
            slash[slash == base] = 0; // above the root is the root
            path += 3;
        } else {
            break;
        }
    }
    char *joined = *path ? path_join(base, path) : mem_string(base);
    free(base);
    return joined;
}

// As path_resolve, but "owner/name" stays what it is when nothing of that name lies in the config's folder: a hub id.
static char *model_resolve(const char *folder, const char *name)
{
    char *path = path_resolve(folder, name);
    const char *slash = strchr(name, '/'), *dot = strrchr(name, '.');
    bool hub = name[0] != '.' && slash && slash != name && slash[1] && !strchr(slash + 1, '/') &&
               !(dot && strcmp(dot, ".gguf") == 0) && !file_exists(path) && !folder_exists(path);
    if (!hub) return path;
    free(path);
    return mem_string(name);
}

void config_names_free(struct config_names *names)
{
    for (size_t i = 0; i < names->count; i++) free(names->names[i]);
    free(names->names);
    *names = (struct config_names){0};
}

static void names_add(struct config_names *names, char *name)
{
    names->names = mem_resize(names->names, (names->count + 1) * sizeof *names->names);
    names->names[names->count++] = name;
}

static bool is_text(const cJSON *value)
{
    return cJSON_IsString(value) && value->valuestring[0];
}

// A string, or a list of strings that are not empty.
static int read_names(struct reading *r, struct config_names *names, const cJSON *value, bool paths)
{
    const char *what = paths ? "a path or a list of paths" : "a name or a list of names";
    config_names_free(names);
    const cJSON *first = cJSON_IsArray(value) ? value->child : value;
    for (const cJSON *item = first; item; item = cJSON_IsArray(value) ? item->next : NULL) {
        if (!is_text(item)) return fail_value(r, value, what);
        names_add(names, paths ? path_resolve(r->folder, item->valuestring) : mem_string(item->valuestring));
    }
    return paths && names->count == 0 ? fail_value(r, value, what) : 0;
}

static int read_number(struct reading *r, double *number, const struct config_key *key, const cJSON *value)
{
    double x = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    bool whole = key->type != KEY_NUMBER;
    if (x >= key->low && (key->below ? x < key->high : x <= key->high) && (!whole || x == floor(x))) {
        *number = x;
        return 0;
    }
    char what[160];
    snprintf(what, sizeof what, "%sa %snumber from %.16g to %s%.16g",
        key->type == KEY_COUNT_OR_AUTO ? "\"auto\" or " : "", whole ? "whole " : "", key->low,
        key->below ? "below " : "", key->high);
    if (whole && x >= 0x1p53) return fail(r, "is too large; it must be %s", what); // and not as it was written any more
    return fail_value(r, value, what);
}

static int read_enum(struct reading *r, unsigned *number, const struct config_key *key, const cJSON *value)
{
    const char *name = cJSON_IsBool(value) ? (cJSON_IsTrue(value) ? "true" : "false")
                                           : (cJSON_IsString(value) ? value->valuestring : "");
    const char *names[16];
    struct text all = {0};
    size_t count = 0;
    for (const struct key_value *v = key->values; v->name; v++) {
        if (strcmp(v->name, name) == 0) {
            *number = v->value;
            text_free(&all);
            return 0;
        }
        names[count++] = v->name;
        text_print(&all, "%s%s", count > 1 ? ", " : "", v->name);
    }
    names[count] = NULL;
    const char *near = nearest_name(name, names);
    if (near) text_print(&all, "; did you mean \"%s\"?", near);
    struct text what = {0};
    text_print(&what, "one of %s", all.data);
    int status = fail_value(r, value, what.data);
    text_free(&what);
    text_free(&all);
    return status;
}

static void keep_json(cJSON **kept, const cJSON *value)
{
    cJSON_Delete(*kept);
    *kept = cJSON_Duplicate(value, true);
    if (cJSON_IsObject(*kept)) cJSON_DeleteItemFromObjectCaseSensitive(*kept, "why");
}

static int read_init(struct reading *r, cJSON **init, const cJSON *value)
{
    if (!cJSON_IsObject(value)) return fail_value(r, value, "an object: a Hugging Face config and its \"tokenizer\"");
    keep_json(init, value);
    size_t before = enter(r, "tokenizer");
    cJSON *tokenizer = cJSON_GetObjectItemCaseSensitive(*init, "tokenizer");
    if (!tokenizer) return fail(r, "is missing: a folder, file or hub id whose tokenizer the new model gets, or \"bytes\"");
    if (!is_text(tokenizer)) return fail_value(r, tokenizer, "a folder, a file or a hub id");
    bool built_in = strcmp(tokenizer->valuestring, "bytes") == 0;
    char *path = built_in ? mem_string("bytes") : model_resolve(r->folder, tokenizer->valuestring);
    cJSON_ReplaceItemInObjectCaseSensitive(*init, "tokenizer", cJSON_CreateString(path));
    free(path);
    leave(r, before);
    return 0;
}

static int read_sources(struct reading *r, const cJSON *value);
static int read_stages(struct reading *r, const cJSON *value);
static int read_evals(struct reading *r, struct config_settings *settings, const cJSON *value);

static int read_string(struct reading *r, char **string, const struct config_key *key, const cJSON *value)
{
    char number[32] = "";
    if (key->type == KEY_DEVICE && cJSON_IsNumber(value)) snprintf(number, sizeof number, "%.17g", value->valuedouble);
    if (!number[0] && !is_text(value))
        return fail_value(r, value, key->type == KEY_DEVICE ? "an index or a name" : "a text");
    const char *text = number[0] ? number : value->valuestring;
    free(*string);
    *string = key->type == KEY_PATH    ? path_resolve(r->folder, text)
              : key->type == KEY_MODEL ? model_resolve(r->folder, text)
                                       : mem_string(text);
    return 0;
}

// One value into its field. `settings` are those that the keys of stages go to.
static int read_value(
    struct reading *r, void *field, const struct config_key *key, const cJSON *value, struct config_settings *settings)
{
    double number = 0;
    switch (key->type) {
    case KEY_STRING:
    case KEY_PATH:
    case KEY_MODEL:
    case KEY_DEVICE:
        return read_string(r, field, key, value);
    case KEY_BOOL:
        if (!cJSON_IsBool(value)) return fail_value(r, value, "true or false");
        *(bool *)field = cJSON_IsTrue(value);
        return 0;
    case KEY_COUNT_OR_AUTO:
        if (cJSON_IsString(value) && strcmp(value->valuestring, "auto") == 0) {
            *(uint64_t *)field = 0;
            return 0;
        }
    // fall through
    case KEY_COUNT:
        if (read_number(r, &number, key, value)) return -1;
        *(uint64_t *)field = (uint64_t)number;
        return 0;
    case KEY_NUMBER:
        return read_number(r, field, key, value);
    case KEY_ENUM:
        return read_enum(r, field, key, value);
    case KEY_NAMES:
        return read_names(r, field, value, false);
    case KEY_PATHS:
        return read_names(r, field, value, true);
    case KEY_TARGETS:
        config_names_free(field);
        if (cJSON_IsString(value) && strcmp(value->valuestring, "all-linear") == 0) return 0;
        if (!cJSON_IsArray(value) || !value->child)
            return fail_value(r, value, "\"all-linear\" or a list of module names");
        return read_names(r, field, value, false);
    case KEY_TEMPLATE:
        if (!is_text(value) && !cJSON_IsObject(value))
            return fail_value(r, value, "a template's name, \"auto\", \"none\" or an object of prefixes and suffixes");
        keep_json(field, value);
        return 0;
    case KEY_INIT:
        return read_init(r, field, value);
    case KEY_SOURCES:
        return read_sources(r, value);
    case KEY_STAGES:
        return read_stages(r, value);
    case KEY_EVAL:
        return read_evals(r, settings, value);
    }
    assert(!"a key of a type that exists");
    return -1;
}

// Reads the members of `object` that stand in the table into the struct at `base` (with config_keys: into the config
// and `settings`). `extra` (NULL ended): members that the caller reads; with them, the object is a stage.
static int read_object(struct reading *r, void *base, const struct config_key *keys, const cJSON *object,
    struct config_settings *settings, const char *const *extra)
{
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t before = enter(r, item->string);
        const struct config_key *key = config_key_find(keys, item->string);
        bool known = key && (!extra || key->in_stage), why = strcmp(item->string, "why") == 0;
        for (size_t i = 0; extra && extra[i]; i++) known = known || strcmp(extra[i], item->string) == 0;
        char hint[200];
        if (why && !cJSON_IsString(item) && !cJSON_IsNull(item)) return fail_value(r, item, "a text");
        if (key && !known) return fail(r, "belongs at the top of the config; a stage has no such key of its own");
        if (!known && !why)
            return fail(r, "is no key that exists%s", config_key_hint(keys, item->string, hint, sizeof hint));
        leave(r, before);
    }
    for (const struct config_key *key = keys; key->name; key++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key->name);
        if (!item || cJSON_IsNull(item)) continue;
        void *field = keys == config_keys ? config_key_field(key, base, settings) : (char *)base + key->offset;
        size_t before = enter(r, key->name);
        if (read_value(r, field, key, item, settings)) return -1;
        leave(r, before);
    }
    return 0;
}

static void set_defaults(struct reading *r, void *base, const struct config_key *keys, struct config_settings *settings)
{
    for (const struct config_key *key = keys; key->name; key++) {
        if (!key->standard) continue;
        cJSON *value = cJSON_Parse(key->standard);
        void *field = keys == config_keys ? config_key_field(key, base, settings) : (char *)base + key->offset;
        int status = read_value(r, field, key, value, settings);
        assert(status == 0);
        (void)status;
        cJSON_Delete(value);
    }
}

// A source or an eval: an object of the table's keys, or its path alone.
static int read_entry(struct reading *r, void *base, const struct config_key *keys, const cJSON *value)
{
    set_defaults(r, base, keys, NULL);
    const struct config_key *path = config_key_find(keys, "path");
    struct config_names *files = (void *)((char *)base + path->offset);
    if (cJSON_IsString(value) || cJSON_IsArray(value)) return read_names(r, files, value, true);
    if (!cJSON_IsObject(value)) return fail_value(r, value, "an object with a \"path\", or a path");
    if (read_object(r, base, keys, value, NULL, NULL)) return -1;
    if (files->count) return 0;
    enter(r, "path");
    return fail(r, "is missing");
}

// Members of a list of names that name nothing: comments, and what null has taken away.
static bool is_void(const cJSON *item)
{
    return cJSON_IsNull(item) || (strcmp(item->string, "why") == 0 && cJSON_IsString(item));
}

static int read_sources(struct reading *r, const cJSON *value)
{
    if (!cJSON_IsObject(value))
        return fail_value(r, value, "an object of sources: {\"name\": {\"path\": \"file.jsonl\"}}");
    struct config *c = r->c;
    for (const cJSON *item = value->child; item; item = item->next) {
        if (is_void(item)) continue;
        if (check_name(r, item->string)) return -1;
        c->sources = mem_resize(c->sources, (c->source_count + 1) * sizeof *c->sources);
        struct config_source *source = &c->sources[c->source_count++];
        *source = (struct config_source){.name = mem_string(item->string)};
        size_t before = enter(r, item->string);
        if (read_entry(r, source, source_keys, item)) return -1;
        leave(r, before);
    }
    return 0;
}

static void eval_free(struct config_eval *eval)
{
    free(eval->name);
    config_names_free(&eval->path);
    cJSON_Delete(eval->chat_template);
}

static void evals_free(struct config_settings *settings)
{
    for (size_t i = 0; i < settings->eval_count; i++) eval_free(&settings->eval[i]);
    free(settings->eval);
    settings->eval = NULL;
    settings->eval_count = 0;
}

// Takes an optional evaluation away again when a file of it is missing, which the notes then say.
static void leave_out_missing(struct config *c, struct config_settings *settings)
{
    struct config_eval *eval = &settings->eval[settings->eval_count - 1];
    const char *missing = NULL;
    for (size_t i = 0; eval->optional && i < eval->path.count && !missing; i++)
        if (!file_exists(eval->path.names[i])) missing = eval->path.names[i];
    if (!missing) return;
    char *notes = mem_format("%seval.%s: is left out, there is no %s\n", c->notes ? c->notes : "", eval->name, missing);
    free(c->notes);
    c->notes = notes;
    eval_free(eval);
    settings->eval_count--;
}

static int read_evals(struct reading *r, struct config_settings *settings, const cJSON *value)
{
    if (!cJSON_IsObject(value))
        return fail_value(r, value, "an object of data to evaluate on: {\"name\": \"file.jsonl\"}");
    evals_free(settings);
    for (const cJSON *item = value->child; item; item = item->next) {
        if (is_void(item)) continue;
        if (check_name(r, item->string)) return -1;
        settings->eval = mem_resize(settings->eval, (settings->eval_count + 1) * sizeof *settings->eval);
        struct config_eval *eval = &settings->eval[settings->eval_count++];
        *eval = (struct config_eval){.name = mem_string(item->string)};
        size_t before = enter(r, item->string);
        if (read_entry(r, eval, eval_keys, item)) return -1;
        leave_out_missing(r->c, settings);
        leave(r, before);
    }
    return 0;
}

static const char *const amount_names[] = {
    [AMOUNT_ROWS] = "rows", [AMOUNT_AT_MOST] = "at_most", [AMOUNT_SHARE] = "share"};

const char *config_amount_name(enum config_amount amount)
{
    return amount_names[amount];
}

// {"rows": n}, {"at_most": n} or {"share": x}, perhaps with a "why".
static int read_amount_object(struct reading *r, struct config_mix *mix, const cJSON *value)
{
    static const char *const names[] = {"rows", "at_most", "share", NULL};
    const cJSON *number = NULL;
    for (const cJSON *item = value->child; item; item = item->next) {
        size_t before = enter(r, item->string);
        enum config_amount amount = AMOUNT_ROWS;
        while (amount <= AMOUNT_SHARE && strcmp(amount_names[amount], item->string) != 0) amount++;
        const char *near = nearest_name(item->string, names);
        if (is_void(item)) {
            leave(r, before);
            continue;
        }
        if (amount > AMOUNT_SHARE)
            return fail(r, "is no amount%s%s%s", near ? "; did you mean \"" : ": rows, at_most or share",
                near ? near : "", near ? "\"?" : "");
        if (number) return fail(r, "stands beside \"%s\": an amount has one of the two", amount_names[mix->amount]);
        number = item;
        mix->amount = amount;
        mix->value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        double most = amount == AMOUNT_SHARE ? 1 : 4294967295.0;
        bool whole = amount == AMOUNT_SHARE || mix->value == floor(mix->value);
        if (!(mix->value >= 0 && mix->value <= most && whole))
            return fail_value(r, item, amount == AMOUNT_SHARE ? "a fraction from 0 to 1 of mix_rows" : "a whole number");
        leave(r, before);
    }
    return number ? 0 : fail_value(r, value, "{\"rows\": n}, {\"at_most\": n} or {\"share\": fraction}");
}

static int read_amount(struct reading *r, struct config_mix *mix, const cJSON *value)
{
    if (cJSON_IsObject(value)) return read_amount_object(r, mix, value);
    double x = mix->value = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    if (x >= 0 && x <= 1)
        mix->amount = AMOUNT_FRACTION;
    else if (x > 1 && x <= 4294967295.0 && x == floor(x))
        mix->amount = AMOUNT_PASSES;
    else
        return fail_value(r, value,
            "a fraction from 0 to 1 of the rows, a whole number of passes over them, or {\"rows\": a whole number}, "
            "{\"at_most\": a whole number}, {\"share\": a fraction of mix_rows}");
    return 0;
}

static int read_mix(struct reading *r, struct config_stage *stage, const cJSON *value)
{
    size_t before = enter(r, "mix");
    if (!value) return fail(r, "is missing: {\"source\": amount, ...}");
    if (!cJSON_IsObject(value)) return fail_value(r, value, "an object: {\"source\": amount, ...}");
    const struct config *c = r->c;
    for (const cJSON *item = value->child; item; item = item->next) {
        if (is_void(item)) continue;
        size_t inside = enter(r, item->string);
        uint32_t source = 0;
        const char **names = mem_zero(c->source_count + 1, sizeof *names);
        for (size_t i = 0; i < c->source_count; i++) names[i] = c->sources[i].name;
        while (source < c->source_count && strcmp(names[source], item->string) != 0) source++;
        const char *near = nearest_name(item->string, names);
        int status = 0;
        if (source == c->source_count)
            status = fail(r, "is not among the \"sources\"%s%s%s", near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
        free(names);
        stage->mix = mem_resize(stage->mix, (stage->mix_count + 1) * sizeof *stage->mix);
        struct config_mix *mix = &stage->mix[stage->mix_count++];
        *mix = (struct config_mix){.source = source};
        if (status || read_amount(r, mix, item)) return -1;
        leave(r, inside);
    }
    if (stage->mix_count == 0) return fail(r, "is empty: {\"source\": amount, ...}");
    leave(r, before);
    return 0;
}

static int read_stage(struct reading *r, struct config_stage *stage, const cJSON *value)
{
    static const char *const extra[] = {"name", "mix", NULL};
    if (!cJSON_IsObject(value))
        return fail_value(r, value, "an object: {\"name\": \"first\", \"mix\": {\"source\": 1}}");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(value, "name");
    size_t before = enter(r, "name");
    if (!name) return fail(r, "is missing");
    if (!is_text(name)) return fail_value(r, name, "a text");
    if (check_name(r, name->valuestring)) return -1;
    leave(r, before);
    stage->name = mem_string(name->valuestring);
    if (read_object(r, r->c, config_keys, value, &stage->settings, extra)) return -1;
    return read_mix(r, stage, cJSON_GetObjectItemCaseSensitive(value, "mix"));
}

static int read_stages(struct reading *r, const cJSON *value)
{
    if (!cJSON_IsArray(value) || !value->child) return fail_value(r, value, "a list of one stage or more");
    struct config *c = r->c;
    for (const cJSON *item = value->child; item; item = item->next) {
        char place[24];
        snprintf(place, sizeof place, "%zu", c->stage_count);
        c->stages = mem_resize(c->stages, (c->stage_count + 1) * sizeof *c->stages);
        struct config_stage *stage = &c->stages[c->stage_count++];
        *stage = (struct config_stage){0};
        config_settings_copy(&stage->settings, &c->settings);
        size_t before = enter(r, place);
        if (read_stage(r, stage, item)) return -1;
        leave(r, before);
    }
    return 0;
}

void config_settings_copy(struct config_settings *to, const struct config_settings *from)
{
    *to = *from;
    to->eval = mem_zero(from->eval_count, sizeof *to->eval);
    for (size_t i = 0; i < from->eval_count; i++) {
        struct config_eval *eval = &to->eval[i];
        *eval = from->eval[i];
        eval->name = mem_string(eval->name);
        eval->path = (struct config_names){0};
        for (size_t k = 0; k < from->eval[i].path.count; k++)
            names_add(&eval->path, mem_string(from->eval[i].path.names[k]));
        if (eval->chat_template) eval->chat_template = cJSON_Duplicate(eval->chat_template, true);
    }
}

void config_settings_free(struct config_settings *settings)
{
    evals_free(settings);
    *settings = (struct config_settings){0};
}

void config_free(struct config *c)
{
    free(c->file);
    free(c->model_name_or_path);
    cJSON_Delete(c->init);
    free(c->output_dir);
    free(c->device);
    for (size_t i = 0; i < c->source_count; i++) {
        free(c->sources[i].name);
        config_names_free(&c->sources[i].path);
        free(c->sources[i].ability);
        cJSON_Delete(c->sources[i].chat_template);
    }
    free(c->sources);
    config_names_free(&c->specialized);
    config_names_free(&c->general);
    cJSON_Delete(c->chat_template);
    config_names_free(&c->lora_target);
    config_settings_free(&c->settings);
    for (size_t i = 0; i < c->stage_count; i++) {
        free(c->stages[i].name);
        free(c->stages[i].mix);
        config_settings_free(&c->stages[i].settings);
    }
    free(c->stages);
    free(c->notes);
    *c = (struct config){0};
}

static int read_tree(
    struct config *c, cJSON *root, const char *path, const char *const *sets, size_t set_count, struct error *e)
{
    for (size_t i = 0; i < set_count; i++)
        if (config_set(root, sets[i], e)) return -1;
    const cJSON *sweep = cJSON_GetObjectItemCaseSensitive(root, CONFIG_SWEEP);
    if (sweep && !cJSON_IsNull(sweep))
        return error_set(e, "%s: is a sweep, many runs: use `pumice sweep`, or --set " CONFIG_SWEEP "=null for its base alone", path);
    cJSON_DeleteItemFromObjectCaseSensitive(root, CONFIG_SWEEP);
    char *parent = path_folder(path), *folder = realpath(parent, NULL);
    struct reading r = {.c = c, .folder = folder ? folder : parent, .e = e};
    c->file = mem_string(path);
    c->explained = cJSON_IsString(cJSON_GetObjectItemCaseSensitive(root, "why"));
    set_defaults(&r, c, config_keys, &c->settings);
    int status = read_object(&r, c, config_keys, root, &c->settings, NULL);
    if (status == 0) status = config_check(c, e);
    text_free(&r.where);
    free(folder);
    free(parent);
    return status ? error_prefix(e, "%s: ", path) : 0;
}

static int read_root(
    struct config *c, cJSON *root, const char *path, const char *const *sets, size_t set_count, struct error *e)
{
    *c = (struct config){0};
    if (!root) return -1;
    int status = cJSON_IsObject(root) ? read_tree(c, root, path, sets, set_count, e)
                                      : error_set(e, "%s: should hold one object, {...}", path);
    cJSON_Delete(root);
    if (status) config_free(c);
    return status;
}

int config_read(struct config *c, const char *path, const char *const *sets, size_t set_count, struct error *e)
{
    return read_root(c, json_read_file(path, e), path, sets, set_count, e);
}

int config_missing(const struct config *c, const char *const *paths, size_t count, struct error *e)
{
    size_t there = 0;
    while (there < count && (file_exists(paths[there]) || folder_exists(paths[there]))) there++;
    if (!e || !c->explained || there == count) return -1;
    size_t n = strlen(e->text);
    snprintf(e->text + n, sizeof e->text - n, "; the \"why\" in %s may say how it is made", c->file);
    return -1;
}

int config_read_json(struct config *c, cJSON *root, const char *path, struct error *e)
{
    return read_root(c, root, path, NULL, 0, e);
}

int config_read_text(struct config *c, const char *text, size_t bytes, const char *path, const char *const *sets,
    size_t set_count, struct error *e)
{
    return read_root(c, json_read_text(path, text, bytes, e), path, sets, set_count, e);
}
