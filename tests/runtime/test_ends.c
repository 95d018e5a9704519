// SPDX-License-Identifier: MIT
//
// The ends of a program: closing leaves nothing behind; a failing driver is named; misuse stops at once.
#include "runtime/vulkan_private.h"
#include "runtime_test.h"

static struct gpu *gpu;
static struct gpu_kernel *kernel;
static struct gpu_memory *memory;
static struct gpu_range x, y, b;

static void open_all(bool validate)
{
    gpu = open_or_stop(&(struct gpu_options){.validate = validate, .max_range = 4096, .max_allocation = 1 << 20});
    kernel = make_add(gpu, 1);
    memory = gpu_alloc(gpu, 16384, GPU_DEVICE);
    x = (struct gpu_range){memory, 0, 4096};
    y = (struct gpu_range){memory, 4096, 4096};
    b = (struct gpu_range){memory, 8192, 4};
}

// The layer complains on stderr about what is left when device and instance go; memory is freed by gpu_close.
static void close_all(void)
{
    open_all(true);
    struct gpu_memory *more = gpu_alloc(gpu, 100, GPU_HOST);
    CHECK(more != NULL);
    struct gpu_list *list = gpu_list_begin(gpu, true);
    add(list, kernel, y, x, b, 1);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    gpu_list_free(gpu, list);
    gpu_list_free(gpu, gpu_list_begin(gpu, true)); // never ended
    gpu_kernel_free(gpu, kernel);
    gpu_close(gpu);
}

static bool free_list;

static void driver_fails(void)
{
    open_all(false);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, y, x, b, 1);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    if (free_list) gpu_list_free(gpu, list);
    VkResult result = VK_ERROR_DEVICE_LOST;
    VK(gpu, result);
}

// ---- a device that is lost ------------------------------------------------------------------------------------------

static uint64_t reached;  // by the timeline, as the driver says
static VkResult waited;   // what it says of a wait

static VkResult VKAPI_CALL say_reached(VkDevice device, VkSemaphore semaphore, uint64_t *value)
{
    (void)device, (void)semaphore;
    *value = reached;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL say_waited(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout)
{
    (void)device, (void)info, (void)timeout;
    return waited;
}

static VkResult VKAPI_CALL lose_device(VkQueue queue, uint32_t count, const VkSubmitInfo *submits, VkFence fence)
{
    (void)queue, (void)count, (void)submits, (void)fence;
    return VK_ERROR_DEVICE_LOST;
}

// A list of three submissions, then one of one; the driver comes to its `reached`th and no further.
static void loses_device(void)
{
    open_all(false);
    struct gpu_kernel *fill = gpu_kernel_make(gpu, "fill", (uint32_t[]){64, 0, 0}, 3, 0);
    const uint64_t before = gpu->submitted; // after what making a kernel submits
    struct gpu_list *lists[2];
    for (int i = 0; i < 2; i++) {
        lists[i] = gpu_list_begin(gpu, false);
        add(lists[i], kernel, y, x, b, 1);
        if (i == 1) break;
        gpu_list_cut(lists[i]);
        gpu_list_dispatch(lists[i], fill, (struct gpu_range[]){b, x}, 2, (uint32_t[]){4, 0}, 8, 1, 1, 1);
        gpu_list_dispatch(lists[i], fill, (struct gpu_range[]){b, y}, 2, (uint32_t[]){4, 0}, 8, 1, 1, 1);
        gpu_list_cut(lists[i]);
        add(lists[i], kernel, x, y, b, 1);
    }
    for (int i = 0; i < 2; i++) gpu_list_end(lists[i]);
    gpu_submit(gpu, lists[0]);
    gpu->semaphore_value = say_reached;
    reached += before;
    uint64_t ticket = gpu_submit(gpu, lists[1]);
    gpu->wait_semaphores = say_waited;
    waited = VK_ERROR_DEVICE_LOST;
    gpu_wait(gpu, ticket);
}

// Waits succeed all the same; what comes after them tells.
static void loses_device_silently(void)
{
    open_all(false);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, y, x, b, 1);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    vkQueueSubmit = lose_device;
    gpu_check(gpu);
}

// The driver says that more is done than was submitted.
static void counts_beyond(void)
{
    open_all(false);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, y, x, b, 1);
    gpu_list_end(list);
    uint64_t ticket = gpu_submit(gpu, list);
    reached = UINT64_MAX;
    gpu->semaphore_value = say_reached;
    gpu_done(gpu, ticket);
}

