// SPDX-License-Identifier: MIT
#include "model/family.h"

#include "formats/gguf.h"
#include "formats/json_file.h"
#include "formats/safetensors.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ---- opening -------------------------------------------------------------------------------------------------------

static const struct tensor_view *find_part(const struct model *m, const struct model_part *p)
{
    if (m->gguf) return gguf_find(m->gguf, p->gguf);
    const struct tensor_view *t = safetensors_find(m->safetensors, p->hf);
    // A base model saved without its head has no "model." in front of its names.
    return !t && strncmp(p->hf, "model.", 6) == 0 ? safetensors_find(m->safetensors, p->hf + 6) : t;
}

static int check_weights(const struct model *m, struct error *e)
{
    for (int i = 0; i < m->weight_count; i++)
        for (int k = 0; k < m->weights[i].part_count; k++) {
            const struct model_weight *w = &m->weights[i];
            const struct model_part *p = &w->parts[k];
            const struct tensor_view *t = find_part(m, p);
            const char *name = m->gguf ? p->gguf : p->hf;
            if (!t) return error_set(e, "%s: the weight %s is missing", m->path, name);
            uint64_t rows = w->matrix ? p->rows : 1, columns = w->matrix ? w->columns : m->weights[i].part_count > 1 ? p->rows : w->columns;
            bool fits = w->matrix ? t->rank == 2 && t->shape[0] == rows && t->shape[1] == columns
                                  : tensor_count(t) == columns;
            char shape[96];
            if (!fits)
                return error_set(e, "%s: the weight %s has shape %s, but the config says [%llu, %llu]", m->path, name,
                    tensor_shape_text(shape, sizeof shape, t), (unsigned long long)rows, (unsigned long long)columns);
            if (!dtype_readable(t->dtype))
                return error_set(e, "%s: the weight %s is stored as %s, which is not readable; use F32, F16, BF16, Q8_0, Q4_0, "
                    "Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K", m->path, name, dtype_name(t->dtype));
        }
    return 0;
}

static int open_folder(struct model *m, struct error *e)
{
    char *path = path_join(m->path, "config.json");
    m->json = json_read_file(path, e);
    int status = m->json ? model_config_json(&m->config, m->json, path, e) : -1;
    free(path);
    if (status) return -1;
    m->safetensors = safetensors_open(m->path, e);
    if (!m->safetensors) return -1;
    return 0;
}

static int open_file(struct model *m, struct error *e)
{
    m->gguf = gguf_open(m->path, e);
    return m->gguf ? model_config_gguf(&m->config, m->gguf, m->path, e) : -1;
}

// The newest snapshot of a hub id in the local cache: <cache>/models--org--name/snapshots/<refs/main>.
static char *hub_folder(const char *id)
{
    const char *home = getenv("HOME"), *hub = getenv("HF_HUB_CACHE"), *hf = getenv("HF_HOME");
    char *cache = hub ? mem_string(hub) : hf ? path_join(hf, "hub") : home ? path_join(home, ".cache/huggingface/hub") : NULL;
    const char *slash = strchr(id, '/');
    if (!cache || !slash || strchr(slash + 1, '/')) {
        free(cache);
        return NULL;
    }
    char *folder = mem_format("%s/models--%.*s--%s", cache, (int)(slash - id), id, slash + 1), *found = NULL;
    char *ref = path_join(folder, "refs/main");
    struct file_map f;
    if (file_map(&f, ref, NULL) == 0) {
        int n = (int)f.bytes;
        while (n > 0 && (f.data[n - 1] == '\n' || f.data[n - 1] == '\r')) n--;
        found = mem_format("%s/snapshots/%.*s", folder, n, (const char *)f.data);
        file_unmap(&f);
        if (!folder_exists(found)) free(found), found = NULL;
    }
    free(ref);
    free(folder);
    free(cache);
    return found;
}

