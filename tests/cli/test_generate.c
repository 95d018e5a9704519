// SPDX-License-Identifier: MIT
//
// The commands generate, score and tokenize on a tiny random model: results, exit statuses, sentences.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static char folder[] = "/tmp/pumice-test-XXXXXX";
static struct text out, err; // of the last command

static const char config_text[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 32, "
    "\"num_hidden_layers\": 1,"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 48, \"vocab_size\": 260,"
    "\"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": false, \"initializer_range\": "
    "0.3,"
    "\"eos_token_id\": 258}";

static char *in_folder(const char *name)
{
    return path_join(folder, name);
}

static void write_rows(const char *name, const char *lines)
{
    struct error e = {0};
    char *path = in_folder(name);
    CHECK(file_write_atomic(path, lines, strlen(lines), &e) == 0);
    free(path);
}

// A model with random weights, saved as any other.
static void make_model(void)
{
    struct error e = {0};
    char text[1024], *path = in_folder("model");
    cJSON *json = json_read_text("config", config_text, strlen(config_text), &e);
    struct model model;
    struct tokenizer *tokenizer = tokenizer_open_bytes();
    struct gpu *gpu = gpu_open(&(struct gpu_options){0}, text, sizeof text);
    if (!gpu) printf("%s\n", text), exit(1);
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 16, .positions = 16};
    struct blueprint b;
    struct session *s = NULL;
    bool ok = json && model_open_init(&model, json, "config", &e) == 0 &&
              blueprint_make(&b, &model, &limits, &o, &e) == 0 && (s = session_open(&b, &model, gpu, &e)) &&
              model_load(&model, session_engine(s), 5, &e) == 0 && folder_make(path, &e) == 0 &&
              model_save(&model, session_engine(s), path, false, &e) == 0 && tokenizer_save(tokenizer, path, &e) == 0;
    if (!ok) printf("%s\n", e.text), exit(1);
    session_close(s);
    blueprint_free(&b);
    model_close(&model);
    gpu_close(gpu);
    tokenizer_close(tokenizer);
    cJSON_Delete(json);
    free(path);
}

static void read_back(struct text *t, int saved, int stream, const char *name)
{
    struct file_map f;
    char *path = in_folder(name);
    dup2(saved, stream);
    close(saved);
    text_free(t);
    CHECK(file_map(&f, path, NULL) == 0);
    text_add(t, f.data, f.bytes);
    file_unmap(&f);
    free(path);
}

static int redirect(int stream, const char *name)
{
    char *path = in_folder(name);
    int saved = dup(stream), file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, stream);
    close(file);
    free(path);
    return saved;
}

// Runs a command with its words; those that begin with @ are names in the folder.
static int run(int (*command)(const struct command *, int, char **), const char *const *words)
{
    const struct command c = {"it", "summary", "USAGE", NULL, "pumice it --example", command};
    char *argv[32] = {mem_string("it")};
    int argc = 1;
    for (; *words; words++) argv[argc++] = **words == '@' ? in_folder(*words + 1) : mem_string(*words);
    fflush(stdout);
    int saved_out = redirect(1, "out"), saved_err = redirect(2, "err");
    int status = command(&c, argc, argv);
    fflush(stdout);
    read_back(&out, saved_out, 1, "out");
    read_back(&err, saved_err, 2, "err");
    for (int i = 0; i < argc; i++) free(argv[i]);
    return status;
}
#define RUN(name, ...) run(command_##name, (const char *const[]){__VA_ARGS__, NULL})
#define CHECK_SAID(part) CHECK_SAY(strstr(err.data, part) != NULL, "it said \"%s\"", err.data)

// Line i of the output as JSON; the caller deletes.
static cJSON *line(int i)
{
    struct error e = {0};
    const char *at = out.data;
    while (i-- > 0 && at) at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    cJSON *json = at && *at ? json_read_text("out", at, strcspn(at, "\n"), &e) : NULL;
    CHECK_SAY(json != NULL, "%s: \"%s\"", e.text, out.data);
    return json;
}

static double number(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    CHECK_SAY(cJSON_IsNumber(item), "%s", key);
    return item ? item->valuedouble : NAN;
}

static const char *string(const cJSON *json, const char *key)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    CHECK_SAY(value != NULL, "%s", key);
    return value ? value : "";
}

