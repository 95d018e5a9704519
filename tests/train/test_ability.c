// SPDX-License-Identifier: MIT
//
// Scores: a tiny model is trained on a few answers by heart; before it knows none of them, afterwards all, by every
// metric; rows that cannot be scored; what ends an answer.
#include "formats/json_file.h"
#include "test.h"
#include "train/ability.h"

#include <unistd.h>

static const char config_text[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, "
    "\"num_hidden_layers\": 2,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 96, \"vocab_size\": 260,"
    "\"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": true, \"initializer_range\": "
    "0.1}";

static struct bundle bundle;
static struct gpu *gpu;
static char folder[] = "/tmp/pumice-test-XXXXXX";

static void bundle_make(void)
{
    struct error e = {0};
    cJSON *json = json_read_text("config", config_text, strlen(config_text), &e);
    bundle.tokenizer = tokenizer_open_bytes();
    if (!json || model_open_init(&bundle.model, json, "config", &e) ||
        template_open_name(&bundle.template, "chatml", bundle.tokenizer, &e)) {
        printf("%s\n", e.text);
        exit(1);
    }
    cJSON_Delete(json);
}

static void load(struct source *s, const char *lines, uint32_t max_length)
{
    struct error e = {0};
    char *path = mem_format("%s/rows.jsonl", folder);
    const char *const paths[] = {path};
    CHECK(file_write_atomic(path, lines, strlen(lines), &e) == 0);
    const struct source_options o = {.name = "rows",
        .paths = paths,
        .path_count = 1,
        .template = &bundle.template,
        .max_length = max_length,
        .keep_rows = true};
    CHECK_SAY(source_load(s, &o, bundle.tokenizer, &e) == 0, "%s", e.text);
    free(path);
}

#define ROW(user, assistant, more)                                                                                     \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"" user                                                        \
    "\"}, {\"role\": \"assistant\", \"content\": \"" assistant "\"}]" more "}\n"

static const char known[] = ROW("a?", "x #### 12", ", \"answer\": \"12\", \"choices\": [\"x #### 12\", \"x #### 13\"]")
    ROW("b?", "y #### 7", ", \"choices\": [\"z #### 7\", \"y #### 7\", \"y\"]")
        ROW("c?", "z #### 3.5", ", \"answer\": \"3.50\", \"choices\": [\"no\", \"z #### 3.5\"]")
            ROW("d?", "w #### 1,000", ", \"answer\": 1000, \"choices\": [\"w #### 1,000\", \"y #### 7\"]");

static struct ability_score score(
    struct session *s, const struct source *rows, enum config_metric metric, uint32_t want_rows, double chance)
{
    struct error e = {0};
    struct ability a;
    struct ability_score out = {0};
    struct ability_options o = {.metric = metric, .max_new_tokens = 16, .max_length = 128};
    int status = ability_make(&a, rows, &bundle, &o, &e);
    CHECK_SAY(status == 0, "%s", e.text);
    if (status) return out;
    CHECK(a.rows == want_rows && a.rows + a.skipped == rows->count && fabs(a.chance - chance) < 1e-12);
    bool passes = metric == METRIC_EXACT || metric == METRIC_CHOICE || metric == METRIC_RANK || metric == METRIC_TRUE_FALSE;
    bool answers = !passes || metric == METRIC_TRUE_FALSE;
    CHECK((a.longest > 0) == passes && (a.capacity > 0) == answers && a.longest <= 128 && a.capacity <= 144);
    ability_run(&a, s, session_generator(s), NULL, NULL, &out);
    CHECK(out.rows == want_rows && out.score == (double)out.correct / out.rows);
    ability_free(&a);
    return out;
}

static void test_scores(void)
{
    struct error e = {0};
    struct source rows;
    load(&rows, known, 128);
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 128,
        .positions = 128,
        .optimizer = OPTIMIZER_ADAMW,
        .generation = generation_choose(&bundle.model, &limits, STORAGE_F32, 144, 3)};
    struct blueprint b;
    int status = blueprint_make(&b, &bundle.model, &limits, &o, &e);
    CHECK_SAY(status == 0, "%s", e.text);
    struct session *s = session_open(&b, &bundle.model, gpu, &e);
    CHECK_SAY(s && model_load(&bundle.model, session_engine(s), 3, &e) == 0, "%s", e.text);
    static const enum config_metric metrics[] = {METRIC_EXACT, METRIC_NUMERIC, METRIC_CONTAINS};
    for (int i = 0; i < 3; i++) CHECK(score(s, &rows, metrics[i], 4, 0).correct == 0);
    struct pack_item items[4];
    for (size_t i = 0; i < 4; i++)
        items[i] = (struct pack_item){rows.rows[i].ids, rows.rows[i].mask, rows.rows[i].tokens, 0};
    struct step_outcome out = {.loss = 9};
    for (uint64_t step = 1; step <= 150 && out.loss > 0.02f; step++) {
        struct source_sum sum = {0};
        struct step_settings settings = {.optimizer = OPTIMIZER_ADAMW,
            .learning_rate = 5e-3,
            .beta1 = 0.9,
            .beta2 = 0.99,
            .epsilon = 1e-8,
            .max_norm = 1,
            .update = step,
            .packing = true};
        session_step(s, items, 4, &settings, &out, &sum);
    }
    CHECK_SAY(out.loss <= 0.02f, "loss %g", (double)out.loss);
    CHECK(score(s, &rows, METRIC_EXACT, 4, 0).correct == 4);
    CHECK(score(s, &rows, METRIC_NUMERIC, 4, 0).correct == 4);
    // "12" and "y #### 7" are said; "3.50" and "1000" are not.
    CHECK(score(s, &rows, METRIC_CONTAINS, 4, 0).correct == 2);
    CHECK(score(s, &rows, METRIC_CHOICE, 4, (0.5 + 1 / 3.0 + 0.5 + 0.5) / 4).correct == 4);
    CHECK(score(s, &rows, METRIC_RANK, 4, (0.5 + 1 / 3.0 + 0.5 + 0.5) / 4).correct == 4);
    source_free(&rows);

    // The same questions with other answers: wrong, each on its own.
    load(&rows,
        ROW("a?", "x #### 13", ", \"answer\": \"x #### 13\", \"choices\": [\"x #### 12\", \"x #### 13\"]")
            ROW("b?", "y #### 7", ", \"answer\": \"B\", \"choices\": [\"z #### 7\", \"y #### 7\", \"y\"]")
                ROW("c?", "z #### 3.5", ", \"answer\": 0, \"choices\": [\"no\", \"z #### 3.5\"]")
                    ROW("a?", "x #### 12", ", \"choices\": [\"no\", \"never\"]"),
        128);
    CHECK(score(s, &rows, METRIC_EXACT, 4, 0).correct == 3);
    CHECK(score(s, &rows, METRIC_CHOICE, 3, (0.5 + 1 / 3.0 + 0.5) / 3).correct == 1);
    CHECK(score(s, &rows, METRIC_RANK, 4, (0.5 + 1 / 3.0 + 0.5 + 1 / 3.0) / 4).correct == 2);
    source_free(&rows);

    // Only the last turn is compared: an unknown one before it does not matter. A prompt alone has an answer beside it.
    load(&rows,
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"unheard "
        "of\", \"train\": true},"
        "{\"role\": \"user\", \"content\": \"a?\"}, {\"role\": \"assistant\", \"content\": \"\"}]}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a?\"}], \"answer\": 12}\n"
        "{\"prompt\": \"b?\", \"completion\": \"8\"}\n",
        128);
    CHECK(score(s, &rows, METRIC_NUMERIC, 2, 0).correct == 1);
    source_free(&rows);

    // A list of answers: one of them is enough.
    load(&rows,
        "{\"prompt\": \"a?\", \"answer\": [\"twelve\", \"# 12\"]}\n"
        "{\"prompt\": \"a?\", \"answer\": [\"twelve\", \"13\"]}\n"
        "{\"prompt\": \"a?\", \"answer\": [\"x\", \"13\"]}\n",
        128);
    CHECK(score(s, &rows, METRIC_CONTAINS, 3, 0).correct == 2);
    source_free(&rows);

    // Blanks: what is said up to marks and case.
    load(&rows,
        ROW("a?", "X 12.", "") ROW("b?", "y 7", "") ROW("c?", "?", ", \"answer\": \"z #### 3.5\"")
            ROW("d?", "w", ", \"answer\": \"#\""),
        128);
    CHECK(score(s, &rows, METRIC_CLOZE, 4, 0).correct == 1); // "z #### 3.5"
    source_free(&rows);
    session_close(s);
    blueprint_free(&b);
}

