// SPDX-License-Identifier: MIT
//
// ops.c: the operator table: how each operator's forward and backward become kernel calls. Formulas stand with the
// kernels' arguments in shaders/args.h.
#include "cost.h"
#include "ops_parts.h"
#include "variants.h"

#include <assert.h>
#include <string.h>

// ---- matrix products ---------------------------------------------------------------------------------------------

static struct operand value(tensor_id t)
{
    return (struct operand){t, PART_VALUE, 0};
}

tensor_id operator_gradient(struct program *p, tensor_id x, enum storage storage, bool *exists)
{
    tensor_id dx = program_gradient(p, x);
    *exists = dx >= 0;
    if (dx < 0) {
        dx = program_scratch(p, storage, at(p, x)->rows, at(p, x)->columns, "gradient");
        program_set_gradient(p, x, dx);
    }
    return dx;
}

// out[c] (+)= the sum of the rows of x, into the gradient of the vector w.
static void add_columns(struct program *p, tensor_id x, uint64_t rows, uint32_t live, tensor_id w)
{
    struct call *c = call_begin(p, "column_sum");
    call_read(c, x);
    call_use(c, w, PART_GRADIENT, 0, 1, true, true);
    struct column_sum_args args = {.rows = (uint32_t)rows, .columns = columns(p, w), .ld = ld(p, x)};
    call_args(c, &args, sizeof args);
    call_constant(c, live);
    call_constant(c, ADD_UNLESS_FIRST);
    call_groups(p, c, (args.columns + COLUMN_SUM_WIDTH(p->limits.group) - 1) / COLUMN_SUM_WIDTH(p->limits.group));
    c->bytes = (double)rows * args.columns * element_bytes(p, x);
}

// ---- embedding ---------------------------------------------------------------------------------------------------

static void embed_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    tensor_id table = in[1];
    uint64_t step = program_range_rows(p, table, PART_VALUE), V = at(p, table)->rows;
    for (uint64_t first = 0; first < V; first += step) {
        uint64_t rows = least(step, V - first);
        struct call *c = call_begin(p, "embed");
        call_read(c, in[0]);
        call_use(c, table, PART_VALUE, first, rows, true, false);
        call_use(c, out[0], PART_VALUE, 0, 0, first > 0, true);
        struct embed_args args = {.columns = columns(p, table), .ld_table = ld(p, table), .ld_out = ld(p, out[0]),
            .first = (uint32_t)first, .rows = (uint32_t)rows, .scale = n->scale};
        call_args(c, &args, sizeof args);
        call_groups(p, c, p->graph->tokens);
        c->bytes = 2.0 * (double)p->graph->tokens * args.columns * element_bytes(p, out[0]);
    }
}

// Whether the table is also the head, whose dW then sets or adds to the whole gradient before this node's backward runs.
static bool is_tied(const struct program *p, tensor_id table)
{
    for (int i = 0; i < p->graph->node_count; i++)
        if (p->graph->nodes[i].op == OP_LOSS && p->graph->nodes[i].in[1] == table) return true;
    return false;
}

