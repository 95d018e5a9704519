// SPDX-License-Identifier: MIT
//
// cross_entropy: loss, hit and, in place, the gradient of one row of logits; one workgroup a row. Three passes: the
// maximum; the sum of exp(z - maximum), in blocks so that many columns lose no digits; the gradient.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint BACKWARD = 0;
layout(push_constant) uniform Push {
    cross_entropy_args args;
};
layout(binding = 1, std430) readonly buffer Targets {
    uint targets[];
};
TENSOR(2, z)
layout(binding = 3, std430) writeonly buffer Loss {
    float loss[];
};
layout(binding = 4, std430) writeonly buffer Hit {
    uint hit[];
};

#define LOWEST -3.4028235e38
#define BLOCK 16u

// exp(v - most); below e^-87, where it would leave the normal numbers, 0. A NaN stays one.
vec4 weight(vec4 v, float most)
{
    vec4 d = v - most;
    return mix(exp(d), vec4(0), lessThan(d, vec4(-87)));
}

void main()
{
    if (GROUP_INDEX >= live_rows(LIVE_TARGETS, args.rows, args.first_row)) return;
    uint row = args.first_row + GROUP_INDEX, target = targets[row], groups = (args.columns + 3) / 4;
    uint z0 = GROUP_INDEX * args.ld / 4;
    vec4 at_target = LOAD4(z, 2, z0 + target / 4);
    float zt = at_target[target % 4];

    // hit: nothing at or above zt before the target, nothing above it after.
    vec4 before = vec4(LOWEST), after = vec4(LOWEST);
    for (uint i = LANE; i < groups; i += GROUP) {
        uvec4 c = 4 * i + uvec4(0, 1, 2, 3);
        vec4 v = mix(LOAD4(z, 2, z0 + i), vec4(LOWEST), greaterThanEqual(c, uvec4(args.columns)));
        bvec4 is_before = lessThan(c, uvec4(target));
        before = max(before, mix(vec4(LOWEST), v, is_before));
        after = max(after, mix(v, vec4(LOWEST), is_before));
    }
    float most_before = group_max(max4(before)), most_after = group_max(max4(after));
    float most = max(most_before, most_after);

    vec4 sums = vec4(0);
    for (uint begin = LANE; begin < groups; begin += BLOCK * GROUP) {
        vec4 block = vec4(0);
        for (uint i = begin; i < min(groups, begin + BLOCK * GROUP); i += GROUP)
            block += cut4(weight(LOAD4(z, 2, z0 + i), most), 4 * i, args.columns);
        sums += block;
    }
    float sum = group_sum(sum4(sums));
    if (LANE == 0) {
        loss[row] = (most - zt) + log(sum);
        hit[row] = most_before < zt && most_after <= zt ? 1u : 0u;
    }
    if (BACKWARD == 0) return;

    float scale = live.loss_scale / sum;
    for (uint i = LANE; i < groups; i += GROUP) {
        vec4 d = weight(LOAD4(z, 2, z0 + i), most) * scale;
        if (i == target / 4) {
            vec4 one = vec4(equal(uvec4(target % 4), uvec4(0, 1, 2, 3)));
            d -= one * live.loss_scale;
        }
        STORE4_CUT(z, 2, z0 + i, d, 4 * i, args.columns);
    }
}
