// SPDX-License-Identifier: MIT
//
// Gradients of matrices in bf16 (gradient_dtype): what they take, what each addition rounds, to the bit, and how far a training
// run then strays from one whose gradients are f32.
#include "data/pack.h"
#include "golden_run.h"

#define BUDGET 48
#define BUDGET_IN_RANGES 80 // gate and up are then in two
#define HALF_UNIT 0x1p-8 // of bf16: how far rounding to nearest moves a number, relative to it

static float bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, 4);
    return x;
}

// ---- memory ------------------------------------------------------------------------------------------------------

// Bytes of weights, gradients and moments that an element of a matrix takes: the f32 master 4, the copy 2, moments 8. Those of
// vectors, all f32: 16.
static void check_state(const struct blueprint *b, int bytes_of_matrices)
{
    uint64_t matrices = 0, vectors = 0;
    for (int i = 0; i < b->layout.blocks; i++) *(b->layout.block[i].matrices ? &matrices : &vectors) += b->layout.block[i].elements;
    const struct memory_sum *m = &b->memory;
    CHECK(matrices > vectors && vectors > 0);
    CHECK(m->weights + m->gradients + m->optimizer == (uint64_t)bytes_of_matrices * matrices + 16 * vectors);
    CHECK(m->total == m->weights + m->gradients + m->optimizer + m->activations + m->scratch);
    // Of a real model's parameters, padding and all.
    double each = (double)(m->weights + m->gradients + m->optimizer) / (double)b->layout.parameters;
    CHECK_SAY(b->layout.parameters < 100000000 || each <= bytes_of_matrices + 1e-3, "%g bytes of state a parameter", each);
}

static void test_plan(void)
{
    struct model model;
    struct error e = {0};
    uint64_t total[2] = {0};
    model_open_builtin(&model); // SmolLM2-135M's shapes
    struct limits limits = limits_of(NULL);
    for (enum storage gradients = STORAGE_F32; gradients <= STORAGE_BF16; gradients++) {
        struct blueprint b;
        struct blueprint_options o = {.budget = 512, .positions = 512, .storage = STORAGE_BF16, .gradients = gradients,
            .optimizer = OPTIMIZER_ADAMW};
        CHECK_SAY(blueprint_make(&b, &model, &limits, &o, &e) == 0, "%s", e.text);
        check_state(&b, gradients == STORAGE_BF16 ? 16 : 18);
        CHECK(b.layout.parameters > 134000000);
        total[gradients] = b.memory.total;
        blueprint_free(&b);
    }
    CHECK_SAY(total[0] - total[1] >= 2 * UINT64_C(134000000), "%llu and %llu bytes", (unsigned long long)total[0], (unsigned long long)total[1]);
    model_close(&model);
}

// ---- one step ----------------------------------------------------------------------------------------------------

struct gradients {
    float *of[32]; // by weight, with padding
};

static uint64_t elements(const struct model_weight *w)
{
    return w->rows * ((w->columns + 7) / 8 * 8);
}

static void gradients_read(struct gradients *x, const struct golden *g, struct session *s)
{
    for (int i = 0; i < g->model.weight_count; i++) {
        const struct model_weight *w = &g->model.weights[i];
        x->of[i] = mem_alloc(4 * elements(w));
        engine_read(session_engine(s), i, STATE_GRADIENT, 0, elements(w), x->of[i]);
    }
}

static void gradients_free(struct gradients *x, const struct golden *g)
{
    for (int i = 0; i < g->model.weight_count; i++) free(x->of[i]);
}

// A step without an update over some of the conversations, a micro-batch each, whose loss is divided by `divisor`.
static struct step_outcome one_step(struct session *s, const struct golden *g, uint32_t first, uint32_t count, double divisor)
{
    struct step_settings settings = settings_of(g, 1, 0);
    struct step_outcome out;
    struct source_sum sum = {0};
    uint64_t trained = 0;
    for (uint32_t i = first; i < first + count; i++) trained += pack_targets(g->items[i].mask, g->items[i].tokens);
    settings.packing = false;
    settings.loss_scale = (double)(trained ? trained : 1) / divisor;
    session_step(s, g->items + first, count, &settings, &out, &sum);
    CHECK(out.micro_batches == count && out.trained == trained);
    return out;
}

