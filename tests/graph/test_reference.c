// SPDX-License-Identifier: MIT
//
// The references are checked themselves: every backward function against differences of its forward function, Philox
// against the known answers of its authors, bf16 rounding at its edges.
#include "test.h"
#include "reference.h"

#define MOST 512

// A scalar function of some inputs, for differentiation: sum over outputs of weights * outputs.
struct problem {
    double (*forward)(const struct problem *);
    double *input;          // (count) differentiated
    const double *gradient; // (count) what the backward function says
    int count;
    int rows, columns, choice;
    double *other; // whatever else the forward function needs
    const double *weights;
    const uint32_t *index;
};

// Central differences with Richardson's extrapolation: error O(h^4), about 1e-11 beside rounding of 1e-16 / h.
static void differentiate(struct problem *p, const char *name)
{
    for (int i = 0; i < p->count; i++) {
        double x = p->input[i], slope[2];
        for (int k = 0; k < 2; k++) {
            double h = k ? 5e-4 : 1e-3;
            p->input[i] = x + h;
            double up = p->forward(p);
            p->input[i] = x - h;
            slope[k] = (up - p->forward(p)) / (2 * h);
        }
        p->input[i] = x;
        double got = (4 * slope[1] - slope[0]) / 3;
        CHECK_SAY(fabs(got - p->gradient[i]) <= 1e-9 * (1 + fabs(got)), "%s: d/dx[%d] is %.12g, differences give %.12g",
            name, i, p->gradient[i], got);
    }
}

static void randomize(double *x, int count, uint64_t *seed)
{
    for (int i = 0; i < count; i++) x[i] = 2 * test_uniform(seed);
}

static double dot(const double *a, const double *b, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

static double embed_forward(const struct problem *p)
{
    double y[MOST];
    reference_embed(y, p->index, p->input, p->rows, p->columns, 1.5);
    return dot(y, p->weights, p->rows * p->columns);
}

static void test_embed(void)
{
    enum { ROWS = 6, COLUMNS = 3, IDS = 4 };
    uint64_t seed = 1;
    double table[IDS * COLUMNS], dy[ROWS * COLUMNS], dtable[IDS * COLUMNS] = {0};
    const uint32_t ids[ROWS] = {2, 0, 2, 2, 3, 0};
    randomize(table, IDS * COLUMNS, &seed);
    randomize(dy, ROWS * COLUMNS, &seed);
    reference_embed_backward(dtable, ids, dy, ROWS, COLUMNS, 1.5);
    differentiate(
        &(struct problem){embed_forward, table, dtable, IDS * COLUMNS, ROWS, COLUMNS, 0, NULL, dy, ids}, "embed");
}

static double rmsnorm_forward(const struct problem *p)
{
    double y[MOST], rstd[MOST];
    const double *x = p->choice ? p->other : p->input, *w = p->choice ? p->input : p->other;
    reference_rmsnorm(y, rstd, x, w, p->rows, p->columns, 0.01, 1);
    return dot(y, p->weights, p->rows * p->columns);
}

static void test_rmsnorm(void)
{
    enum { ROWS = 3, COLUMNS = 7 };
    uint64_t seed = 2;
    double x[ROWS * COLUMNS], w[COLUMNS], dy[ROWS * COLUMNS], y[ROWS * COLUMNS], rstd[ROWS], dx[ROWS * COLUMNS];
    double dw[COLUMNS] = {0};
    randomize(x, ROWS * COLUMNS, &seed);
    randomize(w, COLUMNS, &seed);
    randomize(dy, ROWS * COLUMNS, &seed);
    reference_rmsnorm(y, rstd, x, w, ROWS, COLUMNS, 0.01, 1);
    reference_rmsnorm_backward(dx, dw, x, w, rstd, dy, ROWS, COLUMNS, 1);
    differentiate(
        &(struct problem){rmsnorm_forward, x, dx, ROWS * COLUMNS, ROWS, COLUMNS, 0, w, dy, NULL}, "rmsnorm x");
    differentiate(&(struct problem){rmsnorm_forward, w, dw, COLUMNS, ROWS, COLUMNS, 1, x, dy, NULL}, "rmsnorm w");
}

static double rope_forward(const struct problem *p)
{
    double x[MOST];
    memcpy(x, p->input, sizeof *x * (size_t)p->count);
    reference_rope(x, p->index, p->other, p->rows, p->count / p->rows / p->columns, p->columns, 1);
    return dot(x, p->weights, p->count);
}

static void test_rope(void)
{
    enum { ROWS = 3, HEADS = 2, DIM = 6, POSITIONS = 9, ALL = ROWS * HEADS * DIM };
    uint64_t seed = 3;
    double x[ALL], dx[ALL], dy[ALL], table[POSITIONS * DIM];
    const uint32_t positions[ROWS] = {0, 8, 3};
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < DIM / 2; i++) {
            table[p * DIM + i] = cos(p * pow(10000, -2.0 * i / DIM));
            table[p * DIM + DIM / 2 + i] = sin(p * pow(10000, -2.0 * i / DIM));
        }
    randomize(x, ALL, &seed);
    randomize(dy, ALL, &seed);
    memcpy(dx, dy, sizeof dx);
    reference_rope(dx, positions, table, ROWS, HEADS, DIM, -1);
    differentiate(&(struct problem){rope_forward, x, dx, ALL, ROWS, DIM, 0, table, dy, positions}, "rope");
    // A rotation by the angle and back is the identity; position 0 turns nothing.
    double y[ALL];
    memcpy(y, x, sizeof y);
    reference_rope(y, positions, table, ROWS, HEADS, DIM, 1);
    CHECK(memcmp(y, x, sizeof *x * HEADS * DIM) == 0 && memcmp(y, x, sizeof y) != 0);
    reference_rope(y, positions, table, ROWS, HEADS, DIM, -1);
    for (int i = 0; i < ALL; i++) CHECK(fabs(y[i] - x[i]) < 1e-15 * 8);
}

