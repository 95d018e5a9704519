// SPDX-License-Identifier: MIT
//
// statistics.c: what shaders tell of themselves in their SPIR-V, and what the driver tells of the kernels made from them.
#include "vulkan_private.h"
#include "spirv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of SPIR-V (specification, section 3), beside what kernel.c knows.
enum {
    OP_NAME = 5,
    OP_CAPABILITY = 17,
    OP_FUNCTION = 54,
    OP_VARIABLE = 59,
    OP_LOAD = 61,
    OP_STORE = 62,
    OP_ACCESS_CHAIN = 65,
    OP_DECORATE = 71,
    DECORATION_SPEC_ID = 1,
    STORAGE_WORKGROUP = 4,
    CAPABILITY_MATRIX = 6022,
    CAPABILITY_MATRIX2_FIRST = 5430, // SPV_NV_cooperative_matrix2: reductions, conversions, operations by element,
    CAPABILITY_MATRIX2_LAST = 5434,  // addressing by tensors, loads that decode
};

// Its name, or where the code was stripped of names its number.
static void name_constant(struct gpu_shader *shader, const struct spirv *s, uint32_t id, uint32_t spec)
{
    if (spec == 0 || spec >= GPU_MAX_CONSTANTS) return;
    snprintf(shader->constants[spec], sizeof shader->constants[spec], "%u", spec);
    for (uint32_t i = 5; i < s->bytes / 4; i += s->words[i] >> 16)
        if ((s->words[i] & 0xffff) == OP_NAME && s->words[i + 1] == id)
            snprintf(shader->constants[spec], sizeof shader->constants[spec], "%s", (const char *)(s->words + i + 2));
}

// Is `id`, a variable, touched by the shader's code? A header's variables are declared in every shader that includes it.
static bool is_touched(const struct spirv *s, uint32_t id)
{
    bool code = false;
    for (uint32_t i = 5; i < s->bytes / 4; i += s->words[i] >> 16) {
        const uint32_t *w = s->words + i, op = w[0] & 0xffff;
        code = code || op == OP_FUNCTION;
        if (!code || (op != OP_STORE && op != OP_LOAD && op != OP_ACCESS_CHAIN)) continue;
        if ((op == OP_STORE ? w[1] : w[3]) == id) return true;
    }
    return false;
}

void gpu_shader_read(struct gpu_shader *shader, const char *name)
{
    const struct spirv *s = spirv_table;
    while (s->name && strcmp(s->name, name) != 0) s++;
    assert(s->name && "no such shader");
    *shader = (struct gpu_shader){.constants = {"GROUP"}};
    for (uint32_t i = 5; i < s->bytes / 4; i += s->words[i] >> 16) {
        const uint32_t *w = s->words + i;
        switch (w[0] & 0xffff) {
        case OP_CAPABILITY:
            if (w[1] == CAPABILITY_MATRIX) shader->matrices = true;
            if (w[1] >= CAPABILITY_MATRIX2_FIRST && w[1] <= CAPABILITY_MATRIX2_LAST) shader->matrices2 = true;
            break;
        case OP_DECORATE:
            if (w[2] == DECORATION_SPEC_ID) name_constant(shader, s, w[1], w[3]);
            break;
        case OP_VARIABLE:
            if (w[3] == STORAGE_WORKGROUP && is_touched(s, w[2])) shader->shared = true;
            break;
        }
    }
}

void gpu_want_statistics(struct gpu *gpu, bool code)
{
    gpu->want_statistics = true;
    gpu->want_code = code;
}

static double statistic_value(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return (double)s->value.u64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
        return s->value.f64;
    default:
        return 0;
    }
}

static uint32_t executable_properties(
    struct gpu *gpu, const struct gpu_kernel *kernel, VkPipelineExecutablePropertiesKHR *list)
{
    VkPipelineInfoKHR pipeline = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = kernel->pipeline};
    for (int i = 0; i < GPU_MAX_EXECUTABLES; i++)
        list[i] = (VkPipelineExecutablePropertiesKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t count = GPU_MAX_EXECUTABLES;
    VK(gpu, vkGetPipelineExecutablePropertiesKHR(gpu->device, &pipeline, &count, list));
    return count;
}

int gpu_kernel_executables(
    struct gpu *gpu, const struct gpu_kernel *kernel, struct gpu_executable *executables, int capacity)
{
    if (!kernel->statistics) return 0;
    VkPipelineExecutablePropertiesKHR properties[GPU_MAX_EXECUTABLES];
    uint32_t count = executable_properties(gpu, kernel, properties);
    for (uint32_t e = 0; e < count && (int)e < capacity; e++) {
        struct gpu_executable *x = &executables[e];
        *x = (struct gpu_executable){.subgroup = properties[e].subgroupSize};
        snprintf(x->name, sizeof x->name, "%.63s", properties[e].name);
        VkPipelineExecutableInfoKHR which = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = kernel->pipeline, .executableIndex = e};
        VkPipelineExecutableStatisticKHR list[GPU_MAX_STATISTICS];
        for (int i = 0; i < GPU_MAX_STATISTICS; i++)
            list[i] = (VkPipelineExecutableStatisticKHR){
                .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
        uint32_t n = GPU_MAX_STATISTICS;
        VK(gpu, vkGetPipelineExecutableStatisticsKHR(gpu->device, &which, &n, list));
        for (; x->count < (int)n; x->count++) {
            struct gpu_statistic *s = &x->statistics[x->count];
            snprintf(s->name, sizeof s->name, "%.63s", list[x->count].name);
            s->value = statistic_value(&list[x->count]);
        }
    }
    return (int)count < capacity ? (int)count : capacity;
}

char *gpu_kernel_code(struct gpu *gpu, const struct gpu_kernel *kernel)
{
    if (!kernel->code) return NULL;
    char *text = NULL;
    size_t bytes = 0;
    VkPipelineExecutablePropertiesKHR properties[GPU_MAX_EXECUTABLES];
    uint32_t executables = executable_properties(gpu, kernel, properties);
    for (uint32_t e = 0; e < executables; e++) {
        VkPipelineExecutableInfoKHR which = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = kernel->pipeline, .executableIndex = e};
        VkPipelineExecutableInternalRepresentationKHR list[16];
        for (int i = 0; i < 16; i++)
            list[i] = (VkPipelineExecutableInternalRepresentationKHR){
                .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
        uint32_t count = 16;
        // The first call tells the sizes, the second fills the room made for them.
        VK(gpu, vkGetPipelineExecutableInternalRepresentationsKHR(gpu->device, &which, &count, list));
        for (uint32_t i = 0; i < count; i++) list[i].pData = gpu_room(NULL, list[i].dataSize + 1);
        VK(gpu, vkGetPipelineExecutableInternalRepresentationsKHR(gpu->device, &which, &count, list));
        for (uint32_t i = 0; i < count; i++) {
            size_t room = list[i].dataSize + 2 * VK_MAX_DESCRIPTION_SIZE + 64;
            text = gpu_room(text, bytes + room);
            bytes += (size_t)snprintf(text + bytes, room, "---- %s: %s\n%.*s\n", properties[e].name, list[i].name,
                list[i].isText ? (int)list[i].dataSize : 0, (const char *)list[i].pData);
            free(list[i].pData);
        }
    }
    return text;
}
