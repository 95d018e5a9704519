// SPDX-License-Identifier: MIT
#include "test.h"
#include "train/config.h"

#include <cjson/cJSON.h>
#include <unistd.h>

#define START "\"model_name_or_path\": \"/m.gguf\", \"output_dir\": \"/run\""
#define SOURCES                                                                                                        \
    "\"sources\": {\"math\": {\"path\": \"/m.jsonl\"}, \"code\": \"/c.jsonl\", \"general\": [\"/g.jsonl\", "           \
    "\"/h.json\"]}"
#define LISTS "\"specialized\": [\"code\", \"math\"], \"general\": [\"general\"]"
#define RUN START ", " SOURCES ", \"strategy\": \"multi_task\""
#define STAGES START ", " SOURCES ", \"stages\": "

static int read_keys(struct config *c, const char *keys, const char *const *sets, struct error *e)
{
    size_t count = 0;
    while (sets && sets[count]) count++;
    char *text = mem_format("{%s}", keys);
    *e = (struct error){0};
    int status = config_read_text(c, text, strlen(text), "/some/where/x.json", sets, count, e);
    free(text);
    return status;
}

static struct config config_of(const char *keys, const char *const *sets)
{
    struct config c;
    struct error e;
    if (read_keys(&c, keys, sets, &e)) printf("%s\n", e.text), exit(1);
    return c;
}

