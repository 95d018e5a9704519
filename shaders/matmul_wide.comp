// SPDX-License-Identifier: MIT
//
// matmul_wide: the matrix product (args.h) for drivers that run on a CPU, with lanes as the parts of its vector registers
// and the shape of a CPU's own kernels: a tile of C stays in registers, one operand is read a whole vector at a time (V: a
// lane is a column of the tile), of the other single numbers go to all lanes (U: they are the tile's rows).
//
//   NT: U = B, V = A turned, so C's rows are lanes        NN: U = A, V = B        TN: U = A turned, V = B
//
// U's rows lie along k. V lies in strips as wide as a tile (strips.comp). Both are f32. Bindings 1 and 2 are A and B, or what was made of
// them (product.c). All four are read and written through addresses (wide.glsl tells why).
//
// One element's sum runs over k in order. Where C is bf16, a lane's columns are neighbours, two in a word: V's strips are
// in PAIRS.
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
layout(constant_id = 8) const uint PART = 6;   // rows whose sums fit in the registers, done one part after another; even
layout(constant_id = 9) const uint WIDE = 2;   // vectors of a tile's row; even where C is bf16
layout(constant_id = 10) const uint STEPS = 32; // terms of the sum in one pass
layout(constant_id = 11) const uint BLOCK = 8; // tiles that pass over V together: their rows of U stay in the cache

layout(push_constant) uniform Push {
    matmul_args args;
    PUSH_ADDRESSES
};
// These say how many bindings there are.
layout(binding = 3, std430) buffer C { uint c[]; };
layout(binding = 4, std430) readonly buffer E { uint e[]; };

#define FEW 8u // terms in one pass of those that are left

#define NT (LAYOUT == LAYOUT_NT)
#define C_BF16 IS_BF16(3)
#define SUM(r, j) sums[(r) * WIDE + (j)]

Word u_at, v_at; // U's first row of the part of the tile, the tile's strip of V
uint ldu;
float sums[PART * WIDE];

// Adds the terms k .. k + steps - 1.
void multiply(uint k, uint steps)
{
    Word u_row[PART];
    [[unroll]] for (uint r = 0; r < PART; r++) u_row[r] = u_at + (r * ldu + k);
    Word v_row = v_at + k * WIDE * GROUP;
    [[unroll]] for (uint q = 0; q < steps; q++) {
        float v[WIDE];
        [[unroll]] for (uint j = 0; j < WIDE; j++) v[j] = uintBitsToFloat(wide(v_row + (q * WIDE + j) * GROUP));
        [[unroll]] for (uint r = 0; r < PART; r++) {
            float u = uintBitsToFloat(u_row[r][q].word);
            [[unroll]] for (uint j = 0; j < WIDE; j++) SUM(r, j) += u * v[j];
        }
    }
}

// The numbers in a word of a tensor as C: one, or bf16 two neighbours in a row.
vec2 numbers(uint word)
{
    return C_BF16 ? vec2(half_word(word, false), half_word(word, true)) : vec2(uintBitsToFloat(word), 0);
}

float e_number(Word at, uint i) // element i of E, in its own storage: a bias is f32 whatever C is
{
    return IS_BF16(4) ? half_word(at[i / 2].word, i % 2 == 1) : uintBitsToFloat(at[i].word);
}

// The word of C that a lane finishes: one sum, or bf16 the sums of two neighbours in a row; extra and old are what is added.
uint finished(float first, float second, vec2 extra, uint old, bool adds)
{
    vec2 pair = args.scale * vec2(first, second);
    if (EPILOGUE != EPILOGUE_NONE) pair += extra;
    if (adds) pair += numbers(old);
    return C_BF16 ? bf16_pack(vec4(pair, 0, 0)).x : floatBitsToUint(pair.x);
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
    u_at = Word(addresses[NT ? 1 : 0]) + ((NT ? args.offset_b : args.offset_a) + u_first * ldu);
    v_at = Word(addresses[NT ? 0 : 1]) + v0 * args.k;
    bool adds = ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0);
    uint lane = gl_SubgroupInvocationID, each = C_BF16 ? 2 : 1; // sums in a word
    Word c_at = Word(addresses[2]), e_at = Word(addresses[3]);
    Out to = Out(addresses[2]);
    // The clamps are for rounds that such a driver goes through masked. do, not for: it goes through a for's body once more, masked, after the last round.
    uint part = 0;
    do {
        [[unroll]] for (uint i = 0; i < PART * WIDE; i++) sums[i] = 0;
        uint k = 0;
        if (K >= STEPS) {
            do {
                multiply(min(k, args.k - STEPS), STEPS);
                k += STEPS;
            } while (k + STEPS <= K);
        }
        if (k + FEW <= K) {
            do {
                multiply(min(k, args.k - FEW), FEW);
                k += FEW;
            } while (k + FEW <= K);
        }
        if (k < K) {
            do multiply(min(k, args.k - 1), 1);
            while (++k < K);
        }
        [[unroll]] for (uint r = 0; r < PART; r += NT ? each : 1) {
            uint u = u_first + part + r;
            if (u < u0 || u >= u_live) continue;
            [[unroll]] for (uint j = 0; j < WIDE; j += NT ? 1 : each) {
                // The lane's word: of row m of C, from column n on.
                uint v = v0 + j * GROUP + (NT ? 1 : each) * lane;
                uint c0 = in_words(C_BF16, args.offset_c + (NT ? (v0 + j * GROUP) * args.ldc + u : u * args.ldc + v0 + j * GROUP));
                uint e0 = args.offset_e + (NT ? u : v0 + j * GROUP), stride = in_words(C_BF16, args.ldc), old = 0;
                bool two = C_BF16 && (NT ? u : v) + 1 < args.n; // else the second is beyond the row
                vec2 extra = vec2(0);
                if (v >= v_live) continue;
                if (EPILOGUE == EPILOGUE_RESIDUAL) { // stored as C
                    e0 += (NT ? v0 + j * GROUP : u) * args.lde;
                    extra = numbers(NT ? e_at[in_words(C_BF16, e0 + lane * args.lde)].word : wide(e_at + in_words(C_BF16, e0)));
                }
                if (EPILOGUE == EPILOGUE_BIAS) {
                    if (!NT) e0 += each * lane;
                    extra = vec2(e_number(e_at, e0), two ? e_number(e_at, e0 + 1) : 0);
                }
                if (adds) old = NT ? c_at[c0 + lane * stride].word : wide(c_at + c0);
                float first = SUM(r, j), second = !two ? 0 : NT ? SUM(r + 1, j) : SUM(r, j + 1);
                to[c0 + (NT ? stride : 1) * lane].word = finished(first, second, extra, old, adds);
            }
        }
        u_at = u_at + PART * ldu;
        part += PART;
    } while (part < ROWS);
}
