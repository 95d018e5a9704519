// SPDX-License-Identifier: MIT
//
// report_json.c: a report's numbers, unrounded, so that others can check its arithmetic.
#include "study/report_page.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <math.h>

static void add_hash(cJSON *o, const char *name, bool known, uint64_t hash)
{
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, hash);
    if (known)
        cJSON_AddStringToObject(o, name, digits);
    else
        cJSON_AddNullToObject(o, name);
}

static void add_text(cJSON *o, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(o, name, text);
    else
        cJSON_AddNullToObject(o, name);
}

static void add_number(cJSON *o, const char *name, double x)
{
    if (isfinite(x))
        cJSON_AddNumberToObject(o, name, x);
    else
        cJSON_AddNullToObject(o, name);
}

static cJSON *add_object(cJSON *list)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(list, o);
    return o;
}

static const char *const states[] = {
    [REPORT_DONE] = "done", [REPORT_RUNNING] = "running", [REPORT_STOPPED] = "stopped"};

static void add_run(cJSON *list, const struct report *r, const struct report_run *run)
{
    cJSON *o = add_object(list), *manifests;
    cJSON_AddStringToObject(o, "name", run->name);
    cJSON_AddStringToObject(o, "folder", run->folder);
    cJSON_AddStringToObject(o, "setting", r->groups[run->group].label);
    if (run->copy_of != REPORT_NONE) cJSON_AddStringToObject(o, "copy_of", r->runs[run->copy_of].name);
    if (run->axes) cJSON_AddItemToObject(o, "axes", cJSON_Duplicate(run->axes, true));
    cJSON_AddStringToObject(o, "state", run->why ? "failed" : states[run->state]);
    add_text(o, "why", run->why);
    cJSON_AddNumberToObject(o, "steps", run->step_count ? (double)run->steps[run->step_count - 1].step : 0);
    add_number(o, "total_steps", run->staged ? (double)run->total_steps : (double)NAN);
    cJSON_AddNumberToObject(o, "skipped_steps", (double)run->skipped);
    cJSON_AddNumberToObject(o, "tokens", (double)run->tokens);
    cJSON_AddNumberToObject(o, "trained_tokens", (double)run->trained);
    cJSON_AddNumberToObject(o, "seconds", run->seconds);
    add_number(o, "loss", run->step_count ? run->steps[run->step_count - 1].loss : (double)NAN);
    add_text(o, "hash", run->hash[0] ? run->hash : NULL);
    add_hash(o, "config_hash", run->config_text != NULL, run->config_hash);
    manifests = cJSON_AddArrayToObject(o, "manifests");
    for (size_t i = 0; i < run->stage_count; i++) {
        cJSON *m = add_object(manifests);
        cJSON_AddStringToObject(m, "stage", run->stages[i].name);
        add_hash(m, "hash", run->stages[i].has_manifest, run->stages[i].manifest);
    }
    add_text(o, "device", run->device);
    add_text(o, "driver", run->driver);
    add_text(o, "notes", run->notes);
}

static void add_spread(cJSON *o, const char *name, struct report_spread s)
{
    cJSON *inner = cJSON_AddObjectToObject(o, name);
    add_number(inner, "mean", s.mean);
    add_number(inner, "sd", s.deviation);
    cJSON_AddNumberToObject(inner, "n", (double)s.count);
}

static void add_abilities(cJSON *tables, const struct report *r, const struct report_tables *t)
{
    cJSON *abilities = cJSON_AddArrayToObject(tables, "abilities");
    cJSON *forgetting = cJSON_AddArrayToObject(tables, "forgetting");
    for (size_t g = 0; g < r->group_count; g++)
        for (size_t a = 0; a < r->abilities.count; a++) {
            const struct report_summary *s = report_cell(t, r, g, a);
            cJSON *o = add_object(abilities), *lost;
            cJSON_AddStringToObject(o, "setting", r->groups[g].label);
            cJSON_AddStringToObject(o, "ability", r->abilities.names[a]);
            cJSON_AddBoolToObject(o, "so_far", t->so_far[g]);
            add_spread(o, "score", s->score);
            add_spread(o, "loss", s->loss);
            add_number(o, "chance", s->chance);
            if (!s->forgotten.count && !s->loss_risen.count) continue;
            lost = add_object(forgetting);
            cJSON_AddStringToObject(lost, "setting", r->groups[g].label);
            cJSON_AddStringToObject(lost, "ability", r->abilities.names[a]);
            add_spread(lost, "score", s->forgotten);
            add_spread(lost, "loss", s->loss_risen);
        }
}

