// SPDX-License-Identifier: MIT
#include "study/subsets.h"

#include "formats/json_file.h"

#include <stdlib.h>
#include <string.h>

static int level_of(const struct memory_fact *f)
{
    return memory_level(f->hits, f->samples);
}

void memory_counts_make(struct memory_counts *c, const struct memory *m)
{
    c->training = mem_zero(m->relation_count, sizeof *c->training);
    c->test = mem_zero(m->relation_count, sizeof *c->test);
    for (size_t i = 0; i < m->fact_count; i++) {
        const struct memory_fact *f = &m->facts[i];
        (f->test ? c->test : c->training)[f->relation][level_of(f)]++;
    }
}

void memory_counts_free(struct memory_counts *c)
{
    free(c->training);
    free(c->test);
}

// Rows of the relation that takes its turn at `rank`.
static size_t share_of(size_t size, size_t relations, size_t rank)
{
    return size / relations + (rank < size % relations);
}

int memory_subset(size_t *out, size_t size, const struct memory *m, const size_t *order, int level, const bool *trains,
    struct error *e)
{
    size_t relations = 0, rank = 0;
    struct text lacks = {0};
    struct memory_counts counts;
    memory_counts_make(&counts, m);
    for (size_t r = 0; r < m->relation_count; r++) relations += trains[r];
    for (size_t r = 0; r < m->relation_count; r++) {
        if (!trains[r]) continue;
        size_t needed = share_of(size, relations, rank++), there = counts.training[r][level];
        if (there < needed) text_print(&lacks, "%s%s has %zu of %zu", lacks.bytes ? ", " : "", m->relations[r].name, there, needed);
    }
    rank = 0;
    for (size_t r = 0; r < m->relation_count && !lacks.bytes; r++) {
        if (!trains[r]) continue;
        size_t needed = share_of(size, relations, rank), turn = 0;
        for (size_t i = 0; i < m->fact_count && turn < needed; i++) {
            const struct memory_fact *f = &m->facts[order[i]];
            if (!f->test && f->relation == r && level_of(f) == level) out[turn++ * relations + rank] = order[i];
        }
        rank++;
    }
    int status = 0;
    if (lacks.bytes) status = error_set(e, "level %d has too few facts for %zu row%s: %s", level, size, plural(size), lacks.data);
    text_free(&lacks);
    memory_counts_free(&counts);
    return status;
}

static void add_line(struct text *t, cJSON *object)
{
    char *line = json_print(object, false);
    text_print(t, "%s\n", line);
    free(line);
    cJSON_Delete(object);
}

static int write_text(struct text *t, const char *path, struct error *e)
{
    int status = file_write_atomic(path, t->data ? t->data : "", t->bytes, e);
    text_free(t);
    return status;
}

static void add_fact(cJSON *o, const struct memory *m, const struct memory_fact *f)
{
    cJSON_AddStringToObject(o, "subject", f->subject);
    cJSON_AddStringToObject(o, "relation", m->relations[f->relation].name);
}

int memory_write_rows(const struct memory *m, const size_t *facts, size_t count, const char *path, struct error *e)
{
    struct text t = {0};
    for (size_t i = 0; i < count; i++) {
        const struct memory_fact *f = &m->facts[facts[i]];
        char *question = memory_question(m, f);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "prompt", question);
        cJSON_AddStringToObject(o, "completion", f->object);
        if (f->synonym_count) {
            cJSON *all = cJSON_AddArrayToObject(o, "answer");
            cJSON_AddItemToArray(all, cJSON_CreateString(f->object));
            for (size_t k = 0; k < f->synonym_count; k++) cJSON_AddItemToArray(all, cJSON_CreateString(f->synonyms[k]));
        } else {
            cJSON_AddStringToObject(o, "answer", f->object);
        }
        add_fact(o, m, f);
        cJSON_AddNumberToObject(o, "level", level_of(f));
        add_line(&t, o);
        free(question);
    }
    return write_text(&t, path, e);
}

int memory_write_levels(const struct memory *m, const char *path, struct error *e)
{
    struct text t = {0};
    for (size_t i = 0; i < m->fact_count; i++) {
        const struct memory_fact *f = &m->facts[i];
        cJSON *o = cJSON_CreateObject();
        add_fact(o, m, f);
        cJSON_AddStringToObject(o, "object", f->object);
        cJSON_AddStringToObject(o, "split", f->test ? "test" : "train");
        cJSON_AddNumberToObject(o, "hits", f->hits);
        cJSON_AddNumberToObject(o, "samples", f->samples);
        cJSON_AddNumberToObject(o, "share", (double)f->hits / f->samples);
        cJSON_AddNumberToObject(o, "level", level_of(f));
        add_line(&t, o);
    }
    return write_text(&t, path, e);
}

static void add_levels(cJSON *o, const char *key, const uint32_t *counts)
{
    cJSON *list = cJSON_AddArrayToObject(o, key);
    for (int l = 0; l < MEMORY_LEVELS; l++) cJSON_AddItemToArray(list, cJSON_CreateNumber(counts[l]));
}

cJSON *memory_summary(const struct memory *m)
{
    struct memory_counts counts;
    uint32_t all[MEMORY_LEVELS] = {0};
    memory_counts_make(&counts, m);
    cJSON *o = cJSON_CreateObject(), *relations = cJSON_CreateObject();
    for (size_t r = 0; r < m->relation_count; r++) {
        uint32_t facts = 0;
        for (int l = 0; l < MEMORY_LEVELS; l++) {
            uint32_t n = counts.training[r][l] + counts.test[r][l];
            all[l] += n;
            facts += n;
        }
        if (!facts) continue;
        cJSON *one = cJSON_AddObjectToObject(relations, m->relations[r].name);
        cJSON_AddNumberToObject(one, "facts", facts);
        add_levels(one, "training", counts.training[r]);
        add_levels(one, "test", counts.test[r]);
    }
    cJSON_AddNumberToObject(o, "facts", (double)m->fact_count);
    cJSON_AddNumberToObject(o, "skipped", (double)m->skipped);
    add_levels(o, "levels", all);
    cJSON_AddItemToObject(o, "relations", relations);
    memory_counts_free(&counts);
    return o;
}
