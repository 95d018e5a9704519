// SPDX-License-Identifier: MIT
//
// bench: how fast a training step is on a device, kernel by kernel, beside what the device can do.
#include "commands/common.h"
#include "commands/list.h"
#include "graph/coopmat.h"
#include "study/bench_report.h"
#include "train/loss_scale.h"
#include "train/run.h"
#include "train/tuning.h"

#include <stdlib.h>
#include <string.h>

// What the flags say. tokens 0 and documents 0: the default.
struct wish {
    const char *config, *model, *compare, *device, *precision, *products, *gradients;
    uint64_t tokens, documents, budget, repeat;
    bool single, json;
    struct option_list sets;
};

// A model and a step's worth of conversations.
struct subject {
    struct config config; // with CONFIG, like the two below
    struct bundle bundle;
    struct dataset data;
    struct model loose; // without
    const struct model *model;
    char *name;
    uint64_t seed;
    struct pack_item *items;
    bool random; // the items are bench_items'
    struct bench_work work;
    struct blueprint blueprint;
    struct choices *choices;
};

static void subject_free(struct subject *s, bool with_config)
{
    blueprint_free(&s->blueprint);
    choices_free(s->choices);
    if (s->random) bench_items_free(s->items);
    else free(s->items);
    if (with_config) {
        dataset_close(&s->data);
        bundle_close(&s->bundle);
        config_free(&s->config);
    } else {
        model_close(&s->loose);
    }
    free(s->name);
}

// A config's model and the conversations of its first step, as train takes them.
static int open_config(struct subject *s, const struct limits *limits, struct error *e)
{
    const struct config *c = &s->config;
    if (c->notes) say("%s", c->notes);
    if (bundle_open_config(&s->bundle, c, e) || dataset_open(&s->data, c, &s->bundle, NULL, false, e)) return -1;
    s->model = &s->bundle.model;
    s->name = mem_string(c->model_name_or_path ? c->model_name_or_path : "init");
    s->seed = c->seed;
    struct stage_cursor cursor;
    stage_cursor_make(&cursor, &s->data.stages);
    struct stage_step step = stages_step(&s->data.stages, 0);
    const struct stage_row *rows = stage_cursor_rows(&cursor, 0);
    s->items = mem_alloc((step.count + 1) * sizeof *s->items);
    for (uint32_t i = 0; i < step.count; i++) {
        const struct conversation *row = &dataset_cut(&s->data, step.stage)->rows[rows[i].source][rows[i].row];
        s->items[i] = (struct pack_item){row->ids, row->mask, row->tokens, 0};
    }
    stage_cursor_free(&cursor);
    const struct config_settings *x = s->data.stages.stages[step.stage].settings;
    s->work.count = step.count;
    s->work.settings = (struct step_settings){.optimizer = x->optim == OPTIM_SGD ? OPTIMIZER_SGD : OPTIMIZER_ADAMW,
        .learning_rate = x->learning_rate, .beta1 = x->adam_beta1, .beta2 = x->adam_beta2, .epsilon = x->adam_epsilon,
        .weight_decay = x->weight_decay, .max_norm = x->max_grad_norm, .dropout = x->dropout_start_step ? 0 : x->dropout,
        .seed = c->seed, .packing = c->packing};
    if (run_blueprint(&s->blueprint, c, &s->data, &s->bundle, limits, e)) return -1;
    if (s->blueprint.limits.products == PRODUCTS_FP16) s->work.settings.loss_scale = loss_scale_start().scale;
    return 0;
}

static int products_parse(enum products *products, const char *word, const struct gpu_info *info, struct error *e)
{
    *products = products_best(info);
    if (!word || strcmp(word, "auto") == 0) return 0;
    for (enum products p = PRODUCTS_F32; p <= PRODUCTS_BF16; p++) {
        if (strcmp(word, products_name(p)) != 0) continue;
        *products = p;
        if (products_can(info, p)) return 0;
        return error_set(e, "--matmul-precision %s: %s has no matrix units that multiply it with sums in f32", word, info->name);
    }
    return error_set(e, "--matmul-precision is %s; it is one of auto, f32, fp16, bf16", word);
}

