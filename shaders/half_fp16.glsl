// SPDX-License-Identifier: MIT
//
// half_fp16.glsl: the operands of matrix units that multiply fp16: HALF, their type; half_pack, which rounds four numbers to
// it; HALF_PAIR, two in a word, which half_pair and half_bits make of its bits and turn back; HALF_EXPONENT, the bits that are
// all set in what is not finite.
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#define HALF_PAIR f16vec2
#define HALF_IS_BF16 false
#define HALF_EXPONENT 0x7c00u
#define half_bits packFloat2x16
#define half_pair unpackFloat2x16
uvec2 half_pack(vec4 v)
{
    return uvec2(packFloat2x16(f16vec2(v.xy)), packFloat2x16(f16vec2(v.zw)));
}