static void add_known(cJSON *o, const char *name, bool known, uint64_t n)
{
    if (known)
        cJSON_AddNumberToObject(o, name, (double)n);
    else
        cJSON_AddNullToObject(o, name);
}

static void add_shares(cJSON *tables, const struct report *r)
{
    cJSON *shares = cJSON_AddArrayToObject(tables, "shares");
    for (size_t i = 0; i < r->run_count; i++)
        for (size_t k = 0; k < r->runs[i].stage_count; k++) {
            const struct report_stage *stage = &r->runs[i].stages[k];
            for (size_t s = 0; s < stage->share_count; s++) {
                const struct report_share *share = &stage->shares[s];
                cJSON *o = add_object(shares);
                cJSON_AddStringToObject(o, "run", r->runs[i].name);
                cJSON_AddStringToObject(o, "stage", stage->name);
                cJSON_AddStringToObject(o, "source", r->sources.names[share->source]);
                cJSON *asked = cJSON_AddObjectToObject(o, "asked"), *realised;
                add_known(asked, "rows", r->runs[i].staged, share->asked_rows);
                add_known(asked, "tokens", r->runs[i].planned, share->asked_tokens);
                add_known(asked, "trained_tokens", r->runs[i].planned, share->asked_trained);
                realised = cJSON_AddObjectToObject(o, "realised");
                add_known(realised, "rows", true, share->rows);
                add_known(realised, "tokens", share->tokens || !share->trained, share->tokens);
                add_known(realised, "trained_tokens", true, share->trained);
            }
        }
}

static void add_lines(cJSON *tables, const struct report *r, const struct report_tables *t, enum report_axis axis)
{
    struct report_line *lines;
    size_t count = report_lines(&lines, r, axis);
    cJSON *list = cJSON_AddArrayToObject(tables, axis == REPORT_K ? "k" : "growth");
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lines[i].count; k++)
            for (size_t a = 0; a < r->abilities.count; a++) {
                const struct report_group *g = &r->groups[lines[i].groups[k]];
                const struct report_summary *s = report_cell(t, r, lines[i].groups[k], a);
                cJSON *o = add_object(list);
                cJSON_AddStringToObject(o, "line", lines[i].label);
                cJSON_AddStringToObject(o, "setting", g->label);
                cJSON_AddNumberToObject(o, axis == REPORT_K ? "k" : "rows", report_x(g, axis));
                cJSON_AddStringToObject(o, "ability", r->abilities.names[a]);
                add_spread(o, "score", s->score);
                add_spread(o, "loss", s->loss);
                if (axis == REPORT_AMOUNT) add_number(o, "chance", s->chance);
            }
    report_lines_free(lines, count);
}

cJSON *report_json(
    const struct report *r, const struct report_tables *t, const struct report_figures *f, const char *path)
{
    cJSON *out = cJSON_CreateObject();
    size_t pictures = 0;
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->figures[i].picture_count; k++) pictures += f->figures[i].pictures[k].svg != NULL;
    cJSON_AddStringToObject(out, "report", path);
    cJSON_AddNumberToObject(out, "pictures", (double)pictures);
    add_text(out, "problem", f->problem.text[0] ? f->problem.text : NULL);
    add_text(out, "notes", r->notes);
    cJSON *runs = cJSON_AddArrayToObject(out, "runs");
    for (size_t i = 0; i < r->run_count; i++) add_run(runs, r, &r->runs[i]);
    cJSON *tables = cJSON_AddObjectToObject(out, "tables");
    add_abilities(tables, r, t);
    add_shares(tables, r);
    add_lines(tables, r, t, REPORT_K);
    add_lines(tables, r, t, REPORT_AMOUNT);
    return out;
}
