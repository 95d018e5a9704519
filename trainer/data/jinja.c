// SPDX-License-Identifier: MIT
//
// Running a template: statements print into a builder, expressions give values.
#include "data/jinja.h"
#include "data/jinja_value.h"

#include <stdlib.h>
#include <string.h>

#define STEP_LIMIT 4000000 // nodes: a thousand times what a long conversation needs

struct binding {
    const char *name;
    struct value value;
    struct binding *next;
};

static struct value eval(struct machine *m, const struct node *n);
static void run(struct machine *m, const struct node *n);

// --------------------------------------------------------------------------------------------------------- variables

static struct binding *find(struct binding *from, const struct binding *to, const char *name)
{
    for (; from != to; from = from->next)
        if (strcmp(from->name, name) == 0) return from;
    return NULL;
}

static void bind(struct machine *m, struct binding **scope, const char *name, struct value v)
{
    struct binding *b = arena_alloc(m->arena, sizeof *b);
    *b = (struct binding){name, v, *scope};
    *scope = b;
}

// {% set %}: inside a loop or macro a variable of that scope, which ends with it.
static void set(struct machine *m, const char *name, struct value v)
{
    struct binding **scope = m->locals ? &m->locals : &m->globals;
    struct binding *old = find(*scope, m->locals ? m->outer : NULL, name);
    if (old)
        old->value = v;
    else
        bind(m, scope, name, v);
}

static struct value lookup(struct machine *m, const char *name)
{
    struct binding *b = find(m->locals, NULL, name);
    if (!b) b = find(m->globals, NULL, name);
    return b ? b->value : (struct value){.kind = VALUE_UNDEFINED};
}

// ------------------------------------------------------------------------------------------------------- expressions

static struct value add(struct machine *m, const struct node *n, struct value a, struct value b)
{
    if (a.kind == VALUE_STRING && b.kind == VALUE_STRING) return value_string(string_join(m, a.string, b.string));
    if (a.kind == VALUE_LIST && b.kind == VALUE_LIST) {
        struct value list = value_list(m, a.list->count + b.list->count);
        for (size_t i = 0; i < a.list->count; i++) list.list->items[i] = a.list->items[i];
        for (size_t i = 0; i < b.list->count; i++) list.list->items[a.list->count + i] = b.list->items[i];
        return list;
    }
    machine_fail(m, n->line, "%s and %s cannot be added", value_kind_name(a), value_kind_name(b));
    return a;
}

static struct value math(struct machine *m, const struct node *n)
{
    struct value a = eval(m, n->a), b = eval(m, n->b);
    if (m->failed) return a;
    if (n->op == '~') return value_string(string_join(m, value_text(m, n->line, a), value_text(m, n->line, b)));
    if (n->op == '+' && (!value_is_number(a) || !value_is_number(b))) return add(m, n, a, b);
    if (a.kind == VALUE_INTEGER && b.kind == VALUE_INTEGER) {
        int64_t x = a.integer, y = b.integer, r = 0;
        bool over = false;
        if (n->op == '+')
            over = __builtin_add_overflow(x, y, &r);
        else if (n->op == '-')
            over = __builtin_sub_overflow(x, y, &r);
        else if (n->op == '*')
            over = __builtin_mul_overflow(x, y, &r);
        else if (n->op == OP_FLOOR && y > 0)
            r = x / y - (x % y < 0);
        else if (n->op == '%' && y > 0)
            r = x % y + (x % y < 0 ? y : 0);
        else
            over = true;
        if (!over) return value_integer(r);
    }
    machine_fail(m, n->line, "this arithmetic on %s and %s is not known here", value_kind_name(a), value_kind_name(b));
    return a;
}

static bool contains(struct machine *m, const struct node *n, struct value what, struct value in)
{
    const struct node test = {.kind = NODE_TEST, .line = n->line, .text = "in"};
    bool fits = in.kind == VALUE_LIST || in.kind == VALUE_DICT || in.kind == VALUE_UNDEFINED ||
                (in.kind == VALUE_STRING && what.kind == VALUE_STRING);
    if (!fits) machine_fail(m, n->line, "%s cannot be looked for in %s", value_kind_name(what), value_kind_name(in));
    return fits && builtin_test(m, &test, what, &(struct arguments){.count = 1, .positional = {in}});
}

