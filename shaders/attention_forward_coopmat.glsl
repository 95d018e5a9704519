// SPDX-License-Identifier: MIT
//
// attention_forward_coopmat: attention_forward on matrix units (attention_coopmat.glsl). Owned rows are queries. PARTS lanes
// make a row's scores to weights: under a maximum that is corrected block by block, by which earlier sums fade.
#extension GL_KHR_shader_subgroup_shuffle : require
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

const uint ALL_PARTS = GROUP / ROWS, MOST_PARTS = BLOCK / 8, PARTS = ALL_PARTS < MOST_PARTS ? ALL_PARTS : MOST_PARTS;
const uint EACH_PART = BLOCK / PARTS; // columns, a multiple of 8
// Workgroup memory: owned rows (where they are not held: else they only come by), keys, values, scores, weights, what the sums
// fade by. In the end a fragment of sums for each subgroup lies where the scores did.
const uint S_STRIDE = BLOCK / 4 + 1, SCORES = ROWS * S_STRIDE, FRAGMENTS = WAVES_M * WAVES_N * M * C_STRIDE;
const uint K_AT = HOLD != 0 ? 0 : OWN, V_AT = PHASED != 0 ? K_AT : K_AT + TILE;
const uint S_AT = MORE(K_AT + TILE, V_AT + TURNED), P_AT = S_AT + MORE(SCORES, FRAGMENTS), FADE_AT = P_AT + HALVES, END = FADE_AT + ROWS / 4;
shared uvec4 tiles[MORE(END, OWN)];
shared uint v_bad[BLOCK], block_bad; // the last block (from 1) whose row j of values was not finite; that had such a row

float most = LOWEST, weight = 0;
float all = 0; // the scores' sum: not finite when one of them is not, which maxima and clamps may hide
uint block = 0;

#define SEE_VALUES(r, v)                                                                                               \
    if (finite(v) != v) {                                                                                              \
        atomicMax(v_bad[r], block);                                                                                    \
        atomicMax(block_bad, block);                                                                                   \
    }

float over_parts_max(float x)
{
    [[unroll]] for (uint i = 1; i < PARTS; i *= 2) x = max(x, subgroupShuffleXor(x, i));
    return x;
}

float over_parts_sum(float x)
{
    [[unroll]] for (uint i = 1; i < PARTS; i *= 2) x += subgroupShuffleXor(x, i);
    return x;
}

// Row r's scores from key s on, of its lane `part`, to weights; the row sees keys first .. t.
void soften(uint r, uint part, uint h, uint s, uint first, uint t)
{
    uint from = S_AT + r * S_STRIDE + part * EACH_PART / 4, to = P_AT + r * T_STRIDE + part * EACH_PART / 8;
    float top = LOWEST;
    [[dont_unroll]] for (uint j = 0; j < EACH_PART / 4; j++) {
        vec4 z = uintBitsToFloat(tiles[from + j]) * args.scale;
        uvec4 key = s + part * EACH_PART + 4 * j + uvec4(0, 1, 2, 3);
        bvec4 hidden = bvec4(uvec4(lessThan(key, uvec4(first))) | uvec4(greaterThan(key, uvec4(t))));
        top = max(top, max4(mix(z, vec4(LOWEST), hidden)));
        all += sum4(mix(z, vec4(0), hidden));
    }
    top = max(most, over_parts_max(top));
    float fade = exp(max(most - top, -100.0));
    weight *= fade;
    most = top;
    [[dont_unroll]] for (uint j = 0; j < EACH_PART / 8; j++) {
        uvec2 packed[2];
        uint key0 = s + part * EACH_PART + 8 * j, kept = 0xffu;
        if (DROPOUT != 0 && live.dropout > 0)
            kept = kept_keys(conversation[t], positions[t], int(key0) - int(t - positions[t]), h, args.layer);
        [[unroll]] for (uint i = 0; i < 2; i++) {
            vec4 z = uintBitsToFloat(tiles[from + 2 * j + i]) * args.scale;
            uvec4 key = key0 + 4 * i + uvec4(0, 1, 2, 3);
            bvec4 hidden = bvec4(uvec4(lessThan(key, uvec4(first))) | uvec4(greaterThan(key, uvec4(t))));
            vec4 p = mix(exp(max(z - top, -100.0)), vec4(0), hidden);
            weight += sum4(p);
            if (DROPOUT != 0 && live.dropout > 0)
                p = mix(vec4(0), p / (1 - live.dropout), notEqual(uvec4(kept) & (uvec4(1, 2, 4, 8) << 4 * i), uvec4(0)));
            packed[i] = half_pack(p);
        }
        tiles[to + j] = uvec4(packed[0], packed[1]);
    }
    if (part == 0) tiles[FADE_AT + r / 4][r % 4] = floatBitsToUint(fade);
}

