// SPDX-License-Identifier: MIT
//
// bench_fma16: bench_fma in f16.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    bench_args args;
};
TENSOR(1, sum)

#define ONCE                                                                                                           \
    a = fma(a, x, y);                                                                                                  \
    b = fma(b, x, y);                                                                                                  \
    c = fma(c, x, y);

void main()
{
    f16vec4 x = f16vec4(args.scale), y = f16vec4(args.shift), a = f16vec4(LANE), b = a + x, c = b + x;
    for (uint i = 0; i < args.count; i++) {
        ONCE ONCE ONCE ONCE ONCE ONCE ONCE ONCE
    }
    sum_f32[GRID_LANE] = vec4(a + b + c);
}
