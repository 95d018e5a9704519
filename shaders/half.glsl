// SPDX-License-Identifier: MIT
//
// half.glsl: eight elements of a tensor as HALF (half_fp16.glsl, half_bf16.glsl), after lang.glsl: from one word of 16 bytes of
// bf16, or from two of f32. What fp16 cannot hold becomes an infinity.
uvec4 half_of(uvec4 low, uvec4 high, bool bf16)
{
    if (bf16 && HALF_IS_BF16) return low;
    if (bf16) return uvec4(half_pack(bf16_unpack(low.xy)), half_pack(bf16_unpack(low.zw)));
    return uvec4(half_pack(uintBitsToFloat(low)), half_pack(uintBitsToFloat(high)));
}
