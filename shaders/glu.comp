// SPDX-License-Identifier: MIT
//
// glu: gated activation, one workgroup a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

#include "activation.glsl"

layout(push_constant) uniform Push {
    glu_args args;
};
TENSOR_IN(1, gu)
TENSOR(2, y)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, args.first_row)) return;
    uint gate0 = t * args.ld_gu / 4, up0 = gate0 + args.columns / 4, y0 = t * args.ld_out / 4;
    for (uint i = LANE; i < args.columns / 4; i += GROUP) {
        vec4 g = LOAD4(gu, 1, gate0 + i), e;
        STORE4(y, 2, y0 + i, g * sigmoid(gate_k(g), e) * LOAD4(gu, 1, up0 + i));
    }
}