// Which candidate is right, and what is no answer to such choices.
static void test_candidates(void)
{
#define TWO ", \"choices\": [\"red\", \"blue\"]"
    static const struct {
        const char *row;
        uint32_t candidates, right; // of rank
        bool choice;                // choice finds the same one
        const char *why;            // of both metrics
    } cases[] = {
        {ROW("a?", "red", TWO), 2, 0, true, NULL},
        {ROW("a?", "blue", TWO), 2, 1, true, NULL},
        {ROW("a?", "B", TWO), 2, 1, true, NULL}, // a place as a turn too
        {ROW("a?", "B", ", \"answer\": \"red\"" TWO), 2, 0, true, NULL},
        {ROW("a?", "red", ", \"answer\": \"B\"" TWO), 2, 1, true, NULL},
        {ROW("a?", "red", ", \"answer\": 1" TWO), 2, 1, true, NULL},
        {ROW("a?", "red", ", \"answer\": 12" TWO), 2, 0, true, NULL}, // for numeric, say
        {ROW("a?", "green", TWO), 3, 2, false, NULL},
        {ROW("a?", "x", ", \"answer\": \"green\"" TWO), 3, 2, false, NULL},
        {ROW("a?", "x", ", \"answer\": \"C\"" TWO), 0, 0, false, "its answer is C, but it has only 2 choices"},
        {ROW("a?", "x", ", \"answer\": 2" TWO), 0, 0, false, "its answer is 2, but it has only 2 choices"},
        {ROW("a?", "x", ", \"answer\": -1" TWO), 0, 0, false, "its answer is -1, but it has only 2 choices"},
        {ROW("a?", "C", TWO), 0, 0, false, "its answer is C, but it has only 2 choices"},
        {ROW("a?", "7", ", \"choices\": [\"5\", \"6\"]"), 3, 2, false, NULL}, // numbers among numbers are texts
        {ROW("a?", "1", ", \"choices\": [\"1\", \"0\"]"), 2, 0, true, NULL},
        {ROW("a?", "1", ", \"choices\": [\"0\", \"2\"]"), 3, 2, false, NULL},
        {ROW("a?", "x", ", \"answer\": 1, \"choices\": [\"0\", \"2\"]"), 2, 1, true, NULL},
        {ROW("a?", "B", ", \"choices\": [\"A\", \"C\"]"), 3, 2, false, NULL},
        {ROW("a?", "2.5", TWO), 3, 2, false, NULL},
        {ROW("a?", "red", ", \"answer\": {\"a\": 1}" TWO), 0, 0, false, "its \"answer\" is or holds an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int rank = 0; rank < 2; rank++) {
            struct error e = {0};
            struct source rows;
            struct ability a;
            load(&rows, cases[i].row, 128);
            int status = ability_make(&a, &rows, &bundle,
                &(struct ability_options){rank ? METRIC_RANK : METRIC_CHOICE, 16, 128, NULL}, &e);
            if (cases[i].why) {
                CHECK(status == -1);
                CHECK_ERROR(e, cases[i].why);
            } else {
                CHECK_SAY(status == (rank || cases[i].choice ? 0 : -1), "%s: %s", cases[i].row, e.text);
                CHECK_SAY(status || (a.item_count == cases[i].candidates && a.right[0] == cases[i].right),
                    "%s: candidate %u of %u", cases[i].row, a.right[0], a.item_count);
            }
            if (status == 0) ability_free(&a);
            source_free(&rows);
        }
}

#define VERDICTS                                                                                                       \
    ROW("sky", "true", "") ROW("sea", "No.", "") ROW("sun", "It is not wrong", "") ROW("fog", "dunno", ", \"answer\": \"F\"")

// True and false: as the answer says; where it says nothing, the more probable word.
static void test_true_false(void)
{
    struct error e = {0};
    struct source rows;
    load(&rows, VERDICTS, 128);
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 256,
        .positions = 128,
        .optimizer = OPTIMIZER_ADAMW,
        .generation = generation_choose(&bundle.model, &limits, STORAGE_F32, 144, 4)};
    struct blueprint b;
    CHECK_SAY(blueprint_make(&b, &bundle.model, &limits, &o, &e) == 0, "%s", e.text);
    struct session *s = session_open(&b, &bundle.model, gpu, &e);
    CHECK_SAY(s && model_load(&bundle.model, session_engine(s), 3, &e) == 0, "%s", e.text);
    // The pairs of words follow the reference; its verdict is the first or the second of them.
    struct ability a;
    CHECK(ability_make(&a, &rows, &bundle, &(struct ability_options){METRIC_TRUE_FALSE, 16, 128, NULL}, &e) == 0);
    static const uint32_t right[4] = {0, 1, 0, 1};
    static const char *const words[8] = {"true", "false", "Yes", "No", "right", "wrong", "T", "F"};
    CHECK(a.rows == 4 && a.item_count == 8 && memcmp(a.right, right, sizeof right) == 0 && a.chance == 0.5);
    for (uint32_t i = 0; i < 8; i++) {
        struct text text = {0};
        for (uint32_t t = 0; t < a.items[i].tokens; t++)
            if (a.items[i].mask[t] && a.items[i].ids[t] < 256)
                tokenizer_decode(bundle.tokenizer, &text, &a.items[i].ids[t], 1, false);
        CHECK_STRING(text.data, words[i]);
        text_free(&text);
    }
    ability_free(&a);
    // A boolean is the word, whatever the turn says.
    struct source booleans;
    load(&booleans, ROW("a?", "No", ", \"answer\": true") ROW("b?", "Yes", ", \"answer\": false"), 128);
    CHECK(ability_make(&a, &booleans, &bundle, &(struct ability_options){METRIC_TRUE_FALSE, 16, 128, NULL}, &e) == 0);
    CHECK(a.rows == 2 && a.right[0] == 0 && a.right[1] == 1);
    ability_free(&a);
    source_free(&booleans);
    // Trained by heart: the fourth row's answer says nothing, so that the words decide, whichever they favour.
    struct pack_item items[4];
    for (size_t i = 0; i < 4; i++)
        items[i] = (struct pack_item){rows.rows[i].ids, rows.rows[i].mask, rows.rows[i].tokens, 0};
    struct step_outcome out = {.loss = 9};
    for (uint64_t step = 1; step <= 150 && out.loss > 0.02f; step++) {
        struct source_sum sum = {0};
        struct step_settings settings = {.optimizer = OPTIMIZER_ADAMW,
            .learning_rate = 5e-3,
            .beta1 = 0.9,
            .beta2 = 0.99,
            .epsilon = 1e-8,
            .max_norm = 1,
            .update = step,
            .packing = true};
        session_step(s, items, 4, &settings, &out, &sum);
    }
    CHECK_SAY(out.loss <= 0.02f, "loss %g", (double)out.loss);
    uint32_t one = score(s, &rows, METRIC_TRUE_FALSE, 4, 0.5).correct;
    source_free(&rows);
    // The same rows with the opposite references: each is right here that was wrong there.
    load(&rows,
        ROW("sky", "false", "") ROW("sea", "Yes", "") ROW("sun", "wrong", "") ROW("fog", "dunno", ", \"answer\": \"T\""),
        128);
    uint32_t other = score(s, &rows, METRIC_TRUE_FALSE, 4, 0.5).correct;
    CHECK_SAY(one >= 3 && one + other == 4, "%u and %u", one, other);
    source_free(&rows);
    session_close(s);
    blueprint_free(&b);
}

