// SPDX-License-Identifier: MIT
//
// RMSNorm forward and backward, sums of columns, gated activations: kernels against references. Bounds follow the
// kernels' operations one by one, in the units of kernel_run.h.
#include "kernel_run.h"
#include "reference.h"

static uint32_t store_mask; // of the runs to come: 0, or every tensor as bf16
#define STORE(mask) (store_mask & (mask))

// What row kernels are tried with: widths around 1 vec4, workgroup multiples and primes; some, no and all rows in use.
static const uint32_t widths[] = {1, 5, 7, 8, 13, 31, 64, 65, 192, 257, 1280};
enum { WIDTHS = sizeof widths / sizeof *widths };

// ---- rmsnorm -----------------------------------------------------------------------------------------------------

// Rows first .. first + rows - 1 of a micro-batch are bound; `alive` of them are in use.
static void rmsnorm_case(uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, run_row_form("rmsnorm", "rmsnorm_wide", columns), STORE(1 << 1 | 1 << 2 | 1 << 3));
    run_constant(&r, LIVE_TOKENS);
    run_row_rounds(&r, columns);
    struct field *x = run_tensor(&r, rows, columns), *w = run_tensor(&r, 1, columns),
                 *y = run_tensor(&r, rows, columns);
    struct field *rstd = run_floats(&r, first + rows);
    struct rmsnorm_args args = {rows, columns, x->ld, y->ld, 0.125f, 0.75f, first};
    field_random(x, 0, alive, 2, &seed);
    field_random(w, 0, 1, 1, &seed);
    r.live.tokens = first + alive;
    run_args(&r, &args, sizeof args);

    double *want = malloc(sizeof *want * (size_t)rows * columns), scale[64];
    reference_rmsnorm(want, scale, x->value, w->value, (int)alive, (int)columns, args.epsilon, args.shift);
    // The sum's terms are positive: a relative error of its additions and one product each. Half of it, and of the
    // division and the addition of epsilon, reaches the root.
    double r_error = (run_sum_steps(columns) + 1 + 1) * ULP / 2 + ULP_DIVIDE / 2 + ULP_INVERSE_SQRT;
    for (uint32_t t = 0; t < alive; t++) {
        field_want(rstd, first + t, 0, scale[t], scale[t] * r_error);
        for (uint32_t c = 0; c < columns; c++) { // three more roundings; w + shift may cancel
            double size = fabs(x->value[t * columns + c]) * scale[t] * (fabs(w->value[c]) + args.shift);
            field_want(y, t, c, want[t * columns + c], size * (r_error + 3 * ULP) + TINY);
        }
    }
    free(want);
    run_check(&r, rows + 2);
}

static void rmsnorm_typical(void)
{
    rmsnorm_case(7, 5, 8, 45);
}

static void rmsnorm_backward_case(uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns, uint32_t add)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, run_row_form("rmsnorm_backward", "rmsnorm_backward_wide", columns), STORE(1 << 1 | 1 << 2 | 1 << 4 | 1 << 5));
    run_constant(&r, LIVE_TOKENS);
    run_constant(&r, add);
    run_row_rounds(&r, columns);
    struct field *x = run_tensor(&r, rows, columns), *w = run_tensor(&r, 1, columns);
    struct field *rstd = run_floats(&r, first + rows);
    struct field *dy = run_tensor(&r, rows, columns), *dx = run_tensor(&r, rows, columns);
    struct rmsnorm_backward_args args = {rows, columns, x->ld, dy->ld, dx->ld, 0, 0, 0.75f, first};
    field_random(x, 0, alive, 2, &seed);
    field_random(w, 0, 1, 1, &seed);
    field_random(dy, 0, alive, 2, &seed);
    if (add == ADD_ALWAYS) field_random(dx, 0, alive, 2, &seed);
    r.live.tokens = first + alive;
    run_args(&r, &args, sizeof args);

    size_t count = (size_t)rows * columns;
    double *want = malloc(sizeof *want * count), *dw = calloc(columns, sizeof *dw), scale[64];
    reference_rmsnorm(want, scale, x->value, w->value, (int)alive, (int)columns, 0.125, args.shift);
    for (uint32_t t = 0; t < alive; t++) scale[t] = field_set(rstd, first + t, 0, scale[t]);
    reference_rmsnorm_backward(want, dw, x->value, w->value, scale, dy->value, (int)alive, (int)columns, args.shift);
    for (uint32_t t = 0; t < alive; t++) {
        const double *xt = x->value + t * columns, *dyt = dy->value + t * columns;
        double sizes = 0, mean = 0; // of the terms g x
        for (uint32_t c = 0; c < columns; c++) {
            sizes += fabs(dyt[c] * xt[c]) * (fabs(w->value[c]) + args.shift);
            mean += dyt[c] * xt[c] * (w->value[c] + args.shift) * scale[t] / columns;
        }
        // Each term: w + shift, two products; then the sum, the product with rstd and the division.
        double mean_error = sizes * scale[t] / columns * ((run_sum_steps(columns) + 3 + 1) * ULP + ULP_DIVIDE);
        for (uint32_t c = 0; c < columns; c++) {
            double g = fabs(dyt[c]) * (fabs(w->value[c]) + args.shift), xhat = fabs(xt[c]) * scale[t];
            // g: 2 roundings; xhat mean: 2; the difference and the last product: 2.
            double bound = scale[t] * (g * 4 * ULP + xhat * (fabs(mean) * 4 * ULP + mean_error));
            double d = want[t * columns + c];
            if (add == ADD_ALWAYS) {
                bound += (fabs(d) + fabs(dx->value[t * columns + c])) * ULP;
                d += dx->value[t * columns + c];
            }
            field_want(dx, t, c, d, bound + TINY);
        }
    }
    free(want);
    free(dw);
    run_check(&r, rows + 2);
}

