// SPDX-License-Identifier: MIT
//
// The cost of calls by live rows: the sums over a whole training program against formulas counted by hand.
#include "args.h"
#include "graph/choices.h"
#include "graph/cost.h"
#include "test.h"

// A block of every operator that trains, width C, H heads of D with G key heads, feed-forward F, vocabulary V, T rows.
enum { H = 4, G = 2, V = 104 };
static int T = 96, C = 40, F = 56, D = 8; // of such a size no product is cut into parts

static void make_graph(struct graph *g, enum storage storage, enum storage gradients)
{
    graph_init(g, (uint32_t)T, storage);
    g->gradients = gradients;
    tensor_id table = graph_weight(g, V, C, true, "embed"), norm1 = graph_weight(g, 1, C, false, "norm1");
    tensor_id qkv = graph_weight(g, (H + 2 * G) * D, C, true, "qkv"), o = graph_weight(g, C, H * D, true, "o");
    tensor_id norm2 = graph_weight(g, 1, C, false, "norm2"), gate_up = graph_weight(g, 2 * F, C, true, "gate_up");
    tensor_id down = graph_weight(g, C, F, true, "down"), norm = graph_weight(g, 1, C, false, "norm");
    g->rope_table = graph_tensor(g, TENSOR_STATE, STORAGE_F32, (uint64_t)T, D, "rope_table");
    tensor_id h = graph_embed(g, table, 1);
    g->layer = 0;
    tensor_id x = graph_rmsnorm(g, h, norm1, 1e-5f, 0);
    x = graph_rope(g, graph_linear(g, x, qkv, NO_TENSOR, NO_TENSOR), H, G, D);
    h = graph_residual(g, graph_attention(g, x, H, G, D, 0, 0.3f), o, h, 0);
    x = graph_linear(g, graph_rmsnorm(g, h, norm2, 1e-5f, 0), gate_up, NO_TENSOR, NO_TENSOR);
    h = graph_residual(g, graph_glu(g, x, 0), down, h, 1);
    g->layer = -1;
    graph_loss(g, graph_rmsnorm(g, h, norm, 1e-5f, 0), table);
}

// Of all calls whose kernel's name begins with `name`.
static struct cost sum_of(const struct program *p, const char *name, const struct live_counts *live)
{
    struct cost sum = {0};
    for (int i = 0; i < p->call_count; i++) {
        if (strncmp(p->calls[i].kernel, name, strlen(name)) != 0) continue;
        struct cost c = call_cost(p, &p->calls[i], live);
        sum.flop += c.flop;
        sum.bytes += c.bytes;
    }
    return sum;
}

#define CHECK_NEAR(got, want) CHECK_SAY(fabs((got) - (want)) <= 1e-9 * fabs(want), "got %.17g, want %.17g", got, want)

