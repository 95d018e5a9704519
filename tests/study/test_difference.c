// SPDX-License-Identifier: MIT
//
// Differences of two models: ranking, ties, shares and restored models against a plain sort of all parameters; the
// divergence of first tokens; models that do not belong together.
#include "study/difference.h"
#include "formats/tensor.h"
#include "test.h"

#include <unistd.h>

static char folder[] = "/tmp/pumice-test-XXXXXX";

// A model made from another: each parameter by its place.
struct made {
    const struct model *from;
    float (*value)(uint64_t place, float x);
    uint64_t place;
};

static int read_made(void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e)
{
    struct made *m = context;
    uint64_t all, columns;
    model_part_shape(&m->from->weights[weight], part, &all, &columns);
    if (model_read_part(m->from, weight, part, first, rows, out, e)) return -1;
    for (uint64_t i = 0; i < rows * columns; i++, m->place++) out[i] = m->value(m->place, out[i]);
    return 0;
}

static float zero_some(uint64_t place, float x)
{
    return place % 97 == 5 ? 0 : x == 0 ? 1 : x;
}

// Most stay, some by one of a few powers of 2, so that very many are equal; some from 0, some to 0.
static float change_some(uint64_t place, float x)
{
    uint64_t state = place;
    uint32_t r = test_random(&state);
    if (x == 0) return place % 2 ? 0.5f : 0;
    if (r % 5 == 0) return x;
    if (r % 101 == 0) return 0;
    return x * (1 + (r % 3 ? -1.0f : 1.0f) * (float)(1 + r % 2) / (float)(1 << (3 + r / 256 % 8)));
}

static float to_nan(uint64_t place, float x)
{
    return place == 1000 ? NAN : x;
}

static bool make(struct model *m, const char *name, const struct model *from, float (*value)(uint64_t place, float x))
{
    struct error e = {0};
    struct made made = {from, value, 0};
    char *path = path_join(folder, name);
    bool ok = folder_make(path, &e) == 0 &&
              model_write(from, &(struct model_source){read_made, &made}, path, false, &e) == 0 &&
              model_open(m, path, &e) == 0;
    CHECK_SAY(ok, "%s", e.text);
    free(path);
    return ok;
}

static float *values(const struct model *m, uint64_t *count)
{
    struct error e = {0};
    float *all = NULL;
    *count = 0;
    for (int i = 0; i < m->weight_count; i++)
        for (int k = 0; k < m->weights[i].part_count; k++) {
            uint64_t rows, columns;
            model_part_shape(&m->weights[i], k, &rows, &columns);
            all = mem_resize(all, (*count + rows * columns) * sizeof *all);
            CHECK(model_read_part(m, i, k, 0, rows, all + *count, &e) == 0);
            *count += rows * columns;
        }
    return all;
}

static const float *ranked; // by compare

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    if (ranked[x] != ranked[y]) return ranked[x] > ranked[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static void test_ranking(const struct model *golden)
{
    struct model before, after, restored;
    struct error e = {0};
    if (!make(&before, "before", golden, zero_some) || !make(&after, "after", &before, change_some)) return;
    CHECK(difference_check(&before, &after, &e) == 0);
    uint64_t n, m, changed = 0, infinite = 0;
    float *a = values(&before, &n), *b = values(&after, &m), *changes = mem_alloc(n * sizeof *changes), most = 0;
    uint64_t *order = mem_alloc(n * sizeof *order);
    CHECK(n == m && n == model_parameters(&before));
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        double change = a[i] == b[i] ? 0 : a[i] == 0 ? INFINITY : fabs((double)b[i] - a[i]) / fabs((double)a[i]);
        changes[i] = (float)change;
        order[i] = i;
        changed += a[i] != b[i];
        infinite += isinf(changes[i]);
        if (isfinite(changes[i])) sum += (double)changes[i], most = fmaxf(most, changes[i]);
    }
    ranked = changes;
    qsort(order, n, sizeof *order, compare);
    static const double fractions[] = {0, 1e-9, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 1};
    enum { TOPS = sizeof fractions / sizeof *fractions };
    struct difference d;
    struct difference_top tops[TOPS] = {0};
    for (int i = 0; i < TOPS; i++) tops[i].fraction = fractions[i];
    CHECK_SAY(difference_measure(&d, tops, TOPS, &before, &after, &e) == 0, "%s", e.text);
    CHECK(d.parameters == n && d.changed == changed && d.infinite == infinite && infinite > 10 && d.most == most);
    CHECK(fabs(d.sum - sum) <= 1e-12 * sum);
    for (int i = 0; i < TOPS; i++) {
        uint64_t count = (uint64_t)floor((double)n * fractions[i] + 1e-9);
        double part = 0;
        for (uint64_t k = 0; k < count; k++) part += isfinite(changes[order[k]]) ? (double)changes[order[k]] : 0;
        CHECK(tops[i].count == count);
        CHECK_SAY(fabs(tops[i].share - part / sum) <= 1e-12, "top %g: %.17g, want %.17g", fractions[i], tops[i].share,
            part / sum);
        // A restored model has exactly the first `count` of the ranking set back.
        struct difference_restore from = {.before = &before, .after = &after, .top = &tops[i]};
        char name[32], *path;
        snprintf(name, sizeof name, "restored-%d", i);
        path = path_join(folder, name);
        CHECK_SAY(
            folder_make(path, &e) == 0 &&
                model_write(&after, &(struct model_source){difference_restore_read, &from}, path, false, &e) == 0 &&
                model_open(&restored, path, &e) == 0,
            "%s", e.text);
        float *c = values(&restored, &m);
        CHECK(m == n && from.restored == count);
        uint64_t wrong = 0;
        for (uint64_t k = 0; k < n; k++)
            wrong += f32_bits(c[order[k]]) != f32_bits(k < count ? a[order[k]] : b[order[k]]);
        CHECK_SAY(wrong == 0, "top %g: %d wrong", fractions[i], (int)wrong);
        free(c);
        free(path);
        model_close(&restored);
    }
    // Nothing has changed.
    CHECK(difference_measure(&d, tops, TOPS, &after, &after, &e) == 0);
    CHECK(d.changed == 0 && d.sum == 0 && tops[6].share == 0 && tops[6].count == n / 5);
    struct model broken;
    if (make(&broken, "broken", &before, to_nan)) {
        CHECK(difference_measure(&d, tops, TOPS, &before, &broken, &e) == -1);
        CHECK_ERROR(e, "is not finite");
        model_close(&broken);
    }
    free(a);
    free(b);
    free(changes);
    free(order);
    model_close(&before);
    model_close(&after);
}

