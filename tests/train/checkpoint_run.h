// SPDX-License-Identifier: MIT
//
// checkpoint_run.h: what the test of checkpoints works with: a run in small, its bits, its files.
#ifndef PUMICE_CHECKPOINT_RUN_H
#define PUMICE_CHECKPOINT_RUN_H

#include "formats/json_file.h"
#include "formats/safetensors.h"
#include "test.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/output.h"
#include "train/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct error e;

// ---- a run -------------------------------------------------------------------------------------------------------

struct run {
    struct gpu *gpu;
    struct bundle bundle;
    struct blueprint blueprint;
    struct session *session; // NULL: no steps are made
    struct engine *engine;
    bool bf16, moments; // what is saved
};

// name: a golden model, or NULL for a random one with biases, whose parts lie side by side in one row; "": with one
// layer instead of two. Without steps no kernels are made, which takes far longer than all else here.
static bool run_open(
    struct run *r, struct gpu *gpu, const char *name, enum storage storage, enum optimizer optimizer, bool steps)
{
    static const char biased[] =
        "{\"architectures\":[\"Qwen2ForCausalLM\"],\"model_type\":\"qwen2\",\"hidden_size\":24,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":3,\"num_key_value_heads\":1,\"head_dim\":8,\"intermediate_size\":40,\"vocab_size\":"
        "261,"
        "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,\"hidden_act\":\"silu\","
        "\"tie_word_embeddings\":false}";
    *r = (struct run){.gpu = gpu, .moments = optimizer == OPTIMIZER_ADAMW};
    bool golden = name && *name;
    char *path = golden ? mem_format("tests/golden/%s", name) : NULL;
    cJSON *json = golden ? NULL : json_read_text("config", biased, strlen(biased), &e);
    if (json && name) cJSON_SetNumberValue(cJSON_GetObjectItem(json, "num_hidden_layers"), 1);
    int status = golden ? model_open(&r->bundle.model, path, &e) : model_open_init(&r->bundle.model, json, "init", &e);
    free(path);
    cJSON_Delete(json);
    r->bundle.tokenizer = tokenizer_open_bytes();
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 48, .positions = 48, .storage = storage, .optimizer = optimizer};
    if (status == 0) status = blueprint_make(&r->blueprint, &r->bundle.model, &limits, &o, &e);
    if (status == 0 && steps && (r->session = session_open(&r->blueprint, &r->bundle.model, gpu, &e)))
        r->engine = session_engine(r->session);
    if (status == 0 && !steps) r->engine = engine_open(gpu, &r->blueprint.graph, optimizer, &e);
    if (r->engine) status = model_load(&r->bundle.model, r->engine, 1, &e);
    CHECK_SAY(r->engine && status == 0, "%s", e.text);
    return r->engine && status == 0;
}

static void run_close(struct run *r)
{
    if (!r->session) engine_close(r->engine);
    session_close(r->session);
    blueprint_free(&r->blueprint);
    tokenizer_close(r->bundle.tokenizer);
    model_close(&r->bundle.model);
}

// An optimizer step on three fixed conversations; returns the bits of loss and norm.
static uint64_t run_step(struct run *r, uint64_t step)
{
    static const uint8_t mask[20] = {0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1};
    uint32_t ids[20];
    uint64_t seed = 5;
    for (int i = 0; i < 20; i++) ids[i] = test_random(&seed) % 100;
    struct pack_item items[3] = {{ids, mask, 20, 0}, {ids + 3, mask, 11, 0}, {ids + 1, mask, 17, 0}};
    struct step_settings settings = {.optimizer = r->blueprint.options.optimizer,
        .learning_rate = 1e-3,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .max_norm = 1,
        .update = step,
        .packing = true};
    struct step_outcome out;
    struct source_sum sum = {0};
    session_step(r->session, items, 3, &settings, &out, &sum);
    uint32_t bits[2];
    memcpy(&bits[0], &out.loss, 4);
    memcpy(&bits[1], &out.grad_norm, 4);
    return (uint64_t)bits[0] << 32 | bits[1];
}

static struct run_state a_state(uint64_t step)
{
    static uint64_t digests[2] = {UINT64_MAX, 1};
    return (struct run_state){.step = step,
        .update = (UINT64_C(1) << 53) + 1, // what a double would round
        .hash = UINT64_C(0xfedcba9876543210),
        .log_bytes = 0,
        .budget = UINT32_MAX,
        .recompute = true,
        .storage = "bf16",
        .products = "fp16",
        .gradients = "bf16",
        .loss_scale = {0x1p20, 1999},
        .device = "a \"device\" \xc3\xa9",
        .driver = "driver\n1.2",
        .digests = digests,
        .digest_count = 2,
        .best_loss = 1.0 / 3,
        .best_step = UINT64_MAX - 1,
        .total_steps = 90,
        .epoch = 0.1};
}

static void check_state(const struct run_state *got, const struct run_state *want)
{
    CHECK(got->step == want->step && got->update == want->update && got->hash == want->hash);
    CHECK(got->log_bytes == want->log_bytes && got->budget == want->budget && got->recompute == want->recompute);
    CHECK_STRING(got->storage, want->storage);
    CHECK_STRING(got->products, want->products);
    CHECK_STRING(got->gradients, want->gradients);
    CHECK(got->loss_scale.scale == want->loss_scale.scale && got->loss_scale.good == want->loss_scale.good);
    CHECK_STRING(got->device, want->device);
    CHECK_STRING(got->driver, want->driver);
    CHECK(got->digest_count == want->digest_count && got->best_step == want->best_step);
    for (size_t i = 0; i < want->digest_count && i < got->digest_count; i++) CHECK(got->digests[i] == want->digests[i]);
    CHECK(isfinite(want->best_loss) ? got->best_loss == want->best_loss : got->best_loss == INFINITY);
    CHECK(got->total_steps == want->total_steps && got->epoch == want->epoch);
}