static void test_program(enum storage storage, enum storage gradients)
{
    struct graph g;
    struct program p;
    struct limits limits = limits_of(NULL);
    make_graph(&g, storage, gradients);
    program_make(&p, &g, &limits, true, false);
    double e = storage == STORAGE_BF16 ? 2 : 4; // bytes of an activation's or weight's element
    double d = gradients == STORAGE_BF16 ? 2 : 4; // and of a weight's gradient's
    // A full micro-batch that is not the first of its step costs what the calls say.
    struct live_counts full = {.tokens = (uint64_t)T, .targets = (uint64_t)T, .pairs = (double)T * T};
    for (int i = 0; i < p.call_count; i++) {
        struct cost c = call_cost(&p, &p.calls[i], &full);
        CHECK_SAY(c.flop == p.calls[i].flop && c.bytes == p.calls[i].bytes, "%s: %g flop, %g bytes; the call says %g, %g",
            p.calls[i].kernel, c.flop, c.bytes, p.calls[i].flop, p.calls[i].bytes);
    }
    // Two documents of 20 and 13 rows, 25 of them with a target.
    struct live_counts live = {.tokens = 33, .targets = 25, .pairs = 20 * 20 + 13 * 13, .first = true};
    double n = 33, t = 25, weights = (H + 2 * G) * D * C + C * H * D + 2 * F * C + C * F;
    struct cost products = sum_of(&p, "matmul_", &live);
    CHECK_NEAR(products.flop, 3 * 2 * (n * weights + t * V * C));
    // Attention: 2 products forward, 3 and 4 backward, each 2 flop on half of a document's pairs.
    CHECK_NEAR(sum_of(&p, "attention_", &live).flop, 9 * live.pairs * H * D);
    // Each product moves its operands once: forward reads x, w and writes y; dx and dW likewise; a residual is read.
    double wide = C + C + H * D + F;                                // what the four linears read
    double out = (H + 2 * G) * D + C + 2 * F + C;                   // and write
    double forward = e * (n * wide + weights + n * out + n * 2 * C); // 2 C: the residuals
    double back = e * (n * out + weights + n * wide) + e * n * (wide + out) + d * weights; // dx; dW
    double dx_added = 0; // gradients that are added to are read as well
    for (int i = 0; i < p.call_count; i++) {
        const struct call *c = &p.calls[i];
        if (strncmp(c->kernel, "matmul_", 7) == 0 && c->uses[2].reads && c->uses[2].part == PART_VALUE)
            dx_added += e * n * (double)graph_at(&g, c->uses[2].tensor)->columns;
    }
    double head = e * (t * C + V * C) + 4 * t * V + 4 * t * V + e * V * C + e * t * C + 4 * t * V + e * t * C + d * V * C;
    CHECK_NEAR(products.bytes, forward + back + dx_added + head);
    struct live_counts later = live; // micro-batches after the first read the gradients that they add to
    later.first = false;
    CHECK_NEAR(sum_of(&p, "matmul_", &later).bytes - products.bytes, d * (weights + V * C));
    CHECK_NEAR(sum_of(&p, "embed_backward", &live).bytes, n * C * (e + 2 * d));
    CHECK_NEAR(sum_of(&p, "glu_backward", &live).bytes, 5 * n * F * e);
    CHECK_NEAR(sum_of(&p, "cross_entropy", &live).bytes, 3 * t * V * 4);
    CHECK_NEAR(sum_of(&p, "rmsnorm_backward", &live).bytes, sum_of(&p, "rmsnorm_backward", &full).bytes * n / T);
    // Nothing live: only what is moved whatever is live (weights; dW, which is set to zeros; partial sums of norms).
    struct live_counts none = {.first = true};
    for (int i = 0; i < p.call_count; i++) {
        struct cost c = call_cost(&p, &p.calls[i], &none);
        bool whatever = strncmp(p.calls[i].kernel, "matmul_", 7) == 0 || strcmp(p.calls[i].kernel, "column_sum") == 0;
        CHECK_SAY(c.flop == 0 && (whatever || c.bytes == 0), "%s costs without rows", p.calls[i].kernel);
    }
    program_free(&p);
    graph_free(&g);
}

static const struct gpu_info software = {.type = GPU_SOFTWARE, .subgroup_size = 8, .max_invocations = 1024,
    .max_group_size = 1024, .max_range = UINT64_C(1) << 30, .max_allocation = UINT64_C(1) << 30, .heap_bytes = UINT64_C(1) << 34,
    .max_groups = 65535, .max_shared = 32768, .addresses = true};

// The forms for software drivers: other kernels, and strips beside products, but the same work.
static void test_wide(void)
{
    struct graph g;
    struct program p;
    struct limits limits = limits_of(&software);
    C = 64, F = 96; // whole vectors, or the plain forms are taken
    make_graph(&g, STORAGE_F32, STORAGE_F32);
    program_make(&p, &g, &limits, true, false);
    struct live_counts live = {.tokens = 33, .targets = 25, .pairs = 20 * 20 + 13 * 13}, none = {.first = true};
    double n = 33, t = 25, weights = (H + 2 * G) * D * C + C * H * D + 2 * F * C + C * F;
    CHECK_NEAR(sum_of(&p, "matmul_", &live).flop, 3 * 2 * (n * weights + t * V * C));
    CHECK_NEAR(sum_of(&p, "attention_", &live).flop, 9 * live.pairs * H * D);
    // Three norms forward, the layer's two made again; dw of three; backward adds to a residual's gradient in two.
    CHECK_NEAR(sum_of(&p, "rmsnorm", &live).bytes, (2 * 3 + 2 * 2 + 2 * 3 + 4 * 2 + 3) * n * C * 4);
    int wide = 0;
    for (int i = 0; i < p.call_count; i++) {
        const char *kernel = p.calls[i].kernel;
        struct cost c = call_cost(&p, &p.calls[i], &none);
        bool all = strcmp(kernel, "strips") == 0 && p.calls[i].constants[2] == 0; // of weights
        bool whatever = all || strncmp(kernel, "matmul_", 7) == 0 || strcmp(kernel, "column_sum") == 0;
        CHECK_SAY(c.flop == 0 && (whatever || c.bytes == 0), "%s costs without rows", kernel);
        wide += strstr(kernel, "_wide") || strcmp(kernel, "strips") == 0;
    }
    CHECK(wide > 5);
    program_free(&p);
    graph_free(&g);
}

