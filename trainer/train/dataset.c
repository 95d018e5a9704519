// SPDX-License-Identifier: MIT
#include "train/dataset.h"

#include <stdlib.h>

static bool uses(const struct config_stage *s, size_t source)
{
    for (size_t i = 0; i < s->mix_count; i++)
        if (s->mix[i].source == source) return true;
    return false;
}

static int load_cut(struct dataset *d, struct cut *cut, const struct bundle *b, struct shelf *shelf, struct error *e)
{
    const struct config *c = d->config;
    cut->sources = mem_zero(c->source_count, sizeof *cut->sources);
    cut->rows = mem_zero(c->source_count, sizeof *cut->rows);
    for (size_t i = 0; i < c->source_count; i++) {
        bool used = false;
        for (size_t k = 0; k < c->stage_count; k++)
            used = used || (c->stages[k].settings.max_length == cut->max_length && uses(&c->stages[k], i));
        if (!used) continue;
        const struct shelf_rows *rows = shelf_train(shelf, c, i, cut->max_length, b, e);
        if (!rows) return -1;
        cut->sources[i] = rows;
        cut->rows[i] = rows->source.rows;
        if (rows->source.longest > d->longest) d->longest = rows->source.longest;
    }
    return 0;
}

static int load_cuts(struct dataset *d, const struct bundle *b, struct shelf *shelf, struct error *e)
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
        if (load_cut(d, &d->cuts[i], b, shelf, e)) return -1;
    }
    return 0;
}

static int draw(struct dataset *d, struct error *e)
{
    const struct config *c = d->config;
    uint32_t *available = mem_zero(c->stage_count * c->source_count, sizeof *available);
    for (size_t k = 0; k < c->stage_count; k++)
        for (size_t i = 0; i < c->source_count; i++) {
            const struct shelf_rows *rows = dataset_cut(d, k)->sources[i];
            available[k * c->source_count + i] = rows ? (uint32_t)rows->source.count : 0;
        }
    int status = stages_make(&d->stages, c, available, e);
    free(available);
    if (status) return -1;
    for (size_t k = 0; k < d->stages.count; k++) {
        stages_count_tokens(&d->stages.stages[k], dataset_cut(d, k)->rows);
        uint64_t step = stages_largest_step(&d->stages, k, dataset_cut(d, k)->rows);
        if (step > d->step_tokens) d->step_tokens = step;
    }
    return 0;
}

static int load_evals(struct dataset *d, const struct bundle *b, struct shelf *shelf, struct error *e)
{
    const struct config *c = d->config;
    for (size_t k = 0; k < c->stage_count; k++) {
        const struct config_settings *s = &c->stages[k].settings;
        d->stage_eval[k] = d->eval_count;
        d->evals = mem_resize(d->evals, (d->eval_count + s->eval_count) * sizeof *d->evals);
        for (size_t i = 0; i < s->eval_count; i++) {
            const struct shelf_rows *rows = shelf_eval(shelf, c, &s->eval[i], s->max_length, b, e);
            if (!rows) return -1;
            d->evals[d->eval_count++] = rows;
            const struct ability *a = &rows->ability;
            if (rows->source.longest > d->longest) d->longest = rows->source.longest;
            if (a->longest > d->longest) d->longest = a->longest;
            if (a->capacity > d->capacity) d->capacity = a->capacity;
            if (a->capacity && a->rows > d->requests) d->requests = a->rows;
        }
    }
    return 0;
}

int dataset_open(struct dataset *d, const struct config *c, const struct bundle *b, struct shelf *shelf, bool with_evals,
    struct error *e)
{
    *d = (struct dataset){.config = c, .longest = 1, .own = shelf ? NULL : shelf_make(0)};
    d->shelf = shelf = shelf ? shelf : d->own;
    d->stage_cut = mem_zero(c->stage_count, sizeof *d->stage_cut);
    d->stage_eval = mem_zero(c->stage_count, sizeof *d->stage_eval);
    if (load_cuts(d, b, shelf, e) == 0 && draw(d, e) == 0 && (!with_evals || load_evals(d, b, shelf, e) == 0)) return 0;
    dataset_close(d);
    return -1;
}

void dataset_close(struct dataset *d)
{
    for (size_t i = 0; i < d->eval_count; i++) shelf_release(d->shelf, d->evals[i]);
    for (size_t i = 0; i < d->cut_count; i++) {
        for (size_t k = 0; k < d->config->source_count; k++)
            if (d->cuts[i].sources[k]) shelf_release(d->shelf, d->cuts[i].sources[k]);
        free(d->cuts[i].sources);
        free(d->cuts[i].rows);
    }
    stages_free(&d->stages);
    free(d->cuts);
    free(d->stage_cut);
    free(d->evals);
    free(d->stage_eval);
    shelf_free(d->own);
    *d = (struct dataset){0};
}

const struct cut *dataset_cut(const struct dataset *d, size_t stage)
{
    return &d->cuts[d->stage_cut[stage]];
}

const struct shelf_rows *dataset_eval(const struct dataset *d, size_t stage, size_t entry)
{
    return d->evals[d->stage_eval[stage] + entry];
}