static void test_change(void)
{
    CHECK(difference_change(0, 0) == 0 && difference_change(-0.0f, 0) == 0 && difference_change(2, 2) == 0);
    CHECK(difference_change(2, 3) == 0.5f && difference_change(-2, -1) == 0.5f && difference_change(2, -2) == 2);
    CHECK(isinf(difference_change(0, 1e-30f)) && difference_change(0x1p-149f, 1) == 0x1.fffffep127f);
    CHECK(difference_change(3, 0) == 1);
}

static void test_check(const struct model *tied)
{
    struct error e = {0};
    struct model untied;
    CHECK(model_open(&untied, "tests/golden/llama-untied", &e) == 0);
    CHECK(difference_check(tied, &untied, &e) == -1);
    CHECK_ERROR(e, "the models differ in");
    CHECK(difference_check(tied, tied, &e) == 0);
    // One more weight on either side.
    struct model less = *tied;
    less.weight_count--;
    CHECK(difference_check(tied, &less, &e) == -1);
    CHECK_ERROR(e, "is only there before");
    CHECK(difference_check(&less, tied, &e) == -1);
    CHECK_ERROR(e, "is only there after");
    model_close(&untied);
}

static void test_top_logits(void)
{
    float logits[300], others[300];
    uint64_t seed = 5;
    for (int i = 0; i < 300; i++) {
        logits[i] = floorf(20 * test_uniform(&seed)) / 4; // many are equal
        others[i] = 5 * test_uniform(&seed);
    }
    struct top_logits t;
    top_logits_take(&t, logits, 300);
    CHECK(t.count == TOP_LOGITS);
    double p[TOP_LOGITS], q[TOP_LOGITS], p_sum = 0, q_sum = 0, want = 0;
    for (int k = 0; k < TOP_LOGITS; k++) {
        int before = 0; // larger, or equal with a smaller id
        for (int i = 0; i < 300; i++)
            before += logits[i] > logits[t.ids[k]] || (logits[i] == logits[t.ids[k]] && i < (int)t.ids[k]);
        CHECK(before == k && t.logits[k] == logits[t.ids[k]]);
        p_sum += p[k] = exp((double)t.logits[k]);
        q_sum += q[k] = exp((double)others[t.ids[k]]);
    }
    for (int k = 0; k < TOP_LOGITS; k++) want += p[k] / p_sum * log(p[k] / p_sum / (q[k] / q_sum));
    CHECK(want > 0.1 && fabs(top_logits_divergence(&t, others) - want) < 1e-12);
    CHECK(top_logits_divergence(&t, logits) == 0);
    for (int i = 0; i < 300; i++) others[i] = logits[i] + 100; // the same distribution
    CHECK(top_logits_divergence(&t, others) < 1e-12);
    top_logits_take(&t, logits, 3);
    CHECK(t.count == 3);
    // p = (3/4, 1/4), q = (1/4, 3/4): ln(3) / 2.
    const float two[2] = {logf(3), 0}, swapped[2] = {0, logf(3)};
    top_logits_take(&t, two, 2);
    CHECK(t.count == 2 && fabs(top_logits_divergence(&t, swapped) - log(3) / 2) < 1e-6);
}

int main(void)
{
    struct error e = {0};
    struct model golden;
    if (!mkdtemp(folder)) return 1;
    if (model_open(&golden, "tests/golden/llama-tied", &e)) return printf("%s\n", e.text), 1;
    test_change();
    test_check(&golden);
    test_ranking(&golden);
    test_top_logits();
    model_close(&golden);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
