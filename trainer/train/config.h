// SPDX-License-Identifier: MIT
//
// config.h: what a run is to do, read from a JSON file. The keys, their values, ranges and defaults stand in one table
// in config_keys.c; `config_help` prints it, and README explains it.
//
// A config comes out of config_read complete: defaults filled in, `strategy` expanded into stages, every stage with its
// own full set of settings, every path absolute (relative ones are relative to the folder of the config file), every
// combination checked. What was wrong is one sentence: file, path within the config, what is allowed, the nearest name.
#ifndef PUMICE_CONFIG_H
#define PUMICE_CONFIG_H

#include "base.h"

struct cJSON;

enum config_strategy {
    STRATEGY_STAGES,
    STRATEGY_MULTI_TASK,
    STRATEGY_SEQUENTIAL,
    STRATEGY_MIXED_SEQUENTIAL,
    STRATEGY_DMT
};
enum config_optim { OPTIM_ADAMW, OPTIM_SGD };
enum config_scheduler {
    SCHEDULER_COSINE,
    SCHEDULER_LINEAR,
    SCHEDULER_CONSTANT,
    SCHEDULER_CONSTANT_WITH_WARMUP,
    SCHEDULER_POLYNOMIAL
};
enum config_order { ORDER_SHUFFLED, ORDER_AS_WRITTEN };
enum config_when { WHEN_NO, WHEN_STEPS, WHEN_EPOCH };
enum config_tuning { TUNING_FULL, TUNING_LORA };
enum config_precision { PRECISION_AUTO, PRECISION_F32, PRECISION_BF16, PRECISION_FP16 };
enum config_choice { CHOICE_AUTO, CHOICE_TRUE, CHOICE_FALSE };
enum config_metric {
    METRIC_NONE,
    METRIC_EXACT,
    METRIC_NUMERIC,
    METRIC_CONTAINS,
    METRIC_CHOICE,
    METRIC_RANK,
    METRIC_CLOZE,
    METRIC_TRUE_FALSE
};
enum config_amount { AMOUNT_FRACTION, AMOUNT_PASSES, AMOUNT_ROWS, AMOUNT_AT_MOST, AMOUNT_SHARE };

struct config_names {
    char **names; // (count)
    size_t count;
};

// A named set of rows to train on.
struct config_source {
    char *name;
    struct config_names path;    // one file or more, .jsonl or .json
    char *ability;               // NULL: none
    struct cJSON *chat_template; // NULL: the run's; else as config.chat_template
    uint64_t max_rows;           // the first so many good rows; 0: all
};

// A named set of rows to evaluate on.
struct config_eval {
    char *name;
    struct config_names path;
    enum config_metric metric; // METRIC_NONE: loss only
    uint64_t max_new_tokens;
    bool optional;               // its files are there: it would have been left out
    struct cJSON *chat_template; // NULL: the run's
    uint64_t max_rows;           // the first so many good rows; 0: all
};

// How much of a source a stage takes; what that comes to is counted in mix.h.
struct config_mix {
    uint32_t source; // index into config.sources
    enum config_amount amount;
    double value; // FRACTION, SHARE: 0 <= x <= 1; PASSES: whole, 2 or more; ROWS, AT_MOST: whole, 0 or more
};

// The keys that a stage may set for itself.
struct config_settings {
    uint64_t max_length;
    uint64_t mix_rows; // an epoch draws so many rows in all; 0: what the amounts of the mix come to
    double num_train_epochs;
    uint64_t max_steps; // of each stage; 0: by num_train_epochs
    uint64_t train_batch_size;
    enum config_optim optim;
    double learning_rate, lr_end;
    enum config_scheduler lr_scheduler_type;
    double warmup_ratio;
    uint64_t warmup_steps;
    double adam_beta1, adam_beta2, adam_epsilon, weight_decay, max_grad_norm;
    double dropout;
    uint64_t dropout_start_step;
    enum config_order order;
    bool keep_optimizer;      // has no meaning for the first stage
    struct config_eval *eval; // (eval_count)
    size_t eval_count;
    enum config_when eval_strategy;
    uint64_t eval_steps;
};

struct config_stage {
    char *name;
    struct config_mix *mix; // (mix_count), in the order written
    size_t mix_count;
    struct config_settings settings;
};

