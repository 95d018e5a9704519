// SPDX-License-Identifier: MIT
//
// Tokenizers against ids of Hugging Face's `tokenizers` (tests/data/golden, written by tools/golden_tokenizer.py).
#include "data/tokenizer.h"
#include "formats/json_file.h"
#include "test.h"

#include <unistd.h>

static const char golden[] = "tests/data/golden";
static const char model_path[] = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
static const char *const kinds[] = {"gpt2", "smollm", "llama3", "qwen2", "odd", "even"};

static char folder[] = "/tmp/pumice-test-XXXXXX";

static struct tokenizer *open_golden(const char *kind)
{
    struct error e = {0};
    char *path = mem_format("%s/tokenizer_%s.json", golden, kind);
    struct tokenizer *t = tokenizer_open_json(path, &e);
    if (!t) {
        printf("%s\n", e.text);
        exit(1);
    }
    free(path);
    return t;
}

// The bytes of a text in hex; the caller frees.
static char *unhex(const char *hex, size_t *bytes)
{
    *bytes = strlen(hex) / 2;
    char *out = mem_alloc(*bytes + 1);
    for (size_t i = 0; i < *bytes; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (char)strtoul(pair, NULL, 16);
    }
    return out;
}

static struct tokens encode(const struct tokenizer *t, const char *text, size_t bytes, bool special)
{
    struct tokens out = {0};
    struct error e = {0};
    CHECK(tokenizer_encode(t, &out, &(struct text_run){text, bytes, special}, 1, &e) == 0);
    return out;
}

// The ids (and ends, when there are any) must be those of the lists.
static void check_tokens(const struct tokens *got, const cJSON *ids, const cJSON *ends, const char *what, int number)
{
    size_t i = 0;
    const cJSON *id = ids->child, *end = ends ? ends->child : NULL;
    for (; id && i < got->count && got->ids[i] == (uint32_t)id->valueint; id = id->next) i++;
    CHECK_SAY(!id && i == got->count, "%s, case %d: token %zu is %d, want %d", what, number, i,
        i < got->count ? (int)got->ids[i] : -1, id ? id->valueint : -1);
    for (i = 0; end && i < got->count; end = end->next, i++)
        if (end->valueint >= 0 && got->ends[i] != (uint32_t)end->valueint) {
            CHECK_SAY(false, "%s, case %d: token %zu ends at %u, want %d", what, number, i, (unsigned)got->ends[i],
                end->valueint);
            break;
        }
    CHECK(!ends || (!end && i == got->count));
}

static void equals_reference(const cJSON *cases, const struct tokenizer *t, const char *kind)
{
    int number = 0;
    for (const cJSON *one = cases->child; one; one = one->next, number++) {
        const cJSON *want = cJSON_GetObjectItem(one, kind);
        size_t bytes;
        char *text = unhex(cJSON_GetObjectItem(one, "hex")->valuestring, &bytes);
        struct tokens got = encode(t, text, bytes, cJSON_IsTrue(cJSON_GetObjectItem(one, "special")));
        check_tokens(&got, cJSON_GetObjectItem(want, "ids"), cJSON_GetObjectItem(want, "ends"), kind, number);
        tokens_free(&got);
        free(text);
    }
    CHECK(number > 60);
}

// However a text is cut into runs, its tokens stay the same.
static void runs_do_not_matter(const cJSON *cases, const struct tokenizer *t)
{
    uint64_t state = 3;
    for (const cJSON *one = cases->child; one; one = one->next) {
        size_t bytes, count = 0;
        char *text = unhex(cJSON_GetObjectItem(one, "hex")->valuestring, &bytes);
        bool special = cJSON_IsTrue(cJSON_GetObjectItem(one, "special"));
        struct text_run *runs = mem_zero(bytes + 1, sizeof *runs);
        for (size_t at = 0, n; at < bytes; at += n) {
            n = test_random(&state) % 9;
            if (n > bytes - at) n = bytes - at;
            if (count == bytes) n = bytes - at;
            runs[count++] = (struct text_run){text + at, n, special};
        }
        struct tokens want = encode(t, text, bytes, special), got = {0};
        CHECK(tokenizer_encode(t, &got, runs, count, NULL) == 0);
        CHECK(got.count == want.count && (got.count == 0 || (memcmp(got.ids, want.ids, 4 * got.count) == 0 &&
                                                                memcmp(got.ends, want.ends, 4 * got.count) == 0)));
        tokens_free(&want), tokens_free(&got);
        free(runs), free(text);
    }
}

