// SPDX-License-Identifier: MIT
//
// attention_delta: delta[h,t] = sum_d dout out, what every score's gradient loses; one lane a (t, h).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
layout(push_constant) uniform Push {
    attention_args args;
};
TENSOR_IN(1, o)
TENSOR_IN(2, dout)
layout(binding = 3, std430) buffer Delta {
    float delta[];
};

void main()
{
    uint t = GRID_LANE / args.heads, h = GRID_LANE % args.heads;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint at = (t * args.ld_out + h * HEAD_DIM) / 4;
    float sum = 0;
    for (uint i = at; i < at + HEAD_DIM / 4; i++) sum += sum4(LOAD4(o, 1, i) * LOAD4(dout, 2, i));
    delta[h * args.ld_lse + t] = sum;
}
