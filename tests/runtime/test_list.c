// SPDX-License-Identifier: MIT
//
// Lists: replay with changing memory, cuts, two alternating lists, timed lists, fills and copies, more dispatches than
// any pool holds; all under the validation layer.
#include "runtime/vulkan_private.h"
#include "runtime_test.h"

enum { COUNT = 10007 };

static struct gpu *gpu;
static struct gpu_kernel *add1, *add3;
static struct gpu_memory *data, *factor;
static struct gpu_range x, y, z, b;

// All words of a range are `want`.
static void check_words(struct gpu_range range, uint32_t want, const char *what)
{
    static uint32_t got[COUNT];
    gpu_download(gpu, got, range);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < range.bytes / 4; i++) wrong += got[i] != want;
    CHECK_SAY(wrong == 0, "%s: %llu words wrong, first %u, want %u", what, (unsigned long long)wrong, got[0], want);
}

static void fill_now(struct gpu_range range, uint32_t word)
{
    static uint32_t words[COUNT];
    for (int i = 0; i < COUNT; i++) words[i] = word;
    gpu_upload(gpu, range, words);
}

static void test_replay(void)
{
    fill_now(x, 5);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, add3, x, x, b, 1);
    gpu_list_end(list);
    CHECK(gpu_list_cuts(list) == 1);
    uint32_t want = 5;
    uint64_t last = 0;
    for (uint32_t i = 0; i < 5; i++) {
        *(uint32_t *)gpu_map(factor) = 10 * i;
        want += 3 * 10 * i + 1;
        uint64_t ticket = gpu_submit(gpu, list);
        CHECK(ticket > last);
        last = ticket;
        gpu_wait(gpu, ticket);
        CHECK(gpu_done(gpu, ticket));
    }
    check_words(x, want, "replay");
    gpu_list_free(gpu, list);
}

static void test_cuts(void)
{
    fill_now(x, 0);
    *(uint32_t *)gpu_map(factor) = 0;
    struct gpu_list *list = gpu_list_begin(gpu, false);
    for (uint32_t i = 0; i < 7; i++) {
        if (i) gpu_list_cut(list);
        add(list, add1, i % 2 ? x : y, i % 2 ? y : x, b, i);
    }
    gpu_list_end(list);
    CHECK(gpu_list_cuts(list) == 7);
    double waited = gpu_queue_seconds(gpu);
    uint64_t before = gpu->submitted, ticket = gpu_submit(gpu, list);
    CHECK(gpu_queue_seconds(gpu) > waited && gpu_queue_seconds(gpu) < waited + 60); // for four of the seven
    CHECK(ticket == before + 7 && gpu->completed + QUEUED_CUTS >= ticket); // no more than a few wait
    gpu_wait(gpu, ticket);
    check_words(y, 0 + 1 + 2 + 3 + 4 + 5 + 6, "cuts");
    gpu_list_free(gpu, list);

    // Cuts with nothing between them do no harm.
    list = gpu_list_begin(gpu, true);
    gpu_list_cut(list);
    gpu_list_cut(list);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    CHECK(gpu_list_cuts(list) == 3);
    double seconds[1];
    CHECK(gpu_list_times(gpu, list, seconds, 1) == 0);
    gpu_list_free(gpu, list);
}

// Lists that show the same ranges share their sets, and a freed list's serve others.
static void test_sets(void)
{
    struct gpu_list *lists[2];
    uint32_t made[2];
    fill_now(x, 1);
    *(uint32_t *)gpu_map(factor) = 0;
    for (int i = 0; i < 2; i++) {
        lists[i] = gpu_list_begin(gpu, false);
        add(lists[i], add1, y, x, b, 2);
        gpu_list_barrier(lists[i]);
        add(lists[i], add1, x, y, b, 3);
        gpu_list_end(lists[i]);
        made[i] = gpu_set_count(gpu);
    }
    CHECK_SAY(made[1] == made[0], "%u sets, then %u", made[0], made[1]);
    for (int i = 0; i < 2; i++) gpu_submit(gpu, lists[i]);
    gpu_wait(gpu, gpu->submitted);
    check_words(x, 1 + 2 * 5, "shared sets");
    // One of the two is freed: the other's sets stay its own, whatever is recorded next.
    gpu_list_free(gpu, lists[0]);
    struct gpu_memory *third = gpu_alloc(gpu, 4 * COUNT, GPU_DEVICE);
    struct gpu_range t = {third, 0, 4 * COUNT};
    struct gpu_list *next = gpu_list_begin(gpu, false);
    add(next, add1, t, x, b, 2);
    gpu_list_barrier(next);
    add(next, add1, t, y, b, 3);
    gpu_list_end(next);
    gpu_wait(gpu, gpu_submit(gpu, lists[1]));
    check_words(x, 1 + 3 * 5, "what is left of two lists");
    gpu_list_free(gpu, next);
    gpu_list_free(gpu, lists[1]);
    gpu_free(gpu, third);
    uint32_t before = gpu_set_count(gpu);
    // Other memory, which may lie where freed memory did.
    for (uint32_t i = 0; i < 4; i++) {
        struct gpu_memory *other = gpu_alloc(gpu, 4 * COUNT, GPU_DEVICE);
        struct gpu_range o = {other, 0, 4 * COUNT};
        struct gpu_list *list = gpu_list_begin(gpu, false);
        add(list, add1, o, x, b, i);
        gpu_list_end(list);
        gpu_wait(gpu, gpu_submit(gpu, list));
        check_words(o, 16 + i, "a set filled anew");
        gpu_list_free(gpu, list);
        gpu_free(gpu, other);
    }
    CHECK_SAY(gpu_set_count(gpu) == before, "%u sets, then %u", before, gpu_set_count(gpu));
}

