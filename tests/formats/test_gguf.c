// SPDX-License-Identifier: MIT
#include "fixture.h"
#include "formats/gguf.h"

static struct fixture fixture;

// A writer for tests: everything can be made wrong.
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

static void put(struct text *t, const void *data, size_t bytes)
{
    text_add(t, data, bytes);
}

static void put_u32(struct text *t, uint32_t x)
{
    put(t, &x, sizeof x);
}

static void put_u64(struct text *t, uint64_t x)
{
    put(t, &x, sizeof x);
}

static void put_string(struct text *t, const char *s)
{
    put_u64(t, strlen(s));
    put(t, s, strlen(s));
}

static void put_header(struct text *t, uint32_t version, uint64_t tensors, uint64_t values)
{
    put(t, "GGUF", 4);
    put_u32(t, version);
    put_u64(t, tensors);
    put_u64(t, values);
}

static void put_key(struct text *t, const char *key, uint32_t type)
{
    put_string(t, key);
    put_u32(t, type);
}

static void put_value(struct text *t, const char *key, uint32_t type, const void *data, size_t bytes)
{
    put_key(t, key, type);
    put(t, data, bytes);
}

static void put_array(struct text *t, const char *key, uint32_t element, uint64_t count)
{
    put_key(t, key, ARRAY);
    put_u32(t, element);
    put_u64(t, count);
}

static void put_tensor(
    struct text *t, const char *name, uint32_t rank, const uint64_t *ne, uint32_t type, uint64_t offset)
{
    put_string(t, name);
    put_u32(t, rank);
    for (uint32_t i = 0; i < rank && i < 5; i++) put_u64(t, ne[i]);
    put_u32(t, type);
    put_u64(t, offset);
}

static void pad(struct text *t, size_t alignment)
{
    while (t->bytes % alignment) put(t, "", 1);
}

static struct gguf *open_bytes(struct text *t, struct error *e)
{
    struct gguf *g = gguf_open(fixture_write(&fixture, "a.gguf", t->data, t->bytes), e);
    text_free(t);
    return g;
}

#define VALUE(t, key, type, ctype, ...) put_value(t, key, type, &(ctype){__VA_ARGS__}, sizeof(ctype))

// A whole small model; the number of its metadata keys is VALUES.
enum { VALUES = 21 };

static struct text small_file(uint32_t version)
{
    struct text t = {0};
    put_header(&t, version, 4, VALUES);
    VALUE(&t, "u8", U8, uint8_t, 200);
    VALUE(&t, "i8", I8, int8_t, -100);
    VALUE(&t, "u16", U16, uint16_t, 60000);
    VALUE(&t, "i16", I16, int16_t, -30000);
    VALUE(&t, "u32", U32, uint32_t, 4000000000);
    VALUE(&t, "i32", I32, int32_t, -2147483647 - 1);
    VALUE(&t, "f32", F32, float, 0.1f);
    VALUE(&t, "bool", BOOL, uint8_t, 1);
    put_key(&t, "text", STRING);
    put_string(&t, "llama \xe2\x82\xac");
    VALUE(&t, "u64", U64, uint64_t, UINT64_MAX);
    VALUE(&t, "i64", I64, int64_t, INT64_MIN);
    VALUE(&t, "f64", F64, double, 1e-5);
    VALUE(&t, "whole", F32, float, 10000);
    VALUE(&t, "nan", F32, float, NAN);
    put_key(&t, "zero inside", STRING);
    put_u64(&t, 3);
    put(&t, "a\0b", 3);
    put_array(&t, "tokens", STRING, 4);
    put_string(&t, "<s>");
    put_string(&t, "");
    put_u64(&t, 2);
    put(&t, "\0\xff", 2);
    put_string(&t, "word");
    put_array(&t, "types", I32, 3);
    put(&t, (int32_t[]){1, -3, 6}, 12);
    put_array(&t, "scores", F32, 2);
    put(&t, (float[]){-1.5f, 1e30f}, 8);
    put_array(&t, "nested", ARRAY, 2);
    put_u32(&t, U8);
    put_u64(&t, 1);
    put(&t, "x", 1);
    put_u32(&t, STRING);
    put_u64(&t, 1);
    put_string(&t, "y");
    put_array(&t, "nothing", STRING, 0);
    VALUE(&t, "general.alignment", U32, uint32_t, 64);
    put_tensor(&t, "matrix", 2, (uint64_t[]){3, 2}, 0, 64);
    put_tensor(&t, "blocks", 2, (uint64_t[]){32, 2}, 2, 0);   // Q4_0, before the other one
    put_tensor(&t, "strange", 1, (uint64_t[]){256}, 10, 128); // Q2_K
    put_tensor(&t, "one", 0, NULL, 30, 256);
    pad(&t, 64);
    for (int b = 0; b < 2; b++) {
        put(&t, (uint8_t[]){0, (uint8_t)(0x3c + 4 * b)}, 2); // f16 scales 1 and 2
        for (int i = 0; i < 16; i++) put(&t, &(uint8_t){(uint8_t)(i | (15 - i) << 4)}, 1);
    }
    pad(&t, 64);
    put(&t, (float[]){1, 2, 3, 4, 5, 6}, 24);
    pad(&t, 64);
    for (int i = 0; i < 84; i++) put(&t, "s", 1);
    pad(&t, 64);
    put(&t, "\xc0\x3f", 2);
    return t;
}

