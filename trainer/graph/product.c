// SPDX-License-Identifier: MIT
//
// product.c: how a matrix product becomes kernel calls.
#include "choices.h"
#include "cost.h"
#include "ops_parts.h"
#include "variants.h"

#include <assert.h>
#include <string.h>

static bool is_bf16(const struct program *p, const struct operand *x)
{
    return tensor_storage(p->graph, x->tensor, x->part) == STORAGE_BF16;
}

// Rows r0 .. r0 + rows - 1 and columns c0 .. c0 + columns - 1 of o in f32, in the order in which a CPU's tiles read
// them, made now (args.h: strips): in strips of `width`, or, width 0, as rows, TURNED those of the transpose.
static tensor_id strips_call(struct program *p, const struct operand *o, uint64_t r0, uint64_t rows, uint64_t c0,
    uint64_t columns, uint32_t order, uint64_t width, bool pairs, uint32_t live, uint64_t first_row)
{
    uint64_t across = order == TURNED_ORDER ? rows : columns, along = order == TURNED_ORDER ? columns : rows;
    tensor_id y = width ? program_scratch(p, STORAGE_F32, (across + width - 1) / width * along, width, "strips")
                        : program_scratch(p, STORAGE_F32, along, (across + 15) / 16 * 16, "rows in f32");
    assert(!width || ld(p, y) == width);
    uint32_t group = p->limits.info->subgroup_size, at_once = is_bf16(p, o) ? 2 * group : group;
    struct call *c = call_begin(p, "strips");
    c->constants[0] = group;
    call_use(c, o->tensor, o->part, o->first_row + r0, rows, true, false);
    call_write(c, y);
    struct strips_args args = {.rows = (uint32_t)rows, .columns = (uint32_t)columns, .ldx = ld(p, o->tensor),
        .width = ld(p, y), .offset = (uint32_t)c0, .first_row = (uint32_t)(first_row + r0)};
    call_args(c, &args, sizeof args);
    call_constant(c, live);
    call_constant(c, order);
    call_constant(c, pairs);
    uint64_t piece = order == ROWS_ORDER ? ROWS_VECTORS * at_once : at_once;
    call_groups(p, c, (order == ROWS_ORDER ? rows : (rows + 15) / 16) * ((columns + piece - 1) / piece));
    c->bytes = (double)(rows * columns) * (4.0 + (double)element_bytes(p, o->tensor));
    return y;
}

tensor_id wide_copy(struct program *p, tensor_id x)
{
    struct operand whole = {x, PART_VALUE, 0};
    return strips_call(p, &whole, 0, at(p, x)->rows, 0, ld(p, x), ROWS_ORDER, 0, false, LIVE_TOKENS, 0);
}

tensor_id wide_strips(struct program *p, tensor_id x, uint64_t c0, uint64_t columns, uint64_t width, bool pairs)
{
    struct operand o = {x, PART_VALUE, 0};
    return strips_call(p, &o, 0, at(p, x)->rows, c0, columns, STRIPS_ORDER, width, pairs, LIVE_TOKENS, 0);
}

// Makes what matmul_wide reads of A and B: of V strips, but for those that the piece before had, too; U's rows, along k
// and in f32, where the operand has not just that.
static void pack_calls(struct program *p, struct product *x, uint64_t width, uint64_t m0, uint64_t m, uint64_t n0,
    uint64_t n, uint64_t k0, uint64_t k)
{
    bool nt = x->layout == LAYOUT_NT;
    uint64_t across = nt ? m0 : n0;
    if (x->strips < 0 || across != x->strips_across || k0 != x->strips_k) {
        if (nt) x->strips = strips_call(p, &x->a, m0, m, k0, k, TURNED_ORDER, width, false, x->live_m, x->first_row);
        else x->strips = strips_call(p, &x->b, k0, k, n0, n, STRIPS_ORDER, width, is_bf16(p, &x->c), x->live_k, x->first_row);
        x->strips_across = across;
        x->strips_k = k0;
    }
    x->rows = NO_TENSOR;
    if (x->layout == LAYOUT_TN)
        x->rows = strips_call(p, &x->a, k0, k, m0, m, TURNED_ORDER, 0, false, x->live_k, x->first_row);
    else if (nt && is_bf16(p, &x->b))
        x->rows = strips_call(p, &x->b, n0, n, k0, k, ROWS_ORDER, 0, false, LIVE_NONE, 0);
    else if (!nt && is_bf16(p, &x->a))
        x->rows = strips_call(p, &x->a, m0, m, k0, k, ROWS_ORDER, 0, false, x->live_m, x->first_row);
}

