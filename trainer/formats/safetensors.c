// SPDX-License-Identifier: MIT
#include "formats/safetensors.h"
#include "formats/json_file.h"
#include "formats/tensor_index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// The reference implementation's limit.
#define HEADER_BYTES 100000000

struct shard {
    char *path;
    struct file_map map;
    cJSON *header;
    size_t first, count; // its tensors
};

struct safetensors {
    struct shard *shards;
    size_t shard_count, shard_capacity;
    struct tensor_view *tensors; // names point into the shards' headers
    size_t count, capacity;
    struct tensor_index index;
};

static uint64_t read_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// A JSON number that is a whole number from 0 to 2^53.
static bool whole(uint64_t *out, const cJSON *item)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53)) return false;
    *out = (uint64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

// safetensors' types are those whose block is one element.
static bool find_dtype(enum dtype *out, const char *name)
{
    for (int d = 0; d < DTYPE_COUNT; d++) {
        if (dtype_block((enum dtype)d) != 1 || strcmp(dtype_name((enum dtype)d), name) != 0) continue;
        *out = (enum dtype)d;
        return true;
    }
    return false;
}

// One entry of the header. The tensor's data become header end + begin.
static int read_entry(
    struct tensor_view *t, const cJSON *item, const uint8_t *data, uint64_t data_bytes, struct error *e)
{
    const char *name = item->string;
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    if (!cJSON_IsObject(item) || !cJSON_IsString(dtype) || !cJSON_IsArray(shape) || !cJSON_IsArray(offsets))
        return error_set(e, "tensor '%.200s' lacks dtype, shape or data_offsets", name);
    *t = (struct tensor_view){.name = name};
    if (!find_dtype(&t->dtype, dtype->valuestring))
        return error_set(e, "tensor '%.200s' has the unknown dtype '%.40s'", name, dtype->valuestring);
    for (const cJSON *n = shape->child; n; n = n->next) {
        if (t->rank == TENSOR_RANK)
            return error_set(e, "tensor '%.200s' has more than %d dimensions", name, TENSOR_RANK);
        if (!whole(&t->shape[t->rank++], n))
            return error_set(e, "tensor '%.200s': its shape must be whole numbers", name);
    }
    if (tensor_measure(t, e)) return -1;
    const cJSON *first = offsets->child, *second = first ? first->next : NULL;
    uint64_t begin, end;
    if (!second || second->next || !whole(&begin, first) || !whole(&end, second) || begin > end)
        return error_set(e, "tensor '%.200s': data_offsets must be [begin, end]", name);
    if (end > data_bytes)
        return error_set(
            e, "tensor '%.200s' ends at byte %" PRIu64 " of %" PRIu64 ": the file is cut short", name, end, data_bytes);
    char text[128];
    if (end - begin != t->bytes)
        return error_set(e, "tensor '%.200s' %s of %s is %" PRIu64 " bytes, but data_offsets give it %" PRIu64, name,
            tensor_shape_text(text, sizeof text, t), dtype_name(t->dtype), t->bytes, end - begin);
    t->data = data + begin;
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor_view *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// The bytes after the header must be the tensors' without overlap and without a hole.
static int check_places(
    const struct tensor_view *tensors, size_t count, const uint8_t *data, uint64_t data_bytes, struct error *e)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].data != at)
            return error_set(e, "tensor '%.200s' begins at byte %" PRIu64 ", where byte %" PRIu64 " is next (%s)",
                tensors[i].name, (uint64_t)(tensors[i].data - data), (uint64_t)(at - data),
                tensors[i].data < at ? "two tensors overlap" : "there is a hole");
        at += tensors[i].bytes;
    }
    if ((uint64_t)(at - data) != data_bytes)
        return error_set(
            e, "%" PRIu64 " bytes after the last tensor belong to none", data_bytes - (uint64_t)(at - data));
    return 0;
}

static int check_metadata(const cJSON *metadata, struct error *e)
{
    if (!cJSON_IsObject(metadata)) return error_set(e, "__metadata__ must be an object of strings");
    for (const cJSON *item = metadata->child; item; item = item->next)
        if (!cJSON_IsString(item)) return error_set(e, "__metadata__: '%.100s' must be a string", item->string);
    return 0;
}

static int read_header(struct safetensors *s, struct shard *shard, struct error *e)
{
    const uint8_t *file = shard->map.data;
    uint64_t bytes = shard->map.bytes, length;
    if (bytes >= 23 && memcmp(file, "version https://git-lfs", 23) == 0)
        return error_set(e, "is a Git LFS pointer and not the file itself; fetch it with 'git lfs pull'");
    if (bytes < 8) return error_set(e, "is not a safetensors file: only %" PRIu64 " bytes", bytes);
    length = read_u64(file);
    if (length > HEADER_BYTES)
        return error_set(e, "is not a safetensors file: it begins with an impossible header length");
    if (length > bytes - 8)
        return error_set(e,
            "its header of %" PRIu64 " bytes does not fit into the file's %" PRIu64 " bytes; is the download complete?",
            length, bytes);
    if (length == 0 || file[8] != '{')
        return error_set(e, "is not a safetensors file: its header is not a JSON object");
    shard->header = json_read_text("header", (const char *)file + 8, (size_t)length, e);
    if (!shard->header) return -1;
    const uint8_t *data = file + 8 + length;
    for (const cJSON *item = shard->header->child; item; item = item->next) {
        if (strcmp(item->string, "__metadata__") == 0) {
            if (check_metadata(item, e)) return -1;
            continue;
        }
        GROW(s->tensors, s->count, s->capacity);
        if (read_entry(&s->tensors[s->count], item, data, bytes - 8 - length, e)) return -1;
        s->count++, shard->count++;
    }
    if (shard->count) qsort(s->tensors + shard->first, shard->count, sizeof *s->tensors, compare_places);
    return check_places(s->tensors + shard->first, shard->count, data, bytes - 8 - length, e);
}

