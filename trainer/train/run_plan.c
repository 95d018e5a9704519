// SPDX-License-Identifier: MIT
//
// run_plan.c: what is known of a run before it begins.
#include "train/run_parts.h"

#include "graph/coopmat.h"
#include "train/checkpoint.h"
#include "train/output.h"
#include "train/plan_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum optimizer run_optimizer(const struct config *c)
{
    for (size_t k = 0; k < c->stage_count; k++)
        if (c->stages[k].settings.optim == OPTIM_ADAMW) return OPTIMIZER_ADAMW;
    return OPTIMIZER_SGD;
}

struct blueprint_options run_blueprint_options(
    const struct config *c, const struct dataset *d, const struct model *model, const struct limits *limits)
{
    struct blueprint_options o = {.budget = (uint32_t)c->micro_batch_tokens, .positions = d->longest,
        .checkpoint = c->gradient_checkpointing == CHOICE_TRUE, .optimizer = run_optimizer(c)};
    o.gradients = c->gradient_dtype == PRECISION_BF16 ? STORAGE_BF16 : STORAGE_F32; // which want that storage, too
    bool narrow = !limits->software || o.gradients == STORAGE_BF16;
    o.storage = c->precision == PRECISION_BF16 || (c->precision == PRECISION_AUTO && narrow) ? STORAGE_BF16 : STORAGE_F32;
    for (size_t k = 0; k < c->stage_count; k++) o.dropout = o.dropout || c->stages[k].settings.dropout > 0;
    if (d->capacity) o.generation = generation_choose(model, limits, o.storage, d->capacity, d->requests);
    return o;
}

// What a config may ask for and this version does not do.
static int check_tuning(const struct config *c, struct error *e)
{
    if (c->finetuning_type == TUNING_LORA)
        return error_set(e, "finetuning_type lora: this version trains all weights; use full");
    return 0;
}

// What products multiply in: what the config asks for, where the device can, or what suits the device. Without a device
// (a plan for another machine) what is asked for is taken on trust.
static int choose_products(enum products *products, const struct config *c, const struct gpu_info *info, struct error *e)
{
    *products = c->matmul_precision == PRECISION_BF16   ? PRODUCTS_BF16
                : c->matmul_precision == PRECISION_FP16 ? PRODUCTS_FP16
                : c->matmul_precision == PRECISION_F32  ? PRODUCTS_F32
                                                        : products_best(info);
    if (!info || products_can(info, *products)) return 0;
    return error_set(e, "matmul_precision %s: %s has no matrix units that multiply %s with sums in f32; use auto or f32 "
        "(`pumice devices` lists what there is)", products_name(*products), info->name, products_name(*products));
}

int run_supported(const struct config *c, const struct gpu_info *info, struct error *e)
{
    enum products products;
    return check_tuning(c, e) || choose_products(&products, c, info, e) ? -1 : 0;
}

int run_blueprint(struct blueprint *b, const struct config *c, const struct dataset *d, const struct bundle *bundle,
    const struct limits *limits, struct error *e)
{
    struct limits own = *limits;
    struct blueprint_options o = run_blueprint_options(c, d, &bundle->model, limits);
    if (check_tuning(c, e) || choose_products(&own.products, c, limits->info, e)) return -1;
    if (o.budget && o.budget < d->longest)
        return error_set(e, "micro_batch_tokens is %u, but the longest row has %u tokens; raise it, or lower max_length", o.budget,
            d->longest);
    return blueprint_choose(b, &bundle->model, &own, &o, c->gradient_checkpointing == CHOICE_AUTO, d->step_tokens, e);
}

// The same model may lie elsewhere; another name is another model.
static bool other_model(const struct config_change *x)
{
    if (strcmp(x->key, "model_name_or_path") != 0) return false;
    const char *before = x->before ? strrchr(x->before, '/') : NULL, *after = x->after ? strrchr(x->after, '/') : NULL;
    return !before || !after || strcmp(before, after) != 0;
}

