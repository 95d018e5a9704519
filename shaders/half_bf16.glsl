// SPDX-License-Identifier: MIT
//
// half_bf16.glsl: the operands of matrix units that multiply bf16; see half_fp16.glsl. The device's
// own conversion, where it has one, takes an instruction where bf16_pack's integers take eight.
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_spirv_intrinsics : require
#define HALF bfloat16_t
#define HALF_PAIR bf16vec2
#define HALF_IS_BF16 true
#define HALF_EXPONENT 0x7f80u
spirv_instruction(id = 124) uint half_bits(bf16vec2 pair); // OpBitcast
spirv_instruction(id = 124) bf16vec2 half_pair(uint bits);
uvec2 half_pack(vec4 v)
{
    return uvec2(half_bits(bf16vec2(v.xy)), half_bits(bf16vec2(v.zw)));
}