// The tokens of a text, "id@end id@end ...".
static char *shown(const struct tokenizer *t, const struct text_run *runs, size_t count)
{
    struct tokens got = {0};
    struct text out = {0};
    text_add(&out, "", 0);
    CHECK(tokenizer_encode(t, &got, runs, count, NULL) == 0);
    for (size_t i = 0; i < got.count; i++) text_print(&out, "%s%u@%u", i ? " " : "", got.ids[i], got.ends[i]);
    tokens_free(&got);
    return out.data;
}

static void bytes_and_special_runs(void)
{
    struct tokenizer *t = tokenizer_open_bytes();
    CHECK(tokenizer_size(t) == 260);
    CHECK(tokenizer_bos(t) == 256 && tokenizer_eos(t) == 258 && tokenizer_pad(t) == 259 && !tokenizer_adds_bos(t));
    CHECK(tokenizer_find(t, "<|im_start|>") == 257 && tokenizer_find(t, "<|nothing|>") == -1);
    CHECK(tokenizer_is_special(t, 258) && !tokenizer_is_special(t, 255) && !tokenizer_is_special(t, 1000));
    CHECK(strstr(tokenizer_chat_template(t), "<|im_start|>") != NULL);

    char *s = NULL;
    // Recognised, plain text, and spellings that reach over several runs: all special, or not all.
    static const struct {
        struct text_run runs[3];
        size_t count;
        const char *want;
    } rows[] = {
        {{{"a<|bos|>", 8, true}}, 1, "97@1 256@8"},
        {{{"<|bos|>", 7, false}}, 1, "60@1 124@2 98@3 111@4 115@5 124@6 62@7"},
        {{{"<|b", 3, true}, {"", 0, false}, {"os|>", 4, true}}, 3, "256@7"},
        {{{"<|bos", 5, true}, {"|>", 2, false}}, 2, "60@1 124@2 98@3 111@4 115@5 124@6 62@7"},
        {{{"<|bos", 5, false}, {"|>", 2, true}}, 2, "60@1 124@2 98@3 111@4 115@5 124@6 62@7"},
        {{{"<|bos|", 6, true}, {">", 1, false}, {"<|pad|>", 7, true}}, 3,
            "60@1 124@2 98@3 111@4 115@5 124@6 62@7 259@14"},
        {{{"\xff<|bos|>\xe2", 9, true}, {"\x82x", 2, false}}, 2, "239@1 191@1 189@1 256@8 239@10 191@10 189@10 120@11"},
        {{{NULL, 0, true}}, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_STRING(s = shown(t, rows[i].runs, rows[i].count), rows[i].want);
        free(s);
    }

    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    struct tokens ascii = encode(t, all, 128, true);
    for (uint32_t i = 0; i < 128; i++) CHECK(ascii.ids[i] == i && ascii.ends[i] == i + 1);
    tokens_free(&ascii);
    tokenizer_close(t);
    tokenizer_close(NULL);
}

// Short words share a table: one must not be taken for another that begins with it.
static void cached_words(void)
{
    struct tokenizer *t = tokenizer_open_bytes();
    struct tokens got = {0};
    uint64_t state = 11;
    int wrong = 0;
    for (int i = 0; i < 100000; i++) {
        char word[6];
        for (size_t k = 0; k < sizeof word; k++) word[k] = (char)('a' + test_random(&state) % 26);
        for (size_t n = sizeof word; n > sizeof word - 2; n--) {
            got.count = 0;
            wrong += tokenizer_encode(t, &got, &(struct text_run){word, n, false}, 1, NULL) != 0 || got.count != n;
        }
    }
    CHECK(wrong == 0);
    tokens_free(&got);
    tokenizer_close(t);
}

static void decodes(const struct tokenizer *t, const uint32_t *ids, size_t count, bool skip, const char *want)
{
    struct text out = {0};
    text_add(&out, ">", 1);
    tokenizer_decode(t, &out, ids, count, skip);
    CHECK_STRING(out.data + 1, want);
    text_free(&out);
}

static void decoding(const cJSON *cases)
{
    struct tokenizer *bytes = tokenizer_open_bytes(), *qwen = open_golden("qwen2");
    decodes(bytes, (uint32_t[]){257, 72, 105, 258}, 4, false, "<|im_start|>Hi<|im_end|>");
    decodes(bytes, (uint32_t[]){257, 72, 105, 258, 4000000}, 5, true, "Hi");
    decodes(bytes, (uint32_t[]){0xe2, 0x82, 0xac, 0xe2, 0x82, 258, 0xac}, 7, true, "\u20ac\u20ac");
    decodes(bytes, (uint32_t[]){0xe2, 0x82, 258, 0xac, 0xff}, 5, false, "\ufffd<|im_end|>\ufffd\ufffd");
    decodes(bytes, NULL, 0, false, "");
    // "<tool>" is an added token, but not a special one.
    uint32_t tool = (uint32_t)tokenizer_find(qwen, "<tool>");
    CHECK(!tokenizer_is_special(qwen, tool));
    decodes(qwen, &tool, 1, true, "<tool>");
    tokenizer_close(qwen);

    // What was encoded comes back, where the vocabulary has all bytes and nothing is normalised.
    static const char *const whole[] = {"gpt2", "llama3"};
    for (size_t k = 0; k < 2; k++) {
        struct tokenizer *t = open_golden(whole[k]);
        for (const cJSON *one = cases->child; one; one = one->next) {
            size_t n;
            char *text = unhex(cJSON_GetObjectItem(one, "hex")->valuestring, &n);
            struct tokens ids = encode(t, text, n, true), plain = encode(bytes, text, n, false);
            struct text back = {0}, want = {0};
            text_add(&back, "", 0), text_add(&want, "", 0);
            tokenizer_decode(t, &back, ids.ids, ids.count, false);
            tokenizer_decode(bytes, &want, plain.ids, plain.count, false);
            CHECK(back.bytes == want.bytes && memcmp(back.data, want.data, want.bytes) == 0);
            text_free(&back), text_free(&want);
            tokens_free(&ids), tokens_free(&plain);
            free(text);
        }
        tokenizer_close(t);
    }
    tokenizer_close(bytes);
}

static void write_file(const char *name, const char *text)
{
    char *path = path_join(folder, name);
    CHECK(file_write_atomic(path, text, strlen(text), NULL) == 0);
    free(path);
}

static void remove_file(const char *name)
{
    char *path = path_join(folder, name);
    CHECK(unlink(path) == 0);
    free(path);
}

static bool same_files(const char *a, const char *b)
{
    struct file_map x, y;
    CHECK(file_map(&x, a, NULL) == 0);
    CHECK(file_map(&y, b, NULL) == 0);
    bool same = x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0;
    file_unmap(&x), file_unmap(&y);
    return same;
}

static void saving(const cJSON *cases)
{
    char *path = path_join(folder, "tokenizer.json"), *config = path_join(folder, "tokenizer_config.json");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char *source = mem_format("%s/tokenizer_%s.json", golden, kinds[k]);
        struct tokenizer *t = open_golden(kinds[k]);
        struct error e = {0};
        CHECK(tokenizer_save(t, folder, &e) == 0);
        CHECK(same_files(source, path));
        tokenizer_close(t);
        t = tokenizer_open_json(path, &e);
        CHECK_SAY(t != NULL, "%s", e.text);
        if (t) equals_reference(cases, t, kinds[k]);
        // The post-processor of llama3 puts a token in front.
        CHECK(tokenizer_adds_bos(t) == (strcmp(kinds[k], "llama3") == 0));
        CHECK(tokenizer_bos(t) == (tokenizer_adds_bos(t) ? tokenizer_find(t, "<|begin|>") : -1));
        CHECK(tokenizer_eos(t) == -1 && tokenizer_pad(t) == -1 && tokenizer_chat_template(t) == NULL);
        tokenizer_close(t);
        free(source);
        remove_file("tokenizer_config.json"), remove_file("special_tokens_map.json");
    }
    // What is generated reads back as what it was, twice the same bytes.
    struct tokenizer *t = tokenizer_open_bytes(), *again;
    CHECK(tokenizer_save(t, folder, NULL) == 0);
    again = tokenizer_open_json(path, NULL);
    CHECK(again && tokenizer_bos(again) == 256 && tokenizer_eos(again) == 258 && tokenizer_pad(again) == 259);
    CHECK_STRING(tokenizer_chat_template(again), tokenizer_chat_template(t));
    char *copy = path_join(folder, "copy");
    CHECK(folder_make(copy, NULL) == 0 && tokenizer_save(again, copy, NULL) == 0);
    char *config_copy = path_join(copy, "tokenizer_config.json"), *path_copy = path_join(copy, "tokenizer.json");
    CHECK(same_files(config, config_copy) && same_files(path, path_copy));
    CHECK(tokenizer_save(t, "/nowhere/at/all", NULL) == -1);
    tokenizer_close(t), tokenizer_close(again);
    free(copy), free(config_copy), free(path_copy), free(path), free(config);
}

