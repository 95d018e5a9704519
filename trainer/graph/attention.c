// SPDX-License-Identifier: MIT
//
// attention.c: how attention becomes kernel calls.
#include "choices.h"
#include "cost.h"
#include "ops_parts.h"
#include "variants.h"

#include <assert.h>
#include <math.h>

// The wide kernels' addresses come behind them (wide.glsl).
_Static_assert(sizeof(struct attention_args) <= 64, "attention_args");

static struct attention_args attention_arguments(
    const struct program *p, const struct node *n, tensor_id qkv, tensor_id out, tensor_id lse)
{
    uint32_t D = n->head_dim;
    return (struct attention_args){.rows = (uint32_t)p->graph->tokens, .heads = n->heads, .kv_heads = n->kv_heads,
        .ld_qkv = ld(p, qkv), .offset_q = 0, .offset_k = n->heads * D, .offset_v = (n->heads + n->kv_heads) * D,
        .ld_out = ld(p, out), .ld_lse = ld(p, lse), .window = n->window, .layer = (uint32_t)(n->layer < 0 ? 0 : n->layer),
        .scale = n->scale, .own_rows = (uint32_t)p->graph->tokens, .own_kv = n->kv_heads};
}

// The attention kernels that stream: what they read and write, and how much they do.
struct attention {
    enum attention_kernel kind;
    struct attention_args args;
    tensor_id reads[5], writes[2]; // in the order of bindings, NO_TENSOR: no more
    bool beside;                   // what another kernel writes in the same tensor stays
    double products;               // of as many numbers as a pair of rows has
};

static uint32_t attention_call(struct program *p, const struct node *n, const struct attention *a)
{
    static const char *const names[] = {
        [ATTENTION_FORWARD] = "attention_forward", [ATTENTION_DQ] = "attention_dq", [ATTENTION_DKV] = "attention_dkv",
        [ATTENTION_DKV_SCORES] = "attention_dkv_scores_wide", [ATTENTION_DQ_SCORES] = "attention_dq_scores_wide"};
    uint64_t T = p->graph->tokens, own = a->args.own_rows;
    struct call *c = call_begin(p, names[a->kind]);
    for (int i = 0; i < 5 && a->reads[i] >= 0; i++) call_read(c, a->reads[i]);
    for (int i = 0; i < 2 && a->writes[i] >= 0; i++)
        call_use(c, a->writes[i], PART_VALUE, 0, 0, a->beside || a->args.first_row > 0, true);
    if (a->kind != ATTENTION_DQ_SCORES) {
        call_read(c, input(p, INPUT_CONVERSATION));
        call_read(c, input(p, INPUT_POSITIONS));
    }
    call_args(c, &a->args, sizeof a->args);
    call_constant(c, n->head_dim);
    call_constant(c, p->graph->dropout ? 1 : 0);
    uint32_t kv_heads = a->args.own_kv, heads = n->heads / n->kv_heads * kv_heads;
    uint32_t rows = attention_variant(&p->limits, c, a->kind, own, heads, kv_heads, n->head_dim);
    // One document of T rows: half of the T x T square.
    c->flop = a->products * (double)T * (double)T * heads * n->head_dim * attention_share(c, T);
    double each = a->kind == ATTENTION_DQ_SCORES ? heads + kv_heads : 2.0 * heads + 2.0 * kv_heads; // rows of a head
    c->bytes = (double)own * n->head_dim * each * storage_bytes(p->graph->storage) + scores_bytes(c, c->flop);
    double speed = choices_speed(p->limits.choices); // attention is no faster than products
    if (speed > 0) c->seconds = c->flop / (speed < p->limits.flop_per_second ? speed : p->limits.flop_per_second);
    return rows;
}

