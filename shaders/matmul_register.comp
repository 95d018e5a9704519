// SPDX-License-Identifier: MIT
//
// matmul_register: the matrix product (args.h) by register tiles, without shared memory. A workgroup owns ROWS rows and
// 4 GROUP columns of C, a lane all the rows of its four columns: what a lane loads of B serves ROWS rows. What is loaded
// of A serves all lanes and is dealt out as deal.glsl says. Tiles of one column strip follow each other, so that B's
// strip (4 GROUP columns, all of K) stays in a core's cache.
//
// One row's sum runs over k in steps of four, in order; the compiler may contract the products.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "deal.glsl"

layout(constant_id = 2) const uint LAYOUT = LAYOUT_NT;
layout(constant_id = 3) const uint LIVE_M = LIVE_NONE;
layout(constant_id = 4) const uint LIVE_K = LIVE_NONE;
layout(constant_id = 5) const uint ADD = ADD_NONE;
layout(constant_id = 6) const uint EPILOGUE = EPILOGUE_NONE;
layout(constant_id = 7) const uint ROWS = 8;
layout(constant_id = 8) const uint STEPS = 1; // DEAL: vec4 steps of k in one pass (NT, NN; 1 for TN); divides GROUP
layout(constant_id = 9) const uint CUT = 3; // bit 0: k may be no multiple of 4 STEPS (a live k never need be); 1: n of 4
layout(constant_id = 10) const uint DEAL = 0;
#define CUT_K ((CUT & 1u) != 0u || LIVE_K != LIVE_NONE)
#define CUT_N ((CUT & 2u) != 0u)

layout(push_constant) uniform Push {
    matmul_args args;
};
TENSOR_IN(1, a)
TENSOR_IN(2, b)
TENSOR(3, c)
TENSOR_IN(4, e)

uint K, k_last4;             // the live k; the last vec4 step of it
uint row, row_last;          // the tile's first row; the last live row
uint strip4, wide, column4;  // vec4 columns: the tile's first, how many C has, this lane's (or the last there is)
vec4 sums[ROWS];
float touched = 0;

// The vec4 of A at row m, from column k on (NT, NN).
vec4 a_along_k(uint m, uint k4)
{
    uint at = (args.offset_a + min(m, row_last) * args.lda) / 4;
    if (!CUT_K) return LOAD4(a, 1, at + k4);
    return cut4(LOAD4(a, 1, at + min(k4, k_last4)), 4 * k4, K);
}

// Four rows of A, from row 4 m4 on, at column k (TN).
vec4 a_along_m(uint m4, uint k)
{
    uint m = min(m4, row_last / 4);
    if (!CUT_K) return LOAD4(a, 1, (args.offset_a + k * args.lda) / 4 + m);
    vec4 v = LOAD4(a, 1, (args.offset_a + min(k, K - 1) * args.lda) / 4 + m);
    return k < K ? v : vec4(0);
}

// This lane's four columns of B at k .. k + 3: b[q] belongs to k + q.
void load_b(uint k, out vec4 b[4])
{
    for (uint i = 0; i < 4; i++) {
        if (LAYOUT == LAYOUT_NT) { // here b[i] is column i along k; turned below
            uint at = (args.offset_b + min(4 * column4 + i, args.n - 1) * args.ldb) / 4, k4 = k / 4;
            b[i] = CUT_K ? cut4(LOAD4(b, 2, at + min(k4, k_last4)), k, K) : LOAD4(b, 2, at + k4);
        } else {
            uint at = (args.offset_b + (CUT_K ? min(k + i, K - 1) : k + i) * args.ldb) / 4 + column4;
            b[i] = LOAD4(b, 2, at); // beyond K the last row, against zeros of A
        }
    }
    if (LAYOUT == LAYOUT_NT) {
        mat4 turned = transpose(mat4(b[0], b[1], b[2], b[3]));
        for (uint i = 0; i < 4; i++) b[i] = turned[i];
    }
}

void multiply(uint i, vec4 x, vec4 b[4])
{
    vec4 s = sums[i];
    for (uint q = 0; q < 4; q++) s += x[q] * b[q];
    sums[i] = s;
}

#define DEAL_K(unused, lane)                                                                                           \
    if (lane < GROUP && i + lane / STEPS < ROWS) multiply(i + lane / STEPS, subgroupBroadcast(x, lane), b[lane % STEPS]);

