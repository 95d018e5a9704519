// SPDX-License-Identifier: MIT
#include "train/stages.h"

#include "data/draw.h"
#include "train/config_read.h"
#include "train/mix.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config_stage *add_stage(struct config *c, const char *name)
{
    c->stages = mem_resize(c->stages, (c->stage_count + 1) * sizeof *c->stages);
    struct config_stage *stage = &c->stages[c->stage_count++];
    *stage = (struct config_stage){.name = mem_string(name)};
    config_settings_copy(&stage->settings, &c->settings);
    return stage;
}

static void add_source(struct config_stage *stage, uint32_t source, double fraction)
{
    stage->mix = mem_resize(stage->mix, (stage->mix_count + 1) * sizeof *stage->mix);
    stage->mix[stage->mix_count++] = (struct config_mix){source, AMOUNT_FRACTION, fraction};
}

static void add_named(const struct config *c, struct config_stage *stage, const char *name, double fraction)
{
    uint32_t source = 0;
    while (source < c->source_count && strcmp(c->sources[source].name, name) != 0) source++;
    assert(source < c->source_count);
    add_source(stage, source, fraction);
}

static void add_names(
    const struct config *c, struct config_stage *stage, const struct config_names *names, double fraction)
{
    for (size_t i = 0; i < names->count; i++) add_named(c, stage, names->names[i], fraction);
}

void stages_expand(struct config *c)
{
    switch (c->strategy) {
    case STRATEGY_STAGES:
        return;
    case STRATEGY_MULTI_TASK: {
        struct config_stage *stage = add_stage(c, "multi_task");
        for (uint32_t i = 0; i < c->source_count; i++) add_source(stage, i, 1);
        return;
    }
    case STRATEGY_SEQUENTIAL:
        for (size_t i = 0; i < c->specialized.count; i++)
            add_named(c, add_stage(c, c->specialized.names[i]), c->specialized.names[i], 1);
        break;
    case STRATEGY_MIXED_SEQUENTIAL:
    case STRATEGY_DMT:
        add_names(c, add_stage(c, "specialized"), &c->specialized, 1);
        break;
    }
    struct config_stage *general = add_stage(c, "general");
    add_names(c, general, &c->general, 1);
    if (c->strategy == STRATEGY_DMT) add_names(c, general, &c->specialized, c->dmt_k);
}

// Counts the rows of a stage; 0 or -1.
static int make_shares(struct stage *stage, const struct config *c, const struct config_stage *from,
    const uint32_t *available, struct error *e)
{
    stage->name = from->name;
    stage->settings = &from->settings;
    stage->shares = mem_zero(from->mix_count, sizeof *stage->shares);
    stage->share_count = from->mix_count;
    uint32_t *rows = mem_zero(from->mix_count, sizeof *rows);
    int status = mix_count(rows, c, from, available, e);
    for (size_t i = 0; i < from->mix_count && status == 0; i++) {
        uint32_t source = from->mix[i].source;
        stage->shares[i] = (struct stage_share){source, c->sources[source].name, available[source], rows[i], 0, 0};
        stage->row_count += rows[i];
    }
    free(rows);
    return status;
}

// Draws the rows of a stage whose shares are counted.
static void make_rows(struct stage *stage, uint64_t seed)
{
    stage->rows = mem_alloc((size_t)stage->row_count * sizeof *stage->rows);
    struct stage_row *to = stage->rows;
    for (size_t i = 0; i < stage->share_count; i++) {
        const struct stage_share *share = &stage->shares[i];
        if (share->rows < share->available) {
            uint32_t *rows = mem_alloc(((size_t)share->rows + 1) * sizeof *rows);
            draw_rows(rows, share->rows, share->available, seed, share->name);
            for (uint32_t k = 0; k < share->rows; k++) *to++ = (struct stage_row){share->source, rows[k]};
            free(rows);
        } else {
            for (uint32_t k = 0; k < share->rows; k++) *to++ = (struct stage_row){share->source, k % share->available};
        }
    }
}