// What is wrong in each, all of it after "/some/where/x.json: ".
static const struct {
    const char *keys, *error;
} wrong[] = {
    // unknown keys, and what was meant
    {RUN ", \"learning_rat\": 1", "learning_rat: is no key that exists; did you mean \"learning_rate\"?"},
    {RUN ", \"xyzzy\": 1", "xyzzy: is no key that exists"},
    {RUN ", \"gradient_accumulation_steps\": 4", "gradient_accumulation_steps: is no key that exists; its work is done "
                                                 "by \"train_batch_size\": micro-batches follow "
                                                 "from the memory there is"},
    {RUN ", \"lora_r\": 8", "lora_r: is no key that exists; its work is done by \"lora_rank\""},
    {START ", \"sources\": {\"a\": {\"pat\": \"x\"}}", "sources.a.pat: is no key that exists; did you mean \"path\"?"},
    {RUN ", \"eval\": {\"a\": {\"path\": \"x\", \"metrics\": 1}}",
        "eval.a.metrics: is no key that exists; did you mean \"metric\"?"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}, \"learning_rat\": 1}]",
        "stages.0.learning_rat: is no key that exists; did you mean \"learning_rate\"?"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}}, {\"name\": \"b\", \"mix\": {\"math\": 1}, \"seed\": 1}]",
        "stages.1.seed: belongs at the top of the config; a stage has no such key of its own"},
    {RUN ", \"why\": 5", "why: is 5, but must be a text"},
    // types, values, ranges
    {RUN ", \"lr_scheduler_type\": \"cosin\"", "lr_scheduler_type: is \"cosin\", but must be one of cosine, linear, "
                                               "constant, constant_with_warmup, polynomial; did "
                                               "you mean \"cosine\"?"},
    {RUN ", \"optim\": 3", "optim: is 3, but must be one of adamw, sgd"},
    {RUN ", \"precision\": \"fp16\"",
        "precision: is \"fp16\", but must be one of f32, bf16, auto; did you mean \"bf16\"?"},
    {RUN ", \"save_dtype\": \"auto\"", "save_dtype: is \"auto\", but must be one of f32, bf16"},
    {RUN ", \"gradient_dtype\": \"fp16\"", "gradient_dtype: is \"fp16\", but must be one of f32, bf16"},
    {RUN ", \"gradient_dtype\": \"auto\"", "gradient_dtype: is \"auto\", but must be one of f32, bf16"},
    {RUN ", \"gradient_dtype\": \"bf16\", \"precision\": \"f32\"", "gradient_dtype: bf16 goes with bf16 storage, and precision is f32"},
    {RUN ", \"grad_accum_dtype\": \"bf16\"", "grad_accum_dtype: is no key that exists; its work is done by \"gradient_dtype\""},
    {RUN ", \"gradient_checkpointing\": 1", "gradient_checkpointing: is 1, but must be one of auto, true, false"},
    {RUN ", \"strict\": \"true\"", "strict: is \"true\", but must be true or false"},
    {RUN ", \"strict\": 1", "strict: is 1, but must be true or false"},
    {RUN ", \"seed\": -1", "seed: is -1, but must be a whole number from 0 to 9007199254740991"},
    {RUN ", \"seed\": 9007199254740993", "seed: is too large; it must be a whole number from 0 to 9007199254740991"},
    {RUN ", \"seed\": 1.5", "seed: is 1.5, but must be a whole number"},
    {RUN ", \"seed\": 1e17", "seed: is too large"},
    {RUN ", \"seed\": \"42\"", "seed: is \"42\", but must be a whole number"},
    {RUN ", \"train_batch_size\": 0", "train_batch_size: is 0, but must be a whole number from 1 to 16777216"},
    {RUN ", \"learning_rate\": -1e-5", "learning_rate: is -1e-05, but must be a number from 0 to 1000000"},
    {RUN ", \"learning_rate\": [1]", "learning_rate: is [1], but must be a number"},
    {RUN ", \"dropout\": 1", "dropout: is 1, but must be a number from 0 to below 1"},
    {RUN ", \"warmup_ratio\": 1.01", "warmup_ratio: is 1.01, but must be a number from 0 to 1"},
    {RUN ", \"micro_batch_tokens\": \"some\"",
        "micro_batch_tokens: is \"some\", but must be \"auto\" or a whole number from 1"},
    {RUN ", \"micro_batch_tokens\": 0", "micro_batch_tokens: is 0, but must be \"auto\" or a whole number from 1"},
    {RUN ", \"device\": true", "device: is true, but must be an index or a name"},
    {SOURCES ", \"strategy\": \"multi_task\", \"output_dir\": \"\"", "output_dir: is \"\", but must be a text"},
    {RUN ", \"lora_target\": \"q_proj\"",
        "lora_target: is \"q_proj\", but must be \"all-linear\" or a list of module names"},
    {RUN ", \"lora_target\": []", "lora_target: is [], but must be \"all-linear\" or a list of module names"},
    {RUN ", \"chat_template\": 5", "chat_template: is 5, but must be a template's name"},
    {RUN ", \"eval\": [\"x\"]", "eval: is [\"x\"], but must be an object of data to evaluate on"},
    {RUN ", \"eval\": {\"a\": {\"metric\": \"exact\"}}", "eval.a.path: is missing"},
    {RUN ", \"eval\": {\"a\": {\"path\": \"x\", \"max_new_tokens\": 0}}", "eval.a.max_new_tokens: is 0, but"},
    {RUN ", \"eval\": {\"a b\": \"x\"}", "eval: \"a b\" is no name: up to 64 letters, digits, _, - and +"},
    // sources
    {START ", \"strategy\": \"multi_task\"", "sources: is missing"},
    {START ", \"strategy\": \"multi_task\", \"sources\": {}", "sources: is missing"},
    {START ", \"sources\": [1]", "sources: is [1], but must be an object of sources"},
    {START ", \"sources\": {\"a\": 5}", "sources.a: is 5, but must be an object with a \"path\", or a path"},
    {START ", \"sources\": {\"a\": {}}", "sources.a.path: is missing"},
    {START ", \"sources\": {\"a\": {\"path\": []}}", "sources.a.path: is [], but must be a path or a list of paths"},
    {START ", \"sources\": {\"a\": [\"x\", 3]}", "sources.a: is [\"x\",3], but must be a path or a list of paths"},
    {START ", \"sources\": {\"../a\": \"x\"}", "sources: \"../a\" is no name"},
    {START ", \"sources\": {\"\": \"x\"}", "sources: \"\" is no name"},
    {START ", \"sources\": {\"why\": [\"x\"]}", "sources: \"why\" is no name"},
    {START ", \"sources\": {\"a\": {\"path\": \"x\", \"max_rows\": 0.5}}", "sources.a.max_rows: is 0.5, but"},
    // model, output
    {"\"output_dir\": \"x\", " SOURCES ", \"strategy\": \"multi_task\"",
        "model_name_or_path: is missing; or write \"init\" to train from random weights"},
    {RUN ", \"init\": {\"tokenizer\": \"t\"}", "init: stands beside \"model_name_or_path\": take one of the two away"},
    {RUN ", \"init\": \"llama\"", "init: is \"llama\", but must be an object"},
    {RUN ", \"init\": {\"hidden_size\": 8}", "init.tokenizer: is missing"},
    {RUN ", \"init\": {\"tokenizer\": 8}", "init.tokenizer: is 8, but must be a folder, a file or a hub id"},
    {"\"model_name_or_path\": \"x\", " SOURCES ", \"strategy\": \"multi_task\"", "output_dir: is missing"},
    // strategy and stages
    {START ", " SOURCES, "strategy: is missing: multi_task, sequential, mixed_sequential or dmt; or write \"stages\""},
    {RUN ", \"stages\": [{\"name\": \"a\", \"mix\": {\"math\": 1}}]", "strategy: stands beside \"stages\""},
    {START ", " SOURCES ", \"strategy\": \"stages\"",
        "strategy: is \"stages\", but must be one of multi_task, sequential, mixed_sequential, dmt"},
    {START ", " SOURCES ", \"strategy\": \"dmt\"", "specialized: is missing: the strategy wants sources there"},
    {START ", " SOURCES ", \"strategy\": \"dmt\", \"specialized\": [\"math\"]", "general: is missing"},
    {START ", " SOURCES ", \"strategy\": \"sequential\", \"specialized\": [\"maths\"], \"general\": \"general\"",
        "specialized: \"maths\" is not among the \"sources\"; did you mean \"math\"?"},
    {START ", " SOURCES ", \"strategy\": \"sequential\", \"specialized\": [\"math\"], \"general\": [\"q\"]",
        "general: \"q\" is not among the \"sources\""},
    {START ", " SOURCES ", \"strategy\": \"dmt\", \"specialized\": [\"math\", \"code\"], \"general\": [\"code\"]",
        "general: \"code\" is in \"specialized\" too"},
    {START ", " SOURCES ", \"strategy\": \"dmt\", \"specialized\": [\"math\", \"math\"], \"general\": [\"code\"]",
        "specialized: \"math\" stands there twice"},
    {START ", " SOURCES ", \"strategy\": \"sequential\", \"specialized\": [\"general\"], \"general\": [\"code\"]",
        "specialized: the strategy has a stage \"general\" already; rename that source"},
    {START ", " SOURCES ", \"strategy\": \"dmt\", \"dmt_k\": 1.5, " LISTS,
        "dmt_k: is 1.5, but must be a number from 0 to 1"},
    {START ", " SOURCES ", \"strategy\": \"dmt\", \"dmt_k\": -0.1, " LISTS,
        "dmt_k: is -0.1, but must be a number from 0 to 1"},
    {STAGES "[]", "stages: is [], but must be a list of one stage or more"},
    {STAGES "{}", "stages: is {}, but must be a list of one stage or more"},
    {STAGES "[5]", "stages.0: is 5, but must be an object"},
    {STAGES "[{\"mix\": {\"math\": 1}}]", "stages.0.name: is missing"},
    {STAGES "[{\"name\": \"a/b\", \"mix\": {\"math\": 1}}]", "stages.0.name: \"a/b\" is no name"},
    {STAGES "[{\"name\": \"a\"}]", "stages.0.mix: is missing"},
    {STAGES "[{\"name\": \"a\", \"mix\": {}}]", "stages.0.mix: is empty"},
    {STAGES "[{\"name\": \"a\", \"mix\": [\"math\"]}]", "stages.0.mix: is [\"math\"], but must be an object"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"mth\": 1}}]",
        "stages.0.mix.mth: is not among the \"sources\"; did you mean \"math\"?"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1.5}}]", "stages.0.mix.math: is 1.5, but must be a fraction from 0 "
                                                             "to 1 of the rows, a whole number of passes over them, or "
                                                             "{\"rows\": a whole number}"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": -1}}]", "stages.0.mix.math: is -1, but must be a fraction"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": \"all\"}}]",
        "stages.0.mix.math: is \"all\", but must be a fraction"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"rows\": 1.5}}}]", "stages.0.mix.math.rows: is 1.5, but must be a whole number"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"rows\": -1}}}]", "stages.0.mix.math.rows: is -1, but must be a whole number"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"rows\": 1, \"x\": 2}}}]",
        "stages.0.mix.math.x: is no amount: rows, at_most or share"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"atmost\": 2}}}]",
        "stages.0.mix.math.atmost: is no amount; did you mean \"at_most\"?"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"at_most\": 2, \"rows\": 2}}}]",
        "stages.0.mix.math.rows: stands beside \"at_most\": an amount has one of the two"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"at_most\": 0.5}}}]",
        "stages.0.mix.math.at_most: is 0.5, but must be a whole number"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"share\": 50}}, \"mix_rows\": 9}]",
        "stages.0.mix.math.share: is 50, but must be a fraction from 0 to 1 of mix_rows"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"share\": \"all\"}}, \"mix_rows\": 9}]",
        "stages.0.mix.math.share: is \"all\", but"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"share\": 0.5}}}]",
        "stages.0.mix.math: is a share of mix_rows, which the stage does not have"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 2}, \"mix_rows\": 9}]",
        "stages.0.mix.math: whole passes do not go with mix_rows"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}, \"mix_rows\": 2147483648}]",
        "stages.0.mix_rows: is 2147483648, but must be a whole number from 0 to 2147483647"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {\"why\": \"none\"}}}]",
        "stages.0.mix.math: is {\"why\":\"none\"}, but must be {\"rows\": n}, {\"at_most\": n} or {\"share\": fraction}"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": {}}}]", "stages.0.mix.math: is {}, but"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1e300}}]", "stages.0.mix.math: is 1e+300, but"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}}, {\"name\": \"a\", \"mix\": {\"math\": 1}}]",
        "stages.1.name: \"a\" is the name of stage 0 too"},
    // what does not go together
    {RUN ", \"save_strategy\": \"steps\"", "save_steps: is missing: save_strategy is steps"},
    {RUN ", \"save_steps\": 10", "save_steps: is 10, but counts only with save_strategy steps"},
    {RUN ", \"eval_strategy\": \"steps\"", "eval_steps: is missing: eval_strategy is steps"},
    {RUN ", \"eval_steps\": 10", "eval_steps: is 10, but counts only with eval_strategy steps"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}, \"eval_strategy\": \"steps\"}]",
        "stages.0.eval_steps: is missing"},
    {RUN ", \"num_train_epochs\": 0", "num_train_epochs: is 0 and so is max_steps: there is nothing to train"},
    {RUN ", \"lr_scheduler_type\": \"linear\", \"lr_end\": 1e-6",
        "lr_end: only cosine and polynomial end at a rate above 0"},
    {RUN ", \"lr_end\": 2e-5", "lr_end: is 2e-05, but must be below learning_rate, 2e-05"},
    {RUN ", \"lr_scheduler_type\": \"polynomial\", \"learning_rate\": 0",
        "lr_end: is 0, but must be below learning_rate, 0"},
    {STAGES "[{\"name\": \"a\", \"mix\": {\"math\": 1}}, {\"name\": \"b\", \"mix\": {\"math\": 1}, \"keep_optimizer\": "
            "true, "
            "\"learning_rate\": 1e-5}]",
        "stages.1.learning_rate: differs from the stage before, whose schedule this one goes on with (keep_optimizer)"},
    {RUN ", \"load_best_model_at_end\": true", "load_best_model_at_end: the last stage evaluates nothing"},
    {RUN ", \"load_best_model_at_end\": true, \"eval\": {\"a\": \"x\"}, \"save_strategy\": \"no\"",
        "load_best_model_at_end: every checkpoint needs an evaluation"},
    {RUN ", \"load_best_model_at_end\": true, \"eval\": {\"a\": \"x\"}, \"eval_strategy\": \"steps\", \"eval_steps\": "
         "4, "
         "\"save_strategy\": \"steps\", \"save_steps\": 6",
        "load_best_model_at_end: every checkpoint needs an evaluation"},
};

