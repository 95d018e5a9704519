// SPDX-License-Identifier: MIT
//
// Work in parts: attention cut by rows and lists cut into submissions give the bits of whole ones, for all forms of the
// kernels, for full micro-batches and for some rows of one.
#include "graph/coopmat.h"
#include "graph/cost.h"
#include "graph/variants.h"
#include "test.h"
#include "train/session.h"

#define BUDGET 208
#define CHECK_NEAR(a, b) CHECK_SAY(fabs((a) - (b)) <= 1e-9 * fabs(b), "%.10g, want %.10g", (double)(a), (double)(b))

enum form { WIDE, LANES, UNITS };
static const char *const forms[] = {[WIDE] = "_wide", [LANES] = "lanes", [UNITS] = "_coopmat_"};

static struct model model;
static struct pack_item items[3];

static void items_make(void)
{
    static const uint32_t lengths[] = {50, 64, 61};
    uint64_t random = 5;
    for (int i = 0; i < 3; i++) {
        uint32_t *ids = mem_alloc(4 * lengths[i]);
        uint8_t *mask = mem_alloc(lengths[i]);
        for (uint32_t k = 0; k < lengths[i]; k++) {
            ids[k] = (uint32_t)((test_uniform(&random) + 1) / 2 * 60);
            mask[k] = k > 5;
        }
        items[i] = (struct pack_item){ids, mask, lengths[i], 0};
    }
}

static void items_free(void)
{
    for (int i = 0; i < 3; i++) free((void *)(uintptr_t)items[i].ids), free((void *)(uintptr_t)items[i].mask);
}

struct outcome {
    float loss, norm;
    float *gradients;
    size_t count;
};

// One step without an update: loss, norm and all gradients. The session stays open: the next one has its pipelines.
static struct session *step(struct outcome *out, struct gpu *gpu, const struct blueprint *b)
{
    struct error e = {0};
    struct session *s = session_open(b, &model, gpu, &e);
    if (!s || model_load(&model, session_engine(s), 0, &e)) return printf("%s\n", e.text), s;
    struct step_settings settings = {.optimizer = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
        .max_norm = 1, .dropout = 0.1, .seed = 7, .step = 3, .update = 1, .loss_scale = 256, .packing = true};
    struct step_outcome result;
    struct source_sum sum = {0};
    session_step(s, items, 3, &settings, &result, &sum);
    *out = (struct outcome){.loss = result.loss, .norm = result.grad_norm};
    for (int i = 0; i < model.weight_count; i++) {
        uint64_t n = model.weights[i].rows * ((model.weights[i].columns + 7) / 8 * 8);
        out->gradients = mem_resize(out->gradients, (out->count + n) * sizeof *out->gradients);
        engine_read(session_engine(s), i, STATE_GRADIENT, 0, n, out->gradients + out->count);
        out->count += n;
    }
    return s;
}

// Attention's calls cover all rows once, in order, and none but a single workgroup's rows takes longer than it may.
static int check_calls(const struct blueprint *b, const char *form)
{
    int parts = 0;
    uint32_t next = 0;
    bool kept = false;
    double flop = 0;
    const struct live_counts all = {.tokens = BUDGET, .targets = BUDGET, .pairs = (double)BUDGET * BUDGET};
    const struct live_counts some = {.tokens = 100, .targets = 100, .pairs = 40 * 40 + 60 * 60};
    double whole = 0, part = 0;
    for (int i = 0; i < b->train.call_count; i++) {
        const struct call *c = &b->train.calls[i];
        if (strncmp(c->kernel, "attention_", 10) != 0 || strncmp(c->kernel, "attention_delta", 15) == 0) continue;
        struct attention_args a;
        memcpy(&a, c->args, sizeof a);
        kept = kept || strcmp(c->kernel, "attention_dq_scores_wide") == 0;
        bool other = !strstr(c->kernel, "_wide") && !strstr(c->kernel, "_coopmat_");
        CHECK_SAY(form == forms[LANES] ? other : strstr(c->kernel, form) != NULL, "%s: %s", form, c->kernel);
        CHECK(a.first_row == next && a.rows == BUDGET && a.own_rows > 0);
        next = a.first_row + a.own_rows;
        CHECK(next <= BUDGET);
        double seconds = call_seconds(&b->limits, c);
        CHECK_SAY(b->limits.dispatch_seconds <= 0 || seconds <= b->limits.dispatch_seconds || a.own_rows <= 64,
            "%s, %u rows from %u on: %g s", c->kernel, a.own_rows, a.first_row, seconds);
        flop += c->flop;
        whole += call_cost(&b->train, c, &all).flop;
        part += call_cost(&b->train, c, &some).flop;
        if (next == BUDGET) next = 0;
        parts++;
    }
    CHECK(next == 0);
    // Nine products of two flop on half of the square; seven where gradients of scores are kept.
    double pair = (kept ? 7 : 9) * model.config.layers * model.config.heads * model.config.head_dim;
    CHECK_NEAR(flop, pair * BUDGET * BUDGET);
    CHECK_NEAR(whole, pair * all.pairs);
    CHECK_NEAR(part, pair * some.pairs);
    return parts;
}

