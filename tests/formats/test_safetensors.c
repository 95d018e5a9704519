// SPDX-License-Identifier: MIT
#include "fixture.h"
#include "formats/safetensors.h"

#include <signal.h>
#include <sys/resource.h>

static struct fixture fixture;

// A file made of header text and data bytes; the length in front is the text's.
static struct safetensors *open_text(const char *header, const void *data, size_t bytes, struct error *e)
{
    struct text t = {0};
    uint64_t length = strlen(header);
    text_add(&t, &length, 8);
    text_add(&t, header, length);
    text_add(&t, data, bytes);
    struct safetensors *s = safetensors_open(fixture_write(&fixture, "a.safetensors", t.data, t.bytes), e);
    text_free(&t);
    return s;
}

static const char small[] = "{\"__metadata__\":{\"format\":\"pt\",\"who\":\"test\"},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                            "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                            "\"empty\":{\"dtype\":\"F16\",\"shape\":[4,0],\"data_offsets\":[20,20]},"
                            "\"ids\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[20,28]}}  ";
static const uint8_t small_data[28] = {
    0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x80, 0x3f, 0, 0x40, 0x40, 0x40, 0x80, 0x40, 0xa0, 0x40, 0xc0, 0xc0, 7};

static void reading(void)
{
    struct error e = {0};
    struct safetensors *s = open_text(small, small_data, sizeof small_data, &e);
    CHECK_SAY(s != NULL, "%s", e.text);
    if (!s) return;
    CHECK(safetensors_count(s) == 4);
    static const char *const order[] = {"a", "b", "empty", "ids"};
    for (size_t i = 0; i < 4; i++) {
        CHECK_STRING(safetensors_at(s, i)->name, order[i]);
        CHECK(safetensors_find(s, order[i]) == safetensors_at(s, i));
    }
    CHECK(safetensors_find(s, "c") == NULL && safetensors_find(s, "__metadata__") == NULL);
    const struct tensor_view *b = safetensors_find(s, "b");
    CHECK(b->dtype == DTYPE_BF16 && b->rank == 2 && b->shape[0] == 2 && b->shape[1] == 3 && b->bytes == 12);
    float out[6];
    CHECK(tensor_read_f32(out, b, 0, 6, &e) == 0);
    for (int i = 0; i < 5; i++) CHECK(out[i] == (float)(i + 1));
    CHECK(out[5] == -6);
    CHECK(tensor_read_f32(out, safetensors_find(s, "a"), 0, 2, &e) == 0 && out[0] == 1 && out[1] == -2);
    CHECK(tensor_count(safetensors_find(s, "empty")) == 0 && tensor_count(safetensors_find(s, "ids")) == 1);
    CHECK(tensor_read_f32(out, safetensors_find(s, "ids"), 0, 1, &e) == -1);
    CHECK_ERROR(e, "tensor 'ids' is of type I64");
    CHECK_STRING(safetensors_metadata(s, "who"), "test");
    CHECK(safetensors_metadata(s, "nobody") == NULL);
    safetensors_close(s);

    s = open_text("{}", "", 0, &e);
    CHECK(s && safetensors_count(s) == 0 && !safetensors_find(s, "a") && !safetensors_metadata(s, "format"));
    safetensors_close(s);
    s = open_text("{\"t\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}", "abc", 3, &e);
    CHECK(s && safetensors_at(s, 0)->dtype == DTYPE_F8_E4M3);
    safetensors_close(s);
    safetensors_close(NULL);
}

