// SPDX-License-Identifier: MIT
//
// Kernels that move rows: embedding, gather and scatter, rotary embedding, caches, fill, convert, dropout.
#include "kernel_run.h"
#include "reference.h"

static uint32_t store_mask; // of the runs to come: 0, or every tensor as bf16
#define STORE(mask) (store_mask & (mask))

static const uint32_t widths[] = {1, 5, 7, 8, 13, 65, 257};
enum { WIDTHS = sizeof widths / sizeof *widths };

// ---- embedding ---------------------------------------------------------------------------------------------------

// Rows first .. first + bound - 1 of the table are bound; some ids lie outside.
static void embed_case(uint32_t rows, uint32_t alive, uint32_t columns, uint32_t first, uint32_t bound)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, "embed", STORE(1 << 2 | 1 << 3));
    struct field *ids = run_words(&r, rows), *table = run_tensor(&r, bound, columns),
                 *y = run_tensor(&r, rows, columns);
    struct embed_args args = {columns, table->ld, y->ld, first, bound, 1.75f};
    field_random(table, 0, bound, 2, &seed);
    r.live.tokens = alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < alive; t++) {
        uint32_t id = (uint32_t)field_set(ids, t, 0, t * 7919 % (first + bound + 2)) - first;
        for (uint32_t c = 0; c < columns && id < bound; c++) {
            double want = args.scale * table->value[id * columns + c];
            field_want(y, t, c, want, fabs(want) * ULP);
        }
    }
    run_check(&r, rows + 2);
}

static void embed_typical(void)
{
    embed_case(17, 14, 13, 3, 5);
}

// The host's sorting: rows of each id in order, ids in the order of their first row.
static void embed_backward_case(
    uint32_t alive, uint32_t columns, uint32_t ids, uint32_t first, uint32_t bound, uint32_t add, uint32_t live_first, uint32_t store)
{
    uint64_t seed = columns + alive;
    struct run r;
    run_begin(&r, "embed_backward", store);
    run_constant(&r, add);
    struct field *sorted = run_words(&r, alive + 3), *group_first = run_words(&r, ids + 3);
    struct field *group_ids = run_words(&r, ids + 3);
    struct field *dy = run_tensor(&r, alive + 3, columns), *dtable = run_tensor(&r, bound, columns);
    struct embed_backward_args args = {columns, dy->ld, dtable->ld, first, bound, 1.75f};
    bool adds = add == ADD_ALWAYS || !live_first;
    field_random(dy, 0, alive, 2, &seed);
    if (adds) field_random(dtable, 0, bound, 2, &seed);
    uint32_t at = 0, groups = 0;
    for (uint32_t id = 0; id < ids; id++) {
        uint32_t begin = at;
        for (uint32_t t = 0; t < alive; t++)
            if (t * 2654435761u % ids == id) field_set(sorted, at++, 0, t);
        if (at == begin) continue;
        field_set(group_first, groups, 0, begin);
        field_set(group_ids, groups++, 0, id);
        for (uint32_t c = 0; c < columns && id - first < bound; c++) {
            double old = adds ? dtable->value[(id - first) * columns + c] : 0, sum = 0, sizes = 0;
            for (uint32_t k = begin; k < at; k++) {
                sum += dy->value[(uint32_t)sorted->value[k] * columns + c];
                sizes += fabs(dy->value[(uint32_t)sorted->value[k] * columns + c]);
            }
            double bounds = args.scale * sizes * (at - begin + 1) * ULP + fabs(old) * ULP;
            field_want(dtable, id - first, c, old + args.scale * sum, bounds);
        }
    }
    field_set(group_first, groups, 0, at);
    r.live.tokens = alive;
    r.live.distinct = groups;
    r.live.first = live_first;
    run_args(&r, &args, sizeof args);
    run_check(&r, groups + 3);
}

static void embed_backward_typical(void)
{
    embed_backward_case(23, 13, 7, 2, 4, ADD_UNLESS_FIRST, 0, STORE(1 << 4));
}

// With nothing to add to: a NaN added to a NaN may keep the bits of either.
static void embed_backward_first(void)
{
    embed_backward_case(23, 13, 7, 2, 4, ADD_UNLESS_FIRST, 1, STORE(1 << 4));
}

