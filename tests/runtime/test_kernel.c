// SPDX-License-Identifier: MIT
//
// Kernels: specialization constants, subgroup sizes, statistics; the pipeline cache on disk, whole and damaged.
#include "runtime/vulkan_private.h"
#include "runtime_test.h"

#include <dirent.h>
#include <sys/stat.h>

static struct gpu *gpu;

// What the kernel makes of 100 with b = 10 and plus = 1.
static uint32_t result_of(struct gpu_kernel *kernel)
{
    struct gpu_memory *m = gpu_alloc(gpu, 1024, GPU_DEVICE);
    struct gpu_range o = {m, 0, 4}, a = {m, 256, 4}, b = {m, 512, 4};
    gpu_upload(gpu, a, &(uint32_t){100});
    gpu_upload(gpu, b, &(uint32_t){10});
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, o, a, b, 1);
    gpu_list_end(list);
    gpu_submit(gpu, list);
    uint32_t result;
    gpu_download(gpu, &result, o);
    gpu_list_free(gpu, list);
    gpu_free(gpu, m);
    return result;
}

static void test_constants(void)
{
    for (uint32_t factor = 0; factor < 4; factor++) {
        struct gpu_kernel *kernel = make_add(gpu, factor);
        CHECK(kernel->bindings == 3 && kernel->push_bytes == 8);
        CHECK(result_of(kernel) == 101 + 10 * factor);
        gpu_kernel_free(gpu, kernel);
    }
    // Constants that are not given keep the shader's value; those that it does not have are nothing to it.
    struct gpu_kernel *kernel = gpu_kernel_make(gpu, "test_add", (uint32_t[]){32}, 1, 0);
    CHECK(result_of(kernel) == 111);
    gpu_kernel_free(gpu, kernel);
    kernel = gpu_kernel_make(gpu, "test_add", (uint32_t[]){32, 2, 77, 78}, 4, 0);
    CHECK(result_of(kernel) == 121);
    gpu_kernel_free(gpu, kernel);
    const struct gpu_info *info = gpu_info(gpu);
    for (uint32_t size = info->subgroup_min; info->subgroup_control && size <= info->subgroup_max; size *= 2) {
        kernel = gpu_kernel_make(gpu, "test_add", (uint32_t[]){size, 3}, 2, size);
        CHECK(result_of(kernel) == 131);
        gpu_kernel_free(gpu, kernel);
    }
}

// A software driver compiles a kernel when it is made, not at the first dispatch, when memory is full; an equal kernel is not
// made again.
static void test_compiled(void)
{
    bool software = gpu_info(gpu)->type == GPU_SOFTWARE;
    uint64_t before = gpu->submitted;
    struct gpu_kernel *one = make_add(gpu, 7), *two = make_add(gpu, 7);
    CHECK(one == two && gpu->submitted == before + software);
    gpu_kernel_free(gpu, one);
    gpu_kernel_free(gpu, two);
}

// The same kernel made again is the one there is, as long as one of its users has not freed it.
static void test_shared(void)
{
    struct gpu_kernel *first = make_add(gpu, 2), *other = make_add(gpu, 3), *again = make_add(gpu, 2);
    CHECK(again == first && other != first);
    gpu_kernel_free(gpu, first);
    CHECK(result_of(again) == 121 && result_of(other) == 131);
    gpu_kernel_free(gpu, again);
    CHECK(result_of(other) == 131);
    gpu_want_statistics(gpu, false);
    again = make_add(gpu, 3); // without the texts it keeps it is another, where there are any
    CHECK((again == other) == !gpu_info(gpu)->statistics);
    gpu_kernel_free(gpu, again);
    gpu_kernel_free(gpu, other);
}

static void test_statistics(void)
{
    struct gpu_executable executables[GPU_MAX_EXECUTABLES];
    struct gpu_kernel *kernel = make_add(gpu, 5);
    CHECK(gpu_kernel_executables(gpu, kernel, executables, GPU_MAX_EXECUTABLES) == 0); // not wanted yet
    CHECK(gpu_kernel_code(gpu, kernel) == NULL);
    gpu_kernel_free(gpu, kernel);
    gpu_want_statistics(gpu, true);
    kernel = make_add(gpu, 6);
    int count = gpu_kernel_executables(gpu, kernel, executables, GPU_MAX_EXECUTABLES);
    CHECK((count > 0) == gpu_info(gpu)->statistics);
    for (int e = 0; e < count; e++)
        for (int i = 0; i < executables[e].count; i++) CHECK(executables[e].statistics[i].name[0]);
    free(gpu_kernel_code(gpu, kernel));
    gpu_kernel_free(gpu, kernel);
}

static void test_shaders(void)
{
    struct gpu_shader shader;
    gpu_shader_read(&shader, "test_add");
    CHECK(strcmp(shader.constants[0], "GROUP") == 0 && strcmp(shader.constants[1], "FACTOR") == 0);
    CHECK(shader.constants[2][0] == 0 && !shader.shared && !shader.matrices && !shader.matrices2);
    gpu_shader_read(&shader, "rmsnorm"); // sums over a workgroup
    CHECK(strcmp(shader.constants[1], "STORE") == 0 && strcmp(shader.constants[2], "LIVE") == 0);
    CHECK(shader.shared && !shader.matrices);
    gpu_shader_read(&shader, "glu"); // declares lang.glsl's workgroup memory, and leaves it alone
    CHECK(!shader.shared);
}

