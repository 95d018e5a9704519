// SPDX-License-Identifier: MIT
//
// device.c: instance, devices and what they can do, opening and closing, and the end after a driver failure.
#define VOLK_IMPLEMENTATION
#include "vulkan_private.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Structures and numbers that the headers of Vulkan 1.3.239 do not have yet (VK_KHR_cooperative_matrix,
// VK_KHR_shader_bfloat16), under names of our own.
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
struct matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 matrix, robust;
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
    const char *extensions[16];
    uint32_t extension_count;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceMaintenance4Features maintenance4;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics;
    struct matrix_features matrix;
    struct bfloat16_features bfloat16;
    char missing[128]; // why pumice cannot use it; "": it can
};

void *gpu_room(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);
    if (!p) {
        gpu_say("no host memory left for %zu bytes", bytes);
        exit(3);
    }
    return p;
}

void gpu_say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

uint64_t gpu_hash(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static const char *result_name(VkResult result)
{
#define NAME(x)                                                                                                        \
    case x:                                                                                                            \
        return #x
    switch ((int)result) {
        NAME(VK_ERROR_OUT_OF_HOST_MEMORY);
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY);
        NAME(VK_ERROR_INITIALIZATION_FAILED);
        NAME(VK_ERROR_DEVICE_LOST);
        NAME(VK_ERROR_MEMORY_MAP_FAILED);
        NAME(VK_ERROR_LAYER_NOT_PRESENT);
        NAME(VK_ERROR_EXTENSION_NOT_PRESENT);
        NAME(VK_ERROR_FEATURE_NOT_PRESENT);
        NAME(VK_ERROR_INCOMPATIBLE_DRIVER);
        NAME(VK_ERROR_TOO_MANY_OBJECTS);
        NAME(VK_ERROR_FRAGMENTED_POOL);
        NAME(VK_ERROR_OUT_OF_POOL_MEMORY);
        NAME(VK_ERROR_INVALID_SHADER_NV);
        NAME(VK_ERROR_UNKNOWN);
        NAME(VK_TIMEOUT);
    }
#undef NAME
    return "unknown result";
}

void gpu_fail(const struct gpu *gpu, const char *call, VkResult result)
{
    gpu_say("the driver failed: %.*s returned %s (%d)", (int)strcspn(call, "("), call, result_name(result), result);
    gpu_say("device: %s, %s", gpu->info.name, gpu->info.driver);
    if (gpu->last_kernel) gpu_say("last kernel made or recorded: %s", gpu->last_kernel);
    if (gpu->last) list_print_kernels(gpu->last);
    if (result == VK_ERROR_DEVICE_LOST)
        gpu_say(
            "a lost device is often a watchdog's doing: other work on the device, or a dispatch that takes too long");
    // Without the drivers' own farewells, which may wait for the lost device.
    fflush(NULL);
    _Exit(3);
}

const char *gpu_type_name(enum gpu_type type)
{
    static const char *const names[] = {
        [GPU_OTHER] = "other",
        [GPU_INTEGRATED] = "integrated",
        [GPU_DISCRETE] = "discrete",
        [GPU_VIRTUAL] = "virtual",
        [GPU_SOFTWARE] = "software",
    };
    return names[type];
}

// ---- instance -------------------------------------------------------------------------------------------------

struct instance {
    VkInstance handle;
    uint32_t layer; // the Vulkan version that the loaded validation layer knows; UINT32_MAX: none is loaded
};

static const char *const validation_layer = "VK_LAYER_KHRONOS_validation";

static bool extension_listed(const VkExtensionProperties *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].extensionName, name) == 0) return true;
    }
    return false;
}

// Is this instance extension there, from the loader and its drivers (layer NULL) or from a layer?
static bool instance_extension(const char *layer, const char *name)
{
    uint32_t count = 0;
    if (vkEnumerateInstanceExtensionProperties(layer, &count, NULL) < 0) return false;
    VkExtensionProperties *list = gpu_room(NULL, (count + 1) * sizeof *list);
    bool found =
        vkEnumerateInstanceExtensionProperties(layer, &count, list) >= 0 && extension_listed(list, count, name);
    free(list);
    return found;
}

// The Vulkan version that the installed validation layer was made for; 0: none is installed.
static uint32_t validation_layer_version(void)
{
    uint32_t count = 0, version = 0;
    if (vkEnumerateInstanceLayerProperties(&count, NULL) < 0) return 0;
    VkLayerProperties *list = gpu_room(NULL, (count + 1) * sizeof *list);
    if (vkEnumerateInstanceLayerProperties(&count, list) < 0) count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].layerName, validation_layer) == 0) version = list[i].specVersion;
    }
    free(list);
    return version;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
    VkDebugUtilsMessageTypeFlagsEXT types, const VkDebugUtilsMessengerCallbackDataEXT *data, void *count)
{
    (void)severity, (void)types;
    ++*(int *)count;
    gpu_say("validation: %.1000s", data->pMessage);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(int *messages)
{
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = messages,
    };
}

