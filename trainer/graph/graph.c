// SPDX-License-Identifier: MIT
#include "graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const input_names[INPUT_COUNT] = {"ids", "positions", "starts", "ends", "conversation",
    "target_rows", "target_ids", "row_target", "sorted_rows", "group_first", "group_ids", "slots",
    "draw_first", "draw_keys", "forks"};

const char *storage_name(enum storage storage)
{
    return storage == STORAGE_BF16 ? "bf16" : "f32";
}

bool storage_find(enum storage *storage, const char *name)
{
    for (enum storage s = STORAGE_F32; s <= STORAGE_BF16; s++)
        if (strcmp(storage_name(s), name) == 0) return *storage = s, true;
    return false;
}

void graph_init(struct graph *g, uint64_t tokens, enum storage storage)
{
    *g = (struct graph){.tokens = tokens, .storage = storage, .layer = -1};
    for (int i = 0; i < INPUT_COUNT; i++)
        g->input[i] = graph_tensor(g, TENSOR_INPUT, STORAGE_U32, 1, i >= INPUT_DRAW_FIRST ? 1 : tokens + (i == INPUT_GROUP_FIRST),
            "%s", input_names[i]);
    g->rope_table = g->loss = g->hit = g->logits = g->sampled = NO_TENSOR;
}

void graph_free(struct graph *g)
{
    free(g->tensors);
    free(g->nodes);
    *g = (struct graph){0};
}

// Rows that are a multiple of many cache lines apart fall into a few sets of a cache (a GPU's channels alike): the odd
// multiple of 16 elements costs 3 % of memory and is worth 20 % of a CPU's products. Weights' rows stay as they are.
uint64_t graph_ld(enum tensor_kind kind, uint64_t columns)
{
    uint64_t ld = (columns + 7) / 8 * 8;
    if (kind != TENSOR_ACTIVATION || columns < 256) return ld;
    return (columns + 15) / 16 % 2 ? (columns + 15) / 16 * 16 : (columns + 31) / 16 * 16;
}

tensor_id graph_tensor(struct graph *g, enum tensor_kind kind, enum storage storage, uint64_t rows, uint64_t columns,
    const char *format, ...)
{
    GROW(g->tensors, g->tensor_count, g->tensor_capacity);
    struct tensor *t = &g->tensors[g->tensor_count];
    *t = (struct tensor){.kind = kind, .storage = storage, .rows = rows, .columns = columns, .ld = graph_ld(kind, columns),
        .alias = NO_TENSOR, .producer = -1, .layer = g->layer, .index = g->kind_count[kind]++};
    va_list args;
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
    return g->tensor_count++;
}

tensor_id graph_weight(struct graph *g, uint64_t rows, uint64_t columns, bool decay, const char *name)
{
    // Vectors (norm weights, biases) are kept in f32: their bytes do not matter, their precision does.
    enum storage storage = decay ? g->storage : STORAGE_F32;
    tensor_id w = graph_tensor(g, TENSOR_WEIGHT, storage, rows, columns, "%s", name);
    graph_at(g, w)->trainable = true;
    graph_at(g, w)->decay = decay;
    assert(g->gradients == STORAGE_F32 || g->storage == STORAGE_BF16);
    graph_at(g, w)->gradient = decay ? g->gradients : STORAGE_F32;
    return w;
}

static struct node *add_node(struct graph *g, enum op op)
{
    GROW(g->nodes, g->node_count, g->node_capacity);
    struct node *n = &g->nodes[g->node_count++];
    *n = (struct node){.op = op, .layer = g->layer, .scale = 1};
    for (int i = 0; i < NODE_INPUTS; i++) n->in[i] = NO_TENSOR;
    for (int i = 0; i < NODE_OUTPUTS; i++) n->out[i] = NO_TENSOR;
    return n;
}

// An activation [T, columns] made by the last node added.
static tensor_id made(struct graph *g, int output, enum storage storage, uint64_t columns, bool keep, const char *name)
{
    tensor_id t = graph_tensor(g, TENSOR_ACTIVATION, storage, g->tokens, columns, "%s%s%d", name, g->layer < 0 ? "" : ".",
        g->layer < 0 ? 0 : g->layer);
    if (g->layer < 0) snprintf(graph_at(g, t)->name, sizeof graph_at(g, t)->name, "%s", name);
    graph_at(g, t)->producer = g->node_count - 1;
    graph_at(g, t)->keep = keep;
    return g->nodes[g->node_count - 1].out[output] = t;
}

tensor_id graph_embed(struct graph *g, tensor_id table, float scale)
{
    struct node *n = add_node(g, OP_EMBED);
    n->in[0] = g->input[INPUT_IDS];
    n->in[1] = table;
    n->scale = scale;
    return made(g, 0, g->storage, graph_at(g, table)->columns, true, "embedded");
}

tensor_id graph_rmsnorm(struct graph *g, tensor_id x, tensor_id w, float epsilon, float shift)
{
    struct node *n = add_node(g, OP_RMSNORM);
    n->in[0] = x;
    n->in[1] = w;
    n->epsilon = epsilon;
    n->shift = shift;
    tensor_id y = made(g, 0, g->storage, graph_at(g, x)->columns, false, "normed"); // cheap to make again from x
    tensor_id rstd = graph_tensor(g, TENSOR_ACTIVATION, STORAGE_F32, 1, g->tokens, "rstd.%d", g->layer);
    graph_at(g, rstd)->producer = g->node_count - 1;
    graph_at(g, rstd)->keep = true;
    g->nodes[g->node_count - 1].out[1] = rstd;
    return y;
}

