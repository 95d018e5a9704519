// SPDX-License-Identifier: MIT
//
// What was chosen for the products as JSON and back, in the cache of a device, and from a run of its own.
#include "test.h"

#include "graph/coopmat.h"
#include "train/tuning.h"

#include "args.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct matmul_shape shapes[] = {
    {.layout = LAYOUT_NT, .m = 40, .n = 72, .k = 64, .live_m = LIVE_TOKENS, .epilogue = EPILOGUE_RESIDUAL},
    {.layout = LAYOUT_TN, .m = 72, .n = 64, .k = 40, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST},
};

static struct choices *met(const struct limits *limits)
{
    struct choices *c = choices_new();
    for (size_t i = 0; i < 2; i++) {
        struct matmul_variant v;
        matmul_candidates(limits, &shapes[i], &v, 1);
        choices_meet(c, &shapes[i], &v);
    }
    return c;
}

static const char *name_of(const struct choices *c, size_t shape)
{
    const struct choice *x = choices_find(c, &shapes[shape]);
    return x ? x->variant.name : "none";
}

static void test_json(const struct limits *limits)
{
    struct choices *before = choices_new(), *after = choices_new();
    struct matmul_variant v[MATMUL_CANDIDATES];
    for (size_t i = 0; i < 2; i++) {
        int count = matmul_candidates(limits, &shapes[i], v, MATMUL_CANDIDATES);
        choices_set(before, &shapes[i], &v[i ? 1 : count - 1], 0.25 * (double)i);
    }
    struct attention_choice attention = {.shape = {64, true, false, PRODUCTS_BF16}, .kernels = 5, .right = false};
    attention.fingerprint = attention_fingerprint(limits, &attention.shape);
    choices_set_attention(before, &attention);
    attention.shape.bf16 = false;
    attention.right = true;
    choices_set_attention(before, &attention);
    cJSON *list = tuning_json(before);
    CHECK(tuning_read(after, limits, list) == 4 && choices_count(after) == 2 && choices_attention_count(after) == 2);
    const struct attention_choice *found = choices_find_attention(after, &attention.shape, 4);
    CHECK(found && found->right && found->kernels == 5 && !choices_find_attention(after, &attention.shape, 2));
    attention.shape.bf16 = true;
    found = choices_find_attention(after, &attention.shape, 5);
    CHECK(found && !found->right);
    attention.shape.head_dim = 32;
    CHECK(!choices_find_attention(after, &attention.shape, 1));
    CHECK_STRING(name_of(after, 0), "plain");
    CHECK_STRING(name_of(after, 1), name_of(before, 1));
    CHECK(choices_find(after, &shapes[1])->seconds == 0.25);
    choices_free(after);

    // What another build has made, what is no shape, and what is nothing at all are left out.
    after = choices_new();
    cJSON *first = cJSON_GetArrayItem(list, 0), *second = cJSON_GetArrayItem(list, 1);
    cJSON_SetValuestring(cJSON_GetObjectItem(first, "fingerprint"), "0123456789abcdef");
    cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 2), "fingerprint"), "0123456789abcdef");
    cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 3), "products"), "f8");
    CHECK(tuning_read(after, limits, list) == 1 && choices_attention_count(after) == 0);
    CHECK_STRING(name_of(after, 0), "none");
    cJSON_SetValuestring(cJSON_GetObjectItem(second, "layout"), "XX");
    cJSON_AddItemToArray(list, cJSON_CreateNumber(1));
    CHECK(tuning_read(after, limits, list) == 0);
    CHECK(tuning_read(after, limits, NULL) == 0);
    cJSON_Delete(list);
    choices_free(after);
    choices_free(before);
}

static char *cache_file(const char *folder, const struct gpu *gpu)
{
    return mem_format("%s/products-%016llx.json", folder, (unsigned long long)gpu_key(gpu));
}

