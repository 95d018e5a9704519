// SPDX-License-Identifier: MIT
//
// attention_dkv: the gradients of keys and values, from all query heads of the key's group, one after the other. With P
// and dP as in attention_dq: dV = sum_t P dout (P through dropout's mask), dK = scale sum_t P (dP - delta) Q. Lanes
// hold rows of one key head; the queries that see them stream by.
#include "attention.glsl"

layout(push_constant) uniform Push {
    attention_args args;
    PUSH_ADDRESSES
};
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
#ifdef SCORES
layout(binding = 7, std430) buffer Scores {
    float scores[];
};
// Of streamed query j: BLOCK is SCORES_ROWS, t a multiple of it.
#define KEEP(head, j, value)                                                                                           \
    Out(addresses[6])[(head) * SCORES_PANEL(args.rows) +                                                               \
                      (t / SCORES_ROWS * SCORES_KEYS(args.rows) + row + gl_SubgroupInvocationID) * SCORES_ROWS + j]    \
        .word = floatBitsToUint(value)
#define FIRST_KV args.first_kv
#define OWN_KV args.own_kv
#define NEXT_BINDING 8
#else
#define KEEP(head, j, value)
#define FIRST_KV 0
#define OWN_KV args.kv_heads
#define NEXT_BINDING 7
#endif
layout(binding = NEXT_BINDING, std430) readonly buffer Conversation {
    uint conversation[];
};
layout(binding = NEXT_BINDING + 1, std430) readonly buffer Positions {
    uint positions[];
};

vec4 k[HELD], v[HELD], dk[HELD], dv[HELD];
float p[BLOCK], dp[BLOCK];
bool seen[BLOCK];

void score(uint i, vec4 q[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], k[i], q[j]);
}

void weigh(uint i, vec4 dy[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) dp[j] = sum_products(dp[j], v[i], dy[j]);
}

void gather_v(uint i, vec4 dy[BLOCK])
{
    vec4 s = dv[i];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? p[j] * dy[j] : vec4(0);
    dv[i] = s;
}

void gather_k(uint i, vec4 q[BLOCK])
{
    vec4 s = dk[i];
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? dp[j] * q[j] : vec4(0);
    dk[i] = s;
}

void gather_v_all(uint i, vec4 dy[BLOCK]) // where every query sees every key
{
    vec4 s = dv[i];
    for (uint j = 0; j < BLOCK; j++) s += p[j] * dy[j];
    dv[i] = s;
}

void gather_k_all(uint i, vec4 q[BLOCK])
{
    vec4 s = dk[i];
    for (uint j = 0; j < BLOCK; j++) s += dp[j] * q[j];
    dk[i] = s;
}

void main()
{
    uint blocks = (args.own_rows + LINES - 1) / LINES, own = GROUP_INDEX / blocks, g = FIRST_KV + own;
    uint row = args.first_row + row_block(GROUP_INDEX % blocks, blocks) * LINES;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (own >= OWN_KV || row >= rows) return;
    uint s = min(row + LINE, rows - 1), last = min(row + LINES, rows) - 1, heads = args.heads / args.kv_heads;
    uint my_end = args.window > 0 ? min(ends[s], s + args.window) : ends[s];
    uint end = args.window > 0 ? min(ends[last], last + args.window) : ends[last];
    // Queries from `last` up to here see every lane's key.
    uint end_of_all = args.window > 0 ? min(ends[row], row + args.window) : ends[row];
    uint k_at = (s * args.ld_qkv + args.offset_k + g * HEAD_DIM) / 4;
    uint v_at = (s * args.ld_qkv + args.offset_v + g * HEAD_DIM) / 4;
    for (uint i = 0; i < HELD; i++) {
        k[i] = LOAD4(qkv, 2, k_at + HELD4(i)) * (HOLDS(i) ? args.scale : 0);
        v[i] = LOAD4(qkv, 2, v_at + HELD4(i)) * (HOLDS(i) ? 1 : 0);
        dk[i] = dv[i] = vec4(0);
    }
    for (uint head = 0; head < heads; head++) {
        uint h = g * heads + min(head, heads - 1);
        uint t = row;
        do { // not for: wide.glsl tells why; there is always a first round
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
            whole(p);
            whole(dp);
            for (uint j = 0; j < BLOCK; j++) {
                uint tj = min(t + j, end - 1);
                float factor = 1;
                if (DROPOUT != 0 && live.dropout > 0)
                    factor = dropout_factor(conversation[tj], positions[tj], positions[s], h, args.layer);
                p[j] = exp(clamp(p[j] - STREAMED(lse, 4, h * args.ld_lse + tj), -100.0, 0.0));
                dp[j] = p[j] * (dp[j] * factor - STREAMED(delta, 5, h * args.ld_lse + tj));
                KEEP(own * heads + head, j, dp[j]);
                p[j] *= factor;
            }
            if (t >= last && t + BLOCK <= end_of_all) {
                SPREAD(dy_share, dout, 3, dy_at, gather_v_all)
                SPREAD(q_share, qkv, 2, q_at, gather_k_all)
            } else {
                SPREAD(dy_share, dout, 3, dy_at, gather_v)
                SPREAD(q_share, qkv, 2, q_at, gather_k)
            }
            t += BLOCK;
        } while (t < end);
    }
    if (row + LINE >= rows) return;
    for (uint i = 0; i < HELD; i++) {
        if (!HOLDS(i)) continue;
        STORE4(dqkv, 6, k_at + HELD4(i), dk[i] * args.scale);
        STORE4(dqkv, 6, v_at + HELD4(i), dv[i]);
    }
}
