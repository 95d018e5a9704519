// SPDX-License-Identifier: MIT
//
// jinja_value.h: the values of a running template, and the machine that runs it; between jinja.c (statements and
// operators), jinja_value.c (what values are and how they compare) and jinja_builtin.c (methods, filters, tests).
//
// A string is a list of pieces, each with one origin (jinja.h), so that text keeps its origin through concatenation,
// slicing and trimming. Everything lives in the rendering's arena.
#ifndef PUMICE_JINJA_VALUE_H
#define PUMICE_JINJA_VALUE_H

#include "base.h"

#include "data/arena.h"
#include "data/jinja_node.h"

struct piece {
    const char *data; // (bytes)
    size_t bytes;
    uint32_t origin;
};

struct string {
    size_t bytes, count;
    const struct piece *pieces; // (count), none empty
};

enum value_kind {
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_FLOAT,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_DICT, // of messages and of namespace()
    VALUE_LOOP,
    VALUE_MACRO,
};

struct value {
    enum value_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        const struct string *string;
        const struct list *list;
        struct dict *dict;
        const struct loop *loop;
        const struct node *macro;
    };
};

struct list {
    size_t count;
    struct value *items; // (count)
};

struct entry {
    const struct string *key;
    struct value value;
};

struct dict {
    size_t count, capacity;
    struct entry *entries; // (count), in the order they came
};

struct loop {
    const struct list *items;
    size_t index;
};

// A string that is being written.
struct builder {
    struct piece *pieces;
    size_t count, capacity, bytes;
};

struct machine {
    struct arena *arena;
    struct builder *out;              // where statements print
    struct binding *locals, *globals; // variables: of the loops and macro being run; of the template
    struct binding *outer;            // the first of the locals that is not of the innermost scope
    uint64_t steps;                   // nodes evaluated
    int depth;                        // of expressions and macros
    enum { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;
    bool failed;
    struct error *e;
};

// Remembers the first failure; what runs on until the machine stops does no harm.
void machine_fail(struct machine *m, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct value value_bool(bool truth);
struct value value_integer(int64_t integer);
struct value value_string(const struct string *s);
struct value value_list(struct machine *m, size_t count); // its items undefined, to be filled

const char *value_kind_name(struct value v); // "a string", for errors
bool value_true(struct value v);             // Python's bool()
bool value_equal(struct machine *m, struct value a, struct value b);
// -1, 0 or 1 for two numbers or two strings; others fail.
int value_order(struct machine *m, uint32_t line, struct value a, struct value b);
double value_real(struct value v);    // of a number or bool
bool value_is_number(struct value v); // a bool is one, as in Python
// What {{ v }} prints; lists and dictionaries fail.
const struct string *value_text(struct machine *m, uint32_t line, struct value v);

const struct string *string_make(struct machine *m, const char *data, size_t bytes, uint32_t origin);
const struct string *string_join(struct machine *m, const struct string *a, const struct string *b);
const struct string *string_part(struct machine *m, const struct string *s, size_t from, size_t to); // bytes
// The bytes in one place, not ended by a 0.
const char *string_flat(struct machine *m, const struct string *s);
// Offset of the first `needle` at or after `from`, or SIZE_MAX.
size_t string_find(struct machine *m, const struct string *s, const struct string *needle, size_t from);
bool string_is(struct machine *m, const struct string *s, const char *literal);
size_t string_length(struct machine *m, const struct string *s); // code points
// Byte offset of code point `index`, the end for those beyond it.
size_t string_offset(struct machine *m, const struct string *s, size_t index);

void builder_add(struct machine *m, struct builder *b, const struct string *s);
const struct string *builder_string(struct machine *m, struct builder *b);

// NULL when there is no such key.
struct value *dict_find(struct machine *m, struct dict *d, const struct string *key);
void dict_set(struct machine *m, struct dict *d, const struct string *key, struct value v);

#define DEPTH_LIMIT 500 // of expressions, macros and lists inside one another

// Evaluated arguments of a call.
#define ARGUMENTS_LIMIT 16
struct arguments {
    size_t count, keywords;
    struct value positional[ARGUMENTS_LIMIT], keyword[ARGUMENTS_LIMIT];
    const struct node *names[ARGUMENTS_LIMIT]; // of the keywords
};
// The argument at a position or under a name; undefined if it is not given. `name` may be NULL.
struct value argument(const struct arguments *args, size_t position, const char *name);

// self.name(args), self | name(args), self is name(args), name(args); n is the node, for its text and line.
struct value builtin_method(struct machine *m, const struct node *n, struct value self, const struct arguments *args);
struct value builtin_filter(struct machine *m, const struct node *n, struct value self, const struct arguments *args);
bool builtin_test(struct machine *m, const struct node *n, struct value self, const struct arguments *args);
struct value builtin_function(struct machine *m, const struct node *n, const struct arguments *args);
// self.name as `map(attribute=...)`, `selectattr` and `.` read it: undefined if there is none.
struct value value_attribute(struct machine *m, uint32_t line, struct value self, const struct string *name);

#endif