// As a config's gradient_dtype.
static int gradients_parse(struct blueprint_options *o, const struct wish *w, struct error *e)
{
    const char *word = w->gradients ? w->gradients : "f32";
    if (!storage_find(&o->gradients, word)) return error_set(e, "--gradient-dtype is %s; it is one of f32, bf16", word);
    if (o->gradients == STORAGE_F32 || o->storage == STORAGE_BF16) return 0;
    if (w->precision && strcmp(w->precision, "f32") == 0) return error_set(e, "--gradient-dtype bf16 goes with --precision bf16");
    o->storage = STORAGE_BF16;
    return 0;
}

// A model with random tokens, by the defaults of a config.
static int open_model(struct subject *s, const struct wish *w, const struct gpu *gpu, struct limits *limits, struct error *e)
{
    if (products_parse(&limits->products, w->products, gpu_info(gpu), e)) return -1;
    if (w->model && model_open(&s->loose, w->model, e)) return -1;
    if (!w->model) model_open_builtin(&s->loose);
    s->model = &s->loose;
    s->name = mem_string(w->model ? w->model : MODEL_BUILTIN);
    s->seed = 42;
    uint64_t tokens = w->tokens ? w->tokens : 512, documents = w->documents ? w->documents : 1;
    uint64_t longest = (tokens + documents - 1) / documents;
    if (tokens > MOST_TOKENS || documents > tokens / 2)
        return error_set(e, "--tokens %llu in --documents %llu: a document has 2 tokens or more, and all together have at most %u",
            (unsigned long long)tokens, (unsigned long long)documents, MOST_TOKENS);
    if (w->budget > MOST_TOKENS || (w->budget && w->budget < longest))
        return error_set(e, "--budget is %llu; it is at least the longest document, %llu tokens, and at most %u",
            (unsigned long long)w->budget, (unsigned long long)longest, MOST_TOKENS);
    s->items = bench_items((uint32_t)tokens, (uint32_t)documents, s->model->config.vocabulary);
    s->random = true;
    s->work.count = (uint32_t)documents;
    s->work.settings = (struct step_settings){.optimizer = OPTIMIZER_ADAMW, .learning_rate = 2e-5, .beta1 = 0.9, .beta2 = 0.999,
        .epsilon = 1e-8, .max_norm = 1, .seed = s->seed, .packing = !w->single};
    struct blueprint_options o = {.budget = (uint32_t)w->budget, .positions = (uint32_t)longest, .optimizer = OPTIMIZER_ADAMW};
    if (precision_parse(&o.storage, w->precision, gpu_info(gpu), e) || gradients_parse(&o, w, e)) return -1;
    if (limits->products == PRODUCTS_FP16) s->work.settings.loss_scale = loss_scale_start().scale;
    return blueprint_choose(&s->blueprint, s->model, limits, &o, true, w->single ? longest : tokens, e);
}

// Everything that is timed, in this order: opening, loading, steps; then, with the model gone, the device's peaks.
static cJSON *measure(struct subject *s, const struct wish *w, struct gpu *gpu, double began, struct error *e)
{
    struct bench bench;
    struct peaks peaks;
    double before = clock_seconds();
    struct session *session = session_open(&s->blueprint, s->model, gpu, e);
    if (!session) return NULL;
    struct bench_subject subject = {.model = s->name, .info = gpu_info(gpu), .blueprint = &s->blueprint,
        .settings = &s->work.settings, .parameters = s->blueprint.layout.parameters, .documents = s->work.count};
    double opened = clock_seconds();
    int status = model_load(s->model, session_engine(session), s->seed, e);
    double loaded = clock_seconds();
    subject.opened = opened - before;
    subject.loaded = loaded - opened;
    subject.allocated = gpu_allocated(gpu);
    s->work.items = s->items;
    s->work.repeat = (uint32_t)w->repeat;
    s->work.settings.update = 1;
    if (status == 0) status = bench_run(&bench, session, &s->blueprint, &s->work, e);
    subject.resident = memory_peak();
    session_close(session);
    if (status) return NULL;
    subject.started = loaded - began + bench.first;
    cJSON *out = NULL;
    if (peaks_measure(&peaks, gpu, e) == 0) {
        bench_roof(&bench, &peaks);
        out = bench_json(&bench, &subject);
    }
    bench_free(&bench);
    return out;
}

