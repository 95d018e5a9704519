// SPDX-License-Identifier: MIT
#include "study/sweep.h"

#include "formats/json_file.h"
#include "train/config_read.h"
#include "train/interrupt.h"
#include "train/outcome.h"
#include "train/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAY_SECONDS 10 // between two words on progress where stderr is no terminal

// ---- opening -----------------------------------------------------------------------------------------------------

static int read_run(struct sweep *s, size_t i, const cJSON *base, const char *path, struct error *e)
{
    struct config *c = &s->runs[i].config;
    const struct grid_run *run = &s->grid.runs[i];
    cJSON *root = cJSON_Duplicate(base, true);
    if (grid_apply(root, run, e)) {
        cJSON_Delete(root);
        return error_prefix(e, "%s: " CONFIG_SWEEP ": ", path);
    }
    if (config_read_json(c, root, path, e)) return error_prefix(e, "run %s: ", run->name);
    if (!s->folder) s->folder = mem_string(c->output_dir);
    free(c->output_dir);
    c->output_dir = path_join(s->folder, run->name);
    // What is not forbidden but perhaps not meant is mostly the same in all runs.
    bool said = i > 0 && s->runs[i - 1].config.notes && c->notes && strcmp(s->runs[i - 1].config.notes, c->notes) == 0;
    if (c->notes && !said) say("%s", c->notes);
    return 0;
}

static int read_runs(struct sweep *s, cJSON *root, const char *path, const char *const *sets, size_t set_count,
    const char *const *axes, size_t axis_count, struct error *e)
{
    if (!cJSON_IsObject(root)) return error_set(e, "%s: should hold one object, {...}", path);
    for (size_t i = 0; i < set_count; i++)
        if (config_set(root, sets[i], e)) return -1;
    cJSON *sweep = cJSON_DetachItemFromObjectCaseSensitive(root, CONFIG_SWEEP);
    bool none = (!sweep || cJSON_IsNull(sweep)) && axis_count == 0;
    int status = none ? error_set(e, "%s: holds no \"" CONFIG_SWEEP "\": {\"learning_rate\": [1e-5, 2e-5]}; write one, or give --axis "
                            "learning_rate=1e-5,2e-5", path)
                      : grid_make(&s->grid, sweep, axes, axis_count, e);
    cJSON_Delete(sweep);
    if (status) return none ? -1 : error_prefix(e, "%s: ", path);
    s->runs = mem_zero(s->grid.count, sizeof *s->runs);
    for (size_t i = 0; i < s->grid.count; i++)
        if (read_run(s, i, root, path, e) || sweep_look(&s->runs[i], e)) return -1;
    sweep_recall(s);
    return 0;
}

int sweep_open(struct sweep *s, const char *path, const char *const *sets, size_t set_count, const char *const *axes,
    size_t axis_count, struct error *e)
{
    *s = (struct sweep){0};
    cJSON *root = json_read_file(path, e);
    int status = root ? read_runs(s, root, path, sets, set_count, axes, axis_count, e) : -1;
    cJSON_Delete(root);
    if (status) sweep_close(s);
    return status;
}

static void run_free(struct sweep_run *run)
{
    config_free(&run->config);
    free(run->why);
    cJSON_Delete(run->evaluations);
}

void sweep_close(struct sweep *s)
{
    for (size_t i = 0; s->runs && i < s->grid.count; i++) run_free(&s->runs[i]);
    for (size_t i = 0; i < s->earlier_count; i++) {
        run_free(&s->earlier[i].run);
        free(s->earlier[i].name);
        cJSON_Delete(s->earlier[i].axes);
        cJSON_Delete(s->earlier[i].set);
    }
    free(s->earlier);
    free(s->runs);
    free(s->folder);
    grid_free(&s->grid);
    *s = (struct sweep){0};
}

// ---- checking ----------------------------------------------------------------------------------------------------

