// SPDX-License-Identifier: MIT
//
// lang.glsl: the words kernels are written in: typed loads and stores, workgroup sums, counter-based random numbers.
// A kernel begins with: #version 450, #extension GL_GOOGLE_include_directive : require, #include "lang.glsl".
#include "args.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint STORE = 0; // bit b: binding b is bf16
#define GROUP gl_WorkGroupSize.x
#define LANE gl_LocalInvocationID.x
#define GROUP_INDEX (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)
#define GRID_LANE (GROUP_INDEX * GROUP + LANE)
// Element-wise kernels, right for any number of groups: for (uint i = PIECE_BEGIN(n); i < PIECE_END(n); i += GROUP). A
// group's piece lies together: CPUs' caches need that, GPUs do not mind.
#define GRID_LANES (gl_NumWorkGroups.x * gl_NumWorkGroups.y * GROUP)
#define PIECE(n) (((n) + GRID_LANES - 1) / GRID_LANES * GROUP)
#define PIECE_BEGIN(n) (GROUP_INDEX * PIECE(n) + LANE)
#define PIECE_END(n) min(n, (GROUP_INDEX + 1) * PIECE(n))

layout(binding = 0, std430) readonly buffer Live {
    live_block live;
};

// A tensor at binding `b` seen as vec4 groups: f32, or bf16 as pairs in uint. TENSOR declares both views of one binding;
// LOAD4(name, b, i) and STORE4(name, b, i, v) pick one by the constant, so the other is dead code.
#define TENSOR_IN(b, name)                                                                                             \
    layout(binding = b, std430) readonly buffer name##_wide { vec4 name##_f32[]; };                                    \
    layout(binding = b, std430) readonly buffer name##_packed { uvec2 name##_bf16[]; };
#define TENSOR(b, name)                                                                                                \
    layout(binding = b, std430) buffer name##_wide { vec4 name##_f32[]; };                                             \
    layout(binding = b, std430) buffer name##_packed { uvec2 name##_bf16[]; };
#define IS_BF16(b) (((STORE >> (b)) & 1u) != 0u)
#define LOAD4(name, b, i) (IS_BF16(b) ? bf16_unpack(name##_bf16[i]) : name##_f32[i])
#define STORE4(name, b, i, v)                                                                                          \
    do {                                                                                                               \
        if (IS_BF16(b)) name##_bf16[i] = bf16_pack(v);                                                                 \
        else name##_f32[i] = v;                                                                                        \
    } while (false)

// A row's last vec4 group, where the columns are no multiple of 4: of the group that begins at column c only the
// components below `columns` are written (bf16: a pair whose second half is padding gets 0 there).
#define STORE4_CUT(name, b, i, v, c, columns)                                                                          \
    do {                                                                                                               \
        vec4 whole = v;                                                                                                \
        if ((c) + 4 <= (columns)) {                                                                                    \
            STORE4(name, b, i, whole);                                                                                 \
        } else if (IS_BF16(b)) {                                                                                       \
            uvec2 pairs = bf16_pack(cut4(whole, c, columns));                                                          \
            name##_bf16[i].x = pairs.x;                                                                                \
            if ((c) + 2 < (columns)) name##_bf16[i].y = pairs.y;                                                       \
        } else {                                                                                                       \
            name##_f32[i].x = whole.x;                                                                                 \
            if ((c) + 1 < (columns)) name##_f32[i].y = whole.y;                                                        \
            if ((c) + 2 < (columns)) name##_f32[i].z = whole.z;                                                        \
        }                                                                                                              \
    } while (false)

vec4 bf16_unpack(uvec2 p)
{
    return uintBitsToFloat(uvec4(p.x << 16, p.x & 0xffff0000u, p.y << 16, p.y & 0xffff0000u));
}

// Round to nearest even; a NaN stays a NaN (integer tests: no float comparison that a compiler may assume away).
uvec4 bf16_round(vec4 v)
{
    uvec4 u = floatBitsToUint(v);
    uvec4 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    uvec4 nan = (u >> 16) | 0x40u;
    return mix(rounded, nan, greaterThan(u & 0x7fffffffu, uvec4(0x7f800000u)));
}

