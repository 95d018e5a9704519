// SPDX-License-Identifier: MIT
//
// plan: what a config would do: stages, rows, tokens, steps, memory; without a device too.
#include "commands/common.h"
#include "commands/list.h"
#include "graph/coopmat.h"
#include "train/plan_file.h"
#include "train/run.h"
#include "train/tuning.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <unistd.h>
#include <string.h>

static void print_stages(const struct dataset *d)
{
    cJSON *explicit = config_stages_json(d->config);
    char *text = cJSON_PrintUnformatted(explicit);
    printf("stages: %s\n", text);
    free(text);
    cJSON_Delete(explicit);
    for (size_t k = 0; k < d->stages.count; k++) {
        const struct stage *s = &d->stages.stages[k];
        printf("\nstage %zu %s: %u row%s%s, %llu step%s an epoch, %llu step%s\n", k + 1, s->name, s->row_count, plural(s->row_count),
            s->settings->mix_rows ? " (mix_rows, spread evenly over the abilities)" : "", (unsigned long long)s->steps_per_epoch,
            plural(s->steps_per_epoch), (unsigned long long)s->steps, plural(s->steps));
        printf("  %-20s %10s %10s %12s %12s %8s\n", "source", "available", "rows", "tokens", "trained", "share");
        uint64_t all = 0;
        for (size_t i = 0; i < s->share_count; i++) all += s->shares[i].tokens;
        for (size_t i = 0; i < s->share_count; i++) {
            const struct stage_share *p = &s->shares[i];
            printf("  %-20s %10u %10u %12llu %12llu %7.2f%%\n", p->name, p->available, p->rows, (unsigned long long)p->tokens,
                (unsigned long long)p->trained_tokens, 100.0 * (double)p->tokens / (double)(all ? all : 1));
        }
    }
}

// One row of the first stage as the model will see it, with what is trained marked.
static void print_example(const struct dataset *d, const struct bundle *b)
{
    const struct stage *s = &d->stages.stages[0];
    const struct stage_row *row = &s->rows[0];
    struct text text = {0};
    conversation_print(&text, &dataset_cut(d, 0)->rows[row->source][row->row], b->tokenizer, 200);
    printf("\nfirst row of %s ([+ +] marks what is trained):\n%s\n", s->name, text.data);
    text_free(&text);
}

// An old software driver (Mesa 22.3) admits to 2 GiB whatever the machine has: what fits the machine is planned all the same,
// with a word on the driver that has room for it.
static int plan_memory(struct blueprint *b, const struct config *c, const struct dataset *d, const struct bundle *bundle,
    struct limits *limits, const struct gpu_info *info, struct error *e)
{
    if (run_blueprint(b, c, d, bundle, limits, e) == 0) return 0;
    uint64_t memory = memory_total();
    if (!info || info->type != GPU_SOFTWARE || limits->heap >= memory) return -1;
    limits->heap = memory;
    if (run_blueprint(b, c, d, bundle, limits, NULL)) return -1;
    say("this needs more than the %.1f GB that %s offers; planned with the machine's memory, which tools/with-driver lavapipe-26 uses",
        (double)info->heap_bytes * 1e-9, info->driver);
    return 0;
}

static int print_keys(void)
{
    struct text help = {0};
    config_help(&help);
    printf("%s", help.data);
    text_free(&help);
    return STATUS_DONE;
}

