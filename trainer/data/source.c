// SPDX-License-Identifier: MIT
//
// Rows are taken in batches: one thread parses a batch (cJSON is for one thread at a time), several make its
// conversations, one adds them in order.
#include "data/source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 4096
#define BITE 16 // rows that a thread takes at a time

struct item {
    struct row row;
    struct conversation conversation;
    uint32_t number;
    char *problem; // why it is skipped, or NULL
};

struct loader {
    struct source *source;
    const struct source_options *options;
    struct item *items; // (BATCH)
    size_t count;
    atomic_size_t next;
    uint32_t file;
    unsigned threads;
    struct conversation_maker makers[SOURCE_THREADS];
    struct arena batch; // the rows of the batch, unless they are kept
};

struct worker {
    struct loader *loader;
    unsigned index;
};

static void make_item(struct loader *l, unsigned thread, struct item *item)
{
    struct error e = {0};
    bool prompt_only = l->options->keep_rows && row_trainable(&item->row, NULL) != 0;
    if (prompt_only) {
        item->conversation = (struct conversation){0};
        if (item->row.kind != ROW_MESSAGES || !item->row.count) item->problem = mem_string("it has no messages");
    } else if (row_trainable(&item->row, &e) != 0 || conversation_make(&item->conversation, &l->makers[thread],
                                                         &l->source->arenas[thread], &item->row, &e) != 0) {
        item->problem = mem_string(e.text);
    }
    item->conversation.row = item->number;
    item->conversation.file = l->file;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct loader *l = w->loader;
    for (;;) {
        size_t first = atomic_fetch_add(&l->next, BITE);
        if (first >= l->count) return NULL;
        for (size_t i = first; i < first + BITE && i < l->count; i++)
            if (!l->items[i].problem) make_item(l, w->index, &l->items[i]);
    }
}

static void make_batch(struct loader *l)
{
    pthread_t threads[SOURCE_THREADS];
    struct worker workers[SOURCE_THREADS];
    unsigned started = 0;
    atomic_store(&l->next, 0);
    for (unsigned i = 0; i < l->threads; i++) workers[i] = (struct worker){l, i};
    while (started + 1 < l->threads && started * BITE < l->count &&
           pthread_create(&threads[started], NULL, work, &workers[started + 1]) == 0)
        started++;
    work(&workers[0]);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

static void add_row(struct source *s, const struct item *item, bool keep)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->rows = mem_resize(s->rows, s->capacity * sizeof *s->rows);
        if (keep) s->raw = mem_resize(s->raw, s->capacity * sizeof *s->raw);
    }
    const struct conversation *c = &item->conversation;
    s->rows[s->count] = *c;
    if (keep) s->raw[s->count] = item->row;
    s->count++;
    s->truncated += c->cut > 0;
    s->tokens += c->tokens;
    s->trained_tokens += c->trained;
    s->cut_tokens += c->cut;
    if (c->tokens > s->longest) s->longest = c->tokens;
}

static bool is_full(const struct loader *l)
{
    return l->options->max_rows && l->source->count >= l->options->max_rows;
}

// Adds the batch's rows, or their problems, in order.
static int add_batch(struct loader *l, struct error *e)
{
    struct source *s = l->source;
    int failed = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct item *item = &l->items[i];
        if (!failed && !is_full(l)) {
            s->read++;
            if (item->problem) {
                char *place = row_place(s->files[l->file], s->arrays[l->file], item->number);
                if (l->options->strict) failed = error_set(e, "%s: %s", place, item->problem);
                if (s->problem_count < SOURCE_PROBLEMS)
                    s->problems[s->problem_count++] = mem_format("%s: %s", place, item->problem);
                s->skipped++;
                free(place);
            } else {
                add_row(s, item, l->options->keep_rows);
            }
        }
        free(item->problem);
    }
    l->count = 0;
    return failed;
}

static int finish_batch(struct loader *l, struct error *e)
{
    make_batch(l);
    int failed = add_batch(l, e);
    arena_reset(&l->batch);
    return failed;
}

