// SPDX-License-Identifier: MIT
//
// attention_forward: out = softmax(scale Q K^T) V and the scores' log-sum-exp. A lane holds one query row of HEADS query
// heads of one key head, so that what is loaded of K and V serves them all; the maximum is corrected block by block.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

layout(constant_id = 6) const uint HEADS = 1; // divides heads / kv_heads
layout(binding = 1, std430) readonly buffer Starts {
    uint starts[];
};
TENSOR_IN(2, qkv)
TENSOR(3, o)
layout(binding = 4, std430) buffer Lse {
    float lse[];
};
layout(binding = 5, std430) readonly buffer Conversation {
    uint conversation[];
};
layout(binding = 6, std430) readonly buffer Positions {
    uint positions[];
};

vec4 q[HEADS * D4], sum[HEADS * D4];
float most[HEADS], weight[HEADS], fade[HEADS], p[HEADS * BLOCK];
float all[HEADS]; // the scores' sum: not finite when one of them is not, which maxima and clamps may hide
bool seen[BLOCK];

void score(uint d, vec4 k[BLOCK])
{
    for (uint h = 0; h < HEADS; h++)
        for (uint j = 0; j < BLOCK; j++) p[h * BLOCK + j] = sum_products(p[h * BLOCK + j], q[h * D4 + d], k[j]);
}

// Scores to weights under the new maximum; earlier sums fade by exp(old maximum - new maximum).
void soften()
{
    for (uint h = 0; h < HEADS; h++) {
        float top = most[h];
        for (uint j = 0; j < BLOCK; j++) {
            top = seen[j] ? max(top, p[h * BLOCK + j]) : top;
            all[h] += seen[j] ? p[h * BLOCK + j] : 0;
        }
        fade[h] = exp(max(most[h] - top, -100.0));
        weight[h] *= fade[h];
        most[h] = top;
        for (uint j = 0; j < BLOCK; j++) {
            p[h * BLOCK + j] = seen[j] ? exp(max(p[h * BLOCK + j] - top, -100.0)) : 0;
            weight[h] += p[h * BLOCK + j];
        }
    }
}

void gather(uint d, vec4 v[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) v[j] = seen[j] ? v[j] : vec4(0);
    for (uint h = 0; h < HEADS; h++) {
        vec4 s = sum[h * D4 + d] * fade[h];
        for (uint j = 0; j < BLOCK; j++) s += p[h * BLOCK + j] * v[j];
        sum[h * D4 + d] = s;
    }
}

void main()
{
    uint head = GROUP_INDEX / GROUP_ROWS * HEADS, row = row_block(GROUP_INDEX % GROUP_ROWS) * GROUP;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (head >= args.heads || row >= rows) return;
    uint kv = head / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + DEAL_LANE, rows - 1);
    uint last = min(row + GROUP, rows) - 1, first = first_key(starts[t], t);
    for (uint i = 0; i < HEADS * D4; i++) {
        q[i] = LOAD4(qkv, 2, (t * args.ld_qkv + args.offset_q + head * HEAD_DIM) / 4 + i) * args.scale;
        sum[i] = vec4(0);
    }
    for (uint h = 0; h < HEADS; h++) {
        most[h] = LOWEST;
        weight[h] = all[h] = 0;
    }
    for (uint s = first_key(starts[row], row); s <= last; s += BLOCK) {
        uint k_at[BLOCK], v_at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            k_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_k + kv) / 4;
            v_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_v + kv) / 4;
            seen[j] = s + j >= first && s + j <= t;
        }
        for (uint i = 0; i < HEADS * BLOCK; i++) p[i] = 0;
        FETCH(k_share, qkv, 2, k_at)
        SPREAD(k_share, qkv, 2, k_at, score)
        soften();
        if (DROPOUT != 0 && live.dropout > 0)
            for (uint i = 0; i < HEADS * BLOCK; i++)
                p[i] *= dropout_factor(conversation[t], positions[t], positions[min(s + i % BLOCK, last)], head + i / BLOCK);
        FETCH(v_share, qkv, 2, v_at)
        SPREAD(v_share, qkv, 2, v_at, gather)
    }
    if (row + DEAL_LANE >= rows) return;
    for (uint h = 0; h < HEADS; h++) {
        float bad = uintBitsToFloat(0x7fc00000u), scale = is_finite(all[h]) ? 1 / weight[h] : bad;
        for (uint d = 0; d < D4; d++)
            STORE4(o, 3, (t * args.ld_out + (head + h) * HEAD_DIM) / 4 + d, sum[h * D4 + d] * scale);
        lse[(head + h) * args.ld_lse + t] = is_finite(all[h]) ? most[h] + log(weight[h]) : bad;
    }
}