static void test_errors(void)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config c;
        struct error e;
        char want[700];
        snprintf(want, sizeof want, "/some/where/x.json: %s", wrong[i].error);
        CHECK_SAY(read_keys(&c, wrong[i].keys, NULL, &e) == -1, "%s", wrong[i].keys);
        CHECK_SAY(strncmp(e.text, want, strlen(want)) == 0, "got  %s\n    want %s", e.text, want);
        CHECK(c.file == NULL && c.sources == NULL);
    }
    struct config c;
    struct error e = {0};
    CHECK(config_read_text(&c, "[1]", 3, "x.json", NULL, 0, &e) == -1);
    CHECK_STRING(e.text, "x.json: should hold one object, {...}");
    CHECK(config_read_text(&c, "{\n \"seed\": 1,\n}", 15, "x.json", NULL, 0, &e) == -1);
    CHECK_ERROR(e, "x.json:3:1: ");
    CHECK(config_read_text(&c, "{\"seed\": 1, \"seed\": 2}", 22, "x.json", NULL, 0, &e) == -1);
    CHECK_ERROR(e, "x.json:1:13: ");
    CHECK(config_read(&c, "/nowhere/x.json", NULL, 0, &e) == -1);
    CHECK_ERROR(e, "/nowhere/x.json");
}

