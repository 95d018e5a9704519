// SPDX-License-Identifier: MIT
//
// matmul_run.c: one matrix product on the device against double precision, by any variant.
#include "matmul_run.h"

static uint32_t alive(uint32_t kind, uint32_t most, const struct product *p)
{
    uint32_t count = p->count > p->first_row ? p->count - p->first_row : 0;
    return kind == LIVE_NONE || count > most ? most : count;
}

// How far rounding may move an operand.
static double rounding(const struct product *p, double x, bool bf16)
{
    switch (p->products) {
    case PRODUCTS_FP16:
        return fabs(x) < 0x1p-14 ? fabs(x) : bf16 ? 0 : fabs(x) * 0x1p-10;
    case PRODUCTS_BF16:
        return bf16 ? 0 : fabs(x) * 0x1p-7;
    case PRODUCTS_F32:
        break;
    }
    return 0;
}

// Where an operand has term q of its row (or column) i: in a tensor whose rows are walked by k or not, or in strips (args.h).
struct operand {
    struct field *f;
    bool by_k;
    uint32_t shift;
    uint32_t terms, strip, lanes; // strip 0: a tensor; lanes not 0: strips in PAIRS
};

static double *element(const struct operand *x, uint32_t i, uint32_t q)
{
    if (!x->strip) return x->f->value + (size_t)(x->by_k ? q : i) * x->f->columns + (x->by_k ? i : q) + x->shift;
    uint32_t in_strip = i % x->strip, in_pairs = x->lanes ? in_strip % (2 * x->lanes) : 0;
    if (x->lanes) in_strip += in_pairs % 2 * x->lanes + in_pairs / 2 - in_pairs;
    return x->f->value + ((size_t)(i / x->strip) * x->terms + q) * x->strip + in_strip;
}

static void set(const struct operand *x, uint32_t i, uint32_t q, double number)
{
    size_t at = (size_t)(element(x, i, q) - x->f->value);
    field_set(x->f, (uint32_t)(at / x->f->columns), (uint32_t)(at % x->f->columns), number);
}

static struct operand operand(struct run *r, bool by_k, uint32_t rows, uint32_t terms, uint32_t shift)
{
    return (struct operand){run_tensor(r, by_k ? terms : rows, (by_k ? rows : terms) + shift), .by_k = by_k, .shift = shift};
}

static struct operand strips(struct run *r, const struct matmul_variant *v, uint32_t rows, uint32_t terms, bool pairs)
{
    return (struct operand){run_floats(r, (rows + v->strips - 1) / v->strips * v->strips * terms),
        .terms = terms, .strip = v->strips, .lanes = pairs ? v->group : 0};
}

