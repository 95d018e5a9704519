// SPDX-License-Identifier: MIT
//
// report_run.c: one run's folder, read without touching it.
#include "study/report.h"

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

static void note(struct report_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct report_run *run, const char *format, ...)
{
    char sentence[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    char *all = run->notes ? mem_format("%s\n%s", run->notes, sentence) : mem_string(sentence);
    free(run->notes);
    run->notes = all;
}

// A count; 0 for what is none.
static uint64_t count_of(const cJSON *object, const char *name)
{
    double x = json_number(object, name);
    return x >= 0 && x <= 0x1p53 ? (uint64_t)x : 0;
}

static char *word(const cJSON *object, const char *name)
{
    const cJSON *item = json_member(object, name);
    return cJSON_IsString(item) ? mem_string(item->valuestring) : NULL;
}

uint32_t report_name(struct report_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0) return (uint32_t)i;
    GROW(names->names, names->count, names->capacity);
    names->names[names->count] = mem_string(name);
    return (uint32_t)names->count++;
}

static uint32_t stage_of(struct report_run *run, const char *name)
{
    for (size_t i = 0; i < run->stage_count; i++)
        if (strcmp(run->stages[i].name, name) == 0) return (uint32_t)i;
    GROW(run->stages, run->stage_count, run->stage_capacity);
    run->stages[run->stage_count] = (struct report_stage){.name = mem_string(name)};
    return (uint32_t)run->stage_count++;
}

static struct report_share *share_of(struct report_stage *stage, uint32_t source)
{
    for (size_t i = 0; i < stage->share_count; i++)
        if (stage->shares[i].source == source) return &stage->shares[i];
    stage->shares = mem_resize(stage->shares, (stage->share_count + 1) * sizeof *stage->shares);
    stage->shares[stage->share_count] = (struct report_share){.source = source};
    return &stage->shares[stage->share_count++];
}

// ---- the config and the plan -------------------------------------------------------------------------------------

static void read_config(struct report_run *run)
{
    char *path = path_join(run->folder, OUTPUT_CONFIG);
    struct file_map f;
    struct error e = {0};
    if (file_map(&f, path, &e) == 0) {
        run->config_text = mem_string_n((const char *)f.data, f.bytes);
        run->config_hash = fnv1a(FNV_START, f.data, f.bytes);
        run->config = json_read_text(path, (const char *)f.data, f.bytes, &e);
        if (run->config && !cJSON_IsObject(run->config)) {
            error_set(&e, "%s: is not an object", path);
            cJSON_Delete(run->config);
            run->config = NULL;
        }
        file_unmap(&f);
    }
    if (!run->config) note(run, "%s; what it was to do is not known", e.text);
    free(path);
}

static void read_plan(struct report_run *run, struct report *r)
{
    char *path = path_join(run->folder, OUTPUT_PLAN);
    struct error e = {0};
    cJSON *plan = file_exists(path) ? json_read_file(path, &e) : NULL;
    if (e.text[0])
        note(run, "%s", e.text);
    else if (!plan)
        note(run, "there is no " OUTPUT_PLAN ": the tokens asked for are not known");
    const cJSON *stage, *source;
    cJSON_ArrayForEach(stage, json_member(plan, "stages"))
    {
        const cJSON *name = json_member(stage, "name");
        if (!cJSON_IsString(name)) continue;
        uint32_t index = stage_of(run, name->valuestring);
        struct report_stage *s = &run->stages[index];
        s->rows = count_of(stage, "rows");
        s->steps = count_of(stage, "steps");
        run->total_steps += s->steps;
        run->planned = run->staged = true;
        cJSON_ArrayForEach(source, json_member(stage, "sources"))
        {
            const cJSON *source_name = json_member(source, "name");
            if (!cJSON_IsString(source_name)) continue;
            struct report_share *share = share_of(s, report_name(&r->sources, source_name->valuestring));
            share->asked_rows = count_of(source, "rows");
            share->asked_tokens = count_of(source, "tokens");
            share->asked_trained = count_of(source, "trained_tokens");
        }
    }
    run->device = word(plan, "device");
    run->driver = word(plan, "driver");
    run->precision = word(plan, "precision");
    run->products = word(plan, "matmul_precision");
    cJSON_Delete(plan);
    free(path);
}

// A line of a manifest that begins at *at, which goes on to the next; NULL: there is no whole one.
static cJSON *manifest_line(const struct file_map *f, size_t *at)
{
    const char *text = (const char *)f->data + *at, *end = *at < f->bytes ? memchr(text, '\n', f->bytes - *at) : NULL;
    if (!end) return NULL;
    cJSON *line = json_read_text("", text, (size_t)(end - text), NULL);
    *at += (size_t)(end - text) + 1;
    return line;
}