static void test_cache(const char *folder)
{
    struct error e = {0};
    struct gpu *gpu = gpu_open(&(struct gpu_options){.cache_folder = folder}, e.text, sizeof e.text);
    struct limits limits = limits_of(gpu_info(gpu));
    struct choices *asked = met(&limits), *known = tuning_cached(gpu, folder, &limits);
    char *path = cache_file(folder, gpu);
    CHECK(choices_count(known) == 0 && !file_exists(path));
    choices_free(known);
    struct choices *c = tuning_choose(gpu, &limits, asked, NULL, &e);
    CHECK_SAY(c && choices_count(c) == 2 && file_exists(path), "%s", e.text);
    known = tuning_cached(gpu, folder, &limits);
    CHECK(choices_count(known) == 2);
    CHECK_STRING(name_of(known, 0), name_of(c, 0));
    choices_free(known);
    choices_free(c);

    // The second time nothing is tried and nothing written; what a run decided goes before the cache.
    struct stat first, second;
    CHECK(stat(path, &first) == 0);
    struct choices *own = choices_new();
    struct matmul_variant plain;
    CHECK(matmul_find(&limits, &shapes[1], "plain", &plain));
    choices_set(own, &shapes[1], &plain, 0);
    cJSON *list = tuning_json(own);
    c = tuning_choose(gpu, &limits, asked, list, &e);
    CHECK(stat(path, &second) == 0 && first.st_ino == second.st_ino);
    CHECK_STRING(name_of(c, 1), "plain");
    choices_free(c);
    choices_free(own);
    cJSON_Delete(list);

    // A damaged file is as none, and written anew; an emptied cache likewise.
    FILE *file = fopen(path, "w");
    fputs("{\"products\": [", file);
    fclose(file);
    c = tuning_choose(gpu, &limits, asked, NULL, &e);
    CHECK(c && choices_count(c) == 2);
    choices_free(c);
    known = tuning_cached(gpu, folder, &limits);
    CHECK(choices_count(known) == 2);
    choices_free(known);
    tuning_forget(gpu);
    CHECK(!file_exists(path));
    choices_free(asked);
    free(path);
    gpu_close(gpu);
}

// Of a run's own variants one splits its sum, and the device has not the memory for the parts: all are chosen anew, without splits.
static void test_lean(const char *folder)
{
    struct error e = {0};
    struct gpu *gpu = gpu_open(&(struct gpu_options){.cache_folder = folder}, e.text, sizeof e.text);
    struct limits limits = limits_of(gpu_info(gpu));
    struct model model;
    cJSON *json = cJSON_Parse("{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 128, \"num_hidden_layers\": 1, \"vocab_size\": 264,"
        "\"num_attention_heads\": 4, \"intermediate_size\": 512, \"tie_word_embeddings\": true}");
    CHECK_SAY(model_open_init(&model, json, "test", &e) == 0, "%s", e.text);
    cJSON_Delete(json);
    struct blueprint_options o = {.budget = 512, .positions = 64, .optimizer = OPTIMIZER_ADAMW};
    struct blueprint b;
    CHECK_SAY(blueprint_make(&b, &model, &limits, &o, &e) == 0, "%s", e.text);
    struct choices *met = choices_new(), *own = choices_new();
    blueprint_meet(&b, &model, met);
    for (int i = 0; i < choices_count(met); i++) {
        struct matmul_variant v[MATMUL_CANDIDATES];
        const struct matmul_shape *s = &choices_at(met, i)->shape;
        int count = s->layout == LAYOUT_TN ? matmul_candidates(&limits, s, v, MATMUL_CANDIDATES) : 0;
        for (int k = 0; k < count; k++)
            if (v[k].split == 8) choices_set(own, s, &v[k], 0);
    }
    CHECK(choices_count(own) > 1);
    cJSON *list = tuning_json(own);
    b.limits.heap = b.memory.total * 100 / 92 + 100; // not a byte to spare
    struct choices *c = tuning_blueprint(&b, &model, gpu, list, &e);
    CHECK_SAY(c && b.limits.lean && choices_count(c) == choices_count(met), "%s", e.text);
    for (int i = 0; c && i < choices_count(c); i++) CHECK(choices_at(c, i)->variant.split == 1);
    struct choices *kept = tuning_cached(gpu, folder, &limits);
    CHECK(choices_find(kept, &choices_at(own, 0)->shape)->variant.split == 8); // another run may have the memory
    blueprint_free(&b);
    cJSON_Delete(list);
    model_close(&model);
    struct choices *all[] = {c, kept, met, own};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) choices_free(all[i]);
    gpu_close(gpu);
}

int main(void)
{
    struct gpu_info info;
    if (gpu_list_devices(&info, 1, NULL, 0) == 0) {
        printf("no Vulkan device: skipped\n");
        return 77;
    }
    struct limits limits = limits_of(&info);
    test_json(&limits);
    char folder[] = "/tmp/pumice-tuning-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    test_cache(folder);
    test_lean(folder);
    folder_remove(folder, NULL);
    return test_end();
}
