// SPDX-License-Identifier: MIT
//
// Kernels at the ends of a step: cross-entropy, the gradient's norm, the optimizers; and sampling.
#include "kernel_run.h"
#include "reference.h"

static uint32_t store_mask; // of the runs to come: 0, or every tensor as bf16
#define STORE(mask) (store_mask & (mask))

// Additions on the way of one of n terms: 16 at a time by four columns a lane (one: norm_finish), then the blocks, then
// across the workgroup.
static double blocked_steps(double n, double columns)
{
    return 16 + ceil(n / (16 * columns * run_group)) + run_sum_steps(1);
}

// ---- cross_entropy -----------------------------------------------------------------------------------------------

enum logits { LOGITS_RANDOM, LOGITS_HUGE, LOGITS_TIED, LOGITS_NAN };

static double logit(enum logits kind, uint32_t i, uint64_t *seed)
{
    double x = test_uniform(seed);
    if (kind == LOGITS_HUGE) return i % 5 ? 1e4 * x : 1e4;
    if (kind == LOGITS_TIED) return floor(4 * x);
    return 8 * x;
}

// How often a lane of cross_entropy finds a larger logit and scales its sum: it takes four groups of four at a time, of
// neighbours or GROUP apart (row.glsl).
static int cross_entropy_rescales(const double *row, uint32_t columns, bool apart)
{
    int worst = 0;
    for (uint32_t lane = 0; lane < run_group; lane++) {
        double most = -INFINITY;
        int count = 0;
        for (uint32_t begin = lane; 4 * begin < columns; begin += 4 * run_group) {
            double old = most;
            for (uint32_t i = 0; i < 16; i++) {
                uint32_t c = 4 * (begin + i / 4 * run_group) + i % 4;
                if (apart) c += i % 4 * (run_group - 1) - 3 * lane;
                if (c < columns) most = fmax(most, row[c]);
            }
            count += most > old;
        }
        worst = count > worst ? count : worst;
    }
    return worst;
}

