// SPDX-License-Identifier: MIT
//
// attention_rows.glsl: what all attention kernels say of rows: which a workgroup takes, which keys a query sees, what dropout
// leaves of a pair.
#define LOWEST -1e30 // below every score

// Group i's row block of its head: from both ends in turn, for causal blocks differ in work and some drivers give each
// thread one stretch of the groups.
uint row_block(uint i, uint blocks)
{
    return (i & 1u) != 0u ? blocks - 1 - i / 2 : i / 2;
}

uint first_key(uint start, uint t, uint window)
{
    return window > 0 && t + 1 > window ? max(start, t + 1 - window) : start;
}

// What dropout leaves of the probability of key position s for the query (conversation, position) of head h: 0 or
// 1 / (1 - p).
float dropout_factor(uint conversation, uint position, uint s, uint h, uint layer)
{
    uint site = layer * 16 + 8 + 16 * 4096 * (h + 1);
    uvec4 word = philox(uvec4(conversation, position, s / 4, site), uvec2(live.seed_low ^ live.step, live.seed_high));
    return word[s % 4] >= uint(ceil(live.dropout * 4294967296.0)) ? 1 / (1 - live.dropout) : 0;
}