// ---- the cache ------------------------------------------------------------------------------------------------

static char folder[64], deep[80], file[400];

// Makes a kernel with the cache in place, and checks that it works. Returns whether the cache was used.
static bool use_cache(void)
{
    gpu = open_or_stop(&(struct gpu_options){.cache_folder = deep, .validate = true});
    bool used = gpu->cache_content != 0;
    struct gpu_kernel *kernel = make_add(gpu, 7);
    CHECK(result_of(kernel) == 171);
    gpu_kernel_free(gpu, kernel);
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    return used;
}

static int files_in(const char *path)
{
    int count = 0;
    DIR *list = opendir(path);
    for (struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        count++;
    }
    closedir(list);
    return count;
}

static char *read_file(size_t *bytes)
{
    FILE *f = fopen(file, "rb");
    char *content = malloc(1 << 24);
    *bytes = fread(content, 1, 1 << 24, f);
    fclose(f);
    return content;
}

static void write_file(const char *content, size_t bytes)
{
    FILE *f = fopen(file, "wb");
    fwrite(content, 1, bytes, f);
    fclose(f);
}

static char *good, *bad;
static size_t good_bytes, bad_bytes;

static void open_damaged(void)
{
    write_file(bad, bad_bytes);
    CHECK(!use_cache());
}

// As a killed program leaves it: never closed.
static void saved_and_left(void)
{
    gpu = open_or_stop(&(struct gpu_options){.cache_folder = deep});
    make_add(gpu, 7);
    gpu_save_cache(gpu);
}

static void test_cache(void)
{
    snprintf(folder, sizeof folder, "/tmp/pumice-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    char said[4096];
    CHECK(run_child(saved_and_left, said, sizeof said) == 0);
    CHECK_SAY(files_in(deep) == 1 && remove(file) == 0, "%s", said);
    CHECK(!use_cache());
    CHECK(files_in(deep) == 1);
    struct stat first, second;
    stat(file, &first);
    good = read_file(&good_bytes);
    CHECK(use_cache());
    CHECK(files_in(deep) == 1);
    stat(file, &second);
    bad = read_file(&bad_bytes);
    // Nothing new is not written again. (SwiftShader's data differ each time.)
    bool same = bad_bytes == good_bytes && memcmp(good, bad, good_bytes) == 0;
    CHECK(same == (first.st_ino == second.st_ino));
    free(bad);
    bad = malloc(good_bytes + 1);
    uint64_t state = 3;
    for (int i = 0; i < 12; i++) {
        memcpy(bad, good, good_bytes);
        bad_bytes = good_bytes;
        bool outdated = false;
        if (i == 0) bad_bytes = 0;
        if (i == 1) bad_bytes = 7;
        if (i == 2) bad_bytes = 32; // the header alone
        if (i == 3) bad_bytes = good_bytes - 1;
        if (i == 4) bad[bad_bytes++] = 0;
        if (i == 5) bad[0] ^= 1;                  // magic
        if (i == 6) bad[8] ^= 1, outdated = true; // another driver or build
        if (i == 7) memset(bad + 16, 0xff, 8);    // its length
        if (i == 8) bad[24] ^= 1;                 // its checksum
        if (i == 9) bad[good_bytes - 1] ^= 0x40;
        if (i >= 10) bad[32 + test_random(&state) % (good_bytes - 32)] ^= (char)(1 << i % 8);
        char text[4096];
        int status = run_child(open_damaged, text, sizeof text);
        CHECK_SAY(status == 0, "case %d: status %x: %s", i, (unsigned)status, text);
        CHECK_SAY((strstr(text, "damaged") != NULL) == !outdated, "case %d: \"%s\"", i, text);
        size_t bytes;
        char *content = read_file(&bytes);
        CHECK_SAY(bytes > 32 && memcmp(content, good, 16) == 0, "case %d: not written anew", i);
        free(content);
    }
    CHECK(use_cache());
    CHECK(files_in(deep) == 1);
    free(good);
    free(bad);
    remove(file);
    rmdir(deep);
    snprintf(deep, sizeof deep, "%s/a", folder);
    rmdir(deep);
    rmdir(folder);
}

// A folder that cannot be made costs the cache, not the run.
static void impossible_folder(void)
{
    snprintf(deep, sizeof deep, "/dev/null/x");
    CHECK(!use_cache());
}

int main(void)
{
    test_cache();
    char text[4096];
    CHECK(run_child(impossible_folder, text, sizeof text) == 0);
    CHECK_SAY(strstr(text, "/dev/null/x"), "%s", text);
    gpu = open_or_stop(&(struct gpu_options){.validate = true});
    test_constants();
    test_shaders();
    test_compiled();
    test_statistics();
    test_shared();
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    return test_end();
}
