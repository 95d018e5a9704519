// SPDX-License-Identifier: MIT
//
// embed_backward: one workgroup adds up, in the order of sorted_rows, the gradient rows of one token id.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint ADD = ADD_ALWAYS;
layout(push_constant) uniform Push {
    embed_backward_args args;
};
layout(binding = 1, std430) readonly buffer SortedRows {
    uint sorted_rows[];
};
layout(binding = 2, std430) readonly buffer GroupFirst {
    uint group_first[];
};
layout(binding = 3, std430) readonly buffer GroupIds {
    uint group_ids[];
};
TENSOR_IN(4, dout)
TENSOR(5, dtable)

void main()
{
    if (GROUP_INDEX >= live.distinct) return;
    uint row = group_ids[GROUP_INDEX] - args.first; // wraps to a large number below the bound range
    if (row >= args.rows) return;
    uint begin = group_first[GROUP_INDEX], end = group_first[GROUP_INDEX + 1];
    bool add = ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0);
    uint to = row * args.ld_table / 4;
    for (uint i = LANE; 4 * i < args.columns; i += GROUP) {
        vec4 sum = vec4(0);
        for (uint k = begin; k < end; k++) sum += LOAD4(dout, 4, sorted_rows[k] * args.ld_dout / 4 + i);
        sum *= args.scale;
        if (add) sum += LOAD4(dtable, 5, to + i);
        STORE4_CUT(dtable, 5, to + i, sum, 4 * i, args.columns);
    }
}
