// SPDX-License-Identifier: MIT
//
// Loading a source: what is kept, skipped, named, counted; several files and threads; strict; rows kept for prompts.
#include "data/source.h"
#include "test.h"

#include <unistd.h>

static struct error e;
static char folder[] = "/tmp/pumice-test-XXXXXX";
static struct tokenizer *tokenizer;
static struct template template;

static char *write_file(const char *name, const char *data)
{
    char *path = path_join(folder, name);
    CHECK(file_write_atomic(path, data, strlen(data), &e) == 0);
    return path;
}

// Loads one file with the given options' remaining fields.
static int load(struct source *s, const char *path, struct source_options options)
{
    options.name = "test";
    options.paths = &path;
    options.path_count = 1;
    options.template = &template;
    return source_load(s, &options, tokenizer, &e);
}

static void test_mixed(void)
{
    char *path =
        write_file("mixed.jsonl", "\xef\xbb\xbf{\"prompt\": \"a\", \"completion\": \"b\"}\r\n"
                                  "\r\n"
                                  "{\"prompt\": \"a\"}\n"
                                  "{\"prompt\": \"a\", \"completion\": \"\"}\n"
                                  "{\"prompt\": \"a\", \"completion\": \"b\\u0000\"}\n"
                                  "nonsense\n"
                                  "{\"messages\": [{\"role\": \"usr\", \"content\": \"a\"}]}\n"
                                  "{\"messages\": [{\"role\": \"user\", \"content\": 1}]}\n"
                                  "{\"instruction\": \"abcdefghij\", \"output\": \"k\"}\n"
                                  "{\"text\": \"abcdefghijkl\"}\n"
                                  "{\"messages\": [{\"role\": \"user\", \"content\": \"ab\"}, {\"role\": "
                                  "\"assistant\", \"content\": \"c\"}, {\"role\": "
                                  "\"user\", \"content\": \"de\"}, {\"role\": \"assistant\", \"content\": \"fgh\"}]}\n"
                                  "{\"input_ids\": [97, 98], \"labels\": [-100, 98]}");
    struct source s;
    CHECK(load(&s, path, (struct source_options){.max_length = 9, .ability = "letters"}) == 0);
    CHECK_STRING(s.name, "test");
    CHECK_STRING(s.ability, "letters");
    CHECK(s.read == 11 && s.skipped == 7 && s.count == 4 && s.truncated == 2 && s.file_count == 1);
    // Rows 1 (a b end), 10 (nine of the thirteen), 11 (ab c end of de fgh end), 12.
    static const uint32_t rows[] = {1, 10, 11, 12}, tokens[] = {3, 9, 4, 2}, trained[] = {2, 8, 2, 1},
                          cut[] = {0, 4, 6, 0};
    for (size_t i = 0; i < 4; i++)
        CHECK(s.rows[i].row == rows[i] && s.rows[i].file == 0 && s.rows[i].tokens == tokens[i] &&
              s.rows[i].trained == trained[i] && s.rows[i].cut == cut[i]);
    CHECK(s.tokens == 18 && s.trained_tokens == 13 && s.cut_tokens == 10 && s.longest == 9);
    CHECK(s.raw == NULL);
    static const char *const problems[] = {"mixed.jsonl:3: it has no assistant message",
        "mixed.jsonl:4: what would be trained has no text",
        "mixed.jsonl:5: it holds U+0000 at column 33, which no text may", "mixed.jsonl:6: it is not JSON at column 1",
        "mixed.jsonl:7: message 1: the role \"usr\" is not known; is \"user\" meant?"};
    CHECK(s.problem_count == SOURCE_PROBLEMS);
    for (size_t i = 0; i < s.problem_count; i++) {
        char *want = path_join(folder, problems[i]);
        CHECK_STRING(s.problems[i], want);
        free(want);
    }
    char *place = source_place(&s, 2), *want = path_join(folder, "mixed.jsonl:11");
    CHECK_STRING(place, want);
    struct text text = {0};
    conversation_print(&text, &s.rows[2], tokenizer, 0);
    CHECK_STRING(text.data, "ab[+c<|im_end|>+]");
    text_free(&text);
    free(place);
    free(want);
    source_free(&s);

    CHECK(load(&s, path, (struct source_options){.strict = true}) == -1);
    CHECK_ERROR(e, "source test: ");
    CHECK_ERROR(e, "mixed.jsonl:3: it has no assistant message");
    CHECK(load(&s, path, (struct source_options){.strict = true, .max_rows = 1}) == 0);
    CHECK(s.count == 1 && s.read == 1 && s.skipped == 0);
    source_free(&s);
    CHECK(load(&s, path, (struct source_options){.max_rows = 2}) == 0);
    CHECK(s.count == 2 && s.rows[1].row == 9 && s.read == 8 && s.skipped == 6);
    source_free(&s);
    unlink(path);
    free(path);
}

