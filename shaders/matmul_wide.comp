// SPDX-License-Identifier: MIT
//
// matmul_wide: the matrix product (args.h) for drivers that run on a CPU, with lanes as the parts of its vector registers
// and the shape of a CPU's own kernels: a tile of C stays in registers, one operand is read a whole vector at a time (V: a
// lane is a column of the tile), of the other single numbers go to all lanes (U: they are the tile's rows).
//
//   NT: U = B, V = A turned (transpose.comp: f32 [k, ldv], at binding 1), so C's rows are lanes
//   NN, TN: U = A, V = B
//
// U and V are read through addresses (wide.glsl tells why), C and E through bindings.
//
// One element's sum runs over k in order. Where V is bf16, a lane's columns are neighbours, two in a word.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "wide.glsl"

layout(constant_id = 2) const uint LAYOUT = LAYOUT_NT;
layout(constant_id = 3) const uint LIVE_M = LIVE_NONE;
layout(constant_id = 4) const uint LIVE_K = LIVE_NONE;
layout(constant_id = 5) const uint ADD = ADD_NONE;
layout(constant_id = 6) const uint EPILOGUE = EPILOGUE_NONE;
layout(constant_id = 7) const uint ROWS = 24;  // of a tile; a multiple of PART
layout(constant_id = 8) const uint PART = 6;   // rows whose sums fit in the registers; even
layout(constant_id = 9) const uint WIDE = 2;   // vectors of a tile's row; even where V is bf16
layout(constant_id = 10) const uint STEPS = 16; // terms of the sum in one pass; even; k is at least as large
layout(constant_id = 11) const uint BLOCK = 8; // tiles that pass over V together: their rows of U stay in the cache

layout(push_constant) uniform Push {
    matmul_args args;
    layout(offset = 64) uvec2 addresses[8]; // of bindings 1 .. 8
};
layout(binding = 3, std430) buffer C_wide { float c_f32[]; };
layout(binding = 3, std430) buffer C_packed { uint c_bf16[]; };
layout(binding = 4, std430) readonly buffer E_wide { float e_f32[]; };
layout(binding = 4, std430) readonly buffer E_packed { uint e_bf16[]; };

#define NT (LAYOUT == LAYOUT_NT)
#define TN (LAYOUT == LAYOUT_TN)
#define U_BF16 (NT ? IS_BF16(2) : IS_BF16(1))
#define V_BF16 (!NT && IS_BF16(2))
#define C_BF16 IS_BF16(3)
#define SUM(r, j) sums[(r) * WIDE + (j)]

Word u_at, v_at; // at the tile's first row of U, its first column of V
uint ldu, ldv;
float sums[ROWS * WIDE];

// V's columns of the tile; `at`: where they begin at this k.
void load_v(Word at, out float v[WIDE])
{
    if (V_BF16) {
        [[unroll]] for (uint j = 0; j < WIDE; j += 2) {
            uint words = wide(at + j / 2 * GROUP);
            v[j] = half_word(words, false);
            v[j + 1] = half_word(words, true);
        }
    } else {
        [[unroll]] for (uint j = 0; j < WIDE; j++) v[j] = uintBitsToFloat(wide(at + j * GROUP));
    }
}

// Adds the terms k .. k + steps - 1 (steps even and k too, or one term) to the sums of PART rows.
void multiply(uint part, uint k, uint steps)
{
    Word u_row[PART];
    [[unroll]] for (uint r = 0; r < PART; r++) u_row[r] = u_at + in_words(U_BF16, (part + r) * ldu + k);
    [[unroll]] for (uint q = 0; q < steps; q++) {
        Word u_term = u_at + in_words(U_BF16, (k + q) * ldu + part);
        float v[WIDE];
        load_v(v_at + in_words(V_BF16, (k + q) * ldv), v);
        [[unroll]] for (uint r = 0; r < PART; r++) {
            Word at = TN ? u_term : u_row[r];
            uint i = TN ? r : q;
            bool odd = TN || steps > 1 ? i % 2 == 1 : k % 2 == 1;
            float u = U_BF16 ? half_word(at[i / 2].word, odd) : uintBitsToFloat(at[i].word);
            [[unroll]] for (uint j = 0; j < WIDE; j++) SUM(part + r, j) += u * v[j];
        }
    }
}

