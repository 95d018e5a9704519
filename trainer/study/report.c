// SPDX-License-Identifier: MIT
//
// report.c: which runs a report is of, and which of them differ in nothing but the seed.
#include "study/report.h"

#include "formats/json_file.h"
#include "train/output.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add_note(char **notes, char *sentence)
{
    char *all = *notes ? mem_format("%s\n%s", *notes, sentence) : mem_string(sentence);
    free(*notes);
    free(sentence);
    *notes = all;
}

// ---- words -------------------------------------------------------------------------------------------------------

void report_fraction(struct text *t, double x)
{
    double inverse = x > 0 ? 1 / x : 0;
    if (x < 1 && inverse <= 1e6 && fabs(inverse - round(inverse)) < 1e-9 * inverse) {
        text_print(t, "1/%.0f", inverse);
        return;
    }
    char digits[40];
    for (int n = 6; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (strtod(digits, NULL) == x) break;
    }
    text_print(t, "%s", digits);
}

// A path says most with its last part; a sweep's own words ("dmt 1/4") stay as they are.
static void add_word(struct text *t, const char *key, const char *s)
{
    const char *last = strrchr(key, '.'), *slash = strrchr(s, '/');
    bool path = strcmp(last ? last + 1 : key, "path") == 0 || strcmp(key, "model_name_or_path") == 0;
    text_print(t, "%s", path && slash && slash[1] ? slash + 1 : s);
}

static bool is_words(const cJSON *value)
{
    if (!cJSON_IsArray(value) || !value->child) return false;
    for (const cJSON *item = value->child; item; item = item->next)
        if (!cJSON_IsString(item)) return false;
    return true;
}

void report_setting(struct text *t, const char *key, const cJSON *value)
{
    const char *name = strrchr(key, '.');
    name = strncmp(key, "sources.", 8) == 0 || strncmp(key, "stages.", 7) == 0 || !name ? key : name + 1;
    if (t->bytes) text_print(t, ", ");
    if (cJSON_IsString(value)) {
        add_word(t, key, value->valuestring);
    } else if (is_words(value)) {
        for (const cJSON *item = value->child; item; item = item->next) {
            if (item != value->child) text_print(t, "+");
            add_word(t, key, item->valuestring);
        }
    } else if (cJSON_IsNumber(value)) {
        text_print(t, "%s=", strcmp(name, "dmt_k") == 0 ? "k" : name);
        if (strcmp(name, "dmt_k") == 0 || strstr(name, ".mix."))
            report_fraction(t, value->valuedouble);
        else
            text_print(t, "%.6g", value->valuedouble);
    } else {
        char *json = value ? json_print(value, false) : mem_string("none");
        text_print(t, "%s=%s", name, json);
        free(json);
    }
}

// ---- the runs ----------------------------------------------------------------------------------------------------

