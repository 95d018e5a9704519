// SPDX-License-Identifier: MIT
//
// Counts of mixes, exactly: even spreading against a slow reference, the volumes and compositions of DoIT (Song et al.
// 2023, their make_data.py), caps, shares, abilities of several sources, and what is said when there are too few rows.
#include "test.h"
#include "train/mix.h"
#include "train/stages.h"

// One at a time to the least given that has room, the first of them: what spreading evenly means.
static void spread_slowly(uint64_t *given, const uint64_t *most, size_t count, uint64_t total)
{
    memset(given, 0, count * sizeof *given);
    for (; total; total--) {
        size_t least = count;
        for (size_t i = 0; i < count; i++)
            if (given[i] < most[i] && (least == count || given[i] < given[least])) least = i;
        given[least]++;
    }
}

static void test_spread(void)
{
    uint64_t seed = 1;
    for (int k = 0; k < 3000; k++) {
        uint64_t most[9], want[9], got[9], sum = 0;
        size_t count = 1 + test_random(&seed) % 9;
        for (size_t i = 0; i < count; i++) sum += most[i] = test_random(&seed) % 3 ? test_random(&seed) % 40 : 0;
        uint64_t total = test_random(&seed) % (sum + 1);
        spread_slowly(want, most, count, total);
        mix_spread(got, most, count, total);
        CHECK(memcmp(got, want, count * sizeof *got) == 0);
    }
    uint64_t given[2];
    mix_spread(given, (const uint64_t[]){UINT32_MAX, 5}, 2, UINT32_MAX);
    CHECK(given[0] == UINT32_MAX - UINT64_C(5) && given[1] == 5);
}

// A config with the sources `sources` and `keys` besides.
static struct config config_of(const char *sources, const char *keys)
{
    char *text = mem_format(
        "{\"model_name_or_path\": \"m.gguf\", \"output_dir\": \"run\", \"sources\": {%s}, %s}", sources, keys);
    struct config c;
    struct error e = {0};
    if (config_read_text(&c, text, strlen(text), "config.json", NULL, 0, &e)) printf("%s\n%s\n", text, e.text), exit(1);
    free(text);
    return c;
}

#define SOURCE(name) "\"" name "\": {\"path\": \"" name ".jsonl\", \"ability\": \"" name "\"}"
// The ten abilities in an order in which the one that the released script gives one row more is the first that grows.
#define TEN                                                                                                            \
    SOURCE("chinese")                                                                                                  \
    ", " SOURCE("biology") ", " SOURCE("history") ", " SOURCE("code") ", " SOURCE("writing") ", " SOURCE(              \
        "dialogue") ", " SOURCE("role_play") ", " SOURCE("logic") ", " SOURCE("math") ", " SOURCE("ethics")
#define CAPPED                                                                                                         \
    "\"stages\": [{\"name\": \"sft\", \"mix\": {\"chinese\": 1, \"biology\": 1, \"history\": 1, \"code\": 1, "            \
    "\"writing\": {\"at_most\": 1000}, \"dialogue\": 1, \"role_play\": {\"at_most\": 64}, \"logic\": 1, \"math\": 1, "     \
    "\"ethics\": {\"at_most\": 64}}}]"

static void check_counts(const char *sources, const char *keys, const uint32_t *available, const uint32_t *want)
{
    struct config c = config_of(sources, keys);
    uint32_t *got = mem_zero(c.stages[0].mix_count, sizeof *got), total = 0;
    struct error e = {0};
    int status = mix_count(got, &c, &c.stages[0], available, &e);
    CHECK_SAY(status == 0, "%s: %s", keys, e.text);
    for (size_t i = 0; i < c.stages[0].mix_count && status == 0; i++) {
        CHECK_SAY(got[i] == want[i], "%s: source %zu gives %u, want %u", keys, i, got[i], want[i]);
        total += got[i];
    }
    uint64_t rows = c.stages[0].settings.mix_rows;
    CHECK(!rows || status || total == rows);
    free(got);
    config_free(&c);
}

