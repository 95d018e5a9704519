// SPDX-License-Identifier: MIT
//
// Checkpoints: the same bits come back and training goes on with them; damaged files are named; what a kill leaves
// behind at any instant is recovered; a full disk harms nothing that was saved before.
//
// Called with arguments FOLDER, it saves checkpoints there until it is killed.
#define _GNU_SOURCE
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

// name: a golden model, or NULL for a random one with biases, whose parts lie side by side in one row. Without steps no
// kernels are made, which takes far longer than all else here.
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
    char *path = name ? mem_format("tests/golden/%s", name) : NULL;
    cJSON *json = name ? NULL : json_read_text("config", biased, strlen(biased), &e);
    int status = name ? model_open(&r->bundle.model, path, &e) : model_open_init(&r->bundle.model, json, "init", &e);
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

// ---- tests -------------------------------------------------------------------------------------------------------

// A file's tensors are the parts of the weights, under their names, without padding.
static void check_tensors(struct run *r, const char *path, const float *bits, bool moments)
{
    static const char *const endings[] = {"", ".exp_avg", ".exp_avg_sq"};
    struct safetensors *file = safetensors_open(path, &e);
    CHECK_SAY(file != NULL, "%s", e.text);
    size_t tensors = 0;
    for (int i = 0; file && i < r->bundle.model.weight_count; i++) {
        const struct model_weight *w = &r->bundle.model.weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8;
        for (int s = 0; s < (r->moments ? 3 : 1); s++) {
            for (int k = 0; (s > 0) == moments && k < w->part_count; k++) {
                const struct model_part *p = &w->parts[k];
                char *name = mem_format("%s%s", p->hf, endings[s]);
                const struct tensor_view *t = safetensors_find(file, name);
                uint64_t rows = w->matrix ? p->rows : 1,
                         columns = w->matrix || w->part_count == 1 ? w->columns : p->rows;
                CHECK_SAY(t && t->dtype == DTYPE_F32 && t->rank == (w->matrix ? 2 : 1), "%s", name);
                CHECK_SAY(
                    t && t->bytes == 4 * rows * columns && t->shape[0] == (w->matrix ? rows : columns), "%s", name);
                for (uint64_t j = 0; t && t->bytes == 4 * rows * columns && j < rows; j++)
                    CHECK_SAY(memcmp(t->data + 4 * j * columns,
                                  bits + (w->matrix ? (p->first_row + j) * ld : p->first_row), 4 * columns) == 0,
                        "%s row %d", name, (int)j);
                tensors++;
                free(name);
            }
            bits += engine_layout(r->engine)->weights[i].elements;
        }
    }
    CHECK(file && safetensors_count(file) == tensors && tensors > 0);
    safetensors_close(file);
}

static void test_round_trip(
    struct gpu *gpu, const char *name, enum storage storage, enum optimizer optimizer, bool bf16)
{
    struct run r;
    empty_folder();
    if (!run_open(&r, gpu, name, storage, optimizer, name != NULL)) return;
    r.bf16 = bf16;
    if (name) { // training goes on to the same bits
        for (uint64_t i = 1; i <= 2; i++) run_step(&r, i);
        CHECK_SAY(save(&r, 2), "%s", e.text);
        float *before = read_all(&r);
        uint64_t third = run_step(&r, 3), fourth = run_step(&r, 4);
        free(write_random(&r, 1));
        check_latest(&r, 2);
        check_all(&r, before);
        CHECK(run_step(&r, 3) == third && run_step(&r, 4) == fourth);
        CHECK(third != fourth);
        free(before);
    }
    float *bits = write_random(&r, 2); // any bits come back
    CHECK_SAY(save(&r, 30), "%s", e.text);
    free(write_random(&r, 3));
    check_latest(&r, 30);
    check_all(&r, bits);

