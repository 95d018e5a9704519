// SPDX-License-Identifier: MIT
//
// matmul_shared: the matrix product (args.h) for GPUs: a workgroup owns BM rows and BN columns of C, a lane TM rows and
// TN columns of them, and the workgroup walks k in steps of BK terms that it brings into shared memory together.
//
// Both operands lie there with k outermost, whatever their layout in memory, so that a lane reads four rows or four
// columns of one k as one vec4 and keeps no more than TM + TN of them at a time: an 8 x 8 lane tile then needs about a
// hundred registers (as the f32 kernels of CUTLASS do; rows with k innermost, as for matrix units, take four times the
// operand registers). What is copied is dealt out in blocks of four memory rows by one vec4: an operand whose rows run
// along k is stored as it is, one whose rows are walked across is turned in registers, which costs nothing. The next
// step's blocks are loaded, as bits, before this step's products and stored after them. A shared row has one vec4 too
// many, so that a turned block's rows fall into other banks.
//
// With SPLIT > 1, k falls into that many parts of equal size (as args.k asks, whatever is live), each a workgroup of
// its own; C is then scratch, f32, a part's rows beginning at part * args.m, and matmul_reduce adds the parts up. Parts
// without live terms write nothing.
//
// One element's sum runs over k in order; the compiler may contract the products.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "lang.glsl"
#include "matmul.glsl"

layout(constant_id = 7) const uint BM = 64; // these are powers of two: what a lane copies and reads lies at constant distances
layout(constant_id = 8) const uint BN = 64;
layout(constant_id = 9) const uint BK = 16;
layout(constant_id = 10) const uint TM = 8; // multiples of 4; (BM / TM) (BN / TN) = GROUP
layout(constant_id = 11) const uint TN = 8;
layout(constant_id = 12) const uint CUT = 3; // bit 0: k may be no multiple of BK (a live k never need be); 1: n of 4
layout(constant_id = 13) const uint SPLIT = 1;
layout(constant_id = 14) const uint DEPTH = 0; // terms side by side in the code, a divisor of BK; 0: as the compiler likes
layout(constant_id = 15) const bool BRANCH = false; // is what the next step needs loaded behind a branch, or the last step's again?
#define CUT_K ((CUT & 1u) != 0u || LIVE_K != LIVE_NONE)
#define CUT_N ((CUT & 2u) != 0u)
#define TURN_A (LAYOUT != LAYOUT_TN) // rows of A in memory run along k: blocks are turned
#define TURN_B (LAYOUT == LAYOUT_NT)

#define UNITS_A (BM * BK / 16) // blocks of 4 x 4 in a step
#define UNITS_B (BN * BK / 16)
#define HELD ((UNITS_A + UNITS_B + GROUP - 1) / GROUP) // of them a lane copies
#define ROW_A (BM / 4 + 1)
#define ROW_B (BN / 4 + 1)
shared vec4 tile_a[BK * ROW_A];
shared vec4 tile_b[BK * ROW_B];

uint row, column;          // the tile's first
uint rows, wide;           // live rows; vec4 columns of C
uint k_end;                // of this part, and not beyond the live k
uvec4 held[HELD][4];       // bits of blocks on their way: f32, or bf16 in x and y
uint from[HELD][4];        // where their rows begin: vec4 index at k = 0
vec4 sums[TM][TN / 4];
uvec2 own_a, own_b;        // places of blocks
uint home_a, home_b;       // where these lie in workgroup memory
uint read_a, read_b;       // where the lane's part of the tiles begins there

#define IS_A(i) (((i) + 1) * GROUP <= UNITS_A || ((i) * GROUP < UNITS_A && LANE + (i) * GROUP < UNITS_A))
#define IS_B(i) ((UNITS_A + UNITS_B) % GROUP == 0 || LANE + (i) * GROUP < UNITS_A + UNITS_B)