static int lines(void)
{
    int n = 0;
    for (size_t i = 0; i < out.bytes; i++) n += out.data[i] == '\n';
    return n;
}

static void test_tokenize(void)
{
    CHECK(RUN(tokenize, "--help") == STATUS_DONE && strstr(out.data, "example: pumice it --example"));
    CHECK(RUN(tokenize, "--model", "@model", "--text", "Hi<|im_end|>") == STATUS_DONE);
    CHECK_STRING(out.data, "{\"ids\":[72,105,258],\"mask\":[0,1,1]}\n");
    CHECK(RUN(tokenize, "--model", "@model", "--text", "") == STATUS_DONE);
    CHECK_STRING(out.data, "{\"ids\":[],\"mask\":[]}\n");
    CHECK(RUN(tokenize, "--model", "@model", "--text", "Hello", "--max-length", "2") == STATUS_DONE);
    CHECK_STRING(out.data, "{\"ids\":[72,101],\"mask\":[0,1]}\n");
    write_rows("a.jsonl", "{\"text\": \"A\"}\n"
                          "{\"prompt\": \"q<|im_end|>\", \"completion\": \"ab\"}\n"
                          "{\"nothing\": 1}\n"
                          "\n"
                          "{\"text\": \"B<|im_end|>\"}\n");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@a.jsonl", "--json") == STATUS_DONE);
    // <|im_start|>user\nq<|im_end|><|im_end|>\n<|im_start|>assistant\nab<|im_end|>\n, the first <|im_end|> plain text
    CHECK_STRING(out.data,
        "{\"ids\":[65],\"mask\":[0]}\n"
        "{\"ids\":[257,117,115,101,114,10,113,60,124,105,109,95,101,110,100,124,62,258,10,257,97,115,115,105,115,116,"
        "97,110,116,"
        "10,97,98,258,10],\"mask\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,0]}\n"
        "{\"ids\":[66,258],\"mask\":[0,1]}\n");
    CHECK_SAID("a.jsonl:3: its keys (nothing)");
    CHECK_SAID("1 of 4 rows skipped");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@a.jsonl", "--show", "--chat-template", "none") == STATUS_DONE);
    CHECK_STRING(out.data, "A\nq<|im_end|>[+ab<|im_end|>+]\nB[+<|im_end|>+]\n");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@a.jsonl", "--strict") == STATUS_USER);
    CHECK_SAID("a.jsonl:3: its keys");
    write_rows("b.jsonl", "{\"nothing\": 1}\n");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@b.jsonl") == STATUS_USER);
    CHECK_SAID("none of the rows can be used");
    write_rows("empty.jsonl", "\n");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@empty.jsonl", "@a.jsonl") == STATUS_USER);
    CHECK_SAID("empty.jsonl holds no rows");
    CHECK(RUN(tokenize, "--model", "@model", "--data", "@none.jsonl") == STATUS_USER);
    CHECK_SAID("none.jsonl");
    CHECK(RUN(tokenize, "--model", "@nowhere", "--text", "a") == STATUS_USER);
    CHECK_SAID("no such model");
    CHECK(RUN(tokenize, "--model", "@model") == STATUS_USAGE);
    CHECK(RUN(tokenize, "--model", "@model", "--text", "a", "--data", "@a.jsonl") == STATUS_USAGE);
    CHECK(RUN(tokenize, "--model", "@model", "--txt", "a") == STATUS_USAGE);
    CHECK_SAID("did you mean --text?");
}

