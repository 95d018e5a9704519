// SPDX-License-Identifier: MIT
//
// report_run.h: folders as runs leave them, written by hand, for the tests of reports.
#ifndef PUMICE_REPORT_RUN_H
#define PUMICE_REPORT_RUN_H

#include "base.h"
#include "test.h"
#include "train/outcome.h"

#include <unistd.h>

static void put(const char *folder, const char *name, const char *text)
{
    struct error e = {0};
    char *path = path_join(folder, name);
    CHECK_SAY(folder_make(folder, &e) == 0 && file_write_atomic(path, text, strlen(text), &e) == 0, "%s", e.text);
    free(path);
}

// A run in two stages of `steps` steps each, of the sources "math" and "a<b", evaluated after each stage.
struct fake_run {
    const char *strategy;
    double k;
    int seed, steps, rows; // rows: of the last stage
    double first, last;    // scores of math after the stages; its losses are 1 less them
};

static void fake_config(const char *folder, const struct fake_run *f)
{
    char *text = mem_format(
        "{\"output_dir\":\"%s\",\"seed\":%d,\"strategy\":\"%s\",\"dmt_k\":%.17g,\"specialized\":[\"math\"],"
        "\"sources\":{\"math\":{\"path\":[\"/data/math-%d.jsonl\"]},\"a<b\":{\"path\":[\"/data/ab.jsonl\"]}},"
        "\"learning_rate\":0.001}\n",
        folder, f->seed, f->strategy, f->k, f->rows);
    put(folder, "pumice_config.json", text);
    free(text);
}

static void fake_plan(const char *folder, const struct fake_run *f)
{
    char *text =
        mem_format("{\"stages\":[{\"name\":\"one\",\"rows\":8,\"steps\":%d,\"sources\":[{\"name\":\"math\",\"rows\":8,"
                   "\"tokens\":800,\"trained_tokens\":80}]},{\"name\":\"two\",\"rows\":%d,\"steps\":%d,\"sources\":["
                   "{\"name\":\"a<b\",\"rows\":6,\"tokens\":300,\"trained_tokens\":150},{\"name\":\"math\",\"rows\":2,"
                   "\"tokens\":100,\"trained_tokens\":50}]}],\"device\":\"a <device>\",\"driver\":\"driver 1\","
                   "\"precision\":\"f32\",\"matmul_precision\":\"bf16\"}",
            f->steps, f->rows, f->steps);
    put(folder, "pumice_plan.json", text);
    free(text);
}

// Step n: loss 1/n, 20 n tokens, 2 n of them trained, in half a second. In stage one all are math's; in stage two half
// of them, with a loss of 2/n, and half are of the other source, with a loss of 0.
static void fake_step(struct text *t, int n, int steps)
{
    text_print(t,
        "{\"step\":%d,\"stage\":\"%s\",\"epoch\":1,\"loss\":%.17g,\"grad_norm\":%d,\"learning_rate\":0.5,"
        "\"conversations\":2,\"tokens\":%d,\"trained_tokens\":%d,\"seconds\":0.5,\"tokens_per_second\":1,\"sources\":{",
        n, n <= steps ? "one" : "two", 1.0 / n, n, 20 * n, 2 * n);
    if (n <= steps)
        text_print(t, "\"math\":{\"conversations\":2,\"tokens\":%d,\"trained_tokens\":%d,\"loss\":%.17g}", 20 * n,
            2 * n, 1.0 / n);
    else
        text_print(t,
            "\"math\":{\"conversations\":1,\"tokens\":%d,\"trained_tokens\":%d,\"loss\":%.17g},"
            "\"a<b\":{\"conversations\":1,\"tokens\":%d,\"trained_tokens\":%d,\"loss\":0}",
            10 * n, n, 2.0 / n, 10 * n, n);
    text_print(t, "},\"hash\":\"%016x\"}\n", (unsigned)n);
}

static void fake_log(struct text *t, const struct fake_run *f, int from, int to)
{
    for (int n = from; n <= to; n++) {
        fake_step(t, n, f->steps);
        if (n % f->steps != 0) continue;
        double score = n == f->steps ? f->first : f->last;
        text_print(t,
            "{\"step\":%d,\"stage\":\"%s\",\"eval\":{\"math\":{\"loss\":%.17g,\"score\":%.17g,\"chance\":0.25},"
            "\"other\":{\"loss\":%d}}}\n",
            n, n == f->steps ? "one" : "two", 1 - score, score, n / f->steps);
    }
}

static void fake_run(const char *folder, const struct fake_run *f)
{
    struct text log = {0};
    fake_config(folder, f);
    fake_plan(folder, f);
    fake_log(&log, f, 1, 2 * f->steps);
    put(folder, "log.jsonl", log.data);
    struct error e;
    CHECK(outcome_write(folder, &(struct outcome){2 * (uint64_t)f->steps, 2 * (uint64_t)f->steps}, &e) == 0);
    put(folder, "manifest-1-one.jsonl", "a"); // their FNV-1a 64 is published
    put(folder, "manifest-2-two.jsonl", "foobar");
    text_free(&log);
}

#endif