// Makes an instance; with `messages` also loads the validation layer, which then counts there.
static VkResult instance_make(VkInstance *instance, int *messages)
{
    const char *extensions[4], *layers[1];
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo =
            &(VkApplicationInfo){
                .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                .pApplicationName = "pumice",
                .apiVersion = VK_API_VERSION_1_3,
            },
        .ppEnabledExtensionNames = extensions,
        .ppEnabledLayerNames = layers,
    };
    // Layered implementations (Vulkan on Metal) are hidden from a program that does not ask for them.
    if (instance_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[info.enabledExtensionCount++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(messages);
    VkValidationFeatureEnableEXT synchronization = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &synchronization,
    };
    if (messages) {
        // The layers' own switches, each for some versions: hazards between submissions (1.3), and accesses by shaders
        // at all (from 1.4.309 on).
        setenv("VK_LAYER_ENABLES", "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT", 0);
        setenv("VK_LAYER_VALIDATE_SYNC", "1", 0);
        setenv("VK_LAYER_SYNCVAL_SHADER_ACCESSES_HEURISTIC", "1", 0);
        layers[info.enabledLayerCount++] = validation_layer;
        extensions[info.enabledExtensionCount++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        info.pNext = &messenger;
        if (instance_extension(validation_layer, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) {
            extensions[info.enabledExtensionCount++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
            info.pNext = &features;
        }
    }
    return vkCreateInstance(&info, NULL, instance);
}

// ---- what a device offers -------------------------------------------------------------------------------------

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
    if (offer_has(o, list, count, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, 0))
        CHAIN(o, statistics, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR);
    bool matrices =
        layer >= VK_MAKE_API_VERSION(0, 1, 3, 255) && offer_has(o, list, count, "VK_KHR_cooperative_matrix", 0);
    if (matrices) CHAIN(o, matrix, (VkStructureType)TYPE_MATRIX_FEATURES);
    if (layer >= VK_MAKE_API_VERSION(0, 1, 4, 313) && offer_has(o, list, count, "VK_KHR_shader_bfloat16", 0))
        CHAIN(o, bfloat16, (VkStructureType)TYPE_BFLOAT16_FEATURES);
    // A layered implementation demands that its list of gaps is acknowledged.
    offer_has(o, list, count, "VK_KHR_portability_subset", 0);

    vkGetPhysicalDeviceFeatures2(o->physical, &o->features);
    o->features.features = (VkPhysicalDeviceFeatures){.shaderInt16 = o->features.features.shaderInt16};
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

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
    info->max_allocation = least(maintenance3.maxMemoryAllocationSize, o->largest_heap);
    if (maintenance4.maxBufferSize) info->max_allocation = least(info->max_allocation, maintenance4.maxBufferSize);
    info->max_allocation &= ~UINT64_C(0xffff); // room for a driver's rounding up
    info->max_range = limits->maxStorageBufferRange & ~(uint64_t)(BINDING_ALIGNMENT - 1);
    info->max_shared = limits->maxComputeSharedMemorySize;
    info->max_invocations = limits->maxComputeWorkGroupInvocations;
    info->max_group_size = limits->maxComputeWorkGroupSize[0];
    info->max_groups = (uint32_t)least(limits->maxComputeWorkGroupCount[0], limits->maxComputeWorkGroupCount[1]);
    o->max_groups_z = limits->maxComputeWorkGroupCount[2];
    info->alignment = (uint32_t)limits->minStorageBufferOffsetAlignment;
    info->drives_display_limit = info->type == GPU_INTEGRATED || info->type == GPU_DISCRETE;

    bool in_compute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    const VkSubgroupFeatureFlags arithmetic = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    info->subgroup_size = info->subgroup_min = info->subgroup_max = subgroup.subgroupSize;
    info->subgroup_arithmetic = in_compute && (subgroup.supportedOperations & arithmetic) == arithmetic;
    info->subgroup_control = o->subgroup.subgroupSizeControl && o->subgroup.computeFullSubgroups &&
                             control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    if (info->subgroup_control) {
        info->subgroup_min = control.minSubgroupSize;
        info->subgroup_max = control.maxSubgroupSize;
    }
    info->float16 = o->float16.shaderFloat16;
    info->storage16 = o->storage16.storageBuffer16BitAccess;
    info->statistics = o->statistics.pipelineExecutableInfo;
    has_matrices = has_matrices && matrix.stages & VK_SHADER_STAGE_COMPUTE_BIT;
    quirks_apply(info, &has_matrices, driver.driverID);
    o->matrix.matrix = has_matrices;
    if (has_matrices) offer_matrices(o, instance->handle);

    if (!offer_queue(o)) snprintf(o->missing, sizeof o->missing, "a compute queue");
    info->timestamp_seconds = o->timestamp_mask ? (double)limits->timestampPeriod * 1e-9 : 0;
    if (!o->timeline.timelineSemaphore) snprintf(o->missing, sizeof o->missing, "timeline semaphores");
    if (limits->maxPerStageDescriptorStorageBuffers < GPU_MAX_BINDINGS)
        snprintf(o->missing, sizeof o->missing, "%d storage buffers for a shader", GPU_MAX_BINDINGS);
    if (o->largest_heap == 0) snprintf(o->missing, sizeof o->missing, "device-local memory");
}

// The offers of all devices that can be used, at most `capacity`; `error` gets a sentence when there are none.
static int offers_make(
    struct offer *offers, int capacity, const struct instance *instance, char *error, size_t error_bytes)
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
    int usable = 0;
    size_t used = (size_t)snprintf(error, error_bytes, "no device can be used:");
    for (uint32_t i = 0; i < count && usable < capacity; i++) {
        struct offer *o = &offers[usable];
        offer_make(o, instance, physicals[i], usable);
        if (!o->missing[0]) {
            usable++;
        } else if (used < error_bytes) {
            used += (size_t)snprintf(error + used, error_bytes - used, " %s lacks %s;", o->info.name, o->missing);
        }
    }
    return usable;
}

// Loads Vulkan and makes an instance; false with a sentence if that is not possible. With `messages` the validation
// layer is loaded too, and counts there; -1: it is not installed.
static bool instance_open(struct instance *instance, int *messages, char *error, size_t error_bytes)
{
    if (volkInitialize() != VK_SUCCESS) {
        snprintf(error, error_bytes, "there is no Vulkan loader (Debian and Ubuntu: libvulkan1)");
        return false;
    }
    if (volkGetInstanceVersion() < VK_API_VERSION_1_1) {
        snprintf(error, error_bytes, "the Vulkan loader is older than Vulkan 1.1");
        return false;
    }
    uint32_t layer = messages ? validation_layer_version() : 0;
    if (messages && !layer) *messages = -1;
    instance->layer = layer ? layer : UINT32_MAX;
    VkResult result = instance_make(&instance->handle, layer ? messages : NULL);
    if (result < 0) {
        snprintf(error, error_bytes, "no Vulkan driver can be loaded (vkCreateInstance: %s)", result_name(result));
        return false;
    }
    volkLoadInstance(instance->handle);
    return true;
}

int gpu_list_devices(struct gpu_info *devices, int capacity, char *error, size_t error_bytes)
{
    char nothing[1024];
    if (!error) error = nothing, error_bytes = sizeof nothing;
    struct instance instance;
    if (!instance_open(&instance, NULL, error, error_bytes)) return 0;
    struct offer *offers = gpu_room(NULL, GPU_MAX_DEVICES * sizeof *offers);
    int count =
        offers_make(offers, capacity < GPU_MAX_DEVICES ? capacity : GPU_MAX_DEVICES, &instance, error, error_bytes);
    for (int i = 0; i < count; i++) devices[i] = offers[i].info;
    free(offers);
    vkDestroyInstance(instance.handle, NULL);
    return count;
}

// ---- opening --------------------------------------------------------------------------------------------------

static bool contains_word(const char *text, const char *word)
{
    for (; *text; text++) {
        size_t i = 0;
        while (word[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)word[i])) i++;
        if (!word[i]) return true;
    }
    return false;
}

