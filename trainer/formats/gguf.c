// SPDX-License-Identifier: MIT
#include "formats/gguf.h"
#include "formats/tensor_index.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, KIND_COUNT };

static const struct {
    const char *name;
    uint8_t bytes; // 0: of its own length
} kinds[KIND_COUNT] = {{"u8", 1}, {"i8", 1}, {"u16", 2}, {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4}, {"bool", 1},
    {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}};

// ggml's numbers of tensor types. Those left out never stood in files or were withdrawn.
static const struct {
    uint32_t number;
    enum dtype dtype;
} types[] = {{0, DTYPE_F32}, {1, DTYPE_F16}, {2, DTYPE_Q4_0}, {3, DTYPE_Q4_1}, {6, DTYPE_Q5_0}, {7, DTYPE_Q5_1},
    {8, DTYPE_Q8_0}, {10, DTYPE_Q2_K}, {11, DTYPE_Q3_K}, {12, DTYPE_Q4_K}, {13, DTYPE_Q5_K}, {14, DTYPE_Q6_K},
    {16, DTYPE_IQ2_XXS}, {17, DTYPE_IQ2_XS}, {18, DTYPE_IQ3_XXS}, {19, DTYPE_IQ1_S}, {20, DTYPE_IQ4_NL},
    {21, DTYPE_IQ3_S}, {22, DTYPE_IQ2_S}, {23, DTYPE_IQ4_XS}, {24, DTYPE_I8}, {25, DTYPE_I16}, {26, DTYPE_I32},
    {27, DTYPE_I64}, {28, DTYPE_F64}, {29, DTYPE_IQ1_M}, {30, DTYPE_BF16}, {34, DTYPE_TQ1_0}, {35, DTYPE_TQ2_0},
    {39, DTYPE_MXFP4}, {40, DTYPE_NVFP4}, {41, DTYPE_Q1_0}};

struct value {
    char *key;
    enum kind kind, element;     // element: of an array
    uint64_t count;              // of an array
    const uint8_t *data;         // a number, the elements of an array of numbers
    struct gguf_string *strings; // (count) of an array of strings
    char *text;                  // of a string; NULL when it has a 0 inside
};

struct gguf {
    char *path;
    struct file_map map;
    struct value *values; // sorted by key
    size_t value_count, value_capacity;
    struct tensor_view *tensors; // owns their names
    size_t count, capacity;
    struct tensor_index index;
};

// Where reading stands; every read checks what is left.
struct cursor {
    const uint8_t *data;
    uint64_t bytes, at;
    const char *what; // is being read, for errors
    struct error *e;
};

static int take(const uint8_t **out, struct cursor *c, uint64_t bytes)
{
    *out = c->data + c->at;
    if (bytes > c->bytes - c->at)
        return error_set(c->e,
            "%s at byte %" PRIu64 " does not fit into the file's %" PRIu64 " bytes; is the download complete?", c->what,
            c->at, c->bytes);
    c->at += bytes;
    return 0;
}

static int take_u32(uint32_t *out, struct cursor *c)
{
    const uint8_t *p;
    if (take(&p, c, sizeof *out)) return -1;
    memcpy(out, p, sizeof *out);
    return 0;
}

static int take_u64(uint64_t *out, struct cursor *c)
{
    const uint8_t *p;
    if (take(&p, c, sizeof *out)) return -1;
    memcpy(out, p, sizeof *out);
    return 0;
}

static int take_string(struct gguf_string *out, struct cursor *c)
{
    const uint8_t *p;
    if (take_u64(&out->bytes, c) || take(&p, c, out->bytes)) return -1;
    out->data = (const char *)p;
    return 0;
}

// A name, in new memory and without a 0 inside.
static int take_name(char **out, struct cursor *c)
{
    struct gguf_string s;
    if (take_string(&s, c)) return -1;
    if (memchr(s.data, 0, s.bytes))
        return error_set(c->e, "%s at byte %" PRIu64 " has a 0 byte inside", c->what, c->at);
    *out = mem_string_n(s.data, s.bytes);
    return 0;
}

