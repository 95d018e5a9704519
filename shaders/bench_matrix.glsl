// SPDX-License-Identifier: MIT
//
// bench_matrix.glsl: as many multiply-adds as matrix units can do, on fragments that stay in registers: BENCH_MATRICES
// products of fragments a round and subgroup, in four chains. The including file names HALF, the operands' type.
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#include "lang.glsl"

layout(constant_id = 2) const uint M = 16; // the device's matrix shape
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;

layout(push_constant) uniform Push {
    bench_args args;
};
layout(binding = 1, std430) buffer Sums {
    float sum[];
};
#define SUMS coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define ONCE                                                                                                           \
    c0 = coopMatMulAdd(a0, b0, c0);                                                                                    \
    c1 = coopMatMulAdd(a0, b1, c1);                                                                                    \
    c2 = coopMatMulAdd(a1, b0, c2);                                                                                    \
    c3 = coopMatMulAdd(a1, b1, c3);

void main()
{
    coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a0, a1;
    coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b0, b1;
    a0 = coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>(HALF(args.scale));
    a1 = coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>(HALF(args.shift));
    b0 = coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>(HALF(args.scale));
    b1 = coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>(HALF(args.shift));
    SUMS c0 = SUMS(0.0), c1 = SUMS(0.0), c2 = SUMS(0.0), c3 = SUMS(0.0);
    for (uint i = 0; i < args.count; i++) {
        ONCE ONCE ONCE ONCE
    }
    uint subgroup = GROUP_INDEX * gl_NumSubgroups + gl_SubgroupID;
    coopMatStore(c0 + c1 + c2 + c3, sum, subgroup * M * N, N, gl_CooperativeMatrixLayoutRowMajor);
}