static struct tokenizer *open_folder(struct error *e)
{
    char *path = path_join(folder, "tokenizer.json");
    struct tokenizer *t = tokenizer_open_json(path, e);
    free(path);
    return t;
}

// Begin, end and padding tokens and the template from the files beside tokenizer.json, and which file wins.
static void files_beside(void)
{
    struct error e = {0};
    struct tokenizer *t = open_folder(&e); // the bytes tokenizer, saved before
    tokenizer_close(t);
    remove_file("tokenizer_config.json"), remove_file("special_tokens_map.json");

    write_file(
        "generation_config.json", "{\"bos_token_id\": 256, \"eos_token_id\": [257, 259], \"pad_token_id\": 999}");
    t = open_folder(&e);
    CHECK(tokenizer_bos(t) == 256 && tokenizer_eos(t) == 257 && tokenizer_pad(t) == -1);
    tokenizer_close(t);

    write_file("special_tokens_map.json", "{\"eos_token\": {\"content\": \"<|im_end|>\"}, \"pad_token\": \"<|pad|>\"}");
    t = open_folder(&e);
    CHECK(tokenizer_bos(t) == 256 && tokenizer_eos(t) == 258 && tokenizer_pad(t) == 259);
    tokenizer_close(t);

    write_file("tokenizer_config.json",
        "{\"eos_token\": \"<|pad|>\", \"pad_token\": \"<none>\", \"add_bos_token\": true, \"chat_template\": ["
        "{\"name\": \"tools\", \"template\": \"T\"}, {\"name\": \"default\", \"template\": \"D\"}]}");
    t = open_folder(&e);
    CHECK(tokenizer_eos(t) == 259 && tokenizer_pad(t) == 259 && tokenizer_adds_bos(t));
    CHECK_STRING(tokenizer_chat_template(t), "D");
    tokenizer_close(t);

    write_file("chat_template.jinja", "J");
    t = open_folder(&e);
    CHECK_STRING(tokenizer_chat_template(t), "J");
    char *copy = path_join(folder, "copy"), *jinja = path_join(copy, "chat_template.jinja");
    CHECK(tokenizer_save(t, copy, NULL) == 0 && file_exists(jinja));
    tokenizer_close(t);
    free(copy), free(jinja);

    write_file("special_tokens_map.json", "{\"eos_token\": ");
    CHECK(open_folder(&e) == NULL);
    CHECK_ERROR(e, "special_tokens_map.json:1:");
    remove_file("special_tokens_map.json");
    remove_file("tokenizer_config.json"), remove_file("chat_template.jinja"), remove_file("generation_config.json");
}