// The tokens that count of the last candidate.
static void check_mask(
    const char *line, enum config_metric metric, uint32_t candidates, uint32_t right, const char *want)
{
    struct error e = {0};
    struct source rows;
    struct ability a;
    load(&rows, line, 0);
    CHECK(ability_make(&a, &rows, &bundle, &(struct ability_options){.metric = metric}, &e) == 0);
    CHECK(a.rows == 1 && a.item_count == candidates && a.first[1] == candidates && a.right[0] == right);
    const struct pack_item *item = &a.items[a.item_count - 1];
    struct text text = {0};
    for (uint32_t t = 0; t < item->tokens; t++)
        if (item->mask[t]) tokenizer_decode(bundle.tokenizer, &text, &item->ids[t], 1, false);
    CHECK_STRING(text.data, want);
    text_free(&text);
    ability_free(&a);
    source_free(&rows);
}

#define TWO_TURNS(more)                                                                                                \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"one\"},"       \
    "{\"role\": \"user\", \"content\": \"r\"}, {\"role\": \"assistant\", \"content\": \"no\"}]" more "}\n"

static void test_masks(void)
{
    check_mask(TWO_TURNS(""), METRIC_EXACT, 1, 0, "no<|im_end|>");
    check_mask(TWO_TURNS(", \"choices\": [\"y\", \"no\"]"), METRIC_CHOICE, 2, 1, "no<|im_end|>");
    check_mask(TWO_TURNS(", \"choices\": [\"y\", \"no\"]"), METRIC_RANK, 2, 1, "no<|im_end|>");
    check_mask(TWO_TURNS(", \"choices\": [\"y\", \"n\"], \"answer\": \"B\""), METRIC_CHOICE, 2, 1, "n");
    check_mask(TWO_TURNS(", \"choices\": [\"y\", \"n\"], \"answer\": 0"), METRIC_RANK, 2, 0, "n<|im_end|>");
    check_mask(TWO_TURNS(", \"choices\": [\"A\", \"0\"], \"answer\": 0"), METRIC_CHOICE, 2, 1, "0");
    check_mask(TWO_TURNS(", \"choices\": [\"y\", \"z\"]"), METRIC_RANK, 3, 2, "no<|im_end|>");
    check_mask("{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"choices\": [\"y\", \" z \"]}\n",
        METRIC_RANK, 2, 0, " z <|im_end|>");
}

