// SPDX-License-Identifier: MIT
//
// cross_entropy: loss, hit and, in place, the gradient of one row of logits; one workgroup a row. The first pass keeps
// for each lane the largest logit so far and the sum of exp(z - largest), block by block, the sum brought down whenever
// the largest grows (Milakov and Gimelshein 2018); the second writes the gradient.
#include "row.glsl"

layout(constant_id = 2) const uint BACKWARD = 0;
layout(push_constant) uniform Push {
    cross_entropy_args args;
    PUSH_ADDRESSES
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
#define BLOCK 4u // vec4s a lane adds up at once

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
    float zt = NUMBER(z, 2, 4 * z0 + target);

    // A hit: nothing at or above zt before the target, nothing above it after.
    float before = LOWEST, after = LOWEST, sum = 0;
    for (uint begin = FIRST_VEC4; begin < groups; begin += BLOCK * GROUP) {
        vec4 v[BLOCK], most_before = vec4(LOWEST), most_after = vec4(LOWEST), weights = vec4(0);
        for (uint k = 0; k < BLOCK; k++) {
            uint i = begin + k * GROUP;
            uvec4 c = COLUMNS4(i);
            v[k] = ROW4(z, 2, z0, min(i, LAST_VEC4(groups)));
            v[k] = mix(v[k], vec4(LOWEST), greaterThanEqual(c, uvec4(args.columns)));
            bvec4 is_before = lessThan(c, uvec4(target));
            most_before = max(most_before, mix(vec4(LOWEST), v[k], is_before));
            most_after = max(most_after, mix(v[k], vec4(LOWEST), is_before));
        }
        float old = max(before, after);
        before = max(before, max4(most_before));
        after = max(after, max4(most_after));
        float most = max(before, after);
        for (uint k = 0; k < BLOCK; k++) weights += weight(v[k], most);
        if (most > old) sum *= weight(vec4(old), most).x;
        sum += sum4(weights);
    }
    float most_before = group_max(before), most_after = group_max(after), most = max(most_before, most_after);
    sum = group_sum(sum * weight(vec4(max(before, after)), most).x);
    if (LANE == 0) {
        loss[row] = (most - zt) + log(sum);
        hit[row] = most_before < zt && most_after <= zt ? 1u : 0u;
    }
    if (BACKWARD == 0) return;
#ifndef ADDRESSES // whose lanes are one vector, and whose reads are volatile
    memoryBarrierBuffer(); // all lanes have read zt, which one of them now overwrites; group_sum's barrier orders none of that
    barrier();
#endif

    float loss_scale = live.loss_scale, scale = loss_scale / sum;
    EACH_VEC4(i, groups) {
        vec4 d = weight(ROW4(z, 2, z0, i), most) * scale;
        d -= mix(vec4(0), vec4(loss_scale), equal(uvec4(target), COLUMNS4(i)));
        SET_ROW4_CUT(z, 2, z0, i, d, args.columns);
    }
}