static void cross_entropy_case(
    uint32_t rows, uint32_t alive, uint32_t first, uint32_t columns, enum logits kind, uint32_t backward)
{
    uint64_t seed = columns + rows;
    struct run r;
    run_begin(&r, run_row_form("cross_entropy", "cross_entropy_wide", columns), STORE(1 << 2));
    run_constant(&r, backward);
    run_row_rounds(&r, columns);
    struct field *targets = run_words(&r, first + rows + 2), *z = run_tensor(&r, rows, columns);
    struct field *loss = run_floats(&r, first + rows + 2), *hit = run_words(&r, first + rows + 2);
    struct cross_entropy_args args = {rows, columns, z->ld, first};
    r.live.targets = first + alive;
    r.live.loss_scale = 0.37f;
    run_args(&r, &args, sizeof args);
    uint32_t *target = malloc(sizeof *target * rows);
    for (uint32_t t = 0; t < first + rows + 2; t++) field_set(targets, t, 0, 0); // a mutation must not read far outside
    for (uint32_t t = 0; t < alive; t++) {
        for (uint32_t c = 0; c < columns; c++) field_set(z, t, c, logit(kind, c, &seed));
        target[t] = t == 0 ? columns - 1 : t == 1 ? 0 : test_random(&seed) % columns;
        field_set(targets, first + t, 0, target[t]);
        if (t % 2) field_set(z, t, target[t], kind == LOGITS_TIED ? 3 : 9); // a hit, or tied with others
        if (kind == LOGITS_NAN) z->value[t * columns + columns / 2] = NAN;
    }

    bool strided = strstr(r.kernel, "_wide") && z->stored == STORED_F32;
    double *dz = malloc(sizeof *dz * rows * columns), *want = malloc(sizeof *want * rows);
    bool *hits = malloc(rows);
    reference_cross_entropy(want, hits, dz, z->value, target, (int)alive, (int)columns, r.live.loss_scale);
    for (uint32_t t = 0; t < alive; t++) {
        const double *row = z->value + (size_t)t * columns;
        if (kind == LOGITS_NAN) {
            field_want(loss, first + t, 0, 0, NON_FINITE);
            field_want(hit, first + t, 0, 0, ANYTHING);
            for (uint32_t c = 0; c < columns && backward; c++)
                field_want(z, t, c, 0, c == columns / 2 ? NON_FINITE : ANYTHING);
            continue;
        }
        double most = row[0], sum = 0, sum_error = columns * exp(-87);
        for (uint32_t c = 1; c < columns; c++) most = fmax(most, row[c]);
        // The difference d has one rounding, exp 3 + 2 |d|; scaling a sum brings another exp of a part of d, and a
        // product.
        for (uint32_t c = 0; c < columns; c++) {
            double w = exp(row[c] - most);
            sum += w;
            sum_error += w * (3 + 3 * (most - row[c])) * ULP;
        }
        double steps = 4 + 2 + ceil(columns / (16.0 * run_group)) + run_sum_steps(1);
        sum_error = sum_error / sum + (steps + 4 * (cross_entropy_rescales(row, columns, strided) + 1)) * ULP; // relative
        double apart = most - row[target[t]];
        double bound = sum_error + 0x1p-21 + 3 * ULP * log(sum) + ULP * (apart + fabs(want[t]));
        field_want(loss, first + t, 0, want[t], bound);
        field_want(hit, first + t, 0, hits[t], EXACT);
        for (uint32_t c = 0; c < columns && backward; c++) {
            double p = exp(row[c] - most) / sum * r.live.loss_scale;
            double p_error = p * ((3 + 3 * (most - row[c])) * ULP + sum_error + ULP_DIVIDE + ULP) + TINY;
            if (c == target[t]) p_error += ULP * r.live.loss_scale;
            field_want(z, t, c, dz[(size_t)t * columns + c], p_error);
        }
    }
    free(target);
    free(dz);
    free(want);
    free(hits);
    run_check(&r, rows + 2);
}

static void cross_entropy_typical(void)
{
    cross_entropy_case(7, 5, 6, 45, LOGITS_RANDOM, 1);
}

// ---- norm --------------------------------------------------------------------------------------------------------

static void sum_squares_case(uint32_t count, uint32_t block, uint32_t first_partial, double poison)
{
    uint64_t seed = count;
    uint32_t blocks = (count + block - 1) / block;
    struct run r;
    run_begin(&r, run_row_form("sum_squares", "sum_squares_wide", block % 64 ? 1 : count), STORE(1 << 1)); // blocks are whole rounds, too
    struct field *g = run_tensor(&r, 1, count), *partial = run_floats(&r, first_partial + blocks + 2);
    struct sum_squares_args args = {count, block, first_partial};
    r.live.gradient_scale = 0.3f;
    run_args(&r, &args, sizeof args);
    field_random(g, 0, 1, 2, &seed);
    if (poison != 0) g->value[count / 2] = poison; // infinite, too large to be squared, or NaN
    for (uint32_t b = 0; b < blocks; b++) {
        double sum = 0;
        for (uint32_t i = b * block; i < count && i < (b + 1) * block; i++)
            sum += pow((double)r.live.gradient_scale * g->value[i], 2);
        bool finite = poison == 0 || count / 2 / block != b;
        // Positive terms, each a scaled gradient (twice) and a product.
        double bound = sum * (blocked_steps(block, 4) + 3) * ULP + TINY;
        field_want(partial, first_partial + b, 0, sum, finite ? bound : NON_FINITE);
    }
    run_check(&r, blocks + 2);
}

static void sum_squares_typical(void)
{
    sum_squares_case(1003, 256, 3, 0);
}

#define WORD_AS_FLOAT(x) ((x)*0x1p-149) // the float whose bits are the small integer x