static void rmsnorm_backward_typical(void)
{
    rmsnorm_backward_case(7, 5, 8, 45, ADD_ALWAYS);
}

// With nothing to add to: a NaN added to a NaN may keep the bits of either.
static void rmsnorm_backward_plain(void)
{
    rmsnorm_backward_case(7, 5, 8, 45, ADD_NONE);
}

static void rmsnorm_dw_case(uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns, uint32_t per_block)
{
    uint64_t seed = columns + rows;
    uint32_t blocks = (rows + per_block - 1) / per_block, first_block = first / per_block;
    struct run r;
    run_begin(&r, run_row_form("rmsnorm_dw", "rmsnorm_dw_wide", columns), STORE(1 << 1 | 1 << 3));
    run_constant(&r, LIVE_TOKENS);
    struct field *x = run_tensor(&r, rows, columns), *rstd = run_floats(&r, first + rows);
    struct field *dy = run_tensor(&r, rows, columns), *partial = run_tensor(&r, first_block + blocks + 1, columns);
    struct rmsnorm_backward_args args = {rows, columns, x->ld, dy->ld, 0, per_block, partial->ld, 0, first};
    field_random(x, 0, alive, 2, &seed);
    field_random(rstd, first, alive, 1, &seed);
    field_random(dy, 0, alive, 2, &seed);
    r.live.tokens = first + alive;
    run_args(&r, &args, sizeof args);
    for (uint32_t b = 0; b < blocks; b++)
        for (uint32_t c = 0; c < columns; c++) {
            double sum = 0, sizes = 0;
            for (uint32_t t = b * per_block; t < alive && t < (b + 1) * per_block; t++) {
                double term = dy->value[t * columns + c] * x->value[t * columns + c] * rstd->value[first + t];
                sum += term;
                sizes += fabs(term);
            }
            field_want(partial, first_block + b, c, sum, sizes * (per_block + 2) * ULP);
        }
    run_check(&r, blocks * ((columns + 4 * run_group - 1) / (4 * run_group)) + 2);
}

static void rmsnorm_dw_typical(void)
{
    rmsnorm_dw_case(11, 6, 8, 45, 4);
}

// ---- column_sum --------------------------------------------------------------------------------------------------

