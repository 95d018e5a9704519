// SPDX-License-Identifier: MIT
//
// A strict scanner goes over the whole text first and finds whatever is wrong with it; cJSON, which is lenient and says
// little, builds the tree of what is known to be right.
#include "formats/json_file.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct key {
    uint64_t hash; // of the decoded text
    size_t start;  // where its quote stands
};

struct scan {
    const char *name;
    bool placed; // the name says the line too
    const uint8_t *text;
    size_t bytes, at;
    struct key *keys; // those of all objects that are open
    size_t key_count, key_capacity;
    struct text decoded;
    int depth;
    struct error *e;
};

// Sets "name:line:column: sentence, near `...`" for the byte at `at`; of one line that is placed "name: at column ...:".
static int fail(struct scan *s, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct scan *s, size_t at, const char *format, ...)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (s->text[i] == '\n')
            line++, column = 1;
        else if ((s->text[i] & 0xc0) != 0x80)
            column++; // characters, not bytes
    }
    char sentence[512], near[160];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    size_t n = 0, shown = 0;
    for (size_t i = at; i < s->bytes && shown < 24; i++) {
        uint8_t c = s->text[i];
        if (c == '\n' || c == '\r') break;
        bool plain = c >= 0x20 && c < 0x7f;
        n += (size_t)snprintf(near + n, sizeof near - n, plain ? "%c" : "\\x%02x", c);
        shown++;
    }
    near[n] = 0;
    if (at >= s->bytes)
        error_set(s->e, "%s, but the text ends here", sentence);
    else
        error_set(s->e, "%s, near `%s`", sentence, n ? near : "end of line");
    if (!s->placed) return error_prefix(s->e, "%s:%zu:%zu: ", s->name, line, column);
    error_prefix(s->e, "at column %zu: ", column);
    return line > 1 ? error_prefix(s->e, "%s: in its line %zu, ", s->name, line) : error_prefix(s->e, "%s: ", s->name);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->bytes && strchr(" \t\n\r", s->text[s->at]) && s->text[s->at]) s->at++;
}

// The byte at the cursor; 0 at the end (a NUL byte in the text is no valid byte anywhere either).
static uint8_t peek(const struct scan *s)
{
    return s->at < s->bytes ? s->text[s->at] : 0;
}

// Length of the valid UTF-8 character at p of which n bytes exist, or 0 (RFC 3629: no surrogates, shortest form).
static size_t utf8_length(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},
        {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (p[0] < rows[r].first_low || p[0] > rows[r].first_high) continue;
        if (rows[r].length > n) return 0;
        if (rows[r].length > 1 && (p[1] < rows[r].second_low || p[1] > rows[r].second_high)) return 0;
        for (size_t i = 2; i < rows[r].length; i++)
            if ((p[i] & 0xc0) != 0x80) return 0;
        return rows[r].length;
    }
    return 0;
}

static int hex4(const struct scan *s, size_t at)
{
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        uint8_t c = i < s->bytes ? s->text[i] : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_utf8(struct text *t, uint32_t c)
{
    uint8_t b[4];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (uint8_t)c;
    } else {
        if (c < 0x800) {
            b[n++] = (uint8_t)(0xc0 | c >> 6);
        } else {
            if (c < 0x10000) {
                b[n++] = (uint8_t)(0xe0 | c >> 12);
            } else {
                b[n++] = (uint8_t)(0xf0 | c >> 18);
                b[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
            }
            b[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
        }
        b[n++] = (uint8_t)(0x80 | (c & 63));
    }
    text_add(t, b, n);
}

// The escape at the cursor (a backslash); adds what it means to `decoded`.
static int scan_escape(struct scan *s)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t start = s->at++;
    uint8_t c = peek(s);
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        text_add(&s->decoded, &meanings[letter - letters], 1);
        s->at++;
        return 0;
    }
    if (c != 'u') return fail(s, start, "a backslash in a string must be followed by one of \"\\/bfnrtu");
    int unit = hex4(s, s->at + 1), low = -1;
    if (unit < 0) return fail(s, start, "\\u must be followed by four hexadecimal digits");
    if (unit == 0) return fail(s, start, "\\u0000 in a string cannot be kept");
    s->at += 5;
    if (unit >= 0xd800 && unit < 0xdc00 && peek(s) == '\\' && s->at + 1 < s->bytes && s->text[s->at + 1] == 'u')
        low = hex4(s, s->at + 2);
    if (low >= 0xdc00 && low < 0xe000) {
        s->at += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    } else if (unit >= 0xd800 && unit < 0xe000) {
        return fail(s, start, "half of a surrogate pair without the other");
    }
    add_utf8(&s->decoded, (uint32_t)unit);
    return 0;
}

