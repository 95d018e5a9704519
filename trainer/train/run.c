// SPDX-License-Identifier: MIT
#include "train/run_parts.h"

#include "graph/coopmat.h"
#include "train/checkpoint.h"
#include "train/interrupt.h"
#include "train/log.h"
#include "train/outcome.h"
#include "train/output.h"
#include "train/plan_file.h"
#include "train/schedule.h"
#include "train/tuning.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- the run -----------------------------------------------------------------------------------------------------

struct run {
    const struct config *config;
    const struct run_options *options;
    struct workshop *workshop;
    // The workshop's:
    struct gpu *gpu;
    const struct bundle *bundle;
    const struct blueprint *blueprint;
    struct session *session;

    struct dataset data;
    struct output *output;
    struct log *log;
    struct run_state state;
    struct stage_cursor cursor;
    uint64_t saved;      // step of the newest checkpoint, UINT64_MAX: none
    double step_began;   // clock
    bool said_lowest;    // that lowering the loss scale no longer helps
    struct source_sum *sums; // (sources)
    const char **names;      // (sources)
    struct pace pace;
    double *evaluations; // (stages) work of one each
};

static const struct stage *stage_at(const struct run *r, size_t stage)
{
    return &r->data.stages.stages[stage];
}

// The folder's manifests are written before the first step and compared on resume: other data are another run, and do not
// replace what says which rows this one has trained on.
static int write_manifests(struct run *r, bool resumed, struct error *e)
{
    size_t count = r->data.stages.count;
    uint64_t *digests = mem_zero(count, sizeof *digests);
    int status = 0;
    for (size_t k = 0; k < count && status == 0; k++) {
        char *path = run_manifest_path(r->config, k, stage_at(r, k)->name);
        const struct conversation *const *rows = dataset_cut(&r->data, k)->rows;
        status = stages_manifest(&r->data.stages, r->config, k, rows, resumed ? NULL : path, &digests[k], e);
        if (status == 0 && resumed && (k >= r->state.digest_count || r->state.digests[k] != digests[k]))
            status = error_set(e, "%s: the data of stage %s have changed since the run began; restore them, or start a new run in "
                "another output_dir", r->config->output_dir, stage_at(r, k)->name);
        else if (status == 0 && resumed && !file_exists(path))
            status = stages_manifest(&r->data.stages, r->config, k, rows, path, NULL, e);
        free(path);
    }
    free(r->state.digests);
    r->state.digests = digests;
    r->state.digest_count = count;
    return status;
}

// The model's fingerprint is that of the start: a run that goes on may be an older version's, which did not write one.
static int write_plan(struct run *r, bool resumed, struct error *e)
{
    char model[17];
    bool known = resumed ? plan_model(model, r->config->output_dir) : r->bundle->model.path != NULL;
    if (known && !resumed && model_fingerprint(model, &r->bundle->model, e)) return -1;
    return plan_save(r->config, &r->data.stages, &r->state, known ? model : NULL, e);
}

static int save(struct run *r, struct error *e)
{
    if (r->saved == r->state.step) return 0;
    if (log_sync(r->log, e)) return -1;
    r->state.log_bytes = log_bytes(r->log);
    r->state.total_steps = r->data.stages.steps;
    const struct config *c = r->config;
    if (checkpoint_save(c->output_dir, &r->state, r->bundle, session_engine(r->session), run_optimizer(c) == OPTIMIZER_ADAMW,
            c->save_dtype != PRECISION_F32, e))
        return -1;
    r->saved = r->state.step;
    uint64_t keep = c->load_best_model_at_end ? r->state.best_step : UINT64_MAX;
    return checkpoint_prune(c->output_dir, c->save_total_limit, keep, e);
}

