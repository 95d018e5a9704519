// SPDX-License-Identifier: MIT
//
// attention_delta: delta[h,t] = sum_d dout out, what every score's gradient loses: one lane a (t, h), or, with
// ADDRESSES, one workgroup a row.
#include "row.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
layout(push_constant) uniform Push {
    attention_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, o)
TENSOR_IN(2, dout)
layout(binding = 3, std430) buffer Delta {
    float delta[];
};

void main()
{
#ifdef ADDRESSES // a head is whole rounds of the workgroup
    uint t = GROUP_INDEX, h = 0;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    do {
        uint at = (t * args.ld_out + min(h, args.heads - 1) * HEAD_DIM) / 4;
        vec4 sums = vec4(0);
        [[unroll]] for (uint i = 0; i < HEAD_DIM / 4; i += GROUP) sums += ROW4(o, 1, at, i) * ROW4(dout, 2, at, i);
        delta[min(h, args.heads - 1) * args.ld_lse + t] = group_sum(sum4(sums));
    } while (++h < args.heads);
#else
    uint t = GRID_LANE / args.heads, h = GRID_LANE % args.heads;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint at = (t * args.ld_out + h * HEAD_DIM) / 4;
    float sum = 0;
    for (uint i = at; i < at + HEAD_DIM / 4; i++) sum += sum4(LOAD4(o, 1, i) * LOAD4(dout, 2, i));
    delta[h * args.ld_lse + t] = sum;
#endif
}