// Each header, over 8 bytes of data, with a part of the sentence that refuses it.
static const struct lie {
    const char *header, *want;
} lies[] = {
    {"", "its header is not a JSON object"},
    {" {}", "its header is not a JSON object"},
    {"[]", "its header is not a JSON object"},
    {"{", "header:1:2: expected a key"},
    {"{}x", "header:1:3: expected nothing after the value"},
    {"{}", "8 bytes after the last tensor belong to none"},
    {"{\"t\":3}", "tensor 't' lacks dtype, shape or data_offsets"},
    {"{\"t\":{}}", "tensor 't' lacks dtype, shape or data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", "lacks dtype, shape or data_offsets"},
    {"{\"t\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", "tensor 't' has the unknown dtype 'F31'"},
    {"{\"t\":{\"dtype\":\"Q4_0\",\"shape\":[2],\"data_offsets\":[0,8]}}", "tensor 't' has the unknown dtype 'Q4_0'"},
    {"{\"t\":{\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "unknown dtype"},
    {"{\"t\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", "lacks dtype, shape or data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "lacks dtype, shape or data_offsets"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "its shape must be whole numbers"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", "its shape must be whole numbers"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", "its shape must be whole numbers"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1e17],\"data_offsets\":[0,8]}}", "its shape must be whole numbers"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", "more than 4 dimensions"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", "impossibly large"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}",
        "tensor 't' [3] of F32 is 12 bytes, but data_offsets give it 8"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,16]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[null,8]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[]}}", "data_offsets must be [begin, end]"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",
        "tensor 't' ends at byte 12 of 8: the file is cut short"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", "there is a hole"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", "4 bytes after the last tensor belong to none"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},\"u\":{\"dtype\":\"U8\",\"shape\":[4],"
     "\"data_offsets\":[4,8]}}",
        "tensor 'u' begins at byte 4, where byte 5 is next (two tensors overlap)"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"u\":{\"dtype\":\"U8\",\"shape\":[4],"
     "\"data_offsets\":[4,8]}}",
        "tensor 'u' begins at byte 4, where byte 3 is next (there is a hole)"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"u\":{\"dtype\":\"U8\",\"shape\":[8],"
     "\"data_offsets\":[0,8]}}",
        "two tensors overlap"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"t\":{\"dtype\":\"F32\",\"shape\":[2],"
     "\"data_offsets\":[0,8]}}",
        "the key \"t\" stands twice"},
    {"{\"__metadata__\":{\"n\":1},\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "__metadata__: 'n' must be a string"},
    {"{\"__metadata__\":[],\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "__metadata__ must be an object of strings"},
};

static void refused(void)
{
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct error e = {0};
        CHECK_SAY(open_text(lies[i].header, "12345678", 8, &e) == NULL, "%s", lies[i].header);
        CHECK_SAY(strstr(e.text, lies[i].want) != NULL, "error is \"%s\", want \"%s\"", e.text, lies[i].want);
        CHECK_SAY(strstr(e.text, "a.safetensors: ") != NULL, "error is \"%s\"", e.text);
    }
    static const struct {
        const char *bytes;
        size_t count;
        const char *want;
    } files[] = {
        {"", 0, "only 0 bytes"},
        {"\2\0\0\0\0\0\0", 7, "only 7 bytes"},
        {"\2\0\0\0\0\0\0\0{", 9, "its header of 2 bytes does not fit into the file's 9 bytes"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "impossible header length"},
        {"\1\xe1\xf5\5\0\0\0\0{}", 10, "impossible header length"}, // the limit plus 1
        {"\0\0\0\0\0\0\0\0{}", 10, "its header is not a JSON object"},
        {"PK\3\4\0\0\0\0\0\0", 10, "does not fit into the file's"}, // a zip file: PyTorch's
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", 64, "git lfs pull"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error e = {0};
        CHECK(safetensors_open(fixture_write(&fixture, "a.safetensors", files[i].bytes, files[i].count), &e) == NULL);
        CHECK_ERROR(e, files[i].want);
    }
    struct error e = {0};
    CHECK(safetensors_open(fixture_path(&fixture, "absent"), &e) == NULL);
    CHECK_ERROR(e, "absent: cannot be opened");
}

// Reads all that a file gives; an error must be one line that names the file.
static bool survive(const char *path)
{
    struct error e = {0};
    struct safetensors *s = safetensors_open(path, &e);
    if (!s) {
        CHECK_SAY(strstr(e.text, path) != NULL && !strchr(e.text, '\n'), "%s", e.text);
        return false;
    }
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct tensor_view *t = safetensors_at(s, i);
        uint64_t count = tensor_count(t);
        CHECK(safetensors_find(s, t->name) == t);
        float *out = malloc((count + 1) * sizeof *out);
        if (dtype_readable(t->dtype)) CHECK(tensor_read_f32(out, t, 0, count, &e) == 0);
        free(out);
    }
    safetensors_close(s);
    return true;
}

