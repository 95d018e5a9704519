// SPDX-License-Identifier: MIT
#include "tune.h"

#include "coopmat.h"
#include "cost.h"
#include "ops_parts.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

#define MOST_TRIED 8   // of the table's candidates: they are ordered by a guess that is seldom far off
#define TIMED_RUNS 3   // of which the least counts, after a first one
#define FEW_ROWS 96    // of C, without measuring: all tiles' tails are in them
#define SAY_SECONDS 10  // between two words on progress: some drivers take minutes to make the pipelines
#define COMPARE_GROUPS 256
#define PROBE_CALLS 256 // of one product: its pieces, their strips and sums of parts

// ---- one product as a program ------------------------------------------------------------------------------------

struct probe {
    struct graph graph;
    struct program program;
    struct plan plan;
    tensor_id a, b, c, e, wrong;
    int first, count; // calls of the product itself
};

static tensor_id operand(struct probe *x, const char *name, uint64_t rows, uint64_t columns, bool bf16, enum tensor_kind like)
{
    tensor_id t = graph_tensor(&x->graph, TENSOR_STATE, bf16 ? STORAGE_BF16 : STORAGE_F32, rows, columns, "%s", name);
    graph_at(&x->graph, t)->ld = graph_ld(like, columns);
    return t;
}

static void fill(struct probe *x, tensor_id t, uint32_t row_salt, uint32_t column_salt)
{
    struct program *p = &x->program;
    struct call *c = call_begin(p, "probe_fill");
    call_write(c, t);
    struct probe_args args = {.rows = (uint32_t)at(p, t)->rows, .columns = columns(p, t), .ld = ld(p, t), .row_salt = row_salt,
        .column_salt = column_salt};
    call_args(c, &args, sizeof args);
    call_groups(p, c, stream_groups(p, at(p, t)->rows * at(p, t)->ld));
    c->bytes = (double)(at(p, t)->rows * at(p, t)->ld) * element_bytes(p, t);
}

static float probe_sum(uint64_t k)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < k; i++) sum += PROBE_FACTOR(i, PROBE_X) * PROBE_FACTOR(i, PROBE_Y);
    return (float)sum;
}

// Operands as training has them: A and B are activations or weights, C is an activation or a weight's gradient.
static void probe_make(struct probe *x, const struct limits *limits, const struct matmul_shape *s)
{
    bool tn = s->layout == LAYOUT_TN, nt = s->layout == LAYOUT_NT, bias = s->epilogue == EPILOGUE_BIAS;
    graph_init(&x->graph, 1, STORAGE_F32);
    x->a = operand(x, "a", tn ? s->k : s->m, tn ? s->m : s->k, s->a_bf16, TENSOR_ACTIVATION);
    x->b = operand(x, "b", nt ? s->n : s->k, nt ? s->k : s->n, s->b_bf16, tn ? TENSOR_ACTIVATION : TENSOR_WEIGHT);
    x->c = operand(x, "c", s->m, s->n, s->c_bf16, tn ? TENSOR_WEIGHT : TENSOR_ACTIVATION);
    x->e = s->epilogue == EPILOGUE_NONE ? NO_TENSOR
                                        : operand(x, "e", bias ? 1 : s->m, s->n, s->c_bf16 && !bias, TENSOR_ACTIVATION);
    x->wrong = graph_tensor(&x->graph, TENSOR_STATE, STORAGE_U32, 1, COMPARE_GROUPS, "wrong");
    program_begin(&x->program, &x->graph, limits);
    fill(x, x->a, tn ? PROBE_X : PROBE_U, tn ? PROBE_U : PROBE_X);
    fill(x, x->b, nt ? PROBE_V : PROBE_Y, nt ? PROBE_Y : PROBE_V);
    if (x->e >= 0) fill(x, x->e, PROBE_E, PROBE_E);
    if (s->add != ADD_NONE) fill(x, x->c, PROBE_C, PROBE_C);
    struct product product = {.layout = s->layout, .a = {x->a, PART_VALUE, 0}, .b = {x->b, PART_VALUE, 0},
        .c = {x->c, PART_VALUE, 0}, .e = {x->e, PART_VALUE, 0}, .m = s->m, .n = s->n, .k = s->k, .live_m = s->live_m,
        .live_k = s->live_k, .add = s->add, .epilogue = s->epilogue};
    x->first = x->program.call_count;
    product_calls(&x->program, &product);
    x->count = x->program.call_count - x->first;
    struct program *p = &x->program;
    struct call *c = call_begin(p, "probe_compare");
    call_read(c, x->c);
    call_write(c, x->wrong);
    struct probe_args args = {.rows = (uint32_t)s->m, .columns = (uint32_t)s->n, .ld = ld(p, x->c), .sum = probe_sum(s->k)};
    call_args(c, &args, sizeof args);
    call_constant(c, s->epilogue);
    call_constant(c, s->add == ADD_NONE ? ADD_NONE : ADD_ALWAYS);
    call_groups(p, c, COMPARE_GROUPS);
}

