// SPDX-License-Identifier: MIT
#include "study/report_statistics.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct report_spread report_spread(const double *values, size_t count)
{
    struct report_spread s = {NAN, NAN, 0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i])) sum += values[i], s.count++;
    if (!s.count) return s;
    s.mean = sum / (double)s.count;
    if (s.count < 2) return s;
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i])) squares += (values[i] - s.mean) * (values[i] - s.mean);
    s.deviation = sqrt(squares / (double)(s.count - 1));
    return s;
}

// ---- a run -------------------------------------------------------------------------------------------------------

static double value_of(const struct report_mark *m, bool score)
{
    return score ? m->score : m->loss;
}

static const struct report_mark *mark_in(
    const struct report_run *run, const struct report_eval *eval, uint32_t ability, bool score)
{
    for (size_t i = 0; i < eval->mark_count; i++) {
        const struct report_mark *m = &run->marks[eval->first_mark + i];
        if (m->ability == ability && !isnan(value_of(m, score))) return m;
    }
    return NULL;
}

static const struct report_eval *final_eval(const struct report_run *run, uint32_t ability, bool score)
{
    for (size_t i = run->eval_count; i-- > 0;)
        if (mark_in(run, &run->evals[i], ability, score)) return &run->evals[i];
    return NULL;
}

const struct report_mark *report_final(const struct report_run *run, uint32_t ability, bool score)
{
    const struct report_eval *eval = final_eval(run, ability, score);
    return eval ? mark_in(run, eval, ability, score) : NULL;
}

double report_forgotten(const struct report_run *run, uint32_t ability, bool score)
{
    const struct report_eval *last = final_eval(run, ability, score);
    if (!last || last->stage + 1 != run->stage_count) return NAN;
    double best = NAN, final = value_of(mark_in(run, last, ability, score), score);
    for (const struct report_eval *eval = run->evals; eval < last; eval++) {
        const struct report_mark *m = eval->stage < last->stage ? mark_in(run, eval, ability, score) : NULL;
        if (!m) continue;
        double value = value_of(m, score);
        if (isnan(best) || (score ? value > best : value < best)) best = value;
    }
    return score ? best - final : final - best;
}

// ---- groups ------------------------------------------------------------------------------------------------------

static struct report_summary summary_of(
    const struct report *r, const struct report_group *g, uint32_t ability, bool so_far)
{
    double *values[4];
    struct report_summary s = {.chance = NAN};
    for (int k = 0; k < 4; k++) values[k] = mem_alloc((g->run_count + 1) * sizeof *values[k]);
    size_t n = 0;
    for (size_t i = 0; i < g->run_count; i++) {
        const struct report_run *run = &r->runs[g->runs[i]];
        if (!so_far && run->state != REPORT_DONE) continue;
        const struct report_mark *score = report_final(run, ability, true), *loss = report_final(run, ability, false);
        values[0][n] = score ? score->score : (double)NAN;
        values[1][n] = loss ? loss->loss : (double)NAN;
        values[2][n] = report_forgotten(run, ability, true);
        values[3][n] = report_forgotten(run, ability, false);
        if (score && !isnan(score->chance)) s.chance = score->chance;
        n++;
    }
    struct report_spread *const spreads[] = {&s.score, &s.loss, &s.forgotten, &s.loss_risen};
    for (int k = 0; k < 4; k++) {
        *spreads[k] = report_spread(values[k], n);
        free(values[k]);
    }
    return s;
}

void report_tables_make(struct report_tables *t, const struct report *r)
{
    *t = (struct report_tables){0};
    t->cells = mem_zero(r->group_count * r->abilities.count + 1, sizeof *t->cells);
    t->so_far = mem_zero(r->group_count + 1, sizeof *t->so_far);
    for (size_t i = 0; i < r->group_count; i++) {
        const struct report_group *g = &r->groups[i];
        t->so_far[i] = true;
        for (size_t k = 0; k < g->run_count; k++)
            if (r->runs[g->runs[k]].state == REPORT_DONE) t->so_far[i] = false;
        for (size_t a = 0; a < r->abilities.count; a++) {
            struct report_summary s = summary_of(r, g, (uint32_t)a, t->so_far[i]);
            t->cells[i * r->abilities.count + a] = s;
            t->any_score = t->any_score || s.score.count;
            t->any_loss = t->any_loss || s.loss.count;
            t->any_forgotten = t->any_forgotten || s.forgotten.count;
            t->any_loss_risen = t->any_loss_risen || s.loss_risen.count;
        }
    }
}

