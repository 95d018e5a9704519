// SPDX-License-Identifier: MIT
//
// matmul_plain: the matrix product as its definition says, one lane for four columns of one row. Slow on purpose: the
// variant that the fast ones are checked against on the device itself.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint LAYOUT = LAYOUT_NT;
layout(constant_id = 3) const uint LIVE_M = LIVE_NONE;
layout(constant_id = 4) const uint LIVE_K = LIVE_NONE;
layout(constant_id = 5) const uint ADD = ADD_NONE;
layout(constant_id = 6) const uint EPILOGUE = EPILOGUE_NONE;
layout(push_constant) uniform Push {
    matmul_args args;
};
TENSOR_IN(1, a)
TENSOR_IN(2, b)
TENSOR(3, c)
TENSOR_IN(4, e)

float a_at(uint i)
{
    return LOAD4(a, 1, i / 4)[i % 4];
}

float b_at(uint i)
{
    return LOAD4(b, 2, i / 4)[i % 4];
}

void main()
{
    uint wide = (args.n + 3) / 4, m = GRID_LANE / wide, n = 4 * (GRID_LANE % wide);
    if (m >= live_rows(LIVE_M, args.m, args.first_row)) return;
    uint K = live_rows(LIVE_K, args.k, args.first_row);
    vec4 sum = vec4(0);
    for (uint k = 0; k < K; k++) {
        float x = a_at(args.offset_a + (LAYOUT == LAYOUT_TN ? k * args.lda + m : m * args.lda + k));
        if (LAYOUT == LAYOUT_NT) {
            vec4 y = vec4(0);
            for (uint j = 0; j < 4; j++)
                if (n + j < args.n) y[j] = b_at(args.offset_b + (n + j) * args.ldb + k);
            sum += x * y;
        } else {
            sum += x * LOAD4(b, 2, (args.offset_b + k * args.ldb + n) / 4);
        }
    }
    sum *= args.scale;
    uint at = (args.offset_c + m * args.ldc + n) / 4;
    if (EPILOGUE == EPILOGUE_RESIDUAL) sum += LOAD4(e, 4, (args.offset_e + m * args.lde + n) / 4);
    if (EPILOGUE == EPILOGUE_BIAS) sum += LOAD4(e, 4, (args.offset_e + n) / 4);
    if (ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0)) sum += LOAD4(c, 3, at);
    STORE4_CUT(c, 3, at, sum, n, args.n);
}
