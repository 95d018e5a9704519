// SPDX-License-Identifier: MIT
#include "study/bench_report.h"
#include "formats/json_file.h"
#include "graph/coopmat.h"

#include <math.h>
#include <string.h>

// ---- the object --------------------------------------------------------------------------------------------------

// What is not known is null.
static void add(cJSON *o, const char *key, double value, bool known)
{
    if (known && isfinite(value)) cJSON_AddNumberToObject(o, key, value);
    else cJSON_AddNullToObject(o, key);
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static cJSON *row_json(const struct bench *b, const struct bench_row *row)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kernel", row->kernel);
    if (row->product) {
        cJSON_AddStringToObject(o, "layout", layout_name(row->shape.layout));
        cJSON_AddNumberToObject(o, "m", row->shape.m);
        cJSON_AddNumberToObject(o, "n", row->shape.n);
        cJSON_AddNumberToObject(o, "k", row->shape.k);
    }
    cJSON_AddBoolToObject(o, "update", row->update);
    cJSON_AddNumberToObject(o, "calls", row->calls);
    add(o, "seconds", row->seconds, b->timed);
    add(o, "share", ratio(row->seconds, b->device), b->timed);
    cJSON_AddNumberToObject(o, "flop", row->flop);
    cJSON_AddNumberToObject(o, "bytes", row->bytes);
    add(o, "gflops", ratio(row->flop, row->seconds) * 1e-9, b->timed);
    add(o, "gbs", ratio(row->bytes, row->seconds) * 1e-9, b->timed);
    cJSON_AddStringToObject(o, "bound", row->flop_bound ? "flop" : "bytes");
    cJSON_AddNumberToObject(o, "roof_seconds", row->roof);
    add(o, "of_peak", ratio(row->roof, row->seconds), b->timed);
    return o;
}

static cJSON *peaks_json(const struct peaks *p)
{
    cJSON *o = cJSON_CreateObject();
    add(o, "f32_gflops", p->flops * 1e-9, p->flops > 0);
    add(o, "f16_gflops", p->flops16 * 1e-9, p->flops16 > 0);
    add(o, "matrix_fp16_gflops", p->matrix[PRODUCTS_FP16] * 1e-9, p->matrix[PRODUCTS_FP16] > 0);
    add(o, "matrix_bf16_gflops", p->matrix[PRODUCTS_BF16] * 1e-9, p->matrix[PRODUCTS_BF16] > 0);
    add(o, "copy_gbs", p->copy * 1e-9, true);
    add(o, "read_gbs", p->read * 1e-9, true);
    add(o, "dispatch_microseconds", p->dispatch * 1e6, true);
    add(o, "submit_microseconds", p->submit * 1e6, true);
    return o;
}

static cJSON *step_json(const struct bench *b)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "seconds", b->best);
    cJSON_AddNumberToObject(o, "median_seconds", b->median);
    cJSON_AddNumberToObject(o, "tokens_per_second", (double)b->tokens / b->best);
    add(o, "device_seconds", b->device, b->timed);
    cJSON_AddNumberToObject(o, "roof_seconds", b->roof);
    cJSON_AddNumberToObject(o, "of_roof", b->roof / b->best);
    add(o, "products_share", ratio(b->products_seconds, b->device), b->timed);
    add(o, "update_share", ratio(b->update_seconds, b->device), b->timed);
    add(o, "others_share", ratio(b->device - b->products_seconds - b->update_seconds, b->device), b->timed);
    return o;
}

static cJSON *host_json(const struct bench *b, const struct bench_subject *s)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "fill_seconds", b->fill);
    cJSON_AddNumberToObject(o, "submit_seconds", b->submit);
    cJSON_AddNumberToObject(o, "wait_seconds", b->wait);
    cJSON_AddNumberToObject(o, "share", (b->fill + b->submit) / b->best);
    cJSON_AddNumberToObject(o, "open_seconds", s->opened);
    cJSON_AddNumberToObject(o, "load_seconds", s->loaded);
    cJSON_AddNumberToObject(o, "first_step_seconds", b->first);
    cJSON_AddNumberToObject(o, "start_seconds", s->started);
    return o;
}

