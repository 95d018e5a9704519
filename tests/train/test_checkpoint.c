// SPDX-License-Identifier: MIT
//
// Checkpoints: the same bits come back and training goes on with them; damaged files are named; what a kill leaves
// behind at any instant is recovered; a full disk harms nothing that was saved before.
//
// Called with arguments FOLDER, it saves checkpoints there until it is killed.
#define _GNU_SOURCE
#include "train/checkpoint_run.h"

#include <inttypes.h>

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

// Writes a state with the checksum that it would have been written with.
static void put_state(const char *path, cJSON *json)
{
    cJSON_DeleteItemFromObject(json, "sum");
    char *printed = json_print(json, false), *sum = mem_format("%016" PRIx64, fnv1a(FNV_START, printed, strlen(printed)));
    cJSON_AddStringToObject(json, "sum", sum);
    CHECK(json_write_file(path, json, &e) == 0);
    free(printed);
    free(sum);
}

// What no run can be in, whole as its checksum is. The state was bf16 with gradients in bf16.
static void test_impossible(const char *found, const char *path, const struct text *text)
{
    static const char *const cases[][3] = {{"storage", "q", "\"storage\" must be f32 or bf16, not \"q\""},
        {"gradients", "q", "\"gradients\" must be f32 or bf16, not \"q\""},
        {"storage", "f32", "\"gradients\" are bf16 with \"storage\" f32"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int both = 0; both < (i == 0 ? 2 : 1); both++) { // alike, and wrong all the same
            struct run_state got;
            cJSON *json = json_read_text("state", text->data, text->bytes, &e);
            cJSON_ReplaceItemInObject(json, cases[i][0], cJSON_CreateString(cases[i][1]));
            if (both) cJSON_ReplaceItemInObject(json, "gradients", cJSON_CreateString(cases[i][1]));
            put_state(path, json);
            e = (struct error){0};
            CHECK_SAY(checkpoint_state(&got, found, &e) == -1, "%s %s", cases[i][0], cases[i][1]);
            CHECK_ERROR(e, cases[i][2]);
            cJSON_Delete(json);
        }
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
        "storage", "products", "gradients", "loss_scale", "loss_scale_good", "device", "driver", "digests", "best_loss", "best_step",
        "total_steps", "epoch", "files", "sum"};
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
    // A checkpoint from before there were other products and gradients than f32.
    cJSON *old = json_read_text("state", text.data, text.bytes, &e);
    static const char *const later[] = {"products", "gradients", "loss_scale", "loss_scale_good"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) cJSON_DeleteItemFromObject(old, later[i]);
    put_state(path, old);
    CHECK(checkpoint_state(&got, found, &e) == 0);
    CHECK_STRING(got.products, "f32");
    CHECK_STRING(got.gradients, "f32");
    CHECK(got.loss_scale.scale == 0);
    run_state_free(&got);
    cJSON_Delete(old);
    test_impossible(found, path, &text);
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
    struct run less; // all of its tensors are there, and more
    char *fifteen = in("checkpoint-15", NULL);
    if (run_open(&other, r->gpu, NULL, STORAGE_F32, OPTIMIZER_ADAMW, false) &&
        run_open(&less, r->gpu, "", STORAGE_F32, OPTIMIZER_ADAMW, false)) {
        CHECK(save(&other, 15));
        CHECK(checkpoint_load(fifteen, &less.bundle, less.engine, true, &e) == -1);
        CHECK_ERROR(e, "model.safetensors: holds 27 tensors, but the model has 15");
        run_close(&less);
        run_close(&other);
    }
    CHECK(folder_remove(fifteen, &e) == 0);
    free(fifteen);
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
    CHECK(log_eval(l, 2, "a", &(struct log_score){"math", 1.25, 0.5, 0}, 1, &e) == 0);
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
