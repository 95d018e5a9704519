// SPDX-License-Identifier: MIT
//
// row.glsl: a workgroup goes through a row, vec4 by vec4: EACH_VEC4(i, count) gives each lane its vec4s i of `count`, EACH_OF(i,
// begin, end) those from begin on, EACH_OF_PIECE(i, n) those of the group's piece of n (lang.glsl). ROW4(name,
// b, first, i) is the one at first + i, `first` being the same for all lanes, and SET_ROW4(name, b, first, i, x) writes it; of the
// last one only what lies below `columns` counts: CUT4(x, i, columns), SET_ROW4_CUT(.., x, columns).
//
// With ADDRESSES (software drivers, wide.glsl) all tensors of a kernel go through these macros, and all counts are multiples of
// GROUP. A lane's vec4 is then no four neighbours, unless a tensor is bf16 (NEIGHBOURS): of each 4 GROUP numbers component c is
// number c GROUP + lane, so that a component of all lanes is one vector in memory.
#include "lang.glsl"

#ifdef ADDRESSES
#include "wide.glsl"
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
#define SET_ROW4_CUT(name, b, first, i, x, columns) SET_ROW4(name, b, first, i, x)

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
#define SET_ROW4_CUT(name, b, first, i, x, columns) STORE4_CUT(name, b, (first) + i, x, 4 * i, columns)
#endif

#define EACH_VEC4(i, count) EACH_OF(i, 0, count)
