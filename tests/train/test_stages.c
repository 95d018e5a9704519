// SPDX-License-Identifier: MIT
#include "test.h"
#include "train/stages.h"

#include <cjson/cJSON.h>
#include <unistd.h>

// A config with three sources and `keys` besides.
static struct config config_of(const char *keys)
{
    char *text =
        mem_format("{\"model_name_or_path\": \"m.gguf\", \"output_dir\": \"run\", \"sources\": {\"math\": \"m.jsonl\", "
                   "\"code\": \"c.jsonl\", \"general\": \"g.jsonl\"}, %s}",
            keys);
    struct config c;
    struct error e = {0};
    int status = config_read_text(&c, text, strlen(text), "config.json", NULL, 0, &e);
    if (status) printf("%s\n", e.text), exit(1);
    free(text);
    return c;
}

static void check_expands(const char *keys, const char *want)
{
    struct config c = config_of(keys);
    cJSON *json = config_stages_json(&c);
    char *text = cJSON_PrintUnformatted(json);
    CHECK_STRING(text, want);
    // and the printed form reads to the same stages
    char *written = mem_format("\"stages\": %s", text);
    struct config again = config_of(written);
    cJSON *second = config_stages_json(&again);
    CHECK(again.strategy == STRATEGY_STAGES && cJSON_Compare(json, second, true));
    cJSON_Delete(second);
    cJSON_Delete(json);
    config_free(&again);
    config_free(&c);
    free(written);
    free(text);
}

#define LISTS "\"specialized\": [\"code\", \"math\"], \"general\": [\"general\"]"

static void test_expand(void)
{
    check_expands(
        "\"strategy\": \"multi_task\"", "[{\"name\":\"multi_task\",\"mix\":{\"math\":1,\"code\":1,\"general\":1}}]");
    check_expands("\"strategy\": \"sequential\", " LISTS,
        "[{\"name\":\"code\",\"mix\":{\"code\":1}},{\"name\":\"math\",\"mix\":{\"math\":1}},"
        "{\"name\":\"general\",\"mix\":{\"general\":1}}]");
    check_expands("\"strategy\": \"mixed_sequential\", " LISTS,
        "[{\"name\":\"specialized\",\"mix\":{\"code\":1,\"math\":1}},{\"name\":\"general\",\"mix\":{\"general\":1}}]");
    check_expands("\"strategy\": \"dmt\", \"dmt_k\": 0.00390625, " LISTS,
        "[{\"name\":\"specialized\",\"mix\":{\"code\":1,\"math\":1}},"
        "{\"name\":\"general\",\"mix\":{\"general\":1,\"code\":0.00390625,\"math\":0.00390625}}]");
    check_expands("\"strategy\": \"dmt\", \"dmt_k\": 0, " LISTS,
        "[{\"name\":\"specialized\",\"mix\":{\"code\":1,\"math\":1}},"
        "{\"name\":\"general\",\"mix\":{\"general\":1,\"code\":0,\"math\":0}}]");
    check_expands("\"stages\": [{\"name\": \"a\", \"mix_rows\": 30, \"mix\": {\"math\": {\"share\": 0.25}, \"code\": {\"at_most\": "
                  "3}, \"general\": 1}}, {\"name\": \"b\", \"mix\": {\"math\": 1}, \"mix_rows\": 0}]",
        "[{\"name\":\"a\",\"mix\":{\"math\":{\"share\":0.25},\"code\":{\"at_most\":3},\"general\":1},\"mix_rows\":30},"
        "{\"name\":\"b\",\"mix\":{\"math\":1}}]");
    check_expands(
        "\"stages\": [{\"mix\": {\"math\": {\"rows\": 7}, \"code\": 3}, \"name\": \"a\", \"learning_rate\": 1e-4, "
        "\"train_batch_size\": 32, \"order\": \"as_written\"}]",
        "[{\"name\":\"a\",\"mix\":{\"math\":{\"rows\":7},\"code\":3},\"learning_rate\":0.0001,\"order\":\"as_written\"}"
        "]");
}

