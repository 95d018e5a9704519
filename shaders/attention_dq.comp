// SPDX-License-Identifier: MIT
//
// attention_dq: the gradient of the queries. With P = exp(scale Q K^T - lse) and dP = dout V^T (through dropout's mask):
// dQ = scale sum_s P (dP - delta) K. A lane holds one query row of one head.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

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

vec4 q[D4], dy[D4], dq[D4];
float p[BLOCK], dp[BLOCK];
bool seen[BLOCK];

void score(uint d, vec4 k[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], q[d], k[j]);
}

void weigh(uint d, vec4 v[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) dp[j] = sum_products(dp[j], dy[d], v[j]);
}

void gather(uint d, vec4 k[BLOCK])
{
    vec4 s = dq[d];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? dp[j] * k[j] : vec4(0);
    dq[d] = s;
}

void main()
{
    uint h = GROUP_INDEX / GROUP_ROWS, row = row_block(GROUP_INDEX % GROUP_ROWS) * GROUP;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (h >= args.heads || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + DEAL_LANE, rows - 1);
    uint last = min(row + GROUP, rows) - 1, first = first_key(starts[t], t);
    uint q_at = (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4, dy_at = (t * args.ld_out + h * HEAD_DIM) / 4;
    for (uint d = 0; d < D4; d++) {
        q[d] = LOAD4(qkv, 2, q_at + d) * args.scale;
        dy[d] = LOAD4(dout, 3, dy_at + d);
        dq[d] = vec4(0);
    }
    float my_lse = lse[h * args.ld_lse + t], my_delta = delta[h * args.ld_lse + t];
    for (uint s = first_key(starts[row], row); s <= last; s += BLOCK) {
        uint k_at[BLOCK], v_at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            k_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_k + kv) / 4;
            v_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_v + kv) / 4;
            seen[j] = s + j >= first && s + j <= t;
            p[j] = dp[j] = 0;
        }
        FETCH(k_share, qkv, 2, k_at)
        SPREAD(k_share, qkv, 2, k_at, score)
        FETCH(v_share, qkv, 2, v_at)
        SPREAD(v_share, qkv, 2, v_at, weigh)
        for (uint j = 0; j < BLOCK; j++) {
            if (DROPOUT != 0 && live.dropout > 0)
                dp[j] *= dropout_factor(conversation[t], positions[t], positions[min(s + j, last)], h);
            dp[j] = exp(clamp(p[j] - my_lse, -100.0, 0.0)) * (dp[j] - my_delta);
        }
        SPREAD(k_share, qkv, 2, k_at, gather)
    }
    if (row + DEAL_LANE >= rows) return;
    for (uint d = 0; d < D4; d++) STORE4(dqkv, 6, q_at + d, dq[d] * args.scale);
}
