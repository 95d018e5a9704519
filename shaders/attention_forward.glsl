// SPDX-License-Identifier: MIT
//
// attention_forward: out = softmax(scale Q K^T) V and the scores' log-sum-exp. Lanes hold query rows of one head; the
// maximum is corrected block by block.
#include "attention.glsl"

layout(push_constant) uniform Push {
    attention_args args;
    PUSH_ADDRESSES
};
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

#include "attention_softmax.glsl"

void main()
{
    uint blocks = (args.own_rows + LINES - 1) / LINES, h = GROUP_INDEX / blocks;
    uint row = args.first_row + row_block(GROUP_INDEX % blocks, blocks) * LINES;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (h >= args.heads || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, t = min(row + LINE, rows - 1);
    uint last = min(row + LINES, rows) - 1, first = first_key(starts[t], t, args.window);
    uint first_of_all = first_key(starts[last], last, args.window); // from here to `row` all lanes see every key
    for (uint i = 0; i < HELD; i++) {
        q[i] = LOAD4(qkv, 2, (t * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4 + HELD4(i)) * (HOLDS(i) ? args.scale : 0);
        sum[i] = vec4(0);
    }
    uint s = first_key(starts[row], row, args.window);
    do { // not for: wide.glsl tells why; there is always a first round
        uint k_at[BLOCK], v_at[BLOCK];
        for (uint j = 0; j < BLOCK; j++) {
            k_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_k + kv) / 4;
            v_at[j] = (min(s + j, last) * args.ld_qkv + args.offset_v + kv) / 4;
            seen[j] = s + j >= first && s + j <= t;
            p[j] = 0;
        }
        FETCH(k_share, qkv, 2, k_at)
        SPREAD(k_share, qkv, 2, k_at, score)
        whole(p);
        soften();
        if (DROPOUT != 0 && live.dropout > 0)
            for (uint j = 0; j < BLOCK; j++)
                p[j] *= dropout_factor(conversation[t], positions[t], positions[min(s + j, last)], h, args.layer);
        FETCH(v_share, qkv, 2, v_at)
        if (s >= first_of_all && s + BLOCK - 1 <= row) {
            SPREAD(v_share, qkv, 2, v_at, gather_all)
        } else {
            SPREAD(v_share, qkv, 2, v_at, gather)
        }
        s += BLOCK;
    } while (s <= last);
    if (row + LINE >= rows) return;
    float bad = uintBitsToFloat(0x7fc00000u), scale = is_finite(all) ? 1 / weight : bad;
    for (uint i = 0; i < HELD; i++)
        if (HOLDS(i)) STORE4(o, 3, (t * args.ld_out + h * HEAD_DIM) / 4 + HELD4(i), sum[i] * scale);
    if (PART == 0) lse[h * args.ld_lse + t] = is_finite(all) ? most + log(weight) : bad;
}
