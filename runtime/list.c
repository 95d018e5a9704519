// SPDX-License-Identifier: MIT
//
// list.c: recorded lists: command buffers that are submitted again and again, their order on the one queue, waiting.
//
// Every command buffer begins with a barrier, which orders it after everything submitted before: a barrier's first half
// reaches back over all earlier submissions of the queue (Vulkan specification, "Submission Order").
#include "vulkan_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POOL_QUERIES = 256 };

struct gpu_list {
    struct gpu *gpu;
    bool timed, recording;
    uint64_t ticket; // of the submission made last; 0: none
    VkCommandPool pool;
    VkCommandBuffer *buffers; // (cuts)
    uint32_t *firsts;         // (cuts) of their dispatches
    uint32_t cuts;
    const struct gpu_kernel *bound;
    struct gpu_set **sets; // (set_count) of the dispatches that show memory
    uint32_t set_count, set_room;
    VkQueryPool *query_pools; // (query_pool_count)
    uint32_t query_pool_count;
    const char **names; // (dispatches) of the kernels, for the message after a failure
    uint32_t dispatches, name_room;
};

static VkCommandBuffer commands(const struct gpu_list *list)
{
    return list->buffers[list->cuts - 1];
}

static void buffer_begin(struct gpu_list *list)
{
    struct gpu *gpu = list->gpu;
    list->buffers = gpu_room(list->buffers, (list->cuts + 1) * sizeof *list->buffers);
    list->firsts = gpu_room(list->firsts, (list->cuts + 1) * sizeof *list->firsts);
    list->firsts[list->cuts] = list->dispatches;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = list->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    VK(gpu, vkAllocateCommandBuffers(gpu->device, &info, &list->buffers[list->cuts++]));
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VK(gpu, vkBeginCommandBuffer(commands(list), &begin));
    list->bound = NULL;
    gpu_list_barrier(list);
}

struct gpu_list *gpu_list_begin(struct gpu *gpu, bool timed)
{
    struct gpu_list *list = gpu_room(NULL, sizeof *list);
    *list = (struct gpu_list){.gpu = gpu, .timed = timed && gpu->info.timestamp_seconds > 0, .recording = true};
    gpu->lists++;
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = gpu->family};
    VK(gpu, vkCreateCommandPool(gpu->device, &pool, NULL, &list->pool));
    buffer_begin(list);
    return list;
}

// A set that shows exactly these ranges, the list's until it is freed.
static VkDescriptorSet hold_set(struct gpu_list *list, const struct gpu_range *ranges, uint32_t count)
{
    if (list->set_count == list->set_room) {
        list->set_room = list->set_room ? 2 * list->set_room : 64;
        list->sets = gpu_room(list->sets, list->set_room * sizeof(struct gpu_set *));
    }
    return set_handle(list->sets[list->set_count++] = set_share(list->gpu, ranges, count));
}

// The timestamp before (edge 0) or after (edge 1) the dispatch that is being recorded. Both wait for all work before:
// a dispatch that overlaps the one before it is charged only what it adds.
static void timestamp(struct gpu_list *list, uint32_t edge)
{
    struct gpu *gpu = list->gpu;
    uint32_t query = 2 * list->dispatches + edge, pool = query / POOL_QUERIES;
    if (pool == list->query_pool_count) {
        list->query_pools = gpu_room(list->query_pools, (pool + 1) * sizeof *list->query_pools);
        VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
            .queryType = VK_QUERY_TYPE_TIMESTAMP,
            .queryCount = POOL_QUERIES};
        VK(gpu, vkCreateQueryPool(gpu->device, &info, NULL, &list->query_pools[list->query_pool_count++]));
        vkCmdResetQueryPool(commands(list), list->query_pools[pool], 0, POOL_QUERIES);
    }
    vkCmdWriteTimestamp(
        commands(list), VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, list->query_pools[pool], query % POOL_QUERIES);
}

static void dispatch(struct gpu_list *list, const struct gpu_kernel *kernel, const struct gpu_range *ranges, uint32_t count,
    const void *push, uint32_t push_bytes, uint32_t x, uint32_t y, uint32_t z)
{
    struct gpu *gpu = list->gpu;
    assert(list->recording);
    bool addressed = kernel->push_bytes > ADDRESSES_AT;
    assert(count == kernel->bindings && (addressed ? push_bytes <= ADDRESSES_AT : push_bytes == kernel->push_bytes));
    assert(x <= gpu->info.max_groups && y <= gpu->info.max_groups && z <= gpu->max_groups_z);
    gpu->last_kernel = kernel->name;
    if (list->dispatches == list->name_room) {
        list->name_room = list->name_room ? 2 * list->name_room : 64;
        list->names = gpu_room(list->names, list->name_room * sizeof *list->names);
    }
    list->names[list->dispatches] = kernel->name;

    if (list->bound != kernel) vkCmdBindPipeline(commands(list), VK_PIPELINE_BIND_POINT_COMPUTE, kernel->pipeline);
    list->bound = kernel;
    if (count > 0) {
        VkDescriptorSet set = hold_set(list, ranges, count);
        vkCmdBindDescriptorSets(commands(list), VK_PIPELINE_BIND_POINT_COMPUTE, kernel->layout, 0, 1, &set, 0, NULL);
    }
    uint8_t all[MAX_PUSH] = {0};
    if (addressed) {
        memcpy(all, push, push_bytes);
        for (uint32_t i = 1; i < count && i <= (MAX_PUSH - ADDRESSES_AT) / 8; i++) {
            uint64_t address = memory_address(gpu, ranges[i]);
            memcpy(all + ADDRESSES_AT + 8 * (i - 1), &address, sizeof address);
        }
    }
    if (kernel->push_bytes > 0)
        vkCmdPushConstants(commands(list), kernel->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, kernel->push_bytes,
            addressed ? all : push);
    if (list->timed) timestamp(list, 0);
    vkCmdDispatch(commands(list), x, y, z);
    if (list->timed) timestamp(list, 1);
    list->dispatches++;
}

