// SPDX-License-Identifier: MIT
#include "data/jinja_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define ARENA_LIMIT ((size_t)1 << 28) // a template that makes more than this runs away

void machine_fail(struct machine *m, uint32_t line, const char *format, ...)
{
    if (m->failed) return;
    char why[512];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    m->failed = true;
    if (line)
        error_set(m->e, "line %u: %s", line, why);
    else
        error_set(m->e, "%s", why);
}

static void *take(struct machine *m, size_t bytes)
{
    if (m->arena->total > ARENA_LIMIT) machine_fail(m, 0, "it does not come to an end");
    return arena_alloc(m->arena, bytes);
}

struct value value_bool(bool truth)
{
    return (struct value){.kind = VALUE_BOOL, .truth = truth};
}

struct value value_integer(int64_t integer)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = integer};
}

struct value value_string(const struct string *s)
{
    return (struct value){.kind = VALUE_STRING, .string = s};
}

struct value value_list(struct machine *m, size_t count)
{
    struct list *list = take(m, sizeof *list);
    *list = (struct list){count, take(m, count * sizeof *list->items)};
    for (size_t i = 0; i < count; i++) list->items[i] = (struct value){.kind = VALUE_UNDEFINED};
    return (struct value){.kind = VALUE_LIST, .list = list};
}

const char *value_kind_name(struct value v)
{
    static const char *const names[] = {[VALUE_UNDEFINED] = "an undefined value",
        [VALUE_NONE] = "none",
        [VALUE_BOOL] = "a boolean",
        [VALUE_INTEGER] = "a number",
        [VALUE_FLOAT] = "a number",
        [VALUE_STRING] = "a string",
        [VALUE_LIST] = "a list",
        [VALUE_DICT] = "a dictionary",
        [VALUE_LOOP] = "a loop",
        [VALUE_MACRO] = "a macro"};
    return names[v.kind];
}

bool value_true(struct value v)
{
    switch (v.kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
        return v.truth;
    case VALUE_INTEGER:
        return v.integer != 0;
    case VALUE_FLOAT:
        return v.real != 0;
    case VALUE_STRING:
        return v.string->bytes != 0;
    case VALUE_LIST:
        return v.list->count != 0;
    case VALUE_DICT:
        return v.dict->count != 0;
    default:
        return true;
    }
}

bool value_is_number(struct value v)
{
    return v.kind == VALUE_BOOL || v.kind == VALUE_INTEGER || v.kind == VALUE_FLOAT;
}

double value_real(struct value v)
{
    return v.kind == VALUE_FLOAT ? v.real : v.kind == VALUE_INTEGER ? (double)v.integer : v.truth;
}

static int string_order(struct machine *m, const struct string *a, const struct string *b)
{
    const char *x = string_flat(m, a), *y = string_flat(m, b);
    size_t shorter = a->bytes < b->bytes ? a->bytes : b->bytes;
    int order = memcmp(x, y, shorter);
    return order ? (order > 0) - (order < 0) : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static bool lists_equal(struct machine *m, const struct list *a, const struct list *b)
{
    bool equal = ++m->depth <= DEPTH_LIMIT;
    if (!equal) machine_fail(m, 0, "its lists are nested too deeply");
    for (size_t i = 0; equal && i < a->count; i++) equal = value_equal(m, a->items[i], b->items[i]);
    m->depth--;
    return equal;
}

bool value_equal(struct machine *m, struct value a, struct value b)
{
    if (value_is_number(a) && value_is_number(b)) return value_real(a) == value_real(b);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case VALUE_STRING:
        return a.string->bytes == b.string->bytes && string_order(m, a.string, b.string) == 0;
    case VALUE_LIST:
        return a.list->count == b.list->count && lists_equal(m, a.list, b.list);
    case VALUE_DICT:
        return a.dict == b.dict;
    case VALUE_LOOP:
        return a.loop == b.loop;
    case VALUE_MACRO:
        return a.macro == b.macro;
    default: // undefined equals undefined, none equals none
        return true;
    }
}

int value_order(struct machine *m, uint32_t line, struct value a, struct value b)
{
    if (value_is_number(a) && value_is_number(b)) {
        double x = value_real(a), y = value_real(b);
        return (x > y) - (x < y);
    }
    if (a.kind == VALUE_STRING && b.kind == VALUE_STRING) return string_order(m, a.string, b.string);
    machine_fail(m, line, "%s and %s have no order", value_kind_name(a), value_kind_name(b));
    return 0;
}

const struct string *value_text(struct machine *m, uint32_t line, struct value v)
{
    char digits[32];
    switch (v.kind) {
    case VALUE_STRING:
        return v.string;
    case VALUE_UNDEFINED:
        return string_make(m, "", 0, 0);
    case VALUE_NONE:
        return string_make(m, "None", 4, 0);
    case VALUE_BOOL:
        return v.truth ? string_make(m, "True", 4, 0) : string_make(m, "False", 5, 0);
    case VALUE_INTEGER: {
        int n = snprintf(digits, sizeof digits, "%" PRId64, v.integer);
        return string_make(m, arena_copy(m->arena, digits, (size_t)n), (size_t)n, 0);
    }
    default:
        machine_fail(m, line, "%s cannot be printed", value_kind_name(v));
        return string_make(m, "", 0, 0);
    }
}

