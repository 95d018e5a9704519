// SPDX-License-Identifier: MIT
//
// attention_forward: out = softmax(scale Q K^T) V and the scores' log-sum-exp. A lane holds one query row of one head;
// the maximum is corrected block by block.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.glsl"

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

vec4 q[D4], sum[D4];
float p[BLOCK];
float most = LOWEST, weight = 0, fade;
float all = 0; // the scores' sum: not finite when one of them is not, which maxima and clamps may hide
bool seen[BLOCK];

void score(uint d, vec4 k[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], q[d], k[j]);
}

// Scores to weights under the new maximum; earlier sums fade by exp(old maximum - new maximum).
void soften()
{
    float top = most;
    for (uint j = 0; j < BLOCK; j++) {
        top = seen[j] ? max(top, p[j]) : top;
        all += seen[j] ? p[j] : 0;
    }
    fade = exp(max(most - top, -100.0));
    weight *= fade;
    most = top;
    for (uint j = 0; j < BLOCK; j++) {
        p[j] = seen[j] ? exp(max(p[j] - top, -100.0)) : 0;
        weight += p[j];
    }
}

void gather(uint d, vec4 v[BLOCK])
{
    vec4 s = sum[d] * fade;
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? p[j] * v[j] : vec4(0);
    sum[d] = s;
}

void main()
{
    uint h = GROUP_INDEX / GROUP_ROWS, row = row_block(GROUP_INDEX % GROUP_ROWS) * GROUP;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (h >= args.heads || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + DEAL_LANE, rows - 1);
    uint last = min(row + GROUP, rows) - 1, first = first_key(starts[t], t);
    for (uint d = 0; d < D4; d++) {
        q[d] = LOAD4(qkv, 2, (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4 + d) * args.scale;
        sum[d] = vec4(0);
    }
    for (uint s = first_key(starts[row], row); s <= last; s += BLOCK) {
        uint k_at[BLOCK], v_at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            k_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_k + kv) / 4;
            v_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_v + kv) / 4;
            seen[j] = s + j >= first && s + j <= t;
            p[j] = 0;
        }
        FETCH(k_share, qkv, 2, k_at)
        SPREAD(k_share, qkv, 2, k_at, score)
        soften();
        if (DROPOUT != 0 && live.dropout > 0)
            for (uint j = 0; j < BLOCK; j++)
                p[j] *= dropout_factor(conversation[t], positions[t], positions[min(s + j, last)], h);
        FETCH(v_share, qkv, 2, v_at)
        SPREAD(v_share, qkv, 2, v_at, gather)
    }
    if (row + DEAL_LANE >= rows) return;
    float bad = uintBitsToFloat(0x7fc00000u), scale = is_finite(all) ? 1 / weight : bad;
    for (uint d = 0; d < D4; d++) STORE4(o, 3, (t * args.ld_out + h * HEAD_DIM) / 4 + d, sum[d] * scale);
    lse[h * args.ld_lse + t] = is_finite(all) ? most + log(weight) : bad;
}