int model_open(struct model *m, const char *path, struct error *e)
{
    *m = (struct model){.path = mem_string(path)};
    int status;
    if (!folder_exists(path) && !file_exists(path)) {
        char *hub = hub_folder(path);
        if (hub) {
            free(m->path);
            m->path = hub;
        }
    }
    size_t n = strlen(m->path);
    if (folder_exists(m->path)) status = open_folder(m, e);
    else if (file_exists(m->path) && n > 5 && strcmp(m->path + n - 5, ".gguf") == 0) status = open_file(m, e);
    else if (file_exists(m->path))
        status = error_set(e, "%s: is neither a folder with config.json and model.safetensors nor a .gguf file", m->path);
    else
        status = error_set(e, "%s: no such model: neither a folder, nor a .gguf file, nor a hub id in the local Hugging Face cache "
            "(`tools/model smollm2-135m` fetches a small one)", path);
    if (status == 0) {
        llama_weights(m);
        status = check_weights(m, e);
    }
    if (status) model_close(m);
    return status;
}

// A config written by hand: a key that nearly is one we read is a slip; others are Hugging Face's and mean nothing here.
static int check_init_keys(const cJSON *config, const char *name, struct error *e)
{
    static const char *const keys[] = {"architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps",
        "rope_theta", "rope_scaling", "rope_parameters", "hidden_act", "attention_bias", "attention_dropout", "mlp_bias",
        "tie_word_embeddings", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "sliding_window",
        "use_sliding_window", "max_window_layers", "use_cache", "torch_dtype", "dtype", "pretraining_tp", "transformers_version", NULL};
    for (const cJSON *item = config->child; item; item = item->next) {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], item->string) != 0) i++;
        const char *near = keys[i] ? NULL : nearest_name(item->string, keys);
        if (near) return error_set(e, "%s: the key \"%s\" is not known; is \"%s\" meant?", name, item->string, near);
    }
    return 0;
}

int model_open_init(struct model *m, const cJSON *config, const char *name, struct error *e)
{
    *m = (struct model){0};
    if (check_init_keys(config, name, e)) return -1;
    if (model_config_json(&m->config, config, name, e)) return -1;
    llama_weights(m);
    return 0;
}

void model_close(struct model *m)
{
    cJSON_Delete(m->json);
    gguf_close(m->gguf);
    safetensors_close(m->safetensors);
    free(m->weights);
    free(m->path);
    *m = (struct model){0};
}

uint64_t model_parameters(const struct model *m)
{
    uint64_t n = 0;
    for (int i = 0; i < m->weight_count; i++) n += m->weights[i].rows * m->weights[i].columns;
    return n;
}

// ---- graphs --------------------------------------------------------------------------------------------------------

void model_graph(const struct model *m, struct graph *g, enum model_use use, uint64_t positions)
{
    g->rope_table = graph_tensor(g, TENSOR_STATE, STORAGE_F32, positions, m->config.head_dim, "rope_table");
    llama_graph(m, g, use);
}

void model_fill_tables(const struct model *m, struct replay *r, const struct graph *g)
{
    const struct tensor *t = graph_at(g, g->rope_table);
    float *table = mem_alloc(t->rows * t->ld * sizeof *table);
    model_rope_table(table, &m->config, t->rows);
    replay_state_write(r, g->rope_table, table, t->rows * t->ld * sizeof *table);
    free(table);
}

// ---- reading -------------------------------------------------------------------------------------------------------

int model_read(const struct model *m, int weight, int part, uint64_t first, uint64_t rows, float *out, uint64_t ld,
    struct error *e)
{
    const struct model_weight *w = &m->weights[weight];
    const struct model_part *p = &w->parts[part];
    const struct tensor_view *t = find_part(m, p);
    uint64_t columns = w->columns;
    if (!p->permuted_heads || !m->gguf) {
        if (ld == columns) return tensor_read_f32(out, t, first * columns, rows * columns, e);
        for (uint64_t r = 0; r < rows; r++)
            if (tensor_read_f32(out + r * ld, t, (first + r) * columns, columns, e)) return -1;
        return 0;
    }
    // Row (half j, pair i) of a head in Hugging Face's order is row 2 i + j of that head in GGUF's.
    uint64_t D = p->rows / p->permuted_heads;
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t row = first + r, head = row / D, j = row % D / (D / 2), i = row % (D / 2);
        if (tensor_read_f32(out + r * ld, t, (head * D + 2 * i + j) * columns, columns, e)) return -1;
    }
    return 0;
}

void model_part_shape(const struct model_weight *w, int part, uint64_t *rows, uint64_t *columns)
{
    *rows = w->matrix ? w->parts[part].rows : 1;
    *columns = w->matrix || w->part_count == 1 ? w->columns : w->parts[part].rows;
}

