// SPDX-License-Identifier: MIT
//
// Lists: replay, cuts, two alternating lists, timed lists; all under the validation layer.
#include "runtime/gpu.h"
#include "test.h"

struct add_args {
    uint32_t count, plus;
};

enum { COUNT = 10000 };

static struct gpu *gpu;

static void test_replay(void)
{
    uint32_t constants[2] = {64, 3};
    struct gpu_kernel *add = gpu_kernel_make(gpu, "test_add", constants, 2, 0);
    struct gpu_memory *a = gpu_alloc(gpu, 4 * COUNT, GPU_DEVICE), *b = gpu_alloc(gpu, 4, GPU_HOST);
    struct gpu_range ra = {a, 0, 4 * COUNT}, rb = {b, 0, 4};
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(list, add, (struct gpu_range[]){ra, rb, ra}, 3, &(struct add_args){COUNT, 1}, 8, 157, 1, 1);
    gpu_list_end(list);
    CHECK(gpu_list_cuts(list) == 1);
    uint32_t want = 0;
    for (uint32_t i = 0; i < 5; i++) {
        *(uint32_t *)gpu_map(b) = 10 * i;
        want += 3 * 10 * i + 1;
        uint64_t ticket = gpu_submit(gpu, list);
        CHECK(ticket > 0);
        gpu_wait(gpu, ticket);
        CHECK(gpu_done(gpu, ticket));
    }
    uint32_t got[COUNT];
    gpu_download(gpu, got, ra);
    int wrong = 0;
    for (int i = 0; i < COUNT; i++) wrong += got[i] != want;
    CHECK_SAY(wrong == 0, "%d wrong, first %u, want %u", wrong, got[0], want);
    gpu_list_free(gpu, list);
    gpu_kernel_free(gpu, add);
    gpu_free(gpu, a);
    gpu_free(gpu, b);
}

int main(void)
{
    char error[1024];
    gpu = gpu_open(&(struct gpu_options){.validate = true}, error, sizeof error);
    if (!gpu) {
        printf("%s\n", error);
        return 1;
    }
    test_replay();
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    return test_end();
}