static void norm_finish_case(uint32_t count, double size, float max_norm, double poison)
{
    uint64_t seed = count;
    struct run r;
    run_begin(&r, "norm_finish", 0);
    struct field *partial = run_floats(&r, count + 3), *result = run_floats(&r, 4);
    r.live.max_norm = max_norm;
    run_args(&r, &(struct norm_args){count}, sizeof(struct norm_args));
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += field_set(partial, i, 0, size * (1.5 + test_uniform(&seed)));
    if (poison != 0) partial->value[count / 2] = poison;
    double norm = sqrt(sum), error = blocked_steps(count, 1) * ULP / 2 + ULP_SQRT;
    double clip = max_norm > 0 ? fmin(1, max_norm / (norm + 1e-6)) : 1;
    bool clipped = poison == 0 && clip < 1;
    field_want(result, 0, 0, norm, poison != 0 ? NON_FINITE : norm * error);
    field_want(result, 1, 0, clipped ? clip : 1, clipped ? clip * (error + ULP + ULP_DIVIDE) : EXACT);
    field_want(result, 2, 0, WORD_AS_FLOAT(poison != 0), EXACT);
    field_want(result, 3, 0, 0, EXACT);
    run_check(&r, 3);
}

static void norm_finish_typical(void)
{
    norm_finish_case(301, 1, 2.5f, 0);
}

// ---- optimizers --------------------------------------------------------------------------------------------------

enum { WITH_DECAY = 1, WITH_COPY = 2, SKIPPED = 4, OPTIMIZER_KINDS = 8 };

// What both optimizers bind first: the norm's result. Gradients follow as binding 2.
static void optimizer_begin(struct run *r, const char *kernel, uint32_t copy_binding, uint32_t count, int kind)
{
    run_begin(r, kernel, 1u << copy_binding | STORE(1 << 2));
    run_constant(r, kind & WITH_COPY ? 1 : 0);
    r->live.gradient_scale = 0.25f;
    r->live.learning_rate = 0.01f;
    r->live.weight_decay = 0.1f;
    struct optimizer_args args = {count, kind & WITH_DECAY ? 1 : 0};
    run_args(r, &args, sizeof args);
    struct field *result = run_floats(r, 4);
    field_set(result, 0, 0, 7);
    field_set(result, 1, 0, 0.75);
    field_set(result, 2, 0, WORD_AS_FLOAT(kind & SKIPPED ? 1 : 0));
    field_set(result, 3, 0, 0);
}

static struct reference_update update_of(const struct run *r, int kind)
{
    return (struct reference_update){0.01, 0.9, 0.999, 1e-6, kind & WITH_DECAY ? 0.1 : 0, 1 / (1 - pow(0.9, 3)),
        1 / (1 - pow(0.999, 3)), (double)r->live.gradient_scale * 0.75};
}

