// SPDX-License-Identifier: MIT
//
// memory.c: one buffer with one allocation of its own per gpu_memory, and copies between it and the host.
#include "vulkan_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { STAGE_BYTES = 16 << 20, HUGE_PAGE = 2 << 20 };
#define MAPPED (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

// How well a memory type suits a place; -1: not at all.
static int type_score(const struct gpu *gpu, const VkMemoryType *type, enum gpu_place place)
{
    const VkMemoryPropertyFlags flags = type->propertyFlags;
    bool local = flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    bool cached = flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    if (flags & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT)) return -1;
    if (place == GPU_HOST) return (flags & MAPPED) == MAPPED ? 2 * cached + !local : -1;
    // Memory across a bus is no substitute for the device's own: better none, and the caller says what would fit.
    if (!local && gpu->info.type != GPU_INTEGRATED) return -1;
    bool largest = gpu->memory_properties.memoryHeaps[type->heapIndex].size == gpu->largest_heap;
    bool useful = gpu->info.unified && (flags & MAPPED) == MAPPED;
    return 8 * local + 4 * largest + 2 * useful + (useful ? cached : !(flags & MAPPED));
}

static bool no_room(VkResult result)
{
    return result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
}

static bool place_is_mapped(const struct gpu *gpu, const VkMemoryType *type, enum gpu_place place)
{
    return place == GPU_HOST || (gpu->info.unified && (type->propertyFlags & MAPPED) == MAPPED);
}

// False when the process has no room for the mapping.
static bool memory_map(struct gpu *gpu, struct gpu_memory *m)
{
    VkResult result = vkMapMemory(gpu->device, m->memory, 0, VK_WHOLE_SIZE, 0, &m->map);
    if (result < 0 && !no_room(result) && result != VK_ERROR_MEMORY_MAP_FAILED) gpu_fail(gpu, "vkMapMemory", result);
    // lavapipe 25 and 26 call it a success and hand out mmap's own -1.
    bool good = result >= 0 && m->map != (void *)-1;
    if (!good) m->map = NULL;
    return good;
}

