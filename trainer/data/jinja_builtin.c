// SPDX-License-Identifier: MIT
//
// Methods, filters, tests and functions: those that published chat templates call, with Python's results.
#include "data/jinja_value.h"
#include "data/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct value undefined(void)
{
    return (struct value){.kind = VALUE_UNDEFINED};
}

static bool is(const struct node *n, const char *name)
{
    return strcmp(n->text, name) == 0;
}

// The string of an argument; fails for other kinds.
static const struct string *want_string(struct machine *m, const struct node *n, struct value v)
{
    if (v.kind == VALUE_STRING) return v.string;
    machine_fail(m, n->line, "\"%s\" needs a string, not %s", n->text, value_kind_name(v));
    return string_make(m, "", 0, 0);
}

// --------------------------------------------------------------------------------------------------- string methods

// What Python's str.strip() takes away: Unicode's white space and the four information separators.
static bool is_white(uint32_t c)
{
    return white_space(c) || (c >= 28 && c <= 31);
}

static bool is_stripped(uint32_t c, const char *set, size_t set_bytes)
{
    if (!set) return is_white(c);
    for (size_t i = 0, n; i < set_bytes; i += n)
        if (utf8_read(set + i, &n) == c) return true;
    return false;
}

static const struct string *strip(
    struct machine *m, const struct node *n, const struct string *s, struct value chars, bool left, bool right)
{
    const char *data = string_flat(m, s), *set = NULL;
    size_t from = 0, to = s->bytes, set_bytes = 0, bytes;
    if (chars.kind != VALUE_UNDEFINED && chars.kind != VALUE_NONE) {
        set = string_flat(m, want_string(m, n, chars));
        set_bytes = want_string(m, n, chars)->bytes;
    }
    while (left && from < to && is_stripped(utf8_read(data + from, &bytes), set, set_bytes)) from += bytes;
    while (right && from < to) {
        size_t last = to - 1;
        while (last > from && (data[last] & 0xc0) == 0x80) last--;
        if (!is_stripped(utf8_read(data + last, &bytes), set, set_bytes)) break;
        to = last;
    }
    return string_part(m, s, from, to);
}

// str.split with a separator.
static struct value split(struct machine *m, const struct node *n, const struct string *s, const struct arguments *args)
{
    const struct string *separator = want_string(m, n, argument(args, 0, "sep"));
    struct value limit = argument(args, 1, "maxsplit");
    size_t most = limit.kind == VALUE_INTEGER && limit.integer >= 0 ? (size_t)limit.integer : SIZE_MAX, parts = 1;
    if (!separator->bytes) machine_fail(m, n->line, "split with an empty separator");
    if (m->failed) return undefined();
    const struct string whole = {s->bytes, s->bytes != 0, &(struct piece){string_flat(m, s), s->bytes, 0}};
    for (size_t at = 0; parts <= most && (at = string_find(m, &whole, separator, at)) != SIZE_MAX; parts++)
        at += separator->bytes;
    struct value list = value_list(m, parts);
    size_t from = 0;
    for (size_t i = 0; i < parts; i++) {
        size_t to = i + 1 < parts ? string_find(m, &whole, separator, from) : s->bytes;
        list.list->items[i] = value_string(string_part(m, s, from, to));
        from = to + separator->bytes;
    }
    return list;
}

static struct value replace(
    struct machine *m, const struct node *n, const struct string *s, const struct arguments *args)
{
    const struct string *old = want_string(m, n, argument(args, 0, NULL)),
                        *new = want_string(m, n, argument(args, 1, NULL));
    if (!old->bytes) machine_fail(m, n->line, "replace of an empty string");
    if (m->failed) return undefined();
    const struct string whole = {s->bytes, s->bytes != 0, &(struct piece){string_flat(m, s), s->bytes, 0}};
    struct builder b = {0};
    size_t from = 0, at;
    while ((at = string_find(m, &whole, old, from)) != SIZE_MAX) {
        builder_add(m, &b, string_part(m, s, from, at));
        builder_add(m, &b, new);
        from = at + old->bytes;
    }
    builder_add(m, &b, string_part(m, s, from, s->bytes));
    return value_string(builder_string(m, &b));
}