static void test_generate(void)
{
    CHECK(RUN(generate, "--help") == STATUS_DONE && strstr(out.data, "--max-new-tokens"));
    CHECK(RUN(generate, "--model", "@model", "--prompt", "Hello", "--max-new-tokens", "5", "--json") == STATUS_DONE);
    cJSON *o = line(0);
    CHECK(lines() == 1 && number(o, "row") == 0 && number(o, "tokens") == 5 && number(o, "prompt_tokens") == 24);
    CHECK_STRING(string(o, "finish"), "length");
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(o, "ids")) == 5 && !cJSON_GetObjectItem(o, "place"));
    // Without --json: the text alone.
    char *text = mem_format("%s\n", string(o, "text"));
    CHECK(RUN(generate, "--model", "@model", "--prompt", "Hello", "--max-new-tokens", "5") == STATUS_DONE);
    CHECK_STRING(out.data, text);
    CHECK_SAID("tokens/s");
    free(text);
    cJSON_Delete(o);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "Hello", "--raw", "--max-new-tokens", "1", "--json") ==
          STATUS_DONE);
    o = line(0);
    CHECK(number(o, "prompt_tokens") == 5 && number(o, "tokens") <= 1);
    cJSON_Delete(o);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "Hello", "--max-new-tokens", "0") == STATUS_USAGE);
    CHECK_SAID("--max-new-tokens is 1 or more");

    write_rows("a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}, {\"role\": \"assistant\", "
                          "\"content\": \"not shown\"}]}\n"
                          "{\"text\": \"to go on with\"}\n"
                          "not JSON\n"
                          "{\"messages\": [{\"role\": \"user\", \"content\": \"two\"}]}\n"
                          "{\"input_ids\": [1, 2]}\n"
                          "{\"prompt\": \"a longer question than those before it\", \"completion\": \"x\"}\n");
    struct text first = {0};
    const char *batches[] = {"1", "3", "100"};
    for (int i = 0; i < 3; i++) {
        CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "--max-new-tokens", "9", "--temperature", "1",
                  "--seed", "7", "--batch", batches[i], "--json") == STATUS_DONE);
        if (i == 0) text_add(&first, out.data, out.bytes);
        CHECK_STRING(out.data, first.data);
    }
    CHECK_SAID("a.jsonl:3: it is not JSON");
    CHECK_SAID("a.jsonl:5: it has no messages");
    CHECK_SAID("2 of 6 rows skipped");
    static const int numbers[] = {1, 2, 4, 6};
    CHECK(lines() == 4);
    for (int i = 0; i < 4; i++) {
        char place[64];
        o = line(i);
        snprintf(place, sizeof place, "a.jsonl:%d", numbers[i]);
        CHECK(number(o, "row") == i && strstr(string(o, "place"), place));
        cJSON_Delete(o);
    }
    o = line(1);
    CHECK(number(o, "prompt_tokens") == strlen("to go on with"));
    cJSON_Delete(o);
    CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "--max-new-tokens", "9", "--temperature", "1",
              "--seed", "8", "--json") == STATUS_DONE);
    CHECK(strcmp(out.data, first.data) != 0);
    text_free(&first);
    // The answers to what they would be alone, but for their number: greedy ones are the same.
    CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "--max-new-tokens", "9") == STATUS_DONE);
    text_add(&first, out.data, out.bytes);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "two", "--max-new-tokens", "9") == STATUS_DONE);
    CHECK(strstr(first.data, out.data) != NULL && strstr(first.data, "a.jsonl:4\n"));
    text_free(&first);
    CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "--strict") == STATUS_USER);
    CHECK_SAID("a.jsonl:3: it is not JSON");

    // Answers end within the model's 128 positions; longer prompts are refused.
    CHECK(RUN(generate, "--model", "@model", "--prompt", "Hello", "--max-new-tokens", "4000000000", "--stop", "",
              "--json") == STATUS_DONE);
    o = line(0);
    CHECK(number(o, "tokens") <= 104 && (number(o, "tokens") == 104 || strcmp(string(o, "finish"), "stop") == 0));
    cJSON_Delete(o);
    char long_prompt[200] = {0};
    memset(long_prompt, 'a', 150);
    CHECK(RUN(generate, "--model", "@model", "--prompt", long_prompt, "--json") == STATUS_USER);
    o = line(0);
    CHECK_STRING(string(o, "finish"), "refused");
    CHECK(cJSON_IsNull(cJSON_GetObjectItem(o, "text")));
    cJSON_Delete(o);
    CHECK_SAID("1 prompt refused");
    CHECK_SAY(strstr(err.data, "answer") == NULL, "it said \"%s\"", err.data);
    char *rows = mem_format("{\"text\": \"%s\"}\n{\"text\": \"short\"}\n", long_prompt);
    write_rows("long.jsonl", rows);
    free(rows);
    CHECK(RUN(generate, "--model", "@model", "--data", "@long.jsonl", "--max-new-tokens", "2") == STATUS_DONE);
    CHECK(strstr(out.data, "long.jsonl:2\n") && !strstr(out.data, "long.jsonl:1\n"));
    CHECK_SAID("1 prompt refused");
    CHECK_SAID("1 answer, ");

    CHECK(RUN(generate, "--model", "@model", "--prompt", "", "--raw") == STATUS_USER);
    CHECK_SAID("the prompt is empty");
    write_rows("b.jsonl", "{\"input_ids\": [1, 2]}\n");
    CHECK(RUN(generate, "--model", "@model", "--data", "@b.jsonl") == STATUS_USER);
    CHECK_SAID("no row with a prompt");
    CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "@empty.jsonl") == STATUS_USER);
    CHECK_SAID("empty.jsonl holds no rows");
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--device", "no such device") == STATUS_USER);
    CHECK_SAID("no such device");
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--precision", "fp8") == STATUS_USER);
    CHECK_SAID("auto, f32, bf16");
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--chat-template", "chatm") == STATUS_USER);
    CHECK(RUN(generate, "--model", "@model") == STATUS_USAGE);
    CHECK(RUN(generate, "--model", "@model", "--data", "@a.jsonl", "--raw") == STATUS_USAGE);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--temperature", "-1") == STATUS_USAGE);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--top-p", "0") == STATUS_USAGE);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--top-p", "1.5") == STATUS_USAGE);
    CHECK(RUN(generate, "--model", "@model", "--prompt", "a", "--max-new-tokens", "-1") == STATUS_USAGE);
}