void gpu_list_dispatch(struct gpu_list *list, const struct gpu_kernel *kernel, const struct gpu_range *ranges,
    uint32_t count, const void *push, uint32_t push_bytes, uint32_t x, uint32_t y, uint32_t z)
{
    assert(x > 0 && y > 0 && z > 0);
    dispatch(list, kernel, ranges, count, push, push_bytes, x, y, z);
}

void list_run_nothing(struct gpu *gpu, const struct gpu_kernel *kernel)
{
    static const uint8_t zeros[MAX_PUSH];
    if (!gpu->blank) gpu->blank = gpu_alloc(gpu, BINDING_ALIGNMENT, GPU_HOST);
    if (!gpu->blank) return;
    struct gpu_range ranges[GPU_MAX_BINDINGS];
    for (uint32_t i = 0; i < kernel->bindings; i++) ranges[i] = (struct gpu_range){gpu->blank, 0, BINDING_ALIGNMENT};
    uint32_t push_bytes = kernel->push_bytes < ADDRESSES_AT ? kernel->push_bytes : ADDRESSES_AT;
    struct gpu_list *list = gpu_list_begin(gpu, false);
    dispatch(list, kernel, ranges, kernel->bindings, zeros, push_bytes, 0, 0, 0);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    gpu_list_free(gpu, list);
}

static void check_copied(const struct gpu_range *r)
{
    assert(r->memory && r->bytes > 0 && r->bytes % 4 == 0 && r->offset % 4 == 0);
    assert(r->offset <= r->memory->bytes && r->bytes <= r->memory->bytes - r->offset);
    (void)r;
}

void gpu_list_copy(struct gpu_list *list, struct gpu_range to, struct gpu_range from)
{
    assert(list->recording && to.bytes == from.bytes);
    check_copied(&to);
    check_copied(&from);
    assert(to.memory != from.memory || to.offset + to.bytes <= from.offset || from.offset + from.bytes <= to.offset);
    VkBufferCopy region = {from.offset, to.offset, to.bytes};
    vkCmdCopyBuffer(commands(list), from.memory->buffer, to.memory->buffer, 1, &region);
}

void gpu_list_fill(struct gpu_list *list, struct gpu_range to, uint32_t word)
{
    assert(list->recording);
    check_copied(&to);
    vkCmdFillBuffer(commands(list), to.memory->buffer, to.offset, to.bytes, word);
}

// Everything written before, by kernels and copies, is there for what `access` in `stages` does after.
static void barrier(struct gpu_list *list, VkPipelineStageFlags stages, VkAccessFlags access)
{
    VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = access};
    vkCmdPipelineBarrier(commands(list), VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, stages,
        0, 1, &all, 0, NULL, 0, NULL);
}

void gpu_list_barrier(struct gpu_list *list)
{
    assert(list->recording);
    barrier(list, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
        VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
            VK_ACCESS_TRANSFER_WRITE_BIT);
}

void gpu_list_cut(struct gpu_list *list)
{
    assert(list->recording);
    VK(list->gpu, vkEndCommandBuffer(commands(list)));
    buffer_begin(list);
}

void gpu_list_end(struct gpu_list *list)
{
    assert(list->recording);
    barrier(list, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT);
    VK(list->gpu, vkEndCommandBuffer(commands(list)));
    list->recording = false;
}

void gpu_list_free(struct gpu *gpu, struct gpu_list *list)
{
    if (!list) return;
    assert(gpu_done(gpu, list->ticket));
    for (int i = 0; i < QUEUED_CUTS; i++)
        if (gpu->queued[i].list == list) gpu->queued[i].list = NULL;
    for (uint32_t i = 0; i < list->query_pool_count; i++) vkDestroyQueryPool(gpu->device, list->query_pools[i], NULL);
    vkDestroyCommandPool(gpu->device, list->pool, NULL);
    for (uint32_t i = 0; i < list->set_count; i++) set_release(gpu, list->sets[i]);
    free(list->sets);
    free(list->query_pools);
    free(list->buffers);
    free(list->firsts);
    free(list->names);
    free(list);
    gpu->lists--;
}