static void damage(void)
{
    uint8_t file[8 + sizeof small - 1 + sizeof small_data], changed[sizeof file];
    uint64_t length = sizeof small - 1;
    memcpy(file, &length, 8);
    memcpy(file + 8, small, length);
    memcpy(file + 8 + length, small_data, sizeof small_data);
    for (size_t n = 0; n < sizeof file; n++) CHECK(!survive(fixture_write(&fixture, "a.safetensors", file, n)));
    CHECK(survive(fixture_write(&fixture, "a.safetensors", file, sizeof file)));
    uint64_t seed = 3;
    int good = 0;
    for (int round = 0; round < 4000; round++) {
        memcpy(changed, file, sizeof file);
        for (uint32_t n = 1 + test_random(&seed) % 3; n; n--) {
            size_t at = test_random(&seed) % (8 + length);
            changed[at] = test_random(&seed) % 2 ? (uint8_t)test_random(&seed)
                                                 : (uint8_t) "0123456789,[]{}\"-eFBI"[test_random(&seed) % 21];
        }
        good += survive(fixture_write(&fixture, "a.safetensors", changed, sizeof changed));
    }
    CHECK_SAY(good > 40 && good < 3960, "%d of 4000 damaged files were still right", good);
}

static void writing(void)
{
    struct error e = {0};
    struct safetensors_entry entries[] = {
        {"half \"quoted\"\n", DTYPE_BF16, 1, {3}},
        {"z", DTYPE_F32, 2, {2, 2}},
        {"flags", DTYPE_U8, 1, {3}},
        {"steps", DTYPE_I64, 0, {0}},
        {"a", DTYPE_F32, 4, {1, 1, 1, 2}},
        {"none", DTYPE_F32, 2, {0, 5}},
    };
    safetensors_entries_sort(entries, 6);
    static const char *const order[] = {"steps", "z", "a", "none", "half \"quoted\"\n", "flags"};
    for (int i = 0; i < 6; i++) CHECK_STRING(entries[i].name, order[i]);
    uint8_t data[8 + 16 + 8 + 6 + 3];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i + 1);
    char *path = mem_string(fixture_path(&fixture, "out.safetensors"));
    char *temporary = mem_format("%s.tmp", path);

    const char *const metadata[] = {"step", "12", "quote", "\"\xe2\x82\xac", NULL};
    struct safetensors_writer *w = safetensors_writer_open(path, entries, 6, metadata, &e);
    CHECK(w && file_exists(temporary) && !file_exists(path));
    for (size_t at = 0, n = 0; at < sizeof data; at += n, n = (n + 1) % 9) {
        if (n > sizeof data - at) n = sizeof data - at;
        CHECK(safetensors_writer_append(w, data + at, n, &e) == 0);
    }
    CHECK(!file_exists(path) && safetensors_writer_finish(w, &e) == 0);
    CHECK(file_exists(path) && !file_exists(temporary));
    struct safetensors *s = safetensors_open(path, &e);
    CHECK_SAY(s != NULL, "%s", e.text);
    CHECK(s && safetensors_count(s) == 6);
    for (size_t i = 0, at = 0; s && i < 6; i++) {
        const struct tensor_view *t = safetensors_find(s, entries[i].name);
        CHECK(t && t->dtype == entries[i].dtype && t->rank == entries[i].rank);
        if (!t) continue;
        for (int d = 0; d < t->rank; d++) CHECK(t->shape[d] == entries[i].shape[d]);
        CHECK(memcmp(t->data, data + at, t->bytes) == 0);
        CHECK((uintptr_t)t->data % dtype_block_bytes(t->dtype) == 0);
        at += t->bytes;
    }
    CHECK_STRING(safetensors_metadata(s, "format"), "pt");
    CHECK_STRING(safetensors_metadata(s, "step"), "12");
    CHECK_STRING(safetensors_metadata(s, "quote"), "\"\xe2\x82\xac");
    safetensors_close(s);

    // The exact bytes of a small file.
    const char *const format[] = {"format", "numpy", NULL};
    w = safetensors_writer_open(path, &entries[5], 1, format, &e);
    CHECK(w && safetensors_writer_append(w, "abc", 3, &e) == 0 && safetensors_writer_finish(w, &e) == 0);
    static const char want[] = "\x60\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"numpy\"},"
                               "\"flags\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}     abc";
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0 && f.bytes == sizeof want - 1 && memcmp(f.data, want, f.bytes) == 0);
    file_unmap(&f);

    // Given up: the file that was there before is there still.
    w = safetensors_writer_open(path, entries, 6, NULL, &e);
    CHECK(w && safetensors_writer_append(w, data, 5, &e) == 0);
    safetensors_writer_abort(w);
    CHECK(!file_exists(temporary) && file_map(&f, path, &e) == 0 && f.bytes == sizeof want - 1);
    file_unmap(&f);
    w = safetensors_writer_open(path, NULL, 0, NULL, &e);
    CHECK(w && safetensors_writer_finish(w, &e) == 0);
    s = safetensors_open(path, &e);
    CHECK(s && safetensors_count(s) == 0);
    CHECK_STRING(s ? safetensors_metadata(s, "format") : NULL, "pt");
    safetensors_close(s);

    entries[2].name = "z";
    CHECK(safetensors_writer_open(path, entries, 6, NULL, &e) == NULL && !file_exists(temporary));
    CHECK_ERROR(e, "out.safetensors: tensor 'z' is there twice");
    CHECK(safetensors_writer_open("/nowhere/at/all", entries, 1, NULL, &e) == NULL);
    CHECK_ERROR(e, "/nowhere/at/all.tmp: cannot be written");
    safetensors_writer_abort(NULL);
    free(path), free(temporary);
}