static struct stages stages_of(const struct config *c, const uint32_t available[3])
{
    uint32_t *all = mem_alloc(c->stage_count * 3 * sizeof *all);
    for (size_t i = 0; i < c->stage_count * 3; i++) all[i] = available[i % 3];
    struct stages s;
    struct error e = {0};
    int status = stages_make(&s, c, all, &e);
    if (status) printf("%s\n", e.text), exit(1);
    free(all);
    return s;
}

static const uint32_t paper[3] = {110142, 20022, 86060}; // math, code, general: papers.md's sizes

// Dong et al.: the sizes, the subsets and the steps of their main setting.
static void test_paper(void)
{
    struct config c = config_of("\"strategy\": \"dmt\", \"train_batch_size\": 128, " LISTS);
    struct stages s = stages_of(&c, paper);
    CHECK(s.count == 2 && s.steps == 3051 + 2031);
    CHECK(s.stages[0].row_count == 130164 && s.stages[0].steps_per_epoch == 1017 && s.stages[0].steps == 3051);
    const struct stage *second = &s.stages[1];
    CHECK(second->row_count == 86568 && second->steps_per_epoch == 677 && second->steps == 2031);
    CHECK(second->first_step == 3051 && second->share_count == 3);
    CHECK_STRING(second->shares[0].name, "general");
    CHECK(second->shares[0].rows == 86060 && second->shares[1].rows == 78 && second->shares[2].rows == 430);
    CHECK_STRING(second->shares[2].name, "math");
    CHECK(second->shares[2].available == 110142 && second->shares[2].source == 0);
    CHECK(second->chain_steps == 2031 && second->chain_first == 0);
    stages_free(&s);
    config_free(&c);

    c = config_of("\"strategy\": \"multi_task\", \"train_batch_size\": 128");
    s = stages_of(&c, paper);
    CHECK(s.stages[0].row_count == 216224 && s.steps == 3 * 1690);
    stages_free(&s);
    config_free(&c);

    c = config_of("\"train_batch_size\": 128, \"stages\": [{\"name\": \"a\", \"mix\": "
                  "{\"math\": 0.00390625, \"code\": 0.00390625, \"general\": 0.00390625}}]");
    s = stages_of(&c, paper);
    CHECK(s.stages[0].row_count == 844 && s.steps == 21);
    stages_free(&s);
    config_free(&c);
}

// The rows one share took, and where they begin.
static const struct stage_row *share_rows(const struct stage *stage, size_t share)
{
    const struct stage_row *rows = stage->rows;
    for (size_t i = 0; i < share; i++) rows += stage->shares[i].rows;
    return rows;
}

static void test_nested(void)
{
    struct config c =
        config_of("\"stages\": [{\"name\": \"few\", \"mix\": {\"math\": 0.1}}, "
                  "{\"name\": \"more\", \"mix\": {\"code\": 0.5, \"math\": 0.25}}, "
                  "{\"name\": \"exact\", \"mix\": {\"math\": {\"rows\": 250}, \"code\": {\"rows\": 0}}}]");
    struct stages s = stages_of(&c, (const uint32_t[]){1000, 300, 0});
    const struct stage_row *few = share_rows(&s.stages[0], 0), *more = share_rows(&s.stages[1], 1),
                           *exact = share_rows(&s.stages[2], 0);
    CHECK(s.stages[0].row_count == 100 && s.stages[1].row_count == 400 && s.stages[2].row_count == 250);
    for (int i = 0, found = 0; i < 250; i++) {
        CHECK(more[i].source == 0 && more[i].row < 1000 && (i == 0 || more[i].row > more[i - 1].row));
        CHECK(exact[i].row == more[i].row); // 250 rows are the 250 rows of a quarter, whatever else is in the mix
        if (found < 100 && few[found].row == more[i].row) found++;
        if (i == 249) CHECK(found == 100);
    }
    stages_free(&s);
    // another number of rows of another source changes nothing
    struct stages other = stages_of(&c, (const uint32_t[]){1000, 299, 5}),
                  again = stages_of(&c, (const uint32_t[]){1000, 300, 0});
    CHECK(
        memcmp(share_rows(&other.stages[1], 1), share_rows(&again.stages[1], 1), 250 * sizeof(struct stage_row)) == 0);
    stages_free(&other);
    // the draw is the source's own, by its name
    struct config same = config_of("\"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 0.5, \"code\": 0.5}}]");
    struct stages halves = stages_of(&same, (const uint32_t[]){100, 100, 0});
    int differ = 0;
    for (int i = 0; i < 50; i++) differ += halves.stages[0].rows[i].row != halves.stages[0].rows[50 + i].row;
    CHECK(differ > 0);
    stages_free(&halves);
    config_free(&same);
    // another seed does
    c.seed = 43;
    other = stages_of(&c, (const uint32_t[]){1000, 300, 0});
    CHECK(
        memcmp(share_rows(&other.stages[1], 1), share_rows(&again.stages[1], 1), 250 * sizeof(struct stage_row)) != 0);
    stages_free(&other);
    stages_free(&again);
    config_free(&c);
}