    char *path = in("checkpoint-30", NULL);
    char want[300];
    snprintf(want, sizeof want,
        "config.json generation_config.json %smodel.safetensors %spumice_state.json " TOKENIZER_NAMES
        "trainer_state.json ",
        bf16 ? "masters.safetensors " : "", r.moments ? "optimizer.safetensors " : "");
    check_names(path, want);
    char *values = path_join(path, bf16 ? "masters.safetensors" : "model.safetensors"),
         *moments = path_join(path, "optimizer.safetensors");
    check_tensors(&r, values, bits, false);
    if (r.moments) check_tensors(&r, moments, bits, true);
    free(values);
    free(moments);
    // The model in it is a model: ours reads the same weights, rounded if bf16.
    struct model saved;
    CHECK_SAY(model_open(&saved, path, &e) == 0, "%s", e.text);
    struct error why = {0};
    float row[2][256], *at = bits;
    for (int i = 0; i < saved.weight_count; i++) {
        const struct model_weight *w = &saved.weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8, n = engine_layout(r.engine)->weights[i].elements;
        for (int k = 0; w->matrix && k < w->part_count; k++)
            for (uint64_t j = 0; j < w->parts[k].rows; j++) {
                CHECK(model_read(&saved, i, k, j, 1, row[0], ld, &why) == 0);
                memcpy(row[1], at + (w->parts[k].first_row + j) * ld, 4 * w->columns);
                for (uint64_t c = 0; bf16 && c < w->columns; c++) row[1][c] = f32_from_bf16(bf16_from_f32(row[1][c]));
                CHECK_SAY(memcmp(row[0], row[1], 4 * w->columns) == 0, "%s row %d", w->parts[k].hf, (int)j);
            }
        at += n * (r.moments ? 3 : 1);
    }
    model_close(&saved);
    free(path);
    free(bits);
    run_close(&r);
}

static void test_state(struct run *r)
{
    char *found;
    struct run_state want = a_state(7), got;
    empty_folder();
    CHECK(checkpoint_save(folder, &want, &r->bundle, r->engine, true, false, &e) == 0);
    CHECK(checkpoint_latest(&found, &got, folder, &e) == 1);
    check_state(&got, &want);
    run_state_free(&got);
    free(found);
    want.best_loss = INFINITY, want.best_step = UINT64_MAX, want.digest_count = 0, want.recompute = false;
    want.best_loss = NAN;
    CHECK(checkpoint_save(folder, &want, &r->bundle, r->engine, true, false, &e) == 0); // replaces it
    CHECK(checkpoint_latest(&found, &got, folder, &e) == 1);
    check_state(&got, &want);
    check_names(folder, "checkpoint-7 ");
    run_state_free(&got);

    // Mutated bytes are found, or do not matter (white space).
    char *path = path_join(found, "pumice_state.json");
    struct text text = get(path);
    uint64_t seed = 11;
    int refused = 0;
    for (int i = 0; i < 1500; i++) {
        struct text bad = {0};
        text_add(&bad, text.data, text.bytes);
        for (uint32_t n = 1 + test_random(&seed) % 3; n > 0; n--)
            bad.data[test_random(&seed) % bad.bytes] = "0123456789{}[]\",:ntaz \x01\xff"[test_random(&seed) % 24];
        if (test_random(&seed) % 8 == 0) bad.bytes = test_random(&seed) % bad.bytes;
        put(path, bad.data, bad.bytes);
        e = (struct error){0};
        if (checkpoint_state(&got, found, &e) == 0) {
            check_state(&got, &want);
            run_state_free(&got);
        } else {
            refused++;
            CHECK_SAY(strstr(e.text, "pumice_state.json") != NULL, "error is \"%s\"", e.text);
            CHECK(got.digests == NULL && got.step == 0);
        }
        text_free(&bad);
    }
    CHECK_SAY(refused > 1200, "%d", refused);
    // Well-formed, but not what was written: the names of keys and values, one by one.
    static const char *const keys[] = {"format", "step", "update", "hash", "log_bytes", "budget", "recompute",
        "storage", "device", "driver", "digests", "best_loss", "best_step", "total_steps", "epoch", "files", "sum"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int how = 0; how < 2; how++) {
            cJSON *json = json_read_text("state", text.data, text.bytes, &e);
            if (how)
                cJSON_DeleteItemFromObject(json, keys[i]);
            else
                cJSON_ReplaceItemInObject(json, keys[i], cJSON_CreateString("x"));
            CHECK(json_write_file(path, json, &e) == 0);
            e = (struct error){0};
            CHECK_SAY(checkpoint_state(&got, found, &e) == -1, "%s", keys[i]);
            CHECK_ERROR(e, "pumice_state.json: ");
            cJSON_Delete(json);
        }
    put(path, "[]", 2);
    CHECK(checkpoint_state(&got, found, &e) == -1);
    CHECK_ERROR(e, "must be an object");
    text_free(&text);
    free(path);
    free(found);
}

