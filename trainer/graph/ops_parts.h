// SPDX-License-Identifier: MIT
//
// ops_parts.h: what the files of the operator table share: a tensor's sizes, matrix products, attention.
#ifndef PUMICE_OPS_PARTS_H
#define PUMICE_OPS_PARTS_H

#include "program.h"

#include "args.h"

static inline const struct tensor *at(const struct program *p, tensor_id t)
{
    return graph_at(p->graph, t);
}

static inline uint32_t ld(const struct program *p, tensor_id t)
{
    return (uint32_t)at(p, t)->ld;
}

static inline uint32_t columns(const struct program *p, tensor_id t)
{
    return (uint32_t)at(p, t)->columns;
}

static inline uint32_t element_bytes(const struct program *p, tensor_id t)
{
    return storage_bytes(at(p, t)->storage);
}

static inline tensor_id input(const struct program *p, enum input i)
{
    return p->graph->input[i];
}

static inline uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Groups of an element-wise kernel: enough work for each lane.
static inline uint64_t stream_groups(const struct program *p, uint64_t elements)
{
    uint64_t each = (uint64_t)p->limits.group * ELEMENTS_A_LANE;
    return (elements + each - 1) / each;
}

// Rows that one range shows of every tensor in the list (NO_TENSOR: none).
static inline uint64_t common_rows(const struct program *p, uint64_t rows, const tensor_id *tensors, int count)
{
    uint64_t step = rows;
    for (int i = 0; i < count; i++)
        if (tensors[i] >= 0) step = least(step, program_range_rows(p, tensors[i], PART_VALUE));
    return step;
}

// ops.c: the gradient of an activation: an existing one is added to.
tensor_id operator_gradient(struct program *p, tensor_id x, enum storage storage, bool *exists);

// ---- product.c: matrix products ------------------------------------------------------------------------------------

struct operand {
    tensor_id tensor; // NO_TENSOR: none
    enum part part;
    uint64_t first_row; // where the operand begins in the tensor
};

struct product {
    uint32_t layout;
    struct operand a, b, c, e;
    uint64_t m, n, k;
    uint32_t live_m, live_k, add, epilogue;
    uint64_t first_row; // live rows are counted from here
    // What matmul_wide reads of the piece at hand (product.c): V's strips, from which row of C (NT) or column and term on, and
    // U's rows (NO_TENSOR: the operand has them).
    tensor_id strips, rows;
    uint64_t strips_across, strips_k;
};

// The calls of a product: the variant that suits it, in as many pieces as ranges of its operands ask for. A reduction in
// ranges adds up in C: in f32 where C is f32, or set with nothing else added; a gradient in bf16 is rounded after each range.
void product_calls(struct program *p, const struct product *x);

// A copy in f32 of a matrix with a row for each token, made now, for kernels of software drivers, which would else widen each
// number once for every row that it meets. Its leading dimension is x's, rounded up to a multiple of 16. Rows beyond the live ones
// are not written.
tensor_id wide_copy(struct program *p, tensor_id x);

// Columns c0 .. c0 + columns - 1 of such a matrix in strips of `width` (args.h: strips), made now.
tensor_id wide_strips(struct program *p, tensor_id x, uint64_t c0, uint64_t columns, uint64_t width, bool pairs);

// ---- attention.c ---------------------------------------------------------------------------------------------------

void attention_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out);
void attention_backward(struct program *p, const struct node *n);
void attention_cached(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out);

#endif