static void test_score(void)
{
    CHECK(RUN(score, "--help") == STATUS_DONE && strstr(out.data, "exact, numeric, contains, choice, rank, cloze, true_false"));
    write_rows("a.jsonl", "{\"prompt\": \"one\", \"completion\": \"1\", \"choices\": [\"1\", \"2\", \"3\", \"4\"]}\n"
                          "{\"prompt\": \"two\", \"completion\": \"2\", \"choices\": [\"2\", \"3\"]}\n"
                          "not JSON\n"
                          "{\"prompt\": \"three\", \"completion\": \"none\"}\n");
    static const struct {
        const char *metric;
        int rows, skipped;
        double chance;
    } cases[] = {{"exact", 3, 1, 0}, {"numeric", 2, 2, 0}, {"contains", 3, 1, 0}, {"choice", 2, 2, 0.375},
        {"rank", 2, 2, 0.375}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", cases[i].metric, "--max-new-tokens",
                  "4", "--json") == STATUS_DONE);
        cJSON *o = line(0);
        CHECK(lines() == 1 && number(o, "rows") == cases[i].rows && number(o, "skipped") == cases[i].skipped);
        CHECK(number(o, "chance") == cases[i].chance && number(o, "score") == number(o, "correct") / cases[i].rows);
        CHECK_STRING(string(o, "metric"), cases[i].metric);
        cJSON_Delete(o);
        CHECK_SAID("a.jsonl:3: it is not JSON");
    }
    CHECK_SAID("1 row cannot be scored; the first: ");
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", "exact", "--max-rows", "2") == STATUS_DONE);
    CHECK_STRING(out.data, "exact 0.0000: 0 of 2 rows\n");
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", "exact", "--strict") == STATUS_USER);
    write_rows("b.jsonl", "{\"prompt\": \"three\", \"completion\": \"none\"}\n");
    CHECK(RUN(score, "--model", "@model", "--data", "@b.jsonl", "--metric", "numeric") == STATUS_USER);
    CHECK_SAID("b.jsonl:1: there is no number in its answer");
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", "numeric", "--strict") == STATUS_USER);
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", "numerik") == STATUS_USAGE);
    CHECK_SAID("did you mean numeric");
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "@empty.jsonl", "--metric", "exact") == STATUS_USER);
    CHECK_SAID("empty.jsonl holds no rows");
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl") == STATUS_USAGE);
    CHECK(RUN(score, "--model", "@model", "--data", "@a.jsonl", "--metric", "exact", "--max-new-tokens", "0") ==
          STATUS_USAGE);
}

int main(void)
{
    struct error e = {0};
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_CACHE_HOME", folder, 1); // the pipeline cache
    make_model();
    test_tokenize();
    test_generate();
    test_score();
    text_free(&out);
    text_free(&err);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