// saved: a checkpoint of this step follows, so that it may be the best one.
static int evaluate(struct run *r, size_t stage, bool saved, struct error *e)
{
    const struct config_settings *s = &r->config->stages[stage].settings;
    size_t count = s->eval_count;
    double began = clock_seconds();
    if (!count) return 0;
    struct log_score *scores = mem_zero(count, sizeof *scores);
    double mean = 0;
    size_t with_loss = 0;
    for (size_t i = 0; i < count; i++) {
        const struct config_eval *entry = &s->eval[i];
        const struct shelf_rows *set = dataset_eval(&r->data, stage, i);
        const struct source *rows = &set->source;
        struct pack_item *items = mem_zero(rows->count + 1, sizeof *items);
        struct eval_outcome *out = mem_zero(rows->count + 1, sizeof *out);
        uint32_t used = 0;
        for (size_t k = 0; k < rows->count; k++) // rows that hold only a prompt have no loss
            if (rows->rows[k].tokens) items[used++] = (struct pack_item){rows->rows[k].ids, rows->rows[k].mask, rows->rows[k].tokens, 0};
        session_eval(r->session, items, used, r->config->packing, out);
        uint64_t trained = 0;
        for (uint32_t k = 0; k < used; k++) {
            scores[i].loss += out[k].loss;
            trained += out[k].trained;
        }
        scores[i].loss = trained ? scores[i].loss / (double)trained : NAN;
        if (trained) mean += scores[i].loss, with_loss++;
        scores[i].name = entry->name;
        scores[i].score = NAN;
        if (entry->metric != METRIC_NONE) {
            struct ability_score score;
            ability_run(&set->ability, r->session, session_generator(r->session), NULL, NULL, &score);
            scores[i].score = score.score;
            scores[i].chance = set->ability.chance;
        }
        free(items);
        free(out);
    }
    pace_eval(&r->pace, r->evaluations[stage], clock_seconds() - began);
    int status = log_eval(r->log, r->state.step, stage_at(r, stage)->name, scores, count, e);
    mean /= (double)with_loss;
    if (saved && isfinite(mean) && (r->state.best_step == UINT64_MAX || mean < r->state.best_loss)) {
        r->state.best_loss = mean;
        r->state.best_step = r->state.step;
    }
    free(scores);
    return status;
}

// What a stage change does to the optimizer: a fresh one, unless the stage keeps the one before.
static void begin_stage(struct run *r, size_t stage)
{
    const struct stage *s = stage_at(r, stage);
    log_clear(r->log);
    say("stage %zu of %zu, %s: %u row%s, %llu step%s", stage + 1, r->data.stages.count, s->name, s->row_count, plural(s->row_count),
        (unsigned long long)s->steps, plural(s->steps));
    if (stage == 0 || s->settings->keep_optimizer) return;
    engine_zero_moments(session_engine(r->session));
    r->state.update = 0;
}

static int step(struct run *r, const struct stage_step *at, bool last, struct error *e)
{
    const struct config *c = r->config;
    const struct stage *stage = stage_at(r, at->stage);
    const struct config_settings *s = stage->settings;
    const struct stage_row *rows = stage_cursor_rows(&r->cursor, r->state.step);
    struct pack_item *items = mem_alloc(at->count * sizeof *items);
    for (uint32_t i = 0; i < at->count; i++) {
        const struct conversation *row = &dataset_cut(&r->data, at->stage)->rows[rows[i].source][rows[i].row];
        items[i] = (struct pack_item){row->ids, row->mask, row->tokens, rows[i].source};
    }
    struct schedule schedule = schedule_make(s, stage->chain_steps);
    double rate = schedule_rate(&schedule, stage->chain_first + at->step);
    struct step_settings settings = {.optimizer = s->optim == OPTIM_SGD ? OPTIMIZER_SGD : OPTIMIZER_ADAMW, .learning_rate = rate,
        .beta1 = s->adam_beta1, .beta2 = s->adam_beta2, .epsilon = s->adam_epsilon, .weight_decay = s->weight_decay,
        .max_norm = s->max_grad_norm, .dropout = at->step >= s->dropout_start_step ? s->dropout : 0,
        .update = r->state.update + 1, .seed = c->seed, .step = r->state.step, .loss_scale = r->state.loss_scale.scale,
        .packing = c->packing};
    memset(r->sums, 0, c->source_count * sizeof *r->sums);
    struct step_outcome out;
    session_step(r->session, items, at->count, &settings, &out, r->sums);
    free(items);
    r->state.step++;
    if (!out.skipped) r->state.update++;
    if (!loss_scale_step(&r->state.loss_scale, out.skipped) && !r->said_lowest) {
        say("step %llu is not finite though the loss is no longer scaled: numbers beyond fp16's largest, 65504, in the forward pass, "
            "or a run that diverges; matmul_precision bf16 and f32 have no such limit", (unsigned long long)r->state.step);
        r->said_lowest = true;
    }
    r->state.hash = fnv1a(fnv1a(r->state.hash, &out.loss, sizeof out.loss), &out.grad_norm, sizeof out.grad_norm);
    double now = clock_seconds();
    pace_step(&r->pace, 3 * (double)out.tokens, now - r->step_began);
    const struct log_step line = {.step = r->state.step, .stage = stage->name,
        .epoch = (double)(at->step + 1) / (double)stage->steps_per_epoch, .loss = (double)out.loss, .grad_norm = (double)out.grad_norm,
        .learning_rate = rate, .loss_scale = settings.loss_scale, .skipped = out.skipped, .conversations = at->count, .tokens = out.tokens,
        .trained_tokens = out.trained, .seconds = now - r->step_began, .sources = r->sums, .source_names = r->names,
        .source_count = c->source_count, .hash = r->state.hash, .total_steps = r->data.stages.steps,
        .left = pace_left(&r->pace, run_work_left(&r->data.stages, r->evaluations, r->state.step))};
    r->step_began = now;
    r->state.epoch = line.epoch;
    return log_step(r->log, &line, last || r->state.step % c->logging_steps == 0, e);
}

