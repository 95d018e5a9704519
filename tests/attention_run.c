// SPDX-License-Identifier: MIT
//
// attention_run.c: the attention kernels on the device against double precision, in any form.
#include "attention_run.h"
#include "reference.h"

static const uint32_t seed[2] = {17, 99}, step = 5;
#define LAYER 3
#define GAP 8 // columns between and beside the parts of qkv

double *attention_doubles(size_t count)
{
    double *x = malloc(count * sizeof *x);
    if (!x) abort();
    return x;
}

static double *dense(const struct attention_case *s, size_t count, double amplitude, bool bf16, uint64_t *random)
{
    double *x = attention_doubles(count);
    for (size_t i = 0; i < count; i++) {
        float value = (float)(amplitude * test_uniform(random));
        if (s->exact) value = reference_bf16(roundf(value * 256) / 256);
        x[i] = bf16 ? reference_bf16(value) : value;
    }
    return x;
}

static double *dropout_factors(const struct attention_state *x)
{
    double *factor = attention_doubles((size_t)x->s.heads * x->rows * x->rows);
    for (uint32_t h = 0; h < x->s.heads; h++)
        for (uint32_t t = 0; t < x->rows; t++)
            for (uint32_t s = 0; s < x->rows; s++) {
                bool keep = reference_dropout_keeps(x->conversation[t], x->positions[t], x->positions[s],
                    LAYER * 16 + 8 + 16 * 4096 * (h + 1), seed, step, (float)x->s.dropout);
                factor[((size_t)h * x->rows + t) * x->rows + s] = keep ? 1 / (1 - (double)(float)x->s.dropout) : 0;
            }
    return factor;
}

void attention_state_make(struct attention_state *x, const struct attention_case *s)
{
    uint64_t random = s->heads + s->head_dim + s->window;
    *x = (struct attention_state){.s = *s};
    for (int d = 0; s->lengths[d]; d++)
        for (int i = 0; i < s->lengths[d]; i++) {
            uint32_t t = x->rows++;
            x->starts[t] = t - (uint32_t)i;
            x->ends[t] = x->starts[t] + (uint32_t)s->lengths[d];
            x->positions[t] = (uint32_t)i;
            x->conversation[t] = 40 + (uint32_t)d;
            x->poisoned[t] = d == s->poisoned;
            x->last[t] = t;
            x->first[t] = s->window && (uint32_t)i + 1 > s->window ? t + 1 - s->window : x->starts[t];
        }
    x->own = x->T = x->rows + s->spare;
    x->own_kv = s->kv_heads;
    uint32_t D = s->head_dim, rows = x->rows;
    x->q = dense(s, (size_t)rows * s->heads * D, 3, s->store & 1, &random);
    x->k = dense(s, (size_t)rows * s->kv_heads * D, 2, s->store & 1, &random);
    x->v = dense(s, (size_t)rows * s->kv_heads * D, 1, s->store & 1, &random);
    x->dout = dense(s, (size_t)rows * s->heads * D, 1, s->store & 2, &random);
    for (uint32_t c = 0; c < s->kv_heads * D && s->lost; c += D) x->v[s->lost * s->kv_heads * D + c + D / 2] = 7e4;
    x->out = attention_doubles((size_t)rows * s->heads * D);
    x->lse = attention_doubles((size_t)s->heads * rows);
    x->delta = attention_doubles((size_t)s->heads * rows);
    x->factor = s->dropout > 0 ? dropout_factors(x) : NULL;
    x->a = (struct reference_attention){(int)rows, (int)rows, (int)s->heads, (int)s->kv_heads, (int)D, (double)s->scale,
        x->first, x->last, x->factor, x->q, x->k, x->v, .halves = s->halves, .exact = s->exact};
}