static bool compare(struct machine *m, const struct node *n)
{
    struct value a = eval(m, n->a), b = eval(m, n->b);
    if (m->failed) return false;
    switch (n->op) {
    case OP_EQUAL:
        return value_equal(m, a, b);
    case OP_DIFFERENT:
        return !value_equal(m, a, b);
    case OP_IN:
        return contains(m, n, a, b);
    case OP_NOT_IN:
        return !contains(m, n, a, b);
    case '<':
        return value_order(m, n->line, a, b) < 0;
    case '>':
        return value_order(m, n->line, a, b) > 0;
    case OP_AT_MOST:
        return value_order(m, n->line, a, b) <= 0;
    default: // OP_AT_LEAST
        return value_order(m, n->line, a, b) >= 0;
    }
}

static struct value item(struct machine *m, const struct node *n)
{
    struct value a = eval(m, n->a), i = eval(m, n->b);
    if (m->failed) return a;
    if (i.kind == VALUE_STRING) return value_attribute(m, n->line, a, i.string);
    if (i.kind == VALUE_INTEGER && (a.kind == VALUE_LIST || a.kind == VALUE_STRING)) {
        int64_t count = (int64_t)(a.kind == VALUE_LIST ? a.list->count : string_length(m, a.string));
        int64_t at = i.integer < 0 ? i.integer + count : i.integer;
        if (at < 0 || at >= count) return (struct value){.kind = VALUE_UNDEFINED};
        if (a.kind == VALUE_LIST) return a.list->items[at];
        size_t from = string_offset(m, a.string, (size_t)at);
        return value_string(string_part(m, a.string, from, string_offset(m, a.string, (size_t)at + 1)));
    }
    if (i.kind == VALUE_UNDEFINED || a.kind == VALUE_UNDEFINED)
        machine_fail(m, n->line, "%s is taken at %s", value_kind_name(a), value_kind_name(i));
    return (struct value){.kind = VALUE_UNDEFINED};
}

// One bound of a slice as Python clamps it; `otherwise` when it is not given.
static int64_t bound(
    struct machine *m, const struct node *n, int64_t count, int64_t low, int64_t high, int64_t otherwise)
{
    if (!n) return otherwise;
    struct value v = eval(m, n);
    if (v.kind == VALUE_NONE) return otherwise;
    if (v.kind != VALUE_INTEGER) {
        machine_fail(m, n->line, "a slice needs numbers, not %s", value_kind_name(v));
        return otherwise;
    }
    int64_t at = v.integer < 0 ? v.integer + count : v.integer;
    return at < low ? low : at > high ? high : at;
}

static struct value slice(struct machine *m, const struct node *n)
{
    struct value a = eval(m, n->a), by = n->d ? eval(m, n->d) : value_integer(1);
    if (m->failed) return a;
    bool back = by.kind == VALUE_INTEGER && by.integer == -1;
    if ((a.kind != VALUE_LIST && a.kind != VALUE_STRING) || by.kind != VALUE_INTEGER || (by.integer != 1 && !back) ||
        (back && a.kind == VALUE_STRING)) {
        machine_fail(m, n->line, "this slice of %s is not known here", value_kind_name(a));
        return a;
    }
    int64_t count = (int64_t)(a.kind == VALUE_LIST ? a.list->count : string_length(m, a.string));
    int64_t low = back ? -1 : 0, high = back ? count - 1 : count;
    int64_t from = bound(m, n->b, count, low, high, back ? high : low);
    int64_t to = bound(m, n->c, count, low, high, back ? low : high);
    int64_t size = back ? from - to : to - from;
    if (size < 0) size = 0;
    if (a.kind == VALUE_STRING) {
        size_t begin = string_offset(m, a.string, (size_t)from);
        return value_string(string_part(m, a.string, begin, string_offset(m, a.string, (size_t)(from + size))));
    }
    struct value list = value_list(m, (size_t)size);
    for (int64_t i = 0; i < size; i++) list.list->items[i] = a.list->items[back ? from - i : from + i];
    return list;
}

