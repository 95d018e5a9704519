// SPDX-License-Identifier: MIT
//
// glu: gated activation, one workgroup a row.
#include "row.glsl"

#include "activation.glsl"

layout(push_constant) uniform Push {
    glu_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, gu)
TENSOR(2, y)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, args.first_row)) return;
    uint gate0 = t * args.ld_gu / 4, up0 = gate0 + args.columns / 4, y0 = t * args.ld_out / 4;
    EACH_VEC4(i, args.columns / 4) {
        vec4 g = ROW4(gu, 1, gate0, i), e;
        SET_ROW4(y, 2, y0, i, g * sigmoid(gate_k(g), e) * ROW4(gu, 1, up0, i));
    }
}
