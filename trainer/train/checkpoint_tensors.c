// SPDX-License-Identifier: MIT
#include "formats/safetensors.h"
#include "train/checkpoint_parts.h"

#include <stdlib.h>
#include <string.h>

#define PIECE UINT64_C(1048576) // elements on the host at a time

// One tensor of a file.
struct item {
    char name[128];
    int weight, part;
    enum state state;
};
struct items {
    struct item *items; // (count), a weight's parts side by side for each state
    size_t count;
};

static void items_make(
    struct items *list, enum checkpoint_tensors what, const struct model *m, const struct engine *engine)
{
    const struct weight_layout *layout = engine_layout(engine);
    size_t capacity = 0;
    *list = (struct items){0};
    for (int i = 0; i < m->weight_count; i++) {
        bool moments = what == TENSORS_MOMENTS;
        if (moments && !layout->block[layout->weights[i].block].trainable) continue;
        for (enum state s = moments ? STATE_MOMENT1 : STATE_VALUE; s <= (moments ? STATE_MOMENT2 : STATE_VALUE); s++)
            for (int k = 0; k < m->weights[i].part_count; k++) {
                GROW(list->items, list->count, capacity);
                struct item *item = &list->items[list->count++];
                *item = (struct item){.weight = i, .part = k, .state = s};
                snprintf(item->name, sizeof item->name, "%s%s", m->weights[i].parts[k].hf,
                    s == STATE_MOMENT1   ? ".exp_avg"
                    : s == STATE_MOMENT2 ? ".exp_avg_sq"
                                         : "");
            }
    }
}

// Where a part lies in its weight [rows, ld]: a matrix's parts are ranges of rows, a vector's are ranges of its one
// row.
struct region {
    uint64_t first_row, rows, first_column, columns, ld;
};
static struct region region_of(const struct model *m, const struct item *item)
{
    const struct model_weight *w = &m->weights[item->weight];
    const struct model_part *p = &w->parts[item->part];
    uint64_t ld = (w->columns + 7) / 8 * 8;
    if (w->matrix) return (struct region){p->first_row, p->rows, 0, w->columns, ld};
    return (struct region){0, 1, p->first_row, w->part_count == 1 ? w->columns : p->rows, ld};
}

static uint64_t piece_rows(const struct region *r)
{
    uint64_t rows = PIECE / r->ld;
    return rows == 0 ? 1 : rows > r->rows ? r->rows : rows;
}

static int append(struct safetensors_writer *w, const struct model *m, struct engine *engine, const struct item *item,
    struct error *e)
{
    struct region r = region_of(m, item);
    uint64_t step = piece_rows(&r);
    float *rows = mem_alloc(step * r.ld * sizeof *rows);
    int status = 0;
    for (uint64_t first = 0; first < r.rows && status == 0; first += step) {
        uint64_t n = r.rows - first < step ? r.rows - first : step;
        engine_read(engine, item->weight, item->state, (r.first_row + first) * r.ld, n * r.ld, rows);
        for (uint64_t i = 0; i < n; i++)
            memmove(rows + i * r.columns, rows + i * r.ld + r.first_column, r.columns * sizeof *rows);
        status = safetensors_writer_append(w, rows, n * r.columns * sizeof *rows, e);
    }
    free(rows);
    return status;
}

static void shape_of(struct safetensors_entry *entry, const struct model *m, const struct item *item)
{
    struct region r = region_of(m, item);
    bool matrix = m->weights[item->weight].matrix;
    *entry = (struct safetensors_entry){.name = item->name, .dtype = DTYPE_F32, .rank = matrix ? 2 : 1};
    entry->shape[0] = matrix ? r.rows : r.columns;
    if (matrix) entry->shape[1] = r.columns;
}