static void tensors(void)
{
    for (uint32_t version = 2; version <= 3; version++) {
        struct text t = small_file(version);
        struct error e = {0};
        struct gguf *g = open_bytes(&t, &e);
        CHECK_SAY(g != NULL, "%s", e.text);
        if (!g) return;
        CHECK(gguf_count(g) == 4);
        static const char *const order[] = {"matrix", "blocks", "strange", "one"};
        for (size_t i = 0; i < 4; i++) {
            CHECK_STRING(gguf_at(g, i)->name, order[i]);
            CHECK(gguf_find(g, order[i]) == gguf_at(g, i));
        }
        CHECK(gguf_find(g, "matri") == NULL);
        const struct tensor_view *m = gguf_find(g, "matrix"), *b = gguf_find(g, "blocks");
        CHECK(m->rank == 2 && m->shape[0] == 2 && m->shape[1] == 3 && m->dtype == DTYPE_F32 && m->bytes == 24);
        float out[64];
        CHECK(tensor_read_f32(out, m, 3, 2, &e) == 0 && out[0] == 4 && out[1] == 5);
        CHECK(b->shape[0] == 2 && b->shape[1] == 32 && tensor_read_f32(out, b, 0, 64, &e) == 0);
        for (int i = 0; i < 16; i++) {
            CHECK(out[i] == (float)(i - 8) && out[16 + i] == (float)(7 - i));
            CHECK(out[32 + i] == 2 * (float)(i - 8) && out[48 + i] == 2 * (float)(7 - i));
        }
        CHECK(tensor_read_f32(out, gguf_find(g, "strange"), 0, 256, &e) == -1);
        CHECK_ERROR(e, "tensor 'strange' is of type Q2_K");
        CHECK(tensor_read_f32(out, gguf_find(g, "one"), 0, 1, &e) == 0 && out[0] == 1.5f);
        gguf_close(g);
    }
    gguf_close(NULL);
}