static void test_defaults(void)
{
    struct config c = config_of(RUN, NULL);
    const struct config_settings *s = &c.settings;
    CHECK(c.seed == 42 && !c.strict && c.dmt_k == 1.0 / 256 && c.micro_batch_tokens == 0 && c.packing);
    CHECK_STRING(c.device, "auto");
    CHECK(c.chat_template && cJSON_IsString(c.chat_template) && strcmp(c.chat_template->valuestring, "auto") == 0);
    CHECK(s->max_length == 1024 && s->num_train_epochs == 3 && s->max_steps == 0 && s->train_batch_size == 32);
    CHECK(s->optim == OPTIM_ADAMW && s->learning_rate == 2e-5 && s->lr_end == 0 && s->warmup_ratio == 0.03);
    CHECK(s->lr_scheduler_type == SCHEDULER_COSINE && s->warmup_steps == 0 && s->adam_beta1 == 0.9 &&
          s->adam_beta2 == 0.999);
    CHECK(s->adam_epsilon == 1e-8 && s->weight_decay == 0 && s->max_grad_norm == 1 && s->dropout == 0);
    CHECK(s->dropout_start_step == 0 && s->order == ORDER_SHUFFLED && !s->keep_optimizer && s->eval_count == 0);
    CHECK(
        s->eval_strategy == WHEN_EPOCH && s->eval_steps == 0 && c.logging_steps == 1 && c.save_strategy == WHEN_EPOCH);
    CHECK(c.finetuning_type == TUNING_FULL && c.lora_rank == 8 && c.lora_alpha == 16 && c.lora_dropout == 0);
    CHECK(c.lora_target.count == 0 && !c.use_rslora && c.precision == PRECISION_AUTO);
    CHECK(c.matmul_precision == PRECISION_AUTO && c.gradient_checkpointing == CHOICE_AUTO && c.save_steps == 0);
    CHECK(c.gradient_dtype == PRECISION_F32);
    CHECK(c.save_total_limit == 2 && c.save_dtype == PRECISION_BF16 && !c.load_best_model_at_end && c.init == NULL);
    CHECK(c.source_count == 3 && c.sources[2].path.count == 2 && c.sources[0].max_rows == 0 &&
          c.sources[0].ability == NULL);
    CHECK_STRING(c.sources[1].path.names[0], "/c.jsonl");
    CHECK_STRING(c.sources[2].path.names[1], "/h.json");
    CHECK(c.stage_count == 1 && c.stages[0].mix_count == 3 && c.stages[0].settings.train_batch_size == 32);
    CHECK(c.notes == NULL);
    CHECK_STRING(config_value_name("optim", OPTIM_SGD), "sgd");
    CHECK_STRING(config_value_name("metric", METRIC_RANK), "rank");
    CHECK(config_value_name("optim", 7) == NULL && config_value_name("nothing", 0) == NULL);
    config_free(&c);
    CHECK(c.stages == NULL);
}

// Every key with a value that is not its default.
static const char everything[] =
    "\"why\": \"all keys\", \"init\": {\"model_type\": \"llama\", \"rms_norm_eps\": 0.30000000000000004, "
    "\"tokenizer\": \"t\", "
    "\"why\": \"tiny\"}, \"output_dir\": \"out\", \"seed\": 9007199254740991, \"device\": 1, \"strict\": true, "
    "\"sources\": {\"why\": \"three\", \"math\": {\"path\": \"m.jsonl\", \"ability\": \"math\", \"chat_template\": "
    "\"vicuna\", "
    "\"max_rows\": 9, \"why\": \"few\"}, \"code\": [\"c\", \"d\"], \"chat\": \"g\", \"gone\": null}, \"dmt_k\": "
    "0.1, "
    "\"chat_template\": {\"user_prefix\": \"U: \", \"why\": \"plain\"}, \"max_length\": 77, \"num_train_epochs\": 1.5, "
    "\"max_steps\": 5, \"mix_rows\": 50, \"train_batch_size\": 16, \"micro_batch_tokens\": 512, \"optim\": \"sgd\", \"learning_rate\": "
    "0.1, "
    "\"lr_scheduler_type\": \"polynomial\", \"lr_end\": 0.01, \"warmup_ratio\": 0.3, \"warmup_steps\": 2, "
    "\"adam_beta1\": 0.8, "
    "\"adam_beta2\": 0.95, \"adam_epsilon\": 1e-6, \"weight_decay\": 0.1, \"max_grad_norm\": 0.5, \"dropout\": 0.1, "
    "\"dropout_start_step\": 3, \"finetuning_type\": \"lora\", \"lora_rank\": 4, \"lora_alpha\": 1.25, "
    "\"lora_dropout\": 0.2, "
    "\"lora_target\": [\"q_proj\", \"v_proj\"], \"use_rslora\": true, \"precision\": \"bf16\", \"matmul_precision\": "
    "\"fp16\", \"gradient_dtype\": \"bf16\", "
    "\"gradient_checkpointing\": true, \"order\": \"as_written\", \"keep_optimizer\": true, \"packing\": false, "
    "\"eval\": {\"e\": {\"path\": [\"e.jsonl\"], \"metric\": \"numeric\", \"max_new_tokens\": 12, \"chat_template\": "
    "{}, "
    "\"max_rows\": 3}, \"f\": \"f.jsonl\"}, \"eval_strategy\": \"steps\", \"eval_steps\": 7, \"logging_steps\": 2, "
    "\"save_strategy\": \"steps\", \"save_steps\": 14, \"save_total_limit\": 0, \"save_dtype\": \"f32\", "
    "\"load_best_model_at_end\": true, "
    "\"stages\": [{\"name\": \"one\", \"mix\": {\"math\": 0.1, \"why\": \"a tenth\", \"code\": null, \"chat\": "
    "{\"rows\": 3, "
    "\"why\": \"3\"}}, \"why\": \"first\", \"eval\": {\"g\": \"g\"}, \"max_length\": null}, "
    "{\"name\": \"two\", \"mix\": {\"code\": 4}, \"mix_rows\": 0, \"dropout\": 0.25, \"keep_optimizer\": true}, "
    "{\"name\": \"three\", \"mix\": {\"code\": {\"at_most\": 7, \"why\": \"cap\"}, \"math\": {\"share\": 0.3}}, \"mix_rows\": 20, "
    "\"keep_optimizer\": false}]";

