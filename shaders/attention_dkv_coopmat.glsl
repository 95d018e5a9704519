// SPDX-License-Identifier: MIT
//
// attention_dkv_coopmat: attention_dkv on matrix units (attention_coopmat.glsl). Owned rows are keys; the queries of all the
// key head's query heads stream by, head after head. What is rounded to HALF: P, with dropout, and P (dP - delta), without
// the scores' scale.
#include "attention_coopmat.glsl"

layout(push_constant) uniform Push {
    attention_args args;
};
layout(binding = 1, std430) readonly buffer Ends {
    uint ends[];
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

// Workgroup memory: owned keys and values (where they are not held), queries and dout, both turned, P and P (dP - delta), two
// fragments of f32 for each subgroup.
const uint Q_AT = HOLD != 0 ? 0 : 2 * OWN, DY_AT = Q_AT + TILE;
const uint QT_AT = PHASED != 0 ? Q_AT : DY_AT + TILE, DYT_AT = QT_AT + TURNED;
const uint P_AT = MORE(DY_AT + TILE, DYT_AT + TURNED), DS_AT = P_AT + HALVES, FRAGMENTS_AT = DS_AT + HALVES;
const uint END = FRAGMENTS_AT + 2 * WAVES_M * WAVES_N * M * C_STRIDE;
shared uvec4 tiles[MORE(END, 2 * OWN)];
shared uint row_end[ROWS];                     // one past the last query that sees the key
shared float query_lse[BLOCK], query_delta[BLOCK];

// Of the queries t .. t + 7 (none beyond `last`) and the key at position `s`.
uint kept_queries(uint t, uint last, int s, uint h)
{
    uint kept = 0;
    [[dont_unroll]] for (uint i = 0; i < 8; i++) {
        uint ti = min(t + i, last);
        kept |= keeps(words_of(conversation[ti], positions[ti], s, h, args.layer), s) ? 1u << i : 0u;
    }
    return kept;
}

void main()
{
    uint g = GROUP_INDEX % args.kv_heads, own = GROUP_INDEX / args.kv_heads * ROWS; // those that most see come first
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0), heads = args.heads / args.kv_heads, row = args.first_row + own;
    if (own >= args.own_rows || row >= rows) return;
    uint last = min(row + ROWS, rows) - 1, mine = FRAGMENTS_AT + 2 * gl_SubgroupID * M * C_STRIDE;
    uint end = args.window > 0 ? min(ends[last], last + args.window) : ends[last];

    for (uint r = LANE; r < ROWS; r += GROUP) {
        uint s = min(row + r, last);
        row_end[r] = args.window > 0 ? min(ends[s], s + args.window) : ends[s];
    }
    PLACE(0, ROWS, qkv, 2, row, last, args.ld_qkv, args.offset_k + g * HEAD_DIM)
    PLACE(OWN, ROWS, qkv, 2, row, last, args.ld_qkv, args.offset_v + g * HEAD_DIM)
    NAMES(A_FRAG, k)
    NAMES(A_FRAG, v)
    NAMES(SUMS, dk)
    NAMES(SUMS, dv)
    EACH1(ZERO, dk)
    EACH1(ZERO, dv)
    if (HOLD != 0) {
        barrier(); // the owned rows are there
        EACH2(OWN_STEP, k, 0)
        EACH2(OWN_STEP, v, OWN)
        barrier(); // and read
    }
#define PLACE_QUERIES(t, h)                                                                                            \
    PLACE(Q_AT, BLOCK, qkv, 2, t, end - 1, args.ld_qkv, args.offset_q + (h) * HEAD_DIM)                                \
    PLACE(DY_AT, BLOCK, dout, 3, t, end - 1, args.ld_out, (h) * HEAD_DIM)                                              \
    for (uint j = LANE; j < BLOCK; j += GROUP) {                                                                       \
        query_lse[j] = lse[(h) * args.ld_lse + min((t) + j, end - 1)];                                                 \
        query_delta[j] = delta[(h) * args.ld_lse + min((t) + j, end - 1)];                                             \
    }
    uint t = row, h = g * heads;
    PLACE_QUERIES(t, h)
    while (h < (g + 1) * heads) {
        uint next_t = t + BLOCK < end ? t + BLOCK : row, next_h = t + BLOCK < end ? h : h + 1;
        barrier(); // the queries are there; the turned ones before them, and what they were multiplied with, are read
        [[dont_unroll]] for (uint c = 0; c < BLOCK; c += WAVES_N * N) {
            uint column = c + WAVE_N * N;
            if (column < BLOCK) {
                SUMS score = SUMS(0.0), dp = SUMS(0.0);
                SCORE(score, k, 0, Q_AT + column * D_STRIDE)
                SCORE(dp, v, OWN, DY_AT + column * D_STRIDE)
                coopMatStore(score, tiles, mine, C_STRIDE, ROW_MAJOR);
                coopMatStore(dp, tiles, mine + M * C_STRIDE, C_STRIDE, ROW_MAJOR);
            }
            subgroupBarrier(); // the fragments are there
            for (uint f = column < BLOCK ? gl_SubgroupInvocationID : M * N; f < M * N / 8; f += gl_SubgroupSize) {
                uint y = f / (N / 8), x = column + f % (N / 8) * 8, r = WAVE_M * M + y, s = min(row + r, last), kept = 0xffu;
                uint at = mine + y * C_STRIDE + f % (N / 8) * 2;
                if (DROPOUT != 0 && live.dropout > 0) kept = kept_queries(t + x, end - 1, int(positions[s]), h);
                uvec2 packed[2], packed_d[2];
                [[unroll]] for (uint i = 0; i < 2; i++) {
                    vec4 p = uintBitsToFloat(tiles[at + i]) * args.scale, d = uintBitsToFloat(tiles[at + M * C_STRIDE + i]);
                    uint at_c = x + 4 * i;
                    uvec4 query = t + at_c + uvec4(0, 1, 2, 3);
                    bvec4 hidden = bvec4(uvec4(lessThan(query, uvec4(s))) | uvec4(greaterThanEqual(query, uvec4(row_end[r]))));
                    vec4 keep = vec4(1);
                    if (DROPOUT != 0 && live.dropout > 0)
                        keep = mix(vec4(0), vec4(1 / (1 - live.dropout)), notEqual(uvec4(kept) & (uvec4(1, 2, 4, 8) << 4 * i), uvec4(0)));
                    p -= vec4(query_lse[at_c], query_lse[at_c + 1], query_lse[at_c + 2], query_lse[at_c + 3]);
                    p = exp(clamp(p, -100.0, 0.0));
                    d = p * (d * keep - vec4(query_delta[at_c], query_delta[at_c + 1], query_delta[at_c + 2], query_delta[at_c + 3]));
                    // The turned rows hide what is not finite: P shows it.
                    bvec4 bad = greaterThanEqual(floatBitsToUint(d) & 0x7f800000u, uvec4(0x7f800000u));
                    p = mix(p * keep, uintBitsToFloat(uvec4(0x7fc00000u)), bad);
                    packed[i] = half_pack(mix(p, vec4(0), hidden));
                    packed_d[i] = half_pack(mix(d, vec4(0), hidden));
                }
                tiles[P_AT + r * T_STRIDE + x / 8] = uvec4(packed[0], packed[1]);
                tiles[DS_AT + r * T_STRIDE + x / 8] = uvec4(packed_d[0], packed_d[1]);
            }
            subgroupBarrier(); // and read
        }
        if (PHASED != 0) barrier(); // the queries are read
        PLACE_TURNED(QT_AT, qkv, 2, t, end - 1, args.ld_qkv, args.offset_q + h * HEAD_DIM, SEE_NONE)
        PLACE_TURNED(DYT_AT, dout, 3, t, end - 1, args.ld_out, h * HEAD_DIM, SEE_NONE)
        barrier(); // scores and turned queries are there, the queries read
        GATHER(dv, P_AT, DYT_AT)
        GATHER(dk, DS_AT, QT_AT)
        if (PHASED != 0) barrier(); // the turned queries are read
        t = next_t;
        h = next_h;
        if (h < (g + 1) * heads) { PLACE_QUERIES(t, h) }
    }
#define OUT_K(y, x, v)                                                                                                 \
    if (row + y < rows)                                                                                                \
        STORE4(dqkv, 6, ((row + y) * args.ld_qkv + args.offset_k + g * HEAD_DIM) / 4 + x, v * args.scale);
#define OUT_V(y, x, v)                                                                                                 \
    if (row + y < rows) STORE4(dqkv, 6, ((row + y) * args.ld_qkv + args.offset_v + g * HEAD_DIM) / 4 + x, v);
    EACH3(PUT_FRAG, dk, mine, OUT_K)
    EACH3(PUT_FRAG, dv, mine, OUT_V)
}
