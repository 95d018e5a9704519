// SPDX-License-Identifier: MIT
//
// vulkan_private.h: what the files of the runtime share: the structs behind the names of gpu.h and the few functions
// that cross from one file to another. Nobody else includes it.
//
//   device.c  instance, choice of a device, the way a driver failure ends
//   offer.c   what devices offer: limits, features
//   quirks.c  known driver faults
//   memory.c  gpu_memory, uploads and downloads
//   kernel.c  SPIR-V's own declarations, pipelines
//   statistics.c  what shaders and compiled kernels tell of themselves
//   cache.c   the pipeline cache on disk
//   sets.c    descriptor sets
//   list.c    recorded lists, submission, waiting
#ifndef PUMICE_VULKAN_PRIVATE_H
#define PUMICE_VULKAN_PRIVATE_H

#include "gpu.h"

#define VK_NO_PROTOTYPES
#include <volk.h>

// Binding offsets are multiples of this on every device: the largest value that Vulkan allows a device to ask for.
#define BINDING_ALIGNMENT 256
#define MAX_PUSH 128
// Submissions that a queue holds at once: some drivers' watchdogs count what waits, too (i915: 20 s), and what is not done
// when the device is lost should be little. Enough that the device never waits for the host, for a submission takes up to 0.1 s (software: 1 s).
#define QUEUED_CUTS 3

struct gpu_set;
#define SET_CHAINS 4096
struct sets {
    struct gpu_set *chains[SET_CHAINS];         // those that lists hold, by a hash of what they show
    struct gpu_set *free[GPU_MAX_BINDINGS + 1]; // the others, by number of bindings, linked
    VkDescriptorPool *pools;                    // (pool_count)
    uint32_t pool_count, left, descriptors_left; // in the last pool
    uint32_t made;                               // sets, in all
};

struct gpu {
    struct gpu_info info;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    int messages; // of the validation layer; -1: asked for, not found
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    uint32_t max_groups_z;
    uint64_t timestamp_mask;                // of the bits that count
    bool integer16, memory_model, bfloat16; // beside what `info` says, turned on
    VkPhysicalDeviceMemoryProperties memory_properties;
    uint64_t largest_heap; // bytes of the largest device-local one
    bool staging;          // device memory is never mapped
    bool host_import;      // memory may be the process's own (VK_EXT_external_memory_host)

    VkSemaphore timeline;
    PFN_vkWaitSemaphores wait_semaphores; // Vulkan 1.2's, or before it the extension's
    PFN_vkGetSemaphoreCounterValue semaphore_value;
    uint64_t submitted, completed; // values of the timeline: of the last submission, of the last that is known to be done
    struct queued {
        const struct gpu_list *list; // NULL: none, or freed
        uint32_t cut;
    } queued[QUEUED_CUTS]; // what submission n was, at n % QUEUED_CUTS
    double queue_seconds;  // waited for room among them

    struct gpu_memory *memories; // all of them, linked
    uint64_t allocated;          // bytes of GPU_DEVICE memory
    uint64_t serials;            // of memories so far
    struct gpu_memory *stage;    // for copies to and from memory that is not mapped; made at the first need
    struct gpu_memory *blank;    // what a dispatch of no groups is shown; likewise

    VkDescriptorSetLayout set_layouts[GPU_MAX_BINDINGS + 1]; // by number of bindings; made at the first need
    VkPipelineLayout pipeline_layouts[GPU_MAX_BINDINGS + 1];
    struct sets sets;
    VkPipelineCache cache;
    char *cache_folder, *cache_path; // NULL: not kept
    uint64_t cache_content; // hash of what the file holds
    bool cache_new;         // pipelines were made since
    bool want_statistics, want_code;
    struct gpu_kernel *kernels; // alive, linked
    int lists;                  // alive

    const char *last_kernel; // recorded or made last
};

struct gpu_memory {
    struct gpu_memory *next, **link; // of gpu->memories
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t serial, bytes;
    enum gpu_place place;
    bool cached; // reading through `map` is fast
    void *map;   // NULL: not mapped
    void *host;  // the process's own pages that it is made of, or NULL
    uint64_t host_bytes;
};

