// SPDX-License-Identifier: MIT
//
// diff: what training changed in a model; sets the most changed parameters back.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"
#include "study/difference.h"
#include "train/checkpoint.h"
#include "train/output.h"

#include <inttypes.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    const char *before, *after, *output, *template, *dtype, *device, *precision;
    struct option_list data;
    double restore; // NAN: not asked for
    uint64_t max_length;
    bool strict, json;
};

// ---- first tokens --------------------------------------------------------------------------------------------------

// The prompts of all rows, and what the two models say to them: the one before, and the one after or, where one is made, the
// restored one.
struct answers {
    struct generate_request *requests; // (count)
    struct top_logits *tops;           // (count) of the tuned model
    uint32_t count, longest, vocabulary;
    struct conversation_maker *maker; // while rows are read
    uint64_t max_length;              // tokens of a prompt
    size_t skipped;
    double divergence, most;
    struct arena arena;
};

static int take_row(void *context, const struct row *row, const char *place, struct error *e)
{
    (void)place;
    struct answers *a = context;
    struct conversation_maker *maker = a->maker;
    const char *reference;
    if (row->kind != ROW_MESSAGES) return error_set(e, "it has no messages, so no answer begins in it");
    if (conversation_prompt(maker, &reference, row, e)) return -1;
    uint32_t tokens = (uint32_t)maker->tokens.count;
    if (!tokens) return error_set(e, "its prompt is empty");
    if (tokens > a->max_length)
        return error_set(e, "its prompt has %u tokens, and --max-length is %" PRIu64, tokens, a->max_length);
    uint32_t *ids = arena_alloc(&a->arena, 4 * (size_t)tokens);
    memcpy(ids, maker->tokens.ids, 4 * (size_t)tokens);
    a->requests = mem_resize(a->requests, (a->count + 1) * sizeof *a->requests);
    a->requests[a->count++] = (struct generate_request){ids, tokens};
    if (tokens > a->longest) a->longest = tokens;
    return 0;
}

static void take_tuned(void *context, uint32_t request, const float *logits)
{
    struct answers *a = context;
    top_logits_take(&a->tops[request], logits, a->vocabulary);
}

static void take_base(void *context, uint32_t request, const float *logits)
{
    struct answers *a = context;
    double divergence = top_logits_divergence(&a->tops[request], logits);
    a->divergence += divergence;
    if (divergence > a->most) a->most = divergence;
}

static int ask(struct answers *a, struct bundle *b, struct gpu *gpu, enum storage storage,
    void (*take)(void *context, uint32_t request, const float *logits), struct error *e)
{
    struct writer w = {0};
    int status = writer_open(&w, b, gpu, storage, a->longest + 1, a->count, e);
    if (status == 0) generator_logits(w.generator, a->requests, a->count, take, a);
    writer_close(&w);
    return status;
}

static int compare_answers(
    struct answers *a, const struct choice *c, struct bundle *before, struct bundle *after, struct error *e)
{
    struct bundle restored = {0}, *tuned = after;
    struct conversation_maker maker = {.template = &after->template, .tokenizer = after->tokenizer};
    enum storage storage;
    int status = 0;
    a->maker = &maker;
    a->max_length = c->max_length;
    for (size_t i = 0; i < c->data.count && status == 0; i++)
        status = rows_walk(c->data.words[i], c->strict, take_row, a, &a->skipped, e);
    conversation_maker_free(&maker);
    if (status == 0 && !a->count) status = error_set(e, "there is no row with a prompt in %s", c->data.words[0]);
    if (status == 0) bundle_say_positions(after, a->longest);
    if (status == 0 && c->output) { // asked as `after` is: in its template, with its tokens
        cJSON *template = cJSON_CreateString(c->template);
        status = bundle_open(&restored, c->output, template, e);
        tuned = &restored;
        cJSON_Delete(template);
    }
    struct gpu *gpu = status == 0 ? device_open(c->device, e) : NULL;
    if (!gpu || precision_parse(&storage, c->precision, gpu_info(gpu), e)) {
        if (gpu) gpu_close(gpu);
        bundle_close(&restored);
        return -1;
    }
    a->vocabulary = after->model.config.vocabulary;
    a->tops = mem_zero(a->count, sizeof *a->tops);
    status = ask(a, tuned, gpu, storage, take_tuned, e);
    if (status == 0) status = ask(a, before, gpu, storage, take_base, e);
    gpu_close(gpu);
    bundle_close(&restored);
    return status;
}