void pass_along_k(uint k)
{
    if (DEAL != 0) {
        vec4 b[STEPS][4];
        [[unroll]] for (uint q = 0; q < STEPS; q++) load_b(k + 4 * q, b[q]);
        [[unroll]] for (uint i = 0; i < ROWS; i += GROUP / STEPS) {
            if (row + i <= row_last) { // the same for all lanes
                vec4 x = a_along_k(row + i + DEAL_LANE / STEPS, k / 4 + DEAL_LANE % STEPS);
                EACH_LANE(DEAL_K, )
            }
        }
    } else {
        vec4 b[4];
        load_b(k, b);
        [[unroll]] for (uint i = 0; i < ROWS; i++) multiply(i, a_along_k(row + i, k / 4), b);
    }
}

void multiply_four(uint i, vec4 x[4], vec4 b[4]) // x[q]: four rows of A at k + q
{
    for (uint r = 0; r < 4; r++)
        if (i + r < ROWS) multiply(i + r, vec4(x[0][r], x[1][r], x[2][r], x[3][r]), b);
}

// A vec4 from lane + q holds four rows at k + q.
#define DEAL_M(unused, lane)                                                                                           \
    if (lane % 4 == 0 && lane < GROUP && i + lane < ROWS) {                                                            \
        vec4 y[4] = {subgroupBroadcast(x, lane), subgroupBroadcast(x, lane + 1), subgroupBroadcast(x, lane + 2),       \
            subgroupBroadcast(x, lane + 3)};                                                                           \
        multiply_four(i + lane, y, b);                                                                                 \
    }

void pass_along_m(uint k)
{
    vec4 b[4];
    load_b(k, b);
    if (DEAL != 0) {
        [[unroll]] for (uint i = 0; i < ROWS; i += GROUP) {
            if (row + i <= row_last) {
                vec4 x = a_along_m((row + i) / 4 + DEAL_LANE / 4, k + DEAL_LANE % 4);
                EACH_LANE(DEAL_M, )
            }
        }
    } else {
        [[unroll]] for (uint i = 0; i < ROWS; i += 4) {
            vec4 x[4];
            for (uint q = 0; q < 4; q++) x[q] = a_along_m((row + i) / 4, k + q);
            multiply_four(i, x, b);
        }
    }
}

// DEAL: reads a little of each cache line that the next pass needs of an operand whose rows are walked across; else its
// loads would wait for one line after the other. What is read is added to nothing, but so that it looks needed.
void touch(uint k)
{
    uint quarter = GROUP / 4, next = min(k + 4 + DEAL_LANE / quarter, K - 1), at = DEAL_LANE % quarter * 4;
    if (LAYOUT != LAYOUT_NT)
        touched += LOAD4(b, 2, (args.offset_b + next * args.ldb) / 4 + min(strip4 + at, wide - 1)).x;
    if (LAYOUT == LAYOUT_TN)
        touched += LOAD4(a, 1, (args.offset_a + next * args.lda) / 4 + min(row / 4 + at, row_last / 4)).x;
}

void finish(uint m, vec4 sum)
{
    sum *= args.scale;
    uint at = (args.offset_c + m * args.ldc) / 4 + column4;
    if (EPILOGUE == EPILOGUE_RESIDUAL) sum += LOAD4(e, 4, (args.offset_e + m * args.lde) / 4 + column4);
    if (EPILOGUE == EPILOGUE_BIAS) sum += LOAD4(e, 4, args.offset_e / 4 + column4);
    if (ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0)) sum += LOAD4(c, 3, at);
    if (CUT_N) STORE4_CUT(c, 3, at, sum, 4 * column4, args.n);
    else STORE4(c, 3, at, sum);
}

void main()
{
    uint tiles = (args.m + ROWS - 1) / ROWS, rows = live_rows(LIVE_M, args.m, args.first_row);
    wide = (args.n + 3) / 4;
    strip4 = GROUP_INDEX / tiles * GROUP;
    row = GROUP_INDEX % tiles * ROWS;
    if (row >= rows || strip4 >= wide) return;
    row_last = rows - 1;
    column4 = min(strip4 + DEAL_LANE, wide - 1);
    K = live_rows(LIVE_K, args.k, args.first_row);
    k_last4 = (K + 3) / 4 - 1;
    for (uint i = 0; i < ROWS; i++) sums[i] = vec4(0);
    for (uint k = 0; k < K; k += LAYOUT == LAYOUT_TN ? 4 : 4 * STEPS) {
        if (DEAL != 0) touch(k);
        if (LAYOUT == LAYOUT_TN) pass_along_m(k);
        else pass_along_k(k);
    }
    if (args.k == 0) sums[0].x += touched; // which is then 0
    if (strip4 + DEAL_LANE >= wide) return;
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        if (row + i < rows) finish(row + i, sums[i]);
}