struct config {
    char *file;               // where it was read from
    bool explained;           // a "why" stands at its top
    char *model_name_or_path; // an absolute path, or a hub id; NULL: `init`
    struct cJSON *init;       // its "tokenizer" made absolute like model_name_or_path; NULL: model_name_or_path
    char *output_dir;
    uint64_t seed; // 0 .. 2^53 - 1, which JSON's numbers tell apart
    char *device;  // "auto", an index or (part of) a name
    bool strict;
    struct config_source *sources; // (source_count)
    size_t source_count;
    enum config_strategy strategy; // how the stages were written; STRATEGY_STAGES: one by one
    struct config_names specialized, general;
    double dmt_k;
    struct cJSON *chat_template; // a string ("auto", "none", a name) or an object of prefixes and suffixes
    uint64_t micro_batch_tokens; // 0: auto
    enum config_tuning finetuning_type;
    uint64_t lora_rank;
    double lora_alpha, lora_dropout;
    struct config_names lora_target; // none: "all-linear"
    bool use_rslora;
    enum config_precision precision, matmul_precision; // the latter may be PRECISION_FP16
    enum config_precision gradient_dtype; // PRECISION_F32 or PRECISION_BF16
    enum config_choice gradient_checkpointing;
    bool packing;
    uint64_t logging_steps;
    enum config_when save_strategy;
    uint64_t save_steps, save_total_limit; // limit 0: keep all
    enum config_precision save_dtype;      // PRECISION_F32 or PRECISION_BF16
    bool load_best_model_at_end;
    bool eval_on_start; // an evaluation before the first step

    struct config_settings settings; // as written at the top; each stage has its own copy
    struct config_stage *stages;     // (stage_count), always explicit
    size_t stage_count;
    char *notes; // what is allowed but perhaps not meant, a line each; NULL: nothing
};

// Reads a config file. `sets` (set_count) are overrides "path.in.config=value": the value is JSON, else a string;
// numbers in a path count from 0 (stages.0.learning_rate); null takes a key away. 0, or -1 with the reason and *c
// empty.
int config_read(struct config *c, const char *path, const char *const *sets, size_t set_count, struct error *e);
// The same from a text in memory; `path` names it in errors and says what relative paths are relative to.
int config_read_text(struct config *c, const char *text, size_t bytes, const char *path, const char *const *sets,
    size_t set_count, struct error *e);
// The same from a tree, which is deleted whatever the result.
int config_read_json(struct config *c, struct cJSON *root, const char *path, struct error *e);
void config_free(struct config *c);
// Adds to a reason why something could not be opened, where one of its paths (count) is not there, that the config's own "why"
// may say how it is made. Returns -1.
int config_missing(const struct config *c, const char *const *paths, size_t count, struct error *e);

// A config with this key is the base of many runs (study/sweep.h); reading it as one is an error that says so.
#define CONFIG_SWEEP "sweep"

// The config as understood: an object with every key, which config_read reads to an equal struct (but for `file` and `explained`).
// The caller calls cJSON_Delete.
struct cJSON *config_json(const struct config *c);
// Writes config_json to a file, atomically. 0, or -1 with the reason.
int config_save(const struct config *c, const char *path, struct error *e);
// The stages as one would write them: [{"name", "mix", the settings that differ from the top}]. cJSON_Delete.
struct cJSON *config_stages_json(const struct config *c);
// The value of an enum key as it is written in a config ("cosine" for lr_scheduler_type SCHEDULER_COSINE).
const char *config_value_name(const char *key, unsigned value);

// One text line a key: name, values, default, whether a stage may set it, meaning.
void config_help(struct text *out);

// How a run that is resumed takes a changed key (the column `resume` of the table). Allowed: output_dir, strict,
// eval*, logging_steps, save_* but save_dtype, load_best_model_at_end. Warned: model_name_or_path (the weights come from
// the checkpoint), a source's path and ability (which rows are drawn is compared with the manifest), device,
// micro_batch_tokens, gradient_checkpointing, packing. All else is refused, num_train_epochs and max_steps too: the
// schedule follows them.
enum config_resume {
    RESUME_REFUSED, // the run would not be the same run
    RESUME_WARNED,  // same trajectory up to rounding, or checked elsewhere
    RESUME_ALLOWED  // what is trained does not depend on it
};
struct config_change {
    char *key;            // path in the config
    char *before, *after; // JSON; NULL: not there
    enum config_resume resume;
};
struct config_changes {
    struct config_change *changes; // (count)
    size_t count, refused;         // refused: how many of them
};
// Every key whose value differs, with what --resume makes of it.
void config_compare(struct config_changes *out, const struct config *before, const struct config *after);
void config_changes_free(struct config_changes *changes);

#endif
