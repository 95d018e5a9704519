// SPDX-License-Identifier: MIT
//
// matmul_coopmat_parts_bf16: the matrix product on matrix units that multiply bf16, a long k in parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#define IN_PARTS
#include "half_bf16.glsl"
#include "matmul_coopmat.glsl"