// Papers: 43,490 rows, of which 100 each are for testing and 100 for validation.
static const uint32_t full[10] = {1450, 1042, 1893, 4968, 1000, 4885, 1000, 12751, 11501, 1000};

static void test_doit(void)
{
    static const uint32_t volumes[6] = {10, 40, 160, 640, 2560, 10000}, each[6] = {1, 4, 16, 64, 256, 1000};
    for (int i = 0; i < 6; i++) {
        char keys[80];
        uint32_t want[10];
        snprintf(keys, sizeof keys, "\"strategy\": \"multi_task\", \"mix_rows\": %u", volumes[i]);
        for (int k = 0; k < 10; k++) want[k] = each[i];
        check_counts(TEN, keys, full, want);
    }
    // reconstruct: "1,305 each, 1,306 Chinese, biology all it has": 10,000 in all where biology has 1,041
    static const uint32_t rows[10] = {1450, 1041, 1893, 4968, 1000, 4885, 1000, 12751, 11501, 1000};
    static const uint32_t spread[10] = {1306, 1041, 1305, 1305, 1000, 1305, 64, 1305, 1305, 64};
    check_counts(TEN, "\"mix_rows\": 10000, " CAPPED, rows, spread);
    // one row more of biology takes it from the remainder
    static const uint32_t even[10] = {1305, 1042, 1305, 1305, 1000, 1305, 64, 1305, 1305, 64};
    check_counts(TEN, "\"mix_rows\": 10000, " CAPPED, full, even);
    // maximum: the caps and everything else
    static const uint32_t most[10] = {1450, 1042, 1893, 4968, 1000, 4885, 64, 12751, 11501, 64};
    check_counts(TEN, CAPPED, full, most);
}

#define FOUR "\"a\": {\"path\": \"a\", \"ability\": \"x\"}, \"b\": \"b\", \"c\": {\"path\": \"c\", \"ability\": \"x\"}, \"d\": \"d\""

static void test_abilities(void)
{
    static const uint32_t have[4] = {100, 100, 10, 100};
#define STAGE(mix, more) "\"stages\": [{\"name\": \"s\", \"mix\": {" mix "}" more "}]"
#define ALL "\"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1"
    // three abilities: a and c share one part of it
    check_counts(FOUR, STAGE(ALL, ", \"mix_rows\": 90"), have, (const uint32_t[]){20, 30, 10, 30});
    check_counts(FOUR, STAGE(ALL, ", \"mix_rows\": 11"), have, (const uint32_t[]){2, 4, 2, 3});
    check_counts(FOUR, STAGE(ALL, ", \"mix_rows\": 10"), have, (const uint32_t[]){2, 3, 2, 3});
    check_counts(FOUR, STAGE(ALL, ", \"mix_rows\": 310"), have, (const uint32_t[]){100, 100, 10, 100});
    check_counts(FOUR, STAGE(ALL, ", \"mix_rows\": 1"), have, (const uint32_t[]){1, 0, 0, 0});
    // the order of the mix, not that of the sources; a name of an ability that is a source's name is no ability of it
    check_counts(FOUR, STAGE("\"d\": 1, \"b\": 1", ", \"mix_rows\": 11"), have, (const uint32_t[]){6, 5});
    check_counts("\"x\": \"x\", \"y\": {\"path\": \"y\", \"ability\": \"x\"}", STAGE("\"x\": 1, \"y\": 1", ", \"mix_rows\": 7"),
        have, (const uint32_t[]){4, 3});
    // fractions and caps are the most that is taken; rows and shares are exact and come first
    check_counts(FOUR, STAGE("\"a\": 0.05, \"b\": 1, \"d\": {\"at_most\": 7}", ", \"mix_rows\": 60"), have,
        (const uint32_t[]){5, 48, 7});
    check_counts(FOUR, STAGE("\"a\": {\"rows\": 50}, \"b\": 1, \"d\": 1, \"c\": 1", ", \"mix_rows\": 69"), have,
        (const uint32_t[]){50, 7, 6, 6});
    check_counts(FOUR, STAGE("\"a\": {\"share\": 0.29}, \"b\": 1", ", \"mix_rows\": 100"), have, (const uint32_t[]){29, 71});
    check_counts(FOUR, STAGE("\"a\": {\"share\": 0}, \"b\": 1", ", \"mix_rows\": 50"), have, (const uint32_t[]){0, 50});
    check_counts(FOUR, STAGE("\"a\": {\"share\": 1}, \"b\": 1", ", \"mix_rows\": 50"), have, (const uint32_t[]){50, 0});
    check_counts(FOUR, STAGE("\"a\": {\"share\": 0.25}, \"b\": {\"share\": 0.75}", ", \"mix_rows\": 80"), have,
        (const uint32_t[]){20, 60});
    // without mix_rows a cap stands alone
    check_counts(FOUR, STAGE("\"a\": {\"at_most\": 7}, \"c\": {\"at_most\": 70}, \"b\": 2", ""), have,
        (const uint32_t[]){7, 10, 200});
}

