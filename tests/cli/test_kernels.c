// SPDX-License-Identifier: MIT
//
// The command kernels: the kernels it lists are those that a session on the same plan makes, no more and no fewer; its
// JSON; exit statuses and sentences.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"
#include "test.h"
#include "train/kernel_table.h"

#include <fcntl.h>
#include <unistd.h>

static char folder[] = "/tmp/pumice-test-XXXXXX";
static const struct command it = {"kernels", "summary", "[CONFIG]", NULL, "pumice kernels", command_kernels};

static char *in_folder(const char *name)
{
    return path_join(folder, name);
}

// Runs the command with stdout and stderr in files of the folder.
static int run(const char *const *words)
{
    char *argv[16] = {mem_string("kernels")}, *path[3] = {NULL, in_folder("out"), in_folder("err")};
    int argc = 1, saved[3];
    for (; *words; words++) argv[argc++] = **words == '@' ? in_folder(*words + 1) : mem_string(*words);
    fflush(stdout);
    for (int s = 1; s < 3; s++) {
        int file = open(path[s], O_CREAT | O_TRUNC | O_WRONLY, 0600);
        saved[s] = dup(s);
        dup2(file, s);
        close(file);
    }
    int status = command_kernels(&it, argc, argv);
    fflush(stdout);
    for (int s = 1; s < 3; s++) {
        dup2(saved[s], s);
        close(saved[s]);
        free(path[s]);
    }
    for (int i = 0; i < argc; i++) free(argv[i]);
    return status;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static bool said(const char *name, const char *part)
{
    struct file_map f;
    struct text t = {0};
    char *path = in_folder(name);
    CHECK(file_map(&f, path, NULL) == 0);
    text_add(&t, f.data, f.bytes);
    bool found = strstr(t.data, part) != NULL;
    if (!found) printf("%s holds: %s\n", name, t.data);
    text_free(&t);
    file_unmap(&f);
    free(path);
    return found;
}

static void write_file(const char *name, const char *content)
{
    char *path = in_folder(name);
    CHECK(file_write_atomic(path, content, strlen(content), NULL) == 0);
    free(path);
}

// A session makes its kernels by recording; the table finds them in the plan.
static void test_same(struct gpu *gpu, enum optimizer optimizer, enum storage storage, enum storage gradients, uint32_t slots)
{
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 32, \"num_hidden_layers\": 2,"
                                 "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 48,"
                                 "\"vocab_size\": 260, \"max_position_embeddings\": 128, \"tie_word_embeddings\": true}";
    struct error e = {0};
    cJSON *json = json_read_text("config", config, sizeof config - 1, &e);
    struct model model;
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 48, .positions = 48, .storage = storage, .gradients = gradients, .optimizer = optimizer,
        .dropout = true, .checkpoint = storage == STORAGE_BF16, .generation = {.slots = slots, .capacity = 40, .rows = 16}};
    struct blueprint b;
    struct session *s = NULL;
    struct kernel_table table;
    if (json && model_open_init(&model, json, "config", &e) == 0 && blueprint_make(&b, &model, &limits, &o, &e) == 0 &&
        (s = session_open(&b, &model, gpu, &e))) {
        kernel_table_make(&table, &b);
        struct kernel_set both = {0};
        const struct kernel_set *made = engine_kernels(session_engine(s));
        for (int i = 0; i < made->count; i++) kernel_set_add(&both, &made->specs[i]);
        CHECK_SAY(both.count == made->count && table.set.count == made->count, "%d kernels made, %d in the table", made->count,
            table.set.count);
        for (int i = 0; i < table.set.count; i++) {
            int count = both.count;
            CHECK_SAY(kernel_set_add(&both, &table.set.specs[i]) < count, "%s is in the table and is not made",
                table.set.specs[i].name);
            CHECK(table.rows[i].use_count > 0 && table.rows[i].calls >= table.rows[i].use_count);
        }
        kernel_set_free(&both);
        kernel_table_free(&table);
    }
    CHECK_SAY(s != NULL, "%s", e.text);
    session_close(s);
    blueprint_free(&b);
    model_close(&model);
    cJSON_Delete(json);
}

static const cJSON *item(const cJSON *o, const char *key)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    CHECK_SAY(x != NULL, "no \"%s\"", key);
    return x;
}