// A tokenizer.json of the given parts.
static void refused(const char *normalizer, const char *pre_tokenizer, const char *model, const char *why)
{
    static const char bpe[] = "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}";
    static const char bytes[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}";
    char *text = mem_format("{\"normalizer\":%s,\"pre_tokenizer\":%s,\"model\":%s}", normalizer ? normalizer : "null",
        pre_tokenizer ? pre_tokenizer : bytes, model ? model : bpe);
    write_file("tokenizer.json", text);
    struct error e = {0};
    struct tokenizer *t = open_folder(&e);
    if (why) {
        CHECK_SAY(t == NULL, "was accepted: %s", text);
        CHECK_ERROR(e, why);
        CHECK_ERROR(e, "tokenizer.json");
    } else {
        CHECK_SAY(t != NULL, "%s", e.text);
    }
    tokenizer_close(t);
    free(text);
}

static void split_refused(const char *pattern, const char *why)
{
    char *stage =
        mem_format("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},"
                   "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\"}]}",
            pattern);
    refused(NULL, stage, NULL, why);
    free(stage);
}

static void refusals(void)
{
    refused(NULL, NULL, NULL, NULL);
    refused("{\"type\":\"Lowercase\"}", NULL, NULL, "the normalizer \"Lowercase\" is not known");
    refused(
        "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Strip\"}]}", NULL, NULL, "\"Strip\"");
    refused("[]", NULL, NULL, "the normalizer \"\"");
    refused(NULL, "null", NULL, "\"\" is not known");
    refused(NULL, "{\"type\":\"Metaspace\"}", NULL, "the pre-tokenizer \"Metaspace\" is not known");
    refused(NULL, "{\"type\":\"Digits\"}", NULL, "no ByteLevel stage");
    refused(NULL, "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}", NULL,
        "\"Digits\" stands after ByteLevel");
    refused(NULL, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"MergedWithNext\"}", NULL,
        "\"MergedWithNext\"");
    refused(NULL, "{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}", NULL, "has no pattern");
    refused(NULL, NULL, "{\"type\":\"Unigram\",\"vocab\":[]}", "a Unigram model");
    refused(NULL, NULL, "{\"type\":\"WordPiece\",\"vocab\":{}}", "a WordPiece model");
    refused(NULL, NULL, "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"byte_fallback\":true}", "SentencePiece");
    refused(NULL, NULL, "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"dropout\":0.1}", "at random");
    refused(NULL, NULL, "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}",
        "\"end_of_word_suffix\"");
    refused(NULL, NULL, "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"unk_token\":\"?\"}", "unk_token \"?\"");
    refused(NULL, NULL, "{\"type\":\"BPE\",\"merges\":[]}", "no \"vocab\"");
    refused(NULL, NULL, "3", "there is no \"model\"");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}", "merge 0 (\"a\" and \"b\")");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}", "merge 0 is not a pair");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}", "merge 0 is not a pair");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}", "merge 0 is not a pair");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0},\"merges\":[\"#version: 0.2\",7]}", "merge 0 is not a pair");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", "two tokens of the vocabulary have the id 0");
    refused(NULL, NULL, "{\"vocab\":{\"a\":-1},\"merges\":[]}", "the token \"a\" has no id");
    refused(NULL, NULL, "{\"vocab\":{\"a\":0.5},\"merges\":[]}", "the token \"a\" has no id");
    refused(NULL, NULL, "{\"vocab\":{\"a\":1e9},\"merges\":[]}", "the token \"a\" has no id");
    refused(NULL, NULL, "{\"vocab\":{},\"merges\":[]}", NULL);
    write_file("tokenizer.json", "{\"model\":");
    struct error e = {0};
    CHECK(open_folder(&e) == NULL);
    CHECK_ERROR(e, "tokenizer.json:1:");

    split_refused("\\\\w+|[^\\\\s\\\\-a]", "the escape at byte 1");
    split_refused("a|^b", "an anchor at byte 2");
    split_refused("[a[b]]", "a class inside a class");
    split_refused("[a-z&&b]", "an intersection");
    split_refused("[\\\\s-z]", "'-' after a set");
    split_refused("[a-\\\\d]", "a set after '-'");
    split_refused("[]a]", "']' at the start");
    split_refused("[a", "a class without end");
    split_refused("(?i)a", "the kind of group");
    split_refused("(*ACCEPT)", "a verb");
    split_refused("a{1,2}+", "the repeat");
    split_refused("a{,2}", "the repeat");
    split_refused("a\\\\", "the escape");
    split_refused("\\\\xff", "the character number");
    split_refused("\\\\ud800", "the character number");
    split_refused("\\\\p{L", "the property");
    split_refused("\\\\p{Nothing}", "refused by PCRE2");
    split_refused("(a", "refused by PCRE2");
    split_refused("(?i:'s)|[^\\\\r\\\\n\\\\p{^L}]?\\\\x{41}\\\\u0042\\\\x43\\\\pN{1,2}|\\\\p{Han}+(?<!\\\\S)a++|["
                  "\\\\S\\\\d-]|\\\\D",
        NULL);
}