static void test_damage(struct run *r)
{
    char *found;
    struct run_state state;
    empty_folder();
    r->bf16 = true;
    CHECK(save(r, 10) && save(r, 20));
    float *bits = read_all(r);
    static const char *const files[] = {"config.json", "generation_config.json", "masters.safetensors",
        "model.safetensors", "optimizer.safetensors", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json", "trainer_state.json", "pumice_state.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = in("checkpoint-20", files[i]);
        struct text text = get(path);
        for (int how = 0; how < 3; how++) { // gone, a byte short, empty
            if (how == 0) CHECK(unlink(path) == 0);
            if (how == 1) put(path, text.data, text.bytes - 1);
            if (how == 2) put(path, "", 0);
            if (how == 1 && strcmp(files[i], "pumice_state.json") == 0) continue; // its final newline
            e = (struct error){0};
            CHECK_SAY(checkpoint_latest(&found, &state, folder, &e) == -1 && !found, "%s, %d", files[i], how);
            CHECK_ERROR(e, "checkpoint-20/");
            CHECK_ERROR(e, files[i]);
            CHECK_ERROR(e, "; remove this checkpoint to go on from checkpoint-10");
        }
        put(path, text.data, text.bytes);
        text_free(&text);
        free(path);
    }
    check_latest(r, 20);
    // A changed byte in what is loaded: anywhere in the file, the header too.
    char *checkpoint = in("checkpoint-20", NULL);
    uint64_t seed = 2;
    for (int i = 0; i < 40; i++) {
        const char *name = i % 2 ? "masters.safetensors" : "optimizer.safetensors";
        char *path = path_join(checkpoint, name);
        struct text text = get(path);
        size_t at = i < 4 ? (i < 2 ? 20 : text.bytes - 1) : test_random(&seed) % text.bytes;
        text.data[at] ^= (char)(1 << test_random(&seed) % 8);
        put(path, text.data, text.bytes);
        CHECK_SAY(checkpoint_load(checkpoint, &r->bundle, r->engine, true, &e) == -1, "%s byte %zu", name, at);
        CHECK_ERROR(e, name);
        CHECK_ERROR(e, "is damaged");
        text_free(&text);
        char *other = in("checkpoint-10", name); // holds the same
        text = get(other);
        put(path, text.data, text.bytes);
        text_free(&text);
        free(other);
        free(path);
    }
    check_latest(r, 20);
    check_all(r, bits);
    free(bits);
    // Not this model's, not this folder's, saved without moments.
    CHECK(rename(checkpoint, folder) != 0);
    char *renamed = in("checkpoint-25", NULL);
    CHECK(rename(checkpoint, renamed) == 0);
    CHECK(checkpoint_latest(&found, &state, folder, &e) == -1);
    CHECK_ERROR(
        e, "checkpoint-25/pumice_state.json: is of step 20; remove this checkpoint to go on from checkpoint-10");
    struct run other;
    if (run_open(&other, r->gpu, NULL, STORAGE_F32, OPTIMIZER_ADAMW, false)) {
        CHECK(checkpoint_load(renamed, &other.bundle, other.engine, true, &e) == -1);
        CHECK_ERROR(e, "masters.safetensors: ");
        CHECK_ERROR(e, "model.embed_tokens.weight is F32 [101, 48], but the model needs F32 [261, 24]");
        run_close(&other);
    }
    CHECK(folder_remove(renamed, &e) == 0);
    r->moments = false;
    CHECK(save(r, 20));
    r->moments = true;
    CHECK(checkpoint_load(checkpoint, &r->bundle, r->engine, false, &e) == 0);
    CHECK(checkpoint_load(checkpoint, &r->bundle, r->engine, true, &e) == -1);
    CHECK_ERROR(e, "checkpoint-20: holds no moments of AdamW");
    free(renamed);
    free(checkpoint);
    // The only one.
    char *ten = in("checkpoint-10", NULL), *state_file = in("checkpoint-20", "pumice_state.json");
    CHECK(folder_remove(ten, &e) == 0 && unlink(state_file) == 0);
    CHECK(checkpoint_latest(&found, &state, folder, &e) == -1);
    CHECK_ERROR(e, "to go on afresh");
    free(ten);
    free(state_file);
    r->bf16 = false;
}