static void test_everything(void)
{
    struct config c = config_of(everything, NULL);
    const struct config_settings *s = &c.settings, *one = &c.stages[0].settings, *two = &c.stages[1].settings;
    CHECK(c.model_name_or_path == NULL && cJSON_GetArraySize(c.init) == 3 && c.seed == UINT64_C(9007199254740991) &&
          c.strict);
    CHECK_STRING(cJSON_GetObjectItemCaseSensitive(c.init, "tokenizer")->valuestring, "/some/where/t");
    CHECK_STRING(c.output_dir, "/some/where/out");
    CHECK_STRING(c.device, "1");
    CHECK(c.source_count == 3 && c.sources[1].path.count == 2 && c.sources[0].max_rows == 9);
    CHECK_STRING(c.sources[0].ability, "math");
    CHECK_STRING(c.sources[0].chat_template->valuestring, "vicuna");
    CHECK_STRING(c.sources[2].name, "chat");
    CHECK_STRING(c.sources[2].path.names[0], "/some/where/g");
    CHECK(cJSON_IsObject(c.chat_template) && cJSON_GetArraySize(c.chat_template) == 1 && c.dmt_k == 0.1);
    CHECK(s->max_length == 77 && s->num_train_epochs == 1.5 && s->max_steps == 5 && s->train_batch_size == 16);
    CHECK(c.micro_batch_tokens == 512 && s->optim == OPTIM_SGD && s->learning_rate == 0.1 && s->lr_end == 0.01);
    CHECK(s->lr_scheduler_type == SCHEDULER_POLYNOMIAL && s->warmup_ratio == 0.3 && s->warmup_steps == 2);
    CHECK(s->adam_beta1 == 0.8 && s->adam_beta2 == 0.95 && s->adam_epsilon == 1e-6 && s->weight_decay == 0.1);
    CHECK(
        s->max_grad_norm == 0.5 && s->dropout == 0.1 && s->dropout_start_step == 3 && c.finetuning_type == TUNING_LORA);
    CHECK(
        c.lora_rank == 4 && c.lora_alpha == 1.25 && c.lora_dropout == 0.2 && c.lora_target.count == 2 && c.use_rslora);
    CHECK_STRING(c.lora_target.names[1], "v_proj");
    CHECK(c.precision == PRECISION_BF16 && c.matmul_precision == PRECISION_FP16 && c.gradient_dtype == PRECISION_BF16 &&
          c.gradient_checkpointing == CHOICE_TRUE);
    CHECK(s->order == ORDER_AS_WRITTEN && s->keep_optimizer && !c.packing && s->eval_count == 2 &&
          c.save_total_limit == 0);
    CHECK(s->eval[0].metric == METRIC_NUMERIC && s->eval[0].max_new_tokens == 12 && s->eval[0].max_rows == 3);
    CHECK(s->eval[1].metric == METRIC_NONE && s->eval[1].max_new_tokens == 128 && s->eval[1].chat_template == NULL);
    CHECK_STRING(s->eval[1].path.names[0], "/some/where/f.jsonl");
    CHECK(
        s->eval_strategy == WHEN_STEPS && s->eval_steps == 7 && c.logging_steps == 2 && c.save_strategy == WHEN_STEPS);
    CHECK(c.save_steps == 14 && c.save_dtype == PRECISION_F32 && c.load_best_model_at_end);
    CHECK(c.strategy == STRATEGY_STAGES && c.stage_count == 3 && c.stages[0].mix_count == 2 &&
          c.stages[1].mix_count == 1);
    CHECK(c.stages[0].mix[0].source == 0 && c.stages[0].mix[0].amount == AMOUNT_FRACTION &&
          c.stages[0].mix[0].value == 0.1);
    CHECK(c.stages[0].mix[1].source == 2 && c.stages[0].mix[1].amount == AMOUNT_ROWS && c.stages[0].mix[1].value == 3);
    CHECK(
        c.stages[1].mix[0].source == 1 && c.stages[1].mix[0].amount == AMOUNT_PASSES && c.stages[1].mix[0].value == 4);
    const struct config_stage *three = &c.stages[2];
    CHECK(s->mix_rows == 50 && one->mix_rows == 50 && two->mix_rows == 0 && three->settings.mix_rows == 20);
    CHECK(three->mix[0].amount == AMOUNT_AT_MOST && three->mix[0].value == 7);
    CHECK(three->mix[1].amount == AMOUNT_SHARE && three->mix[1].value == 0.3);
    CHECK(one->eval_count == 1 && one->max_length == 77 && one->dropout == 0.1);
    CHECK_STRING(one->eval[0].name, "g");
    CHECK(cJSON_IsObject(two->eval[0].chat_template) && two->eval[0].metric == METRIC_NUMERIC &&
          two->eval[1].path.count == 1);
    CHECK(two->eval_count == 2 && two->dropout == 0.25 && two->keep_optimizer && two->learning_rate == 0.1);
    config_free(&c);
}

