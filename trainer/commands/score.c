// SPDX-License-Identifier: MIT
//
// score: an ability's score: the share of rows that a model gets right.
#include "commands/common.h"
#include "commands/list.h"
#include "train/ability.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

static const char *metric_name(enum config_metric metric)
{
    return config_value_name("metric", metric);
}

// "exact, numeric, ...".
static void metric_names(struct text *out)
{
    for (unsigned i = METRIC_NONE + 1; metric_name(i); i++) text_print(out, "%s%s", out->bytes ? ", " : "", metric_name(i));
}

// False, and the nearest name or NULL, when there is none of that name.
static bool metric_find(enum config_metric *metric, const char **near, const char *word)
{
    const char *names[16] = {NULL};
    for (unsigned i = METRIC_NONE + 1; metric_name(i); i++) {
        names[i - 1] = metric_name(i);
        if (strcmp(names[i - 1], word) != 0) continue;
        *metric = (enum config_metric)i;
        return true;
    }
    *near = nearest_name(word, names);
    return false;
}

// Rows that are scored together: all files, or each by itself.
struct set {
    const char *path; // NULL: all files
    struct source rows;
    struct ability ability;
    struct ability_score score;
};

static int open_set(struct set *set, const char *const *paths, size_t count, const struct bundle *bundle,
    const struct ability_options *o, uint64_t max_rows, bool strict, struct error *e)
{
    if (source_load(&set->rows,
            &(struct source_options){.name = paths[0],
                .paths = (const char **)paths,
                .path_count = count,
                .template = &bundle->template,
                .max_length = o->max_length,
                .max_rows = max_rows,
                .strict = strict,
                .keep_rows = true},
            bundle->tokenizer, e))
        return -1;
    source_report(&set->rows);
    if (ability_make(&set->ability, &set->rows, bundle, o, e)) return -1;
    if (!set->ability.skipped) return 0;
    if (strict) return error_set(e, "%s", set->ability.problem);
    say("%zu row%s cannot be scored; the first: %s", set->ability.skipped, plural(set->ability.skipped), set->ability.problem);
    return 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// Opens what the metric needs on the device, and scores.
static int run(struct set *sets, size_t count, struct bundle *bundle, const char *device, const char *precision,
    uint32_t batch, struct error *e)
{
    struct evaluator v = {0};
    struct writer w = {0};
    uint32_t longest = 0, capacity = 0, most = 0, rows = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ability *a = &sets[i].ability;
        longest = larger(longest, a->longest);
        capacity = larger(capacity, a->capacity);
        most = larger(most, a->rows);
        rows += a->rows;
    }
    bundle_say_positions(bundle, larger(longest, capacity)); // answers take positions, too
    struct gpu *gpu = device_open(device, e);
    enum storage storage;
    bool ok = gpu && precision_parse(&storage, precision, gpu_info(gpu), e) == 0;
    if (ok && longest) ok = evaluator_open(&v, bundle, gpu, storage, longest, e) == 0;
    if (ok && capacity)
        ok = writer_open(&w, bundle, gpu, storage, capacity, batch && batch < most ? batch : most, e) == 0;
    struct progress progress = progress_begin(rows);
    for (size_t i = 0; ok && i < count; i++)
        ability_run(&sets[i].ability, v.session, w.generator, progress_ended, &progress, &sets[i].score);
    writer_close(&w);
    evaluator_close(&v);
    if (gpu) gpu_close(gpu);
    return ok ? 0 : -1;
}

static void add_score(cJSON *o, const struct set *set)
{
    cJSON_AddNumberToObject(o, "score", set->score.score);
    cJSON_AddNumberToObject(o, "correct", set->score.correct);
    cJSON_AddNumberToObject(o, "rows", set->score.rows);
    cJSON_AddNumberToObject(o, "skipped", (double)(set->rows.skipped + set->ability.skipped));
    cJSON_AddNumberToObject(o, "chance", set->ability.chance);
}