void attention_state_free(struct attention_state *x)
{
    double *all[] = {x->q, x->k, x->v, x->dout, x->out, x->lse, x->delta, x->factor};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

// ---- bindings ------------------------------------------------------------------------------------------------------

// qkv and dqkv hold V, Q and K in this order, with gaps.
static struct attention_args arguments(const struct attention_state *x)
{
    uint32_t q = x->s.heads * x->s.head_dim, kv = x->s.kv_heads * x->s.head_dim;
    return (struct attention_args){.rows = x->T,
        .heads = x->s.heads,
        .kv_heads = x->s.kv_heads,
        .offset_v = GAP,
        .offset_q = 2 * GAP + kv,
        .offset_k = 3 * GAP + kv + q,
        .window = x->s.window,
        .layer = LAYER,
        .scale = x->s.scale,
        .first_row = x->first_own,
        .own_rows = x->own,
        .first_kv = x->first_kv,
        .own_kv = x->own_kv};
}

static uint32_t qkv_columns(const struct attention_state *x)
{
    return 4 * GAP + (x->s.heads + 2 * x->s.kv_heads) * x->s.head_dim;
}

// Puts dense [rows, columns] into columns from `offset` on; poisoned rows stay the pattern, a NaN.
static void put(const struct attention_state *x, struct field *f, uint32_t offset, const double *from, uint32_t columns)
{
    for (uint32_t t = 0; t < x->rows; t++)
        for (uint32_t c = 0; c < columns && !x->poisoned[t]; c++) field_set(f, t, offset + c, from[t * columns + c]);
}

// One past the last live row that is the kernel's own.
static uint32_t own_end(const struct attention_state *x)
{
    return x->first_own + x->own < x->rows ? x->first_own + x->own : x->rows;
}

static void want(const struct attention_state *x, struct field *f, uint32_t offset, const double *result,
    const double *bound, uint32_t columns)
{
    for (uint32_t t = x->first_own; t < own_end(x); t++)
        for (uint32_t c = 0; c < columns; c++)
            field_want(f, t, offset + c, result[t * columns + c], x->poisoned[t] ? NON_FINITE : bound[t * columns + c]);
}

static struct field *words(const struct attention_state *x, struct run *r, const uint32_t *from)
{
    struct field *f = run_words(r, x->T);
    for (uint32_t t = 0; t < x->rows; t++) field_set(f, t, 0, from[t]);
    return f;
}

// [heads, T] of f32.
static struct field *by_head(const struct attention_state *x, struct run *r, double *values)
{
    struct field *f = run_floats(r, x->s.heads * x->T);
    for (uint32_t h = 0; h < x->s.heads && values; h++)
        for (uint32_t t = 0; t < x->rows; t++) {
            double *value = &values[h * x->rows + t];
            if (!x->poisoned[t]) *value = field_set(f, h * x->T + t, 0, *value);
        }
    return f;
}

static void begin(struct run *r, const char *kernel, const struct attention_state *x, uint32_t store)
{
    run_begin(r, kernel, store);
    run_constant(r, x->s.head_dim);
    run_constant(r, x->s.dropout > 0);
    r->live.tokens = x->rows;
    r->live.dropout = (float)x->s.dropout;
    r->live.seed_low = seed[0], r->live.seed_high = seed[1], r->live.step = step;
}

static void begin_form(
    struct run *r, const struct attention_form *form, const struct attention_state *x, uint32_t store)
{
    begin(r, form->kernel, x, store);
    r->constants[0] = form->group;
    r->subgroup = form->subgroup;
    for (uint32_t i = 0; i < form->constant_count; i++) run_constant(r, form->constants[i]);
}

// The last arguments, from the bindings that are there now.
static void finish(struct run *r, const struct attention_state *x, const struct field *qkv, const struct field *out)
{
    struct attention_args args = arguments(x);
    args.ld_qkv = qkv ? qkv->ld : 8;
    args.ld_out = out->ld;
    args.ld_lse = x->T;
    run_args(r, &args, sizeof args);
}

// Runs with one group more than the work has.
static int execute(struct run *r, const struct attention_state *x, const struct attention_form *form, uint32_t heads)
{
    return run_execute(r, (x->own + form->rows - 1) / form->rows * heads + 1);
}

// Does query t see the row of values that fp16 cannot hold?
static bool lost(const struct attention_state *x, uint32_t t)
{
    return x->s.lost && x->first[t] <= x->s.lost && x->s.lost <= t;
}

void attention_store_out(struct attention_state *x)
{
    for (size_t i = 0; i < (size_t)x->rows * x->s.heads * x->s.head_dim; i++)
        x->out[i] = x->s.store & 2 ? reference_bf16((float)x->out[i]) : (float)x->out[i];
}

// ---- the kernels ---------------------------------------------------------------------------------------------------

int attention_execute_forward(struct attention_state *x, const struct attention_form *form)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads;
    size_t count = (size_t)x->rows * H * D;
    double *out_bound = attention_doubles(count), *lse_bound = attention_doubles((size_t)H * x->rows);
    reference_attention(x->out, x->lse, out_bound, lse_bound, &x->a);
    struct run r;
    begin_form(&r, form, x, (x->s.store & 1) << 2 | (x->s.store & 2) << 2);
    words(x, &r, x->starts);
    struct field *qkv = run_tensor(&r, x->T, qkv_columns(x)), *out = run_tensor(&r, x->T, H * D);
    struct field *lse = by_head(x, &r, NULL);
    words(x, &r, x->conversation);
    words(x, &r, x->positions);
    finish(&r, x, qkv, out);
    struct attention_args args = arguments(x);
    put(x, qkv, args.offset_q, x->q, H * D);
    put(x, qkv, args.offset_k, x->k, G * D);
    put(x, qkv, args.offset_v, x->v, G * D);
    want(x, out, 0, x->out, out_bound, H * D);
    for (uint32_t t = x->first_own; t < own_end(x); t++)
        for (uint32_t c = 0; c < H * D && lost(x, t); c++) field_want(out, t, c, NAN, NON_FINITE);
    for (uint32_t h = 0; h < H; h++)
        for (uint32_t t = x->first_own; t < own_end(x); t++)
            field_want(lse, h * x->T + t, 0, x->lse[h * x->rows + t],
                x->poisoned[t] || lost(x, t) ? NON_FINITE : lse_bound[h * x->rows + t]);
    int wrong = execute(&r, x, form, H);
    attention_store_out(x);
    free(out_bound);
    free(lse_bound);
    return wrong;
}