// Without a plan: rows of the first epoch, and the steps so far, from a manifest, which is complete when the run
// begins.
static void take_manifest(struct report_run *run, struct report *r, struct report_stage *s, const struct file_map *f)
{
    size_t at = 0, last = f->bytes ? f->bytes - 1 : 0;
    bool first_epoch = true;
    while (first_epoch) {
        cJSON *line = manifest_line(f, &at);
        const cJSON *source = json_member(line, "source");
        first_epoch = cJSON_IsString(source) && json_number(line, "epoch") == 0;
        if (first_epoch) {
            share_of(s, report_name(&r->sources, source->valuestring))->asked_rows++;
            s->rows++;
        }
        cJSON_Delete(line);
    }
    while (last > 0 && f->data[last - 1] != '\n') last--;
    cJSON *line = manifest_line(f, &last);
    uint64_t steps = line ? count_of(line, "step") + 1 : 0;
    if (steps > run->total_steps) {
        s->steps = steps - run->total_steps;
        run->total_steps = steps;
        run->staged = true;
    }
    cJSON_Delete(line);
}

// The name of the folder's manifest-<n>-<stage>.jsonl; NULL: there is none. The caller frees.
static char *manifest_name(const char *folder, size_t n)
{
    char *prefix = mem_format("manifest-%zu-", n), *name = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && !name && (d = readdir(dir));) {
        size_t bytes = strlen(d->d_name), least = strlen(prefix) + strlen(".jsonl");
        if (bytes > least && strncmp(d->d_name, prefix, strlen(prefix)) == 0 &&
            strcmp(d->d_name + bytes - strlen(".jsonl"), ".jsonl") == 0)
            name = mem_string(d->d_name);
    }
    if (dir) closedir(dir);
    free(prefix);
    return name;
}

static void read_manifests(struct report_run *run, struct report *r)
{
    for (size_t n = 1;; n++) {
        char *name = manifest_name(run->folder, n), *path = name ? path_join(run->folder, name) : NULL;
        struct file_map f;
        bool mapped = name && file_map(&f, path, NULL) == 0;
        if (mapped) {
            size_t skip = strcspn(name + strlen("manifest-"), "-") + strlen("manifest-") + 1;
            char *stage = mem_string_n(name + skip, strlen(name) - skip - strlen(".jsonl"));
            uint32_t index = stage_of(run, stage);
            struct report_stage *s = &run->stages[index];
            s->manifest = fnv1a(FNV_START, f.data, f.bytes); // the digest that a checkpoint keeps (stages_manifest)
            s->has_manifest = true;
            if (!run->planned) take_manifest(run, r, s, &f);
            file_unmap(&f);
            free(stage);
        }
        free(name);
        free(path);
        if (!mapped) return;
    }
}

// ---- the log -----------------------------------------------------------------------------------------------------

static void read_parts(struct report_run *run, struct report *r, struct report_step *step, const cJSON *sources)
{
    const cJSON *item;
    step->first_part = run->part_count;
    if (!cJSON_IsObject(sources)) return;
    cJSON_ArrayForEach(item, sources)
    {
        GROW(run->parts, run->part_count, run->part_capacity);
        struct report_part *part = &run->parts[run->part_count++];
        *part = (struct report_part){.source = report_name(&r->sources, item->string),
            .conversations = count_of(item, "conversations"),
            .tokens = count_of(item, "tokens"),
            .trained = count_of(item, "trained_tokens"),
            .loss = json_number(item, "loss")};
        struct report_share *share = share_of(&run->stages[step->stage], part->source);
        share->rows += part->conversations;
        share->tokens += part->tokens;
        share->trained += part->trained;
        step->part_count++;
    }
}

