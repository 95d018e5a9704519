// SPDX-License-Identifier: MIT
//
// column_sum: adds up the rows of a matrix. WIDE lanes side by side own four columns each; the workgroup's SLICES of so
// many lanes take turns at the rows, then their sums are added in order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_NONE;
layout(constant_id = 3) const uint ADD = ADD_NONE;
layout(push_constant) uniform Push {
    column_sum_args args;
};
TENSOR_IN(1, x)
TENSOR(2, total)

#define WIDE (COLUMN_SUM_WIDTH(GROUP) / 4)
#define SLICES (GROUP / WIDE)
shared vec4 slice_sum[gl_WorkGroupSize.x];

void main()
{
    uint i = GROUP_INDEX * WIDE + LANE % WIDE;
    uint rows = live_rows(LIVE, args.rows, 0);
    vec4 sum = vec4(0);
    if (4 * i < args.columns)
        for (uint t = LANE / WIDE; t < rows; t += SLICES) sum += LOAD4(x, 1, (t * args.ld + args.offset) / 4 + i);
    slice_sum[LANE] = sum;
    barrier();
    if (LANE >= WIDE || 4 * i >= args.columns) return;
    for (uint s = 1; s < SLICES; s++) sum += slice_sum[s * WIDE + LANE];
    if (ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0)) sum += total_f32[i];
    STORE4_CUT(total, 2, i, sum, 4 * i, args.columns);
}
