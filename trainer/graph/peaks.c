// SPDX-License-Identifier: MIT
#include "peaks.h"

#include "args.h"
#include "coopmat.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 20      // of which the best counts: other programs may be at work
#define FEW_TRIES 3   // while the right length is looked for
#define ENOUGH_SECONDS 0.01 // of one dispatch: well above its overhead, well below what a watchdog minds
#define EMPTY_DISPATCHES 1000
#define STREAM_BYTES (UINT64_C(128) << 20)

struct bench {
    struct gpu *gpu;
    struct limits limits;
    struct gpu_memory *live, *from, *to;
    uint64_t bytes; // of from and to
    double submit;
    bool timestamps;
};

// One kernel's dispatch, as it is tried again and again.
struct trial {
    const char *kernel;
    uint32_t group, subgroup;               // lanes of a workgroup; required subgroup size or 0
    uint32_t constants[3], constant_count;  // from id 2 on
    struct bench_args args;
    uint64_t groups;
};

static struct gpu_list *record(struct bench *b, struct gpu_kernel *kernel, const struct trial *t, uint32_t times)
{
    // The kernels of arithmetic have no third binding.
    bool stream = strcmp(t->kernel, "bench_stream") == 0;
    struct gpu_range first = {b->from, 0, b->bytes}, second = {b->to, 0, b->bytes};
    struct gpu_range ranges[3] = {{b->live, 0, sizeof(struct live_block)}, stream ? first : second, second};
    struct gpu_list *list = gpu_list_begin(b->gpu, times == 1);
    for (uint32_t i = 0; i < times; i++) {
        gpu_list_dispatch(
            list, kernel, ranges, stream ? 3 : 2, &t->args, sizeof t->args, (uint32_t)t->groups, 1, 1);
        gpu_list_barrier(list);
    }
    gpu_list_end(list);
    return list;
}

static struct gpu_kernel *kernel_make(struct bench *b, const struct trial *t)
{
    uint32_t constants[5] = {t->group, 0, t->constants[0], t->constants[1], t->constants[2]};
    return gpu_kernel_make(b->gpu, t->kernel, constants, 2 + t->constant_count, t->subgroup);
}

// Least seconds of one dispatch in so many submissions.
static double seconds_of(struct bench *b, struct gpu_kernel *kernel, const struct trial *t, int tries)
{
    struct gpu_list *list = record(b, kernel, t, 1);
    double least = 1e30;
    for (int i = 0; i < tries; i++) {
        double began = clock_seconds(), seconds = 0;
        gpu_wait(b->gpu, gpu_submit(b->gpu, list));
        double wall = clock_seconds() - began - b->submit;
        if (!b->timestamps || gpu_list_times(b->gpu, list, &seconds, 1) == 0) seconds = wall;
        if (seconds > 0 && seconds < least) least = seconds;
    }
    gpu_list_free(b->gpu, list);
    return least;
}

// Rounds a second of every lane or subgroup together: as many in a dispatch as take long enough.
static double rounds(struct bench *b, struct trial *t)
{
    struct gpu_kernel *kernel = kernel_make(b, t);
    while (seconds_of(b, kernel, t, FEW_TRIES) < ENOUGH_SECONDS && t->args.count < 1u << 24) t->args.count *= 2;
    double seconds = seconds_of(b, kernel, t, TRIES);
    gpu_kernel_free(b->gpu, kernel);
    return t->args.count / seconds;
}

static double arithmetic(struct bench *b, const char *name)
{
    struct trial t = {.kernel = name, .group = b->limits.group, .args = {.count = 1, .scale = 0.5f, .shift = 1}};
    uint64_t lanes = b->limits.software ? 16384 : 1048576; // each writes 16 bytes of `to`
    t.groups = (lanes < b->bytes / 16 ? lanes : b->bytes / 16) / t.group;
    return 2.0 * BENCH_FMAS * (double)(t.groups * t.group) * rounds(b, &t);
}