// Micro-batches of one conversation each give the bits of: the sum of each in f32, added to what there is, then rounded. A tied
// table, to which head and embedding add in each, is within these roundings of the f32 sum; vectors are f32.
static void test_bits(const struct golden *g, struct gpu *gpu)
{
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint b[2];
    struct session *s[2] = {0};
    struct gradients sum = {0}, part = {0}, got[3] = {{{0}}};
    uint64_t trained = 0, allocated[2] = {0}, matrices = 0, others = gpu_allocated(gpu);
    bool tied = g->model.config.tied;
    for (uint32_t i = 0; i < g->count; i++) trained += pack_targets(g->items[i].mask, g->items[i].tokens);
    for (int narrow = 0; narrow < 2; narrow++) {
        s[narrow] = start_within(&limits, g, gpu, &b[narrow], BUDGET, false, STORAGE_BF16, narrow ? STORAGE_BF16 : STORAGE_F32);
        if (!s[narrow]) return CHECK(s[narrow] != NULL);
        check_state(&b[narrow], narrow ? 16 : 18);
        allocated[narrow] = gpu_allocated(gpu) - others;
        one_step(s[narrow], g, 0, g->count, (double)trained);
        gradients_read(&got[narrow], g, s[narrow]);
        if (narrow) { // once more: what was there before is zeroed or set, and the bits are the same
            one_step(s[narrow], g, 0, g->count, (double)trained);
            gradients_read(&got[2], g, s[narrow]);
        }
        if (narrow) session_close(s[narrow]);
        else others = gpu_allocated(gpu); // stays open for the parts
    }
    for (int i = 0; i < b[0].layout.blocks; i++)
        if (b[0].layout.block[i].matrices) matrices += b[0].layout.block[i].elements;
    CHECK(allocated[0] - allocated[1] == 2 * matrices);
    for (uint32_t k = 0; k < g->count; k++) {
        one_step(s[0], g, k, 1, (double)trained);
        gradients_read(k ? &part : &sum, g, s[0]);
        for (int i = 0; i < g->model.weight_count; i++)
            for (uint64_t j = 0; g->model.weights[i].matrix && j < elements(&g->model.weights[i]); j++)
                sum.of[i][j] = bf16(k ? sum.of[i][j] + part.of[i][j] : sum.of[i][j]);
        if (k) gradients_free(&part, g);
    }
    int exact = 0, rounded = 0;
    for (int i = 0; i < g->model.weight_count; i++) {
        const struct model_weight *w = &g->model.weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8, wrong = 0;
        bool table = tied && w->matrix && w->rows == g->model.config.vocabulary;
        double most = 0, off = 0;
        for (uint64_t j = 0; j < elements(w); j++) {
            if (j % ld >= w->columns) continue;
            float a = got[0].of[i][j], x = got[1].of[i][j], want = w->matrix ? sum.of[i][j] : a;
            wrong += x != want || got[2].of[i][j] != x;
            rounded += x != a;
            most = fmax(most, fabs((double)a));
            off = fmax(off, fabs((double)x - (double)a));
        }
        if (!table) {
            CHECK_SAY(wrong == 0, "weight %d: %llu of %llu numbers are not what adding and rounding gives", i, (unsigned long long)wrong,
                (unsigned long long)elements(w));
            exact++;
        }
        // Sums on the way are not far above those at the end.
        CHECK_SAY(off <= 2.0 * g->count * HALF_UNIT * 2 * most, "weight %d: off by %g, largest %g", i, off, most);
    }
    CHECK(exact >= 12 && rounded > 1000);
    for (int i = 0; i < 3; i++) gradients_free(&got[i], g);
    gradients_free(&sum, g);
    session_close(s[0]);
    for (int i = 0; i < 2; i++) blueprint_free(&b[i]);
}

// Additions to a weight's gradient in one micro-batch, at least: its products' pieces are of some of its rows each.
static uint32_t additions(const struct blueprint *b, int weight)
{
    uint32_t count = 0;
    for (int i = 0; i < b->train.call_count; i++)
        for (int u = 0; u < b->train.calls[i].use_count; u++) {
            const struct use *use = &b->train.calls[i].uses[u];
            const struct tensor *t = graph_at(&b->graph, use->tensor);
            count += use->part == PART_GRADIENT && use->writes && t->kind == TENSOR_WEIGHT && t->index == weight;
        }
    return count;
}

// Where bindings are small, tensors are worked on in ranges, and a gradient is rounded after each range of its sum.
static void test_ranges(const struct golden *g, struct gpu *gpu)
{
    struct limits limits = limits_of(gpu_info(gpu));
    struct gradients got[2] = {{{0}}};
    struct blueprint b[2];
    struct step_outcome out[2];
    uint32_t in_ranges = 0;
    for (int narrow = 0; narrow < 2; narrow++) {
        struct session *s = start_within(&limits, g, gpu, &b[narrow], BUDGET_IN_RANGES, false, STORAGE_BF16,
            narrow ? STORAGE_BF16 : STORAGE_F32);
        if (!s) return CHECK(s != NULL);
        out[narrow] = one_step(s, g, 0, g->count, 1);
        gradients_read(&got[narrow], g, s);
        session_close(s);
    }
    for (int i = 0; i < g->model.weight_count; i++) {
        const struct model_weight *w = &g->model.weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8;
        uint32_t all = additions(&b[1], i) * g->count;
        double most = 0, off = 0;
        for (uint64_t j = 0; j < elements(w); j++) {
            if (j % ld >= w->columns) continue;
            most = fmax(most, fabs((double)got[0].of[i][j]));
            off = fmax(off, fabs((double)got[1].of[i][j] - (double)got[0].of[i][j]));
        }
        double bound = w->matrix ? all * HALF_UNIT * 2 * most : 0;
        CHECK_SAY(off <= bound, "in ranges, weight %d: off by %g, largest %g, %u additions", i, off, most, all);
        in_ranges += additions(&b[1], i) > 1;
    }
    CHECK_SAY(in_ranges >= 4, "%u weights in ranges: table, head and each layer's gate and up should be", in_ranges);
    double norm = (double)out[0].grad_norm;
    CHECK_SAY(out[0].loss == out[1].loss && fabs((double)out[1].grad_norm - norm) <= HALF_UNIT * norm, "loss %g and %g, norm %g and %g",
        (double)out[0].loss, (double)out[1].loss, norm, (double)out[1].grad_norm);
    for (int i = 0; i < 2; i++) {
        gradients_free(&got[i], g);
        blueprint_free(&b[i]);
    }
}

