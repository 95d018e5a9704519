// SPDX-License-Identifier: MIT
//
// offer.c: what the devices of an instance offer: their limits, and the features among those we want.
#include "vulkan_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Numbers and structures that the headers of Vulkan 1.3.239 do not have yet, under names of our own; the feature
// structures are in vulkan_private.h.
enum {
    TYPE_MATRIX_FEATURES = 1000506000,
    TYPE_MATRIX_PROPERTIES = 1000506001,
    TYPE_MATRIX_DEVICE_PROPERTIES = 1000506002,
    TYPE_BFLOAT16_FEATURES = 1000141000,
    COMPONENT_FLOAT16 = 0,
    COMPONENT_FLOAT32 = 1,
    COMPONENT_BFLOAT16 = 1000141000,
    SCOPE_SUBGROUP = 3,
};
struct matrix_device_properties {
    VkStructureType sType;
    void *pNext;
    VkShaderStageFlags stages;
};
struct matrix_properties {
    VkStructureType sType;
    void *pNext;
    uint32_t m, n, k;
    int32_t a, b, c, result;
    VkBool32 saturating;
    int32_t scope;
};
typedef VkResult(VKAPI_PTR *matrix_query)(VkPhysicalDevice, uint32_t *, struct matrix_properties *);

bool extension_listed(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, name) == 0) return true;
    }
    return false;
}

// Chains a feature structure behind the offer's others.
#define CHAIN(offer, member, type)                                                                                     \
    ((offer)->member.sType = (type), (offer)->member.pNext = (offer)->features.pNext,                                  \
        (offer)->features.pNext = &(offer)->member)

// Is a feature there that was an extension and became core in `core` (0: never)? The extension is then asked for where
// the version does not have it.
static bool offer_has(
    struct offer *o, const VkExtensionProperties *list, uint32_t count, const char *name, uint32_t core)
{
    if (core && o->info.api_version >= core) return true;
    if (!extension_listed(list, count, name)) return false;
    assert(o->extension_count < sizeof o->extensions / sizeof *o->extensions);
    o->extensions[o->extension_count++] = name;
    return true;
}

// May the process's own memory become a buffer? SwiftShader has the extension and says no.
static bool takes_host_memory(VkPhysicalDevice physical)
{
    VkPhysicalDeviceExternalBufferInfo info = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT};
    VkExternalBufferProperties properties = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    vkGetPhysicalDeviceExternalBufferProperties(physical, &info, &properties);
    return properties.externalMemoryProperties.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
}

