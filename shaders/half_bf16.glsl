// SPDX-License-Identifier: MIT
//
// half_bf16.glsl: the operands of matrix units that multiply bf16; see half_fp16.glsl.
#extension GL_EXT_bfloat16 : require
#define HALF bfloat16_t
#define HALF_IS_BF16 true
#define HALF_EXPONENT 0x7f80u
#define half_pack bf16_pack
