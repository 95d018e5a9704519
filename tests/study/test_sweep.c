// SPDX-License-Identifier: MIT
//
// A sweep's grid: which runs, in which order, of which names, with which changes, and what is refused; its results from
// folders: states, tables, CSV. Nothing is trained here.
#include "study/sweep.h"

#include "formats/json_file.h"
#include "test.h"
#include "train/outcome.h"
#include "train/output.h"

#include <math.h>
#include <unistd.h>

static struct error e;
static char folder[] = "/tmp/pumice-sweep-XXXXXX";

static cJSON *parse(const char *text)
{
    cJSON *json = json_read_text("test", text, strlen(text), &e);
    CHECK_SAY(json != NULL, "%s", e.text);
    return json;
}

static int make(struct grid *g, const char *sweep, const char *const *extra, size_t extra_count)
{
    cJSON *json = sweep ? parse(sweep) : NULL;
    e = (struct error){0};
    int status = grid_make(g, json, extra, extra_count, &e);
    cJSON_Delete(json);
    return status;
}

static void check_json(const cJSON *got, const char *want)
{
    char *text = json_print(got, false);
    CHECK_STRING(text, want);
    free(text);
}

// ---- the grid ----------------------------------------------------------------------------------------------------

static void test_product(void)
{
    struct grid g;
    CHECK(make(&g, "{\"why\": \"a comment\", \"strategy\": [\"dmt\", \"sequential\"], \"dmt_k\": [0.00390625, 1], \"seed\": [1, 2, 3]}",
              NULL, 0) == 0);
    CHECK(g.count == 12 && g.axis_count == 3);
    static const char *const strategies[] = {"dmt", "sequential"}, *const ks[] = {"0.00390625", "1"};
    for (size_t i = 0; i < g.count; i++) { // the first axis slowest
        char want[100];
        snprintf(want, sizeof want, "strategy=%s,dmt_k=%s,seed=%zu", strategies[i / 6], ks[i / 3 % 2], i % 3 + 1);
        CHECK_STRING(g.runs[i].name, want);
    }
    check_json(g.runs[4].axes, "{\"strategy\":\"dmt\",\"dmt_k\":1,\"seed\":2}");
    check_json(g.runs[4].set, "{\"strategy\":\"dmt\",\"dmt_k\":1,\"seed\":2}");
    CHECK_STRING(g.axes[1].labels[0], "0.00390625");
    grid_free(&g);
}

static void test_variants(void)
{
    struct grid g;
    CHECK(make(&g, "{\"method\": {\"as it is\": {}, \"why\": \"text\", \"dmt 1/256\": {\"strategy\": \"dmt\", \"dmt_k\": 0.00390625, \"why\": \"x\"}},"
                   " \"stages.0.mix.math\": [{\"rows\": 20}, 2], \"lora_target\": [[\"q_proj\", \"v_proj\"], null]}", NULL, 0) == 0);
    CHECK(g.count == 8);
    CHECK_STRING(g.runs[0].name, "method=as-it-is,stages.0.mix.math=rows-20,lora_target=q_proj-v_proj");
    CHECK_STRING(g.runs[7].name, "method=dmt-1-256,stages.0.mix.math=2,lora_target=null");
    check_json(g.runs[0].set, "{\"stages.0.mix.math\":{\"rows\":20},\"lora_target\":[\"q_proj\",\"v_proj\"]}");
    check_json(g.runs[7].set, "{\"strategy\":\"dmt\",\"dmt_k\":0.00390625,\"stages.0.mix.math\":2,\"lora_target\":null}");
    check_json(g.runs[7].axes, "{\"method\":\"dmt 1/256\",\"stages.0.mix.math\":2,\"lora_target\":null}");
    grid_free(&g);
}