// A step's line. False: it is none, or does not come after the one before.
static bool read_step(struct report_run *run, struct report *r, const struct log_line *l)
{
    const cJSON *line = l->json;
    if (run->step_count && run->steps[run->step_count - 1].step >= l->step) return false;
    GROW(run->steps, run->step_count, run->step_capacity);
    struct report_step *step = &run->steps[run->step_count++];
    *step = (struct report_step){.step = l->step,
        .stage = stage_of(run, l->stage),
        .loss = l->loss,
        .norm = json_number(line, "grad_norm"),
        .rate = json_number(line, "learning_rate"),
        .seconds = l->seconds,
        .tokens = count_of(line, "tokens"),
        .trained = count_of(line, "trained_tokens"),
        .skipped = cJSON_IsTrue(json_member(line, "skipped"))};
    read_parts(run, r, step, json_member(line, "sources"));
    struct report_stage *s = &run->stages[step->stage];
    if (!s->first) s->first = l->step;
    s->last = l->step;
    run->tokens += step->tokens;
    run->trained += step->trained;
    run->skipped += step->skipped;
    if (isfinite(step->seconds)) run->seconds += step->seconds;
    snprintf(run->hash, sizeof run->hash, "%s", l->hash);
    return true;
}

static bool read_eval(struct report_run *run, struct report *r, const struct log_line *l)
{
    if (run->eval_count && run->evals[run->eval_count - 1].step >= l->step) return false;
    GROW(run->evals, run->eval_count, run->eval_capacity);
    struct report_eval *eval = &run->evals[run->eval_count++];
    *eval = (struct report_eval){.step = l->step, .stage = stage_of(run, l->stage), .first_mark = run->mark_count};
    const cJSON *item;
    cJSON_ArrayForEach(item, l->eval)
    {
        GROW(run->marks, run->mark_count, run->mark_capacity);
        run->marks[run->mark_count++] = (struct report_mark){.ability = report_name(&r->abilities, item->string),
            .loss = json_number(item, "loss"),
            .score = log_score_read(item),
            .chance = json_number(item, "chance")};
        eval->mark_count++;
    }
    return true;
}

static void read_log(struct report_run *run, struct report *r)
{
    struct log_reader reader;
    struct log_line line;
    struct error e = {0};
    size_t bad = 0, first_bad = 0;
    if (log_reader_open(&reader, run->folder, &e) != 1) {
        if (e.text[0])
            note(run, "%s", e.text);
        else if (!output_in_use(run->folder)) // or it has just begun, of which find_state says the rest
            note(run, "it has not begun: there is no " OUTPUT_LOG);
        return;
    }
    while (log_reader_next(&reader, &line)) {
        bool good = line.kind == LOG_STEP ? read_step(run, r, &line) : line.kind == LOG_EVAL && read_eval(run, r, &line);
        if (!good && !bad++) first_bad = reader.line;
    }
    if (reader.torn) note(run, "%s: ends with half a line, which is left out", reader.path);
    if (bad)
        note(run, "%s:%zu: is no line of a step or an evaluation in its place; %zu such line%s left out", reader.path,
            first_bad, bad, bad == 1 ? " is" : "s are");
    if (!run->step_count) note(run, "it has made no step yet");
    log_reader_close(&reader);
}

// ---- the whole ---------------------------------------------------------------------------------------------------

static void find_state(struct report_run *run)
{
    struct outcome outcome;
    struct error e = {0};
    uint64_t last = run->step_count ? run->steps[run->step_count - 1].step : 0;
    bool done = outcome_read(&outcome, run->folder, &e) == 1 && outcome_fits(&outcome, last, run->hash) && last >= run->total_steps;
    run->state = output_in_use(run->folder) ? REPORT_RUNNING : done ? REPORT_DONE : REPORT_STOPPED;
    if (*e.text) note(run, "%s", e.text);
    if (run->state == REPORT_DONE) return;
    const char *what = run->state == REPORT_RUNNING ? "is still going" : "was broken off or is not finished";
    if (!run->total_steps)
        note(run, "it %s: %" PRIu64 " step%s there", what, last, last == 1 ? " is" : "s are");
    else
        note(run, "it %s: step %" PRIu64 " of %" PRIu64, what, last, run->total_steps);
}

void report_run_read(struct report_run *run, struct report *r, const char *folder)
{
    *run = (struct report_run){.folder = mem_string(folder), .group = REPORT_NONE, .copy_of = REPORT_NONE};
    read_config(run);
    read_plan(run, r);
    read_manifests(run, r);
    read_log(run, r);
    find_state(run);
}

void report_run_free(struct report_run *run)
{
    for (size_t i = 0; i < run->stage_count; i++) {
        free(run->stages[i].name);
        free(run->stages[i].shares);
    }
    free(run->stages);
    free(run->steps);
    free(run->parts);
    free(run->evals);
    free(run->marks);
    cJSON_Delete(run->axes);
    cJSON_Delete(run->config);
    char *const texts[] = {run->name, run->folder, run->why, run->sweep, run->config_text, run->device, run->driver,
        run->precision, run->products, run->notes};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    *run = (struct report_run){0};
}