uvec2 bf16_pack(vec4 v)
{
    uvec4 r = bf16_round(v);
    return uvec2(r.x | (r.y << 16), r.z | (r.w << 16));
}

// Components of the vec4 group that begins at column c, at or beyond `columns`, become 0 (selected, never multiplied).
vec4 cut4(vec4 v, uint c, uint columns)
{
    return mix(v, vec4(0), greaterThanEqual(uvec4(c) + uvec4(0, 1, 2, 3), uvec4(columns)));
}

float sum4(vec4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

float max4(vec4 v)
{
    return max(max(v.x, v.y), max(v.z, v.w));
}

bool is_finite(float x)
{
    return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u;
}

// How many of `rows` rows that begin at `first_row` of the micro-batch are in use.
uint live_rows(uint kind, uint rows, uint first_row)
{
    if (kind == LIVE_NONE) return rows;
    uint count = kind == LIVE_TOKENS ? live.tokens : live.targets;
    return min(rows, count - min(count, first_row));
}

// Sums and maxima over the workgroup, the same in every lane, in an order that depends on GROUP alone. All lanes must
// come here.
#ifdef ADDRESSES // the workgroup is one subgroup (wide.glsl): no barrier, which costs a CPU's driver thousands of cycles
#include "deal.glsl"
#define GROUP_ADD(x, lane) if (lane < GROUP) sum += subgroupBroadcast(x, lane);
#define GROUP_MAX(x, lane) if (lane < GROUP) most = max(most, subgroupBroadcast(x, lane));

float group_sum(float x)
{
    float sum = 0;
    EACH_LANE(GROUP_ADD, x)
    return sum;
}

float group_max(float x)
{
    float most = x;
    EACH_LANE(GROUP_MAX, x)
    return most;
}
#else
// Up to GATHERED values are added up by every lane for itself (the reads are uniform: one load for all lanes
// of a subgroup); larger groups first bring theirs down to so many. Two halves of the memory take turns, so that a call
// may write while slower lanes still read what the call before it left: one barrier less a call.
#define GATHERED 16u
shared float lang_partial[2 * gl_WorkGroupSize.x];
shared float lang_few[2 * GATHERED];
uint lang_turn = 0;

float group_sum(float x)
{
    lang_turn ^= 1u;
    uint all = lang_turn * GROUP, few = lang_turn * GATHERED;
    lang_partial[all + LANE] = x;
    barrier();
    float sum = 0;
    if (GROUP <= GATHERED) {
        for (uint k = 0; k < GROUP; k++) sum += lang_partial[all + k];
        return sum;
    }
    if (LANE < GATHERED) {
        for (uint k = LANE; k < GROUP; k += GATHERED) sum += lang_partial[all + k];
        lang_few[few + LANE] = sum;
    }
    barrier();
    sum = 0;
    for (uint k = 0; k < GATHERED; k++) sum += lang_few[few + k];
    return sum;
}

float group_max(float x)
{
    lang_turn ^= 1u;
    uint all = lang_turn * GROUP, few = lang_turn * GATHERED;
    lang_partial[all + LANE] = x;
    barrier();
    float most = x;
    if (GROUP <= GATHERED) {
        for (uint k = 0; k < GROUP; k++) most = max(most, lang_partial[all + k]);
        return most;
    }
    if (LANE < GATHERED) {
        for (uint k = LANE; k < GROUP; k += GATHERED) most = max(most, lang_partial[all + k]);
        lang_few[few + LANE] = most;
    }
    barrier();
    for (uint k = 0; k < GATHERED; k++) most = max(most, lang_few[few + k]);
    return most;
}
#endif

// Philox 4x32-10 (Salmon et al. 2011): 128 bits that depend on counter and key alone.
uvec4 philox(uvec4 counter, uvec2 key)
{
    for (int i = 0; i < 10; i++) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, counter.x, high0, low0);
        umulExtended(0xCD9E8D57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}