static void test_amounts(void)
{
    struct config c =
        config_of("\"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 2, \"general\": 1, \"code\": {\"rows\": 4}}}]");
    struct stages s = stages_of(&c, (const uint32_t[]){3, 4, 2});
    static const struct stage_row want[12] = {
        {0, 0}, {0, 1}, {0, 2}, {0, 0}, {0, 1}, {0, 2}, {2, 0}, {2, 1}, {1, 0}, {1, 1}, {1, 2}, {1, 3}};
    CHECK(s.stages[0].row_count == 12 && memcmp(s.stages[0].rows, want, sizeof want) == 0);
    stages_free(&s);

    struct error e = {0};
    CHECK(stages_make(&s, &c, (const uint32_t[]){3, 3, 2}, &e) == -1 && s.stages == NULL);
    CHECK_STRING(e.text,
        "stage \"a\" asks for 4 rows of source \"code\", which has 3: ask for fewer, or for whole passes "
        "(2, 3, ...)");
    CHECK(stages_make(&s, &c, (const uint32_t[]){2000000000, 4, 2}, &e) == -1);
    CHECK_ERROR(e, "stage \"a\" has more than 2147483647 rows an epoch with source \"math\"");
    config_free(&c);

    c = config_of("\"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 0.001, \"code\": 1}}]");
    CHECK(stages_make(&s, &c, (const uint32_t[]){999, 0, 2}, &e) == -1);
    CHECK_ERROR(e, "stage \"a\" has no rows");
    config_free(&c);
}

// Every epoch holds every row once, in an order of its own; steps have the batch's size but the last.
static void check_epochs(const struct stages *s, size_t stage, uint64_t epochs)
{
    const struct stage *at = &s->stages[stage];
    struct stage_cursor cursor;
    stage_cursor_make(&cursor, s);
    uint32_t *seen = mem_zero(at->row_count, sizeof *seen), *first = mem_zero(epochs, sizeof *first);
    for (uint64_t i = 0; i < at->steps; i++) {
        struct stage_step step = stages_step(s, at->first_step + i);
        CHECK(step.stage == stage && step.step == i && step.epoch == i / at->steps_per_epoch);
        bool last = (i + 1) % at->steps_per_epoch == 0;
        uint64_t batch = at->settings->train_batch_size;
        CHECK(step.count == (last ? at->row_count - (at->steps_per_epoch - 1) * batch : batch));
        const struct stage_row *rows = stage_cursor_rows(&cursor, at->first_step + i);
        for (uint32_t k = 0; k < step.count; k++) {
            uint32_t place = 0;
            while (memcmp(&at->rows[place], &rows[k], sizeof *rows) != 0) place++;
            seen[place]++;
            if (i % at->steps_per_epoch == 0 && k < 4) first[step.epoch] = first[step.epoch] * 101 + place;
        }
        if (last)
            for (uint32_t k = 0; k < at->row_count; k++) CHECK(seen[k] == step.epoch + 1);
    }
    for (uint64_t a = 0; a < epochs; a++)
        for (uint64_t b = 0; b < a; b++) CHECK((first[a] != first[b]) == (at->settings->order == ORDER_SHUFFLED));
    stage_cursor_free(&cursor);
    free(seen);
    free(first);
}

