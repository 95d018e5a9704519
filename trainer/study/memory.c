// SPDX-License-Identifier: MIT
#include "study/memory.h"

#include "data/draw.h"
#include "data/rows.h"
#include "data/source.h"
#include "formats/json_file.h"
#include "train/metrics.h"

#include <stdlib.h>
#include <string.h>

// ---- keys -----------------------------------------------------------------------------------------------------------

static uint64_t add_text(uint64_t hash, const char *text)
{
    return fnv1a(hash, text, strlen(text) + 1);
}

static uint64_t fact_hash(const struct memory *m, const struct memory_fact *f)
{
    return add_text(add_text(add_text(FNV_START, m->relations[f->relation].name), f->subject), f->object);
}

struct keyed {
    uint64_t key;
    size_t index;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

// All facts in the order of their hashes, or a seeded one; those of equal keys in the order of the file. The caller
// frees.
static struct keyed *keyed_facts(const struct memory *m, const uint64_t *seed)
{
    struct keyed *all = mem_alloc((m->fact_count + 1) * sizeof *all);
    for (size_t i = 0; i < m->fact_count; i++) {
        uint64_t hash = fact_hash(m, &m->facts[i]);
        all[i] = (struct keyed){seed ? draw_start("memory order", "", *seed, hash, 0).key : hash, i};
    }
    qsort(all, m->fact_count, sizeof *all, compare_keyed);
    return all;
}

static bool same_fact(const struct memory_fact *a, const struct memory_fact *b)
{
    return a->relation == b->relation && strcmp(a->subject, b->subject) == 0 && strcmp(a->object, b->object) == 0;
}

// ---- reading -------------------------------------------------------------------------------------------------------

// The key's text, which must be there and hold more than white space; NULL with the reason, or without one when the key
// is missing and may be.
static const char *text_of(const cJSON *object, const char *key, bool needed, struct error *e)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item && !needed) return NULL;
    const char *text = cJSON_GetStringValue(item);
    if (!item)
        error_set(e, "it has no \"%s\" (a text)", key);
    else if (!text)
        error_set(e, "its \"%s\" is no text", key);
    else if (!text[strspn(text, " \t\r\n")])
        error_set(e, "its \"%s\" is empty", key);
    else
        return text;
    return NULL;
}

static int check_sentence(const char *text, const char *what, struct error *e)
{
    size_t n = strlen(text);
    if (!strstr(text, MEMORY_SUBJECT)) return error_set(e, "%s \"%s\" has no %s", what, text, MEMORY_SUBJECT);
    if (strchr(" \t\r\n", text[n - 1]))
        return error_set(
            e, "%s \"%s\" ends in white space, which models expect at the beginning of the next word", what, text);
    return 0;
}

// A relation from its name and its list of templates, or the object that holds them.
static int add_relation(struct memory *m, const char *name, const cJSON *value, struct error *e)
{
    const cJSON *list = cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "templates") : value;
    struct error why = {0};
    const char *question = cJSON_IsObject(value) ? text_of(value, "question", false, &why) : NULL;
    if (why.text[0]) return error_set(e, "relation %s: %s", name, why.text);
    if (!cJSON_IsArray(list) || !list->child)
        return error_set(e, "relation %s: it has no \"templates\" (a list of texts)", name);
    for (size_t i = 0; i < m->relation_count; i++)
        if (strcmp(m->relations[i].name, name) == 0) return error_set(e, "relation %s: it is there twice", name);
    m->relations = mem_resize(m->relations, (m->relation_count + 1) * sizeof *m->relations);
    struct memory_relation *r = &m->relations[m->relation_count++];
    *r = (struct memory_relation){.name = mem_string(name), .question = question ? mem_string(question) : NULL};
    r->templates = mem_zero((size_t)cJSON_GetArraySize(list), sizeof *r->templates);
    if (question && check_sentence(question, "its question", &why))
        return error_set(e, "relation %s: %s", name, why.text);
    for (const cJSON *item = list->child; item; item = item->next) {
        const char *text = cJSON_GetStringValue(item);
        if (!text || !*text) return error_set(e, "relation %s: template %zu is no text", name, r->template_count + 1);
        if (check_sentence(text, "its template", &why)) return error_set(e, "relation %s: %s", name, why.text);
        for (size_t i = 0; i < r->template_count; i++)
            if (strcmp(r->templates[i], text) == 0)
                return error_set(e, "relation %s: templates %zu and %zu are the same, \"%s\"", name, i + 1,
                    r->template_count + 1, text);
        r->templates[r->template_count++] = mem_string(text);
    }
    return 0;
}

