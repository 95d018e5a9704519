// SPDX-License-Identifier: MIT
//
// attention_dkv: the gradients of keys and values, from all query heads of the key's group, one after the other. With P
// and dP as in attention_dq: dV = sum_t P dout (P through dropout's mask), dK = scale sum_t P (dP - delta) Q. A lane
// holds one row of one key head; the queries that see it stream by.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

layout(binding = 1, std430) readonly buffer Ends {
    uint ends[];
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

vec4 k[D4], v[D4], dk[D4], dv[D4];
float p[BLOCK], dp[BLOCK];
bool seen[BLOCK];

void score(uint d, vec4 q[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], k[d], q[j]);
}

void weigh(uint d, vec4 dy[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) dp[j] = sum_products(dp[j], v[d], dy[j]);
}

void gather_v(uint d, vec4 dy[BLOCK])
{
    vec4 s = dv[d];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? p[j] * dy[j] : vec4(0);
    dv[d] = s;
}

void gather_k(uint d, vec4 q[BLOCK])
{
    vec4 s = dk[d];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? dp[j] * q[j] : vec4(0);
    dk[d] = s;
}

void main()
{
    uint g = GROUP_INDEX / GROUP_ROWS, row = row_block(GROUP_INDEX % GROUP_ROWS) * GROUP;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (g >= args.kv_heads || row >= rows) return;
    uint s = min(row + DEAL_LANE, rows - 1), last = min(row + GROUP, rows) - 1, heads = args.heads / args.kv_heads;
    uint my_end = args.window > 0 ? min(ends[s], s + args.window) : ends[s];
    uint end = args.window > 0 ? min(ends[last], last + args.window) : ends[last];
    uint k_at = (s * args.ld_qkv + args.offset_k + g * HEAD_DIM) / 4, v_at = (s * args.ld_qkv + args.offset_v + g * HEAD_DIM) / 4;
    for (uint d = 0; d < D4; d++) {
        k[d] = LOAD4(qkv, 2, k_at + d) * args.scale;
        v[d] = LOAD4(qkv, 2, v_at + d);
        dk[d] = dv[d] = vec4(0);
    }
    for (uint h = g * heads; h < (g + 1) * heads; h++) {
        for (uint t = row; t < end; t += BLOCK) {
            uint q_at[BLOCK], dy_at[BLOCK];
            for (uint j = 0; j < BLOCK; j++) {
                uint tj = min(t + j, end - 1);
                q_at[j] = (tj * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4;
                dy_at[j] = (tj * args.ld_out + h * HEAD_DIM) / 4;
                seen[j] = t + j >= s && t + j < my_end;
                p[j] = dp[j] = 0;
            }
            FETCH(q_share, qkv, 2, q_at)
            SPREAD(q_share, qkv, 2, q_at, score)
            FETCH(dy_share, dout, 3, dy_at)
            SPREAD(dy_share, dout, 3, dy_at, weigh)
            for (uint j = 0; j < BLOCK; j++) {
                uint tj = min(t + j, end - 1);
                float factor = 1;
                if (DROPOUT != 0 && live.dropout > 0)
                    factor = dropout_factor(conversation[tj], positions[tj], positions[s], h);
                p[j] = exp(clamp(p[j] - lse[h * args.ld_lse + tj], -100.0, 0.0));
                dp[j] = p[j] * (dp[j] * factor - delta[h * args.ld_lse + tj]);
                p[j] *= factor;
            }
            SPREAD(dy_share, dout, 3, dy_at, gather_v)
            SPREAD(q_share, qkv, 2, q_at, gather_k)
        }
    }
    if (row + DEAL_LANE >= rows) return;
    for (uint d = 0; d < D4; d++) {
        STORE4(dqkv, 6, k_at + d, dk[d] * args.scale);
        STORE4(dqkv, 6, v_at + d, dv[d]);
    }
}
