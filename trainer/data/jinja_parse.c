// SPDX-License-Identifier: MIT
//
// Parsing of templates: text and tags into statements, tags into expressions by recursive descent, one token
// (jinja_token.h) ahead. The grammar and its precedences are Jinja's
// (https://jinja.palletsprojects.com/en/stable/templates/): `|` and `is` bind tighter than arithmetic, arithmetic
// tighter than comparison.
#include "data/jinja.h"
#include "data/jinja_node.h"
#include "data/jinja_token.h"

#include <stdlib.h>
#include <string.h>

#define NESTING_LIMIT 200 // of statements and expressions together; the C stack is the limit behind it

static struct node *node_make(struct parser *p, enum node_kind kind, uint32_t line)
{
    struct node *n = arena_alloc(p->arena, sizeof *n);
    *n = (struct node){.kind = kind, .line = line, .text = ""};
    return n;
}

static struct node *node_text(struct parser *p, enum node_kind kind, const char *text, size_t bytes)
{
    struct node *n = node_make(p, kind, p->token.line);
    n->text = arena_copy(p->arena, text, bytes);
    n->bytes = bytes;
    return n;
}

static struct node *node_pair(struct parser *p, enum node_kind kind, char op, struct node *a, struct node *b)
{
    struct node *n = node_make(p, kind, a->line);
    n->op = op;
    n->a = a;
    n->b = b;
    return n;
}

static struct node *want_name(struct parser *p)
{
    struct node *n = node_text(p, NODE_NAME, p->token.kind == TOKEN_NAME ? p->token.text : "",
        p->token.kind == TOKEN_NAME ? p->token.bytes : 0);
    if (p->token.kind != TOKEN_NAME) token_fail(p, p->token.line, "a name is missing");
    token_next(p);
    return n;
}

// ------------------------------------------------------------------------------------------------------- expressions

static struct node *parse_expression(struct parser *p);
static struct node *parse_or(struct parser *p);
static struct node *parse_unary(struct parser *p, bool with_filters);

static bool enter(struct parser *p)
{
    if (++p->depth > NESTING_LIMIT) token_fail(p, p->token.line, "it is nested too deeply");
    return !p->failed;
}

// Arguments after their opening bracket, up to and with the closing one.
static struct node *parse_arguments(struct parser *p)
{
    struct node *first = NULL, **last = &first;
    while (!p->failed && !token_take_sign(p, ")")) {
        if (first) token_want_sign(p, ",");
        if (first && token_take_sign(p, ")")) break;
        struct node *n = parse_expression(p);
        if (n->kind == NODE_NAME && token_take_sign(p, "=")) {
            n->kind = NODE_KEYWORD;
            n->a = parse_expression(p);
        }
        *last = n;
        last = &n->next;
    }
    return first;
}

// Elements up to and with `closing`; dictionaries have a key and a value in turn.
static struct node *parse_elements(struct parser *p, const char *closing, bool pairs)
{
    struct node *first = NULL, **last = &first;
    while (!p->failed && !token_take_sign(p, closing)) {
        if (first) token_want_sign(p, ",");
        if (first && token_take_sign(p, closing)) break;
        *last = parse_expression(p);
        last = &(*last)->next;
        if (!pairs) continue;
        token_want_sign(p, ":");
        *last = parse_expression(p);
        last = &(*last)->next;
    }
    return first;
}

