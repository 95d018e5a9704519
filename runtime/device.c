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

uint64_t gpu_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
    list_print_kernels(gpu);
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

static const char *const validation_layer = "VK_LAYER_KHRONOS_validation";

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
    bool core = gpu->info.api_version >= VK_API_VERSION_1_2; // an older driver need not know these names
    gpu->wait_semaphores = core ? vkWaitSemaphores : vkWaitSemaphoresKHR;
    gpu->semaphore_value = core ? vkGetSemaphoreCounterValue : vkGetSemaphoreCounterValueKHR;
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
    gpu->info.full_speed = options->full_speed;
    gpu->physical = o->physical;
    gpu->family = o->family;
    gpu->max_groups_z = o->max_groups_z;
    gpu->timestamp_mask = o->timestamp_mask;
    gpu->integer16 = o->features.features.shaderInt16;
    gpu->memory_model = o->memory_model.vulkanMemoryModel;
    gpu->bfloat16 = o->bfloat16.type;
    gpu->memory_properties = o->memory;
    gpu->largest_heap = o->largest_heap;
    gpu->host_import = o->host_import;
    gpu->staging = !o->info.unified || options->staging;
    gpu->info.unified = !gpu->staging;
    if (options->max_range) gpu->info.max_range = gpu_least(gpu->info.max_range, options->max_range);
    if (options->max_allocation)
        gpu->info.max_allocation = gpu_least(gpu->info.max_allocation, options->max_allocation);
    device_make(gpu, o);
    free(offers);
    cache_open(gpu, options->cache_folder);
    return gpu;
}

void gpu_close(struct gpu *gpu)
{
    if (!gpu) return;
    assert(gpu->lists == 0 && !gpu->kernels);
    if (gpu->device) {
        gpu_wait(gpu, gpu->submitted);
        while (gpu->memories) gpu_free(gpu, gpu->memories);
        cache_close(gpu);
        sets_close(gpu);
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