// Where in an operand's tile, `width` rows or columns of C wide, a lane's blocks lie: vec4 step of k, vec4 along C. Blocks follow
// each other along memory rows; first that of the lane's own number, then how far from it that of `u` blocks later is.
#define RUN(width, turn) (turn ? BK / 4 : width / 4)
uvec2 own(uint width, bool turn)
{
    uvec2 at = uvec2(LANE % RUN(width, turn), LANE / RUN(width, turn));
    return turn ? at : at.yx;
}

uvec2 beyond(int u, uint width, bool turn)
{
    uvec2 at = uvec2(0, u / int(RUN(width, turn)));
    return turn ? at : at.yx;
}
#define BEYOND_A(i) beyond(int(i * GROUP), BM, TURN_A)
#define BEYOND_B(i) beyond(int(i * GROUP) - int(UNITS_A), BN, TURN_B)

void place(uint i, uvec2 at, uint offset, uint ld, uint first, uint count, bool turn)
{
    for (uint r = 0; r < 4; r++)
        from[i][r] = turn ? (offset + min(first + 4 * at.y + r, count - 1) * ld) / 4 + at.x
                          : (offset + (4 * at.x + r) * ld) / 4 + min(first / 4 + at.y, (count - 1) / 4);
}

// Vec4s from row r of a block at k = 0 to the row at k0; `tail`: terms at or beyond k_end are taken from the last one.
uint advance(uint k0, uint k4, uint r, uint ld, bool turn, bool tail)
{
    if (turn) return tail ? min(k0 / 4 + k4, (k_end - 1) / 4) - k4 : k0 / 4;
    return (tail ? min(k0 + 4 * k4 + r, k_end - 1) - (4 * k4 + r) : k0) * (ld / 4);
}

