// SPDX-License-Identifier: MIT
//
// Golden vectors of tiny random Llamas (tools/golden.py, PyTorch in float64): loss, norm, every gradient, ten AdamW
// steps; and that packing, budget, recomputation and lowered ranges change nothing.
#include "golden_run.h"
#include "graph/choices.h"

// Largest difference of every gradient relative to the largest element of that gradient.
static void check_gradients(const struct golden *g, struct session *s, double bound, const char *what)
{
    for (int i = 0; i < g->model.weight_count; i++) {
        const struct model_weight *w = &g->model.weights[i];
        uint64_t ld = (w->columns + 7) / 8 * 8;
        float *got = mem_alloc(4 * w->rows * ld);
        engine_read(session_engine(s), i, STATE_GRADIENT, 0, w->rows * ld, got);
        for (int k = 0; k < w->part_count; k++) {
            const struct model_part *p = &w->parts[k];
            const struct tensor_view *t = safetensors_find(g->tensors, p->hf);
            CHECK_SAY(t != NULL, "%s", p->hf);
            if (!t) continue;
            uint64_t rows = w->matrix ? p->rows : 1;
            float *want = mem_alloc(4 * tensor_count(t));
            struct error e;
            CHECK(tensor_read_f32(want, t, 0, tensor_count(t), &e) == 0);
            double most = 0, difference = 0;
            for (uint64_t r = 0; r < rows; r++)
                for (uint64_t c = 0; c < w->columns; c++) {
                    double a = (double)got[(w->matrix ? p->first_row + r : 0) * ld + c],
                           b = (double)want[r * w->columns + c];
                    if (fabs(b) > most) most = fabs(b);
                    if (!(fabs(a - b) <= difference)) difference = fabs(a - b);
                }
            CHECK_SAY(difference <= bound * most, "%s: %s: off by %g, largest %g", what, p->hf, difference, most);
            free(want);
        }
        free(got);
    }
}

static struct session *start(const struct golden *g, struct gpu *gpu, struct blueprint *b, uint32_t budget,
    bool checkpoint, enum storage storage)
{
    struct limits limits = limits_of(gpu_info(gpu));
    return start_within(&limits, g, gpu, b, budget, checkpoint, storage, STORAGE_F32);
}

// Float32 against float64 through two layers and sums of some tens of terms: 1e-5 of the largest element leaves a
// factor of about ten.
#define F32_LOSS 1e-5
#define F32_GRADIENT 2e-5

// Loss, norm and every gradient of one step, and evaluation.
static void check_step(const struct golden *g, struct session *s, bool packing, const char *what)
{
    struct step_settings settings = settings_of(g, 1, 0);
    settings.packing = packing;
    struct step_outcome out;
    struct source_sum sum = {0};
    session_step(s, g->items, g->count, &settings, &out, &sum);
    double loss = scalar(g->json, "loss"), norm = scalar(g->json, "grad_norm");
    CHECK_SAY(
        fabs((double)out.loss - loss) <= F32_LOSS * loss, "%s: loss %.8f, want %.8f", what, (double)out.loss, loss);
    CHECK_SAY(fabs((double)out.grad_norm - norm) <= F32_LOSS * norm, "%s: norm %.8f, want %.8f", what,
        (double)out.grad_norm, norm);
    CHECK(out.trained == (uint64_t)scalar(g->json, "trained") && sum.trained == out.trained);
    check_gradients(g, s, F32_GRADIENT, what);
    struct eval_outcome eval[16];
    session_eval(s, g->items, g->count, packing, eval);
    double total = 0;
    for (uint32_t i = 0; i < g->count; i++) total += eval[i].loss;
    CHECK_SAY(fabs(total / (double)out.trained - loss) <= F32_LOSS * loss, "%s: evaluated loss %.8f", what,
        total / (double)out.trained);
}

static void compare(
    const struct golden *g, struct gpu *gpu, uint32_t budget, bool checkpoint, bool packing, const char *what)
{
    struct blueprint b;
    struct session *s = start(g, gpu, &b, budget, checkpoint, STORAGE_F32);
    CHECK_SAY(s != NULL, "%s", what);
    if (!s) return;
    check_step(g, s, packing, what);
    session_close(s);
    blueprint_free(&b);
}

