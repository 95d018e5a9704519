// SPDX-License-Identifier: MIT
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer_split.h"

#include "data/unicode.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

// Matching a pattern may not take more steps than this at one place: far more than the known patterns need for
// hundreds of megabytes of spaces, few enough that a hopeless pattern ends after seconds.
#define MATCH_LIMIT 500000000u

// Rewriting a pattern for PCRE2.
struct rewrite {
    const char *pattern, *at;
    struct text out;
    struct error *e;
};

static int refuse(struct rewrite *r, const char *what)
{
    return error_set(
        r->e, "the pattern \"%.200s\": %s at byte %td is not understood", r->pattern, what, r->at - r->pattern);
}

// The ranges of White_Space, or of all else, as the inside of a class.
static void add_white_space(struct text *out, bool all_else)
{
    uint32_t next = 0;
    for (size_t i = 0; i < WHITE_SPACE_RANGES; i++) {
        const uint32_t *range = white_space_ranges[i];
        if (all_else && next < range[0]) text_print(out, "\\x{%x}-\\x{%x}", next, range[0] - 1);
        if (!all_else) text_print(out, "\\x{%x}-\\x{%x}", range[0], range[1]);
        next = range[1] + 1;
    }
    if (all_else) text_print(out, "\\x{%x}-\\x{10ffff}", next);
}

// \p{Name}, \P{Name}, \p{^Name}, \pL: general categories have one or two letters; longer names are taken for scripts,
// by their own property and not by the extensions that PCRE2 assumes.
static int property(struct rewrite *r)
{
    bool negative = *r->at++ == 'P';
    char name[40];
    size_t n = 0;
    if (*r->at == '{') {
        r->at++;
        if (*r->at == '^') negative = !negative, r->at++;
        while (n + 1 < sizeof name && (isalnum((unsigned char)*r->at) || *r->at == '_')) name[n++] = *r->at++;
        if (*r->at != '}') return refuse(r, "the property");
    } else if (isalpha((unsigned char)*r->at)) {
        name[n++] = *r->at;
    }
    if (n == 0) return refuse(r, "the property");
    r->at++;
    name[n] = 0;
    text_print(&r->out, "\\%c{%s%s}", negative ? 'P' : 'p', n > 2 ? "sc:" : "", name);
    return 0;
}

// \xHH, \x{H...}, \uHHHH.
static int number(struct rewrite *r)
{
    bool four = *r->at++ == 'u', braces = !four && *r->at == '{';
    if (braces) r->at++;
    uint32_t c = 0;
    int digits = 0, wanted = four ? 4 : braces ? 8 : 2;
    for (; digits < wanted && isxdigit((unsigned char)*r->at); digits++) {
        char digit[2] = {*r->at++, 0};
        c = c << 4 | (uint32_t)strtoul(digit, NULL, 16);
    }
    if (digits == 0 || (four && digits < 4)) return refuse(r, "the character number");
    if (braces && *r->at++ != '}') return refuse(r, "the character number");
    // Without braces or \u Oniguruma reads a byte of UTF-8.
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000) || (!braces && !four && c > 0x7f))
        return refuse(r, "the character number");
    text_print(&r->out, "\\x{%x}", (unsigned)c);
    return 0;
}

// An escape; r->at stands behind the backslash.
static int escape(struct rewrite *r, bool in_class)
{
    char c = *r->at;
    bool set = c && strchr("sSdDpP", c);
    // A set cannot end a range; after one, a hyphen would begin a range with what it is rewritten to.
    if (set && in_class && r->out.data[r->out.bytes - 1] == '-') return refuse(r, "a set after '-'");
    if (c == 'p' || c == 'P') {
        if (property(r)) return -1;
    } else if (c == 's' || c == 'S') {
        if (!in_class) text_print(&r->out, c == 's' ? "[" : "[^");
        add_white_space(&r->out, in_class && c == 'S');
        if (!in_class) text_print(&r->out, "]");
        r->at++;
    } else if (c == 'd' || c == 'D') {
        text_print(&r->out, "\\%c{Nd}", c == 'd' ? 'p' : 'P');
        r->at++;
    } else if (c == 'x' || c == 'u') {
        if (number(r)) return -1;
    } else if (c && (strchr("rntf", c) || (ispunct((unsigned char)c)) || c == ' ')) {
        text_print(&r->out, "\\%c", c);
        r->at++;
    } else {
        return refuse(r, "the escape");
    }
    if (set && in_class && r->at[0] == '-' && r->at[1] != ']') return refuse(r, "'-' after a set");
    return 0;
}