// ---- gather, scatter ---------------------------------------------------------------------------------------------

static void gather_case(uint32_t rows, uint32_t alive, uint32_t columns)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, "gather_rows", STORE(1 << 2 | 1 << 3));
    struct field *index = run_words(&r, rows), *x = run_tensor(&r, 9, columns), *y = run_tensor(&r, rows, columns);
    struct rows_args args = {rows, columns, x->ld, y->ld};
    field_random(x, 0, 9, 2, &seed);
    r.live.targets = alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < rows; t++) { // rows not in use too: a mutation must not read far outside
        uint32_t from = (uint32_t)field_set(index, t, 0, test_random(&seed) % 9);
        for (uint32_t c = 0; c < columns && t < alive; c++) field_want(y, t, c, x->value[from * columns + c], EXACT);
    }
    run_check(&r, rows + 2);
}

static void gather_typical(void)
{
    gather_case(7, 5, 13);
}

static void scatter_case(uint32_t rows, uint32_t alive, uint32_t columns)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, "scatter_rows", STORE(1 << 2 | 1 << 3));
    struct field *index = run_words(&r, rows), *x = run_tensor(&r, 9, columns), *y = run_tensor(&r, rows, columns);
    struct rows_args args = {rows, columns, x->ld, y->ld};
    field_random(x, 0, 9, 2, &seed);
    r.live.tokens = alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < rows; t++) {
        uint32_t from = (uint32_t)field_set(index, t, 0, t % 3 == 1 ? NO_TARGET : test_random(&seed) % 9);
        for (uint32_t c = 0; c < columns && t < alive; c++)
            field_want(y, t, c, from == NO_TARGET ? 0 : x->value[from * columns + c], EXACT);
    }
    run_check(&r, rows + 2);
}

static void scatter_typical(void)
{
    scatter_case(7, 5, 13);
}

// ---- rope --------------------------------------------------------------------------------------------------------

static void rope_case(uint32_t rows, uint32_t alive, uint32_t first, uint32_t heads, uint32_t head_dim, float sign)
{
    enum { POSITIONS = 19, OFFSET = 8 };
    uint64_t seed = heads + rows;
    uint32_t width = heads * head_dim, half = head_dim / 2;
    struct run r;
    run_begin(&r, run_row_form("rope", "rope_wide", head_dim / 2), STORE(1 << 3));
    struct field *positions = run_words(&r, first + rows), *table = run_floats(&r, POSITIONS * head_dim);
    struct field *x = run_tensor(&r, rows, OFFSET + width + 3); // columns on both sides that are not heads
    struct rope_args args = {rows, heads, head_dim, x->ld, OFFSET, sign, first};
    for (uint32_t p = 0; p < POSITIONS; p++)
        for (uint32_t i = 0; i < half; i++) {
            field_set(table, p * head_dim + i, 0, cos(p * pow(10000, -2.0 * i / head_dim)));
            field_set(table, p * head_dim + half + i, 0, sin(p * pow(10000, -2.0 * i / head_dim)));
        }
    field_random(x, 0, alive, 2, &seed);
    r.live.tokens = first + alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < first + rows; t++) field_set(positions, t, 0, 1); // a mutation must not read far outside
    double row[1024];
    for (uint32_t t = 0; t < alive; t++) {
        uint32_t p = (uint32_t)field_set(positions, first + t, 0, (t * 5 + 3) % POSITIONS);
        const double *from = x->value + t * x->columns + OFFSET, *turn = table->value + p * head_dim;
        memcpy(row, from, width * sizeof *row);
        reference_rope(row, &p, table->value, 1, (int)heads, (int)head_dim, sign);
        for (uint32_t c = 0; c < width; c++) {
            uint32_t i = c % half, other = c % head_dim < half ? c + half : c - half;
            double size = fabs(from[c] * turn[i]) + fabs(from[other] * turn[half + i]); // two products and their sum
            field_want(x, t, OFFSET + c, row[c], 2 * size * ULP + TINY);
        }
    }
    run_check(&r, rows + 2);
}

