// SPDX-License-Identifier: MIT
//
// rmsnorm_backward: the gradient of a row's input, one workgroup a row.
#include "row.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_TOKENS;
layout(constant_id = 3) const uint ADD = ADD_NONE;
layout(push_constant) uniform Push {
    rmsnorm_backward_args args;
    PUSH_ADDRESSES
};
TENSOR_IN(1, x)
TENSOR_IN(2, w)
layout(binding = 3, std430) readonly buffer Rstd {
    float rstd[];
};
TENSOR_IN(4, dy)
TENSOR(5, dx)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE, args.rows, args.first_row)) return;
    uint x0 = t * args.ldx / 4, dy0 = t * args.ldy / 4, dx0 = t * args.lddx / 4;
    float r = rstd[args.first_row + t];
    uint count = (args.columns + 3) / 4;
    vec4 sums = vec4(0);
    EACH_VEC4(i, count) {
        vec4 g = ROW4(dy, 4, dy0, i) * (ROW4(w, 2, 0, i) + args.shift);
        sums += CUT4(g * ROW4(x, 1, x0, i), i, args.columns);
    }
    float mean = group_sum(sum4(sums)) * r / float(args.columns); // of g xhat
    EACH_VEC4(i, count) {
        vec4 g = ROW4(dy, 4, dy0, i) * (ROW4(w, 2, 0, i) + args.shift);
        vec4 d = r * (g - ROW4(x, 1, x0, i) * r * mean);
        if (ADD != ADD_NONE) d += ROW4(dx, 5, dx0, i);
        SET_ROW4_CUT(dx, 5, dx0, i, d, args.columns);
    }
}
