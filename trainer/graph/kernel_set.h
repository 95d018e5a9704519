// SPDX-License-Identifier: MIT
//
// kernel_set.h: which pipelines calls need. The engine makes them from here, and `pumice kernels` shows them from here.
#ifndef PUMICE_KERNEL_SET_H
#define PUMICE_KERNEL_SET_H

#include "program.h"

// What tells one pipeline from another: gpu_kernel_make's arguments.
struct kernel_spec {
    const char *name; // the shader's
    uint32_t constants[CALL_CONSTANTS], count;
    uint32_t subgroup;
};
// The pipeline that a call needs: its constants, and as STORE the storage of the tensors it binds. Without a graph (an
// update) STORE is the call's own.
struct kernel_spec kernel_spec_of(const struct graph *g, const struct call *c);

// What its sums are made with: "register", "shared" (workgroup memory), "coopmat" or "coopmat2" (matrix units).
const char *kernel_variant(const struct kernel_spec *spec, const struct gpu_shader *shader);

// Distinct specs in the order in which they were first met. Start from {0}.
struct kernel_set {
    struct kernel_spec *specs; // (count)
    int count, capacity;
};
int kernel_set_add(struct kernel_set *set, const struct kernel_spec *spec); // the index of the spec, new or old
void kernel_set_free(struct kernel_set *set);

#endif
