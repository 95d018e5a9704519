// SPDX-License-Identifier: MIT
#include "train/metrics.h"

#include "base.h"
#include "data/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Characters that a minus behind them is taken from.
static bool is_operand(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ')' || c == ']' || c == '%';
}

static size_t digits(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && is_digit(text[n])) n++;
    return n;
}

// Bytes of the minus that ends before `at`: a hyphen, or U+2212; 0: none.
static size_t minus_bytes(const char *text, size_t at)
{
    if (at && text[at - 1] == '-') return 1;
    return at >= 3 && memcmp(text + at - 3, "\xe2\x88\x92", 3) == 0 ? 3 : 0;
}

// Is the number that begins at `at` negative? A minus may stand before it, and a dollar sign on either side of that.
static bool is_negative(const char *text, size_t at)
{
    if (at && text[at - 1] == '$') at--;
    size_t minus = minus_bytes(text, at);
    if (!minus) return false;
    at -= minus;
    if (at && text[at - 1] == '$') at--;
    return !at || !is_operand(text[at - 1]);
}

// The number whose digits begin at `at`; returns the offset past it.
static size_t read_number(double *number, const char *text, size_t bytes, size_t at)
{
    struct text plain = {0};
    if (is_negative(text, at)) text_add(&plain, "-", 1);
    size_t n = digits(text + at, bytes - at);
    text_add(&plain, text + at, n);
    at += n;
    while (n && n <= 3 && at < bytes && text[at] == ',' && digits(text + at + 1, bytes - at - 1) == 3) {
        text_add(&plain, text + at + 1, 3);
        at += 4;
    }
    if (at < bytes && text[at] == '.' && (n = digits(text + at + 1, bytes - at - 1)) > 0) {
        text_add(&plain, text + at, n + 1);
        at += n + 1;
    }
    size_t sign = at + 1 < bytes && (text[at + 1] == '-' || text[at + 1] == '+');
    if (at < bytes && (text[at] == 'e' || text[at] == 'E') && (n = digits(text + at + 1 + sign, bytes - at - 1 - sign)) > 0) {
        text_add(&plain, text + at, 1 + sign + n);
        at += 1 + sign + n;
    }
    *number = strtod(plain.data, NULL);
    text_free(&plain);
    return at;
}

// The first or the last number of a text.
static bool find_number(double *number, const char *text, size_t bytes, bool last)
{
    bool found = false;
    for (size_t at = 0; at < bytes && (last || !found);) {
        bool point = text[at] == '.' && digits(text + at + 1, bytes - at - 1) && !(at && is_digit(text[at - 1]));
        bool begins = is_digit(text[at]) || point;
        if (!begins) {
            at++;
            continue;
        }
        at = read_number(number, text, bytes, at);
        found = true;
    }
    return found;
}

bool metric_number(double *number, const char *text, size_t bytes)
{
    for (size_t at = bytes; at >= 4; at--)
        if (memcmp(text + at - 4, "####", 4) == 0) {
            if (find_number(number, text + at, bytes - at, false)) return true;
            break;
        }
    return find_number(number, text, bytes, true);
}

bool metric_numeric(const char *text, size_t bytes, const char *reference)
{
    double a, b;
    return metric_number(&a, text, bytes) && metric_number(&b, reference, strlen(reference)) && fabs(a - b) <= 1e-4;
}

// A text in Unicode's composed form (NFC), in which an accent is a part of its letter however it was written. Returns the
// text itself, or what *m then holds; *bytes is its length.
static const char *compose(struct mapped *m, const char *text, size_t *bytes)
{
    size_t ascii = 0;
    while (ascii < *bytes && !(text[ascii] & 0x80)) ascii++;
    if (ascii == *bytes) return text;
    struct text repaired = {0};
    utf8_repair(&repaired, text, *bytes);
    nfc(m, repaired.data, repaired.bytes, NULL, 0);
    text_free(&repaired);
    *bytes = m->text.bytes;
    return m->text.data;
}

static bool stands_in(const char *text, size_t bytes, const char *part, size_t n)
{
    while (n && is_space(*part)) part++, n--;
    while (n && is_space(part[n - 1])) n--;
    for (size_t at = 0; n && at + n <= bytes; at++)
        if (memcmp(text + at, part, n) == 0) return true;
    return false;
}

bool metric_contains(const char *text, size_t bytes, const char *reference)
{
    struct mapped a = {0}, b = {0};
    size_t n = strlen(reference);
    text = compose(&a, text, &bytes);
    reference = compose(&b, reference, &n);
    bool found = stands_in(text, bytes, reference, n);
    mapped_free(&a);
    mapped_free(&b);
    return found;
}