static void test_epochs(void)
{
    struct config c = config_of("\"train_batch_size\": 7, \"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 1}}, "
                                "{\"name\": \"b\", \"mix\": {\"math\": 1, \"code\": 1}, \"order\": \"as_written\"}, "
                                "{\"name\": \"c\", \"mix\": {\"math\": 1}, \"num_train_epochs\": 1.3}, "
                                "{\"name\": \"d\", \"mix\": {\"math\": 1}, \"max_steps\": 17}, "
                                "{\"name\": \"e\", \"mix\": {\"code\": 1}, \"train_batch_size\": 1000}]");
    struct stages s = stages_of(&c, (const uint32_t[]){31, 11, 1});
    CHECK(s.stages[0].steps_per_epoch == 5 && s.stages[0].steps == 15);
    CHECK(s.stages[1].steps_per_epoch == 6 && s.stages[1].steps == 18 && s.stages[1].first_step == 15);
    CHECK(s.stages[2].steps == 7 && s.stages[2].first_step == 33); // ceil(1.3 * 5)
    CHECK(s.stages[3].steps == 17 && s.stages[3].first_step == 40);
    CHECK(s.stages[4].steps == 3 && s.steps == 60);
    check_epochs(&s, 0, 3);
    check_epochs(&s, 1, 3);
    check_epochs(&s, 2, 2);
    check_epochs(&s, 3, 4);
    check_epochs(&s, 4, 3);

    struct stage_cursor cursor, jump;
    stage_cursor_make(&cursor, &s);
    const struct stage_row *rows = stage_cursor_rows(&cursor, 15 + 6 + 4); // b, second epoch, fifth step: as written
    CHECK(rows[0].source == 0 && rows[0].row == 28 && rows[3].source == 1 && rows[3].row == 0);
    // the same rows of the same stage in another stage or epoch: another order
    struct stage_row a[7], d[7];
    memcpy(a, stage_cursor_rows(&cursor, 0), sizeof a);
    memcpy(d, stage_cursor_rows(&cursor, 40), sizeof d);
    CHECK(memcmp(a, d, sizeof a) != 0);
    // a cursor that begins in the middle, as on resume, or goes backwards reads the same
    for (uint64_t step = s.steps; step-- > 0;) {
        stage_cursor_make(&jump, &s);
        const struct stage_row *there = stage_cursor_rows(&jump, step);
        CHECK(memcmp(there, stage_cursor_rows(&cursor, step), stages_step(&s, step).count * sizeof *there) == 0);
        stage_cursor_free(&jump);
    }
    // another seed, another order; a's first seven rows of 31
    memcpy(a, stage_cursor_rows(&cursor, 0), sizeof a);
    stage_cursor_free(&cursor);
    s.seed++;
    stage_cursor_make(&cursor, &s);
    CHECK(memcmp(a, stage_cursor_rows(&cursor, 0), sizeof a) != 0);
    stage_cursor_free(&cursor);
    stages_free(&s);
    config_free(&c);
}

// Each stage has its own number of rows there: its max_length may leave others away.
static void test_available(void)
{
    struct config c = config_of("\"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 1}}, {\"name\": \"b\", \"mix\": "
                                "{\"code\": 1, \"math\": 1}, \"max_length\": 9}]");
    struct stages s;
    struct error e;
    CHECK(stages_make(&s, &c, (const uint32_t[]){5, 6, 7, 2, 3, 4}, &e) == 0);
    CHECK(s.stages[0].row_count == 5 && s.stages[1].row_count == 5 && s.stages[1].shares[1].available == 2);
    CHECK(s.stages[0].settings->max_length == 1024 && s.stages[1].settings->max_length == 9);
    stages_free(&s);
    config_free(&c);
}