static struct node *parse_primary(struct parser *p)
{
    static const struct {
        const char *name;
        enum node_kind kind;
    } words[] = {{"true", NODE_TRUE}, {"True", NODE_TRUE}, {"false", NODE_FALSE}, {"False", NODE_FALSE},
        {"none", NODE_NONE}, {"None", NODE_NONE}};
    struct node *n = node_make(p, NODE_NONE, p->token.line);
    switch (p->token.kind) {
    case TOKEN_NAME:
        n = node_text(p, NODE_NAME, p->token.text, p->token.bytes);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (token_at_name(p, words[i].name)) n->kind = words[i].kind;
        token_next(p);
        return n;
    case TOKEN_STRING: {
        struct text t = {0};
        for (; p->token.kind == TOKEN_STRING; token_next(p)) text_add(&t, p->token.text, p->token.bytes);
        n = node_text(p, NODE_STRING, t.data, t.bytes);
        text_free(&t);
        return n;
    }
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        n->kind = p->token.kind == TOKEN_INTEGER ? NODE_INTEGER : NODE_FLOAT;
        n->integer = p->token.integer;
        n->real = p->token.real;
        token_next(p);
        return n;
    default:
        break;
    }
    if (token_take_sign(p, "(")) {
        if (token_take_sign(p, ")")) {
            n->kind = NODE_LIST;
            return n;
        }
        struct node *inside = parse_expression(p);
        if (!token_take_sign(p, ",")) {
            token_want_sign(p, ")");
            return inside;
        }
        n->kind = NODE_LIST; // a tuple
        n->a = inside;
        inside->next = parse_elements(p, ")", false);
    } else if (token_take_sign(p, "[")) {
        n->kind = NODE_LIST;
        n->a = parse_elements(p, "]", false);
    } else if (token_take_sign(p, "{")) {
        n->kind = NODE_DICT;
        n->a = parse_elements(p, "}", true);
    } else {
        token_fail(p, p->token.line, "a value is missing");
    }
    return n;
}

static struct node *parse_subscript(struct parser *p, struct node *a)
{
    struct node *n = node_pair(p, NODE_ITEM, 0, a, NULL);
    if (!token_at_sign(p, ":")) n->b = parse_expression(p);
    if (token_take_sign(p, ":")) {
        n->kind = NODE_SLICE;
        if (!token_at_sign(p, "]") && !token_at_sign(p, ":")) n->c = parse_expression(p);
        if (token_take_sign(p, ":") && !token_at_sign(p, "]")) n->d = parse_expression(p);
    }
    token_want_sign(p, "]");
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (!p->failed) {
        if (token_take_sign(p, ".")) {
            if (p->token.kind == TOKEN_INTEGER) {
                n = node_pair(p, NODE_ITEM, 0, n, node_make(p, NODE_INTEGER, p->token.line));
                n->b->integer = p->token.integer;
                token_next(p);
            } else {
                struct node *name = want_name(p);
                name->kind = NODE_ATTRIBUTE;
                name->a = n;
                n = name;
            }
        } else if (token_take_sign(p, "[")) {
            n = parse_subscript(p, n);
        } else if (token_take_sign(p, "(")) {
            n = node_pair(p, NODE_CALL, 0, n, parse_arguments(p));
        } else {
            break;
        }
    }
    return n;
}

// `is name`, `is not name`, `is name(arguments)`, `is name argument`.
static struct node *parse_test(struct parser *p, struct node *a)
{
    bool negated = token_take_name(p, "not");
    struct node *n = want_name(p);
    n->kind = NODE_TEST;
    n->a = a;
    bool value = p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_INTEGER || p->token.kind == TOKEN_FLOAT ||
                 token_at_sign(p, "[") || token_at_sign(p, "{") ||
                 (p->token.kind == TOKEN_NAME && !token_at_name(p, "else") && !token_at_name(p, "or") &&
                     !token_at_name(p, "and") && !token_at_name(p, "is") && !token_at_name(p, "if") &&
                     !token_at_name(p, "in") && !token_at_name(p, "not"));
    if (token_take_sign(p, "("))
        n->b = parse_arguments(p);
    else if (value)
        n->b = parse_postfix(p, parse_primary(p));
    return negated ? node_pair(p, NODE_NOT, 0, n, NULL) : n;
}

static struct node *parse_filters(struct parser *p, struct node *n)
{
    while (!p->failed) {
        if (token_take_sign(p, "|")) {
            struct node *filter = want_name(p);
            filter->kind = NODE_FILTER;
            filter->a = n;
            if (token_take_sign(p, "(")) filter->b = parse_arguments(p);
            n = filter;
        } else if (token_take_name(p, "is")) {
            n = parse_test(p, n);
        } else {
            break;
        }
    }
    return n;
}