// Goes over the elements of an array without keeping anything (arrays of arrays have no accessor).
static int skip_array(struct cursor *c, uint32_t element, uint64_t count, int depth)
{
    const uint8_t *p;
    if (element >= KIND_COUNT) return error_set(c->e, "%s has elements of the unknown type %" PRIu32, c->what, element);
    if (kinds[element].bytes) {
        if (count > c->bytes / kinds[element].bytes) count = c->bytes; // no product overflows; take refuses it
        return take(&p, c, count * kinds[element].bytes);
    }
    if (depth > 4) return error_set(c->e, "%s has arrays nested too deep", c->what);
    for (uint64_t i = 0; i < count; i++) {
        struct gguf_string s;
        uint32_t inner;
        uint64_t inner_count;
        if (element == STRING) {
            if (take_string(&s, c)) return -1;
        } else if (take_u32(&inner, c) || take_u64(&inner_count, c) || skip_array(c, inner, inner_count, depth + 1)) {
            return -1;
        }
    }
    return 0;
}

static int take_array(struct value *v, struct cursor *c)
{
    uint32_t element;
    if (take_u32(&element, c) || take_u64(&v->count, c)) return -1;
    uint64_t start = c->at;
    v->data = c->data + start;
    if (skip_array(c, element, v->count, 0)) return -1;
    v->element = (enum kind)element;
    if (element != STRING) return 0;
    // Every string takes 8 bytes at least and all were there just now, so the count is no lie.
    v->strings = mem_zero(v->count ? v->count : 1, sizeof *v->strings);
    c->at = start;
    for (uint64_t i = 0; i < v->count; i++)
        if (take_string(&v->strings[i], c)) return -1;
    return 0;
}

static int take_value(struct value *v, struct cursor *c)
{
    uint32_t kind;
    if (take_name(&v->key, c)) return -1;
    c->what = v->key;
    if (take_u32(&kind, c)) return -1;
    if (kind >= KIND_COUNT) return error_set(c->e, "%s has the unknown type %" PRIu32, v->key, kind);
    v->kind = (enum kind)kind;
    if (kind == ARRAY) return take_array(v, c);
    if (kind != STRING) return take(&v->data, c, kinds[kind].bytes);
    struct gguf_string s;
    if (take_string(&s, c)) return -1;
    if (!memchr(s.data, 0, s.bytes)) v->text = mem_string_n(s.data, s.bytes);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static const struct value *find_value(const struct gguf *g, const char *key)
{
    const struct value wanted = {.key = (char *)(uintptr_t)key};
    return g->value_count ? bsearch(&wanted, g->values, g->value_count, sizeof *g->values, compare_keys) : NULL;
}

// What a metadata number says. `whole`: it is negative or not, and `magnitude` exactly; `real` is at least near it.
struct number {
    bool is_number, whole, negative;
    uint64_t magnitude;
    double real;
};

static struct number from_signed(int64_t x)
{
    return (struct number){true, true, x < 0, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, (double)x};
}

static struct number from_unsigned(uint64_t x)
{
    return (struct number){true, true, false, x, (double)x};
}

static struct number from_real(double x)
{
    bool whole = fabs(x) < 0x1p64 && trunc(x) == x; // neither NaN nor infinite
    return (struct number){true, whole, whole && x < 0, whole ? (uint64_t)fabs(x) : 0, x};
}

static struct number number_at(enum kind kind, const uint8_t *p)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } x = {0};
    memcpy(&x, p, kinds[kind].bytes);
    switch (kind) {
    case BOOL:
    case U8:
        return from_unsigned(x.u8);
    case I8:
        return from_signed(x.i8);
    case U16:
        return from_unsigned(x.u16);
    case I16:
        return from_signed(x.i16);
    case U32:
        return from_unsigned(x.u32);
    case I32:
        return from_signed(x.i32);
    case U64:
        return from_unsigned(x.u64);
    case I64:
        return from_signed(x.i64);
    case F32:
        return from_real((double)x.f32);
    case F64:
        return from_real(x.f64);
    default:
        return (struct number){0};
    }
}

// The number in a value (i = 0) or in element i of an array.
static int get_number(struct number *out, const struct value *v, uint64_t i, struct error *e)
{
    enum kind kind = v->kind == ARRAY ? v->element : v->kind;
    *out = v->data ? number_at(kind, v->data + i * kinds[kind].bytes) : (struct number){0};
    return out->is_number ? 0 : error_set(e, "%s is of type %s, where a number belongs", v->key, kinds[kind].name);
}

// The same for a whole number from -below to above.
static int get_whole(
    struct number *out, const struct value *v, uint64_t i, uint64_t below, uint64_t above, struct error *e)
{
    if (get_number(out, v, i, e)) return -1;
    if (out->whole && out->magnitude <= (out->negative ? below : above)) return 0;
    return error_set(e, "%s is %.17g, where a whole number from %s%" PRIu64 " to %" PRIu64 " belongs", v->key,
        out->real, below ? "-" : "", below, above);
}