static void test_extra(void)
{
    struct grid g;
    static const char *const words[] = {"seed=4,5", "strategy=dmt,multi_task", "sources.a.path=[\"x\",\"y\"],\"z,w\""};
    CHECK(make(&g, "{\"seed\": [1], \"dropout\": [0]}", words, 3) == 0);
    CHECK(g.count == 8 && g.axis_count == 4); // seed replaced where it stood, the others after dropout
    CHECK_STRING(g.runs[0].name, "seed=4,dropout=0,strategy=dmt,sources.a.path=x-y");
    CHECK_STRING(g.runs[7].name, "seed=5,dropout=0,strategy=multi_task,sources.a.path=z-w");
    grid_free(&g);
    static const char *const mixed[] = {"micro_batch_tokens=auto,512"};
    CHECK(make(&g, NULL, mixed, 1) == 0 && g.count == 2);
    check_json(g.runs[0].set, "{\"micro_batch_tokens\":\"auto\"}");
    check_json(g.runs[1].set, "{\"micro_batch_tokens\":512}");
    grid_free(&g);
}

// Of an axis with variants a command line picks some, by label.
static void test_picked(void)
{
    static const char sweep[] = "{\"method\": {\"multi\": {\"strategy\": \"multi_task\"}, \"dmt 1/4\": {\"strategy\": \"dmt\", \"dmt_k\": 0.25},"
                                " \"0.5\": {\"dmt_k\": 0.5}, \"a, b\": {}, \"why\": \"text\"}, \"seed\": [1]}";
    static const struct {
        const char *word;
        size_t count;
        const char *first, *last; // names of runs, or (count 0) a part of the reason
    } cases[] = {
        {"method=multi", 1, "method=multi,seed=1", "method=multi,seed=1"},
        {"method=dmt 1/4,multi", 2, "method=dmt-1-4,seed=1", "method=multi,seed=1"},
        {"method=multi,0.5", 2, "method=multi,seed=1", "method=0.5,seed=1"},
        {"method=a, b", 1, "method=a-b,seed=1", "method=a-b,seed=1"},
        {"method=\"a, b\",\"multi\"", 2, "method=a-b,seed=1", "method=multi,seed=1"},
        {"method=mutli", 0, "--axis method: has variants, which are picked by their labels, and none is \"mutli\"; did you mean \"multi\"", NULL},
        {"method=1", 0, "none is \"1\"; the first is \"multi\"", NULL},
        {"method=multi,multi", 0, "names multi twice", NULL},
        {"method=why", 0, "none is \"why\"", NULL},
        {"method=", 0, "none is \"\"", NULL},
    };
    struct grid g;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = make(&g, sweep, &cases[i].word, 1);
        CHECK_SAY(status == (cases[i].count ? 0 : -1) && (status || g.count == cases[i].count), "%s: %s", cases[i].word, e.text);
        if (!cases[i].count) CHECK_ERROR(e, cases[i].first);
        if (status || !cases[i].count) continue;
        CHECK_STRING(g.runs[0].name, cases[i].first);
        CHECK_STRING(g.runs[g.count - 1].name, cases[i].last);
        grid_free(&g);
    }
    static const char *const word = "method=dmt 1/4";
    CHECK(make(&g, sweep, &word, 1) == 0);
    check_json(g.runs[0].set, "{\"strategy\":\"dmt\",\"dmt_k\":0.25,\"seed\":1}");
    grid_free(&g);
}

// Values beyond what a folder's name holds: cut where a character begins, kept apart by a hash.
static void test_long_names(void)
{
    struct text sweep = {0};
    text_print(&sweep, "{\"device\": [\"");
    for (int i = 0; i < 100; i++) text_print(&sweep, "\xc3\xa9");
    text_print(&sweep, "\", \"");
    for (int i = 0; i < 150; i++) text_print(&sweep, "\xc3\xa9");
    text_print(&sweep, "a\", \"");
    for (int i = 0; i < 150; i++) text_print(&sweep, "\xc3\xa9");
    text_print(&sweep, "b\"]}");
    struct grid g;
    CHECK(make(&g, sweep.data, NULL, 0) == 0 && g.count == 3);
    for (size_t i = 1; i < 3; i++) {
        const char *name = g.runs[i].name;
        size_t n = strlen(name);
        CHECK(n <= GRID_NAME && n > GRID_NAME - 3 && name[n - 17] == '-' && ((uint8_t)name[n - 18] & 0xc0) == 0x80);
    }
    CHECK(strcmp(g.runs[1].name, g.runs[2].name) != 0);
    grid_free(&g);
    text_free(&sweep);
}