static cJSON *how_json(const struct bench *b)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "peaks", b->peaks.timestamps
        ? "best of 20 dispatches of kernels of our own, by the device's timestamps; dispatch and submit by the host's clock"
        : "best of 20 dispatches of kernels of our own, by the host's clock, as the device has no timestamps");
    cJSON_AddStringToObject(o, "step", "wall time of whole untimed steps after a first one: best and median of `repeat`; "
        "tokens_per_second and of_roof are of the best");
    cJSON_AddStringToObject(o, "kernels", b->timed
        ? "the device's timestamps around each call in `repeat` further steps: each call's least, added up; share is of "
          "their sum over all kernels, device_seconds"
        : "not timed, as the device has no timestamps");
    cJSON_AddStringToObject(o, "roof", "of a call the longer of flop / peak and bytes / the faster of copy and read, every "
        "operand moved once. What stays in caches can pass it; a null peak is of what the device does not have "
        "(matrix units of software devices are not measured; of a kernel on them the bytes alone count)");
    cJSON_AddStringToObject(o, "host", "the best step's seconds in laying out and filling micro-batches, submitting them, and "
        "waiting for the device; share is fill and submit of the step. Once a run: open (memory, kernels, recording) and "
        "load (weights); start is from the command's start to the end of the first step");
    cJSON_AddStringToObject(o, "memory", "planned by the plan, allocated on the device, resident the process's most in RAM "
        "(VmHWM), all in bytes");
    return o;
}

cJSON *bench_json(const struct bench *b, const struct bench_subject *s)
{
    const struct blueprint_options *options = &s->blueprint->options;
    cJSON *o = cJSON_CreateObject(), *device = cJSON_AddObjectToObject(o, "device"), *kernels, *memory, *losses, *settings;
    cJSON_AddStringToObject(device, "name", s->info->name);
    cJSON_AddStringToObject(device, "driver", s->info->driver);
    cJSON_AddStringToObject(device, "type", gpu_type_name(s->info->type));
    cJSON_AddStringToObject(o, "model", s->model);
    cJSON_AddNumberToObject(o, "parameters", (double)s->parameters);
    cJSON_AddStringToObject(o, "precision", storage_name(options->storage));
    cJSON_AddStringToObject(o, "matmul_precision", products_name(s->blueprint->limits.products));
    cJSON_AddStringToObject(o, "gradient_dtype", storage_name(options->gradients));
    cJSON_AddStringToObject(o, "optimizer", s->settings->optimizer == OPTIMIZER_ADAMW ? "adamw" : "sgd");
    cJSON_AddNumberToObject(o, "tokens", (double)b->tokens);
    cJSON_AddNumberToObject(o, "trained_tokens", (double)b->trained);
    cJSON_AddNumberToObject(o, "documents", s->documents);
    cJSON_AddBoolToObject(o, "packing", s->settings->packing);
    cJSON_AddNumberToObject(o, "micro_batch_tokens", options->budget);
    cJSON_AddNumberToObject(o, "micro_batches", b->micro_batches);
    cJSON_AddBoolToObject(o, "gradient_checkpointing", options->checkpoint);
    cJSON_AddNumberToObject(o, "repeat", b->repeat);
    cJSON_AddItemToObject(o, "peaks", peaks_json(&b->peaks));
    cJSON_AddItemToObject(o, "step", step_json(b));
    cJSON_AddItemToObject(o, "host", host_json(b, s));
    memory = cJSON_AddObjectToObject(o, "memory");
    cJSON_AddNumberToObject(memory, "planned", (double)s->blueprint->memory.total);
    cJSON_AddNumberToObject(memory, "allocated", (double)s->allocated);
    add(memory, "resident", (double)s->resident, s->resident > 0);
    kernels = cJSON_AddArrayToObject(o, "kernels");
    for (int i = 0; i < b->row_count; i++) cJSON_AddItemToArray(kernels, row_json(b, &b->rows[i]));
    settings = cJSON_AddObjectToObject(o, "settings");
    cJSON_AddNumberToObject(settings, "learning_rate", s->settings->learning_rate);
    cJSON_AddNumberToObject(settings, "adam_beta1", s->settings->beta1);
    cJSON_AddNumberToObject(settings, "adam_beta2", s->settings->beta2);
    cJSON_AddNumberToObject(settings, "adam_epsilon", s->settings->epsilon);
    cJSON_AddNumberToObject(settings, "weight_decay", s->settings->weight_decay);
    cJSON_AddNumberToObject(settings, "max_grad_norm", s->settings->max_norm);
    losses = cJSON_AddArrayToObject(o, "losses"); // of the untimed steps
    for (uint32_t i = 0; i <= b->repeat; i++) cJSON_AddItemToArray(losses, cJSON_CreateNumber((double)b->losses[i]));
    cJSON_AddItemToObject(o, "how", how_json(b));
    return o;
}