// The offer that `wanted` means, or -1.
static int offer_choose(const struct offer *offers, int count, const char *wanted)
{
    static const int rank[] = {
        [GPU_DISCRETE] = 4, [GPU_INTEGRATED] = 3, [GPU_VIRTUAL] = 2, [GPU_OTHER] = 1, [GPU_SOFTWARE] = 0};
    bool any = !wanted || strcmp(wanted, "auto") == 0;
    if (!any && *wanted && strspn(wanted, "0123456789") == strlen(wanted)) {
        long index = strtol(wanted, NULL, 10);
        return index < count ? (int)index : -1;
    }
    int best = -1;
    for (int i = 0; i < count; i++) {
        if (!any && !contains_word(offers[i].info.name, wanted)) continue;
        if (best < 0 || rank[offers[i].info.type] > rank[offers[best].info.type]) best = i;
    }
    return best;
}

static void device_make(struct gpu *gpu, struct offer *o)
{
    float priority = 1;
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &o->features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos =
            &(VkDeviceQueueCreateInfo){
                .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                .queueFamilyIndex = o->family,
                .queueCount = 1,
                .pQueuePriorities = &priority,
            },
        .enabledExtensionCount = o->extension_count,
        .ppEnabledExtensionNames = o->extensions,
    };
    VK(gpu, vkCreateDevice(o->physical, &info, NULL, &gpu->device));
    vkGetDeviceQueue(gpu->device, o->family, 0, &gpu->queue);
    VkSemaphoreTypeCreateInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &timeline};
    VK(gpu, vkCreateSemaphore(gpu->device, &semaphore, NULL, &gpu->timeline));
}

