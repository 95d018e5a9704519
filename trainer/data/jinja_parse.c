// SPDX-License-Identifier: MIT
//
// Parsing of templates: text and tags into statements, tags into expressions by recursive descent, one token ahead.
// The grammar and its precedences are Jinja's (https://jinja.palletsprojects.com/en/stable/templates/): `|` and `is`
// bind tighter than arithmetic, arithmetic tighter than comparison.
#include "data/jinja.h"
#include "data/jinja_node.h"
#include "data/unicode.h"

#include <stdlib.h>
#include <string.h>

#define NESTING_LIMIT 200 // of statements and expressions together; the C stack is the limit behind it

enum token_kind { TOKEN_NAME, TOKEN_STRING, TOKEN_INTEGER, TOKEN_FLOAT, TOKEN_SIGN, TOKEN_TAG_END, TOKEN_NOTHING };

struct token {
    enum token_kind kind;
    const char *text; // TOKEN_NAME, TOKEN_STRING: (bytes); TOKEN_SIGN: its one or two characters
    size_t bytes;
    int64_t integer;
    double real;
    uint32_t line;
};

struct parser {
    struct arena *arena;
    const char *at, *end;
    uint32_t line;
    bool line_start; // `at` stands after a newline that a tag took, or at the beginning
    char closing;    // '}' inside {{ }}, '%' inside {% %}
    int brackets;    // open in the tag: while there are any, "}}" is two of them
    struct token token;
    int depth;
    bool failed;
    struct error *e;
};

static void fail(struct parser *p, uint32_t line, const char *why)
{
    if (!p->failed) error_set(p->e, "line %u: %s", line, why);
    p->failed = true;
    p->token = (struct token){.kind = TOKEN_NOTHING, .line = p->line};
}

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

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static void step(struct parser *p)
{
    if (*p->at++ == '\n') p->line++;
}

// ------------------------------------------------------------------------------------------------ tokens inside tags

static int hex_value(const char *s, const char *end, int digits)
{
    int value = 0;
    if (end - s < digits) return -1;
    for (int i = 0; i < digits; i++) {
        char c = s[i];
        int d = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        value = value * 16 + d;
    }
    return value;
}

// A literal with Python's escapes.
static void read_string(struct parser *p)
{
    static const char letters[] = "ntrabfv\\'\"", meanings[] = "\n\t\r\a\b\f\v\\'\"";
    char quote = *p->at;
    struct text t = {0};
    step(p);
    while (p->at < p->end && *p->at != quote) {
        if (*p->at != '\\' || p->at + 1 == p->end) {
            text_add(&t, p->at, 1);
            step(p);
            continue;
        }
        char c = p->at[1];
        const char *known = strchr(letters, c);
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : 0, value = digits ? hex_value(p->at + 2, p->end, digits) : -1;
        step(p);
        if (known && c) {
            text_add(&t, meanings + (known - letters), 1);
        } else if (value > 0 && (value < 0xd800 || value > 0xdfff)) {
            char utf8[4];
            text_add(&t, utf8, utf8_write(utf8, (uint32_t)value));
            p->at += digits;
        } else if (digits) {
            fail(p, p->line, "an escape in a string is not one that can be text");
        } else if (c != '\n') { // a backslash before the end of a line joins the lines; others stay
            text_add(&t, "\\", 1);
            text_add(&t, &c, 1);
        }
        step(p);
        if (p->failed) break;
    }
    if (p->at == p->end) fail(p, p->token.line, "a string is not closed");
    if (!p->failed) {
        step(p);
        p->token.kind = TOKEN_STRING;
        p->token.text = arena_copy(p->arena, t.data ? t.data : "", t.bytes);
        p->token.bytes = t.bytes;
    }
    text_free(&t);
}

static void read_number(struct parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && (is_digit(*p->at) || *p->at == '_')) p->at++;
    bool real = p->end - p->at > 1 && *p->at == '.' && is_digit(p->at[1]);
    if (real) do
            p->at++;
        while (p->at < p->end && is_digit(*p->at));
    if (p->at - start > 18) {
        fail(p, p->line, "a number is too long");
        return;
    }
    char digits[20] = "";
    size_t count = 0;
    for (const char *s = start; s < p->at; s++)
        if (*s != '_') digits[count++] = *s;
    p->token.kind = real ? TOKEN_FLOAT : TOKEN_INTEGER;
    p->token.integer = strtoll(digits, NULL, 10);
    p->token.real = strtod(digits, NULL);
}