static double glu_forward(const struct problem *p)
{
    double y[MOST];
    reference_glu(y, p->input, p->rows, p->columns, (enum reference_activation)p->choice);
    return dot(y, p->weights, p->rows * p->columns);
}

static void test_glu(void)
{
    enum { ROWS = 4, COLUMNS = 5, ALL = ROWS * COLUMNS * 2 };
    uint64_t seed = 4;
    double x[ALL], dx[ALL], dy[ALL / 2];
    for (int activation = 0; activation < 2; activation++) {
        randomize(x, ALL, &seed);
        x[0] = 9, x[1] = -9, x[2] = 0;
        randomize(dy, ALL / 2, &seed);
        reference_glu_backward(dx, x, dy, ROWS, COLUMNS, (enum reference_activation)activation);
        differentiate(&(struct problem){glu_forward, x, dx, ALL, ROWS, COLUMNS, activation, NULL, dy, NULL}, "glu");
    }
    double y, pair[2] = {1, 2};
    reference_glu(&y, pair, 1, 1, REFERENCE_SILU);
    CHECK(fabs(y - 2 * 0.7310585786300049) < 1e-15); // PyTorch: silu(1) = 0.7310585786300049
    reference_glu(&y, pair, 1, 1, REFERENCE_GELU_TANH);
    CHECK(fabs(y - 2 * 0.8411919906082768) < 1e-15); // gelu(1, approximate="tanh") = 0.8411919906082768
}

static double cross_entropy_forward(const struct problem *p)
{
    double loss[MOST], dz[MOST], sum = 0;
    bool hit[MOST];
    reference_cross_entropy(loss, hit, dz, p->input, p->index, p->rows, p->columns, 1);
    for (int t = 0; t < p->rows; t++) sum += 0.25 * loss[t];
    return sum;
}