static void rope_typical(void)
{
    rope_case(7, 5, 8, 3, 16, -1);
}

// ---- cache_append ------------------------------------------------------------------------------------------------

// fork: whether slot 3 begins with 4 rows of slot 1, slot 2 with one of slot 4; then no row is appended to what they
// read or write.
static void cache_append_case(uint32_t rows, uint32_t alive, uint32_t kv_heads, uint32_t head_dim, bool fork)
{
    enum { SLOTS = 5, CAPACITY = 6, HEADS = 2 };
    uint64_t seed = kv_heads + rows;
    uint32_t width = kv_heads * head_dim, queries = HEADS * head_dim;
    struct run r;
    run_begin(&r, "cache_append", STORE(1 << 3 | 1 << 4 | 1 << 5));
    struct field *slots = run_words(&r, rows), *positions = run_words(&r, rows);
    struct field *qkv = run_tensor(&r, rows, queries + 2 * width);
    struct field *k = run_tensor(&r, SLOTS * CAPACITY, width), *v = run_tensor(&r, SLOTS * CAPACITY, width);
    v->ld = k->ld; // both caches have one ld
    struct field *forks = run_words(&r, 3 * SLOTS);
    struct cache_args args = {.rows = rows,
        .heads = HEADS,
        .kv_heads = kv_heads,
        .head_dim = head_dim,
        .ld_qkv = qkv->ld,
        .offset_k = queries,
        .offset_v = queries + width,
        .ld_cache = k->ld,
        .capacity = CAPACITY};
    field_random(qkv, 0, alive, 2, &seed);
    r.live.tokens = alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < alive; t++) {
        field_set(slots, t, 0, t % SLOTS);
        uint32_t where = fork ? 4 + t % 2 : (t + 3) % CAPACITY;
        uint32_t p = (uint32_t)field_set(positions, t, 0, t == 2 ? CAPACITY : where); // row 2 has no room
        for (uint32_t c = 0; c < width && p < CAPACITY; c++) {
            field_want(k, t % SLOTS * CAPACITY + p, c, qkv->value[t * qkv->columns + queries + c], EXACT);
            field_want(v, t % SLOTS * CAPACITY + p, c, qkv->value[t * qkv->columns + queries + width + c], EXACT);
        }
    }
    static const uint32_t copies[2][3] = {{1, 3, 4}, {4, 2, 1}}; // from, to, rows
    for (uint32_t i = 0; fork && i < 2; i++) {
        for (uint32_t c = 0; c < 3; c++) field_set(forks, 3 * i + c, 0, copies[i][c]);
        field_random(k, copies[i][0] * CAPACITY, copies[i][2], 2, &seed);
        field_random(v, copies[i][0] * CAPACITY, copies[i][2], 2, &seed);
        for (uint32_t row = 0; row < copies[i][2]; row++)
            for (uint32_t c = 0; c < width; c++) {
                uint32_t from = copies[i][0] * CAPACITY + row, to = copies[i][1] * CAPACITY + row;
                field_want(k, to, c, k->value[from * width + c], EXACT);
                field_want(v, to, c, v->value[from * width + c], EXACT);
            }
    }
    r.live.forks = fork ? 2 : 0;
    run_check(&r, rows + FORK_GROUPS * SLOTS + 2);
}

static void cache_append_typical(void)
{
    cache_append_case(5, 4, 3, 8, false);
}

static void cache_append_forks(void)
{
    cache_append_case(5, 4, 3, 8, true);
}

// ---- fill, convert -----------------------------------------------------------------------------------------------

static void fill_case(uint32_t count, uint32_t only_first, uint32_t first, uint32_t groups)
{
    struct run r;
    run_begin(&r, "fill", 0);
    run_constant(&r, only_first);
    struct field *x = run_words(&r, count + 5);
    struct fill_args args = {count, 0x89abcdef};
    r.live.first = first;
    run_args(&r, &args, sizeof args);
    for (uint32_t i = 0; i < count && (!only_first || first); i++) field_want(x, i, 0, 0x89abcdef, EXACT);
    run_check(&r, groups);
}