int run_compare(const struct config *c, bool going_on, struct error *e)
{
    char *path = path_join(c->output_dir, OUTPUT_CONFIG);
    struct config before;
    struct config_changes changes;
    bool there = file_exists(path);
    int status = there ? config_read(&before, path, NULL, 0, e) : 0, allowed = 0;
    free(path);
    if (!there || status) return status;
    config_compare(&changes, &before, c);
    for (size_t i = 0; i < changes.count; i++) {
        const struct config_change *x = &changes.changes[i];
        const char *old = x->before ? x->before : "nothing", *new = x->after ? x->after : "nothing";
        bool refused = x->resume == RESUME_REFUSED || (!going_on && other_model(x));
        if (refused && status == 0)
            status = error_set(e, "%s: the run was begun with %s = %s, now it is %s; that key cannot change%s "
                "(eval, logging and saving keys can); set it back, or take another output_dir", c->output_dir, x->key, old, new,
                going_on ? " on --resume" : "");
        else if (!refused && going_on) say("changed since the run began: %s from %s to %s", x->key, old, new);
        allowed += x->resume == RESUME_ALLOWED && strcmp(x->key, "output_dir") != 0;
    }
    config_changes_free(&changes);
    config_free(&before);
    return status ? -1 : allowed;
}

// Of one evaluation of a stage, in tokens. Answers are generated a token at a time, which costs about as much as reading
// four.
static double evaluation_work(const struct dataset *d, size_t stage)
{
    double work = 0;
    for (size_t i = 0; i < d->stages.stages[stage].settings->eval_count; i++) {
        const struct shelf_rows *rows = dataset_eval(d, stage, i);
        const struct ability *a = &rows->ability;
        work += (double)rows->source.tokens;
        for (uint32_t n = 0; n < a->item_count; n++) work += a->items[n].tokens;
        if (a->capacity) work += 4.0 * a->rows * a->max_new_tokens;
    }
    return work;
}

double *run_evaluation_work(const struct dataset *d)
{
    double *work = mem_zero(d->stages.count + 1, sizeof *work);
    for (size_t k = 0; k < d->stages.count; k++) work[k] = evaluation_work(d, k);
    return work;
}

// Evaluations of a stage that are due after its step number `from` (from 1, within the stage) or a later one.
static uint64_t evaluations_from(const struct stage *s, uint64_t from)
{
    uint64_t before = from - 1, every = s->settings->eval_steps;
    if (before >= s->steps) return 0;
    if (s->settings->eval_strategy == WHEN_STEPS && every)
        return (s->first_step + s->steps) / every - (s->first_step + before) / every;
    if (s->settings->eval_strategy != WHEN_EPOCH) return 0;
    return (s->steps + s->steps_per_epoch - 1) / s->steps_per_epoch - before / s->steps_per_epoch;
}

struct pace_work run_work_left(const struct stages *all, const double *evaluations, uint64_t done)
{
    struct pace_work left = {0};
    for (size_t k = 0; k < all->count; k++) {
        const struct stage *s = &all->stages[k];
        uint64_t here = done <= s->first_step ? 0 : done - s->first_step < s->steps ? done - s->first_step : s->steps;
        double tokens = 0;
        for (size_t i = 0; i < s->share_count; i++) tokens += (double)s->shares[i].tokens;
        left.train += 3 * tokens * (double)(s->steps - here) / (double)(s->steps_per_epoch ? s->steps_per_epoch : 1);
        bool over = done > s->first_step + s->steps;
        if (!over) left.eval += evaluations[k] * (double)evaluations_from(s, here ? here : 1);
    }
    return left;
}

// Of the whole run, times the weights that each token meets.
static double work_of(const struct dataset *d, double parameters)
{
    double *evaluations = run_evaluation_work(d);
    struct pace_work left = run_work_left(&d->stages, evaluations, 0);
    double work = left.train + left.eval + (d->config->eval_on_start ? evaluations[0] : 0);
    free(evaluations);
    return work * parameters;
}