// The bytes of "%}" or "}}" with its sign, or 0 when the tag does not end here.
static size_t tag_end_bytes(const struct parser *p)
{
    if (p->brackets) return 0;
    size_t sign = p->at < p->end && (*p->at == '-' || *p->at == '+');
    if ((size_t)(p->end - p->at) < sign + 2 || p->at[sign] != p->closing || p->at[sign + 1] != '}') return 0;
    return sign && *p->at == '+' && p->closing == '}' ? 0 : sign + 2;
}

// The next token of the tag into p->token. At the end of the tag nothing is taken yet: leave_tag does that.
static void next(struct parser *p)
{
    if (p->failed) return;
    while (p->at < p->end && is_space(*p->at)) step(p);
    p->token = (struct token){.kind = TOKEN_NOTHING, .line = p->line, .text = ""};
    if (p->at == p->end) {
        fail(p, p->line, "a tag is not closed");
    } else if (tag_end_bytes(p)) {
        p->token.kind = TOKEN_TAG_END;
    } else if (*p->at == '\'' || *p->at == '"') {
        read_string(p);
    } else if (is_digit(*p->at)) {
        read_number(p);
    } else if (is_letter(*p->at)) {
        const char *start = p->at;
        while (p->at < p->end && (is_letter(*p->at) || is_digit(*p->at))) p->at++;
        p->token.kind = TOKEN_NAME;
        p->token.text = start;
        p->token.bytes = (size_t)(p->at - start);
    } else {
        static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
        p->token.kind = TOKEN_SIGN;
        p->token.text = p->at;
        p->token.bytes = 1;
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if (p->end - p->at > 1 && memcmp(p->at, pairs[i], 2) == 0) p->token.bytes = 2;
        if (!memchr("=!<>/*+-~%|.,:()[]{}", *p->at, 20)) fail(p, p->line, "a character does not belong into a tag");
        if (strchr("([{", *p->at)) p->brackets++;
        if (strchr(")]}", *p->at) && p->brackets) p->brackets--;
        p->at += p->token.bytes;
    }
}

static bool at_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == TOKEN_SIGN && p->token.bytes == strlen(sign) &&
           memcmp(p->token.text, sign, p->token.bytes) == 0;
}

static bool at_name(const struct parser *p, const char *name)
{
    return p->token.kind == TOKEN_NAME && p->token.bytes == strlen(name) &&
           memcmp(p->token.text, name, p->token.bytes) == 0;
}

static bool take_sign(struct parser *p, const char *sign)
{
    bool here = at_sign(p, sign);
    if (here) next(p);
    return here;
}

static bool take_name(struct parser *p, const char *name)
{
    bool here = at_name(p, name);
    if (here) next(p);
    return here;
}

static void want_sign(struct parser *p, const char *sign)
{
    if (!take_sign(p, sign)) {
        char why[64];
        snprintf(why, sizeof why, "\"%s\" is missing", sign);
        fail(p, p->token.line, why);
    }
}

static struct node *want_name(struct parser *p)
{
    struct node *n = node_text(p, NODE_NAME, p->token.kind == TOKEN_NAME ? p->token.text : "",
        p->token.kind == TOKEN_NAME ? p->token.bytes : 0);
    if (p->token.kind != TOKEN_NAME) fail(p, p->token.line, "a name is missing");
    next(p);
    return n;
}

// ------------------------------------------------------------------------------------------------------- expressions

static struct node *parse_expression(struct parser *p);
static struct node *parse_or(struct parser *p);
static struct node *parse_unary(struct parser *p, bool with_filters);

static bool enter(struct parser *p)
{
    if (++p->depth > NESTING_LIMIT) fail(p, p->token.line, "it is nested too deeply");
    return !p->failed;
}