// Sets of many bindings use up a pool's descriptors before its sets: what is left of it is not counted.
static void test_large_sets(void)
{
    enum { MANY = 130 };
    struct gpu_memory *m = gpu_alloc(gpu, 256 * (MANY + GPU_MAX_BINDINGS), GPU_DEVICE);
    struct gpu_kernel *kernel = gpu_kernel_make(gpu, "cache_append", (uint32_t[]){64}, 1, 0);
    struct gpu_set *sets[MANY];
    uint32_t before = 0; // once what others have freed is in use again
    for (uint32_t i = 0; i < MANY; i++) {
        struct gpu_range ranges[GPU_MAX_BINDINGS];
        for (uint32_t k = 0; k < kernel->bindings; k++) ranges[k] = (struct gpu_range){m, 256 * (i + k), 256};
        sets[i] = set_share(gpu, ranges, kernel->bindings);
        if (i == 0) before = gpu_set_count(gpu);
    }
    CHECK_SAY(gpu_set_count(gpu) == before + MANY - 1, "%u sets, then %u", before, gpu_set_count(gpu));
    for (uint32_t i = 0; i < MANY; i++) set_release(gpu, sets[i]);
    CHECK(kernel->bindings == 7);
    gpu_kernel_free(gpu, kernel);
    gpu_free(gpu, m);
}

static void test_check(void)
{
    fill_now(x, 3);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, add1, x, x, b, 1);
    gpu_list_end(list);
    uint64_t ticket = gpu_submit(gpu, list);
    gpu_check(gpu);
    CHECK(gpu->completed > ticket && gpu_done(gpu, ticket));
    gpu_list_free(gpu, list);
}

// Two recordings alternate; each submission sees what the one before it wrote, and at most two are under way.
static void test_alternating(void)
{
    fill_now(x, 0);
    *(uint32_t *)gpu_map(factor) = 2;
    struct gpu_list *lists[2];
    for (int i = 0; i < 2; i++) {
        lists[i] = gpu_list_begin(gpu, false);
        add(lists[i], i ? add3 : add1, i ? x : y, i ? y : x, b, 1);
        gpu_list_end(lists[i]);
    }
    uint64_t tickets[2] = {0, 0};
    for (int i = 0; i < 100; i++) {
        gpu_wait(gpu, tickets[i % 2]);
        tickets[i % 2] = gpu_submit(gpu, lists[i % 2]);
    }
    check_words(x, 50 * (2 + 1) + 50 * (6 + 1), "alternating");
    CHECK(gpu_done(gpu, tickets[0]) && gpu_done(gpu, tickets[1]));
    gpu_list_free(gpu, lists[0]);
    gpu_list_free(gpu, lists[1]);
}

static void test_fill_and_copy(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_fill(list, x, 0xdeadbeef);
    gpu_list_barrier(list);
    // The middle third of x to the start of y, at offsets that no binding could have.
    gpu_list_copy(list, (struct gpu_range){data, y.offset, 4000}, (struct gpu_range){data, x.offset + 12, 4000});
    gpu_list_fill(list, (struct gpu_range){data, x.offset + 12 + 4000, 8}, 1);
    gpu_list_end(list);
    fill_now(y, 7);
    gpu_wait(gpu, gpu_submit(gpu, list));
    check_words((struct gpu_range){data, y.offset, 4000}, 0xdeadbeef, "copied");
    check_words((struct gpu_range){data, y.offset + 4000, 4 * 100}, 7, "behind the copy");
    check_words((struct gpu_range){data, x.offset + 4012, 8}, 1, "filled");
    check_words((struct gpu_range){data, x.offset + 4020, 4000}, 0xdeadbeef, "behind the fill");
    gpu_list_free(gpu, list);
}

