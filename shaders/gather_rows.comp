// SPDX-License-Identifier: MIT
//
// gather_rows: the rows that predict a trained token, side by side; one workgroup a row.
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
    if (t >= live_rows(LIVE_TARGETS, args.rows, 0)) return;
    uint x0 = index[t] * args.ldx / 4, y0 = t * args.ldo / 4;
    for (uint i = LANE; 4 * i < args.columns; i += GROUP)
        STORE4_CUT(y, 3, y0 + i, LOAD4(x, 2, x0 + i), 4 * i, args.columns);
}