static struct node *parse_unary(struct parser *p, bool with_filters)
{
    struct node *n;
    if (!enter(p)) return node_make(p, NODE_NONE, p->token.line);
    if (token_take_sign(p, "-"))
        n = node_pair(p, NODE_NEGATE, 0, parse_unary(p, false), NULL);
    else if (token_take_sign(p, "+"))
        n = parse_unary(p, false);
    else
        n = parse_postfix(p, parse_primary(p));
    p->depth--;
    return with_filters ? parse_filters(p, n) : n;
}

// The four levels of arithmetic, loosest first.
static struct node *parse_math(struct parser *p, int level)
{
    static const struct {
        const char *sign;
        int level;
        char op;
    } operators[] = {{"+", 0, '+'}, {"-", 0, '-'}, {"~", 1, '~'}, {"*", 2, '*'}, {"/", 2, '/'}, {"//", 2, OP_FLOOR},
        {"%", 2, '%'}, {"**", 3, OP_POWER}};
    struct node *n = level < 3 ? parse_math(p, level + 1) : parse_unary(p, true);
    for (size_t i = 0; !p->failed && i < sizeof operators / sizeof *operators; i++) {
        if (operators[i].level != level || !token_take_sign(p, operators[i].sign)) continue;
        struct node *right = level < 3 ? parse_math(p, level + 1) : parse_unary(p, true);
        n = node_pair(p, NODE_MATH, operators[i].op, n, right);
        i = (size_t)-1; // look for the next one from the start
    }
    return n;
}

// a < b < c is a < b and b < c.
static struct node *parse_compare(struct parser *p)
{
    static const struct {
        const char *sign;
        char op;
    } operators[] = {
        {"==", OP_EQUAL}, {"!=", OP_DIFFERENT}, {"<=", OP_AT_MOST}, {">=", OP_AT_LEAST}, {"<", '<'}, {">", '>'}};
    struct node *left = parse_math(p, 0), *result = NULL;
    while (!p->failed) {
        char op = 0;
        for (size_t i = 0; !op && i < sizeof operators / sizeof *operators; i++)
            if (token_take_sign(p, operators[i].sign)) op = operators[i].op;
        if (!op && token_take_name(p, "in")) op = OP_IN;
        if (!op && token_at_name(p, "not")) {
            token_next(p);
            if (!token_take_name(p, "in")) token_fail(p, p->token.line, "\"not\" is out of place");
            op = OP_NOT_IN;
        }
        if (!op) break;
        struct node *right = parse_math(p, 0), *pair = node_pair(p, NODE_COMPARE, op, left, right);
        result = result ? node_pair(p, NODE_AND, 0, result, pair) : pair;
        left = right;
    }
    return result ? result : left;
}

static struct node *parse_not(struct parser *p)
{
    if (!token_at_name(p, "not")) return parse_compare(p);
    struct node *n = node_make(p, NODE_NOT, p->token.line);
    token_next(p);
    n->a = n; // only until the operand is there: a failed parse must not leave a hole
    if (enter(p)) n->a = parse_not(p);
    p->depth--;
    return n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);
    while (!p->failed && token_take_name(p, "and")) n = node_pair(p, NODE_AND, 0, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p)
{
    struct node *n = parse_and(p);
    while (!p->failed && token_take_name(p, "or")) n = node_pair(p, NODE_OR, 0, n, parse_and(p));
    return n;
}

static struct node *parse_expression(struct parser *p)
{
    if (!enter(p)) return node_make(p, NODE_NONE, p->token.line);
    struct node *n = parse_or(p);
    while (!p->failed && token_take_name(p, "if")) {
        struct node *condition = parse_or(p);
        n = node_pair(p, NODE_CHOICE, 0, n, condition);
        if (token_take_name(p, "else")) n->c = parse_expression(p);
    }
    p->depth--;
    return n;
}

// -------------------------------------------------------------------------------------------------------- statements