// Takes over `path`.
static int add_shard(struct safetensors *s, char *path, struct error *e)
{
    GROW(s->shards, s->shard_count, s->shard_capacity);
    struct shard *shard = &s->shards[s->shard_count++];
    *shard = (struct shard){.path = path, .first = s->count};
    if (file_map(&shard->map, path, e)) return -1;
    if (read_header(s, shard, e)) return error_prefix(e, "%s: ", path);
    return 0;
}

static int add_folder_shards(struct safetensors *s, const char *folder, const cJSON *map, struct error *e)
{
    for (const cJSON *item = map->child; item; item = item->next) {
        const char *name = item->valuestring;
        if (!cJSON_IsString(item) || !*name || strchr(name, '/'))
            return error_set(e, "weight_map: the file of tensor '%.200s' must be a file name", item->string);
        char *path = path_join(folder, name);
        size_t i = s->shard_count;
        while (i > 0 && strcmp(s->shards[i - 1].path, path) != 0) i--;
        if (i > 0)
            free(path);
        else if (add_shard(s, path, e))
            return -1;
    }
    return 0;
}

// Every tensor of the map must lie in the shard that the map names.
static int check_map(const struct safetensors *s, const char *folder, const cJSON *map, struct error *e)
{
    for (const cJSON *item = map->child; item; item = item->next) {
        const struct tensor_view *t = safetensors_find(s, item->string);
        char *path = path_join(folder, item->valuestring);
        const struct shard *shard = s->shards;
        while (strcmp(shard->path, path) != 0) shard++;
        free(path);
        size_t i = t ? (size_t)(t - s->tensors) : 0;
        if (!t || i < shard->first || i - shard->first >= shard->count)
            return error_set(e, "weight_map: tensor '%.200s' is not in %s", item->string, item->valuestring);
    }
    return 0;
}

static int index_tensors(struct safetensors *s, struct error *e)
{
    return tensor_index_make(&s->index, s->tensors, s->count, e);
}

static int open_sharded(struct safetensors *s, const char *folder, const char *index_path, struct error *e)
{
    cJSON *json = json_read_file(index_path, e);
    if (!json) return -1;
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(json, "weight_map");
    int status = cJSON_IsObject(map) ? add_folder_shards(s, folder, map, e)
                                     : error_set(e, "%s: has no object weight_map", index_path);
    if (status == 0) {
        status = index_tensors(s, e);
        if (status == 0) status = check_map(s, folder, map, e);
        if (status) error_prefix(e, "%s: ", index_path);
    }
    cJSON_Delete(json);
    return status;
}

static int open_folder(struct safetensors *s, const char *folder, struct error *e)
{
    char *single = path_join(folder, "model.safetensors"), *pickle = path_join(folder, "pytorch_model.bin");
    char *index = path_join(folder, "model.safetensors.index.json");
    int status;
    if (file_exists(single)) {
        status = add_shard(s, mem_string(single), e);
        if (status == 0) status = index_tensors(s, e);
    } else if (file_exists(index)) {
        status = open_sharded(s, folder, index, e);
    } else if (file_exists(pickle)) {
        status = error_set(e,
            "%s: holds pytorch_model.bin, a pickle, which is not read; take the model's safetensors "
            "files",
            folder);
    } else {
        status = error_set(e, "%s: holds neither model.safetensors nor model.safetensors.index.json", folder);
    }
    free(single);
    free(pickle);
    free(index);
    return status;
}

struct safetensors *safetensors_open(const char *path, struct error *e)
{
    struct safetensors *s = mem_zero(1, sizeof *s);
    int status;
    if (folder_exists(path)) {
        status = open_folder(s, path, e);
    } else {
        status = add_shard(s, mem_string(path), e);
        if (status == 0) status = index_tensors(s, e);
    }
    if (status == 0) return s;
    safetensors_close(s);
    return NULL;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->shard_count; i++) {
        free(s->shards[i].path);
        cJSON_Delete(s->shards[i].header);
        file_unmap(&s->shards[i].map);
    }
    tensor_index_free(&s->index);
    free(s->shards);
    free(s->tensors);
    free(s);
}

size_t safetensors_count(const struct safetensors *s)
{
    return s->count;
}

const struct tensor_view *safetensors_at(const struct safetensors *s, size_t i)
{
    return &s->tensors[i];
}

const struct tensor_view *safetensors_find(const struct safetensors *s, const char *name)
{
    return tensor_index_find(&s->index, name);
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    if (!s->shard_count) return NULL;
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(s->shards[0].header, "__metadata__");
    return metadata ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key)) : NULL;
}