static void test_arrays(void)
{
    char *path = write_file("rows.json", " [ {\"prompt\": \"a\",\n \"completion\": \"b\"}, 3,\n{\"text\": \"ab\"} ]\n");
    struct source s;
    CHECK(load(&s, path, (struct source_options){0}) == 0);
    CHECK(s.count == 2 && s.rows[1].row == 3 && s.skipped == 1);
    CHECK(strstr(s.problems[0], "rows.json: element 2: it is a number, not an object"));
    source_free(&s);
    free(path);
    path = write_file("broken.json", "[{\"prompt\": \"a\", \"completion\": \"b\"}, {\"text\"");
    CHECK(load(&s, path, (struct source_options){0}) == -1);
    CHECK_ERROR(e, "broken.json: element 2: the array does not go on and is not closed");
    free(path);
}

static void test_nothing(void)
{
    struct source s;
    char *path = write_file("empty.jsonl", "\n\n");
    CHECK(load(&s, path, (struct source_options){0}) == -1);
    CHECK_ERROR(e, "source test: ");
    CHECK_ERROR(e, "empty.jsonl holds no rows");
    free(path);
    path = write_file("bad.jsonl", "{\"prompt\": \"a\", \"completion\": \"bcd\"}\n{\"x\": 1}\n");
    CHECK(load(&s, path, (struct source_options){.max_length = 1}) == -1);
    CHECK_ERROR(e, "source test: none of its 2 rows can be used; the first: ");
    CHECK_ERROR(
        e, "bad.jsonl:1: it is longer than max_length (5 tokens, 1 allowed), with nothing to train on in those");
    free(path);
    CHECK(load(&s, "nowhere.jsonl", (struct source_options){0}) == -1);
    CHECK_ERROR(e, "source test: nowhere.jsonl: cannot be opened");
}

// Many rows in two files: the order is the files', whatever the threads do.
static void test_threads(void)
{
    struct text one = {0}, two = {0};
    uint64_t state = 3, hash[3];
    for (int i = 0; i < 9000; i++) {
        uint32_t n = test_random(&state) % 40;
        struct text *t = i < 5000 ? &one : &two;
        if (n == 0)
            text_print(t, "bad %d\n", i);
        else
            text_print(t, "{\"prompt\": \"%d\", \"completion\": \"%*d\"}\n", i, (int)n, i);
    }
    char *paths[] = {write_file("one.jsonl", one.data), write_file("two.jsonl", two.data)};
    static const unsigned threads[] = {1, 2, 7};
    for (size_t k = 0; k < 3; k++) {
        struct source s;
        struct source_options options = {.name = "many",
            .paths = (const char *const *)paths,
            .path_count = 2,
            .template = &template,
            .max_length = 20,
            .threads = threads[k]};
        CHECK(source_load(&s, &options, tokenizer, &e) == 0);
        CHECK(s.read == 9000 && s.count + s.skipped == 9000 && s.skipped > 100 && s.truncated > 1000);
        hash[k] = fnv1a(FNV_START, &s.trained_tokens, 8);
        for (size_t i = 0; i < s.count; i++) {
            hash[k] = fnv1a(fnv1a(hash[k], &s.rows[i].hash, 8), &s.rows[i].row, 4);
            if (i)
                CHECK(s.rows[i].file > s.rows[i - 1].file ||
                      (s.rows[i].file == s.rows[i - 1].file && s.rows[i].row > s.rows[i - 1].row));
        }
        CHECK(s.problem_count == 5 && strstr(s.problems[4], "one.jsonl:"));
        source_free(&s);
    }
    CHECK(hash[0] == hash[1] && hash[0] == hash[2]);
    for (size_t i = 0; i < 2; i++) free(paths[i]);
    text_free(&one);
    text_free(&two);
}

static void test_kept(void)
{
    char *path = write_file("tasks.jsonl", "{\"prompt\": \"a\", \"choices\": [\"x\", \"y\"], \"answer\": \"y\"}\n"
                                           "{\"prompt\": \"a\", \"completion\": \"b\"}\n"
                                           "{\"text\": \"\"}\n"
                                           "{\"messages\": []}\n");
    struct source s;
    CHECK(load(&s, path, (struct source_options){.keep_rows = true}) == 0);
    CHECK(s.count == 2 && s.skipped == 2 && s.raw);
    CHECK(s.rows[0].tokens == 0 && s.rows[0].row == 1 && s.rows[1].tokens == 3 && s.rows[1].row == 2);
    CHECK(s.raw[0].choice_count == 2 && s.raw[1].choice_count == 0 && s.raw[1].answer == NULL);
    CHECK_STRING(s.raw[0].choices[1], "y");
    CHECK_STRING(s.raw[0].answer, "y");
    struct conversation_maker maker = {.template = &template, .tokenizer = tokenizer};
    const char *reference;
    CHECK(conversation_prompt(&maker, &reference, &s.raw[1], &e) == 0);
    CHECK(maker.tokens.count == 1 && maker.tokens.ids[0] == 'a');
    CHECK_STRING(reference, "b");
    conversation_maker_free(&maker);
    source_free(&s);
    free(path);
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL);
    tokenizer = tokenizer_open_bytes();
    CHECK(template_open_name(&template, "none", tokenizer, &e) == 0);
    test_mixed();
    test_arrays();
    test_nothing();
    test_threads();
    test_kept();
    template_close(&template);
    tokenizer_close(tokenizer);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