static bool known(const struct report *r, const char *folder)
{
    struct stat a, b;
    if (stat(folder, &a) != 0) return false;
    for (size_t i = 0; i < r->run_count; i++)
        if (stat(r->runs[i].folder, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) return true;
    return false;
}

// Reads a run under a name; NULL when the report has it already.
static struct report_run *add_run(struct report *r, const char *folder, char *name)
{
    if (known(r, folder)) {
        add_note(&r->notes, mem_format("%s: is there already, and counts once", folder));
        free(name);
        return NULL;
    }
    GROW(r->runs, r->run_count, r->run_capacity);
    struct report_run *run = &r->runs[r->run_count++];
    report_run_read(run, r, folder);
    run->name = name;
    return run;
}

static char *trimmed(const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    return mem_string_n(folder, n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The names of a folder's folders that are runs, in order.
static int child_runs(struct report_names *names, const char *folder, struct error *e)
{
    DIR *dir = opendir(folder);
    if (!dir) return error_set(e, "%s: cannot be read (%s)", folder, strerror(errno));
    for (struct dirent *d; (d = readdir(dir));) {
        if (d->d_name[0] == '.') continue;
        char *child = path_join(folder, d->d_name);
        if (output_is_run(child)) report_name(names, d->d_name);
        free(child);
    }
    closedir(dir);
    if (names->count) qsort(names->names, names->count, sizeof *names->names, by_name);
    return 0;
}

static void names_free(struct report_names *names)
{
    for (size_t i = 0; i < names->count; i++) free(names->names[i]);
    free(names->names);
    *names = (struct report_names){0};
}

static char *child_name(const char *folder, const char *child, bool alone)
{
    return alone ? mem_string(child) : path_join(folder, child);
}

// Whether the run has been made again since the results were written.
static bool gone_on(const struct report_run *run, const cJSON *item)
{
    const cJSON *hash = json_member(item, "hash");
    return run->state == REPORT_RUNNING || (cJSON_IsString(hash) && strcmp(hash->valuestring, run->hash) != 0);
}

// The runs that results.json of a sweep lists, with their axes.
static void sweep_runs(struct report *r, const char *folder, const char *path, bool alone)
{
    struct error e = {0};
    cJSON *results = json_read_file(path, &e);
    const cJSON *item;
    if (!results) add_note(&r->notes, mem_format("%s; its runs are told apart by their configs", e.text));
    struct text missing = {0};
    cJSON_ArrayForEach(item, json_member(results, "runs"))
    {
        const char *name = json_text(item, "name"), *state = json_text(item, "state");
        char *child = path_join(folder, name);
        if (!*name || strchr(name, '/') || !output_is_run(child)) {
            text_print(&missing, "%s%s%s%s%s", missing.bytes ? ", " : "", *name ? name : "(without a name)",
                *state ? " (" : "", state, *state ? ")" : "");
            free(child);
            continue;
        }
        struct report_run *run = add_run(r, child, child_name(folder, name, alone));
        if (run) {
            // Runs of earlier grids, perhaps of another base, are told apart by their configs.
            bool asked = !cJSON_IsFalse(json_member(item, "asked"));
            const cJSON *axes = json_member(item, "axes");
            if (asked && cJSON_IsObject(axes)) run->axes = cJSON_Duplicate(axes, true);
            run->sweep = mem_string(folder);
            const char *why = *json_text(item, "why") ? json_text(item, "why") : "failed";
            if (strcmp(state, "failed") == 0 && !gone_on(run, item)) run->why = mem_string(why);
        }
        free(child);
    }
    if (missing.bytes) add_note(&r->notes, mem_format("%s: no run is there of %s", path, missing.data));
    text_free(&missing);
    cJSON_Delete(results);
}

static int add_folder(struct report *r, const char *given, bool alone, struct error *e)
{
    char *folder = trimmed(given), *results = path_join(folder, "results.json");
    int status = 0;
    struct report_names children = {0};
    if (!folder_exists(folder)) {
        status = error_set(e, "%s: %s; name a run's output_dir, or a sweep's", folder,
            file_exists(folder) ? "is a file, not a folder" : "there is no such folder");
    } else if (output_is_run(folder)) {
        add_run(r, folder, mem_string(folder));
    } else {
        bool sweep = file_exists(results);
        status = child_runs(&children, folder, e);
        if (status == 0 && !children.count)
            status = error_set(e,
                "%s: is no run and holds none: no log.jsonl and no pumice_config.json in it or in the folders in it; "
                "name the output_dir of a `pumice train` or a `pumice sweep`",
                folder);
        if (status == 0 && sweep) sweep_runs(r, folder, results, alone);
        for (size_t i = 0; i < children.count && status == 0; i++) {
            char *child = path_join(folder, children.names[i]);
            // Those that the sweep lists are there already; one that is going may not be listed yet.
            struct report_run *run =
                sweep && known(r, child) ? NULL : add_run(r, child, child_name(folder, children.names[i], alone));
            if (run && sweep) run->sweep = mem_string(folder);
            free(child);
        }
    }
    names_free(&children);
    free(results);
    free(folder);
    return status;
}

// ---- groups ------------------------------------------------------------------------------------------------------

// Of a config, what does not make two runs different in kind.
static const char *const volatile_keys[] = {
    "seed", "output_dir", "device", "strict", "logging_steps", "save_strategy", "save_steps", "save_total_limit", NULL};

static cJSON *essence(const cJSON *config)
{
    cJSON *copy = cJSON_Duplicate(config, true);
    for (const char *const *key = volatile_keys; *key; key++) cJSON_DeleteItemFromObjectCaseSensitive(copy, *key);
    return copy;
}

static char *essence_text(const cJSON *config)
{
    cJSON *copy = essence(config);
    char *text = json_print(copy, false);
    cJSON_Delete(copy);
    return text;
}

// The same for groups that differ in nothing but dmt_k; mixed_sequential is a k of 0 (Dong et al. 2023, section 3.4).
static char *k_series(const cJSON *config)
{
    cJSON *copy = essence(config);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "dmt_k");
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "strategy");
    char *text = json_print(copy, false);
    cJSON_Delete(copy);
    return text;
}

// The same for groups that differ in nothing but how many rows there are: the values of a mix, mix_rows, a source's
// files and max_rows.
static char *amount_series(const cJSON *config)
{
    cJSON *copy = essence(config), *stage, *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(copy, "sources"))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(item, "path");
        cJSON_DeleteItemFromObjectCaseSensitive(item, "max_rows");
    }
    cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(copy, "stages"))
    {
        cJSON *mix = cJSON_GetObjectItemCaseSensitive(stage, "mix"), *names = cJSON_CreateArray();
        cJSON_ArrayForEach(item, mix) cJSON_AddItemToArray(names, cJSON_CreateString(item->string));
        cJSON_ReplaceItemInObjectCaseSensitive(stage, "mix", names);
        cJSON_DeleteItemFromObjectCaseSensitive(stage, "mix_rows");
    }
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "mix_rows");
    char *text = json_print(copy, false);
    cJSON_Delete(copy);
    return text;
}