// A device that takes no more bytes: /dev/full behind the temporary name, then a limit on the size of files.
static void full_disk(void)
{
    struct error e = {0};
    char *path = mem_string(fixture_path(&fixture, "full.safetensors"));
    char *temporary = mem_format("%s.tmp", path);
    const struct safetensors_entry entry = {"t", DTYPE_U8, 1, {4000000}};
    char *zeros = mem_zero(4000000, 1);
    CHECK(symlink("/dev/full", temporary) == 0);
    struct safetensors_writer *w = safetensors_writer_open(path, &entry, 1, NULL, &e);
    CHECK(w && safetensors_writer_append(w, zeros, 4000000, &e) == -1);
    CHECK_ERROR(e, "full.safetensors.tmp: cannot be written (No space left on device)");
    safetensors_writer_abort(w);
    CHECK(!file_exists(path) && access(temporary, F_OK) != 0);

    // A few bytes stay in the buffer until finish, which must notice.
    CHECK(symlink("/dev/full", temporary) == 0);
    w = safetensors_writer_open(path, NULL, 0, NULL, &e);
    *e.text = 0;
    CHECK(w && safetensors_writer_finish(w, &e) == -1);
    CHECK_ERROR(e, "full.safetensors.tmp: cannot be written (No space left on device)");
    CHECK(!file_exists(path) && access(temporary, F_OK) != 0);

    struct rlimit old, limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = (struct rlimit){1000000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    w = safetensors_writer_open(path, &entry, 1, NULL, &e);
    int status = 0;
    for (int i = 0; i < 40 && status == 0; i++) status = safetensors_writer_append(w, zeros, 100000, &e);
    CHECK(status == -1);
    CHECK_ERROR(e, "full.safetensors.tmp: cannot be written (File too large)");
    safetensors_writer_abort(w);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(!file_exists(path) && !file_exists(temporary));
    free(zeros), free(path), free(temporary);
}

static void write_one(const char *name, const char *tensor, uint8_t value)
{
    struct error e = {0};
    const struct safetensors_entry entry = {tensor, DTYPE_U8, 1, {1}};
    struct safetensors_writer *w = safetensors_writer_open(fixture_path(&fixture, name), &entry, 1, NULL, &e);
    CHECK(w && safetensors_writer_append(w, &value, 1, &e) == 0 && safetensors_writer_finish(w, &e) == 0);
}

static struct safetensors *open_index(const char *index, struct error *e)
{
    fixture_write(&fixture, "m/model.safetensors.index.json", index, strlen(index));
    return safetensors_open(fixture_path(&fixture, "m"), e);
}

static void folders(void)
{
    struct error e = {0};
    CHECK(folder_make(fixture_path(&fixture, "m"), &e) == 0);
    CHECK(safetensors_open(fixture_path(&fixture, "m"), &e) == NULL);
    CHECK_ERROR(e, "m: holds neither model.safetensors nor model.safetensors.index.json");
    fixture_write(&fixture, "m/pytorch_model.bin", "PK", 2);
    CHECK(safetensors_open(fixture_path(&fixture, "m"), &e) == NULL);
    CHECK_ERROR(e, "m: holds pytorch_model.bin, a pickle");

    write_one("m/one.safetensors", "a", 1);
    write_one("m/two.safetensors", "b", 2);
    write_one("m/three.safetensors", "a", 3);
    struct safetensors *s = open_index("{\"metadata\":{\"total_size\":2},\"weight_map\":{\"b\":\"two.safetensors\","
                                       "\"a\":\"one.safetensors\"}}",
        &e);
    CHECK_SAY(s != NULL, "%s", e.text);
    CHECK(s && safetensors_count(s) == 2 && safetensors_find(s, "a")->data[0] == 1 &&
          safetensors_find(s, "b")->data[0] == 2);
    CHECK_STRING(safetensors_metadata(s, "format"), "pt");
    safetensors_close(s);
    static const struct lie indexes[] = {
        {"{", "m/model.safetensors.index.json:1:2: expected a key"},
        {"{\"weights\":{}}", "has no object weight_map"},
        {"{\"weight_map\":[]}", "has no object weight_map"},
        {"{\"weight_map\":{\"a\":3}}", "the file of tensor 'a' must be a file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "the file of tensor 'a' must be a file name"},
        {"{\"weight_map\":{\"a\":\"../m/one.safetensors\"}}", "the file of tensor 'a' must be a file name"},
        {"{\"weight_map\":{\"a\":\"four.safetensors\"}}", "four.safetensors: cannot be opened"},
        {"{\"weight_map\":{\"a\":\"two.safetensors\"}}", "tensor 'a' is not in two.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}}",
            "tensor 'b' is not in one.safetensors"},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}",
            "tensor 'a' is not in two.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"three.safetensors\"}}", "tensor 'a' is there twice"},
    };
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
        e = (struct error){0};
        CHECK_SAY(open_index(indexes[i].header, &e) == NULL, "%s", indexes[i].header);
        CHECK_SAY(strstr(e.text, indexes[i].want) != NULL, "error is \"%s\", want \"%s\"", e.text, indexes[i].want);
    }
    write_one("m/model.safetensors", "single", 9);
    s = safetensors_open(fixture_path(&fixture, "m"), &e);
    CHECK(s && safetensors_count(s) == 1 && safetensors_find(s, "single"));
    safetensors_close(s);
}

