// SPDX-License-Identifier: MIT
//
// The command bench on tiny models: the object it prints is whole and adds up, earlier ones are compared with, mistakes are
// named. Nothing here asks for any speed.
#include "command_run.h"
#include "commands/list.h"
#include "formats/json_file.h"

#define MODEL "tests/golden/llama-tied"

static char folder[] = "/tmp/pumice-test-XXXXXX";
static const struct command bench = {"bench", "summary", "[CONFIG]", NULL, "pumice bench", command_bench};
#define RUN(...) command_run(&bench, (const char *const[]){__VA_ARGS__, NULL})

static const cJSON *part(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    CHECK_SAY(item != NULL, "%s is missing", key);
    return item;
}

static double number(const cJSON *o, const char *key)
{
    const cJSON *item = part(o, key);
    CHECK_SAY(cJSON_IsNumber(item), "%s is no number", key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

// What the last command printed; the caller deletes.
static cJSON *object(void)
{
    struct error e = {0};
    cJSON *o = json_read_text("out", command_out.data, command_out.bytes, &e);
    CHECK_SAY(o != NULL, "%s; it said: %s", e.text, command_err.data);
    return o;
}

static void write_file(const char *name, const char *content, char **path)
{
    *path = path_join(folder, name);
    CHECK(file_write_atomic(*path, content, strlen(content), NULL) == 0);
}

// The sum of a number over the kernels whose name begins with `name`.
static double sum_of(const cJSON *o, const char *name, const char *key)
{
    double sum = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, part(o, "kernels"))
    {
        if (strncmp(cJSON_GetStringValue(part(row, "kernel")), name, strlen(name)) == 0) sum += number(row, key);
    }
    return sum;
}

static void check_kernels(const cJSON *o)
{
    double shares = 0, roofs = 0, device = number(part(o, "step"), "device_seconds"), seconds = 0;
    const cJSON *row, *peaks = part(o, "peaks");
    double flops = 1e9 * number(peaks, "f32_gflops"), copy = 1e9 * number(peaks, "copy_gbs"), read = 1e9 * number(peaks, "read_gbs");
    double bandwidth = copy > read ? copy : read;
    cJSON_ArrayForEach(row, part(o, "kernels"))
    {
        const char *kernel = cJSON_GetStringValue(part(row, "kernel"));
        double s = number(row, "seconds"), of_peak = number(row, "of_peak");
        seconds += s;
        shares += number(row, "share");
        roofs += number(row, "roof_seconds");
        CHECK_SAY(number(row, "calls") >= 1 && s > 0 && number(row, "bytes") >= 0, "%s", kernel);
        CHECK_SAY(near(of_peak, number(row, "roof_seconds") / s), "%s", kernel);
        CHECK_SAY(near(number(row, "gflops"), number(row, "flop") / s * 1e-9), "%s", kernel);
        CHECK_SAY(near(number(row, "gbs"), number(row, "bytes") / s * 1e-9), "%s", kernel);
        // Every call's roof is at least that of all calls' work at the peaks, and at most the sum of both.
        double arithmetic = number(row, "flop") / flops, traffic = number(row, "bytes") / bandwidth;
        double roof = number(row, "roof_seconds"), most = arithmetic > traffic ? arithmetic : traffic;
        CHECK_SAY(roof >= most * (1 - 1e-9) && roof <= (arithmetic + traffic) * (1 + 1e-9), "%s: a roof of %g s", kernel, roof);
        bool product = strncmp(kernel, "matmul_", 7) == 0 && cJSON_GetObjectItemCaseSensitive(row, "layout");
        if (product) CHECK(number(row, "flop") <= 2 * number(row, "m") * number(row, "n") * number(row, "k") * number(row, "calls"));
    }
    CHECK(near(seconds, device));
    CHECK(near(shares, 1));
    CHECK(near(roofs, number(part(o, "step"), "roof_seconds")));
    CHECK(device < 1000); // seconds, not ticks
    static const char *const kernels[] = {"embed", "rmsnorm", "rope", "attention_forward", "attention_dq", "attention_dkv", "glu",
        "cross_entropy", "embed_backward", "sum_squares", "norm_finish", "adamw"};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        char wide[64]; // the form that software drivers take
        snprintf(wide, sizeof wide, "%s_wide", kernels[i]);
        CHECK_SAY(sum_of(o, kernels[i], "calls") + sum_of(o, wide, "calls") >= 1, "no %s", kernels[i]);
    }
}