int model_read_part(const struct model *m, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e)
{
    const struct model_weight *w = &m->weights[weight];
    uint64_t all, columns;
    if (w->matrix) return model_read(m, weight, part, first, rows, out, w->columns, e);
    model_part_shape(w, part, &all, &columns);
    return tensor_read_f32(out, find_part(m, &w->parts[part]), 0, columns, e);
}

int model_fingerprint(char out[17], const struct model *m, struct error *e)
{
    uint64_t hash = FNV_START;
    for (int i = 0; i < m->weight_count; i++) {
        const struct model_weight *w = &m->weights[i];
        float *row = mem_alloc(w->columns * sizeof *row);
        int status = 0;
        for (int k = 0; k < w->part_count && status == 0; k++)
            for (int last = 0; last < 2 && status == 0 && (w->matrix || w->part_count == 1); last++) {
                status = model_read(m, i, k, last ? w->parts[k].rows - 1 : 0, 1, row, w->columns, e);
                hash = fnv1a(hash, row, w->columns * sizeof *row);
            }
        free(row);
        if (status) return -1;
    }
    snprintf(out, 17, "%016" PRIx64, hash);
    return 0;
}

// A uniform number in (0, 1] from a counter (splitmix64's finalizer), and from two of them a normal one (Box and Muller).
static double uniform(uint64_t counter)
{
    uint64_t z = counter * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x2545f4914f6cdd1d);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
}

static void random_rows(const struct model *m, int weight, uint64_t seed, uint64_t first, uint64_t rows, float *out, uint64_t ld)
{
    const struct model_weight *w = &m->weights[weight];
    uint64_t key = fnv1a(fnv1a(FNV_START, &seed, sizeof seed), w->name, strlen(w->name));
    float fill = strstr(w->name, "bias") ? 0 : 1;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < w->columns; c++) {
            uint64_t at = key + 2 * ((first + r) * w->columns + c);
            out[r * ld + c] = !w->matrix ? fill
                : (float)((double)m->config.initializer_range * sqrt(-2 * log(uniform(at))) * cos(6.283185307179586 * uniform(at + 1)));
        }
}

int model_load(const struct model *m, struct engine *engine, uint64_t seed, struct error *e)
{
    for (int i = 0; i < m->weight_count; i++) {
        const struct model_weight *w = &m->weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8, step = UINT64_C(1048576) / ld;
        if (step == 0) step = 1;
        float *rows = mem_zero(step * ld, sizeof *rows);
        int status = 0;
        if (!w->matrix) { // parts of a vector lie side by side
            if (!m->path) random_rows(m, i, seed, 0, 1, rows, ld);
            uint64_t at = 0;
            for (int k = 0; m->path && k < w->part_count && status == 0; k++) {
                const struct tensor_view *t = find_part(m, &w->parts[k]);
                status = tensor_read_f32(rows + at, t, 0, tensor_count(t), e);
                at += tensor_count(t);
            }
            if (status == 0) engine_write(engine, i, STATE_VALUE, 0, ld, rows);
        }
        for (int k = 0; w->matrix && k < w->part_count && status == 0; k++) {
            const struct model_part *p = &w->parts[k];
            for (uint64_t first = 0; first < p->rows && status == 0; first += step) {
                uint64_t n = p->rows - first < step ? p->rows - first : step;
                if (m->path) status = model_read(m, i, k, first, n, rows, ld, e);
                else random_rows(m, i, seed, p->first_row + first, n, rows, ld);
                if (status == 0) engine_write(engine, i, STATE_VALUE, (p->first_row + first) * ld, n * ld, rows);
            }
        }
        free(rows);
        if (status) return -1;
        for (int k = 0; m->path && k < w->part_count; k++) {
            const struct tensor_view *t = find_part(m, &w->parts[k]);
            file_pages_release(t->data, t->bytes);
        }
    }
    if (m->gguf) gguf_pages_release(m->gguf); // its vocabulary, too
    return 0;
}

// ---- saving --------------------------------------------------------------------------------------------------------

#define PIECE UINT64_C(1048576) // elements read at a time