// Every state of the folder that a kill can leave.
static void test_leftovers(struct run *r)
{
    char *ten = in("checkpoint-10", NULL), *twenty = in("checkpoint-20", NULL),
         *temporary = in("checkpoint-20.tmp", NULL), *old = in("checkpoint-20.old", NULL),
         *model = in("model.tmp", NULL), *inside = in("checkpoint-20.tmp", "x");
    empty_folder();
    check_latest(r, 0);
    CHECK(folder_make(temporary, &e) == 0); // killed in the first save
    put(inside, "x", 1);
    CHECK(folder_make(model, &e) == 0);
    check_latest(r, 0);
    check_names(folder, "");
    CHECK(save(r, 10));
    CHECK(folder_make(temporary, &e) == 0); // in the second
    put(inside, "x", 1);
    check_latest(r, 10);
    check_names(folder, "checkpoint-10 ");
    CHECK(folder_make(temporary, &e) == 0); // and saved again over what is left
    put(inside, "x", 1);
    CHECK(save(r, 20));
    char *stray = in("checkpoint-20", "x");
    CHECK(!file_exists(stray));
    free(stray);
    check_latest(r, 20);
    // Saving step 20 again: before the first rename, between the two, after the second.
    CHECK(folder_make(temporary, &e) == 0);
    check_latest(r, 20);
    CHECK(rename(twenty, old) == 0 && folder_make(temporary, &e) == 0);
    check_latest(r, 20);
    check_names(folder, "checkpoint-10 checkpoint-20 ");
    CHECK(folder_make(old, &e) == 0); // half removed
    check_latest(r, 20);
    check_names(folder, "checkpoint-10 checkpoint-20 ");
    CHECK(folder_make(old, &e) == 0);
    CHECK(save(r, 20));
    check_names(folder, "checkpoint-10 checkpoint-20 ");
    // Pruning: renamed and half removed.
    CHECK(rename(twenty, temporary) == 0);
    check_latest(r, 10);
    check_names(folder, "checkpoint-10 ");
    // What is not ours stays.
    char *foreign = in("checkpoint-best", NULL);
    CHECK(folder_make(foreign, &e) == 0);
    check_latest(r, 10);
    check_names(folder, "checkpoint-10 checkpoint-best ");
    free(foreign);
    char *found, *missing = in("missing", NULL);
    struct run_state state;
    CHECK(checkpoint_latest(&found, &state, missing, &e) == 0 && !found);
    free(missing);
    free(ten);
    free(twenty);
    free(temporary);
    free(old);
    free(model);
    free(inside);
}