// Queries the features, leaving in the chain exactly what is to be turned on. A validation layer that is older than an
// extension reports it as an error, so what `layer` cannot know stays off. Returns whether there may be matrix units.
static bool offer_features(struct offer *o, uint32_t layer, const VkExtensionProperties *list, uint32_t count)
{
    o->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    CHAIN(o, storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    if (offer_has(o, list, count, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME, VK_API_VERSION_1_2))
        CHAIN(o, timeline, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);
    if (offer_has(o, list, count, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, VK_API_VERSION_1_2))
        CHAIN(o, float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    if (offer_has(o, list, count, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, VK_API_VERSION_1_2))
        CHAIN(o, memory_model, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES);
    if (offer_has(o, list, count, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, VK_API_VERSION_1_3))
        CHAIN(o, subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
    if (offer_has(o, list, count, VK_KHR_MAINTENANCE_4_EXTENSION_NAME, VK_API_VERSION_1_3))
        CHAIN(o, maintenance4, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES);
    // Only where it pays: software drivers check every access through a binding.
    if (o->info.type == GPU_SOFTWARE && o->info.api_version >= VK_API_VERSION_1_2)
        CHAIN(o, address, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES);
    if (offer_has(o, list, count, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, 0))
        CHAIN(o, statistics, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR);
    bool matrices =
        layer >= VK_MAKE_API_VERSION(0, 1, 3, 255) && offer_has(o, list, count, "VK_KHR_cooperative_matrix", 0);
    if (matrices) CHAIN(o, matrix, (VkStructureType)TYPE_MATRIX_FEATURES);
    if (layer >= VK_MAKE_API_VERSION(0, 1, 4, 313) && offer_has(o, list, count, "VK_KHR_shader_bfloat16", 0))
        CHAIN(o, bfloat16, (VkStructureType)TYPE_BFLOAT16_FEATURES);
    o->host_import = o->info.type == GPU_SOFTWARE && takes_host_memory(o->physical) &&
                     offer_has(o, list, count, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, 0);
    // A layered implementation demands that its list of gaps is acknowledged.
    offer_has(o, list, count, "VK_KHR_portability_subset", 0);

    vkGetPhysicalDeviceFeatures2(o->physical, &o->features);
    o->info.addresses = o->address.bufferDeviceAddress && o->features.features.shaderInt64;
    o->address.bufferDeviceAddress = o->info.addresses;
    o->address.bufferDeviceAddressCaptureReplay = o->address.bufferDeviceAddressMultiDevice = VK_FALSE;
    o->features.features = (VkPhysicalDeviceFeatures){
        .shaderInt16 = o->features.features.shaderInt16, .shaderInt64 = o->info.addresses};
    o->storage16 = (VkPhysicalDevice16BitStorageFeatures){.sType = o->storage16.sType,
        .pNext = o->storage16.pNext,
        .storageBuffer16BitAccess = o->storage16.storageBuffer16BitAccess};
    o->matrix.robust = VK_FALSE;
    return matrices && o->matrix.matrix && o->memory_model.vulkanMemoryModel;
}

static void offer_matrices(struct offer *o, VkInstance instance)
{
    matrix_query query =
        (matrix_query)vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    uint32_t count = 0;
    if (!query || query(o->physical, &count, NULL) < 0 || count == 0) return;
    struct matrix_properties *list = gpu_room(NULL, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct matrix_properties){.sType = (VkStructureType)TYPE_MATRIX_PROPERTIES};
    if (query(o->physical, &count, list) < 0) count = 0;
    for (uint32_t i = 0; i < count && o->info.matrix_count < GPU_MAX_MATRICES; i++) {
        const struct matrix_properties *p = &list[i];
        bool half = p->a == COMPONENT_FLOAT16 && o->float16.shaderFloat16;
        bool brain = p->a == COMPONENT_BFLOAT16 && o->bfloat16.type && o->bfloat16.matrix;
        bool sum = p->c == COMPONENT_FLOAT32 || p->c == p->a;
        if (p->scope != SCOPE_SUBGROUP || p->saturating || p->a != p->b || p->c != p->result) continue;
        if (!(half || brain) || !sum) continue;
        enum gpu_element ab = half ? GPU_F16 : GPU_BF16;
        o->info.matrices[o->info.matrix_count++] =
            (struct gpu_matrix){p->m, p->n, p->k, ab, p->c == COMPONENT_FLOAT32 ? GPU_F32 : ab};
    }
    free(list);
}

static bool offer_queue(struct offer *o)
{
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(o->physical, &count, families);
    int best = -1, best_score = -1;
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        // A family without graphics does not wait for the desktop's drawing.
        int score = 2 * !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) + (families[i].timestampValidBits > 0);
        if (score > best_score) best = (int)i, best_score = score;
    }
    if (best < 0) return false;
    o->family = (uint32_t)best;
    uint32_t bits = families[best].timestampValidBits;
    o->timestamp_mask = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    return true;
}

static void offer_memory(struct offer *o)
{
    vkGetPhysicalDeviceMemoryProperties(o->physical, &o->memory);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < o->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &o->memory.memoryHeaps[i];
        sum += heap->size;
        if (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && heap->size > o->largest_heap) o->largest_heap = heap->size;
    }
    // An integrated device works in all of its heaps alike, the one that is called its own being perhaps a small part.
    // A discrete one's heaps can be windows into one another: the largest counts, not the sum.
    o->info.heap_bytes = o->info.type == GPU_INTEGRATED ? sum : o->largest_heap;
    // A discrete device's mapped memory lies behind a bus: fine for small writes, never for whole tensors.
    bool near_host = o->info.type == GPU_INTEGRATED || o->info.type == GPU_SOFTWARE;
    const VkMemoryPropertyFlags want = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                       VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    for (uint32_t i = 0; i < o->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &o->memory.memoryTypes[i];
        if (near_host && (type->propertyFlags & want) == want &&
            o->memory.memoryHeaps[type->heapIndex].size == o->largest_heap)
            o->info.unified = true;
    }
}

static enum gpu_type type_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return GPU_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return GPU_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return GPU_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return GPU_SOFTWARE;
    default:
        return GPU_OTHER;
    }
}