// ---- ten steps ---------------------------------------------------------------------------------------------------

#define STEPS 10

static void ten_losses(const struct golden *g, struct gpu *gpu, enum storage gradients, double *loss, double *norm, int *batches)
{
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint b;
    struct session *s = start_within(&limits, g, gpu, &b, BUDGET, false, STORAGE_BF16, gradients);
    if (!s) return CHECK(s != NULL);
    const cJSON *step, *item;
    int n = 0;
    cJSON_ArrayForEach(step, cJSON_GetObjectItem(g->json, "steps"))
    {
        struct pack_item items[16];
        uint32_t count = 0;
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(step, "batch")) items[count++] = g->items[item->valueint];
        struct step_settings settings = settings_of(g, (uint64_t)n + 1, -1);
        settings.packing = false; // more roundings
        struct step_outcome out;
        struct source_sum sum = {0};
        session_step(s, items, count, &settings, &out, &sum);
        CHECK(n < STEPS && !out.skipped);
        double right = scalar(step, "loss"); // float64's
        loss[n] = (double)out.loss;
        CHECK_SAY(fabs(loss[n] - right) <= BF16_LOSS * right, "step %d: loss %.7f, want %.7f", n + 1, loss[n], right);
        norm[n++] = (double)out.grad_norm;
        *batches = (int)out.micro_batches;
    }
    CHECK(n == STEPS);
    session_close(s);
    blueprint_free(&b);
}

// A gradient g of n additions is off by at most n half units of the sums on the way. Where it is larger than that, AdamW's quotient
// of moments is off by less than 2, a step of rate r by 2 r of what it moves a parameter by; where it is not, it may even
// change its sign. Either way g times the change is at most 2 r n half units of those sums, a parameter. Roundings are
// independent: of all parameters together it is their norm that counts, about the gradient's. Steps add up. And weights that
// differ at all round to other copies, activations to others: the loss of another forward pass in bf16, a half unit of itself
// (float64's is within BF16_LOSS).
static void test_training(const struct golden *g, struct gpu *gpu)
{
    double loss[2][STEPS] = {{0}}, norm[2][STEPS] = {{0}}, apart = 0;
    int batches = 0, differ = 0;
    for (int narrow = 0; narrow < 2; narrow++) ten_losses(g, gpu, narrow ? STORAGE_BF16 : STORAGE_F32, loss[narrow], norm[narrow], &batches);
    double rate = scalar(cJSON_GetObjectItem(g->json, "optimizer"), "learning_rate"), bound = 0, moved = 0;
    for (int n = 0; n < STEPS; n++) {
        int all = batches * (g->model.config.tied ? 2 : 1);
        double difference = fabs(loss[1][n] - loss[0][n]);
        CHECK_SAY(n > 0 || difference == 0, "the first loss differs by %g", difference);
        bound = moved + HALF_UNIT * loss[0][n];
        CHECK_SAY(difference <= bound, "step %d: losses %.7f and %.7f, %.2g apart, at most %.2g", n + 1, loss[0][n], loss[1][n], difference, bound);
        CHECK_SAY(fabs(norm[1][n] - norm[0][n]) <= 5e-2 * norm[0][n], "step %d: norms %.6f and %.6f", n + 1, norm[0][n], norm[1][n]);
        moved += 2 * rate * all * HALF_UNIT * norm[0][n];
        differ += difference > 0;
        apart = fmax(apart, difference);
    }
    CHECK(differ >= STEPS / 2 && loss[1][STEPS - 1] < 0.8 * loss[1][0]); // gradients are rounded, and it learns
    printf("ten steps: losses %.2g apart at most; the last bound is %.2g\n", apart, bound);
}

int main(void)
{
    const char *names[] = {"llama-tied", "llama-untied"};
    char error[1024];
    test_plan();
    struct gpu *gpu = gpu_open(&(struct gpu_options){.validate = true}, error, sizeof error);
    if (!gpu) return printf("%s\n", error), 1;
    for (int i = 0; i < 2; i++) {
        struct golden g;
        int status = golden_open(&g, names[i]);
        CHECK(status == 0);
        if (status) continue;
        test_bits(&g, gpu);
        test_training(&g, gpu);
        golden_close(&g);
    }
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    gpu = gpu_open(&(struct gpu_options){.validate = true, .max_range = 24576}, error, sizeof error);
    struct golden g;
    if (golden_open(&g, "llama-untied") == 0) test_ranges(&g, gpu);
    CHECK(gpu_validation_messages(gpu) <= 0);
    golden_close(&g);
    gpu_close(gpu);
    return test_end();
}
