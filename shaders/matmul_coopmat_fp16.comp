// SPDX-License-Identifier: MIT
//
// matmul_coopmat_fp16: the matrix product on matrix units that multiply fp16.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "half_fp16.glsl"
#include "matmul_coopmat.glsl"