static void test_refused(void)
{
    static const struct {
        const char *sweep, *part;
    } cases[] = {
        {"{}", "has no axis"},
        {"{\"why\": \"nothing\"}", "has no axis"},
        {"[1]", "object of axes"},
        {"{\"seed\": []}", "seed: has no values"},
        {"{\"method\": {}}", "method: has no values"},
        {"{\"seed\": 1}", "seed: an axis is a list"},
        {"{\"method\": {\"a\": 1}}", "method.a: a variant is an object"},
        {"{\"method\": {\"\": {}}}", "needs a label"},
        {"{\"\": [1]}", "needs a name"},
        {"{\"output_dir\": [\"a\"]}", "cannot set output_dir"},
        {"{\"method\": {\"a\": {\"output_dir\": \"x\"}}}", "cannot set output_dir"},
        {"{\"method\": {\"a\": {\"sweep\": {}}}}", "cannot set sweep"},
        {"{\"seed\": [1, 1]}", "two runs have the name seed=1"},
        {"{\"seed\": [9007199254740993, 9007199254740992]}", "seed: holds 9007199254740992 twice, or whole numbers that are too large"},
        {"{\"device\": [\"a b\", \"a/b\"]}", "two runs have the name device=a-b"},
        {"{\"dmt_k\": [0, 1], \"method\": {\"a\": {\"seed\": 1}, \"b\": {\"dmt_k\": 1}}}", "dmt_k and method: both axes set dmt_k"},
        {"{\"sources.math.max_rows\": [1], \"sources.math\": [\"a\", \"b\"]}", "both axes set sources.math"},
        {"{\"method\": {\"a\": {\"sources.math.max_rows\": 5, \"sources.math\": \"b\"}}}",
            "method.a: sources.math undoes what it sets before, sources.math.max_rows"},
    };
    struct grid g;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_SAY(make(&g, cases[i].sweep, NULL, 0) == -1, "%s", cases[i].sweep);
        CHECK_ERROR(e, cases[i].part);
        CHECK(!g.runs && !g.axes);
    }
    // A key within one that an earlier axis sets refines it.
    CHECK(make(&g, "{\"sources.math\": [\"a\", \"b\"], \"sources.math.max_rows\": [1]}", NULL, 0) == 0);
    grid_free(&g);
    CHECK(make(&g, "{\"method\": {\"a\": {\"sources.math\": \"b\", \"sources.math.max_rows\": 5}}}", NULL, 0) == 0);
    grid_free(&g);
    static const char *const bad[] = {"seed", "=1", "seed=", "device=a,caf\xe9"};
    static const char *const reasons[] = {"wants KEY=VALUE", "wants KEY=VALUE", "seed: has no values", "is not UTF-8 text"};
    for (size_t i = 0; i < 4; i++) {
        CHECK(make(&g, NULL, &bad[i], 1) == -1);
        CHECK_ERROR(e, reasons[i]);
    }
    static const char *const twice[] = {"seed=1,2", "seed=3"}, *const alike[] = {"seed=1", "seeds=3"};
    CHECK(make(&g, NULL, twice, 2) == -1);
    CHECK_ERROR(e, "--axis seed: stands there twice");
    CHECK(make(&g, NULL, alike, 2) == 0);
    grid_free(&g);
    struct text many = {0};
    text_print(&many, "{");
    for (int axis = 0; axis < 5; axis++) {
        text_print(&many, "%s\"axis%d\": [0", axis ? "," : "", axis);
        for (int i = 1; i < 100; i++) text_print(&many, ",%d", i);
        text_print(&many, "]");
    }
    text_print(&many, "}");
    CHECK(make(&g, many.data, NULL, 0) == -1);
    CHECK_ERROR(e, "10000000000 runs");
    text_free(&many);
}