static int load_file(struct loader *l, struct error *e)
{
    struct source *s = l->source;
    struct arena *rows = l->options->keep_rows ? &s->arenas[SOURCE_THREADS] : &l->batch;
    struct row_reader reader;
    struct error broken;
    const char *text;
    size_t bytes;
    int more = 0, failed = 0;
    if (row_reader_open(&reader, s->files[l->file], e) != 0) return -1;
    s->arrays[l->file] = reader.array;
    while (!failed && !is_full(l) && (more = row_reader_next(&reader, &text, &bytes, &broken)) == 1) {
        struct item *item = &l->items[l->count++];
        struct error why;
        *item = (struct item){.number = reader.number};
        if (row_parse(&item->row, rows, text, bytes, &why) != 0) item->problem = mem_string(why.text);
        if (l->count == BATCH) failed = finish_batch(l, e);
    }
    if (!failed && l->count) failed = finish_batch(l, e); // also before an array that cannot be read on
    row_reader_close(&reader);
    if (!failed && more < 0) failed = error_set(e, "%s", broken.text);
    return failed;
}

static unsigned thread_count(unsigned wanted)
{
    long cores = wanted ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > SOURCE_THREADS ? SOURCE_THREADS : (unsigned)cores;
}

static int load_files(struct loader *l, struct error *e)
{
    struct source *s = l->source;
    for (l->file = 0; l->file < s->file_count && !is_full(l); l->file++)
        if (load_file(l, e) != 0) return -1;
    if (s->count) return 0;
    if (s->read == 1) return error_set(e, "its only row cannot be used: %s", s->problems[0]);
    return error_set(e, "none of its %zu rows can be used; the first: %s", s->read, s->problems[0]);
}

int source_load(
    struct source *out, const struct source_options *options, const struct tokenizer *tokenizer, struct error *e)
{
    *out = (struct source){.name = mem_string(options->name), .file_count = options->path_count};
    out->ability = options->ability ? mem_string(options->ability) : NULL;
    out->files = mem_zero(options->path_count, sizeof *out->files);
    out->arrays = mem_zero(options->path_count, sizeof *out->arrays);
    for (size_t i = 0; i < options->path_count; i++) out->files[i] = mem_string(options->paths[i]);

    struct loader *l = mem_zero(1, sizeof *l);
    l->source = out;
    l->options = options;
    l->threads = thread_count(options->threads);
    l->items = mem_alloc(BATCH * sizeof *l->items);
    for (unsigned i = 0; i < l->threads; i++)
        l->makers[i] = (struct conversation_maker){.template = options->template,
            .tokenizer = tokenizer,
            .max_length = options->max_length,
            .as_is = options->as_is};
    int failed = load_files(l, e);
    for (unsigned i = 0; i < l->threads; i++) conversation_maker_free(&l->makers[i]);
    arena_free(&l->batch);
    free(l->items);
    free(l);
    if (!failed) return 0;
    error_prefix(e, "source %s: ", options->name);
    source_free(out);
    return -1;
}

void source_free(struct source *s)
{
    for (size_t i = 0; i < s->file_count; i++) free(s->files[i]);
    for (size_t i = 0; i < s->problem_count; i++) free(s->problems[i]);
    for (size_t i = 0; i <= SOURCE_THREADS; i++) arena_free(&s->arenas[i]);
    free(s->name);
    free(s->ability);
    free(s->files);
    free(s->arrays);
    free(s->rows);
    free(s->raw);
    *s = (struct source){0};
}

char *source_place(const struct source *s, size_t i)
{
    uint32_t file = s->rows[i].file;
    return row_place(s->files[file], s->arrays[file], s->rows[i].row);
}

void skipped_report(const char *where, size_t skipped, size_t all, const char *row)
{
    if (skipped > SOURCE_PROBLEMS) say("skipped: %zu more", skipped - SOURCE_PROBLEMS);
    if (skipped) say("%s%zu of %zu %s%s skipped", where, skipped, all, row, plural(all));
}

void source_report(const struct source *s)
{
    char *where = mem_format("source %s: ", s->name);
    for (size_t i = 0; i < s->problem_count; i++) say("skipped: %s", s->problems[i]);
    skipped_report(where, s->skipped, s->read, "row");
    if (s->truncated)
        say("%s%zu of %zu row%s shortened to max_length, %llu token%s cut", where, s->truncated, s->count, plural(s->count),
            (unsigned long long)s->cut_tokens, plural(s->cut_tokens));
    free(where);
}
