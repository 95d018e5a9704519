// SPDX-License-Identifier: MIT
//
// kernel.c: pipelines. What a shader binds and pushes is read from its own SPIR-V: there is no second declaration.
#include "vulkan_private.h"
#include "spirv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The few SPIR-V instructions, decorations and capabilities that matter here (SPIR-V specification, section 3).
enum {
    OP_CAPABILITY = 17,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_CONSTANT = 43,
    OP_VARIABLE = 59,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    DECORATION_ARRAY_STRIDE = 6,
    DECORATION_BINDING = 33,
    DECORATION_SET = 34,
    DECORATION_OFFSET = 35,
    STORAGE_PUSH_CONSTANT = 9,
    CAPABILITY_FLOAT16 = 9,
    CAPABILITY_INT64 = 11,
    CAPABILITY_INT16 = 22,
    CAPABILITY_STORAGE_16 = 4433,
    CAPABILITY_BFLOAT16 = 5116,
    CAPABILITY_MEMORY_MODEL = 5345,
    CAPABILITY_ADDRESSES = 5347,
    CAPABILITY_MATRIX = 6022,
};

struct module {
    const uint32_t *words;
    uint32_t count, bound;
    const uint32_t **types; // (bound) the instruction that makes each type or constant, or NULL
};

// The value of a decoration; member ~0u: of the id itself.
static uint32_t decoration(const struct module *m, uint32_t id, uint32_t member, uint32_t which)
{
    for (uint32_t i = 5; i < m->count; i += m->words[i] >> 16) {
        const uint32_t *w = m->words + i;
        if (member == ~0u && (w[0] & 0xffff) == OP_DECORATE && w[1] == id && w[2] == which) return w[3];
        if ((w[0] & 0xffff) == OP_MEMBER_DECORATE && w[1] == id && w[2] == member && w[3] == which) return w[4];
    }
    assert(!"a shader's push constants lack a layout");
    return 0;
}

// Bytes of a push constant's type, as laid out.
static uint32_t type_bytes(const struct module *m, uint32_t id)
{
    const uint32_t *w = m->types[id];
    assert(w);
    switch (w[0] & 0xffff) {
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        return w[2] / 8;
    case OP_TYPE_VECTOR:
        return w[3] * type_bytes(m, w[2]);
    case OP_TYPE_ARRAY:
        return m->types[w[3]][3] * decoration(m, id, ~0u, DECORATION_ARRAY_STRIDE);
    case OP_TYPE_STRUCT: {
        uint32_t last = (w[0] >> 16) - 3;
        return decoration(m, id, last, DECORATION_OFFSET) + type_bytes(m, w[2 + last]);
    }
    }
    assert(!"push constants hold scalars, vectors, arrays and structs of them");
    return 0;
}

// Drivers do not refuse a shader that uses what the device does not have: they compute garbage (lavapipe 25 with
// cooperative matrices).
static bool offered(const struct gpu *gpu, uint32_t capability)
{
    switch (capability) {
    case CAPABILITY_FLOAT16:
        return gpu->info.float16;
    case CAPABILITY_INT64:
    case CAPABILITY_ADDRESSES:
        return gpu->info.addresses;
    case CAPABILITY_INT16:
        return gpu->integer16;
    case CAPABILITY_STORAGE_16:
        return gpu->info.storage16;
    case CAPABILITY_BFLOAT16:
        return gpu->bfloat16;
    case CAPABILITY_MEMORY_MODEL:
        return gpu->memory_model;
    case CAPABILITY_MATRIX:
        return gpu->info.matrix_count > 0;
    }
    return true;
}

// Fills what the shader declares: bindings 0 .. n-1 of set 0, and the size of its push constants.
static void reflect(const struct gpu *gpu, struct gpu_kernel *kernel, const struct spirv *shader)
{
    struct module m = {shader->words, (uint32_t)(shader->bytes / 4), shader->words[3], NULL};
    assert(m.words[0] == 0x07230203);
    m.types = gpu_room(NULL, m.bound * sizeof *m.types);
    memset(m.types, 0, m.bound * sizeof *m.types);
    for (uint32_t i = 5; i < m.count; i += m.words[i] >> 16) {
        const uint32_t *w = m.words + i;
        switch (w[0] & 0xffff) {
        case OP_CAPABILITY:
            assert(offered(gpu, w[1]) && "the shader needs what the device lacks");
            break;
        case OP_DECORATE:
            assert(w[2] != DECORATION_SET || w[3] == 0);
            if (w[2] == DECORATION_BINDING && w[3] + 1 > kernel->bindings) kernel->bindings = w[3] + 1;
            break;
        case OP_TYPE_INT:
        case OP_TYPE_FLOAT:
        case OP_TYPE_VECTOR:
        case OP_TYPE_ARRAY:
        case OP_TYPE_STRUCT:
        case OP_TYPE_POINTER:
            m.types[w[1]] = w;
            break;
        case OP_CONSTANT:
            m.types[w[2]] = w;
            break;
        case OP_VARIABLE:
            if (w[3] == STORAGE_PUSH_CONSTANT) kernel->push_bytes = type_bytes(&m, m.types[w[1]][3]);
            break;
        }
    }
    free(m.types);
    assert(kernel->bindings <= GPU_MAX_BINDINGS && kernel->push_bytes <= MAX_PUSH);
}

