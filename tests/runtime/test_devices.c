// SPDX-License-Identifier: MIT
//
// Listing and choosing devices, and what the chosen one says of itself.
#include "runtime_test.h"

#include <ctype.h>

static struct gpu_info devices[GPU_MAX_DEVICES];
static int count;

static void test_listing(void)
{
    char error[1024];
    count = gpu_list_devices(devices, GPU_MAX_DEVICES, error, sizeof error);
    CHECK_SAY(count > 0, "%s", error);
    for (int i = 0; i < count; i++) {
        const struct gpu_info *d = &devices[i];
        printf("%d: %s (%s), %s\n", d->index, d->name, gpu_type_name(d->type), d->driver);
        CHECK(d->index == i);
        CHECK(d->name[0]);
        CHECK(d->alignment > 0 && d->alignment <= 256);
        CHECK(d->max_range >= (UINT64_C(1) << 27) - 256 && d->max_range % 256 == 0);
        CHECK(d->max_allocation >= UINT64_C(1) << 28 && d->max_allocation <= d->heap_bytes);
        CHECK(d->max_groups >= 65535);
        CHECK(d->max_shared >= 16384 && d->max_invocations >= 128 && d->max_group_size >= 128);
        CHECK(d->subgroup_size > 0 && (d->subgroup_size & (d->subgroup_size - 1)) == 0);
        CHECK(d->subgroup_min <= d->subgroup_size && d->subgroup_size <= d->subgroup_max);
        for (uint32_t m = 0; m < d->matrix_count; m++) {
            CHECK(d->matrices[m].m > 0 && d->matrices[m].n > 0 && d->matrices[m].k > 0);
            CHECK(d->matrices[m].ab == GPU_F16 || d->matrices[m].ab == GPU_BF16);
        }
    }
    CHECK(gpu_list_devices(devices, GPU_MAX_DEVICES, NULL, 0) == count);
    struct gpu_info first;
    CHECK(gpu_list_devices(&first, 1, error, sizeof error) == 1);
    CHECK_STRING(first.name, devices[0].name);
}

static void check_choice(const char *wanted, int want)
{
    struct gpu *gpu = open_or_stop(&(struct gpu_options){.device = wanted});
    CHECK_SAY(gpu_info(gpu)->index == want, "\"%s\" chose %d, want %d", wanted, gpu_info(gpu)->index, want);
    gpu_close(gpu);
}

static void test_choosing(void)
{
    static const int rank[] = {
        [GPU_DISCRETE] = 4, [GPU_INTEGRATED] = 3, [GPU_VIRTUAL] = 2, [GPU_OTHER] = 1, [GPU_SOFTWARE] = 0};
    int best = 0;
    for (int i = 1; i < count; i++) best = rank[devices[i].type] > rank[devices[best].type] ? i : best;
    check_choice(NULL, best);
    check_choice("auto", best);
    char text[16];
    snprintf(text, sizeof text, "%d", count - 1);
    check_choice(text, count - 1);
    // A part of the name from its second letter on, in capitals.
    snprintf(text, sizeof text, "%.8s", devices[0].name + 1);
    for (char *c = text; *c; c++) *c = (char)toupper((unsigned char)*c);
    if (count == 1) check_choice(text, 0);

    char error[1024];
    CHECK(gpu_open(&(struct gpu_options){.device = "no such device"}, error, sizeof error) == NULL);
    CHECK_SAY(strstr(error, "no such device") && strstr(error, devices[0].name), "%s", error);
    snprintf(text, sizeof text, "%d", count);
    CHECK(gpu_open(&(struct gpu_options){.device = text}, error, sizeof error) == NULL);
    CHECK(gpu_open(&(struct gpu_options){.device = "99999999999999999999"}, error, sizeof error) == NULL);
    char small[8] = "1234567";
    CHECK(gpu_open(&(struct gpu_options){.device = "no such device"}, small, 4) == NULL);
    CHECK(small[3] == 0 && small[4] == '5');
    CHECK(gpu_open(&(struct gpu_options){.device = "no such device"}, NULL, 0) == NULL);
}

static void test_limits(void)
{
    struct gpu *gpu = open_or_stop(&(struct gpu_options){.max_range = 4096, .max_allocation = 1 << 20});
    CHECK(gpu_info(gpu)->max_range == 4096 && gpu_info(gpu)->max_allocation == 1 << 20);
    gpu_close(gpu);
    gpu = open_or_stop(&(struct gpu_options){.max_range = UINT64_MAX, .max_allocation = UINT64_MAX});
    CHECK(gpu_info(gpu)->max_range == devices[gpu_info(gpu)->index].max_range);
    CHECK(gpu_info(gpu)->max_allocation == devices[gpu_info(gpu)->index].max_allocation);
    gpu_close(gpu);
    // Two at the same time do not disturb each other.
    struct gpu *a = open_or_stop(&(struct gpu_options){0}), *b = open_or_stop(&(struct gpu_options){0});
    gpu_close(a);
    struct gpu_memory *m = gpu_alloc(b, 64, GPU_DEVICE);
    CHECK(m != NULL);
    gpu_close(b);
}

// What --full-speed asks for reaches those who cut lists by time (test_variants.c), and nobody has it unasked.
static void test_full_speed(void)
{
    for (int asked = 0; asked < 2; asked++) {
        struct gpu *gpu = open_or_stop(&(struct gpu_options){.full_speed = asked});
        CHECK(gpu_info(gpu)->full_speed == asked);
        gpu_close(gpu);
    }
}

static void no_driver(void)
{
    setenv("VK_DRIVER_FILES", "/dev/null", 1);
    setenv("VK_ICD_FILENAMES", "/dev/null", 1);
    char error[1024] = "";
    CHECK(gpu_list_devices(devices, GPU_MAX_DEVICES, error, sizeof error) == 0);
    CHECK_SAY(strstr(error, "driver"), "%s", error);
    error[0] = 0;
    CHECK(gpu_open(&(struct gpu_options){0}, error, sizeof error) == NULL);
    CHECK_SAY(strstr(error, "driver"), "%s", error);
}

int main(void)
{
    char text[4096];
    CHECK(run_child(no_driver, text, sizeof text) == 0);
    test_listing();
    test_choosing();
    test_limits();
    test_full_speed();
    return test_end();
}