struct gpu *gpu_open(const struct gpu_options *options, char *error, size_t error_bytes)
{
    char nothing[1024];
    if (!error) error = nothing, error_bytes = sizeof nothing;
    struct gpu *gpu = gpu_room(NULL, sizeof *gpu);
    memset(gpu, 0, sizeof *gpu);
    struct instance instance;
    if (!instance_open(&instance, options->validate ? &gpu->messages : NULL, error, error_bytes)) {
        free(gpu);
        return NULL;
    }
    gpu->instance = instance.handle;
    if (options->validate && gpu->messages >= 0) {
        VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(&gpu->messages);
        VK(gpu, vkCreateDebugUtilsMessengerEXT(gpu->instance, &messenger, NULL, &gpu->messenger));
    }

    struct offer *offers = gpu_room(NULL, GPU_MAX_DEVICES * sizeof *offers);
    int count = offers_make(offers, GPU_MAX_DEVICES, &instance, error, error_bytes);
    int choice = offer_choose(offers, count, options->device);
    if (choice < 0) {
        if (count > 0) {
            size_t used =
                (size_t)snprintf(error, error_bytes, "there is no device \"%s\"; there are:", options->device);
            for (int i = 0; i < count && used < error_bytes; i++)
                used += (size_t)snprintf(
                    error + used, error_bytes - used, "%s %d: %s", i ? "," : "", i, offers[i].info.name);
        }
        free(offers);
        gpu_close(gpu);
        return NULL;
    }
    struct offer *o = &offers[choice];
    gpu->info = o->info;
    gpu->physical = o->physical;
    gpu->family = o->family;
    gpu->max_groups_z = o->max_groups_z;
    gpu->timestamp_mask = o->timestamp_mask;
    gpu->integer16 = o->features.features.shaderInt16;
    gpu->memory_model = o->memory_model.vulkanMemoryModel;
    gpu->bfloat16 = o->bfloat16.type;
    gpu->memory_properties = o->memory;
    gpu->largest_heap = o->largest_heap;
    gpu->staging = !o->info.unified || options->staging;
    gpu->info.unified = !gpu->staging;
    if (options->max_range) gpu->info.max_range = least(gpu->info.max_range, options->max_range);
    if (options->max_allocation) gpu->info.max_allocation = least(gpu->info.max_allocation, options->max_allocation);
    device_make(gpu, o);
    free(offers);
    cache_open(gpu, options->cache_folder);
    return gpu;
}

void gpu_close(struct gpu *gpu)
{
    if (!gpu) return;
    assert(gpu->lists == 0 && gpu->kernels == 0);
    if (gpu->device) {
        gpu_wait(gpu, gpu->submitted);
        while (gpu->memories) gpu_free(gpu, gpu->memories);
        cache_close(gpu);
        for (int i = 0; i <= GPU_MAX_BINDINGS; i++) {
            vkDestroyPipelineLayout(gpu->device, gpu->pipeline_layouts[i], NULL);
            vkDestroyDescriptorSetLayout(gpu->device, gpu->set_layouts[i], NULL);
        }
        vkDestroySemaphore(gpu->device, gpu->timeline, NULL);
        vkDestroyDevice(gpu->device, NULL);
    }
    if (gpu->messenger) vkDestroyDebugUtilsMessengerEXT(gpu->instance, gpu->messenger, NULL);
    vkDestroyInstance(gpu->instance, NULL);
    free(gpu);
}

const struct gpu_info *gpu_info(const struct gpu *gpu)
{
    return &gpu->info;
}

int gpu_validation_messages(const struct gpu *gpu)
{
    return gpu->messages;
}