static bool due(enum config_when when, uint64_t every, uint64_t step, bool epoch_end)
{
    return when == WHEN_EPOCH ? epoch_end : when == WHEN_STEPS && every && step % every == 0;
}

static int train(struct run *r, struct run_outcome *out, struct error *e)
{
    const struct config *c = r->config;
    uint64_t total = r->data.stages.steps;
    r->step_began = clock_seconds();
    if (r->state.step == 0 && c->eval_on_start && evaluate(r, 0, false, e)) return -1;
    if (r->state.step < total && interrupt_asked()) { // while all was made ready
        say("interrupted before step %llu", (unsigned long long)r->state.step + 1);
        out->interrupted = true;
        return 0;
    }
    for (uint64_t n = r->state.step; n < total; n++) {
        struct stage_step at = stages_step(&r->data.stages, n);
        const struct stage *stage = stage_at(r, at.stage);
        const struct config_settings *s = stage->settings;
        if (at.step == 0) begin_stage(r, at.stage);
        bool stage_end = at.step + 1 == stage->steps, epoch_end = stage_end || (at.step + 1) % stage->steps_per_epoch == 0;
        r->step_began = at.step == 0 || n == r->state.step ? clock_seconds() : r->step_began;
        if (step(r, &at, n + 1 == total, e)) return -1;
        double before = clock_seconds();
        bool save_due = due(c->save_strategy, c->save_steps, n + 1, epoch_end) || (c->save_strategy != WHEN_NO && n + 1 == total);
        if (due(s->eval_strategy, s->eval_steps, n + 1, epoch_end) && evaluate(r, at.stage, save_due, e)) return -1;
        bool stop = n + 1 < total && interrupt_asked();
        if ((save_due || stop) && save(r, e)) return -1;
        r->step_began += clock_seconds() - before; // neither evaluation nor saving counts as a step's time
        if (stop) {
            say("interrupted after step %llu: checkpoint-%llu is written", (unsigned long long)(n + 1), (unsigned long long)(n + 1));
            out->interrupted = true;
            return 0;
        }
    }
    return 0;
}

// The final model at the top of the folder: the weights as they are, or those of the best checkpoint.
static int publish(struct run *r, struct error *e)
{
    const struct config *c = r->config;
    bool bf16 = c->save_dtype != PRECISION_F32;
    if (c->load_best_model_at_end && r->state.best_step == r->state.step) say("the best model is the last one's");
    if (c->load_best_model_at_end && r->state.best_step != UINT64_MAX && r->state.best_step != r->state.step) {
        char *folder = mem_format("%s/checkpoint-%llu", c->output_dir, (unsigned long long)r->state.best_step);
        bool there = folder_exists(folder);
        int status = there ? model_publish(c->output_dir, folder, r->bundle, session_engine(r->session), bf16, e) : 0;
        if (there && status == 0) say("the best model is that of step %llu", (unsigned long long)r->state.best_step);
        else if (!there) say("the best step, %llu, was not saved; the last one's model is kept", (unsigned long long)r->state.best_step);
        free(folder);
        if (there) return status;
    }
    return model_publish(c->output_dir, NULL, r->bundle, session_engine(r->session), bf16, e);
}