static void check_whole(const cJSON *o, double repeat)
{
    const cJSON *step = part(o, "step"), *host = part(o, "host"), *peaks = part(o, "peaks"), *memory = part(o, "memory"), *item;
    CHECK(*cJSON_GetStringValue(part(part(o, "device"), "name")) && *cJSON_GetStringValue(part(part(o, "device"), "driver")));
    CHECK(number(o, "repeat") == repeat && number(o, "parameters") > 1000);
    CHECK(number(step, "seconds") > 0 && number(step, "median_seconds") >= number(step, "seconds"));
    CHECK(near(number(step, "tokens_per_second"), number(o, "tokens") / number(step, "seconds")));
    CHECK(near(number(step, "products_share") + number(step, "update_share") + number(step, "others_share"), 1));
    CHECK(number(step, "roof_seconds") > 0 && near(number(step, "of_roof"), number(step, "roof_seconds") / number(step, "seconds")));
    CHECK(number(host, "fill_seconds") > 0 && number(host, "submit_seconds") > 0 && number(host, "wait_seconds") > 0);
    CHECK(number(host, "fill_seconds") + number(host, "submit_seconds") + number(host, "wait_seconds") <= number(step, "seconds"));
    CHECK(number(host, "start_seconds") >= number(host, "open_seconds") + number(host, "load_seconds"));
    CHECK(number(peaks, "f32_gflops") > 0 && number(peaks, "copy_gbs") > 0 && number(peaks, "read_gbs") > 0);
    CHECK(number(peaks, "dispatch_microseconds") >= 0 && number(peaks, "submit_microseconds") > 0);
    CHECK(part(peaks, "f16_gflops") && part(peaks, "matrix_fp16_gflops") && part(peaks, "matrix_bf16_gflops"));
    CHECK(number(memory, "planned") > 0 && number(memory, "allocated") <= number(memory, "planned"));
    CHECK(number(memory, "resident") > 1e6);
    CHECK(cJSON_GetArraySize(part(o, "losses")) == (int)repeat + 1);
    cJSON_ArrayForEach(item, part(o, "losses")) CHECK(item->valuedouble > 0 && item->valuedouble < 100);
    cJSON_ArrayForEach(item, part(o, "how")) CHECK(cJSON_IsString(item) && strlen(item->valuestring) > 20);
    check_kernels(o);
}

// One step's work does not depend on how its documents lie in micro-batches.
static void test_layouts(const cJSON *whole)
{
    CHECK(RUN("--model", MODEL, "--tokens", "36", "--documents", "4", "--budget", "96", "--repeat", "1", "--json") == 0);
    cJSON *packed = object();
    CHECK(RUN("--model", MODEL, "--tokens", "36", "--documents", "4", "--single", "--repeat", "1", "--json") == 0);
    cJSON *single = object();
    check_whole(packed, 1);
    check_whole(single, 1);
    CHECK(number(packed, "micro_batches") == 1 && number(packed, "micro_batch_tokens") == 96);
    CHECK(number(single, "micro_batches") == 4 && cJSON_IsFalse(part(single, "packing")));
    CHECK(number(single, "documents") == 4 && number(single, "trained_tokens") == 32);
    static const char *const names[] = {"matmul_", "attention_"};
    for (int i = 0; i < 2; i++) CHECK(near(sum_of(packed, names[i], "flop"), sum_of(single, names[i], "flop")));
    CHECK(sum_of(packed, "attention_", "flop") < sum_of(whole, "attention_", "flop"));
    cJSON_Delete(packed);
    cJSON_Delete(single);
}

// Gradients in bf16 take bf16 storage with them, and half the memory.
static void test_gradients(void)
{
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--repeat", "1", "--precision", "bf16", "--json") == 0);
    cJSON *wide = object();
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--repeat", "1", "--gradient-dtype", "bf16", "--json") == 0);
    cJSON *narrow = object();
    check_whole(narrow, 1);
    CHECK_STRING(cJSON_GetStringValue(part(narrow, "precision")), "bf16");
    CHECK_STRING(cJSON_GetStringValue(part(narrow, "gradient_dtype")), "bf16");
    CHECK_STRING(cJSON_GetStringValue(part(wide, "gradient_dtype")), "f32");
    double less = number(part(wide, "memory"), "planned") - number(part(narrow, "memory"), "planned");
    CHECK_SAY(less > 1.8 * number(wide, "parameters") && less < 2.2 * number(wide, "parameters"), "%g bytes less", less);
    CHECK(number(part(narrow, "memory"), "allocated") <= number(part(narrow, "memory"), "planned"));
    CHECK(sum_of(narrow, "adamw", "bytes") < sum_of(wide, "adamw", "bytes"));
    cJSON_Delete(wide);
    cJSON_Delete(narrow);
    CHECK(RUN("--model", MODEL, "--gradient-dtype", "fp16") == STATUS_USER);
    CHECK_SAID("--gradient-dtype is fp16");
    CHECK(RUN("--model", MODEL, "--precision", "f32", "--gradient-dtype", "bf16") == STATUS_USER);
    CHECK_SAID("--precision bf16");
}