struct gpu_kernel {
    struct gpu_kernel *next; // of gpu->kernels
    int users;               // times it was made and not yet freed
    const char *name;        // the shader's, lives for ever
    uint32_t constants[GPU_MAX_CONSTANTS], count, subgroup; // what it was made from
    uint32_t bindings, push_bytes;
    VkPipeline pipeline;
    VkPipelineLayout layout; // shared, of gpu->pipeline_layouts
    bool statistics, code; // captured when it was made
};

#define ADDRESSES_AT 64 // where the addresses of a kernel's bindings lie among its push constants
uint64_t memory_address(struct gpu *gpu, struct gpu_range range); // needs info.addresses

// ---- device.c -------------------------------------------------------------------------------------------------

// The end of the program after a driver call that failed: says what, exits with status 3.
_Noreturn void gpu_fail(const struct gpu *gpu, const char *call, VkResult result);
#define VK(gpu, call)                                                                                                  \
    do {                                                                                                               \
        VkResult result_ = (call);                                                                                     \
        if (result_ < 0) gpu_fail(gpu, #call, result_);                                                                \
    } while (0)

// realloc that stops the program when the host has no memory left.
void *gpu_room(void *old, size_t bytes);
// One line on stderr; a newline is added.
void gpu_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t gpu_least(uint64_t a, uint64_t b);
uint64_t gpu_hash(uint64_t hash, const void *data, size_t bytes); // FNV-1a; start from HASH_START
#define HASH_START UINT64_C(0xcbf29ce484222325)

// ---- offer.c --------------------------------------------------------------------------------------------------

// Feature structures that the headers of Vulkan 1.3.239 do not have yet (VK_KHR_cooperative_matrix,
// VK_KHR_shader_bfloat16), under names of our own.
struct matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 matrix, robust;
};
struct bfloat16_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 type, dot_product, matrix;
};

// What one physical device offers: first filled by queries, then, with what we do not want cleared, handed to
// vkCreateDevice as it is.
struct offer {
    VkPhysicalDevice physical;
    struct gpu_info info;
    uint32_t family;
    uint32_t max_groups_z;
    uint64_t timestamp_mask;
    uint64_t largest_heap; // of the device-local ones
    VkPhysicalDeviceMemoryProperties memory;
    bool host_import;
    const char *extensions[16];
    uint32_t extension_count;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceMaintenance4Features maintenance4;
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics;
    struct matrix_features matrix;
    struct bfloat16_features bfloat16;
    char missing[128]; // why pumice cannot use it; "": it can
};

struct instance {
    VkInstance handle;
    uint32_t layer; // the Vulkan version that the loaded validation layer knows; UINT32_MAX: none is loaded
};

bool extension_listed(const VkExtensionProperties *list, uint32_t count, const char *name);
// The offers of all devices that can be used, at most `capacity`; `error` gets a sentence when there are none.
int offers_make(struct offer *offers, int capacity, const struct instance *instance, char *error, size_t error_bytes);

// ---- quirks.c -------------------------------------------------------------------------------------------------

// Turns off, in `info` and in `matrices` (whether the device says that it has matrix units), what does not work on this
// driver, and fills info->quirks with the reasons.
void quirks_apply(struct gpu_info *info, bool *matrices, VkDriverId driver);

// ---- cache.c --------------------------------------------------------------------------------------------------

void cache_open(struct gpu *gpu, const char *folder); // NULL: in memory only
void cache_close(struct gpu *gpu);                    // written if anything is new

// ---- sets.c ---------------------------------------------------------------------------------------------------

// A set that shows exactly these ranges; released as often as it was shared, when no command buffer has it any more.
struct gpu_set *set_share(struct gpu *gpu, const struct gpu_range *ranges, uint32_t count);
void set_release(struct gpu *gpu, struct gpu_set *set);
VkDescriptorSet set_handle(const struct gpu_set *set);
void sets_close(struct gpu *gpu); // no list is left

// ---- list.c ---------------------------------------------------------------------------------------------------

// A dispatch of no groups.
void list_run_nothing(struct gpu *gpu, const struct gpu_kernel *kernel);
// Prints which kernels the first submission has that is not known to be done, or else the last one.
void list_print_kernels(const struct gpu *gpu);

#endif
