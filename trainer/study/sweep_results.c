// SPDX-License-Identifier: MIT
//
// sweep_results.c: what the runs of a sweep gave, from their folders.
#include "study/sweep.h"

#include "formats/json_file.h"
#include "train/log_read.h"
#include "train/outcome.h"
#include "train/output.h"

#include <dirent.h>
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

// The run of that name in a list of runs, or NULL.
static const cJSON *run_named(const cJSON *runs, const char *name)
{
    const cJSON *run;
    cJSON_ArrayForEach(run, runs)
    {
        const cJSON *own = json_member(run, "name");
        if (cJSON_IsString(own) && strcmp(own->valuestring, name) == 0) return run;
    }
    return NULL;
}

static cJSON *read_old(const struct sweep *s, const char *name, struct error *e)
{
    char *path = path_join(s->folder, name);
    cJSON *old = file_exists(path) ? json_read_file(path, e) : NULL;
    free(path);
    return old;
}

// A failure that was written down, unless the run has been made again since.
static void recall_run(struct sweep_run *run, const char *name, const cJSON *results)
{
    const cJSON *old = run_named(json_member(results, "runs"), name), *state = json_member(old, "state");
    const cJSON *why = json_member(old, "why"), *hash = json_member(old, "hash");
    if (run->finished || !cJSON_IsString(state) || !cJSON_IsString(why) || strcmp(state->valuestring, "failed") != 0) return;
    if (cJSON_IsString(hash) && strcmp(hash->valuestring, run->hash) != 0) return;
    run->state = SWEEP_FAILED;
    free(run->why);
    run->why = mem_string(why->valuestring);
}

void sweep_recall(struct sweep *s)
{
    cJSON *results = read_old(s, "results.json", NULL);
    for (size_t i = 0; i < s->grid.count; i++) recall_run(&s->runs[i], s->grid.runs[i].name, results);
    cJSON_Delete(results);
}

// ---- runs of earlier grids ---------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    const struct sweep_earlier *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool in_grid(const struct grid *g, const char *name)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->runs[i].name, name) == 0) return true;
    return false;
}

static cJSON *copy_or_empty(const cJSON *object)
{
    return cJSON_IsObject(object) ? cJSON_Duplicate(object, true) : cJSON_CreateObject();
}

static void add_earlier(struct sweep *s, const char *name, const cJSON *grids, const cJSON *results)
{
    struct error e = {0};
    const cJSON *known = run_named(json_member(grids, "runs"), name);
    if (!known) known = run_named(json_member(grids, "earlier"), name);
    s->earlier = mem_resize(s->earlier, (s->earlier_count + 1) * sizeof *s->earlier);
    struct sweep_earlier *x = &s->earlier[s->earlier_count++];
    *x = (struct sweep_earlier){.name = mem_string(name), .axes = copy_or_empty(json_member(known, "axes")),
        .set = copy_or_empty(json_member(known, "set")), .run.config.output_dir = path_join(s->folder, name)};
    if (sweep_look(&x->run, &e)) { // no reason not to make the grid
        x->run.state = SWEEP_FAILED;
        x->run.why = mem_string(e.text);
    } else {
        recall_run(&x->run, name, results);
    }
}

int sweep_find_earlier(struct sweep *s, struct error *e)
{
    struct error why = {0};
    cJSON *grids = read_old(s, OUTPUT_GRID, &why), *results = read_old(s, "results.json", NULL);
    DIR *dir = why.text[0] ? NULL : opendir(s->folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.' || in_grid(&s->grid, d->d_name)) continue;
        char *folder = path_join(s->folder, d->d_name);
        if (output_is_run(folder)) add_earlier(s, d->d_name, grids, results);
        free(folder);
    }
    if (dir) closedir(dir);
    if (s->earlier_count) qsort(s->earlier, s->earlier_count, sizeof *s->earlier, by_name);
    cJSON_Delete(grids);
    cJSON_Delete(results);
    if (!why.text[0]) return 0;
    return error_set(e, "%s; restore it, or move it away: the results of earlier grids are without their axes then", why.text);
}

// ---- all runs ----------------------------------------------------------------------------------------------------

// A run of the results: of the grid, then of earlier ones.
struct result {
    const char *name;
    const cJSON *axes;
    const struct sweep_run *run;
    bool asked;
};

static size_t row_count(const struct sweep *s)
{
    return s->grid.count + s->earlier_count;
}