static void test_config(void)
{
    char *data, *config;
    write_file("rows.jsonl", "{\"text\": \"one\"}\n{\"text\": \"and another\"}\n{\"text\": \"three\"}\n", &data);
    write_file("config.json",
        "{\"init\": {\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": 1,"
        "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 24, \"tokenizer\": \"bytes\"},"
        "\"output_dir\": \"run\", \"sources\": {\"a\": {\"path\": \"rows.jsonl\"}}, \"strategy\": \"multi_task\","
        "\"specialized\": [], \"general\": [\"a\"], \"train_batch_size\": 2, \"order\": \"as_written\", \"dropout\": 0.1}",
        &config);
    CHECK(RUN(config, "--repeat", "1", "--json", "--set", "optim=sgd") == 0);
    cJSON *o = object();
    CHECK(number(o, "documents") == 2 && number(o, "tokens") == 16); // with their ends
    CHECK_STRING(cJSON_GetStringValue(part(o, "optimizer")), "sgd");
    CHECK(sum_of(o, "dropout", "calls") > 0 && sum_of(o, "sgd", "calls") > 0);
    cJSON_Delete(o);
    CHECK(RUN(config, "--tokens", "8") == STATUS_USAGE);
    CHECK_SAID("--set changes it");
    CHECK(RUN(config, "--set", "train_batch_sise=2") == STATUS_USER);
    CHECK_SAID("train_batch_size");
    free(data);
    free(config);
}

static void test_compare(const char *old)
{
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--repeat", "1", "--json", "--compare", old) == 0);
    cJSON *o = object(), *before = json_read_file(old, NULL);
    const cJSON *compare = part(o, "compare"), *row;
    double was = number(part(before, "step"), "tokens_per_second"), is = number(part(o, "step"), "tokens_per_second");
    CHECK(near(number(compare, "faster"), is / was) && number(compare, "before_tokens_per_second") == was);
    cJSON_ArrayForEach(row, part(o, "kernels"))
        CHECK(number(row, "before_seconds") > 0 && near(number(row, "faster"), number(row, "before_seconds") / number(row, "seconds")));
    CHECK_SAY(!strstr(command_err.data, "not alike"), "%s", command_err.data);
    cJSON_Delete(o);
    cJSON_Delete(before);
    // Another subject: what is not alike is said; kernels that were not there have no ratio.
    CHECK(RUN("--model", MODEL, "--tokens", "34", "--repeat", "1", "--compare", old) == 0);
    CHECK_SAID("not alike: tokens was 32");
    CHECK(strstr(command_out.data, "faster") && strstr(command_out.data, "how it was taken") && strstr(command_out.data, "adamw"));
    // A file that leaves most unsaid costs no measurement.
    char *bare;
    write_file("bare.json", "{\"kernels\": [], \"step\": {\"tokens_per_second\": 1}}", &bare);
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--repeat", "1", "--compare", bare) == 0);
    CHECK_SAID("says optimizer");
    CHECK(strstr(command_out.data, "adamw"));
    free(bare);
}

static void test_mistakes(void)
{
    char *wrong;
    write_file("wrong.json", "{\"step\": {}}", &wrong);
    CHECK(RUN("--compare", wrong) == STATUS_USER);
    CHECK_SAID("is not what");
    CHECK(RUN("--compare", "nothing.json") == STATUS_USER);
    CHECK_SAID("nothing.json");
    CHECK(RUN("nothing.json") == STATUS_USER);
    CHECK(RUN("--model", MODEL, "--tokens", "4", "--documents", "3") == STATUS_USER);
    CHECK_SAID("2 tokens or more");
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--budget", "16") == STATUS_USER);
    CHECK_SAID("--budget");
    CHECK(RUN("--model", "nowhere") == STATUS_USER);
    CHECK_SAID("no such model");
    CHECK(RUN("--model", MODEL, "--precision", "fp8") == STATUS_USER);
    CHECK(RUN("--model", MODEL, "--matmul-precision", "fp8") == STATUS_USER);
    CHECK_SAID("--matmul-precision is fp8");
    CHECK(RUN("--model", MODEL, "--device", "no such device") == STATUS_USER);
    CHECK(RUN("--repeat", "0") == STATUS_USAGE);
    CHECK(RUN("--set", "seed=1") == STATUS_USAGE);
    CHECK(RUN("--tokns", "1") == STATUS_USAGE);
    CHECK_SAID("--tokens");
    CHECK(RUN("--help") == 0 && strstr(command_out.data, "--compare"));
    free(wrong);
}

int main(void)
{
    struct error e = {0};
    if (!mkdtemp(folder)) return 1;
    setenv("XDG_CACHE_HOME", folder, 1); // the pipeline cache
    CHECK(RUN("--model", MODEL, "--tokens", "32", "--repeat", "2", "--json") == 0);
    char *old;
    write_file("old.json", command_out.data, &old);
    cJSON *whole = object();
    check_whole(whole, 2);
    CHECK(number(whole, "tokens") == 32 && number(whole, "trained_tokens") == 31 && number(whole, "micro_batches") == 1);
    test_layouts(whole);
    test_gradients();
    test_config();
    test_compare(old);
    test_mistakes();
    cJSON_Delete(whole);
    free(old);
    text_free(&command_out);
    text_free(&command_err);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