// Binds what a product's sums end in, C and what is added to them (else `unused` once more), rows m0 .. m0 + m - 1 from
// column n0 on, and says so to the kernel.
static void result_uses(struct program *p, struct call *c, struct matmul_args *args, const struct product *x, uint64_t m0,
    uint64_t m, uint64_t n0, uint32_t add, struct use unused)
{
    bool residual = x->epilogue == EPILOGUE_RESIDUAL, bias = x->epilogue == EPILOGUE_BIAS;
    call_use(c, x->c.tensor, x->c.part, x->c.first_row + m0, m, add != ADD_NONE, true);
    if (residual) call_use(c, x->e.tensor, x->e.part, x->e.first_row + m0, m, true, false);
    else if (bias) call_use(c, x->e.tensor, x->e.part, 0, 1, true, false);
    else c->uses[c->use_count++] = unused;
    args->ldc = ld(p, x->c.tensor);
    args->offset_c = (uint32_t)n0;
    if (!residual && !bias) return;
    args->lde = ld(p, x->e.tensor);
    args->offset_e = (uint32_t)n0;
}

static void product_constants(struct call *c, const struct product *x, uint32_t add, uint32_t epilogue)
{
    call_constant(c, x->layout);
    call_constant(c, x->live_m);
    call_constant(c, x->live_k);
    call_constant(c, add);
    call_constant(c, epilogue);
}

static void cost_when_full(const struct program *p, struct call *c)
{
    struct cost full = call_cost(p, c, &(struct live_counts){.tokens = UINT64_MAX, .targets = UINT64_MAX});
    c->flop = full.flop;
    c->bytes = full.bytes;
}

// Adds up the parts of a split product, `sums`, into C; args are the product's.
static void reduce_call(struct program *p, const struct product *x, const struct matmul_variant *v, tensor_id sums,
    struct matmul_args args, uint64_t m0, uint64_t n0, uint32_t add)
{
    struct call *c = call_begin(p, "matmul_reduce");
    call_read(c, sums);
    call_read(c, sums);
    result_uses(p, c, &args, x, m0, args.m, n0, add, c->uses[0]);
    args.lda = args.ldb = ld(p, sums);
    args.offset_a = args.offset_b = 0;
    call_args(c, &args, sizeof args);
    product_constants(c, x, add, x->epilogue);
    call_constant(c, v->split);
    call_constant(c, v->step);
    call_groups(p, c, ((uint64_t)args.m * ((args.n + 3) / 4) + p->limits.group - 1) / p->limits.group);
    cost_when_full(p, c);
}

