// SPDX-License-Identifier: MIT
//
// attention_dq_coopmat: attention_dq on matrix units (attention_coopmat.glsl). Owned rows are queries. What is rounded to
// HALF is P (dP - delta), without the scores' scale: no larger than dP, and as far from 0 as can be.
#include "attention_coopmat.glsl"

layout(push_constant) uniform Push {
    attention_args args;
};
layout(binding = 1, std430) readonly buffer Starts {
    uint starts[];
};
layout(binding = 2, std430) readonly buffer Qkv {
    uvec4 qkv[];
};
layout(binding = 3, std430) readonly buffer Dout {
    uvec4 dout[];
};
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

// Workgroup memory: owned queries and dout (where they are not held), keys, values, keys turned, P (dP - delta), two fragments
// of f32 for each subgroup.
const uint K_AT = HOLD != 0 ? 0 : 2 * OWN, V_AT = K_AT + TILE, KT_AT = PHASED != 0 ? K_AT : V_AT + TILE;
const uint DS_AT = MORE(V_AT + TILE, KT_AT + TURNED), FRAGMENTS_AT = DS_AT + HALVES, END = FRAGMENTS_AT + 2 * WAVES_M * WAVES_N * M * C_STRIDE;
shared uvec4 tiles[MORE(END, 2 * OWN)];
shared uint row_first[ROWS];
shared float row_lse[ROWS], row_delta[ROWS];

void main()
{
    uint h = GROUP_INDEX % args.heads, blocks = (args.own_rows + ROWS - 1) / ROWS;
    // Those that see the most come first.
    uint row = args.first_row + (blocks - 1 - min(GROUP_INDEX / args.heads, blocks - 1)) * ROWS;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (GROUP_INDEX / args.heads >= blocks || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, last = min(row + ROWS, rows) - 1;
    uint s = first_key(starts[row], row, args.window);
    uint mine = FRAGMENTS_AT + 2 * gl_SubgroupID * M * C_STRIDE;

    for (uint r = LANE; r < ROWS; r += GROUP) {
        uint t = min(row + r, last);
        row_first[r] = first_key(starts[t], t, args.window);
        row_lse[r] = lse[h * args.ld_lse + t];
        row_delta[r] = delta[h * args.ld_lse + t];
    }
    PLACE(0, ROWS, qkv, 2, row, last, args.ld_qkv, args.offset_q + h * HEAD_DIM)
    PLACE(OWN, ROWS, dout, 3, row, last, args.ld_out, h * HEAD_DIM)
    NAMES(A_FRAG, q)
    NAMES(A_FRAG, dy)
    NAMES(SUMS, sum)
    EACH1(ZERO, sum)
    if (HOLD != 0) {
        barrier(); // the owned rows are there
        EACH2(OWN_STEP, q, 0)
        EACH2(OWN_STEP, dy, OWN)
        barrier(); // and read
    }
    PLACE(K_AT, BLOCK, qkv, 2, s, last, args.ld_qkv, args.offset_k + kv)
    PLACE(V_AT, BLOCK, qkv, 2, s, last, args.ld_qkv, args.offset_v + kv)
    for (; s <= last; s += BLOCK) {
        barrier(); // keys and values are there; the turned keys before them, and what they were multiplied with, are read
        [[dont_unroll]] for (uint c = 0; c < BLOCK; c += WAVES_N * N) {
            uint column = c + WAVE_N * N;
            if (column < BLOCK) {
                SUMS score = SUMS(0.0), dp = SUMS(0.0);
                SCORE(score, q, 0, K_AT + column * D_STRIDE)
                SCORE(dp, dy, OWN, V_AT + column * D_STRIDE)
                coopMatStore(score, tiles, mine, C_STRIDE, ROW_MAJOR);
                coopMatStore(dp, tiles, mine + M * C_STRIDE, C_STRIDE, ROW_MAJOR);
            }
            subgroupBarrier(); // the fragments are there
            for (uint g = column < BLOCK ? gl_SubgroupInvocationID : M * N; g < M * N / 8; g += gl_SubgroupSize) {
                uint y = g / (N / 8), x = g % (N / 8), r = WAVE_M * M + y, t = min(row + r, last), kept = 0xffu;
                uint key0 = s + column + 8 * x, at = mine + y * C_STRIDE + 2 * x;
                if (DROPOUT != 0 && live.dropout > 0)
                    kept = kept_keys(conversation[t], positions[t], int(key0) - int(t - positions[t]), h, args.layer);
                uvec2 packed[2];
                [[unroll]] for (uint i = 0; i < 2; i++) {
                    vec4 p = uintBitsToFloat(tiles[at + i]) * args.scale, d = uintBitsToFloat(tiles[at + M * C_STRIDE + i]);
                    uvec4 key = key0 + 4 * i + uvec4(0, 1, 2, 3);
                    bvec4 hidden = bvec4(uvec4(lessThan(key, uvec4(row_first[r]))) | uvec4(greaterThan(key, uvec4(t))));
                    if (DROPOUT != 0 && live.dropout > 0)
                        d = mix(vec4(0), d / (1 - live.dropout), notEqual(uvec4(kept) & (uvec4(1, 2, 4, 8) << 4 * i), uvec4(0)));
                    p = exp(clamp(p - row_lse[r], -100.0, 0.0)) * (d - row_delta[r]);
                    packed[i] = half_pack(mix(p, vec4(0), hidden));
                }
                tiles[DS_AT + r * T_STRIDE + column / 8 + x] = uvec4(packed[0], packed[1]);
            }
            subgroupBarrier(); // and read
        }
        if (PHASED != 0) barrier(); // keys and values are read
        PLACE_TURNED(KT_AT, qkv, 2, s, last, args.ld_qkv, args.offset_k + kv, SEE_NONE)
        barrier(); // P (dP - delta) and the turned keys are there, keys and values read
        GATHER(sum, DS_AT, KT_AT)
        if (PHASED != 0) barrier(); // the turned keys are read
        if (s + BLOCK <= last) {
            PLACE(K_AT, BLOCK, qkv, 2, s + BLOCK, last, args.ld_qkv, args.offset_k + kv)
            PLACE(V_AT, BLOCK, qkv, 2, s + BLOCK, last, args.ld_qkv, args.offset_v + kv)
        }
    }
#define OUT(y, x, v)                                                                                                   \
    if (row + y < rows)                                                                                                \
        STORE4(dqkv, 6, ((row + y) * args.ld_qkv + args.offset_q + h * HEAD_DIM) / 4 + x, v * args.scale);
    EACH3(PUT_FRAG, sum, mine, OUT)
}
