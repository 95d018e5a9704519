// SPDX-License-Identifier: MIT
//
// score: an ability's score: the share of rows that a model gets right.
#include "commands/common.h"
#include "commands/list.h"
#include "train/ability.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

static const char *const metrics[] = {[METRIC_EXACT] = "exact",
    [METRIC_NUMERIC] = "numeric",
    [METRIC_CONTAINS] = "contains",
    [METRIC_CHOICE] = "choice",
    [METRIC_RANK] = "rank",
    NULL};

static bool metric_find(enum config_metric *metric, const char *word)
{
    for (int i = METRIC_EXACT; i <= METRIC_RANK; i++)
        if (strcmp(metrics[i], word) == 0) {
            *metric = (enum config_metric)i;
            return true;
        }
    return false;
}

// Opens what the metric needs on the device, and scores.
static int run(struct ability_score *out, const struct ability *a, struct bundle *bundle, const char *device,
    const char *precision, uint32_t batch, struct error *e)
{
    struct evaluator v = {0};
    struct writer w = {0};
    struct gpu *gpu = device_open(device, e);
    enum storage storage;
    bool ok = gpu && precision_parse(&storage, precision, gpu_info(gpu), e) == 0;
    if (ok && a->longest) ok = evaluator_open(&v, bundle, gpu, storage, a->longest, e) == 0;
    if (ok && a->capacity)
        ok = writer_open(&w, bundle, gpu, storage, a->capacity, batch && batch < a->rows ? batch : a->rows, e) == 0;
    if (ok) {
        struct progress progress = progress_begin(a->rows);
        ability_run(a, v.session, w.generator, progress_ended, &progress, out);
    }
    writer_close(&w);
    evaluator_close(&v);
    if (gpu) gpu_close(gpu);
    return ok ? 0 : -1;
}

static void print_score(const struct ability *a, const struct ability_score *score, size_t skipped, bool json)
{
    if (!json) {
        printf("%s %.4f: %u of %u rows", metrics[a->metric], score->score, score->correct, score->rows);
        if (a->chance > 0) printf(" (by chance %.4f)", a->chance);
        puts("");
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "metric", metrics[a->metric]);
    cJSON_AddNumberToObject(o, "score", score->score);
    cJSON_AddNumberToObject(o, "correct", score->correct);
    cJSON_AddNumberToObject(o, "rows", score->rows);
    cJSON_AddNumberToObject(o, "skipped", (double)skipped);
    cJSON_AddNumberToObject(o, "chance", a->chance);
    print_json(o);
}

int command_score(const struct command *c, int argc, char **argv)
{
    const char *model = NULL, *word = NULL, *device = NULL, *precision = NULL, *template = "auto";
    uint64_t new_tokens = 128, max_length = 1024, max_rows = 0, batch = 0;
    struct option_list data = {0};
    bool json = false, strict = false;
    const struct option options[] = {
        {"model", OPTION_TEXT, &model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"data", OPTION_LIST, &data, "FILE...", "rows (.jsonl or .json)"},
        {"metric", OPTION_TEXT, &word, "METRIC", "exact, numeric, contains, choice, rank"},
        {"max-new-tokens", OPTION_COUNT, &new_tokens, "TOKENS", "longest answer (numeric, contains; default 128)"},
        {"max-length", OPTION_COUNT, &max_length, "TOKENS", "longest row (default 1024)"},
        {"max-rows", OPTION_COUNT, &max_rows, "ROWS", "the first so many (default: all)"},
        {"batch", OPTION_COUNT, &batch, "N", "at most so many answers at a time"},
        {"chat-template", OPTION_TEXT, &template, "NAME", "auto (the model's own), a name, none"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto"},
        {"strict", OPTION_FLAG, &strict, NULL, "stop at the first bad row"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    struct ability_options o = {0};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    if (status < 0 && (!model || !data.count || !word)) {
        say("pumice score: --model, --data and --metric are needed (pumice score --help)");
        status = STATUS_USAGE;
    } else if (status < 0 && !metric_find(&o.metric, word)) {
        const char *near = nearest_name(word, metrics + METRIC_EXACT);
        say("pumice score: --metric is %s; it is one of exact, numeric, contains, choice, rank%s%s", word,
            near ? "; did you mean " : "", near ? near : "");
        status = STATUS_USAGE;
    } else if (status < 0 && (!new_tokens || new_tokens > 1 << 24 || max_length > 1 << 24)) {
        say("pumice score: --max-new-tokens and --max-length are at most %d, and an answer has a token", 1 << 24);
        status = STATUS_USAGE;
    }
    if (status >= 0) return free(data.words), status;

    struct error e = {0};
    struct bundle bundle = {0};
    struct source rows = {0};
    struct ability a = {0};
    struct ability_score score = {0};
    cJSON *choice = cJSON_CreateString(template);
    o.max_new_tokens = (uint32_t)new_tokens;
    o.max_length = (uint32_t)max_length;
    bool ok = bundle_open(&bundle, model, choice, &e) == 0 && source_load(&rows,
                                                                  &(struct source_options){.name = data.words[0],
                                                                      .paths = data.words,
                                                                      .path_count = data.count,
                                                                      .template = &bundle.template,
                                                                      .max_length = o.max_length,
                                                                      .max_rows = max_rows,
                                                                      .strict = strict,
                                                                      .keep_rows = true},
                                                                  bundle.tokenizer, &e) == 0;
    if (ok) source_report(&rows);
    ok = ok && ability_make(&a, &rows, &bundle, &o, &e) == 0;
    if (ok && a.skipped) {
        if (strict)
            ok = error_set(&e, "%s", a.problem) == 0;
        else
            say("%zu rows cannot be scored; the first: %s", a.skipped, a.problem);
    }
    ok = ok && run(&score, &a, &bundle, device, precision, batch > UINT32_MAX ? 0 : (uint32_t)batch, &e) == 0;
    if (ok) print_score(&a, &score, rows.skipped + a.skipped, json);
    status = ok ? STATUS_DONE : fail(&e);
    ability_free(&a);
    source_free(&rows);
    free(data.words);
    cJSON_Delete(choice);
    bundle_close(&bundle);
    return status;
}
