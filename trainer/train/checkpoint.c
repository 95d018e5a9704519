// SPDX-License-Identifier: MIT
#include "train/checkpoint.h"

#include "formats/json_file.h"
#include "train/checkpoint_parts.h"
#include "train/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GENERATION "generation_config.json"

static char *checkpoint_path(const char *output_dir, uint64_t step, const char *ending)
{
    char *name = mem_format("checkpoint-%" PRIu64 "%s", step, ending), *path = path_join(output_dir, name);
    free(name);
    return path;
}

static int move(const char *from, const char *to, struct error *e)
{
    return rename(from, to) == 0 ? 0 : error_set(e, "%s: cannot be renamed to %s (%s)", from, to, strerror(errno));
}

// A folder's own files' names are on disk when it is synced; then it may get its name, which is on disk when the one
// above is.
static int publish_folder(const char *temporary, const char *name, const char *above, struct error *e)
{
    if (folder_sync(temporary, e) || move(temporary, name, e)) return -1;
    return folder_sync(above, e);
}

// ---- the model's files ---------------------------------------------------------------------------------------------

// What generation stops at: the original's file as it was, or one from the tokenizer's special tokens.
static int save_generation_config(const struct bundle *b, const char *folder, struct error *e)
{
    char *from = b->model.path && !b->model.gguf ? path_join(b->model.path, GENERATION) : NULL,
         *to = path_join(folder, GENERATION);
    int status;
    if (from && file_exists(from)) {
        struct file_map f;
        status = file_map(&f, from, e);
        if (status == 0) {
            status = file_write_atomic(to, f.data, f.bytes, e);
            file_unmap(&f);
        }
    } else {
        cJSON *json = cJSON_CreateObject();
        const struct {
            const char *key;
            int32_t id;
        } ids[] = {{"bos_token_id", tokenizer_bos(b->tokenizer)}, {"eos_token_id", tokenizer_eos(b->tokenizer)},
            {"pad_token_id", tokenizer_pad(b->tokenizer)}};
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
            if (ids[i].id >= 0) cJSON_AddNumberToObject(json, ids[i].key, ids[i].id);
        status = json_write_file(to, json, e);
        cJSON_Delete(json);
    }
    free(from);
    free(to);
    return status;
}

int model_files_save(
    const char *folder, const struct bundle *b, const struct model_source *source, bool bf16_weights, struct error *e)
{
    if (model_write(&b->model, source, folder, bf16_weights, e)) return -1;
    if (tokenizer_save(b->tokenizer, folder, e)) return -1;
    return save_generation_config(b, folder, e);
}

static int save_model_files(
    const char *folder, const struct bundle *b, struct engine *engine, bool bf16_weights, struct error *e)
{
    struct model_engine from = {&b->model, engine};
    return model_files_save(folder, b, &(struct model_source){model_engine_read, &from}, bf16_weights, e);
}

// ---- saving --------------------------------------------------------------------------------------------------------

static int save_files(const char *folder, const char *output_dir, const struct run_state *state, const struct bundle *b,
    struct engine *engine, bool moments, bool bf16_weights, struct error *e)
{
    char *masters = path_join(folder, CHECKPOINT_MASTERS), *optimizer = path_join(folder, CHECKPOINT_OPTIMIZER);
    int status = folder_make(folder, e);
    if (status == 0) status = save_model_files(folder, b, engine, bf16_weights, e);
    if (status == 0 && bf16_weights) status = checkpoint_tensors_write(masters, TENSORS_VALUES, &b->model, engine, e);
    if (status == 0 && moments) status = checkpoint_tensors_write(optimizer, TENSORS_MOMENTS, &b->model, engine, e);
    if (status == 0) status = checkpoint_trainer_write(folder, output_dir, state, e);
    if (status == 0) status = checkpoint_state_write(folder, state, e);
    if (status == 0) gpu_check(engine_gpu(engine));
    free(masters);
    free(optimizer);
    return status;
}

int checkpoint_save(const char *output_dir, const struct run_state *state, const struct bundle *b,
    struct engine *engine, bool moments, bool bf16_weights, struct error *e)
{
    char *name = checkpoint_path(output_dir, state->step, ""),
         *temporary = checkpoint_path(output_dir, state->step, ".tmp"),
         *replaced = checkpoint_path(output_dir, state->step, ".old");
    int status = folder_remove(temporary, e);
    if (status == 0) status = save_files(temporary, output_dir, state, b, engine, moments, bf16_weights, e);
    // A folder cannot be renamed onto another: between two renames the earlier one waits under a name that
    // checkpoint_latest knows.
    if (status == 0 && folder_exists(name)) {
        status = folder_remove(replaced, e);
        if (status == 0) status = move(name, replaced, e);
    }
    if (status == 0) status = publish_folder(temporary, name, output_dir, e);
    if (status == 0) {
        folder_remove(replaced, NULL); // if it stays, the next clean_up takes it
    } else {
        error_prefix(
            e, "the checkpoint of step %" PRIu64 " was not saved; earlier ones are as they were: ", state->step);
        folder_remove(temporary, NULL);
        if (!folder_exists(name) && folder_exists(replaced)) move(replaced, name, NULL);
    }
    free(name);
    free(temporary);
    free(replaced);
    return status;
}