static int run_whole(const struct product *p, const struct matmul_variant *v, uint64_t *seed)
{
    struct run r;
    uint32_t group_before = run_group;
    run_group = v->group;
    run_begin(&r, v->kernel, p->store);
    r.subgroup = v->subgroup;
    uint32_t constants[] = {p->layout, p->live_m, p->live_k, p->add, p->epilogue};
    for (int i = 0; i < 5; i++) run_constant(&r, constants[i]);
    for (uint32_t i = 0; i < v->constant_count; i++) run_constant(&r, v->constants[i]);
    r.live.tokens = p->live_m == LIVE_TOKENS || p->live_k == LIVE_TOKENS ? p->count : 1000;
    r.live.targets = p->live_m == LIVE_TARGETS || p->live_k == LIVE_TARGETS ? p->count : 1000;
    r.live.first = p->first;

    // Rows beyond the live ones keep the pattern, a NaN; every matrix begins a few columns (a multiple of 8) into its
    // rows.
    uint32_t m = alive(p->live_m, p->m, p), k = alive(p->live_k, p->k, p);
    bool a_by_k = p->layout == LAYOUT_TN, b_by_n = p->layout == LAYOUT_NT;
    uint32_t shift_a = 8 * (p->m % 2), shift_b = 8 * (p->n % 2), shift_c = 8 * (p->k % 2), shift_e = 8 * (p->m % 3);
    bool packed = v->strips != 0, turned = packed && a_by_k;
    if (packed && b_by_n) shift_a = 0;
    else if (packed) shift_b = 0;
    if (turned) shift_a = 0;
    if (packed) r.constants[1] &= ~6u; // A and B are f32 then
    struct operand a = packed && b_by_n ? strips(&r, v, p->m, p->k, false) : operand(&r, a_by_k && !turned, p->m, p->k, shift_a);
    struct operand b = packed && !b_by_n ? strips(&r, v, p->n, p->k, p->store >> 3 & 1)
                                         : operand(&r, !b_by_n, p->n, p->k, shift_b);
    uint32_t beyond = p->store >> 3 & p->n & 1 ? 0 : 1; // a bf16 pair's second half may become 0
    struct field *c = run_tensor(&r, p->m, p->n + shift_c + beyond);
    bool residual = p->epilogue == EPILOGUE_RESIDUAL, bias = p->epilogue == EPILOGUE_BIAS;
    struct field *e = residual || bias ? run_tensor(&r, bias ? 1 : p->m, p->n + shift_e) : run_shared(&r, 1);
    struct matmul_args args = {p->m, p->n, p->k, a.f->ld, b.f->ld, c->ld, e->ld, shift_a, shift_b, shift_c,
        residual || bias ? shift_e : 0, p->first_row, p->scale};
    run_args(&r, &args, sizeof args);

    for (uint32_t i = 0; i < k; i++) {
        for (uint32_t j = 0; j < m; j++) set(&a, j, i, test_uniform(seed));
        for (uint32_t j = 0; j < p->n; j++) set(&b, j, i, test_uniform(seed));
    }
    if (p->huge != 0) set(&a, 0, 0, (double)p->huge);
    field_random(c, 0, p->m, 1, seed);
    bool adds = p->add == ADD_ALWAYS || (p->add == ADD_UNLESS_FIRST && !p->first);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < p->n; j++) {
            double sum = 0, size = 0, off = 0, most = 0, added = 0, added_size = 0;
            for (uint32_t q = 0; q < k; q++) {
                double x = *element(&a, i, q), y = *element(&b, j, q);
                double dx = rounding(p, x, a.f->stored == STORED_BF16), dy = rounding(p, y, b.f->stored == STORED_BF16);
                sum += x * y;
                off += fabs(x) * dy + fabs(y) * dx + dx * dy;
                size += fabs(x * y) + fabs(x) * dy + fabs(y) * dx + dx * dy;
                most = fmax(most, fabs(x));
            }
            if (residual || (bias && i == 0)) field_set(e, i, j + shift_e, test_uniform(seed));
            if (residual || bias) added += e->value[(bias ? 0 : i) * e->columns + j + shift_e];
            added_size = fabs(added);
            if (adds) {
                double old = c->value[i * c->columns + j + shift_c];
                added += old;
                added_size += fabs(old);
            }
            double scale = fabs((double)p->scale), bound = (k + 5) * ULP * (scale * size + added_size) + scale * off + TINY;
            if (p->products == PRODUCTS_FP16 && most >= 65520) bound = NON_FINITE;
            field_want(c, i, j + shift_c, sum * (double)p->scale + added, bound);
        }
    int wrong = run_execute(&r, v->groups_x * v->groups_y + 1); // one beyond the work
    run_group = group_before;
    return wrong;
}

// ---- products whose k is split -------------------------------------------------------------------------------------

static uint32_t part_terms(const struct product *p, const struct matmul_variant *v)
{
    uint32_t steps = (p->k + v->step - 1) / v->step;
    return (steps + v->split - 1) / v->split * v->step;
}