static void probe_free(struct probe *x)
{
    plan_free(&x->plan);
    program_free(&x->program);
    graph_free(&x->graph);
}

// One run; seconds of the product's own calls are added where the device tells them, else the run's.
static double run_once(struct replay *r, const struct probe *x)
{
    struct replay_input in = replay_begin(r);
    *in.live = (struct live_block){.tokens = UINT32_MAX, .targets = UINT32_MAX, .documents = 1};
    double began = clock_seconds(), times[PROBE_CALLS], seconds = 0;
    replay_submit(r);
    replay_wait(r);
    double wall = clock_seconds() - began;
    int count = replay_times(r, times, PROBE_CALLS);
    for (int i = x->first; i < x->first + x->count && i < count; i++) seconds += times[i];
    return count > x->first ? seconds : wall;
}

bool tune_kernels_make(struct tune_kernels *kernels, struct gpu *gpu, const struct program *p)
{
    kernels->list = mem_alloc((size_t)p->call_count * sizeof(struct gpu_kernel *));
    for (int i = 0; i < p->call_count; i++) {
        struct kernel_spec spec = kernel_spec_of(p->graph, &p->calls[i]);
        struct gpu_kernel *kernel = gpu_kernel_try(gpu, spec.name, spec.constants, spec.count, spec.subgroup);
        if (!kernel) return false;
        kernels->list[kernels->count++] = kernel;
    }
    return true;
}

void tune_kernels_free(struct tune_kernels *kernels, struct gpu *gpu)
{
    for (int i = 0; i < kernels->count; i++) gpu_kernel_free(gpu, kernels->list[i]);
    free(kernels->list);
    *kernels = (struct tune_kernels){0};
}

int tune_try(struct gpu *gpu, const struct limits *limits, const struct matmul_shape *shape,
    const struct matmul_variant *variant, int runs, double *seconds, struct error *e)
{
    struct choices *only = choices_new();
    choices_set(only, shape, variant, 0);
    struct limits own = *limits;
    own.choices = only;
    own.met = NULL;
    struct probe x = {0};
    probe_make(&x, &own, shape);
    struct engine *engine = NULL;
    struct replay *r = NULL;
    int right = TUNE_FAILED;
    struct tune_kernels made = {0};
    if (!tune_kernels_make(&made, gpu, &x.program)) {
        right = TUNE_REFUSED;
    } else if (plan_make(&x.plan, &x.program, e) == 0 && (engine = engine_open(gpu, &x.graph, OPTIMIZER_NONE, e))) {
        engine_reserve(engine, &x.plan);
        r = replay_make(engine, &x.program, &x.plan, true, e);
    }
    if (r) {
        uint32_t wrong[COMPARE_GROUPS], all = 0;
        run_once(r, &x);
        replay_state_read(r, x.wrong, wrong, 0, sizeof wrong);
        for (int i = 0; i < COMPARE_GROUPS; i++) all |= wrong[i];
        right = all == 0 ? TUNE_RIGHT : TUNE_WRONG;
        for (int i = 0; seconds && right == TUNE_RIGHT && i < runs; i++) {
            double took = run_once(r, &x);
            if (i == 0 || took < *seconds) *seconds = took;
        }
        replay_free(engine, r);
    }
    engine_close(engine);
    tune_kernels_free(&made, gpu);
    probe_free(&x);
    choices_free(only);
    return right;
}

// ---- all of a plan's products --------------------------------------------------------------------------------------

static int more_work(const void *a, const void *b)
{
    double x = (*(const struct choice *const *)a)->flop, y = (*(const struct choice *const *)b)->flop;
    return x < y ? 1 : x > y ? -1 : 0;
}

static const char *fault(int verdict)
{
    return verdict == TUNE_REFUSED ? "is refused by the driver" : "gives wrong numbers";
}

static void say_wrong(const struct gpu *gpu, const struct matmul_shape *s, const struct matmul_variant *v, int verdict)
{
    say("%s (%s): the product %s %llu x %llu x %llu by %s, %s, %s and is not used", gpu_info(gpu)->name, gpu_info(gpu)->driver,
        layout_name(s->layout), (unsigned long long)s->m, (unsigned long long)s->n, (unsigned long long)s->k, v->kernel, v->name,
        fault(verdict));
}

