// SPDX-License-Identifier: MIT
//
// matmul_reduce: adds up, in order, what matmul_shared left of each of SPLIT parts of k, and does what a product does
// with a finished sum. Bindings and arguments are the product's own (args.h), but A is the scratch: SPLIT times args.m
// rows, lda its leading dimension; B is not read. Parts without live terms wrote nothing and are not read.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "matmul.glsl"

layout(constant_id = 7) const uint SPLIT = 2;
layout(constant_id = 8) const uint STEP = 16; // of the kernel, the multiple at which parts begin

void main()
{
    uint wide = (args.n + 3) / 4, m = GRID_LANE / wide, n4 = GRID_LANE % wide;
    if (m >= live_rows(LIVE_M, args.m, args.first_row)) return;
    uint steps = (args.k + STEP - 1) / STEP, part = (steps + SPLIT - 1) / SPLIT * STEP;
    uint parts = (live_rows(LIVE_K, args.k, args.first_row) + part - 1) / part;
    uint at = (args.offset_a + m * args.lda) / 4 + n4, step = args.m * (args.lda / 4);
    vec4 sum = vec4(0);
    for (uint p = 0; p < parts; p++) sum += a_f32[at + p * step];
    finish(m, n4, sum, args.n % 4 != 0);
}
