// SPDX-License-Identifier: MIT
//
// sweep_results.c: what the runs of a sweep gave, from their folders.
#include "study/sweep.h"

#include "formats/json_file.h"
#include "train/log_read.h"
#include "train/outcome.h"
#include "train/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// ---- reading -----------------------------------------------------------------------------------------------------

const char *sweep_state_name(enum sweep_state state)
{
    static const char *const names[] = {"waiting", "begun", "done", "lost", "failed"};
    return names[state];
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double number_of(const cJSON *value)
{
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

// What the log says of the run.
static int read_log(struct sweep_run *run, struct error *e)
{
    struct log_reader reader;
    struct log_line line;
    int status = log_reader_open(&reader, run->config.output_dir, e) < 0 ? -1 : 0;
    while (status == 0 && log_reader_next(&reader, &line)) {
        if (line.kind == LOG_EVAL) {
            cJSON_AddItemToArray(run->evaluations, cJSON_Duplicate(line.json, true));
        } else if (line.kind == LOG_STEP) {
            run->steps = line.step;
            run->loss = line.loss;
            if (isfinite(line.seconds)) run->seconds += line.seconds;
            snprintf(run->hash, sizeof run->hash, "%s", line.hash);
        } else {
            status = error_set(e, "%s:%zu: is no line of a step or an evaluation; it has been changed: move the run's folder away to "
                "make it again", reader.path, reader.line);
        }
    }
    log_reader_close(&reader);
    return status;
}

int sweep_look(struct sweep_run *run, struct error *e)
{
    const char *folder = run->config.output_dir;
    struct outcome outcome;
    enum sweep_state was = run->state;
    cJSON_Delete(run->evaluations);
    run->evaluations = cJSON_CreateArray();
    run->steps = 0;
    run->seconds = 0;
    run->loss = NAN;
    run->hash[0] = 0;
    int done = outcome_read(&outcome, folder, e);
    if (done < 0 || read_log(run, e)) return -1;
    run->finished = done && outcome_fits(&outcome, run->steps, run->hash);
    run->state = !run->finished          ? output_is_run(folder) ? SWEEP_BEGUN : SWEEP_WAITING
                 : !isfinite(run->loss)  ? SWEEP_FAILED
                 : output_lacks(folder)  ? SWEEP_LOST
                                         : SWEEP_DONE;
    if (!run->finished && was == SWEEP_FAILED) {
        run->state = was; // until it is tried again, `why` stands
        return 0;
    }
    free(run->why);
    run->why = run->state == SWEEP_FAILED ? mem_string("it diverged: its last loss is not finite") : NULL;
    return 0;
}

void sweep_recall(struct sweep *s)
{
    char *path = path_join(s->folder, "results.json");
    cJSON *old = file_exists(path) ? json_read_file(path, NULL) : NULL;
    free(path);
    const cJSON *run;
    cJSON_ArrayForEach(run, member(old, "runs"))
    {
        const cJSON *name = member(run, "name"), *state = member(run, "state"), *why = member(run, "why");
        if (!cJSON_IsString(name) || !cJSON_IsString(state) || !cJSON_IsString(why) || strcmp(state->valuestring, "failed") != 0) continue;
        for (size_t i = 0; i < s->grid.count; i++) {
            if (s->runs[i].finished || strcmp(s->grid.runs[i].name, name->valuestring) != 0) continue;
            s->runs[i].state = SWEEP_FAILED;
            free(s->runs[i].why);
            s->runs[i].why = mem_string(why->valuestring);
        }
    }
    cJSON_Delete(old);
}

// ---- JSON --------------------------------------------------------------------------------------------------------

static void add_number(cJSON *object, const char *name, double x)
{
    cJSON_AddItemToObject(object, name, isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull());
}

cJSON *sweep_json(const struct sweep *s)
{
    cJSON *all = cJSON_CreateObject(), *axes = cJSON_AddArrayToObject(all, "axes"), *runs = cJSON_AddArrayToObject(all, "runs");
    for (size_t i = 0; i < s->grid.axis_count; i++) cJSON_AddItemToArray(axes, cJSON_CreateString(s->grid.axes[i].name));
    for (size_t i = 0; i < s->grid.count; i++) {
        const struct sweep_run *run = &s->runs[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, o);
        cJSON_AddStringToObject(o, "name", s->grid.runs[i].name);
        cJSON_AddItemToObject(o, "axes", cJSON_Duplicate(s->grid.runs[i].axes, true));
        cJSON_AddStringToObject(o, "state", sweep_state_name(run->state));
        if (run->why) cJSON_AddStringToObject(o, "why", run->why);
        add_number(o, "seconds", round(run->seconds * 1e6) * 1e-6);
        cJSON_AddNumberToObject(o, "steps", (double)run->steps);
        add_number(o, "loss", run->loss);
        cJSON_AddStringToObject(o, "hash", run->hash);
        cJSON_AddItemToObject(o, "evaluations", cJSON_Duplicate(run->evaluations, true));
    }
    return all;
}

static cJSON *grid_json(const struct grid *g)
{
    cJSON *all = cJSON_CreateObject(), *axes = cJSON_AddArrayToObject(all, "axes"), *runs = cJSON_AddArrayToObject(all, "runs");
    for (size_t i = 0; i < g->axis_count; i++) {
        cJSON *axis = cJSON_CreateObject();
        cJSON_AddItemToArray(axes, axis);
        cJSON_AddStringToObject(axis, "name", g->axes[i].name);
        cJSON_AddItemToObject(axis, "values", cJSON_CreateStringArray((const char *const *)g->axes[i].labels, (int)g->axes[i].count));
    }
    for (size_t i = 0; i < g->count; i++) {
        cJSON *run = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, run);
        cJSON_AddStringToObject(run, "name", g->runs[i].name);
        cJSON_AddItemToObject(run, "axes", cJSON_Duplicate(g->runs[i].axes, true));
        cJSON_AddItemToObject(run, "set", cJSON_Duplicate(g->runs[i].set, true));
    }
    return all;
}

// ---- tables ------------------------------------------------------------------------------------------------------

// The names of all evaluations of all runs, in the order in which they first appear, as a list of texts; those that have a
// score somewhere are named in `scored`.
static cJSON *evaluation_names(const struct sweep *s, cJSON **scored)
{
    cJSON *names = cJSON_CreateObject();
    *scored = cJSON_CreateObject();
    for (size_t i = 0; i < s->grid.count; i++) {
        const cJSON *line, *eval;
        cJSON_ArrayForEach(line, s->runs[i].evaluations) cJSON_ArrayForEach(eval, member(line, "eval"))
        {
            if (!member(names, eval->string)) cJSON_AddNullToObject(names, eval->string);
            if (member(eval, "score") && !member(*scored, eval->string)) cJSON_AddNullToObject(*scored, eval->string);
        }
    }
    return names;
}

// Of an axis in a run, as text; the caller frees.
static char *axis_text(const struct grid_run *run, const char *axis)
{
    const cJSON *value = member(run->axes, axis);
    return cJSON_IsString(value) ? mem_string(value->valuestring) : json_print(value, false);
}

// A field of RFC 4180; lines end as on Unix.
static void add_field(struct text *out, const char *text, bool first)
{
    if (!first) text_add(out, ",", 1);
    if (!strpbrk(text, ",\"\r\n")) {
        text_print(out, "%s", text);
        return;
    }
    text_add(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"') text_add(out, "\"", 1);
        text_add(out, text, 1);
    }
    text_add(out, "\"", 1);
}

