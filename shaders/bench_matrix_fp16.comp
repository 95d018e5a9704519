// SPDX-License-Identifier: MIT
//
// bench_matrix_fp16: the rate of matrix units that multiply fp16.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#include "bench_matrix.glsl"