// upper, lower, capitalize, title for ASCII letters; the others stay. Origins stay too.
static const struct string *change_case(struct machine *m, const struct string *s, const char *how)
{
    struct builder b = {0};
    bool begin = true; // of the string (capitalize) or of a word (title)
    for (size_t i = 0; i < s->count; i++) {
        const struct piece *piece = &s->pieces[i];
        char *data = arena_copy(m->arena, piece->data, piece->bytes);
        for (size_t k = 0; k < piece->bytes; k++) {
            char c = data[k];
            bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
            bool upper = *how == 'u' || (*how != 'l' && begin);
            if (letter) data[k] = upper ? (char)(c & ~0x20) : (char)(c | 0x20);
            begin = *how == 't' && !letter && (unsigned char)c < 0x80;
        }
        builder_add(m, &b, string_make(m, data, piece->bytes, piece->origin));
    }
    return builder_string(m, &b);
}

// True if the name is one of the four.
static bool case_name(const struct node *n)
{
    return is(n, "upper") || is(n, "lower") || is(n, "capitalize") || is(n, "title");
}

static bool starts_or_ends(struct machine *m, const struct string *s, const struct string *with, bool start)
{
    if (with->bytes > s->bytes) return false;
    size_t at = start ? 0 : s->bytes - with->bytes;
    return memcmp(string_flat(m, s) + at, string_flat(m, with), with->bytes) == 0;
}

static struct value join(struct machine *m, const struct node *n, const struct list *list, const struct string *between)
{
    struct builder b = {0};
    for (size_t i = 0; i < list->count; i++) {
        if (i) builder_add(m, &b, between);
        builder_add(m, &b, value_text(m, n->line, list->items[i]));
    }
    return value_string(builder_string(m, &b));
}

static struct value string_method(
    struct machine *m, const struct node *n, const struct string *s, const struct arguments *args)
{
    if (is(n, "strip")) return value_string(strip(m, n, s, argument(args, 0, NULL), true, true));
    if (is(n, "lstrip")) return value_string(strip(m, n, s, argument(args, 0, NULL), true, false));
    if (is(n, "rstrip")) return value_string(strip(m, n, s, argument(args, 0, NULL), false, true));
    if (is(n, "split")) return split(m, n, s, args);
    if (is(n, "replace")) return replace(m, n, s, args);
    if (case_name(n)) return value_string(change_case(m, s, n->text));
    if (is(n, "startswith") || is(n, "endswith")) {
        struct value with = argument(args, 0, NULL);
        if (with.kind != VALUE_LIST)
            return value_bool(starts_or_ends(m, s, want_string(m, n, with), is(n, "startswith")));
        for (size_t i = 0; i < with.list->count; i++)
            if (starts_or_ends(m, s, want_string(m, n, with.list->items[i]), is(n, "startswith")))
                return value_bool(true);
        return value_bool(false);
    }
    if (is(n, "find")) {
        size_t at = string_find(m, s, want_string(m, n, argument(args, 0, NULL)), 0);
        return value_integer(at == SIZE_MAX ? -1 : (int64_t)string_length(m, string_part(m, s, 0, at)));
    }
    if (is(n, "join") && argument(args, 0, NULL).kind == VALUE_LIST) return join(m, n, argument(args, 0, NULL).list, s);
    machine_fail(m, n->line, "the method \"%s\" of a string is not known here", n->text);
    return undefined();
}

// ---------------------------------------------------------------------------------------------------- other methods

static struct value dict_items(struct machine *m, struct dict *d, bool keys, bool values)
{
    struct value list = value_list(m, d->count);
    for (size_t i = 0; i < d->count; i++) {
        struct value key = value_string(d->entries[i].key), pair;
        if (keys && values) {
            pair = value_list(m, 2);
            pair.list->items[0] = key;
            pair.list->items[1] = d->entries[i].value;
        } else {
            pair = keys ? key : d->entries[i].value;
        }
        list.list->items[i] = pair;
    }
    return list;
}

struct value builtin_method(struct machine *m, const struct node *n, struct value self, const struct arguments *args)
{
    if (self.kind == VALUE_STRING) return string_method(m, n, self.string, args);
    if (self.kind == VALUE_DICT) {
        if (is(n, "items")) return dict_items(m, self.dict, true, true);
        if (is(n, "keys")) return dict_items(m, self.dict, true, false);
        if (is(n, "values")) return dict_items(m, self.dict, false, true);
        if (is(n, "get")) {
            struct value *v = dict_find(m, self.dict, want_string(m, n, argument(args, 0, NULL)));
            struct value otherwise = argument(args, 1, NULL);
            if (v) return *v;
            return otherwise.kind == VALUE_UNDEFINED ? (struct value){.kind = VALUE_NONE} : otherwise;
        }
    }
    if (self.kind == VALUE_LOOP && is(n, "cycle") && args->count)
        return args->positional[self.loop->index % args->count];
    machine_fail(m, n->line, "the method \"%s\" of %s is not known here", n->text, value_kind_name(self));
    return undefined();
}