static void metadata(void)
{
    struct text t = small_file(3);
    struct error e = {0};
    struct gguf *g = open_bytes(&t, &e);
    if (!g) return;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    float f32;
    bool b;
    const char *s;
    CHECK(gguf_u32(&u32, g, "u8", 7, &e) == 0 && u32 == 200);
    CHECK(gguf_u32(&u32, g, "u32", 7, &e) == 0 && u32 == 4000000000);
    CHECK(gguf_u32(&u32, g, "whole", 7, &e) == 0 && u32 == 10000);
    CHECK(gguf_u32(&u32, g, "bool", 7, &e) == 0 && u32 == 1);
    CHECK(gguf_u32(&u32, g, "absent", 7, &e) == 0 && u32 == 7);
    CHECK(gguf_u32(&u32, g, "i8", 7, &e) == -1);
    CHECK_ERROR(e, "a.gguf: i8 is -100, where a whole number from 0 to 4294967295 belongs");
    CHECK(gguf_u32(&u32, g, "u64", 7, &e) == -1 && gguf_u32(&u32, g, "nan", 7, &e) == -1);
    CHECK(gguf_u32(&u32, g, "f32", 7, &e) == -1);
    CHECK_ERROR(e, "f32 is 0.1");
    CHECK(gguf_u32(&u32, g, "text", 7, &e) == -1);
    CHECK_ERROR(e, "a.gguf: text is of type string, where a number belongs");
    CHECK(gguf_u32(&u32, g, "types", 7, &e) == -1);
    CHECK_ERROR(e, "a.gguf: types is an array, where one value belongs");
    CHECK(gguf_i32(&i32, g, "i8", 7, &e) == 0 && i32 == -100);
    CHECK(gguf_i32(&i32, g, "i16", 7, &e) == 0 && i32 == -30000);
    CHECK(gguf_i32(&i32, g, "u16", 7, &e) == 0 && i32 == 60000);
    CHECK(gguf_i32(&i32, g, "i32", 7, &e) == 0 && i32 == INT32_MIN);
    CHECK(gguf_i32(&i32, g, "absent", -7, &e) == 0 && i32 == -7);
    CHECK(gguf_i32(&i32, g, "u32", 7, &e) == -1 && gguf_i32(&i32, g, "i64", 7, &e) == -1);
    CHECK_ERROR(e, "i64 is -9.2233720368547758e+18, where a whole number from -2147483648 to 2147483647 belongs");
    CHECK(gguf_u64(&u64, g, "u64", 7, &e) == 0 && u64 == UINT64_MAX);
    CHECK(gguf_u64(&u64, g, "absent", 7, &e) == 0 && u64 == 7);
    CHECK(gguf_u64(&u64, g, "i64", 7, &e) == -1);
    CHECK(gguf_f32(&f32, g, "f32", 7, &e) == 0 && f32 == 0.1f);
    CHECK(gguf_f32(&f32, g, "f64", 7, &e) == 0 && f32 == 1e-5f);
    CHECK(gguf_f32(&f32, g, "i8", 7, &e) == 0 && f32 == -100);
    CHECK(gguf_f32(&f32, g, "nan", 7, &e) == 0 && isnan(f32));
    CHECK(gguf_f32(&f32, g, "absent", 0.5f, &e) == 0 && f32 == 0.5f);
    CHECK(gguf_f32(&f32, g, "text", 7, &e) == -1 && gguf_f32(&f32, g, "scores", 7, &e) == -1);
    CHECK(gguf_bool(&b, g, "bool", false, &e) == 0 && b);
    CHECK(gguf_bool(&b, g, "absent", true, &e) == 0 && b);
    CHECK(gguf_bool(&b, g, "u8", true, &e) == -1);
    CHECK(gguf_text(&s, g, "text", "", &e) == 0);
    CHECK_STRING(s, "llama \xe2\x82\xac");
    CHECK(gguf_text(&s, g, "absent", NULL, &e) == 0 && s == NULL);
    CHECK(gguf_text(&s, g, "u8", "", &e) == -1);
    CHECK_ERROR(e, "a.gguf: u8 is of type u8, where a string belongs");
    CHECK(gguf_text(&s, g, "zero inside", "", &e) == -1);
    CHECK_ERROR(e, "a.gguf: zero inside has a 0 byte inside");
    CHECK(gguf_text(&s, g, "tokens", "", &e) == -1);
    CHECK(gguf_has(g, "nothing") && !gguf_has(g, "") && gguf_need(g, "u8", &e) == 0);
    CHECK(gguf_need(g, "llama.block_count", &e) == -1);
    CHECK_ERROR(e, "a.gguf: the metadata lacks llama.block_count");

    const struct gguf_string *strings;
    int32_t *i32s;
    float *f32s;
    size_t count;
    CHECK(gguf_strings(&strings, &count, g, "tokens", &e) == 0 && count == 4);
    CHECK(strings[0].bytes == 3 && memcmp(strings[0].data, "<s>", 3) == 0 && strings[1].bytes == 0);
    CHECK(strings[2].bytes == 2 && memcmp(strings[2].data, "\0\xff", 2) == 0);
    CHECK(strings[3].bytes == 4 && memcmp(strings[3].data, "word", 4) == 0);
    CHECK(gguf_strings(&strings, &count, g, "absent", &e) == 0 && count == 0 && !strings);
    CHECK(gguf_strings(&strings, &count, g, "nothing", &e) == 0 && count == 0 && !strings);
    CHECK(gguf_strings(&strings, &count, g, "types", &e) == -1);
    CHECK_ERROR(e, "a.gguf: types has elements of type i32, where strings belong");
    CHECK(gguf_strings(&strings, &count, g, "text", &e) == -1);
    CHECK_ERROR(e, "a.gguf: text is of type string, where an array belongs");
    CHECK(gguf_i32s(&i32s, &count, g, "types", &e) == 0 && count == 3 && i32s[0] == 1 && i32s[1] == -3 && i32s[2] == 6);
    free(i32s);
    CHECK(gguf_i32s(&i32s, &count, g, "scores", &e) == -1 && !i32s && count == 0);
    CHECK_ERROR(e, "a.gguf: scores is -1.5, where a whole number");
    CHECK(gguf_i32s(&i32s, &count, g, "tokens", &e) == -1);
    CHECK_ERROR(e, "a.gguf: tokens is of type string, where a number belongs");
    CHECK(gguf_i32s(&i32s, &count, g, "nested", &e) == -1);
    CHECK(gguf_i32s(&i32s, &count, g, "absent", &e) == 0 && !i32s && count == 0);
    CHECK(gguf_f32s(&f32s, &count, g, "scores", &e) == 0 && count == 2 && f32s[0] == -1.5f && f32s[1] == 1e30f);
    free(f32s);
    CHECK(gguf_f32s(&f32s, &count, g, "types", &e) == 0 && count == 3 && f32s[1] == -3);
    free(f32s);
    CHECK(gguf_f32s(&f32s, &count, g, "tokens", &e) == -1 && gguf_f32s(&f32s, &count, g, "f32", &e) == -1);
    gguf_close(g);
}

