// SPDX-License-Identifier: MIT
#include "formats/json_file.h"
#include "train/checkpoint_parts.h"
#include "train/log_read.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT 1 // of pumice_state.json

void run_state_free(struct run_state *state)
{
    free(state->digests);
    cJSON_Delete(state->variants);
    *state = (struct run_state){0};
}

// ---- files -------------------------------------------------------------------------------------------------------

void checkpoint_files_free(struct checkpoint_files *f)
{
    for (size_t i = 0; i < f->count; i++) free(f->files[i].name);
    free(f->files);
    *f = (struct checkpoint_files){0};
}

const struct checkpoint_file *checkpoint_files_find(const struct checkpoint_files *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->files[i].name, name) == 0) return &f->files[i];
    return NULL;
}

// A checksum at the speed of memory: like FNV-1a with words of eight bytes; each step is one to one in the word and in
// the sum, so that one changed word always shows.
static uint64_t sum_of(const uint8_t *data, size_t bytes)
{
    uint64_t sum = FNV_START ^ bytes;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        sum = (sum ^ word) * UINT64_C(0x100000001b3);
        sum ^= sum >> 32;
    }
    return fnv1a(sum, data + i, bytes - i);
}

static int measure(uint64_t *bytes, uint64_t *sum, const char *folder, const char *name, struct error *e)
{
    struct file_map f;
    char *path = path_join(folder, name);
    int status = file_map(&f, path, e);
    free(path);
    if (status) return -1;
    *bytes = f.bytes;
    *sum = sum_of(f.data, f.bytes);
    file_unmap(&f);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct checkpoint_file *)a)->name, ((const struct checkpoint_file *)b)->name);
}

int checkpoint_files_list(struct checkpoint_files *f, const char *folder, struct error *e)
{
    *f = (struct checkpoint_files){0};
    DIR *dir = opendir(folder);
    if (!dir) return error_set(e, "%s: cannot be read (%s)", folder, strerror(errno));
    int status = 0;
    for (struct dirent *d; status == 0 && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
        GROW(f->files, f->count, f->capacity);
        struct checkpoint_file *file = &f->files[f->count++];
        *file = (struct checkpoint_file){.name = mem_string(d->d_name)};
        status = measure(&file->bytes, &file->sum, folder, file->name, e);
    }
    closedir(dir);
    if (f->count) qsort(f->files, f->count, sizeof *f->files, compare_names);
    if (status) checkpoint_files_free(f);
    return status;
}

int checkpoint_file_check(const char *folder, const struct checkpoint_file *file, struct error *e)
{
    uint64_t bytes, sum;
    if (measure(&bytes, &sum, folder, file->name, e)) return -1;
    if (bytes == file->bytes && sum == file->sum) return 0;
    return error_set(e, "%s/%s: is damaged: its bytes are not those that were written", folder, file->name);
}

// ---- writing -----------------------------------------------------------------------------------------------------

// JSON's numbers are doubles to most readers; 64 bits go as text.
static void add_count(cJSON *object, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    cJSON_AddStringToObject(object, key, text);
}

static cJSON *hex_of(uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return cJSON_CreateString(text);
}