// Calls `row` for each row of a file with the row and its place. Stops where it returns -1.
static int each_row(const char *path,
    int (*row)(void *context, const cJSON *object, const char *place, struct error *e), void *context, struct error *e)
{
    struct row_reader reader;
    const char *text;
    size_t bytes;
    int more, status = 0;
    if (row_reader_open(&reader, path, e)) return -1;
    while (status == 0 && (more = row_reader_next(&reader, &text, &bytes, e)) != 0) {
        if (more < 0) {
            status = -1;
            continue;
        }
        char *place = row_place(path, reader.array, reader.number);
        struct error why = {0};
        cJSON *object = json_read_row(place, text, bytes, &why);
        if (object && !cJSON_IsObject(object)) error_set(&why, "%s: it is no JSON object", place);
        if (why.text[0]) {
            cJSON_Delete(object);
            object = NULL;
            status = row(context, NULL, why.text, e);
        } else {
            status = row(context, object, place, e);
        }
        cJSON_Delete(object);
        free(place);
    }
    row_reader_close(&reader);
    return status;
}

static int template_row(void *context, const cJSON *object, const char *place, struct error *e)
{
    struct error why = {0};
    const char *name = object ? text_of(object, "relation", true, &why) : NULL;
    if (!object) return error_set(e, "%s", place);
    if (!name) return error_set(e, "%s: %s", place, why.text);
    if (add_relation(context, name, object, &why)) return error_set(e, "%s: %s", place, why.text);
    return 0;
}