static void add_value(struct text *out, const cJSON *value)
{
    char *text = value && !cJSON_IsNull(value) ? cJSON_IsString(value) ? mem_string(value->valuestring) : json_print(value, false)
                                               : mem_string("");
    add_field(out, text, false);
    free(text);
}

static void add_row(struct text *out, const struct sweep *s, size_t i, const cJSON *line, const cJSON *names)
{
    const struct sweep_run *run = &s->runs[i];
    cJSON *end = cJSON_CreateObject();
    add_number(end, "loss", run->loss);
    add_number(end, "seconds", round(run->seconds * 1e6) * 1e-6);
    cJSON_AddNumberToObject(end, "steps", (double)run->steps);
    add_field(out, s->grid.runs[i].name, true);
    for (size_t k = 0; k < s->grid.axis_count; k++) {
        char *text = axis_text(&s->grid.runs[i], s->grid.axes[k].name);
        add_field(out, text, false);
        free(text);
    }
    add_field(out, sweep_state_name(run->state), false);
    add_value(out, member(line, "step"));
    add_value(out, member(line, "stage"));
    for (const cJSON *name = names->child; name; name = name->next) {
        const cJSON *eval = member(member(line, "eval"), name->string);
        add_value(out, member(eval, "loss"));
        add_value(out, member(eval, "score"));
    }
    for (const cJSON *value = end->child; value; value = value->next) add_value(out, value);
    add_field(out, run->hash, false);
    text_print(out, "\n");
    cJSON_Delete(end);
}