// A sweep's axes but for the seed; NULL: no such thing.
static char *axes_text(const struct report_run *run)
{
    if (!run->axes || !run->sweep || !json_member(run->axes, "seed")) return NULL;
    cJSON *copy = cJSON_Duplicate(run->axes, true);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "seed");
    char *json = json_print(copy, false), *text = mem_format("%s %s", run->sweep, json);
    free(json);
    cJSON_Delete(copy);
    return text;
}

static double k_of(const cJSON *config)
{
    const char *strategy = json_text(config, "strategy");
    if (strcmp(strategy, "mixed_sequential") == 0) return 0;
    const cJSON *k = json_member(config, "dmt_k");
    return strcmp(strategy, "dmt") == 0 && cJSON_IsNumber(k) ? k->valuedouble : (double)NAN;
}

static void new_group(struct report *r, const struct report_run *run)
{
    GROW(r->groups, r->group_count, r->group_capacity);
    struct report_group *g = &r->groups[r->group_count++];
    *g = (struct report_group){.k = NAN};
    if (!run->config) return;
    g->k = k_of(run->config);
    if (!isnan(g->k)) g->k_series = k_series(run->config);
}

// A run that was killed early has neither plan nor manifests: another one of its group tells the rows.
static void join_group(struct report *r, size_t index)
{
    const struct report_run *run = &r->runs[index];
    struct report_group *g = &r->groups[run->group];
    g->runs = mem_resize(g->runs, (g->run_count + 1) * sizeof *g->runs);
    g->runs[g->run_count++] = index;
    if (g->rows || !run->staged) return;
    g->rows = run->stages[run->stage_count - 1].rows;
    if (g->rows && run->config) g->amount_series = amount_series(run->config);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool same_run(const struct report_run *a, const struct report_run *b)
{
    return *a->hash && a->step_count == b->step_count && strcmp(a->hash, b->hash) == 0 &&
           cJSON_Compare(json_member(a->config, "seed"), json_member(b->config, "seed"), true);
}

// Marks runs that are there twice. One that was copied before its end is the copy.
static void find_copies(struct report *r, char *const *kinds)
{
    for (size_t i = 0; i < r->run_count; i++)
        for (size_t k = 0; k < i && r->runs[i].copy_of == REPORT_NONE; k++) {
            struct report_run *earlier = &r->runs[k], *later = &r->runs[i];
            if (earlier->copy_of != REPORT_NONE || !same_run(earlier, later) || !same(kinds[i], kinds[k])) continue;
            bool swap = later->state == REPORT_DONE && earlier->state != REPORT_DONE;
            (swap ? earlier : later)->copy_of = (uint32_t)(swap ? i : k);
            add_note(&r->notes, mem_format("%s: is the same run as %s, with the same config, seed and hash, and counts once",
                swap ? earlier->name : later->name, swap ? later->name : earlier->name));
        }
}

static void make_groups(struct report *r)
{
    char **kinds = mem_zero(r->run_count + 1, sizeof *kinds), **axes = mem_zero(r->run_count + 1, sizeof *axes);
    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i].config) kinds[i] = essence_text(r->runs[i].config);
    find_copies(r, kinds);
    for (size_t i = 0; i < r->run_count; i++) {
        struct report_run *run = &r->runs[i];
        if (run->copy_of != REPORT_NONE) continue;
        axes[i] = axes_text(run);
        for (size_t k = 0; k < i && run->group == REPORT_NONE; k++)
            if (same(kinds[i], kinds[k]) || same(axes[i], axes[k])) run->group = r->runs[k].group;
        if (run->group == REPORT_NONE) {
            run->group = (uint32_t)r->group_count;
            new_group(r, run);
        }
        join_group(r, i);
    }
    for (size_t i = 0; i < r->run_count; i++) {
        const struct report_run *original = &r->runs[i];
        while (original->copy_of != REPORT_NONE) original = &r->runs[original->copy_of];
        r->runs[i].group = original->group; // its own group would be without runs
        free(kinds[i]);
        free(axes[i]);
    }
    free(kinds);
    free(axes);
}

// ---- what tells groups from one another --------------------------------------------------------------------------