static void embed_backward(struct program *p, const struct node *n)
{
    tensor_id table = n->in[1], dout = program_gradient(p, n->out[0]);
    bool tied = is_tied(p, table);
    uint64_t step = program_range_rows(p, table, PART_GRADIENT), V = at(p, table)->rows;
    uint64_t row = tensor_row_bytes(p->graph, table, PART_GRADIENT);
    for (uint64_t first = 0; first < V; first += step) {
        uint64_t rows = least(step, V - first);
        if (!tied) { // rows of ids that do not occur
            struct call *c = call_begin(p, "fill");
            call_use(c, table, PART_GRADIENT, first, rows, false, true);
            struct fill_args args = {.count = (uint32_t)(rows * row / 4)};
            call_args(c, &args, sizeof args);
            call_constant(c, 1);
            call_groups(p, c, stream_groups(p, args.count));
            c->bytes = 4.0 * args.count;
        }
        struct call *c = call_begin(p, "embed_backward");
        call_read(c, input(p, INPUT_SORTED_ROWS));
        call_read(c, input(p, INPUT_GROUP_FIRST));
        call_read(c, input(p, INPUT_GROUP_IDS));
        call_read(c, dout);
        call_use(c, table, PART_GRADIENT, first, rows, true, true);
        struct embed_backward_args args = {.columns = columns(p, table), .ld_dout = ld(p, dout), .ld_table = ld(p, table),
            .first = (uint32_t)first, .rows = (uint32_t)rows, .scale = n->scale};
        call_args(c, &args, sizeof args);
        call_constant(c, tied ? ADD_ALWAYS : ADD_UNLESS_FIRST);
        call_groups(p, c, p->graph->tokens);
        uint32_t added = 2 * storage_bytes(at(p, table)->gradient); // read and written
        c->bytes = (double)p->graph->tokens * args.columns * (element_bytes(p, dout) + added);
    }
}

// ---- RMSNorm -----------------------------------------------------------------------------------------------------

#define NORM_ROWS_PER_BLOCK 64 // depends on nothing that could differ between runs

static void rmsnorm_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    uint64_t T = at(p, in[0])->rows, step = common_rows(p, T, (tensor_id[]){in[0], out[0]}, 2);
    for (uint64_t first = 0; first < T; first += step) {
        uint64_t rows = least(step, T - first);
        struct call *c = call_begin(p, row_variant(&p->limits, "rmsnorm", "rmsnorm_wide", columns(p, in[0])));
        call_use(c, in[0], PART_VALUE, first, rows, true, false);
        call_read(c, in[1]);
        call_use(c, out[0], PART_VALUE, first, rows, false, true);
        call_use(c, out[1], PART_VALUE, 0, 0, first > 0, true);
        struct rmsnorm_args args = {.rows = (uint32_t)rows, .columns = columns(p, in[0]), .ldx = ld(p, in[0]),
            .ldy = ld(p, out[0]), .epsilon = n->epsilon, .shift = n->shift, .first_row = (uint32_t)first};
        call_args(c, &args, sizeof args);
        call_constant(c, LIVE_TOKENS);
        row_rounds(&p->limits, c, args.columns);
        call_groups(p, c, rows);
        c->bytes = 2.0 * (double)rows * args.columns * element_bytes(p, in[0]);
    }
}

