// SPDX-License-Identifier: MIT
//
// Runs read from folders written by hand, and the arithmetic of tables and curves, exactly.
#include "study/report_page.h"
#include "report_run.h"

#include <cjson/cJSON.h>

static char work[] = "/tmp/pumice-report-XXXXXX";

static char *at(const char *name)
{
    return path_join(work, name);
}

static bool near(double got, double want)
{
    return fabs(got - want) <= 1e-12 * fmax(1, fabs(want));
}

// A report of the folders, by their names below the work folder.
static int read_all(struct report *r, struct error *e, const char *const *names, size_t count)
{
    char *folders[8];
    for (size_t i = 0; i < count; i++) folders[i] = at(names[i]);
    *e = (struct error){0};
    int status = report_read(r, (const char *const *)folders, count, e);
    for (size_t i = 0; i < count; i++) free(folders[i]);
    return status;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part)) n++;
    return n;
}

static void test_spread(void)
{
    struct report_spread s = report_spread((const double[]){1, 2, NAN, 3, 4}, 5);
    CHECK(s.count == 4 && s.mean == 2.5 && near(s.deviation, sqrt(5.0 / 3)));
    s = report_spread((const double[]){7}, 1);
    CHECK(s.count == 1 && s.mean == 7 && isnan(s.deviation));
    s = report_spread((const double[]){NAN}, 1);
    CHECK(s.count == 0 && isnan(s.mean) && isnan(s.deviation));
    s = report_spread((const double[]){0.5, 0.5}, 2);
    CHECK(s.mean == 0.5 && s.deviation == 0);
}