static void eval_arguments(struct machine *m, const struct node *n, struct arguments *args)
{
    args->count = args->keywords = 0;
    for (; n && !m->failed; n = n->next) {
        if (args->count == ARGUMENTS_LIMIT || args->keywords == ARGUMENTS_LIMIT) {
            machine_fail(m, n->line, "there are more than %d arguments", ARGUMENTS_LIMIT);
        } else if (n->kind == NODE_KEYWORD) {
            args->names[args->keywords] = n;
            args->keyword[args->keywords++] = eval(m, n->a);
        } else {
            args->positional[args->count++] = eval(m, n);
        }
    }
}

// What `body` prints, as a value.
static struct value capture(struct machine *m, const struct node *body)
{
    struct builder *outer = m->out, inner = {0};
    m->out = &inner;
    run(m, body);
    m->out = outer;
    return value_string(builder_string(m, &inner));
}

static struct value call_macro(struct machine *m, const struct node *macro, const struct arguments *args)
{
    struct binding *locals = m->locals, *outer = m->outer, *inner = NULL;
    size_t position = 0;
    for (const struct node *p = macro->targets; p; p = p->next) {
        struct value v = argument(args, position++, p->text);
        bind(m, &inner, p->text, v.kind == VALUE_UNDEFINED && p->a ? eval(m, p->a) : v);
    }
    if (!inner) bind(m, &inner, "", value_bool(true)); // a scope of its own although nothing is in it
    m->locals = inner;
    m->outer = NULL;
    struct value v = capture(m, macro->b);
    m->locals = locals;
    m->outer = outer;
    m->flow = FLOW_ON;
    return v;
}

static struct value call(struct machine *m, const struct node *n)
{
    struct arguments args;
    struct value self = {.kind = VALUE_UNDEFINED};
    if (n->a->kind == NODE_ATTRIBUTE) self = eval(m, n->a->a);
    eval_arguments(m, n->b, &args);
    if (m->failed) return self;
    if (n->a->kind == NODE_ATTRIBUTE) return builtin_method(m, n->a, self, &args);
    if (n->a->kind == NODE_NAME) {
        struct value f = lookup(m, n->a->text);
        return f.kind == VALUE_MACRO ? call_macro(m, f.macro, &args) : builtin_function(m, n->a, &args);
    }
    machine_fail(m, n->line, "what is called here is no function");
    return self;
}

static struct value elements(struct machine *m, const struct node *n)
{
    size_t count = 0;
    for (const struct node *p = n->a; p; p = p->next) count++;
    if (n->kind == NODE_LIST) {
        struct value list = value_list(m, count);
        struct value *out = list.list->items;
        for (const struct node *p = n->a; p; p = p->next) *out++ = eval(m, p);
        return list;
    }
    struct dict *d = arena_alloc(m->arena, sizeof *d);
    *d = (struct dict){0};
    for (const struct node *p = n->a; p && p->next && !m->failed; p = p->next->next) {
        struct value key = eval(m, p), v = eval(m, p->next);
        if (key.kind == VALUE_STRING)
            dict_set(m, d, key.string, v);
        else
            machine_fail(m, n->line, "a key of a dictionary is %s", value_kind_name(key));
    }
    return (struct value){.kind = VALUE_DICT, .dict = d};
}