#define FADE(j, sum)                                                                                                   \
    if (HAS(j)) sum##j = sum##j * fade;

void main()
{
    uint h = GROUP_INDEX % args.heads, blocks = (args.own_rows + ROWS - 1) / ROWS;
    // Those that see the most come first.
    uint row = args.first_row + (blocks - 1 - min(GROUP_INDEX / args.heads, blocks - 1)) * ROWS;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0);
    if (GROUP_INDEX / args.heads >= blocks || row >= rows) return;
    uint kv = h / (args.heads / args.kv_heads) * HEAD_DIM, last = min(row + ROWS, rows) - 1;
    uint s = first_key(starts[row], row, args.window);

    // A row's lanes follow each other in their subgroup.
    uint me = gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID, r = me / PARTS, part = me % PARTS;
    uint t = min(row + r, last), first = first_key(starts[t], t, args.window);
    for (uint j = LANE; j < BLOCK; j += GROUP) v_bad[j] = 0;
    if (LANE == 0) block_bad = 0;

    PLACE(0, ROWS, qkv, 2, row, last, args.ld_qkv, args.offset_q + h * HEAD_DIM)
    NAMES(A_FRAG, q)
    NAMES(SUMS, sum)
    EACH1(ZERO, sum)
    if (HOLD != 0) {
        barrier(); // the queries are there
        EACH2(OWN_STEP, q, 0)
        barrier(); // and read
    }
    PLACE(K_AT, BLOCK, qkv, 2, s, last, args.ld_qkv, args.offset_k + kv)
    for (; s <= last; s += BLOCK) {
        block++;
        barrier(); // the keys are there; the values before them, and their weights, are read
        [[dont_unroll]] for (uint column = WAVE_N * N; column < BLOCK; column += WAVES_N * N) {
            SUMS score = SUMS(0.0);
            SCORE(score, q, 0, K_AT + column * D_STRIDE)
            coopMatStore(score, tiles, S_AT + WAVE_M * M * S_STRIDE + column / 4, S_STRIDE, ROW_MAJOR);
        }
        barrier(); // the scores are there, the keys read
        PLACE_TURNED(V_AT, qkv, 2, s, last, args.ld_qkv, args.offset_v + kv, SEE_VALUES)
        if (r < ROWS) soften(r, part, h, s, first, t);
        barrier(); // values and weights are there
        SUMS fade; // a row's number in all of its columns
        coopMatLoad(fade, tiles, FADE_AT + WAVE_M * M / 4, 0, COLUMN_MAJOR);
        EACH1(FADE, sum)
        GATHER(sum, P_AT, V_AT)
        if (block_bad == block)
            for (uint j = 0; j < BLOCK; j++)
                if (v_bad[j] == block && s + j >= first && s + j <= t) all = uintBitsToFloat(0x7fc00000u);
        if (PHASED != 0) barrier(); // the values are read
        if (s + BLOCK <= last) PLACE(K_AT, BLOCK, qkv, 2, s + BLOCK, last, args.ld_qkv, args.offset_k + kv)
    }
    weight = over_parts_sum(weight);
    all = over_parts_sum(all);
    bool fine = is_finite(all);
    barrier(); // what the sums faded by is read
    if (r < ROWS && part == 0) {
        float bad = uintBitsToFloat(0x7fc00000u);
        tiles[FADE_AT + r / 4][r % 4] = floatBitsToUint(fine ? 1 / weight : bad);
        if (row + r < rows) lse[h * args.ld_lse + row + r] = fine ? most + log(weight) : bad;
    }
    barrier(); // the rows' last factors are there
#define OUT(y, x, v)                                                                                                   \
    if (row + y < rows)                                                                                                \
        STORE4(o, 3, ((row + y) * args.ld_out + h * HEAD_DIM) / 4 + x, v * uintBitsToFloat(tiles[FADE_AT + (y) / 4][(y) % 4]));
    EACH3(PUT_FRAG, sum, S_AT + gl_SubgroupID * M * C_STRIDE, OUT)
}
