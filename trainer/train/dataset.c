// SPDX-License-Identifier: MIT
#include "train/dataset.h"

#include <stdlib.h>
#include <string.h>

static bool uses(const struct config_stage *s, size_t source)
{
    for (size_t i = 0; i < s->mix_count; i++)
        if (s->mix[i].source == source) return true;
    return false;
}

static int load_cut(struct dataset *d, struct cut *cut, const struct bundle *b, struct error *e)
{
    const struct config *c = d->config;
    cut->sources = mem_zero(c->source_count, sizeof *cut->sources);
    cut->rows = mem_zero(c->source_count, sizeof *cut->rows);
    for (size_t i = 0; i < c->source_count; i++) {
        const struct config_source *s = &c->sources[i];
        bool used = false;
        for (size_t k = 0; k < c->stage_count; k++)
            used = used || (c->stages[k].settings.max_length == cut->max_length && uses(&c->stages[k], i));
        if (!used) continue;
        if (s->chat_template && !d->templates[i].program && template_open(&d->templates[i], s->chat_template, b->tokenizer, e))
            return error_prefix(e, "source %s: ", s->name);
        const struct source_options o = {.name = s->name, .ability = s->ability, .paths = (const char *const *)s->path.names,
            .path_count = s->path.count, .template = s->chat_template ? &d->templates[i] : &b->template,
            .max_length = (uint32_t)cut->max_length, .max_rows = s->max_rows, .strict = c->strict};
        if (source_load(&cut->sources[i], &o, b->tokenizer, e)) return -1;
        source_report(&cut->sources[i]);
        cut->rows[i] = cut->sources[i].rows;
        if (cut->sources[i].longest > d->longest) d->longest = cut->sources[i].longest;
    }
    return 0;
}

static int load_cuts(struct dataset *d, const struct bundle *b, struct error *e)
{
    const struct config *c = d->config;
    for (size_t k = 0; k < c->stage_count; k++) {
        uint64_t length = c->stages[k].settings.max_length;
        size_t i = 0;
        while (i < d->cut_count && d->cuts[i].max_length != length) i++;
        d->stage_cut[k] = i;
        if (i < d->cut_count) continue;
        d->cuts = mem_resize(d->cuts, (d->cut_count + 1) * sizeof *d->cuts);
        d->cuts[d->cut_count++] = (struct cut){.max_length = length};
        if (load_cut(d, &d->cuts[i], b, e)) return -1;
    }
    return 0;
}

static int draw(struct dataset *d, struct error *e)
{
    const struct config *c = d->config;
    uint32_t *available = mem_zero(c->stage_count * c->source_count, sizeof *available);
    for (size_t k = 0; k < c->stage_count; k++)
        for (size_t i = 0; i < c->source_count; i++)
            available[k * c->source_count + i] = (uint32_t)dataset_cut(d, k)->sources[i].count;
    int status = stages_make(&d->stages, c, available, e);
    free(available);
    if (status) return -1;
    for (size_t k = 0; k < d->stages.count; k++) {
        struct stage *s = &d->stages.stages[k];
        stages_count_tokens(s, dataset_cut(d, k)->rows);
        uint64_t tokens = 0;
        for (size_t i = 0; i < s->share_count; i++) tokens += s->shares[i].tokens;
        uint64_t batch = s->settings->train_batch_size < s->row_count ? s->settings->train_batch_size : s->row_count;
        uint64_t step = tokens * batch / (s->row_count ? s->row_count : 1);
        if (step > d->step_tokens) d->step_tokens = step;
    }
    return 0;
}

static bool same_entry(const struct config_eval *a, const struct config_eval *b)
{
    if (strcmp(a->name, b->name) != 0 || a->path.count != b->path.count || a->max_rows != b->max_rows ||
        a->metric != b->metric || a->max_new_tokens != b->max_new_tokens)
        return false;
    for (size_t i = 0; i < a->path.count; i++)
        if (strcmp(a->path.names[i], b->path.names[i]) != 0) return false;
    return true;
}

static struct eval_set *find_eval(const struct dataset *d, const struct config_eval *entry, uint64_t max_length)
{
    for (size_t i = 0; i < d->eval_count; i++)
        if (d->evals[i].max_length == max_length && same_entry(d->evals[i].entry, entry)) return &d->evals[i];
    return NULL;
}