static struct value eval_node(struct machine *m, const struct node *n)
{
    struct arguments args;
    struct value v = {.kind = VALUE_NONE};
    switch (n->kind) {
    case NODE_STRING:
        return value_string(string_make(m, n->text, n->bytes, 0));
    case NODE_INTEGER:
        return value_integer(n->integer);
    case NODE_FLOAT:
        return (struct value){.kind = VALUE_FLOAT, .real = n->real};
    case NODE_TRUE:
    case NODE_FALSE:
        return value_bool(n->kind == NODE_TRUE);
    case NODE_NAME:
        return lookup(m, n->text);
    case NODE_LIST:
    case NODE_DICT:
        return elements(m, n);
    case NODE_OR:
        v = eval(m, n->a);
        return value_true(v) ? v : eval(m, n->b);
    case NODE_AND:
        v = eval(m, n->a);
        return value_true(v) ? eval(m, n->b) : v;
    case NODE_NOT:
        return value_bool(!value_true(eval(m, n->a)));
    case NODE_COMPARE:
        return value_bool(compare(m, n));
    case NODE_MATH:
        return math(m, n);
    case NODE_NEGATE:
        v = eval(m, n->a);
        if (v.kind == VALUE_INTEGER && v.integer != INT64_MIN) return value_integer(-v.integer);
        machine_fail(m, n->line, "%s has no negative here", value_kind_name(v));
        return v;
    case NODE_CHOICE:
        if (value_true(eval(m, n->b))) return eval(m, n->a);
        return n->c ? eval(m, n->c) : (struct value){.kind = VALUE_UNDEFINED};
    case NODE_ATTRIBUTE:
        v = eval(m, n->a);
        return m->failed ? v : value_attribute(m, n->line, v, string_make(m, n->text, n->bytes, 0));
    case NODE_ITEM:
        return item(m, n);
    case NODE_SLICE:
        return slice(m, n);
    case NODE_CALL:
        return call(m, n);
    case NODE_FILTER:
    case NODE_TEST:
        v = eval(m, n->a);
        eval_arguments(m, n->b, &args);
        if (m->failed) return v;
        return n->kind == NODE_FILTER ? builtin_filter(m, n, v, &args) : value_bool(builtin_test(m, n, v, &args));
    default: // NODE_NONE
        return v;
    }
}

static struct value eval(struct machine *m, const struct node *n)
{
    if (++m->steps > STEP_LIMIT) machine_fail(m, n->line, "it does not come to an end");
    if (m->depth >= DEPTH_LIMIT) machine_fail(m, n->line, "it is nested too deeply");
    if (m->failed) return (struct value){.kind = VALUE_UNDEFINED};
    m->depth++;
    struct value v = eval_node(m, n);
    m->depth--;
    return v;
}

// -------------------------------------------------------------------------------------------------------- statements

// Gives the targets of a `for` or a `set` their values: one takes all, several share out a list.
static void assign(struct machine *m, const struct node *targets, struct value v, bool fresh)
{
    size_t count = 0, i = 0;
    for (const struct node *t = targets; t; t = t->next) count++;
    if (count > 1 && (v.kind != VALUE_LIST || v.list->count != count)) {
        machine_fail(m, targets->line, "%s cannot be shared out to %zu names", value_kind_name(v), count);
        return;
    }
    for (const struct node *t = targets; t; t = t->next, i++) {
        struct value one = count > 1 ? v.list->items[i] : v;
        if (fresh)
            bind(m, &m->locals, t->text, one);
        else
            set(m, t->text, one);
    }
}

static void run_set(struct machine *m, const struct node *n)
{
    struct value v = n->a ? eval(m, n->a) : capture(m, n->b);
    if (m->failed) return;
    if (n->targets->kind != NODE_ATTRIBUTE) {
        assign(m, n->targets, v, false);
        return;
    }
    struct value space = eval(m, n->targets->a);
    if (space.kind == VALUE_DICT)
        dict_set(m, space.dict, string_make(m, n->targets->text, n->targets->bytes, 0), v);
    else
        machine_fail(m, n->line, "\"%s\" is no namespace", n->targets->a->text);
}

// What a `for` goes through, with those that its condition leaves out gone (the loop's counters do not see them).
static const struct list *loop_items(struct machine *m, const struct node *n)
{
    static const struct list nothing = {0};
    struct value v = eval(m, n->a);
    if (m->failed || v.kind == VALUE_UNDEFINED) return &nothing;
    if (v.kind == VALUE_DICT) v = builtin_method(m, &(struct node){.text = "keys"}, v, &(struct arguments){0});
    if (v.kind != VALUE_LIST) {
        machine_fail(m, n->line, "%s cannot be gone through", value_kind_name(v));
        return &nothing;
    }
    if (!n->c) return v.list;
    struct list *kept = arena_alloc(m->arena, sizeof *kept);
    *kept = (struct list){0, value_list(m, v.list->count).list->items};
    struct binding *outer = m->locals;
    for (size_t i = 0; i < v.list->count && !m->failed; i++, m->locals = outer) {
        assign(m, n->targets, v.list->items[i], true);
        if (value_true(eval(m, n->c))) kept->items[kept->count++] = v.list->items[i];
    }
    return kept;
}

