// SPDX-License-Identifier: MIT
//
// sum_squares: one workgroup adds up the squares of one block of gradients; every 16 are added up by themselves first,
// so that the rounding grows with 16 + n / 16 rather than with n.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    sum_squares_args args;
};
TENSOR_IN(1, g)
layout(binding = 2, std430) writeonly buffer Partial {
    float partial[];
};

void main()
{
    uint begin = GROUP_INDEX * args.block, end = min(begin + args.block, args.count);
    if (begin >= args.count) return;
    vec4 sum = vec4(0);
    for (uint i = begin / 4 + LANE; 4 * i < end; i += 16 * GROUP) {
        vec4 few = vec4(0);
        for (uint k = i; 4 * k < min(end, 4 * (i + 16 * GROUP)); k += GROUP) {
            vec4 v = cut4(live.gradient_scale * g_f32[k], 4 * k, end);
            few += v * v;
        }
        sum += few;
    }
    float all = group_sum(sum4(sum));
    if (LANE == 0) partial[args.first_partial + GROUP_INDEX] = all;
}