// What is checked in place of a product that is not measured: the same but for fewer rows of C, with the last rows' tail.
static struct matmul_shape fewer_rows(const struct matmul_shape *s)
{
    struct matmul_shape few = *s;
    if (few.m > 2 * FEW_ROWS) few.m = FEW_ROWS + few.m % FEW_ROWS;
    return few;
}

// The variant of a smaller product that goes by the same name; plain is everything's last.
static struct matmul_variant same_variant(const struct limits *limits, const struct matmul_shape *s, const struct matmul_variant *v)
{
    struct matmul_variant found = *v;
    matmul_find(limits, s, v->name, &found);
    return found;
}

// The first right variant of a shape, or the fastest right one of the first few while *left seconds remain.
static int choose(struct choices *choices, struct gpu *gpu, const struct limits *limits, const struct matmul_shape *s,
    bool measure, double *left, struct tune_report *report, struct error *e)
{
    struct matmul_variant v[MATMUL_CANDIDATES];
    int count = matmul_candidates(limits, s, v, MATMUL_CANDIDATES), best = -1;
    double least = 0;
    for (int i = 0; i < count; i++) {
        if (best >= 0 && (!measure || i >= MOST_TRIED || i == count - 1 || *left <= 0)) break;
        double seconds = 0;
        struct matmul_shape small = fewer_rows(s);
        struct matmul_variant w = measure ? v[i] : same_variant(limits, &small, &v[i]);
        int right = tune_try(gpu, limits, measure ? s : &small, &w, TIMED_RUNS, measure && *left > 0 ? &seconds : NULL, e);
        if (right == TUNE_FAILED) return -1;
        report->tried++;
        if (right != TUNE_RIGHT) {
            report->wrong++;
            say_wrong(gpu, s, &v[i], right);
            continue;
        }
        *left -= (1 + TIMED_RUNS) * seconds;
        report->device_seconds += (1 + TIMED_RUNS) * seconds;
        if (best >= 0 && seconds >= least) continue;
        best = i;
        least = seconds;
    }
    if (best < 0) {
        e->device = true;
        return error_set(e, "%s (%s) multiplies no matrix right: every variant of the product gives wrong numbers; another driver or "
            "its update may", gpu_info(gpu)->name, gpu_info(gpu)->driver);
    }
    choices_set(choices, s, &v[best], least);
    report->products++;
    return 0;
}

static int choose_attention(struct choices *choices, struct gpu *gpu, const struct limits *limits, const struct attention_choice *met,
    struct tune_report *report, struct error *e)
{
    if (choices_find_attention(choices, &met->shape, met->kernels)) return 0;
    int verdict = tune_attention_try(gpu, limits, &met->shape, met->kernels, NULL, e);
    if (verdict == TUNE_FAILED) return -1;
    struct attention_choice c = *met;
    c.right = verdict == TUNE_RIGHT;
    c.fingerprint = attention_fingerprint(limits, &c.shape);
    choices_set_attention(choices, &c);
    report->attentions++;
    if (verdict != TUNE_RIGHT)
        say("%s (%s): attention on matrix units, heads of %u, %s and is not used", gpu_info(gpu)->name, gpu_info(gpu)->driver,
            met->shape.head_dim, fault(verdict));
    return 0;
}

int tune(struct choices *choices, struct gpu *gpu, const struct limits *limits, const struct choices *met, bool measure,
    struct tune_report *report, struct error *e)
{
    *report = (struct tune_report){0};
    double began = clock_seconds(), left = TUNE_SECONDS, said = began;
    int count = 0, status = 0;
    const struct choice **order = mem_alloc((size_t)(choices_count(met) + 1) * sizeof *order);
    for (int i = 0; i < choices_count(met); i++)
        if (!choices_find(choices, &choices_at(met, i)->shape)) order[count++] = choices_at(met, i);
    qsort(order, (size_t)count, sizeof *order, more_work);
    const char *done = measure ? "tried" : "checked";
    if (count)
        say("%d product%s new to %s and %s %s first", count, count == 1 ? " is" : "s are", gpu_info(gpu)->name,
            count == 1 ? "is" : "are", done);
    for (int i = 0; i < count && status == 0; i++) {
        if (clock_seconds() - said >= SAY_SECONDS) {
            say("%d of %d %s", i, count, done);
            said = clock_seconds();
        }
        status = choose(choices, gpu, limits, &order[i]->shape, measure, &left, report, e);
    }
    for (int i = 0; i < choices_attention_count(met) && status == 0; i++)
        status = choose_attention(choices, gpu, limits, choices_attention_at(met, i), report, e);
    free(order);
    mem_trim();
    report->seconds = clock_seconds() - began;
    return status;
}
