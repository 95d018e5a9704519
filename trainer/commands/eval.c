// SPDX-License-Identifier: MIT
//
// eval: the loss of a model on the trained tokens of data files.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"

#include <math.h>
#include <stdlib.h>

static cJSON *file_result(const char *path, const struct source *s, struct session *session)
{
    struct pack_item *items = source_items(s);
    struct eval_outcome *out = mem_alloc((s->count + 1) * sizeof *out);
    session_eval(session, items, (uint32_t)s->count, true, out);
    double loss = 0;
    uint64_t trained = 0;
    for (size_t i = 0; i < s->count; i++) {
        loss += out[i].loss;
        trained += out[i].trained;
    }
    loss /= (double)(trained ? trained : 1);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "path", path);
    cJSON_AddNumberToObject(json, "rows", (double)s->count);
    cJSON_AddNumberToObject(json, "skipped", (double)s->skipped);
    cJSON_AddNumberToObject(json, "tokens", (double)s->tokens);
    cJSON_AddNumberToObject(json, "trained_tokens", (double)trained);
    cJSON_AddNumberToObject(json, "loss", loss);
    cJSON_AddNumberToObject(json, "perplexity", exp(loss));
    free(out);
    free(items);
    return json;
}

int command_eval(const struct command *c, int argc, char **argv)
{
    const char *model = NULL, *device = NULL, *precision = NULL, *template = "auto";
    uint64_t max_length = 1024;
    struct option_list data = {0};
    bool json = false, strict = false;
    const struct option options[] = {{"model", OPTION_TEXT, &model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"data", OPTION_LIST, &data, "FILE...", "rows (.jsonl or .json)"},
        {"max-length", OPTION_COUNT, &max_length, "TOKENS", "longest row (default 1024)"},
        {"chat-template", OPTION_TEXT, &template, "NAME", "auto (the model's own), a name, none"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto"},
        FULL_SPEED_OPTION,
        {"strict", OPTION_FLAG, &strict, NULL, "stop at the first bad row"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    if (status >= 0) return free(data.words), status;
    if (!model || !data.count) return say("pumice eval: --model and --data are needed (pumice eval --help)"), STATUS_USAGE;

    struct error e = {0};
    struct bundle bundle = {0};
    struct evaluator v = {0};
    struct gpu *gpu = NULL;
    struct source *sources = mem_zero(data.count, sizeof *sources);
    cJSON *choice = cJSON_CreateString(template);
    enum storage storage;
    uint32_t longest = 16;
    bool ok = bundle_open(&bundle, model, choice, &e) == 0;
    for (size_t i = 0; ok && i < data.count; i++) {
        ok = source_load(&sources[i], &(struct source_options){.name = data.words[i], .paths = &data.words[i], .path_count = 1,
            .template = &bundle.template, .max_length = (uint32_t)max_length, .strict = strict}, bundle.tokenizer, &e) == 0;
        if (!ok) break;
        source_report(&sources[i]);
        if (sources[i].longest > longest) longest = sources[i].longest;
    }
    if (ok) bundle_say_positions(&bundle, longest);
    ok = ok && (gpu = device_open(device, &e)) && precision_parse(&storage, precision, gpu_info(gpu), &e) == 0 &&
        evaluator_open(&v, &bundle, gpu, storage, longest, &e) == 0;
    if (ok) {
        cJSON *out = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(out, "files");
        if (!json) printf("%-40s %8s %10s %10s %10s\n", "file", "rows", "trained", "loss", "perplexity");
        for (size_t i = 0; i < data.count; i++) {
            cJSON *f = file_result(data.words[i], &sources[i], v.session);
            cJSON_AddItemToArray(files, f);
            if (!json)
                printf("%-40s %8zu %10.0f %10.5f %10.4f\n", data.words[i], sources[i].count,
                    cJSON_GetObjectItem(f, "trained_tokens")->valuedouble, cJSON_GetObjectItem(f, "loss")->valuedouble,
                    cJSON_GetObjectItem(f, "perplexity")->valuedouble);
        }
        if (json) print_json(out);
        else cJSON_Delete(out);
    }
    status = ok ? STATUS_DONE : fail(&e);
    evaluator_close(&v);
    if (gpu) gpu_close(gpu);
    for (size_t i = 0; i < data.count; i++) source_free(&sources[i]);
    free(sources);
    free(data.words);
    cJSON_Delete(choice);
    bundle_close(&bundle);
    return status;
}