tensor_id graph_linear(struct graph *g, tensor_id x, tensor_id w, tensor_id bias, tensor_id residual)
{
    assert(graph_at(g, x)->columns == graph_at(g, w)->columns && (bias < 0 || residual < 0));
    struct node *n = add_node(g, OP_LINEAR);
    n->in[0] = x;
    n->in[1] = w;
    n->in[2] = bias;
    n->in[3] = residual;
    return made(g, 0, g->storage, graph_at(g, w)->rows, true, "linear");
}

tensor_id graph_rope(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    struct node *n = add_node(g, OP_ROPE);
    n->in[0] = qkv;
    n->in[1] = g->input[INPUT_POSITIONS];
    n->in[2] = g->rope_table;
    n->heads = heads;
    n->kv_heads = kv_heads;
    n->head_dim = head_dim;
    graph_at(g, qkv)->keep = false; // its memory lives on as the rotated tensor
    tensor_id out = made(g, 0, graph_at(g, qkv)->storage, graph_at(g, qkv)->columns, true, "qkv");
    graph_at(g, out)->alias = qkv;
    return out;
}

static tensor_id add_attention(struct graph *g, enum op op, tensor_id qkv, uint32_t heads, uint32_t kv_heads,
    uint32_t head_dim, uint32_t window, float scale)
{
    struct node *n = add_node(g, op);
    n->in[0] = qkv;
    n->heads = heads;
    n->kv_heads = kv_heads;
    n->head_dim = head_dim;
    n->window = window;
    n->scale = scale;
    return made(g, 0, g->storage, (uint64_t)heads * head_dim, true, "attended");
}

tensor_id graph_attention(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
    uint32_t window, float scale)
{
    tensor_id out = add_attention(g, OP_ATTENTION, qkv, heads, kv_heads, head_dim, window, scale);
    tensor_id lse = graph_tensor(g, TENSOR_ACTIVATION, STORAGE_F32, heads, g->tokens, "lse.%d", g->layer);
    graph_at(g, lse)->producer = g->node_count - 1;
    graph_at(g, lse)->keep = true;
    g->nodes[g->node_count - 1].out[1] = lse;
    return out;
}

static void size_input(struct graph *g, enum input input, uint64_t count)
{
    struct tensor *t = graph_at(g, g->input[input]);
    t->columns = count;
    t->ld = graph_ld(TENSOR_INPUT, count);
}

tensor_id graph_attention_cached(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
    uint32_t window, float scale)
{
    uint64_t rows = g->cache_slots * g->cache_capacity, columns = (uint64_t)kv_heads * head_dim;
    size_input(g, INPUT_FORKS, 3 * g->cache_slots);
    tensor_id k = graph_tensor(g, TENSOR_STATE, g->storage, rows, columns, "cache_k.%d", g->layer);
    tensor_id v = graph_tensor(g, TENSOR_STATE, g->storage, rows, columns, "cache_v.%d", g->layer);
    tensor_id out = add_attention(g, OP_CACHE, qkv, heads, kv_heads, head_dim, window, scale);
    g->nodes[g->node_count - 1].in[1] = k;
    g->nodes[g->node_count - 1].in[2] = v;
    return out;
}

tensor_id graph_glu(struct graph *g, tensor_id gate_up, uint32_t activation)
{
    assert(graph_at(g, gate_up)->columns % 16 == 0);
    struct node *n = add_node(g, OP_GLU);
    n->in[0] = gate_up;
    n->activation = activation;
    return made(g, 0, g->storage, graph_at(g, gate_up)->columns / 2, false, "activated"); // cheap to make again
}

tensor_id graph_dropout(struct graph *g, tensor_id x, tensor_id residual, uint32_t site)
{
    struct node *n = add_node(g, OP_DROPOUT);
    n->in[0] = x;
    n->in[1] = residual;
    n->site = site;
    graph_at(g, x)->keep = false; // the backward pass needs only the mask, which is made again from its counter
    return made(g, 0, g->storage, graph_at(g, x)->columns, true, "dropped");
}

tensor_id graph_residual(struct graph *g, tensor_id x, tensor_id w, tensor_id residual, uint32_t site)
{
    if (!g->dropout) return graph_linear(g, x, w, NO_TENSOR, residual);
    return graph_dropout(g, graph_linear(g, x, w, NO_TENSOR, NO_TENSOR), residual, site);
}

void graph_loss(struct graph *g, tensor_id x, tensor_id head)
{
    g->loss = graph_tensor(g, TENSOR_STATE, STORAGE_F32, 1, g->tokens, "loss");
    g->hit = graph_tensor(g, TENSOR_STATE, STORAGE_U32, 1, g->tokens, "hit");
    struct node *n = add_node(g, OP_LOSS);
    n->in[0] = x;
    n->in[1] = head;
    n->out[0] = g->loss;
    n->out[1] = g->hit;
}

void graph_logits(struct graph *g, tensor_id x, tensor_id head)
{
    g->logits = graph_tensor(g, TENSOR_STATE, STORAGE_F32, g->cache_slots, graph_at(g, head)->rows, "logits");
    g->sampled = graph_tensor(g, TENSOR_STATE, STORAGE_U32, 1, g->draws, "sampled");
    size_input(g, INPUT_DRAW_FIRST, g->cache_slots + 1);
    size_input(g, INPUT_DRAW_KEYS, 2 * g->draws);
    struct node *n = add_node(g, OP_LOGITS);
    n->in[0] = x;
    n->in[1] = head;
    n->out[0] = g->logits;
    n->out[1] = g->sampled;
}