int command_bench(const struct command *c, int argc, char **argv)
{
    double began = clock_seconds();
    struct wish w = {.repeat = 3};
    const struct option options[] = {
        {"model", OPTION_TEXT, &w.model, "MODEL", "instead of CONFIG: folder, .gguf file or hub id (default: SmolLM2-135M's shapes)"},
        {"tokens", OPTION_COUNT, &w.tokens, "TOKENS", "random tokens of a step (default 512; without CONFIG)"},
        {"documents", OPTION_COUNT, &w.documents, "N", "documents they are split into (default 1; without CONFIG)"},
        {"single", OPTION_FLAG, &w.single, NULL, "one document a micro-batch, no packing (without CONFIG)"},
        {"budget", OPTION_COUNT, &w.budget, "TOKENS", "rows of a micro-batch (default: as train chooses; without CONFIG)"},
        {"repeat", OPTION_COUNT, &w.repeat, "N", "steps after a first one, then as many with timestamps (default 3)"},
        {"compare", OPTION_TEXT, &w.compare, "OLD.json", "also how many times as fast as in an earlier --json"},
        {"set", OPTION_PAIRS, &w.sets, "KEY=VALUE...", "overrides of config keys (with CONFIG)"},
        {"precision", OPTION_TEXT, &w.precision, "WORD", "storage: auto, f32, bf16 (default: the config's, or auto)"},
        {"matmul-precision", OPTION_TEXT, &w.products, "WORD", "what products multiply in: auto, f32, fp16, bf16 (without CONFIG)"},
        {"gradient-dtype", OPTION_TEXT, &w.gradients, "WORD", "gradients of matrices: f32, or bf16 with bf16 storage (without CONFIG)"},
        {"device", OPTION_TEXT, &w.device, "DEVICE", "index, part of a name, auto (default: the config's, or auto)"},
        FULL_SPEED_OPTION,
        {"json", OPTION_FLAG, &w.json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, &w.config, 0, 1);
    if (status >= 0) return free(w.sets.words), status;
    bool loose = w.model || w.tokens || w.documents || w.single || w.budget || w.products || w.gradients;
    if ((w.config && loose) || (!w.config && w.sets.count) || w.repeat == 0 || w.repeat > 1000) {
        if (w.config && loose) say("pumice bench: a CONFIG says model and rows itself: --set changes it (pumice bench --help)");
        else if (!w.config && w.sets.count) say("pumice bench: --set changes a CONFIG, and there is none (pumice bench --help)");
        else say("pumice bench: --repeat is from 1 to 1000 (pumice bench --help)");
        free(w.sets.words);
        return STATUS_USAGE;
    }

    struct error e = {0};
    struct subject s = {0};
    struct gpu *gpu = NULL;
    cJSON *out = NULL, *old = NULL;
    char *set = w.config ? precision_set(&w.sets, w.precision) : NULL;
    bool ok = !w.compare || (old = bench_read(w.compare, &e)); // first, as the rest takes minutes
    ok = ok && (!w.config || config_read(&s.config, w.config, w.sets.words, w.sets.count, &e) == 0);
    ok = ok && (gpu = device_open(w.config && !w.device ? s.config.device : w.device, &e));
    if (ok) {
        struct limits limits = limits_of(gpu_info(gpu));
        ok = (w.config ? open_config(&s, &limits, &e) : open_model(&s, &w, gpu, &limits, &e)) == 0;
        ok = ok && (s.choices = tuning_blueprint(&s.blueprint, s.model, gpu, NULL, &e));
        out = ok ? measure(&s, &w, gpu, began, &e) : NULL;
    }
    if (out && old) bench_compare(out, old, w.compare);
    status = out ? STATUS_DONE : fail(&e);
    if (out && !w.json) bench_print(out);
    if (out && w.json) print_json(out);
    else cJSON_Delete(out);
    cJSON_Delete(old);
    subject_free(&s, w.config != NULL);
    if (gpu) gpu_close(gpu);
    free(w.sets.words);
    free(set);
    return status;
}