// The key's value, which must not be an array; NULL in *out when it is absent.
static int get_single(const struct value **out, const struct gguf *g, const char *key, struct error *e)
{
    *out = find_value(g, key);
    return *out && (*out)->kind == ARRAY ? error_set(e, "%s is an array, where one value belongs", key) : 0;
}

static int read_u32(uint32_t *out, const struct gguf *g, const char *key, uint32_t fallback, struct error *e)
{
    const struct value *v;
    struct number n;
    *out = fallback;
    if (get_single(&v, g, key, e) || (v && get_whole(&n, v, 0, 0, UINT32_MAX, e))) return -1;
    if (v) *out = (uint32_t)n.magnitude;
    return 0;
}

static int read_values(struct gguf *g, struct cursor *c, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        GROW(g->values, g->value_count, g->value_capacity);
        struct value *v = &g->values[g->value_count++];
        *v = (struct value){0};
        c->what = "a metadata key";
        // A value whose reading failed stays in the list, to be freed; the list is not searched then.
        if (take_value(v, c)) return -1;
    }
    if (g->value_count) qsort(g->values, g->value_count, sizeof *g->values, compare_keys);
    for (size_t i = 1; i < g->value_count; i++)
        if (strcmp(g->values[i - 1].key, g->values[i].key) == 0)
            return error_set(c->e, "the metadata key %.200s is there twice", g->values[i].key);
    return 0;
}

static int find_dtype(enum dtype *out, uint32_t number)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].number != number) continue;
        *out = types[i].dtype;
        return 0;
    }
    return -1;
}

// One description; the tensor's data are left at its offset from the start of the file, to be moved by the caller.
static int take_tensor(struct tensor_view *t, uint64_t *offset, struct cursor *c)
{
    uint32_t rank, type;
    char *name;
    c->what = "a tensor's name";
    if (take_name(&name, c)) return -1;
    t->name = c->what = name;
    if (take_u32(&rank, c)) return -1;
    if (rank > TENSOR_RANK)
        return error_set(c->e, "tensor '%.200s' has %" PRIu32 " dimensions, more than %d", name, rank, TENSOR_RANK);
    t->rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++)
        if (take_u64(&t->shape[rank - 1 - i], c)) return -1;
    if (take_u32(&type, c) || take_u64(offset, c)) return -1;
    if (find_dtype(&t->dtype, type))
        return error_set(c->e, "tensor '%.200s' is of type number %" PRIu32 ", which is not known here", name, type);
    return tensor_measure(t, c->e);
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor_view *const *x = a, *const *y = b;
    if ((*x)->data != (*y)->data) return (*x)->data < (*y)->data ? -1 : 1;
    return (*x)->bytes < (*y)->bytes ? -1 : (*x)->bytes > (*y)->bytes;
}

static int check_overlap(const struct gguf *g, struct error *e)
{
    const struct tensor_view **order = mem_zero(g->count + 1, sizeof *order);
    int status = 0;
    for (size_t i = 0; i < g->count; i++) order[i] = &g->tensors[i];
    qsort(order, g->count, sizeof *order, compare_places);
    for (size_t i = 1; i < g->count && status == 0; i++)
        if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data)
            status = error_set(e, "tensors '%.200s' and '%.200s' overlap", order[i - 1]->name, order[i]->name);
    free(order);
    return status;
}

static int read_tensors(struct gguf *g, struct cursor *c, uint64_t count)
{
    uint64_t *offsets = NULL;
    size_t offset_capacity = 0;
    uint32_t alignment;
    int status = read_u32(&alignment, g, "general.alignment", 32, c->e);
    if (status == 0 && (alignment == 0 || (alignment & (alignment - 1))))
        status = error_set(c->e, "general.alignment %" PRIu32 " is not a power of two", alignment);
    for (uint64_t i = 0; i < count && status == 0; i++) {
        GROW(g->tensors, g->count, g->capacity);
        GROW(offsets, g->count, offset_capacity);
        g->tensors[g->count] = (struct tensor_view){0};
        status = take_tensor(&g->tensors[g->count], &offsets[g->count], c);
        g->count++;
    }
    // No tensor, no data: the padding may be missing then.
    uint64_t start = status == 0 ? (c->at + alignment - 1) / alignment * alignment : 0;
    for (size_t i = 0; i < g->count && status == 0; i++) {
        struct tensor_view *t = &g->tensors[i];
        if (offsets[i] % alignment)
            status = error_set(c->e, "tensor '%.200s' is not aligned to %" PRIu32 " bytes", t->name, alignment);
        else if (start > c->bytes || offsets[i] > c->bytes - start || t->bytes > c->bytes - start - offsets[i])
            status = error_set(c->e,
                "tensor '%.200s' goes beyond the end of the file (%" PRIu64 " bytes); is the download complete?",
                t->name, c->bytes);
        else
            t->data = c->data + start + offsets[i];
    }
    free(offsets);
    if (status == 0) status = tensor_index_make(&g->index, g->tensors, g->count, c->e);
    return status == 0 ? check_overlap(g, c->e) : status;
}

