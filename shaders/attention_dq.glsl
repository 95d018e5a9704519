// SPDX-License-Identifier: MIT
//
// attention_dq: the gradient of the queries. With P = exp(scale Q K^T - lse) and dP = dout V^T (through dropout's mask):
// dQ = scale sum_s P (dP - delta) K. Lanes hold query rows of one head.
#include "attention.glsl"

layout(push_constant) uniform Push {
    attention_args args;
    PUSH_ADDRESSES
};
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

vec4 q[HELD], dy[HELD], dq[HELD];
float p[BLOCK], dp[BLOCK];
bool seen[BLOCK];

void score(uint i, vec4 k[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], q[i], k[j]);
}

void weigh(uint i, vec4 v[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) dp[j] = sum_products(dp[j], dy[i], v[j]);
}

void gather(uint i, vec4 k[BLOCK])
{
    vec4 s = dq[i];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? dp[j] * k[j] : vec4(0);
    dq[i] = s;
}

void gather_all(uint i, vec4 k[BLOCK]) // where every key is seen
{
    vec4 s = dq[i];
    for (uint j = 0; j < BLOCK; j++) s += dp[j] * k[j];
    dq[i] = s;
}

void main()
{
    uint blocks = (args.own_rows + LINES - 1) / LINES, h = GROUP_INDEX / blocks;
    uint row = args.first_row + row_block(GROUP_INDEX % blocks, blocks) * LINES;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (h >= args.heads || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + LINE, rows - 1);
    uint last = min(row + LINES, rows) - 1, first = first_key(starts[t], t, args.window);
    uint q_at = (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4;
    uint dy_at = (t * args.ld_out + h * HEAD_DIM) / 4;
    uint first_of_all = first_key(starts[last], last, args.window); // from here to `row` all lanes see every key
    for (uint i = 0; i < HELD; i++) {
        q[i] = LOAD4(qkv, 2, q_at + HELD4(i)) * (HOLDS(i) ? args.scale : 0);
        dy[i] = LOAD4(dout, 3, dy_at + HELD4(i)) * (HOLDS(i) ? 1 : 0);
        dq[i] = vec4(0);
    }
    float my_lse = lse[h * args.ld_lse + t], my_delta = delta[h * args.ld_lse + t];
    uint s = first_key(starts[row], row, args.window);
    do { // not for: wide.glsl tells why; there is always a first round
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
        whole(p);
        whole(dp);
        for (uint j = 0; j < BLOCK; j++) {
            if (DROPOUT != 0 && live.dropout > 0)
                dp[j] *= dropout_factor(conversation[t], positions[t], positions[min(s + j, last)], h, args.layer);
            dp[j] = exp(clamp(p[j] - my_lse, -100.0, 0.0)) * (dp[j] - my_delta);
        }
        if (s >= first_of_all && s + BLOCK - 1 <= row) {
            SPREAD(k_share, qkv, 2, k_at, gather_all)
        } else {
            SPREAD(k_share, qkv, 2, k_at, gather)
        }
        s += BLOCK;
    } while (s <= last);
    if (row + LINE >= rows) return;
    for (uint i = 0; i < HELD; i++)
        if (HOLDS(i)) STORE4(dqkv, 6, q_at + HELD4(i), dq[i] * args.scale);
}
