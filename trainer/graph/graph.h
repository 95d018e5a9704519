// SPDX-License-Identifier: MIT
//
// graph.h: a model's forward pass as a column of calls to coarse operators. Backward pass, memory, cost and barriers are
// derived from it (program.h, plan.h). Pure C: no device is needed.
//
// Shape letters: T rows of a micro-batch (one row a token), C width, H query heads, G key heads, D head size, F feed-forward,
// V vocabulary, L layers. A tensor is a row-major matrix [rows, columns] whose leading dimension is a multiple of 8.
#ifndef PUMICE_GRAPH_H
#define PUMICE_GRAPH_H

#include "base.h"

enum storage { STORAGE_F32, STORAGE_BF16, STORAGE_U32 };
static inline uint32_t storage_bytes(enum storage storage) // of an element
{
    return storage == STORAGE_BF16 ? 2 : 4;
}

const char *storage_name(enum storage storage); // of the numbers: "f32", "bf16"
bool storage_find(enum storage *storage, const char *name); // the other way

// What a tensor is decides who owns its memory and how long it lives.
enum tensor_kind {
    TENSOR_WEIGHT,     // trained or frozen parameters, for the whole run
    TENSOR_INPUT,      // uint arrays the host writes for every micro-batch
    TENSOR_ACTIVATION, // made by a node; the plan keeps, recomputes or reuses it
    TENSOR_STATE,      // results read by the host, generation's caches: for the whole run
};

typedef int tensor_id; // index in graph.tensors; -1: none
#define NO_TENSOR (-1)

struct tensor {
    char name[56];
    enum tensor_kind kind;
    enum storage storage;
    uint64_t rows, columns, ld;
    tensor_id alias;  // lies in the same memory as this tensor (in-place operators), or NO_TENSOR
    int producer;     // node that makes it, or -1
    int layer;        // for recomputation by layer; -1 outside
    int index;        // among the tensors of its kind, in the order they were made: weights and caches of two graphs of
                      // one model (training, generation) are the same memory when their indices are the same
    bool keep;        // activation: stays in memory from forward to backward when nothing is recomputed
    bool trainable;   // weight: gets a gradient and an update
    bool decay;       // weight: weight decay applies (not norms, not biases)
    enum storage gradient; // weight: what its gradient is stored in
};

enum op {
    OP_EMBED,          // in: ids, table; out: x
    OP_RMSNORM,        // in: x, w; out: y, rstd
    OP_LINEAR,         // in: x, w, bias or -1, residual or -1; out: y = x w^T + bias + residual
    OP_ROPE,           // in: qkv (in place), positions, table; out: qkv
    OP_ATTENTION,      // in: qkv; out: o, lse
    OP_CACHE,          // in: qkv, cache k, cache v: appends, then attends over the cache; out: o
    OP_GLU,            // in: gate and up side by side; out: act
    OP_DROPOUT,        // in: x, residual or -1; out: y
    OP_LOSS,           // in: x, head; out: loss, hit (states); logits only in chunks
    OP_LOGITS,         // in: x (rows chosen by target_rows), head; out: logits (generation)
    OP_COUNT
};

#define NODE_INPUTS 4
#define NODE_OUTPUTS 2
struct node {
    enum op op;
    tensor_id in[NODE_INPUTS], out[NODE_OUTPUTS]; // unused: NO_TENSOR
    int layer;
    // Parameters, by operator.
    float epsilon, scale, shift;
    uint32_t heads, kv_heads, head_dim, window, activation, site;
};

// The arrays of a micro-batch, each uint [T] unless said otherwise, in the order of the input block (record.h).
enum input {
    INPUT_IDS, INPUT_POSITIONS, INPUT_STARTS, INPUT_ENDS, INPUT_CONVERSATION, INPUT_TARGET_ROWS, INPUT_TARGET_IDS,
    INPUT_ROW_TARGET, INPUT_SORTED_ROWS, INPUT_GROUP_FIRST /* T + 1 */, INPUT_GROUP_IDS, INPUT_SLOTS,
    // Generation; one element elsewhere.
    INPUT_DRAW_FIRST /* slots + 1 */, INPUT_DRAW_KEYS /* 2 draws */, INPUT_FORKS /* 3 slots */, INPUT_COUNT
};

