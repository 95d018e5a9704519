// SPDX-License-Identifier: MIT
//
// scatter_rows: the way back of gather_rows; rows that no index names become 0. One workgroup a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    rows_args args;
};
layout(binding = 1, std430) readonly buffer Index {
    uint index[];
};
TENSOR_IN(2, x)
TENSOR(3, y)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint from = index[t], x0 = from * args.ldx / 4, y0 = t * args.ldo / 4;
    for (uint i = LANE; 4 * i < args.columns; i += GROUP) {
        vec4 v = vec4(0);
        if (from != NO_TARGET) v = LOAD4(x, 2, x0 + i);
        STORE4_CUT(y, 3, y0 + i, v, 4 * i, args.columns);
    }
}