// Decisions from limits and measurements are a run's own: on resume they are taken from the checkpoint.
// *choices are the blueprint's and outlive it.
static int make_blueprint(struct run *r, struct blueprint *b, struct choices **choices, bool resumed, struct error *e)
{
    struct limits limits = limits_of(gpu_info(r->gpu));
    struct blueprint_options o = run_blueprint_options(r->config, &r->data, &r->bundle->model, &limits);
    const struct gpu_info *info = gpu_info(r->gpu);
    bool same = true;
    if (resumed) {
        same = strcmp(r->state.device, info->name) == 0 && strcmp(r->state.driver, info->driver) == 0;
        if (!same) {
            say("warning: the run was made on %s (%s), and goes on on %s (%s): the trajectory goes on up to rounding, with a new hash "
                "chain", r->state.device, r->state.driver, info->name, info->driver);
            r->state.hash = FNV_START;
        }
        storage_find(&o.storage, r->state.storage);
        storage_find(&o.gradients, r->state.gradients);
        products_find(&limits.products, r->state.products);
        if (!products_can(info, limits.products)) { // matmul_precision is auto: others are refused before (run_supported)
            limits.products = products_best(info);
            say("warning: %s has no matrix units for the run's products in %s: they go on in %s", info->name, r->state.products,
                products_name(limits.products));
            r->state.loss_scale = limits.products == PRODUCTS_FP16 ? loss_scale_start() : (struct loss_scale){0};
        }
        o.checkpoint = r->state.recompute;
        if (!o.budget) o.budget = r->state.budget < r->data.longest ? (r->data.longest + 15) / 16 * 16 : r->state.budget;
        if (blueprint_choose(b, &r->bundle->model, &limits, &o, false, 0, e)) return -1;
    } else if (run_blueprint(b, r->config, &r->data, r->bundle, &limits, e)) {
        return -1;
    }
    r->state.budget = b->options.budget;
    r->state.recompute = b->options.checkpoint;
    snprintf(r->state.storage, sizeof r->state.storage, "%s", storage_name(b->options.storage));
    snprintf(r->state.gradients, sizeof r->state.gradients, "%s", storage_name(b->options.gradients));
    snprintf(r->state.products, sizeof r->state.products, "%s", products_name(b->limits.products));
    if (!resumed && b->limits.products == PRODUCTS_FP16) r->state.loss_scale = loss_scale_start();
    snprintf(r->state.device, sizeof r->state.device, "%s", info->name);
    snprintf(r->state.driver, sizeof r->state.driver, "%s", info->driver);
    const cJSON *own = same ? r->state.variants : NULL;
    *choices = tuning_blueprint(b, &r->bundle->model, r->gpu, own, e);
    if (!*choices && !e->device) { // sessions of earlier runs may hold the memory that it takes
        workshop_make_room(r->workshop);
        *choices = tuning_blueprint(b, &r->bundle->model, r->gpu, own, e);
    }
    if (!*choices) return -1;
    if (own && tuning_lost(own, &b->limits)) {
        say("warning: this build has not all the variants of the products that the run was made with: the trajectory goes on up to "
            "rounding, with a new hash chain");
        r->state.hash = FNV_START;
    }
    cJSON_Delete(r->state.variants);
    r->state.variants = tuning_json(*choices);
    return 0;
}

// Locks the folder and looks for a checkpoint to go on from: *checkpoint its folder, which the caller frees, or NULL.
static int open_output(struct run *r, char **checkpoint, struct error *e)
{
    const struct config *c = r->config;
    bool resume = r->options->resume, resumable = false;
    if (!(r->output = output_open(c->output_dir, resume, &resumable, e))) return -1;
    if (resume && resumable && run_compare(c, true, e) < 0) return -1;
    return resume && resumable && checkpoint_latest(checkpoint, &r->state, c->output_dir, e) < 0 ? -1 : 0;
}

// A run that starts afresh leaves its first file when all that it is made of is known to be good, so that a config that
// cannot be trained leaves nothing. A folder that was not there then is another process's if it is there now.
static int begin_output(struct run *r, struct error *e)
{
    const struct config *c = r->config;
    bool resumable;
    if (!r->output && !(r->output = output_open(c->output_dir, false, &resumable, e))) return -1;
    if (r->options->resume) say("no checkpoint in %s: the run starts afresh", c->output_dir);
    char *path = path_join(c->output_dir, OUTPUT_CONFIG);
    int status = outcome_remove(c->output_dir, e);
    if (status == 0) status = config_save(c, path, e);
    free(path);
    return status;
}