struct value value_attribute(struct machine *m, uint32_t line, struct value self, const struct string *name)
{
    if (self.kind == VALUE_DICT) {
        struct value *v = dict_find(m, self.dict, name);
        return v ? *v : undefined();
    }
    if (self.kind == VALUE_LOOP) {
        const struct loop *loop = self.loop;
        size_t count = loop->items->count, i = loop->index;
        if (string_is(m, name, "index")) return value_integer((int64_t)i + 1);
        if (string_is(m, name, "index0")) return value_integer((int64_t)i);
        if (string_is(m, name, "revindex")) return value_integer((int64_t)(count - i));
        if (string_is(m, name, "revindex0")) return value_integer((int64_t)(count - i - 1));
        if (string_is(m, name, "length")) return value_integer((int64_t)count);
        if (string_is(m, name, "first")) return value_bool(i == 0);
        if (string_is(m, name, "last")) return value_bool(i + 1 == count);
        if (string_is(m, name, "previtem")) return i ? loop->items->items[i - 1] : undefined();
        if (string_is(m, name, "nextitem")) return i + 1 < count ? loop->items->items[i + 1] : undefined();
    }
    if (self.kind == VALUE_UNDEFINED)
        machine_fail(m, line, "\"%.*s\" is asked of an undefined value", (int)(name->bytes < 60 ? name->bytes : 60),
            string_flat(m, name));
    return undefined();
}

// ------------------------------------------------------------------------------------------------------------- tests

bool builtin_test(struct machine *m, const struct node *n, struct value v, const struct arguments *args)
{
    struct value other = argument(args, 0, NULL);
    if (is(n, "defined")) return v.kind != VALUE_UNDEFINED;
    if (is(n, "undefined")) return v.kind == VALUE_UNDEFINED;
    if (is(n, "none")) return v.kind == VALUE_NONE;
    if (is(n, "string")) return v.kind == VALUE_STRING;
    if (is(n, "mapping")) return v.kind == VALUE_DICT;
    if (is(n, "iterable") || is(n, "sequence"))
        return v.kind == VALUE_STRING || v.kind == VALUE_LIST || v.kind == VALUE_DICT || v.kind == VALUE_UNDEFINED;
    if (is(n, "boolean")) return v.kind == VALUE_BOOL;
    if (is(n, "true")) return v.kind == VALUE_BOOL && v.truth;
    if (is(n, "false")) return v.kind == VALUE_BOOL && !v.truth;
    if (is(n, "integer")) return v.kind == VALUE_INTEGER;
    if (is(n, "float")) return v.kind == VALUE_FLOAT;
    if (is(n, "number")) return value_is_number(v);
    if (is(n, "callable")) return v.kind == VALUE_MACRO;
    if (is(n, "equalto") || is(n, "eq")) return value_equal(m, v, other);
    if (is(n, "ne")) return !value_equal(m, v, other);
    if (is(n, "odd") || is(n, "even")) {
        if (v.kind != VALUE_INTEGER) machine_fail(m, n->line, "\"%s\" needs a number", n->text);
        return v.kind == VALUE_INTEGER && (v.integer & 1) == is(n, "odd");
    }
    if (is(n, "in")) {
        if (other.kind == VALUE_STRING && v.kind == VALUE_STRING)
            return string_find(m, other.string, v.string, 0) != SIZE_MAX;
        for (size_t i = 0; other.kind == VALUE_LIST && i < other.list->count; i++)
            if (value_equal(m, v, other.list->items[i])) return true;
        return other.kind == VALUE_DICT && v.kind == VALUE_STRING && dict_find(m, other.dict, v.string);
    }
    machine_fail(m, n->line, "the test \"%s\" is not known here", n->text);
    return false;
}

// ----------------------------------------------------------------------------------------------------------- filters