// each: a score a file, and their plain mean, in which a small file counts as much as a large one.
static void print_scores(const struct set *sets, size_t count, bool each, bool json)
{
    const char *metric = metric_name(sets[0].ability.metric);
    cJSON *o = cJSON_CreateObject(), *files = each ? cJSON_CreateArray() : NULL;
    double mean = 0;
    cJSON_AddStringToObject(o, "metric", metric);
    for (size_t i = 0; i < count; i++) {
        const struct set *s = &sets[i];
        mean += s->score.score / (double)count;
        cJSON *one = each ? cJSON_CreateObject() : o;
        if (each) cJSON_AddStringToObject(one, "path", s->path);
        add_score(one, s);
        if (each) cJSON_AddItemToArray(files, one);
        if (json) continue;
        printf("%s %.4f: %u of %u row%s", metric, s->score.score, s->score.correct, s->score.rows, plural(s->score.rows));
        if (s->ability.chance > 0) printf(" (by chance %.4f)", s->ability.chance);
        if (each) printf(" of %s", s->path);
        puts("");
    }
    if (each) {
        cJSON_AddItemToObject(o, "files", files);
        cJSON_AddNumberToObject(o, "mean", mean);
        if (!json) printf("%s %.4f: the mean of %zu file%s\n", metric, mean, count, plural(count));
    }
    if (json)
        print_json(o);
    else
        cJSON_Delete(o);
}

int command_score(const struct command *c, int argc, char **argv)
{
    const char *model = NULL, *word = NULL, *device = NULL, *precision = NULL, *template = "auto", *near = NULL;
    uint64_t new_tokens = 128, max_length = 1024, max_rows = 0, batch = 0;
    struct option_list data = {0};
    bool json = false, strict = false, each = false;
    struct text metrics = {0};
    metric_names(&metrics);
    const struct option options[] = {
        {"model", OPTION_TEXT, &model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"data", OPTION_LIST, &data, "FILE...", "rows (.jsonl or .json)"},
        {"metric", OPTION_TEXT, &word, "METRIC", metrics.data},
        {"max-new-tokens", OPTION_COUNT, &new_tokens, "TOKENS", "longest answer (numeric, contains, cloze, true_false; default 128)"},
        {"max-length", OPTION_COUNT, &max_length, "TOKENS", "longest row (default 1024)"},
        {"max-rows", OPTION_COUNT, &max_rows, "ROWS", "the first so many (default: all)"},
        {"batch", OPTION_COUNT, &batch, "N", "at most so many answers at a time"},
        {"chat-template", OPTION_TEXT, &template, "NAME", "auto (the model's own), a name, none"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto"},
        FULL_SPEED_OPTION,
        {"each", OPTION_FLAG, &each, NULL, "each file by itself, and the plain mean of their scores"},
        {"strict", OPTION_FLAG, &strict, NULL, "stop at the first bad row"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    struct ability_options o = {0};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    if (status < 0 && (!model || !data.count || !word)) {
        say("pumice score: --model, --data and --metric are needed (pumice score --help)");
        status = STATUS_USAGE;
    } else if (status < 0 && !metric_find(&o.metric, &near, word)) {
        say("pumice score: --metric is %s; it is one of %s%s%s", word, metrics.data, near ? "; did you mean " : "", near ? near : "");
        status = STATUS_USAGE;
    } else if (status < 0 && (!new_tokens || new_tokens > 1 << 24 || max_length > 1 << 24)) {
        say("pumice score: --max-new-tokens and --max-length are at most %d, and an answer has a token", 1 << 24);
        status = STATUS_USAGE;
    }
    text_free(&metrics);
    if (status >= 0) return free(data.words), status;

    struct error e = {0};
    struct bundle bundle = {0};
    size_t count = each ? data.count : 1;
    struct set *sets = mem_zero(count, sizeof *sets);
    cJSON *choice = cJSON_CreateString(template);
    o.max_new_tokens = (uint32_t)new_tokens;
    o.max_length = (uint32_t)max_length;
    bool ok = bundle_open(&bundle, model, choice, &e) == 0;
    for (size_t i = 0; ok && i < count; i++) {
        if (each) sets[i].path = data.words[i];
        ok = open_set(&sets[i], data.words + i, each ? 1 : data.count, &bundle, &o, max_rows, strict, &e) == 0;
    }
    ok = ok && run(sets, count, &bundle, device, precision, batch > UINT32_MAX ? 0 : (uint32_t)batch, &e) == 0;
    if (ok) print_scores(sets, count, each, json);
    status = ok ? STATUS_DONE : fail(&e);
    for (size_t i = 0; i < count; i++) {
        ability_free(&sets[i].ability);
        source_free(&sets[i].rows);
    }
    free(sets);
    free(data.words);
    cJSON_Delete(choice);
    bundle_close(&bundle);
    return status;
}