static int check_bools(const struct gguf *g, struct error *e)
{
    for (size_t i = 0; i < g->value_count; i++) {
        const struct value *v = &g->values[i];
        uint64_t n = v->kind == BOOL ? 1 : v->kind == ARRAY && v->element == BOOL ? v->count : 0;
        for (uint64_t k = 0; k < n; k++)
            if (v->data[k] > 1) return error_set(e, "%s: a bool is neither 0 nor 1", v->key);
    }
    return 0;
}

static int check_split(const struct gguf *g, struct error *e)
{
    uint32_t parts;
    if (read_u32(&parts, g, "split.count", 1, e)) return -1;
    if (parts <= 1) return 0;
    return error_set(
        e, "is one of %" PRIu32 " parts of a model; merge them with 'llama-gguf-split --merge' first", parts);
}

static int read_file(struct gguf *g, struct error *e)
{
    struct cursor c = {g->map.data, g->map.bytes, 4, "the header", e};
    uint32_t version;
    uint64_t tensors, values;
    if (c.bytes >= 23 && memcmp(c.data, "version https://git-lfs", 23) == 0)
        return error_set(e, "is a Git LFS pointer and not the file itself; fetch it with 'git lfs pull'");
    if (c.bytes < 4 || memcmp(c.data, "GGUF", 4) != 0)
        return error_set(e, "is not a GGUF file: it does not begin with 'GGUF'");
    if (take_u32(&version, &c)) return -1;
    if ((version & 0xffff) == 0 && version)
        return error_set(e, "is a big-endian GGUF file; take the little-endian one or convert it with "
                            "'gguf_convert_endian.py'");
    if (version != 2 && version != 3)
        return error_set(e, "is GGUF version %" PRIu32 "; versions 2 and 3 are read", version);
    if (take_u64(&tensors, &c) || take_u64(&values, &c)) return -1;
    if (read_values(g, &c, values) || check_bools(g, e) || check_split(g, e)) return -1;
    return read_tensors(g, &c, tensors);
}

struct gguf *gguf_open(const char *path, struct error *e)
{
    struct gguf *g = mem_zero(1, sizeof *g);
    g->path = mem_string(path);
    int status = file_map(&g->map, path, e);
    if (status == 0 && read_file(g, e)) status = error_prefix(e, "%s: ", path);
    if (status == 0) return g;
    gguf_close(g);
    return NULL;
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->value_count; i++) {
        free(g->values[i].key);
        free(g->values[i].strings);
        free(g->values[i].text);
    }
    for (size_t i = 0; i < g->count; i++) free((char *)(uintptr_t)g->tensors[i].name);
    tensor_index_free(&g->index);
    file_unmap(&g->map);
    free(g->values);
    free(g->tensors);
    free(g->path);
    free(g);
}

void gguf_pages_release(const struct gguf *g)
{
    file_pages_release(g->map.data, g->map.bytes);
}

size_t gguf_count(const struct gguf *g)
{
    return g->count;
}

const struct tensor_view *gguf_at(const struct gguf *g, size_t i)
{
    return &g->tensors[i];
}

const struct tensor_view *gguf_find(const struct gguf *g, const char *name)
{
    return tensor_index_find(&g->index, name);
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return find_value(g, key) != NULL;
}

int gguf_need(const struct gguf *g, const char *key, struct error *e)
{
    return gguf_has(g, key) ? 0 : error_set(e, "%s: the metadata lacks %s", g->path, key);
}

// Errors of the reading functions above lack the path, which gguf_open adds; here it is added at each way out.
static int with_path(const struct gguf *g, int status, struct error *e)
{
    return status ? error_prefix(e, "%s: ", g->path) : 0;
}