// Added tokens are numbered as `tokenizers` numbers them, whatever the file says.
static void numbering(void)
{
    static const char *const added[][2] = {
        {"{\"id\":10,\"content\":\"<y>\",\"special\":true}", "0@1 2@4 3@7 1@8"},
        {"{\"id\":1,\"content\":\"<y>\"},{\"id\":1,\"content\":\"\"},{\"id\":9,\"content\":\"<z>\"}",
            "0@1 2@4 3@7 4@10 1@11"},
        {"{\"id\":5,\"content\":\"<x>\"},{\"id\":5,\"content\":\"<y>\"},{\"id\":6,\"content\":\"<y>\"}",
            "0@1 2@4 3@7 1@8"},
    };
    for (size_t i = 0; i < 3; i++) {
        char *text = mem_format(
            "{\"added_tokens\":[{\"id\":2,\"content\":\"<x>\"},%s],\"pre_tokenizer\":{\"type\":\"ByteLevel\","
            "\"add_prefix_space\":false},\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"<x>\":2},\"merges\":[]}}",
            added[i][0]);
        write_file("tokenizer.json", text);
        struct error e = {0};
        struct tokenizer *t = open_folder(&e);
        CHECK_SAY(t != NULL, "%s", e.text);
        char *s = shown(t, &(struct text_run){i == 1 ? "a<x><y><z>b" : "a<x><y>b", i == 1 ? 11 : 8, true}, 1);
        CHECK_STRING(s, added[i][1]);
        CHECK(tokenizer_find(t, "<y>") == 3 && tokenizer_size(t) == (i == 1 ? 5 : 4));
        free(s), free(text);
        tokenizer_close(t);
    }
    // Ids with holes: what is added comes behind the number of tokens, not behind the greatest id.
    write_file("tokenizer.json",
        "{\"added_tokens\":[{\"id\":8,\"content\":\"<y>\"}],\"pre_tokenizer\":{\"type\":\"ByteLevel\","
        "\"add_prefix_space\":true},\"model\":{\"vocab\":{\"a\":0,\"b\":7},\"merges\":[]}}");
    struct tokenizer *t = open_folder(NULL);
    CHECK(tokenizer_find(t, "<y>") == 2 && tokenizer_size(t) == 8);
    decodes(t, (uint32_t[]){0, 1, 2, 3, 7}, 5, false, "a<y>b");
    tokenizer_close(t);
}