static void column_sum_case(uint32_t rows, uint32_t alive, uint32_t columns, uint32_t add, uint32_t first)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, "column_sum", STORE(1 << 1));
    run_constant(&r, alive == rows ? LIVE_NONE : LIVE_TOKENS);
    run_constant(&r, add);
    struct field *x = run_tensor(&r, rows, columns + 8), *total = run_tensor(&r, 1, columns);
    struct column_sum_args args = {rows, columns, x->ld, 8};
    field_random(x, 0, alive, 2, &seed);
    bool adds = add == ADD_ALWAYS || (add == ADD_UNLESS_FIRST && !first);
    if (adds) field_random(total, 0, 1, 2, &seed);
    r.live.tokens = alive;
    r.live.first = first;
    run_args(&r, &args, sizeof args);
    for (uint32_t c = 0; c < columns; c++) {
        double sum = adds ? total->value[c] : 0, sizes = fabs(sum);
        for (uint32_t t = 0; t < alive; t++) sum += x->value[t * (columns + 8) + 8 + c];
        for (uint32_t t = 0; t < alive; t++) sizes += fabs(x->value[t * (columns + 8) + 8 + c]);
        // A slice's rows, then the slices, then what was there.
        double slices = run_group < 8 ? 1 : run_group / 8.0;
        field_want(total, 0, c, sum, sizes * (ceil(alive / slices) + slices + 1) * ULP);
    }
    uint32_t width = COLUMN_SUM_WIDTH(run_group);
    run_check(&r, (columns + width - 1) / width + 2);
}

static void column_sum_typical(void)
{
    column_sum_case(9, 7, 45, ADD_UNLESS_FIRST, 0);
}

static void column_sum_plain(void)
{
    column_sum_case(9, 7, 45, ADD_NONE, 0);
}

// ---- glu ---------------------------------------------------------------------------------------------------------

#define GELU_K 1.5957691216057308

// sigmoid(k(x)) and how far an f32 evaluation may be from it, relative. k of GELU has five roundings, two of them in
// its constants; exp 3 + 2 |k|; then 1 + e and the division.
static double sigmoid(double x, uint32_t activation, double *error)
{
    double k = activation == ACTIVATION_SILU ? x : GELU_K * (x + 0.044715 * x * x * x);
    double s = 1 / (1 + exp(-k)), k_error = activation == ACTIVATION_SILU ? 0 : 5 * ULP * fabs(k);
    *error = ((3 + 2 * fabs(k)) * ULP + k_error) * (1 - s) + ULP + ULP_DIVIDE;
    return s;
}

static double glu_input(uint32_t i, uint64_t *seed)
{
    static const double special[] = {0, -0.0, 1e-30, -1e-30, 15.9, -15.9, 30, -30, 81, -81, 1e4, -1e4, 1e30, -1e30};
    return i < sizeof special / sizeof *special ? special[i] : 6 * test_uniform(seed);
}

static void glu_case(
    bool backward, uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns, uint32_t activation)
{
    uint64_t seed = columns + rows;
    struct run r;
    const char *kernel = backward ? run_row_form("glu_backward", "glu_backward_wide", columns) : run_row_form("glu", "glu_wide", columns);
    run_begin(&r, kernel, STORE(1 << 1 | 1 << 2 | 1 << 3));
    run_constant(&r, activation);
    run_row_rounds(&r, columns);
    struct field *gu = run_tensor(&r, rows, 2 * columns), *y = run_tensor(&r, rows, columns);
    struct field *dgu = backward ? run_tensor(&r, rows, 2 * columns) : NULL;
    // glu_backward has one ld for both of [T, 2F]
    if (backward) dgu->ld = gu->ld;
    struct glu_args args = {rows, columns, gu->ld, y->ld, first};
    for (uint32_t t = 0; t < alive; t++)
        for (uint32_t c = 0; c < columns; c++) {
            field_set(gu, t, c, glu_input(t * columns + c, &seed));
            field_set(gu, t, columns + c, 2 * test_uniform(&seed));
            if (backward) field_set(y, t, c, 2 * test_uniform(&seed));
        }
    r.live.tokens = first + alive;
    run_args(&r, &args, sizeof args);

    double *want = malloc(sizeof *want * 2 * rows * columns);
    if (!backward)
        reference_glu(want, gu->value, (int)alive, (int)columns, (enum reference_activation)activation);
    else
        reference_glu_backward(
            want, gu->value, y->value, (int)alive, (int)columns, (enum reference_activation)activation);
    for (uint32_t t = 0; t < alive; t++)
        for (uint32_t c = 0; c < columns; c++) {
            double g = gu->value[t * 2 * columns + c], u = gu->value[t * 2 * columns + columns + c], s_error;
            double s = sigmoid(g, activation, &s_error);
            double zero = fabs(g) * exp(-80); // below k = -80 the kernel takes 0
            if (!backward) {
                double exact = want[t * columns + c];
                field_want(y, t, c, exact, fabs(exact) * (s_error + 2 * ULP) + zero * fabs(u) + TINY);
                continue;
            }
            double d = fabs(y->value[t * columns + c]);
            double *exact = want + t * 2 * columns + c;
            field_want(
                dgu, t, columns + c, exact[columns], fabs(exact[columns]) * (s_error + 2 * ULP) + zero * d + TINY);
            // s + g s (e s) k': e s is 1 - s; e has exp's error, k' four roundings, the products four, the sum and the
            // products with d and u three.
            double x = fmax(-16, fmin(16, g)),
                   k = activation == ACTIVATION_SILU ? g : GELU_K * (x + 0.044715 * x * x * x);
            double slope = activation == ACTIVATION_SILU ? 1 : GELU_K * (1 + 3 * 0.044715 * x * x);
            double e_error = (3 + 2 * fmin(fabs(k), 80) + 5 * fmin(fabs(k), 80)) * ULP;
            double term = fabs(g * s * (1 - s) * slope);
            double bound = s * s_error + term * (2 * s_error + e_error + 8 * ULP) + (s + term) * 3 * ULP;
            field_want(dgu, t, c, exact[0], d * fabs(u) * (bound + zero * slope) + TINY);
        }
    free(want);
    run_check(&r, rows + 2);
}