int checkpoint_tensors_write(
    const char *path, enum checkpoint_tensors what, const struct model *m, struct engine *engine, struct error *e)
{
    struct items list;
    items_make(&list, what, m, engine);
    struct safetensors_entry *entries = mem_zero(list.count + 1, sizeof *entries);
    for (size_t i = 0; i < list.count; i++) shape_of(&entries[i], m, &list.items[i]);
    struct safetensors_writer *w = safetensors_writer_open(path, entries, list.count, NULL, e);
    int status = w ? 0 : -1;
    for (size_t i = 0; i < list.count && status == 0; i++) status = append(w, m, engine, &list.items[i], e);
    if (status == 0)
        status = safetensors_writer_finish(w, e);
    else
        safetensors_writer_abort(w);
    free(entries);
    free(list.items);
    return status;
}

static int find(const struct tensor_view **t, const char *path, const struct safetensors *file, const struct model *m,
    const struct item *item, struct error *e)
{
    struct safetensors_entry want;
    char got_shape[128], want_shape[128];
    shape_of(&want, m, item);
    struct tensor_view shape = {.rank = want.rank};
    memcpy(shape.shape, want.shape, sizeof shape.shape);
    tensor_shape_text(want_shape, sizeof want_shape, &shape);
    *t = safetensors_find(file, item->name);
    if (!*t) return error_set(e, "%s: lacks the tensor %s of this model (%s)", path, item->name, want_shape);
    bool same = (*t)->dtype == DTYPE_F32 && (*t)->rank == want.rank;
    for (int i = 0; i < want.rank; i++) same = same && (*t)->shape[i] == want.shape[i];
    if (same) return 0;
    return error_set(e, "%s: %s is %s %s, but the model needs F32 %s", path, item->name, dtype_name((*t)->dtype),
        tensor_shape_text(got_shape, sizeof got_shape, *t), want_shape);
}

// A matrix's part, rows at a time.
static void write_rows(
    struct engine *engine, const struct item *item, const struct region *r, const struct tensor_view *t)
{
    uint64_t step = piece_rows(r);
    float *rows = mem_zero(step * r->ld, sizeof *rows);
    for (uint64_t first = 0; first < r->rows; first += step) {
        uint64_t n = r->rows - first < step ? r->rows - first : step;
        for (uint64_t i = 0; i < n; i++)
            memcpy(rows + i * r->ld, t->data + (first + i) * r->columns * sizeof *rows, r->columns * sizeof *rows);
        engine_write(engine, item->weight, item->state, (r->first_row + first) * r->ld, n * r->ld, rows);
    }
    free(rows);
}

int checkpoint_tensors_read(
    const char *path, enum checkpoint_tensors what, const struct model *m, struct engine *engine, struct error *e)
{
    struct items list;
    struct safetensors *file = safetensors_open(path, e);
    if (!file) return -1;
    items_make(&list, what, m, engine);
    const struct tensor_view **views = mem_zero(list.count + 1, sizeof *views);
    int status = 0;
    for (size_t i = 0; i < list.count && status == 0; i++) status = find(&views[i], path, file, m, &list.items[i], e);
    if (status == 0 && safetensors_count(file) != list.count)
        status =
            error_set(e, "%s: holds %zu tensors, but the model has %zu", path, safetensors_count(file), list.count);
    // Nothing is written before all is known to be there.
    for (size_t i = 0; i < list.count && status == 0;) {
        const struct item *item = &list.items[i];
        struct region r = region_of(m, item);
        if (m->weights[item->weight].matrix) {
            write_rows(engine, item, &r, views[i++]);
            continue;
        }
        float *row = mem_zero(r.ld, sizeof *row); // a vector is whole once it has all of its parts
        for (int k = 0; k < m->weights[item->weight].part_count; k++, i++) {
            r = region_of(m, &list.items[i]);
            memcpy(row + r.first_column, views[i]->data, r.columns * sizeof *row);
        }
        engine_write(engine, item->weight, item->state, 0, r.ld, row);
        free(row);
    }
    free(views);
    free(list.items);
    safetensors_close(file);
    return status;
}
