// SPDX-License-Identifier: MIT
#include "data/jinja_token.h"
#include "data/unicode.h"

#include <stdlib.h>
#include <string.h>

bool token_is_space(char c)
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

void token_fail(struct parser *p, uint32_t line, const char *why)
{
    if (!p->failed) error_set(p->e, "line %u: %s", line, why);
    p->failed = true;
    p->token = (struct token){.kind = TOKEN_NOTHING, .line = p->line};
}

void token_step(struct parser *p)
{
    if (*p->at++ == '\n') p->line++;
}

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
    token_step(p);
    while (p->at < p->end && *p->at != quote) {
        if (*p->at != '\\' || p->at + 1 == p->end) {
            text_add(&t, p->at, 1);
            token_step(p);
            continue;
        }
        char c = p->at[1];
        const char *known = strchr(letters, c);
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : 0, value = digits ? hex_value(p->at + 2, p->end, digits) : -1;
        token_step(p);
        if (known && c) {
            text_add(&t, meanings + (known - letters), 1);
        } else if (value > 0 && (value < 0xd800 || value > 0xdfff)) {
            char utf8[4];
            text_add(&t, utf8, utf8_write(utf8, (uint32_t)value));
            p->at += digits;
        } else if (digits) {
            token_fail(p, p->line, "an escape in a string is not one that can be text");
        } else if (c != '\n') { // a backslash before the end of a line joins the lines; others stay
            text_add(&t, "\\", 1);
            text_add(&t, &c, 1);
        }
        token_step(p);
        if (p->failed) break;
    }
    if (p->at == p->end) token_fail(p, p->token.line, "a string is not closed");
    if (!p->failed) {
        token_step(p);
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
        token_fail(p, p->line, "a number is too long");
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

void token_next(struct parser *p)
{
    if (p->failed) return;
    while (p->at < p->end && token_is_space(*p->at)) token_step(p);
    p->token = (struct token){.kind = TOKEN_NOTHING, .line = p->line, .text = ""};
    if (p->at == p->end) {
        token_fail(p, p->line, "a tag is not closed");
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
        if (!memchr("=!<>/*+-~%|.,:()[]{}", *p->at, 20))
            token_fail(p, p->line, "a character does not belong into a tag");
        if (strchr("([{", *p->at)) p->brackets++;
        if (strchr(")]}", *p->at) && p->brackets) p->brackets--;
        p->at += p->token.bytes;
    }
}

bool token_at_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == TOKEN_SIGN && p->token.bytes == strlen(sign) &&
           memcmp(p->token.text, sign, p->token.bytes) == 0;
}

bool token_at_name(const struct parser *p, const char *name)
{
    return p->token.kind == TOKEN_NAME && p->token.bytes == strlen(name) &&
           memcmp(p->token.text, name, p->token.bytes) == 0;
}

bool token_take_sign(struct parser *p, const char *sign)
{
    bool here = token_at_sign(p, sign);
    if (here) token_next(p);
    return here;
}

bool token_take_name(struct parser *p, const char *name)
{
    bool here = token_at_name(p, name);
    if (here) token_next(p);
    return here;
}

void token_want_sign(struct parser *p, const char *sign)
{
    if (!token_take_sign(p, sign)) {
        char why[64];
        snprintf(why, sizeof why, "\"%s\" is missing", sign);
        token_fail(p, p->token.line, why);
    }
}

void token_leave_tag(struct parser *p)
{
    if (p->failed) return;
    size_t bytes = p->token.kind == TOKEN_TAG_END ? tag_end_bytes(p) : 0;
    if (!bytes) {
        token_fail(p, p->token.line, "the end of the tag is expected");
        return;
    }
    char sign = *p->at;
    p->at += bytes;
    const char *start = p->at;
    if (sign == '-')
        while (p->at < p->end && token_is_space(*p->at)) token_step(p);
    else if (sign != '+' && p->closing == '%' && p->at < p->end && *p->at == '\n')
        token_step(p);
    p->line_start = p->at > start && p->at[-1] == '\n';
}

void token_skip_comment(struct parser *p)
{
    uint32_t line = p->line;
    while (p->end - p->at >= 2 && memcmp(p->at, "#}", 2) != 0) token_step(p);
    if (p->end - p->at < 2) {
        token_fail(p, line, "a comment is not closed");
        return;
    }
    char sign = p->at[-1];
    p->at += 2;
    const char *start = p->at;
    if (sign == '-')
        while (p->at < p->end && token_is_space(*p->at)) token_step(p);
    else if (sign != '+' && p->at < p->end && *p->at == '\n')
        token_step(p);
    p->line_start = p->at > start && p->at[-1] == '\n';
}