static void count_steps(struct stages *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct stage *stage = &s->stages[i];
        uint64_t batch = stage->settings->train_batch_size, max_steps = stage->settings->max_steps;
        stage->steps_per_epoch = (stage->row_count + batch - 1) / batch;
        stage->steps =
            max_steps ? max_steps : (uint64_t)ceil(stage->settings->num_train_epochs * (double)stage->steps_per_epoch);
        stage->first_step = s->steps;
        s->steps += stage->steps;
    }
    for (size_t first = 0, end; first < s->count; first = end) {
        uint64_t chain = s->stages[first].steps;
        for (end = first + 1; end < s->count && s->stages[end].settings->keep_optimizer; end++)
            chain += s->stages[end].steps;
        for (size_t i = first; i < end; i++) {
            s->stages[i].chain_steps = chain;
            s->stages[i].chain_first = s->stages[i].first_step - s->stages[first].first_step;
        }
    }
}

int stages_make(struct stages *s, const struct config *c, const uint32_t *available, struct error *e)
{
    *s = (struct stages){.count = c->stage_count, .seed = c->seed};
    s->stages = mem_zero(c->stage_count, sizeof *s->stages);
    for (size_t i = 0; i < c->stage_count; i++) {
        if (make_shares(&s->stages[i], c, &c->stages[i], available + i * c->source_count, e)) {
            stages_free(s);
            return -1;
        }
        make_rows(&s->stages[i], c->seed);
    }
    count_steps(s);
    return 0;
}

void stages_say_empty(const struct stages *s, const struct config *c)
{
    for (size_t k = 0; k < s->count; k++)
        for (size_t i = 0; i < s->stages[k].share_count; i++) {
            const struct stage_share *share = &s->stages[k].shares[i];
            const struct config_mix *mix = &c->stages[k].mix[i];
            uint64_t mix_rows = c->stages[k].settings.mix_rows;
            if (share->rows || !(mix->value > 0)) continue;
            char *why = mix->amount == AMOUNT_SHARE
                            ? mem_format("%g of mix_rows, %" PRIu64 ", is less than one row", mix->value, mix_rows)
                        : mix->amount == AMOUNT_FRACTION && !draw_fraction(share->available, mix->value)
                            ? share->available == 1
                                  ? mem_format("%g of its only row is less than one row", mix->value)
                                  : mem_format("%g of its %" PRIu32 " rows is less than one row", mix->value, share->available)
                            : mem_format("mix_rows, %" PRIu64 ", leaves no row for it", mix_rows);
            say("stage %s: nothing of %s is drawn: %s", s->stages[k].name, share->name, why);
            free(why);
        }
}

void stages_free(struct stages *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->stages[i].shares);
        free(s->stages[i].rows);
    }
    free(s->stages);
    *s = (struct stages){0};
}

void stages_count_tokens(struct stage *stage, const struct conversation *const *rows)
{
    const struct stage_row *at = stage->rows;
    for (size_t i = 0; i < stage->share_count; i++) {
        struct stage_share *share = &stage->shares[i];
        share->tokens = share->trained_tokens = 0;
        for (uint32_t k = 0; k < share->rows; k++, at++) {
            share->tokens += rows[at->source][at->row].tokens;
            share->trained_tokens += rows[at->source][at->row].trained;
        }
    }
}

struct stage_step stages_step(const struct stages *s, uint64_t step)
{
    assert(step < s->steps);
    size_t i = 0;
    while (step >= s->stages[i].first_step + s->stages[i].steps) i++;
    const struct stage *stage = &s->stages[i];
    uint64_t inside = step - stage->first_step, batch = stage->settings->train_batch_size;
    uint64_t first = inside % stage->steps_per_epoch * batch, left = stage->row_count - first;
    return (struct stage_step){.stage = i,
        .step = inside,
        .epoch = inside / stage->steps_per_epoch,
        .first = (uint32_t)first,
        .count = (uint32_t)(left < batch ? left : batch)};
}

void stage_cursor_make(struct stage_cursor *c, const struct stages *s)
{
    *c = (struct stage_cursor){.stages = s, .stage = s->count};
    uint64_t largest = 1;
    for (size_t i = 0; i < s->count; i++) {
        uint64_t batch = s->stages[i].settings->train_batch_size, rows = s->stages[i].row_count;
        if (batch > rows) batch = rows;
        if (batch > largest) largest = batch;
    }
    c->rows = mem_alloc((size_t)largest * sizeof *c->rows);
}