static void test_apply(void)
{
    struct grid g;
    CHECK(make(&g, "{\"seed\": [7], \"sources.math.max_rows\": [5], \"stages.0.mix.math\": [0.5]}", NULL, 0) == 0);
    cJSON *root = parse("{\"sources\": {\"math\": \"m.jsonl\"}, \"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 1}}]}");
    CHECK_SAY(grid_apply(root, &g.runs[0], &e) == 0, "%s", e.text);
    check_json(root, "{\"sources\":{\"math\":{\"path\":\"m.jsonl\",\"max_rows\":5}},\"stages\":[{\"name\":\"a\",\"mix\":{\"math\":0.5}}],\"seed\":7}");
    cJSON_Delete(root);
    grid_free(&g);
    static const struct {
        const char *sweep, *part;
    } cases[] = {
        {"{\"sources.mth.max_rows\": [5]}", "did you mean \"math\"?"},
        {"{\"souces.math.max_rows\": [5]}", "did you mean \"sources\"?"},
        {"{\"stages.1.mix.math\": [5]}", "no place in this list of 1"},
        {"{\"seed.x\": [5]}", "neither an object nor a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        root = parse("{\"seed\": 1, \"sources\": {\"math\": \"m.jsonl\"}, \"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 1}}]}");
        CHECK(make(&g, cases[i].sweep, NULL, 0) == 0 && grid_apply(root, &g.runs[0], &e) == -1);
        CHECK_ERROR(e, cases[i].part);
        cJSON_Delete(root);
        grid_free(&g);
    }
}

// ---- results -----------------------------------------------------------------------------------------------------

static void put(const char *run, const char *name, const char *text)
{
    char *path = mem_format("%s/out/%s", folder, run);
    CHECK(folder_make(path, &e) == 0);
    char *file = path_join(path, name);
    CHECK(file_write_atomic(file, text, strlen(text), &e) == 0);
    free(file);
    free(path);
}

#define STEP(n, loss, hash) \
    "{\"step\":" #n ",\"stage\":\"a\",\"epoch\":1,\"loss\":" loss ",\"seconds\":0.25,\"hash\":\"00000000000000" hash "\"}\n"
#define EVAL(n, values) "{\"step\":" #n ",\"stage\":\"a\",\"eval\":{" values "}}\n"

static void test_results(void)
{
    static const char config[] = "{\"init\": {\"tokenizer\": \"bytes\"}, \"output_dir\": \"out\", \"strategy\": \"multi_task\","
                                 " \"sources\": {\"rows\": \"rows.jsonl\"}, \"sweep\": {\"m\": {\"a, \\\"b\\\"\": {}, \"c\": {\"dropout\": 0.5}},"
                                 " \"seed\": [1, 2, 3]}}";
    char *path = path_join(folder, "sweep.json");
    CHECK(file_write_atomic(path, config, strlen(config), &e) == 0);
    // A run that is done; its evaluations are told apart by step.
    put("m=a-b,seed=1", OUTPUT_CONFIG, "{}");
    put("m=a-b,seed=1", OUTPUT_LOG, EVAL(0, "\"x\":{\"loss\":3}") STEP(1, "2.5", "01") STEP(2, "1.5", "02")
        EVAL(2, "\"x\":{\"loss\":1,\"score\":0.25},\"y\":{\"loss\":null}"));
    put("m=a-b,seed=1", OUTPUT_OUTCOME, "{\"state\":\"done\",\"steps\":2,\"hash\":\"0000000000000002\"}");
    put("m=a-b,seed=1", "config.json", "{}");
    put("m=a-b,seed=1", "model.safetensors", "");
    // No mark: broken off, half a line at its end.
    put("m=a-b,seed=2", OUTPUT_CONFIG, "{}");
    put("m=a-b,seed=2", OUTPUT_LOG, STEP(1, "2.5", "01") "{\"step\":2,");
    // A mark of another log: not finished either, by steps or by hash.
    put("m=a-b,seed=3", OUTPUT_CONFIG, "{}");
    put("m=a-b,seed=3", OUTPUT_LOG, STEP(1, "2.5", "01"));
    put("m=a-b,seed=3", OUTPUT_OUTCOME, "{\"state\":\"done\",\"steps\":2,\"hash\":\"0000000000000001\"}");
    put("m=c,seed=1", OUTPUT_CONFIG, "{}");
    put("m=c,seed=1", OUTPUT_LOG, STEP(1, "2.5", "01"));
    put("m=c,seed=1", OUTPUT_OUTCOME, "{\"state\":\"done\",\"steps\":1,\"hash\":\"0000000000000009\"}");
    // Finished without a finite loss.
    put("m=c,seed=2", OUTPUT_CONFIG, "{}");
    put("m=c,seed=2", OUTPUT_LOG, STEP(1, "null", "01"));
    put("m=c,seed=2", OUTPUT_OUTCOME, "{\"state\":\"done\",\"steps\":1,\"hash\":\"0000000000000001\"}");

    struct sweep s;
    CHECK_SAY(sweep_open(&s, path, NULL, 0, NULL, 0, &e) == 0, "%s", e.text);
    static const enum sweep_state states[] = {SWEEP_DONE, SWEEP_BEGUN, SWEEP_BEGUN, SWEEP_BEGUN, SWEEP_FAILED, SWEEP_WAITING};
    for (size_t i = 0; i < 6; i++) {
        CHECK_SAY(s.runs[i].state == states[i], "%s is %s", s.grid.runs[i].name, sweep_state_name(s.runs[i].state));
        CHECK(s.runs[i].finished == (i == 0 || i == 4));
    }
    CHECK(s.runs[0].steps == 2 && s.runs[0].seconds == 0.5 && s.runs[0].loss == 1.5 && s.runs[1].steps == 1);
    CHECK(s.runs[4].why && strstr(s.runs[4].why, "diverged"));
    CHECK(s.runs[5].config.seed == 3 && s.runs[5].config.settings.dropout == 0.5 && s.runs[0].config.settings.dropout == 0);
    char *want = mem_format("%s/out/m=c,seed=3", folder);
    CHECK_STRING(s.runs[5].config.output_dir, want);
    free(want);

    struct text csv = {0};
    sweep_csv(&csv, &s);
    CHECK_STRING(csv.data, "run,m,seed,state,step,stage,x_loss,x_score,y_loss,y_score,train_loss,seconds,steps,hash,asked\n"
        "\"m=a-b,seed=1\",\"a, \"\"b\"\"\",1,done,0,a,3,,,,1.5,0.5,2,0000000000000002,true\n"
        "\"m=a-b,seed=1\",\"a, \"\"b\"\"\",1,done,2,a,1,0.25,,,1.5,0.5,2,0000000000000002,true\n"
        "\"m=a-b,seed=2\",\"a, \"\"b\"\"\",2,begun,,,,,,,2.5,0.25,1,0000000000000001,true\n"
        "\"m=a-b,seed=3\",\"a, \"\"b\"\"\",3,begun,,,,,,,2.5,0.25,1,0000000000000001,true\n"
        "\"m=c,seed=1\",c,1,begun,,,,,,,2.5,0.25,1,0000000000000001,true\n"
        "\"m=c,seed=2\",c,2,failed,,,,,,,,0.25,1,0000000000000001,true\n"
        "\"m=c,seed=3\",c,3,waiting,,,,,,,,0,0,,true\n");
    text_free(&csv);
    struct text table = {0};
    sweep_table(&table, &s);
    CHECK(strstr(table.data, "m       seed  state    steps  train loss  x loss  score  y loss\n"
                             "a, \"b\"  1     done     2      1.5000      1.0000  25.0%  -\n") == table.data);
    text_free(&table);
    cJSON *json = sweep_json(&s);
    check_json(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "runs"), 0),
        "{\"name\":\"m=a-b,seed=1\",\"axes\":{\"m\":\"a, \\\"b\\\"\",\"seed\":1},\"asked\":true,\"state\":\"done\",\"seconds\":0.5,\"steps\":2,\"loss\":1.5,"
        "\"hash\":\"0000000000000002\",\"evaluations\":[{\"step\":0,\"stage\":\"a\",\"eval\":{\"x\":{\"loss\":3}}},"
        "{\"step\":2,\"stage\":\"a\",\"eval\":{\"x\":{\"loss\":1,\"score\":0.25},\"y\":{\"loss\":null}}}]}");
    check_json(cJSON_GetObjectItem(json, "axes"), "[\"m\",\"seed\"]");
    cJSON_Delete(json);

    // What failed is remembered until it is tried again; a run that is done is not.
    s.runs[5].state = s.runs[0].state = SWEEP_FAILED;
    s.runs[5].why = mem_string("a full disk");
    s.runs[0].why = mem_string("nothing");
    CHECK_SAY(sweep_write_results(&s, &e) == 0 && sweep_write_grid(&s, &e) == 0, "%s", e.text);
    sweep_close(&s);
    CHECK(sweep_open(&s, path, NULL, 0, NULL, 0, &e) == 0);
    CHECK(s.runs[5].state == SWEEP_FAILED && s.runs[0].state == SWEEP_DONE && !s.runs[0].why);
    CHECK_STRING(s.runs[5].why, "a full disk");
    sweep_close(&s);
    put("m=c,seed=3", OUTPUT_CONFIG, "{}"); // begun again since
    put("m=c,seed=3", OUTPUT_LOG, STEP(1, "2.5", "01"));
    CHECK(sweep_open(&s, path, NULL, 0, NULL, 0, &e) == 0 && s.runs[5].state == SWEEP_BEGUN && !s.runs[5].why);
    sweep_close(&s);
    char *again = mem_format("%s/out/m=c,seed=3", folder);
    CHECK(folder_remove(again, &e) == 0);
    free(again);

    // Another grid in the same folder: the runs of the one before stay in its results, with their axes, after its own; a
    // folder that is no run is none.
    static const char *const third[] = {"seed=3", "dropout=0.5"};
    static const char *const fourth[] = {"sweep=null"};
    put("m=a-b,seed=2", OUTPUT_LOG, STEP(1, "2.5", "01") "{\"step\":2}\n");
    put("notes", "a.txt", "");
    put("by hand", OUTPUT_LOG, EVAL(0, "\"p,q\":{\"loss\":4}"));
    CHECK_SAY(sweep_open(&s, path, fourth, 1, third, 2, &e) == 0 && sweep_find_earlier(&s, &e) == 0, "%s", e.text);
    CHECK(s.grid.count == 1 && s.earlier_count == 6);
    sweep_csv(&csv, &s);
    CHECK_STRING(csv.data, "run,seed,dropout,m,state,step,stage,\"p,q_loss\",\"p,q_score\",x_loss,x_score,y_loss,y_score,train_loss,seconds,steps,hash,asked\n"
        "\"seed=3,dropout=0.5\",3,0.5,,waiting,,,,,,,,,,0,0,,true\n"
        "by hand,,,,begun,0,a,4,,,,,,,0,0,,false\n"
        "\"m=a-b,seed=1\",1,,\"a, \"\"b\"\"\",done,0,a,,,3,,,,1.5,0.5,2,0000000000000002,false\n"
        "\"m=a-b,seed=1\",1,,\"a, \"\"b\"\"\",done,2,a,,,1,0.25,,,1.5,0.5,2,0000000000000002,false\n"
        "\"m=a-b,seed=2\",2,,\"a, \"\"b\"\"\",failed,,,,,,,,,2.5,0.25,1,0000000000000001,false\n"
        "\"m=a-b,seed=3\",3,,\"a, \"\"b\"\"\",begun,,,,,,,,,2.5,0.25,1,0000000000000001,false\n"
        "\"m=c,seed=1\",1,,c,begun,,,,,,,,,2.5,0.25,1,0000000000000001,false\n"
        "\"m=c,seed=2\",2,,c,failed,,,,,,,,,,0.25,1,0000000000000001,false\n");
    text_free(&csv);
    CHECK(s.earlier[2].run.why && strstr(s.earlier[2].run.why, "log.jsonl:2: is no line"));
    CHECK_SAY(sweep_write_results(&s, &e) == 0 && sweep_write_grid(&s, &e) == 0, "%s", e.text);
    sweep_close(&s);
    CHECK(sweep_open(&s, path, fourth, 1, third, 1, &e) == 0 && sweep_find_earlier(&s, &e) == 0); // a third grid forgets none
    CHECK(s.earlier_count == 6);
    check_json(s.earlier[1].axes, "{\"m\":\"a, \\\"b\\\"\",\"seed\":1}");
    sweep_close(&s);

    char *grid = mem_format("%s/out/sweep.json", folder);
    CHECK(file_write_atomic(grid, "{\"runs\":", 8, &e) == 0 && sweep_open(&s, path, fourth, 1, third, 1, &e) == 0);
    CHECK(sweep_find_earlier(&s, &e) == -1);
    CHECK_ERROR(e, "out/sweep.json:1:9: expected a value");
    CHECK_ERROR(e, "move it away");
    sweep_close(&s);
    CHECK(unlink(grid) == 0);
    free(grid);

    // A log that was changed is not read as if it had not been.
    put("m=a-b,seed=2", OUTPUT_LOG, STEP(1, "2.5", "01") "{\"step\":2}\n");
    CHECK(sweep_open(&s, path, NULL, 0, NULL, 0, &e) == -1);
    CHECK_ERROR(e, "seed=2/log.jsonl:2: is no line of a step or an evaluation");
    put("m=a-b,seed=2", OUTPUT_LOG, STEP(1, "2.5", "01"));

    // Its model taken away: neither done nor to be made again without a word.
    char *model = mem_format("%s/out/m=a-b,seed=1/model.safetensors", folder);
    CHECK(unlink(model) == 0 && sweep_open(&s, path, NULL, 0, NULL, 0, &e) == 0);
    CHECK(s.runs[0].state == SWEEP_LOST && s.runs[0].finished);
    sweep_close(&s);
    free(model);

    static const char *const wrong[][2] = {{"learning_rat=1,2", "did you mean \"learning_rate\"?"}, {"dropout=0,2", "run dropout=2"},
        {"optim=adamw,adam", "did you mean \"adamw\"?"}};
    static const char *const sets[] = {"sweep=null"};
    for (size_t i = 0; i < 3; i++) {
        CHECK(sweep_open(&s, path, sets, 1, &wrong[i][0], 1, &e) == -1);
        CHECK_ERROR(e, wrong[i][1]);
    }
    CHECK(sweep_open(&s, path, sets, 1, NULL, 0, &e) == -1);
    CHECK_ERROR(e, "holds no \"sweep\"");
    struct config c;
    CHECK(config_read(&c, path, NULL, 0, &e) == -1);
    CHECK_ERROR(e, "pumice sweep");
    CHECK(config_read(&c, path, sets, 1, &e) == 0);
    config_free(&c);
    free(path);
}

