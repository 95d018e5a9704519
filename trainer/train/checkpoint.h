// SPDX-License-Identifier: MIT
//
// checkpoint.h: all that a run needs to go on to the same bits, in output_dir/checkpoint-<step>/:
//
//   model.safetensors, config.json, generation_config.json, tokenizer files    the model, as transformers opens it
//   masters.safetensors     the weights in f32, under the same names, when model.safetensors is bf16
//   optimizer.safetensors   AdamW's moments in f32: "<name>.exp_avg", "<name>.exp_avg_sq"
//   pumice_state.json       struct run_state, and size and checksum of every other file
//   trainer_state.json      progress and log in the shape of transformers' TrainerState
//
// A checkpoint is written to checkpoint-<step>.tmp, every file and the folder synced, then renamed: after a crash or a
// power cut at any instant it is there in full or not at all. It is removed the same way: renamed first.
#ifndef PUMICE_CHECKPOINT_H
#define PUMICE_CHECKPOINT_H

#include "train/bundle.h"
#include "train/loss_scale.h"

struct run_state {
    uint64_t step;      // optimizer steps finished, of all stages
    uint64_t update;    // AdamW's count of updates in the current chain
    uint64_t hash;      // chained over the bits of loss and norm
    uint64_t log_bytes; // length of the log at this step
    // Decisions made from measurements and limits, which a resumed run keeps.
    uint32_t budget;
    bool recompute;
    char storage[8], products[8], gradients[8]; // the latter two: "f32" in a checkpoint that does not say
    struct loss_scale loss_scale;
    struct cJSON *variants; // of the products, as tuning_json gives them; NULL: the table's; owned like digests
    // Where it ran: on another one the bits differ.
    char device[256], driver[288];
    uint64_t *digests; // (digest_count) of each stage's manifest; owned by whoever made the struct
    size_t digest_count;
    double best_loss;   // for load_best_model_at_end; not finite: none yet
    uint64_t best_step; // UINT64_MAX: none yet
    // For trainer_state.json.
    uint64_t total_steps;
    double epoch;
};
void run_state_free(struct run_state *state); // frees digests and variants; back to {0}

// Saves the run as it stands; the device must be idle. moments: the engine has AdamW's. bf16_weights: the type of
// model.safetensors. The log's first state->log_bytes bytes must be on disk (log_sync). A checkpoint of the same step
// is replaced. On failure (a full disk, say) nothing of it is left and the earlier checkpoints are untouched. 0, or -1
// with the reason.
int checkpoint_save(const char *output_dir, const struct run_state *state, const struct bundle *b,
    struct engine *engine, bool moments, bool bf16_weights, struct error *e);

// The newest checkpoint: 1 and its folder (the caller frees) and state (run_state_free); 0 when there is none; -1 with
// the reason, file and way out when it is not complete. Cleans up what a crash has left behind.
int checkpoint_latest(char **folder, struct run_state *state, const char *output_dir, struct error *e);
// Whether there is one, whole or not. Changes nothing: the folder may be another process's.
bool checkpoint_any(const char *output_dir);
// The state of one checkpoint. Checks that its files are there with their sizes. 0, or -1 with the reason.
int checkpoint_state(struct run_state *state, const char *folder, struct error *e);

// Writes the saved weights, and AdamW's moments if `moments`, to the engine: the same bits as were saved. Checks the
// checksums of the files it reads. 0, or -1 with the reason; then the engine's weights are undefined.
int checkpoint_load(const char *folder, const struct bundle *b, struct engine *engine, bool moments, struct error *e);

// Removes the oldest checkpoints until `limit` are left (0: keeps all), but never the newest nor that of keep_step
// (UINT64_MAX: none), even if more than `limit` stay so. 0, or -1 with the reason.
int checkpoint_prune(const char *output_dir, uint64_t limit, uint64_t keep_step, struct error *e);

// Writes a model's files (model.safetensors, config.json, tokenizer, generation_config.json) into an existing folder, with
// weights from anywhere. 0, or -1 with the reason.
int model_files_save(
    const char *folder, const struct bundle *b, const struct model_source *source, bool bf16_weights, struct error *e);

// Writes the finished model to the top of output_dir: from `checkpoint` (a checkpoint's folder; its files are copied),
// or when that is NULL from the engine, as bf16 or f32. All files are written and synced under model.tmp before the
// first is renamed; model.safetensors comes last. 0, or -1 with the reason.
int model_publish(const char *output_dir, const char *checkpoint, const struct bundle *b, struct engine *engine,
    bool bf16_weights, struct error *e);

#endif