static void adamw_case(uint32_t count, int kind, uint32_t groups)
{
    uint64_t seed = count;
    struct run r;
    optimizer_begin(&r, run_row_form("adamw", "adamw_wide", count), 6, count, kind);
    struct reference_update u = update_of(&r, kind);
    r.live.beta1 = 0.9f;
    r.live.beta2 = 0.999f;
    r.live.rest1 = (float)(1 - 0.9);
    r.live.rest2 = (float)(1 - 0.999);
    r.live.epsilon = 1e-6f;
    r.live.correction1 = (float)u.correction1;
    r.live.correction2 = (float)u.correction2;
    struct field *g = run_tensor(&r, 1, count + 8), *p = run_tensor(&r, 1, count + 8),
                 *m = run_tensor(&r, 1, count + 8);
    struct field *v = run_tensor(&r, 1, count + 8),
                 *copy = kind & WITH_COPY ? run_tensor(&r, 1, count + 8) : run_shared(&r, 3);
    field_random(g, 0, 1, 2, &seed);
    field_random(p, 0, 1, 2, &seed);
    field_random(m, 0, 1, 1, &seed);
    for (uint32_t i = 0; i < count; i++) field_set(v, 0, i, i % 7 ? fabs(test_uniform(&seed)) : 0);
    for (uint32_t i = 0; i < count && !(kind & SKIPPED); i++) {
        double d = g->value[i] * u.scale, pi = p->value[i], mi = m->value[i], vi = v->value[i];
        reference_adamw(&pi, &mi, &vi, &g->value[i], 1, &u);
        // One rounding for each f32 constant, product and sum: the gradient 2, m and v as below.
        double m_error = (2 * fabs(0.9 * m->value[i]) + 4 * fabs(0.1 * d) + fabs(mi)) * ULP, v_error = 8 * vi * ULP;
        // v c2: 2 more; the root halves them and adds its own; epsilon and the sum 1.
        double root = sqrt(vi * u.correction2) + u.epsilon, root_error = (8 + 2) / 2.0 * ULP + ULP_SQRT + ULP;
        double step = u.learning_rate * u.correction1 / root;
        double step_error = step * (m_error + fabs(mi) * (4 * ULP + ULP_DIVIDE + root_error));
        double decay = u.learning_rate * u.weight_decay * fabs(p->value[i]);
        double p_error = step_error + (4 * decay + fabs(p->value[i]) + fabs(pi)) * ULP;
        field_want(p, 0, i, pi, p_error);
        field_want(m, 0, i, mi, m_error + TINY);
        field_want(v, 0, i, vi, v_error + TINY);
        if (kind & WITH_COPY) field_want(copy, 0, i, pi, p_error);
    }
    run_check(&r, groups);
}

static void adamw_typical(void)
{
    adamw_case(128, WITH_DECAY | WITH_COPY, 2);
}

static void adamw_skipped(void)
{
    adamw_case(128, WITH_DECAY | WITH_COPY | SKIPPED, 2);
}

static void sgd_case(uint32_t count, int kind, uint32_t groups)
{
    uint64_t seed = count;
    struct run r;
    optimizer_begin(&r, "sgd", 4, count, kind);
    struct reference_update u = update_of(&r, kind);
    struct field *g = run_tensor(&r, 1, count + 8), *p = run_tensor(&r, 1, count + 8);
    struct field *copy = kind & WITH_COPY ? run_tensor(&r, 1, count + 8) : run_shared(&r, 3);
    field_random(g, 0, 1, 2, &seed);
    field_random(p, 0, 1, 2, &seed);
    for (uint32_t i = 0; i < count && !(kind & SKIPPED); i++) {
        double pi = p->value[i], d = fabs(g->value[i] * u.scale), decay = u.weight_decay * fabs(pi);
        reference_sgd(&pi, &g->value[i], 1, &u);
        // scale and its product 2, weight decay and its product 2, their sum 1, learning rate and its product 2.
        double bound = u.learning_rate * (d * 5 + decay * 5) * ULP + (fabs(pi) + fabs(p->value[i])) * ULP;
        field_want(p, 0, i, pi, bound);
        if (kind & WITH_COPY) field_want(copy, 0, i, pi, bound);
    }
    run_check(&r, groups);
}

static void sgd_typical(void)
{
    sgd_case(104, WITH_DECAY | WITH_COPY, 2);
}

static void sgd_skipped(void)
{
    sgd_case(104, WITH_DECAY | WITH_COPY | SKIPPED, 2);
}

// ---- sample ------------------------------------------------------------------------------------------------------