// ---- restoring -----------------------------------------------------------------------------------------------------

// Writes the restored model: the folder appears when it is whole.
static int restore(const struct choice *c, const struct bundle *before, const struct bundle *after,
    const struct difference_top *top, uint64_t *restored, struct error *e)
{
    char *output = mem_string(c->output);
    for (size_t n = strlen(output); n > 1 && output[n - 1] == '/';) output[--n] = 0;
    char *temporary = mem_format("%s.tmp", output), *above = path_folder(output);
    struct difference_restore from = {.before = &before->model, .after = &after->model, .top = top};
    struct model_source source = {difference_restore_read, &from};
    bool taken = folder_exists(temporary) || file_exists(temporary);
    int status = taken ? error_set(e, "%s: is in the way, perhaps left by a call that was killed: remove it", temporary)
                       : folder_make(temporary, e);
    if (status == 0) status = model_files_save(temporary, after, &source, strcmp(c->dtype, "bf16") == 0, e);
    if (status == 0) status = folder_sync(temporary, e);
    if (status == 0 && rename(temporary, output))
        status = error_set(e, "%s: cannot be renamed to %s (%s)", temporary, output, strerror(errno));
    if (status == 0) status = folder_sync(above, e);
    if (status && !taken) folder_remove(temporary, NULL);
    *restored = from.restored;
    free(output);
    free(temporary);
    free(above);
    return status;
}

// ---- results -------------------------------------------------------------------------------------------------------

#define SHARES 4
static const double shares[SHARES] = {0.01, 0.05, 0.1, 0.2};

static cJSON *result(const struct choice *c, const struct difference *d, const struct difference_top *tops,
    const struct answers *a, uint64_t restored)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "parameters", (double)d->parameters);
    cJSON_AddNumberToObject(o, "changed", (double)d->changed);
    cJSON_AddNumberToObject(o, "from_zero", (double)d->infinite);
    cJSON_AddNumberToObject(o, "sum", d->sum);
    cJSON_AddNumberToObject(o, "largest", (double)d->most);
    cJSON *list = cJSON_AddArrayToObject(o, "top");
    for (int i = 0; i < SHARES; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "fraction", tops[i].fraction);
        cJSON_AddNumberToObject(one, "count", (double)tops[i].count);
        cJSON_AddNumberToObject(one, "share", tops[i].share);
        cJSON_AddItemToArray(list, one);
    }
    if (c->output) {
        cJSON *one = cJSON_AddObjectToObject(o, "restored");
        cJSON_AddNumberToObject(one, "fraction", c->restore);
        cJSON_AddNumberToObject(one, "count", (double)restored);
        cJSON_AddStringToObject(one, "output", c->output);
    }
    if (a->count) {
        cJSON *one = cJSON_AddObjectToObject(o, "first_token");
        cJSON_AddStringToObject(one, "model", c->output ? c->output : c->after);
        cJSON_AddNumberToObject(one, "rows", a->count);
        cJSON_AddNumberToObject(one, "skipped", (double)a->skipped);
        cJSON_AddNumberToObject(one, "divergence", a->divergence / a->count);
        cJSON_AddNumberToObject(one, "largest", a->most);
    }
    return o;
}

static void print_result(const struct choice *c, const struct difference *d, const struct difference_top *tops,
    const struct answers *a, uint64_t restored)
{
    if (c->json) {
        print_json(result(c, d, tops, a, restored));
        return;
    }
    printf("%" PRIu64 " of %" PRIu64 " parameters changed, %" PRIu64
           " of them from 0; mean relative change %.3g, largest %.3g\n",
        d->changed, d->parameters, d->infinite, d->sum / (double)d->parameters, (double)d->most);
    for (int i = 0; i < SHARES; i++)
        printf("the %4.1f %% most changed (%" PRIu64 ") carry %.2f %% of the relative change\n", 100 * tops[i].fraction,
            tops[i].count, 100 * tops[i].share);
    if (c->output) printf("%s: %" PRIu64 " parameter%s set back\n", c->output, restored, plural(restored));
    if (a->count)
        printf("first token of %u answer%s: KL(%s || before) over the ten likeliest %.6f nats, largest %.6f\n", a->count,
            plural(a->count), c->output ? c->output : "after", a->divergence / a->count, a->most);
}

