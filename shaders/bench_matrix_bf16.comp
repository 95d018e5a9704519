// SPDX-License-Identifier: MIT
//
// bench_matrix_bf16: the rate of matrix units that multiply bf16.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_bfloat16 : require
#define HALF bfloat16_t
#include "bench_matrix.glsl"