static struct node *parse_body(struct parser *p, const char *const *ends);

// Text up to the next tag, which is entered: the kind of tag is returned ('%', '{' or '#'), or 0 at the end.
static char read_text(struct parser *p, struct node ***last)
{
    const char *start = p->at;
    uint32_t line = p->line;
    while (p->at < p->end && !(*p->at == '{' && p->at + 1 < p->end && memchr("{%#", p->at[1], 3))) token_step(p);
    const char *end = p->at;
    char tag = 0;
    if (p->at < p->end) {
        tag = p->at[1];
        char sign = p->end - p->at > 2 ? p->at[2] : 0;
        p->at += sign == '-' || sign == '+' ? 3 : 2;
        const char *from = end;
        while (from > start && (from[-1] == ' ' || from[-1] == '\t')) from--;
        if (sign == '-')
            while (end > start && token_is_space(end[-1])) end--;
        else if (tag != '{' && sign != '+' && (from > start ? from[-1] == '\n' : p->line_start))
            end = from; // lstrip_blocks
    }
    if (end > start) {
        struct node *n = node_make(p, NODE_TEXT, line);
        n->text = arena_copy(p->arena, start, (size_t)(end - start));
        n->bytes = (size_t)(end - start);
        **last = n;
        *last = &n->next;
    }
    return tag;
}

static struct node *parse_targets(struct parser *p)
{
    struct node *first = want_name(p), *last = first;
    while (!p->failed && token_take_sign(p, ",")) {
        last->next = want_name(p);
        last = last->next;
    }
    return first;
}

static struct node *parse_for(struct parser *p)
{
    static const char *const body_ends[] = {"else", "endfor", NULL}, *const else_ends[] = {"endfor", NULL};
    struct node *n = node_make(p, NODE_FOR, p->token.line);
    n->targets = parse_targets(p);
    if (!token_take_name(p, "in")) token_fail(p, p->token.line, "\"in\" is missing");
    n->a = parse_or(p);
    if (token_take_name(p, "if")) n->c = parse_expression(p);
    token_leave_tag(p);
    n->b = parse_body(p, body_ends);
    bool otherwise = token_take_name(p, "else");
    if (otherwise) {
        token_leave_tag(p);
        n->d = parse_body(p, else_ends);
    }
    token_next(p); // "endfor"
    return n;
}

// After "if" or "elif": condition, body and what follows, up to "endif".
static struct node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const else_ends[] = {"endif", NULL};
    struct node *n = node_make(p, NODE_IF, p->token.line);
    if (!enter(p)) return n;
    n->a = parse_expression(p);
    token_leave_tag(p);
    n->b = parse_body(p, ends);
    if (token_take_name(p, "elif")) {
        n->c = parse_if(p);
    } else {
        if (token_take_name(p, "else")) {
            token_leave_tag(p);
            n->c = parse_body(p, else_ends);
        }
        token_next(p); // "endif"
    }
    p->depth--;
    return n;
}

static struct node *parse_set(struct parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    struct node *n = node_make(p, NODE_SET, p->token.line);
    n->targets = parse_targets(p);
    if (token_take_sign(p, ".")) {
        struct node *attribute = want_name(p);
        attribute->kind = NODE_ATTRIBUTE;
        attribute->a = n->targets;
        n->targets = attribute;
    }
    if (token_take_sign(p, "=")) {
        n->a = parse_expression(p);
        if (token_at_sign(p, ",")) { // a tuple without brackets
            struct node *list = node_make(p, NODE_LIST, n->line), *last = n->a;
            list->a = n->a;
            for (; !p->failed && token_take_sign(p, ","); last = last->next) last->next = parse_expression(p);
            n->a = list;
        }
    } else {
        token_leave_tag(p);
        n->b = parse_body(p, ends);
        token_next(p); // "endset"
    }
    return n;
}