int memory_read_templates(struct memory *m, const char *path, struct error *e)
{
    struct file_map f;
    if (file_map(&f, path, e)) return -1;
    size_t at = f.bytes >= 3 && memcmp(f.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, n = strlen(path);
    while (at < f.bytes && strchr(" \t\r\n", f.data[at])) at++;
    bool object = at < f.bytes && f.data[at] == '{' && !(n > 6 && strcmp(path + n - 6, ".jsonl") == 0);
    file_unmap(&f);
    int status = 0;
    if (object) {
        cJSON *json = json_read_file(path, e);
        struct error why = {0};
        status = json ? 0 : -1;
        for (const cJSON *item = json ? json->child : NULL; item && status == 0; item = item->next) {
            if (strcmp(item->string, "why") == 0 && cJSON_IsString(item)) continue;
            if (add_relation(m, item->string, item, &why)) status = error_set(e, "%s: %s", path, why.text);
        }
        cJSON_Delete(json);
    } else {
        status = each_row(path, template_row, m, e);
    }
    if (status == 0 && !m->relation_count) status = error_set(e, "%s: there is no relation in it", path);
    return status;
}

struct reading {
    struct memory *memory;
    bool strict;
};

static void fact_free(struct memory_fact *f)
{
    for (size_t i = 0; i < f->synonym_count; i++) free(f->synonyms[i]);
    free(f->synonyms);
    free(f->subject);
    free(f->object);
    free(f->question);
}

static int find_relation(const struct memory *m, size_t *index, const char *name, struct error *e)
{
    for (size_t i = 0; i < m->relation_count; i++)
        if (strcmp(m->relations[i].name, name) == 0) {
            *index = i;
            return 0;
        }
    const char **names = mem_zero(m->relation_count + 1, sizeof *names);
    for (size_t i = 0; i < m->relation_count; i++) names[i] = m->relations[i].name;
    const char *near = nearest_name(name, names);
    error_set(
        e, "there are no templates for its relation %s%s%s", name, near ? "; did you mean " : "", near ? near : "");
    free(names);
    return -1;
}

static int add_synonyms(struct memory_fact *f, const cJSON *list, struct error *e)
{
    if (!list || cJSON_IsNull(list)) return 0;
    if (!cJSON_IsArray(list)) return error_set(e, "its \"synonyms\" are no list of texts");
    for (const cJSON *item = list->child; item; item = item->next) {
        const char *text = cJSON_GetStringValue(item);
        if (!text || !text[strspn(text, " \t\r\n")])
            return error_set(e, "synonym %zu is no text, or empty", f->synonym_count + 1);
        f->synonyms = mem_resize(f->synonyms, (f->synonym_count + 1) * sizeof *f->synonyms);
        f->synonyms[f->synonym_count++] = mem_string(text);
    }
    return 0;
}

// What fact_free takes is there on failure too.
static int parse_fact(const struct memory *m, struct memory_fact *f, bool *marked, const cJSON *object, struct error *e)
{
    const char *subject = text_of(object, "subject", true, e),
               *name = subject ? text_of(object, "relation", true, e) : NULL;
    const char *answer = name ? text_of(object, "object", true, e) : NULL;
    if (!answer || find_relation(m, &f->relation, name, e)) return -1;
    struct error why = {0};
    const char *question = text_of(object, "question", false, &why), *split = text_of(object, "split", false, &why);
    if (why.text[0]) return error_set(e, "%s", why.text);
    f->test = split && strcmp(split, "test") == 0;
    if (split && !f->test && strcmp(split, "train") != 0)
        return error_set(e, "its \"split\" is %s; it is one of train, test", split);
    *marked = split != NULL;
    f->subject = mem_string(subject);
    f->object = mem_string(answer);
    f->question = question ? mem_string(question) : NULL;
    return add_synonyms(f, cJSON_GetObjectItemCaseSensitive(object, "synonyms"), e);
}

static int fact_row(void *context, const cJSON *object, const char *place, struct error *e)
{
    struct reading *r = context;
    struct memory *m = r->memory;
    struct memory_fact f = {0};
    struct error why = {0};
    bool marked = false;
    int status = object ? parse_fact(m, &f, &marked, object, &why) : error_set(&why, "%s", place);
    if (status && object) error_prefix(&why, "%s: ", place);
    if (status == 0) {
        GROW(m->facts, m->fact_count, m->fact_capacity);
        m->facts[m->fact_count++] = f;
        m->test_marked = m->test_marked || marked;
        return 0;
    }
    fact_free(&f);
    if (r->strict) return error_set(e, "%s", why.text);
    if (m->skipped++ < SOURCE_PROBLEMS) say("skipped: %s", why.text);
    return 0;
}

// A fact that is there twice would count twice.
static int drop_doubles(struct memory *m, bool strict, struct error *e)
{
    struct keyed *all = keyed_facts(m, NULL);
    bool *again = mem_zero(m->fact_count + 1, sizeof *again);
    int status = 0;
    for (size_t i = 0; i < m->fact_count && status == 0; i++) {
        const struct memory_fact *f = &m->facts[all[i].index];
        bool twice = false; // those of one hash lie together, in the order of the file
        for (size_t k = i; k-- > 0 && all[k].key == all[i].key && !twice;)
            twice = same_fact(f, &m->facts[all[k].index]);
        if (!twice) continue;
        again[all[i].index] = true;
        struct error why;
        error_set(&why, "the fact (%s, %s, %s) is there twice", f->subject, m->relations[f->relation].name, f->object);
        if (strict)
            status = error_set(e, "%s", why.text);
        else if (m->skipped++ < SOURCE_PROBLEMS)
            say("skipped: %s", why.text);
    }
    size_t kept = 0;
    for (size_t i = 0; i < m->fact_count; i++) {
        if (again[i])
            fact_free(&m->facts[i]);
        else
            m->facts[kept++] = m->facts[i];
    }
    m->fact_count = kept;
    free(all);
    free(again);
    return status;
}

int memory_read_facts(struct memory *m, const char *path, bool strict, struct error *e)
{
    struct reading r = {m, strict};
    if (each_row(path, fact_row, &r, e) || drop_doubles(m, strict, e)) return -1;
    skipped_report("", m->skipped, m->fact_count + m->skipped, "fact");
    if (m->fact_count) return 0;
    return error_set(e, "%s: there is no usable fact in it", path);
}

void memory_free(struct memory *m)
{
    for (size_t i = 0; i < m->relation_count; i++) {
        struct memory_relation *r = &m->relations[i];
        for (size_t k = 0; k < r->template_count; k++) free(r->templates[k]);
        free(r->templates);
        free(r->name);
        free(r->question);
    }
    for (size_t i = 0; i < m->fact_count; i++) fact_free(&m->facts[i]);
    free(m->relations);
    free(m->facts);
    *m = (struct memory){0};
}

// ---- orders -----------------------------------------------------------------------------------------------

uint64_t memory_sample_key(const char *prompt, uint32_t sample)
{
    return draw_start("memory sample", prompt, 0, sample, 0).key;
}

uint64_t memory_fact_key(const struct memory *m, const struct memory_fact *f)
{
    const struct memory_relation *r = &m->relations[f->relation];
    uint64_t hash = fact_hash(m, f);
    for (size_t i = 0; i < f->synonym_count; i++) hash = add_text(hash, f->synonyms[i]);
    hash = add_text(hash, "");
    for (size_t i = 0; i < r->template_count; i++) hash = add_text(hash, r->templates[i]);
    return hash;
}

size_t *memory_order(const struct memory *m, uint64_t seed)
{
    struct keyed *all = keyed_facts(m, &seed);
    size_t *order = mem_alloc((m->fact_count + 1) * sizeof *order);
    for (size_t i = 0; i < m->fact_count; i++) order[i] = all[i].index;
    free(all);
    return order;
}

static uint64_t subject_hash(const struct memory *m, const struct memory_fact *f)
{
    return add_text(add_text(FNV_START, m->relations[f->relation].name), f->subject);
}

// Each fact's subject as a number within its relation: subjects are numbered by the first of their facts in the order.
// *counts (relations): how many there are.
static uint32_t *subject_numbers(const struct memory *m, const size_t *order, uint32_t *counts)
{
    struct keyed *places = mem_alloc((m->fact_count + 1) * sizeof *places);
    uint32_t *numbers = mem_alloc((m->fact_count + 1) * sizeof *numbers);
    size_t *first = mem_alloc((m->fact_count + 1) * sizeof *first); // of a place's subject: its first place in the order
    for (size_t i = 0; i < m->fact_count; i++) places[i] = (struct keyed){subject_hash(m, &m->facts[order[i]]), i};
    qsort(places, m->fact_count, sizeof *places, compare_keyed);
    for (size_t i = 0; i < m->fact_count; i++) {
        bool again = i && places[i].key == places[i - 1].key;
        first[places[i].index] = again ? first[places[i - 1].index] : places[i].index;
    }
    for (size_t i = 0; i < m->fact_count; i++)
        numbers[order[i]] = first[i] == i ? counts[m->facts[order[i]].relation]++ : numbers[order[first[i]]];
    free(first);
    free(places);
    return numbers;
}

void memory_split(struct memory *m, double share, uint64_t seed)
{
    if (m->test_marked) return;
    uint32_t *counts = mem_zero(m->relation_count, sizeof *counts);
    size_t *order = memory_order(m, seed);
    uint32_t *numbers = subject_numbers(m, order, counts);
    for (size_t i = 0; i < m->fact_count; i++) {
        struct memory_fact *f = &m->facts[i];
        f->test = numbers[i] < draw_fraction(counts[f->relation], share);
    }
    free(numbers);
    free(order);
    free(counts);
}

// ---- levels --------------------------------------------------------------------------------------------------------

int memory_level(uint32_t hits, uint32_t samples)
{
    return hits ? 1 + (int)((4 * (uint64_t)hits - 1) / samples) : 0;
}

bool memory_matches(const struct memory_fact *f, const char *text, size_t bytes)
{
    bool found = metric_contains(text, bytes, f->object);
    for (size_t i = 0; i < f->synonym_count && !found; i++) found = metric_contains(text, bytes, f->synonyms[i]);
    return found;
}

static char *fill_in(const char *sentence, const char *subject)
{
    struct text t = {0};
    const char *at;
    while ((at = strstr(sentence, MEMORY_SUBJECT))) {
        text_add(&t, sentence, (size_t)(at - sentence));
        text_add(&t, subject, strlen(subject));
        sentence = at + strlen(MEMORY_SUBJECT);
    }
    text_add(&t, sentence, strlen(sentence));
    return t.data;
}

char *memory_prompt(const struct memory *m, const struct memory_fact *f, size_t template)
{
    return fill_in(m->relations[f->relation].templates[template], f->subject);
}

char *memory_question(const struct memory *m, const struct memory_fact *f)
{
    const struct memory_relation *r = &m->relations[f->relation];
    return fill_in(f->question ? f->question : r->question ? r->question : r->templates[0], f->subject);
}