// ---- words ---------------------------------------------------------------------------------------------------------

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool is_mark(char c)
{
    return c && strchr(".,;:!?\"'`()[]{}", c);
}

// Adds the words of a text, each with a space behind it.
static void add_words(struct text *out, const char *text, size_t bytes)
{
    struct mapped composed = {0};
    text = compose(&composed, text, &bytes);
    text_add(out, "", 0);
    for (size_t at = 0; at < bytes;) {
        size_t begin = at, end;
        if (is_space(text[at])) {
            at++;
            continue;
        }
        while (at < bytes && !is_space(text[at])) at++;
        for (end = at; end > begin && is_mark(text[end - 1]);) end--;
        while (begin < end && is_mark(text[begin]) && !(text[begin] == '.' && begin + 1 < end && is_digit(text[begin + 1])))
            begin++;
        for (size_t i = begin; i < end; i++) {
            char c = lower(text[i]);
            text_add(out, &c, 1);
        }
        if (begin < end) text_add(out, " ", 1);
    }
    mapped_free(&composed);
}

bool metric_cloze(const char *text, size_t bytes, const char *reference)
{
    struct text a = {0}, b = {0};
    add_words(&a, text, bytes);
    add_words(&b, reference, strlen(reference));
    bool same = b.bytes && a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
    text_free(&a);
    text_free(&b);
    return same;
}

// ---- true and false ------------------------------------------------------------------------------------------------

static const char *const verdict_words[][2] = {
    {"true", "false"}, {"yes", "no"}, {"correct", "incorrect"}, {"right", "wrong"}, {"true", "untrue"}, {"t", "f"}};
enum { PAIRS = sizeof verdict_words / sizeof *verdict_words, LETTERS = PAIRS - 1 }; // the last pair: single letters

// The pair that a word belongs to and its side, 0 true or 1 false; false if it is none.
static bool find_verdict(size_t *pair, int *side, const char *word, size_t bytes)
{
    for (*pair = 0; *pair < PAIRS; ++*pair)
        for (*side = 0; *side < 2; ++*side) {
            const char *name = verdict_words[*pair][*side];
            size_t n = 0;
            while (n < bytes && name[n] && lower(word[n]) == name[n]) n++;
            if (n == bytes && !name[n]) return true;
        }
    return false;
}

// The next word: letters, and apostrophes between them. False at the end.
static bool next_word(size_t *begin, size_t *end, const char *text, size_t bytes)
{
    size_t at = *end;
    while (at < bytes && !is_letter(text[at])) at++;
    *begin = at;
    while (at < bytes && (is_letter(text[at]) || (text[at] == '\'' && at > *begin && at + 1 < bytes && is_letter(text[at + 1]))))
        at++;
    *end = at;
    return at > *begin;
}

static bool is_negation(const char *word, size_t bytes)
{
    if (bytes == 3) return lower(word[0]) == 'n' && lower(word[1]) == 'o' && lower(word[2]) == 't';
    return bytes > 3 && lower(word[bytes - 3]) == 'n' && word[bytes - 2] == '\'' && lower(word[bytes - 1]) == 't';
}

enum verdict metric_verdict(const char *text, size_t bytes)
{
    size_t begin = 0, end = 0, words = 0, pair;
    int side;
    bool said[2] = {false, false}, letter[2] = {false, false}, negated = false;
    while (next_word(&begin, &end, text, bytes)) {
        words++;
        if (find_verdict(&pair, &side, text + begin, end - begin))
            *(pair == LETTERS ? &letter[side] : &said[side != (int)negated]) = true;
        negated = is_negation(text + begin, end - begin);
    }
    for (int i = 0; i < 2; i++) said[i] = said[i] || (words == 1 && letter[i]);
    return said[0] == said[1] ? VERDICT_NONE : said[0] ? VERDICT_TRUE : VERDICT_FALSE;
}

bool metric_verdict_words(char out[2][16], const char *reference)
{
    size_t bytes = strlen(reference), begin = 0, end = 0, pair;
    int side;
    while (next_word(&begin, &end, reference, bytes)) {
        if (!find_verdict(&pair, &side, reference + begin, end - begin)) continue;
        bool capital = reference[begin] != lower(reference[begin]);
        bool all = capital && end - begin > 1 && reference[begin + 1] != lower(reference[begin + 1]);
        for (int i = 0; i < 2; i++) {
            const char *name = verdict_words[pair][i];
            size_t n = 0;
            for (; name[n]; n++) out[i][n] = (char)(all || (capital && n == 0) ? name[n] - 'a' + 'A' : name[n]);
            out[i][n] = 0;
        }
        return true;
    }
    return false;
}