int attention_execute_delta(struct attention_state *x)
{
    uint32_t D = x->s.head_dim, H = x->s.heads;
    double *bound = attention_doubles((size_t)H * x->rows);
    reference_attention_delta(x->delta, bound, x->out, x->dout, (int)x->rows, (int)H, (int)D);
    struct run r;
    const char *kernel = run_row_form("attention_delta", "attention_delta_wide", D);
    begin(&r, kernel, x, x->s.store & 2 ? 6 : 0);
    struct field *out = run_tensor(&r, x->T, H * D), *dout = run_tensor(&r, x->T, H * D);
    dout->ld = out->ld; // one ld_out serves both
    struct field *result = by_head(x, &r, NULL);
    finish(&r, x, NULL, out);
    put(x, out, 0, x->out, H * D);
    put(x, dout, 0, x->dout, H * D);
    for (uint32_t h = 0; h < H; h++)
        for (uint32_t t = 0; t < x->rows; t++)
            field_want(result, h * x->T + t, 0, x->delta[h * x->rows + t],
                x->poisoned[t] ? NON_FINITE : bound[h * x->rows + t]);
    bool by_rows = strcmp(kernel, "attention_delta") != 0;
    int wrong = run_execute(&r, (by_rows ? x->T : (x->T * H + run_group - 1) / run_group) + 1);
    free(bound);
    return wrong;
}