static void test_words(void)
{
    static const struct {
        double x;
        const char *want;
    } cases[] = {{0, "0"}, {1, "1"}, {0.00390625, "1/256"}, {0.25, "1/4"}, {0.3, "0.3"}, {1.0 / 3, "1/3"}, {2, "2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = {0};
        report_fraction(&t, cases[i].x);
        CHECK_STRING(t.data, cases[i].want);
        text_free(&t);
    }
    cJSON *config =
        cJSON_Parse("{\"strategy\":\"dmt\",\"dmt_k\":0.0625,\"learning_rate\":2e-5,"
                    "\"model_name_or_path\":\"/a/b.gguf\",\"stages.0.mix.math\":0.5,\"packing\":false,"
                    "\"sources.math.path\":[\"/a/c.jsonl\",\"d.jsonl\"],\"lora_target\":[],\"method\":\"dmt 1/4\"}");
    struct text t = {0};
    for (const cJSON *item = config->child; item; item = item->next) report_setting(&t, item->string, item);
    CHECK_STRING(t.data, "dmt, k=1/16, learning_rate=2e-05, b.gguf, stages.0.mix.math=1/2, packing=false, "
                         "c.jsonl+d.jsonl, lora_target=[], dmt 1/4");
    text_free(&t);
    cJSON_Delete(config);
}

// One run: every field, and what is torn or wrong in its log.
static void test_run(void)
{
    char *folder = at("one");
    const struct fake_run f = {"dmt", 0.25, 1, 2, 8, 0.75, 0.5};
    struct report r;
    struct error e;
    fake_run(folder, &f);
    CHECK_SAY(read_all(&r, &e, (const char *const[]){"one/"}, 1) == 0, "%s", e.text);
    CHECK(r.run_count == 1 && r.group_count == 1 && r.sources.count == 2 && r.abilities.count == 2);
    const struct report_run *run = &r.runs[0];
    CHECK_STRING(run->name, folder);
    CHECK(run->state == REPORT_DONE && !run->notes && run->planned && run->total_steps == 4 && run->step_count == 4);
    CHECK(run->tokens == 20 + 40 + 60 + 80 && run->trained == 20 && run->seconds == 2 && run->skipped == 0);
    const struct report_step *step = &run->steps[2];
    CHECK(step->loss == 1.0 / 3 && step->norm == 3 && step->rate == 0.5 && step->stage == 1 && step->part_count == 2);
    CHECK_STRING(run->hash, "0000000000000004");
    CHECK_STRING(run->device, "a <device>");
    CHECK_STRING(run->products, "bf16");
    CHECK(run->config_hash == fnv1a(FNV_START, run->config_text, strlen(run->config_text)));
    CHECK(run->stage_count == 2 && run->stages[0].manifest == UINT64_C(0xaf63dc4c8601ec8c) &&
          run->stages[1].manifest == UINT64_C(0x85944171f73967e8));
    CHECK(
        run->stages[0].first == 1 && run->stages[0].last == 2 && run->stages[1].first == 3 && run->stages[1].rows == 8);
    // Asked as planned; realised: 20 + 40 tokens in stage one; 30 + 40 of each source in stage two.
    const struct report_share *s = run->stages[1].shares, *one = run->stages[0].shares;
    CHECK(run->stages[0].share_count == 1 && one->tokens == 60 && one->trained == 6 && one->rows == 4);
    CHECK(run->stages[1].share_count == 2 && s[0].asked_tokens == 300 && s[0].asked_trained == 150 &&
          s[0].asked_rows == 6);
    CHECK(s[0].tokens == 70 && s[0].trained == 7 && s[0].rows == 2 && s[1].tokens == 70 && s[1].asked_tokens == 100);
    CHECK_STRING(r.sources.names[s[0].source], "a<b");
    CHECK_STRING(r.groups[0].label, "dmt");
    report_free(&r);

    struct text log = {0};
    fake_log(&log, &f, 1, 2);
    text_print(&log, "no JSON\n");
    fake_step(&log, 1, 2); // goes back
    text_print(&log, "{\"step\":3,\"stage\":\"two\",\"loss\":null,\"grad_norm\":null,\"tokens\":5,\"seconds\":1,"
                     "\"skipped\":true,\"sources\":{}}\n{\"step\":4,\"sta");
    put(folder, "log.jsonl", log.data);
    text_free(&log);
    CHECK(read_all(&r, &e, (const char *const[]){"one"}, 1) == 0);
    run = &r.runs[0];
    CHECK(run->state == REPORT_STOPPED && run->step_count == 3 && run->skipped == 1 && isnan(run->steps[2].loss));
    CHECK(run->eval_count == 1);
    CHECK_SAY(run->notes && strstr(run->notes, "half a line") && strstr(run->notes, "log.jsonl:4: ") &&
                  strstr(run->notes, "2 such lines are left out") && strstr(run->notes, "step 3 of 4"),
        "%s", run->notes ? run->notes : "nothing");
    report_free(&r);
    free(folder);
}

// All steps are logged, but the run's mark is missing, or no mark at all: it was broken off while it saved.
static void test_unmarked(void)
{
    char *folder = at("unmarked"), *mark = at("unmarked/" OUTPUT_OUTCOME);
    struct report r;
    struct error e;
    fake_run(folder, &(struct fake_run){"dmt", 0.25, 1, 2, 8, 0.75, 0.5});
    put(folder, OUTPUT_OUTCOME, "{\"state\":1}");
    CHECK(read_all(&r, &e, (const char *const[]){"unmarked"}, 1) == 0);
    CHECK(r.runs[0].state == REPORT_STOPPED && r.runs[0].notes && strstr(r.runs[0].notes, "not what a finished run leaves"));
    report_free(&r);
    CHECK(unlink(mark) == 0);
    CHECK(read_all(&r, &e, (const char *const[]){"unmarked"}, 1) == 0);
    CHECK(r.runs[0].state == REPORT_STOPPED);
    report_free(&r);
    // The mark of another run, which the log does not end with.
    CHECK(outcome_write(folder, &(struct outcome){4, 5}, &e) == 0);
    CHECK(read_all(&r, &e, (const char *const[]){"unmarked"}, 1) == 0);
    CHECK(r.runs[0].state == REPORT_STOPPED);
    report_free(&r);
    free(mark);
    free(folder);
}

// A run that has no plan: its stages, steps and rows are those of its manifests.
static void test_unplanned(void)
{
    char *folder = at("unplanned"), *plan = at("unplanned/pumice_plan.json");
    struct report r;
    struct error e;
    fake_run(folder, &(struct fake_run){"dmt", 0.25, 1, 2, 8, 0.75, 0.5});
    CHECK(unlink(plan) == 0);
    put(folder, "manifest-1-one.jsonl",
        "{\"step\":0,\"epoch\":0,\"source\":\"math\"}\n{\"step\":1,\"epoch\":1,\"source\":\"math\"}\n");
    put(folder, "manifest-2-two.jsonl",
        "{\"step\":2,\"epoch\":0,\"source\":\"math\"}\n{\"step\":2,\"epoch\":0,\"source\":\"a<b\"}\n"
        "{\"step\":3,\"epoch\":0,\"source\":\"math\"}\n{\"step\":9,\"epoch\":1,\"source\":\"math\"}\n");
    CHECK(read_all(&r, &e, (const char *const[]){"unplanned"}, 1) == 0);
    const struct report_run *run = &r.runs[0];
    CHECK(!run->planned && run->staged && run->total_steps == 10 && run->state == REPORT_STOPPED &&
          r.groups[0].rows == 3);
    CHECK(run->stages[0].steps == 2 && run->stages[0].rows == 1 && run->stages[1].steps == 8);
    CHECK_STRING(run->stages[1].name, "two");
    CHECK(run->stages[1].share_count == 2 && run->stages[1].shares[0].asked_rows == 2);
    report_free(&r);
    free(folder);
    free(plan);
}

static void test_forgotten(void)
{
    struct report_mark marks[] = {
        {0, 1.0, 0.8, NAN}, {1, 2.0, NAN, NAN}, {0, 0.5, 0.9, NAN}, {0, 0.9, 0.6, NAN}, {1, 2.5, NAN, NAN}};
    struct report_eval evals[] = {{0, 0, 0, 2}, {5, 0, 2, 1}, {9, 1, 3, 2}};
    struct report_run run = {.stage_count = 2, .evals = evals, .eval_count = 3, .marks = marks, .mark_count = 5};
    CHECK(near(report_forgotten(&run, 0, true), 0.9 - 0.6));
    CHECK(near(report_forgotten(&run, 0, false), 0.9 - 0.5));
    CHECK(near(report_forgotten(&run, 1, false), 0.5) && isnan(report_forgotten(&run, 1, true)));
    CHECK(isnan(report_forgotten(&run, 2, true)));
    CHECK(report_final(&run, 0, true) == &marks[3] && report_final(&run, 1, false) == &marks[4]);
    CHECK(!report_final(&run, 1, true));
    marks[2].score = 0.7; // the best of stage one is not always its last
    CHECK(near(report_forgotten(&run, 0, true), 0.8 - 0.6));
    run.stage_count = 3; // its last stage has not been evaluated
    CHECK(isnan(report_forgotten(&run, 0, true)));
    run.stage_count = 2, run.eval_count = 2; // one stage only so far
    CHECK(isnan(report_forgotten(&run, 0, true)) && report_final(&run, 0, true) == &marks[2]);
}

// Settings over seeds, with exact means and spreads.
static const struct {
    const char *name;
    struct fake_run run;
} grid[] = {
    {"grid/a1", {"dmt", 0.25, 1, 2, 8, 0.75, 0.5}},
    {"grid/a2", {"dmt", 0.25, 2, 2, 8, 1, 0.25}},
    {"grid/a3", {"dmt", 0.25, 3, 2, 8, 0.5, 0.75}},
    {"grid/b1", {"mixed_sequential", 0.25, 1, 2, 8, 0.5, 0.125}},
    {"grid/b2", {"mixed_sequential", 0.25, 2, 2, 8, 0.5, 0.375}},
    {"grid/c1", {"multi_task", 0.25, 1, 2, 8, 0.5, 1}},
    {"grid/d1", {"dmt", 1, 1, 2, 8, 0.5, 0}},
};

static void write_grid(void)
{
    for (size_t i = 0; i < sizeof grid / sizeof *grid; i++) {
        char *folder = at(grid[i].name);
        fake_run(folder, &grid[i].run);
        free(folder);
    }
}

static void test_groups(void)
{
    struct report r;
    struct report_tables t;
    struct error e;
    write_grid();
    char *a3 = at("grid/a3");
    struct text log = {0};
    fake_log(&log, &grid[2].run, 1, 3); // broken off in stage two
    put(a3, "log.jsonl", log.data);
    text_free(&log);
    CHECK_SAY(read_all(&r, &e, (const char *const[]){"grid", "grid/a1"}, 2) == 0, "%s", e.text);
    CHECK(r.run_count == 7 && r.group_count == 4);
    CHECK_SAY(r.notes && strstr(r.notes, "counts once"), "%s", r.notes);
    static const char *const labels[] = {"dmt, k=1/4", "mixed_sequential", "multi_task", "dmt, k=1"};
    static const size_t runs[] = {3, 2, 1, 1};
    for (size_t i = 0; i < 4 && i < r.group_count; i++) {
        CHECK_STRING(r.groups[i].label, labels[i]);
        CHECK(r.groups[i].run_count == runs[i]);
    }
    report_tables_make(&t, &r);
    const struct report_summary *s = report_cell(&t, &r, 0, 0);
    CHECK(
        s->score.count == 2 && s->score.mean == 0.375 && near(s->score.deviation, 0.25 / sqrt(2)) && s->chance == 0.25);
    CHECK(s->loss.mean == 0.625 && s->forgotten.mean == 0.5 && near(s->forgotten.deviation, 0.5 / sqrt(2)));
    CHECK(report_cell(&t, &r, 1, 0)->score.mean == 0.25 && report_cell(&t, &r, 2, 0)->forgotten.mean == -0.5);
    CHECK(report_cell(&t, &r, 0, 1)->loss.mean == 2 && report_cell(&t, &r, 0, 1)->score.count == 0);
    CHECK(report_cell(&t, &r, 0, 1)->loss_risen.mean == 1 && !t.so_far[0] && t.any_score && t.any_forgotten);
    report_tables_free(&t);
    report_free(&r);

    // The unfinished run alone is better than nothing, and said to be so.
    CHECK(read_all(&r, &e, (const char *const[]){"grid/a3"}, 1) == 0);
    report_tables_make(&t, &r);
    CHECK(t.so_far[0] && report_cell(&t, &r, 0, 0)->score.mean == 0.5 && !report_cell(&t, &r, 0, 0)->forgotten.count);
    report_tables_free(&t);
    report_free(&r);
    free(a3);
}

// The first of two seeds was killed before its plan and manifests were written: the other one tells rows and stages.
static void test_early_killed(void)
{
    struct report r;
    struct report_tables t;
    struct report_figures f;
    struct text page = {0};
    struct error e;
    static const int rows[] = {8, 32};
    for (int i = 0; i < 2; i++) {
        char *first = mem_format("%s/early/%d-1", work, rows[i]), *second = mem_format("%s/early/%d-2", work, rows[i]);
        fake_config(first, &(struct fake_run){"multi_task", 0, 1, 2, rows[i], 0.5, 0.5});
        fake_run(second, &(struct fake_run){"multi_task", 0, 2, 2, rows[i], 0.5, 0.5});
        free(first);
        free(second);
    }
    char *path = mem_string(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", "/nowhere", 1); // no pictures
    CHECK_SAY(read_all(&r, &e, (const char *const[]){"early"}, 1) == 0, "%s", e.text);
    CHECK(r.run_count == 4 && r.group_count == 2);
    report_tables_make(&t, &r);
    report_figures_make(&f, &r, &t);
    report_page(&page, &r, &t, &f, "t");
    setenv("PATH", path, 1);
    free(path);
    CHECK(r.groups[0].rows + r.groups[1].rows == 40 && strstr(page.data, "Growth of abilities"));
    CHECK(count_of(page.data, "<td>two</td><td class=\"text\">a&lt;b</td>") == 2);
    text_free(&page);
    report_figures_free(&f);
    report_tables_free(&t);
    report_free(&r);
}

// A run that is there twice counts once: copied whole or before its end, or made again elsewhere. Another seed is another run,
// and so is one whose steps were others.
static void test_copies(void)
{
    static const struct {
        const char *name;
        struct fake_run run;
    } runs[] = {{"copies/a", {"dmt", 0.25, 1, 2, 8, 0.75, 0.5}}, {"copies/b", {"dmt", 0.25, 1, 2, 8, 0.75, 0.5}},
        {"copies/c", {"dmt", 0.25, 2, 2, 8, 1, 0.25}}, {"copies/d", {"dmt", 0.25, 1, 3, 8, 1, 1}}};
    char *mark = at("copies/a/" OUTPUT_OUTCOME);
    struct report r;
    struct report_tables t;
    struct error e;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *folder = at(runs[i].name);
        fake_run(folder, &runs[i].run);
        free(folder);
    }
    for (int broken = 0; broken < 2; broken++) {
        if (broken) CHECK(unlink(mark) == 0);
        CHECK_SAY(read_all(&r, &e, (const char *const[]){"copies"}, 1) == 0, "%s", e.text);
        CHECK(r.run_count == 4 && r.group_count == 1 && r.groups[0].run_count == 3);
        CHECK(r.runs[broken].copy_of == REPORT_NONE && r.runs[!broken].copy_of == (uint32_t)broken);
        CHECK(r.runs[2].copy_of == REPORT_NONE && r.runs[3].copy_of == REPORT_NONE && r.runs[!broken].group == 0);
        CHECK_STRING(r.notes, broken ? "a: is the same run as b, with the same config, seed and hash, and counts once"
                                     : "b: is the same run as a, with the same config, seed and hash, and counts once");
        report_tables_make(&t, &r);
        const struct report_summary *s = report_cell(&t, &r, 0, 0);
        CHECK(s->score.count == 3 && near(s->score.mean, (0.5 + 0.25 + 1) / 3));
        report_tables_free(&t);
        report_free(&r);
    }
    free(mark);
}

static void test_lines(void)
{
    struct report r;
    struct report_line *lines;
    struct error e;
    CHECK(read_all(&r, &e, (const char *const[]){"grid"}, 1) == 0);
    size_t count = report_lines(&lines, &r, REPORT_K);
    CHECK(count == 1 && lines[0].count == 3);
    for (size_t i = 0; count == 1 && i < lines[0].count; i++)
        CHECK(report_x(&r.groups[lines[0].groups[i]], REPORT_K) == ((const double[]){0, 0.25, 1})[i]);
    report_lines_free(lines, count);
    CHECK(report_lines(&lines, &r, REPORT_AMOUNT) == 0);
    report_free(&r);

    // Growth: two strategies with several amounts, a third with one only.
    static const struct fake_run runs[] = {{"multi_task", 0, 1, 2, 160, 0, 1}, {"multi_task", 0, 1, 2, 10, 0, 0.5},
        {"multi_task", 0, 1, 2, 40, 0, 0.75}, {"sequential", 0, 1, 2, 40, 0, 0.25}, {"sequential", 0, 1, 2, 10, 0, 0},
        {"mixed_sequential", 0, 1, 2, 10, 0, 0}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *folder = mem_format("%s/growth/%zu", work, i);
        fake_run(folder, &runs[i]);
        free(folder);
    }
    CHECK(read_all(&r, &e, (const char *const[]){"growth"}, 1) == 0);
    count = report_lines(&lines, &r, REPORT_AMOUNT);
    CHECK(count == 2 && lines[0].count == 3 && lines[1].count == 2);
    for (size_t i = 0; count == 2 && i < lines[0].count; i++)
        CHECK(report_x(&r.groups[lines[0].groups[i]], REPORT_AMOUNT) == ((const double[]){10, 40, 160})[i]);
    if (count == 2) {
        CHECK_STRING(lines[0].label, "multi_task");
        CHECK_STRING(lines[1].label, "sequential");
    }
    report_lines_free(lines, count);
    report_free(&r);
}

static void test_curves(void)
{
    struct report r;
    struct report_curve c;
    struct error e;
    write_grid();
    CHECK(read_all(&r, &e, (const char *const[]){"grid/a1", "grid/a2"}, 2) == 0);
    uint32_t math = report_name(&r.sources, "math"), other = report_name(&r.sources, "a<b");
    report_curve_steps(&c, &r, 0, REPORT_LOSS, REPORT_NONE);
    CHECK(c.width == 1 && c.count == 4);
    for (size_t i = 0; i < c.count; i++) {
        double n = (double)(i + 1);
        CHECK(c.points[i].x == n && near(c.points[i].y, 1 / n) && c.points[i].stage == i / 2);
    }
    report_curve_free(&c);
    report_curve_steps(&c, &r, 0, REPORT_LOSS, math);
    CHECK(c.count == 4 && near(c.points[3].y, 0.5));
    report_curve_free(&c);
    report_curve_steps(&c, &r, 0, REPORT_LOSS, other);
    CHECK(c.count == 2 && c.points[0].x == 3 && c.points[0].y == 0);
    report_curve_free(&c);
    report_curve_steps(&c, &r, 0, REPORT_SPEED, REPORT_NONE);
    CHECK(c.count == 4 && c.points[3].y == 160);
    report_curve_free(&c);
    report_curve_evals(&c, &r, 0, 0, true);
    CHECK(c.count == 2 && c.points[0].x == 2 && c.points[0].y == 0.875 && near(c.points[0].deviation, 0.25 / sqrt(2)));
    CHECK(c.count == 2 && c.points[1].x == 4 && c.points[1].y == 0.375 && c.points[1].stage == 1);
    report_curve_free(&c);
    report_free(&r);

    // 300 steps in points of 3: losses over their trained tokens, the rest over steps or seconds.
    char *folder = at("long");
    const struct fake_run f = {"dmt", 0.25, 1, 150, 8, 0.75, 0.5};
    fake_run(folder, &f);
    CHECK(read_all(&r, &e, (const char *const[]){"long"}, 1) == 0);
    report_curve_steps(&c, &r, 0, REPORT_LOSS, REPORT_NONE);
    CHECK(c.width == 3 && c.count == 100);
    if (c.count == 100) { // losses of 1/n over 2 n tokens: 6 over 2 (1 + 2 + 3)
        CHECK(c.points[0].x == 2 && near(c.points[0].y, 6.0 / 12));
        CHECK(near(c.points[49].y, 6.0 / (2 * (148 + 149 + 150))) && c.points[49].stage == 0);
        CHECK(c.points[50].stage == 1 && c.points[50].x == 152);
    }
    report_curve_free(&c);
    report_curve_steps(&c, &r, 0, REPORT_NORM, REPORT_NONE);
    CHECK(c.count == 100 && c.points[0].y == 2 && c.points[99].y == 299);
    report_curve_free(&c);
    report_curve_steps(&c, &r, 0, REPORT_SPEED, REPORT_NONE);
    CHECK(c.count == 100 && near(c.points[0].y, (20 + 40 + 60) / 1.5));
    report_curve_free(&c);
    report_free(&r);
    free(folder);
}

// A sweep: its axes name the settings, its failed run is told, what is not there is named.
static void test_sweep(void)
{
    struct report r;
    struct error e;
    static const char *const names[] = {"x,seed=1", "x,seed=2", "y,seed=1"};
    for (size_t i = 0; i < 3; i++) {
        char *folder = mem_format("%s/sweep/%s", work, names[i]);
        // The axis "seed" may stand for more than the seed.
        fake_run(folder, &(struct fake_run){"dmt", i == 1 ? 0.25 : i == 2 ? 1 : 0.125, (int)i, 2, 8, 0.5, 0.5});
        free(folder);
    }
    char *sweep = at("sweep");
    put(sweep, "results.json",
        "{\"axes\":[\"method\",\"rate\",\"seed\"],\"runs\":["
        "{\"name\":\"x,seed=1\",\"state\":\"done\",\"axes\":{\"method\":\"x\",\"rate\":0.1,\"seed\":1}},"
        "{\"name\":\"x,seed=2\",\"state\":\"done\",\"axes\":{\"method\":\"x\",\"rate\":0.1,\"seed\":2}},"
        "{\"name\":\"y,seed=1\",\"state\":\"failed\",\"why\":\"it "
        "<broke>\",\"axes\":{\"method\":\"y\",\"rate\":0.1,\"seed\":1}},"
        "{\"name\":\"y,seed=2\",\"state\":\"waiting\",\"axes\":{\"method\":\"y\",\"rate\":0.1,\"seed\":2}}]}");
    CHECK_SAY(read_all(&r, &e, (const char *const[]){"sweep"}, 1) == 0, "%s", e.text);
    CHECK(r.run_count == 3 && r.group_count == 2);
    if (r.run_count == 3 && r.group_count == 2) {
        CHECK_STRING(r.runs[0].name, "x,seed=1");
        CHECK_STRING(r.groups[0].label, "x"); // the rate is the same for all
        CHECK_STRING(r.groups[1].label, "y");
        CHECK_STRING(r.runs[2].why, "it <broke>");
    }
    CHECK_SAY(r.notes && strstr(r.notes, "y,seed=2 (waiting)"), "%s", r.notes);
    report_free(&r);
    // A failure is that of the log that it was written of.
    for (int same = 0; same < 2; same++) {
        char *results = mem_format("{\"runs\":[{\"name\":\"y,seed=1\",\"state\":\"failed\",\"why\":\"a full disk\","
                                   "\"hash\":\"%016x\"}]}", same ? 4U : 3U);
        put(sweep, "results.json", results);
        CHECK_SAY(read_all(&r, &e, (const char *const[]){"sweep"}, 1) == 0, "%s", e.text);
        CHECK_STRING(r.runs[0].name, "y,seed=1");
        CHECK(r.run_count == 3 && (r.runs[0].why != NULL) == same);
        report_free(&r);
        free(results);
    }
    // Torn results are noted; what the runs are their folders say.
    put(sweep, "results.json", "{\"axes\":");
    CHECK_SAY(read_all(&r, &e, (const char *const[]){"sweep"}, 1) == 0, "%s", e.text);
    CHECK(r.run_count == 3 && r.group_count == 3);
    CHECK_SAY(r.notes && strstr(r.notes, "results.json:1:"), "%s", r.notes);
    report_free(&r);
    free(sweep);

    CHECK(read_all(&r, &e, (const char *const[]){"nowhere"}, 1) == -1);
    CHECK_ERROR(e, "nowhere: there is no such folder");
    char *empty = at("empty/deeper");
    CHECK(folder_make(empty, &e) == 0);
    free(empty);
    CHECK(read_all(&r, &e, (const char *const[]){"grid", "empty"}, 2) == -1);
    CHECK_ERROR(e, "empty: is no run");
}

static void test_json(const struct report *r, const struct report_tables *t, const struct report_figures *f)
{
    cJSON *json = report_json(r, t, f, "here");
    const cJSON *tables = cJSON_GetObjectItem(json, "tables"), *k = cJSON_GetObjectItem(tables, "k");
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(json, "runs")) == 7);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(tables, "abilities")) == 4 * 2 && cJSON_GetArraySize(k) == 3 * 2);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(tables, "shares")) == 7 * 3);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(tables, "forgetting")) == 4 * 2);
    const cJSON *score = cJSON_GetObjectItem(cJSON_GetArrayItem(k, 0), "score");
    CHECK(score && cJSON_GetObjectItem(cJSON_GetArrayItem(k, 0), "k")->valuedouble == 0);
    CHECK(score && cJSON_GetObjectItem(score, "mean")->valuedouble == 0.25);
    CHECK(score && cJSON_GetObjectItem(score, "n")->valuedouble == 2);
    cJSON_Delete(json);
}

