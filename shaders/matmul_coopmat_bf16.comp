// SPDX-License-Identifier: MIT
//
// matmul_coopmat_bf16: the matrix product on matrix units that multiply bf16.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "half_bf16.glsl"
#include "matmul_coopmat.glsl"