// dmt with k = 0 is mixed_sequential: the same rows in the same order.
static void test_dmt_0(void)
{
    struct config a = config_of("\"strategy\": \"dmt\", \"dmt_k\": 0, " LISTS),
                  b = config_of("\"strategy\": \"mixed_sequential\", " LISTS);
    static const uint32_t available[3] = {50, 60, 70};
    struct stages s = stages_of(&a, available), t = stages_of(&b, available);
    struct stage_cursor x, y;
    stage_cursor_make(&x, &s);
    stage_cursor_make(&y, &t);
    CHECK(s.steps == t.steps);
    for (uint64_t step = 0; step < s.steps; step++)
        CHECK(memcmp(stage_cursor_rows(&x, step), stage_cursor_rows(&y, step),
                  stages_step(&s, step).count * sizeof(struct stage_row)) == 0);
    stage_cursor_free(&x);
    stage_cursor_free(&y);
    stages_free(&s);
    stages_free(&t);
    config_free(&a);
    config_free(&b);
}

static void test_chain(void)
{
    struct config c =
        config_of("\"train_batch_size\": 1, \"num_train_epochs\": 1, \"keep_optimizer\": true, \"stages\": ["
                  "{\"name\": \"a\", \"mix\": {\"math\": 1}}, {\"name\": \"b\", \"mix\": {\"code\": 1}}, "
                  "{\"name\": \"c\", \"mix\": {\"general\": 1}, \"keep_optimizer\": false}, "
                  "{\"name\": \"d\", \"mix\": {\"math\": 2}}]");
    struct stages s = stages_of(&c, (const uint32_t[]){10, 20, 30});
    static const uint64_t steps[4] = {30, 30, 50, 50}, first[4] = {0, 10, 0, 30};
    for (int i = 0; i < 4; i++) CHECK(s.stages[i].chain_steps == steps[i] && s.stages[i].chain_first == first[i]);
    stages_free(&s);
    config_free(&c);
}

static void test_tokens(void)
{
    struct config c = config_of("\"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 2, \"code\": {\"rows\": 1}}}]");
    struct stages s = stages_of(&c, (const uint32_t[]){3, 2, 9});
    static const struct conversation math[3] = {{.tokens = 10, .trained = 1}, {.tokens = UINT32_MAX, .trained = 2},
        {.tokens = 30, .trained = 3}},
                                     code[2] = {{.tokens = 100, .trained = 50}, {.tokens = 200, .trained = 60}};
    for (int again = 0; again < 2; again++)
        stages_count_tokens(&s.stages[0], (const struct conversation *const[]){math, code, NULL});
    uint32_t drawn = s.stages[0].rows[6].row;
    CHECK(
        s.stages[0].shares[0].tokens == 2 * (40 + (uint64_t)UINT32_MAX) && s.stages[0].shares[0].trained_tokens == 12);
    CHECK(s.stages[0].shares[1].tokens == code[drawn].tokens &&
          s.stages[0].shares[1].trained_tokens == code[drawn].trained);
    stages_free(&s);
    config_free(&c);

    // The largest step, an epoch's last one too, not the mean one.
    static const struct conversation rows[5] = {{.tokens = 1}, {.tokens = 2}, {.tokens = 3}, {.tokens = 4}, {.tokens = 50}};
    static const uint64_t want[6] = {50, 50, 54, 50, 60, 60}; // steps of 1 to 6 rows; of 3: 4 and 50
    for (uint64_t batch = 1; batch <= 6; batch++) {
        char *text = mem_format("\"order\": \"as_written\", \"train_batch_size\": %d, \"stages\": [{\"name\": \"a\", \"mix\": "
                                "{\"math\": 1}}]", (int)batch);
        struct config each = config_of(text);
        struct stages one = stages_of(&each, (const uint32_t[]){5, 0, 0});
        uint64_t most = stages_largest_step(&one, 0, (const struct conversation *const[]){rows, NULL, NULL});
        CHECK_SAY(most == want[batch - 1], "steps of %d: %d", (int)batch, (int)most);
        stages_free(&one);
        config_free(&each);
        free(text);
    }
    // Of the stage asked for, in all its epochs: in one of forty the two longest rows meet.
    struct config two = config_of("\"train_batch_size\": 2, \"num_train_epochs\": 40, \"stages\": [{\"name\": \"a\", \"mix\": {\"code\": 1}}, "
                                  "{\"name\": \"b\", \"mix\": {\"math\": 1}}]");
    struct stages both = stages_of(&two, (const uint32_t[]){5, 1, 0});
    static const struct conversation huge = {.tokens = 900};
    CHECK(stages_largest_step(&both, 0, (const struct conversation *const[]){NULL, &huge, NULL}) == 900);
    CHECK(stages_largest_step(&both, 1, (const struct conversation *const[]){rows, &huge, NULL}) == 54);
    stages_free(&both);
    config_free(&two);
}