static void check_refused(struct text *t, const char *want)
{
    struct error e = {0};
    struct gguf *g = open_bytes(t, &e);
    CHECK_SAY(g == NULL, "accepted, want \"%s\"", want);
    CHECK_SAY(strstr(e.text, "a.gguf: ") && strstr(e.text, want), "error is \"%s\", want \"%s\"", e.text, want);
    gguf_close(g);
}

static void refused_headers(void)
{
    struct text t = {0};
    put(&t, "", 0);
    check_refused(&t, "is not a GGUF file");
    put(&t, "GGML\3\0\0\0", 8);
    check_refused(&t, "is not a GGUF file: it does not begin with 'GGUF'");
    put(&t, "version https://git-lfs.github.com/spec/v1\n", 43);
    check_refused(&t, "git lfs pull");
    put(&t, "GGUF", 4);
    check_refused(&t, "the header at byte 4 does not fit into the file's 4 bytes");
    put_header(&t, 1, 0, 0);
    check_refused(&t, "is GGUF version 1; versions 2 and 3 are read");
    put_header(&t, 4, 0, 0);
    check_refused(&t, "is GGUF version 4");
    put_header(&t, 0, 0, 0);
    check_refused(&t, "is GGUF version 0");
    put_header(&t, 0x03000000, 0, 0);
    check_refused(&t, "is a big-endian GGUF file");
    put_header(&t, 3, 0, UINT64_MAX);
    check_refused(&t, "a metadata key at byte 24 does not fit into the file's 24 bytes");
    put_header(&t, 3, UINT64_MAX, 0);
    check_refused(&t, "a tensor's name at byte 24 does not fit into the file's 24 bytes");
    put_header(&t, 3, 0, 1);
    put_u64(&t, UINT64_MAX - 31);
    check_refused(&t, "a metadata key at byte 32 does not fit");
}

