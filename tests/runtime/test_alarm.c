// SPDX-License-Identifier: MIT
//
// The alarm: barriers are left out on purpose, and the validation layer must say so; with the barriers in place it must
// be silent. Without this test a layer that sees nothing would look like a program that does everything right.
#include "runtime/vulkan_private.h"
#include "runtime_test.h"

enum { COUNT = 1000 };

static struct gpu *gpu;
static struct gpu_kernel *kernel;
static struct gpu_memory *memory;
static struct gpu_range x, y, one;

static void step(struct gpu_list *list, struct gpu_range to, struct gpu_range from)
{
    add(list, kernel, to, from, one, 1);
}

// Runs a list that `record` fills; returns the number of messages it caused.
static int messages_of(void (*record)(struct gpu_list *, bool), bool barriers)
{
    int before = gpu_validation_messages(gpu);
    struct gpu_list *list = gpu_list_begin(gpu, false);
    record(list, barriers);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    gpu_list_free(gpu, list);
    return gpu_validation_messages(gpu) - before;
}

static void write_then_read(struct gpu_list *list, bool barriers)
{
    step(list, y, x);
    if (barriers) gpu_list_barrier(list);
    step(list, x, y);
}

static void read_then_write(struct gpu_list *list, bool barriers)
{
    step(list, y, x);
    if (barriers) gpu_list_barrier(list);
    gpu_list_fill(list, x, 1);
}

static void fill_then_read(struct gpu_list *list, bool barriers)
{
    gpu_list_fill(list, x, 1);
    if (barriers) gpu_list_barrier(list);
    step(list, y, x);
}

static void write_then_copy(struct gpu_list *list, bool barriers)
{
    step(list, y, x);
    if (barriers) gpu_list_barrier(list);
    gpu_list_copy(list, x, y);
}

// A cut stands for a barrier.
static void cut_between(struct gpu_list *list, bool barriers)
{
    (void)barriers;
    step(list, y, x);
    gpu_list_cut(list);
    step(list, x, y);
}

// Two kernels that write different ranges of one memory and read the same need none.
static void independent(struct gpu_list *list, bool barriers)
{
    (void)barriers;
    step(list, x, one);
    step(list, y, one);
}

// A command buffer that bypasses the list's own first barrier: what would happen if lists had none.
static int messages_of_unordered_submission(void)
{
    int before = gpu_validation_messages(gpu);
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkCommandPoolCreateInfo pool_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = gpu->family};
    VK(gpu, vkCreateCommandPool(gpu->device, &pool_info, NULL, &pool));
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1};
    VK(gpu, vkAllocateCommandBuffers(gpu->device, &info, &commands));
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VK(gpu, vkBeginCommandBuffer(commands, &begin));
    vkCmdFillBuffer(commands, memory->buffer, y.offset, y.bytes, 1);
    VK(gpu, vkEndCommandBuffer(commands));

    struct gpu_list *list = gpu_list_begin(gpu, false);
    step(list, y, x);
    gpu_list_end(list);
    gpu_submit(gpu, list);
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    VK(gpu, vkQueueSubmit(gpu->queue, 1, &submit, VK_NULL_HANDLE));
    VK(gpu, vkQueueWaitIdle(gpu->queue));
    gpu_wait(gpu, gpu->submitted);
    gpu_list_free(gpu, list);
    vkDestroyCommandPool(gpu->device, pool, NULL);
    return gpu_validation_messages(gpu) - before;
}

// Lists submitted one after the other without waiting in between, each reading what the one before wrote.
static int messages_of_ordered_submissions(void)
{
    int before = gpu_validation_messages(gpu);
    struct gpu_list *there = gpu_list_begin(gpu, false), *back = gpu_list_begin(gpu, false);
    step(there, y, x);
    gpu_list_end(there);
    gpu_list_fill(back, x, 7);
    gpu_list_barrier(back);
    step(back, x, y);
    gpu_list_end(back);
    uint64_t ticket[2] = {0, 0};
    for (int i = 0; i < 6; i++) {
        gpu_wait(gpu, ticket[i % 2]);
        ticket[i % 2] = gpu_submit(gpu, i % 2 ? back : there);
    }
    gpu_wait(gpu, ticket[1]);
    gpu_list_free(gpu, there);
    gpu_list_free(gpu, back);
    return gpu_validation_messages(gpu) - before;
}

int main(void)
{
    gpu = open_or_stop(&(struct gpu_options){.validate = true});
    printf("messages about hazards are what this test asks for\n");
    if (gpu_validation_messages(gpu) < 0) {
        printf("skipped: no validation layer is installed (tools/setup installs one)\n");
        gpu_close(gpu);
        return 77;
    }
    kernel = make_add(gpu, 1);
    memory = gpu_alloc(gpu, 16384, GPU_DEVICE);
    x = (struct gpu_range){memory, 0, 4 * COUNT};
    y = (struct gpu_range){memory, 4096, 4 * COUNT};
    one = (struct gpu_range){memory, 8192, 4 * COUNT};
    CHECK(gpu_validation_messages(gpu) == 0);

    void (*const cases[])(struct gpu_list *, bool) = {
        write_then_read, read_then_write, fill_then_read, write_then_copy};
    for (int i = 0; i < 4; i++) {
        CHECK_SAY(messages_of(cases[i], false) > 0, "case %d: a missing barrier was not noticed", i);
        CHECK_SAY(messages_of(cases[i], true) == 0, "case %d with its barrier", i);
    }
    CHECK(messages_of(cut_between, true) == 0);
    CHECK(messages_of(independent, true) == 0);
    CHECK_SAY(messages_of_unordered_submission() > 0, "a missing barrier between submissions was not noticed");
    CHECK(messages_of_ordered_submissions() == 0);

    gpu_free(gpu, memory);
    gpu_kernel_free(gpu, kernel);
    gpu_close(gpu);
    return test_end();
}