#define FETCH(name, b, ld, turn)                                                                                       \
    [[unroll]] for (uint r = 0; r < 4; r++) {                                                                          \
        uint v = from[i][r] + advance(k0, at.x, r, ld, turn, tail);                                                    \
        if (IS_BF16(b)) held[i][r].xy = name##_bf16[v];                                                                \
        else held[i][r] = floatBitsToUint(name##_f32[v]);                                                              \
    }

void fetch(uint k0, bool tail)
{
    [[unroll]] for (uint i = 0; i < HELD; i++) {
        if (IS_A(i)) {
            uvec2 at = own_a + BEYOND_A(i);
            FETCH(a, 1, args.lda, TURN_A)
        } else if (IS_B(i)) {
            uvec2 at = own_b + BEYOND_B(i);
            FETCH(b, 2, args.ldb, TURN_B)
        }
    }
}

#define PUT(tile, home, row_size, b, turn)                                                                             \
    {                                                                                                                  \
        mat4 x;                                                                                                        \
        [[unroll]] for (uint r = 0; r < 4; r++) {                                                                      \
            x[r] = IS_BF16(b) ? bf16_unpack(held[i][r].xy) : uintBitsToFloat(held[i][r]);                              \
            if (tail && turn) x[r] = cut4(x[r], k0 + 4 * at.x, k_end);                                                 \
            if (tail && !turn && k0 + 4 * at.x + r >= k_end) x[r] = vec4(0);                                           \
        }                                                                                                              \
        if (turn) x = transpose(x);                                                                                    \
        [[unroll]] for (uint r = 0; r < 4; r++) tile[home + (4 * far.x + r) * row_size + far.y] = x[r];                \
    }

void put(uint k0, bool tail)
{
    [[unroll]] for (uint i = 0; i < HELD; i++) {
        if (IS_A(i)) {
            uvec2 far = BEYOND_A(i), at = own_a + far;
            PUT(tile_a, home_a, ROW_A, 1, TURN_A)
        } else if (IS_B(i)) {
            uvec2 far = BEYOND_B(i), at = own_b + far;
            PUT(tile_b, home_b, ROW_B, 2, TURN_B)
        }
    }
}

// Eight lanes side by side, then downwards: a subgroup of 32 reads four vec4s of A and eight of B, without a conflict.
#define ACROSS (BN / TN < 8 ? BN / TN : 8)
#define DOWN (BM / TM)
#define TILE_X (LANE % ACROSS + ACROSS * (LANE / (ACROSS * DOWN)))
#define TILE_Y (LANE / ACROSS % DOWN)

void multiply_term(inout uint at_a, inout uint at_b)
{
    vec4 w[TN / 4];
    for (uint j = 0; j < TN / 4; j++) w[j] = tile_b[at_b + j * (BN / TN)];
    [[unroll]] for (uint i = 0; i < TM; i += 4) {
        vec4 p = tile_a[at_a + i / 4 * DOWN];
        [[unroll]] for (uint r = 0; r < 4; r++)
            [[unroll]] for (uint j = 0; j < TN / 4; j++) sums[i + r][j] += p[r] * w[j];
    }
    at_a += ROW_A;
    at_b += ROW_B;
}

void multiply()
{
    uint at_a = read_a, at_b = read_b;
    if (DEPTH == 0)
        for (uint k = 0; k < BK; k++) multiply_term(at_a, at_b);
    else if (DEPTH == BK)
        [[unroll]] for (uint d = 0; d < DEPTH; d++) multiply_term(at_a, at_b);
    else
        [[dont_unroll]] for (uint k = 0; k < BK; k += DEPTH)
            [[unroll]] for (uint d = 0; d < DEPTH; d++) multiply_term(at_a, at_b);
}

// Is there a step at k with all its terms?
bool whole(uint k)
{
    return CUT_K ? k + BK <= k_end : k < k_end;
}

void main()
{
    uint tiles_m = (args.m + BM - 1) / BM, tiles = tiles_m * ((args.n + BN - 1) / BN);
    uint tile = GROUP_INDEX % tiles, part = GROUP_INDEX / tiles;
    rows = live_rows(LIVE_M, args.m, args.first_row);
    row = tile % tiles_m * BM;
    column = tile / tiles_m * BN;
    wide = (args.n + 3) / 4;
    uint steps = (args.k + BK - 1) / BK, k_first = (steps + SPLIT - 1) / SPLIT * BK * part;
    uint K = live_rows(LIVE_K, args.k, args.first_row);
    k_end = SPLIT > 1 ? min(K, k_first + (steps + SPLIT - 1) / SPLIT * BK) : K;
    if (row >= rows || part >= SPLIT || (SPLIT > 1 && k_first >= K)) return;

    own_a = own(BM, TURN_A);
    own_b = own(BN, TURN_B);
    home_a = 4 * own_a.x * ROW_A + own_a.y;
    home_b = 4 * own_b.x * ROW_B + own_b.y;
    read_a = TILE_Y;
    read_b = TILE_X;
    [[unroll]] for (uint i = 0; i < HELD; i++) {
        if (IS_A(i)) place(i, own_a + BEYOND_A(i), args.offset_a, args.lda, row, rows, TURN_A);
        else place(i, own_b + BEYOND_B(i), args.offset_b, args.ldb, column, args.n, TURN_B);
    }
    for (uint i = 0; i < TM; i++)
        for (uint j = 0; j < TN / 4; j++) sums[i][j] = vec4(0);
    uint k = k_first;
    if (whole(k)) fetch(k, false);
    for (; whole(k); k += BK) {
        barrier(); // all lanes have read the step before
        put(k, false);
        barrier();
        bool more = whole(k + BK);
        if (more || !BRANCH) fetch(more ? k + BK : k, false);
        multiply();
    }
    [[dont_unroll]] for (; CUT_K && k < k_end; k += BK) { // at most once
        fetch(k, true);
        barrier();
        put(k, true);
        barrier();
        multiply();
    }

    [[unroll]] for (uint i = 0; i < TM; i++) {
        uint m = row + 4 * (i / 4 * DOWN + read_a) + i % 4;
        [[unroll]] for (uint j = 0; j < TN / 4; j++) {
            uint n4 = column / 4 + j * (BN / TN) + read_b;
            if (m < rows && n4 < wide) {
                if (SPLIT > 1) STORE4(c, 3, (args.offset_c + (part * args.m + m) * args.ldc) / 4 + n4, sums[i][j]);
                else finish(m, n4, sums[i][j], CUT_N);
            }
        }
    }
}