// All rows: in parts of which none takes longer than a watchdog likes where all are one document. A part's sums are what they
// are in one call.
static void attention_calls(struct program *p, const struct node *n, struct attention *a)
{
    int first = p->call_count;
    uint32_t rows = attention_call(p, n, a);
    double T = (double)p->graph->tokens, seconds = call_seconds(&p->limits, &p->calls[first]);
    if (p->limits.dispatch_seconds <= 0 || seconds <= p->limits.dispatch_seconds) return;
    p->call_count = first; // once more, in parts
    bool keys = a->kind == ATTENTION_DKV || a->kind == ATTENTION_DKV_SCORES;
    double share = p->limits.dispatch_seconds / seconds * T * T;
    for (uint32_t at = 0, end; at < p->graph->tokens; at = end) {
        double t = (double)at, rest = (T - t) * (T - t) - share;
        double most = !keys ? sqrt(t * t + share) : rest > 0 ? T - sqrt(rest) : T;
        uint32_t blocks = (uint32_t)((most - t) / rows);
        end = most < T ? at + (blocks ? blocks : 1) * rows : (uint32_t)p->graph->tokens;
        if (end > p->graph->tokens) end = (uint32_t)p->graph->tokens;
        a->args.first_row = at;
        a->args.own_rows = end - at;
        attention_call(p, n, a);
    }
}

// What attention reads of x: on software drivers a copy in f32, for each row meets many others.
static tensor_id attention_reads(struct program *p, tensor_id x)
{
    const struct tensor *t = at(p, x);
    bool copy = wide_kernels(&p->limits) && t->storage == STORAGE_BF16 && t->ld % 16 == 0 &&
                t->rows * t->ld * 4 <= p->limits.max_range;
    return copy ? wide_copy(p, x) : x;
}

void attention_forward(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    struct attention a = {.kind = ATTENTION_FORWARD, .args = attention_arguments(p, n, in[0], out[0], out[1]),
        .reads = {input(p, INPUT_STARTS), attention_reads(p, in[0]), NO_TENSOR}, .writes = {out[0], out[1]}, .products = 2};
    attention_calls(p, n, &a);
}

// Key heads at a time whose gradients of scores dK and dV keep for dQ, so that dQ is one product instead of three; 0: none. Software
// drivers alone, where sums are what takes the time. As many heads as stay in a core's cache; of one, which has T x T numbers, no more
// than memory should be asked for.
#define SCORES_CACHED (UINT64_C(4) << 20)
#define SCORES_MOST (UINT64_C(64) << 20)
static uint32_t kept_heads(const struct program *p, const struct node *n)
{
    const struct limits *l = &p->limits;
    uint64_t T = p->graph->tokens;
    if (!attention_strips(l, T, n->head_dim)) return 0;
    uint32_t own = n->kv_heads;
    uint64_t bytes = 4 * SCORES_PANEL(T) * (n->heads / n->kv_heads); // of a key head
    if (bytes > SCORES_MOST || bytes > l->max_range || 4 * T * n->kv_heads * n->head_dim > l->max_range) return 0;
    while (own > 1 && (own * bytes > SCORES_CACHED || own * bytes > l->max_range)) own--;
    return own;
}

// The backward pass of `own` key heads at a time, which keeps gradients of scores.
static void backward_by_heads(struct program *p, const struct node *n, struct attention *kv, uint32_t own)
{
    uint64_t T = p->graph->tokens;
    tensor_id dqkv = kv->writes[0];
    uint64_t numbers = own * (n->heads / n->kv_heads) * SCORES_PANEL(T);
    tensor_id scores = program_scratch(p, STORAGE_F32, numbers / SCORES_ROWS, SCORES_ROWS, "gradients of scores");
    tensor_id keys = wide_strips(p, program_need(p, n->in[0]), kv->args.offset_k, n->kv_heads * n->head_dim,
        attention_strips(&p->limits, T, n->head_dim), at(p, dqkv)->storage == STORAGE_BF16);
    kv->kind = ATTENTION_DKV_SCORES;
    kv->writes[1] = scores;
    for (uint32_t first = 0; first < n->kv_heads; first += own) {
        kv->args.first_kv = first;
        kv->args.own_kv = own < n->kv_heads - first ? own : n->kv_heads - first;
        kv->beside = first > 0;
        struct attention q = {.kind = ATTENTION_DQ_SCORES, .args = kv->args, .beside = true, .products = 1,
            .reads = {input(p, INPUT_STARTS), keys, scores, NO_TENSOR}, .writes = {dqkv, NO_TENSOR}};
        attention_calls(p, n, kv);
        attention_calls(p, n, &q);
    }
}

