// SPDX-License-Identifier: MIT
//
// wide.glsl: reading a whole vector at a time and writing unchecked, for drivers that run on a CPU. Such a driver checks every access to a
// buffer against its size, number by number, about five instructions each; reads through an address are not checked, and
// when all lanes read the same GROUP numbers that lie side by side and keep one each, it makes one vector load of them.
// The workgroup is one full subgroup of 8 or 16 lanes. Whoever reads clamps rows to the tensor: for those beyond the end, and
// because such a driver goes through a loop's body once more, masked, after the last round. Vectors may go beyond a row and,
// by less than 256 bytes, beyond the memory (gpu.h).
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_KHR_shader_subgroup_basic : require

// The last member of the push constants (gpu.h).
#define PUSH_ADDRESSES layout(offset = 64) uvec2 addresses[8]; // of bindings 1 .. 8

// volatile: else loads are gathered ahead of their use, and registers run out.
layout(buffer_reference, std430, buffer_reference_align = 4) volatile readonly buffer Word { uint word; };

// A lane's own word beside its neighbours': to[lane] or to[lane * stride] costs GROUP single stores. Through a
// binding each would be checked, and an index that is not plainly a uniform one plus the lane costs several times as much.
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer Out { uint word; };

#define TAKE(i)                                                                                                        \
    if (i < GROUP) {                                                                                                   \
        uint word = at[i].word;                                                                                        \
        words = mix(words, word, gl_SubgroupInvocationID == i);                                                        \
    }

// Word i of those at `at` to lane i.
uint wide(Word at)
{
    uint words = 0;
    TAKE(0) TAKE(1) TAKE(2) TAKE(3) TAKE(4) TAKE(5) TAKE(6) TAKE(7) TAKE(8) TAKE(9) TAKE(10) TAKE(11) TAKE(12) TAKE(13)
    TAKE(14) TAKE(15)
    return words;
}

uint in_words(bool bf16, uint elements)
{
    return bf16 ? elements / 2 : elements;
}

float half_word(uint word, bool high) // of a pair of bf16
{
    return uintBitsToFloat(high ? word & 0xffff0000u : word << 16);
}

#define TAKE4(l)                                                                                                       \
    if (l < GROUP) {                                                                                                   \
        bool mine = gl_SubgroupInvocationID == l;                                                                      \
        if (bf16) {                                                                                                    \
            pairs = mix(pairs, uvec2(at[2 * l].word, at[2 * l + 1].word), bvec2(mine));                                \
        } else {                                                                                                       \
            uvec4 words = uvec4(at[4 * l].word, at[4 * l + 1].word, at[4 * l + 2].word, at[4 * l + 3].word);           \
            whole = mix(whole, words, bvec4(mine));                                                                    \
        }                                                                                                              \
    }

// vec4 i of those that lie side by side at `at` to lane i.
vec4 wide4(Word at, bool bf16)
{
    uvec4 whole = uvec4(0);
    uvec2 pairs = uvec2(0);
    TAKE4(0) TAKE4(1) TAKE4(2) TAKE4(3) TAKE4(4) TAKE4(5) TAKE4(6) TAKE4(7) TAKE4(8) TAKE4(9) TAKE4(10) TAKE4(11)
    TAKE4(12) TAKE4(13) TAKE4(14) TAKE4(15)
    return bf16 ? bf16_unpack(pairs) : uintBitsToFloat(whole);
}
