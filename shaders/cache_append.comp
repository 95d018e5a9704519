// SPDX-License-Identifier: MIT
//
// cache_append: generation; one workgroup copies one row's keys and values to their place in the caches. Further ones let a
// slot begin with another's rows, where two texts go on from the same words.
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
layout(binding = 6, std430) readonly buffer Forks {
    uint forks[];
};

void fork(uint i, uint part)
{
    uint from = forks[3 * i] * args.capacity, to = forks[3 * i + 1] * args.capacity;
    uint rows = min(forks[3 * i + 2], args.capacity);
    for (uint r = part; r < rows; r += FORK_GROUPS)
        for (uint c = LANE; c < args.kv_heads * args.head_dim / 4; c += GROUP) {
            STORE4(cache_k, 4, (to + r) * args.ld_cache / 4 + c, LOAD4(cache_k, 4, (from + r) * args.ld_cache / 4 + c));
            STORE4(cache_v, 5, (to + r) * args.ld_cache / 4 + c, LOAD4(cache_v, 5, (from + r) * args.ld_cache / 4 + c));
        }
}

void main()
{
    uint t = GROUP_INDEX;
    if (t >= args.rows) {
        uint i = t - args.rows;
        if (i / FORK_GROUPS < live.forks) fork(i / FORK_GROUPS, i % FORK_GROUPS);
        return;
    }
    if (t >= live_rows(LIVE_TOKENS, args.rows, 0)) return;
    if (positions[t] >= args.capacity) return;
    uint k0 = (t * args.ld_qkv + args.offset_k) / 4, v0 = (t * args.ld_qkv + args.offset_v) / 4;
    uint to = (slots[t] * args.capacity + positions[t]) * args.ld_cache / 4;
    for (uint i = LANE; i < args.kv_heads * args.head_dim / 4; i += GROUP) {
        STORE4(cache_k, 4, to + i, LOAD4(qkv, 3, k0 + i));
        STORE4(cache_v, 5, to + i, LOAD4(qkv, 3, v0 + i));
    }
}
