// SPDX-License-Identifier: MIT
//
// runtime_test.h: what the runtime's tests share: the adding kernel, and functions run in a process of their own, for
// what is meant to end it.
#ifndef PUMICE_RUNTIME_TEST_H
#define PUMICE_RUNTIME_TEST_H

#include "runtime/gpu.h"
#include "test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
// Drivers and validation layers do not free everything they hold.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

// test_add.comp: o[i] = a[i] + factor * b[0] + plus for i < count.
struct add_args {
    uint32_t count, plus;
};

static inline struct gpu_kernel *make_add(struct gpu *gpu, uint32_t factor)
{
    return gpu_kernel_make(gpu, "test_add", (uint32_t[]){64, factor}, 2, 0);
}

// Adds with `o` as long as it is; the grid in two dimensions.
static inline void add(struct gpu_list *list, const struct gpu_kernel *kernel, struct gpu_range o, struct gpu_range a,
    struct gpu_range b, uint32_t plus)
{
    uint32_t count = (uint32_t)(o.bytes / 4), groups = (count + 63) / 64;
    gpu_list_dispatch(list, kernel, (struct gpu_range[]){a, b, o}, 3, &(struct add_args){count, plus},
        sizeof(struct add_args), 8, (groups + 7) / 8, 1);
}

static inline struct gpu *open_or_stop(const struct gpu_options *options)
{
    char error[1024];
    struct gpu *gpu = gpu_open(options, error, sizeof error);
    if (!gpu) {
        printf("%s\n", error);
        exit(1);
    }
    return gpu;
}

// Runs `body` in a child; what it writes on stderr goes to `text`, ended by 0. Returns the status of waitpid.
static inline int run_child(void (*body)(void), char *text, size_t bytes)
{
    int ends[2];
    fflush(stdout);
    if (pipe(ends) < 0) exit(1);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        test_failures = 0;
        body();
        fflush(stdout);
        _exit(test_failures ? 1 : 0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n; (n = read(ends[0], text + used, bytes - 1 - used)) > 0;) used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

#endif