static void test_lost(void)
{
    static char text[8192];
    void (*const ways[])(void) = {loses_device, loses_device, loses_device_silently, counts_beyond};
    // The first submission that is not done: of two fills, or after it.
    static const char *const says[] = {"(2 of 3 of a list, 2 kernels):\n  fill (2)\n", "(3 of 3 of a list, 1 kernels):\n  test_add (1)\n",
        "vkQueueSubmit", "vkGetSemaphoreCounterValue"};
    for (int i = 0; i < 4; i++) {
        reached = (uint64_t)i + 1;
        int status = run_child(ways[i], text, sizeof text);
        CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 3 && strstr(text, "VK_ERROR_DEVICE_LOST"), "way %d: status %x: %s",
            i, (unsigned)status, text);
        CHECK_SAY(strstr(text, says[i]) != NULL, "way %d: %s", i, text);
    }
}

static void too_few_ranges(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(list, kernel, (struct gpu_range[]){x, b}, 2, &(struct add_args){1, 1}, 8, 1, 1, 1);
}

static void wrong_push(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(list, kernel, (struct gpu_range[]){x, b, y}, 3, &(struct add_args){1, 1}, 4, 1, 1, 1);
}

static void too_many_groups(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(list, kernel, (struct gpu_range[]){x, b, y}, 3, &(struct add_args){1, 1}, 8,
        gpu_info(gpu)->max_groups + 1, 1, 1);
}

static void no_groups(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(list, kernel, (struct gpu_range[]){x, b, y}, 3, &(struct add_args){1, 1}, 8, 1, 0, 1);
}

static void misaligned(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, (struct gpu_range){memory, 128, 4}, x, b, 1);
}

static void beyond_memory(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, (struct gpu_range){memory, 16384 - 256, 260}, x, b, 1);
}

static void beyond_max_range(void)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    add(list, kernel, (struct gpu_range){memory, 4096, 4100}, x, b, 1);
}

static void beyond_max_allocation(void)
{
    gpu_alloc(gpu, (1 << 20) + 4, GPU_DEVICE);
}

static void overlapping_copy(void)
{
    gpu_list_copy(gpu_list_begin(gpu, false), (struct gpu_range){memory, 4, 8}, (struct gpu_range){memory, 8, 8});
}

static void no_such_shader(void)
{
    gpu_kernel_make(gpu, "no_such_shader", (uint32_t[]){64}, 1, 0);
}

static void group_too_large(void)
{
    gpu_kernel_make(gpu, "test_add", (uint32_t[]){gpu_info(gpu)->max_invocations * 2}, 1, 0);
}

static void submitted_before_its_end(void)
{
    gpu_submit(gpu, gpu_list_begin(gpu, false));
}

static void future_ticket(void)
{
    gpu_wait(gpu, gpu->submitted + 1);
}

static void list_left(void)
{
    gpu_list_begin(gpu, false);
    gpu_kernel_free(gpu, kernel);
    gpu_close(gpu);
}

int main(void)
{
    char text[8192];
    int status = run_child(close_all, text, sizeof text);
    CHECK_SAY(status == 0 && !strstr(text, "validation"), "status %x: %s", (unsigned)status, text);

    struct gpu_info devices[GPU_MAX_DEVICES];
    int count = gpu_list_devices(devices, GPU_MAX_DEVICES, NULL, 0);
    for (int freed = 0; freed < 2; freed++) {
        free_list = freed;
        status = run_child(driver_fails, text, sizeof text);
        CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %x: %s", (unsigned)status, text);
        CHECK_SAY(strstr(text, "result returned VK_ERROR_DEVICE_LOST") && strstr(text, "test_add"), "%s", text);
        CHECK_SAY((strstr(text, "the last submission (1 of 1 of a list, 1 kernels):\n  test_add (1)") == NULL) == freed, "%s", text);
        bool named = false;
        for (int i = 0; i < count; i++) named |= strstr(text, devices[i].name) != NULL;
        CHECK_SAY(named, "%s", text);
    }

    test_lost();

    // A child of a process that has opened a device cannot use it, but these end before they come to the driver.
    open_all(false);
    void (*const misuse[])(void) = {too_few_ranges, wrong_push, too_many_groups, no_groups, misaligned, beyond_memory,
        beyond_max_range, beyond_max_allocation, overlapping_copy, no_such_shader, group_too_large,
        submitted_before_its_end, future_ticket, list_left};
    for (size_t i = 0; i < sizeof misuse / sizeof *misuse; i++) {
        status = run_child(misuse[i], text, sizeof text);
        CHECK_SAY(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, "ssert"),
            "case %zu: status %x: %s", i, (unsigned)status, text);
    }
    gpu_kernel_free(gpu, kernel);
    gpu_close(gpu);
    return test_end();
}