static void refused_values(void)
{
    struct text t = {0};
    put_header(&t, 3, 0, 1);
    put_key(&t, "k", 13);
    check_refused(&t, "k has the unknown type 13");
    put_header(&t, 3, 0, 1);
    VALUE(&t, "k", U64, uint32_t, 1);
    check_refused(&t, "k at byte 37 does not fit into the file's 41 bytes");
    put_header(&t, 3, 0, 1);
    VALUE(&t, "k", BOOL, uint8_t, 2);
    check_refused(&t, "k: a bool is neither 0 nor 1");
    put_header(&t, 3, 0, 1);
    put_array(&t, "k", BOOL, 2);
    put(&t, "\1\xff", 2);
    check_refused(&t, "k: a bool is neither 0 nor 1");
    put_header(&t, 3, 0, 2);
    VALUE(&t, "k", U8, uint8_t, 2);
    VALUE(&t, "k", I8, int8_t, 2);
    check_refused(&t, "the metadata key k is there twice");
    put_header(&t, 3, 0, 1);
    put_u64(&t, 2);
    put(&t, "k\0", 2);
    put_u32(&t, U8);
    check_refused(&t, "a metadata key at byte 34 has a 0 byte inside");
    put_header(&t, 3, 0, 1);
    put_array(&t, "k", 13, 1);
    check_refused(&t, "k has elements of the unknown type 13");
    static const uint64_t counts[] = {2, UINT64_C(1) << 32, UINT64_C(1) << 61, (UINT64_C(1) << 61) + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (uint32_t element = U32; element <= F64; element++) {
            put_header(&t, 3, 0, 1);
            put_array(&t, "k", element, counts[i]);
            if (element != BOOL || counts[i] != 2) put(&t, "\0\0\0\0", 4);
            check_refused(&t, "does not fit into the file's");
        }
    }
    put_header(&t, 3, 0, 1);
    put_array(&t, "k", ARRAY, 1);
    for (int i = 0; i < 1000; i++) put_u32(&t, ARRAY), put_u64(&t, 1);
    check_refused(&t, "k has arrays nested too deep");
    put_header(&t, 3, 0, 1);
    VALUE(&t, "split.count", U16, uint16_t, 3);
    check_refused(&t, "is one of 3 parts of a model; merge them with 'llama-gguf-split --merge' first");
    static const uint32_t alignments[] = {0, 3, 48};
    for (size_t i = 0; i < 3; i++) {
        put_header(&t, 3, 0, 1);
        VALUE(&t, "general.alignment", U32, uint32_t, alignments[i]);
        check_refused(&t, "is not a power of two");
    }
    put_header(&t, 3, 0, 1);
    VALUE(&t, "general.alignment", F32, float, 0.5f);
    check_refused(&t, "general.alignment is 0.5, where a whole number");
}

// One tensor, or two, over 96 bytes of data.
static void check_tensors(const char *want, int count, const char *const *names, uint32_t rank, const uint64_t *ne,
    uint32_t type, const uint64_t *offsets)
{
    struct text t = {0};
    put_header(&t, 3, (uint64_t)count, 0);
    for (int i = 0; i < count; i++) put_tensor(&t, names[i], rank, ne, type, offsets[i]);
    pad(&t, 32);
    for (int i = 0; i < 96; i++) put(&t, "d", 1);
    if (want) {
        check_refused(&t, want);
        return;
    }
    struct error e = {0};
    struct gguf *g = open_bytes(&t, &e);
    CHECK_SAY(g != NULL, "%s", e.text);
    gguf_close(g);
}

