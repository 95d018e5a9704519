// SPDX-License-Identifier: MIT
//
// attention_dq_scores_wide: the gradient of the queries from the gradients of scores dS that attention_dkv_scores_wide kept:
// dQ = scale sum_s dS K, a product in a CPU's tiles (matmul_wide.comp): K in strips, sums in registers. A row's sum runs over
// its own keys in order; where not all rows of a part see a key, what is not seen is selected away.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "attention_rows.glsl"
#include "wide.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64; // a multiple of a strip's width
layout(constant_id = 3) const uint DROPOUT = 0;   // in dS already
layout(constant_id = 4) const uint ROWS = 24;     // of a workgroup; a multiple of PART
layout(constant_id = 5) const uint PART = 6;      // rows whose sums fit in the registers
layout(constant_id = 6) const uint WIDE = 2;      // vectors of a strip
layout(constant_id = 7) const uint STEPS = 16;    // keys in one pass, at most args.rows

layout(push_constant) uniform Push {
    attention_args args;
    PUSH_ADDRESSES
};
layout(binding = 1, std430) readonly buffer Starts { uint starts[]; };
// These say how many bindings there are.
layout(binding = 2, std430) readonly buffer Keys { uint keys[]; };
layout(binding = 3, std430) readonly buffer Scores { uint scores[]; };
layout(binding = 4, std430) buffer Dqkv { uint dqkv[]; };

#define FEW 8u // keys in one pass of which not every row sees each
#define PAIRS IS_BF16(4)
#define SUM(r, j) sums[(r) * WIDE + (j)]

Word u_at[PART], v_at; // dS of the part's rows, the strip of K
float sums[PART * WIDE];
uint part_row, first[PART]; // the part's first row, and the first key that each sees

// Adds keys k .. k + keys - 1: where not all rows see each, only those from `from` up to, not including, `to` that a row sees.
void multiply(uint k, uint keys, bool all, uint from, uint to)
{
    Word u_row[PART];
    [[unroll]] for (uint r = 0; r < PART; r++) u_row[r] = u_at[r] + k * SCORES_ROWS;
    Word v_row = v_at + k * WIDE * GROUP;
    [[unroll]] for (uint q = 0; q < keys; q++) {
        float v[WIDE];
        [[unroll]] for (uint j = 0; j < WIDE; j++) v[j] = uintBitsToFloat(wide(v_row + (q * WIDE + j) * GROUP));
        [[unroll]] for (uint r = 0; r < PART; r++) {
            float u = uintBitsToFloat(u_row[r][q * SCORES_ROWS].word);
            bool seen = all || (k + q >= max(first[r], from) && k + q < min(part_row + r + 1, to));
            [[unroll]] for (uint j = 0; j < WIDE; j++) SUM(r, j) += seen ? u * v[j] : 0;
        }
    }
}

void main()
{
    uint heads = args.heads / args.kv_heads, strips = HEAD_DIM / (WIDE * GROUP), blocks = (args.own_rows + ROWS - 1) / ROWS;
    uint head = GROUP_INDEX / (blocks * strips), strip = GROUP_INDEX / blocks % strips; // workgroups of one strip follow each other
    uint row = args.first_row + row_block(GROUP_INDEX % blocks, blocks) * ROWS;
    uint rows = live_rows(LIVE_TOKENS, args.rows, 0), h = args.first_kv * heads + head, lane = gl_SubgroupInvocationID;
    if (head >= args.own_kv * heads || row >= rows) return;
    v_at = Word(addresses[1]) + (h / heads * strips + strip) * args.rows * WIDE * GROUP;
    uint part = 0;
    do { // not for: wide.glsl tells why
        part_row = min(row + part, rows - 1);
        [[unroll]] for (uint r = 0; r < PART; r++) {
            uint t = min(part_row + r, rows - 1);
            uint panel = head * SCORES_PANEL(args.rows) + t / SCORES_ROWS * SCORES_KEYS(args.rows) * SCORES_ROWS;
            u_at[r] = Word(addresses[2]) + (panel + t % SCORES_ROWS);
            first[r] = first_key(starts[t], t, args.window);
        }
        [[unroll]] for (uint i = 0; i < PART * WIDE; i++) sums[i] = 0;
        uint k = first[0], end = min(part_row + PART, rows), all = min(first[PART - 1], end);
        if (k < all) {
            do {
                multiply(min(k, args.rows - FEW), FEW, false, k, all);
                k += FEW;
            } while (k < all);
            k = all;
        }
        if (k + STEPS <= part_row + 1) {
            do {
                multiply(min(k, args.rows - STEPS), STEPS, true, 0, 0);
                k += STEPS;
            } while (k + STEPS <= part_row + 1);
        }
        if (k < end) {
            do {
                multiply(min(k, args.rows - FEW), FEW, false, k, end);
                k += FEW;
            } while (k < end);
        }
        [[unroll]] for (uint r = 0; r < PART; r++) {
            if (row + part + r >= rows) continue;
            [[unroll]] for (uint j = 0; j < WIDE; j += PAIRS ? 2 : 1) {
                uint to_element = (part_row + r) * args.ld_qkv + args.offset_q + h * HEAD_DIM + (strip * WIDE + j) * GROUP;
                Out to = Out(addresses[3]) + in_words(PAIRS, to_element);
                vec2 pair = args.scale * vec2(SUM(r, j), PAIRS ? SUM(r, j + 1) : 0);
                to[lane].word = PAIRS ? bf16_pack(vec4(pair, 0, 0)).x : floatBitsToUint(pair.x);
            }
        }
        part += PART;
    } while (part < ROWS);
}