void report_tables_free(struct report_tables *t)
{
    free(t->cells);
    free(t->so_far);
    *t = (struct report_tables){0};
}

const struct report_summary *report_cell(
    const struct report_tables *t, const struct report *r, size_t group, size_t ability)
{
    return &t->cells[group * r->abilities.count + ability];
}

// ---- lines over k and over the amount ----------------------------------------------------------------------------

double report_x(const struct report_group *g, enum report_axis axis)
{
    return axis == REPORT_K ? g->k : (double)g->rows;
}

static const char *series_of(const struct report_group *g, enum report_axis axis)
{
    return axis == REPORT_K ? g->k_series : g->amount_series;
}

static bool alike(const struct report *r, const struct report_line *line, const cJSON *setting)
{
    for (size_t i = 1; i < line->count; i++) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(r->groups[line->groups[i]].settings, setting->string);
        if (!other || !cJSON_Compare(setting, other, true)) return false;
    }
    return true;
}

static void label_line(const struct report *r, struct report_line *line)
{
    struct text label = {0};
    const cJSON *item;
    text_add(&label, "", 0);
    cJSON_ArrayForEach(item, r->groups[line->groups[0]].settings)
    {
        if (alike(r, line, item)) report_setting(&label, item->string, item);
    }
    line->label = mem_string(label.bytes ? label.data : r->groups[line->groups[0]].label);
    text_free(&label);
}

// Keeps the order of groups with the same x.
static void sort_line(const struct report *r, struct report_line *line, enum report_axis axis)
{
    for (size_t i = 1; i < line->count; i++) {
        size_t group = line->groups[i], k = i;
        for (; k > 0 && report_x(&r->groups[line->groups[k - 1]], axis) > report_x(&r->groups[group], axis); k--)
            line->groups[k] = line->groups[k - 1];
        line->groups[k] = group;
    }
}

size_t report_lines(struct report_line **lines, const struct report *r, enum report_axis axis)
{
    size_t count = 0;
    *lines = NULL;
    for (size_t i = 0; i < r->group_count; i++) {
        const char *series = series_of(&r->groups[i], axis);
        bool first = series != NULL;
        for (size_t k = 0; k < i && first; k++) {
            const char *other = series_of(&r->groups[k], axis);
            first = !other || strcmp(series, other) != 0;
        }
        if (!first) continue;
        struct report_line line = {.groups = mem_alloc(r->group_count * sizeof *line.groups)};
        for (size_t k = i; k < r->group_count; k++) {
            const char *other = series_of(&r->groups[k], axis);
            if (other && strcmp(series, other) == 0) line.groups[line.count++] = k;
        }
        sort_line(r, &line, axis);
        if (report_x(&r->groups[line.groups[0]], axis) == report_x(&r->groups[line.groups[line.count - 1]], axis)) {
            free(line.groups);
            continue;
        }
        label_line(r, &line);
        *lines = mem_resize(*lines, (count + 1) * sizeof **lines);
        (*lines)[count++] = line;
    }
    return count;
}

void report_lines_free(struct report_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(lines[i].label);
        free(lines[i].groups);
    }
    free(lines);
}

// ---- curves ------------------------------------------------------------------------------------------------------

// A mean in the making: over the steps of a bin, then over runs.
struct bin {
    double above, below, steps, middle; // of the run being read: sums, steps counted, their sum
    double *values;                     // (runs) NAN: none
    double x;
    uint32_t stage;
    bool used;
};

static void add(struct bin *b, double value, double weight, const struct report_step *step)
{
    if (isnan(value) || !(weight > 0)) return;
    b->above += value * weight;
    b->below += weight;
    b->steps++;
    b->middle += (double)step->step;
}

static void add_step(struct bin *b, const struct report_run *run, const struct report_step *step,
    enum report_quantity q, uint32_t source)
{
    switch (q) {
    case REPORT_LOSS:
        if (source == REPORT_NONE) add(b, step->loss, (double)step->trained, step);
        for (size_t i = 0; i < step->part_count && source != REPORT_NONE; i++) {
            const struct report_part *part = &run->parts[step->first_part + i];
            if (part->source == source) add(b, part->loss, (double)part->trained, step);
        }
        break;
    case REPORT_RATE:
        add(b, step->rate, 1, step);
        break;
    case REPORT_NORM:
        add(b, step->norm, 1, step);
        break;
    case REPORT_SPEED:
        if (step->seconds > 0) add(b, (double)step->tokens / step->seconds, step->seconds, step);
        break;
    }
}

