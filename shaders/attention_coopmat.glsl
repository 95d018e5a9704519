// SPDX-License-Identifier: MIT
//
// attention_coopmat.glsl: what the attention kernels on a device's matrix units share (VK_KHR_cooperative_matrix; args.h).
// The including file has included half_fp16.glsl or half_bf16.glsl: what is multiplied is rounded to HALF, sums and all that
// stands between products are f32.
//
// A workgroup of WAVES_M x WAVES_N subgroups owns ROWS rows of one side of a head (queries; in attention_dkv keys); the
// other side streams by in blocks of BLOCK rows. Products of owned rows with streamed ones make the scores: a subgroup does
// M rows and every WAVES_Nth fragment of columns. Where a fragment's elements lie is the driver's secret, so the scores go through
// workgroup memory to lanes that know row and column, and come back as HALF. Their products with streamed rows, which lie
// turned for that, go to sums that stay in registers: M rows and FRAGS_D fragments of the head's columns for each subgroup.
//
// A sum of products over rows takes in what a query may not see, times 0, and 0 times a NaN is one. So rows are turned with
// 0 in place of what is not finite, and such rows show by the scores: one document's numbers never meet another's.
//
// All subgroups come to the same number of barriers, those of a subgroup too: to lavapipe all barriers are a workgroup's.
//
// Fragments have names, not indices (x0 .. x7, only the first ones used): some compilers keep arrays of them in memory.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#include "lang.glsl"
#include "half.glsl"
#include "attention_rows.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64; // a multiple of N and of K
layout(constant_id = 3) const uint DROPOUT = 0;
// The device's matrix shape, multiples of 8; subgroups.
layout(constant_id = 4) const uint M = 16;
layout(constant_id = 5) const uint N = 16;
layout(constant_id = 6) const uint K = 16;
layout(constant_id = 7) const uint WAVES_M = 4;
layout(constant_id = 8) const uint WAVES_N = 1;
layout(constant_id = 9) const uint BLOCK = 32; // streamed rows, a multiple of N and of K
layout(constant_id = 10) const uint HOLD = 1;  // owned rows stay in registers, at most 8 fragments; else in workgroup memory
layout(constant_id = 11) const uint PHASED = 0; // turned rows take the place of the others, one barrier later

const uint ROWS = M * WAVES_M;
const uint STEPS = HEAD_DIM / K, COLUMNS = HEAD_DIM / N, FRAGS_D = (COLUMNS + WAVES_N - 1) / WAVES_N; // at most 8
// In words of 16 bytes: a row of the head, from row to row of tiles (one word more than a row has, for the banks' sake) of
// rows as they are, of turned ones and of HALF scores, of f32 fragments; a tile as it is, a turned one.
const uint D_WIDE = HEAD_DIM / 8, D_STRIDE = D_WIDE + 1, T_STRIDE = BLOCK / 8 + 1, C_STRIDE = N / 4 + 1;
const uint TILE = BLOCK * D_STRIDE, TURNED = HEAD_DIM * T_STRIDE, HALVES = ROWS * T_STRIDE, OWN = ROWS * D_STRIDE;

#define MORE(a, b) ((a) > (b) ? (a) : (b))
#define WAVE_M (gl_SubgroupID / WAVES_N)
#define WAVE_N (gl_SubgroupID % WAVES_N)
#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor
#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor
#define A_FRAG coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define B_FRAG coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define SUMS coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define NAMES(TYPE, x) TYPE x##0, x##1, x##2, x##3, x##4, x##5, x##6, x##7;
#define EACH1(DO, a) DO(0, a) DO(1, a) DO(2, a) DO(3, a) DO(4, a) DO(5, a) DO(6, a) DO(7, a)
#define EACH2(DO, a, b) DO(0, a, b) DO(1, a, b) DO(2, a, b) DO(3, a, b) DO(4, a, b) DO(5, a, b) DO(6, a, b) DO(7, a, b)
#define EACH3(DO, a, b, c)                                                                                             \
    DO(0, a, b, c) DO(1, a, b, c) DO(2, a, b, c) DO(3, a, b, c) DO(4, a, b, c) DO(5, a, b, c) DO(6, a, b, c) DO(7, a, b, c)