// The backward pass that keeps gradients of scores: two products less; each key head once, as many at a time as the cache
// holds; none where a head's would ask for too much memory.
static void test_kept_scores(int rows, int key_heads)
{
    struct graph g;
    struct program p;
    struct limits limits = limits_of(&software);
    T = rows, D = 16;
    make_graph(&g, STORAGE_F32, STORAGE_F32);
    program_make(&p, &g, &limits, true, false);
    struct live_counts full = {.tokens = (uint64_t)T, .targets = (uint64_t)T, .pairs = (double)T * T};
    CHECK_NEAR(sum_of(&p, "attention_", &full).flop, (key_heads ? 7 : 9) * full.pairs * H * D);
    struct live_counts half = {.tokens = (uint64_t)T / 2, .targets = (uint64_t)T / 2, .pairs = (double)T * T / 8}; // two documents
    double more = sum_of(&p, "attention_d", &full).bytes - 2 * sum_of(&p, "attention_d", &half).bytes;
    // Kept scores, written and read, are halves of squares; everything else goes by rows.
    CHECK_NEAR(more, key_heads ? 2 * 4.0 * H * (full.pairs - 2 * half.pairs) / 2 : 0);
    uint32_t keys = 0, queries = 0;
    for (int i = 0; i < p.call_count; i++) {
        struct attention_args a;
        bool kv = strcmp(p.calls[i].kernel, "attention_dkv_scores_wide") == 0;
        if (!kv && strcmp(p.calls[i].kernel, "attention_dq_scores_wide") != 0) continue;
        memcpy(&a, p.calls[i].args, sizeof a);
        CHECK(a.first_kv == (kv ? keys : queries) && a.own_kv == (uint32_t)key_heads);
        if (kv) keys += a.own_kv;
        else queries += a.own_kv;
        CHECK(keys >= queries); // dQ reads what was kept last
    }
    CHECK(keys == (key_heads ? G : 0) && queries == keys);
    program_free(&p);
    graph_free(&g);
    T = 96, D = 8;
}

// Calls of attention's kernels, with the longest one's seconds.
static int attention_parts(const struct program *p, double *longest)
{
    int count = 0;
    *longest = 0;
    for (int i = 0; i < p->call_count; i++) {
        if (strncmp(p->calls[i].kernel, "attention_", 10) != 0 || p->calls[i].flop == 0) continue;
        double seconds = call_seconds(&p->limits, &p->calls[i]);
        if (seconds > *longest) *longest = seconds;
        count++;
    }
    return count;
}

// What was measured of products is their time, whatever the guess; attention is cut by their speed where that is below the
// guess.
static void test_measured(double speed, bool slow)
{
    T = 2048; // many workgroups' rows
    struct limits limits = limits_of(NULL);
    struct choices *met = choices_new(), *measured = choices_new();
    limits.met = met;
    limits.dispatch_seconds = 9.0 / 3 * T * T * H * D / limits.flop_per_second; // what all three kernels take in the mean
    int parts[2];
    double longest;
    for (int again = 0; again < 2; again++) {
        struct graph g;
        struct program p;
        make_graph(&g, STORAGE_F32, STORAGE_F32);
        program_make(&p, &g, &limits, true, false);
        parts[again] = attention_parts(&p, &longest);
        CHECK_SAY(longest <= limits.dispatch_seconds, "%g s, at most %g", longest, limits.dispatch_seconds);
        struct product_shape shape;
        for (int i = 0; again && i < p.call_count; i++)
            if (call_product(&p.calls[i], &shape))
                CHECK_NEAR(call_seconds(&limits, &p.calls[i]), 2.0 * shape.m * shape.n * shape.k / speed);
        program_free(&p);
        graph_free(&g);
        for (int i = 0; i < choices_count(met); i++) {
            const struct choice *c = choices_at(met, i);
            choices_set(measured, &c->shape, &c->variant,
                2.0 * (double)c->shape.m * (double)c->shape.n * (double)c->shape.k / speed);
        }
        limits.met = NULL;
        limits.choices = measured;
    }
    CHECK_NEAR(choices_speed(measured), speed);
    CHECK(choices_speed(met) == 0 && choices_speed(NULL) == 0);
    CHECK_SAY(slow ? parts[1] > 4 * parts[0] : parts[1] == parts[0], "%d calls, then %d", parts[0], parts[1]);
    choices_free(met);
    choices_free(measured);
    T = 96;
}

