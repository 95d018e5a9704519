// SPDX-License-Identifier: MIT
//
// rmsnorm: one workgroup a row, two passes over it.
#include "row.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_TOKENS;
layout(push_constant) uniform Push {
    rmsnorm_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, x)
TENSOR_IN(2, w)
TENSOR(3, y)
layout(binding = 4, std430) writeonly buffer Rstd {
    float rstd[];
};

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE, args.rows, args.first_row)) return;
    uint x0 = t * args.ldx / 4, y0 = t * args.ldy / 4;
    uint count = (args.columns + 3) / 4;
    vec4 squares = vec4(0);
    EACH_VEC4(i, count) {
        vec4 v = CUT4(ROW4(x, 1, x0, i), i, args.columns);
        squares += v * v;
    }
    float r = inversesqrt(group_sum(sum4(squares)) / float(args.columns) + args.epsilon);
    EACH_VEC4(i, count) {
        vec4 v = ROW4(x, 1, x0, i) * r * (ROW4(w, 2, 0, i) + args.shift);
        SET_ROW4_CUT(y, 3, y0, i, v, args.columns);
    }
    if (LANE == 0) rstd[args.first_row + t] = r;
}
