// SPDX-License-Identifier: MIT
//
// unicode.h: repair of invalid UTF-8 and canonical composition (NFC), with a map back to the bytes of the caller.
#ifndef PUMICE_UNICODE_H
#define PUMICE_UNICODE_H

#include "base.h"

// Text made from a source text. ends[i] is the number of source bytes up to and including those that byte i was made
// from; it never falls. Start from {0} and reuse; the arrays are owned.
struct mapped {
    struct text text;
    uint32_t *ends;  // (text.bytes)
    size_t capacity; // of ends
};
void mapped_clear(struct mapped *m); // keeps the memory
void mapped_free(struct mapped *m);
// Adds `bytes` bytes that were all made from what ends at source byte `end`.
void mapped_add(struct mapped *m, const char *data, size_t bytes, uint32_t end);
// Adds bytes that stand for themselves: ends are source_ends, or base + 1 and on where that is NULL.
void mapped_copy(struct mapped *m, const char *data, size_t bytes, const uint32_t *source_ends, uint32_t base);

// The length of the longest valid beginning of s (Unicode 15, table 3-7: no surrogates, shortest forms only).
size_t utf8_valid(const char *s, size_t bytes);
// The character at s, which must be the start of one of valid UTF-8; *length becomes its 1 to 4 bytes.
uint32_t utf8_read(const char *s, size_t *length);
// Writes character c to s (4 bytes of room) and returns its length.
size_t utf8_write(char *s, uint32_t c);

// Adds s to `out` with every maximal subpart of an ill-formed sequence replaced by U+FFFD (the Unicode standard,
// section 3.9, "U+FFFD substitution of maximal subparts"; Python's bytes.decode(errors="replace")).
void utf8_repair(struct text *out, const char *s, size_t bytes);
// The same with the map; source byte numbers start at 0 for the first byte of s.
void utf8_repair_mapped(struct mapped *out, const char *s, size_t bytes);

// Unicode's White_Space, which is what \s means to the tokenizers of Hugging Face (PCRE2's own \s has U+180E too).
#define WHITE_SPACE_RANGES 10
extern const uint32_t white_space_ranges[WHITE_SPACE_RANGES][2]; // first and last, sorted
bool white_space(uint32_t c);

// True when s (valid UTF-8) may differ from its NFC; false is certain.
bool nfc_wanted(const char *s, size_t bytes);
// Adds the NFC of s (valid UTF-8). source_ends[i] is what byte i of s maps to, NULL for base + i + 1. A character
// composed of several ends where the last of them ends.
void nfc(struct mapped *out, const char *s, size_t bytes, const uint32_t *source_ends, uint32_t base);

#endif