static VkPipelineLayout layout(struct gpu *gpu, uint32_t bindings)
{
    if (gpu->pipeline_layouts[bindings]) return gpu->pipeline_layouts[bindings];
    VkDescriptorSetLayoutBinding list[GPU_MAX_BINDINGS];
    for (uint32_t i = 0; i < bindings; i++) {
        list[i] = (VkDescriptorSetLayoutBinding){.binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    }
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = bindings, .pBindings = list};
    VK(gpu, vkCreateDescriptorSetLayout(gpu->device, &set, NULL, &gpu->set_layouts[bindings]));
    VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &gpu->set_layouts[bindings],
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &(VkPushConstantRange){VK_SHADER_STAGE_COMPUTE_BIT, 0, MAX_PUSH},
    };
    VK(gpu, vkCreatePipelineLayout(gpu->device, &info, NULL, &gpu->pipeline_layouts[bindings]));
    return gpu->pipeline_layouts[bindings];
}

static bool is_made_from(const struct gpu *gpu, const struct gpu_kernel *k, const char *name, const uint32_t *constants,
    uint32_t count, uint32_t subgroup)
{
    return k->name == name && k->count == count && k->subgroup == subgroup && memcmp(k->constants, constants, 4 * count) == 0 &&
           k->statistics == (gpu->want_statistics && gpu->info.statistics) && k->code == (gpu->want_code && gpu->info.statistics);
}

// *result: what the driver said of the pipeline; NULL is returned where that is no success.
static struct gpu_kernel *kernel_make(struct gpu *gpu, const char *name, const uint32_t *constants, uint32_t count,
    uint32_t subgroup, VkResult *result)
{
    const struct spirv *shader = spirv_table;
    while (shader->name && strcmp(shader->name, name) != 0) shader++;
    assert(shader->name && "no such shader");
    assert(count >= 1 && count <= GPU_MAX_CONSTANTS);
    assert(constants[0] > 0 && constants[0] <= gpu->info.max_group_size && constants[0] <= gpu->info.max_invocations);
    if (subgroup) {
        assert(gpu->info.subgroup_control && constants[0] % subgroup == 0);
        assert(subgroup >= gpu->info.subgroup_min && subgroup <= gpu->info.subgroup_max);
    }
    gpu->last_kernel = shader->name;
    for (struct gpu_kernel *k = gpu->kernels; k; k = k->next)
        if (is_made_from(gpu, k, shader->name, constants, count, subgroup)) {
            k->users++;
            *result = VK_SUCCESS;
            return k;
        }
    struct gpu_kernel *kernel = gpu_room(NULL, sizeof *kernel);
    *kernel = (struct gpu_kernel){.next = gpu->kernels,
        .users = 1,
        .name = shader->name,
        .count = count,
        .subgroup = subgroup,
        .statistics = gpu->want_statistics && gpu->info.statistics,
        .code = gpu->want_code && gpu->info.statistics};
    memcpy(kernel->constants, constants, 4 * count);
    gpu->kernels = kernel;
    reflect(gpu, kernel, shader);
    kernel->layout = layout(gpu, kernel->bindings);

    VkShaderModule module;
    VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader->bytes, .pCode = shader->words};
    VK(gpu, vkCreateShaderModule(gpu->device, &code, NULL, &module));
    VkSpecializationMapEntry entries[32];
    for (uint32_t i = 0; i < count; i++) entries[i] = (VkSpecializationMapEntry){i, 4 * i, 4};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = subgroup};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = (kernel->statistics ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0u) |
                 (kernel->code ? VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR : 0u),
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = subgroup ? &required : NULL,
                .flags = subgroup ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &(VkSpecializationInfo){count, entries, 4 * count, constants},
            },
        .layout = kernel->layout,
    };
    *result = vkCreateComputePipelines(gpu->device, gpu->cache, 1, &info, NULL, &kernel->pipeline);
    gpu->cache_new = *result >= 0 || gpu->cache_new;
    vkDestroyShaderModule(gpu->device, module, NULL);
    if (*result >= 0) {
        // Software drivers compile at the first dispatch, which takes room for a while: now, before a run's memory is filled.
        if (gpu->info.type == GPU_SOFTWARE && !gpu->want_statistics) list_run_nothing(gpu, kernel);
        return kernel;
    }
    gpu->kernels = kernel->next;
    free(kernel);
    return NULL;
}

struct gpu_kernel *gpu_kernel_make(
    struct gpu *gpu, const char *name, const uint32_t *constants, uint32_t count, uint32_t subgroup)
{
    VkResult result;
    struct gpu_kernel *kernel = kernel_make(gpu, name, constants, count, subgroup, &result);
    if (!kernel) gpu_fail(gpu, "vkCreateComputePipelines", result);
    return kernel;
}

struct gpu_kernel *gpu_kernel_try(
    struct gpu *gpu, const char *name, const uint32_t *constants, uint32_t count, uint32_t subgroup)
{
    VkResult result;
    struct gpu_kernel *kernel = kernel_make(gpu, name, constants, count, subgroup, &result);
    // Neither says anything of the kernel, and what is found here is kept.
    if (result == VK_ERROR_DEVICE_LOST || result == VK_ERROR_OUT_OF_DEVICE_MEMORY) gpu_fail(gpu, "vkCreateComputePipelines", result);
    return kernel;
}

void gpu_kernel_free(struct gpu *gpu, struct gpu_kernel *kernel)
{
    if (!kernel || --kernel->users) return;
    gpu_wait(gpu, gpu->submitted);
    vkDestroyPipeline(gpu->device, kernel->pipeline, NULL);
    struct gpu_kernel **link = &gpu->kernels;
    while (*link != kernel) link = &(*link)->next;
    *link = kernel->next;
    free(kernel);
}