int gpu_list_times(struct gpu *gpu, const struct gpu_list *list, double *seconds, int capacity)
{
    if (!list->timed || list->ticket == 0) return 0;
    assert(gpu_done(gpu, list->ticket));
    int count = (int)list->dispatches < capacity ? (int)list->dispatches : capacity;
    for (int i = 0; i < count; i++) {
        uint64_t ticks[2];
        uint32_t query = 2 * (uint32_t)i;
        VK(gpu, vkGetQueryPoolResults(gpu->device, list->query_pools[query / POOL_QUERIES], query % POOL_QUERIES, 2,
                    sizeof ticks, ticks, sizeof *ticks, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
        seconds[i] = (double)((ticks[1] - ticks[0]) & gpu->timestamp_mask) * gpu->info.timestamp_seconds;
    }
    return count;
}

int gpu_list_cuts(const struct gpu_list *list)
{
    return (int)list->cuts;
}

// How far the timeline is known to have come. A lost device may say anything, more than was submitted for one.
static uint64_t last_done(const struct gpu *gpu)
{
    uint64_t value = 0;
    if (!gpu->timeline || gpu->semaphore_value(gpu->device, gpu->timeline, &value) != VK_SUCCESS) return gpu->completed;
    return value > gpu->completed && value < gpu->submitted ? value : gpu->completed;
}

void list_print_kernels(const struct gpu *gpu)
{
    uint64_t done = last_done(gpu);
    bool all = done == gpu->submitted;
    const struct queued *q = &gpu->queued[(all ? done : done + 1) % QUEUED_CUTS];
    if (!q->list) return;
    const struct gpu_list *list = q->list;
    uint32_t first = list->firsts[q->cut], end = q->cut + 1 < list->cuts ? list->firsts[q->cut + 1] : list->dispatches;
    gpu_say("%s (%u of %u of a list, %u kernels):", all ? "the last submission" : "the first submission that is not known to be done",
        q->cut + 1, list->cuts, end - first);
    for (uint32_t i = first; i < end; i++) {
        uint32_t times = 0;
        bool before = false;
        for (uint32_t k = first; k < end; k++)
            if (strcmp(list->names[k], list->names[i]) == 0) times++, before |= k < i;
        if (!before) gpu_say("  %s (%u)", list->names[i], times);
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double gpu_queue_seconds(const struct gpu *gpu)
{
    return gpu->queue_seconds;
}

// The next value of the timeline is reached when `buffers` are done. Waits until the queue has room.
static void submit(struct gpu *gpu, const VkCommandBuffer *buffers, uint32_t count, struct queued queued)
{
    uint64_t value = gpu->submitted + 1;
    if (value > QUEUED_CUTS && value - QUEUED_CUTS > gpu->completed) {
        double began = seconds_now();
        gpu_wait(gpu, value - QUEUED_CUTS);
        gpu->queue_seconds += seconds_now() - began;
    }
    gpu->queued[value % QUEUED_CUTS] = queued;
    gpu->submitted = value;
    VkTimelineSemaphoreSubmitInfo signal = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value};
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &signal,
        .commandBufferCount = count,
        .pCommandBuffers = buffers,
        .signalSemaphoreCount = 1,
        .pSignalSemaphores = &gpu->timeline,
    };
    VK(gpu, vkQueueSubmit(gpu->queue, 1, &info, VK_NULL_HANDLE));
}

uint64_t gpu_submit(struct gpu *gpu, struct gpu_list *list)
{
    assert(!list->recording && gpu_done(gpu, list->ticket));
    for (uint32_t i = 0; i < list->cuts; i++) submit(gpu, &list->buffers[i], 1, (struct queued){list, i});
    return list->ticket = gpu->submitted;
}

void gpu_check(struct gpu *gpu)
{
    submit(gpu, NULL, 0, (struct queued){NULL, 0});
    gpu_wait(gpu, gpu->submitted);
    VK(gpu, vkDeviceWaitIdle(gpu->device));
}

bool gpu_done(struct gpu *gpu, uint64_t ticket)
{
    assert(ticket <= gpu->submitted);
    if (ticket <= gpu->completed) return true;
    uint64_t value;
    VkResult result = gpu->semaphore_value(gpu->device, gpu->timeline, &value);
    if (result == VK_SUCCESS && value > gpu->submitted) result = VK_ERROR_DEVICE_LOST; // how some drivers put it
    if (result != VK_SUCCESS) gpu_fail(gpu, "vkGetSemaphoreCounterValue", result);
    gpu->completed = value;
    return ticket <= value;
}

void gpu_wait(struct gpu *gpu, uint64_t ticket)
{
    assert(ticket <= gpu->submitted);
    if (ticket <= gpu->completed) return;
    VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &gpu->timeline,
        .pValues = &ticket};
    VkResult result = gpu->wait_semaphores(gpu->device, &info, UINT64_MAX);
    if (result != VK_SUCCESS) gpu_fail(gpu, "vkWaitSemaphores", result);
    gpu->completed = ticket;
}
