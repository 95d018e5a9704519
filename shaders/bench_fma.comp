// SPDX-License-Identifier: MIT
//
// bench_fma: as many f32 multiply-adds as the device can do: BENCH_FMAS a round and lane, in 12 chains (three named vec4:
// arrays stay in memory on some drivers, and more chains than registers spill on CPUs).
#version 450
#extension GL_GOOGLE_include_directive : require
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
    vec4 x = vec4(args.scale), y = vec4(args.shift), a = vec4(LANE), b = a + 1, c = a + 2;
    for (uint i = 0; i < args.count; i++) {
        ONCE ONCE ONCE ONCE ONCE ONCE ONCE ONCE
    }
    sum_f32[GRID_LANE] = a + b + c;
}