// ---- finding -------------------------------------------------------------------------------------------------------

struct names {
    char **names; // (count)
    uint64_t *steps;
    size_t count;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->names[i]);
    free(n->names);
    free(n->steps);
}

// All names of one kind in the folder, hidden ones left out, by rising step. A missing folder has none.
static int names_list(struct names *n, const char *output_dir, enum output_name kind, struct error *e)
{
    size_t capacity = 0, step_capacity = 0;
    *n = (struct names){0};
    DIR *dir = opendir(output_dir);
    if (!dir) return errno == ENOENT ? 0 : error_set(e, "%s: cannot be read (%s)", output_dir, strerror(errno));
    for (struct dirent *d; (d = readdir(dir));) {
        uint64_t step = 0;
        if (d->d_name[0] == '.' || output_name(d->d_name, &step) != kind) continue;
        GROW(n->names, n->count, capacity);
        GROW(n->steps, n->count, step_capacity);
        size_t i = n->count++;
        for (; i > 0 && n->steps[i - 1] > step; i--) n->steps[i] = n->steps[i - 1], n->names[i] = n->names[i - 1];
        n->steps[i] = step;
        n->names[i] = mem_string(d->d_name);
    }
    closedir(dir);
    return 0;
}

// After a crash: what was being written goes; what was being replaced comes back if its successor is not there.
static int clean_up(const char *output_dir, struct error *e)
{
    struct names temporary, replaced;
    if (names_list(&temporary, output_dir, OUTPUT_TEMPORARY, e)) return -1;
    int status = 0;
    for (size_t i = 0; i < temporary.count && status == 0; i++) {
        char *path = path_join(output_dir, temporary.names[i]);
        status = folder_remove(path, e);
        free(path);
    }
    names_free(&temporary);
    if (status || names_list(&replaced, output_dir, OUTPUT_REPLACED, e)) return -1;
    for (size_t i = 0; i < replaced.count && status == 0; i++) {
        char *path = path_join(output_dir, replaced.names[i]),
             *name = checkpoint_path(output_dir, replaced.steps[i], "");
        status = folder_exists(name) ? folder_remove(path, e) : publish_folder(path, name, output_dir, e);
        free(path);
        free(name);
    }
    names_free(&replaced);
    return status;
}

int checkpoint_latest(char **folder, struct run_state *state, const char *output_dir, struct error *e)
{
    struct names found;
    *folder = NULL;
    *state = (struct run_state){0};
    if (clean_up(output_dir, e) || names_list(&found, output_dir, OUTPUT_CHECKPOINT, e)) return -1;
    int status = 0;
    if (found.count) {
        uint64_t step = found.steps[found.count - 1];
        *folder = checkpoint_path(output_dir, step, "");
        status = checkpoint_state(state, *folder, e) ? -1 : 1;
        if (status == 1 && state->step != step)
            status = error_set(e, "%s/" CHECKPOINT_STATE ": is of step %" PRIu64, *folder, state->step);
        if (status < 0) {
            char *before = found.count > 1 ? mem_format("from %s", found.names[found.count - 2]) : mem_string("afresh");
            struct error why = *e;
            error_set(e, "%.700s; remove this checkpoint to go on %s", why.text, before);
            free(before);
            free(*folder);
            *folder = NULL;
            run_state_free(state);
        }
    }
    names_free(&found);
    return status;
}

bool checkpoint_any(const char *output_dir)
{
    struct names found;
    struct error e = {0};
    if (!folder_exists(output_dir) || names_list(&found, output_dir, OUTPUT_CHECKPOINT, &e)) return false;
    bool any = found.count > 0;
    names_free(&found);
    return any;
}

// ---- loading -------------------------------------------------------------------------------------------------------

static int load(const char *folder, const struct checkpoint_file *file, enum checkpoint_tensors what,
    const struct bundle *b, struct engine *engine, struct error *e)
{
    char *path = path_join(folder, file->name);
    int status = checkpoint_file_check(folder, file, e);
    if (status == 0) status = checkpoint_tensors_read(path, what, &b->model, engine, e);
    free(path);
    return status;
}