static void rmsnorm_backward(struct program *p, const struct node *n)
{
    tensor_id x = program_need(p, n->in[0]), w = n->in[1], rstd = program_need(p, n->out[1]);
    tensor_id dy = program_gradient(p, n->out[0]);
    uint64_t T = at(p, x)->rows, blocks = (T + NORM_ROWS_PER_BLOCK - 1) / NORM_ROWS_PER_BLOCK;
    tensor_id partial = graph_at(p->graph, w)->trainable
        ? program_scratch(p, STORAGE_F32, blocks, columns(p, x), "norm partial") : NO_TENSOR;
    bool exists;
    tensor_id dx = operator_gradient(p, n->in[0], at(p, x)->storage, &exists);
    uint64_t step = common_rows(p, T, (tensor_id[]){x, dy, dx}, 3);
    if (step < T) step = step / NORM_ROWS_PER_BLOCK * NORM_ROWS_PER_BLOCK;
    assert(step > 0);
    for (uint64_t first = 0; first < T; first += step) {
        uint64_t rows = least(step, T - first);
        uint32_t width = columns(p, x);
        struct rmsnorm_backward_args args = {.rows = (uint32_t)rows, .columns = width, .ldx = ld(p, x), .ldy = ld(p, dy),
            .lddx = ld(p, dx), .rows_per_block = NORM_ROWS_PER_BLOCK, .ldp = partial < 0 ? width : ld(p, partial),
            .shift = n->shift, .first_row = (uint32_t)first};
        struct call *c;
        if (partial >= 0) {
            c = call_begin(p, row_variant(&p->limits, "rmsnorm_dw", "rmsnorm_dw_wide", width));
            call_use(c, x, PART_VALUE, first, rows, true, false);
            call_read(c, rstd);
            call_use(c, dy, PART_VALUE, first, rows, true, false);
            call_use(c, partial, PART_VALUE, 0, 0, first > 0, true);
            call_args(c, &args, sizeof args);
            call_constant(c, LIVE_TOKENS);
            uint64_t lanes = 4 * (uint64_t)p->limits.group;
            call_groups(p, c, (rows + NORM_ROWS_PER_BLOCK - 1) / NORM_ROWS_PER_BLOCK * ((width + lanes - 1) / lanes));
            c->bytes = 2.0 * (double)rows * width * element_bytes(p, x);
        }
        c = call_begin(p, row_variant(&p->limits, "rmsnorm_backward", "rmsnorm_backward_wide", width));
        call_use(c, x, PART_VALUE, first, rows, true, false);
        call_read(c, w);
        call_read(c, rstd);
        call_use(c, dy, PART_VALUE, first, rows, true, false);
        call_use(c, dx, PART_VALUE, first, rows, true, true);
        call_args(c, &args, sizeof args);
        call_constant(c, LIVE_TOKENS);
        call_constant(c, exists ? ADD_ALWAYS : ADD_NONE);
        row_rounds(&p->limits, c, width);
        call_groups(p, c, rows);
        c->bytes = (exists ? 4.0 : 3.0) * (double)rows * width * element_bytes(p, x);
    }
    if (partial >= 0) add_columns(p, partial, blocks, LIVE_NONE, w);
}

// ---- linear ------------------------------------------------------------------------------------------------------

static void linear_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    (void)n;
    uint32_t epilogue = in[3] >= 0 ? EPILOGUE_RESIDUAL : in[2] >= 0 ? EPILOGUE_BIAS : EPILOGUE_NONE;
    struct product x = {.layout = LAYOUT_NT, .a = value(in[0]), .b = value(in[1]), .c = value(out[0]),
        .e = value(in[3] >= 0 ? in[3] : in[2]), .m = at(p, in[0])->rows, .n = at(p, in[1])->rows, .k = at(p, in[1])->columns,
        .live_m = LIVE_TOKENS, .epilogue = epilogue};
    product_calls(p, &x);
}

static void linear_backward(struct program *p, const struct node *n)
{
    tensor_id w = n->in[1], bias = n->in[2], residual = n->in[3], dy = program_gradient(p, n->out[0]);
    uint64_t T = at(p, dy)->rows, N = at(p, w)->rows, K = at(p, w)->columns;
    if (at(p, w)->trainable) {
        tensor_id x = program_need(p, n->in[0]);
        struct product dw = {.layout = LAYOUT_TN, .a = value(dy), .b = value(x), .c = {w, PART_GRADIENT, 0}, .m = N, .n = K,
            .k = T, .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST};
        product_calls(p, &dw);
    }
    if (bias >= 0 && at(p, bias)->trainable) add_columns(p, dy, T, LIVE_TOKENS, bias);
    bool exists;
    tensor_id dx = operator_gradient(p, n->in[0], p->graph->storage, &exists);
    struct product d = {.layout = LAYOUT_NN, .a = value(dy), .b = value(w), .c = value(dx), .m = T, .n = K, .k = N,
        .live_m = LIVE_TOKENS, .add = exists ? ADD_ALWAYS : ADD_NONE};
    product_calls(p, &d);
    if (residual >= 0) {
        // The residual's gradient is the sum's: from here on the same tensor, added to by what used the residual before.
        assert(program_gradient(p, residual) < 0);
        program_set_gradient(p, residual, dy);
    }
}