// selectattr('role', 'equalto', 'system') and its three relations.
static struct value select_items(
    struct machine *m, const struct node *n, const struct list *from, const struct arguments *args)
{
    bool by_attribute = strstr(n->text, "attr"), wanted = n->text[0] == 's';
    size_t first = by_attribute; // the position of the test's name
    struct arguments rest = {0};
    for (size_t i = first + 1; i < args->count; i++) rest.positional[rest.count++] = args->positional[i];
    struct node test = {.kind = NODE_TEST, .line = n->line};
    if (args->count > first) {
        const struct string *name = want_string(m, n, args->positional[first]);
        test.text = arena_copy(m->arena, string_flat(m, name), name->bytes);
    }
    struct value out = value_list(m, from->count);
    size_t count = 0;
    for (size_t i = 0; i < from->count && !m->failed; i++) {
        struct value v = from->items[i];
        if (by_attribute) v = value_attribute(m, n->line, v, want_string(m, n, argument(args, 0, NULL)));
        if ((test.text ? builtin_test(m, &test, v, &rest) : value_true(v)) == wanted)
            out.list->items[count++] = from->items[i];
    }
    struct list *shrunk = arena_alloc(m->arena, sizeof *shrunk);
    *shrunk = (struct list){count, out.list->items};
    return (struct value){.kind = VALUE_LIST, .list = shrunk};
}

static struct value list_filter(
    struct machine *m, const struct node *n, struct value self, const struct arguments *args)
{
    const struct list *list = self.list;
    if (is(n, "first")) return list->count ? list->items[0] : undefined();
    if (is(n, "last")) return list->count ? list->items[list->count - 1] : undefined();
    if (is(n, "list")) return self;
    if (is(n, "selectattr") || is(n, "rejectattr") || is(n, "select") || is(n, "reject"))
        return select_items(m, n, list, args);
    if (is(n, "reverse")) {
        struct value out = value_list(m, list->count);
        for (size_t i = 0; i < list->count; i++) out.list->items[i] = list->items[list->count - 1 - i];
        return out;
    }
    if (is(n, "map")) {
        struct value attribute = argument(args, ARGUMENTS_LIMIT, "attribute"), out = value_list(m, list->count);
        struct value name = argument(args, 0, NULL);
        struct node filter = {.kind = NODE_FILTER, .line = n->line};
        if (attribute.kind == VALUE_UNDEFINED) {
            const struct string *s = want_string(m, n, name);
            filter.text = arena_copy(m->arena, string_flat(m, s), s->bytes);
        }
        for (size_t i = 0; i < list->count && !m->failed; i++)
            out.list->items[i] = filter.text
                                     ? builtin_filter(m, &filter, list->items[i], &(struct arguments){0})
                                     : value_attribute(m, n->line, list->items[i], want_string(m, n, attribute));
        return out;
    }
    if (is(n, "join")) {
        struct value between = argument(args, 0, "d");
        return join(
            m, n, list, between.kind == VALUE_UNDEFINED ? string_make(m, "", 0, 0) : want_string(m, n, between));
    }
    machine_fail(m, n->line, "the filter \"%s\" of a list is not known here", n->text);
    return undefined();
}

// JSON as transformers prints it: strings keep their letters, and so their origin.
static struct value to_json(struct machine *m, const struct node *n, struct value v)
{
    if (v.kind == VALUE_NONE) return value_string(string_make(m, "null", 4, 0));
    if (v.kind == VALUE_BOOL)
        return value_string(v.truth ? string_make(m, "true", 4, 0) : string_make(m, "false", 5, 0));
    if (v.kind == VALUE_INTEGER) return value_string(value_text(m, n->line, v));
    struct builder b = {0};
    builder_add(m, &b, string_make(m, "\"", 1, 0));
    const struct string *s = want_string(m, n, v);
    for (size_t i = 0; i < s->count; i++) {
        const struct piece *piece = &s->pieces[i];
        struct text t = {0};
        for (size_t k = 0; k < piece->bytes; k++) {
            unsigned char c = (unsigned char)piece->data[k];
            const char *known = c ? strchr("\nn\tt\rr\bb\ff\"\"\\\\", c) : NULL;
            if (known && (c < 32 || c == '"' || c == '\\'))
                text_print(&t, "\\%c", known[1]);
            else if (c < 32)
                text_print(&t, "\\u%04x", c);
            else
                text_add(&t, &c, 1);
        }
        builder_add(m, &b, string_make(m, arena_copy(m->arena, t.data, t.bytes), t.bytes, piece->origin));
        text_free(&t);
    }
    builder_add(m, &b, string_make(m, "\"", 1, 0));
    return value_string(builder_string(m, &b));
}