// ---- to workgroup memory ---------------------------------------------------------------------------------------------

// What is not finite becomes 0.
uvec4 finite(uvec4 v)
{
    const uint low = HALF_EXPONENT, high = HALF_EXPONENT << 16;
    return mix(v & 0xffffu, uvec4(0), equal(v & low, uvec4(low))) | mix(v & 0xffff0000u, uvec4(0), equal(v & high, uvec4(high)));
}

// Eight elements, from element i on, of a tensor that is bound as uvec4s.
#define EIGHT(name, b, i) (IS_BF16(b) ? half_of(name[(i) / 8], uvec4(0), true) : half_of(name[(i) / 4], name[(i) / 4 + 1], false))

// `count` rows from row `first` on, none beyond `last`, of which `offset` is the first column.
#define PLACE(tile, count, name, b, first, last, ld, offset)                                                           \
    for (uint q = LANE; q < (count) * D_WIDE; q += GROUP)                                                              \
        tiles[(tile) + q / D_WIDE * D_STRIDE + q % D_WIDE] =                                                           \
            EIGHT(name, b, min((first) + q / D_WIDE, last) * (ld) + (offset) + q % D_WIDE * 8);
// A block's rows, turned two at a time. Four lanes follow each other along a row, then they go on to the next two rows,
// whose words lie side by side in workgroup memory. SEE is told of each row's elements.
#define PLACE_TURNED(tile, name, b, first, last, ld, offset, SEE)                                                      \
    for (uint q = LANE; q < BLOCK / 2 * D_WIDE; q += GROUP) {                                                          \
        uint run = D_WIDE % 4 == 0 ? 4 : 1, r = q / run % (BLOCK / 2) * 2, g = q / run / (BLOCK / 2) * run + q % run;  \
        uvec4 even = EIGHT(name, b, min((first) + r, last) * (ld) + (offset) + 8 * g);                                 \
        uvec4 odd = EIGHT(name, b, min((first) + r + 1, last) * (ld) + (offset) + 8 * g);                              \
        SEE(r, even) SEE(r + 1, odd)                                                                                   \
        even = finite(even), odd = finite(odd);                                                                        \
        [[unroll]] for (uint i = 0; i < 4; i++) {                                                                      \
            uint home = (tile) + (8 * g + 2 * i) * T_STRIDE + r / 8;                                                   \
            tiles[home][r / 2 % 4] = (even[i] & 0xffffu) | (odd[i] << 16);                                             \
            tiles[home + T_STRIDE][r / 2 % 4] = (even[i] >> 16) | (odd[i] & 0xffff0000u);                              \
        }                                                                                                              \
    }
#define SEE_NONE(r, v)

// ---- products --------------------------------------------------------------------------------------------------------

