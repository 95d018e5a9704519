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
    uint groups = args.count / 4, rest = 4 * groups + GRID_LANE;
    for (uint i = GRID_LANE; i < groups; i += GRID_LANES) x4[i] = uvec4(args.value);
    if (rest < args.count) x[rest] = args.value;
}
