// SPDX-License-Identifier: MIT
//
// config_check.c: what the keys of a config mean together.
#include "train/config_read.h"
#include "train/stages.h"

#include <stdlib.h>
#include <string.h>

static bool has_name(const struct config_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0) return true;
    return false;
}

static int check_sources_exist(
    const struct config *c, const struct config_names *list, const char *key, struct error *e)
{
    const char **names = mem_zero(c->source_count + 1, sizeof *names);
    for (size_t i = 0; i < c->source_count; i++) names[i] = c->sources[i].name;
    int status = 0;
    for (size_t i = 0; i < list->count && status == 0; i++) {
        const char *name = list->names[i], *near = nearest_name(name, names);
        size_t s = 0;
        while (s < c->source_count && strcmp(names[s], name) != 0) s++;
        if (s == c->source_count)
            status = error_set(e, "%s: \"%.80s\" is not among the \"sources\"%s%s%s", key, name,
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        for (size_t k = 0; k < i && status == 0; k++)
            if (strcmp(list->names[k], name) == 0) status = error_set(e, "%s: \"%s\" stands there twice", key, name);
    }
    free(names);
    return status;
}

static int check_strategy(const struct config *c, struct error *e)
{
    if (c->strategy == STRATEGY_STAGES && c->stage_count == 0)
        return error_set(
            e, "strategy: is missing: multi_task, sequential, mixed_sequential or dmt; or write \"stages\"");
    if (c->strategy != STRATEGY_STAGES && c->stage_count > 0)
        return error_set(e, "strategy: stands beside \"stages\": one of the two says what the stages are, take the "
                            "other away");
    if (check_sources_exist(c, &c->specialized, "specialized", e)) return -1;
    if (check_sources_exist(c, &c->general, "general", e)) return -1;
    for (size_t i = 0; i < c->general.count; i++)
        if (has_name(&c->specialized, c->general.names[i]))
            return error_set(e, "general: \"%s\" is in \"specialized\" too", c->general.names[i]);
    if (c->strategy == STRATEGY_STAGES || c->strategy == STRATEGY_MULTI_TASK) return 0;
    if (c->specialized.count == 0) return error_set(e, "specialized: is missing: the strategy wants sources there");
    if (c->general.count == 0) return error_set(e, "general: is missing: the strategy wants sources there");
    return 0;
}

// `prefix`: "" or "stages.0.", for the keys' paths.
static int check_settings(const struct config_settings *s, const char *prefix, struct error *e)
{
    if (s->max_steps == 0 && s->num_train_epochs == 0)
        return error_set(e, "%snum_train_epochs: is 0 and so is max_steps: there is nothing to train", prefix);
    bool polynomial = s->lr_scheduler_type == SCHEDULER_POLYNOMIAL;
    if (s->lr_end > 0 && !polynomial && s->lr_scheduler_type != SCHEDULER_COSINE)
        return error_set(
            e, "%slr_end: only cosine and polynomial end at a rate above 0 (polynomial is linear decay to it)", prefix);
    if ((s->lr_end > 0 || polynomial) && s->lr_end >= s->learning_rate)
        return error_set(
            e, "%slr_end: is %g, but must be below learning_rate, %g", prefix, s->lr_end, s->learning_rate);
    if (s->eval_strategy == WHEN_STEPS && s->eval_steps == 0)
        return error_set(e, "%seval_steps: is missing: eval_strategy is steps, so say every how many", prefix);
    return 0;
}

// A stage that keeps the optimizer goes on with the schedule of the one before, so the two must agree about it.
static int check_chain(
    const struct config_settings *s, const struct config_settings *before, size_t stage, struct error *e)
{
    const char *key = s->optim != before->optim                           ? "optim"
                      : s->learning_rate != before->learning_rate         ? "learning_rate"
                      : s->lr_scheduler_type != before->lr_scheduler_type ? "lr_scheduler_type"
                      : s->lr_end != before->lr_end                       ? "lr_end"
                      : s->warmup_ratio != before->warmup_ratio           ? "warmup_ratio"
                      : s->warmup_steps != before->warmup_steps           ? "warmup_steps"
                                                                          : NULL;
    if (!key) return 0;
    return error_set(e,
        "stages.%zu.%s: differs from the stage before, whose schedule this one goes on with "
        "(keep_optimizer)",
        stage, key);
}

// Amounts that only mean something with mix_rows, or only without it.
static int check_mix(const struct config *c, const struct config_stage *stage, const char *prefix, struct error *e)
{
    for (size_t i = 0; i < stage->mix_count; i++) {
        const struct config_mix *m = &stage->mix[i];
        const char *name = c->sources[m->source].name;
        if (m->amount == AMOUNT_SHARE && !stage->settings.mix_rows)
            return error_set(e, "%smix.%s: is a share of mix_rows, which the stage does not have: set it, or write a "
                "fraction of the source's rows", prefix, name);
        if (m->amount == AMOUNT_PASSES && stage->settings.mix_rows)
            return error_set(e, "%smix.%s: whole passes do not go with mix_rows, which draws a row once: write 1, and "
                "num_train_epochs for more passes over the whole", prefix, name);
    }
    return 0;
}

static int check_stages(const struct config *c, struct error *e)
{
    bool written = c->strategy == STRATEGY_STAGES;
    for (size_t i = 0; i < c->stage_count; i++) {
        char prefix[32] = "";
        if (written) snprintf(prefix, sizeof prefix, "stages.%zu.", i);
        if (check_settings(&c->stages[i].settings, prefix, e) || check_mix(c, &c->stages[i], prefix, e)) return -1;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->stages[k].name, c->stages[i].name) != 0) continue;
            if (!written)
                return error_set(
                    e, "specialized: the strategy has a stage \"%s\" already; rename that source", c->stages[i].name);
            return error_set(e, "stages.%zu.name: \"%s\" is the name of stage %zu too", i, c->stages[i].name, k);
        }
        if (i > 0 && c->stages[i].settings.keep_optimizer &&
            check_chain(&c->stages[i].settings, &c->stages[i - 1].settings, i, e))
            return -1;
    }
    return 0;
}

