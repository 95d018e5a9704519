// SPDX-License-Identifier: MIT
//
// matmul_coopmat_copy.glsl: how matmul_coopmat.glsl, which includes this, brings the operands' tiles from memory through
// registers (fetch) to workgroup memory (place).
// Row and group, within the tile, of this lane's copy s. Lanes follow each other along rows; of turned pairs four do, then
// they go on to the next two rows, whose words lie side by side in workgroup memory. Where lanes and rows divide evenly, copies
// differ by what the compiler knows.
uvec2 place_of(bool turned, uint s, uint rows, uint wide)
{
    if (!turned && GROUP % wide == 0) return uvec2(LANE / wide + s * (GROUP / wide), LANE % wide);
    if (!turned) return uvec2((LANE + s * GROUP) / wide, (LANE + s * GROUP) % wide);
    uint run = wide % 4 == 0 ? 4 : 1, deep = run * rows / 2, q = LANE + s * GROUP, beyond = 0;
    if (GROUP % deep == 0) q = LANE, beyond = s * (GROUP / deep);
    return uvec2(q / run % (rows / 2) * 2, (q / deep + beyond) * run + q % run);
}

// Of the group at `at`, in its operand: where it lies at k = 0, and how far it moves to k0. With `tail` terms beyond the last
// one are taken from where that lies: against zeros, or to be taken out below.
uint from(bool by_k, uvec2 at, uint first, uint count, uint offset, uint ld)
{
    return by_k ? offset / 8 + at.x * (ld / 8) + min(first / 8 + at.y, (count - 1) / 8)
                : (offset + min(first + at.x, count - 1) * ld) / 8 + at.y;
}

uint moved(bool by_k, uvec2 at, uint k0, uint ld, bool tail)
{
    if (by_k) return (tail ? min(k0 + at.x, live_k - 1) - at.x : k0) * (ld / 8);
    return tail ? min(k0 / 8 + at.y, (live_k - 1) / 8) - at.y : k0 / 8;
}

// Is copy s of this lane one of the tile? Where lanes and groups divide evenly the compiler knows.
bool copies(uint s, uint pair, uint all)
{
    return (s + 1) * GROUP * pair <= all || (LANE + s * GROUP) * pair < all;
}

void fetch(uint k0, bool tail)
{
    [[unroll]] for (uint s = 0; s < A_COPIES; s++)
        if (copies(s, A_PAIR, A_ALL))
            [[unroll]] for (uint p = 0; p < A_PAIR; p++) {
                uvec2 place = place_of(A_TURNED, s, A_ROWS, A_WIDE);
                uint at = A_WORDS * (a_from[s] + moved(A_BY_K, place, k0 + p, args.lda, tail));
                [[unroll]] for (uint w = 0; w < A_WORDS; w++) a_next[(s * A_PAIR + p) * A_WORDS + w] = a_words[at + w];
            }
    [[unroll]] for (uint s = 0; s < B_COPIES; s++)
        if (copies(s, B_PAIR, B_ALL))
            [[unroll]] for (uint p = 0; p < B_PAIR; p++) {
                uvec2 place = place_of(B_TURNED, s, B_ROWS, B_WIDE);
                uint at = B_WORDS * (b_from[s] + moved(B_BY_K, place, k0 + p, args.ldb, tail));
                [[unroll]] for (uint w = 0; w < B_WORDS; w++) b_next[(s * B_PAIR + p) * B_WORDS + w] = b_words[at + w];
            }
}

// Takes out what lies at or beyond the last term (padding may hold anything; it is selected away).
uvec4 cut(bool by_k, uvec4 v, uvec2 at, uint k0)
{
    if (by_k) return k0 + at.x < live_k ? v : uvec4(0);
    uvec4 element = k0 + 8 * at.y + uvec4(0, 2, 4, 6);
    v &= mix(uvec4(0xffffu), uvec4(~0u), lessThan(element + 1, uvec4(live_k)));
    return mix(uvec4(0), v, lessThan(element, uvec4(live_k)));
}

// Group at.y of two rows of k becomes a word of each of eight rows.
void turn(uint tile, uint stride, uvec2 at, uvec4 even, uvec4 odd)
{
    uint home = tile + 8 * at.y * stride + at.x / 8;
    [[unroll]] for (uint i = 0; i < 4; i++) {
        HALF_PAIR e = half_pair(even[i]), o = half_pair(odd[i]);
        tiles[home + 2 * i * stride][at.x / 2 % 4] = half_bits(HALF_PAIR(e.x, o.x));
        tiles[home + (2 * i + 1) * stride][at.x / 2 % 4] = half_bits(HALF_PAIR(e.y, o.y));
    }
}

uvec4 a_half(uint i, uvec2 at, uint k0, bool tail)
{
    uvec4 v = half_of(a_next[i * A_WORDS], a_next[i * A_WORDS + A_WORDS - 1], A_WORDS == 1);
    return tail ? cut(A_BY_K, v, at, k0) : v;
}

uvec4 b_half(uint i, uvec2 at, uint k0, bool tail)
{
    uvec4 v = half_of(b_next[i * B_WORDS], b_next[i * B_WORDS + B_WORDS - 1], B_WORDS == 1);
    return tail && !B_BY_K ? cut(false, v, at, k0) : v; // by k, A's zeros are enough
}

void place(uint k0, bool tail)
{
    [[unroll]] for (uint s = 0; s < A_COPIES; s++)
        if (copies(s, A_PAIR, A_ALL)) {
            uvec2 at = place_of(A_TURNED, s, A_ROWS, A_WIDE);
            uvec4 v = a_half(s * A_PAIR, at, k0, tail);
            if (A_TURNED) turn(0, A_STRIDE, at, v, a_half(s * A_PAIR + A_PAIR - 1, at + uvec2(1, 0), k0, tail));
            else tiles[at.x * A_STRIDE + at.y] = v;
        }
    [[unroll]] for (uint s = 0; s < B_COPIES; s++)
        if (copies(s, B_PAIR, B_ALL)) {
            uvec2 at = place_of(B_TURNED, s, B_ROWS, B_WIDE);
            uvec4 v = b_half(s * B_PAIR, at, k0, tail);
            if (B_TURNED) turn(B_TILE, B_STRIDE, at, v, b_half(s * B_PAIR + B_PAIR - 1, at + uvec2(1, 0), k0, tail));
            else tiles[B_TILE + at.x * B_STRIDE + at.y] = v;
        }
}
