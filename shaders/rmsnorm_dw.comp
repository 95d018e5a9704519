// SPDX-License-Identifier: MIT
//
// rmsnorm_dw: the weight's gradient, summed over blocks of rows; a lane owns four columns of one block.
// column_sum adds the blocks up.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_TOKENS;
layout(push_constant) uniform Push {
    rmsnorm_backward_args args;
};
TENSOR_IN(1, x)
layout(binding = 2, std430) readonly buffer Rstd {
    float rstd[];
};
TENSOR_IN(3, dy)
TENSOR(4, partial)

void main()
{
    uint pieces = (args.columns + 4 * GROUP - 1) / (4 * GROUP); // of a row, a workgroup each
    uint block = GROUP_INDEX / pieces;
    uint i = GROUP_INDEX % pieces * GROUP + LANE;
    uint begin = block * args.rows_per_block;
    if (begin >= args.rows || 4 * i >= args.columns) return;
    uint end = min(begin + args.rows_per_block, live_rows(LIVE, args.rows, args.first_row));
    vec4 sum = vec4(0);
    for (uint t = begin; t < end; t++) {
        float r = rstd[args.first_row + t];
        sum += LOAD4(dy, 3, t * args.ldy / 4 + i) * LOAD4(x, 1, t * args.ldx / 4 + i) * r;
    }
    block += args.first_row / args.rows_per_block;
    STORE4_CUT(partial, 4, block * args.ldp / 4 + i, sum, 4 * i, args.columns);
}