// ---- reading it ----------------------------------------------------------------------------------------------------

// The name under which kernels are compared: a product's shape, whatever kernel computes it; else the kernel.
static void label(char *out, size_t bytes, const cJSON *row)
{
    if (*json_text(row, "layout"))
        snprintf(out, bytes, "%s %.0f x %.0f x %.0f", json_text(row, "layout"), json_number(row, "m"), json_number(row, "n"), json_number(row, "k"));
    else
        snprintf(out, bytes, "%s", json_text(row, "kernel"));
}

// Seconds of all rows of that name; NAN: there is none, or it was not timed.
static double seconds_of(const cJSON *kernels, const char *name)
{
    double sum = NAN;
    const cJSON *row;
    cJSON_ArrayForEach(row, kernels)
    {
        char other[96];
        label(other, sizeof other, row);
        if (strcmp(other, name) == 0) sum = (isnan(sum) ? 0 : sum) + json_number(row, "seconds");
    }
    return sum;
}

static void say_unlike(const cJSON *a, const cJSON *b, const char *key, const char *path)
{
    const cJSON *x = json_member(a, key), *y = json_member(b, key);
    if (cJSON_Compare(x, y, true) || (!x && !y)) return;
    if (!x || !y) {
        say("not alike: only %s says %s", x ? "this device's measurement" : path, key);
        return;
    }
    char *before = json_print(y, false), *now = json_print(x, false);
    say("not alike: %s was %s in %s, and is %s", key, before, path, now);
    cJSON_free(before);
    cJSON_free(now);
}

cJSON *bench_read(const char *path, struct error *e)
{
    cJSON *old = json_read_file(path, e);
    if (!old || (cJSON_IsArray(json_member(old, "kernels")) && !isnan(json_number(json_member(old, "step"), "tokens_per_second")))) return old;
    cJSON_Delete(old);
    error_set(e, "%s: is not what `pumice bench --json` prints", path);
    return NULL;
}

void bench_compare(cJSON *now, const cJSON *old, const char *path)
{
    const cJSON *kernels = json_member(old, "kernels"), *step = json_member(old, "step");
    cJSON *row;
    static const char *const alike[] = {"device", "model", "parameters", "precision", "matmul_precision", "gradient_dtype",
        "optimizer", "tokens", "documents", "micro_batch_tokens", "micro_batches", "gradient_checkpointing"};
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) say_unlike(now, old, alike[i], path);
    cJSON *compare = cJSON_AddObjectToObject(now, "compare");
    cJSON_AddStringToObject(compare, "file", path);
    double before = json_number(step, "tokens_per_second"), after = json_number(json_member(now, "step"), "tokens_per_second");
    add(compare, "before_seconds", json_number(step, "seconds"), true);
    add(compare, "before_tokens_per_second", before, true);
    add(compare, "faster", ratio(after, before), true);
    cJSON_ArrayForEach(row, json_member(now, "kernels"))
    {
        char name[96];
        label(name, sizeof name, row);
        double then = seconds_of(kernels, name);
        add(row, "before_seconds", then, true);
        add(row, "faster", ratio(then, seconds_of(json_member(now, "kernels"), name)), true);
    }
}

// ---- the table -----------------------------------------------------------------------------------------------------

static void print_number(const char *format, double value, int width)
{
    if (isnan(value)) printf(" %*s", width, "-");
    else printf(format, width, value);
}

static void print_peaks(const cJSON *p)
{
    printf("peaks: f32 %.1f GFLOP/s", json_number(p, "f32_gflops"));
    if (!isnan(json_number(p, "f16_gflops"))) printf(", f16 %.1f", json_number(p, "f16_gflops"));
    if (!isnan(json_number(p, "matrix_fp16_gflops"))) printf(", matrix units fp16 %.1f", json_number(p, "matrix_fp16_gflops"));
    if (!isnan(json_number(p, "matrix_bf16_gflops"))) printf(", matrix units bf16 %.1f", json_number(p, "matrix_bf16_gflops"));
    printf("; copy %.1f GB/s, read %.1f; an empty dispatch %.1f us, a submission %.1f us\n", json_number(p, "copy_gbs"),
        json_number(p, "read_gbs"), json_number(p, "dispatch_microseconds"), json_number(p, "submit_microseconds"));
}

