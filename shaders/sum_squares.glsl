// SPDX-License-Identifier: MIT
//
// sum_squares: one workgroup adds up the squares of one block of gradients; every 16 are added up by themselves first,
// so that the rounding grows with 16 + n / 16 rather than with n.
#include "row.glsl"

layout(push_constant) uniform Push {
    sum_squares_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, g)
layout(binding = 2, std430) writeonly buffer Partial {
    float partial[];
};

void main()
{
    uint begin = GROUP_INDEX * args.block, end = min(begin + args.block, args.count);
    if (begin >= args.count) return;
    float scale = live.gradient_scale;
    vec4 sum = vec4(0);
    for (uint first = begin / 4; first < end / 4; first += 16 * GROUP) {
        vec4 few = vec4(0);
        uint last = min(end / 4, first + 16 * GROUP);
        EACH_OF(i, first, last) {
            vec4 v = scale * ROW4(g, 1, 0, i);
            few += v * v;
        }
        sum += few;
    }
    if (end % 4 != 0 && LANE == 0) {
        vec4 v = cut4(scale * LOAD4(g, 1, end / 4), end / 4 * 4, end);
        sum += v * v;
    }
    float all = group_sum(sum4(sum));
    if (LANE == 0) partial[args.first_partial + GROUP_INDEX] = all;
}
