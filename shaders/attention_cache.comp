// SPDX-License-Identifier: MIT
//
// attention_cache: one new row of a sequence attends over its cache. A workgroup serves one head of one row: SPLIT lanes
// make a line, and every line walks its own share of the keys. In the end the lines' sums are brought to one maximum
// and added up in the order of the lines.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

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
#include "attention_softmax.glsl"

shared vec4 parts[2 * GROUP];

void main()
{
    uint t = GROUP_INDEX / args.heads, h = GROUP_INDEX % args.heads;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    uint last = positions[t], kv = h / (args.heads / args.kv_heads) * HEAD_DIM;
    uint cache = slots[t] * args.capacity * args.ld_cache + kv;
    for (uint i = 0; i < HELD; i++) {
        q[i] = LOAD4(qkv, 3, (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4 + HELD4(i)) * (HOLDS(i) ? args.scale : 0);
        sum[i] = vec4(0);
    }
    for (uint s = first_key(0, last, args.window); s <= last; s += LINES * BLOCK) {
        uint at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            uint key = s + j * LINES + LINE;
            at[j] = (cache + min(key, last) * args.ld_cache) / 4;
            seen[j] = key <= last;
            p[j] = 0;
        }
        FETCH(k_share, cache_k, 4, at)
        SPREAD(k_share, cache_k, 4, at, score)
        whole(p);
        soften();
        FETCH(v_share, cache_v, 5, at)
        SPREAD(v_share, cache_v, 5, at, gather)
    }
    float top = group_max(most), share = weight > 0 ? exp(max(most - top, -100.0)) : 0;
    float scale = 1 / group_sum(PART == 0 ? weight * share : 0);
    if (!is_finite(group_sum(all))) scale = uintBitsToFloat(0x7fc00000u);
    uint turn = 0;
    for (uint i = 0; i < HELD; i++) { // in two halves of the memory by turns: one barrier each
        turn = GROUP - turn;
        parts[turn + LANE] = weight > 0 ? sum[i] * share : vec4(0);
        barrier();
        if (LINE == i % LINES && HOLDS(i)) {
            vec4 total = vec4(0);
            for (uint line = 0; line < LINES; line++) total += parts[turn + line * SPLIT + PART];
            STORE4(o, 6, (t * args.ld_out + h * HEAD_DIM) / 4 + HELD4(i), total * scale);
        }
    }
}