// The string at the cursor (a quote); its meaning is left in `decoded`.
static int scan_string(struct scan *s)
{
    size_t start = s->at++;
    s->decoded.bytes = 0;
    for (;;) {
        size_t run = s->at;
        while (s->at < s->bytes && s->text[s->at] >= 0x20 && s->text[s->at] < 0x7f && s->text[s->at] != '"' &&
               s->text[s->at] != '\\')
            s->at++;
        text_add(&s->decoded, s->text + run, s->at - run);
        if (s->at == s->bytes) return fail(s, start, "this string has no closing quote");
        uint8_t c = s->text[s->at];
        if (c == '"') break;
        if (c == '\\') {
            if (scan_escape(s)) return -1;
        } else if (c == '\n') {
            return fail(s, start, "this string has no closing quote on its line");
        } else if (c < 0x20) {
            return fail(s, s->at, "a control character (byte 0x%02x) in a string must be written as an escape", c);
        } else {
            size_t n = utf8_length(s->text + s->at, s->bytes - s->at);
            if (!n) return fail(s, s->at, "invalid UTF-8");
            text_add(&s->decoded, s->text + s->at, n);
            s->at += n;
        }
    }
    s->at++;
    return 0;
}

static size_t digits(struct scan *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') s->at++;
    return s->at - start;
}

