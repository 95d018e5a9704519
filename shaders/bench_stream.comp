// SPDX-License-Identifier: MIT
//
// bench_stream: memory at full speed: copies args.count vec4 (COPY 1), or adds them up, a sum a lane (COPY 0).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint COPY = 1;

layout(push_constant) uniform Push {
    bench_args args;
};
TENSOR_IN(1, from)
TENSOR(2, to)

void main()
{
    vec4 sum = vec4(0);
    for (uint i = PIECE_BEGIN(args.count); i < PIECE_END(args.count); i += GROUP) {
        if (COPY != 0) to_f32[i] = from_f32[i];
        else sum += from_f32[i];
    }
    if (COPY == 0) to_f32[GRID_LANE] = sum;
}