// The session of this run, with its weights: of `checkpoint`, or (NULL) those it begins with.
static int open_session(struct run *r, const char *checkpoint, struct error *e)
{
    const struct config *c = r->config;
    struct blueprint *b = mem_zero(1, sizeof *b);
    struct choices *choices = NULL;
    uint64_t disk, peak = 0;
    if (make_blueprint(r, b, &choices, checkpoint, e) ||
        (!checkpoint && (disk = run_disk(c, b, &r->data.stages, &peak), output_check(c->output_dir, disk + peak, e))) ||
        (!checkpoint && begin_output(r, e)) || write_manifests(r, checkpoint, e) || write_plan(r, checkpoint, e)) {
        blueprint_free(b);
        choices_free(choices);
        free(b);
        return -1;
    }
    say("%.1f million parameters; storage %s, products %s%s, gradients %s, saved as %s; micro-batches of %u tokens%s; "
        "%.2f GB on the device",
        (double)b->layout.parameters * 1e-6, r->state.storage, r->state.products,
        r->state.loss_scale.scale > 0 ? " with loss scaling" : "", r->state.gradients, c->save_dtype == PRECISION_F32 ? "f32" : "bf16",
        b->options.budget, b->options.checkpoint ? ", layers recomputed" : "", (double)b->memory.total * 1e-9);
    r->session = workshop_session(r->workshop, &r->blueprint, b, choices, r->bundle, r->gpu, e);
    if (!r->session) return -1;
    struct engine *engine = session_engine(r->session);
    if (!checkpoint) return model_load(&r->bundle->model, engine, c->seed, e);
    if (checkpoint_load(checkpoint, r->bundle, engine, run_optimizer(c) == OPTIMIZER_ADAMW, e)) return -1;
    say("going on after step %llu (%s)", (unsigned long long)r->state.step, checkpoint);
    return 0;
}

static int start(struct run *r, struct error *e)
{
    const struct config *c = r->config;
    char *folder = NULL;
    int status = folder_exists(c->output_dir) ? open_output(r, &folder, e) : 0;
    bool found = folder != NULL;
    if (status == 0 && !found) r->state = (struct run_state){.hash = FNV_START, .best_step = UINT64_MAX};
    r->saved = found ? r->state.step : UINT64_MAX;
    if (status == 0 && !(r->bundle = workshop_bundle(r->workshop, c, e))) status = -1;
    if (status == 0 && found) status = run_compare_model(c, &r->bundle->model, e);
    if (status == 0) status = dataset_open(&r->data, c, r->bundle, workshop_shelf(r->workshop), true, e);
    if (status == 0) stages_say_empty(&r->data.stages, c);
    if (status == 0) bundle_say_positions(r->bundle, r->data.longest);
    if (status == 0) status = open_session(r, folder, e);
    free(folder);
    if (status == 0) status = outcome_remove(c->output_dir, e);
    if (status) return -1;
    r->log = log_open(c->output_dir, found ? r->state.log_bytes : 0, r->state.step + 1, e);
    if (!r->log) return -1;
    if (r->options->stepped) log_lead(r->log, r->options->stepped, r->options->context);
    r->sums = mem_zero(c->source_count, sizeof *r->sums);
    r->names = mem_zero(c->source_count, sizeof *r->names);
    for (size_t i = 0; i < c->source_count; i++) r->names[i] = c->sources[i].name;
    r->evaluations = run_evaluation_work(&r->data);
    stage_cursor_make(&r->cursor, &r->data.stages);
    return 0;
}

int run_train(const struct config *c, struct workshop *w, const struct run_options *options, struct run_outcome *out,
    struct error *e)
{
    *out = (struct run_outcome){0};
    if (output_check(c->output_dir, 0, e)) return -1;
    struct run r = {.config = c, .options = options, .workshop = w, .gpu = workshop_gpu(w, c->device, e)};
    if (!r.gpu || run_supported(c, gpu_info(r.gpu), e)) return -1; // before anything is written
    interrupt_begin();
    int status = start(&r, e);
    if (status == 0) status = train(&r, out, e);
    if (status == 0 && !out->interrupted) status = publish(&r, e);
    if (status == 0 && !out->interrupted)
        status = outcome_write(c->output_dir, &(struct outcome){r.state.step, r.state.hash}, e);
    if (r.log && log_last(r.log)) out->last_line = mem_string(log_last(r.log));
    log_close(r.log);
    if (r.cursor.stages) stage_cursor_free(&r.cursor);
    dataset_close(&r.data);
    output_close(r.output);
    run_state_free(&r.state);
    free(r.sums);
    free(r.names);
    free(r.evaluations);
    interrupt_end();
    return status;
}
