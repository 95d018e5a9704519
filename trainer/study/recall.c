// SPDX-License-Identifier: MIT
#include "study/recall.h"

#include "data/arena.h"
#include "formats/json_file.h"
#include "train/interrupt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// ---- the file ------------------------------------------------------------------------------------------------------

static int write_line(struct recall_file *f, const char *line, struct error *e)
{
    if (fprintf(f->file, "%s\n", line) > 0 && fflush(f->file) == 0) return 0;
    return error_set(e, "%s: cannot be written (%s)", f->path, strerror(errno));
}

static int fact_line(struct recall_file *f, const struct memory *m, const struct memory_fact *fact, struct error *e)
{
    char key[17];
    cJSON *o = cJSON_CreateObject();
    snprintf(key, sizeof key, "%016" PRIx64, memory_fact_key(m, fact));
    cJSON_AddStringToObject(o, "key", key);
    cJSON_AddStringToObject(o, "subject", fact->subject);
    cJSON_AddStringToObject(o, "relation", m->relations[fact->relation].name);
    cJSON_AddNumberToObject(o, "hits", fact->hits);
    cJSON_AddNumberToObject(o, "samples", fact->samples);
    char *line = json_print(o, false);
    int status = write_line(f, line, e);
    free(line);
    cJSON_Delete(o);
    return status;
}

struct known {
    uint64_t key;
    uint32_t hits, samples;
};

static int compare_known(const void *a, const void *b)
{
    const struct known *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int parse_line(struct known *k, const char *place, const char *line, size_t bytes, struct error *e)
{
    cJSON *o = json_read_row(place, line, bytes, e);
    if (!o) return -1;
    const char *key = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "key"));
    const cJSON *hits = cJSON_GetObjectItemCaseSensitive(o, "hits"),
                *samples = cJSON_GetObjectItemCaseSensitive(o, "samples");
    char *end = NULL;
    k->key = key ? strtoull(key, &end, 16) : 0;
    bool fine = key && end == key + 16 && !*end && cJSON_IsNumber(hits) && cJSON_IsNumber(samples) &&
                hits->valuedouble >= 0 && samples->valuedouble >= 1 && samples->valuedouble <= UINT32_MAX &&
                hits->valuedouble <= samples->valuedouble;
    if (fine) {
        k->hits = (uint32_t)hits->valuedouble;
        k->samples = (uint32_t)samples->valuedouble;
    }
    cJSON_Delete(o);
    return fine ? 0 : error_set(e, "%s: it is no fact's line of this program", place);
}

// Reads the lines after the first. *whole: bytes up to the last line's end.
static int read_lines(
    const struct file_map *map, const char *path, struct known **out, size_t *count, size_t *whole, struct error *e)
{
    const char *data = (const char *)map->data;
    size_t at = (size_t)((const char *)memchr(data, '\n', map->bytes) - data) + 1, capacity = 0, line = 1;
    const char *end;
    while (at < map->bytes && (end = memchr(data + at, '\n', map->bytes - at))) {
        char place[512];
        snprintf(place, sizeof place, "%.480s:%zu", path, ++line);
        GROW(*out, *count, capacity);
        if (parse_line(&(*out)[*count], place, data + at, (size_t)(end - data) - at, e)) return -1;
        ++*count;
        at = (size_t)(end - data) + 1;
    }
    *whole = at;
    return 0;
}

static int take_known(struct recall_file *f, const char *settings, struct memory *m, size_t *found, struct error *e)
{
    struct file_map map;
    struct known *all = NULL;
    size_t count = 0, whole = 0, n = strlen(settings);
    if (file_map(&map, f->path, e)) return -1;
    const char *data = (const char *)map.data, *end = map.bytes ? memchr(data, '\n', map.bytes) : NULL;
    size_t head = end ? (size_t)(end - data) : map.bytes; // bytes of the first line
    bool first = end != NULL, same = first ? head == n : head <= n; // torn: what is there of it
    same = same && (!head || memcmp(data, settings, head) == 0);
    int status = 0;
    if (!same)
        status = error_set(e,
            "%s: it was made with other settings (%.*s, now %s); take another --output, or remove it to begin again",
            f->path, head < 300 ? (int)head : 300, data, settings);
    else if (first)
        status = read_lines(&map, f->path, &all, &count, &whole, e);
    size_t bytes = map.bytes;
    file_unmap(&map);
    if (status == 0 && whole < bytes && ftruncate(fileno(f->file), (off_t)whole))
        status = error_set(e, "%s: cannot be cut to its last whole line (%s)", f->path, strerror(errno));
    if (status == 0 && !first) status = write_line(f, settings, e);
    if (count) qsort(all, count, sizeof *all, compare_known);
    for (size_t i = 0; i < m->fact_count && count; i++) {
        struct known key = {.key = memory_fact_key(m, &m->facts[i])};
        const struct known *k = bsearch(&key, all, count, sizeof *all, compare_known);
        if (!k) continue;
        m->facts[i].hits = k->hits;
        m->facts[i].samples = k->samples;
        ++*found;
    }
    free(all);
    return status;
}

