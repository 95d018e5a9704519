// SPDX-License-Identifier: MIT
//
// glu_backward: gradients of gate and up from the output's, one workgroup a row. With s = sigmoid(k(g)):
// d(g s)/dg = s + g s (1 - s) k'(g).
#include "row.glsl"

#include "activation.glsl"

layout(push_constant) uniform Push {
    glu_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, gu)
TENSOR_IN(2, dout)
TENSOR(3, dgu)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, args.first_row)) return;
    uint gate0 = t * args.ld_gu / 4, up0 = gate0 + args.columns / 4, dout0 = t * args.ld_out / 4;
    EACH_VEC4(i, args.columns / 4) {
        vec4 g = ROW4(gu, 1, gate0, i), u = ROW4(gu, 1, up0, i), d = ROW4(dout, 2, dout0, i);
        vec4 e, s = sigmoid(gate_k(g), e);
        SET_ROW4(dgu, 3, up0, i, d * g * s);
        SET_ROW4(dgu, 3, gate0, i, d * u * (s + g * s * (e * s) * gate_slope(g)));
    }
}
