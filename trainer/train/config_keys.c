// SPDX-License-Identifier: MIT
#include "train/config_keys.h"

#include <string.h>

static const struct key_value strategies[] = {{"multi_task", STRATEGY_MULTI_TASK}, {"sequential", STRATEGY_SEQUENTIAL},
    {"mixed_sequential", STRATEGY_MIXED_SEQUENTIAL}, {"dmt", STRATEGY_DMT}, {0}};
static const struct key_value optims[] = {{"adamw", OPTIM_ADAMW}, {"sgd", OPTIM_SGD}, {0}};
static const struct key_value schedulers[] = {{"cosine", SCHEDULER_COSINE}, {"linear", SCHEDULER_LINEAR},
    {"constant", SCHEDULER_CONSTANT}, {"constant_with_warmup", SCHEDULER_CONSTANT_WITH_WARMUP},
    {"polynomial", SCHEDULER_POLYNOMIAL}, {0}};
static const struct key_value orders[] = {{"shuffled", ORDER_SHUFFLED}, {"as_written", ORDER_AS_WRITTEN}, {0}};
static const struct key_value whens[] = {{"no", WHEN_NO}, {"steps", WHEN_STEPS}, {"epoch", WHEN_EPOCH}, {0}};
static const struct key_value tunings[] = {{"full", TUNING_FULL}, {"lora", TUNING_LORA}, {0}};
static const struct key_value storages[] = {
    {"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {"auto", PRECISION_AUTO}, {0}};
static const struct key_value products[] = {
    {"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {"fp16", PRECISION_FP16}, {"auto", PRECISION_AUTO}, {0}};
static const struct key_value dtypes[] = {{"f32", PRECISION_F32}, {"bf16", PRECISION_BF16}, {0}};
static const struct key_value choices[] = {{"auto", CHOICE_AUTO}, {"true", CHOICE_TRUE}, {"false", CHOICE_FALSE}, {0}};
static const struct key_value metrics[] = {{"none", METRIC_NONE}, {"exact", METRIC_EXACT}, {"numeric", METRIC_NUMERIC},
    {"contains", METRIC_CONTAINS}, {"choice", METRIC_CHOICE}, {"rank", METRIC_RANK}, {"cloze", METRIC_CLOZE},
    {"true_false", METRIC_TRUE_FALSE}, {0}};

#define RUN(field) .offset = offsetof(struct config, field)
#define STAGE(field) .in_stage = true, .offset = offsetof(struct config_settings, field)
#define SOURCE(field) .offset = offsetof(struct config_source, field)
#define EVAL(field) .offset = offsetof(struct config_eval, field)
#define MANY 9007199254740991.0 // 2^53 - 1: JSON's numbers round others to 2^53

// clang-format off
const struct config_key config_keys[] = {
    {"model_name_or_path", KEY_MODEL, RUN(model_name_or_path), .resume = RESUME_WARNED,
     .help = "Hugging Face folder, .gguf file, our checkpoint, or hub id found in the local cache; or `init`"},
    {"init", KEY_INIT, RUN(init),
     .help = "a Hugging Face config object plus \"tokenizer\": train from random weights"},
    {"output_dir", KEY_PATH, RUN(output_dir), .resume = RESUME_ALLOWED,
     .help = "where log, checkpoints and the final model go"},
    {"seed", KEY_COUNT, RUN(seed), .standard = "42", .high = MANY,
     .help = "of draws, orders, dropout and new weights"},
    {"device", KEY_DEVICE, RUN(device), .standard = "\"auto\"", .resume = RESUME_WARNED,
     .help = "index or name of the device; auto prefers discrete, then integrated, then software"},
    {"strict", KEY_BOOL, RUN(strict), .standard = "false", .resume = RESUME_ALLOWED,
     .help = "stop at a bad row instead of naming and skipping it"},
    {"sources", KEY_SOURCES, RUN(sources),
     .help = "name -> file, files, or an object of the keys under \"sources\" below"},
    {"strategy", KEY_ENUM, RUN(strategy), .values = strategies,
     .help = "how sources become stages; or write `stages`"},
    {"specialized", KEY_NAMES, RUN(specialized),
     .help = "sources of the special abilities, in the order to be trained"},
    {"general", KEY_NAMES, RUN(general),
     .help = "sources of the general ability"},
    {"dmt_k", KEY_NUMBER, RUN(dmt_k), .standard = "0.00390625", .high = 1,
     .help = "dmt: fraction of each specialized source in the general stage; 0 is mixed_sequential"},
    {"chat_template", KEY_TEMPLATE, RUN(chat_template), .standard = "\"auto\"",
     .help = "auto (the model's own), a name, an object of prefixes and suffixes, none (raw text)"},
    {"max_length", KEY_COUNT, STAGE(max_length), .standard = "1024", .low = 2, .high = 1 << 24,
     .help = "longest row in tokens"},
    {"mix_rows", KEY_COUNT, STAGE(mix_rows), .standard = "0", .high = 2147483647.0,
     .help = "rows an epoch in all: {\"share\"} and {\"rows\"} as they say, the rest spread evenly over the abilities of the "
             "other sources, whose amounts are the most they give; 0 = what the amounts of the mix come to"},
    {"num_train_epochs", KEY_NUMBER, STAGE(num_train_epochs), .standard = "3", .high = 1e6,
     .help = "passes over each stage's rows; steps = ceil(epochs * steps an epoch)"},
    {"max_steps", KEY_COUNT, STAGE(max_steps), .standard = "0", .high = 1e12,
     .help = "steps of each stage; 0 = by num_train_epochs"},
    {"train_batch_size", KEY_COUNT, STAGE(train_batch_size), .standard = "32", .low = 1, .high = 1 << 24,
     .help = "conversations an optimizer step, on any device"},
    {"micro_batch_tokens", KEY_COUNT_OR_AUTO, RUN(micro_batch_tokens), .standard = "\"auto\"", .low = 1,
     .high = 1 << 24, .resume = RESUME_WARNED,
     .help = "tokens on the device at once"},
    {"optim", KEY_ENUM, STAGE(optim), .standard = "\"adamw\"", .values = optims,
     .help = "the optimizer"},
    {"learning_rate", KEY_NUMBER, STAGE(learning_rate), .standard = "2e-5", .high = 1e6,
     .help = "peak rate"},
    {"lr_scheduler_type", KEY_ENUM, STAGE(lr_scheduler_type), .standard = "\"cosine\"", .values = schedulers,
     .help = "Hugging Face's formulas; constant has no warm-up, polynomial is of power 1"},
    {"lr_end", KEY_NUMBER, STAGE(lr_end), .standard = "0", .high = 1e6,
     .help = "last rate of cosine and polynomial"},
    {"warmup_ratio", KEY_NUMBER, STAGE(warmup_ratio), .standard = "0.03", .high = 1,
     .help = "warm-up steps = ceil(steps * ratio)"},
    {"warmup_steps", KEY_COUNT, STAGE(warmup_steps), .standard = "0", .high = 1e12,
     .help = "above 0: instead of warmup_ratio"},
    {"adam_beta1", KEY_NUMBER, STAGE(adam_beta1), .standard = "0.9", .high = 1, .below = true,
     .help = "decay of the first moment"},
    {"adam_beta2", KEY_NUMBER, STAGE(adam_beta2), .standard = "0.999", .high = 1, .below = true,
     .help = "decay of the second moment"},
    {"adam_epsilon", KEY_NUMBER, STAGE(adam_epsilon), .standard = "1e-8", .high = 1,
     .help = "added to the second moment's root"},
    {"weight_decay", KEY_NUMBER, STAGE(weight_decay), .standard = "0", .high = 1e6,
     .help = "decoupled; spares norms and biases"},
    {"max_grad_norm", KEY_NUMBER, STAGE(max_grad_norm), .standard = "1.0", .high = 1e30,
     .help = "clip the gradient's norm to this; 0 = no clipping"},
    {"dropout", KEY_NUMBER, STAGE(dropout), .standard = "0", .high = 1, .below = true,
     .help = "of attention and residual branches"},
    {"dropout_start_step", KEY_COUNT, STAGE(dropout_start_step), .standard = "0", .high = 1e12,
     .help = "step of the stage, from 0, at which dropout begins"},
    {"finetuning_type", KEY_ENUM, RUN(finetuning_type), .standard = "\"full\"", .values = tunings,
     .help = "all weights, or an adapter"},
    {"lora_rank", KEY_COUNT, RUN(lora_rank), .standard = "8", .low = 1, .high = 65536,
     .help = "rank of the adapter"},
    {"lora_alpha", KEY_NUMBER, RUN(lora_alpha), .standard = "16", .high = 1e6,
     .help = "the adapter is scaled by alpha / rank"},
    {"lora_dropout", KEY_NUMBER, RUN(lora_dropout), .standard = "0", .high = 1, .below = true,
     .help = "of the adapter's input"},
    {"lora_target", KEY_TARGETS, RUN(lora_target), .standard = "\"all-linear\"",
     .help = "all-linear, or a list of module names (q_proj, v_proj, ...)"},
    {"use_rslora", KEY_BOOL, RUN(use_rslora), .standard = "false",
     .help = "scale by alpha / sqrt(rank)"},
    {"precision", KEY_ENUM, RUN(precision), .standard = "\"auto\"", .values = storages,
     .help = "what weights and activations are stored in"},
    {"matmul_precision", KEY_ENUM, RUN(matmul_precision), .standard = "\"auto\"", .values = products,
     .help = "what matrix products multiply in, with sums in f32; auto on a device with matrix units: bf16, or where it has none "
             "for that fp16 with loss scaling; else f32"},
    {"gradient_dtype", KEY_ENUM, RUN(gradient_dtype), .standard = "\"f32\"", .values = dtypes,
     .help = "what gradients of matrices add up in from micro-batch to micro-batch; bf16: 2 bytes a parameter less, with bf16 storage "
             "alone (precision auto is then bf16 on software devices too), and every addition rounds to 8 bits"},
    {"gradient_checkpointing", KEY_ENUM, RUN(gradient_checkpointing), .standard = "\"auto\"", .values = choices,
     .resume = RESUME_WARNED,
     .help = "compute activations again in the backward pass, to save memory"},
    {"order", KEY_ENUM, STAGE(order), .standard = "\"shuffled\"", .values = orders,
     .help = "of an epoch: seeded, own for each epoch; or mix and file order"},
    {"keep_optimizer", KEY_BOOL, STAGE(keep_optimizer), .standard = "false",
     .help = "moments and schedule go on from the stage before"},
    {"packing", KEY_BOOL, RUN(packing), .standard = "true", .resume = RESUME_WARNED,
     .help = "several conversations in a micro-batch, isolated from one another; false = one"},
    {"eval", KEY_EVAL, STAGE(eval), .resume = RESUME_ALLOWED,
     .help = "name -> file, files, or an object of the keys under \"eval\" below"},
    {"eval_strategy", KEY_ENUM, STAGE(eval_strategy), .standard = "\"epoch\"", .values = whens,
     .resume = RESUME_ALLOWED, .help = "when to evaluate"},
    {"eval_steps", KEY_COUNT, STAGE(eval_steps), .standard = "0", .high = 1e12, .resume = RESUME_ALLOWED,
     .help = "eval_strategy steps: every so many"},
    {"logging_steps", KEY_COUNT, RUN(logging_steps), .standard = "1", .low = 1, .high = 1e12,
     .resume = RESUME_ALLOWED, .help = "a line on the terminal and points for TensorBoard every so many steps; log.jsonl has every step"},
    {"save_strategy", KEY_ENUM, RUN(save_strategy), .standard = "\"epoch\"", .values = whens,
     .resume = RESUME_ALLOWED, .help = "when to write checkpoints"},
    {"save_steps", KEY_COUNT, RUN(save_steps), .standard = "0", .high = 1e12, .resume = RESUME_ALLOWED,
     .help = "save_strategy steps: every so many"},
    {"save_total_limit", KEY_COUNT, RUN(save_total_limit), .standard = "2", .high = 1e12,
     .resume = RESUME_ALLOWED, .help = "checkpoints to keep; 0 = all"},
    {"save_dtype", KEY_ENUM, RUN(save_dtype), .standard = "\"bf16\"", .values = dtypes,
     .help = "of the model files written"},
    {"eval_on_start", KEY_BOOL, RUN(eval_on_start), .standard = "false", .resume = RESUME_ALLOWED,
     .help = "evaluate before the first step too"},
    {"load_best_model_at_end", KEY_BOOL, RUN(load_best_model_at_end), .standard = "false",
     .resume = RESUME_ALLOWED, .help = "the final model is the checkpoint of the lowest mean eval loss"},
    {"stages", KEY_STAGES, RUN(stages),
     .help = "[{\"name\", \"mix\": {source: amount}, keys marked *}]; amount: a fraction from 0 to 1, a whole number "
             "of passes, {\"rows\": n}, {\"at_most\": n}, or with mix_rows {\"share\": fraction of them}"},
    {0}};

const struct config_key source_keys[] = {
    {"path", KEY_PATHS, SOURCE(path), .resume = RESUME_WARNED,
     .help = "a file or a list of files: .jsonl, or .json holding an array"},
    {"ability", KEY_STRING, SOURCE(ability), .resume = RESUME_WARNED,
     .help = "what it teaches: for reports, and for mix_rows, which gives each ability the same"},
    {"chat_template", KEY_TEMPLATE, SOURCE(chat_template),
     .help = "instead of the run's"},
    {"max_rows", KEY_COUNT, SOURCE(max_rows), .standard = "0", .high = 4294967295.0,
     .help = "the first so many good rows; 0 = all"},
    {0}};

const struct config_key eval_keys[] = {
    {"path", KEY_PATHS, EVAL(path), .help = "a file or a list of files, as in sources"},
    {"metric", KEY_ENUM, EVAL(metric), .standard = "\"none\"", .values = metrics,
     .help = "a score beside the loss"},
    {"max_new_tokens", KEY_COUNT, EVAL(max_new_tokens), .standard = "128", .low = 1, .high = 1 << 24,
     .help = "longest answer generated for the score"},
    {"optional", KEY_BOOL, EVAL(optional), .standard = "false", .help = "left out, with a word, where a file of it is missing"},
    {"chat_template", KEY_TEMPLATE, EVAL(chat_template), .help = "instead of the run's"},
    {"max_rows", KEY_COUNT, EVAL(max_rows), .standard = "0", .high = 4294967295.0,
     .help = "the first so many good rows; 0 = all"},
    {0}};
// clang-format on

// Keys of other trainers, and what does their work here.
static const char *const foreign[][2] = {
    {"per_device_train_batch_size", "\"train_batch_size\", the conversations of a whole step"},
    {"gradient_accumulation_steps", "\"train_batch_size\": micro-batches follow from the memory there is"},
    {"grad_accum_dtype", "\"gradient_dtype\""},
    {"micro_batch_size", "\"micro_batch_tokens\""},
    {"base_model", "\"model_name_or_path\""},
    {"model", "\"model_name_or_path\""},
    {"datasets", "\"sources\""},
    {"data_seed", "\"seed\""},
    {"max_seq_length", "\"max_length\""},
    {"cutoff_len", "\"max_length\""},
    {"sequence_len", "\"max_length\""},
    {"min_lr", "\"lr_end\""},
    {"optimizer", "\"optim\""},
    {"scheduler", "\"lr_scheduler_type\""},
    {"bf16", "\"precision\" and \"matmul_precision\""},
    {"fp16", "\"precision\" and \"matmul_precision\""},
    {"use_peft", "\"finetuning_type\""},
    {"adapter", "\"finetuning_type\""},
    {"lora_r", "\"lora_rank\""},
    {"lora_target_modules", "\"lora_target\""},
    {"target_modules", "\"lora_target\""},
    {"sample_packing", "\"packing\""},
    {"resume_from_checkpoint", "the option --resume"},
};

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0) return keys;
    return NULL;
}

void *config_key_field(const struct config_key *key, struct config *c, struct config_settings *settings)
{
    return (key->in_stage ? (char *)settings : (char *)c) + key->offset;
}

const char *config_key_hint(const struct config_key *keys, const char *name, char *buffer, size_t bytes)
{
    const char *names[sizeof config_keys / sizeof *config_keys];
    size_t count = 0;
    for (; keys->name; keys++) names[count++] = keys->name;
    names[count] = NULL;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (keys - count == config_keys && strcmp(foreign[i][0], name) == 0) {
            snprintf(buffer, bytes, "; its work is done by %s", foreign[i][1]);
            return buffer;
        }
    const char *near = nearest_name(name, names);
    buffer[0] = 0;
    if (near) snprintf(buffer, bytes, "; did you mean \"%s\"?", near);
    return buffer;
}

const char *config_value_name(const char *key, unsigned value)
{
    const struct config_key *found = config_key_find(config_keys, key);
    if (!found) found = config_key_find(eval_keys, key);
    for (const struct key_value *v = found ? found->values : NULL; v && v->name; v++)
        if (v->value == value) return v->name;
    return NULL;
}

static void help_values(struct text *out, const struct config_key *key)
{
    static const char *const words[] = {[KEY_STRING] = "text",
        [KEY_PATH] = "path",
        [KEY_PATHS] = "path or list",
        [KEY_MODEL] = "path or id",
        [KEY_DEVICE] = "index or name",
        [KEY_BOOL] = "true, false",
        [KEY_NAMES] = "list of names",
        [KEY_TARGETS] = "all-linear or list",
        [KEY_TEMPLATE] = "name or object",
        [KEY_INIT] = "object",
        [KEY_SOURCES] = "object",
        [KEY_STAGES] = "list",
        [KEY_EVAL] = "object"};
    if (key->type == KEY_ENUM) {
        for (const struct key_value *v = key->values; v->name; v++)
            text_print(out, "%s%s", v == key->values ? "" : ", ", v->name);
    } else if (key->type == KEY_COUNT || key->type == KEY_COUNT_OR_AUTO || key->type == KEY_NUMBER) {
        text_print(out, "%s%s %.16g", key->type == KEY_COUNT_OR_AUTO ? "auto or " : "",
            key->type == KEY_NUMBER ? "number from" : "whole number from", key->low);
        if (key->high <= 1) text_print(out, key->below ? " to below %.16g" : " to %.16g", key->high);
    } else {
        text_print(out, "%s", words[key->type]);
    }
}

static void help_table(struct text *out, const struct config_key *keys)
{
    for (; keys->name; keys++) {
        text_print(out, "  %s%s: ", keys->name, keys->in_stage ? " *" : "");
        help_values(out, keys);
        if (keys->standard) text_print(out, " [%s]", keys->standard);
        text_print(out, "\n      %s\n", keys->help);
    }
}

void config_help(struct text *out)
{
    text_print(out, "Keys of a config (JSON), their values and [defaults]. A stage may set those marked * for itself.\n"
                    "Relative paths are relative to the config file. Every object may hold a text \"why\". null is as "
                    "good as absent.\n");
    help_table(out, config_keys);
    text_print(out, "Keys of an entry of \"sources\":\n");
    help_table(out, source_keys);
    text_print(out, "Keys of an entry of \"eval\":\n");
    help_table(out, eval_keys);
}