// The token that a number in [0, 1) draws, or -1 where f32 sums may decide otherwise: where a sum of double precision
// comes within `error` of top_p or of the number.
static double draw(const uint32_t *order, const double *weight, uint32_t columns, uint32_t top_k, double top_p,
    double number, double error)
{
    uint32_t kept = top_k && top_k < columns ? top_k : columns;
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < kept; i++) total += weight[i];
    for (uint32_t i = 0; i < kept && top_p < 1; i++) {
        sum += weight[i];
        if (fabs(sum - top_p * total) <= error * total) return -1;
        if (sum < top_p * total) continue;
        kept = i + 1;
        total = sum;
        break;
    }
    sum = 0;
    for (uint32_t i = 0; i < kept; i++) {
        sum += weight[i];
        if (i + 1 < kept && fabs(sum - number * total) <= error * total) return -1;
        if (sum >= number * total || i + 1 == kept) return order[i];
    }
    return -1;
}

// The tokens in the order in which a draw without a limit goes through them, and their weights.
static void stripes_order(uint32_t *order, double *weight, const float *logits, uint32_t columns, double temperature)
{
    uint32_t n = 0;
    float most = logits[0];
    for (uint32_t c = 1; c < columns; c++) most = logits[c] > most ? logits[c] : most;
    for (uint32_t stripe = 0; stripe < SAMPLE_STRIPES; stripe++)
        for (uint32_t c = 0; c < columns; c++)
            if (c / 4 % SAMPLE_STRIPES == stripe) order[n++] = c;
    for (uint32_t i = 0; i < columns; i++) weight[i] = exp(((double)logits[order[i]] - most) / temperature);
}

// Returns how many draws had a certain answer; row t has t % 3 of them, the first rows one more. `levels`: logits are
// multiples of 1 / levels, so that many are equal.
static uint32_t sample_case(uint32_t rows, uint32_t columns, float temperature, uint32_t top_k, float top_p, int levels)
{
    uint64_t seed = columns + rows;
    struct run r;
    uint32_t draws = 0, most = 2 * rows + 3;
    bool limited = temperature > 0 && (top_p < 1 || (top_k && top_k < columns)), stripes = temperature > 0 && !limited;
    run_begin(&r, "sample", STORE(1 << 1));
    struct field *z = run_tensor(&r, rows + 2, columns), *token = run_words(&r, most); // two rows are not live
    struct field *which = run_words(&r, rows + 2), *position = run_words(&r, 3 * rows);
    struct field *first = run_words(&r, rows + 3), *keys = run_words(&r, 2 * most);
    struct sample_args args = {rows + 2, columns, z->ld};
    for (uint32_t t = 0; t < rows + 2; t++) field_set(which, t, 0, 0); // a mutation must not read far outside
    r.live.targets = rows;
    r.live.temperature = temperature;
    r.live.top_k = top_k;
    r.live.top_p = top_p;
    r.live.seed_low = 11;
    r.live.seed_high = 12;
    run_args(&r, &args, sizeof args);
    uint32_t *order = malloc(sizeof *order * columns), certain = 0;
    double *weight = malloc(sizeof *weight * columns);
    float *logits = malloc(sizeof *logits * columns);
    for (uint32_t t = 0; t < rows; t++) {
        for (uint32_t c = 0; c < columns; c++)
            logits[c] = (float)field_set(z, t, c, floor(6 * levels * test_uniform(&seed)) / levels);
        if (stripes)
            stripes_order(order, weight, logits, columns, temperature);
        else
            reference_sample_order(order, weight, logits, (int)columns, temperature > 0 ? temperature : 1);
        uint32_t row = (uint32_t)field_set(which, t, 0, 3 * t + t % 3);
        uint32_t at = (uint32_t)field_set(position, row, 0, test_random(&seed) % 1000);
        // The difference of logits d, 1 / temperature and their product have 1 + 2.5 + 1 roundings, exp 3 + 2 |d|.
        double sum = 0, error = 0;
        for (uint32_t i = 0; i < columns; i++) {
            sum += weight[i];
            if (weight[i] > 0) error += weight[i] * (3 - 6.5 * log(weight[i])) * ULP;
        }
        // Of the sum; 4: number, product, top_p. In stripes a term passes its stripe's sums, then those of all stripes.
        double steps = stripes ? columns / (double)SAMPLE_STRIPES + 4 + SAMPLE_STRIPES : run_sum_steps(columns);
        error = error / sum + (steps + 4) * ULP;
        field_set(first, t, 0, draws);
        for (uint32_t k = 0; k < t % 3 + (t < 2); k++, draws++) {
            uint32_t random[4], counter[4] = {test_random(&seed) % 1000, at, t % 2 ? test_random(&seed) % 1000 : 0};
            field_set(keys, 2 * draws, 0, counter[0]);
            field_set(keys, 2 * draws + 1, 0, counter[2]);
            reference_philox(random, counter, (uint32_t[]){11, 12});
            double number = (random[0] + 0.5) / 4294967296.0;
            double want = temperature > 0 ? draw(order, weight, columns, top_k, top_p, number, 4 * error) : order[0];
            field_want(token, draws, 0, want, want < 0 ? ANYTHING : EXACT);
            certain += want >= 0;
        }
    }
    for (uint32_t t = rows; t < rows + 3; t++)
        field_set(first, t, 0, draws + (t > rows)); // a row that is not live has one, too
    free(order);
    free(weight);
    free(logits);
    run_check(&r, rows + 4);
    return certain;
}

