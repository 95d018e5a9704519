// SPDX-License-Identifier: MIT
#include "train/metrics.h"
#include "base.h"
#include "test.h"

static void test_numbers(void)
{
    static const struct {
        const char *text;
        double want; // NAN: none
    } cases[] = {{"", NAN}, {"none", NAN}, {"42", 42}, {"The answer is 42.", 42}, {"3 + 4 = 7", 7}, {"7 or 8?", 8},
        {"#### 5", 5}, {"1 2 3 #### 4 5 6", 4}, {"#### 1\n#### 2\n", 2}, {"####9", 9}, {"##### 3", 3},
        {"it is 12 #### dunno", 12}, {"####", NAN}, {"#### ", NAN}, {"$1,234.50", 1234.5}, {"1,234,567", 1234567},
        {"1,2,3", 3}, {"(3,400)", 3400}, {"12,3456", 3456}, {"1234,567", 567}, {"1,234,56", 56}, {"-5", -5},
        {"-$5", -5}, {"$-5", -5}, {"7-3", 3}, {"7 - 3", 3}, {"7 - 3 = -4", -4}, {"x-3", 3}, {"(2)-3", 3}, {"a: -3", -3},
        {"$7-$3", 3}, {"--3", -3}, {".5", 0.5}, {"-.5", -0.5}, {"3.", 3}, {"3.25.", 3.25}, {"v1.2.3", 3}, {"0.1", 0.1},
        {"007", 7}, {"50%", 50}, {"2 apples, 3 pears", 3}, {"10,", 10}, {"10,000,", 10000}, {"10.,000", 0}, {"$", NAN},
        {"-", NAN}, {".", NAN}, {"#### -12", -12}, {"#### $1,000", 1000}, {"####\n\n  18", 18},
        {"99999999999999999999999999999999999999", 1e38}, {"a1b2c", 2}, {"1.5e-3", 1.5e-3}, {"1e15", 1e15}, {"2E+3.", 2000}, {"-5e1", -50},
        {"5e", 5}, {"5e-", 5}, {"5 e3", 3}, {"1e21", 1e21},
        {"\xe2\x88\x92" "5", -5}, {"7 \xe2\x88\x92 3 = \xe2\x88\x92$4", -4}, {"7\xe2\x88\x92" "3", 3},
        {"\xe2\x88\x93" "5", 5}, {"\x88\x92" "5", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double got = NAN;
        bool found = metric_number(&got, cases[i].text, strlen(cases[i].text));
        CHECK_SAY(found == !isnan(cases[i].want) && (!found || got == cases[i].want), "\"%s\" gives %g, want %g",
            cases[i].text, got, cases[i].want);
    }
    double got;
    CHECK(metric_number(&got, "12345", 2) && got == 12); // no byte beyond the text is read
    CHECK(metric_number(&got, "1,234", 4) && got == 23);
    CHECK(metric_number(&got, "1e23", 2) && got == 1 && metric_number(&got, "1e-3", 3) && got == 1);
    CHECK(metric_number(&got, "a\0b7", 4) && got == 7);
    CHECK(!metric_number(&got, "####", 3));
}

static void test_metrics(void)
{
    static const struct {
        const char *text, *reference;
        bool numeric, contains;
    } cases[] = {{"so it is 7", "3 + 4 = 7\n#### 7", true, false}, {"#### 7", "7", true, true},
        {"7.00009", "7", true, true}, {"7.0002", "7", false, true}, {"7.0001", "7", true, true},
        {"-7", "7", false, true}, {"1,000", "1000", true, false}, {"Paris.", "Paris", false, true},
        {"paris", "Paris", false, false}, {"in Paris", " Paris\n", false, true}, {"", "Paris", false, false},
        {"Par", "Paris", false, false}, {"anything", "", false, false}, {"anything", " \n", false, false},
        {"no number", "none", false, false}, {"a b", "a b", false, true},
        {"in Bras\xc3\xadlia", "Brasi\xcc\x81lia", false, true}, {"Brasi\xcc\x81lia.", "Bras\xc3\xadlia", false, true},
        {"Brasilia", "Bras\xc3\xadlia", false, false}, {"Brasi\xcc\x81lia", "Brasilia", false, false},
        {"\xff Bras\xc3\xadlia \xc3", "Brasi\xcc\x81lia", false, true},
        {"1000000000000000", "1e15", true, false}, {"15", "1e15", false, false}, {"5", "0.00005", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bytes = strlen(cases[i].text);
        CHECK_SAY(metric_numeric(cases[i].text, bytes, cases[i].reference) == cases[i].numeric,
            "numeric: \"%s\", \"%s\"", cases[i].text, cases[i].reference);
        CHECK_SAY(metric_contains(cases[i].text, bytes, cases[i].reference) == cases[i].contains,
            "contains: \"%s\", \"%s\"", cases[i].text, cases[i].reference);
    }
}

static void test_cloze(void)
{
    static const struct {
        const char *text, *reference;
        bool same;
    } cases[] = {{"Paris", "Paris", true}, {" paris.\n", "Paris", true}, {"\"Paris\"", "Paris", true},
        {"(PARIS)!", "paris", true}, {"in Paris", "Paris", false}, {"Pariss", "Paris", false}, {"", "Paris", false},
        {"...", "Paris", false}, {"Paris", "", false}, {"", "", false}, {"!", "!", false}, {"red, green", "red green", true},
        {"red\ngreen", "Red; Green", true}, {"green red", "red green", false}, {"redgreen", "red green", false},
        {"red . green", "red green", true}, {"-5", "5", false}, {"3.5.", "3.5", true}, {"35", "3.5", false},
        {".5", "5", false}, {".5", ".5", true}, {"don't", "dont", false}, {"don't", "'don't'", true},
        {"re-use", "reuse", false}, {"New  York", "new york", true}, {"caf\xc3\xa9", "Caf\xc3\xa9.", true},
        {"CAF\xc3\x89", "caf\xc3\xa9", false}, {"cafe\xcc\x81", "caf\xc3\xa9", true}, {"$5", "5", false}, {"12", "12", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_SAY(metric_cloze(cases[i].text, strlen(cases[i].text), cases[i].reference) == cases[i].same, "\"%s\", \"%s\"",
            cases[i].text, cases[i].reference);
    CHECK(metric_cloze("cats and dogs", 4, "cats") && !metric_cloze("cats", 3, "cats"));
    CHECK(!metric_cloze("a\0b", 3, "a"));
}

static void test_verdicts(void)
{
    static const struct {
        const char *text;
        enum verdict want;
    } cases[] = {{"true", VERDICT_TRUE}, {"True.", VERDICT_TRUE}, {"FALSE", VERDICT_FALSE}, {"", VERDICT_NONE},
        {"Yes, it is.", VERDICT_TRUE}, {"no", VERDICT_FALSE}, {"That is correct.", VERDICT_TRUE},
        {"This is incorrect", VERDICT_FALSE}, {"It is wrong!", VERDICT_FALSE}, {"untrue", VERDICT_FALSE},
        {"It is not true.", VERDICT_FALSE}, {"That isn't correct", VERDICT_FALSE}, {"NOT wrong", VERDICT_TRUE},
        {"not at all; false", VERDICT_FALSE}, {"true or false", VERDICT_NONE}, {"yes and no", VERDICT_NONE},
        {"true, true, true", VERDICT_TRUE}, {"maybe", VERDICT_NONE}, {"truest", VERDICT_NONE}, {"unfalse", VERDICT_NONE},
        {"T", VERDICT_TRUE}, {" (f)", VERDICT_FALSE}, {"T F", VERDICT_NONE}, {"It's T", VERDICT_NONE},
        {"No, that's right", VERDICT_NONE}, {"No, that's not right", VERDICT_FALSE}, {"n't true", VERDICT_TRUE},
        {"'true'", VERDICT_TRUE}, {"2true3", VERDICT_TRUE}, {"the answer: false", VERDICT_FALSE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_SAY(metric_verdict(cases[i].text, strlen(cases[i].text)) == cases[i].want, "\"%s\" gives %d", cases[i].text,
            metric_verdict(cases[i].text, strlen(cases[i].text)));
    CHECK(metric_verdict("true false", 4) == VERDICT_TRUE && metric_verdict("true", 3) == VERDICT_NONE);
    static const struct {
        const char *reference, *yes, *no; // yes NULL: none
    } words[] = {{"true", "true", "false"}, {"False, because", "True", "False"}, {"NO", "YES", "NO"},
        {"it is Incorrect", "Correct", "Incorrect"}, {"wrong", "right", "wrong"}, {"F", "T", "F"}, {"untrue", "true", "untrue"},
        {"perhaps", NULL, NULL}, {"", NULL, NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char pair[2][16];
        bool found = metric_verdict_words(pair, words[i].reference);
        CHECK(found == (words[i].yes != NULL));
        if (!found) continue;
        CHECK_STRING(pair[0], words[i].yes);
        CHECK_STRING(pair[1], words[i].no);
    }
}

// Any bytes give an answer, and the same one whatever stands behind them.
static void test_bytes(void)
{
    static const char letters[] = "0123456789,,..--$$##  ab'ntf";
    uint64_t seed = 1;
    for (int k = 0; k < 20000; k++) {
        char text[24], longer[48];
        size_t n = test_random(&seed) % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = letters[test_random(&seed) % (sizeof letters - 1)];
        memcpy(longer, text, n);
        memset(longer + n, '9', sizeof longer - n);
        double a = 0, b = 0;
        CHECK(metric_number(&a, text, n) == metric_number(&b, longer, n) && a == b);
        CHECK(isfinite(a));
        CHECK(metric_verdict(text, n) == metric_verdict(longer, n));
        char *again = mem_string_n(text, n);
        CHECK(metric_cloze(longer, n, again) == metric_cloze(again, n, again));
        free(again);
    }
}

int main(void)
{
    test_numbers();
    test_metrics();
    test_cloze();
    test_verdicts();
    test_bytes();
    return test_end();
}
