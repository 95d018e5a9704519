// SPDX-License-Identifier: MIT
//
// matmul_coopmat.glsl: the matrix product (args.h) on a device's matrix units (VK_KHR_cooperative_matrix). The including
// file names HALF, the operands' type of 16 bits, and half_pack, which rounds four numbers to it; sums are f32. A workgroup
// of WAVES_M x WAVES_N subgroups owns a tile of C, each subgroup FRAGS_M x FRAGS_N fragments of it. The tile's part of A
// and B for the next STEPS fragments of k comes through registers, asked for before the products of the step at hand, into
// workgroup memory. There it lies as in memory, so that all copies are of 16 bytes, and the matrix loads transpose; or, with
// TURN, operands whose rows k walks are turned on the way, two rows at a time: matrix loads across rows are of two bytes
// each on many devices.
//
// Numbers stored otherwise are rounded to HALF on the way. What fp16 cannot hold becomes an infinity, so that it shows.
// With IN_PARTS, k falls into SPLIT parts as matmul_shared's does, each a workgroup's own, whose sums go to scratch as they are.
// (A kernel of its own: one constant more, even with all that hangs on it folded away, cost Intel's compiler a register.)
// One element's sum runs over the fragments of k in order; within a fragment the device has an order of its own.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#include "lang.glsl"
#include "half.glsl"
#include "matmul.glsl"

// The device's matrix shape, multiples of 8; subgroups and fragments of a tile; fragments of k in one step.
layout(constant_id = 7) const uint M = 16;
layout(constant_id = 8) const uint N = 16;
layout(constant_id = 9) const uint K = 16;
layout(constant_id = 10) const uint WAVES_M = 1;
layout(constant_id = 11) const uint WAVES_N = 1;
layout(constant_id = 12) const uint FRAGS_M = 2;
layout(constant_id = 13) const uint FRAGS_N = 2;
layout(constant_id = 14) const uint STEPS = 2;
layout(constant_id = 15) const uint CUT = 3; // bit 0: k may be no multiple of K STEPS (a live k never need be); 1: n of 4
layout(constant_id = 16) const uint TURN = 0;
layout(constant_id = 17) const bool BOTTOM = false; // does the walk along k end at a step's end, not at its beginning?
#ifdef IN_PARTS
layout(constant_id = 18) const uint SPLIT = 2;
#else
#define SPLIT 1u
#endif
#define CUT_K ((CUT & 1u) != 0u || LIVE_K != LIVE_NONE)
#define CUT_N ((CUT & 2u) != 0u)
#define BAND 8u // tiles of C are worked on in bands of so many rows of tiles, so that caches keep what neighbours read

// Operands in words of 16 bytes: eight elements of bf16, or four of f32.
layout(binding = 1, std430) readonly buffer A_words {
    uvec4 a_words[];
};
layout(binding = 2, std430) readonly buffer B_words {
    uvec4 b_words[];
};