// Fills the offer of one physical device. What it lacks, if anything, stands in o->missing.
static void offer_make(struct offer *o, const struct instance *instance, VkPhysicalDevice physical, int index)
{
    memset(o, 0, sizeof *o);
    o->physical = physical;
    struct gpu_info *info = &o->info;
    info->index = index;
    VkPhysicalDeviceProperties basic;
    vkGetPhysicalDeviceProperties(physical, &basic);
    snprintf(info->name, sizeof info->name, "%s", basic.deviceName);
    info->type = type_of(basic.deviceType);
    info->api_version = basic.apiVersion;
    if (basic.apiVersion < VK_API_VERSION_1_1) {
        snprintf(o->missing, sizeof o->missing, "Vulkan 1.1");
        return;
    }

    uint32_t count = 0;
    vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
    VkExtensionProperties *extensions = gpu_room(NULL, (count + 1) * sizeof *extensions);
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &count, extensions) < 0) count = 0;

    struct matrix_device_properties matrix = {.sType = (VkStructureType)TYPE_MATRIX_DEVICE_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties maintenance4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &maintenance3};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};
    bool has_matrices = offer_features(o, instance->layer, extensions, count);
    if (o->subgroup.sType) control.pNext = properties.pNext, properties.pNext = &control;
    if (o->maintenance4.sType) maintenance4.pNext = properties.pNext, properties.pNext = &maintenance4;
    if (has_matrices) matrix.pNext = properties.pNext, properties.pNext = &matrix;
    if (info->api_version >= VK_API_VERSION_1_2 ||
        extension_listed(extensions, count, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME))
        driver.pNext = properties.pNext, properties.pNext = &driver;
    free(extensions);
    vkGetPhysicalDeviceProperties2(physical, &properties);

    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    info->driver_version = properties.properties.driverVersion;
    info->vendor_id = properties.properties.vendorID;
    info->device_id = properties.properties.deviceID;
    snprintf(info->driver, sizeof info->driver, "%.100s%s%.100s", driver.driverName, *driver.driverInfo ? " " : "",
        driver.driverInfo);
    memcpy(info->uuid, id.deviceUUID, sizeof info->uuid);
    memcpy(info->driver_uuid, id.driverUUID, sizeof info->driver_uuid);
    offer_memory(o);
    info->max_allocation = gpu_least(maintenance3.maxMemoryAllocationSize, o->largest_heap);
    if (maintenance4.maxBufferSize) info->max_allocation = gpu_least(info->max_allocation, maintenance4.maxBufferSize);
    // Room for a driver's rounding up and for what may be read behind a memory.
    info->max_allocation = (info->max_allocation - GPU_BEYOND) & ~UINT64_C(0xffff);
    info->max_range = limits->maxStorageBufferRange & ~(uint64_t)(BINDING_ALIGNMENT - 1);
    info->max_shared = limits->maxComputeSharedMemorySize;
    info->max_invocations = limits->maxComputeWorkGroupInvocations;
    info->max_group_size = limits->maxComputeWorkGroupSize[0];
    info->max_groups = (uint32_t)gpu_least(limits->maxComputeWorkGroupCount[0], limits->maxComputeWorkGroupCount[1]);
    o->max_groups_z = limits->maxComputeWorkGroupCount[2];
    info->alignment = (uint32_t)limits->minStorageBufferOffsetAlignment;

    bool in_compute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    const VkSubgroupFeatureFlags ballot = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT; // broadcasts are of it
    info->subgroup_size = info->subgroup_min = info->subgroup_max = subgroup.subgroupSize;
    info->subgroup_control = o->subgroup.subgroupSizeControl && o->subgroup.computeFullSubgroups &&
                             control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    if (info->subgroup_control) {
        info->subgroup_min = control.minSubgroupSize;
        info->subgroup_max = control.maxSubgroupSize;
    }
    info->float16 = o->float16.shaderFloat16;
    info->storage16 = o->storage16.storageBuffer16BitAccess;
    info->statistics = o->statistics.pipelineExecutableInfo;
    has_matrices = has_matrices && matrix.stages & VK_SHADER_STAGE_COMPUTE_BIT &&
                   subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT; // kernels on them shuffle
    quirks_apply(info, &has_matrices, driver.driverID);
    o->matrix.matrix = has_matrices;
    if (has_matrices) offer_matrices(o, instance->handle);

    if (!offer_queue(o)) snprintf(o->missing, sizeof o->missing, "a compute queue");
    info->timestamp_seconds = o->timestamp_mask ? (double)limits->timestampPeriod * 1e-9 : 0;
    if (!in_compute || (subgroup.supportedOperations & ballot) != ballot)
        snprintf(o->missing, sizeof o->missing, "subgroup ballots");
    if (!o->timeline.timelineSemaphore) snprintf(o->missing, sizeof o->missing, "timeline semaphores");
    if (limits->maxPerStageDescriptorStorageBuffers < GPU_MAX_BINDINGS)
        snprintf(o->missing, sizeof o->missing, "%d storage buffers for a shader", GPU_MAX_BINDINGS);
    if (o->largest_heap == 0) snprintf(o->missing, sizeof o->missing, "device-local memory");
}

int offers_make(struct offer *offers, int capacity, const struct instance *instance, char *error, size_t error_bytes)
{
    VkPhysicalDevice physicals[2 * GPU_MAX_DEVICES];
    uint32_t count = 2 * GPU_MAX_DEVICES;
    VkResult result = vkEnumeratePhysicalDevices(instance->handle, &count, physicals);
    if (result < 0 || count == 0) {
        snprintf(error, error_bytes,
            "the Vulkan loader finds no device: is a driver installed? (Debian and Ubuntu: mesa-vulkan-drivers, which "
            "also brings a software driver)");
        return 0;
    }
    int usable = 0, left_out = 0;
    size_t used = (size_t)snprintf(error, error_bytes, "no device can be used:");
    for (uint32_t i = 0; i < count && usable < capacity; i++) {
        struct offer *o = &offers[usable];
        offer_make(o, instance, physicals[i], usable);
        if (!o->missing[0]) {
            usable++;
        } else if (used < error_bytes) {
            used += (size_t)snprintf(error + used, error_bytes - used, "%s %s lacks %s", left_out++ ? ";" : "", o->info.name, o->missing);
        }
    }
    if (usable) snprintf(error, error_bytes, "%s", ""); // what was left out matters only where nothing else is there
    return usable;
}