static void product_call(struct program *p, struct product *x, uint64_t m0, uint64_t m, uint64_t n0, uint64_t n,
    uint64_t k0, uint64_t k, uint32_t add)
{
    bool a_by_k = x->layout == LAYOUT_TN, b_by_n = x->layout == LAYOUT_NT; // which index walks the operand's rows
    struct matmul_shape shape = {.layout = x->layout, .m = m, .n = n, .k = k, .a_bf16 = is_bf16(p, &x->a),
        .b_bf16 = is_bf16(p, &x->b), .c_bf16 = is_bf16(p, &x->c), .live_m = x->live_m, .live_k = x->live_k, .add = add,
        .epilogue = x->epilogue, .products = p->limits.products};
    struct matmul_variant v = matmul_choose(&p->limits, &shape);
    if (p->limits.met) choices_meet(p->limits.met, &shape, &v);
    if (v.strips) pack_calls(p, x, v.strips, m0, m, n0, n, k0, k);
    tensor_id sums = v.split > 1 ? program_scratch(p, STORAGE_F32, v.split * m, n, "sums of parts") : NO_TENSOR;
    struct call *c = call_begin(p, v.kernel);
    c->constants[0] = v.group;
    c->subgroup = v.subgroup;
    c->why = v.why;
    uint64_t a_row = a_by_k ? k0 : m0, a_rows = a_by_k ? k : m, b_row = b_by_n ? n0 : k0, b_rows = b_by_n ? n : k;
    tensor_id a_packed = !v.strips ? NO_TENSOR : b_by_n ? x->strips : x->rows;
    tensor_id b_packed = !v.strips ? NO_TENSOR : b_by_n ? x->rows : x->strips;
    if (a_packed >= 0) call_read(c, a_packed);
    else call_use(c, x->a.tensor, x->a.part, x->a.first_row + a_row, a_rows, true, false);
    if (b_packed >= 0) call_read(c, b_packed);
    else call_use(c, x->b.tensor, x->b.part, x->b.first_row + b_row, b_rows, true, false);
    struct matmul_args args = {.m = (uint32_t)m, .n = (uint32_t)n, .k = (uint32_t)k,
        .lda = ld(p, a_packed >= 0 ? a_packed : x->a.tensor), .ldb = ld(p, b_packed >= 0 ? b_packed : x->b.tensor), .lde = 8,
        .offset_a = a_packed >= 0 ? 0 : (uint32_t)(a_by_k ? m0 : k0), .offset_b = b_packed >= 0 ? 0 : (uint32_t)(b_by_n ? k0 : n0),
        .first_row = (uint32_t)(x->first_row + (x->live_m ? m0 : k0)), .scale = 1};
    if (sums >= 0) {
        call_write(c, sums);
        c->uses[c->use_count++] = c->uses[1];
        args.ldc = ld(p, sums);
    } else {
        result_uses(p, c, &args, x, m0, m, n0, add, c->uses[1]);
    }
    call_args(c, &args, sizeof args);
    product_constants(c, x, sums >= 0 ? ADD_NONE : add, sums >= 0 ? EPILOGUE_NONE : x->epilogue);
    for (uint32_t i = 0; i < v.constant_count; i++) call_constant(c, v.constants[i]);
    c->groups_x = v.groups_x;
    c->groups_y = v.groups_y;
    cost_when_full(p, c);
    const struct choice *chosen = choices_find(p->limits.choices, &shape);
    if (chosen) c->seconds = chosen->seconds;
    if (sums >= 0) reduce_call(p, x, &v, sums, args, m0, n0, add);
}

// A step that fits, in whole groups of rows as ranges ask for. Where not even one fits the step stays: matmul_wide is
// then no candidate (variants.c).
static uint64_t fitting(uint64_t step, uint64_t fits)
{
    fits = fits / RANGE_ROWS * RANGE_ROWS;
    return fits ? least(step, fits) : step;
}