static bool save(struct run *r, uint64_t step)
{
    struct run_state state = a_state(step);
    e = (struct error){0};
    return checkpoint_save(folder, &state, &r->bundle, r->engine, r->moments, r->bf16, &e) == 0;
}

// Everything of the training state, or other bits in its place: all floats but NaNs, and zero where there is padding.
static const enum state kinds[] = {STATE_VALUE, STATE_MOMENT1, STATE_MOMENT2};
static void each_weight(struct run *r, void (*visit)(struct run *, int, enum state, float *, uint64_t), float *bits)
{
    for (int i = 0; i < r->bundle.model.weight_count; i++)
        for (int s = 0; s < (r->moments ? 3 : 1); s++) {
            uint64_t n = engine_layout(r->engine)->weights[i].elements;
            visit(r, i, kinds[s], bits, n);
            bits += n;
        }
}
static size_t state_elements(struct run *r)
{
    size_t n = 0;
    for (int i = 0; i < r->bundle.model.weight_count; i++) n += engine_layout(r->engine)->weights[i].elements;
    return r->moments ? 3 * n : n;
}
static void visit_read(struct run *r, int weight, enum state state, float *bits, uint64_t n)
{
    engine_read(r->engine, weight, state, 0, n, bits);
}
static void visit_write(struct run *r, int weight, enum state state, float *bits, uint64_t n)
{
    engine_write(r->engine, weight, state, 0, n, bits);
}
static float *read_all(struct run *r)
{
    float *bits = mem_zero(state_elements(r), sizeof *bits);
    each_weight(r, visit_read, bits);
    return bits;
}
static void check_all(struct run *r, const float *want)
{
    float *got = read_all(r);
    size_t n = state_elements(r), i = 0;
    while (i < n && memcmp(&got[i], &want[i], sizeof *got) == 0) i++;
    CHECK_SAY(i == n, "element %zu of %zu is %a, was %a", i, n, (double)got[i], (double)want[i]);
    free(got);
}
// Random bits everywhere but in NaNs.
static float *write_random(struct run *r, uint64_t seed)
{
    size_t n = state_elements(r);
    float *bits = mem_alloc(n * sizeof *bits);
    for (size_t i = 0; i < n; i++) {
        uint32_t u = test_random(&seed);
        if ((u & 0x7f800000) == 0x7f800000) u ^= 0x40000000;
        memcpy(&bits[i], &u, 4);
    }
    each_weight(r, visit_write, bits);
    return bits;
}

// ---- files -------------------------------------------------------------------------------------------------------

static void empty_folder(void)
{
    CHECK(folder_remove(folder, &e) == 0 && folder_make(folder, &e) == 0);
}

static char *in(const char *name, const char *file)
{
    char *a = path_join(folder, name), *b = file ? path_join(a, file) : mem_string(a);
    free(a);
    return b;
}

static struct text get(const char *path)
{
    struct file_map f;
    struct text t = {0};
    CHECK_SAY(file_map(&f, path, &e) == 0, "%s", e.text);
    text_add(&t, f.data, f.bytes);
    file_unmap(&f);
    return t;
}

static void put(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "w");
    CHECK_SAY(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0, "%s", path);
}

static void check_same_file(const char *a, const char *b)
{
    struct text x = get(a), y = get(b);
    CHECK_SAY(x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0, "%s and %s differ", a, b);
    text_free(&x);
    text_free(&y);
}

// Names in a folder, sorted, with a space after each.
static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static void check_names(const char *path, const char *want)
{
    char *names[64];
    size_t count = 0;
    struct text t = {0};
    DIR *dir = opendir(path);
    CHECK_SAY(dir != NULL, "%s", path);
    for (struct dirent *d; dir && count < 64 && (d = readdir(dir));)
        if (d->d_name[0] != '.') names[count++] = mem_string(d->d_name);
    if (dir) closedir(dir);
    qsort(names, count, sizeof *names, compare_strings);
    text_print(&t, "%s", "");
    for (size_t i = 0; i < count; i++) {
        text_print(&t, "%s ", names[i]);
        free(names[i]);
    }
    CHECK_STRING(t.data, want);
    text_free(&t);
}

#define MODEL_NAMES "config.json generation_config.json model.safetensors "
#define TOKENIZER_NAMES "special_tokens_map.json tokenizer.json tokenizer_config.json "

// The newest checkpoint is the one of `step` (0: none) and can be loaded.
static void check_latest(struct run *r, uint64_t step)
{
    char *found, want[300];
    struct run_state state;
    e = (struct error){0};
    int status = checkpoint_latest(&found, &state, folder, &e);
    CHECK_SAY(status == (step ? 1 : 0), "%d: %s", status, e.text);
    if (status != 1) return;
    snprintf(want, sizeof want, "%s/checkpoint-%d", folder, (int)step);
    CHECK_STRING(found, want);
    CHECK(state.step == step);
    CHECK_SAY(checkpoint_load(found, &r->bundle, r->engine, r->moments, &e) == 0, "%s", e.text);
    free(found);
    run_state_free(&state);
}

#endif