void sweep_csv(struct text *out, const struct sweep *s)
{
    cJSON *scored, *names = evaluation_names(s, &scored);
    add_field(out, "run", true);
    for (size_t k = 0; k < s->grid.axis_count; k++) add_field(out, s->grid.axes[k].name, false);
    text_print(out, ",state,step,stage");
    for (const cJSON *name = names->child; name; name = name->next) text_print(out, ",%s_loss,%s_score", name->string, name->string);
    text_print(out, ",train_loss,seconds,steps,hash\n");
    for (size_t i = 0; i < s->grid.count; i++) {
        const cJSON *line = s->runs[i].evaluations->child;
        add_row(out, s, i, line, names);
        for (line = line ? line->next : NULL; line; line = line->next) add_row(out, s, i, line, names);
    }
    cJSON_Delete(names);
    cJSON_Delete(scored);
}

// A table for people: cells (rows, columns), row 0 the heads, columns as wide as they must be.
struct table {
    char **cells;
    size_t rows, columns, count; // count: cells filled in
};

static void cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void cell(struct table *t, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    t->cells[t->count++] = mem_string(text);
}

static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++) width += (*text & 0xc0) != 0x80;
    return width;
}

static void table_print(struct text *out, const struct table *t)
{
    int *widths = mem_zero(t->columns, sizeof *widths);
    for (size_t i = 0; i < t->count; i++)
        if (width_of(t->cells[i]) > widths[i % t->columns]) widths[i % t->columns] = width_of(t->cells[i]);
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        text_print(out, "%s%*s%s", t->cells[i], last ? 0 : widths[column] + 2 - width_of(t->cells[i]), "", last ? "\n" : "");
    }
    free(widths);
}

static void cell_number(struct table *t, const char *format, double x)
{
    char text[40];
    snprintf(text, sizeof text, format, x);
    cell(t, "%s", isfinite(x) ? text : "-");
}

void sweep_table(struct text *out, const struct sweep *s)
{
    cJSON *scored, *names = evaluation_names(s, &scored);
    struct table t = {.rows = s->grid.count + 1,
        .columns = s->grid.axis_count + 3 + (size_t)(cJSON_GetArraySize(names) + cJSON_GetArraySize(scored))};
    t.cells = mem_zero(t.rows * t.columns, sizeof *t.cells);
    for (size_t k = 0; k < s->grid.axis_count; k++) cell(&t, "%s", s->grid.axes[k].name);
    cell(&t, "state");
    cell(&t, "steps");
    cell(&t, "train loss");
    for (const cJSON *name = names->child; name; name = name->next) {
        cell(&t, "%s loss", name->string);
        if (member(scored, name->string)) cell(&t, "score");
    }
    for (size_t i = 0; i < s->grid.count; i++) {
        const struct sweep_run *run = &s->runs[i];
        int count = cJSON_GetArraySize(run->evaluations);
        const cJSON *last = count ? member(cJSON_GetArrayItem(run->evaluations, count - 1), "eval") : NULL;
        for (size_t k = 0; k < s->grid.axis_count; k++) {
            char *text = axis_text(&s->grid.runs[i], s->grid.axes[k].name);
            cell(&t, "%s", text);
            free(text);
        }
        cell(&t, "%s", sweep_state_name(run->state));
        cell(&t, "%" PRIu64, run->steps);
        cell_number(&t, "%.4f", run->loss);
        for (const cJSON *name = names->child; name; name = name->next) {
            const cJSON *eval = member(last, name->string);
            cell_number(&t, "%.4f", number_of(member(eval, "loss")));
            if (member(scored, name->string)) cell_number(&t, "%.1f%%", 100 * number_of(member(eval, "score")));
        }
    }
    table_print(out, &t);
    for (size_t i = 0; i < t.count; i++) free(t.cells[i]);
    free(t.cells);
    cJSON_Delete(names);
    cJSON_Delete(scored);
}

// ---- writing -----------------------------------------------------------------------------------------------------

static int write_json(const struct sweep *s, const char *name, cJSON *json, struct error *e)
{
    char *path = path_join(s->folder, name);
    int status = json_write_file(path, json, e);
    cJSON_Delete(json);
    free(path);
    return status;
}

int sweep_write_grid(const struct sweep *s, struct error *e)
{
    return write_json(s, OUTPUT_GRID, grid_json(&s->grid), e);
}

int sweep_write_results(const struct sweep *s, struct error *e)
{
    char *path = path_join(s->folder, "results.csv");
    struct text csv = {0};
    sweep_csv(&csv, s);
    int status = file_write_atomic(path, csv.data, csv.bytes, e);
    text_free(&csv);
    free(path);
    return status ? status : write_json(s, "results.json", sweep_json(s), e);
}