// The owned rows of a subgroup, x, from the tile `own`.
#define OWN_STEP(q, x, own)                                                                                            \
    if (q < STEPS) coopMatLoad(x##q, tiles, (own) + WAVE_M * M * D_STRIDE + q * K / 8, D_STRIDE, ROW_MAJOR);
// s += owned rows x (held, or in the tile `own`) times the N streamed rows that begin at word `other`.
#define SCORE_STEP(q, s, x, other)                                                                                     \
    if (HOLD != 0 && q < STEPS) {                                                                                      \
        B_FRAG b;                                                                                                      \
        coopMatLoad(b, tiles, (other) + q * K / 8, D_STRIDE, COLUMN_MAJOR);                                            \
        s = coopMatMulAdd(x##q, b, s);                                                                                 \
    }
#define SCORE(s, x, own, other)                                                                                        \
    EACH3(SCORE_STEP, s, x, other)                                                                                     \
    if (HOLD == 0)                                                                                                     \
        for (uint q = 0; q < STEPS; q++) {                                                                             \
            A_FRAG a;                                                                                                  \
            B_FRAG b;                                                                                                  \
            coopMatLoad(a, tiles, (own) + WAVE_M * M * D_STRIDE + q * K / 8, D_STRIDE, ROW_MAJOR);                     \
            coopMatLoad(b, tiles, (other) + q * K / 8, D_STRIDE, COLUMN_MAJOR);                                        \
            s = coopMatMulAdd(a, b, s);                                                                                \
        }

// Sums j of a subgroup are those of fragment WAVE_N + WAVES_N j of the head's columns.
#define HAS(j) (j < FRAGS_D && (COLUMNS % WAVES_N == 0 || WAVE_N + WAVES_N * j < COLUMNS))
#define ZERO(j, sum) sum##j = SUMS(0.0);
#define GATHER_FRAG(j, sum, turned)                                                                                    \
    if (HAS(j)) {                                                                                                      \
        B_FRAG b;                                                                                                      \
        coopMatLoad(b, tiles, (turned) + (WAVE_N + WAVES_N * j) * N * T_STRIDE + q * K / 8, T_STRIDE, COLUMN_MAJOR);   \
        sum##j = coopMatMulAdd(a, b, sum##j);                                                                          \
    }
// sum += HALF scores times streamed rows, turned.
#define GATHER(sum, halves, turned)                                                                                    \
    for (uint q = 0; q < BLOCK / K; q++) {                                                                             \
        A_FRAG a;                                                                                                      \
        coopMatLoad(a, tiles, (halves) + WAVE_M * M * T_STRIDE + q * K / 8, T_STRIDE, ROW_MAJOR);                      \
        EACH2(GATHER_FRAG, sum, turned)                                                                                 \
    }
// Through `scratch`, M C_STRIDE words of the subgroup's own, to USE(owned row, vec4 of the head, sums).
#define PUT_FRAG(j, sum, scratch, USE)                                                                                 \
    if (j < FRAGS_D) {                                                                                                 \
        if (HAS(j)) coopMatStore(sum##j, tiles, scratch, C_STRIDE, ROW_MAJOR);                                         \
        subgroupBarrier();                                                                                             \
        for (uint put = HAS(j) ? gl_SubgroupInvocationID : M * N; put < M * N / 4; put += gl_SubgroupSize)             \
            USE(WAVE_M * M + put / (N / 4), (WAVE_N + WAVES_N * j) * N / 4 + put % (N / 4),                            \
                uintBitsToFloat(tiles[(scratch) + put / (N / 4) * C_STRIDE + put % (N / 4)]));                         \
        subgroupBarrier();                                                                                             \
    }

// ---- dropout ---------------------------------------------------------------------------------------------------------

// Which of eight pairs dropout keeps (bit i), as dropout_factor has it.
bool keeps(uvec4 word, int s)
{
    return word[s & 3] >= uint(ceil(live.dropout * 4294967296.0));
}

uvec4 words_of(uint conversation, uint position, int s, uint h, uint layer)
{
    return philox(uvec4(conversation, position, uint(s >> 2), layer * 16 + 8 + 16 * 4096 * (h + 1)),
        uvec2(live.seed_low ^ live.step, live.seed_high));
}

// A query and the keys at the positions s .. s + 7 of its conversation (before 0: never seen).
uint kept_keys(uint conversation, uint position, int s, uint h, uint layer)
{
    uint kept = 0;
    [[dont_unroll]] for (int i = 0; i < 3; i++) {
        uvec4 word = words_of(conversation, position, s + 4 * i, h, layer);
        [[unroll]] for (int j = 0; j < 4; j++) kept |= keeps(word, j) ? 1u << (4 * i + j) : 0u;
    }
    return kept >> (s & 3);
}