static int class(struct rewrite *r)
{
    text_add(&r->out, r->at++, 1);
    if (*r->at == '^') text_add(&r->out, r->at++, 1);
    if (*r->at == ']') return refuse(r, "']' at the start of a class");
    while (*r->at != ']') {
        if (!*r->at) return refuse(r, "a class without end");
        if (*r->at == '[') return refuse(r, "a class inside a class");
        if (r->at[0] == '&' && r->at[1] == '&') return refuse(r, "an intersection of classes");
        if (*r->at != '\\') {
            text_add(&r->out, r->at++, 1);
        } else {
            r->at++;
            if (escape(r, true)) return -1;
        }
    }
    text_add(&r->out, r->at++, 1);
    return 0;
}

static int group(struct rewrite *r)
{
    static const char *const known[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    if (r->at[1] == '*') return refuse(r, "a verb");
    size_t n = r->at[1] == '?' ? 0 : 1;
    for (size_t i = 0; n == 0 && i < sizeof known / sizeof *known; i++)
        if (strncmp(r->at, known[i], strlen(known[i])) == 0) n = strlen(known[i]);
    if (n == 0) return refuse(r, "the kind of group");
    text_add(&r->out, r->at, n);
    r->at += n;
    return 0;
}

// {n}, {n,}, {n,m}
static int repeat(struct rewrite *r)
{
    size_t n = 1 + strspn(r->at + 1, "0123456789");
    bool comma = r->at[n] == ',';
    bool first = n > 1;
    if (comma) n += 1 + strspn(r->at + n + 1, "0123456789");
    if (!first || r->at[n] != '}' || (r->at[n + 1] && strchr("+?*{", r->at[n + 1]))) return refuse(r, "the repeat");
    text_add(&r->out, r->at, n + 1);
    r->at += n + 1;
    return 0;
}

static int rewrite(struct rewrite *r)
{
    while (*r->at) {
        int status = 0;
        if (*r->at == '\\') {
            r->at++;
            status = escape(r, false);
        } else if (*r->at == '[') {
            status = class(r);
        } else if (*r->at == '(') {
            status = group(r);
        } else if (*r->at == '{') {
            status = repeat(r);
        } else if (*r->at == '^' || *r->at == '$') {
            status = refuse(r, "an anchor");
        } else {
            text_add(&r->out, r->at++, 1);
        }
        if (status) return -1;
    }
    return 0;
}

int split_make(struct split_stage *s, const char *pattern, enum split_behavior behavior, bool invert, struct error *e)
{
    *s = (struct split_stage){.behavior = behavior, .invert = invert};
    struct rewrite r = {.pattern = pattern, .at = pattern, .e = e};
    text_add(&r.out, "", 0);
    int status = rewrite(&r);
    if (status == 0) {
        int code;
        PCRE2_SIZE where;
        pcre2_compile_context *context = pcre2_compile_context_create(NULL);
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        s->code = pcre2_compile((PCRE2_SPTR)r.out.data, r.out.bytes, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
            &code, &where, context);
        pcre2_compile_context_free(context);
        if (!s->code) {
            PCRE2_UCHAR why[200];
            pcre2_get_error_message(code, why, sizeof why);
            status = error_set(e, "the pattern \"%.200s\" is refused by PCRE2: %s", pattern, (const char *)why);
        } else {
            pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); // without JIT it is only slower
        }
    }
    text_free(&r.out);
    return status;
}

