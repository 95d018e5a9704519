// SPDX-License-Identifier: MIT
//
// A run that goes on on another device than it was begun on: what it took from that device and this one has not.
#include "test.h"
#include "train/checkpoint_parts.h"
#include "train/run.h"

#include <sys/stat.h>
#include <unistd.h>

static struct error e;
static char folder[] = "/tmp/pumice-resume-XXXXXX";

static struct gpu *open_device(void *context, const char *choice, struct error *error)
{
    (void)context;
    return gpu_open(&(struct gpu_options){.device = choice}, error->text, sizeof error->text);
}

static int run(const char *const *set, int count, bool resume)
{
    static const char text[] =
        "{\"init\": {\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
        " \"intermediate_size\": 32, \"tokenizer\": \"bytes\"}, \"output_dir\": \"out\", \"strategy\": \"multi_task\", \"max_length\": 64,"
        " \"sources\": {\"a\": \"rows.jsonl\"}, \"num_train_epochs\": 4, \"train_batch_size\": 1, \"save_strategy\": \"steps\", \"save_steps\": 2,"
        " \"save_total_limit\": 0}";
    struct config c;
    char *path = path_join(folder, "config.json");
    struct run_outcome out = {0};
    CHECK_SAY(config_read_text(&c, text, sizeof text - 1, path, set, count, &e) == 0, "%s", e.text);
    struct workshop *w = workshop_open(open_device, NULL);
    int status = run_train(&c, w, &(struct run_options){.resume = resume}, &out, &e);
    workshop_close(w);
    config_free(&c);
    free(out.last_line);
    free(path);
    return status;
}

// What a checkpoint says of its run, changed to what a GPU with bf16 units would have left there.
static void begun_elsewhere(const char *checkpoint)
{
    struct run_state state;
    CHECK_SAY(checkpoint_state_read(&state, NULL, checkpoint, &e) == 0, "%s", e.text);
    CHECK_STRING(state.products, "f32");
    strcpy(state.products, "bf16");
    strcpy(state.device, "a GPU");
    char *old = path_join(checkpoint, "pumice_state.json"); // it lists all other files
    CHECK(remove(old) == 0);
    free(old);
    CHECK_SAY(checkpoint_state_write(checkpoint, &state, &e) == 0, "%s", e.text);
    run_state_free(&state);
}

int main(void)
{
    if (gpu_list_devices(&(struct gpu_info){0}, 1, NULL, 0) == 0) {
        printf("no Vulkan device: skipped\n");
        return 77;
    }
    if (!mkdtemp(folder)) return 1;
    static const char rows[] = "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"c\",\"completion\":\"d\"}\n";
    char *path = path_join(folder, "rows.jsonl"), *half = path_join(folder, "out/checkpoint-4"), *last = path_join(folder, "out/checkpoint-8");
    CHECK(file_write_atomic(path, rows, sizeof rows - 1, &e) == 0);
    CHECK_SAY(run(NULL, 0, false) == 0, "%s", e.text);
    CHECK(folder_remove(last, &e) == 0);
    char *between = path_join(folder, "out/checkpoint-6");
    CHECK(folder_remove(between, &e) == 0);
    // A look leaves what another process may be writing.
    char *out = path_join(folder, "out"), *written = path_join(out, "checkpoint-9.tmp");
    CHECK(mkdir(written, 0777) == 0 && checkpoint_any(out) && folder_exists(written) && !checkpoint_any(folder));
    begun_elsewhere(half);
    // auto: on with what this device has. By name: not on this one, and the folder is as it was.
    CHECK(run((const char *[]){"matmul_precision=bf16"}, 1, true) == -1);
    CHECK_SAY(strstr(e.text, "matmul_precision") != NULL, "%s", e.text);
    e = (struct error){0};
    CHECK_SAY(run(NULL, 0, true) == 0, "%s", e.text);
    struct run_state state;
    CHECK(checkpoint_state_read(&state, NULL, last, &e) == 0 && state.step == 8);
    CHECK_STRING(state.products, "f32");
    CHECK(state.loss_scale.scale == 0 && strcmp(state.device, "a GPU") != 0);
    run_state_free(&state);
    CHECK(folder_remove(folder, &e) == 0);
    char *all[] = {path, half, last, between, out, written};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    return test_end();
}
