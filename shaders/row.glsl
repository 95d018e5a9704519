// SPDX-License-Identifier: MIT
//
// row.glsl: a workgroup goes through a row, vec4 by vec4: EACH_VEC4(i, count) gives each lane its vec4s i of `count`, EACH_OF(i,
// begin, end) those from begin on, EACH_OF_PIECE(i, n) those of the group's piece of n (lang.glsl). ROW4(name,
// b, first, i) is the one at first + i, `first` being the same for all lanes, and SET_ROW4(name, b, first, i, x) writes it; of the
// last one only what lies below `columns` counts: CUT4(x, i, columns), SET_ROW4_CUT(.., x, columns). A lane's first i and the last
// that may be read are FIRST_VEC4 and LAST_VEC4(count), its columns COLUMNS4(i). NUMBER(name, b, i): the same one number for all lanes.
//
// With ADDRESSES (software drivers, wide.glsl) all tensors of a kernel go through these macros, and all counts are multiples of
// GROUP. A lane's vec4 is then no four neighbours, unless a tensor is bf16 (NEIGHBOURS): of each 4 GROUP numbers component c is
// number c GROUP + lane, so that a component of all lanes is one vector in memory. Where little is bf16 a kernel may do without
// neighbours: what it writes then changes lanes, one instruction each where a vector has 8.
#include "lang.glsl"

#ifdef ADDRESSES
#extension GL_KHR_shader_subgroup_shuffle : require
#include "wide.glsl"
// A row's rounds of GROUP vec4s (0: unknown). So many are made one after the other without a loop: a CPU's driver keeps in
// memory what a loop carries, and its loops' conditions are masks.
layout(constant_id = ROW_ROUNDS) const uint ROUNDS = 0;
const uint SOME = ROUNDS % 6 == 0 ? 6 : ROUNDS % 4 == 0 ? 4 : ROUNDS % 2 == 0 ? 2 : 1;
const uint UNROLL = ROUNDS == 0 ? 1 : ROUNDS <= 18 ? ROUNDS : SOME;
#define EACH_VEC4(i, count)                                                                                            \
    for (uint i##_round = 0; i##_round < (UNROLL == ROUNDS ? 1 : (count)); i##_round += UNROLL * GROUP)                \
        [[unroll]] for (uint i##_k = 0, i = min(i##_round, (count) - UNROLL * GROUP); i##_k < UNROLL; i##_k++, i += GROUP)
// The masked round after the last one reads the last one's again.
#define EACH_OF(i, begin, end)                                                                                         \
    for (uint i##_round = begin, i = min(i##_round, (end) - GROUP); i##_round < (end);                                 \
         i##_round += GROUP, i = min(i##_round, (end) - GROUP))
#define EACH_OF_PIECE(i, n) EACH_OF(i, GROUP_INDEX * PIECE(n), PIECE_END(n))
#define ROW4(name, b, first, i) row4(Word(addresses[b - 1]) + in_words(IS_BF16(b), 4 * ((first) + i)), IS_BF16(b))
#define SET_ROW4(name, b, first, i, x)                                                                                 \
    set_row4(Out(addresses[b - 1]) + in_words(IS_BF16(b), 4 * ((first) + i)), IS_BF16(b), x)
#define SET_ROW4_BF16(name, b, first, i, x) set_row4(Out(addresses[b - 1]) + 2 * ((first) + i), true, x)
#ifndef NEIGHBOURS
#define NEIGHBOURS (STORE != 0)
#endif
#define CUT4(x, i, columns) (x)
#define FIRST_VEC4 0u
#define LAST_VEC4(count) ((count) - GROUP)
#define COLUMNS4(i) (4 * (i) + (NEIGHBOURS ? 4 * gl_SubgroupInvocationID + uvec4(0, 1, 2, 3) : GROUP * uvec4(0, 1, 2, 3) + gl_SubgroupInvocationID))
#define NUMBER(name, b, i) number(Word(addresses[b - 1]), IS_BF16(b), i)
#define SET_ROW4_CUT(name, b, first, i, x, columns) SET_ROW4(name, b, first, i, x)

float number(Word at, bool bf16, uint i)
{
    return bf16 ? half_word(at[i / 2].word, i % 2 == 1) : uintBitsToFloat(at[i].word);
}

vec4 row4(Word at, bool bf16)
{
    if (NEIGHBOURS) return wide4(at, bf16);
    uvec4 words;
    [[unroll]] for (uint c = 0; c < 4; c++) words[c] = wide(at + c * GROUP);
    return uintBitsToFloat(words);
}

void set_row4(Out to, bool bf16, vec4 x)
{
    uint lane = gl_SubgroupInvocationID;
    bool pairs = NEIGHBOURS; // a variable: glslang makes nonsense of a longer constant
    if (bf16 && !pairs) {
        uvec4 halves = bf16_round(x);
        uint from = 2 * lane % GROUP; // the first GROUP words hold components 0 and 1
        [[unroll]] for (uint h = 0; h < 2; h++) {
            uint low = mix(subgroupShuffle(halves[2 * h + 1], from), subgroupShuffle(halves[2 * h], from), lane < GROUP / 2);
            uint high = mix(subgroupShuffle(halves[2 * h + 1], from + 1), subgroupShuffle(halves[2 * h], from + 1), lane < GROUP / 2);
            to[h * GROUP + lane].word = low | high << 16;
        }
        return;
    }
    uvec4 words = bf16 ? uvec4(bf16_pack(x), 0, 0) : floatBitsToUint(x);
    [[unroll]] for (uint c = 0; c < 4; c++) {
        if (bf16 && c < 2) to[2 * lane + c].word = words[c];
        if (!bf16) to[NEIGHBOURS ? 4 * lane + c : c * GROUP + lane].word = words[c];
    }
}
#else
#define PUSH_ADDRESSES
#define EACH_OF(i, begin, end) for (uint i = (begin) + LANE; i < (end); i += GROUP)
#define EACH_OF_PIECE(i, n) for (uint i = PIECE_BEGIN(n); i < PIECE_END(n); i += GROUP)
#define ROW4(name, b, first, i) LOAD4(name, b, (first) + i)
#define SET_ROW4(name, b, first, i, x) STORE4(name, b, (first) + i, x)
#define SET_ROW4_BF16(name, b, first, i, x) name##_bf16[(first) + i] = bf16_pack(x)
#define CUT4(x, i, columns) cut4(x, 4 * i, columns)
#define FIRST_VEC4 LANE
#define LAST_VEC4(count) ((count) - 1)
#define COLUMNS4(i) (4 * (i) + uvec4(0, 1, 2, 3))
#define NUMBER(name, b, i) (LOAD4(name, b, (i) / 4)[(i) % 4])
#define SET_ROW4_CUT(name, b, first, i, x, columns) STORE4_CUT(name, b, (first) + i, x, 4 * i, columns)
#define EACH_VEC4(i, count) EACH_OF(i, 0, count)
#endif
