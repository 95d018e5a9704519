// SPDX-License-Identifier: MIT
//
// matmul_coopmat_bf16: the matrix product on matrix units that multiply bf16.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_bfloat16 : require
#define HALF bfloat16_t
#define HALF_IS_BF16 true
#define half_pack bf16_pack
#include "matmul_coopmat.glsl"