void attention_backward(struct program *p, const struct node *n)
{
    tensor_id qkv = program_need(p, n->in[0]), out = program_need(p, n->out[0]), lse = program_need(p, n->out[1]);
    tensor_id dout = program_gradient(p, n->out[0]);
    tensor_id delta = program_scratch(p, STORAGE_F32, n->heads, p->graph->tokens, "delta");
    bool exists;
    tensor_id dqkv = operator_gradient(p, n->in[0], at(p, qkv)->storage, &exists);
    assert(!exists);
    struct attention_args args = attention_arguments(p, n, qkv, out, lse);
    struct call *c = call_begin(p, "attention_delta");
    call_read(c, out);
    call_read(c, dout);
    call_write(c, delta);
    call_args(c, &args, sizeof args);
    call_constant(c, n->head_dim);
    call_constant(c, 0);
    attention_variant(&p->limits, c, ATTENTION_DELTA, p->graph->tokens, n->heads, n->kv_heads, n->head_dim);
    c->bytes = 2.0 * (double)p->graph->tokens * n->heads * n->head_dim * element_bytes(p, out);
    qkv = attention_reads(p, qkv);
    dout = attention_reads(p, dout);
    struct attention q = {.kind = ATTENTION_DQ, .args = args, .products = 3,
        .reads = {input(p, INPUT_STARTS), qkv, dout, lse, delta}, .writes = {dqkv, NO_TENSOR}};
    struct attention kv = {.kind = ATTENTION_DKV, .args = args, .products = 4, .beside = true,
        .reads = {input(p, INPUT_ENDS), qkv, dout, lse, delta}, .writes = {dqkv, NO_TENSOR}};
    uint32_t own = kept_heads(p, n);
    if (own > 0) {
        backward_by_heads(p, n, &kv, own);
        return;
    }
    attention_calls(p, n, &q);
    attention_calls(p, n, &kv); // leaves dQ's columns as they are
}

void attention_cached(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out)
{
    tensor_id slots = input(p, INPUT_SLOTS), positions = input(p, INPUT_POSITIONS);
    uint32_t D = n->head_dim;
    struct cache_args args = {.rows = (uint32_t)p->graph->tokens, .heads = n->heads, .kv_heads = n->kv_heads, .head_dim = D,
        .ld_qkv = ld(p, in[0]), .offset_q = 0, .offset_k = n->heads * D, .offset_v = (n->heads + n->kv_heads) * D,
        .ld_out = ld(p, out[0]), .ld_cache = ld(p, in[1]), .capacity = (uint32_t)p->graph->cache_capacity,
        .window = n->window, .scale = n->scale};
    struct call *c = call_begin(p, "cache_append");
    call_read(c, slots);
    call_read(c, positions);
    call_read(c, in[0]);
    call_update(c, in[1]);
    call_update(c, in[2]);
    call_read(c, input(p, INPUT_FORKS));
    call_args(c, &args, sizeof args);
    call_groups(p, c, p->graph->tokens + FORK_GROUPS * p->graph->cache_slots);
    c = call_begin(p, "attention_cache");
    call_read(c, slots);
    call_read(c, positions);
    call_read(c, in[0]);
    call_read(c, in[1]);
    call_read(c, in[2]);
    call_write(c, out[0]);
    call_args(c, &args, sizeof args);
    call_constant(c, D);
    attention_variant(&p->limits, c, ATTENTION_CACHE, p->graph->tokens, n->heads, n->kv_heads, D);
    c->bytes = 2.0 * (double)p->graph->tokens * (double)p->graph->cache_capacity * n->kv_heads * D * element_bytes(p, in[1]);
}