// The manifests in the folder are those of these rows.
static int compare_data(const struct config *c, const struct dataset *d, struct error *e)
{
    int status = 0;
    for (size_t k = 0; k < d->stages.count && status == 0; k++) {
        const char *name = d->stages.stages[k].name;
        char *path = run_manifest_path(c, k, name);
        struct file_map f;
        uint64_t digest;
        status = file_map(&f, path, e);
        if (status == 0) {
            stages_manifest(&d->stages, c, k, dataset_cut(d, k)->rows, NULL, &digest, NULL);
            if (fnv1a(FNV_START, f.data, f.bytes) != digest)
                status = error_set(e, "%s: the data of stage %s have changed since the run was made; restore them, or start anew in "
                    "another output_dir", c->output_dir, name);
            file_unmap(&f);
        }
        free(path);
    }
    return status;
}

int run_compare_model(const struct config *c, const struct model *m, struct error *e)
{
    char before[17], now[17];
    if (!m->path || !plan_model(before, c->output_dir)) return 0;
    if (model_fingerprint(now, m, e)) return -1;
    if (strcmp(before, now) == 0) return 0;
    return error_set(e, "%s: it began with another model than the one at %s now; restore it, or start anew in another output_dir",
        c->output_dir, c->model_name_or_path);
}

static uint64_t checkpoints_written(const struct config *c, const struct stages *stages)
{
    uint64_t count = 0;
    if (c->save_strategy == WHEN_STEPS) return c->save_steps ? (stages->steps + c->save_steps - 1) / c->save_steps : 1;
    for (size_t k = 0; c->save_strategy == WHEN_EPOCH && k < stages->count; k++) {
        const struct stage *s = &stages->stages[k];
        count += (s->steps + s->steps_per_epoch - 1) / s->steps_per_epoch;
    }
    return count;
}

uint64_t run_disk(const struct config *c, const struct blueprint *b, const struct stages *stages, uint64_t *peak)
{
    uint64_t model = c->save_dtype == PRECISION_F32 ? 4 : 2, moments = run_optimizer(c) == OPTIMIZER_ADAMW ? 8 : 0;
    uint64_t checkpoint = b->layout.parameters * (4 + (model == 2 ? 2 : 0) + moments), written = checkpoints_written(c, stages);
    bool goes = c->save_total_limit && written > c->save_total_limit;
    *peak = goes ? checkpoint : 0;
    return b->layout.parameters * model + checkpoint * (goes ? c->save_total_limit : written);
}

int run_check(const struct config *c, struct workshop *w, bool made, struct run_forecast *out, struct error *e)
{
    const struct gpu *gpu = workshop_gpu(w, c->device, e);
    if (!gpu || run_supported(c, gpu_info(gpu), e)) return -1;
    const struct bundle *bundle = workshop_bundle(w, c, e);
    struct dataset d;
    if (!bundle || dataset_open(&d, c, bundle, workshop_shelf(w), true, e)) return -1;
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint b;
    int status = made || checkpoint_any(c->output_dir) ? run_compare_model(c, &bundle->model, e) : 0;
    if (status == 0) status = made ? compare_data(c, &d, e) : run_blueprint(&b, c, &d, bundle, &limits, e);
    if (status == 0)
        *out = (struct run_forecast){.steps = d.stages.steps, .work = work_of(&d, (double)model_parameters(&bundle->model))};
    if (status == 0 && !made) out->disk = run_disk(c, &b, &d.stages, &out->disk_peak);
    if (status == 0 && !made) blueprint_free(&b);
    dataset_close(&d);
    return status;
}

char *run_manifest_path(const struct config *c, size_t stage, const char *name)
{
    return mem_format("%s/manifest-%zu-%s.jsonl", c->output_dir, stage + 1, name);
}