// A folder that a run of its own has made is not filled with others.
static int check_folder(const struct sweep *s, struct error *e)
{
    if (output_is_run(s->folder)) return error_set(e, "%s: holds a run of `pumice train`; a sweep needs another output_dir", s->folder);
    char *grid = path_join(s->folder, OUTPUT_GRID), *csv = path_join(s->folder, "results.csv"),
         *json = path_join(s->folder, "results.json");
    bool taken = !file_exists(grid) && (file_exists(csv) || file_exists(json));
    free(grid);
    free(csv);
    free(json);
    return taken ? error_set(e, "%s: holds results that are no sweep's; a sweep needs another output_dir", s->folder) : 0;
}

static int check_runs(struct sweep *s, struct workshop *w, struct error *e)
{
    size_t finished = 0, failed = 0, other = 0;
    uint64_t disk = 0, peak = 0;
    if (output_check(s->folder, 0, e)) return -1;
    for (size_t i = 0; i < s->grid.count; i++)
        if (output_check(s->runs[i].config.output_dir, 0, e)) return error_prefix(e, "run %s: ", s->grid.runs[i].name);
    for (size_t i = 0; i < s->grid.count && !interrupt_asked(); i++) {
        struct sweep_run *run = &s->runs[i];
        struct run_forecast forecast = {0};
        if (run->state == SWEEP_LOST)
            return error_set(e, "run %s: is finished, but its %s is gone; put it back, or remove %s/" OUTPUT_OUTCOME
                " to have the run go on from its newest checkpoint, or begin again without one", s->grid.runs[i].name,
                output_lacks(run->config.output_dir), run->config.output_dir);
        int changes = run_compare(&run->config, false, e);
        if (changes < 0 || run_check(&run->config, w, run->finished, &forecast, e))
            return error_prefix(e, "run %s: ", s->grid.runs[i].name);
        run->work = forecast.work;
        disk += run->state == SWEEP_WAITING ? forecast.disk : 0;
        if (run->state == SWEEP_WAITING && forecast.disk_peak > peak) peak = forecast.disk_peak;
        // One that diverged would diverge again: it is not made anew, and neither is it finished.
        failed += run->finished && run->state == SWEEP_FAILED;
        finished += run->finished && run->state != SWEEP_FAILED;
        other += run->finished && changes > 0;
    }
    if (output_check(s->folder, disk + peak, e)) return -1;
    char *more = failed ? mem_format(", %zu failed", failed) : mem_string("");
    say("%zu run%s, %zu finished%s, in %s", s->grid.count, plural(s->grid.count), finished, more, s->folder);
    free(more);
    if (other)
        say("%zu finished run%s made with other eval, logging or saving keys; what was made stays as it is", other,
            other == 1 ? " was" : "s were");
    return 0;
}

// ---- progress ----------------------------------------------------------------------------------------------------

struct making {
    const struct sweep *sweep;
    size_t index; // of the run being made
    struct sweep_progress progress;
    double began, said; // clock
};

double sweep_time_left(const struct sweep_progress *p, double spent, double share, double left)
{
    // Before a run's steps are measured, those before it tell.
    if (isnan(left) && p->work > 0) left = (1 - share) * p->now * p->seconds / p->work;
    // What the runs up to this one's end will have taken for their work, later ones take for theirs.
    double work = p->work + p->now * (1 - p->from), seconds = p->seconds + spent + left;
    return left + (work > 0 ? p->later * seconds / work : 0);
}

static void stepped(void *context, const struct log_step *step, struct text *words)
{
    struct making *m = context;
    double total = (double)step->total_steps, now = clock_seconds();
    if (isnan(m->progress.from)) m->progress.from = (double)(step->step - 1) / total;
    double left = sweep_time_left(&m->progress, now - m->began, (double)step->step / total, step->left);
    struct text time = {0};
    text_add(&time, "", 0);
    if (!isnan(left)) log_add_time(&time, left);
    size_t run = m->index + 1, runs = m->sweep->grid.count;
    if (words) {
        text_print(words, "run %zu/%zu%s%s%s: ", run, runs, time.bytes ? ", all " : "", time.data, time.bytes ? " left" : "");
    } else if (now - m->said >= SAY_SECONDS) {
        say("run %zu of %zu: step %llu of %llu, loss %.4f%s%s%s", run, runs, (unsigned long long)step->step,
            (unsigned long long)step->total_steps, step->loss, time.bytes ? "; " : "", time.data, time.bytes ? " left for all" : "");
        m->said = now;
    }
    text_free(&time);
}