static char *json_of(const struct config *c)
{
    cJSON *json = config_json(c);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

static char *read_all(const char *path)
{
    struct file_map f;
    struct error e;
    if (file_map(&f, path, &e)) return NULL;
    char *text = mem_string_n((const char *)f.data, f.bytes);
    file_unmap(&f);
    return text;
}

// Saved, read from another folder, saved again: the same bytes, and not a value changed.
static void check_round_trip(const struct config *c)
{
    char folder[] = "/tmp/pumice-config-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *first = path_join(folder, "a.json"), *second = path_join(folder, "b.json");
    struct error e = {0};
    struct config again;
    CHECK(config_save(c, first, &e) == 0);
    CHECK_SAY(config_read(&again, first, NULL, 0, &e) == 0, "%s", e.text);
    CHECK(config_save(&again, second, &e) == 0);
    char *a = read_all(first), *b = read_all(second);
    CHECK_STRING(a, b);
    struct config_changes changes;
    config_compare(&changes, c, &again);
    CHECK(changes.count == 0);
    config_changes_free(&changes);
    config_free(&again);
    CHECK(folder_remove(folder, &e) == 0);
    free(a);
    free(b);
    free(first);
    free(second);
}

static void test_round_trip(void)
{
    struct config c =
        config_of(everything, (const char *[]){"learning_rate=0.10000000000000002", "stages.1.mix.math=0.1", NULL});
    CHECK(c.settings.learning_rate == 0.10000000000000002);
    check_round_trip(&c);
    config_free(&c);
    c = config_of(START ", " SOURCES ", \"strategy\": \"dmt\", \"dmt_k\": 0.3333333333333333, " LISTS, NULL);
    check_round_trip(&c);
    config_free(&c);

    // the file holds every key of the table
    c = config_of(RUN, NULL);
    char *text = json_of(&c);
    struct text help = {0};
    config_help(&help);
    int keys = 0;
    for (const char *at = help.data; (at = strstr(at, "\n  ")); at++) {
        if (at[3] == ' ') continue;
        char name[64], quoted[80];
        if (sscanf(at + 3, "%63[a-z0-9_]", name) != 1) continue;
        if (strstr(at, "Keys of an entry of \"sources\"") == NULL) break; // those of entries follow
        snprintf(quoted, sizeof quoted, "\"%s\":", name);
        bool absent = !strcmp(name, "init") || !strcmp(name, "specialized") || !strcmp(name, "general") ||
                      !strcmp(name, "stages");
        CHECK_SAY((strstr(text, quoted) == NULL) == absent || !strcmp(name, "general"), "%s", name);
        keys++;
    }
    CHECK_SAY(keys == 55, "%d keys", keys);
    text_free(&help);
    free(text);
    config_free(&c);
}

static void test_set(void)
{
    const char *sets[] = {"sources.math.max_rows=10", "learning_rate=2e-1", "stages.1.learning_rate=0.5",
        "device=RTX 3060", "stages.0.mix.code={\"rows\": 2}", "eval.new.path=n.jsonl", "sources.chat.ability=chat",
        "sources.code.path.1=/dd", "lora_target=[\"o_proj\"]", "output_dir=a=b", "stages.1.keep_optimizer=false",
        "micro_batch_tokens=null", "stages.1.mix.chat=1", "stages.1.max_length=55", NULL};
    struct config c = config_of(everything, sets);
    CHECK(c.sources[0].max_rows == 10 && c.settings.learning_rate == 0.2 && c.stages[1].settings.learning_rate == 0.5);
    CHECK(c.stages[0].settings.learning_rate == 0.2 && c.stages[0].mix_count == 3 && c.micro_batch_tokens == 0);
    CHECK(c.stages[0].mix[1].source == 1 && c.stages[0].mix[1].value == 2); // null's place
    CHECK_STRING(c.device, "RTX 3060");
    CHECK_STRING(c.sources[2].ability, "chat");
    CHECK_STRING(c.sources[1].path.names[1], "/dd");
    CHECK_STRING(c.output_dir, "/some/where/a=b");
    CHECK(c.settings.eval_count == 3 && c.lora_target.count == 1 && c.stages[1].settings.max_length == 55);
    CHECK_STRING(c.settings.eval[2].path.names[0], "/some/where/n.jsonl");
    CHECK(c.stages[1].mix_count == 2 && c.stages[1].mix[1].source == 2);
    config_free(&c);

    c = config_of(RUN ", " LISTS, (const char *[]){"strategy=dmt", "dmt_k=1", "sources.code.ability=code", NULL});
    (void)c;
    config_free(&c);
}

static void test_set_errors(void)
{
    static const struct {
        const char *set, *error;
    } cases[] = {{"learning_rate", "--set learning_rate: wants KEY=VALUE, as in --set learning_rate=1e-5"},
        {"=5", "--set =5: wants names with dots between them, then = and a value"},
        {"a..b=5", "--set a..b=5: wants names"}, {"device=\xff", "--set device=\xff: is not UTF-8 text"},
        {"stages.7.learning_rate=5",
            "--set stages.7.learning_rate=5: \"7\" is no place in this list of 3 (the first is 0)"},
        {"stages.x.learning_rate=5", "--set stages.x.learning_rate=5: \"x\" is no place in this list of 3"},
        {"stages..name=5", "--set stages..name=5: \"\" is no place in this list of 3"},
        {"seed.x=5", "--set seed.x=5: \"x\" would be inside something that is neither an object nor a list"},
        {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=5", "--set a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=5: wants names"},
        {"learning_rat=5", "/some/where/x.json: learning_rat: is no key that exists; did you mean \"learning_rate\"?"},
        {"seed=x", "/some/where/x.json: seed: is \"x\", but must be a whole number from 0"},
        {"stages.0.name=null", "/some/where/x.json: stages.0.name: is null, but must be a text"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct error e;
        CHECK(read_keys(&c, everything, (const char *[]){cases[i].set, NULL}, &e) == -1);
        CHECK_SAY(strncmp(e.text, cases[i].error, strlen(cases[i].error)) == 0, "got %s", e.text);
    }
}

static void test_paths(void)
{
    struct error e = {0};
    char folder[] = "/tmp/pumice-config-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *configs = path_join(folder, "configs"), *link = path_join(folder, "link"),
         *hub = path_join(configs, "owner/name");
    char *file = path_join(link, "x.json");
    CHECK(folder_make(configs, &e) == 0 && symlink(configs, link) == 0);
    const char *text = "{\"model_name_or_path\": \"owner/name\", \"output_dir\": \"../run\", \"sources\": {\"a\": "
                       "[\"./a.jsonl\", \".././/../b\", \"c/../d\", \"/e\"]}, \"strategy\": \"multi_task\"}";
    CHECK(file_write_atomic(file, text, strlen(text), &e) == 0);
    struct config c;
    char *real = realpath(folder, NULL), *upper = path_folder(real);
    CHECK(config_read(&c, file, NULL, 0, &e) == 0);
    CHECK_STRING(c.file, file);
    CHECK_STRING(c.model_name_or_path, "owner/name"); // nothing of that name here: a hub id
    const struct {
        const char *got;
        char *want;
    } pairs[] = {{c.output_dir, path_join(real, "run")},
        {c.sources[0].path.names[0], path_join(real, "configs/a.jsonl")},
        {c.sources[0].path.names[1], path_join(upper, "b")},
        {c.sources[0].path.names[2], path_join(real, "configs/c/../d")},
        {c.sources[0].path.names[3], mem_string("/e")}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        CHECK_STRING(pairs[i].got, pairs[i].want);
        free(pairs[i].want);
    }
    config_free(&c);
    CHECK(folder_make(hub, &e) == 0); // now there is
    CHECK(config_read(&c, file, NULL, 0, &e) == 0);
    char *want = path_join(real, "configs/owner/name");
    CHECK_STRING(c.model_name_or_path, want);
    config_free(&c);
    static const char *const models[][2] = {{"m.gguf", "/some/where/m.gguf"}, {"a/m.gguf", "/some/where/a/m.gguf"},
        {"./a/b", "/some/where/a/b"}, {"a/b/c", "/some/where/a/b/c"}, {"../../../../x", "/x"}, {"a/b.v1", "a/b.v1"},
        {"a/", "/some/where/a/"}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *set = mem_format("model_name_or_path=%s", models[i][0]);
        c = config_of(RUN, (const char *[]){set, NULL});
        CHECK_STRING(c.model_name_or_path, models[i][1]);
        config_free(&c);
        free(set);
    }
    CHECK(unlink(link) == 0 && folder_remove(folder, &e) == 0);
    free(want);
    free(upper);
    free(real);
    free(file);
    free(hub);
    free(link);
    free(configs);
}

static void test_notes(void)
{
    struct config c = config_of(
        START ", " SOURCES ", \"strategy\": \"dmt\", \"specialized\": [\"code\"], \"general\": [\"general\"]", NULL);
    CHECK_STRING(c.notes, "sources.math: no stage uses it\n");
    config_free(&c);
    // An optional evaluation without its file is left out, and said.
    c = config_of(RUN ", \"eval\": {\"a\": {\"path\": \"/proc/self/exe\", \"optional\": true}, \"b\": {\"path\": "
                      "[\"/proc/self/exe\", \"/none.jsonl\"], \"optional\": true}, \"c\": {\"path\": \"/none.jsonl\"}}", NULL);
    CHECK(c.settings.eval_count == 2 && c.settings.eval[0].optional && !c.settings.eval[1].optional);
    CHECK_STRING(c.settings.eval[1].name, "c"); // its absence is an error, later
    CHECK_STRING(c.notes, "eval.b: is left out, there is no /none.jsonl\n");
    config_free(&c);
}

static void check_changes(const char *keys, const char *const *sets, const char *want)
{
    struct config before = config_of(keys, NULL), after = config_of(keys, sets);
    struct config_changes changes;
    struct text got = {0};
    size_t refused = 0;
    config_compare(&changes, &before, &after);
    for (size_t i = 0; i < changes.count; i++) {
        const struct config_change *change = &changes.changes[i];
        refused += change->resume == RESUME_REFUSED;
        text_print(&got, "%s%s %s>%s %s", i ? "; " : "", change->key, change->before ? change->before : "-",
            change->after ? change->after : "-",
            change->resume == RESUME_REFUSED ? "refused" : (change->resume == RESUME_WARNED ? "warned" : "allowed"));
    }
    CHECK_STRING(got.data ? got.data : "", want);
    CHECK(refused == changes.refused);
    text_free(&got);
    config_changes_free(&changes);
    config_free(&before);
    config_free(&after);
}

static void test_compare(void)
{
    check_changes(everything, NULL, "");
    check_changes(everything, (const char *[]){"why=other", NULL}, "");
    check_changes(RUN, (const char *[]){"seed=42", "learning_rate=0.00002", NULL}, "");
    check_changes(RUN, (const char *[]){"learning_rate=0.000020000000000000005", NULL},
        "learning_rate 2e-05>2.0000000000000005e-05 refused"); // the last bit counts
    check_changes(RUN, (const char *[]){"num_train_epochs=4", NULL}, "num_train_epochs 3>4 refused");
    check_changes(RUN, (const char *[]){"max_steps=4", "logging_steps=5", "device=0", "output_dir=/new", NULL},
        "output_dir \"/run\">\"/new\" allowed; device \"auto\">\"0\" warned; max_steps 0>4 refused; logging_steps 1>5 "
        "allowed");
    check_changes(RUN,
        (const char *[]){"eval.a=/x", "eval_strategy=no", "save_strategy=no", "save_total_limit=1", NULL},
        "eval.a ->{\"path\":[\"/x\"],\"metric\":\"none\",\"max_new_tokens\":128,\"optional\":false,\"max_rows\":0} allowed; eval_strategy "
        "\"epoch\">\"no\" allowed; save_strategy \"epoch\">\"no\" allowed; save_total_limit 2>1 allowed");
    check_changes(RUN, (const char *[]){"micro_batch_tokens=8", "packing=false", "gradient_checkpointing=true", NULL},
        "micro_batch_tokens \"auto\">8 warned; gradient_checkpointing \"auto\">true warned; packing true>false warned");
    check_changes(RUN, (const char *[]){"gradient_dtype=bf16", NULL}, "gradient_dtype \"f32\">\"bf16\" refused");
    check_changes(RUN, (const char *[]){"precision=f32", "matmul_precision=f32", "save_dtype=f32", NULL},
        "precision \"auto\">\"f32\" refused; matmul_precision \"auto\">\"f32\" refused; save_dtype \"bf16\">\"f32\" "
        "refused");
    check_changes(RUN,
        (const char *[]){"sources.math.path=/n", "sources.math.ability=x",
            "sources.code={\"path\":\"/c.jsonl\",\"max_rows\":2}", NULL},
        "sources.math.path [\"/m.jsonl\"]>[\"/n\"] warned; sources.math.ability ->\"x\" warned; "
        "sources.code.max_rows 0>2 refused");
    check_changes(
        RUN, (const char *[]){"sources.path=/n", NULL}, "sources.path ->{\"path\":[\"/n\"],\"max_rows\":0} refused");
    check_changes(RUN,
        (const char *[]){
            "sources={\"code\":\"/c.jsonl\",\"math\":\"/m.jsonl\",\"general\":[\"/g.jsonl\",\"/h.json\"]}", NULL},
        "sources [\"math\",\"code\",\"general\"]>[\"code\",\"math\",\"general\"] refused");
    check_changes(everything,
        (const char *[]){"stages.1.eval_strategy=no", "load_best_model_at_end=false", "stages.0.mix.math=0.2", NULL},
        "load_best_model_at_end true>false allowed; stages.0.mix.math 0.1>0.2 refused; stages.1.eval_strategy "
        "\"steps\">\"no\" allowed");
    check_changes(everything, (const char *[]){"stages.2.mix_rows=30", "stages.2.mix.code={\"at_most\":8}", NULL},
        "stages.2.mix.code.at_most 7>8 refused; stages.2.mix_rows 20>30 refused");
    check_changes(everything, (const char *[]){"stages.0.eval.g=/other", "stages.1.name=b", NULL},
        "stages.0.eval.g.path [\"/some/where/g\"]>[\"/other\"] allowed; stages.1.name \"two\">\"b\" refused");
    check_changes(RUN ", " LISTS, (const char *[]){"strategy=sequential", NULL},
        "strategy \"multi_task\">\"sequential\" refused");
}

static void test_help(void)
{
    struct text help = {0};
    config_help(&help);
    CHECK(strstr(help.data, "\n  learning_rate *: number from 0 [2e-5]\n      peak rate\n"));
    CHECK(strstr(help.data, "\n  dropout *: number from 0 to below 1 [0]\n"));
    CHECK(strstr(help.data, "\n  optim *: adamw, sgd [\"adamw\"]\n"));
    CHECK(strstr(help.data, "\n  micro_batch_tokens: auto or whole number from 1 [\"auto\"]\n"));
    CHECK(strstr(help.data, "\n  metric: none, exact, numeric, contains, choice, rank, cloze, true_false [\"none\"]\n"));
    text_free(&help);
}

// What came through must save and read to the same; what did not must say why.
static unsigned fuzz_read(const char *text, size_t bytes, const char *set)
{
    struct config c, again;
    struct error e = {0};
    if (config_read_text(&c, text, bytes, "/f/x.json", &set, set != NULL, &e)) {
        CHECK(e.text[0] != 0 && c.sources == NULL);
        return 0;
    }
    char *json = json_of(&c);
    int status = config_read_text(&again, json, strlen(json), "/f/x.json", NULL, 0, &e);
    CHECK_SAY(status == 0, "%s", e.text);
    if (status == 0) {
        char *second = json_of(&again);
        CHECK(strcmp(second, json) == 0);
        free(second);
        config_free(&again);
    }
    free(json);
    config_free(&c);
    return 1;
}

static void test_fuzz(void)
{
    static const char *const values[] = {"null", "true", "-1", "0", "1", "2", "0.5", "1e999", "1e15",
        "9007199254740993", "\"\"", "\"auto\"", "\"steps\"", "\"math\"", "\"two\"", "[]", "{}", "[\"math\"]",
        "{\"rows\": 1}", "[{}]", "{\"math\": 1}", "\"\\u0000\"", "{\"why\": \"x\"}", "[[[[[[]]]]]]", "\"\xff\""};
    enum { VALUES = sizeof values / sizeof *values };
    char *valid = mem_format("{%s}", everything);
    size_t n = strlen(valid);
    uint64_t state = 99;
    unsigned good = 0;
    CHECK(fuzz_read(valid, n, NULL) == 1);
    for (int i = 0; i < 2000; i++) {
        struct text t = {0};
        size_t at = test_random(&state) % n, length = 1 + test_random(&state) % 12;
        if (at + length > n) length = n - at;
        switch (test_random(&state) % 5) {
        case 0: // another byte
            text_add(&t, valid, n);
            t.data[at] = (char)test_random(&state);
            break;
        case 1: // a piece away
            text_add(&t, valid, at);
            text_add(&t, valid + at + length, n - at - length);
            break;
        case 2: // a piece twice
            text_add(&t, valid, at + length);
            text_add(&t, valid + at, n - at);
            break;
        case 3: // cut off
            text_add(&t, valid, at);
            break;
        default: { // another value after a colon
            const char *colon = strchr(valid + at, ':');
            size_t start = colon ? (size_t)(colon + 1 - valid) : 0, end = start + strcspn(valid + start, ",}]");
            text_add(&t, valid, start);
            text_print(&t, "%s", values[test_random(&state) % VALUES]);
            text_add(&t, valid + end, n - end);
        }
        }
        good += fuzz_read(t.data ? t.data : "", t.bytes, NULL);
        text_free(&t);
    }
    static const char *const names[] = {"stages", "sources", "eval", "0", "1", "math", "mix", "name", "path",
        "learning_rate", "rows", "chat_template", "init", "tokenizer", "strategy", "general", "why", "", "chat"};
    for (int i = 0; i < 2000; i++) {
        struct text set = {0};
        int depth = 1 + (int)(test_random(&state) % 4);
        for (int k = 0; k < depth; k++)
            text_print(&set, "%s%s", k ? "." : "", names[test_random(&state) % (sizeof names / sizeof *names)]);
        text_print(&set, "=%s", values[test_random(&state) % VALUES]);
        good += fuzz_read(valid, n, set.data);
        text_free(&set);
    }
    CHECK_SAY(good > 100, "only %u of them were good", good);
    free(valid);
}

int main(void)
{
    test_errors();
    test_defaults();
    test_everything();
    test_round_trip();
    test_set();
    test_set_errors();
    test_paths();
    test_notes();
    test_compare();
    test_help();
    test_fuzz();
    return test_end();
}
