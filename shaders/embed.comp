// SPDX-License-Identifier: MIT
//
// embed: one workgroup copies the table's row of one token.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    embed_args args;
};
layout(binding = 1, std430) readonly buffer Ids {
    uint ids[];
};
TENSOR_IN(2, table)
TENSOR(3, y)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live.tokens) return;
    uint row = ids[t] - args.first; // wraps to a large number below the bound range
    if (row >= args.rows) return;
    uint from = row * args.ld_table / 4, to = t * args.ld_out / 4;
    for (uint i = LANE; 4 * i < args.columns; i += GROUP)
        STORE4_CUT(y, 3, to + i, args.scale * LOAD4(table, 2, from + i), 4 * i, args.columns);
}