static void test_update(enum storage storage, enum storage gradients, enum optimizer optimizer)
{
    struct graph g;
    struct limits limits = limits_of(NULL);
    struct weight_layout w;
    struct error e = {0};
    struct update u;
    limits.max_range = 16384; // several pieces a block
    make_graph(&g, storage, gradients);
    CHECK_SAY(weight_layout_make(&w, &g, &limits, &e) == 0, "%s", e.text);
    update_make(&u, &w, &limits, storage, optimizer);
    double matrices = 0, vectors = 0, bytes = 0, partials = 0;
    for (int b = 0; b < w.blocks; b++) *(w.block[b].matrices ? &matrices : &vectors) += (double)w.block[b].elements;
    for (int i = 0; i < u.count; i++) {
        struct cost c = update_cost(&u.calls[i]);
        CHECK(c.flop == 0);
        CHECK(c.bytes > 0 && u.calls[i].call.bytes == c.bytes);
        if (strcmp(u.calls[i].call.kernel, "norm_finish") == 0) partials = c.bytes;
        else bytes += c.bytes;
    }
    // Squares: g. AdamW: g, and p, m, v there and back. SGD: g, p there and back. The bf16 copy of matrices is written.
    double each = 4 + (optimizer == OPTIMIZER_ADAMW ? 28 : 12);
    double less = gradients == STORAGE_BF16 ? 4 * matrices : 0; // both read 2 bytes of a gradient instead of 4
    CHECK_NEAR(bytes, each * (matrices + vectors) + (storage == STORAGE_BF16 ? 2 * matrices : 0) - less);
    CHECK_NEAR(partials, 4.0 * (double)norm_partials(&w));
    CHECK(u.count > 5);
    update_free(&u);
    // Where memory is slow: pieces that take no longer than a dispatch may, with the sums of squares that they had.
    limits.max_range = UINT64_C(1) << 30;
    limits.bytes_per_second = 30 * 5000 / limits.dispatch_seconds;
    update_make(&u, &w, &limits, storage, optimizer);
    uint64_t squared = 0;
    for (int i = 0; i < u.count; i++) {
        const struct update_call *c = &u.calls[i];
        CHECK(call_seconds(&limits, &c->call) <= limits.dispatch_seconds);
        if (strncmp(c->call.kernel, "sum_squares", 11) != 0) continue;
        struct sum_squares_args args;
        memcpy(&args, c->call.args, sizeof args);
        CHECK(c->first % NORM_BLOCK == 0 && args.first_partial == squared);
        squared += (c->count + NORM_BLOCK - 1) / NORM_BLOCK;
    }
    CHECK(squared == norm_partials(&w));
    update_free(&u);
    weight_layout_free(&w);
    graph_free(&g);
}

int main(void)
{
    test_program(STORAGE_F32, STORAGE_F32);
    test_program(STORAGE_BF16, STORAGE_F32);
    test_program(STORAGE_BF16, STORAGE_BF16);
    test_wide();
    test_kept_scores(256, 2);
    test_kept_scores(512, 2);
    test_kept_scores(528, 1);
    test_kept_scores(4096, 0);
    test_measured(1e11, true);
    test_measured(1e15, false);
    test_update(STORAGE_F32, STORAGE_F32, OPTIMIZER_ADAMW);
    test_update(STORAGE_BF16, STORAGE_F32, OPTIMIZER_ADAMW);
    test_update(STORAGE_BF16, STORAGE_F32, OPTIMIZER_SGD);
    test_update(STORAGE_BF16, STORAGE_BF16, OPTIMIZER_ADAMW);
    test_update(STORAGE_BF16, STORAGE_BF16, OPTIMIZER_SGD);
    return test_end();
}
