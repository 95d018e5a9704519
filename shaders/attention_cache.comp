// SPDX-License-Identifier: MIT
//
// attention_cache: one new row of a sequence attends over its cache. A workgroup serves one head of one row.
// Each lane walks every GROUPth key with a maximum and sums of its own; in the end the lanes' sums are
// brought to the common maximum and added up in the order of the lanes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
const uint D4 = HEAD_DIM / 4;
layout(push_constant) uniform Push {
    cache_args args;
};
layout(binding = 1, std430) readonly buffer Slots {
    uint slots[];
};
layout(binding = 2, std430) readonly buffer Positions {
    uint positions[];
};
TENSOR_IN(3, qkv)
TENSOR_IN(4, cache_k)
TENSOR_IN(5, cache_v)
TENSOR(6, o)

#define LOWEST -1e30 // below every score
shared vec4 parts[2 * GROUP];

void main()
{
    uint t = GROUP_INDEX / args.heads, h = GROUP_INDEX % args.heads;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint position = positions[t], kv = h / (args.heads / args.kv_heads) * HEAD_DIM;
    uint cache = (slots[t] * args.capacity * args.ld_cache + kv) / 4;
    uint first = args.window > 0 && position + 1 > args.window ? position + 1 - args.window : 0;
    vec4 q[D4], sum[D4];
    for (uint d = 0; d < D4; d++) {
        q[d] = LOAD4(qkv, 3, (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4 + d) * args.scale;
        sum[d] = vec4(0);
    }
    float most = LOWEST, weight = 0, all = 0;
    for (uint s = first + LANE; s <= position; s += GROUP) {
        uint at = cache + s * (args.ld_cache / 4);
        float score = 0;
        for (uint d = 0; d < D4; d++) score += sum4(q[d] * LOAD4(cache_k, 4, at + d));
        all += score;
        float higher = max(most, score), fade = exp(max(most - higher, -100.0)), p = exp(max(score - higher, -100.0));
        weight = weight * fade + p;
        most = higher;
        for (uint d = 0; d < D4; d++) sum[d] = sum[d] * fade + p * LOAD4(cache_v, 5, at + d);
    }
    float top = group_max(most), share = weight > 0 ? exp(max(most - top, -100.0)) : 0;
    float scale = 1 / group_sum(weight * share);
    if (!is_finite(group_sum(all))) scale = uintBitsToFloat(0x7fc00000u); // maxima and clamps may have hidden it
    uint turn = 0;
    for (uint d = 0; d < D4; d++) { // in two halves of the memory by turns: one barrier each
        turn = GROUP - turn;
        parts[turn + LANE] = weight > 0 ? sum[d] * share : vec4(0);
        barrier();
        if (LANE != d % GROUP) continue;
        vec4 total = vec4(0);
        for (uint i = 0; i < GROUP; i++) total += parts[turn + i];
        STORE4(o, 6, (t * args.ld_out + h * HEAD_DIM) / 4 + d, total * scale);
    }
}