// Memory of a software device out of the process's own pages, large ones where the system has them: a driver's own memory is
// a file, whose pages have 4 KiB, so that a kernel that walks down a matrix finds a new page at every row. False where that is
// not to be had; nothing is held then.
static bool memory_import(struct gpu *gpu, struct gpu_memory *m)
{
    if (!gpu->host_import || m->bytes < HUGE_PAGE) return false;
    VkMemoryRequirements need;
    vkGetBufferMemoryRequirements(gpu->device, m->buffer, &need);
    uint64_t size = (need.size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    m->host_bytes = size + HUGE_PAGE;
    m->host = mmap(NULL, m->host_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->host == MAP_FAILED) {
        m->host = NULL;
        return false;
    }
    void *pages = (void *)(((uintptr_t)m->host + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
#ifdef MADV_HUGEPAGE
    madvise(pages, size, MADV_HUGEPAGE); // where it is refused, the pages are small
#endif
    VkMemoryHostPointerPropertiesEXT properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    const VkExternalMemoryHandleTypeFlagBits handle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    int best = -1, best_score = -1;
    if (vkGetMemoryHostPointerPropertiesEXT(gpu->device, handle, pages, &properties) >= 0)
        for (uint32_t i = 0; i < gpu->memory_properties.memoryTypeCount; i++) {
            bool fits = (properties.memoryTypeBits & need.memoryTypeBits) >> i & 1;
            int score = fits ? type_score(gpu, &gpu->memory_properties.memoryTypes[i], m->place) : -1;
            if (score > best_score) best = (int)i, best_score = score;
        }
    VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT, .handleType = handle, .pHostPointer = pages};
    VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .pNext = &import,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = gpu->info.addresses ? (const void *)&flags : &import,
        .allocationSize = size,
        .memoryTypeIndex = (uint32_t)best};
    if (best < 0 || vkAllocateMemory(gpu->device, &info, NULL, &m->memory) < 0) {
        munmap(m->host, m->host_bytes);
        m->host = NULL;
        return false;
    }
    const VkMemoryType *type = &gpu->memory_properties.memoryTypes[best];
    m->cached = type->propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    if (place_is_mapped(gpu, type, m->place)) m->map = pages;
    VK(gpu, vkBindBufferMemory(gpu->device, m->buffer, m->memory, 0));
    return true;
}

// Allocates and binds from the best type that has room; false when none has.
static bool memory_bind(struct gpu *gpu, struct gpu_memory *m)
{
    VkMemoryRequirements need;
    vkGetBufferMemoryRequirements(gpu->device, m->buffer, &need);
    const VkPhysicalDeviceMemoryProperties *properties = &gpu->memory_properties;
    uint32_t left = need.memoryTypeBits;
    for (;;) {
        int best = -1, best_score = -1;
        for (uint32_t i = 0; i < properties->memoryTypeCount; i++) {
            int score = left >> i & 1 ? type_score(gpu, &properties->memoryTypes[i], m->place) : -1;
            if (score > best_score) best = (int)i, best_score = score;
        }
        if (best < 0) return false;
        left &= ~(1u << best);
        const VkMemoryType *type = &properties->memoryTypes[best];
        if (need.size > properties->memoryHeaps[type->heapIndex].size) continue;
        VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
            .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
        VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
            .pNext = gpu->info.addresses ? &flags : NULL,
            .allocationSize = need.size,
            .memoryTypeIndex = (uint32_t)best};
        VkResult result = vkAllocateMemory(gpu->device, &info, NULL, &m->memory);
        if (no_room(result)) continue;
        if (result < 0) gpu_fail(gpu, "vkAllocateMemory", result);
        m->cached = type->propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
        if (place_is_mapped(gpu, type, m->place) && !memory_map(gpu, m)) {
            vkFreeMemory(gpu->device, m->memory, NULL);
            continue;
        }
        VK(gpu, vkBindBufferMemory(gpu->device, m->buffer, m->memory, 0));
        return true;
    }
}

struct gpu_memory *gpu_alloc(struct gpu *gpu, uint64_t bytes, enum gpu_place place)
{
    assert(bytes > 0 && bytes <= gpu->info.max_allocation);
    bytes = (bytes + 3) & ~UINT64_C(3);
    struct gpu_memory *m = gpu_room(NULL, sizeof *m);
    *m = (struct gpu_memory){.serial = ++gpu->serials, .bytes = bytes, .place = place};
    VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT};
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .pNext = gpu->host_import && bytes >= HUGE_PAGE ? &external : NULL,
        .size = bytes + (gpu->info.addresses ? GPU_BEYOND : 0),
        .usage =
            VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
            (gpu->info.addresses ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0),
    };
    VkResult result = vkCreateBuffer(gpu->device, &info, NULL, &m->buffer);
    if (result < 0 && !no_room(result)) gpu_fail(gpu, "vkCreateBuffer", result);
    if (no_room(result) || !(memory_import(gpu, m) || memory_bind(gpu, m))) {
        vkDestroyBuffer(gpu->device, m->buffer, NULL);
        free(m);
        return NULL;
    }
    m->next = gpu->memories;
    m->link = &gpu->memories;
    if (m->next) m->next->link = &m->next;
    gpu->memories = m;
    if (place == GPU_DEVICE) gpu->allocated += bytes;

    if (m->host) return m; // new pages hold zeros
    if (m->map) {
        memset(m->map, 0, bytes);
    } else {
        struct gpu_list *list = gpu_list_begin(gpu, false);
        gpu_list_fill(list, (struct gpu_range){m, 0, bytes}, 0);
        gpu_list_end(list);
        gpu_wait(gpu, gpu_submit(gpu, list));
        gpu_list_free(gpu, list);
    }
    return m;
}