// More dispatches than a pool of sets, queries or names holds, over three cuts.
static void test_many(bool timed)
{
    enum { MANY = 1000 };
    fill_now(x, 0);
    *(uint32_t *)gpu_map(factor) = 10;
    struct gpu_range few = {data, x.offset, 256};
    struct gpu_list *list = gpu_list_begin(gpu, timed);
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 400 == 399) gpu_list_cut(list);
        add(list, i % 3 ? add1 : add3, few, few, b, i);
        gpu_list_barrier(list);
    }
    gpu_list_end(list);
    static double seconds[MANY + 1];
    CHECK(gpu_list_times(gpu, list, seconds, MANY + 1) == 0);
    for (int round = 0; round < 2; round++) gpu_wait(gpu, gpu_submit(gpu, list));
    uint32_t threes = (MANY + 2) / 3; // dispatches of add3
    check_words(few, 2 * (MANY * (MANY - 1) / 2 + 30 * threes + 10 * (MANY - threes)), "many");
    bool times = timed && gpu_info(gpu)->timestamp_seconds > 0;
    CHECK(gpu_list_times(gpu, list, seconds, MANY + 1) == (times ? MANY : 0));
    int bad = 0;
    for (int i = 0; times && i < MANY; i++) bad += !(seconds[i] >= 0 && seconds[i] < 1);
    CHECK_SAY(bad == 0, "%d times that cannot be", bad);
    if (times) CHECK(gpu_list_times(gpu, list, seconds, 3) == 3);
    gpu_list_free(gpu, list);
}

// A dispatch over more elements takes longer: the times are those of their dispatches.
static void test_times(void)
{
    if (gpu_info(gpu)->timestamp_seconds == 0) return;
    struct gpu_memory *large = gpu_alloc(gpu, 32 << 20, GPU_DEVICE);
    struct gpu_range all = {large, 0, 32 << 20}, few = {large, 0, 256};
    struct gpu_list *list = gpu_list_begin(gpu, true);
    for (int i = 0; i < 6; i++) {
        add(list, add1, i % 2 ? all : few, i % 2 ? all : few, b, 1);
        gpu_list_barrier(list);
    }
    gpu_list_end(list);
    for (int round = 0; round < 2; round++) gpu_wait(gpu, gpu_submit(gpu, list));
    double seconds[6], small = 1, big = 1;
    CHECK(gpu_list_times(gpu, list, seconds, 6) == 6);
    for (int i = 0; i < 3; i++) {
        small = seconds[2 * i] < small ? seconds[2 * i] : small;
        big = seconds[2 * i + 1] < big ? seconds[2 * i + 1] : big;
    }
    CHECK_SAY(big > small, "small %g s, big %g s", small, big);
    gpu_list_free(gpu, list);
    gpu_free(gpu, large);
}

int main(void)
{
    for (int staging = 0; staging < 2; staging++) {
        gpu = open_or_stop(&(struct gpu_options){.validate = true, .staging = staging, .max_range = 65536});
        add1 = make_add(gpu, 1);
        add3 = make_add(gpu, 3);
        data = gpu_alloc(gpu, 3 * 65536, GPU_DEVICE);
        factor = gpu_alloc(gpu, 4, GPU_HOST);
        x = (struct gpu_range){data, 0, 4 * COUNT};
        y = (struct gpu_range){data, 65536, 4 * COUNT};
        z = (struct gpu_range){data, 2 * 65536, 65536};
        b = (struct gpu_range){factor, 0, 4};
        test_replay();
        test_cuts();
        test_sets();
        test_large_sets();
        test_check();
        test_alternating();
        test_fill_and_copy();
        test_many(false);
        test_many(true);
        check_words((struct gpu_range){data, z.offset, 4 * COUNT}, 0, "never written");
        gpu_free(gpu, data);
        gpu_free(gpu, factor);
        gpu_kernel_free(gpu, add1);
        gpu_kernel_free(gpu, add3);
        CHECK(gpu_validation_messages(gpu) <= 0);
        gpu_close(gpu);
    }
    gpu = open_or_stop(&(struct gpu_options){0});
    add1 = make_add(gpu, 1);
    factor = gpu_alloc(gpu, 4, GPU_HOST);
    b = (struct gpu_range){factor, 0, 4};
    test_times();
    gpu_kernel_free(gpu, add1);
    gpu_close(gpu);
    return test_end();
}
