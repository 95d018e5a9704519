// SPDX-License-Identifier: MIT
#include "data/unicode.h"
#include "test.h"

// Repairs s, checks the text and the ends, which stand in a list of numbers.
static void repairs(const char *s, size_t bytes, const char *want, const char *want_ends)
{
    struct text out = {0}, ends = {0};
    struct mapped m = {0};
    text_add(&out, "", 0), text_add(&ends, "", 0);
    utf8_repair(&out, s, bytes);
    utf8_repair_mapped(&m, s, bytes);
    CHECK_STRING(out.data, want);
    CHECK(m.text.bytes == out.bytes && memcmp(m.text.data, out.data, out.bytes) == 0);
    for (size_t i = 0; i < m.text.bytes; i++) text_print(&ends, "%s%u", i ? " " : "", m.ends[i]);
    CHECK_STRING(ends.data, want_ends);
    text_free(&out), text_free(&ends);
    mapped_free(&m);
}

#define R "\xef\xbf\xbd"
#define REPAIRS(s, want, ends) repairs(s, sizeof(s) - 1, want, ends)

// The Unicode standard, section 3.9, tables 3-8 to 3-11, and the borders of table 3-7.
static void repair(void)
{
    REPAIRS("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
            "A",
        R R R R R R R R "A", "1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7 8 8 8 9");
    REPAIRS("\xed\xa0\x80\xed\xbf\xbf\xed\xaf"
            "A",
        R R R R R R R R "A", "1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7 8 8 8 9");
    REPAIRS("\xf4\x91\x92\x93\xff"
            "A\x80\xbf"
            "B",
        R R R R R "A" R R "B", "1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 7 7 7 8 8 8 9");
    REPAIRS("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
            "A",
        R R R R "A", "2 2 2 3 3 3 6 6 6 8 8 8 9");
    REPAIRS("\xf0\x9f\x98", R, "3 3 3");
    REPAIRS("\xf0\x9f\x98\xc3\xa9", R "\xc3\xa9", "3 3 3 4 5");
    REPAIRS("\xc1\xbf\xf5\x80", R R R R, "1 1 1 2 2 2 3 3 3 4 4 4");
    static const char *const good[] = {"", "ascii of more than eight bytes", "\xc2\x80\xdf\xbf",
        "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(utf8_valid(good[i], strlen(good[i])) == strlen(good[i]));
    CHECK(utf8_valid("12345678\xc3", 9) == 8 && utf8_valid("1234567\xff", 8) == 7);
}

static void reading(void)
{
    int wrong = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        char s[4];
        size_t n = utf8_write(s, c), read;
        wrong += utf8_valid(s, n) != n || utf8_read(s, &read) != c || read != n;
    }
    CHECK(wrong == 0);
    CHECK(white_space(' ') && white_space(0x85) && white_space(0x200a) && white_space(0x3000));
    CHECK(!white_space(0x1c) && !white_space(0x180e) && !white_space(0x200b) && !white_space(0xfeff) &&
          !white_space('a'));
}

static void normalises(const char *s, const char *want, const char *want_ends)
{
    struct mapped m = {0};
    struct text ends = {0};
    text_add(&ends, "", 0);
    nfc(&m, s, strlen(s), NULL, 100);
    CHECK_STRING(m.text.data, want);
    for (size_t i = 0; i < m.text.bytes; i++) text_print(&ends, "%s%u", i ? " " : "", m.ends[i] - 100);
    CHECK_STRING(ends.data, want_ends);
    CHECK(nfc_wanted(s, strlen(s)) || strcmp(s, want) == 0);
    text_free(&ends);
    mapped_free(&m);
}

static void composition(void)
{
    normalises("abc\u00e9", "abc\u00e9", "1 2 3 4 5");
    normalises("e\u0301x", "\u00e9x", "3 3 4");
    normalises("q\u0307\u0323.", "q\u0323\u0307.", "1 5 5 5 5 6"); // reordered: both marks end where the later one did
    normalises("a\u0316\u0301z", "\u00e1\u0316z", "5 5 5 5 6");    // composed over a mark in between
    normalises("a\u0305\u0301z", "a\u0305\u0301z", "1 2 3 4 5 6"); // blocked: stays, byte by byte
    normalises("\u1100\u1161\u11a8\u1161", "\uac01\u1161", "9 9 9 12 12 12");
    normalises("\u212b\u0958", "\u00c5\u0915\u093c", "3 3 6 6 6 6 6 6");
    normalises("\u0301\u0301", "\u0301\u0301", "1 2 3 4");
    normalises("\u09c7\u09be", "\u09cb", "6 6 6");
    // Encoded after Unicode 9.0: left alone, as the reference does.
    normalises("a\u0898\u0323", "a\u0898\u0323", "1 2 3 4 5 6");

    // Source ends of a text that was changed before.
    struct mapped m = {0};
    nfc(&m, "e\u0301", 3, (const uint32_t[]){4, 9, 9}, 3);
    CHECK(m.text.bytes == 2 && m.ends[0] == 9 && m.ends[1] == 9);
    mapped_free(&m);
}

// Every character alone, with marks behind it, between a composable pair, and between two Hangul letters. The expected
// hash is printed by tools/golden_tokenizer.py.
static void all_characters(void)
{
    static const char *const around[][2] = {
        {"", ""}, {"", "\u0334\u0323\u0301"}, {"e\u0301", "\u0323"}, {"\u1100", "\u11a8"}};
    uint64_t hash = FNV_START;
    for (uint32_t first = 0; first < 0x110000; first += 4096) {
        for (size_t k = 0; k < 4; k++) {
            struct text line = {0};
            struct mapped m = {0};
            for (uint32_t c = first; c < first + 4096; c++) {
                char s[4];
                if (c >= 0xd800 && c < 0xe000) continue;
                if (line.bytes) text_add(&line, "\n", 1);
                text_add(&line, around[k][0], strlen(around[k][0]));
                text_add(&line, s, utf8_write(s, c));
                text_add(&line, around[k][1], strlen(around[k][1]));
            }
            nfc(&m, line.data, line.bytes, NULL, 0);
            if (!nfc_wanted(line.data, line.bytes)) CHECK(memcmp(m.text.data, line.data, line.bytes) == 0);
            hash = fnv1a(hash, m.text.data, m.text.bytes);
            text_free(&line);
            mapped_free(&m);
        }
    }
    CHECK_SAY(hash == UINT64_C(0x542c1a03c5b6a127), "hash %016llx", (unsigned long long)hash);
}

int main(void)
{
    repair();
    reading();
    composition();
    all_characters();
    return test_end();
}
