// SPDX-License-Identifier: MIT
//
// attention_cache: one new row of a sequence attends over its cache. A workgroup serves one row and HEADS query heads of one
// key head. Each lane walks every GROUPth key with a maximum and sums of its own; in the end the lanes' sums are
// brought to the common maximum and added up in the order of the lanes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
layout(constant_id = 3) const uint HEADS = 1; // divides heads / kv_heads
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
    uint sets = args.heads / HEADS, t = GROUP_INDEX / sets, head = GROUP_INDEX % sets * HEADS;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint position = positions[t], kv = head / (args.heads / args.kv_heads) * HEAD_DIM;
    uint cache = (slots[t] * args.capacity * args.ld_cache + kv) / 4;
    uint first = args.window > 0 && position + 1 > args.window ? position + 1 - args.window : 0;
    vec4 q[HEADS * D4], sum[HEADS * D4];
    float most[HEADS], weight[HEADS];
    for (uint i = 0; i < HEADS * D4; i++) {
        q[i] = LOAD4(qkv, 3, (t * args.ld_qkv + args.offset_q + head * HEAD_DIM) / 4 + i) * args.scale;
        sum[i] = vec4(0);
    }
    for (uint h = 0; h < HEADS; h++) {
        most[h] = LOWEST;
        weight[h] = 0;
    }
    for (uint s = first + LANE; s <= position; s += GROUP) {
        uint at = cache + s * (args.ld_cache / 4);
        float score[HEADS], fade[HEADS];
        for (uint h = 0; h < HEADS; h++) score[h] = 0;
        for (uint d = 0; d < D4; d++) {
            vec4 k = LOAD4(cache_k, 4, at + d);
            for (uint h = 0; h < HEADS; h++) score[h] += sum4(q[h * D4 + d] * k);
        }
        for (uint h = 0; h < HEADS; h++) {
            float top = max(most[h], score[h]);
            fade[h] = exp(max(most[h] - top, -100.0));
            score[h] = exp(max(score[h] - top, -100.0));
            weight[h] = weight[h] * fade[h] + score[h];
            most[h] = top;
        }
        for (uint d = 0; d < D4; d++) {
            vec4 v = LOAD4(cache_v, 5, at + d);
            for (uint h = 0; h < HEADS; h++) sum[h * D4 + d] = sum[h * D4 + d] * fade[h] + score[h] * v;
        }
    }
    uint turn = 0;
    for (uint h = 0; h < HEADS; h++) {
        float top = group_max(most[h]), share = weight[h] > 0 ? exp(max(most[h] - top, -100.0)) : 0;
        float scale = 1 / group_sum(weight[h] * share);
        for (uint d = 0; d < D4; d++) { // in two halves of the memory by turns: one barrier each
            turn = GROUP - turn;
            parts[turn + LANE] = weight[h] > 0 ? sum[h * D4 + d] * share : vec4(0);
            barrier();
            if (LANE != d % GROUP) continue;
            vec4 all = vec4(0);
            for (uint i = 0; i < GROUP; i++) all += parts[turn + i];
            STORE4(o, 6, (t * args.ld_out + (head + h) * HEAD_DIM) / 4 + d, all * scale);
        }
    }
}