struct value builtin_filter(struct machine *m, const struct node *n, struct value v, const struct arguments *args)
{
    if (is(n, "default") || is(n, "d")) {
        bool empty = v.kind == VALUE_UNDEFINED || (value_true(argument(args, 1, "boolean")) && !value_true(v));
        struct value otherwise = argument(args, 0, "default_value");
        return !empty ? v : otherwise.kind == VALUE_UNDEFINED ? value_string(string_make(m, "", 0, 0)) : otherwise;
    }
    if (is(n, "length") || is(n, "count")) {
        if (v.kind == VALUE_LIST) return value_integer((int64_t)v.list->count);
        if (v.kind == VALUE_DICT) return value_integer((int64_t)v.dict->count);
        if (v.kind == VALUE_STRING) return value_integer((int64_t)string_length(m, v.string));
        if (v.kind == VALUE_UNDEFINED) return value_integer(0);
    }
    if (is(n, "safe")) return v;
    if (is(n, "tojson")) return to_json(m, n, v);
    if (is(n, "items") && v.kind == VALUE_DICT) return dict_items(m, v.dict, true, true);
    if (is(n, "int") && v.kind == VALUE_INTEGER) return v;
    if (v.kind == VALUE_LIST) return list_filter(m, n, v, args);
    if (v.kind == VALUE_DICT && is(n, "list")) return dict_items(m, v.dict, true, false);
    // The string filters print what they get, as Jinja does.
    if (is(n, "string")) return value_string(value_text(m, n->line, v));
    if (is(n, "trim"))
        return value_string(strip(m, n, value_text(m, n->line, v), argument(args, 0, "chars"), true, true));
    if (is(n, "replace")) return replace(m, n, value_text(m, n->line, v), args);
    if (case_name(n)) return value_string(change_case(m, value_text(m, n->line, v), n->text));
    machine_fail(m, n->line, "the filter \"%s\" of %s is not known here", n->text, value_kind_name(v));
    return undefined();
}

// --------------------------------------------------------------------------------------------------------- functions

#define RANGE_LIMIT 1000000

static struct value range(struct machine *m, const struct node *n, const struct arguments *args)
{
    int64_t from = 0, to = 0, by = 1;
    for (size_t i = 0; i < args->count; i++)
        if (args->positional[i].kind != VALUE_INTEGER) machine_fail(m, n->line, "range needs numbers");
    if (args->count < 1 || args->count > 3) machine_fail(m, n->line, "range takes one to three numbers");
    if (m->failed) return undefined();
    to = args->positional[args->count > 1].integer;
    if (args->count > 1) from = args->positional[0].integer;
    if (args->count > 2) by = args->positional[2].integer;
    double count = by ? ((double)to - (double)from + (by > 0 ? (double)by - 1 : (double)by + 1)) / (double)by : 0;
    if (by == 0 || count > RANGE_LIMIT || by > RANGE_LIMIT || by < -RANGE_LIMIT) {
        machine_fail(m, n->line, "range goes too far");
        return undefined();
    }
    struct value list = value_list(m, count >= 1 ? (size_t)count : 0);
    for (size_t i = 0; i < list.list->count; i++) list.list->items[i] = value_integer(from + (int64_t)i * by);
    return list;
}

// strftime_now(format) of 26 July 2024, the date that Llama's templates fall back to: the same tomorrow.
static struct value fixed_date(struct machine *m, const struct node *n, const struct arguments *args)
{
    const struct tm date = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_wday = 5, .tm_yday = 207};
    const struct string *s = want_string(m, n, argument(args, 0, "format"));
    const char *format = arena_copy(m->arena, string_flat(m, s), s->bytes);
    char text[128];
    size_t bytes = strftime(text, sizeof text, format, &date);
    return value_string(string_make(m, arena_copy(m->arena, text, bytes), bytes, 0));
}

struct value builtin_function(struct machine *m, const struct node *n, const struct arguments *args)
{
    if (is(n, "raise_exception")) {
        const struct string *s = value_text(m, n->line, argument(args, 0, "message"));
        machine_fail(m, 0, "it refuses the messages: %.*s", (int)(s->bytes < 400 ? s->bytes : 400), string_flat(m, s));
        return undefined();
    }
    if (is(n, "range")) return range(m, n, args);
    if (is(n, "strftime_now")) return fixed_date(m, n, args);
    if (is(n, "namespace") || is(n, "dict")) {
        struct dict *d = arena_alloc(m->arena, sizeof *d);
        *d = (struct dict){0};
        for (size_t i = 0; i < args->keywords; i++)
            dict_set(m, d, string_make(m, args->names[i]->text, args->names[i]->bytes, 0), args->keyword[i]);
        return (struct value){.kind = VALUE_DICT, .dict = d};
    }
    machine_fail(m, n->line, "the function \"%s\" is not known here", n->text);
    return undefined();
}