static bool device_has(enum form form, const struct gpu_info *info, struct limits *limits)
{
    struct gpu_matrix unit;
    uint32_t lanes;
    if (form == WIDE) return wide_kernels(limits);
    if (form == LANES) limits->software = false;
    if (form == UNITS) limits->products = PRODUCTS_FP16;
    return form == LANES || coopmat_unit(info, PRODUCTS_FP16, &unit, &lanes);
}

static void compare(struct gpu *gpu, enum form form)
{
    struct blueprint_options o = {.budget = BUDGET, .positions = 64, .dropout = true, .optimizer = OPTIMIZER_ADAMW};
    struct outcome out[2] = {{0}};
    int parts[2] = {0}, submissions[2] = {0};
    struct blueprint b[2];
    struct session *s[2] = {0};
    bool planned[2] = {0};
    struct limits limits = limits_of(gpu_info(gpu));
    limits.cut_seconds = CUT_SECONDS;
    if (!device_has(form, gpu_info(gpu), &limits)) {
        printf("%s: not on this device\n", forms[form]);
        return;
    }
    for (int cut = 0; cut < 2; cut++) {
        limits.dispatch_seconds = cut ? DISPATCH_SECONDS : 0;
        // Dkv in about six parts; submissions of a few kernels. Products are too small to be cut.
        if (cut) limits.flop_per_second = 4.0 * BUDGET * BUDGET * model.config.heads * model.config.head_dim / 6 / DISPATCH_SECONDS;
        struct error e = {0};
        planned[cut] = blueprint_make(&b[cut], &model, &limits, &o, &e) == 0;
        CHECK_SAY(planned[cut], "%s", e.text);
        if (!planned[cut]) break;
        parts[cut] = check_calls(&b[cut], forms[form]);
        s[cut] = step(&out[cut], gpu, &b[cut]);
        submissions[cut] = s[cut] ? session_cuts(s[cut]) : 0;
    }
    CHECK_SAY(submissions[0] >= 1 && submissions[1] > submissions[0], "%d submissions, and %d", submissions[0], submissions[1]);
    CHECK_SAY(parts[0] == 3 * (int)model.config.layers && parts[1] >= 2 * parts[0], "%d calls, and %d in parts", parts[0], parts[1]);
    CHECK(out[0].count > 0 && out[0].count == out[1].count);
    if (out[0].count > 0 && out[0].count == out[1].count) {
        CHECK_SAY(memcmp(&out[0].loss, &out[1].loss, 4) == 0 && memcmp(&out[0].norm, &out[1].norm, 4) == 0,
            "%s: loss and norm %.9g and %.9g, in parts %.9g and %.9g", forms[form], (double)out[0].loss, (double)out[0].norm,
            (double)out[1].loss, (double)out[1].norm);
        CHECK(out[0].loss > 0 && out[0].norm > 0);
        CHECK(memcmp(out[0].gradients, out[1].gradients, 4 * out[0].count) == 0);
    }
    for (int cut = 0; cut < 2; cut++) {
        session_close(s[cut]);
        if (planned[cut]) blueprint_free(&b[cut]);
        free(out[cut].gradients);
    }
}

int main(void)
{
    struct error e = {0};
    char error[1024];
    if (model_open(&model, "tests/golden/llama-tied", &e)) return printf("%s\n", e.text), 1;
    struct gpu *gpu = gpu_open(&(struct gpu_options){.validate = true}, error, sizeof error);
    if (!gpu) return printf("%s\n", error), 1;
    items_make();
    for (enum form form = WIDE; form <= UNITS; form++) {
        double began = clock_seconds();
        compare(gpu, form);
        printf("%s: %.1f s\n", forms[form], clock_seconds() - began);
    }
    CHECK(gpu_validation_messages(gpu) <= 0);
    items_free();
    model_close(&model);
    gpu_close(gpu);
    return test_end();
}
