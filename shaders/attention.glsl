// SPDX-License-Identifier: MIT
//
// attention.glsl: what the attention kernels share (args.h). Softmax attention without the T x T matrix (Dao 2023; the
// form for CPUs keeps one of a few heads at a time where it is small): SPLIT
// lanes hold one row of one side in registers (a query; in attention_dkv a key), each every SPLITth vec4 of it. The rows
// of the other side stream by in blocks of BLOCK and serve all lanes. Sums run over the streamed rows in order. What a
// row may not see is selected away, never multiplied away: one document's numbers never meet another's.
#include "lang.glsl"
#include "attention_rows.glsl"
#include "deal.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
layout(constant_id = 3) const uint DROPOUT = 0;
layout(constant_id = 4) const uint DEAL = 0;
layout(constant_id = 5) const uint BLOCK = 4;
layout(constant_id = 6) const uint SPLIT = 1; // divides GROUP; 1 with DEAL
const uint D4 = HEAD_DIM / 4;
const uint HELD = (D4 + SPLIT - 1) / SPLIT;  // vec4s of a row that a lane holds: number i is vec4 HELD4(i)
const uint LOADS = (D4 + GROUP - 1) / GROUP; // of a lane for one dealt row

#define LINES (GROUP / SPLIT) // rows of a workgroup
#define LINE (DEAL != 0 ? gl_SubgroupInvocationID : LANE / SPLIT)
#define PART (SPLIT > 1 ? LANE % SPLIT : 0)
#define EVEN (D4 % SPLIT == 0)
// Where a row's vec4s do not go round evenly, some lanes' last place is none: the row's last vec4 is read there, and counts as 0.
#define HELD4(i) (EVEN ? (i) * SPLIT + PART : min((i) * SPLIT + PART, D4 - 1))
#define HOLDS(i) (EVEN || (i) * SPLIT + PART < D4)

// A block of streamed rows: FETCH brings this lane's share (nothing without DEAL), SPREAD calls USE(i, x) for every vec4 i
// that the lane holds, x[j] being the same vec4 of the row that begins at vec4 at[j]. With ADDRESSES all lanes read through
// addresses, CHUNK vec4s of the rows after one another: such a driver's compiler makes the broadcasts of a whole branch ahead
// and lets them lie on the stack. So each chunk is a branch of its own, by a condition that holds always and that no
// compiler knows to.
#ifdef ADDRESSES
#include "wide.glsl"
#define CHUNK 8
#define FETCH(share, name, b, at)                                                                                      \
    Word share[BLOCK];                                                                                                 \
    [[unroll]] for (uint j = 0; j < BLOCK; j++)                                                                        \
        share[j] = Word(addresses[b - 1]) + in_words(IS_BF16(b), 4 * at[j]);
#define SPREAD(share, name, b, at, USE)                                                                                \
    [[unroll]] for (uint c = 0; c < HELD; c += CHUNK)                                                                  \
        if (args.ld_qkv > 4 * c) {                                                                                     \
            [[unroll]] for (uint i = c; i < min(c + CHUNK, HELD); i++) {                                               \
                vec4 x[BLOCK];                                                                                         \
                [[unroll]] for (uint j = 0; j < BLOCK; j++) x[j] = same4(share[j], i, IS_BF16(b));                     \
                USE(i, x);                                                                                             \
            }                                                                                                          \
        }

// Word i of binding b, a float: the same for all lanes.
#define STREAMED(name, b, i) uintBitsToFloat(Word(addresses[b - 1])[i].word)

// Vec4 i of the row that begins at `at`, the same for all lanes.
vec4 same4(Word at, uint i, bool bf16)
{
    if (bf16) return bf16_unpack(uvec2(at[2 * i].word, at[2 * i + 1].word));
    return uintBitsToFloat(uvec4(at[4 * i].word, at[4 * i + 1].word, at[4 * i + 2].word, at[4 * i + 3].word));
}
#else
#define PUSH_ADDRESSES
#define STREAMED(name, b, i) name[i]
#define FETCH(share, name, b, at)                                                                                      \
    vec4 share[LOADS * BLOCK];                                                                                         \
    if (DEAL != 0)                                                                                                     \
        [[unroll]] for (uint i = 0; i < LOADS; i++)                                                                    \
            [[unroll]] for (uint j = 0; j < BLOCK; j++)                                                                \
                share[i * BLOCK + j] = LOAD4(name, b, at[j] + min(i * GROUP + LINE, D4 - 1));
#define SPREAD(share, name, b, at, USE)                                                                                \
    if (DEAL != 0) {                                                                                                   \
        [[unroll]] for (uint i = 0; i < LOADS; i++) {                                                                  \
            vec4 mine[BLOCK];                                                                                          \
            for (uint j = 0; j < BLOCK; j++) mine[j] = share[i * BLOCK + j];                                           \
            EACH_LANE(SPREAD_LANE, USE)                                                                                \
        }                                                                                                              \
    } else {                                                                                                           \
        [[unroll]] for (uint i = 0; i < HELD; i++) {                                                                   \
            vec4 x[BLOCK];                                                                                             \
            for (uint j = 0; j < BLOCK; j++) x[j] = LOAD4(name, b, at[j] + HELD4(i));                                  \
            USE(i, x);                                                                                                 \
        }                                                                                                              \
    }
#define SPREAD_LANE(USE, lane)                                                                                         \
    if (lane < GROUP && i * GROUP + lane < D4) {                                                                       \
        vec4 x[BLOCK];                                                                                                 \
        for (uint j = 0; j < BLOCK; j++) x[j] = subgroupBroadcast(mine[j], lane);                                      \
        USE(i * GROUP + lane, x);                                                                                      \
    }
#endif

float sum_products(float sum, vec4 a, vec4 b)
{
    return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

// Sums of products over whole rows, from those of a row's lanes, in the order of the lanes. Two halves of the memory take
// turns, so that a call may write while slower lanes still read.
shared float partial[SPLIT > 1 ? 2 * BLOCK * GROUP : 1];
uint partial_turn = 0;

void whole(inout float x[BLOCK])
{
    if (SPLIT == 1) return;
    partial_turn = BLOCK * GROUP - partial_turn;
    for (uint j = 0; j < BLOCK; j++) partial[partial_turn + j * GROUP + LANE] = x[j];
    barrier();
    for (uint j = 0; j < BLOCK; j++) {
        x[j] = 0;
        for (uint i = 0; i < SPLIT; i++) x[j] += partial[partial_turn + j * GROUP + LINE * SPLIT + i];
    }
}