// ---- rotary embedding ----------------------------------------------------------------------------------------------

static void rope_call(struct program *p, const struct node *n, tensor_id x, float sign)
{
    uint64_t T = at(p, x)->rows, step = common_rows(p, T, &x, 1);
    for (uint64_t first = 0; first < T; first += step) {
        uint64_t rows = least(step, T - first);
        struct call *c = call_begin(p, row_variant(&p->limits, "rope", "rope_wide", n->head_dim / 2));
        call_read(c, n->in[1]);
        call_read(c, n->in[2]);
        call_use(c, x, PART_VALUE, first, rows, true, true);
        struct rope_args args = {.rows = (uint32_t)rows, .heads = n->heads + n->kv_heads, .head_dim = n->head_dim,
            .ld = ld(p, x), .offset = 0, .sign = sign, .first_row = (uint32_t)first};
        call_args(c, &args, sizeof args);
        call_groups(p, c, rows);
        c->bytes = 2.0 * (double)rows * args.heads * n->head_dim * element_bytes(p, x);
    }
}

static void rope_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    (void)in;
    rope_call(p, n, out[0], 1);
}

static void rope_backward(struct program *p, const struct node *n)
{
    tensor_id d = program_gradient(p, n->out[0]);
    rope_call(p, n, d, -1);
    program_set_gradient(p, n->in[0], d);
}

// ---- gated activation ------------------------------------------------------------------------------------------------

static void glu_call(struct program *p, const struct node *n, tensor_id gu, tensor_id act, tensor_id dgu)
{
    uint64_t T = at(p, gu)->rows, step = common_rows(p, T, (tensor_id[]){gu, act, dgu}, 3);
    for (uint64_t first = 0; first < T; first += step) {
        uint64_t rows = least(step, T - first);
        uint64_t F = columns(p, act);
        struct call *c = call_begin(p, dgu >= 0 ? row_variant(&p->limits, "glu_backward", "glu_backward_wide", F) : row_variant(&p->limits, "glu", "glu_wide", F));
        call_use(c, gu, PART_VALUE, first, rows, true, false);
        call_use(c, act, PART_VALUE, first, rows, dgu >= 0, dgu < 0);
        if (dgu >= 0) call_use(c, dgu, PART_VALUE, first, rows, false, true);
        struct glu_args args = {.rows = (uint32_t)rows, .columns = columns(p, act), .ld_gu = ld(p, gu),
            .ld_out = ld(p, act), .first_row = (uint32_t)first};
        call_args(c, &args, sizeof args);
        call_constant(c, n->activation);
        row_rounds(&p->limits, c, F);
        call_groups(p, c, rows);
        c->bytes = (dgu >= 0 ? 5.0 : 3.0) * (double)rows * args.columns * element_bytes(p, gu);
    }
}

static void glu_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    glu_call(p, n, in[0], out[0], NO_TENSOR);
}

static void glu_backward(struct program *p, const struct node *n)
{
    tensor_id gu = program_need(p, n->in[0]), dact = program_gradient(p, n->out[0]);
    bool exists;
    tensor_id dgu = operator_gradient(p, n->in[0], at(p, gu)->storage, &exists);
    assert(!exists);
    glu_call(p, n, gu, dact, dgu);
}

// ---- dropout ---------------------------------------------------------------------------------------------------------

