// SPDX-License-Identifier: MIT
//
// attention.glsl: what the attention kernels share (args.h). Softmax attention without the T x T matrix (Dao 2023): a lane
// holds its own row of one side in registers (a query; in attention_dkv a key), the rows of the other side stream by in
// blocks of BLOCK and serve all lanes. A lane's sums run over the streamed rows in order. What a lane may not see is
// selected away, never multiplied away: one document's numbers never meet another's.
#include "lang.glsl"
#include "deal.glsl"

layout(constant_id = 2) const uint HEAD_DIM = 64;
layout(constant_id = 3) const uint DROPOUT = 0;
layout(constant_id = 4) const uint DEAL = 0;
layout(constant_id = 5) const uint BLOCK = 4;
const uint D4 = HEAD_DIM / 4;
const uint LOADS = (D4 + GROUP - 1) / GROUP; // of a lane for one dealt row

layout(push_constant) uniform Push {
    attention_args args;
};

#define LOWEST -1e30 // below every score
#define GROUP_ROWS ((args.rows + GROUP - 1) / GROUP)

// The row block of group i of a head: from both ends in turn, for causal blocks differ in work and some drivers give
// each thread one stretch of the groups.
uint row_block(uint i)
{
    return (i & 1u) != 0u ? GROUP_ROWS - 1 - i / 2 : i / 2;
}

uint first_key(uint start, uint t)
{
    return args.window > 0 && t + 1 > args.window ? max(start, t + 1 - args.window) : start;
}

// A block of streamed rows: FETCH brings this lane's share (nothing without DEAL), SPREAD calls USE(d, x) for every
// d < D4 in order, x[j] being vec4 d of the row that begins at vec4 at[j].
#define FETCH(share, name, b, at)                                                                                      \
    vec4 share[LOADS * BLOCK];                                                                                         \
    if (DEAL != 0)                                                                                                     \
        [[unroll]] for (uint i = 0; i < LOADS; i++)                                                                    \
            [[unroll]] for (uint j = 0; j < BLOCK; j++)                                                                \
                share[i * BLOCK + j] = LOAD4(name, b, at[j] + min(i * GROUP + DEAL_LANE, D4 - 1));
#define SPREAD(share, name, b, at, USE)                                                                                \
    if (DEAL != 0) {                                                                                                   \
        [[unroll]] for (uint i = 0; i < LOADS; i++) {                                                                  \
            vec4 mine[BLOCK];                                                                                          \
            for (uint j = 0; j < BLOCK; j++) mine[j] = share[i * BLOCK + j];                                           \
            EACH_LANE(SPREAD_LANE, USE)                                                                                \
        }                                                                                                              \
    } else {                                                                                                           \
        [[unroll]] for (uint d = 0; d < D4; d++) {                                                                     \
            vec4 x[BLOCK];                                                                                             \
            for (uint j = 0; j < BLOCK; j++) x[j] = LOAD4(name, b, at[j] + d);                                         \
            USE(d, x);                                                                                                 \
        }                                                                                                              \
    }
#define SPREAD_LANE(USE, lane)                                                                                         \
    if (lane < GROUP && i * GROUP + lane < D4) {                                                                       \
        vec4 x[BLOCK];                                                                                                 \
        for (uint j = 0; j < BLOCK; j++) x[j] = subgroupBroadcast(mine[j], lane);                                      \
        USE(i * GROUP + lane, x);                                                                                      \
    }

float sum_products(float sum, vec4 a, vec4 b)
{
    return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

// What dropout leaves of the probability of key position s for the query (conversation, position) of head h: 0 or
// 1 / (1 - p).
float dropout_factor(uint conversation, uint position, uint s, uint h)
{
    uint site = args.layer * 16 + 8 + 16 * 4096 * (h + 1);
    uvec4 word = philox(uvec4(conversation, position, s / 4, site), uvec2(live.seed_low ^ live.step, live.seed_high));
    return word[s % 4] >= uint(ceil(live.dropout * 4294967296.0)) ? 1 / (1 - live.dropout) : 0;
}
