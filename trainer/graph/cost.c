// SPDX-License-Identifier: MIT
#include "cost.h"

#include "args.h"

#include <stddef.h>
#include <string.h>

static uint64_t live_of(const struct live_counts *live, uint32_t kind, uint64_t rows, uint64_t first_row)
{
    if (kind == LIVE_NONE) return rows;
    uint64_t count = kind == LIVE_TOKENS ? live->tokens : live->targets;
    uint64_t left = count > first_row ? count - first_row : 0;
    return left < rows ? left : rows;
}

static double element_bytes(const struct program *p, const struct use *u)
{
    return storage_bytes(tensor_storage(p->graph, u->tensor, u->part));
}

bool call_product(const struct call *c, struct product_shape *shape)
{
    if (strncmp(c->kernel, "matmul_", 7) != 0 || strcmp(c->kernel, "matmul_reduce") == 0) return false;
    struct matmul_args x;
    memcpy(&x, c->args, sizeof x);
    *shape = (struct product_shape){c->constants[2], x.m, x.n, x.k};
    return true;
}

const char *layout_name(uint32_t layout)
{
    return layout == LAYOUT_NT ? "NT" : layout == LAYOUT_NN ? "NN" : "TN";
}

static struct cost product_cost(const struct program *p, const struct call *c, const struct live_counts *live)
{
    struct matmul_args x;
    memcpy(&x, c->args, sizeof x);
    double m = (double)live_of(live, c->constants[3], x.m, x.first_row), n = (double)x.n;
    double k = (double)live_of(live, c->constants[4], x.k, x.first_row);
    uint32_t add = c->constants[5];
    bool adds = add == ADD_ALWAYS || (add == ADD_UNLESS_FIRST && !live->first);
    double c_bytes = m * n * element_bytes(p, &c->uses[2]);
    struct cost cost = {2 * m * n * k, m * k * element_bytes(p, &c->uses[0]) + k * n * element_bytes(p, &c->uses[1])};
    cost.bytes += c_bytes * (adds ? 2 : 1);
    if (c->constants[6] == EPILOGUE_RESIDUAL) cost.bytes += m * n * element_bytes(p, &c->uses[3]);
    return cost;
}

// The parts of a split product, each read once, and its C: what is added to it is the product's own cost.
static struct cost reduce_cost(const struct program *p, const struct call *c, const struct live_counts *live)
{
    struct cost cost = product_cost(p, c, live);
    struct matmul_args x;
    memcpy(&x, c->args, sizeof x);
    double m = (double)live_of(live, c->constants[3], x.m, x.first_row), n = (double)x.n, parts = (double)c->constants[7];
    double k = (double)live_of(live, c->constants[4], x.k, x.first_row), share = k / (double)x.k;
    cost.bytes -= 4 * (m * k + k * n); // there are no operands
    cost.bytes += 4 * m * n * parts * share;
    cost.flop = m * n * parts * share;
    return cost;
}

#define NO_ROWS SIZE_MAX
// Kernels whose work is in proportion to live rows: of which count, and where their arguments say which rows are theirs
// (NO_ROWS: all of the micro-batch's).
static const struct {
    const char *kernel;
    uint32_t live;
    size_t rows, first_row;
} by_rows[] = {
    {"embed", LIVE_TOKENS, NO_ROWS, NO_ROWS},
    {"embed_backward", LIVE_TOKENS, NO_ROWS, NO_ROWS},
    {"rmsnorm", LIVE_TOKENS, offsetof(struct rmsnorm_args, rows), offsetof(struct rmsnorm_args, first_row)},
    {"rmsnorm_dw", LIVE_TOKENS, offsetof(struct rmsnorm_backward_args, rows),
        offsetof(struct rmsnorm_backward_args, first_row)},
    {"rmsnorm_backward", LIVE_TOKENS, offsetof(struct rmsnorm_backward_args, rows),
        offsetof(struct rmsnorm_backward_args, first_row)},
    {"rope", LIVE_TOKENS, offsetof(struct rope_args, rows), offsetof(struct rope_args, first_row)},
    {"attention_delta", LIVE_TOKENS, NO_ROWS, NO_ROWS},
    {"glu", LIVE_TOKENS, offsetof(struct glu_args, rows), offsetof(struct glu_args, first_row)},
    {"glu_backward", LIVE_TOKENS, offsetof(struct glu_args, rows), offsetof(struct glu_args, first_row)},
    {"dropout", LIVE_TOKENS, offsetof(struct dropout_args, rows), offsetof(struct dropout_args, first_row)},
    {"gather_rows", LIVE_TARGETS, NO_ROWS, NO_ROWS},
    {"scatter_rows", LIVE_TOKENS, NO_ROWS, NO_ROWS},
    {"cross_entropy", LIVE_TARGETS, offsetof(struct cross_entropy_args, rows),
        offsetof(struct cross_entropy_args, first_row)},
};