// Every dW's sum over the rows cut into parts, as GPUs have it where C has too few tiles for them.
static void compare_split(const struct golden *g, struct gpu *gpu)
{
    struct limits limits = limits_of(gpu_info(gpu));
    struct choices *choices = choices_new();
    limits.choices = choices;
    uint32_t budget = 256;
    for (int i = 0; i < g->model.weight_count; i++) {
        const struct model_weight *w = &g->model.weights[i];
        struct matmul_shape shape = {.layout = LAYOUT_TN, .m = w->rows, .n = w->columns, .k = budget,
            .live_k = LIVE_TOKENS, .add = ADD_UNLESS_FIRST};
        struct matmul_variant split;
        if (w->matrix && matmul_find(&limits, &shape, "shared 32x32x16 4x4 split 4", &split)) choices_set(choices, &shape, &split, 0);
    }
    struct blueprint b;
    struct session *s = start_within(&limits, g, gpu, &b, budget, false, STORAGE_F32, STORAGE_F32);
    CHECK(s != NULL);
    if (s) {
        int reduced = 0;
        for (int i = 0; i < b.train.call_count; i++) reduced += strcmp(b.train.calls[i].kernel, "matmul_reduce") == 0;
        CHECK_SAY(reduced >= 8, "%d products in parts", reduced);
        check_step(g, s, true, "sums in parts");
        session_close(s);
        blueprint_free(&b);
    }
    choices_free(choices);
}

static void ten_steps(const struct golden *g, struct gpu *gpu, enum storage storage)
{
    struct blueprint b;
    struct session *s = start(g, gpu, &b, 64, false, storage);
    if (!s) return;
    const cJSON *step;
    uint64_t update = 0;
    cJSON_ArrayForEach(step, cJSON_GetObjectItem(g->json, "steps"))
    {
        struct pack_item items[16];
        uint32_t count = 0;
        const cJSON *i;
        cJSON_ArrayForEach(i, cJSON_GetObjectItem(step, "batch")) items[count++] = g->items[i->valueint];
        struct step_settings settings = settings_of(g, ++update, -1);
        struct step_outcome out;
        struct source_sum sum = {0};
        session_step(s, items, count, &settings, &out, &sum);
        double loss = scalar(step, "loss"), bound = storage == STORAGE_F32 ? 1e-4 : BF16_LOSS;
        CHECK_SAY(fabs((double)out.loss - loss) <= bound * loss, "step %d: loss %.7f, want %.7f", (int)update,
            (double)out.loss, loss);
        double norm = scalar(step, "grad_norm");
        CHECK_SAY(fabs((double)out.grad_norm - norm) <= (storage == STORAGE_F32 ? 1e-3 : 5e-2) * norm,
            "step %d: norm %.6f, want %.6f", (int)update, (double)out.grad_norm, norm);
    }
    session_close(s);
    blueprint_free(&b);
}

int main(void)
{
    const char *names[] = {"llama-tied", "llama-untied", "llama-rope3"};
    char error[1024];
    struct gpu *gpu = gpu_open(&(struct gpu_options){.validate = true}, error, sizeof error);
    if (!gpu) return printf("%s\n", error), 1;
    for (int i = 0; i < 3; i++) {
        struct golden g;
        int status = golden_open(&g, names[i]);
        CHECK(status == 0);
        if (status) continue;
        compare(&g, gpu, 96, false, true, "one micro-batch");
        compare(&g, gpu, 48, false, true, "several micro-batches");
        compare(&g, gpu, 48, false, false, "one conversation each");
        compare(&g, gpu, 96, true, true, "recomputation");
        ten_steps(&g, gpu, STORAGE_F32);
        ten_steps(&g, gpu, STORAGE_BF16);
        if (i == 0) compare_split(&g, gpu);
        golden_close(&g);
    }
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    // With 24 KiB a binding the table, the head, gate_up, its activations and the gradient arena are worked on in ranges.
    gpu = gpu_open(&(struct gpu_options){.validate = true, .max_range = 24576}, error, sizeof error);
    struct golden g;
    if (golden_open(&g, "llama-untied") == 0) compare(&g, gpu, 48, false, true, "lowered range");
    CHECK(gpu_validation_messages(gpu) <= 0);
    golden_close(&g);
    gpu_close(gpu);
    return test_end();
}