char *split_literal(const char *text)
{
    struct text out = {0};
    text_add(&out, "", 0);
    for (; *text; text++) {
        if (ispunct((unsigned char)*text)) text_add(&out, "\\", 1);
        text_add(&out, text, 1);
    }
    return out.data;
}

void split_free(struct split_stage *s)
{
    pcre2_code_free(s->code);
    s->code = NULL;
}

void split_work_make(struct split_work *w)
{
    w->match = pcre2_match_data_create(8, NULL);
    w->context = pcre2_match_context_create(NULL);
    w->stack = pcre2_jit_stack_create(32 << 10, 64 << 20, NULL); // grows as it is needed
    if (!w->match || !w->context || !w->stack) {
        fprintf(stderr, "pumice: out of memory (matching patterns)\n");
        exit(1);
    }
    pcre2_jit_stack_assign(w->context, NULL, w->stack);
    pcre2_set_match_limit(w->context, MATCH_LIMIT);
}

void split_work_free(struct split_work *w)
{
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->context);
    pcre2_jit_stack_free(w->stack);
    *w = (struct split_work){0};
}

// The first match at or after byte `from`: 1, 0 when there is none, -1 with the reason.
static int find(const struct split_stage *s, const struct split_work *w, const char *text, size_t bytes, size_t from,
    size_t *start, size_t *end, struct error *e)
{
    int n = pcre2_match(s->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK, w->match, w->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) // the interpreter keeps its stack on the heap
        n = pcre2_match(
            s->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->match, w->context);
    if (n == PCRE2_ERROR_NOMATCH) return 0;
    if (n < 0) {
        PCRE2_UCHAR why[200];
        pcre2_get_error_message(n, why, sizeof why);
        return error_set(
            e, "the tokenizer's pattern gives up at byte %zu of a text of %zu: %s", from, bytes, (const char *)why);
    }
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(w->match);
    *start = bounds[0], *end = bounds[1];
    return 1;
}

bool split_matches(const struct split_stage *s, const struct split_work *w, const char *text, size_t bytes)
{
    size_t start, end;
    return find(s, w, text, bytes, 0, &start, &end, NULL) == 1;
}

// What has been cut off and is not given out yet.
struct cutter {
    const struct split_stage *stage;
    split_piece *piece;
    void *context;
    struct error *e;
    size_t start, end; // SPLIT_CONTIGUOUS: a stretch that may go on
    bool match;
};

static int cut(struct cutter *c, size_t start, size_t end, bool match)
{
    match ^= c->stage->invert;
    if (c->stage->behavior == SPLIT_REMOVED && match) return 0;
    if (c->stage->behavior != SPLIT_CONTIGUOUS) return start < end ? c->piece(c->context, start, end, c->e) : 0;
    if (match == c->match) {
        c->end = end;
        return 0;
    }
    int status = c->start < c->end ? c->piece(c->context, c->start, c->end, c->e) : 0;
    c->start = start, c->end = end, c->match = match;
    return status;
}

int split_text(const struct split_stage *s, const struct split_work *w, const char *text, size_t bytes,
    split_piece *piece, void *context, struct error *e)
{
    if (!s->code) return bytes ? piece(context, 0, bytes, e) : 0;
    struct cutter c = {.stage = s, .piece = piece, .context = context, .e = e};
    size_t from = 0, cut_to = 0, match_end = SIZE_MAX, start, end;
    int status = 0, found = 0;
    while (status == 0 && from <= bytes && (found = find(s, w, text, bytes, from, &start, &end, e)) == 1) {
        if (start == end && end == match_end) { // nothing, right after a match: go on a character further
            size_t n = 1;
            if (from < bytes) utf8_read(text + from, &n);
            from += n;
            continue;
        }
        from = match_end = end;
        if (cut_to < start) status = cut(&c, cut_to, start, false);
        if (status == 0) status = cut(&c, start, end, true);
        cut_to = end;
    }
    if (found < 0) return -1;
    if (status == 0 && cut_to < bytes) status = cut(&c, cut_to, bytes, false);
    if (status == 0 && c.start < c.end) status = piece(context, c.start, c.end, e);
    return status;
}