// C's element (m, n) from its sum.
float finished(uint m, uint n, float sum)
{
    sum *= args.scale;
    uint e = EPILOGUE == EPILOGUE_BIAS ? args.offset_e + n : args.offset_e + m * args.lde + n;
    if (EPILOGUE != EPILOGUE_NONE) sum += C_BF16 ? half_word(e_bf16[e / 2], e % 2 == 1) : e_f32[e];
    uint at = args.offset_c + m * args.ldc + n;
    if (ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0))
        sum += C_BF16 ? half_word(c_bf16[at / 2], at % 2 == 1) : c_f32[at];
    return sum;
}

// Writes two neighbours in a row of C; the second may be beyond the width.
void finish_pair(uint m, uint n, float first, float second)
{
    first = finished(m, n, first);
    second = n + 1 < args.n ? finished(m, n + 1, second) : 0;
    c_bf16[(args.offset_c + m * args.ldc + n) / 2] = bf16_pack(vec4(first, second, 0, 0)).x;
}

void finish(uint m, uint n, float sum)
{
    c_f32[args.offset_c + m * args.ldc + n] = finished(m, n, sum);
}

void main()
{
    uint rows = live_rows(LIVE_M, args.m, args.first_row), K = live_rows(LIVE_K, args.k, args.first_row);
    uint u_count = NT ? args.n : args.m, u_live = NT ? args.n : rows, v_live = NT ? rows : args.n;
    uint tiles = (u_count + ROWS - 1) / ROWS, strips = ((NT ? args.m : args.n) + WIDE * GROUP - 1) / (WIDE * GROUP);
    uint block = GROUP_INDEX / (BLOCK * strips) * BLOCK, here = min(BLOCK, tiles - block);
    uint place = GROUP_INDEX - block * strips, u0 = (block + place % here) * ROWS, v0 = place / here * WIDE * GROUP;
    if (block >= tiles || u0 >= u_live || v0 >= v_live) return;
    // The last tile begins earlier where it would go beyond the end: some rows are then worked out twice, but written once.
    uint u_first = min(u0, u_count - ROWS);
    ldu = NT ? args.ldb : args.lda;
    ldv = NT ? args.lda : args.ldb;
    u_at = Word(NT ? addresses[1] : addresses[0]);
    v_at = Word(NT ? addresses[0] : addresses[1]);
    u_at = u_at + in_words(U_BF16, (NT ? args.offset_b : args.offset_a) + (TN ? u_first : u_first * ldu));
    v_at = v_at + in_words(V_BF16, (NT ? args.offset_a : args.offset_b) + v0);
    [[unroll]] for (uint i = 0; i < ROWS * WIDE; i++) sums[i] = 0;
    for (uint k = 0; k + STEPS <= K; k += STEPS)
        [[unroll]] for (uint part = 0; part < ROWS; part += PART) multiply(part, min(k, args.k - STEPS), STEPS);
    for (uint k = K / STEPS * STEPS; k < K; k++)
        [[unroll]] for (uint part = 0; part < ROWS; part += PART) multiply(part, min(k, args.k - 1), 1);
    uint lane = gl_SubgroupInvocationID;
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        uint u = u_first + r;
        if (u >= u0 && u < u_live) {
            [[unroll]] for (uint j = 0; j < WIDE; j++) {
                uint v = V_BF16 ? v0 + j / 2 * 2 * GROUP + 2 * lane + j % 2 : v0 + j * GROUP + lane;
                if (v < v_live) {
                    if (!C_BF16) finish(NT ? v : u, NT ? u : v, SUM(r, j));
                    else if (NT && r % 2 == 0) finish_pair(v, u, SUM(r, j), SUM(r + 1, j));
                    else if (!NT && j % 2 == 0) finish_pair(u, v, SUM(r, j), SUM(r, j + 1));
                }
            }
        }
    }
}
