// SPDX-License-Identifier: MIT
//
// transpose: y[c,r] = x[r,c] for the live rows r (args.h). A group takes GROUP columns of 16 rows; like matmul_wide, for
// which it works, it reads through addresses, a vector at a time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "wide.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_NONE;
layout(push_constant) uniform Push {
    transpose_args args;
    layout(offset = 64) uvec2 addresses[8]; // of bindings 1 .. 8
};
layout(binding = 1, std430) readonly buffer X { uint x[]; };
layout(binding = 2, std430) buffer Y { float y[]; };

#define ROWS 16u

void main()
{
    bool bf16 = IS_BF16(1);
    uint rows = live_rows(LIVE, args.rows, args.first_row), bands = (args.rows + ROWS - 1) / ROWS;
    uint row0 = GROUP_INDEX % bands * ROWS, width = bf16 ? 2 * GROUP : GROUP, column0 = GROUP_INDEX / bands * width;
    if (row0 >= rows || column0 >= args.columns) return;
    column0 = min(column0, args.ldx - width); // the last columns are done twice where they fill no group
    Word at = Word(addresses[0]) + in_words(bf16, column0);
    uint lane = gl_SubgroupInvocationID;
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        uint words = wide(at + in_words(bf16, min(row0 + i, rows - 1) * args.ldx));
        if (row0 + i < rows) {
            uint column = column0 + (bf16 ? 2 * lane : lane);
            if (column < args.columns) y[column * args.ldy + row0 + i] = bf16 ? half_word(words, false) : uintBitsToFloat(words);
            if (bf16 && column + 1 < args.columns) y[(column + 1) * args.ldy + row0 + i] = half_word(words, true);
        }
    }
}