static void add_point(struct report_curve *c, struct report_point p)
{
    GROW(c->points, c->count, c->capacity);
    c->points[c->count++] = p;
}

// The bins of a group: those of each stage begin with its first step.
static size_t bin_of(const struct report_run *run, const struct report_step *step, uint64_t width, size_t per_stage)
{
    const struct report_stage *stage = &run->stages[step->stage];
    return step->stage * per_stage + (size_t)((step->step - stage->first) / width);
}

void report_curve_steps(
    struct report_curve *c, const struct report *r, size_t group, enum report_quantity quantity, uint32_t source)
{
    const struct report_group *g = &r->groups[group];
    uint64_t last = 0;
    size_t stages = 0;
    *c = (struct report_curve){.width = 1};
    for (size_t i = 0; i < g->run_count; i++) {
        const struct report_run *run = &r->runs[g->runs[i]];
        if (run->step_count && run->steps[run->step_count - 1].step > last) last = run->steps[run->step_count - 1].step;
        if (run->stage_count > stages) stages = run->stage_count;
    }
    if (!last) return;
    c->width = (last + REPORT_POINTS - 1) / REPORT_POINTS;
    size_t per_stage = (size_t)(last / c->width) + 1, bins = stages * per_stage;
    struct bin *all = mem_zero(bins, sizeof *all);
    for (size_t b = 0; b < bins; b++) {
        all[b].values = mem_alloc(g->run_count * sizeof *all[b].values);
        for (size_t i = 0; i < g->run_count; i++) all[b].values[i] = NAN;
    }
    for (size_t i = 0; i < g->run_count; i++) {
        const struct report_run *run = &r->runs[g->runs[i]];
        for (size_t k = 0; k < run->step_count; k++) {
            struct bin *b = &all[bin_of(run, &run->steps[k], c->width, per_stage)];
            b->stage = run->steps[k].stage;
            add_step(b, run, &run->steps[k], quantity, source);
        }
        for (size_t k = 0; k < bins; k++) {
            struct bin *b = &all[k];
            if (b->steps > 0) {
                if (!b->used) b->x = b->middle / b->steps;
                b->values[i] = b->above / b->below;
                b->used = true;
            }
            b->above = b->below = b->steps = b->middle = 0;
        }
    }
    for (size_t k = 0; k < bins; k++) {
        if (all[k].used) {
            struct report_spread s = report_spread(all[k].values, g->run_count);
            add_point(c, (struct report_point){all[k].x, s.mean, s.deviation, all[k].stage});
        }
        free(all[k].values);
    }
    free(all);
}

static const struct report_eval *eval_at(const struct report_run *run, uint64_t step)
{
    for (size_t i = 0; i < run->eval_count; i++)
        if (run->evals[i].step == step) return &run->evals[i];
    return NULL;
}

// The first step from `from` on at which a run of the group was evaluated; UINT64_MAX: none.
static uint64_t next_eval(const struct report *r, const struct report_group *g, uint64_t from)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < g->run_count; i++) {
        const struct report_run *run = &r->runs[g->runs[i]];
        for (size_t k = 0; k < run->eval_count; k++)
            if (run->evals[k].step >= from && run->evals[k].step < next) next = run->evals[k].step;
    }
    return next;
}

void report_curve_evals(struct report_curve *c, const struct report *r, size_t group, uint32_t ability, bool score)
{
    const struct report_group *g = &r->groups[group];
    double *values = mem_alloc((g->run_count + 1) * sizeof *values);
    *c = (struct report_curve){.width = 1};
    for (uint64_t step = next_eval(r, g, 0); step != UINT64_MAX; step = next_eval(r, g, step + 1)) {
        uint32_t stage = 0;
        for (size_t i = 0; i < g->run_count; i++) {
            const struct report_run *run = &r->runs[g->runs[i]];
            const struct report_eval *eval = eval_at(run, step);
            const struct report_mark *m = eval ? mark_in(run, eval, ability, score) : NULL;
            values[i] = m ? value_of(m, score) : (double)NAN;
            if (eval) stage = eval->stage;
        }
        struct report_spread s = report_spread(values, g->run_count);
        if (s.count) add_point(c, (struct report_point){(double)step, s.mean, s.deviation, stage});
    }
    free(values);
}

void report_curve_free(struct report_curve *c)
{
    free(c->points);
    *c = (struct report_curve){0};
}