static void test_prune(void)
{
    static const struct {
        uint64_t limit, keep;
        const char *left;
    } cases[] = {{0, UINT64_MAX, "checkpoint-100 checkpoint-20 checkpoint-3 checkpoint-9 "},
        {4, UINT64_MAX, "checkpoint-100 checkpoint-20 checkpoint-3 checkpoint-9 "},
        {3, UINT64_MAX, "checkpoint-100 checkpoint-20 checkpoint-9 "}, {2, UINT64_MAX, "checkpoint-100 checkpoint-20 "},
        {1, UINT64_MAX, "checkpoint-100 "}, {2, 3, "checkpoint-100 checkpoint-3 "},
        {1, 9, "checkpoint-100 checkpoint-9 "}, {1, 100, "checkpoint-100 "}, {2, 7, "checkpoint-100 checkpoint-20 "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder();
        static const char *const names[] = {"checkpoint-20", "checkpoint-3", "checkpoint-100", "checkpoint-9"};
        for (int k = 0; k < 4; k++) {
            char *path = in(names[k], NULL), *file = in(names[k], "file");
            CHECK(folder_make(path, &e) == 0);
            put(file, "x", 1);
            free(path);
            free(file);
        }
        CHECK(checkpoint_prune(folder, cases[i].limit, cases[i].keep, &e) == 0);
        check_names(folder, cases[i].left);
    }
}

static void limit_files(uint64_t bytes)
{
    static struct rlimit old;
    if (old.rlim_max == 0) getrlimit(RLIMIT_FSIZE, &old);
    struct rlimit low = old;
    if (bytes) low.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
}

static void test_full_disk(struct run *r)
{
    empty_folder();
    signal(SIGXFSZ, SIG_IGN);
    CHECK(save(r, 10));
    CHECK(model_publish(folder, NULL, &r->bundle, r->engine, false, &e) == 0);
    char *name = in("model.safetensors", NULL);
    struct text before = get(name);
    static const uint64_t limits[] = {1, 100, 3000, 60000, 137000, 200000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (uint64_t step = 10; step <= 20; step += 10) { // 10 would be replaced
            limit_files(limits[i]);
            bool saved = save(r, step);
            limit_files(0);
            CHECK_SAY(!saved, "limit %d", (int)limits[i]);
            CHECK_ERROR(e, "was not saved; earlier ones are as they were: ");
            CHECK_ERROR(e, "(File too large)");
            check_names(folder, "checkpoint-10 " MODEL_NAMES TOKENIZER_NAMES);
        }
        if (limits[i] > 130000) continue; // the model alone fits
        limit_files(limits[i]);
        int status = model_publish(folder, NULL, &r->bundle, r->engine, false, &e);
        limit_files(0);
        CHECK_SAY(status == -1, "limit %d", (int)limits[i]);
        CHECK_ERROR(e, "the finished model was not saved: ");
        CHECK_ERROR(e, "(File too large)");
        check_names(folder, "checkpoint-10 " MODEL_NAMES TOKENIZER_NAMES);
    }
    struct text after = get(name);
    CHECK(after.bytes == before.bytes && memcmp(after.data, before.data, after.bytes) == 0);
    check_latest(r, 10);
    text_free(&before);
    text_free(&after);
    free(name);
}

static void test_publish(struct run *r)
{
    static const char *const files[] = {"config.json", "generation_config.json", "model.safetensors",
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"};
    empty_folder();
    free(write_random(r, 5));
    CHECK(save(r, 10));
    free(write_random(r, 6));
    CHECK(save(r, 20));
    for (int which = 0; which < 3; which++) { // from the engine, from the newest, from an older one
        const char *from = which == 2 ? "checkpoint-10" : "checkpoint-20";
        char *checkpoint = in(from, NULL), *leftover = in("model.tmp", NULL);
        CHECK(folder_make(leftover, &e) == 0);
        e = (struct error){0};
        CHECK_SAY(model_publish(folder, which ? checkpoint : NULL, which ? NULL : &r->bundle, which ? NULL : r->engine,
                      false, &e) == 0,
            "%s", e.text);
        check_names(folder, "checkpoint-10 checkpoint-20 " MODEL_NAMES TOKENIZER_NAMES);
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            char *a = in(files[i], NULL), *b = in(from, files[i]);
            check_same_file(a, b);
            free(a);
            free(b);
        }
        free(checkpoint);
        free(leftover);
    }
    char *checkpoint = in("checkpoint-10", NULL), *weights = in("checkpoint-10", "model.safetensors"),
         *top = in("model.safetensors", NULL);
    struct text text = get(weights), before = get(top);
    text.data[text.bytes - 9] ^= 1;
    put(weights, text.data, text.bytes);
    CHECK(model_publish(folder, checkpoint, NULL, NULL, false, &e) == -1);
    CHECK_ERROR(e, "the finished model was not saved: ");
    CHECK_ERROR(e, "checkpoint-10/model.safetensors: is damaged");
    struct text after = get(top);
    CHECK(after.bytes == before.bytes && memcmp(after.data, before.data, after.bytes) == 0);
    text_free(&text);
    text_free(&before);
    text_free(&after);
    free(checkpoint);
    free(weights);
    free(top);
}

static void test_trainer_state(struct run *r)
{
    empty_folder();
    int saved_stderr = dup(2), null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    struct log *l = log_open(folder, 0, 1, &e);
    CHECK(l != NULL);
    if (!l) return;
    struct log_step s = {.step = 1,
        .stage = "a",
        .epoch = 0.5,
        .loss = 2.5,
        .grad_norm = 1.5,
        .learning_rate = 0.25,
        .tokens = 100,
        .seconds = 1};
    CHECK(log_step(l, &s, true, &e) == 0);
    s.step = 2, s.epoch = 1, s.loss = NAN, s.skipped = true;
    CHECK(log_step(l, &s, true, &e) == 0);
    CHECK(log_eval(l, 2, "a", (const char *[]){"math"}, (double[]){1.25}, (double[]){0.5}, 1, &e) == 0);
    struct run_state state = a_state(2);
    state.log_bytes = log_bytes(l), state.best_step = 2, state.best_loss = 1.25, state.epoch = 1;
    s.step = 3;
    CHECK(log_step(l, &s, true, &e) == 0); // not of this checkpoint
    log_close(l);
    dup2(saved_stderr, 2);
    close(saved_stderr);
    close(null);
    CHECK(checkpoint_save(folder, &state, &r->bundle, r->engine, true, false, &e) == 0);
    char *path = in("checkpoint-2", "trainer_state.json");
    cJSON *json = json_read_file(path, &e);
    CHECK_SAY(json != NULL, "%s", e.text);
    char *got = json_print(json, false);
    char *want =
        mem_format("{\"global_step\":2,\"max_steps\":90,\"epoch\":1,\"num_input_tokens_seen\":200,\"total_flos\":0,"
                   "\"best_metric\":1.25,\"best_model_checkpoint\":\"%s/checkpoint-2\","
                   "\"is_local_process_zero\":true,\"is_world_process_zero\":true,\"is_hyper_param_search\":false,"
                   "\"log_history\":[{\"step\":1,\"epoch\":0.5,\"loss\":2.5,\"grad_norm\":1.5,\"learning_rate\":0.25},"
                   "{\"step\":2,\"epoch\":1,\"loss\":null,\"grad_norm\":1.5,\"learning_rate\":0.25},"
                   "{\"step\":2,\"epoch\":1,\"eval_math_loss\":1.25,\"eval_math_score\":0.5}]}",
            folder);
    CHECK_STRING(got, want);
    cJSON_Delete(json);
    free(got);
    free(want);
    free(path);
    // A log that is gone or spoilt costs its history, not the checkpoint.
    char *log = in("log.jsonl", NULL);
    put(log, "{\"step\":1,\"epoch\":0.5,\"loss\":2.5}\n{\"step\":2", 43);
    CHECK(checkpoint_save(folder, &state, &r->bundle, r->engine, true, false, &e) == 0);
    CHECK(unlink(log) == 0);
    CHECK(checkpoint_save(folder, &state, &r->bundle, r->engine, true, false, &e) == 0);
    free(log);
}

// A process that saves one checkpoint after the other, publishes and prunes, killed at random instants.
static int victim(struct gpu *gpu, const char *where)
{
    struct run r;
    snprintf(folder, sizeof folder, "%s", where);
    if (!run_open(&r, gpu, "llama-tied", STORAGE_F32, OPTIMIZER_ADAMW, false)) return 1;
    r.bf16 = true;
    if (write(1, "y", 1) != 1) return 1;
    for (uint64_t step = 1;; step++)
        if (!save(&r, step - step % 2) || checkpoint_prune(folder, 2, 2, &e) ||
            model_publish(folder, NULL, &r.bundle, r.engine, true, &e))
            return printf("%s\n", e.text), 1;
}

static void test_kill(struct run *r, const char *program)
{
    uint64_t seed = 9;
    int found_some = 0;
    for (int round = 0; round < 4; round++) {
        int ready[2];
        char byte = 0, *found;
        empty_folder();
        CHECK(pipe(ready) == 0);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            dup2(ready[1], 1);
            close(ready[0]);
            close(ready[1]);
            execl(program, program, folder, (char *)NULL);
            _exit(127);
        }
        close(ready[1]);
        CHECK(read(ready[0], &byte, 1) == 1 && byte == 'y');
        usleep(3000 + test_random(&seed) % 60000);
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        close(ready[0]);
        struct run_state state;
        e = (struct error){0};
        int status = checkpoint_latest(&found, &state, folder, &e);
        CHECK_SAY(status >= 0, "%s", e.text);
        if (status == 1) {
            found_some++;
            CHECK_SAY(checkpoint_load(found, &r->bundle, r->engine, true, &e) == 0, "%s", e.text);
            free(found);
            run_state_free(&state);
        }
        char *top = in("model.safetensors", NULL);
        struct model m;
        if (file_exists(top)) {
            CHECK_SAY(model_open(&m, folder, &e) == 0, "%s", e.text);
            model_close(&m);
        }
        free(top);
    }
    CHECK(found_some > 0);
}