int gguf_u32(uint32_t *out, const struct gguf *g, const char *key, uint32_t fallback, struct error *e)
{
    return with_path(g, read_u32(out, g, key, fallback, e), e);
}

int gguf_i32(int32_t *out, const struct gguf *g, const char *key, int32_t fallback, struct error *e)
{
    const struct value *v;
    struct number n;
    *out = fallback;
    if (get_single(&v, g, key, e) || (v && get_whole(&n, v, 0, UINT64_C(1) << 31, INT32_MAX, e)))
        return with_path(g, -1, e);
    if (v) *out = (int32_t)n.real;
    return 0;
}

int gguf_u64(uint64_t *out, const struct gguf *g, const char *key, uint64_t fallback, struct error *e)
{
    const struct value *v;
    struct number n;
    *out = fallback;
    if (get_single(&v, g, key, e) || (v && get_whole(&n, v, 0, 0, UINT64_MAX, e))) return with_path(g, -1, e);
    if (v) *out = n.magnitude;
    return 0;
}

int gguf_f32(float *out, const struct gguf *g, const char *key, float fallback, struct error *e)
{
    const struct value *v;
    struct number n;
    *out = fallback;
    if (get_single(&v, g, key, e) || (v && get_number(&n, v, 0, e))) return with_path(g, -1, e);
    if (v) *out = (float)n.real;
    return 0;
}

int gguf_bool(bool *out, const struct gguf *g, const char *key, bool fallback, struct error *e)
{
    const struct value *v;
    struct number n;
    *out = fallback;
    if (get_single(&v, g, key, e) || (v && get_whole(&n, v, 0, 0, 1, e))) return with_path(g, -1, e);
    if (v) *out = n.magnitude == 1;
    return 0;
}

int gguf_text(const char **out, const struct gguf *g, const char *key, const char *fallback, struct error *e)
{
    const struct value *v;
    *out = fallback;
    if (get_single(&v, g, key, e)) return with_path(g, -1, e);
    if (!v) return 0;
    if (v->kind != STRING)
        return error_set(e, "%s: %s is of type %s, where a string belongs", g->path, key, kinds[v->kind].name);
    if (!v->text) return error_set(e, "%s: %s has a 0 byte inside", g->path, key);
    *out = v->text;
    return 0;
}

// The key's array, NULL in *out when it is absent.
static int get_array(const struct value **out, const struct gguf *g, const char *key, struct error *e)
{
    *out = find_value(g, key);
    if (!*out || (*out)->kind == ARRAY) return 0;
    return error_set(e, "%s: %s is of type %s, where an array belongs", g->path, key, kinds[(*out)->kind].name);
}

int gguf_strings(const struct gguf_string **out, size_t *count, const struct gguf *g, const char *key, struct error *e)
{
    const struct value *v;
    *out = NULL;
    *count = 0;
    if (get_array(&v, g, key, e)) return -1;
    if (!v || v->count == 0) return 0;
    if (v->element != STRING)
        return error_set(
            e, "%s: %s has elements of type %s, where strings belong", g->path, key, kinds[v->element].name);
    *out = v->strings;
    *count = (size_t)v->count;
    return 0;
}

int gguf_i32s(int32_t **out, size_t *count, const struct gguf *g, const char *key, struct error *e)
{
    const struct value *v;
    *out = NULL;
    *count = 0;
    if (get_array(&v, g, key, e)) return -1;
    if (!v || v->count == 0) return 0;
    int32_t *numbers = mem_zero((size_t)v->count, sizeof *numbers);
    for (uint64_t i = 0; i < v->count; i++) {
        struct number n;
        if (get_whole(&n, v, i, UINT64_C(1) << 31, INT32_MAX, e)) {
            free(numbers);
            return with_path(g, -1, e);
        }
        numbers[i] = (int32_t)n.real;
    }
    *out = numbers;
    *count = (size_t)v->count;
    return 0;
}

int gguf_f32s(float **out, size_t *count, const struct gguf *g, const char *key, struct error *e)
{
    const struct value *v;
    *out = NULL;
    *count = 0;
    if (get_array(&v, g, key, e)) return -1;
    if (!v || v->count == 0) return 0;
    float *numbers = mem_zero((size_t)v->count, sizeof *numbers);
    for (uint64_t i = 0; i < v->count; i++) {
        struct number n;
        if (get_number(&n, v, i, e)) {
            free(numbers);
            return with_path(g, -1, e);
        }
        numbers[i] = (float)n.real;
    }
    *out = numbers;
    *count = (size_t)v->count;
    return 0;
}