// One line of JSON in the contract's form; returns the number of kernels.
static int check_json(void)
{
    struct error e = {0};
    char *path = in_folder("out");
    cJSON *json = json_read_file(path, &e);
    free(path);
    CHECK_SAY(json != NULL, "%s", e.text);
    if (!json) return 0;
    CHECK(cJSON_IsString(item(item(json, "device"), "name")) && cJSON_IsString(item(item(json, "device"), "driver")));
    const cJSON *kernels = item(json, "kernels"), *k;
    bool product = false, update = false, generates = false;
    cJSON_ArrayForEach(k, kernels) {
        const char *name = cJSON_GetStringValue(item(k, "name")), *variant = cJSON_GetStringValue(item(k, "variant"));
        CHECK_SAY(strcmp(variant, "register") == 0 || strcmp(variant, "shared") == 0 || strcmp(variant, "coopmat") == 0 ||
            strcmp(variant, "coopmat2") == 0, "%s is a %s", name, variant);
        const cJSON *constants = item(k, "constants");
        CHECK(cJSON_IsObject(item(k, "statistics")) && cJSON_IsNumber(item(constants, "GROUP")));
        if (strncmp(name, "matmul_", 7) == 0) product = cJSON_IsNumber(item(constants, "LAYOUT"));
        const cJSON *use, *uses = item(k, "uses");
        int calls = 0;
        cJSON_ArrayForEach(use, uses) {
            const char *work = cJSON_GetStringValue(item(use, "work"));
            update = update || strcmp(work, "update") == 0;
            generates = generates || strcmp(work, "generate") == 0;
            calls += item(use, "calls")->valueint;
        }
        CHECK(calls > 0 && calls == item(k, "calls")->valueint);
    }
    CHECK(product && update && generates);
    int count = cJSON_GetArraySize(kernels);
    cJSON_Delete(json);
    return count;
}

int main(void)
{
    struct error e = {0};
    if (!mkdtemp(folder)) return 1;
    struct gpu *gpu = gpu_open(&(struct gpu_options){0}, e.text, sizeof e.text);
    if (!gpu) return printf("%s\n", e.text), 1;
    test_same(gpu, OPTIMIZER_ADAMW, STORAGE_F32, STORAGE_F32, 2);
    test_same(gpu, OPTIMIZER_SGD, STORAGE_BF16, STORAGE_F32, 0);
    test_same(gpu, OPTIMIZER_ADAMW, STORAGE_BF16, STORAGE_BF16, 0);
    test_same(gpu, OPTIMIZER_NONE, STORAGE_F32, STORAGE_F32, 0);
    gpu_close(gpu);

    CHECK(RUN("--json", "--tokens", "512", "--validate") == STATUS_DONE || said("err", "--validate: the Khronos"));
    CHECK(RUN("--json", "--tokens", "512") == STATUS_DONE && check_json() > 20);
    CHECK(RUN("--help") == STATUS_DONE && said("out", "--validate"));
    write_file("rows.jsonl", "{\"prompt\": \"What is 1 + 1?\", \"completion\": \"2\", \"answer\": \"2\"}\n");
    write_file("good.json", "{\"init\": {\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 32, \"num_hidden_layers\": 1,"
        "\"num_attention_heads\": 2, \"intermediate_size\": 48, \"tie_word_embeddings\": true, \"tokenizer\": \"bytes\"},"
        "\"output_dir\": \"run\", \"sources\": {\"all\": {\"path\": \"rows.jsonl\"}}, \"strategy\": \"multi_task\","
        "\"eval\": {\"all\": {\"path\": \"rows.jsonl\", \"metric\": \"numeric\"}}}");
    CHECK(RUN("@good.json", "--json") == STATUS_DONE && check_json() > 20);
    CHECK(RUN("@good.json", "--set", "dropout=0.1") == STATUS_DONE && said("out", "dropout"));
    CHECK(RUN("@good.json") == STATUS_DONE && said("out", "matmul_") && said("out", "train: "));
    CHECK(RUN("@good.json", "--guess", "1") == STATUS_DONE && said("out", "matmul_wide"));
    CHECK(RUN("@good.json", "--guess", "2") == STATUS_DONE && said("out", "matmul_register"));
    CHECK(RUN("@good.json", "--set", "learning_rat=1") == STATUS_USER && said("err", "learning_rate"));
    CHECK(RUN("@good.json", "--set", "sources.all.path=none.jsonl") == STATUS_USER && said("err", "none.jsonl"));
    CHECK(RUN("@good.json", "--set", "init=null", "model_name_or_path=nothing") == STATUS_USER && said("err", "no such model"));
    CHECK(RUN("@none.json") == STATUS_USER && said("err", "none.json"));
    CHECK(RUN("--code", "matmul_no_such") == STATUS_USER && said("err", "the plan has no kernel matmul_no_such"));
    CHECK(RUN("--precision", "f31") == STATUS_USER && said("err", "precision"));
    CHECK(RUN("--jsn") == STATUS_USAGE && said("err", "did you mean --json"));
    CHECK(RUN("a", "b") == STATUS_USAGE);
    CHECK(RUN("--device", "no such device") == STATUS_USER && said("err", "no such device"));
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