// ---- training ----------------------------------------------------------------------------------------------------

static void fail_run(struct sweep_run *run, const char *name, const char *why)
{
    say("run %s failed: %s", name, why);
    free(run->why);
    run->why = mem_string(why);
    run->state = SWEEP_FAILED;
}

// One run. 0 also when it fails; -1 when the sweep cannot go on.
static int train_one(struct sweep *s, struct workshop *w, struct making *m, bool *interrupted, struct error *e)
{
    struct sweep_run *run = &s->runs[m->index];
    struct sweep_progress *p = &m->progress;
    const char *name = s->grid.runs[m->index].name;
    bool begun = output_is_run(run->config.output_dir);
    say("run %zu of %zu: %s", m->index + 1, s->grid.count, name);
    m->began = m->said = clock_seconds();
    p->now = run->work;
    p->from = NAN; // not known before its first step
    bool failed = run->state == SWEEP_FAILED;
    run->state = SWEEP_BEGUN; // an earlier failure no longer counts
    free(run->why);
    run->why = NULL;
    if (failed && sweep_write_results(s, e)) return -1; // for those who look meanwhile, and if it is killed
    struct error why = {0};
    struct run_outcome out;
    int status = run_train(&run->config, w, &(struct run_options){begun, stepped, m}, &out, &why);
    free(out.last_line);
    if (status && why.device) {
        *e = why;
        return error_prefix(e, "run %s: ", name);
    }
    *interrupted = out.interrupted || interrupt_asked();
    if (sweep_look(run, e)) return -1;
    double seconds = clock_seconds() - m->began;
    if (status) {
        fail_run(run, name, why.text);
    } else if (run->finished) {
        if (run->state == SWEEP_FAILED) say("run %s failed: %s", name, run->why);
        if (!isnan(p->from)) p->work += run->work * (1 - p->from);
        p->seconds += seconds;
        struct text left = {0};
        text_add(&left, "", 0);
        if (p->work > 0 && p->later > 0) log_add_time(&left, p->later * p->seconds / p->work);
        say("run %zu of %zu took %.1f s%s%s%s", m->index + 1, s->grid.count, seconds, left.bytes ? "; " : "", left.data,
            left.bytes ? " left for all" : "");
        text_free(&left);
    }
    return sweep_write_results(s, e);
}

static int train_all(struct sweep *s, struct workshop *w, bool *interrupted, struct error *e)
{
    struct making making = {.sweep = s};
    for (size_t i = 0; i < s->grid.count; i++) making.progress.later += s->runs[i].finished ? 0 : s->runs[i].work;
    for (size_t i = 0; i < s->grid.count && !*interrupted; i++) {
        if (s->runs[i].finished) continue;
        making.index = i;
        making.progress.later -= s->runs[i].work;
        if (train_one(s, w, &making, interrupted, e)) return -1;
    }
    return 0;
}

int sweep_train(struct sweep *s, struct workshop *w, bool *interrupted, struct error *e)
{
    bool resumable;
    struct output *lock = NULL;
    *interrupted = false;
    interrupt_begin();
    int status = check_folder(s, e);
    if (status == 0) status = check_runs(s, w, e);
    if (status == 0 && !(lock = output_open(s->folder, true, &resumable, e))) status = -1;
    // Another process may have ended between the look and the lock.
    for (size_t i = 0; i < s->grid.count && status == 0; i++) status = sweep_look(&s->runs[i], e);
    if (status == 0) status = sweep_find_earlier(s, e);
    if (status == 0) status = sweep_write_grid(s, e);
    *interrupted = interrupt_asked();
    if (status == 0) status = train_all(s, w, interrupted, e);
    if (status == 0) status = sweep_write_results(s, e);
    output_close(lock);
    interrupt_end();
    return status;
}