static void test_page(void)
{
    struct report r;
    struct report_tables t;
    struct report_figures f;
    struct text page = {0};
    struct error e;
    CHECK(read_all(&r, &e, (const char *const[]){"grid"}, 1) == 0);
    report_tables_make(&t, &r);
    report_figures_make(&f, &r, &t);
    report_page(&page, &r, &t, &f, "a \"title\" & <more>");
    CHECK(strstr(page.data, "<title>a &quot;title&quot; &amp; &lt;more&gt;</title>") != NULL);
    CHECK(strstr(page.data, "a&lt;b") && !strstr(page.data, "a<b") && !strstr(page.data, "a <device>"));
    CHECK(strstr(page.data, REPORT_MARK) && strstr(page.data, REPORT_MARK) - page.data < 512);
    CHECK(strstr(page.data, "50.0 <span class=\"spread\">± 25.0</span>") != NULL); // 0.5, 0.25, 0.75
    CHECK(!strstr(page.data, "http") && !strstr(page.data, "<script"));            // nothing that wants a network
    if (f.problem.text[0]) {
        printf("no pictures are checked: %s\n", f.problem.text);
    } else {
        size_t pictures = count_of(page.data, "<svg ");
        CHECK_SAY(
            pictures == count_of(page.data, "<figure>") && pictures == count_of(page.data, "</svg>") && pictures >= 9,
            "%zu pictures", pictures);
        CHECK(count_of(page.data, "<defs>") == 1 && count_of(page.data, "id=\"gnuplot_canvas\"") == 0);
    }
    test_json(&r, &t, &f);
    text_free(&page);
    report_figures_free(&f);

    // No gnuplot within reach: the reason, and a page all the same.
    char *path = mem_string(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", "/nowhere", 1);
    report_figures_make(&f, &r, &t);
    CHECK_ERROR(f.problem, "gnuplot is not installed");
    report_page(&page, &r, &t, &f, "t");
    CHECK(strstr(page.data, "There are no pictures: gnuplot is not installed") && !strstr(page.data, "<svg"));
    setenv("PATH", path, 1);
    free(path);
    text_free(&page);
    report_figures_free(&f);
    report_tables_free(&t);
    report_free(&r);
}

// Whatever bytes a run's files hold, there is a page or a reason.
static void test_bytes(void)
{
    static const char *const files[] = {"pumice_config.json", "pumice_plan.json", "log.jsonl", "manifest-2-two.jsonl"};
    static const char *const pieces[] = {
        "[", "]", "{", "}", "null", "-1", "1e300", "\"x\"", ":", ",", "\n", "\"step\"", "<"};
    char *folder = at("bytes"), *path = mem_string(getenv("PATH") ? getenv("PATH") : "");
    uint64_t seed = 5;
    setenv("PATH", "/nowhere", 1); // it is the reading that is tested
    fake_run(folder, &(struct fake_run){"dmt", 0.25, 1, 2, 8, 0.75, 0.5});
    for (int round = 0; round < 400; round++) {
        char *name = path_join(folder, files[test_random(&seed) % 4]);
        struct file_map f;
        struct error e = {0};
        struct text old = {0}, new = {0};
        CHECK(file_map(&f, name, &e) == 0);
        text_add(&old, f.data, f.bytes);
        file_unmap(&f);
        size_t from = test_random(&seed) % (old.bytes + 1), cut = test_random(&seed) % 12;
        if (from + cut > old.bytes) cut = old.bytes - from;
        text_add(&new, old.data, from);
        const char *piece = pieces[test_random(&seed) % (sizeof pieces / sizeof *pieces)];
        text_add(&new, piece, strlen(piece));
        text_add(&new, old.data + from + cut, old.bytes - from - cut);
        FILE *file = fopen(name, "wb");
        CHECK(file && fwrite(new.data, 1, new.bytes, file) == new.bytes &&fclose(file) == 0);

        struct report r;
        struct report_tables t;
        struct report_figures figures;
        struct text page = {0};
        CHECK_SAY(read_all(&r, &e, (const char *const[]){"bytes"}, 1) == 0, "%s", e.text);
        report_tables_make(&t, &r);
        report_figures_make(&figures, &r, &t);
        report_page(&page, &r, &t, &figures, "t");
        cJSON_Delete(report_json(&r, &t, &figures, "t"));
        CHECK(strstr(page.data, "</html>") != NULL);
        text_free(&page);
        report_figures_free(&figures);
        report_tables_free(&t);
        report_free(&r);

        // Every other time it stays: mistakes pile up, until the run is written anew.
        if (round % 20 == 19) {
            fake_run(folder, &(struct fake_run){"dmt", 0.25, 1, 2, 8, 0.75, 0.5});
        } else if (round % 2 == 0 && (file = fopen(name, "wb"))) {
            CHECK(fwrite(old.data, 1, old.bytes, file) == old.bytes);
            fclose(file);
        }
        text_free(&old);
        text_free(&new);
        free(name);
    }
    setenv("PATH", path, 1);
    free(path);
    free(folder);
}

int main(void)
{
    struct error e = {0};
    CHECK(mkdtemp(work) != NULL);
    test_spread();
    test_words();
    test_run();
    test_unmarked();
    test_unplanned();
    test_forgotten();
    test_groups();
    test_early_killed();
    test_copies();
    test_lines();
    test_curves();
    test_sweep();
    test_page();
    test_bytes();
    CHECK(folder_remove(work, &e) == 0);
    return test_end();
}