static void dropout_call(struct program *p, const struct node *n, tensor_id x, tensor_id residual, tensor_id y)
{
    uint64_t T = at(p, x)->rows, step = common_rows(p, T, (tensor_id[]){x, residual, y}, 3);
    for (uint64_t first = 0; first < T; first += step) {
        uint64_t rows = least(step, T - first);
        struct call *c = call_begin(p, "dropout");
        call_read(c, input(p, INPUT_CONVERSATION));
        call_read(c, input(p, INPUT_POSITIONS));
        call_use(c, x, PART_VALUE, first, rows, true, false);
        call_use(c, residual >= 0 ? residual : x, PART_VALUE, first, rows, true, false);
        call_use(c, y, PART_VALUE, first, rows, false, true);
        struct dropout_args args = {.rows = (uint32_t)rows, .columns = columns(p, x), .ldx = ld(p, x), .ldy = ld(p, y),
            .ld_residual = ld(p, residual >= 0 ? residual : x), .layer = (uint32_t)(n->layer < 0 ? 0 : n->layer),
            .site = n->site, .first_row = (uint32_t)first};
        call_args(c, &args, sizeof args);
        call_constant(c, residual >= 0);
        call_groups(p, c, rows);
        c->bytes = (residual >= 0 ? 3.0 : 2.0) * (double)rows * args.columns * element_bytes(p, x);
    }
}

static void dropout_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    dropout_call(p, n, in[0], in[1], out[0]);
}

static void dropout_backward(struct program *p, const struct node *n)
{
    tensor_id dy = program_gradient(p, n->out[0]);
    bool exists;
    tensor_id dx = operator_gradient(p, n->in[0], at(p, dy)->storage, &exists);
    assert(!exists);
    dropout_call(p, n, dy, NO_TENSOR, dx);
    if (n->in[1] >= 0) {
        assert(program_gradient(p, n->in[1]) < 0);
        program_set_gradient(p, n->in[1], dy);
    }
}

// ---- head and loss -----------------------------------------------------------------------------------------------------

static void rows_call(struct program *p, const char *kernel, enum input index, tensor_id x, tensor_id out)
{
    struct call *c = call_begin(p, kernel);
    call_read(c, input(p, index));
    call_read(c, x);
    call_write(c, out);
    uint64_t rows = at(p, out)->rows;
    struct rows_args args = {.rows = (uint32_t)rows, .columns = columns(p, x), .ldx = ld(p, x), .ldo = ld(p, out)};
    call_args(c, &args, sizeof args);
    call_groups(p, c, rows);
    c->bytes = 2.0 * (double)rows * args.columns * element_bytes(p, x);
}

// Target rows a chunk: its logits take at most 64 MiB, and the chunks are about equal.
static uint64_t loss_chunk(const struct program *p, uint64_t vocabulary)
{
    uint64_t T = p->graph->tokens, row = 4 * ((vocabulary + 7) / 8 * 8), most = (UINT64_C(64) << 20) / row;
    if (most < 32) most = 32;
    if (most > p->limits.max_range / row) most = p->limits.max_range / row / 32 * 32;
    assert(most > 0);
    uint64_t chunks = (T + most - 1) / most, rows = (T + chunks - 1) / chunks;
    return least(T, (rows + 31) / 32 * 32);
}