// Texts that ask for much memory or time if something is done in a simple way.
static void long_runs(void)
{
    enum { LONG = 1 << 20, SHORT = 1 << 16 };
    static const char *const units[] = {" ", "a", "\n", "\t \r\n", "1", "!", "\u3000", "a\u0301", "\u0323\u0301", "'s",
        "\xff", "<", "<|im_start|>", "\u4e00"};
    char *text = mem_alloc(LONG + 1);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct tokenizer *t = open_golden(kinds[k]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t unit = strlen(units[u]), bytes = 0, most = k == 2 && u < 2 ? LONG : SHORT;
            for (; bytes + unit < most; bytes += unit) memcpy(text + bytes, units[u], unit);
            text[bytes++] = 'x';
            struct tokens got = encode(t, text, bytes, true);
            CHECK(got.count > 0 && got.ends[got.count - 1] == bytes);
            if (k < 4 && strcmp(units[u], "<|im_start|>") == 0) CHECK(got.count == bytes / unit + 1);
            tokens_free(&got);
        }
        tokenizer_close(t);
    }
    free(text);
}

// A GGUF file, version 3: metadata only.
struct gguf_writer {
    struct text out;
    uint64_t keys;
};

static void put_string(struct text *out, const char *s)
{
    uint64_t n = strlen(s);
    text_add(out, &n, 8);
    text_add(out, s, n);
}

static void put_key(struct gguf_writer *w, const char *key, uint32_t type)
{
    put_string(&w->out, key);
    text_add(&w->out, &type, 4);
    w->keys++;
}

static void put_array(struct gguf_writer *w, const char *key, uint32_t type, uint64_t count)
{
    put_key(w, key, 9);
    text_add(&w->out, &type, 4);
    text_add(&w->out, &count, 8);
}