const struct string *string_make(struct machine *m, const char *data, size_t bytes, uint32_t origin)
{
    struct string *s = take(m, sizeof *s + sizeof(struct piece));
    struct piece *piece = (struct piece *)(s + 1);
    *piece = (struct piece){data, bytes, origin};
    *s = (struct string){bytes, bytes != 0, piece};
    return s;
}

static const struct string *string_of(struct machine *m, const struct piece *pieces, size_t count, size_t bytes)
{
    struct string *s = take(m, sizeof *s);
    *s = (struct string){bytes, count, pieces};
    return s;
}

const struct string *string_join(struct machine *m, const struct string *a, const struct string *b)
{
    if (!a->bytes) return b;
    if (!b->bytes) return a;
    struct piece *pieces = take(m, (a->count + b->count) * sizeof *pieces);
    memcpy(pieces, a->pieces, a->count * sizeof *pieces);
    memcpy(pieces + a->count, b->pieces, b->count * sizeof *pieces);
    return string_of(m, pieces, a->count + b->count, a->bytes + b->bytes);
}

const struct string *string_part(struct machine *m, const struct string *s, size_t from, size_t to)
{
    assert(from <= to && to <= s->bytes);
    if (from == 0 && to == s->bytes) return s;
    struct piece *pieces = take(m, s->count * sizeof *pieces);
    size_t count = 0, at = 0;
    for (size_t i = 0; i < s->count; at += s->pieces[i++].bytes) {
        size_t begin = from > at ? from - at : 0, end = to > at ? to - at : 0;
        if (end > s->pieces[i].bytes) end = s->pieces[i].bytes;
        if (begin < end) pieces[count++] = (struct piece){s->pieces[i].data + begin, end - begin, s->pieces[i].origin};
    }
    return string_of(m, pieces, count, to - from);
}

const char *string_flat(struct machine *m, const struct string *s)
{
    if (s->count == 0) return "";
    if (s->count == 1) return s->pieces[0].data;
    char *flat = take(m, s->bytes), *at = flat;
    for (size_t i = 0; i < s->count; at += s->pieces[i++].bytes) memcpy(at, s->pieces[i].data, s->pieces[i].bytes);
    return flat;
}

size_t string_find(struct machine *m, const struct string *s, const struct string *needle, size_t from)
{
    const char *hay = string_flat(m, s), *what = string_flat(m, needle);
    if (!needle->bytes) return from;
    for (size_t at = from; at + needle->bytes <= s->bytes; at++) {
        const char *first = memchr(hay + at, what[0], s->bytes - needle->bytes - at + 1);
        if (!first) break;
        at = (size_t)(first - hay);
        if (memcmp(first, what, needle->bytes) == 0) return at;
    }
    return SIZE_MAX;
}

bool string_is(struct machine *m, const struct string *s, const char *literal)
{
    return s->bytes == strlen(literal) && memcmp(string_flat(m, s), literal, s->bytes) == 0;
}

size_t string_length(struct machine *m, const struct string *s)
{
    const char *data = string_flat(m, s);
    size_t count = 0;
    for (size_t i = 0; i < s->bytes; i++) count += (data[i] & 0xc0) != 0x80;
    return count;
}

size_t string_offset(struct machine *m, const struct string *s, size_t index)
{
    const char *data = string_flat(m, s);
    size_t i = 0;
    for (; i < s->bytes; i++)
        if ((data[i] & 0xc0) != 0x80 && index-- == 0) break;
    return i;
}

void builder_add(struct machine *m, struct builder *b, const struct string *s)
{
    if (b->count + s->count > b->capacity) {
        size_t capacity = 2 * (b->count + s->count) + 16;
        struct piece *pieces = take(m, capacity * sizeof *pieces);
        if (b->count) memcpy(pieces, b->pieces, b->count * sizeof *pieces);
        b->pieces = pieces;
        b->capacity = capacity;
    }
    if (s->count) memcpy(b->pieces + b->count, s->pieces, s->count * sizeof *s->pieces);
    b->count += s->count;
    b->bytes += s->bytes;
}

const struct string *builder_string(struct machine *m, struct builder *b)
{
    return string_of(m, b->pieces, b->count, b->bytes);
}

struct value *dict_find(struct machine *m, struct dict *d, const struct string *key)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->entries[i].key->bytes == key->bytes && string_order(m, d->entries[i].key, key) == 0)
            return &d->entries[i].value;
    return NULL;
}

void dict_set(struct machine *m, struct dict *d, const struct string *key, struct value v)
{
    struct value *old = dict_find(m, d, key);
    if (old) {
        *old = v;
        return;
    }
    if (d->count == d->capacity) {
        size_t capacity = d->capacity ? 2 * d->capacity : 4;
        struct entry *entries = take(m, capacity * sizeof *entries);
        if (d->count) memcpy(entries, d->entries, d->count * sizeof *entries);
        d->entries = entries;
        d->capacity = capacity;
    }
    d->entries[d->count++] = (struct entry){key, v};
}

struct value argument(const struct arguments *args, size_t position, const char *name)
{
    if (position < args->count) return args->positional[position];
    for (size_t i = 0; name && i < args->keywords; i++)
        if (strcmp(args->names[i]->text, name) == 0) return args->keyword[i];
    return (struct value){.kind = VALUE_UNDEFINED};
}