static void glu_typical(void)
{
    glu_case(false, 7, 5, 8, 24, ACTIVATION_SILU);
}

static void glu_backward_typical(void)
{
    glu_case(true, 7, 5, 8, 24, ACTIVATION_GELU_TANH);
}

// ---- all of them -------------------------------------------------------------------------------------------------

#define WRONG(test, where, word, how, number)                                                                          \
    {                                                                                                                  \
        test, #test ": " #word " " #how " " #number, where, word, how, number                                          \
    }
static const struct mutation mutations[] = {
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, rows), ADD, -3),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, columns), ADD, -1),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, columns), ADD, 1),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, ldx), ADD, 8),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, ldy), ADD, -8),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, epsilon), TIMES, 2),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, epsilon), TIMES, 1.0001),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, shift), SET, 0),
    WRONG(rmsnorm_typical, IN_ARGS, WORD(rmsnorm_args, first_row), SET, 0),
    WRONG(rmsnorm_typical, IN_CONSTANTS, 2, SET, LIVE_NONE),
    WRONG(rmsnorm_typical, IN_CONSTANTS, 1, SET, 2),
    WRONG(rmsnorm_typical, IN_LIVE, WORD(live_block, tokens), ADD, 1),
    WRONG(rmsnorm_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, rows), ADD, -3),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, columns), ADD, -1),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, columns), ADD, 1),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, ldx), ADD, 8),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, ldy), ADD, 8),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, lddx), ADD, -8),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, shift), SET, 0),
    WRONG(rmsnorm_backward_typical, IN_ARGS, WORD(rmsnorm_backward_args, first_row), SET, 0),
    WRONG(rmsnorm_backward_plain, IN_CONSTANTS, 2, SET, LIVE_NONE),
    WRONG(rmsnorm_backward_typical, IN_CONSTANTS, 3, SET, ADD_NONE),
    WRONG(rmsnorm_backward_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, rows), ADD, -4),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, columns), ADD, -1),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, columns), ADD, 1),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, ldx), ADD, 8),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, ldy), ADD, -8),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, ldp), ADD, 8),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, rows_per_block), ADD, 1),
    WRONG(rmsnorm_dw_typical, IN_ARGS, WORD(rmsnorm_backward_args, first_row), SET, 0),
    WRONG(rmsnorm_dw_typical, IN_CONSTANTS, 2, SET, LIVE_NONE),
    WRONG(rmsnorm_dw_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(rmsnorm_dw_typical, IN_LIVE, WORD(live_block, tokens), ADD, 1),
    WRONG(column_sum_typical, IN_ARGS, WORD(column_sum_args, rows), ADD, -3),
    WRONG(column_sum_typical, IN_ARGS, WORD(column_sum_args, columns), ADD, -1),
    WRONG(column_sum_plain, IN_ARGS, WORD(column_sum_args, columns), ADD, 1),
    WRONG(column_sum_typical, IN_ARGS, WORD(column_sum_args, ld), ADD, -8),
    WRONG(column_sum_typical, IN_ARGS, WORD(column_sum_args, offset), SET, 0),
    WRONG(column_sum_typical, IN_CONSTANTS, 2, SET, LIVE_NONE),
    WRONG(column_sum_typical, IN_CONSTANTS, 3, SET, ADD_NONE),
    WRONG(column_sum_typical, IN_LIVE, WORD(live_block, first), SET, 1),
    WRONG(column_sum_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, rows), ADD, -3),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, columns), ADD, -8),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, columns), ADD, 8),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, ld_gu), ADD, -8),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, ld_out), ADD, 8),
    WRONG(glu_typical, IN_ARGS, WORD(glu_args, first_row), SET, 0),
    WRONG(glu_typical, IN_CONSTANTS, 2, SET, ACTIVATION_GELU_TANH),
    WRONG(glu_typical, IN_LIVE, WORD(live_block, tokens), ADD, 1),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, rows), ADD, -3),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, columns), ADD, -8),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, columns), ADD, 8),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, ld_gu), ADD, -8),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, ld_out), ADD, 8),
    WRONG(glu_backward_typical, IN_ARGS, WORD(glu_args, first_row), SET, 0),
    WRONG(glu_backward_typical, IN_CONSTANTS, 2, SET, ACTIVATION_SILU),
    WRONG(glu_backward_typical, IN_LIVE, WORD(live_block, tokens), ADD, -1),
};