static void test_errors(void)
{
    static const struct {
        const char *keys, *error;
    } cases[] = {
        {STAGE(ALL, ", \"mix_rows\": 311"),
            "stage \"s\" is to draw 311 rows (mix_rows), but its sources give 310 at most: lower mix_rows, or let sources "
            "give more (1: all that there are)"},
        {STAGE("\"a\": {\"share\": 0.5}, \"b\": {\"share\": 0.5}", ", \"mix_rows\": 101"),
            "stage \"s\" has mix_rows 101, but its shares and rows make only 100, rounded down: raise them"},
        {STAGE("\"a\": {\"share\": 0.5}, \"d\": {\"at_most\": 3}", ", \"mix_rows\": 100"), "but its sources give 53 at most"},
        {STAGE("\"a\": {\"share\": 0.75}, \"b\": {\"share\": 0.75}", ", \"mix_rows\": 100"),
            "stage \"s\" has mix_rows 100, but its shares and rows make 150"},
        {STAGE("\"b\": 1, \"c\": {\"share\": 0.5}", ", \"mix_rows\": 100"),
            "stage \"s\" asks for 50 rows of source \"c\" (the share 0.5 of mix_rows), which has 10: lower mix_rows or the "
            "share"},
        {STAGE("\"b\": 1, \"c\": {\"rows\": 11}", ", \"mix_rows\": 100"), "asks for 11 rows of source \"c\", which has 10"},
    };
    static const uint32_t have[4] = {100, 100, 10, 100};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c = config_of(FOUR, cases[i].keys);
        uint32_t rows[4];
        struct error e = {0};
        CHECK(mix_count(rows, &c, &c.stages[0], have, &e) == -1);
        CHECK_ERROR(e, cases[i].error);
        config_free(&c);
    }
}

// The rows of a smaller volume are among those of every larger one, ability by ability.
static void test_nested(void)
{
    static const uint32_t have[4] = {40, 33, 9, 27};
    struct stages before = {0};
    struct config last = {0};
    for (uint32_t volume = 1; volume <= 109; volume++) {
        char keys[80];
        snprintf(keys, sizeof keys, "\"strategy\": \"multi_task\", \"mix_rows\": %u", volume);
        struct config c = config_of(FOUR, keys);
        struct stages s;
        struct error e = {0};
        CHECK(stages_make(&s, &c, have, &e) == 0 && s.stages[0].row_count == volume);
        uint32_t at = 0;
        for (uint32_t i = 0; volume > 1 && i < before.stages[0].row_count; i++) {
            const struct stage_row *old = &before.stages[0].rows[i];
            while (at < volume && memcmp(&s.stages[0].rows[at], old, sizeof *old) != 0) at++;
            CHECK(at < volume);
        }
        stages_free(&before);
        config_free(&last);
        before = s;
        last = c;
    }
    stages_free(&before);
    config_free(&last);
}

int main(void)
{
    test_spread();
    test_doit();
    test_abilities();
    test_errors();
    test_nested();
    return test_end();
}
