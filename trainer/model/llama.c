// SPDX-License-Identifier: MIT
//
// llama.c: the Llama family (Touvron et al. 2023; Llama 3, Mistral, SmolLM2, Qwen2) as weights by name and a forward graph.
#include "model/family.h"

#include <stdarg.h>

static struct model_weight *add(struct model *m, bool matrix, uint64_t rows, uint64_t columns, const char *format, ...)
{
    m->weights = mem_resize(m->weights, (size_t)(m->weight_count + 1) * sizeof *m->weights);
    struct model_weight *w = &m->weights[m->weight_count++];
    *w = (struct model_weight){.rows = rows, .columns = columns, .matrix = matrix};
    va_list args;
    va_start(args, format);
    vsnprintf(w->name, sizeof w->name, format, args);
    va_end(args);
    return w;
}

// One more part of the weight added last: `layer` -1 or the number both names are formatted with.
static struct model_part *part(struct model *m, uint64_t rows, const char *hf, const char *gguf, int layer)
{
    struct model_weight *w = &m->weights[m->weight_count - 1];
    struct model_part *p = &w->parts[w->part_count++];
    *p = (struct model_part){.first_row = w->part_count > 1 ? p[-1].first_row + p[-1].rows : 0, .rows = rows};
    if (layer < 0) {
        snprintf(p->hf, sizeof p->hf, "%s", hf);
        snprintf(p->gguf, sizeof p->gguf, "%s", gguf);
    } else {
        snprintf(p->hf, sizeof p->hf, "model.layers.%d.%s", layer, hf);
        snprintf(p->gguf, sizeof p->gguf, "blk.%d.%s", layer, gguf);
    }
    return p;
}

void llama_weights(struct model *m)
{
    const struct model_config *c = &m->config;
    uint64_t C = c->hidden, q = (uint64_t)c->heads * c->head_dim, kv = (uint64_t)c->kv_heads * c->head_dim, F = c->feed_forward;
    bool permuted = c->family != FAMILY_QWEN2;
    add(m, true, c->vocabulary, C, "embed");
    part(m, c->vocabulary, "model.embed_tokens.weight", "token_embd.weight", -1);
    for (int l = 0; l < (int)c->layers; l++) {
        add(m, false, 1, C, "layer.%d.norm1", l);
        part(m, 1, "input_layernorm.weight", "attn_norm.weight", l);
        add(m, true, q + 2 * kv, C, "layer.%d.qkv", l);
        part(m, q, "self_attn.q_proj.weight", "attn_q.weight", l)->permuted_heads = permuted ? c->heads : 0;
        part(m, kv, "self_attn.k_proj.weight", "attn_k.weight", l)->permuted_heads = permuted ? c->kv_heads : 0;
        part(m, kv, "self_attn.v_proj.weight", "attn_v.weight", l);
        if (c->qkv_bias) {
            add(m, false, 1, q + 2 * kv, "layer.%d.qkv_bias", l);
            part(m, q, "self_attn.q_proj.bias", "attn_q.bias", l);
            part(m, kv, "self_attn.k_proj.bias", "attn_k.bias", l);
            part(m, kv, "self_attn.v_proj.bias", "attn_v.bias", l);
        }
        add(m, true, C, q, "layer.%d.o", l);
        part(m, C, "self_attn.o_proj.weight", "attn_output.weight", l);
        add(m, false, 1, C, "layer.%d.norm2", l);
        part(m, 1, "post_attention_layernorm.weight", "ffn_norm.weight", l);
        add(m, true, 2 * F, C, "layer.%d.gate_up", l);
        part(m, F, "mlp.gate_proj.weight", "ffn_gate.weight", l);
        part(m, F, "mlp.up_proj.weight", "ffn_up.weight", l);
        add(m, true, C, F, "layer.%d.down", l);
        part(m, C, "mlp.down_proj.weight", "ffn_down.weight", l);
    }
    add(m, false, 1, C, "norm");
    part(m, 1, "model.norm.weight", "output_norm.weight", -1);
    if (!c->tied) {
        add(m, true, c->vocabulary, C, "head");
        part(m, c->vocabulary, "lm_head.weight", "output.weight", -1);
    }
}

// The weights of a graph are made in the order of m->weights, so that tensor.index is the index into it.
static tensor_id next_weight(const struct model *m, struct graph *g)
{
    const struct model_weight *w = &m->weights[g->kind_count[TENSOR_WEIGHT]];
    return graph_weight(g, w->rows, w->columns, w->matrix, w->name);
}

void llama_graph(const struct model *m, struct graph *g, enum model_use use)
{
    const struct model_config *c = &m->config;
    float scale = 1.0f / sqrtf((float)c->head_dim);
    tensor_id table = next_weight(m, g);
    tensor_id h = graph_embed(g, table, 1);
    for (int l = 0; l < (int)c->layers; l++) {
        g->layer = l;
        tensor_id norm1 = next_weight(m, g), w_qkv = next_weight(m, g);
        tensor_id bias = c->qkv_bias ? next_weight(m, g) : NO_TENSOR;
        tensor_id w_o = next_weight(m, g), norm2 = next_weight(m, g), w_gate_up = next_weight(m, g), w_down = next_weight(m, g);

        tensor_id x = graph_rmsnorm(g, h, norm1, c->norm_epsilon, 0);
        tensor_id qkv = graph_linear(g, x, w_qkv, bias, NO_TENSOR);
        qkv = graph_rope(g, qkv, c->heads, c->kv_heads, c->head_dim);
        tensor_id a = use == MODEL_LOGITS
            ? graph_attention_cached(g, qkv, c->heads, c->kv_heads, c->head_dim, c->window, scale)
            : graph_attention(g, qkv, c->heads, c->kv_heads, c->head_dim, c->window, scale);
        h = graph_residual(g, a, w_o, h, 0);

        x = graph_rmsnorm(g, h, norm2, c->norm_epsilon, 0);
        tensor_id f = graph_glu(g, graph_linear(g, x, w_gate_up, NO_TENSOR, NO_TENSOR), 0);
        h = graph_residual(g, f, w_down, h, 1);
    }
    g->layer = -1;
    tensor_id norm = next_weight(m, g), head = c->tied ? table : next_weight(m, g);
    h = graph_rmsnorm(g, h, norm, c->norm_epsilon, 0);
    if (use == MODEL_LOSS) graph_loss(g, h, head);
    else graph_logits(g, h, head);
}