static void run_for(struct machine *m, const struct node *n)
{
    const struct list *items = loop_items(m, n);
    struct binding *locals = m->locals, *outer = m->outer;
    m->outer = locals;
    for (size_t i = 0; i < items->count && !m->failed && m->flow != FLOW_BREAK; i++) {
        struct loop *loop = arena_alloc(m->arena, sizeof *loop);
        *loop = (struct loop){items, i};
        bind(m, &m->locals, "loop", (struct value){.kind = VALUE_LOOP, .loop = loop});
        assign(m, n->targets, items->items[i], true);
        m->flow = FLOW_ON;
        run(m, n->b);
        m->locals = locals;
    }
    m->outer = outer;
    m->flow = FLOW_ON;
    if (!items->count) run(m, n->d);
}

static void run(struct machine *m, const struct node *n)
{
    if (++m->depth > DEPTH_LIMIT) machine_fail(m, n ? n->line : 0, "it is nested too deeply");
    for (; n && !m->failed && m->flow == FLOW_ON; n = n->next) {
        if (++m->steps > STEP_LIMIT) machine_fail(m, n->line, "it does not come to an end");
        switch (n->kind) {
        case NODE_TEXT:
            builder_add(m, m->out, string_make(m, n->text, n->bytes, 0));
            break;
        case NODE_PRINT: {
            struct value v = eval(m, n->a);
            if (!m->failed) builder_add(m, m->out, value_text(m, n->line, v));
            break;
        }
        case NODE_IF:
            run(m, value_true(eval(m, n->a)) ? n->b : n->c);
            break;
        case NODE_FOR:
            run_for(m, n);
            break;
        case NODE_SET:
            run_set(m, n);
            break;
        case NODE_MACRO:
            set(m, n->text, (struct value){.kind = VALUE_MACRO, .macro = n});
            break;
        default:
            m->flow = n->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
            break;
        }
    }
    m->depth--;
}

// ------------------------------------------------------------------------------------------------------ the rendering

static void bind_token(struct machine *m, const char *name, const char *spelling)
{
    if (spelling) bind(m, &m->globals, name, value_string(string_make(m, spelling, strlen(spelling), 0)));
}

static void bind_input(struct machine *m, const struct jinja_input *input)
{
    const struct string *role = string_make(m, "role", 4, 0), *content = string_make(m, "content", 7, 0);
    struct value messages = value_list(m, input->count);
    for (size_t i = 0; i < input->count; i++) {
        const struct message *message = &input->messages[i];
        const char *name = role_name(message->role);
        struct dict *d = arena_alloc(m->arena, sizeof *d);
        *d = (struct dict){0};
        dict_set(m, d, role, value_string(string_make(m, name, strlen(name), 0)));
        dict_set(m, d, content, value_string(string_make(m, message->text, message->bytes, (uint32_t)i + 1)));
        messages.list->items[i] = (struct value){.kind = VALUE_DICT, .dict = d};
    }
    bind(m, &m->globals, "tools", (struct value){.kind = VALUE_NONE});
    bind(m, &m->globals, "documents", (struct value){.kind = VALUE_NONE});
    bind_token(m, "bos_token", input->bos);
    bind_token(m, "eos_token", input->eos);
    bind(m, &m->globals, "add_generation_prompt", value_bool(input->generation));
    bind(m, &m->globals, "messages", messages);
}

int jinja_render(const struct jinja *program, struct jinja_output *out, struct arena *scratch,
    const struct jinja_input *input, struct error *e)
{
    struct builder pieces = {0};
    struct machine m = {.arena = scratch, .out = &pieces, .e = e};
    out->text.bytes = 0;
    out->count = 0;
    text_add(&out->text, "", 0);
    arena_reset(scratch);
    bind_input(&m, input);
    run(&m, program->body);
    if (m.failed) return -1;
    for (size_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.pieces[i];
        text_add(&out->text, piece->data, piece->bytes);
        if (!out->count || out->runs[out->count - 1].origin != piece->origin) {
            GROW(out->runs, out->count, out->capacity);
            out->runs[out->count++].origin = piece->origin;
        }
        out->runs[out->count - 1].end = out->text.bytes;
    }
    return 0;
}

void jinja_output_free(struct jinja_output *out)
{
    text_free(&out->text);
    free(out->runs);
    *out = (struct jinja_output){0};
}
