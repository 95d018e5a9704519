// SPDX-License-Identifier: MIT
//
// Memory: zeros at first, uploads and downloads of any part, mapped and through the staging buffer.
#include "runtime_test.h"

enum { BYTES = 40 << 20 }; // more than two pieces of the staging buffer

static struct gpu *gpu;

static void test_zeros(enum gpu_place place)
{
    // Freed memory full of something is likely to come back.
    struct gpu_memory *m = gpu_alloc(gpu, 1 << 20, place);
    uint32_t *words = malloc(1 << 20);
    memset(words, 0xff, 1 << 20);
    gpu_upload(gpu, (struct gpu_range){m, 0, 1 << 20}, words);
    gpu_free(gpu, m);
    m = gpu_alloc(gpu, (1 << 20) - 4, place);
    gpu_download(gpu, words, (struct gpu_range){m, 0, (1 << 20) - 4});
    int wrong = 0;
    for (int i = 0; i < (1 << 18) - 1; i++) wrong += words[i] != 0;
    CHECK_SAY(wrong == 0, "%d words are not 0", wrong);
    CHECK(words[(1 << 18) - 1] == 0xffffffff);
    gpu_free(gpu, m);
    free(words);
}

static void test_parts(enum gpu_place place)
{
    struct gpu_memory *m = gpu_alloc(gpu, BYTES, place);
    CHECK(m != NULL);
    if (place == GPU_HOST) CHECK(gpu_map(m) != NULL);
    if (place == GPU_DEVICE) CHECK((gpu_map(m) != NULL) == gpu_info(gpu)->unified);
    uint32_t *mirror = calloc(1, BYTES), *got = malloc(BYTES);
    uint64_t state = 1;
    for (int round = 0; round < 12; round++) {
        uint32_t a = test_random(&state) % (BYTES / 4), b = test_random(&state) % (BYTES / 4);
        if (round == 0) a = 0, b = BYTES / 4 - 1;
        if (round == 1) a = b = BYTES / 4 - 1;
        if (round == 2) a = 1, b = 1 + (32 << 20) / 4 - 1; // whole pieces
        uint32_t first = a < b ? a : b, words = (a < b ? b - a : a - b) + 1;
        for (uint32_t i = 0; i < words; i++) mirror[first + i] = first + i * (uint32_t)(round + 3);
        gpu_upload(gpu, (struct gpu_range){m, 4 * (uint64_t)first, 4 * (uint64_t)words}, mirror + first);
    }
    gpu_download(gpu, got, (struct gpu_range){m, 0, BYTES});
    CHECK(memcmp(got, mirror, BYTES) == 0);
    memset(got, 0, BYTES);
    gpu_download(gpu, got, (struct gpu_range){m, 12, 20 << 20});
    CHECK(memcmp(got, mirror + 3, 20 << 20) == 0 && got[(20 << 20) / 4] == 0);
    gpu_upload(gpu, (struct gpu_range){m, 0, 0}, mirror);
    gpu_free(gpu, m);
    free(mirror);
    free(got);
}

static void test_bookkeeping(void)
{
    uint64_t before = gpu_allocated(gpu);
    struct gpu_memory *list[5];
    for (int i = 0; i < 5; i++) list[i] = gpu_alloc(gpu, 1000 * (uint64_t)(i + 1), i == 4 ? GPU_HOST : GPU_DEVICE);
    CHECK(gpu_allocated(gpu) - before == 10000);
    static const int order[] = {2, 0, 4, 3, 1};
    for (int i = 0; i < 5; i++) gpu_free(gpu, list[order[i]]);
    CHECK(gpu_allocated(gpu) == before);
    gpu_free(gpu, NULL);
}

// An upload waits for the work before it.
static void test_order(void)
{
    struct gpu_kernel *kernel = make_add(gpu, 1);
    struct gpu_memory *m = gpu_alloc(gpu, 4 << 20, GPU_DEVICE), *one = gpu_alloc(gpu, 4, GPU_HOST);
    struct gpu_range all = {m, 0, 4 << 20}, b = {one, 0, 4}, last = {m, (4 << 20) - 4, 4};
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, all, all, b, 1);
    gpu_list_end(list);
    gpu_submit(gpu, list);
    uint32_t value = 0;
    gpu_download(gpu, &value, last);
    CHECK(value == 1);
    gpu_submit(gpu, list);
    value = 40;
    gpu_upload(gpu, last, &value);
    gpu_submit(gpu, list);
    gpu_download(gpu, &value, last);
    CHECK(value == 41);
    gpu_list_free(gpu, list);
    gpu_free(gpu, m);
    gpu_free(gpu, one);
    gpu_kernel_free(gpu, kernel);
}

#ifndef __SANITIZE_ADDRESS__ // which itself needs more address space than the limit leaves
static void no_memory_left(void)
{
    struct rlimit limit = {UINT64_C(3) << 29, UINT64_C(3) << 29};
    gpu = open_or_stop(&(struct gpu_options){.max_allocation = 256 << 20});
    if (gpu_info(gpu)->type != GPU_SOFTWARE) _exit(0); // the limit is one of the process, not of a device
    setrlimit(RLIMIT_AS, &limit);
    struct gpu_memory *list[64];
    int n = 0;
    while (n < 64 && (list[n] = gpu_alloc(gpu, gpu_info(gpu)->max_allocation, GPU_DEVICE))) n++;
    CHECK(n < 64);
    CHECK(gpu_allocated(gpu) == (uint64_t)n * gpu_info(gpu)->max_allocation);
    struct gpu_memory *small = gpu_alloc(gpu, 4096, GPU_DEVICE);
    CHECK(small != NULL);
    gpu_close(gpu);
}
#endif

int main(void)
{
#ifndef __SANITIZE_ADDRESS__
    char text[4096];
    int status = run_child(no_memory_left, text, sizeof text);
    CHECK_SAY(status == 0, "status %x: %s", (unsigned)status, text);
#endif
    for (int staging = 0; staging < 2; staging++) {
        gpu = open_or_stop(&(struct gpu_options){.validate = true, .staging = staging});
        if (staging) CHECK(!gpu_info(gpu)->unified);
        test_zeros(GPU_DEVICE);
        test_zeros(GPU_HOST);
        test_parts(GPU_DEVICE);
        test_parts(GPU_HOST);
        test_bookkeeping();
        test_order();
        CHECK(gpu_validation_messages(gpu) <= 0);
        gpu_close(gpu);
    }
    return test_end();
}