static void fill_typical(void)
{
    fill_case(103, 1, 1, 2);
}

static void fill_not_first(void)
{
    fill_case(103, 1, 0, 2);
}

static void convert_case(uint32_t count, bool from_bf16, bool to_bf16, uint32_t groups)
{
    // Ties to both sides, what rounds up to infinity and what does not, subnormals, zeros, infinities.
    static const double special[] = {1 + 0x1p-8, 1 + 3 * 0x1p-8, -1 - 0x1p-8, 1 + 0x1p-8 + 0x1p-23,
        1 + 0x1p-8 - 0x1p-23, 0x1.fep127, 0x1.fefffep127, 0x1.ffp127, -0x1.fffffep127, 0x1p-126, 0, -0.0, INFINITY,
        -INFINITY};
    enum { SPECIAL = sizeof special / sizeof *special };
    uint64_t seed = count;
    struct run r;
    run_begin(&r, "convert", (from_bf16 ? 1u << 1 : 0) | (to_bf16 ? 1u << 2 : 0));
    struct field *from = run_tensor(&r, 1, count + 8), *to = run_tensor(&r, 1, count + 8);
    struct convert_args args = {count};
    run_args(&r, &args, sizeof args);
    for (uint32_t i = 0; i < count; i++) {
        double x = i % 16 < SPECIAL ? special[i % 16] : ldexp(test_uniform(&seed), (int)(i % 64) - 32);
        if (i % 16 != 15) x = field_set(from, 0, i, x); // else a NaN
        field_want(to, 0, i, i % 16 == 15 ? NAN : to_bf16 ? reference_bf16((float)x) : x, EXACT);
    }
    run_check(&r, groups);
}

static void convert_typical(void)
{
    convert_case(104, false, true, 2);
}

// ---- dropout -----------------------------------------------------------------------------------------------------

static void dropout_case(
    uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns, float probability, bool residual)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, "dropout", STORE(1 << 3 | 1 << 4 | 1 << 5));
    run_constant(&r, residual);
    struct field *conversation = run_words(&r, first + rows), *positions = run_words(&r, first + rows);
    struct field *x = run_tensor(&r, rows, columns), *z = residual ? run_tensor(&r, rows, columns) : run_shared(&r, 3);
    struct field *y = run_tensor(&r, rows, columns);
    struct dropout_args args = {rows, columns, x->ld, y->ld, z->ld, 5, 3, first};
    r.live.tokens = first + alive;
    r.live.seed_low = 0x12345678;
    r.live.seed_high = 0x9abcdef0;
    r.live.step = 77;
    r.live.dropout = probability;
    run_args(&r, &args, sizeof args);
    for (uint32_t t = 0; t < alive; t++) {
        field_set(conversation, first + t, 0, 1000 + t / 3);
        field_set(positions, first + t, 0, t % 3);
        for (uint32_t c = 0; c < columns; c++) {
            double a = field_set(x, t, c, 1 + test_uniform(&seed) / 2);
            double b = residual ? field_set(z, t, c, test_uniform(&seed)) : 0;
            bool keeps = reference_dropout_keeps(1000 + t / 3, t % 3, c, 5 * 16 + 3,
                (uint32_t[]){r.live.seed_low, r.live.seed_high}, r.live.step, probability);
            if (!keeps) field_want(y, t, c, b, EXACT);
            // 1 - p, the division, the product, the sum.
            else
                field_want(
                    y, t, c, b + a / (1 - (double)probability), 2 * ULP_DIVIDE * a / (1 - probability) + 2 * ULP);
        }
    }
    run_check(&r, rows + 2);
}

static void dropout_typical(void)
{
    dropout_case(7, 5, 8, 13, 0.3f, true);
}

// ---- all of them -------------------------------------------------------------------------------------------------

#define WRONG(test, where, word, how, number)                                                                          \
    {                                                                                                                  \
        test, #test ": " #word " " #how " " #number, where, word, how, number                                          \
    }