static int check_saving(const struct config *c, struct error *e)
{
    if (c->save_strategy == WHEN_STEPS && c->save_steps == 0)
        return error_set(e, "save_steps: is missing: save_strategy is steps, so say every how many");
    if (c->save_strategy != WHEN_STEPS && c->save_steps > 0)
        return error_set(
            e, "save_steps: is %llu, but counts only with save_strategy steps", (unsigned long long)c->save_steps);
    if (c->settings.eval_strategy != WHEN_STEPS && c->settings.eval_steps > 0)
        return error_set(e, "eval_steps: is %llu, but counts only with eval_strategy steps",
            (unsigned long long)c->settings.eval_steps);
    if (!c->load_best_model_at_end) return 0;
    const struct config_settings *last = &c->stages[c->stage_count - 1].settings;
    if (last->eval_count == 0 || last->eval_strategy == WHEN_NO)
        return error_set(e,
            "load_best_model_at_end: the last stage evaluates nothing to tell the best by; set \"eval\" and "
            "\"eval_strategy\"");
    if (c->save_strategy != last->eval_strategy ||
        (c->save_strategy == WHEN_STEPS && c->save_steps % last->eval_steps != 0))
        return error_set(e,
            "load_best_model_at_end: every checkpoint needs an evaluation: save_strategy and eval_strategy "
            "must be the same, save_steps a multiple of eval_steps");
    return 0;
}

static void note_unused(struct config *c)
{
    struct text notes = {0};
    if (c->notes) text_print(&notes, "%s", c->notes);
    free(c->notes);
    for (uint32_t s = 0; s < c->source_count; s++) {
        bool used = false;
        for (size_t i = 0; i < c->stage_count; i++)
            for (size_t k = 0; k < c->stages[i].mix_count; k++) used = used || c->stages[i].mix[k].source == s;
        if (!used) text_print(&notes, "sources.%s: no stage uses it\n", c->sources[s].name);
    }
    c->notes = notes.data;
}

int config_check(struct config *c, struct error *e)
{
    if (!c->model_name_or_path && !c->init)
        return error_set(e, "model_name_or_path: is missing; or write \"init\" to train from random weights");
    if (c->model_name_or_path && c->init)
        return error_set(e, "init: stands beside \"model_name_or_path\": take one of the two away");
    if (!c->output_dir) return error_set(e, "output_dir: is missing");
    if (c->gradient_dtype == PRECISION_BF16 && c->precision == PRECISION_F32)
        return error_set(e, "gradient_dtype: bf16 goes with bf16 storage, and precision is f32: set precision to bf16 or auto, or take "
            "gradient_dtype away");
    if (c->source_count == 0) return error_set(e, "sources: is missing: {\"name\": {\"path\": \"file.jsonl\"}}");
    if (check_strategy(c, e)) return -1;
    stages_expand(c);
    if (check_stages(c, e) || check_saving(c, e)) return -1;
    note_unused(c);
    return 0;
}