static struct node *parse_macro(struct parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    struct node *n = want_name(p), **last = &n->targets;
    n->kind = NODE_MACRO;
    token_want_sign(p, "(");
    while (!p->failed && !token_take_sign(p, ")")) {
        if (n->targets) token_want_sign(p, ",");
        *last = want_name(p);
        if (token_take_sign(p, "=")) (*last)->a = parse_expression(p);
        last = &(*last)->next;
    }
    token_leave_tag(p);
    n->b = parse_body(p, ends);
    token_next(p); // "endmacro"
    return n;
}

// The statement of the tag just entered; NULL when the tag holds none of its own.
static struct node *parse_statement(struct parser *p)
{
    static const char *const generation_ends[] = {"endgeneration", NULL};
    struct node *n = NULL;
    uint32_t line = p->token.line;
    if (token_take_name(p, "if")) {
        n = parse_if(p);
    } else if (token_take_name(p, "for")) {
        n = parse_for(p);
    } else if (token_take_name(p, "set")) {
        n = parse_set(p);
    } else if (token_take_name(p, "macro")) {
        n = parse_macro(p);
    } else if (token_take_name(p, "break")) {
        n = node_make(p, NODE_BREAK, line);
    } else if (token_take_name(p, "continue")) {
        n = node_make(p, NODE_CONTINUE, line);
    } else if (token_take_name(p, "generation")) { // marks for other tools; our spans come from the rendering
        token_leave_tag(p);
        n = parse_body(p, generation_ends);
        token_next(p);
    } else {
        char why[96];
        snprintf(why, sizeof why, "the statement \"%.*s\" is not known here",
            (int)(p->token.bytes < 40 ? p->token.bytes : 40), p->token.kind == TOKEN_NAME ? p->token.text : "");
        token_fail(p, line, why);
    }
    token_leave_tag(p);
    return n;
}

// Statements up to a tag that begins with one of `ends` (NULL ended), whose name is then the current token; with `ends`
// NULL up to the end of the source.
static struct node *parse_body(struct parser *p, const char *const *ends)
{
    struct node *first = NULL, **last = &first;
    uint32_t line = p->line;
    if (!enter(p)) return NULL;
    while (!p->failed) {
        char tag = read_text(p, &last);
        if (!tag) {
            char why[64];
            snprintf(why, sizeof why, "\"%s\" is missing", ends ? ends[0] : "");
            if (ends) token_fail(p, line, why);
            break;
        }
        if (tag == '#') {
            token_skip_comment(p);
            continue;
        }
        p->closing = tag == '{' ? '}' : '%';
        p->brackets = 0;
        token_next(p);
        struct node *n;
        if (tag == '{') {
            n = node_make(p, NODE_PRINT, p->token.line);
            n->a = parse_expression(p);
            token_leave_tag(p);
        } else {
            bool over = false;
            for (const char *const *name = ends; name && *name; name++) over = over || token_at_name(p, *name);
            if (over) break;
            n = parse_statement(p);
        }
        *last = n;
        while (*last) last = &(*last)->next;
    }
    p->depth--;
    return first;
}

struct jinja *jinja_open(const char *source, size_t bytes, struct error *e)
{
    struct jinja *program = mem_zero(1, sizeof *program);
    struct text lines = {0}; // with every end of line a newline
    for (size_t i = 0; i < bytes; i++) {
        if (source[i] == '\r') {
            text_add(&lines, "\n", 1);
            i += i + 1 < bytes && source[i + 1] == '\n';
        } else {
            text_add(&lines, source + i, 1);
        }
    }
    if (lines.bytes && lines.data[lines.bytes - 1] == '\n') lines.bytes--;
    struct parser p = {.arena = &program->arena,
        .at = lines.data,
        .end = lines.data + lines.bytes,
        .line = 1,
        .line_start = true,
        .e = e};
    if (!lines.data) p.at = p.end = "";
    program->body = parse_body(&p, NULL);
    text_free(&lines);
    if (!p.failed) return program;
    jinja_close(program);
    return NULL;
}

void jinja_close(struct jinja *program)
{
    if (!program) return;
    arena_free(&program->arena);
    free(program);
}