int checkpoint_load(const char *folder, const struct bundle *b, struct engine *engine, bool moments, struct error *e)
{
    struct run_state state;
    struct checkpoint_files files;
    if (checkpoint_state_read(&state, &files, folder, e)) return -1;
    run_state_free(&state);
    const struct checkpoint_file *values = checkpoint_files_find(&files, CHECKPOINT_MASTERS),
                                 *optimizer = checkpoint_files_find(&files, CHECKPOINT_OPTIMIZER);
    if (!values) values = checkpoint_files_find(&files, CHECKPOINT_MODEL);
    int status = 0;
    if (!values) status = error_set(e, "%s: holds no weights", folder);
    if (status == 0 && moments && !optimizer)
        status = error_set(e, "%s: holds no moments of AdamW: it was saved without them", folder);
    if (status == 0) status = load(folder, values, TENSORS_VALUES, b, engine, e);
    if (status == 0 && moments) status = load(folder, optimizer, TENSORS_MOMENTS, b, engine, e);
    checkpoint_files_free(&files);
    return status;
}

// ---- removing ------------------------------------------------------------------------------------------------------

// Renamed before it is emptied, so that half a checkpoint never has a checkpoint's name.
static int remove_checkpoint(const char *output_dir, uint64_t step, struct error *e)
{
    char *name = checkpoint_path(output_dir, step, ""), *temporary = checkpoint_path(output_dir, step, ".tmp");
    int status = folder_remove(temporary, e);
    if (status == 0) status = publish_folder(name, temporary, output_dir, e);
    if (status == 0) status = folder_remove(temporary, e);
    free(name);
    free(temporary);
    return status;
}

int checkpoint_prune(const char *output_dir, uint64_t limit, uint64_t keep_step, struct error *e)
{
    struct names found;
    if (limit == 0) return 0;
    if (names_list(&found, output_dir, OUTPUT_CHECKPOINT, e)) return -1;
    int status = 0;
    size_t left = found.count;
    for (size_t i = 0; i + 1 < found.count && left > limit && status == 0; i++) {
        if (found.steps[i] == keep_step) continue;
        status = remove_checkpoint(output_dir, found.steps[i], e);
        left--;
    }
    names_free(&found);
    return status;
}

// ---- the finished model --------------------------------------------------------------------------------------------

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        data += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int copy_file(const char *to_folder, const char *from_folder, const char *name, struct error *e)
{
    struct file_map f;
    char *to = path_join(to_folder, name), *from = path_join(from_folder, name);
    int status = file_map(&f, from, e);
    if (status == 0) {
        int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        bool good = fd >= 0 && write_all(fd, f.data, f.bytes) == 0 && fsync(fd) == 0;
        if (!good) status = error_set(e, "%s: cannot be written (%s)", to, strerror(errno));
        if (fd >= 0) close(fd);
        file_unmap(&f);
    }
    free(to);
    free(from);
    return status;
}

static bool is_of_training(const char *name)
{
    return strcmp(name, CHECKPOINT_MASTERS) == 0 || strcmp(name, CHECKPOINT_OPTIMIZER) == 0 ||
           strcmp(name, CHECKPOINT_TRAINER) == 0;
}

static int copy_model(const char *folder, const char *checkpoint, struct error *e)
{
    struct run_state state;
    struct checkpoint_files files;
    if (checkpoint_state_read(&state, &files, checkpoint, e)) return -1;
    run_state_free(&state);
    int status = 0;
    for (size_t i = 0; i < files.count && status == 0; i++) {
        const struct checkpoint_file *file = &files.files[i];
        if (is_of_training(file->name)) continue;
        status = checkpoint_file_check(checkpoint, file, e);
        if (status == 0) status = copy_file(folder, checkpoint, file->name, e);
    }
    checkpoint_files_free(&files);
    return status;
}

// Moves the files of `from` up into `to`, the weights last: where they are, the others are too.
static int move_up(const char *to, const char *from, struct error *e)
{
    struct names files;
    if (folder_sync(from, e) || names_list(&files, from, OUTPUT_OTHER, e)) return -1;
    int status = 0;
    for (int weights = 0; weights < 2; weights++)
        for (size_t i = 0; i < files.count && status == 0; i++) {
            if ((strcmp(files.names[i], CHECKPOINT_MODEL) == 0) != (weights == 1)) continue;
            char *source = path_join(from, files.names[i]), *target = path_join(to, files.names[i]);
            status = move(source, target, e);
            free(source);
            free(target);
        }
    names_free(&files);
    return status ? status : folder_sync(to, e);
}

int model_publish(const char *output_dir, const char *checkpoint, const struct bundle *b, struct engine *engine,
    bool bf16_weights, struct error *e)
{
    char *temporary = path_join(output_dir, "model.tmp");
    int status = folder_remove(temporary, e);
    if (status == 0) status = folder_make(temporary, e);
    if (status == 0)
        status =
            checkpoint ? copy_model(temporary, checkpoint, e) : save_model_files(temporary, b, engine, bf16_weights, e);
    if (status == 0 && !checkpoint) gpu_check(engine_gpu(engine));
    if (status == 0) status = move_up(output_dir, temporary, e);
    if (status) error_prefix(e, "the finished model was not saved: ");
    if (folder_remove(temporary, status ? NULL : e)) status = -1;
    free(temporary);
    return status;
}