static const char *wrong_choice(const struct choice *c)
{
    if (!c->before || !c->after) return "--before and --after are needed";
    if (isnan(c->restore) != (c->output == NULL)) return "--restore and --output go together";
    if (c->output && !(c->restore >= 0 && c->restore <= 1)) return "--restore is a share from 0 to 1";
    if (strcmp(c->dtype, "f32") != 0 && strcmp(c->dtype, "bf16") != 0) return "--save-dtype is one of f32, bf16";
    if (c->max_length < 1 || c->max_length > 1 << 24) return "--max-length is at least 1 and at most 16777216";
    return NULL;
}

int command_diff(const struct command *command, int argc, char **argv)
{
    struct choice c = {.restore = NAN, .template = "auto", .dtype = "f32", .max_length = 1024};
    const struct option options[] = {{"before", OPTION_TEXT, &c.before, "MODEL",
                                         "the model that was trained: folder, .gguf file or hub id in the cache"},
        {"after", OPTION_TEXT, &c.after, "MODEL", "what it became"},
        {"restore", OPTION_NUMBER, &c.restore, "SHARE",
            "sets this share of the parameters back, the most changed ones"},
        {"output", OPTION_TEXT, &c.output, "DIR", "the restored model's new folder"},
        {"save-dtype", OPTION_TEXT, &c.dtype, "WORD",
            "of its weights: f32 (default: each is exactly one of the two), bf16"},
        {"data", OPTION_LIST, &c.data, "FILE...", "rows: how far the first tokens of their last answers have moved"},
        {"max-length", OPTION_COUNT, &c.max_length, "TOKENS", "longest prompt (default 1024)"},
        {"chat-template", OPTION_TEXT, &c.template, "NAME", "auto (the model's own), a name, none"},
        {"precision", OPTION_TEXT, &c.precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &c.device, "DEVICE", "index, part of a name, auto"},
        FULL_SPEED_OPTION,
        {"strict", OPTION_FLAG, &c.strict, NULL, "stop at the first bad row"},
        {"json", OPTION_FLAG, &c.json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(command, options, argc, argv, NULL, 0, 0);
    const char *wrong = status < 0 ? wrong_choice(&c) : NULL;
    if (wrong) {
        say("pumice diff: %s (pumice diff --help)", wrong);
        status = STATUS_USAGE;
    }
    if (status >= 0) return free(c.data.words), status;

    struct error e = {0};
    struct bundle before = {0}, after = {0};
    struct difference d = {0};
    struct difference_top tops[SHARES + 1] = {0};
    struct answers a = {0};
    uint64_t restored = 0;
    cJSON *template = cJSON_CreateString(c.template);
    for (int i = 0; i < SHARES; i++) tops[i].fraction = shares[i];
    tops[SHARES].fraction = c.output ? c.restore : 0;
    bool ok = bundle_open(&before, c.before, template, &e) == 0 && bundle_open(&after, c.after, template, &e) == 0 &&
              difference_check(&before.model, &after.model, &e) == 0;
    if (ok && c.output && (folder_exists(c.output) || file_exists(c.output)))
        ok = error_set(&e, "%s: it is there already; take another --output", c.output) == 0;
    else if (ok && c.output)
        ok = output_check(c.output, 0, &e) == 0;
    ok = ok && difference_measure(&d, tops, SHARES + 1, &before.model, &after.model, &e) == 0;
    if (ok && c.output) ok = restore(&c, &before, &after, &tops[SHARES], &restored, &e) == 0;
    if (ok && c.data.count) ok = compare_answers(&a, &c, &before, &after, &e) == 0;
    if (ok) print_result(&c, &d, tops, &a, restored);
    status = ok ? STATUS_DONE : fail(&e);
    free(a.requests);
    free(a.tops);
    arena_free(&a.arena);
    free(c.data.words);
    cJSON_Delete(template);
    bundle_close(&before);
    bundle_close(&after);
    return status;
}