void stage_cursor_free(struct stage_cursor *c)
{
    free(c->order);
    free(c->rows);
    *c = (struct stage_cursor){0};
}

static void hold_order(struct stage_cursor *c, size_t stage, uint64_t epoch)
{
    const struct stage *s = &c->stages->stages[stage];
    c->order = mem_resize(c->order, (size_t)s->row_count * sizeof *c->order);
    if (s->settings->order == ORDER_SHUFFLED)
        draw_order(c->order, s->row_count, c->stages->seed, stage, epoch);
    else
        for (uint32_t i = 0; i < s->row_count; i++) c->order[i] = i;
    c->stage = stage;
    c->epoch = epoch;
}

const struct stage_row *stage_cursor_rows(struct stage_cursor *c, uint64_t step)
{
    struct stage_step at = stages_step(c->stages, step);
    if (at.stage != c->stage || at.epoch != c->epoch) hold_order(c, at.stage, at.epoch);
    for (uint32_t i = 0; i < at.count; i++) c->rows[i] = c->stages->stages[at.stage].rows[c->order[at.first + i]];
    return c->rows;
}

uint64_t stages_largest_step(const struct stages *s, size_t stage, const struct conversation *const *all)
{
    struct stage_cursor cursor;
    const struct stage *of = &s->stages[stage];
    uint64_t most = 0, seen = 0;
    stage_cursor_make(&cursor, s);
    for (uint64_t step = of->first_step; step < of->first_step + of->steps && seen < 1000000; step++) {
        const struct stage_row *rows = stage_cursor_rows(&cursor, step);
        uint32_t count = stages_step(s, step).count;
        uint64_t tokens = 0;
        for (uint32_t i = 0; i < count; i++) tokens += all[rows[i].source][rows[i].row].tokens;
        seen += count;
        if (tokens > most) most = tokens;
    }
    stage_cursor_free(&cursor);
    return most;
}

static void write_rows(struct stage_cursor *cursor, const struct config *c, size_t stage,
    const struct conversation *const *all, FILE *file, uint64_t *digest)
{
    const struct stage *s = &cursor->stages->stages[stage];
    for (uint64_t step = s->first_step; step < s->first_step + s->steps; step++) {
        struct stage_step at = stages_step(cursor->stages, step);
        const struct stage_row *rows = stage_cursor_rows(cursor, step);
        for (uint32_t i = 0; i < at.count; i++) {
            const struct conversation *row = &all[rows[i].source][rows[i].row];
            char line[320];
            int n = snprintf(line, sizeof line,
                "{\"step\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"source\":\"%s\",\"row\":%" PRIu32 ",\"file\":%" PRIu32
                ",\"line\":%" PRIu32 ",\"hash\":\"%016" PRIx64 "\"}\n",
                step, at.epoch, c->sources[rows[i].source].name, rows[i].row, row->file, row->row, row->hash);
            assert(n > 0 && (size_t)n < sizeof line); // names are short and need no escapes: config_read
            if (file) fwrite(line, 1, (size_t)n, file);
            *digest = fnv1a(*digest, line, (size_t)n);
        }
    }
}

int stages_manifest(const struct stages *s, const struct config *c, size_t stage,
    const struct conversation *const *rows, const char *path, uint64_t *digest, struct error *e)
{
    uint64_t hash = FNV_START;
    char *temporary = path ? mem_format("%s.tmp", path) : NULL, *folder = path ? path_folder(path) : NULL;
    FILE *file = path ? fopen(temporary, "wb") : NULL;
    int status = 0;
    if (path && !file) status = error_set(e, "%s: cannot be written (%s)", temporary, strerror(errno));
    if (status == 0) {
        struct stage_cursor cursor;
        stage_cursor_make(&cursor, s);
        write_rows(&cursor, c, stage, rows, file, &hash);
        stage_cursor_free(&cursor);
    }
    if (file) {
        bool written = !ferror(file) && fflush(file) == 0 && fsync(fileno(file)) == 0;
        if (fclose(file) != 0 || !written || rename(temporary, path) != 0) {
            status = error_set(e, "%s: cannot be written (%s)", path, strerror(errno));
            unlink(temporary);
        } else {
            status = folder_sync(folder, e);
        }
    }
    if (digest) *digest = hash;
    free(folder);
    free(temporary);
    return status;
}
