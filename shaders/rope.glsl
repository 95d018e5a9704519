// SPDX-License-Identifier: MIT
//
// rope: rotary embedding in place; one workgroup a row, a lane turns four pairs (x[i], x[i + D/2]) at a time. The lanes
// stand side by side over `wide` groups of four in as many heads as there is room for; each keeps its cosines and sines
// from head to head.
#include "row.glsl"

layout(push_constant) uniform Push {
    rope_args args;
    PUSH_ADDRESSES
};
layout(binding = 1, std430) readonly buffer Positions {
    uint positions[];
};
TENSOR_IN(2, table)
TENSOR(3, x)

void main()
{
    uint t = GROUP_INDEX;
    if (t >= live_rows(LIVE_TOKENS, args.rows, args.first_row)) return;
    uint half4 = args.head_dim / 8; // vec4 groups in half a head
    uint table0 = positions[args.first_row + t] * 2 * half4, x0 = (t * args.ld + args.offset) / 4;
#ifdef ADDRESSES // half a head is whole rounds of the workgroup
    EACH_OF(i, 0, half4) {
        vec4 c = ROW4(table, 2, table0, i), s = args.sign * ROW4(table, 2, table0 + half4, i);
        uint head = 0;
        do {
            uint at = x0 + min(head, args.heads - 1) * 2 * half4;
            vec4 a = ROW4(x, 3, at, i), b = ROW4(x, 3, at + half4, i);
            SET_ROW4(x, 3, at, i, a * c - b * s);
            SET_ROW4(x, 3, at + half4, i, b * c + a * s);
        } while (++head < args.heads);
    }
#else
    uint wide = min(GROUP, 1u << findMSB(half4));
    for (uint i = LANE % wide; i < half4; i += wide) {
        vec4 c = table_f32[table0 + i], s = args.sign * table_f32[table0 + half4 + i];
        for (uint head = LANE / wide; head < args.heads; head += GROUP / wide) {
            uint at = x0 + head * 2 * half4 + i;
            vec4 a = LOAD4(x, 3, at), b = LOAD4(x, 3, at + half4);
            STORE4(x, 3, at, a * c - b * s);
            STORE4(x, 3, at + half4, b * c + a * s);
        }
    }
#endif
}