static char *read_all(const char *path)
{
    struct file_map f;
    struct error e;
    if (file_map(&f, path, &e)) return NULL;
    char *text = mem_string_n((const char *)f.data, f.bytes);
    file_unmap(&f);
    return text;
}

static void test_manifest(void)
{
    struct config c =
        config_of("\"train_batch_size\": 2, \"num_train_epochs\": 1, \"order\": \"as_written\", \"stages\": "
                  "[{\"name\": \"a\", \"mix\": {\"code\": 1}}, {\"name\": \"b\", \"mix\": {\"math\": 1, \"code\": "
                  "1}, \"max_steps\": 3}]");
    struct stages s = stages_of(&c, (const uint32_t[]){2, 1, 0});
    const struct conversation math[2] = {{.hash = 1, .row = 5},
        {.hash = UINT64_C(0xfedcba9876543210), .row = 1, .file = 3}},
                              code[1] = {{.hash = 255, .row = 7}};
    const struct conversation *const rows[3] = {math, code, NULL};
    char folder[] = "/tmp/pumice-stages-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *path = path_join(folder, "manifest-b.jsonl");
    struct error e = {0};
    uint64_t digest = 0, again = 1;
    const char *want =
        "{\"step\":1,\"epoch\":0,\"source\":\"math\",\"row\":0,\"file\":0,\"line\":5,\"hash\":\"0000000000000001\"}\n"
        "{\"step\":1,\"epoch\":0,\"source\":\"math\",\"row\":1,\"file\":3,\"line\":1,\"hash\":\"fedcba9876543210\"}\n"
        "{\"step\":2,\"epoch\":0,\"source\":\"code\",\"row\":0,\"file\":0,\"line\":7,\"hash\":\"00000000000000ff\"}\n"
        "{\"step\":3,\"epoch\":1,\"source\":\"math\",\"row\":0,\"file\":0,\"line\":5,\"hash\":\"0000000000000001\"}\n"
        "{\"step\":3,\"epoch\":1,\"source\":\"math\",\"row\":1,\"file\":3,\"line\":1,\"hash\":\"fedcba9876543210\"}\n";
    CHECK(stages_manifest(&s, &c, 1, rows, path, &digest, &e) == 0);
    char *text = read_all(path);
    CHECK_STRING(text, want);
    CHECK(digest == fnv1a(FNV_START, want, strlen(want)));
    CHECK(stages_manifest(&s, &c, 1, rows, path, &again, &e) == 0 && again == digest);
    char *temporary = mem_format("%s.tmp", path);
    CHECK(access(temporary, F_OK) != 0);
    again = 1;
    CHECK(stages_manifest(&s, &c, 1, rows, NULL, &again, &e) == 0 && again == digest); // the digest alone
    CHECK(stages_manifest(&s, &c, 0, rows, path, NULL, &e) == 0); // the old one is replaced whole
    char *first = read_all(path);
    CHECK_STRING(first,
        "{\"step\":0,\"epoch\":0,\"source\":\"code\",\"row\":0,\"file\":0,\"line\":7,\"hash\":\"00000000000000ff\"}\n");
    CHECK(folder_remove(folder, &e) == 0);
    CHECK(stages_manifest(&s, &c, 1, rows, path, &digest, &e) == -1);
    CHECK_ERROR(e, "manifest-b.jsonl.tmp: cannot be written");
    free(first);
    free(temporary);
    free(text);
    free(path);
    stages_free(&s);
    config_free(&c);
}

int main(void)
{
    test_expand();
    test_paper();
    test_nested();
    test_amounts();
    test_epochs();
    test_available();
    test_dmt_0();
    test_chain();
    test_tokens();
    test_manifest();
    return test_end();
}
