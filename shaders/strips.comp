// SPDX-License-Identifier: MIT
//
// strips: an operand of matmul_wide in the order in which its tiles read it (args.h). A tile that read a row of the tensor
// for each term of its sums would go from page to page, each time too far for the processor to foresee.
//
// A group takes GROUP columns (bf16: twice as many) of 16 rows, or of one row ROWS_VECTORS times as many, a vector at a time, through
// addresses (wide.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"
#include "wide.glsl"

layout(constant_id = 2) const uint LIVE = LIVE_NONE;
layout(constant_id = 3) const uint ORDER = STRIPS_ORDER;
layout(constant_id = 4) const uint PAIRS = 0;
layout(push_constant) uniform Push {
    strips_args args;
    PUSH_ADDRESSES
};
layout(binding = 1, std430) readonly buffer X { uint x[]; };
layout(binding = 2, std430) buffer Y { uint y[]; };

#define ROWS 16u // a divisor of every width
#define TURN (ORDER == TURNED_ORDER)

// Where y has element (row, column).
uint place(uint row, uint column)
{
    uint w = args.width;
    return TURN ? (row / w * args.columns + column) * w + row % w : (column / w * args.rows + row) * w + column % w;
}

void main()
{
    bool bf16 = IS_BF16(1);
    uint rows = live_rows(LIVE, args.rows, args.first_row), lane = gl_SubgroupInvocationID, at_once = bf16 ? 2 * GROUP : GROUP;
    if (ORDER == ROWS_ORDER) {
        uint piece = at_once * ROWS_VECTORS, pieces = (args.columns + piece - 1) / piece;
        uint row = GROUP_INDEX / pieces, column0 = GROUP_INDEX % pieces * piece;
        if (row >= rows) return;
        Word x = Word(addresses[0]) + in_words(bf16, row * args.ldx + args.offset + column0);
        Out to = Out(addresses[1]) + (row * args.width + column0);
        [[unroll]] for (uint c = 0; c < piece; c += at_once) {
            if (column0 + c >= args.columns) continue; // what lies there may be beyond the memory
            uint words = wide(x + in_words(bf16, c)), column = column0 + c + (bf16 ? 2 : 1) * lane;
            if (column >= args.columns) continue;
            if (!bf16) {
                to[c + lane].word = words;
                continue;
            }
            to[c + 2 * lane].word = words << 16;
            if (column + 1 < args.columns) to[c + 1 + 2 * lane].word = words & 0xffff0000u;
        }
        return;
    }
    uint bands = (args.rows + ROWS - 1) / ROWS;
    uint row0 = GROUP_INDEX % bands * ROWS, column0 = GROUP_INDEX / bands * at_once;
    if (row0 >= rows || column0 >= args.columns) return;
    Word from = Word(addresses[0]) + in_words(bf16, args.offset + column0);
    Out to = Out(addresses[1]) + place(row0, column0);
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        uint row = min(row0 + i, args.rows - 1), words = wide(from + in_words(bf16, row * args.ldx));
        uint low = bf16 ? words << 16 : words, high = words & 0xffff0000u;
        uint at = TURN ? i : (row - row0) * args.width;
        if (column0 + (bf16 ? 2 : 1) * lane >= args.columns) continue;
        if (TURN) to[at + (bf16 ? 2 : 1) * args.width * lane].word = low;
        else to[at + (bf16 && PAIRS == 0 ? 2 : 1) * lane].word = low;
        if (!bf16 || column0 + 2 * lane + 1 >= args.columns) continue;
        if (TURN) to[at + args.width + 2 * args.width * lane].word = high;
        else to[at + (PAIRS == 0 ? 1 + 2 * lane : GROUP + lane)].word = high;
    }
}