// Writes a golden tokenizer as a GGUF file into the folder, with one change (NULL: none), and opens that.
static struct tokenizer *through_gguf(
    const char *kind, const char *model, const char *pre, uint32_t eos, struct error *e)
{
    enum { U32 = 4, I32 = 5, BOOL = 7, STRING = 8 };
    char *source = mem_format("%s/tokenizer_%s.json", golden, kind), *path = path_join(folder, "model.gguf");
    cJSON *root = json_read_file(source, e), *json = cJSON_GetObjectItem(root, "model");
    const cJSON *added = cJSON_GetObjectItem(root, "added_tokens");
    const char *tokens[2000] = {0};
    int32_t types[2000];
    uint64_t count = 0;
    for (const cJSON *v = cJSON_GetObjectItem(json, "vocab")->child; v; v = v->next)
        tokens[v->valueint] = v->string, types[v->valueint] = 1;
    for (const cJSON *a = added->child; a; a = a->next) {
        int id = cJSON_GetObjectItem(a, "id")->valueint;
        tokens[id] = cJSON_GetObjectItem(a, "content")->valuestring;
        types[id] = cJSON_IsTrue(cJSON_GetObjectItem(a, "special")) ? 3 : 4;
    }
    while (tokens[count]) count++;

    struct gguf_writer w = {0};
    put_key(&w, "general.architecture", STRING), put_string(&w.out, "llama");
    if (model) put_key(&w, "tokenizer.ggml.model", STRING), put_string(&w.out, model);
    put_key(&w, "tokenizer.ggml.pre", STRING), put_string(&w.out, pre);
    put_array(&w, "tokenizer.ggml.tokens", STRING, count);
    for (uint64_t i = 0; i < count; i++) put_string(&w.out, tokens[i]);
    put_array(&w, "tokenizer.ggml.token_type", I32, count);
    text_add(&w.out, types, 4 * count);
    const cJSON *merges = cJSON_GetObjectItem(json, "merges");
    put_array(&w, "tokenizer.ggml.merges", STRING, (uint64_t)cJSON_GetArraySize(merges));
    for (const cJSON *m = merges->child; m; m = m->next) {
        char *joined = mem_format("%s %s", m->child->valuestring, m->child->next->valuestring);
        put_string(&w.out, joined);
        free(joined);
    }
    put_key(&w, "tokenizer.ggml.bos_token_id", U32), text_add(&w.out, &(uint32_t){1}, 4);
    put_key(&w, "tokenizer.ggml.eos_token_id", U32), text_add(&w.out, &eos, 4);
    put_key(&w, "tokenizer.chat_template", STRING), put_string(&w.out, "{{ \"\\n\t\x01\" }}");

    struct text file = {0};
    text_add(&file, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16);
    text_add(&file, &w.keys, 8);
    text_add(&file, w.out.data, w.out.bytes);
    CHECK(file_write_atomic(path, file.data, file.bytes, NULL) == 0);
    struct gguf *g = gguf_open(path, e);
    CHECK_SAY(g != NULL, "%s", e->text);
    struct tokenizer *t = g ? tokenizer_open_gguf(g, e) : NULL;
    gguf_close(g);
    text_free(&file), text_free(&w.out);
    cJSON_Delete(root);
    free(source), free(path);
    return t;
}

