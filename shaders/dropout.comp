// SPDX-License-Identifier: MIT
//
// dropout: residual + x mask / (1 - p); one workgroup a row, one Philox call for four columns.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint RESIDUAL = 0;
layout(push_constant) uniform Push {
    dropout_args args;
};
layout(binding = 1, std430) readonly buffer Conversation {
    uint conversation[];
};
layout(binding = 2, std430) readonly buffer Positions {
    uint positions[];
};
TENSOR_IN(3, x)
TENSOR_IN(4, residual)
TENSOR(5, y)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, args.first_row)) return;
    uint row = args.first_row + t;
    uvec4 counter = uvec4(conversation[row], positions[row], 0, args.layer * 16 + args.site);
    uvec2 key = uvec2(live.seed_low ^ live.step, live.seed_high);
    uint dropped = uint(ceil(live.dropout * 4294967296.0)); // words below it
    float scale = 1.0 / (1.0 - live.dropout);
    uint x0 = t * args.ldx / 4, y0 = t * args.ldy / 4, residual0 = t * args.ld_residual / 4;
    for (uint i = LANE; 4 * i < args.columns; i += GROUP) {
        counter.z = i;
        vec4 v = mix(LOAD4(x, 3, x0 + i) * scale, vec4(0), lessThan(philox(counter, key), uvec4(dropped)));
        if (RESIDUAL != 0) v += LOAD4(residual, 4, residual0 + i);
        STORE4_CUT(y, 5, y0 + i, v, 4 * i, args.columns);
    }
}