int recall_file_open(
    struct recall_file *f, const char *path, const char *settings, struct memory *m, size_t *known, struct error *e)
{
    *f = (struct recall_file){.path = mem_string(path), .file = fopen(path, "ae")};
    *known = 0;
    int status = 0;
    if (!f->file)
        status = error_set(e, "%s: cannot be written (%s)", path, strerror(errno));
    else if (flock(fileno(f->file), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        status = error_set(e, "%s: another process is writing it", path);
    if (status == 0) status = take_known(f, settings, m, known, e);
    if (status) recall_file_close(f);
    return status;
}

void recall_file_close(struct recall_file *f)
{
    if (f->file) fclose(f->file);
    free(f->path);
    *f = (struct recall_file){0};
}

// ---- asking --------------------------------------------------------------------------------------------------------

// The sentence's tokens, as `pumice generate --raw` would have them but that nothing in it is a special token.
static int encode(struct tokens *out, const struct bundle *b, const char *prompt, struct error *e)
{
    out->count = 0;
    if (tokenizer_encode(b->tokenizer, out, &(struct text_run){prompt, strlen(prompt), false}, 1, e)) return -1;
    return 0;
}

static int32_t beginning(const struct bundle *b)
{
    return tokenizer_adds_bos(b->tokenizer) ? tokenizer_bos(b->tokenizer) : -1;
}

int recall_measure(
    struct recall_size *size, const struct memory *m, const struct bundle *b, uint32_t samples, struct error *e)
{
    struct tokens tokens = {0};
    int status = 0;
    *size = (struct recall_size){0};
    for (size_t i = 0; i < m->fact_count && status == 0; i++) {
        const struct memory_fact *f = &m->facts[i];
        size_t count = m->relations[f->relation].template_count;
        if (f->samples) continue;
        if (count * samples > size->together) size->together = (uint32_t)(count * samples);
        for (size_t t = 0; t < count && status == 0; t++) {
            char *prompt = memory_prompt(m, f, t);
            status = encode(&tokens, b, prompt, e);
            uint32_t n = (uint32_t)tokens.count + (beginning(b) >= 0);
            if (n > size->longest) size->longest = n;
            free(prompt);
        }
    }
    tokens_free(&tokens);
    return status;
}

// Facts that are asked for in one run of the generator: enough of them that its end, where slots fall empty, is short.
#define ROUND_FACTS 128

struct asking {
    struct memory *memory;
    const struct bundle *bundle;
    const struct recall_settings *settings;
    struct recall_file *file;
    size_t facts[ROUND_FACTS], fact_count;
    uint32_t left[ROUND_FACTS], hits[ROUND_FACTS]; // samples to come, and found
    struct generate_request *requests;             // (count)
    struct generated *answers;                     // (count)
    uint64_t *keys;                                // (count)
    uint32_t *fact_of;                             // (count) index into facts
    uint32_t count, capacity;
    struct arena arena;
    uint64_t done, all, tokens; // samples; tokens of the rounds before
    int status;
    struct error *error;
};

static void sample_ended(void *context, uint32_t request, uint64_t tokens)
{
    struct asking *a = context;
    uint32_t which = a->fact_of[request];
    struct memory_fact *f = &a->memory->facts[a->facts[which]];
    struct text text = {0};
    generated_text(&text, &a->answers[request], a->bundle->tokenizer, a->settings->stops);
    a->hits[which] += text.bytes && memory_matches(f, text.data, text.bytes);
    text_free(&text);
    a->done++;
    if (--a->left[which] == 0) {
        f->hits = a->hits[which];
        f->samples = (uint32_t)a->memory->relations[f->relation].template_count * a->settings->samples;
        if (a->file && a->status == 0) a->status = fact_line(a->file, a->memory, f, a->error);
    }
    if (a->settings->progress) a->settings->progress(a->settings->context, a->done, a->all, a->tokens + tokens);
}

static int add_fact(struct asking *a, size_t fact, struct tokens *tokens, struct error *e)
{
    const struct memory_fact *f = &a->memory->facts[fact];
    size_t count = a->memory->relations[f->relation].template_count;
    int32_t begin = beginning(a->bundle);
    a->left[a->fact_count] = (uint32_t)count * a->settings->samples;
    a->hits[a->fact_count] = 0;
    a->facts[a->fact_count] = fact;
    for (size_t t = 0; t < count; t++) {
        char *prompt = memory_prompt(a->memory, f, t);
        if (encode(tokens, a->bundle, prompt, e)) return free(prompt), -1;
        uint32_t *ids = arena_alloc(&a->arena, 4 * (tokens->count + 1)), n = 0;
        if (begin >= 0 && !(tokens->count && tokens->ids[0] == (uint32_t)begin)) ids[n++] = (uint32_t)begin;
        memcpy(ids + n, tokens->ids, 4 * tokens->count);
        n += (uint32_t)tokens->count;
        for (uint32_t s = 0; s < a->settings->samples; s++) {
            if (a->count == a->capacity) {
                a->capacity = a->capacity ? 2 * a->capacity : 1024;
                a->requests = mem_resize(a->requests, a->capacity * sizeof *a->requests);
                a->answers = mem_resize(a->answers, a->capacity * sizeof *a->answers);
                a->keys = mem_resize(a->keys, a->capacity * sizeof *a->keys);
                a->fact_of = mem_resize(a->fact_of, a->capacity * sizeof *a->fact_of);
            }
            a->requests[a->count] = (struct generate_request){ids, n};
            a->keys[a->count] = memory_sample_key(prompt, s);
            a->fact_of[a->count++] = (uint32_t)a->fact_count;
        }
        free(prompt);
    }
    a->fact_count++;
    return 0;
}

static void add_work(struct generation_work *sum, const struct generation_work *w)
{
    sum->tokens += w->tokens;
    sum->read += w->read;
    sum->extended += w->extended;
    sum->submissions += w->submissions;
    sum->forks += w->forks;
}

int recall_run(struct memory *m, const struct bundle *b, struct generator *g, const struct recall_settings *settings,
    struct recall_file *file, struct generation_work *work, struct error *e)
{
    struct asking a = {.memory = m, .bundle = b, .settings = settings, .file = file, .error = e};
    struct tokens tokens = {0};
    *work = (struct generation_work){0};
    for (size_t i = 0; i < m->fact_count; i++)
        if (!m->facts[i].samples) a.all += m->relations[m->facts[i].relation].template_count * settings->samples;
    for (size_t next = 0; next < m->fact_count && a.status == 0 && !interrupt_asked();) {
        a.fact_count = a.count = 0;
        arena_reset(&a.arena);
        for (; next < m->fact_count && a.fact_count < ROUND_FACTS && a.status == 0; next++)
            if (!m->facts[next].samples) a.status = add_fact(&a, next, &tokens, e);
        if (a.status || !a.count) continue;
        const struct generate_settings s = {.max_new_tokens = settings->max_new_tokens,
            .temperature = settings->temperature,
            .top_p = 1,
            .seed = settings->seed,
            .keys = a.keys,
            .stops = settings->stops,
            .tokenizer = b->tokenizer,
            .ended = sample_ended,
            .context = &a,
            .stopped = interrupt_asked};
        generator_run(g, a.requests, a.count, &s, a.answers);
        generated_free(a.answers, a.count);
        struct generation_work w = generator_work(g);
        add_work(work, &w);
        a.tokens += w.tokens;
    }
    tokens_free(&tokens);
    arena_free(&a.arena);
    free(a.requests);
    free(a.answers);
    free(a.keys);
    free(a.fact_of);
    return a.status;
}