static void print_kernels(const cJSON *now)
{
    bool compared = json_member(now, "compare") != NULL;
    printf("\n%-40s %6s %10s %7s %9s %8s  %s%s\n", "kernel", "calls", "seconds", "share", "GFLOP/s", "GB/s", "of peak",
        compared ? "       before  faster" : "");
    const cJSON *row;
    cJSON_ArrayForEach(row, json_member(now, "kernels"))
    {
        char name[96], full[140];
        label(name, sizeof name, row);
        bool product = *json_text(row, "layout") != 0;
        snprintf(full, sizeof full, "%s%s%s", json_text(row, "kernel"), product ? " " : "", product ? name : "");
        double flops = json_number(row, "flop") > 0 ? json_number(row, "gflops") : NAN;
        printf("%-40s %6.0f", full, json_number(row, "calls"));
        print_number(" %*.4f", json_number(row, "seconds"), 10);
        print_number(" %*.1f%%", 100 * json_number(row, "share"), 6);
        print_number(" %*.1f", flops, 9);
        print_number(" %*.1f", json_number(row, "gbs"), 8);
        print_number(" %*.0f%%", 100 * json_number(row, "of_peak"), 5);
        printf(" %-5s", json_text(row, "bound"));
        if (compared) print_number(" %*.4f", json_number(row, "before_seconds"), 9);
        if (compared) print_number(" %*.2f", json_number(row, "faster"), 7);
        printf("\n");
    }
}

void bench_print(const cJSON *now)
{
    const cJSON *step = json_member(now, "step"), *host = json_member(now, "host");
    const cJSON *memory = json_member(now, "memory"), *how = json_member(now, "how");
    const cJSON *compare = json_member(now, "compare"), *item;
    const char *gradients = strcmp(json_text(now, "gradient_dtype"), "bf16") ? "" : ", gradients bf16";
    printf("%s, %.1f million parameters, storage %s, products %s%s, %s; on %s\n", json_text(now, "model"),
        json_number(now, "parameters") * 1e-6, json_text(now, "precision"), json_text(now, "matmul_precision"), gradients,
        json_text(now, "optimizer"), json_text(json_member(now, "device"), "name"));
    printf("%.0f tokens in %.0f documents, %.0f micro-batches of %.0f tokens%s%s\n", json_number(now, "tokens"),
        json_number(now, "documents"), json_number(now, "micro_batches"), json_number(now, "micro_batch_tokens"),
        cJSON_IsTrue(json_member(now, "packing")) ? "" : ", one document each",
        cJSON_IsTrue(json_member(now, "gradient_checkpointing")) ? ", layers recomputed" : "");
    print_peaks(json_member(now, "peaks"));
    print_kernels(now);
    printf("\nstep: %.4g s (median %.4g), %.4g tokens/s; its roof %.4g s: %.0f%% of it reached\n", json_number(step, "seconds"),
        json_number(step, "median_seconds"), json_number(step, "tokens_per_second"), json_number(step, "roof_seconds"),
        100 * json_number(step, "of_roof"));
    if (!isnan(json_number(step, "device_seconds")))
        printf("      kernels %.4g s: products %.1f%%, the update %.1f%%, all else %.1f%%\n", json_number(step, "device_seconds"),
            100 * json_number(step, "products_share"), 100 * json_number(step, "update_share"), 100 * json_number(step, "others_share"));
    printf("host: filling %.2f ms and submitting %.2f ms of a step, %.3f%%; once: opening %.2f s, loading %.2f s, the first step "
        "%.2f s; from the start to its end %.2f s\n", 1e3 * json_number(host, "fill_seconds"), 1e3 * json_number(host, "submit_seconds"),
        100 * json_number(host, "share"), json_number(host, "open_seconds"), json_number(host, "load_seconds"),
        json_number(host, "first_step_seconds"), json_number(host, "start_seconds"));
    printf("memory: planned %.1f MB, allocated %.1f MB", json_number(memory, "planned") * 1e-6, json_number(memory, "allocated") * 1e-6);
    if (!isnan(json_number(memory, "resident"))) printf(", resident at most %.1f MB", json_number(memory, "resident") * 1e-6);
    printf("\n");
    if (compare)
        printf("before: %.4g s, %.4g tokens/s (%s): now %.3f times as fast\n", json_number(compare, "before_seconds"),
            json_number(compare, "before_tokens_per_second"), json_text(compare, "file"), json_number(compare, "faster"));
    printf("\nhow it was taken:\n");
    cJSON_ArrayForEach(item, how) printf("  %-8s %s\n", item->string, item->valuestring);
}
