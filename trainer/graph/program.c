// SPDX-License-Identifier: MIT
#include "coopmat.h"
#include "cost.h"

#include "args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct limits limits_of(const struct gpu_info *info)
{
    if (!info)
        return (struct limits){.max_range = (UINT64_C(1) << 32) - 4, .max_allocation = UINT64_C(4) << 30,
            .heap = UINT64_C(1) << 62, .max_groups = 65535, .group = 128, .flop_per_second = 1e12, .bytes_per_second = 1e11,
            .cut_seconds = CUT_SECONDS, .dispatch_seconds = DISPATCH_SECONDS};
    bool software = info->type == GPU_SOFTWARE;
    uint32_t group = software ? info->subgroup_size : 128;
    while (group > info->max_invocations || group > info->max_group_size) group /= 2;
    return (struct limits){.max_range = info->max_range, .max_allocation = info->max_allocation, .heap = info->heap_bytes,
        .max_groups = info->max_groups < 65535 ? info->max_groups : 65535, .group = group < 4 ? 4 : group,
        .software = software, .flop_per_second = software ? 4e10 : info->type == GPU_DISCRETE ? 2e12 : 3e11,
        .bytes_per_second = software ? 5e9 : info->type == GPU_DISCRETE ? 1e11 : 2e10,
        .cut_seconds = software                                            ? CUT_SECONDS_SOFTWARE
                       : info->type == GPU_INTEGRATED && !info->full_speed ? CUT_SECONDS_INTEGRATED
                                                                           : CUT_SECONDS,
        .dispatch_seconds = software ? 0 : DISPATCH_SECONDS, .info = info};
}

void fold_groups(const struct limits *limits, uint64_t groups, uint32_t *x, uint32_t *y)
{
    if (groups == 0) groups = 1;
    uint64_t rows = divide_up(groups, limits->max_groups);
    assert(rows <= limits->max_groups);
    *x = (uint32_t)divide_up(groups, rows);
    *y = (uint32_t)rows;
}

double call_seconds(const struct limits *limits, const struct call *c)
{
    if (c->seconds > 0) return c->seconds;
    double a = c->flop / limits->flop_per_second, b = c->bytes / limits->bytes_per_second;
    return a > b ? a : b;
}

// ---- calls -----------------------------------------------------------------------------------------------------

struct call *call_begin(struct program *p, const char *kernel)
{
    GROW(p->calls, p->call_count, p->call_capacity);
    struct call *c = &p->calls[p->call_count++];
    *c = (struct call){.kernel = kernel, .constants = {p->limits.group}, .constant_count = 2, .groups_x = 1, .groups_y = 1,
        .layer = p->layer, .backward = p->backward};
    return c;
}

void call_constant(struct call *c, uint32_t value)
{
    assert(c->constant_count < CALL_CONSTANTS);
    c->constants[c->constant_count++] = value;
}

void call_use(struct call *c, tensor_id t, enum part part, uint64_t first_row, uint64_t rows, bool reads, bool writes)
{
    assert(c->use_count < CALL_USES && t >= 0);
    c->uses[c->use_count++] = (struct use){t, part, first_row, rows, reads, writes};
}

void call_read(struct call *c, tensor_id t)
{
    call_use(c, t, PART_VALUE, 0, 0, true, false);
}

void call_write(struct call *c, tensor_id t)
{
    call_use(c, t, PART_VALUE, 0, 0, false, true);
}

void call_update(struct call *c, tensor_id t)
{
    call_use(c, t, PART_VALUE, 0, 0, true, true);
}

void call_args(struct call *c, const void *args, size_t bytes)
{
    assert(bytes <= sizeof c->args);
    memcpy(c->args, args, bytes);
    c->args_bytes = (uint32_t)bytes;
}

void call_groups(const struct program *p, struct call *c, uint64_t groups)
{
    fold_groups(&p->limits, groups, &c->groups_x, &c->groups_y);
}

void call_shape(char *text, size_t bytes, const struct call *c)
{
    if (strncmp(c->kernel, "matmul_", 7) == 0 && c->args_bytes == sizeof(struct matmul_args)) {
        struct matmul_args a;
        memcpy(&a, c->args, sizeof a);
        snprintf(text, bytes, "%s %u x %u x %u", layout_name(c->constants[2]), a.m, a.n, a.k);
    } else if (strncmp(c->kernel, "attention_", 10) == 0 && c->args_bytes == sizeof(struct attention_args)) {
        struct attention_args a;
        memcpy(&a, c->args, sizeof a);
        snprintf(text, bytes, "%u rows, %u heads of %u", a.own_rows, a.heads, c->constants[2]);
    } else {
        snprintf(text, bytes, "%llu groups", (unsigned long long)c->groups_x * c->groups_y);
    }
}

// ---- tensors ---------------------------------------------------------------------------------------------------

tensor_id tensor_root(const struct graph *g, tensor_id t)
{
    while (graph_at(g, t)->alias >= 0) t = graph_at(g, t)->alias;
    return t;
}

enum storage tensor_storage(const struct graph *g, tensor_id t, enum part part)
{
    const struct tensor *x = graph_at(g, t);
    return part == PART_GRADIENT ? x->gradient : x->storage;
}

uint64_t tensor_row_bytes(const struct graph *g, tensor_id t, enum part part)
{
    return graph_at(g, t)->ld * storage_bytes(tensor_storage(g, t, part));
}

uint64_t program_range_rows(const struct program *p, tensor_id t, enum part part)
{
    uint64_t bytes = tensor_row_bytes(p->graph, t, part), rows = graph_at(p->graph, t)->rows;
    if (rows * bytes <= p->limits.max_range) return rows;
    uint64_t most = p->limits.max_range / bytes / RANGE_ROWS * RANGE_ROWS;
    assert(most > 0);
    return most;
}

