// SPDX-License-Identifier: MIT
#include "formats/safetensors.h"
#include "formats/tensor_index.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct safetensors_writer {
    char *path, *temporary;
    FILE *file;
    uint64_t left; // bytes still to come
};

static int compare_widths(const void *a, const void *b)
{
    const struct safetensors_entry *const *x = a, *const *y = b;
    uint64_t n = dtype_block_bytes((*x)->dtype), m = dtype_block_bytes((*y)->dtype);
    if (n != m) return n > m ? -1 : 1;
    return *x < *y ? -1 : *x > *y; // as they stood
}

void safetensors_entries_sort(struct safetensors_entry *entries, size_t count)
{
    const struct safetensors_entry **order = mem_zero(count + 1, sizeof *order);
    struct safetensors_entry *sorted = mem_zero(count + 1, sizeof *sorted);
    for (size_t i = 0; i < count; i++) order[i] = &entries[i];
    qsort(order, count, sizeof *order, compare_widths);
    for (size_t i = 0; i < count; i++) sorted[i] = *order[i];
    if (count) memcpy(entries, sorted, count * sizeof *sorted);
    free(order);
    free(sorted);
}

// A JSON string with its quotes.
static void add_string(struct text *t, const char *s)
{
    cJSON *item = cJSON_CreateStringReference(s);
    char *quoted = cJSON_PrintUnformatted(item);
    text_add(t, quoted, strlen(quoted));
    free(quoted); // cJSON allocates with malloc unless told otherwise
    cJSON_Delete(item);
}

static void add_metadata(struct text *t, const char *const *metadata)
{
    bool format = false;
    text_print(t, "{\"__metadata__\":{");
    for (size_t i = 0; metadata && metadata[i]; i += 2) {
        if (strcmp(metadata[i], "format") == 0) format = true;
        add_string(t, metadata[i]);
        text_print(t, ":");
        add_string(t, metadata[i + 1]);
        text_print(t, "%s", metadata[i + 2] ? "," : "");
    }
    if (!format) text_print(t, "%s\"format\":\"pt\"", metadata && metadata[0] ? "," : "");
    text_print(t, "}");
}

// The header with its length in front; *data_bytes: what must follow.
static int make_header(struct text *out, uint64_t *data_bytes, const struct safetensors_entry *entries, size_t count,
    const char *const *metadata, struct error *e)
{
    struct tensor_view *views = mem_zero(count + 1, sizeof *views);
    struct tensor_index index = {0};
    struct text header = {0};
    uint64_t at = 0;
    int status = 0;
    add_metadata(&header, metadata);
    for (size_t i = 0; i < count && status == 0; i++) {
        struct tensor_view *t = &views[i];
        *t = (struct tensor_view){.name = entries[i].name, .dtype = entries[i].dtype, .rank = entries[i].rank};
        assert(dtype_block(t->dtype) == 1 && at % dtype_block_bytes(t->dtype) == 0);
        memcpy(t->shape, entries[i].shape, sizeof t->shape);
        status = tensor_measure(t, e);
        if (status) break;
        text_print(&header, ",");
        add_string(&header, t->name);
        text_print(&header, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
        for (int d = 0; d < t->rank; d++) text_print(&header, "%s%" PRIu64, d ? "," : "", t->shape[d]);
        text_print(&header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + t->bytes);
        at += t->bytes;
    }
    text_print(&header, "}");
    while (header.bytes % 8) text_add(&header, " ", 1); // so that the data begin aligned
    if (status == 0) status = tensor_index_make(&index, views, count, e);
    uint64_t length = header.bytes;
    text_add(out, &length, sizeof length);
    text_add(out, header.data, header.bytes);
    *data_bytes = at;
    tensor_index_free(&index);
    text_free(&header);
    free(views);
    return status;
}

static int write_error(const struct safetensors_writer *w, struct error *e)
{
    return error_set(e, "%s: cannot be written (%s)", w->temporary, strerror(errno));
}

struct safetensors_writer *safetensors_writer_open(const char *path, const struct safetensors_entry *entries,
    size_t count, const char *const *metadata, struct error *e)
{
    struct safetensors_writer *w = mem_zero(1, sizeof *w);
    struct text header = {0};
    w->path = mem_string(path);
    w->temporary = mem_format("%s.tmp", path);
    int status = make_header(&header, &w->left, entries, count, metadata, e);
    if (status) error_prefix(e, "%s: ", path);
    if (status == 0) {
        w->file = fopen(w->temporary, "wbe");
        if (!w->file || fwrite(header.data, 1, header.bytes, w->file) != header.bytes) status = write_error(w, e);
    }
    text_free(&header);
    if (status == 0) return w;
    safetensors_writer_abort(w);
    return NULL;
}

int safetensors_writer_append(struct safetensors_writer *w, const void *data, size_t bytes, struct error *e)
{
    assert(bytes <= w->left);
    w->left -= bytes;
    return fwrite(data, 1, bytes, w->file) == bytes ? 0 : write_error(w, e);
}

int safetensors_writer_finish(struct safetensors_writer *w, struct error *e)
{
    assert(w->left == 0);
    int status = fflush(w->file) == 0 && fsync(fileno(w->file)) == 0 ? 0 : write_error(w, e);
    if (status == 0) {
        status = fclose(w->file) == 0 ? 0 : write_error(w, e);
        w->file = NULL;
    }
    if (status == 0 && rename(w->temporary, w->path) != 0)
        status = error_set(e, "%s: cannot be renamed to %s (%s)", w->temporary, w->path, strerror(errno));
    if (status == 0) {
        char *folder = path_folder(w->path);
        status = folder_sync(folder, e);
        free(folder);
        free(w->temporary);
        w->temporary = NULL; // it has its name
    }
    safetensors_writer_abort(w);
    return status;
}

void safetensors_writer_abort(struct safetensors_writer *w)
{
    if (!w) return;
    if (w->file) fclose(w->file);
    if (w->temporary) unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    free(w);
}