static void test_cross_entropy(void)
{
    enum { ROWS = 3, COLUMNS = 7, ALL = ROWS * COLUMNS };
    uint64_t seed = 5;
    double z[ALL], dz[ALL], loss[ROWS];
    bool hit[ROWS];
    const uint32_t targets[ROWS] = {6, 0, 3};
    randomize(z, ALL, &seed);
    z[0 * COLUMNS + 6] = 5, z[1 * COLUMNS + 0] = 4, z[2 * COLUMNS + 3] = 3;
    z[1 * COLUMNS + 4] = 4, z[2 * COLUMNS + 2] = 3; // the first of equals wins: row 1 hits, row 2 does not
    reference_cross_entropy(loss, hit, dz, z, targets, ROWS, COLUMNS, 0.25);
    CHECK(hit[0] && hit[1] && !hit[2]);
    differentiate(&(struct problem){cross_entropy_forward, z, dz, ALL, ROWS, COLUMNS, 0, NULL, NULL, targets}, "loss");
}

static void test_philox(void)
{
    // Salmon et al.'s kat_vectors for philox4x32, 10 rounds.
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
            0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
            0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t random[4];
        reference_philox(random, known[i], known[i] + 4);
        CHECK(memcmp(random, known[i] + 6, sizeof random) == 0);
    }
    const uint32_t seed[2] = {7, 8};
    int kept = 0;
    for (uint32_t c = 0; c < 4096; c++) kept += reference_dropout_keeps(3, 4, c, 16, seed, 1, 0.25f);
    CHECK(abs(kept - 3072) < 5 * 28); // 4096 draws of probability 3/4: standard deviation 27.7
    CHECK(reference_dropout_keeps(3, 4, 5, 16, seed, 1, 0));
}

static void test_update(void)
{
    // PyTorch 2, torch.optim.AdamW(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.5) on p = 2 with g = 0.5:
    // 2 (1 - 0.05) - 0.1 * 0.5 / (0.5 + 1e-8).
    double p = 2, m = 0, v = 0, g = 1;
    struct reference_update u = {0.1, 0.9, 0.99, 1e-8, 0.5, 10, 100, 0.5};
    reference_adamw(&p, &m, &v, &g, 1, &u);
    CHECK(fabs(m - 0.05) < 1e-15 && fabs(v - 0.0025) < 1e-15 && fabs(p - (1.9 - 0.1 / (1 + 2e-8))) < 1e-14);
    p = 2;
    reference_sgd(&p, &g, 1, &u);
    CHECK(fabs(p - (2 - 0.1 * (0.5 + 1))) < 1e-15);
}

static void test_sample_order(void)
{
    const float logits[5] = {1, 3, -2, 3, 1};
    const uint32_t want[5] = {1, 3, 0, 4, 2};
    uint32_t order[5];
    double weight[5];
    reference_sample_order(order, weight, logits, 5, 2);
    CHECK(memcmp(order, want, sizeof want) == 0);
    CHECK(weight[0] == 1 && weight[1] == 1 && weight[2] == exp(-1) && weight[4] == exp(-2.5));
}

static void test_bf16(void)
{
    CHECK(reference_bf16(1.0f) == 1.0f && reference_bf16(-0.15625f) == -0.15625f);
    CHECK(reference_bf16(1 + 0x1p-8f) == 1.0f);                   // a tie goes to the even neighbour, below
    CHECK(reference_bf16(1 + 3 * 0x1p-8f) == 1 + 0x1p-6f);        // and above
    CHECK(reference_bf16(1 + 0x1p-8f + 0x1p-23f) == 1 + 0x1p-7f); // just above a tie
    CHECK(isinf(reference_bf16(3.4e38f)) && reference_bf16(-3.38953139e38f) == -3.38953139e38f);
    CHECK(isnan(reference_bf16(NAN)) && isinf(reference_bf16(INFINITY)));
}

int main(void)
{
    test_embed();
    test_rmsnorm();
    test_rope();
    test_glu();
    test_cross_entropy();
    test_philox();
    test_update();
    test_sample_order();
    test_bf16();
    return test_end();
}