static void loss_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    tensor_id head = in[1];
    uint64_t T = p->graph->tokens, V = at(p, head)->rows, C = at(p, head)->columns, rows = loss_chunk(p, V);
    tensor_id x = program_scratch(p, p->graph->storage, T, C, "target rows");
    tensor_id logits = program_scratch(p, STORAGE_F32, rows, V, "logits");
    tensor_id dx = p->training ? program_scratch(p, p->graph->storage, T, C, "target rows' gradient") : NO_TENSOR;
    rows_call(p, "gather_rows", INPUT_TARGET_ROWS, in[0], x);
    for (uint64_t first = 0; first < T; first += rows) {
        uint64_t m = least(rows, T - first);
        struct product forward = {.layout = LAYOUT_NT, .a = {x, PART_VALUE, first}, .b = value(head), .c = value(logits),
            .m = m, .n = V, .k = C, .live_m = LIVE_TARGETS, .first_row = first};
        product_calls(p, &forward);
        struct call *c = call_begin(p, row_variant(&p->limits, "cross_entropy", "cross_entropy_wide", V));
        call_read(c, input(p, INPUT_TARGET_IDS));
        call_use(c, logits, PART_VALUE, 0, m, true, p->training);
        call_use(c, out[0], PART_VALUE, 0, 0, first > 0, true);
        call_use(c, out[1], PART_VALUE, 0, 0, first > 0, true);
        struct cross_entropy_args args = {.rows = (uint32_t)m, .columns = (uint32_t)V, .ld = ld(p, logits), .first_row = (uint32_t)first};
        call_args(c, &args, sizeof args);
        call_constant(c, p->training);
        row_rounds(&p->limits, c, V);
        call_groups(p, c, m);
        c->bytes = (p->training ? 3.0 : 2.0) * (double)m * (double)V * 4;
        if (!p->training) continue;
        if (at(p, head)->trainable) {
            struct product dw = {.layout = LAYOUT_TN, .a = value(logits), .b = {x, PART_VALUE, first},
                .c = {head, PART_GRADIENT, 0}, .m = V, .n = C, .k = m, .live_k = LIVE_TARGETS,
                .add = first ? ADD_ALWAYS : ADD_UNLESS_FIRST, .first_row = first};
            product_calls(p, &dw);
        }
        struct product back = {.layout = LAYOUT_NN, .a = value(logits), .b = value(head), .c = {dx, PART_VALUE, first},
            .m = m, .n = C, .k = V, .live_m = LIVE_TARGETS, .first_row = first};
        product_calls(p, &back);
    }
    if (p->training) program_set_gradient(p, n->out[0], dx); // picked up by loss_backward
}

static void loss_backward(struct program *p, const struct node *n)
{
    bool exists;
    tensor_id dx = operator_gradient(p, n->in[0], p->graph->storage, &exists);
    assert(!exists);
    rows_call(p, "scatter_rows", INPUT_ROW_TARGET, program_gradient(p, n->out[0]), dx);
}

static void logits_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    (void)n;
    uint64_t rows = at(p, out[0])->rows, C = columns(p, in[1]);
    tensor_id x = program_scratch(p, p->graph->storage, rows, C, "target rows");
    rows_call(p, "gather_rows", INPUT_TARGET_ROWS, in[0], x);
    struct product forward = {.layout = LAYOUT_NT, .a = value(x), .b = value(in[1]), .c = value(out[0]), .m = rows,
        .n = at(p, in[1])->rows, .k = C, .live_m = LIVE_TARGETS};
    product_calls(p, &forward);
    struct call *c = call_begin(p, "sample");
    if (c->constants[0] < 64) c->constants[0] = 64; // long loops: Mesa 22.3 ends them after 65,535 rounds in all
    call_read(c, out[0]);
    call_write(c, out[1]);
    call_read(c, input(p, INPUT_TARGET_ROWS));
    call_read(c, input(p, INPUT_POSITIONS));
    call_read(c, input(p, INPUT_DRAW_FIRST));
    call_read(c, input(p, INPUT_DRAW_KEYS));
    struct sample_args args = {.rows = (uint32_t)rows, .columns = columns(p, out[0]), .ld = ld(p, out[0])};
    call_args(c, &args, sizeof args);
    call_groups(p, c, rows);
}

const struct operator operators[OP_COUNT] = {
    [OP_EMBED] = {"embed", embed_forward, embed_backward},
    [OP_RMSNORM] = {"rmsnorm", rmsnorm_forward, rmsnorm_backward},
    [OP_LINEAR] = {"linear", linear_forward, linear_backward},
    [OP_ROPE] = {"rope", rope_forward, rope_backward},
    [OP_ATTENTION] = {"attention", attention_forward, attention_backward},
    [OP_CACHE] = {"attention with cache", attention_cached, NULL},
    [OP_GLU] = {"glu", glu_forward, glu_backward},
    [OP_DROPOUT] = {"dropout", dropout_forward, dropout_backward},
    [OP_LOSS] = {"loss", loss_forward, loss_backward},
    [OP_LOGITS] = {"logits", logits_forward, NULL},
};
