// SPDX-License-Identifier: MIT
//
// matmul_skinny: the matrix product (args.h, NT only) for the few rows of generation, where time is what reading B
// takes: each vec4 of B is read once, and serves all ROWS rows. A workgroup is several sets of SPREAD lanes; a set owns
// four columns of C (rows of B), its lanes share k, each taking every SPREADth vec4, so that they read whole cache lines.
// The lanes' sums meet in shared memory and are added up in the lanes' order.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lang.glsl"
#include "matmul.glsl"

layout(constant_id = 7) const uint ROWS = 1;    // at least args.m
layout(constant_id = 8) const uint SPREAD = 16; // divides GROUP
layout(constant_id = 9) const uint CUT = 3;     // bit 0: k may be no multiple of 4; 1: n
#define CUT_K ((CUT & 1u) != 0u || LIVE_K != LIVE_NONE)
#define CUT_N ((CUT & 2u) != 0u)
#define SETS (GROUP / SPREAD)

shared vec4 partial[GROUP * ROWS]; // lane of a set, set, row

void main()
{
    uint rows = live_rows(LIVE_M, args.m, args.first_row), wide = (args.n + 3) / 4, first4 = GROUP_INDEX * SETS;
    if (first4 >= wide || rows == 0) return;
    uint set = LANE / SPREAD, lane = LANE % SPREAD, K = live_rows(LIVE_K, args.k, args.first_row);
    uint at_a[ROWS], at_b[4];
    for (uint r = 0; r < ROWS; r++) at_a[r] = (args.offset_a + min(r, rows - 1) * args.lda) / 4;
    for (uint i = 0; i < 4; i++) at_b[i] = (args.offset_b + min(4 * (first4 + set) + i, args.n - 1) * args.ldb) / 4;
    vec4 sums[ROWS];
    for (uint r = 0; r < ROWS; r++) sums[r] = vec4(0);
    for (uint k4 = lane; k4 < (K + 3) / 4; k4 += SPREAD) {
        mat4 y;
        for (uint i = 0; i < 4; i++) {
            y[i] = LOAD4(b, 2, at_b[i] + k4);
            if (CUT_K) y[i] = cut4(y[i], 4 * k4, K);
        }
        y = transpose(y);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            vec4 x = LOAD4(a, 1, at_a[r] + k4);
            if (CUT_K) x = cut4(x, 4 * k4, K);
            for (uint q = 0; q < 4; q++) sums[r] += x[q] * y[q];
        }
    }
    for (uint r = 0; r < ROWS; r++) partial[(lane * SETS + set) * ROWS + r] = sums[r];
    barrier();
    for (uint i = LANE; i < SETS * ROWS; i += GROUP) {
        vec4 sum = vec4(0);
        for (uint l = 0; l < SPREAD; l++) sum += partial[l * SETS * ROWS + i];
        if (i % ROWS < rows && first4 + i / ROWS < wide) finish(i % ROWS, first4 + i / ROWS, sum, CUT_N);
    }
}
