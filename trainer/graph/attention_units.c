// SPDX-License-Identifier: MIT
//
// attention_units.c: the tiles of the attention kernels on matrix units (attention_coopmat.glsl), and whether to use
// them.
#include "choices.h"
#include "coopmat.h"

#include <math.h>
#include <string.h>

// A workgroup's subgroups, streamed rows of a block, and how it uses registers and workgroup memory: see the kernels.
struct tile {
    uint32_t waves_m, waves_n, block, hold, phased;
};

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// What the kernels name: one list of sums and one side of owned rows, or two.
static uint64_t sums_of(enum attention_kernel kind)
{
    return kind == ATTENTION_DKV ? 2 : 1;
}

static uint64_t sides_of(enum attention_kernel kind)
{
    return kind == ATTENTION_FORWARD ? 1 : 2;
}

// As the kernels lay it out, in bytes.
static uint64_t shared_bytes(
    const struct tile *t, const struct gpu_matrix *x, enum attention_kernel kind, uint32_t head_dim, uint32_t group)
{
    uint64_t rows = x->m * t->waves_m, waves = t->waves_m * t->waves_n, fragment = x->m * (x->n / 4 + 1);
    uint64_t own = sides_of(kind) * rows * (head_dim / 8 + 1), tile = sides_of(kind) * t->block * (head_dim / 8 + 1);
    uint64_t turned = sums_of(kind) * head_dim * (t->block / 8 + 1), halves = sums_of(kind) * rows * (t->block / 8 + 1);
    uint64_t words = (t->hold ? 0 : own) + (t->phased ? more(tile, turned) : tile + turned) + halves, loose = 0;
    if (kind == ATTENTION_FORWARD) {
        words += more(rows * (t->block / 4 + 1), waves * fragment) + rows / 4;
        loose = 4 * t->block + 4;
    } else {
        words += 2 * waves * fragment;
        loose = kind == ATTENTION_DQ ? 12 * rows : 4 * rows + 8 * t->block;
    }
    return 16 * more(words, own) + loose + 8 * (uint64_t)group + 256; // and lang.glsl's own
}

// Registers of a lane that sums and held rows take, and in the forward pass what sums fade by, with the softmax's own.
// Some devices hold operands twice where subgroups have 32 lanes.
static uint64_t registers(
    const struct tile *t, const struct gpu_matrix *x, enum attention_kernel kind, uint32_t head_dim, uint32_t lanes)
{
    uint64_t columns = (head_dim / x->n + t->waves_n - 1) / t->waves_n, twice = lanes >= 32 ? 2 : 1;
    uint64_t sums = sums_of(kind) * columns * x->m * x->n / lanes;
    uint64_t held = sides_of(kind) * head_dim * x->m / 2 / lanes * twice;
    return sums + (t->hold ? held : 0) + (kind == ATTENTION_FORWARD ? 2 * x->m * x->n / lanes : 0);
}

// A lane's registers beside what a product of fragments and the scores need. (No tile within this spills a vector
// register on any device that we can compile for.)
static uint64_t most_registers(uint32_t lanes)
{
    return lanes >= 32 ? 128 : lanes >= 16 ? 48 : 32;
}

static bool fits(const struct tile *t, const struct gpu_info *info, const struct gpu_matrix *x,
    enum attention_kernel kind, uint32_t head_dim, uint32_t lanes)
{
    uint32_t group = lanes * t->waves_m * t->waves_n, columns = head_dim / x->n;
    return t->waves_m > 0 && t->block % x->n == 0 && t->block % x->k == 0 && t->waves_n <= columns &&
           (columns + t->waves_n - 1) / t->waves_n <= 8 && (!t->hold || head_dim / x->k <= 8) &&
           lanes * t->waves_n % x->m == 0 && group <= 256 && group <= info->max_invocations &&
           group <= info->max_group_size && registers(t, x, kind, head_dim, lanes) <= most_registers(lanes) &&
           shared_bytes(t, x, kind, head_dim, group) <= info->max_shared;
}

// A guess of the time for a pair of rows: products, the loads of owned rows that are not held, what is streamed for
// every workgroup, what stands between barriers, and fewer workgroups at a time where they take more memory.
static double cost(
    const struct tile *t, const struct gpu_matrix *x, enum attention_kernel kind, uint32_t head_dim, uint32_t group)
{
    double rows = (double)(x->m * t->waves_m), block = (double)t->block;
    double shared = (double)shared_bytes(t, x, kind, head_dim, group) / 65536;
    return (t->hold ? 1 : 1.4) + 24 / rows + 8 / block + (t->phased ? 0.2 : 0) + 0.1 * (double)t->waves_n + shared;
}