int main(int argc, char **argv)
{
    char error[1024];
    struct gpu *gpu = gpu_open(&(struct gpu_options){.validate = argc == 1}, error, sizeof error);
    if (!gpu) return printf("%s\n", error), 1;
    if (argc == 2) return victim(gpu, argv[1]);
    // In memory where there is such a folder: the hundreds of fsyncs would take the longest otherwise.
    snprintf(folder, sizeof folder, "%s/pumice-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(folder) != NULL);
    test_round_trip(gpu, "llama-tied", STORAGE_F32, OPTIMIZER_ADAMW, false);
    test_round_trip(gpu, "llama-untied", STORAGE_BF16, OPTIMIZER_ADAMW, true);
    test_round_trip(gpu, NULL, STORAGE_F32, OPTIMIZER_ADAMW, true);
    test_round_trip(gpu, NULL, STORAGE_BF16, OPTIMIZER_SGD, false);
    struct run r;
    if (run_open(&r, gpu, "llama-tied", STORAGE_F32, OPTIMIZER_ADAMW, false)) {
        free(write_random(&r, 4));
        test_state(&r);
        test_damage(&r);
        test_leftovers(&r);
        test_prune();
        test_full_disk(&r);
        test_publish(&r);
        test_trainer_state(&r);
        test_kill(&r, argv[0]);
    }
    run_close(&r);
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
