// SPDX-License-Identifier: MIT
//
// matmul_coopmat_fp16: the matrix product on matrix units that multiply fp16.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#define HALF_IS_BF16 false
uvec2 half_pack(vec4 v)
{
    return uvec2(packFloat2x16(f16vec2(v.xy)), packFloat2x16(f16vec2(v.zw)));
}
#include "matmul_coopmat.glsl"