static uint32_t sample_draws(uint32_t rows)
{
    uint32_t draws = 0;
    for (uint32_t t = 0; t < rows; t++) draws += t % 3 + (t < 2);
    return draws;
}

static void sample_typical(void)
{
    sample_case(42, 300, 0.7f, 20, 0.8f, 8);
}

static void sample_greedy(void)
{
    sample_case(99, 300, 0, 0, 1, 1 << 10);
}

static void sample_plain(void)
{
    sample_case(42, 1300, 0.7f, 0, 1, 8);
}

static void test_sample(void)
{
    static const uint32_t widths[] = {1, 2, 5, 7, 8, 33, 257, 1000, 1100};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        uint32_t columns = widths[i], k = columns / 3;
        uint32_t rows = run_group > 16 ? 10 : 33, all = sample_draws(rows), three = sample_draws(3);
        uint32_t most =
            all - all / (columns > 200 ? 2 : 7); // draws may fall where rounding decides, among many tokens more often
        CHECK(sample_case(3, columns, 0, 0, 1, 4) == three); // greedy, with ties
        CHECK(sample_case(rows, columns, 1, 0, 1, 1 << 10) >= most);
        CHECK(sample_case(rows, columns, 0.5f, 0, 1, 2) >= most);
        CHECK(sample_case(rows, columns, 1, columns + 1, 1, 2) >= most); // no limit
        CHECK(sample_case(rows, columns, 1.5f, k, 1, 2) >= most);
        CHECK(sample_case(rows, columns, 1, 0, 0.6f, 2) >= most);
        CHECK(sample_case(rows, columns, 0.8f, k, 0.7f, 1 << 10) >= most);
        CHECK(sample_case(3, columns, 1, 1, 1, 4) == three);     // the largest alone
        CHECK(sample_case(3, columns, 1, 0, 1e-6f, 4) == three); // likewise
        sample_case(3, columns, 1e-4f, 0, 1, 1);                 // exponents far below the smallest float
        sample_case(3, columns, 1e-4f, k, 1, 1);
    }
    // Small workgroups loop too often here for Mesa 22.3, which ends a shader's loops after 65,535 rounds in all.
    if (run_group >= 64) {
        CHECK(sample_case(4, 49152, 0.05f, 50, 0.91f, 1 << 10) > 2);
        CHECK(sample_case(4, 49152, 0.05f, 0, 1, 1 << 10) > 2);
    }
}

// ---- all of them -------------------------------------------------------------------------------------------------