static void test_shapes(void)
{
    for (int i = 0; i < WIDTHS; i++)
        for (uint32_t alive = 0; alive <= 5; alive = 2 * alive + 1) { // 0, 1, 3 rows of 5
            rmsnorm_case(5, alive, 0, widths[i]);
            rmsnorm_backward_case(5, alive, 0, widths[i], alive == 3 ? ADD_ALWAYS : ADD_NONE);
            rmsnorm_dw_case(5, alive, 0, widths[i], 3);
            column_sum_case(5, alive, widths[i], alive == 3 ? ADD_ALWAYS : ADD_UNLESS_FIRST, 1);
            if (widths[i] % 8) continue;
            glu_case(false, 5, alive, 0, widths[i], ACTIVATION_SILU);
            glu_case(true, 5, alive, 0, widths[i], ACTIVATION_SILU);
        }
    rmsnorm_case(1, 1, 0, 257);
    rmsnorm_case(33, 33, 3, 4 * run_group - 1);
    rmsnorm_case(3, 3, 0, 4 * run_group + 1);
    rmsnorm_backward_case(1, 1, 0, 257, ADD_NONE);
    rmsnorm_backward_case(33, 33, 3, 4 * run_group - 1, ADD_ALWAYS);
    rmsnorm_backward_case(3, 3, 0, 4 * run_group + 1, ADD_NONE);
    rmsnorm_dw_case(1, 1, 0, 4 * run_group - 1, 1);
    rmsnorm_dw_case(33, 31, 12, 4 * run_group + 1, 4);
    rmsnorm_dw_case(33, 33, 0, 8 * run_group + 1, 64);
    column_sum_case(1, 1, 4 * run_group + 1, ADD_NONE, 0);
    column_sum_case(301, 301, 33, ADD_ALWAYS, 0);
    column_sum_case(301, 300, 4 * run_group - 1, ADD_UNLESS_FIRST, 1);
    for (uint32_t activation = 0; activation < 2; activation++)
        for (int backward = 0; backward < 2; backward++) {
            glu_case(backward, 1, 1, 0, 4 * run_group + 8, activation);
            glu_case(backward, 33, 33, 3, 40, activation);
        }
    rmsnorm_typical();
    rmsnorm_backward_typical();
    rmsnorm_backward_plain();
    rmsnorm_dw_typical();
    column_sum_typical();
    column_sum_plain();
    glu_typical();
    glu_backward_typical();
}

int main(int argc, char **argv)
{
    if (!run_open()) return 77;
    int count;
    const uint32_t *groups = run_group_sizes(&count, argc, argv);
    for (int i = 0; i < count; i++) {
        run_group = groups[i];
        for (store_mask = 0;; store_mask = ~0u) {
            test_shapes();
            if (store_mask) break;
        }
    }
    store_mask = 0;
    run_group = groups[0];
    run_mutations(mutations, sizeof mutations / sizeof *mutations);
    CHECK(run_validation_messages() == 0);
    run_close();
    return test_end();
}
