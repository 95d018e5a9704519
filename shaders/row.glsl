// SPDX-License-Identifier: MIT
//
// row.glsl: a workgroup goes through a row, vec4 by vec4: EACH_VEC4(i, count) gives each lane its vec4 groups i of `count`,
// ROW4(name, b, first, i) loads the one at first + i, `first` being the same for all lanes. With ADDRESSES (software drivers,
// wide.glsl) lanes that are neighbours read theirs together; `count` is then a multiple of GROUP.
#include "lang.glsl"

#ifdef ADDRESSES
#include "wide.glsl"
#define PUSH_ADDRESSES layout(offset = 64) uvec2 addresses[8]; // of bindings 1 .. 8
// The masked round after the last one reads the last one's again.
#define EACH_VEC4(i, count)                                                                                            \
    for (uint i##_round = 0, i##_first = 0, i = gl_SubgroupInvocationID; i##_round < count;                            \
         i##_round += GROUP, i##_first = min(i##_round, count - GROUP), i = i##_first + gl_SubgroupInvocationID)
#define ROW4(name, b, first, i)                                                                                        \
    wide4(Word(addresses[b - 1]) + in_words(IS_BF16(b), 4 * ((first) + i##_first)), IS_BF16(b))
#else
#define PUSH_ADDRESSES
#define EACH_VEC4(i, count) for (uint i = LANE; i < count; i += GROUP)
#define ROW4(name, b, first, i) LOAD4(name, b, (first) + i)
#endif