static const struct mutation mutations[] = {
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, rows), ADD, -3),
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, columns), ADD, -1),
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, columns), ADD, 1),
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, ld), ADD, -8),
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, first_row), ADD, 1),
    WRONG(cross_entropy_typical, IN_ARGS, WORD(cross_entropy_args, first_row), ADD, -1),
    WRONG(cross_entropy_typical, IN_CONSTANTS, 2, SET, 0),
    WRONG(cross_entropy_typical, IN_LIVE, WORD(live_block, targets), ADD, -1),
    WRONG(cross_entropy_typical, IN_LIVE, WORD(live_block, targets), ADD, 1),
    WRONG(cross_entropy_typical, IN_LIVE, WORD(live_block, loss_scale), TIMES, 1.0001),
    WRONG(sum_squares_typical, IN_ARGS, WORD(sum_squares_args, count), ADD, -1),
    WRONG(sum_squares_typical, IN_ARGS, WORD(sum_squares_args, count), ADD, 1),
    WRONG(sum_squares_typical, IN_ARGS, WORD(sum_squares_args, block), ADD, 4),
    WRONG(sum_squares_typical, IN_ARGS, WORD(sum_squares_args, first_partial), ADD, 1),
    WRONG(sum_squares_typical, IN_LIVE, WORD(live_block, gradient_scale), TIMES, 1.0001),
    WRONG(norm_finish_typical, IN_ARGS, WORD(norm_args, count), ADD, -1),
    WRONG(norm_finish_typical, IN_ARGS, WORD(norm_args, count), ADD, 1),
    WRONG(norm_finish_typical, IN_LIVE, WORD(live_block, max_norm), TIMES, 1.0001),
    WRONG(norm_finish_typical, IN_LIVE, WORD(live_block, max_norm), SET_FLOAT, 0),
    WRONG(adamw_typical, IN_ARGS, WORD(optimizer_args, count), ADD, -8),
    WRONG(adamw_typical, IN_ARGS, WORD(optimizer_args, count), ADD, 8),
    WRONG(adamw_typical, IN_ARGS, WORD(optimizer_args, decay), SET, 0),
    WRONG(adamw_typical, IN_CONSTANTS, 2, SET, 0),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, learning_rate), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, beta1), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, beta2), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, rest1), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, rest2), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, epsilon), TIMES, 2),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, weight_decay), TIMES, 1.001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, correction1), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, correction2), TIMES, 1.0001),
    WRONG(adamw_typical, IN_LIVE, WORD(live_block, gradient_scale), TIMES, 1.0001),
    WRONG(sgd_typical, IN_ARGS, WORD(optimizer_args, count), ADD, -8),
    WRONG(sgd_typical, IN_ARGS, WORD(optimizer_args, count), ADD, 8),
    WRONG(sgd_typical, IN_ARGS, WORD(optimizer_args, decay), SET, 0),
    WRONG(sgd_typical, IN_CONSTANTS, 2, SET, 0),
    WRONG(sgd_typical, IN_LIVE, WORD(live_block, learning_rate), TIMES, 1.001),
    WRONG(sgd_typical, IN_LIVE, WORD(live_block, weight_decay), TIMES, 1.01),
    WRONG(sgd_typical, IN_LIVE, WORD(live_block, gradient_scale), TIMES, 1.001),
    WRONG(sample_typical, IN_ARGS, WORD(sample_args, rows), ADD, -3),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, targets), ADD, -1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, targets), ADD, 1),
    WRONG(sample_typical, IN_ARGS, WORD(sample_args, columns), ADD, -30),
    WRONG(sample_typical, IN_ARGS, WORD(sample_args, ld), ADD, 8),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, temperature), TIMES, 1.1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, temperature), SET_FLOAT, 0),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, top_k), ADD, -1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, top_k), ADD, 1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, top_p), TIMES, 1.1),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, targets), ADD, -1),
    WRONG(sample_plain, IN_ARGS, WORD(sample_args, columns), ADD, -30),
    WRONG(sample_plain, IN_ARGS, WORD(sample_args, ld), ADD, 8),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, temperature), TIMES, 1.1),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, top_k), SET, 20),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, top_p), TIMES, 0.5),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, seed_low), ADD, 1),
    WRONG(sample_plain, IN_LIVE, WORD(live_block, seed_high), ADD, 1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, seed_low), ADD, 1),
    WRONG(sample_typical, IN_LIVE, WORD(live_block, seed_high), ADD, 1),
    WRONG(sample_greedy, IN_ARGS, WORD(sample_args, columns), ADD, -30),
    WRONG(sample_greedy, IN_ARGS, WORD(sample_args, ld), ADD, 8),
    WRONG(sample_greedy, IN_LIVE, WORD(live_block, temperature), SET_FLOAT, 1),
};

