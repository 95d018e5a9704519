// SPDX-License-Identifier: MIT
#include "kernel_set.h"

#include <stdlib.h>
#include <string.h>

struct kernel_spec kernel_spec_of(const struct graph *g, const struct call *c)
{
    struct kernel_spec spec = {.name = c->kernel, .count = c->constant_count, .subgroup = c->subgroup};
    memcpy(spec.constants, c->constants, 4 * c->constant_count);
    for (int i = 0; g && i < c->use_count; i++)
        if (tensor_storage(g, c->uses[i].tensor, c->uses[i].part) == STORAGE_BF16) spec.constants[1] |= 1u << (i + 1);
    return spec;
}

const char *kernel_variant(const struct kernel_spec *spec, const struct gpu_shader *shader)
{
    bool shared = shader->shared;
    // Attention passes parts of a row through workgroup memory only where lanes share the row.
    for (uint32_t i = 0; i < spec->count; i++)
        if (strcmp(shader->constants[i], "SPLIT") == 0 && spec->constants[i] == 1) shared = false;
    return shader->matrices2 ? "coopmat2" : shader->matrices ? "coopmat" : shared ? "shared" : "register";
}

int kernel_set_add(struct kernel_set *set, const struct kernel_spec *spec)
{
    for (int i = 0; i < set->count; i++) {
        const struct kernel_spec *old = &set->specs[i];
        if (strcmp(old->name, spec->name) == 0 && old->count == spec->count && old->subgroup == spec->subgroup &&
            memcmp(old->constants, spec->constants, 4 * spec->count) == 0)
            return i;
    }
    GROW(set->specs, set->count, set->capacity);
    set->specs[set->count] = *spec;
    return set->count++;
}

void kernel_set_free(struct kernel_set *set)
{
    free(set->specs);
    *set = (struct kernel_set){0};
}