static uint64_t word_at(const struct call *c, size_t offset)
{
    uint32_t word;
    memcpy(&word, c->args + offset, sizeof word);
    return word;
}

double attention_share(const struct call *c, uint64_t T)
{
    struct attention_args a;
    memcpy(&a, c->args, sizeof a);
    double t = (double)T, first = (double)a.first_row, end = first + (double)a.own_rows;
    if (T == 0) return 0;
    if (first > t) first = t;
    if (end > t) end = t;
    if (strncmp(c->kernel, "attention_dkv", 13) == 0) { // a key's pairs are the queries from its row on
        double past = first;
        first = t - end;
        end = t - past;
    }
    return (end - first) * (end + first) / (t * t);
}

double scores_bytes(const struct call *c, double flop)
{
    double products = strcmp(c->kernel, "attention_dkv_scores_wide") == 0  ? 4
                      : strcmp(c->kernel, "attention_dq_scores_wide") == 0 ? 1
                                                                           : 0;
    return products > 0 ? 4 * flop / (2 * products * c->constants[2]) : 0; // two flop a number and pair of a head
}

// As if live rows were one document: which part of it has which is not known here.
static struct cost attention_cost(const struct program *p, const struct call *c, const struct live_counts *live)
{
    double T = (double)p->graph->tokens;
    struct attention_args a;
    memcpy(&a, c->args, sizeof a);
    double rows = (double)live_of(live, LIVE_TOKENS, a.own_rows, a.first_row);
    uint64_t tokens = live_of(live, LIVE_TOKENS, p->graph->tokens, 0);
    double share = attention_share(c, tokens) / attention_share(c, p->graph->tokens);
    double flop = c->flop * live->pairs / (T * T) * share, kept = scores_bytes(c, c->flop);
    return (struct cost){flop, (c->bytes - kept) * rows / (double)a.own_rows + scores_bytes(c, flop)};
}

struct cost call_cost(const struct program *p, const struct call *c, const struct live_counts *live)
{
    struct product_shape shape;
    if (call_product(c, &shape)) return product_cost(p, c, live);
    if (strcmp(c->kernel, "matmul_reduce") == 0) return reduce_cost(p, c, live);
    if (strncmp(c->kernel, "attention_", 10) == 0 && c->flop > 0) return attention_cost(p, c, live);
    if (strcmp(c->kernel, "strips") == 0) {
        struct strips_args x;
        memcpy(&x, c->args, sizeof x);
        return (struct cost){0, c->bytes * (double)live_of(live, c->constants[2], x.rows, x.first_row) / (double)x.rows};
    }
    if (strcmp(c->kernel, "column_sum") == 0) {
        struct column_sum_args x;
        memcpy(&x, c->args, sizeof x);
        return (struct cost){0, c->bytes * (double)live_of(live, c->constants[2], x.rows, 0) / (double)x.rows};
    }
    for (size_t i = 0; i < sizeof by_rows / sizeof *by_rows; i++) {
        size_t name = strlen(by_rows[i].kernel); // a wide form costs the same
        if (strncmp(c->kernel, by_rows[i].kernel, name) != 0) continue;
        if (c->kernel[name] && strcmp(c->kernel + name, "_wide") != 0) continue;
        uint64_t rows = by_rows[i].rows == NO_ROWS ? p->graph->tokens : word_at(c, by_rows[i].rows);
        uint64_t first = by_rows[i].first_row == NO_ROWS ? 0 : word_at(c, by_rows[i].first_row);
        double share = (double)live_of(live, by_rows[i].live, rows, first) / (double)rows;
        return (struct cost){c->flop * share, c->bytes * share};
    }
    return (struct cost){c->flop, c->bytes};
}

struct cost update_cost(const struct update_call *c)
{
    struct cost cost = {0};
    for (int i = 0; i < c->use_count; i++) {
        enum update_part part = c->uses[i].part;
        bool narrow = c->call.constants[1] >> (i + 1) & 1;
        if (part == UPDATE_COPY) cost.bytes += 2 * (double)c->count;
        else if (part >= UPDATE_GRADIENT) cost.bytes += (c->uses[i].writes ? 8 : narrow ? 2 : 4) * (double)c->count;
    }
    if (strcmp(c->call.kernel, "norm_finish") == 0) {
        struct norm_args x;
        memcpy(&x, c->call.args, sizeof x);
        cost.bytes = 4 * (double)x.count;
    }
    return cost;
}