// No two columns of one name.
static void test_columns(void)
{
    static const char config[] = "{\"init\": {\"tokenizer\": \"bytes\"}, \"output_dir\": \"out/columns\", \"strategy\": \"multi_task\","
                                 " \"sources\": {\"rows\": \"rows.jsonl\"}, \"sweep\": {\"state\": {\"a\": {}}, \"seed\": [1]}}";
    static const char head[] = "run,axis_state,seed,state,step,stage,eval_train_loss,eval_train_score,x_loss,x_score,train_loss,seconds,steps,hash,asked\n";
    char *path = path_join(folder, "columns.json");
    struct sweep s;
    struct text csv = {0};
    CHECK(file_write_atomic(path, config, strlen(config), &e) == 0);
    put("columns/state=a,seed=1", OUTPUT_CONFIG, "{}");
    put("columns/state=a,seed=1", OUTPUT_LOG, STEP(1, "2.5", "01") EVAL(1, "\"train\":{\"loss\":2},\"x\":{\"loss\":3}"));
    CHECK_SAY(sweep_open(&s, path, NULL, 0, NULL, 0, &e) == 0, "%s", e.text);
    sweep_csv(&csv, &s);
    CHECK_SAY(strncmp(csv.data, head, strlen(head)) == 0, "%s", csv.data);
    text_free(&csv);
    sweep_close(&s);
    free(path);
}

// Time left, by the measure of the run that is going on and of those before it.
static void test_time_left(void)
{
    struct sweep_progress p = {.now = 100, .later = 300};
    CHECK(isnan(sweep_time_left(&p, 5, 0.01, NAN)));
    CHECK(sweep_time_left(&p, 4, 0.1, 46) == 46 + 3 * 50); // this run takes 50 seconds for 100
    p.from = 0.5; // it was begun by another process: 25 seconds for 50
    CHECK(sweep_time_left(&p, 5, 0.6, 20) == 20 + 6 * 25);
    p = (struct sweep_progress){.work = 200, .seconds = 20, .now = 100, .later = 300};
    CHECK(sweep_time_left(&p, 0, 0, NAN) == 10 + 30);
    CHECK(sweep_time_left(&p, 1, 0.1, 39) == 39 + 300 * 60.0 / 300);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    test_product();
    test_variants();
    test_extra();
    test_picked();
    test_long_names();
    test_refused();
    test_apply();
    test_results();
    test_columns();
    test_time_left();
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