static int make_ability(struct dataset *d, struct eval_set *set, const struct bundle *b, struct error *e)
{
    const struct ability_options o = {.metric = set->entry->metric, .max_new_tokens = (uint32_t)set->entry->max_new_tokens,
        .max_length = (uint32_t)set->max_length, .template = set->template};
    struct ability *a = &set->ability;
    if (ability_make(a, &set->source, b, &o, e)) return -1;
    if (a->skipped) say("eval %s: %zu rows cannot be scored (%s)", set->entry->name, a->skipped, a->problem ? a->problem : "");
    if (a->longest > d->longest) d->longest = a->longest;
    if (a->capacity > d->capacity) d->capacity = a->capacity;
    if (a->capacity && a->rows > d->requests) d->requests = a->rows;
    return 0;
}

static int load_evals(struct dataset *d, const struct bundle *b, struct error *e)
{
    const struct config *c = d->config;
    for (size_t k = 0; k < c->stage_count; k++) {
        const struct config_settings *s = &c->stages[k].settings;
        for (size_t i = 0; i < s->eval_count; i++) {
            const struct config_eval *entry = &s->eval[i];
            if (find_eval(d, entry, s->max_length)) continue;
            d->evals = mem_resize(d->evals, (d->eval_count + 1) * sizeof *d->evals);
            struct eval_set *set = &d->evals[d->eval_count++];
            *set = (struct eval_set){.entry = entry, .max_length = s->max_length};
            set->template = mem_zero(1, sizeof *set->template);
            if (entry->chat_template) {
                set->own_template = true;
                if (template_open(set->template, entry->chat_template, b->tokenizer, e)) return error_prefix(e, "eval %s: ", entry->name);
            } else {
                *set->template = b->template;
            }
            const struct source_options o = {.name = entry->name, .paths = (const char *const *)entry->path.names,
                .path_count = entry->path.count, .template = set->template, .max_length = (uint32_t)s->max_length,
                .max_rows = entry->max_rows, .strict = c->strict, .keep_rows = entry->metric != METRIC_NONE};
            if (source_load(&set->source, &o, b->tokenizer, e)) return -1;
            source_report(&set->source);
            if (set->source.longest > d->longest) d->longest = set->source.longest;
            if (entry->metric != METRIC_NONE && make_ability(d, set, b, e)) return error_prefix(e, "eval %s: ", entry->name);
        }
    }
    return 0;
}

int dataset_open(struct dataset *d, const struct config *c, const struct bundle *b, bool with_evals, struct error *e)
{
    *d = (struct dataset){.config = c, .longest = 1};
    d->stage_cut = mem_zero(c->stage_count, sizeof *d->stage_cut);
    d->templates = mem_zero(c->source_count, sizeof *d->templates);
    if (load_cuts(d, b, e) == 0 && draw(d, e) == 0 && (!with_evals || load_evals(d, b, e) == 0)) return 0;
    dataset_close(d);
    return -1;
}

void dataset_close(struct dataset *d)
{
    for (size_t i = 0; i < d->cut_count; i++) {
        for (size_t k = 0; d->cuts[i].sources && k < d->config->source_count; k++) source_free(&d->cuts[i].sources[k]);
        free(d->cuts[i].sources);
        free(d->cuts[i].rows);
    }
    for (size_t i = 0; i < d->eval_count; i++) {
        if (d->evals[i].entry->metric != METRIC_NONE) ability_free(&d->evals[i].ability);
        source_free(&d->evals[i].source);
        if (d->evals[i].own_template) template_close(d->evals[i].template);
        free(d->evals[i].template);
    }
    for (size_t i = 0; d->templates && i < d->config->source_count; i++)
        if (d->templates[i].program) template_close(&d->templates[i]);
    stages_free(&d->stages);
    free(d->cuts);
    free(d->stage_cut);
    free(d->templates);
    free(d->evals);
    *d = (struct dataset){0};
}

const struct cut *dataset_cut(const struct dataset *d, size_t stage)
{
    return &d->cuts[d->stage_cut[stage]];
}

const struct eval_set *dataset_eval(const struct dataset *d, size_t stage, size_t entry)
{
    const struct config_settings *s = &d->config->stages[stage].settings;
    return find_eval(d, &s->eval[entry], s->max_length);
}
