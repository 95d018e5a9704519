// SPDX-License-Identifier: MIT
//
// sample: next tokens from one row of logits, one workgroup a row, without sorting.
//
// Without a limit (top_k, top_p) two passes are enough for all draws of a row: the weights are added up in stripes, and each
// draw walks through the stripes' sums, then through the tokens of its own stripe.
//
// With a limit: in the order "larger logit first, smaller index first among equals", top_k keeps the shortest beginning of k
// tokens, top_p of those the shortest beginning whose probability reaches top_p, and a draw takes the last token of the
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
layout(binding = 4, std430) readonly buffer Positions {
    uint positions[];
};
layout(binding = 5, std430) readonly buffer First {
    uint draw_first[];
};
layout(binding = 6, std430) readonly buffer Keys {
    uint draw_keys[];
};

#define LOWEST -3.4028235e38
#define ALL 0xffffffffu
#define KEY_PASSES 16
const uvec4 FOUR = uvec4(0, 1, 2, 3);

uint groups; // vec4s of a row
float most;  // the largest logit
shared float stripe_weight[SAMPLE_STRIPES];

vec4 load(uint i) // columns beyond the width are below every logit
{
    vec4 v = LOAD4(logits, 1, GROUP_INDEX * args.ld / 4 + i);
    return mix(v, vec4(LOWEST), greaterThanEqual(4 * i + FOUR, uvec4(args.columns)));
}

vec4 weights(vec4 v)
{
    vec4 d = (v - most) * (1.0 / live.temperature);
    return mix(exp(d), vec4(0), lessThan(d, vec4(-87)));
}

// In (0, 1).
float number_of(uint draw)
{
    uvec4 counter = uvec4(draw_keys[2 * draw], positions[target_rows[GROUP_INDEX]], draw_keys[2 * draw + 1], 0);
    return (float(philox(counter, uvec2(live.seed_low, live.seed_high)).x) + 0.5) * 2.3283064365386963e-10; // 2^-32
}

// ---- without a limit -----------------------------------------------------------------------------------------------

// One after the other, as walk() adds them: so that its sum of a whole stripe is the stripe's.
float add_up(float sum, vec4 w)
{
    return sum + w.x + w.y + w.z + w.w;
}

// The token in a stripe at which the sum of weights reaches `rest`; by a rounding it may not: the last one with a weight.
uint walk(uint stripe, float rest)
{
    uint last = 0;
    float sum = 0;
    for (uint i = stripe; i < groups; i += SAMPLE_STRIPES) {
        vec4 w = weights(load(i));
        for (uint k = 0; k < 4; k++) {
            sum += w[k];
            if (w[k] > 0) last = 4 * i + k;
            if (sum >= rest) return last;
        }
    }
    return last;
}

void draw_from_all(uint begin, uint end)
{
    for (uint s = LANE; s < SAMPLE_STRIPES; s += GROUP) {
        float sum = 0;
        for (uint i = s; i < groups; i += SAMPLE_STRIPES) sum = add_up(sum, weights(load(i)));
        stripe_weight[s] = sum;
    }
    barrier();
    for (uint d = begin + LANE; d < end; d += GROUP) {
        float total = 0, before = 0, sum = 0;
        for (uint s = 0; s < SAMPLE_STRIPES; s++) total += stripe_weight[s];
        float goal = number_of(d) * total;
        uint stripe = 0;
        for (uint s = 0; s < SAMPLE_STRIPES && sum < goal; s++) {
            if (stripe_weight[s] > 0) {
                stripe = s;
                before = sum;
            }
            sum += stripe_weight[s];
        }
        token[d] = walk(stripe, goal - before);
    }
}

// ---- with a limit --------------------------------------------------------------------------------------------------

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

void draw_from_best(uint begin, uint draws)
{
    uint index_passes = uint(findMSB(args.columns)) / 2 + 1;
    uint kept_key = 0, kept_end = ALL; // what the questions before have left
    for (uint question = 0; question < 2 + draws; question++) {
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
                vec4 terms = by_count ? vec4(1) : weights(v);
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
                if (question >= 2) goal = number_of(begin + question - 2) * weight.x;
            } else if (by_key) {
                key += count * bit;
            } else {
                end += (3 - count) * bit;
            }
        }
        if (question < 2) {
            kept_key = key;
            kept_end = end + 1;
        } else if (LANE == 0) {
            token[begin + question - 2] = min(end, args.columns - 1);
        }
    }
}

void main()
{
    if (GROUP_INDEX >= live_rows(LIVE_TARGETS, args.rows, 0)) return;
    uint begin = draw_first[GROUP_INDEX], end = draw_first[GROUP_INDEX + 1];
    groups = (args.columns + 3) / 4;
    most = LOWEST;
    for (uint i = LANE; i < groups; i += GROUP) most = max(most, max4(load(i)));
    most = group_max(most);
    if (live.temperature <= 0) {
        float first = -float(args.columns - 1); // minus the smallest index of the largest
        for (uint i = LANE; i < groups; i += GROUP)
            first = max(first, max4(mix(vec4(LOWEST), -vec4(4 * i + FOUR), equal(load(i), vec4(most)))));
        first = group_max(first);
        for (uint d = begin + LANE; d < end; d += GROUP) token[d] = uint(-first);
    } else if (live.top_p >= 1 && (live.top_k == 0 || live.top_k >= args.columns)) {
        draw_from_all(begin, end);
    } else {
        draw_from_best(begin, end - begin);
    }
}