static void add_finite(cJSON *object, const char *key, double value)
{
    cJSON_AddItemToObject(object, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

// Checksum of the state itself, over its text without the key "sum".
static uint64_t json_sum(const cJSON *json)
{
    char *text = json_print(json, false);
    uint64_t sum = fnv1a(FNV_START, text, strlen(text));
    free(text);
    return sum;
}

int checkpoint_state_write(const char *folder, const struct run_state *state, struct error *e)
{
    struct checkpoint_files files;
    if (checkpoint_files_list(&files, folder, e)) return -1;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "format", FORMAT);
    add_count(json, "step", state->step);
    add_count(json, "update", state->update);
    cJSON_AddItemToObject(json, "hash", hex_of(state->hash));
    add_count(json, "log_bytes", state->log_bytes);
    cJSON_AddNumberToObject(json, "budget", state->budget);
    cJSON_AddBoolToObject(json, "recompute", state->recompute);
    cJSON_AddStringToObject(json, "storage", state->storage);
    cJSON_AddStringToObject(json, "products", state->products);
    cJSON_AddStringToObject(json, "gradients", state->gradients);
    cJSON_AddNumberToObject(json, "loss_scale", state->loss_scale.scale);
    cJSON_AddNumberToObject(json, "loss_scale_good", state->loss_scale.good);
    if (state->variants) cJSON_AddItemToObject(json, "variants", cJSON_Duplicate(state->variants, true));
    cJSON_AddStringToObject(json, "device", state->device);
    cJSON_AddStringToObject(json, "driver", state->driver);
    cJSON *digests = cJSON_AddArrayToObject(json, "digests");
    for (size_t i = 0; i < state->digest_count; i++) cJSON_AddItemToArray(digests, hex_of(state->digests[i]));
    add_finite(json, "best_loss", state->best_loss);
    if (state->best_step == UINT64_MAX)
        cJSON_AddNullToObject(json, "best_step");
    else
        add_count(json, "best_step", state->best_step);
    add_count(json, "total_steps", state->total_steps);
    cJSON_AddNumberToObject(json, "epoch", state->epoch);
    cJSON *list = cJSON_AddObjectToObject(json, "files");
    for (size_t i = 0; i < files.count; i++) {
        cJSON *file = cJSON_AddObjectToObject(list, files.files[i].name);
        add_count(file, "bytes", files.files[i].bytes);
        cJSON_AddItemToObject(file, "sum", hex_of(files.files[i].sum));
    }
    checkpoint_files_free(&files);
    cJSON_AddItemToObject(json, "sum", hex_of(json_sum(json)));
    char *path = path_join(folder, CHECKPOINT_STATE);
    int status = json_write_file(path, json, e);
    free(path);
    cJSON_Delete(json);
    return status;
}

// ---- reading -----------------------------------------------------------------------------------------------------

// Takes keys out of an object one by one; the first that is not as it must be makes the sentence.
struct reader {
    const char *path;
    cJSON *json;
    int status;
    struct error *e;
};

static const cJSON *take(struct reader *r, const char *key, int type, const char *what)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (r->status == 0 && (!item || !(item->type & type)))
        r->status = error_set(r->e, "%s: \"%s\" must be %s", r->path, key, what);
    return r->status == 0 ? item : NULL;
}

// A number in a string, in base 10 as printed (no sign, no leading zero) or 16 digits in base 16.
static bool parse_number(uint64_t *out, const char *text, int base)
{
    char again[32];
    errno = 0;
    *out = strtoull(text, NULL, base);
    snprintf(again, sizeof again, base == 16 ? "%016" PRIx64 : "%" PRIu64, *out);
    return errno == 0 && strcmp(text, again) == 0;
}

static uint64_t take_number(struct reader *r, const char *key, int base)
{
    const char *what = base == 16 ? "16 hexadecimal digits in a string" : "a whole number in a string";
    const cJSON *item = take(r, key, cJSON_String, what);
    uint64_t value = 0;
    if (item && !parse_number(&value, item->valuestring, base))
        r->status = error_set(r->e, "%s: \"%s\" must be %s", r->path, key, what);
    return value;
}

static void take_text(struct reader *r, const char *key, char *out, size_t bytes)
{
    const cJSON *item = take(r, key, cJSON_String, "a string");
    if (item && strlen(item->valuestring) >= bytes)
        r->status = error_set(r->e, "%s: \"%s\" is longer than %zu bytes", r->path, key, bytes - 1);
    else if (item)
        strcpy(out, item->valuestring);
}

// Checkpoints of earlier versions have none of these: products were f32 then.
static void take_products(struct reader *r, struct run_state *state)
{
    strcpy(state->products, "f32");
    state->loss_scale = (struct loss_scale){0};
    if (r->status || !cJSON_GetObjectItemCaseSensitive(r->json, "products")) return;
    take_text(r, "products", state->products, sizeof state->products);
    const cJSON *scale = take(r, "loss_scale", cJSON_Number, "a number");
    const cJSON *good = take(r, "loss_scale_good", cJSON_Number, "a number");
    if (r->status) return;
    double steps = good->valuedouble;
    state->loss_scale.scale = scale->valuedouble;
    state->loss_scale.good = steps >= 0 && steps < LOSS_SCALE_INTERVAL ? (uint32_t)steps : LOSS_SCALE_INTERVAL;
    if (state->loss_scale.good != steps || !loss_scale_valid(&state->loss_scale))
        r->status = error_set(r->e, "%s: \"loss_scale\" %g with \"loss_scale_good\" %g is no state that a run can be in", r->path,
            scale->valuedouble, steps);
}

static void take_storage(struct reader *r, const char *key, char *out, size_t bytes)
{
    enum storage storage;
    take_text(r, key, out, bytes);
    if (r->status == 0 && !storage_find(&storage, out))
        r->status = error_set(r->e, "%s: \"%s\" must be f32 or bf16, not \"%s\"", r->path, key, out);
}

