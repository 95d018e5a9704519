// SPDX-License-Identifier: MIT
//
// matmul_coopmat_parts_fp16: the matrix product on matrix units that multiply fp16, a long k in parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#define IN_PARTS
#include "half_fp16.glsl"
#include "matmul_coopmat.glsl"
