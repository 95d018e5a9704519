// SPDX-License-Identifier: MIT
//
// sample: the next token of one row of logits, one workgroup a row, without sorting.
//
// In the order "larger logit first, smaller index first among equals", top_k keeps the shortest beginning of k tokens,
// top_p of those the shortest beginning whose probability reaches top_p, and the draw takes the last token of the
// shortest beginning whose probability reaches a random number: three times the same question. A beginning is told by
// its last token's KEY (an unsigned number ordered like the float) and index. Both are found by bisection, two bits a
// pass: three candidates are weighed at once by summing over the row. A sum of terms that are not negative, in a fixed
// order, never falls when a term is added, rounding included; so bisection on it is sound.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    sample_args args;
};
TENSOR_IN(1, logits)
layout(binding = 2, std430) writeonly buffer Token {
    uint token[];
};
layout(binding = 3, std430) readonly buffer Rows {
    uint target_rows[];
};
layout(binding = 4, std430) readonly buffer Conversation {
    uint conversation[];
};
layout(binding = 5, std430) readonly buffer Positions {
    uint positions[];
};

#define LOWEST -3.4028235e38
#define ALL 0xffffffffu
#define KEY_PASSES 16
const uvec4 FOUR = uvec4(0, 1, 2, 3);

vec4 load(uint i) // columns beyond the width are below every logit
{
    vec4 v = LOAD4(logits, 1, GROUP_INDEX * args.ld / 4 + i);
    return mix(v, vec4(LOWEST), greaterThanEqual(4 * i + FOUR, uvec4(args.columns)));
}

uvec4 keys(vec4 v)
{
    uvec4 u = floatBitsToUint(v);
    return u ^ mix(uvec4(0x80000000u), uvec4(ALL), greaterThan(u, uvec4(0x7fffffffu)));
}

bvec4 both(bvec4 a, bvec4 b)
{
    return bvec4(uvec4(a) & uvec4(b));
}

// Whether tokens come before (key, end): a larger key, or the same and an index below `end`.
bvec4 comes_before(uvec4 k, uvec4 c, uint key, uint end)
{
    return bvec4(uvec4(greaterThan(k, uvec4(key))) | uvec4(both(equal(k, uvec4(key)), lessThan(c, uvec4(end)))));
}

void main()
{
    if (GROUP_INDEX >= live_rows(LIVE_TARGETS, args.rows, 0)) return;
    uint groups = (args.columns + 3) / 4;
    float most = LOWEST;
    for (uint i = LANE; i < groups; i += GROUP) most = max(most, max4(load(i)));
    most = group_max(most);
    if (live.temperature <= 0) {
        float first = -float(args.columns - 1); // minus the smallest index of the largest
        for (uint i = LANE; i < groups; i += GROUP)
            first = max(first, max4(mix(vec4(LOWEST), -vec4(4 * i + FOUR), equal(load(i), vec4(most)))));
        first = group_max(first);
        if (LANE == 0) token[GROUP_INDEX] = uint(-first);
        return;
    }

    float sharpness = 1.0 / live.temperature;
    uint t = target_rows[GROUP_INDEX];
    uint random = philox(uvec4(conversation[t], positions[t], 0, 0), uvec2(live.seed_low, live.seed_high)).x;
    uint index_passes = uint(findMSB(args.columns)) / 2 + 1;
    uint kept_key = 0, kept_end = ALL; // what the question before has left
    for (uint question = 0; question < 3; question++) {
        bool by_count = question == 0;
        if (by_count && (live.top_k == 0 || live.top_k >= args.columns)) continue;
        if (question == 1 && live.top_p >= 1) continue;
        uint key = 0, end = 0;
        float goal = float(live.top_k);
        // Pass 0 sums up everything; the next find the last token's key, the largest whose weight with all its equals
        // reaches the goal; the rest its index, the largest whose weight without it does not. It ends early when a pass
        // finds that a single token is left between the bounds of the pass before.
        for (uint pass = 0; pass <= KEY_PASSES + index_passes; pass++) {
            bool by_key = pass <= KEY_PASSES;
            uint bit = pass == 0 ? 0 : 1u << 2 * (by_key ? KEY_PASSES - pass : KEY_PASSES + index_passes - pass);
            uvec3 try_key = key + (by_key ? bit * uvec3(1, 2, 3) : uvec3(0));
            uvec3 try_end = by_key ? uvec3(ALL) : end + bit * uvec3(1, 2, 3);
            uint span = pass == 0 ? ALL : by_key ? 4 * bit - 1 : 0; // the last token's key is one of key .. key + span
            float first = LOWEST, last = LOWEST;                    // of the tokens left: minus the index, the index
            vec4 sums[3] = vec4[3](vec4(0), vec4(0), vec4(0));
            for (uint i = LANE; i < groups; i += GROUP) {
                vec4 v = load(i);
                uvec4 k = keys(v), c = 4 * i + FOUR;
                bvec4 kept = both(comes_before(k, c, kept_key, kept_end), lessThan(c, uvec4(args.columns)));
                bvec4 left = both(kept, lessThanEqual(k - key, uvec4(span)));
                first = max(first, max4(mix(vec4(LOWEST), -vec4(c), left)));
                last = max(last, max4(mix(vec4(LOWEST), vec4(c), left)));
                vec4 d = (v - most) * sharpness, terms = vec4(1);
                if (!by_count) terms = mix(exp(d), vec4(0), lessThan(d, vec4(-87)));
                for (uint j = 0; j < 3; j++)
                    sums[j] += mix(vec4(0), terms, both(kept, comes_before(k, c, try_key[j], try_end[j])));
            }
            first = group_max(first);
            last = group_max(last);
            if (first == -last) {
                key = keys(load(uint(last) / 4))[uint(last) % 4];
                end = uint(last);
                break;
            }
            vec3 weight = vec3(group_sum(sum4(sums[0])), group_sum(sum4(sums[1])), group_sum(sum4(sums[2])));
            uvec3 reached = uvec3(greaterThanEqual(weight, vec3(goal)));
            uint count = reached.x + reached.y + reached.z;
            if (pass == 0) {
                if (question == 1) goal = max(live.top_p * weight.x, 1e-30);
                if (question == 2) goal = (float(random) + 0.5) * 2.3283064365386963e-10 * weight.x; // 2^-32
            } else if (by_key) {
                key += count * bit;
            } else {
                end += (3 - count) * bit;
            }
        }
        kept_key = key;
        kept_end = end + 1;
    }
    if (LANE == 0) token[GROUP_INDEX] = min(kept_end, args.columns) - 1;
}
