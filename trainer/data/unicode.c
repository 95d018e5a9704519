// SPDX-License-Identifier: MIT
#include "data/unicode.h"

#include "data/tokenizer_nfc_tables.h"

#include <stdlib.h>
#include <string.h>

void mapped_clear(struct mapped *m)
{
    m->text.bytes = 0;
}

void mapped_free(struct mapped *m)
{
    text_free(&m->text);
    free(m->ends);
    *m = (struct mapped){0};
}

// Makes room for the ends of the last `bytes` bytes of the text and returns where they go.
static uint32_t *ends_of_last(struct mapped *m, size_t bytes)
{
    if (m->text.bytes > m->capacity) {
        m->capacity = m->text.capacity;
        m->ends = mem_resize(m->ends, m->capacity * sizeof *m->ends);
    }
    return m->ends + m->text.bytes - bytes;
}

void mapped_add(struct mapped *m, const char *data, size_t bytes, uint32_t end)
{
    text_add(&m->text, data, bytes);
    uint32_t *ends = ends_of_last(m, bytes);
    for (size_t i = 0; i < bytes; i++) ends[i] = end;
}

void mapped_copy(struct mapped *m, const char *data, size_t bytes, const uint32_t *source_ends, uint32_t base)
{
    text_add(&m->text, data, bytes);
    uint32_t *ends = ends_of_last(m, bytes);
    for (size_t i = 0; i < bytes; i++) ends[i] = source_ends ? source_ends[i] : base + (uint32_t)i + 1;
}

// The number of bytes at s that belong together: a whole character, or a maximal subpart of an ill-formed one.
static size_t utf8_take(const uint8_t *s, size_t bytes, bool *whole)
{
    uint8_t lead = s[0], low = 0x80, high = 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f; // no surrogates
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f; // nothing above U+10FFFF
    size_t n = 1;
    for (; n < length && n < bytes && s[n] >= low && s[n] <= high; n++) low = 0x80, high = 0xbf;
    *whole = n == length;
    return n;
}