// Arguments after their opening bracket, up to and with the closing one.
static struct node *parse_arguments(struct parser *p)
{
    struct node *first = NULL, **last = &first;
    while (!p->failed && !take_sign(p, ")")) {
        if (first) want_sign(p, ",");
        if (first && take_sign(p, ")")) break;
        struct node *n = parse_expression(p);
        if (n->kind == NODE_NAME && take_sign(p, "=")) {
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
    while (!p->failed && !take_sign(p, closing)) {
        if (first) want_sign(p, ",");
        if (first && take_sign(p, closing)) break;
        *last = parse_expression(p);
        last = &(*last)->next;
        if (!pairs) continue;
        want_sign(p, ":");
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
            if (at_name(p, words[i].name)) n->kind = words[i].kind;
        next(p);
        return n;
    case TOKEN_STRING: {
        struct text t = {0};
        for (; p->token.kind == TOKEN_STRING; next(p)) text_add(&t, p->token.text, p->token.bytes);
        n = node_text(p, NODE_STRING, t.data, t.bytes);
        text_free(&t);
        return n;
    }
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        n->kind = p->token.kind == TOKEN_INTEGER ? NODE_INTEGER : NODE_FLOAT;
        n->integer = p->token.integer;
        n->real = p->token.real;
        next(p);
        return n;
    default:
        break;
    }
    if (take_sign(p, "(")) {
        if (take_sign(p, ")")) {
            n->kind = NODE_LIST;
            return n;
        }
        struct node *inside = parse_expression(p);
        if (!take_sign(p, ",")) {
            want_sign(p, ")");
            return inside;
        }
        n->kind = NODE_LIST; // a tuple
        n->a = inside;
        inside->next = parse_elements(p, ")", false);
    } else if (take_sign(p, "[")) {
        n->kind = NODE_LIST;
        n->a = parse_elements(p, "]", false);
    } else if (take_sign(p, "{")) {
        n->kind = NODE_DICT;
        n->a = parse_elements(p, "}", true);
    } else {
        fail(p, p->token.line, "a value is missing");
    }
    return n;
}

static struct node *parse_subscript(struct parser *p, struct node *a)
{
    struct node *n = node_pair(p, NODE_ITEM, 0, a, NULL);
    if (!at_sign(p, ":")) n->b = parse_expression(p);
    if (take_sign(p, ":")) {
        n->kind = NODE_SLICE;
        if (!at_sign(p, "]") && !at_sign(p, ":")) n->c = parse_expression(p);
        if (take_sign(p, ":") && !at_sign(p, "]")) n->d = parse_expression(p);
    }
    want_sign(p, "]");
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (!p->failed) {
        if (take_sign(p, ".")) {
            if (p->token.kind == TOKEN_INTEGER) {
                n = node_pair(p, NODE_ITEM, 0, n, node_make(p, NODE_INTEGER, p->token.line));
                n->b->integer = p->token.integer;
                next(p);
            } else {
                struct node *name = want_name(p);
                name->kind = NODE_ATTRIBUTE;
                name->a = n;
                n = name;
            }
        } else if (take_sign(p, "[")) {
            n = parse_subscript(p, n);
        } else if (take_sign(p, "(")) {
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
    bool negated = take_name(p, "not");
    struct node *n = want_name(p);
    n->kind = NODE_TEST;
    n->a = a;
    bool value = p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_INTEGER || p->token.kind == TOKEN_FLOAT ||
                 at_sign(p, "[") || at_sign(p, "{") ||
                 (p->token.kind == TOKEN_NAME && !at_name(p, "else") && !at_name(p, "or") && !at_name(p, "and") &&
                     !at_name(p, "is") && !at_name(p, "if") && !at_name(p, "in") && !at_name(p, "not"));
    if (take_sign(p, "("))
        n->b = parse_arguments(p);
    else if (value)
        n->b = parse_postfix(p, parse_primary(p));
    return negated ? node_pair(p, NODE_NOT, 0, n, NULL) : n;
}

static struct node *parse_filters(struct parser *p, struct node *n)
{
    while (!p->failed) {
        if (take_sign(p, "|")) {
            struct node *filter = want_name(p);
            filter->kind = NODE_FILTER;
            filter->a = n;
            if (take_sign(p, "(")) filter->b = parse_arguments(p);
            n = filter;
        } else if (take_name(p, "is")) {
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
    if (take_sign(p, "-"))
        n = node_pair(p, NODE_NEGATE, 0, parse_unary(p, false), NULL);
    else if (take_sign(p, "+"))
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
        if (operators[i].level != level || !take_sign(p, operators[i].sign)) continue;
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
            if (take_sign(p, operators[i].sign)) op = operators[i].op;
        if (!op && take_name(p, "in")) op = OP_IN;
        if (!op && at_name(p, "not")) {
            next(p);
            if (!take_name(p, "in")) fail(p, p->token.line, "\"not\" is out of place");
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
    if (!at_name(p, "not")) return parse_compare(p);
    struct node *n = node_make(p, NODE_NOT, p->token.line);
    next(p);
    n->a = n; // only until the operand is there: a failed parse must not leave a hole
    if (enter(p)) n->a = parse_not(p);
    p->depth--;
    return n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);
    while (!p->failed && take_name(p, "and")) n = node_pair(p, NODE_AND, 0, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p)
{
    struct node *n = parse_and(p);
    while (!p->failed && take_name(p, "or")) n = node_pair(p, NODE_OR, 0, n, parse_and(p));
    return n;
}

static struct node *parse_expression(struct parser *p)
{
    if (!enter(p)) return node_make(p, NODE_NONE, p->token.line);
    struct node *n = parse_or(p);
    while (!p->failed && take_name(p, "if")) {
        struct node *condition = parse_or(p);
        n = node_pair(p, NODE_CHOICE, 0, n, condition);
        if (take_name(p, "else")) n->c = parse_expression(p);
    }
    p->depth--;
    return n;
}

// -------------------------------------------------------------------------------------------------------- statements

static struct node *parse_body(struct parser *p, const char *const *ends);

// Takes the end of the tag and the white space that goes with it: all of it after "-", one newline after "%}".
static void leave_tag(struct parser *p)
{
    if (p->failed) return;
    size_t bytes = p->token.kind == TOKEN_TAG_END ? tag_end_bytes(p) : 0;
    if (!bytes) {
        fail(p, p->token.line, "the end of the tag is expected");
        return;
    }
    char sign = *p->at;
    p->at += bytes;
    const char *start = p->at;
    if (sign == '-')
        while (p->at < p->end && is_space(*p->at)) step(p);
    else if (sign != '+' && p->closing == '%' && p->at < p->end && *p->at == '\n')
        step(p);
    p->line_start = p->at > start && p->at[-1] == '\n';
}

// Comments are over at the first "#}".
static void skip_comment(struct parser *p)
{
    uint32_t line = p->line;
    while (p->end - p->at >= 2 && memcmp(p->at, "#}", 2) != 0) step(p);
    if (p->end - p->at < 2) {
        fail(p, line, "a comment is not closed");
        return;
    }
    char sign = p->at[-1];
    p->at += 2;
    const char *start = p->at;
    if (sign == '-')
        while (p->at < p->end && is_space(*p->at)) step(p);
    else if (sign != '+' && p->at < p->end && *p->at == '\n')
        step(p);
    p->line_start = p->at > start && p->at[-1] == '\n';
}

// Text up to the next tag, which is entered: the kind of tag is returned ('%', '{' or '#'), or 0 at the end.
static char read_text(struct parser *p, struct node ***last)
{
    const char *start = p->at;
    uint32_t line = p->line;
    while (p->at < p->end && !(*p->at == '{' && p->at + 1 < p->end && memchr("{%#", p->at[1], 3))) step(p);
    const char *end = p->at;
    char tag = 0;
    if (p->at < p->end) {
        tag = p->at[1];
        char sign = p->end - p->at > 2 ? p->at[2] : 0;
        p->at += sign == '-' || sign == '+' ? 3 : 2;
        const char *from = end;
        while (from > start && (from[-1] == ' ' || from[-1] == '\t')) from--;
        if (sign == '-')
            while (end > start && is_space(end[-1])) end--;
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
    while (!p->failed && take_sign(p, ",")) {
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
    if (!take_name(p, "in")) fail(p, p->token.line, "\"in\" is missing");
    n->a = parse_or(p);
    if (take_name(p, "if")) n->c = parse_expression(p);
    leave_tag(p);
    n->b = parse_body(p, body_ends);
    bool otherwise = take_name(p, "else");
    if (otherwise) {
        leave_tag(p);
        n->d = parse_body(p, else_ends);
    }
    next(p); // "endfor"
    return n;
}

// After "if" or "elif": condition, body and what follows, up to "endif".
static struct node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const else_ends[] = {"endif", NULL};
    struct node *n = node_make(p, NODE_IF, p->token.line);
    if (!enter(p)) return n;
    n->a = parse_expression(p);
    leave_tag(p);
    n->b = parse_body(p, ends);
    if (take_name(p, "elif")) {
        n->c = parse_if(p);
    } else {
        if (take_name(p, "else")) {
            leave_tag(p);
            n->c = parse_body(p, else_ends);
        }
        next(p); // "endif"
    }
    p->depth--;
    return n;
}

static struct node *parse_set(struct parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    struct node *n = node_make(p, NODE_SET, p->token.line);
    n->targets = parse_targets(p);
    if (take_sign(p, ".")) {
        struct node *attribute = want_name(p);
        attribute->kind = NODE_ATTRIBUTE;
        attribute->a = n->targets;
        n->targets = attribute;
    }
    if (take_sign(p, "=")) {
        n->a = parse_expression(p);
        if (at_sign(p, ",")) { // a tuple without brackets
            struct node *list = node_make(p, NODE_LIST, n->line), *last = n->a;
            list->a = n->a;
            for (; !p->failed && take_sign(p, ","); last = last->next) last->next = parse_expression(p);
            n->a = list;
        }
    } else {
        leave_tag(p);
        n->b = parse_body(p, ends);
        next(p); // "endset"
    }
    return n;
}

static struct node *parse_macro(struct parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    struct node *n = want_name(p), **last = &n->targets;
    n->kind = NODE_MACRO;
    want_sign(p, "(");
    while (!p->failed && !take_sign(p, ")")) {
        if (n->targets) want_sign(p, ",");
        *last = want_name(p);
        if (take_sign(p, "=")) (*last)->a = parse_expression(p);
        last = &(*last)->next;
    }
    leave_tag(p);
    n->b = parse_body(p, ends);
    next(p); // "endmacro"
    return n;
}

// The statement of the tag just entered; NULL when the tag holds none of its own.
static struct node *parse_statement(struct parser *p)
{
    static const char *const generation_ends[] = {"endgeneration", NULL};
    struct node *n = NULL;
    uint32_t line = p->token.line;
    if (take_name(p, "if")) {
        n = parse_if(p);
    } else if (take_name(p, "for")) {
        n = parse_for(p);
    } else if (take_name(p, "set")) {
        n = parse_set(p);
    } else if (take_name(p, "macro")) {
        n = parse_macro(p);
    } else if (take_name(p, "break")) {
        n = node_make(p, NODE_BREAK, line);
    } else if (take_name(p, "continue")) {
        n = node_make(p, NODE_CONTINUE, line);
    } else if (take_name(p, "generation")) { // marks for other tools; our spans come from the rendering
        leave_tag(p);
        n = parse_body(p, generation_ends);
        next(p);
    } else {
        char why[96];
        snprintf(why, sizeof why, "the statement \"%.*s\" is not known here",
            (int)(p->token.bytes < 40 ? p->token.bytes : 40), p->token.kind == TOKEN_NAME ? p->token.text : "");
        fail(p, line, why);
    }
    leave_tag(p);
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
            if (ends) fail(p, line, why);
            break;
        }
        if (tag == '#') {
            skip_comment(p);
            continue;
        }
        p->closing = tag == '{' ? '}' : '%';
        p->brackets = 0;
        next(p);
        struct node *n;
        if (tag == '{') {
            n = node_make(p, NODE_PRINT, p->token.line);
            n->a = parse_expression(p);
            leave_tag(p);
        } else {
            bool over = false;
            for (const char *const *name = ends; name && *name; name++) over = over || at_name(p, *name);
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