static const struct mutation mutations[] = {
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, columns), ADD, -1),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, columns), ADD, 1),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, ld_table), ADD, 8),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, ld_out), ADD, -8),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, first), ADD, 1),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, rows), ADD, -1),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, rows), ADD, 1),
    WRONG(embed_typical, IN_ARGS, WORD(embed_args, scale), TIMES, 1.00001),
    WRONG(embed_typical, IN_CONSTANTS, 1, SET, 4),
    WRONG(embed_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, columns), ADD, -1),
    WRONG(embed_backward_first, IN_ARGS, WORD(embed_backward_args, columns), ADD, 1),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, ld_dout), ADD, 8),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, ld_table), ADD, -8),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, first), ADD, 1),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, rows), ADD, -1),
    WRONG(embed_backward_typical, IN_ARGS, WORD(embed_backward_args, scale), TIMES, 1.00001),
    WRONG(embed_backward_typical, IN_CONSTANTS, 2, SET, ADD_NONE),
    WRONG(embed_backward_typical, IN_LIVE, WORD(live_block, first), SET, 1),
    WRONG(embed_backward_typical, IN_LIVE, WORD(live_block, distinct), ADD, -2),
    WRONG(gather_typical, IN_ARGS, WORD(rows_args, rows), ADD, -3),
    WRONG(gather_typical, IN_ARGS, WORD(rows_args, columns), ADD, -1),
    WRONG(gather_typical, IN_ARGS, WORD(rows_args, columns), ADD, 1),
    WRONG(gather_typical, IN_ARGS, WORD(rows_args, ldx), ADD, 8),
    WRONG(gather_typical, IN_ARGS, WORD(rows_args, ldo), ADD, -8),
    WRONG(gather_typical, IN_LIVE, WORD(live_block, targets), ADD, -1),
    WRONG(gather_typical, IN_LIVE, WORD(live_block, targets), ADD, 1),
    WRONG(scatter_typical, IN_ARGS, WORD(rows_args, rows), ADD, -3),
    WRONG(scatter_typical, IN_ARGS, WORD(rows_args, columns), ADD, -1),
    WRONG(scatter_typical, IN_ARGS, WORD(rows_args, columns), ADD, 1),
    WRONG(scatter_typical, IN_ARGS, WORD(rows_args, ldx), ADD, 8),
    WRONG(scatter_typical, IN_ARGS, WORD(rows_args, ldo), ADD, -8),
    WRONG(scatter_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(scatter_typical, IN_LIVE, WORD(live_block, tokens), ADD, 1),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, rows), ADD, -3),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, heads), ADD, -1),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, head_dim), ADD, -8),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, ld), ADD, -8),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, offset), SET, 0),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, sign), TIMES, -1),
    WRONG(rope_typical, IN_ARGS, WORD(rope_args, first_row), SET, 0),
    WRONG(rope_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, rows), ADD, -2),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, kv_heads), ADD, -1),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, head_dim), ADD, -4),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, ld_qkv), ADD, 8),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, offset_k), ADD, -8),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, offset_v), ADD, -8),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, ld_cache), ADD, 8),
    WRONG(cache_append_typical, IN_ARGS, WORD(cache_args, capacity), ADD, 1),
    WRONG(cache_append_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(cache_append_forks, IN_ARGS, WORD(cache_args, rows), ADD, -2),
    WRONG(cache_append_forks, IN_ARGS, WORD(cache_args, kv_heads), ADD, -1),
    WRONG(cache_append_forks, IN_ARGS, WORD(cache_args, ld_cache), ADD, 8),
    WRONG(cache_append_forks, IN_ARGS, WORD(cache_args, capacity), SET, 3),
    WRONG(cache_append_forks, IN_LIVE, WORD(live_block, forks), ADD, -1),
    WRONG(fill_typical, IN_ARGS, WORD(fill_args, count), ADD, -1),
    WRONG(fill_typical, IN_ARGS, WORD(fill_args, count), ADD, 1),
    WRONG(fill_typical, IN_ARGS, WORD(fill_args, value), ADD, 1),
    WRONG(fill_typical, IN_LIVE, WORD(live_block, first), SET, 0),
    WRONG(fill_not_first, IN_CONSTANTS, 2, SET, 0),
    WRONG(convert_typical, IN_ARGS, WORD(convert_args, count), ADD, -8),
    WRONG(convert_typical, IN_ARGS, WORD(convert_args, count), ADD, 8),
    WRONG(convert_typical, IN_CONSTANTS, 1, SET, 0),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, rows), ADD, -3),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, columns), ADD, -1),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, columns), ADD, 1),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, ldx), ADD, -8),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, ldy), ADD, -8),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, ld_residual), ADD, 8),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, layer), ADD, 1),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, site), ADD, 1),
    WRONG(dropout_typical, IN_ARGS, WORD(dropout_args, first_row), SET, 0),
    WRONG(dropout_typical, IN_CONSTANTS, 2, SET, 0),
    WRONG(dropout_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(dropout_typical, IN_LIVE, WORD(live_block, seed_low), ADD, 1),
    WRONG(dropout_typical, IN_LIVE, WORD(live_block, seed_high), ADD, 1),
    WRONG(dropout_typical, IN_LIVE, WORD(live_block, step), ADD, 1),
    WRONG(dropout_typical, IN_LIVE, WORD(live_block, dropout), TIMES, 1.00001),
};