static void split_constants(struct run *r, const struct product *p, uint32_t add, uint32_t epilogue)
{
    uint32_t constants[] = {p->layout, p->live_m, p->live_k, add, epilogue};
    for (int i = 0; i < 5; i++) run_constant(r, constants[i]);
    r->live.tokens = p->live_m == LIVE_TOKENS || p->live_k == LIVE_TOKENS ? p->count : 1000;
    r->live.targets = p->live_m == LIVE_TARGETS || p->live_k == LIVE_TARGETS ? p->count : 1000;
    r->live.first = p->first;
}

// The kernel: each part's sums in rows of their own; parts without live terms leave theirs alone.
static int run_parts(const struct product *p, const struct matmul_variant *v, uint64_t *seed)
{
    struct run r;
    run_begin(&r, v->kernel, p->store & 6);
    r.subgroup = v->subgroup;
    split_constants(&r, p, ADD_NONE, EPILOGUE_NONE);
    for (uint32_t i = 0; i < v->constant_count; i++) run_constant(&r, v->constants[i]);
    uint32_t m = alive(p->live_m, p->m, p), k = alive(p->live_k, p->k, p), part = part_terms(p, v);
    bool a_by_k = p->layout == LAYOUT_TN, b_by_n = p->layout == LAYOUT_NT;
    struct field *a = run_tensor(&r, a_by_k ? p->k : p->m, a_by_k ? p->m : p->k);
    struct field *b = run_tensor(&r, b_by_n ? p->n : p->k, b_by_n ? p->k : p->n);
    struct field *c = run_tensor(&r, v->split * p->m, (p->n + 3) / 4 * 4); // whole vec4s are written
    run_shared(&r, 1);
    struct matmul_args args = {p->m, p->n, p->k, a->ld, b->ld, c->ld, 8, 0, 0, 0, 0, p->first_row, 1};
    run_args(&r, &args, sizeof args);
    field_random(a, 0, a_by_k ? k : m, 1, seed);
    field_random(b, 0, b_by_n ? p->n : k, 1, seed);
    for (uint32_t s = 0; s < v->split && s * part < k; s++)
        for (uint32_t i = 0; i < m; i++) {
            for (uint32_t j = 0; j < c->columns; j++) field_want(c, s * p->m + i, j, 0, ANYTHING);
            for (uint32_t j = 0; j < p->n; j++) {
                double sum = 0, size = 0, off = 0;
                for (uint32_t q = s * part; q < (s + 1) * part && q < k; q++) {
                    double x = a->value[(a_by_k ? q : i) * a->columns + (a_by_k ? i : q)];
                    double y = b->value[(b_by_n ? j : q) * b->columns + (b_by_n ? q : j)];
                    double dx = rounding(p, x, a->stored == STORED_BF16), dy = rounding(p, y, b->stored == STORED_BF16);
                    sum += x * y;
                    off += fabs(x) * dy + fabs(y) * dx + dx * dy;
                    size += fabs(x * y);
                }
                field_want(c, s * p->m + i, j, sum, (part + 5) * ULP * (size + off) + off + TINY);
            }
        }
    return run_execute(&r, v->groups_x * v->groups_y + 1);
}