static struct reference_attention_gradient gradient_make(const struct attention_state *x, bool pairs)
{
    size_t q = (size_t)x->rows * x->s.heads * x->s.head_dim, k = (size_t)x->rows * x->s.kv_heads * x->s.head_dim;
    size_t p = (size_t)x->s.heads * x->rows * x->rows;
    struct reference_attention_gradient g = {attention_doubles(q), attention_doubles(k), attention_doubles(k),
        attention_doubles(q), attention_doubles(k), attention_doubles(k), pairs ? attention_doubles(p) : NULL,
        pairs ? attention_doubles(p) : NULL};
    reference_attention_backward(&g, x->dout, x->lse, x->delta, &x->a);
    return g;
}

static void gradient_free(struct reference_attention_gradient *g)
{
    double *all[] = {g->dq, g->dk, g->dv, g->dq_bound, g->dk_bound, g->dv_bound, g->ds, g->ds_bound};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

// dqkv before a kernel: what it must leave alone.
static struct field *gradient_field(const struct attention_state *x, struct run *r)
{
    struct field *dqkv = run_tensor(r, x->T, qkv_columns(x));
    for (uint32_t t = 0; t < x->T; t++)
        for (uint32_t c = 0; c < dqkv->columns; c++) field_set(dqkv, t, c, 7);
    return dqkv;
}

// What dQ, dK and dV read, from binding 1 to 5.
static void backward_inputs(struct attention_state *x, struct run *r, bool keys)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads;
    words(x, r, keys ? x->ends : x->starts);
    struct field *qkv = run_tensor(r, x->T, qkv_columns(x)), *dout = run_tensor(r, x->T, H * D);
    by_head(x, r, x->lse);
    by_head(x, r, x->delta);
    finish(r, x, qkv, dout);
    struct attention_args args = arguments(x);
    put(x, qkv, args.offset_q, x->q, H * D);
    put(x, qkv, args.offset_k, x->k, G * D);
    put(x, qkv, args.offset_v, x->v, G * D);
    put(x, dout, 0, x->dout, H * D);
}

int attention_execute_backward(struct attention_state *x, const struct attention_form *form, bool keys)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads;
    struct run r;
    begin_form(&r, form, x, (x->s.store & 1) << 2 | (x->s.store & 2) << 2 | (x->s.store & 4) << 4);
    backward_inputs(x, &r, keys);
    struct field *dqkv = gradient_field(x, &r);
    words(x, &r, x->conversation);
    words(x, &r, x->positions);
    struct attention_args args = arguments(x);
    struct reference_attention_gradient g = gradient_make(x, false);
    if (keys) {
        want(x, dqkv, args.offset_k, g.dk, g.dk_bound, G * D);
        want(x, dqkv, args.offset_v, g.dv, g.dv_bound, G * D);
    } else {
        want(x, dqkv, args.offset_q, g.dq, g.dq_bound, H * D);
    }
    int wrong = execute(&r, x, form, keys ? G : H);
    gradient_free(&g);
    return wrong;
}

// ---- the backward pass with kept gradients of scores -----------------------------------------------------------------

// Columns of heads first .. first + count - 1 alone.
static void want_heads(const struct attention_state *x, struct field *f, uint32_t offset, const double *result,
    const double *bound, uint32_t heads, uint32_t first, uint32_t count)
{
    uint32_t D = x->s.head_dim;
    for (uint32_t t = x->first_own; t < own_end(x); t++)
        for (uint32_t c = first * D; c < (first + count) * D; c++)
            field_want(f, t, offset + c, result[t * heads * D + c], x->poisoned[t] ? NON_FINITE : bound[t * heads * D + c]);
}

static size_t score_at(const struct attention_state *x, uint32_t head, uint32_t t, uint32_t s)
{
    return head * (size_t)SCORES_PANEL(x->T) + (t / SCORES_ROWS * SCORES_KEYS(x->T) + s) * SCORES_ROWS + t % SCORES_ROWS;
}