// Leaves of a config by path; arrays are leaves unless they hold objects.
static void flatten(cJSON *out, struct text *path, const cJSON *value)
{
    bool nested = cJSON_IsObject(value) || (cJSON_IsArray(value) && cJSON_IsObject(value->child));
    if (!nested) {
        cJSON_AddItemToObject(out, path->data, cJSON_Duplicate(value, true));
        return;
    }
    int place = 0;
    for (const cJSON *item = value->child; item; item = item->next, place++) {
        size_t bytes = path->bytes;
        if (bytes) text_print(path, ".");
        if (item->string)
            text_print(path, "%s", item->string);
        else
            text_print(path, "%d", place);
        flatten(out, path, item);
        path->bytes = bytes;
        path->data[bytes] = 0;
    }
}

static const struct report_run *first_run(const struct report *r, size_t group)
{
    return &r->runs[r->groups[group].runs[0]];
}

// The settings of every group: a sweep's axes but the seed, or the leaves of the config.
static void take_settings(struct report *r)
{
    for (size_t i = 0; i < r->group_count; i++) {
        struct report_group *g = &r->groups[i];
        for (size_t k = 0; k < g->run_count && !g->settings; k++)
            if (r->runs[g->runs[k]].axes) g->settings = cJSON_Duplicate(r->runs[g->runs[k]].axes, true);
        const cJSON *config = first_run(r, i)->config;
        if (g->settings) {
            cJSON_DeleteItemFromObjectCaseSensitive(g->settings, "seed");
        } else {
            g->settings = cJSON_CreateObject();
            cJSON *own = config ? essence(config) : cJSON_CreateObject();
            struct text path = {0};
            text_add(&path, "", 0);
            if (own->child) flatten(g->settings, &path, own);
            // What is written there has no meaning for it.
            if (isnan(g->k) || g->k == 0) cJSON_DeleteItemFromObjectCaseSensitive(g->settings, "dmt_k");
            text_free(&path);
            cJSON_Delete(own);
        }
    }
}

static bool everywhere(const struct report *r, const cJSON *setting)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const cJSON *other = json_member(r->groups[i].settings, setting->string);
        if (!other || !cJSON_Compare(setting, other, true)) return false;
    }
    return true;
}

// Takes away what all groups have alike.
static void keep_differences(struct report *r)
{
    cJSON *alike = cJSON_CreateArray();
    const cJSON *item;
    if (r->group_count)
        cJSON_ArrayForEach(item, r->groups[0].settings) if (everywhere(r, item))
            cJSON_AddItemToArray(alike, cJSON_CreateString(item->string));
    for (size_t i = 0; i < r->group_count; i++)
        cJSON_ArrayForEach(item, alike)
            cJSON_DeleteItemFromObjectCaseSensitive(r->groups[i].settings, item->valuestring);
    cJSON_Delete(alike);
}

#define LABEL_SETTINGS 4 // more of them tell less than a run's name

static void make_labels(struct report *r)
{
    take_settings(r);
    keep_differences(r);
    for (size_t i = 0; i < r->group_count; i++) {
        struct report_group *g = &r->groups[i];
        const struct report_run *run = first_run(r, i);
        struct text label = {0};
        const cJSON *item;
        if (cJSON_GetArraySize(g->settings) <= LABEL_SETTINGS)
            cJSON_ArrayForEach(item, g->settings) report_setting(&label, item->string, item);
        if (!label.bytes && r->group_count == 1 && run->config && *json_text(run->config, "strategy"))
            text_print(&label, "%s", json_text(run->config, "strategy"));
        if (!label.bytes) text_print(&label, "%s", run->name);
        bool taken = false;
        for (size_t k = 0; k < i; k++) taken = taken || strcmp(r->groups[k].label, label.data) == 0;
        if (taken) text_print(&label, " (%s)", run->name);
        g->label = mem_string(label.data);
        text_free(&label);
    }
}

// ---- the whole ---------------------------------------------------------------------------------------------------

int report_read(struct report *r, const char *const *folders, size_t count, struct error *e)
{
    *r = (struct report){0};
    for (size_t i = 0; i < count; i++)
        if (add_folder(r, folders[i], count == 1, e)) {
            report_free(r);
            return -1;
        }
    make_groups(r);
    make_labels(r);
    return 0;
}

void report_free(struct report *r)
{
    for (size_t i = 0; i < r->run_count; i++) report_run_free(&r->runs[i]);
    for (size_t i = 0; i < r->group_count; i++) {
        free(r->groups[i].label);
        free(r->groups[i].runs);
        free(r->groups[i].k_series);
        free(r->groups[i].amount_series);
        cJSON_Delete(r->groups[i].settings);
    }
    names_free(&r->sources);
    names_free(&r->abilities);
    free(r->runs);
    free(r->groups);
    free(r->notes);
    *r = (struct report){0};
}
