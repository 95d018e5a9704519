// SPDX-License-Identifier: MIT
#include "study/bench.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pack_item *bench_items(uint32_t tokens, uint32_t documents, uint32_t vocabulary)
{
    assert(documents > 0 && tokens >= documents);
    struct pack_item *items = mem_zero(documents, sizeof *items);
    uint32_t *ids = mem_alloc(4 * (size_t)tokens), done = 0;
    uint8_t *mask = mem_alloc(tokens);
    uint64_t state = 42;
    for (uint32_t t = 0; t < tokens; t++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); // Knuth's MMIX
        ids[t] = (uint32_t)(state >> 33) % vocabulary;
        mask[t] = 1;
    }
    for (uint32_t d = 0; d < documents; d++) {
        uint32_t n = tokens / documents + (d < tokens % documents);
        items[d] = (struct pack_item){ids + done, mask + done, n, 0};
        done += n;
    }
    return items;
}

void bench_items_free(struct pack_item *items)
{
    if (!items) return;
    free((void *)(uintptr_t)items[0].ids);
    free((void *)(uintptr_t)items[0].mask);
    free(items);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_steps(struct bench *b, struct session *s, const struct bench_work *work, struct step_settings *settings)
{
    double *seconds = mem_alloc((work->repeat + 1) * sizeof *seconds);
    b->losses = mem_alloc((work->repeat + 1) * sizeof *b->losses);
    for (uint32_t i = 0; i <= work->repeat; i++) {
        struct step_outcome out;
        struct source_sum sum = {0};
        double began = clock_seconds();
        session_step(s, work->items, work->count, settings, &out, &sum);
        seconds[i] = clock_seconds() - began;
        settings->update++;
        settings->step++;
        b->losses[i] = out.loss;
        b->tokens = out.tokens;
        b->trained = out.trained;
        b->micro_batches = out.micro_batches;
        if (i == 0) b->first = seconds[0];
        if (i > 1 && seconds[i] >= b->best) continue;
        b->best = seconds[i];
        b->fill = out.fill_seconds;
        b->submit = out.submit_seconds;
        b->wait = out.wait_seconds;
    }
    qsort(seconds + 1, work->repeat, sizeof *seconds, by_value);
    b->median = (seconds[1 + (work->repeat - 1) / 2] + seconds[1 + work->repeat / 2]) / 2;
    free(seconds);
}

// Keeps the least of a call's times.
static void keep(struct bench_call *call, const char *kernel, const struct call *of, double seconds, struct cost cost)
{
    if (!call->kernel) *call = (struct bench_call){kernel, of, seconds, cost};
    else if (seconds < call->seconds) call->seconds = seconds;
}

// One timed step: every call of every micro-batch, then the update's.
static int time_step(struct bench *b, struct session *s, const struct blueprint *blueprint, const struct bench_work *work,
    const struct pack *pack, const struct step_settings *settings, struct error *e)
{
    const struct program *p = &blueprint->train;
    const struct update *u = &b->update;
    int most = p->call_count > u->count ? p->call_count : u->count, status = 0, done = 0;
    double *seconds = mem_zero((size_t)most, sizeof *seconds); // stay 0 without timestamps
    for (uint32_t m = 0; m < pack->count && status >= 0; m++) {
        struct live_counts live;
        status = session_time_batch(s, work->items, pack->items + pack->first[m], pack->first[m + 1] - pack->first[m], m == 0,
            settings, &live, seconds, most, e);
        for (int i = 0; i < p->call_count && status >= 0; i++, done++)
            keep(&b->calls[done], p->calls[i].kernel, &p->calls[i], seconds[i], call_cost(p, &p->calls[i], &live));
    }
    if (status >= 0) status = session_time_update(s, settings, seconds, most, e);
    for (int i = 0; i < u->count && status >= 0; i++, done++)
        keep(&b->calls[done], u->calls[i].call.kernel, NULL, seconds[i], update_cost(&u->calls[i]));
    free(seconds);
    return status < 0 ? -1 : 0;
}

int bench_run(struct bench *b, struct session *s, const struct blueprint *blueprint, const struct bench_work *work,
    struct error *e)
{
    assert(work->count > 0 && work->repeat > 0);
    *b = (struct bench){.repeat = work->repeat};
    b->timed = gpu_info(engine_gpu(session_engine(s)))->timestamp_seconds > 0;
    struct step_settings settings = work->settings;
    run_steps(b, s, work, &settings);
    uint32_t *lengths = mem_alloc(4 * (size_t)work->count);
    for (uint32_t i = 0; i < work->count; i++) lengths[i] = work->items[i].tokens;
    struct pack pack;
    pack_make(&pack, lengths, work->count, blueprint->options.budget, settings.packing);
    free(lengths);
    const struct limits *limits = engine_limits(session_engine(s));
    update_make(&b->update, &blueprint->layout, limits, blueprint->options.storage, settings.optimizer);
    b->call_count = (int)pack.count * blueprint->train.call_count + b->update.count;
    b->calls = mem_zero((size_t)b->call_count, sizeof *b->calls);
    int status = 0;
    for (uint32_t i = 0; i < work->repeat && status == 0; i++, settings.update++, settings.step++)
        status = time_step(b, s, blueprint, work, &pack, &settings, e);
    pack_free(&pack);
    for (int i = 0; i < b->call_count; i++) b->device += b->calls[i].seconds;
    if (status) bench_free(b);
    return status;
}

static int longest_first(const void *a, const void *b)
{
    const struct bench_row *x = a, *y = b;
    if (x->seconds != y->seconds) return x->seconds < y->seconds ? 1 : -1;
    return (x->roof < y->roof) - (x->roof > y->roof);
}

static struct bench_row *row_of(struct bench *b, const struct bench_call *c)
{
    struct bench_row key = {.kernel = c->kernel, .update = !c->call};
    key.product = c->call && call_product(c->call, &key.shape);
    for (int i = 0; i < b->row_count; i++)
        if (strcmp(b->rows[i].kernel, key.kernel) == 0 && memcmp(&b->rows[i].shape, &key.shape, sizeof key.shape) == 0)
            return &b->rows[i];
    b->rows[b->row_count] = key;
    return &b->rows[b->row_count++];
}

// Of what a kernel multiplies with; 0: not known.
static double flop_peak(const struct peaks *peaks, const char *kernel)
{
    if (!strstr(kernel, "coopmat")) return peaks->flops;
    return peaks->matrix[strstr(kernel, "bf16") ? PRODUCTS_BF16 : PRODUCTS_FP16];
}

void bench_roof(struct bench *b, const struct peaks *peaks)
{
    b->peaks = *peaks;
    b->rows = mem_zero((size_t)b->call_count, sizeof *b->rows);
    double bandwidth = peaks->copy > peaks->read ? peaks->copy : peaks->read;
    for (int i = 0; i < b->call_count; i++) {
        const struct bench_call *c = &b->calls[i];
        struct bench_row *row = row_of(b, c);
        double peak = flop_peak(peaks, c->kernel), traffic = c->cost.bytes / bandwidth;
        double arithmetic = peak > 0 ? c->cost.flop / peak : 0;
        double roof = arithmetic > traffic ? arithmetic : traffic;
        row->calls++;
        row->seconds += c->seconds;
        row->flop += c->cost.flop;
        row->bytes += c->cost.bytes;
        row->roof += roof;
        b->roof += roof;
        if (strncmp(row->kernel, "matmul_", 7) == 0 || strcmp(row->kernel, "strips") == 0) b->products_seconds += c->seconds;
        if (row->update) b->update_seconds += c->seconds;
    }
    for (int i = 0; i < b->row_count; i++)
        b->rows[i].flop_bound = b->rows[i].roof > b->rows[i].bytes / bandwidth * 1.0001;
    qsort(b->rows, (size_t)b->row_count, sizeof *b->rows, longest_first);
}

void bench_free(struct bench *b)
{
    free(b->losses);
    free(b->calls);
    free(b->rows);
    update_free(&b->update);
    *b = (struct bench){0};
}
