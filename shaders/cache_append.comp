// SPDX-License-Identifier: MIT
//
// cache_append: generation; one workgroup copies one row's keys and values to their place in the caches.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

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
TENSOR(4, cache_k)
TENSOR(5, cache_v)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    if (positions[t] >= args.capacity) return;
    uint k0 = (t * args.ld_qkv + args.offset_k) / 4, v0 = (t * args.ld_qkv + args.offset_v) / 4;
    uint to = (slots[t] * args.capacity + positions[t]) * args.ld_cache / 4;
    for (uint i = LANE; i < args.kv_heads * args.head_dim / 4; i += GROUP) {
        STORE4(cache_k, 4, to + i, LOAD4(qkv, 3, k0 + i));
        STORE4(cache_v, 5, to + i, LOAD4(qkv, 3, v0 + i));
    }
}
