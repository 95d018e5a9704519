// SPDX-License-Identifier: MIT
//
// fill: one value for every word, four words a store.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint ONLY_FIRST = 0;
layout(push_constant) uniform Push {
    fill_args args;
};
layout(binding = 1, std430) writeonly buffer Wide {
    uvec4 x4[];
};
layout(binding = 1, std430) writeonly buffer Words {
    uint x[];
};

void main()
{
    if (ONLY_FIRST != 0 && live.first == 0) return;
    uint n = args.count / 4, end = PIECE_END(n), rest = 4 * n + LANE;
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) x4[i] = uvec4(args.value);
    if (GROUP_INDEX == 0 && rest < args.count) x[rest] = args.value;
}