static void test_skipped(void)
{
    static const struct {
        const char *line;
        enum config_metric metric;
        const char *why;
    } cases[] = {
        {ROW("a?", "x", ""), METRIC_NUMERIC, "rows.jsonl:1: there is no number in its answer"},
        {ROW("a?", " ", ", \"answer\": \"\""), METRIC_CONTAINS, "its answer is empty"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", METRIC_CONTAINS, "neither an \"answer\" nor"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", METRIC_EXACT, "nothing in it is trained"},
        {"{\"text\": \"some text\"}\n", METRIC_NUMERIC, "no prompt in it"},
        {"{\"text\": \"some text\"}\n", METRIC_CHOICE, "no messages with \"choices\""},
        {ROW("a?", "x", ""), METRIC_RANK, "no messages with \"choices\""},
        {ROW("a?", "x", ", \"choices\": [\"y\", \"z\"]"), METRIC_CHOICE, "which of its choices is right"},
        {ROW("a?", "x", ", \"choices\": [\"x\"]"), METRIC_CHOICE, "only one choice"},
        {ROW("a?", "...", ""), METRIC_CLOZE, "there is no word in its answer"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", METRIC_CLOZE, "neither an \"answer\" nor"},
        {ROW("a?", "12", ""), METRIC_TRUE_FALSE, "its answer says neither true nor false"},
        {ROW("a?", "true or false", ""), METRIC_TRUE_FALSE, "its answer says neither true nor false"},
        {"{\"text\": \"true\"}\n", METRIC_TRUE_FALSE, "no prompt in it"},
        {ROW("a long question?", "1 and", ""), METRIC_NUMERIC, "max_length is 30"},
        {ROW("a long question?", "x", ", \"choices\": [\"x\", \"z\"]"), METRIC_RANK, "longer than max_length"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        struct source rows;
        struct ability a;
        load(&rows, cases[i].line, 0);
        CHECK(ability_make(&a, &rows, &bundle, &(struct ability_options){.metric = cases[i].metric, .max_length = 30},
                  &e) == -1);
        CHECK_ERROR(e, "rows: its only row cannot be scored: ");
        CHECK_ERROR(e, cases[i].why);
        source_free(&rows);
    }
    // A row that was shortened has lost its answer.
    struct error e = {0};
    struct source rows;
    struct ability a;
    load(&rows, ROW("q?", "a very long answer to it", "") ROW("q?", "a", ""), 40);
    CHECK(ability_make(&a, &rows, &bundle, &(struct ability_options){.metric = METRIC_EXACT}, &e) == 0);
    CHECK(a.rows == 1 && a.skipped == 1 && strstr(a.problem, "rows.jsonl:1: it is longer than max_length"));
    ability_free(&a);
    source_free(&rows);
}

static void test_stops(void)
{
    static const struct {
        const char *name;
        size_t ids;
        const char *text; // NULL: none
        uint32_t closing;
    } cases[] = {{"chatml", 1, NULL, 1}, {"vicuna_v1.1", 1, "</s>", 4}, {"tulu", 1, NULL, 1},
        {"gemma", 1, "<end_of_turn>", 13}, {"none", 1, NULL, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        struct template t;
        struct stops s;
        CHECK(template_open_name(&t, cases[i].name, bundle.tokenizer, &e) == 0);
        CHECK(stops_make(&s, &bundle, &t, &e) == 0);
        CHECK_SAY(
            s.id_count == cases[i].ids && s.ids[0] == 258, "%s: %zu ids", cases[i].name, s.id_count); // <|im_end|>
        CHECK_SAY(s.text_count == (cases[i].text != NULL), "%s: %zu texts", cases[i].name, s.text_count);
        if (s.text_count == 1 && cases[i].text) CHECK_STRING(s.texts[0], cases[i].text);
        CHECK_SAY(s.closing == cases[i].closing, "%s: %u", cases[i].name, s.closing);
        stops_free(&s);
        template_close(&t);
    }
    // config.json and generation_config.json, as numbers and lists.
    struct error e = {0};
    struct stops s;
    static const char list[] = "{\"eos_token_id\": [5, 258, 6]}", number[] = "{\"eos_token_id\": 7}";
    char *path = mem_format("%s/generation_config.json", folder);
    CHECK(file_write_atomic(path, list, strlen(list), &e) == 0);
    bundle.model.path = folder;
    bundle.model.json = json_read_text("c", number, strlen(number), &e);
    CHECK(stops_make(&s, &bundle, &bundle.template, &e) == 0 && s.id_count == 4);
    CHECK(stops_at(&s, 258) && stops_at(&s, 5) && stops_at(&s, 6) && stops_at(&s, 7) && !stops_at(&s, 8));
    stops_free(&s);
    CHECK(file_write_atomic(path, "{\"eos", 5, &e) == 0);
    CHECK(stops_make(&s, &bundle, &bundle.template, &e) == -1);
    CHECK_ERROR(e, "generation_config.json");
    CHECK(stops_before(&s, "abc", 3) == 3);
    cJSON_Delete(bundle.model.json);
    bundle.model.json = NULL;
    bundle.model.path = NULL;
    free(path);
}

int main(void)
{
    char text[1024];
    struct error e = {0};
    if (!mkdtemp(folder)) return 1;
    bundle_make();
    test_stops();
    test_masks();
    test_skipped();
    test_candidates();
    gpu = gpu_open(&(struct gpu_options){.validate = true}, text, sizeof text);
    if (!gpu) return printf("%s\n", text), 1;
    test_scores();
    test_true_false();
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    bundle_close(&bundle);
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