struct graph {
    struct tensor *tensors;
    int tensor_count, tensor_capacity;
    int kind_count[4];      // tensors made so far of each kind
    struct node *nodes;
    int node_count, node_capacity;
    uint64_t tokens;        // T: the row budget of a micro-batch
    enum storage storage;   // of activations and of the weights kernels read
    enum storage gradients; // of matrices, set before weights are made; vectors' are f32. BF16 only where storage is BF16
    bool dropout;           // dropout nodes and attention dropout exist
    uint64_t cache_slots, cache_capacity; // generation: sequences and rows of each cache
    uint64_t draws;         // generation: tokens drawn at a time, at least cache_slots
    int layer;              // of nodes being added
    tensor_id input[INPUT_COUNT];
    tensor_id rope_table;   // f32 [positions, D]: cosines, then sines; filled by the host
    tensor_id loss, hit;    // f32 [T], u32 [T], one element a target; NO_TENSOR without a loss
    tensor_id logits, sampled; // generation
};

void graph_init(struct graph *g, uint64_t tokens, enum storage storage);
void graph_free(struct graph *g);

tensor_id graph_tensor(struct graph *g, enum tensor_kind kind, enum storage storage, uint64_t rows, uint64_t columns,
    const char *format, ...) __attribute__((format(printf, 6, 7)));
// The leading dimension that tensors of a kind get.
uint64_t graph_ld(enum tensor_kind kind, uint64_t columns);
// A parameter [rows, columns]. decay: a matrix; else a vector (norm, bias), one row, always f32, without weight decay.
tensor_id graph_weight(struct graph *g, uint64_t rows, uint64_t columns, bool decay, const char *name);
static inline struct tensor *graph_at(const struct graph *g, tensor_id t)
{
    return &g->tensors[t];
}

// ---- operators, named as in their papers; every function adds one node and returns its first output --------------

// [T, C] rows of the table chosen by the input ids, times scale.
tensor_id graph_embed(struct graph *g, tensor_id table, float scale);
// Zhang and Sennrich 2019: x / sqrt(mean(x^2) + epsilon) * (w + shift).
tensor_id graph_rmsnorm(struct graph *g, tensor_id x, tensor_id w, float epsilon, float shift);
// x [T, K], w [N, K] -> x w^T + bias + residual [T, N]; not both bias and residual.
tensor_id graph_linear(struct graph *g, tensor_id x, tensor_id w, tensor_id bias, tensor_id residual);
// Su et al. 2021 in place on the query and key columns of qkv [T, (H + 2 G) D].
tensor_id graph_rope(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim);
// Causal attention inside each document; Dao 2023 without the T x T matrix. -> [T, H D]
tensor_id graph_attention(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
    uint32_t window, float scale);
// The same for generation: appends K and V to this layer's caches and attends over them.
tensor_id graph_attention_cached(struct graph *g, tensor_id qkv, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
    uint32_t window, float scale);
// Shazeer 2020: act(gate) * up, gate and up side by side in gate_up [T, 2 F]. -> [T, F]
tensor_id graph_glu(struct graph *g, tensor_id gate_up, uint32_t activation);
// residual + dropout(x); site numbers the dropouts of a layer.
tensor_id graph_dropout(struct graph *g, tensor_id x, tensor_id residual, uint32_t site);
// A sub-layer's way back into the residual stream: residual + x w^T, with dropout of the product where the graph has it.
tensor_id graph_residual(struct graph *g, tensor_id x, tensor_id w, tensor_id residual, uint32_t site);
// Cross-entropy of x head^T at the target rows, in chunks; sets g->loss and g->hit.
void graph_loss(struct graph *g, tensor_id x, tensor_id head);
// Logits (f32) of the rows in target_rows, at most one a sequence, and the tokens drawn from them; sets g->logits [slots, V],
// g->sampled [draws].
void graph_logits(struct graph *g, tensor_id x, tensor_id head);

#endif