static void test_loss(void)
{
    static const uint32_t widths[] = {1, 2, 5, 7, 8, 31, 257, 1027};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (uint32_t alive = 0; alive <= 5; alive = 2 * alive + 1) { // 0, 1, 3 rows of 5
            cross_entropy_case(5, alive, 0, widths[i], LOGITS_RANDOM, 1);
            cross_entropy_case(5, alive, 2, widths[i], LOGITS_TIED, alive == 3);
        }
    for (int edge = -1; edge <= 1; edge++) {
        uint32_t width = 4 * run_group + (uint32_t)edge;
        cross_entropy_case(33, 33, 2, width, LOGITS_TIED, 0);
        cross_entropy_case(33, 33, 2, width, LOGITS_HUGE, 1);
        cross_entropy_case(4, 4, 2, width, LOGITS_NAN, 1);
    }
    cross_entropy_case(2, 2, 0, 262144 + 3, LOGITS_RANDOM, 1);
    cross_entropy_case(2, 2, 0, 49152, LOGITS_HUGE, 1);
}

static void test_update(void)
{
    static const uint32_t counts[] = {1, 3, 4, 5, 255, 256, 257, 5003};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        sum_squares_case(counts[i], 256, 0, 0);
        sum_squares_case(counts[i], 8, 5, 0);
        sum_squares_case(counts[i], 1 << 20, 0, NAN);
        norm_finish_case(counts[i], 1, 0, 0);
        norm_finish_case(counts[i], 1, 1, 0);
        norm_finish_case(counts[i], 1e-6, 1, 0);
        norm_finish_case(counts[i], 1, 1, NAN);
        norm_finish_case(counts[i], 1, 1, INFINITY);
        norm_finish_case(counts[i], 1.3e38 / counts[i], 1, 0); // just finite
    }
    sum_squares_case(99999, 65536, 2, 0);
    sum_squares_case(99968, 65536, 2, 0); // whole rounds: the wide form, where there is one
    sum_squares_case(960, 256, 2, INFINITY);
    sum_squares_case(999, 256, 2, INFINITY);
    sum_squares_case(999, 256, 2, 1e30);
    for (int kind = 0; kind < OPTIMIZER_KINDS; kind++) {
        for (uint32_t groups = 1; groups < 40; groups += 12) {
            adamw_case(1000, kind, groups);
            adamw_case(960, kind, groups); // whole rounds: the wide form, where there is one
            sgd_case(1000, kind, groups);
        }
        adamw_case(8, kind, 1);
        sgd_case(8, kind, 1);
    }
}

int main(int argc, char **argv)
{
    if (!run_open()) return 77;
    int count;
    const uint32_t *groups = run_group_sizes(&count, argc, argv);
    for (int i = 0; i < count; i++) {
        run_group = groups[i];
        for (store_mask = 0;; store_mask = ~0u) {
            test_loss();
            test_sample();
            cross_entropy_typical();
            sample_typical();
            sample_plain();
            sample_greedy();
            test_update();
            sum_squares_typical();
            norm_finish_typical();
            adamw_typical();
            adamw_skipped();
            sgd_typical();
            sgd_skipped();
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