static void grow_maps(struct program *p)
{
    int need = p->graph->tensor_count;
    if (need <= p->map_capacity) return;
    int capacity = 2 * need;
    p->gradient = mem_resize(p->gradient, (size_t)capacity * sizeof *p->gradient);
    p->remade = mem_resize(p->remade, (size_t)capacity * sizeof *p->remade);
    for (int i = p->map_capacity; i < capacity; i++) p->gradient[i] = p->remade[i] = NO_TENSOR;
    p->map_capacity = capacity;
}

tensor_id program_scratch(struct program *p, enum storage storage, uint64_t rows, uint64_t columns, const char *name)
{
    int layer = p->graph->layer;
    p->graph->layer = p->layer;
    tensor_id t = graph_tensor(p->graph, TENSOR_ACTIVATION, storage, rows, columns, "%s", name);
    p->graph->layer = layer;
    grow_maps(p);
    return t;
}

tensor_id program_gradient(const struct program *p, tensor_id t)
{
    return p->gradient[t];
}

void program_set_gradient(struct program *p, tensor_id t, tensor_id gradient)
{
    p->gradient[t] = gradient;
}

// ---- keeping and making again ------------------------------------------------------------------------------------

static bool crosses_layers(const struct graph *g, tensor_id t)
{
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < NODE_INPUTS; k++)
            if (g->nodes[i].in[k] == t && g->nodes[i].layer != graph_at(g, t)->layer) return true;
    return false;
}

static bool is_kept(const struct program *p, tensor_id t)
{
    const struct tensor *x = graph_at(p->graph, t);
    if (x->kind != TENSOR_ACTIVATION || x->producer < 0) return true;
    if (!p->checkpoint || x->layer < 0) return x->keep;
    return x->keep && crosses_layers(p->graph, t);
}

tensor_id program_need(struct program *p, tensor_id t)
{
    if (t < 0 || is_kept(p, t)) return t;
    if (p->remade[t] >= 0) return p->remade[t];
    struct graph *g = p->graph;
    const struct node n = g->nodes[graph_at(g, t)->producer]; // a copy: the arrays may move below
    tensor_id in[NODE_INPUTS], out[NODE_OUTPUTS];
    for (int i = 0; i < NODE_INPUTS; i++) in[i] = program_need(p, n.in[i]);
    for (int i = 0; i < NODE_OUTPUTS; i++) {
        out[i] = NO_TENSOR;
        if (n.out[i] < 0) continue;
        struct tensor old = *graph_at(g, n.out[i]);
        tensor_id fresh = program_scratch(p, old.storage, old.rows, old.columns, old.name);
        // An in-place operator works on the copy of its input that was made again just now, never on a kept one.
        if (old.alias >= 0) {
            assert(in[0] != n.in[0]);
            graph_at(g, fresh)->alias = in[0];
        }
        out[i] = p->remade[n.out[i]] = fresh;
    }
    operators[n.op].forward(p, &n, in, out);
    return p->remade[t];
}

void program_begin(struct program *p, struct graph *g, const struct limits *limits)
{
    *p = (struct program){.graph = g, .limits = *limits, .layer = -1};
    grow_maps(p);
}

void program_make(struct program *p, struct graph *g, const struct limits *limits, bool training, bool checkpoint)
{
    program_begin(p, g, limits);
    p->training = training;
    p->checkpoint = checkpoint;
    int count = g->node_count;
    for (int i = 0; i < count; i++) {
        struct node n = g->nodes[i];
        p->layer = n.layer;
        operators[n.op].forward(p, &n, n.in, n.out);
    }
    p->backward = true;
    for (int i = count - 1; training && i >= 0; i--) {
        struct node n = g->nodes[i];
        if (n.layer != p->layer) // copies made again serve one layer; the next one must not hold their memory
            for (int t = 0; t < p->map_capacity; t++) p->remade[t] = NO_TENSOR;
        p->layer = n.layer;
        assert(operators[n.op].backward);
        operators[n.op].backward(p, &n);
    }
    if (p->limits.met) attention_meet(p);
}

void program_free(struct program *p)
{
    free(p->calls);
    free(p->gradient);
    free(p->remade);
    *p = (struct program){0};
}

static bool call_equal(const struct call *a, const struct call *b)
{
    bool equal = strcmp(a->kernel, b->kernel) == 0 && a->constant_count == b->constant_count && a->subgroup == b->subgroup &&
                 a->use_count == b->use_count && a->args_bytes == b->args_bytes && a->groups_x == b->groups_x &&
                 a->groups_y == b->groups_y && memcmp(a->args, b->args, a->args_bytes) == 0 &&
                 memcmp(a->constants, b->constants, a->constant_count * sizeof *a->constants) == 0;
    for (int i = 0; equal && i < a->use_count; i++) {
        const struct use *u = &a->uses[i], *v = &b->uses[i];
        equal = u->tensor == v->tensor && u->part == v->part && u->first_row == v->first_row && u->rows == v->rows &&
                u->reads == v->reads && u->writes == v->writes;
    }
    return equal;
}

bool program_equal(const struct program *a, const struct program *b)
{
    bool equal = a->call_count == b->call_count;
    for (int i = 0; equal && i < a->call_count; i++) equal = call_equal(&a->calls[i], &b->calls[i]);
    return equal;
}

double program_flop(const struct program *p)
{
    double flop = 0;
    for (int i = 0; i < p->call_count; i++) flop += p->calls[i].flop;
    return flop;
}