// Many tensors: opening and finding all of them must not be quadratic.
static void many(void)
{
    enum { COUNT = 100000 };
    struct error e = {0};
    struct safetensors_entry *entries = mem_zero(COUNT, sizeof *entries);
    for (int i = 0; i < COUNT; i++)
        entries[i] = (struct safetensors_entry){mem_format("model.layers.%d.weight", i), DTYPE_U8, 1, {1}};
    char *zeros = mem_zero(COUNT, 1);
    double start = clock_seconds();
    const char *path = fixture_path(&fixture, "many.safetensors");
    struct safetensors_writer *w = safetensors_writer_open(path, entries, COUNT, NULL, &e);
    CHECK(w && safetensors_writer_append(w, zeros, COUNT, &e) == 0 && safetensors_writer_finish(w, &e) == 0);
    struct safetensors *s = safetensors_open(path, &e);
    CHECK(s && safetensors_count(s) == COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK(s && safetensors_find(s, entries[i].name) == safetensors_at(s, (size_t)i));
        free((char *)(uintptr_t)entries[i].name);
    }
    CHECK_SAY(clock_seconds() - start < 20, "%g s", clock_seconds() - start);
    safetensors_close(s);
    free(entries), free(zeros);
}

int main(void)
{
    fixture_open(&fixture);
    reading();
    refused();
    damage();
    writing();
    full_disk();
    folders();
    many();
    fixture_close(&fixture);
    return test_end();
}
