// SPDX-License-Identifier: MIT
//
// sets.c: descriptor sets. Equal ones of a device are one: a replay's two lists show the same ranges, and a software driver takes
// a page of memory for each set. What no list holds any more is filled anew for the next one; pools live as long as the device.
#include "vulkan_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_SETS = 128,
    POOL_DESCRIPTORS = 128 * 6,
};

struct shown {
    uint64_t memory, offset, bytes; // memory: its serial, for an address may come back
};

struct gpu_set {
    struct gpu_set *next; // in its chain, or among the free ones of as many bindings
    uint32_t users, count;
    VkDescriptorSet set;
    struct shown ranges[]; // (count)
};

// A set out of the pools, which grow.
static VkDescriptorSet set_take(struct gpu *gpu, uint32_t bindings)
{
    struct sets *s = &gpu->sets;
    if (s->left == 0 || s->descriptors_left < bindings) {
        s->pools = gpu_room(s->pools, (s->pool_count + 1) * sizeof *s->pools);
        VkDescriptorPoolCreateInfo pool = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
            .maxSets = POOL_SETS,
            .poolSizeCount = 1,
            .pPoolSizes = &(VkDescriptorPoolSize){VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, POOL_DESCRIPTORS},
        };
        VK(gpu, vkCreateDescriptorPool(gpu->device, &pool, NULL, &s->pools[s->pool_count++]));
        s->left = POOL_SETS;
        s->descriptors_left = POOL_DESCRIPTORS;
    }
    s->made++;
    s->left--;
    s->descriptors_left -= bindings;
    VkDescriptorSet set;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = s->pools[s->pool_count - 1],
        .descriptorSetCount = 1,
        .pSetLayouts = &gpu->set_layouts[bindings],
    };
    VK(gpu, vkAllocateDescriptorSets(gpu->device, &info, &set));
    return set;
}

static struct gpu_set *set_new(struct gpu *gpu, uint32_t count)
{
    struct gpu_set *s = gpu->sets.free[count];
    if (s) {
        gpu->sets.free[count] = s->next;
        return s;
    }
    s = gpu_room(NULL, sizeof *s + count * sizeof *s->ranges);
    *s = (struct gpu_set){.count = count, .set = set_take(gpu, count)};
    return s;
}

static void set_write(struct gpu *gpu, VkDescriptorSet set, const struct gpu_range *ranges, uint32_t count)
{
    VkDescriptorBufferInfo buffers[GPU_MAX_BINDINGS];
    VkWriteDescriptorSet writes[GPU_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++) {
        buffers[i] = (VkDescriptorBufferInfo){ranges[i].memory->buffer, ranges[i].offset, ranges[i].bytes};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i]};
    }
    vkUpdateDescriptorSets(gpu->device, count, writes, 0, NULL);
}

static struct gpu_set **chain_of(struct gpu *gpu, const struct shown *ranges, uint32_t count)
{
    return &gpu->sets.chains[gpu_hash(HASH_START, ranges, count * sizeof *ranges) % SET_CHAINS];
}

struct gpu_set *set_share(struct gpu *gpu, const struct gpu_range *ranges, uint32_t count)
{
    struct shown shown[GPU_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++) {
        const struct gpu_range *r = &ranges[i];
        assert(r->memory && r->bytes > 0 && r->bytes % 4 == 0 && r->offset % BINDING_ALIGNMENT == 0);
        assert(r->offset <= r->memory->bytes && r->bytes <= r->memory->bytes - r->offset);
        assert(r->bytes <= gpu->info.max_range);
        shown[i] = (struct shown){r->memory->serial, r->offset, r->bytes};
    }
    struct gpu_set **chain = chain_of(gpu, shown, count);
    for (struct gpu_set *s = *chain; s; s = s->next)
        if (s->count == count && memcmp(s->ranges, shown, count * sizeof *shown) == 0) {
            s->users++;
            return s;
        }
    struct gpu_set *s = set_new(gpu, count);
    memcpy(s->ranges, shown, count * sizeof *shown);
    set_write(gpu, s->set, ranges, count);
    s->users = 1;
    s->next = *chain;
    return *chain = s;
}

VkDescriptorSet set_handle(const struct gpu_set *set)
{
    return set->set;
}

void set_release(struct gpu *gpu, struct gpu_set *set)
{
    if (--set->users) return;
    struct gpu_set **link = chain_of(gpu, set->ranges, set->count);
    while (*link != set) link = &(*link)->next;
    *link = set->next;
    set->next = gpu->sets.free[set->count];
    gpu->sets.free[set->count] = set;
}

uint32_t gpu_set_count(const struct gpu *gpu)
{
    return gpu->sets.made;
}

void sets_close(struct gpu *gpu)
{
    struct sets *s = &gpu->sets;
    for (int i = 0; i <= GPU_MAX_BINDINGS; i++)
        for (struct gpu_set *next; s->free[i]; s->free[i] = next) {
            next = s->free[i]->next;
            free(s->free[i]);
        }
    for (uint32_t i = 0; i < s->pool_count; i++) vkDestroyDescriptorPool(gpu->device, s->pools[i], NULL);
    free(s->pools);
}