static void refused_tensors(void)
{
    const char *const names[] = {"t", "u"}, *const same[] = {"t", "t"};
    const uint64_t zero[] = {0, 0}, apart[] = {0, 32}, beyond[] = {96}, close_by[] = {32, 0}, crooked[] = {16},
                   far[] = {UINT64_MAX - 31};
    const uint64_t n8[] = {8}, n9[] = {9}, n24[] = {24}, n0[] = {0}, n31[] = {31};
    const uint64_t huge[] = {UINT64_C(1) << 32, UINT64_C(1) << 32}, five[] = {1, 1, 1, 1, 1};
    check_tensors(NULL, 1, names, 1, n24, 0, zero);
    check_tensors(NULL, 2, names, 1, n8, 0, apart);
    check_tensors(NULL, 1, names, 1, n0, 0, beyond);
    check_tensors("tensor 't' goes beyond the end of the file (", 1, names, 1, (uint64_t[]){25}, 0, zero);
    check_tensors("tensor 't' goes beyond the end of the file (", 1, names, 1, n8, 0, beyond);
    check_tensors("tensor 't' goes beyond the end of the file (", 1, names, 1, n8, 0, far);
    check_tensors("tensor 't' is not aligned to 32 bytes", 1, names, 1, n8, 0, crooked);
    check_tensors("tensors 't' and 'u' overlap", 2, names, 1, n8, 0, zero);
    check_tensors("tensors 'u' and 't' overlap", 2, names, 1, n9, 0, close_by);
    check_tensors("tensor 't' is there twice", 2, same, 1, n8, 0, apart);
    check_tensors("tensor 't' has 5 dimensions, more than 4", 1, names, 5, five, 0, zero);
    check_tensors("tensor 't' has 4294967295 dimensions", 1, names, UINT32_MAX, five, 0, zero);
    check_tensors("tensor 't' is of type number 4, which is not known here", 1, names, 1, n8, 4, zero);
    check_tensors("tensor 't' is of type number 4294967295", 1, names, 1, n8, UINT32_MAX, zero);
    check_tensors("tensor 't' [31]: rows of 31 elements are not whole blocks of Q8_0 (32)", 1, names, 1, n31, 8, zero);
    check_tensors("impossibly large", 1, names, 2, huge, 0, zero);

    // A file of metadata only may end without padding.
    struct text t = {0};
    struct error e = {0};
    put_header(&t, 3, 0, 1);
    VALUE(&t, "k", U8, uint8_t, 9);
    struct gguf *g = open_bytes(&t, &e);
    CHECK_SAY(g && gguf_count(g) == 0 && gguf_has(g, "k") && !gguf_find(g, "k"), "%s", e.text);
    gguf_close(g);
}

// Reads all that a file gives; an error must be one line that names the file.
static bool survive(const char *path)
{
    struct error e = {0};
    struct gguf *g = gguf_open(path, &e);
    if (!g) {
        CHECK_SAY(strstr(e.text, path) != NULL, "%s", e.text);
        return false;
    }
    for (size_t i = 0; i < gguf_count(g); i++) {
        const struct tensor_view *t = gguf_at(g, i);
        uint64_t count = tensor_count(t);
        CHECK(gguf_find(g, t->name) == t);
        float *out = malloc((count + 1) * sizeof *out);
        if (dtype_readable(t->dtype)) CHECK(tensor_read_f32(out, t, 0, count, &e) == 0);
        free(out);
    }
    static const char *const keys[] = {"u8", "f32", "text", "tokens", "types", "scores", "nested", "bool"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct gguf_string *strings;
        const char *s;
        uint32_t u;
        int32_t *i32s;
        float f, *f32s;
        bool b;
        size_t count;
        (void)(gguf_u32(&u, g, keys[i], 0, &e) + gguf_f32(&f, g, keys[i], 0, &e) + gguf_bool(&b, g, keys[i], 0, &e));
        (void)(gguf_text(&s, g, keys[i], "", &e) + gguf_strings(&strings, &count, g, keys[i], &e));
        (void)gguf_i32s(&i32s, &count, g, keys[i], &e);
        (void)gguf_f32s(&f32s, &count, g, keys[i], &e);
        free(i32s), free(f32s);
    }
    gguf_close(g);
    return true;
}

static void damage(void)
{
    struct text t = small_file(3);
    for (size_t n = 0; n < t.bytes; n++)
        CHECK_SAY(!survive(fixture_write(&fixture, "a.gguf", t.data, n)), "cut after %zu bytes", n);
    CHECK(survive(fixture_write(&fixture, "a.gguf", t.data, t.bytes)));
    uint64_t seed = 5;
    int good = 0;
    char *changed = malloc(t.bytes);
    for (int round = 0; round < 4000; round++) {
        memcpy(changed, t.data, t.bytes);
        for (uint32_t n = 1 + test_random(&seed) % 3; n; n--) {
            size_t at = test_random(&seed) % t.bytes;
            changed[at] =
                test_random(&seed) % 2 ? (char)test_random(&seed) : (char)(changed[at] ^ 1 << test_random(&seed) % 8);
        }
        good += survive(fixture_write(&fixture, "a.gguf", changed, t.bytes));
    }
    CHECK_SAY(good > 250 && good < 3750, "%d of 4000 damaged files were still right", good);
    free(changed);
    text_free(&t);
}

int main(void)
{
    fixture_open(&fixture);
    tensors();
    metadata();
    refused_headers();
    refused_values();
    refused_tensors();
    damage();
    fixture_close(&fixture);
    return test_end();
}