void product_calls(struct program *p, const struct product *x)
{
    uint64_t a_rows = program_range_rows(p, x->a.tensor, x->a.part), b_rows = program_range_rows(p, x->b.tensor, x->b.part);
    uint64_t c_rows = program_range_rows(p, x->c.tensor, x->c.part);
    uint64_t m_step = c_rows, n_step = x->n, k_step = x->k;
    if (x->layout == LAYOUT_TN) {
        k_step = least(k_step, least(a_rows, b_rows));
    } else {
        m_step = least(m_step, a_rows);
        if (x->layout == LAYOUT_NT) n_step = least(n_step, b_rows);
        else k_step = least(k_step, b_rows);
    }
    if (x->epilogue == EPILOGUE_RESIDUAL) m_step = least(m_step, program_range_rows(p, x->e.tensor, x->e.part));
    // Of a piece that is never too large for its kernel: matmul_wide?
    struct matmul_shape piece = {.layout = x->layout, .m = least(m_step, 1024), .n = least(n_step, 1024),
        .k = least(k_step, 1024), .a_bf16 = is_bf16(p, &x->a), .b_bf16 = is_bf16(p, &x->b), .c_bf16 = is_bf16(p, &x->c),
        .products = p->limits.products};
    bool gradient = x->c.part == PART_GRADIENT;
    uint64_t width = matmul_choose(&p->limits, &piece).strips;
    if (width) {
        // A CPU's cache holds so many rows of B's strips; and what is made of A and B, in f32, must fit in a range, too.
        uint64_t most = p->limits.max_range / 4, across = (x->n + width - 1) / width * width;
        bool sums_in_c = !piece.c_bf16 || gradient || (x->add == ADD_NONE && x->epilogue == EPILOGUE_NONE);
        if (x->layout == LAYOUT_NT) m_step = fitting(m_step, most / x->k / width * width);
        else if (sums_in_c) k_step = fitting(least(k_step, x->layout == LAYOUT_NN ? 1536 : k_step), most / across);
        if (x->layout != LAYOUT_NT) m_step = fitting(m_step, most / (k_step + 32));
        else n_step = fitting(n_step, most / (k_step + 32));
    }
    // No dispatch longer than a watchdog likes: fewer rows of C at a time, never a shorter sum.
    double most = DISPATCH_SECONDS * p->limits.flop_per_second / (2.0 * (double)k_step);
    while ((double)m_step * (double)n_step > most && m_step > 256) m_step = (m_step / 2 + 255) / 256 * 256;
    while (x->layout == LAYOUT_NT && (double)m_step * (double)n_step > most && n_step > 256)
        n_step = (n_step / 2 + 255) / 256 * 256;
    struct product y = *x;
    y.strips = y.rows = NO_TENSOR;
    tensor_id sum = NO_TENSOR;
    if (k_step < x->k && piece.c_bf16 && !gradient) {
        assert(x->add == ADD_NONE && x->epilogue == EPILOGUE_NONE);
        sum = program_scratch(p, STORAGE_F32, x->m, x->n, "sum of ranges");
        y.c = (struct operand){sum, PART_VALUE, 0};
        m_step = least(m_step, program_range_rows(p, sum, PART_VALUE));
    }
    for (uint64_t k = 0; k < x->k; k += k_step) // outermost, so that strips serve all pieces that they can
        for (uint64_t m = 0; m < x->m; m += m_step)
            for (uint64_t n = 0; n < x->n; n += n_step)
                product_call(p, &y, m, least(m_step, x->m - m), n, least(n_step, x->n - n), k, least(k_step, x->k - k),
                    k == 0 ? x->add : ADD_ALWAYS);
    if (sum < 0) return;
    uint64_t step = common_rows(p, x->m, (tensor_id[]){sum, x->c.tensor}, 2);
    for (uint64_t m = 0; m < x->m; m += step) {
        uint64_t rows = least(step, x->m - m);
        struct call *c = call_begin(p, "convert");
        call_use(c, sum, PART_VALUE, m, rows, true, false);
        call_use(c, x->c.tensor, x->c.part, x->c.first_row + m, rows, false, true);
        struct convert_args args = {.count = (uint32_t)(rows * at(p, sum)->ld)};
        assert(at(p, sum)->ld == at(p, x->c.tensor)->ld);
        call_args(c, &args, sizeof args);
        call_groups(p, c, stream_groups(p, args.count));
    }
}