static void gguf_equals_json(const cJSON *cases)
{
    static const char *const pre[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    struct error e = {0};
    for (size_t k = 0; k < 4; k++) {
        struct tokenizer *t = through_gguf(kinds[k], "gpt2", pre[k], 2, &e);
        CHECK_SAY(t != NULL, "%s", e.text);
        if (!t) continue;
        equals_reference(cases, t, kinds[k]);
        CHECK(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_pad(t) == -1);
        CHECK(tokenizer_adds_bos(t) == (k == 2));
        CHECK_STRING(tokenizer_chat_template(t), "{{ \"\\n\t\x01\" }}");
        // What is saved is the same tokenizer.
        CHECK(tokenizer_save(t, folder, &e) == 0);
        struct tokenizer *again = open_folder(&e);
        CHECK_SAY(again != NULL, "%s", e.text);
        if (again) equals_reference(cases, again, kinds[k]);
        CHECK(again && tokenizer_bos(again) == 1 && tokenizer_eos(again) == 2 && tokenizer_pad(again) == -1);
        CHECK(again && tokenizer_adds_bos(again) == (k == 2));
        CHECK_STRING(again ? tokenizer_chat_template(again) : NULL, tokenizer_chat_template(t));
        tokenizer_close(again);
        tokenizer_close(t);
    }
    CHECK(through_gguf("gpt2", "llama", "default", 2, &e) == NULL);
    CHECK_ERROR(e, "\"llama\" (SentencePiece)");
    CHECK(through_gguf("gpt2", NULL, "default", 2, &e) == NULL);
    CHECK_ERROR(e, "has no tokenizer");
    CHECK(through_gguf("gpt2", "gpt2", "tekken", 2, &e) == NULL);
    CHECK_ERROR(e, "tokenizer.ggml.pre is \"tekken\"");
    CHECK(through_gguf("gpt2", "gpt2", "gpt-2", 70000, &e) == NULL);
    CHECK_ERROR(e, "eos_token_id is 70000");
}

// Damaged metadata: the file that through_gguf left, with some bytes changed.
static void damaged_gguf(void)
{
    char *path = path_join(folder, "model.gguf");
    struct error e = {0};
    struct tokenizer *whole = through_gguf("qwen2", "gpt2", "qwen2", 2, &e);
    tokenizer_close(whole);
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0);
    char *damaged = mem_alloc(f.bytes);
    uint64_t state = 5;
    int opened = 0;
    for (int i = 0; i < 400; i++) {
        memcpy(damaged, f.data, f.bytes);
        // Anywhere, or among the keys after the lists.
        for (int n = test_random(&state) % 4; n >= 0; n--) {
            size_t at = test_random(&state) % (n % 2 ? f.bytes : 250);
            damaged[n % 2 ? at : f.bytes - 1 - at] = (char)(test_random(&state) % 2 ? test_random(&state) : 0);
        }
        char *copy = path_join(folder, "damaged.gguf");
        FILE *out = fopen(copy, "wb");
        CHECK(out && fwrite(damaged, 1, f.bytes, out) == f.bytes && fclose(out) == 0);
        e.text[0] = 0;
        struct gguf *g = gguf_open(copy, &e);
        struct tokenizer *t = g ? tokenizer_open_gguf(g, &e) : NULL;
        CHECK(t || e.text[0]);
        opened += t != NULL;
        tokenizer_close(t);
        gguf_close(g);
        free(copy);
    }
    CHECK(opened > 20 && opened < 380);
    free(damaged), free(path);
    file_unmap(&f);
}

// The model that the demo uses: ids of Hugging Face's tokenizer.json for SmolLM2.
static void real_model(void)
{
    struct error e = {0};
    if (!file_exists(model_path)) {
        printf("%s is not there (tools/model smollm2-135m): its tokenizer is not tested\n", model_path);
        return;
    }
    struct gguf *g = gguf_open(model_path, &e);
    struct tokenizer *t = g ? tokenizer_open_gguf(g, &e) : NULL;
    gguf_close(g);
    CHECK_SAY(t != NULL, "%s", e.text);
    if (!t) return;
    CHECK(tokenizer_size(t) == 49152 && tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && !tokenizer_adds_bos(t));
    CHECK(strstr(tokenizer_chat_template(t), "SmolLM") != NULL);
    const char text[] = "<|im_start|>user\nWhat's 12345 \xc3\x97 7?\n\n  \u00e9t\u00e9\U0001f44b\xff<|im_end|>\n";
    const struct text_run runs[] = {{text, sizeof text - 1, true}};
    char *s = shown(t, runs, 1);
    CHECK_STRING(s, "1@12 4093@16 198@17 1780@21 506@23 216@24 33@25 34@26 35@27 36@28 37@29 15493@32 216@33 39@34 "
                    "47@35 8866@38 216@39 19380@42 2756@44 10813@46 235@47 229@48 24211@49 2@59 198@60");
    free(s);
    tokenizer_close(t);
}

int main(void)
{
    struct error e = {0};
    cJSON *cases = json_read_file("tests/data/golden/tokenizer_cases.json", &e);
    CHECK_SAY(cases != NULL, "%s", e.text);
    CHECK(mkdtemp(folder) != NULL);
    for (size_t k = 0; cases && k < sizeof kinds / sizeof *kinds; k++) {
        struct tokenizer *t = open_golden(kinds[k]);
        equals_reference(cases, t, kinds[k]);
        runs_do_not_matter(cases, t);
        tokenizer_close(t);
    }
    bytes_and_special_runs();
    cached_words();
    decoding(cases);
    saving(cases);
    files_beside();
    refusals();
    numbering();
    long_runs();
    gguf_equals_json(cases);
    damaged_gguf();
    real_model();
    cJSON_Delete(cases);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