// Of an operand's tile in memory: does k walk its rows (else it runs along them), and is it turned; rows; groups of eight
// elements in a row; all groups; how many a lane copies, of turned ones pairs from two rows; words of a group. Of the tile
// in workgroup memory: groups from row to row, one more than a row has, for the banks' sake.
const bool A_BY_K = LAYOUT == LAYOUT_TN, B_BY_K = LAYOUT != LAYOUT_NT;
const bool A_TURNED = A_BY_K && TURN != 0, B_TURNED = B_BY_K && TURN != 0;
const uint TILE_M = M * FRAGS_M * WAVES_M, TILE_N = N * FRAGS_N * WAVES_N, TILE_K = K * STEPS;
const uint A_ROWS = A_BY_K ? TILE_K : TILE_M, A_WIDE = (A_BY_K ? TILE_M : TILE_K) / 8, A_ALL = A_ROWS * A_WIDE;
const uint B_ROWS = B_BY_K ? TILE_K : TILE_N, B_WIDE = (B_BY_K ? TILE_N : TILE_K) / 8, B_ALL = B_ROWS * B_WIDE;
const uint A_PAIR = A_TURNED ? 2 : 1, A_COPIES = (A_ALL / A_PAIR + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
const uint B_PAIR = B_TURNED ? 2 : 1, B_COPIES = (B_ALL / B_PAIR + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
const uint A_STRIDE = (A_TURNED ? TILE_K / 8 : A_WIDE) + 1, B_STRIDE = (B_TURNED ? TILE_K / 8 : B_WIDE) + 1;
const uint A_WORDS = (STORE & 2u) != 0u ? 1 : 2, B_WORDS = (STORE & 4u) != 0u ? 1 : 2;
const bool A_ACROSS = A_BY_K && !A_TURNED, B_ACROSS = B_BY_K && !B_TURNED; // k walks the rows in workgroup memory too
const int A_LAYOUT = A_ACROSS ? gl_CooperativeMatrixLayoutColumnMajor : gl_CooperativeMatrixLayoutRowMajor;
const int B_LAYOUT = B_ACROSS ? gl_CooperativeMatrixLayoutRowMajor : gl_CooperativeMatrixLayoutColumnMajor;
// Workgroup memory: the tile of A, then that of B; in the end a fragment of C for each subgroup, in f32.
const uint B_TILE = (A_TURNED ? TILE_M : A_ROWS) * A_STRIDE, AB = B_TILE + (B_TURNED ? TILE_N : B_ROWS) * B_STRIDE;
const uint C_STRIDE = N / 4 + 1, C = WAVES_M * WAVES_N * M * C_STRIDE;
shared uvec4 tiles[AB > C ? AB : C];

uint live_k;                           // terms of a sum, of a part those before its end
uint a_from[A_COPIES], b_from[B_COPIES]; // where each copied group lies in its operand at k = 0, of a pair the first, in groups
uvec4 a_next[A_COPIES * A_PAIR * A_WORDS], b_next[B_COPIES * B_PAIR * B_WORDS];
// Fragments have names, not indices: NVK keeps arrays of them in memory. sum_ij, i below FRAGS_M (8), j below FRAGS_N (4).
#define SUMS coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define EACH_N(DO, i) DO(i, 0) DO(i, 1) DO(i, 2) DO(i, 3)
SUMS sum00, sum01, sum02, sum03, sum10, sum11, sum12, sum13, sum20, sum21, sum22, sum23, sum30, sum31, sum32, sum33;
SUMS sum40, sum41, sum42, sum43, sum50, sum51, sum52, sum53, sum60, sum61, sum62, sum63, sum70, sum71, sum72, sum73;

#include "matmul_coopmat_copy.glsl"

#define LOAD_B(i, j)                                                                                                   \
    if (j < FRAGS_N) coopMatLoad(b##j, tiles, B_TILE + (B_ACROSS ? b_at + j * N / 8 : b_at + j * N * B_STRIDE), B_STRIDE, B_LAYOUT);
#define MULTIPLY(i, j) if (j < FRAGS_N) sum##i##j = coopMatMulAdd(a, b##j, sum##i##j);
#define MULTIPLY_ROW(i)                                                                                                \
    if (i < FRAGS_M) {                                                                                                 \
        uint m = (wave_m * FRAGS_M + i) * M;                                                                           \
        coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a;                                                        \
        coopMatLoad(a, tiles, A_ACROSS ? k * A_STRIDE + m / 8 : m * A_STRIDE + k / 8, A_STRIDE, A_LAYOUT);             \
        EACH_N(MULTIPLY, i)                                                                                            \
    }
void multiply(uint wave_m, uint wave_n)
{
    [[unroll]] for (uint q = 0; q < STEPS; q++) {
        coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b0, b1, b2, b3;
        // Loads of the steps to come, moved up to here, would take registers that 32 fragments of sums have not left.
        if (FRAGS_M > 4 && q > 0) subgroupMemoryBarrierShared();
        uint n = wave_n * FRAGS_N * N, k = q * K, b_at = B_ACROSS ? k * B_STRIDE + n / 8 : n * B_STRIDE + k / 8;
        EACH_N(LOAD_B, 0) MULTIPLY_ROW(0) MULTIPLY_ROW(1) MULTIPLY_ROW(2) MULTIPLY_ROW(3)
        MULTIPLY_ROW(4) MULTIPLY_ROW(5) MULTIPLY_ROW(6) MULTIPLY_ROW(7)
    }
}

void deliver(uint m, uint n4, uint rows, uint part, uint home)
{
    for (uint g = gl_SubgroupInvocationID; g < M * N / 4; g += gl_SubgroupSize) {
        uint y = g / (N / 4), x = g % (N / 4);
        if (m + y < rows && 4 * (n4 + x) < args.n) {
            vec4 sum = uintBitsToFloat(tiles[home + y * C_STRIDE + x]);
            if (SPLIT > 1) STORE4(c, 3, (args.offset_c + (part * args.m + m + y) * args.ldc) / 4 + n4 + x, sum);
            else finish(m + y, n4 + x, sum, CUT_N);
        }
    }
}

// Is there a step at k with all its terms?
bool whole(uint k)
{
    return CUT_K ? k + TILE_K <= live_k : k < live_k;
}

void main()
{
    uint rows = live_rows(LIVE_M, args.m, args.first_row);
    uint tiles_m = (args.m + TILE_M - 1) / TILE_M, tiles_n = (args.n + TILE_N - 1) / TILE_N;
    uint tile = GROUP_INDEX, part = 0;
    if (SPLIT > 1) part = tile / (tiles_m * tiles_n), tile %= tiles_m * tiles_n;
    uint band = tile / (BAND * tiles_n) * BAND, inside = tile % (BAND * tiles_n);
    uint high = min(BAND, tiles_m - min(band, tiles_m - 1));
    uint row = (band + inside % high) * TILE_M, column = inside / high * TILE_N;
    if (row >= rows || column >= args.n) return;
    live_k = live_rows(LIVE_K, args.k, args.first_row);
    uint k = 0;
    if (SPLIT > 1) {
        uint terms = ((args.k + TILE_K - 1) / TILE_K + SPLIT - 1) / SPLIT * TILE_K;
        k = part * terms;
        if (k >= live_k) return; // those beyond the last part too
        live_k = min(live_k, k + terms);
    }
    [[unroll]] for (uint s = 0; s < A_COPIES; s++)
        a_from[s] = from(A_BY_K, place_of(A_TURNED, s, A_ROWS, A_WIDE), row, rows, args.offset_a, args.lda);
    [[unroll]] for (uint s = 0; s < B_COPIES; s++)
        b_from[s] = from(B_BY_K, place_of(B_TURNED, s, B_ROWS, B_WIDE), column, args.n, args.offset_b, args.ldb);
    sum00 = sum01 = sum02 = sum03 = sum10 = sum11 = sum12 = sum13 = SUMS(0.0);
    sum20 = sum21 = sum22 = sum23 = sum30 = sum31 = sum32 = sum33 = SUMS(0.0);
    sum40 = sum41 = sum42 = sum43 = sum50 = sum51 = sum52 = sum53 = SUMS(0.0);
    sum60 = sum61 = sum62 = sum63 = sum70 = sum71 = sum72 = sum73 = SUMS(0.0);
    uint wave_m = gl_SubgroupID / WAVES_N, wave_n = gl_SubgroupID % WAVES_N;
    bool more = whole(k);
    if (more) fetch(k, false);
    if (more || !BOTTOM)
        for (; BOTTOM || whole(k);) {
            place(k, false);
            barrier(); // the tiles are there
            k += TILE_K;
            if (more = whole(k)) fetch(k, false);
            multiply(wave_m, wave_n);
            barrier(); // and read by all
            if (BOTTOM && !more) break;
        }
    [[dont_unroll]] for (; CUT_K && k < live_k; k += TILE_K) { // at most once
        fetch(k, true);
        place(k, true);
        barrier();
        multiply(wave_m, wave_n);
        barrier();
    }
    uint home = gl_SubgroupID * M * C_STRIDE;
#define DELIVER(i, j)                                                                                                  \
    if (i < FRAGS_M && j < FRAGS_N) {                                                                                  \
        coopMatStore(sum##i##j, tiles, home, C_STRIDE, gl_CooperativeMatrixLayoutRowMajor);                            \
        subgroupBarrier(); /* the fragment is there */                                                                 \
        deliver(row + (wave_m * FRAGS_M + i) * M, (column + (wave_n * FRAGS_N + j) * N) / 4, rows, part, home);              \
        subgroupBarrier(); /* and read */                                                                              \
    }
    EACH_N(DELIVER, 0) EACH_N(DELIVER, 1) EACH_N(DELIVER, 2) EACH_N(DELIVER, 3)
    EACH_N(DELIVER, 4) EACH_N(DELIVER, 5) EACH_N(DELIVER, 6) EACH_N(DELIVER, 7)
}