static bool choose(struct tile *best, const struct gpu_info *info, const struct gpu_matrix *x,
    enum attention_kernel kind, uint32_t head_dim, uint32_t lanes)
{
    double least = INFINITY;
    for (uint32_t rows = 64; rows >= x->m; rows /= 2)
        for (uint32_t block = 64; block >= 8; block /= 2)
            for (uint32_t waves_n = 1; waves_n <= 8; waves_n *= 2)
                for (uint32_t way = 0; way < 4; way++) {
                    struct tile t = {rows / x->m, waves_n, block, way < 2, way & 1};
                    if (!fits(&t, info, x, kind, head_dim, lanes)) continue;
                    double seconds = cost(&t, x, kind, head_dim, lanes * t.waves_m * t.waves_n);
                    if (seconds >= least) continue;
                    *best = t;
                    least = seconds;
                }
    return least < INFINITY;
}

// Wrong for one storage or pass is wrong for all, so that all of a run's programs round alike.
static bool found_wrong(const struct limits *limits, uint32_t head_dim)
{
    for (int i = limits->choices ? choices_attention_count(limits->choices) : 0; i--;) {
        const struct attention_choice *c = choices_attention_at(limits->choices, i);
        if (c->shape.head_dim == head_dim && c->shape.products == limits->products && !c->right) return true;
    }
    return false;
}

static const char *const names[][2] = {[ATTENTION_FORWARD] = {"attention_forward_coopmat_fp16", "attention_forward_coopmat_bf16"},
    [ATTENTION_DELTA] = {"", ""}, [ATTENTION_DQ] = {"attention_dq_coopmat_fp16", "attention_dq_coopmat_bf16"},
    [ATTENTION_DKV] = {"attention_dkv_coopmat_fp16", "attention_dkv_coopmat_bf16"}};

void attention_meet(const struct program *p)
{
    for (int i = 0; i < p->call_count; i++)
        for (enum attention_kernel kind = ATTENTION_FORWARD; kind <= ATTENTION_DKV; kind++) {
            const struct call *c = &p->calls[i];
            if (strcmp(c->kernel, names[kind][0]) != 0 && strcmp(c->kernel, names[kind][1]) != 0) continue;
            struct attention_shape shape = {.head_dim = c->constants[2], .dropout = c->constants[3],
                .bf16 = graph_at(p->graph, c->uses[1].tensor)->storage == STORAGE_BF16, .products = p->limits.products};
            choices_meet_attention(p->limits.met, &shape, kind);
        }
}

const char *attention_units(const struct limits *limits, struct call *c, enum attention_kernel kind, uint64_t T,
    uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    struct gpu_matrix x;
    struct tile t, other;
    uint32_t lanes;
    bool bf16 = limits->products == PRODUCTS_BF16;
    if (limits->products == PRODUCTS_F32 || !coopmat_unit(limits->info, limits->products, &x, &lanes)) return "";
    if (head_dim % x.n != 0 || head_dim % x.k != 0) return "the matrix units' shape does not divide the head";
    for (int i = ATTENTION_FORWARD; i <= ATTENTION_DKV; i++) // all or none, so that all round alike
        if (i != ATTENTION_DELTA && !choose(&other, limits->info, &x, i, head_dim, lanes))
            return "tiles for matrix units do not fit the device";
    if (found_wrong(limits, head_dim)) return "matrix units are wrong or refused on this device";
    choose(&t, limits->info, &x, kind, head_dim, lanes);
    c->kernel = names[kind][bf16];
    c->why = "matrix units";
    c->constants[0] = lanes * t.waves_m * t.waves_n;
    c->subgroup = limits->info->subgroup_control ? lanes : 0;
    const uint32_t constants[] = {x.m, x.n, x.k, t.waves_m, t.waves_n, t.block, t.hold, t.phased};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) call_constant(c, constants[i]);
    uint64_t rows = x.m * t.waves_m, groups = (T + rows - 1) / rows * (kind == ATTENTION_DKV ? kv_heads : heads);
    fold_groups(limits, groups, &c->groups_x, &c->groups_y);
    return NULL;
}

uint64_t attention_fingerprint(const struct limits *limits, const struct attention_shape *s)
{
    struct limits bare = *limits;
    bare.choices = NULL;
    bare.products = s->products;
    uint64_t hash = FNV_START;
    for (enum attention_kernel kind = ATTENTION_FORWARD; kind <= ATTENTION_DKV; kind++) {
        struct call c = {.kernel = "", .constants = {0, 0, s->head_dim, s->dropout}, .constant_count = 4};
        if (kind == ATTENTION_DELTA) continue;
        attention_units(&bare, &c, kind, 1024, 2, 1, s->head_dim);
        hash = fnv1a(hash, c.kernel, strlen(c.kernel));
        hash = fnv1a(hash, &c.subgroup, sizeof c.subgroup);
        hash = fnv1a(hash, c.constants, c.constant_count * sizeof *c.constants);
    }
    return hash;
}