int attention_execute_dkv_scores(struct attention_state *x, const struct attention_form *form)
{
    uint32_t G = x->s.kv_heads, per = x->s.heads / G, lanes = form->rows;
    struct run r;
    begin_form(&r, form, x, (x->s.store & 1) << 2 | (x->s.store & 2) << 2 | (x->s.store & 4) << 4);
    backward_inputs(x, &r, true);
    struct field *dqkv = gradient_field(x, &r), *scores = run_floats(&r, x->own_kv * per * SCORES_PANEL(x->T));
    words(x, &r, x->conversation);
    words(x, &r, x->positions);
    struct attention_args args = arguments(x);
    struct reference_attention_gradient g = gradient_make(x, true);
    want_heads(x, dqkv, args.offset_k, g.dk, g.dk_bound, G, x->first_kv, x->own_kv);
    want_heads(x, dqkv, args.offset_v, g.dv, g.dv_bound, G, x->first_kv, x->own_kv);
    uint32_t end = (own_end(x) + lanes - 1) / lanes * lanes;
    for (uint32_t head = 0; head < x->own_kv * per; head++)
        for (uint32_t t = x->first_own; t < (x->rows + 7) / 8 * 8; t++)
            for (uint32_t s = x->first_own; s < end; s++) {
                bool sees = t < x->rows && x->first[t] <= s && s <= t && s < own_end(x);
                size_t pair = ((size_t)(x->first_kv * per + head) * x->rows + t) * x->rows + s;
                double bound = !sees ? ANYTHING : x->poisoned[t] ? NON_FINITE : g.ds_bound[pair];
                if (s / lanes <= t / lanes) field_want(scores, (uint32_t)score_at(x, head, t, s), 0, sees ? g.ds[pair] : 0, bound);
            }
    int wrong = execute(&r, x, form, x->own_kv);
    gradient_free(&g);
    return wrong;
}

int attention_execute_dq_scores(struct attention_state *x, const struct attention_form *form)
{
    uint32_t D = x->s.head_dim, H = x->s.heads, G = x->s.kv_heads, per = H / G, width = 2 * form->group;
    bool pairs = x->s.store & 4;
    struct run r;
    begin_form(&r, form, x, pairs ? 1 << 4 : 0);
    words(x, &r, x->starts);
    struct field *keys = run_floats(&r, G * D * x->T), *scores = run_floats(&r, x->own_kv * per * SCORES_PANEL(x->T));
    struct field *dqkv = gradient_field(x, &r);
    finish(&r, x, dqkv, dqkv);
    struct attention_args args = arguments(x);
    struct reference_attention_gradient g = gradient_make(x, true);
    for (uint32_t t = 0; t < x->rows; t++)
        for (uint32_t c = 0; c < G * D && !x->poisoned[t]; c++) { // in strips, a strip's even columns before its odd ones
            uint32_t in = c % width, place = pairs ? in % 2 * form->group + in / 2 : in;
            field_set(keys, (c / width * x->T + t) * width + place, 0, x->k[t * G * D + c]);
        }
    for (uint32_t head = 0; head < x->own_kv * per; head++) // of pairs that do not see each other the pattern stays, a NaN
        for (uint32_t t = 0; t < x->rows; t++)
            for (uint32_t s = x->first[t]; s <= t && !x->poisoned[t]; s++)
                field_set(scores, (uint32_t)score_at(x, head, t, s), 0,
                    g.ds[((size_t)(x->first_kv * per + head) * x->rows + t) * x->rows + s]);
    want_heads(x, dqkv, args.offset_q, g.dq, g.dq_bound, H, x->first_kv * per, x->own_kv * per);
    int wrong = execute(&r, x, form, x->own_kv * per * (D / width));
    gradient_free(&g);
    return wrong;
}