int command_plan(const struct command *c, int argc, char **argv)
{
    const char *path = NULL, *device = NULL, *precision = NULL;
    struct option_list sets = {0};
    bool json = false, keys = false;
    const struct option options[] = {{"set", OPTION_PAIRS, &sets, "KEY=VALUE...", "overrides of config keys"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16 (default: the config's)"},
        {"device", OPTION_TEXT, &device, "DEVICE", "plan the memory for this device (default: the config's)"},
        {"keys", OPTION_FLAG, &keys, NULL, "the keys of a config, with their values and defaults; needs no CONFIG"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, &path, 0, 1);
    if (status < 0 && keys) status = print_keys();
    else if (status < 0 && !path) status = options_missing(c);
    if (status >= 0) return free(sets.words), status;

    struct error e = {0};
    struct config config = {0};
    struct bundle bundle = {0};
    struct dataset data = {0};
    struct blueprint blueprint = {0};
    struct gpu *gpu = NULL;
    struct choices *choices = NULL;
    char *set = precision_set(&sets, precision);
    bool ok = config_read(&config, path, sets.words, sets.count, &e) == 0;
    if (ok && config.notes && !json) say("%s", config.notes);
    ok = ok && bundle_open_config(&bundle, &config, &e) == 0 && dataset_open(&data, &config, &bundle, NULL, true, &e) == 0;
    if (ok) stages_say_empty(&data.stages, &config);
    if (ok) bundle_say_positions(&bundle, data.longest);
    struct error why = {0};
    const char *wanted = device ? device : config.device;
    if (ok) gpu = gpu_open(&(struct gpu_options){.device = wanted}, why.text, sizeof why.text);
    const struct gpu_info *info = gpu ? gpu_info(gpu) : NULL;
    // A config's device may be that of another machine; one that is asked for here must be here.
    if (ok && !gpu && strcmp(wanted, "auto") != 0) {
        if (device) ok = error_set(&e, "--device %s: %s", device, why.text) == 0;
        else say("the config's device %s is not here (%s): planned for a common GPU", wanted, why.text);
    }
    struct limits limits = limits_of(info);
    ok = ok && plan_memory(&blueprint, &config, &data, &bundle, &limits, info, &e) == 0;
    if (ok && gpu) { // as train would, where the products' variants were chosen before
        choices = device_choices(gpu, &blueprint.limits);
        blueprint_choose_variants(&blueprint, &bundle.model, choices);
    }
    if (ok) {
        const struct memory_sum *m = &blueprint.memory;
        if (json) {
            cJSON *out = cJSON_CreateObject();
            cJSON_AddItemToObject(out, "stages", plan_stages_json(&config, &data.stages));
            cJSON_AddNumberToObject(out, "parameters", (double)blueprint.layout.parameters);
            cJSON_AddNumberToObject(out, "trainable", (double)blueprint.layout.trainable);
            cJSON_AddNumberToObject(out, "micro_batch_tokens", blueprint.options.budget);
            cJSON_AddBoolToObject(out, "gradient_checkpointing", blueprint.options.checkpoint);
            cJSON_AddStringToObject(out, "precision", storage_name(blueprint.options.storage));
            cJSON_AddStringToObject(out, "matmul_precision", products_name(blueprint.limits.products));
            cJSON_AddStringToObject(out, "gradient_dtype", storage_name(blueprint.options.gradients));
            cJSON_AddStringToObject(out, "device", gpu ? info->name : "none: limits of a common GPU");
            cJSON *memory = cJSON_AddObjectToObject(out, "memory");
            cJSON_AddNumberToObject(memory, "weights", (double)m->weights);
            cJSON_AddNumberToObject(memory, "gradients", (double)m->gradients);
            cJSON_AddNumberToObject(memory, "optimizer", (double)m->optimizer);
            cJSON_AddNumberToObject(memory, "activations", (double)m->activations);
            cJSON_AddNumberToObject(memory, "scratch", (double)m->scratch);
            cJSON_AddNumberToObject(memory, "total", (double)m->total);
            print_json(out);
        } else {
            print_stages(&data);
            printf("\nmodel: %.1f million parameters, %.1f million trained; storage %s, products %s, gradients %s, saved as %s\n",
                (double)blueprint.layout.parameters * 1e-6, (double)blueprint.layout.trainable * 1e-6,
                storage_name(blueprint.options.storage), products_name(blueprint.limits.products),
                storage_name(blueprint.options.gradients), config.save_dtype == PRECISION_F32 ? "f32" : "bf16");
            printf("device: %s\n", gpu ? info->name : "none found; limits of a common GPU");
            printf("micro-batches of %u tokens%s\n", blueprint.options.budget,
                blueprint.options.checkpoint ? ", layers recomputed" : "");
            printf("memory: weights %.1f MB, gradients %.1f, optimizer %.1f, activations %.1f, scratch %.1f; total %.1f MB\n",
                (double)m->weights * 1e-6, (double)m->gradients * 1e-6, (double)m->optimizer * 1e-6, (double)m->activations * 1e-6,
                (double)m->scratch * 1e-6, (double)m->total * 1e-6);
            print_example(&data, &bundle);
        }
    }
    status = ok ? STATUS_DONE : fail(&e);
    blueprint_free(&blueprint);
    choices_free(choices);
    if (gpu) gpu_close(gpu);
    dataset_close(&data);
    bundle_close(&bundle);
    config_free(&config);
    free(sets.words);
    free(set);
    return status;
}