size_t utf8_valid(const char *s, size_t bytes)
{
    size_t i = 0;
    while (i < bytes) {
        uint64_t eight;
        if (bytes - i >= 8 && (memcpy(&eight, s + i, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            i += 8;
            continue;
        }
        bool whole;
        size_t n = utf8_take((const uint8_t *)s + i, bytes - i, &whole);
        if (!whole) return i;
        i += n;
    }
    return i;
}

uint32_t utf8_read(const char *s, size_t *length)
{
    const uint8_t *p = (const uint8_t *)s;
    if (p[0] < 0x80) return *length = 1, p[0];
    if (p[0] < 0xe0) return *length = 2, (p[0] & 31u) << 6 | (p[1] & 63u);
    if (p[0] < 0xf0) return *length = 3, (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    return *length = 4, (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
}

size_t utf8_write(char *s, uint32_t c)
{
    uint8_t *p = (uint8_t *)s;
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, c >>= 6) p[i] = (uint8_t)(0x80 | (c & 63));
    p[0] = (uint8_t)((length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0) | c);
    return length;
}

static const char replacement[] = "\xef\xbf\xbd"; // U+FFFD

void utf8_repair(struct text *out, const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        size_t n = utf8_valid(s + i, bytes - i);
        text_add(out, s + i, n);
        i += n;
        bool whole;
        if (i == bytes) break;
        i += utf8_take((const uint8_t *)s + i, bytes - i, &whole);
        text_add(out, replacement, 3);
    }
}

void utf8_repair_mapped(struct mapped *out, const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        size_t n = utf8_valid(s + i, bytes - i);
        mapped_copy(out, s + i, n, NULL, (uint32_t)i);
        i += n;
        bool whole;
        if (i == bytes) break;
        i += utf8_take((const uint8_t *)s + i, bytes - i, &whole);
        mapped_add(out, replacement, 3, (uint32_t)i);
    }
}

const uint32_t white_space_ranges[WHITE_SPACE_RANGES][2] = {{0x9, 0xd}, {0x20, 0x20}, {0x85, 0x85}, {0xa0, 0xa0},
    {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};

bool white_space(uint32_t c)
{
    for (size_t i = 0; i < WHITE_SPACE_RANGES; i++)
        if (c >= white_space_ranges[i][0] && c <= white_space_ranges[i][1]) return true;
    return false;
}

// The row of a character that may change together with what stands before it, or NULL.
static const struct nfc_mark *mark_of(uint32_t c)
{
    size_t low = 0, high = sizeof nfc_marks / sizeof *nfc_marks;
    if (c < nfc_marks[0].first) return NULL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (nfc_marks[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof nfc_marks / sizeof *nfc_marks && nfc_marks[low].first <= c ? &nfc_marks[low] : NULL;
}

static const struct nfc_split *split_of(uint32_t c)
{
    size_t low = 0, high = sizeof nfc_splits / sizeof *nfc_splits;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (nfc_splits[middle].whole < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof nfc_splits / sizeof *nfc_splits && nfc_splits[low].whole == c ? &nfc_splits[low] : NULL;
}

// Hangul syllables: leading consonant, vowel, perhaps a trailing consonant (the Unicode standard, section 3.12).
enum { S0 = 0xac00, L0 = 0x1100, V0 = 0x1161, T0 = 0x11a7, LS = 19, VS = 21, TS = 28 };

// The character that a and b compose to, or 0.
static uint32_t composed(uint32_t a, uint32_t b)
{
    if (a >= L0 && a < L0 + LS && b >= V0 && b < V0 + VS) return S0 + ((a - L0) * VS + (b - V0)) * TS;
    if (a >= S0 && a < S0 + LS * VS * TS && (a - S0) % TS == 0 && b > T0 && b < T0 + TS) return a + (b - T0);
    size_t low = 0, high = sizeof nfc_pairs / sizeof *nfc_pairs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct nfc_split *row = &nfc_splits[nfc_pairs[middle]];
        if (row->first < a || (row->first == a && row->second < b))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == sizeof nfc_pairs / sizeof *nfc_pairs) return 0;
    const struct nfc_split *row = &nfc_splits[nfc_pairs[low]];
    return row->first == a && row->second == b ? row->whole : 0;
}

// One character of a stretch that is being normalised.
struct letter {
    uint32_t c, end, order;
    uint8_t class;
};

struct letters {
    struct letter *at;
    size_t count, capacity;
};

static void decompose(struct letters *out, uint32_t c, uint32_t end)
{
    const struct nfc_split *row = split_of(c);
    if (c >= S0 && c < S0 + LS * VS * TS) {
        uint32_t s = c - S0;
        decompose(out, L0 + s / (VS * TS), end);
        decompose(out, V0 + s % (VS * TS) / TS, end);
        if (s % TS) decompose(out, T0 + s % TS, end);
    } else if (row) {
        decompose(out, row->first, end);
        if (row->second) decompose(out, row->second, end);
    } else {
        const struct nfc_mark *mark = mark_of(c);
        GROW(out->at, out->count, out->capacity);
        out->at[out->count] = (struct letter){c, end, (uint32_t)out->count, mark ? mark->class : 0};
        out->count++;
    }
}

static int by_class(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

// Canonical ordering: every run of marks by class, marks of one class in their old order.
static void order_marks(struct letters *l)
{
    for (size_t i = 0; i < l->count;) {
        size_t first = i;
        while (i < l->count && l->at[i].class) i++;
        if (i - first > 1) qsort(l->at + first, i - first, sizeof *l->at, by_class);
        if (i == first) i++;
    }
}

static void compose(struct letters *l)
{
    size_t count = 0, starter = SIZE_MAX;
    for (size_t i = 0; i < l->count; i++) {
        struct letter x = l->at[i];
        // Blocked by what stands between: a mark of the same or a higher class.
        bool open = starter != SIZE_MAX && (count - 1 == starter || l->at[count - 1].class < x.class);
        uint32_t whole = open ? composed(l->at[starter].c, x.c) : 0;
        if (whole) {
            l->at[starter].c = whole;
            if (l->at[starter].end < x.end) l->at[starter].end = x.end;
            continue;
        }
        if (!x.class) starter = count;
        l->at[count++] = x;
    }
    l->count = count;
}

bool nfc_wanted(const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        if ((uint8_t)s[i] < 0xcc) { // below U+0300
            i++;
            continue;
        }
        size_t n;
        if (mark_of(utf8_read(s + i, &n))) return true;
        i += n;
    }
    return false;
}

void nfc(struct mapped *out, const char *s, size_t bytes, const uint32_t *source_ends, uint32_t base)
{
    struct letters letters = {0};
    struct text made = {0};
    for (size_t i = 0; i < bytes;) {
        // A stretch: a character and all that may change with it.
        size_t n, next = i;
        bool plain = !mark_of(utf8_read(s + i, &n));
        for (next += n; next < bytes && mark_of(utf8_read(s + next, &n)); next += n) plain = false;
        const uint32_t *ends = source_ends ? source_ends + i : NULL;
        if (plain) {
            mapped_copy(out, s + i, next - i, ends, base + (uint32_t)i);
            i = next;
            continue;
        }
        letters.count = 0;
        for (size_t k = i; k < next; k += n) {
            uint32_t c = utf8_read(s + k, &n);
            decompose(&letters, c, source_ends ? source_ends[k + n - 1] : base + (uint32_t)(k + n));
        }
        order_marks(&letters);
        compose(&letters);
        made.bytes = 0;
        for (size_t k = 0; k < letters.count; k++) {
            char bytes4[4];
            text_add(&made, bytes4, utf8_write(bytes4, letters.at[k].c));
        }
        if (made.bytes == next - i && memcmp(made.data, s + i, made.bytes) == 0) {
            mapped_copy(out, s + i, next - i, ends, base + (uint32_t)i);
        } else {
            uint32_t end = 0;
            for (size_t k = 0; k < letters.count; k++) {
                char bytes4[4];
                if (end < letters.at[k].end) end = letters.at[k].end;
                mapped_add(out, bytes4, utf8_write(bytes4, letters.at[k].c), end);
            }
        }
        i = next;
    }
    free(letters.at);
    text_free(&made);
}