static double matrices(struct bench *b, enum products products)
{
    struct gpu_matrix x;
    uint32_t lanes;
    const struct gpu_info *info = b->limits.info;
    if (b->limits.software || !coopmat_unit(info, products, &x, &lanes)) return 0;
    uint32_t subgroups = 4; // of a workgroup: one for each of the schedulers that many devices have
    while (subgroups > 1 && (subgroups * lanes > info->max_invocations || subgroups * lanes > info->max_group_size)) subgroups /= 2;
    uint64_t most = b->bytes / (4 * (uint64_t)x.m * x.n), wanted = b->limits.software ? 256 : 16384;
    struct trial t = {.kernel = products == PRODUCTS_BF16 ? "bench_matrix_bf16" : "bench_matrix_fp16",
        .group = subgroups * lanes,
        .subgroup = info->subgroup_control ? lanes : 0,
        .constants = {x.m, x.n, x.k},
        .constant_count = 3,
        .args = {.count = 1, .scale = 0.5f, .shift = 0.25f},
        .groups = (wanted < most ? wanted : most) / subgroups};
    return 2.0 * BENCH_MATRICES * x.m * x.n * x.k * (double)(t.groups * subgroups) * rounds(b, &t);
}

static double stream(struct bench *b, bool copy)
{
    struct trial t = {.kernel = "bench_stream", .group = b->limits.group, .constants = {copy}, .constant_count = 1, .args.count = (uint32_t)(b->bytes / 16)};
    // A CPU wants few long pieces, a GPU many short ones.
    t.groups = t.args.count / b->limits.group / (b->limits.software ? 256 : 16);
    if (t.groups == 0) t.groups = 1;
    if (t.groups > b->limits.max_groups) t.groups = b->limits.max_groups;
    struct gpu_kernel *kernel = kernel_make(b, &t);
    double seconds = seconds_of(b, kernel, &t, TRIES);
    gpu_kernel_free(b->gpu, kernel);
    return (copy ? 2.0 : 1.0) * (double)b->bytes / seconds;
}

// The host's least seconds from submitting to the end of waiting.
static double list_seconds(struct bench *b, struct gpu_list *list, int tries)
{
    double least = 1e30;
    for (int i = 0; i < tries; i++) {
        double began = clock_seconds();
        gpu_wait(b->gpu, gpu_submit(b->gpu, list));
        double seconds = clock_seconds() - began;
        if (seconds < least) least = seconds;
    }
    return least;
}

static double submission(struct bench *b)
{
    struct gpu_list *list = gpu_list_begin(b->gpu, false);
    gpu_list_end(list);
    double seconds = list_seconds(b, list, 100);
    gpu_list_free(b->gpu, list);
    return seconds;
}

static double empty_dispatch(struct bench *b)
{
    struct trial t = {.kernel = "bench_stream", .group = b->limits.group, .constants = {1}, .constant_count = 1, .groups = 1};
    struct gpu_kernel *kernel = kernel_make(b, &t);
    struct gpu_list *list = record(b, kernel, &t, EMPTY_DISPATCHES);
    double seconds = (list_seconds(b, list, 5) - b->submit) / EMPTY_DISPATCHES;
    gpu_list_free(b->gpu, list);
    gpu_kernel_free(b->gpu, kernel);
    return seconds > 0 ? seconds : 0;
}

int peaks_measure(struct peaks *peaks, struct gpu *gpu, struct error *e)
{
    const struct gpu_info *info = gpu_info(gpu);
    struct bench b = {.gpu = gpu, .limits = limits_of(info), .bytes = STREAM_BYTES, .timestamps = info->timestamp_seconds > 0};
    *peaks = (struct peaks){.timestamps = b.timestamps};
    if (b.bytes > info->max_range) b.bytes = info->max_range;
    if (b.bytes > info->max_allocation) b.bytes = info->max_allocation;
    if (b.bytes > info->heap_bytes / 8) b.bytes = info->heap_bytes / 8;
    b.bytes = b.bytes / 4096 * 4096;
    b.live = gpu_alloc(gpu, sizeof(struct live_block), GPU_DEVICE);
    b.from = gpu_alloc(gpu, b.bytes, GPU_DEVICE);
    b.to = gpu_alloc(gpu, b.bytes, GPU_DEVICE);
    int status = 0;
    if (b.live && b.from && b.to) {
        peaks->submit = b.submit = submission(&b);
        peaks->dispatch = empty_dispatch(&b);
        peaks->flops = arithmetic(&b, "bench_fma");
        if (info->float16) peaks->flops16 = arithmetic(&b, "bench_fma16");
        for (enum products p = PRODUCTS_FP16; p <= PRODUCTS_BF16; p++) peaks->matrix[p] = matrices(&b, p);
        peaks->copy = stream(&b, true);
        peaks->read = stream(&b, false);
    } else {
        status = error_set(e, "%s: no memory left for two arrays of %.0f MB to measure it with", info->name, (double)b.bytes * 1e-6);
    }
    struct gpu_memory *all[] = {b.live, b.from, b.to};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) gpu_free(gpu, all[i]);
    return status;
}
