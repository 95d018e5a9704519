// SPDX-License-Identifier: MIT
//
// probe_fill: a matrix of small whole numbers, for checks of products on the device itself; its padding holds NaNs, so that a
// kernel that multiplies it shows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    probe_args args;
};
TENSOR(1, x)

void main()
{
    uint wide = args.ld / 4, n = args.rows * wide, end = PIECE_END(n);
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) {
        uint row = i / wide, column = 4 * (i % wide);
        uvec4 c = column + uvec4(0, 1, 2, 3);
        vec4 v = float(PROBE_FACTOR(row, args.row_salt)) *
            vec4(PROBE_FACTOR(c.x, args.column_salt), PROBE_FACTOR(c.y, args.column_salt), PROBE_FACTOR(c.z, args.column_salt),
                PROBE_FACTOR(c.w, args.column_salt));
        v = mix(v, uintBitsToFloat(uvec4(0x7fc00000u)), greaterThanEqual(c, uvec4(args.columns)));
        STORE4(x, 1, i, v);
    }
}