static struct result row_at(const struct sweep *s, size_t i)
{
    if (i < s->grid.count) return (struct result){s->grid.runs[i].name, s->grid.runs[i].axes, &s->runs[i], true};
    const struct sweep_earlier *x = &s->earlier[i - s->grid.count];
    return (struct result){x->name, x->axes, &x->run, false};
}

// The names of all axes of all runs as an object's keys, the grid's first.
static cJSON *axis_names(const struct sweep *s)
{
    cJSON *names = cJSON_CreateObject();
    for (size_t i = 0; i < s->grid.axis_count; i++) cJSON_AddNullToObject(names, s->grid.axes[i].name);
    for (size_t i = 0; i < s->earlier_count; i++)
        for (const cJSON *axis = s->earlier[i].axes->child; axis; axis = axis->next)
            if (!json_member(names, axis->string)) cJSON_AddNullToObject(names, axis->string);
    return names;
}

// ---- JSON --------------------------------------------------------------------------------------------------------

static void add_number(cJSON *object, const char *name, double x)
{
    cJSON_AddItemToObject(object, name, isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull());
}

cJSON *sweep_json(const struct sweep *s)
{
    cJSON *all = cJSON_CreateObject(), *axes = cJSON_AddArrayToObject(all, "axes"), *runs = cJSON_AddArrayToObject(all, "runs");
    cJSON *names = axis_names(s);
    for (const cJSON *name = names->child; name; name = name->next) cJSON_AddItemToArray(axes, cJSON_CreateString(name->string));
    cJSON_Delete(names);
    for (size_t i = 0; i < row_count(s); i++) {
        const struct result row = row_at(s, i);
        const struct sweep_run *run = row.run;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, o);
        cJSON_AddStringToObject(o, "name", row.name);
        cJSON_AddItemToObject(o, "axes", cJSON_Duplicate(row.axes, true));
        cJSON_AddBoolToObject(o, "asked", row.asked);
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

static void add_run(cJSON *runs, const char *name, const cJSON *axes, const cJSON *set)
{
    cJSON *run = cJSON_CreateObject();
    cJSON_AddItemToArray(runs, run);
    cJSON_AddStringToObject(run, "name", name);
    cJSON_AddItemToObject(run, "axes", cJSON_Duplicate(axes, true));
    cJSON_AddItemToObject(run, "set", cJSON_Duplicate(set, true));
}

static cJSON *grid_json(const struct sweep *s)
{
    const struct grid *g = &s->grid;
    cJSON *all = cJSON_CreateObject(), *axes = cJSON_AddArrayToObject(all, "axes"), *runs = cJSON_AddArrayToObject(all, "runs");
    for (size_t i = 0; i < g->axis_count; i++) {
        cJSON *axis = cJSON_CreateObject();
        cJSON_AddItemToArray(axes, axis);
        cJSON_AddStringToObject(axis, "name", g->axes[i].name);
        cJSON_AddItemToObject(axis, "values", cJSON_CreateStringArray((const char *const *)g->axes[i].labels, (int)g->axes[i].count));
    }
    for (size_t i = 0; i < g->count; i++) add_run(runs, g->runs[i].name, g->runs[i].axes, g->runs[i].set);
    cJSON *earlier = cJSON_AddArrayToObject(all, "earlier");
    for (size_t i = 0; i < s->earlier_count; i++) add_run(earlier, s->earlier[i].name, s->earlier[i].axes, s->earlier[i].set);
    return all;
}

// ---- tables ------------------------------------------------------------------------------------------------------

// The names of all evaluations of the first `count` runs, in the order in which they first appear, as a list of texts; those
// that have a score somewhere are named in `scored`.
static cJSON *evaluation_names(const struct sweep *s, size_t count, cJSON **scored)
{
    cJSON *names = cJSON_CreateObject();
    *scored = cJSON_CreateObject();
    for (size_t i = 0; i < count; i++) {
        const cJSON *line, *eval;
        cJSON_ArrayForEach(line, row_at(s, i).run->evaluations) cJSON_ArrayForEach(eval, json_member(line, "eval"))
        {
            if (!json_member(names, eval->string)) cJSON_AddNullToObject(names, eval->string);
            if (json_member(eval, "score") && !json_member(*scored, eval->string)) cJSON_AddNullToObject(*scored, eval->string);
        }
    }
    return names;
}

// Of an axis in a run, as text; the caller frees.
static char *axis_text(const cJSON *axes, const char *axis)
{
    const cJSON *value = json_member(axes, axis);
    if (!value) return mem_string("");
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

static void add_row(struct text *out, const struct result *row, const cJSON *line, const cJSON *axes, const cJSON *names)
{
    const struct sweep_run *run = row->run;
    cJSON *end = cJSON_CreateObject();
    add_number(end, "loss", run->loss);
    add_number(end, "seconds", round(run->seconds * 1e6) * 1e-6);
    cJSON_AddNumberToObject(end, "steps", (double)run->steps);
    add_field(out, row->name, true);
    for (const cJSON *axis = axes->child; axis; axis = axis->next) {
        char *text = axis_text(row->axes, axis->string);
        add_field(out, text, false);
        free(text);
    }
    add_field(out, sweep_state_name(run->state), false);
    add_value(out, json_member(line, "step"));
    add_value(out, json_member(line, "stage"));
    for (const cJSON *name = names->child; name; name = name->next) {
        const cJSON *eval = json_member(json_member(line, "eval"), name->string);
        add_value(out, json_member(eval, "loss"));
        add_value(out, isnan(log_score_read(eval)) ? NULL : json_member(eval, "score"));
    }
    for (const cJSON *value = end->child; value; value = value->next) add_value(out, value);
    add_field(out, run->hash, false);
    text_print(out, ",%s\n", row->asked ? "true" : "false");
    cJSON_Delete(end);
}

// Names that a column has already keep theirs; an axis or an evaluation of such a name gets another.
static void add_head(struct text *out, const char *kind, const char *name, const char *suffix)
{
    static const char *const taken[] = {
        "run", "state", "step", "stage", "train_loss", "train_score", "seconds", "steps", "hash", "asked"};
    char *head = mem_format("%s%s", name, suffix);
    bool twice = false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) twice = twice || strcmp(head, taken[i]) == 0;
    char *own = mem_format("%s%s", twice ? kind : "", head);
    add_field(out, own, false);
    free(own);
    free(head);
}

void sweep_csv(struct text *out, const struct sweep *s)
{
    cJSON *scored, *names = evaluation_names(s, row_count(s), &scored), *axes = axis_names(s);
    add_field(out, "run", true);
    for (const cJSON *axis = axes->child; axis; axis = axis->next) add_head(out, "axis_", axis->string, "");
    text_print(out, ",state,step,stage");
    for (const cJSON *name = names->child; name; name = name->next) {
        add_head(out, "eval_", name->string, "_loss");
        add_head(out, "eval_", name->string, "_score");
    }
    text_print(out, ",train_loss,seconds,steps,hash,asked\n");
    for (size_t i = 0; i < row_count(s); i++) {
        const struct result row = row_at(s, i);
        const cJSON *line = row.run->evaluations->child;
        add_row(out, &row, line, axes, names);
        for (line = line ? line->next : NULL; line; line = line->next) add_row(out, &row, line, axes, names);
    }
    cJSON_Delete(axes);
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
    cJSON *scored, *names = evaluation_names(s, s->grid.count, &scored);
    struct table t = {.rows = s->grid.count + 1,
        .columns = s->grid.axis_count + 3 + (size_t)(cJSON_GetArraySize(names) + cJSON_GetArraySize(scored))};
    t.cells = mem_zero(t.rows * t.columns, sizeof *t.cells);
    for (size_t k = 0; k < s->grid.axis_count; k++) cell(&t, "%s", s->grid.axes[k].name);
    cell(&t, "state");
    cell(&t, "steps");
    cell(&t, "train loss");
    for (const cJSON *name = names->child; name; name = name->next) {
        cell(&t, "%s loss", name->string);
        if (json_member(scored, name->string)) cell(&t, "score");
    }
    for (size_t i = 0; i < s->grid.count; i++) {
        const struct sweep_run *run = &s->runs[i];
        int count = cJSON_GetArraySize(run->evaluations);
        const cJSON *last = count ? json_member(cJSON_GetArrayItem(run->evaluations, count - 1), "eval") : NULL;
        for (size_t k = 0; k < s->grid.axis_count; k++) {
            char *text = axis_text(s->grid.runs[i].axes, s->grid.axes[k].name);
            cell(&t, "%s", text);
            free(text);
        }
        cell(&t, "%s", sweep_state_name(run->state));
        cell(&t, "%" PRIu64, run->steps);
        cell_number(&t, "%.4f", run->loss);
        for (const cJSON *name = names->child; name; name = name->next) {
            const cJSON *eval = json_member(last, name->string);
            cell_number(&t, "%.4f", json_number(eval, "loss"));
            if (json_member(scored, name->string)) cell_number(&t, "%.1f%%", 100 * log_score_read(eval));
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
    return write_json(s, OUTPUT_GRID, grid_json(s), e);
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
