// SPDX-License-Identifier: MIT
//
// log.h: what a run says while it trains: output_dir/log.jsonl, TensorBoard events, progress on stderr.
//
// log.jsonl has a JSON object a line. A step:
//   {"step","stage","epoch","loss","grad_norm","learning_rate","conversations","tokens","trained_tokens","seconds",
//    "tokens_per_second","sources":{"math":{"conversations","tokens","trained_tokens","loss"}},"hash"}
// and "loss_scale" before "hash" where the loss is scaled (loss and grad_norm are not), "skipped":true when the optimizer
// left it out. An evaluation: {"step","stage","eval":{"math":{"loss","score","chance"}}}, without "score" where no metric
// was asked for, and without "chance" where answers at random score nothing (ability.h). Numbers that are not finite are
// null. loss and grad_norm have the fewest digits that give back the same float, the hash is 16 hexadecimal digits.
//
// Each line is one write, so that a killed process leaves whole lines; a resumed run cuts the log back to its
// checkpoint, and every step stands there exactly once.
//
// TensorBoard: train/loss, train/grad_norm, train/learning_rate, train/epoch, train/tokens_per_second, train/loss_scale;
// data/<source>/loss, data/<source>/conversations, data/<source>/trained_tokens; eval/<name>_loss, eval/<name>_score.
#ifndef PUMICE_LOG_H
#define PUMICE_LOG_H

#include "train/session.h"

struct log;

// Opens the log of a run. keep_bytes: what the checkpoint says (run_state.log_bytes), to which the file is cut back; 0:
// afresh. first_step: the first step that will be logged. A log that is gone is begun anew, with a warning; one that is
// shorter than keep_bytes or has no line's end there is refused. NULL with the reason.
struct log *log_open(const char *output_dir, uint64_t keep_bytes, uint64_t first_step, struct error *e);
void log_close(struct log *l); // NULL is fine

struct log_step {
    uint64_t step, total_steps; // from 1, through all stages
    const char *stage;
    double epoch, loss, grad_norm, learning_rate;
    double loss_scale; // 0: none, and no word of it
    bool skipped;
    uint32_t conversations;
    uint64_t tokens, trained_tokens;
    double seconds;                   // since the end of the step before
    const struct source_sum *sources; // (source_count); those without a conversation in this step are left out
    const char *const *source_names;  // (source_count)
    size_t source_count;
    uint64_t hash;
    double left; // seconds that the rest of the run will take; NAN: not known yet
};
// A finished step: its line in log.jsonl, its progress on a terminal. show: TensorBoard's points, and where stderr is no
// terminal a line there. 0, or -1 with the reason (a full disk); what stands in the file are whole lines even then.
int log_step(struct log *l, const struct log_step *s, bool show, struct error *e);
// What one evaluation gave.
struct log_score {
    const char *name;
    double loss, score, chance; // score NAN: no metric; chance 0: none, and no word of it
};
// An evaluation after `step`: its scores (count), in this order.
int log_eval(struct log *l, uint64_t step, const char *stage, const struct log_score *scores, size_t count, struct error *e);

// What comes first in a terminal's line of progress, from whoever runs the run: called after each step to add its words.
// Where stderr is no terminal it gets no text, may say something of its own, and steps are not said.
typedef void (*log_leading)(void *context, const struct log_step *s, struct text *words);
void log_lead(struct log *l, log_leading leading, void *context);

// Adds a time as h:mm:ss.
void log_add_time(struct text *t, double seconds);

// Length of log.jsonl.
uint64_t log_bytes(const struct log *l);
// Everything on disk, so that a checkpoint may say log_bytes.
int log_sync(struct log *l, struct error *e);
// The last step's line without its end, of an earlier process too; NULL: none yet. Valid until the next log_step.
const char *log_last(const struct log *l);
// Takes the progress off the terminal's line, so that something else can be said; the next step shows it again.
void log_clear(struct log *l);

#endif
