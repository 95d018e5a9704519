// SPDX-License-Identifier: MIT
//
// spirv.h: the table of embedded kernels, made at build time from shaders/*.comp.
#ifndef PUMICE_SPIRV_H
#define PUMICE_SPIRV_H

#include <stddef.h>
#include <stdint.h>

struct spirv {
    const char *name;      // the shader file's name without .comp
    const uint32_t *words; // (bytes / 4)
    size_t bytes;
};

extern const struct spirv spirv_table[]; // ended by a row whose name is NULL

#endif