// Those of earlier versions were f32.
static void take_gradients(struct reader *r, struct run_state *state)
{
    strcpy(state->gradients, "f32");
    if (r->status || !cJSON_GetObjectItemCaseSensitive(r->json, "gradients")) return;
    take_storage(r, "gradients", state->gradients, sizeof state->gradients);
    if (r->status == 0 && strcmp(state->gradients, "f32") != 0 && strcmp(state->gradients, state->storage) != 0)
        r->status = error_set(r->e, "%s: \"gradients\" are %s with \"storage\" %s: no state that a run can be in", r->path,
            state->gradients, state->storage);
}

static void take_digests(struct reader *r, struct run_state *state)
{
    const cJSON *list = take(r, "digests", cJSON_Array, "a list"), *item;
    if (!list) return;
    state->digests = mem_zero((size_t)cJSON_GetArraySize(list) + 1, sizeof *state->digests);
    cJSON_ArrayForEach(item, list)
    {
        uint64_t *digest = &state->digests[state->digest_count++];
        if (r->status == 0 && !(cJSON_IsString(item) && parse_number(digest, item->valuestring, 16)))
            r->status = error_set(r->e, "%s: \"digests\" must be strings of 16 hexadecimal digits", r->path);
    }
}

static void take_files(struct reader *r, struct checkpoint_files *files)
{
    const cJSON *list = take(r, "files", cJSON_Object, "an object"), *item;
    if (!list) return;
    cJSON_ArrayForEach(item, list)
    {
        if (r->status == 0 && (strchr(item->string, '/') || item->string[0] == '.' || !item->string[0]))
            r->status =
                error_set(r->e, "%s: \"files\" names \"%s\", which is no file of a checkpoint", r->path, item->string);
        if (r->status) return;
        GROW(files->files, files->count, files->capacity);
        struct checkpoint_file *file = &files->files[files->count++];
        struct reader inner = {r->path, (cJSON *)(uintptr_t)item, 0, r->e};
        *file = (struct checkpoint_file){.name = mem_string(item->string)};
        file->bytes = take_number(&inner, "bytes", 10);
        file->sum = take_number(&inner, "sum", 16);
        r->status = inner.status;
    }
}

static void take_all(struct reader *r, struct run_state *state, struct checkpoint_files *files)
{
    const cJSON *item = take(r, "format", cJSON_Number, "a number");
    if (item && item->valuedouble != FORMAT)
        r->status = error_set(r->e,
            "%s: has format %g, and this program reads format %d only: use the program it was "
            "written with",
            r->path, item->valuedouble, FORMAT);
    uint64_t sum = take_number(r, "sum", 16);
    if (r->status == 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(r->json, "sum");
        if (json_sum(r->json) != sum) r->status = error_set(r->e, "%s: is damaged: its checksum differs", r->path);
    }
    state->step = take_number(r, "step", 10);
    state->update = take_number(r, "update", 10);
    state->hash = take_number(r, "hash", 16);
    state->log_bytes = take_number(r, "log_bytes", 10);
    item = take(r, "budget", cJSON_Number, "a number");
    if (item &&
        !(item->valuedouble >= 0 && item->valuedouble <= UINT32_MAX && floor(item->valuedouble) == item->valuedouble))
        r->status = error_set(r->e, "%s: \"budget\" must be a whole number of 32 bits", r->path);
    if (r->status == 0) state->budget = (uint32_t)item->valuedouble;
    item = take(r, "recompute", cJSON_True | cJSON_False, "true or false");
    state->recompute = item && cJSON_IsTrue(item);
    take_storage(r, "storage", state->storage, sizeof state->storage);
    take_products(r, state);
    take_gradients(r, state);
    if (r->status == 0) state->variants = cJSON_DetachItemFromObjectCaseSensitive(r->json, "variants");
    take_text(r, "device", state->device, sizeof state->device);
    take_text(r, "driver", state->driver, sizeof state->driver);
    take_digests(r, state);
    item = take(r, "best_loss", cJSON_Number | cJSON_NULL, "a number or null");
    state->best_loss = item && cJSON_IsNumber(item) ? item->valuedouble : INFINITY;
    item = take(r, "best_step", cJSON_String | cJSON_NULL, "a whole number in a string or null");
    state->best_step = item && cJSON_IsString(item) ? take_number(r, "best_step", 10) : UINT64_MAX;
    state->total_steps = take_number(r, "total_steps", 10);
    item = take(r, "epoch", cJSON_Number, "a number");
    if (item) state->epoch = item->valuedouble;
    take_files(r, files);
}

// The files that the state names, with their sizes.
static int check_files(const struct checkpoint_files *files, const char *folder, struct error *e)
{
    int status = 0;
    for (size_t i = 0; i < files->count && status == 0; i++) {
        char *path = path_join(folder, files->files[i].name);
        struct stat st;
        if (stat(path, &st) != 0)
            status = error_set(e, "%s: is missing (%s)", path, strerror(errno));
        else if ((uint64_t)st.st_size != files->files[i].bytes)
            status = error_set(
                e, "%s: has %lld bytes instead of %" PRIu64, path, (long long)st.st_size, files->files[i].bytes);
        free(path);
    }
    return status;
}