int model_engine_read(void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e)
{
    (void)e;
    const struct model_engine *from = context;
    const struct model_weight *w = &from->model->weights[weight];
    const struct model_part *p = &w->parts[part];
    uint64_t ld = (w->columns + 7) / 8 * 8, part_rows, columns;
    model_part_shape(w, part, &part_rows, &columns);
    float *padded = mem_alloc(rows * ld * sizeof *padded);
    engine_read(from->engine, weight, STATE_VALUE, w->matrix ? (p->first_row + first) * ld : 0, rows * ld, padded);
    // A vector's parts are column ranges of its one row.
    for (uint64_t r = 0; r < rows; r++)
        memcpy(out + r * columns, padded + r * ld + (w->matrix ? 0 : p->first_row), columns * sizeof *out);
    free(padded);
    return 0;
}

static int append_part(const struct model *m, const struct model_source *source, int weight, int part, bool bf16,
    struct safetensors_writer *writer, struct error *e)
{
    uint64_t rows, columns;
    model_part_shape(&m->weights[weight], part, &rows, &columns);
    uint64_t step = PIECE / columns ? PIECE / columns : 1;
    if (step > rows) step = rows;
    float *from = mem_alloc(step * columns * sizeof *from);
    int status = 0;
    for (uint64_t first = 0; first < rows && status == 0; first += step) {
        uint64_t n = rows - first < step ? rows - first : step;
        status = source->read(source->context, weight, part, first, n, from, e);
        uint16_t *narrow = (uint16_t *)from; // never beyond what has been read already
        for (uint64_t i = 0; bf16 && i < n * columns; i++) {
            uint16_t h = bf16_from_f32(from[i]);
            memcpy(&narrow[i], &h, sizeof h);
        }
        if (status == 0) status = safetensors_writer_append(writer, from, n * columns * (bf16 ? 2 : 4), e);
    }
    free(from);
    return status;
}

int model_save(const struct model *m, struct engine *engine, const char *folder, bool bf16, struct error *e)
{
    struct model_engine from = {m, engine};
    return model_write(m, &(struct model_source){model_engine_read, &from}, folder, bf16, e);
}

int model_write(const struct model *m, const struct model_source *source, const char *folder, bool bf16, struct error *e)
{
    int count = 0;
    for (int i = 0; i < m->weight_count; i++) count += m->weights[i].part_count;
    struct safetensors_entry *entries = mem_zero((size_t)count, sizeof *entries);
    count = 0;
    for (int i = 0; i < m->weight_count; i++)
        for (int k = 0; k < m->weights[i].part_count; k++) {
            const struct model_weight *w = &m->weights[i];
            struct safetensors_entry *entry = &entries[count++];
            uint64_t rows, columns;
            model_part_shape(w, k, &rows, &columns);
            *entry = (struct safetensors_entry){.name = w->parts[k].hf, .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32, .rank = w->matrix ? 2 : 1};
            if (w->matrix) entry->shape[0] = rows, entry->shape[1] = columns;
            else entry->shape[0] = columns;
        }
    char *path = path_join(folder, "model.safetensors");
    struct safetensors_writer *writer = safetensors_writer_open(path, entries, (size_t)count, NULL, e);
    int status = writer ? 0 : -1;
    for (int i = 0; i < m->weight_count && status == 0; i++)
        for (int k = 0; k < m->weights[i].part_count && status == 0; k++)
            status = append_part(m, source, i, k, bf16, writer, e);
    if (status == 0) status = safetensors_writer_finish(writer, e);
    else safetensors_writer_abort(writer);
    free(path);
    free(entries);
    if (status) return -1;
    cJSON *json = m->json ? cJSON_Duplicate(m->json, true) : model_config_to_json(&m->config);
    const char *dtype = bf16 ? "bfloat16" : "float32";
    cJSON_DeleteItemFromObjectCaseSensitive(json, "dtype");
    cJSON_DeleteItemFromObjectCaseSensitive(json, "torch_dtype");
    cJSON_DeleteItemFromObjectCaseSensitive(json, "quantization_config"); // what is saved is not quantised
    cJSON_AddStringToObject(json, "torch_dtype", dtype);
    path = path_join(folder, "config.json");
    status = json_write_file(path, json, e);
    free(path);
    cJSON_Delete(json);
    return status;
}
