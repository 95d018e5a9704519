// SPDX-License-Identifier: MIT
//
// checkpoint_parts.h: what the files of a checkpoint share: its tensors and its state; checkpoint.c puts them together.
#ifndef PUMICE_CHECKPOINT_PARTS_H
#define PUMICE_CHECKPOINT_PARTS_H

#include "train/checkpoint.h"

#define CHECKPOINT_MODEL "model.safetensors"
#define CHECKPOINT_MASTERS "masters.safetensors"
#define CHECKPOINT_OPTIMIZER "optimizer.safetensors"
#define CHECKPOINT_STATE "pumice_state.json"
#define CHECKPOINT_TRAINER "trainer_state.json"

// ---- tensors: every part of every weight under its Hugging Face name, f32, without padding
// -----------------------------

// What of the training state a file holds. MOMENTS: trainable weights only.
enum checkpoint_tensors { TENSORS_VALUES, TENSORS_MOMENTS };
int checkpoint_tensors_write(
    const char *path, enum checkpoint_tensors what, const struct model *m, struct engine *engine, struct error *e);
// The file must hold exactly these tensors. Padding becomes zero.
int checkpoint_tensors_read(
    const char *path, enum checkpoint_tensors what, const struct model *m, struct engine *engine, struct error *e);

// ---- state -------------------------------------------------------------------------------------------------------

struct checkpoint_file {
    char *name;
    uint64_t bytes, sum;
};
struct checkpoint_files {
    struct checkpoint_file *files; // (count), by name
    size_t count, capacity;
};
void checkpoint_files_free(struct checkpoint_files *f);
// The regular files of a folder with size and checksum.
int checkpoint_files_list(struct checkpoint_files *f, const char *folder, struct error *e);
const struct checkpoint_file *checkpoint_files_find(const struct checkpoint_files *f, const char *name);
// 0 when the folder's file has the checksum that was noted.
int checkpoint_file_check(const char *folder, const struct checkpoint_file *file, struct error *e);

// pumice_state.json with the list of all other files; written last.
int checkpoint_state_write(const char *folder, const struct run_state *state, struct error *e);
// state is run_state_free's, files (may be NULL) checkpoint_files_free's; on failure both are empty. Compares the
// files' sizes with those on disk.
int checkpoint_state_read(struct run_state *state, struct checkpoint_files *files, const char *folder, struct error *e);

// trainer_state.json, with the first state->log_bytes of output_dir's log as its history.
int checkpoint_trainer_write(
    const char *folder, const char *output_dir, const struct run_state *state, struct error *e);

#endif