int checkpoint_state_read(struct run_state *state, struct checkpoint_files *files, const char *folder, struct error *e)
{
    struct checkpoint_files found = {0};
    *state = (struct run_state){0};
    char *path = path_join(folder, CHECKPOINT_STATE);
    struct reader r = {path, json_read_file(path, e), 0, e};
    if (!r.json) r.status = -1;
    if (r.status == 0 && !cJSON_IsObject(r.json)) r.status = error_set(e, "%s: must be an object", path);
    if (r.status == 0) take_all(&r, state, &found);
    if (r.status == 0) r.status = check_files(&found, folder, e);
    cJSON_Delete(r.json);
    free(path);
    if (r.status) run_state_free(state);
    if (r.status == 0 && files)
        *files = found;
    else
        checkpoint_files_free(&found);
    if (r.status && files) *files = (struct checkpoint_files){0};
    return r.status;
}

int checkpoint_state(struct run_state *state, const char *folder, struct error *e)
{
    return checkpoint_state_read(state, NULL, folder, e);
}

// ---- trainer_state.json ------------------------------------------------------------------------------------------

static void copy_key(cJSON *to, const cJSON *from, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, key);
    if (item) cJSON_AddItemToObject(to, key, cJSON_Duplicate(item, true));
}

// A line of our log as transformers would have logged it; the tokens are added up.
static cJSON *history_of(const cJSON *line, double *epoch, double *tokens)
{
    static const char *const keys[] = {"loss", "grad_norm", "learning_rate"};
    const cJSON *eval = cJSON_GetObjectItemCaseSensitive(line, "eval"), *item, *value;
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(line, "epoch"),
                *count = cJSON_GetObjectItemCaseSensitive(line, "tokens");
    if (cJSON_IsNumber(at)) *epoch = at->valuedouble;
    if (cJSON_IsNumber(count)) *tokens += count->valuedouble;
    cJSON *entry = cJSON_CreateObject();
    copy_key(entry, line, "step");
    cJSON_AddNumberToObject(entry, "epoch", *epoch);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) copy_key(entry, line, keys[i]);
    cJSON_ArrayForEach(item, eval)
    {
        cJSON_ArrayForEach(value, item)
        {
            char *key = mem_format("eval_%s_%s", item->string, value->string);
            cJSON_AddItemToObject(entry, key, cJSON_Duplicate(value, true));
            free(key);
        }
    }
    return entry;
}

// The history in the first `log_bytes` of the log. It is for people and their tools, and no checkpoint fails for it:
// what someone else has done to the log is left out.
static cJSON *history_make(double *tokens, const char *output_dir, uint64_t log_bytes)
{
    struct log_reader reader;
    struct log_line line;
    cJSON *history = cJSON_CreateArray();
    double epoch = 0;
    bool there = log_reader_open(&reader, output_dir, NULL) > 0;
    while (there && reader.at < log_bytes && log_reader_next(&reader, &line))
        if (line.kind != LOG_OTHER && reader.at <= log_bytes) cJSON_AddItemToArray(history, history_of(line.json, &epoch, tokens));
    log_reader_close(&reader);
    return history;
}

int checkpoint_trainer_write(const char *folder, const char *output_dir, const struct run_state *state, struct error *e)
{
    double tokens = 0;
    cJSON *history = history_make(&tokens, output_dir, state->log_bytes);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "global_step", (double)state->step);
    cJSON_AddNumberToObject(json, "max_steps", (double)state->total_steps);
    cJSON_AddNumberToObject(json, "epoch", state->epoch);
    cJSON_AddNumberToObject(json, "num_input_tokens_seen", tokens);
    cJSON_AddNumberToObject(json, "total_flos", 0);
    add_finite(json, "best_metric", state->best_loss);
    char *best = mem_format("%s/checkpoint-%" PRIu64, output_dir, state->best_step);
    cJSON_AddItemToObject(
        json, "best_model_checkpoint", state->best_step == UINT64_MAX ? cJSON_CreateNull() : cJSON_CreateString(best));
    free(best);
    cJSON_AddBoolToObject(json, "is_local_process_zero", true);
    cJSON_AddBoolToObject(json, "is_world_process_zero", true);
    cJSON_AddBoolToObject(json, "is_hyper_param_search", false);
    cJSON_AddItemToObject(json, "log_history", history);
    char *path = path_join(folder, CHECKPOINT_TRAINER);
    int status = json_write_file(path, json, e);
    free(path);
    cJSON_Delete(json);
    return status;
}