uint64_t memory_address(struct gpu *gpu, struct gpu_range range)
{
    assert(gpu->info.addresses && range.offset + range.bytes <= range.memory->bytes);
    VkBufferDeviceAddressInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = range.memory->buffer};
    return vkGetBufferDeviceAddress(gpu->device, &info) + range.offset;
}

void gpu_free(struct gpu *gpu, struct gpu_memory *m)
{
    if (!m) return;
    gpu_wait(gpu, gpu->submitted);
    *m->link = m->next;
    if (m->next) m->next->link = m->link;
    if (m->place == GPU_DEVICE) gpu->allocated -= m->bytes;
    if (m == gpu->stage) gpu->stage = NULL;
    if (m == gpu->blank) gpu->blank = NULL;
    vkDestroyBuffer(gpu->device, m->buffer, NULL);
    vkFreeMemory(gpu->device, m->memory, NULL);
    if (m->host) munmap(m->host, m->host_bytes);
    free(m);
}

uint64_t gpu_allocated(const struct gpu *gpu)
{
    return gpu->allocated;
}

void *gpu_map(const struct gpu_memory *memory)
{
    return memory->map;
}

// Copies on the device and waits.
static void copy_now(struct gpu *gpu, struct gpu_range to, struct gpu_range from)
{
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_copy(list, to, from);
    gpu_list_end(list);
    gpu_wait(gpu, gpu_submit(gpu, list));
    gpu_list_free(gpu, list);
}

static struct gpu_memory *stage(struct gpu *gpu)
{
    if (!gpu->stage) {
        gpu->stage =
            gpu_alloc(gpu, gpu->info.max_allocation < STAGE_BYTES ? gpu->info.max_allocation : STAGE_BYTES, GPU_HOST);
        if (!gpu->stage) gpu_fail(gpu, "vkAllocateMemory(staging)", VK_ERROR_OUT_OF_HOST_MEMORY);
    }
    return gpu->stage;
}

void gpu_upload(struct gpu *gpu, struct gpu_range to, const void *from)
{
    assert(to.offset % 4 == 0 && to.bytes % 4 == 0);
    assert(to.offset <= to.memory->bytes && to.bytes <= to.memory->bytes - to.offset);
    gpu_wait(gpu, gpu->submitted);
    if (to.memory->map) {
        memcpy((char *)to.memory->map + to.offset, from, to.bytes);
        return;
    }
    struct gpu_memory *piece = stage(gpu);
    for (uint64_t done = 0, bytes; done < to.bytes; done += bytes) {
        bytes = to.bytes - done < piece->bytes ? to.bytes - done : piece->bytes;
        memcpy(piece->map, (const char *)from + done, bytes);
        copy_now(gpu, (struct gpu_range){to.memory, to.offset + done, bytes}, (struct gpu_range){piece, 0, bytes});
    }
}

void gpu_download(struct gpu *gpu, void *to, struct gpu_range from)
{
    assert(from.offset % 4 == 0 && from.bytes % 4 == 0);
    assert(from.offset <= from.memory->bytes && from.bytes <= from.memory->bytes - from.offset);
    gpu_wait(gpu, gpu->submitted);
    // Memory that the host does not cache is read faster through a copy.
    if (from.memory->map && (from.memory->cached || from.memory->place == GPU_HOST)) {
        memcpy(to, (const char *)from.memory->map + from.offset, from.bytes);
        return;
    }
    struct gpu_memory *piece = stage(gpu);
    for (uint64_t done = 0, bytes; done < from.bytes; done += bytes) {
        bytes = from.bytes - done < piece->bytes ? from.bytes - done : piece->bytes;
        copy_now(gpu, (struct gpu_range){piece, 0, bytes}, (struct gpu_range){from.memory, from.offset + done, bytes});
        memcpy((char *)to + done, piece->map, bytes);
    }
}