// matmul_reduce on random sums.
static int run_reduce(const struct product *p, const struct matmul_variant *v, uint64_t *seed)
{
    struct run r;
    run_begin(&r, "matmul_reduce", p->store & ~6u);
    split_constants(&r, p, p->add, p->epilogue);
    run_constant(&r, v->split);
    run_constant(&r, v->step);
    uint32_t m = alive(p->live_m, p->m, p), k = alive(p->live_k, p->k, p), part = part_terms(p, v);
    uint32_t parts = (k + part - 1) / part, shift_c = 8 * (p->k % 2), shift_e = 8 * (p->m % 3);
    struct field *a = run_tensor(&r, v->split * p->m, p->n);
    run_shared(&r, 1);
    uint32_t beyond = p->store >> 3 & p->n & 1 ? 0 : 1;
    struct field *c = run_tensor(&r, p->m, p->n + shift_c + beyond);
    bool residual = p->epilogue == EPILOGUE_RESIDUAL, bias = p->epilogue == EPILOGUE_BIAS;
    struct field *e = residual || bias ? run_tensor(&r, bias ? 1 : p->m, p->n + shift_e) : run_shared(&r, 1);
    struct matmul_args args = {p->m, p->n, p->k, a->ld, a->ld, c->ld, e->ld, 0, 0, shift_c, residual || bias ? shift_e : 0,
        p->first_row, p->scale};
    run_args(&r, &args, sizeof args);
    for (uint32_t s = 0; s < parts; s++) field_random(a, s * p->m, m, 1, seed);
    field_random(c, 0, p->m, 1, seed);
    if (residual || bias) field_random(e, 0, bias ? 1 : m, 1, seed);
    bool adds = p->add == ADD_ALWAYS || (p->add == ADD_UNLESS_FIRST && !p->first);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < p->n; j++) {
            double sum = 0, size = 0, added = 0, added_size = 0;
            for (uint32_t s = 0; s < parts; s++) {
                double y = a->value[(s * p->m + i) * a->columns + j];
                sum += y;
                size += fabs(y);
            }
            if (residual || bias) added += e->value[(bias ? 0 : i) * e->columns + j + shift_e];
            added_size = fabs(added);
            if (adds) {
                double old = c->value[i * c->columns + j + shift_c];
                added += old;
                added_size += fabs(old);
            }
            double bound = (parts + 5) * ULP * (fabs((double)p->scale) * size + added_size) + TINY;
            field_want(c, i, j + shift_c, sum * (double)p->scale + added, bound);
        }
    return run_execute(&r, (p->m * ((p->n + 3) / 4) + run_group - 1) / run_group + 1);
}

int product_execute(const struct product *p, const struct matmul_variant *v, uint64_t *seed)
{
    if (v->split <= 1) return run_whole(p, v, seed);
    uint32_t group_before = run_group;
    run_group = v->group;
    int wrong = run_parts(p, v, seed);
    run_group = group_before;
    return wrong + run_reduce(p, v, seed);
}

static const struct product settings[] = {
    {.scale = 1},
    {.live_m = LIVE_TOKENS,
        .add = ADD_UNLESS_FIRST,
        .epilogue = EPILOGUE_BIAS,
        .store = 1 << 1 | 1 << 3,
        .scale = 0.5f},
    {.live_m = LIVE_TARGETS,
        .epilogue = EPILOGUE_RESIDUAL,
        .store = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
        .scale = -1.25f},
    {.live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 2, .scale = 1},
    {.live_k = LIVE_TARGETS, .add = ADD_ALWAYS, .store = 1 << 1, .scale = 2},
    {.live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST, .store = 1 << 1 | 1 << 2 | 1 << 3, .scale = 1}, // a gradient in bf16
};

void product_each(uint32_t layout, void (*run)(const struct product *p, void *context), void *context)
{
    static const uint32_t shapes[][3] = {
        {1, 1, 1}, {1, 8, 4}, {5, 7, 3}, {9, 33, 31}, {16, 64, 32}, {17, 66, 37}, {33, 130, 68}, {8, 3, 129}};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        struct product p = settings[s];
        if (s == 0 ? layout != LAYOUT_NT : (p.live_k != LIVE_NONE) != (layout == LAYOUT_TN)) continue; // as operators do
        p.layout = layout;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            p.m = shapes[i][0], p.n = shapes[i][1], p.k = shapes[i][2];
            uint32_t live = p.live_k ? p.k : p.m;
            for (int count = 0; count < (p.live_m || p.live_k ? 3 : 1); count++) {
                p.first_row = i % 2 ? 7 : 0;
                p.count = count == 0 ? p.first_row + live : count == 1 ? p.first_row + live / 2 : p.first_row / 2;
                p.first = (uint32_t)(i + (size_t)count) % 2;
                run(&p, context);
            }
        }
    }
}
