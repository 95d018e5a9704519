// SPDX-License-Identifier: MIT
//
// rmsnorm_dw: the weight's gradient, summed over blocks of rows; a lane owns four columns of one block.
// column_sum adds the blocks up.
#extension GL_EXT_control_flow_attributes : require
#include "row.glsl"

#define ROWS 8u // at once

layout(constant_id = 2) const uint LIVE = LIVE_TOKENS;
layout(push_constant) uniform Push {
    rmsnorm_backward_args args;
    PUSH_ADDRESSES
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
    uint i = GROUP_INDEX % pieces * GROUP + FIRST_VEC4;
    uint begin = block * args.rows_per_block;
    if (begin >= args.rows || 4 * i >= args.columns) return;
    uint end = min(begin + args.rows_per_block, live_rows(LIVE, args.rows, args.first_row));
    vec4 sum = vec4(0);
    for (uint t0 = begin; t0 < end; t0 += ROWS)
        [[unroll]] for (uint k = 0; k < ROWS; k++) {
            uint t = min(t0 + k, end - 1);
            vec4 term = ROW4(dy, 3, t * args.ldy / 4, i) * ROW4(x, 1, t * args.ldx / 4, i) * rstd[args.first_row + t];
            sum += t0 + k < end ? term : vec4(0);
        }
    block += args.first_row / args.rows_per_block;
    SET_ROW4_CUT(partial, 4, block * args.ldp / 4, i, sum, args.columns);
}