static void test_shapes(void)
{
    for (int i = 0; i < WIDTHS; i++)
        for (uint32_t alive = 0; alive <= 5; alive = 2 * alive + 1) { // 0, 1, 3 rows of 5
            embed_case(5, alive, widths[i], 0, 7);
            embed_backward_case(alive, widths[i], 5, 0, 5, ADD_UNLESS_FIRST, alive != 3, STORE(1 << 4));
            if (store_mask) embed_backward_case(alive, widths[i], 5, 0, 5, ADD_UNLESS_FIRST, alive != 3, 1 << 4 | 1 << 5);
            gather_case(5, alive, widths[i]);
            scatter_case(5, alive, widths[i]);
            dropout_case(5, alive, 0, widths[i], 0.25f, alive == 3);
        }
    for (int edge = -1; edge <= 1; edge++) {
        uint32_t width = 4 * run_group + (uint32_t)edge;
        embed_case(9, 9, width, 2, 3);
        embed_backward_case(33, width, 3, 1, 2, ADD_ALWAYS, 1, STORE(1 << 4));
        embed_backward_case(33, width, 3, 1, 2, ADD_ALWAYS, 1, STORE(1 << 4) | 1 << 5);
        gather_case(1, 1, width);
        scatter_case(33, 33, width);
        dropout_case(33, 33, 2, width, 1e-5f, true);
        dropout_case(4, 4, 2, width, edge ? 0.9f : 0, false);
    }
    rope_case(1, 1, 0, 1, 8, 1);
    rope_case(5, 0, 0, 1, 8, 1);
    rope_case(6, 6, 0, 9, 64, 1);
    rope_case(6, 3, 2, 5, 24, -1);
    rope_case(33, 33, 0, 3, 80, 1);
    cache_append_case(1, 1, 1, 8, false);
    cache_append_case(5, 0, 1, 8, true);
    cache_append_case(5, 5, 3, 64, true);
    for (uint32_t count = 0; count < 9; count++) fill_case(count, 0, 0, 1);
    for (uint32_t groups = 1; groups < 40; groups += 12) {
        fill_case(1001, 0, 0, groups);
        for (int kind = 0; kind < 4; kind++) convert_case(1000, kind & 1, kind & 2, groups);
    }
    for (int kind = 0; kind < 4; kind++) convert_case(8, kind & 1, kind & 2, 1);
    embed_typical();
    embed_backward_typical();
    embed_backward_first();
    gather_typical();
    scatter_typical();
    rope_typical();
    cache_append_typical();
    cache_append_forks();
    fill_typical();
    fill_not_first();
    dropout_typical();
}

int main(int argc, char **argv)
{
    if (!run_open()) return 77;
    int count;
    const uint32_t *groups = run_group_sizes(&count, argc, argv);
    for (int i = 0; i < count; i++) {
        run_group = groups[i];
        for (store_mask = 0;; store_mask = ~0u) {
            test_shapes();
            if (store_mask) break;
        }
    }
    store_mask = 0;
    run_group = groups[0];
    run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