static int scan_number(struct scan *s)
{
    size_t start = s->at;
    if (peek(s) == '-') s->at++;
    size_t first = s->at;
    if (!digits(s)) return fail(s, start, "expected a number after '-'");
    if (s->text[first] == '0' && s->at - first > 1) return fail(s, start, "a number must not begin with 0");
    if (peek(s) == '.') {
        s->at++;
        if (!digits(s)) return fail(s, start, "a number needs a digit after its point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (!digits(s)) return fail(s, start, "a number needs a digit in its exponent");
    }
    char copy[64];
    size_t n = s->at - start;
    if (n >= sizeof copy) return fail(s, start, "a number of more than 63 characters");
    memcpy(copy, s->text + start, n);
    copy[n] = 0;
    if (!isfinite(strtod(copy, NULL))) return fail(s, start, "the number is too large");
    return 0;
}

static int scan_word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    static const char *const mistaken[][2] = {{"True", "write true"}, {"False", "write false"}, {"None", "write null"},
        {"NaN", "JSON has finite numbers only"}, {"Infinity", "JSON has finite numbers only"},
        {"'", "strings stand in double quotes"}, {"//", "JSON has no comments"}, {"/*", "JSON has no comments"},
        {"#", "JSON has no comments"}, {"}", "is there a comma too many before it?"},
        {"]", "is there a comma too many before it?"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (s->bytes - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
            s->at += n;
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof mistaken / sizeof *mistaken; i++) {
        size_t n = strlen(mistaken[i][0]);
        if (s->bytes - s->at >= n && memcmp(s->text + s->at, mistaken[i][0], n) == 0)
            return fail(s, s->at, "expected a value (%s)", mistaken[i][1]);
    }
    return fail(s, s->at, "expected a value");
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

// Looks for equal keys among those from `first` on, and takes them off the list.
static int close_object(struct scan *s, size_t first)
{
    struct key *keys = s->keys + first;
    size_t count = s->key_count - first, end = s->at;
    qsort(keys, count, sizeof *keys, compare_keys);
    s->key_count = first;
    for (size_t i = 1; i < count; i++) {
        if (keys[i].hash != keys[i - 1].hash) continue;
        // Equal hashes of different keys are not to be hoped for: decode both and compare.
        s->at = keys[i - 1].start;
        if (scan_string(s)) return -1;
        char *one = mem_string_n(s->decoded.data, s->decoded.bytes);
        s->at = keys[i].start;
        int status = scan_string(s);
        if (status == 0 && strcmp(one, s->decoded.data) == 0)
            status = fail(s, keys[i].start, "the key \"%.100s\" stands twice in one object", one);
        free(one);
        if (status) return status;
    }
    s->at = end;
    return 0;
}

static int scan_value(struct scan *s);

// The object or list at the cursor.
static int scan_container(struct scan *s, bool object)
{
    size_t first = s->key_count;
    const char *expected = object ? "expected ',' or '}'" : "expected ',' or ']'";
    uint8_t end = object ? '}' : ']';
    if (++s->depth > JSON_DEPTH) return fail(s, s->at, "nested more than %d levels deep", JSON_DEPTH);
    s->at++;
    skip_space(s);
    if (peek(s) == end) {
        s->at++, s->depth--;
        return 0;
    }
    for (;;) {
        if (object) {
            if (peek(s) == '}') return fail(s, s->at, "expected a key (is there a comma too many before it?)");
            if (peek(s) != '"') return fail(s, s->at, "expected a key in double quotes");
            size_t start = s->at;
            if (scan_string(s)) return -1;
            GROW(s->keys, s->key_count, s->key_capacity);
            s->keys[s->key_count++] = (struct key){fnv1a(FNV_START, s->decoded.data, s->decoded.bytes), start};
            skip_space(s);
            if (peek(s) != ':') return fail(s, s->at, "expected ':' after the key");
            s->at++;
            skip_space(s);
        }
        if (scan_value(s)) return -1;
        skip_space(s);
        if (peek(s) == end) break;
        if (peek(s) != ',') return fail(s, s->at, "%s", expected);
        s->at++;
        skip_space(s);
    }
    if (object && close_object(s, first)) return -1;
    s->at++, s->depth--;
    return 0;
}

static int scan_value(struct scan *s)
{
    uint8_t c = peek(s);
    if (c == '{' || c == '[') return scan_container(s, c == '{');
    if (c == '"') return scan_string(s);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    return scan_word(s);
}

static cJSON *read_text(const char *name, bool placed, const char *text, size_t bytes, struct error *e)
{
    size_t skip = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct scan s = {.name = name, .placed = placed, .text = (const uint8_t *)text + skip, .bytes = bytes - skip, .e = e};
    text_add(&s.decoded, "", 0);
    skip_space(&s);
    int status = s.at == s.bytes ? fail(&s, s.at, "expected a JSON value") : scan_value(&s);
    skip_space(&s);
    if (status == 0 && s.at < s.bytes) status = fail(&s, s.at, "expected nothing after the value");
    free(s.keys);
    text_free(&s.decoded);
    if (status) return NULL;
    cJSON *value = cJSON_ParseWithLengthOpts(text + skip, bytes - skip, NULL, 0);
    if (!value) error_set(e, "%s: cJSON cannot build the tree (out of memory?)", name);
    return value;
}

cJSON *json_read_text(const char *name, const char *text, size_t bytes, struct error *e)
{
    return read_text(name, false, text, bytes, e);
}

cJSON *json_read_row(const char *place, const char *text, size_t bytes, struct error *e)
{
    return read_text(place, true, text, bytes, e);
}

cJSON *json_read_file(const char *path, struct error *e)
{
    struct file_map f;
    if (file_map(&f, path, e)) return NULL;
    cJSON *value = json_read_text(path, (const char *)f.data, f.bytes, e);
    file_unmap(&f);
    return value;
}

// Turns numbers into ready texts: cJSON's own printing is content with a number within a rounding of the one meant.
static void spell_numbers(cJSON *item)
{
    for (; item; item = item->next) {
        spell_numbers(item->child);
        if (!cJSON_IsNumber(item)) continue;
        char text[32] = "null";
        for (int n = 15; n <= 17 && isfinite(item->valuedouble); n++) {
            snprintf(text, sizeof text, "%.*g", n, item->valuedouble);
            if (strtod(text, NULL) == item->valuedouble) break;
        }
        item->type = cJSON_Raw | (item->type & ~0xff); // the bits above are cJSON's notes on ownership
        item->valuestring = mem_string(text);
    }
}

char *json_print(const cJSON *value, bool indented)
{
    cJSON *copy = cJSON_Duplicate(value, 1);
    spell_numbers(copy);
    char *text = indented ? cJSON_Print(copy) : cJSON_PrintUnformatted(copy);
    cJSON_Delete(copy);
    if (text) return text;
    say("pumice: out of memory (printing JSON)");
    exit(1);
}

int json_write_file(const char *path, const cJSON *value, struct error *e)
{
    char *text = json_print(value, true);
    size_t n = strlen(text);
    text[n] = '\n'; // in place of the final 0
    int status = file_write_atomic(path, text, n + 1, e);
    free(text);
    return status;
}

const cJSON *json_member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

double json_number(const cJSON *object, const char *name)
{
    const cJSON *item = json_member(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

const char *json_text(const cJSON *object, const char *name)
{
    const cJSON *item = json_member(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}
