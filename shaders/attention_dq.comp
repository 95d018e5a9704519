// SPDX-License-Identifier: MIT
//
// attention_dq: the gradient of the queries. With P = exp(scale Q K^T - lse) and dP = dout V^T (through dropout's mask):
// dQ = scale sum_s P (dP - delta) K. A lane holds one query row of HEADS query heads, as in attention_forward.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

layout(constant_id = 6) const uint HEADS = 1; // divides heads / kv_heads
layout(binding = 1, std430) readonly buffer Starts {
    uint starts[];
};
TENSOR_IN(2, qkv)
TENSOR_IN(3, dout)
layout(binding = 4, std430) readonly buffer Lse {
    float lse[];
};
layout(binding = 5, std430) readonly buffer Delta {
    float delta[];
};
TENSOR(6, dqkv)
layout(binding = 7, std430) readonly buffer Conversation {
    uint conversation[];
};
layout(binding = 8, std430) readonly buffer Positions {
    uint positions[];
};

vec4 q[HEADS * D4], dy[HEADS * D4], dq[HEADS * D4];
float p[HEADS * BLOCK], dp[HEADS * BLOCK];
bool seen[BLOCK];

void score(uint d, vec4 k[BLOCK])
{
    for (uint h = 0; h < HEADS; h++)
        for (uint j = 0; j < BLOCK; j++) p[h * BLOCK + j] = sum_products(p[h * BLOCK + j], q[h * D4 + d], k[j]);
}

void weigh(uint d, vec4 v[BLOCK])
{
    for (uint h = 0; h < HEADS; h++)
        for (uint j = 0; j < BLOCK; j++) dp[h * BLOCK + j] = sum_products(dp[h * BLOCK + j], dy[h * D4 + d], v[j]);
}

void gather(uint d, vec4 k[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) k[j] = seen[j] ? k[j] : vec4(0);
    for (uint h = 0; h < HEADS; h++) {
        vec4 s = dq[h * D4 + d];
        for (uint j = 0; j < BLOCK; j++) s += dp[h * BLOCK + j] * k[j];
        dq[h * D4 + d] = s;
    }
}

void main()
{
    uint head = GROUP_INDEX / GROUP_ROWS * HEADS, row = row_block(GROUP_INDEX % GROUP_ROWS) * GROUP;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (head >= args.heads || row >= rows) return;
    uint kv = head / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + DEAL_LANE, rows - 1);
    uint last = min(row + GROUP, rows) - 1, first = first_key(starts[t], t);
    uint q_at = (t * args.ld_qkv + args.offset_q + head * HEAD_DIM) / 4, dy_at = (t * args.ld_out + head * HEAD_DIM) / 4;
    for (uint i = 0; i < HEADS * D4; i++) {
        q[i] = LOAD4(qkv, 2, q_at + i) * args.scale;
        dy[i] = LOAD4(dout, 3, dy_at + i);
        dq[i] = vec4(0);
    }
    float my_lse[HEADS], my_delta[HEADS];
    for (uint h = 0; h < HEADS; h++) {
        my_lse[h] = lse[(head + h) * args.ld_lse + t];
        my_delta[h] = delta[(head + h) * args.ld_lse + t];
    }
    for (uint s = first_key(starts[row], row); s <= last; s += BLOCK) {
        uint k_at[BLOCK], v_at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            k_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_k + kv) / 4;
            v_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_v + kv) / 4;
            seen[j] = s + j >= first && s + j <= t;
        }
        for (uint i = 0; i < HEADS * BLOCK; i++) p[i] = dp[i] = 0;
        FETCH(k_share, qkv, 2, k_at)
        SPREAD(k_share, qkv, 2, k_at, score)
        FETCH(v_share, qkv, 2, v_at)
        SPREAD(v_share, qkv, 2, v_at, weigh)
        for (uint i = 0; i < HEADS * BLOCK; i++) {
            uint h = i / BLOCK, j = i % BLOCK;
            if (DROPOUT != 0 && live.dropout > 0)
                dp[i] *= dropout_factor(conversation[t], positions[t], positions[min(s + j, last)], head + h);
            dp[i] = seen[j] ? exp(clamp(p[i] - my_lse[h], -100.0, 0.0)) * (dp[i] - my_delta[h]) : 0;
        }
        SPREAD(k_share, qkv, 2, k_at, gather)
    }
    if (row + DEAL_LANE >= rows) return;
    for (uint i = 0; i < HEADS * D4; i++) STORE4(dqkv, 6, q_at + i, dq[i] * args.scale);
}
