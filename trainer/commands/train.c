// SPDX-License-Identifier: MIT
//
// train: the run.
#include "commands/common.h"
#include "commands/list.h"
#include "train/output.h"
#include "train/run.h"
#include "train/tuning.h"

#include <stdlib.h>

int command_train(const struct command *c, int argc, char **argv)
{
    const char *path = NULL, *device = NULL, *precision = NULL;
    struct option_list sets = {0};
    bool json = false, resume = false, again = false;
    const struct option options[] = {{"resume", OPTION_FLAG, &resume, NULL, "go on from the newest checkpoint in output_dir, to the same bits"},
        {"set", OPTION_PAIRS, &sets, "KEY=VALUE...", "overrides of config keys (--set learning_rate=1e-5 sources.math.max_rows=100)"},
        {"tune", OPTION_FLAG, &again, NULL, "try the products' variants on the device again, whatever the cache holds"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16 (default: the config's)"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto (default: the config's)"},
        FULL_SPEED_OPTION,
        {"json", OPTION_FLAG, &json, NULL, "the last line of log.jsonl on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, &path, 1, 1);
    if (status >= 0) return free(sets.words), status;
    if (again && resume) {
        say("--tune and --resume do not go together: a run that goes on keeps the variants that it began with");
        return free(sets.words), STATUS_USAGE;
    }

    struct error e = {0};
    struct config config = {0};
    struct run_outcome out = {0};
    char *set = precision_set(&sets, precision);
    bool ok = config_read(&config, path, sets.words, sets.count, &e) == 0;
    if (ok && config.notes) say("%s", config.notes);
    char *grid = ok ? path_join(config.output_dir, OUTPUT_GRID) : NULL;
    if (ok && file_exists(grid))
        ok = error_set(&e, "%s: holds a sweep; --set output_dir=... names another folder for this run", config.output_dir) == 0;
    free(grid);
    struct workshop *workshop = workshop_open(device_choose, (void *)device);
    if (ok && again) {
        const struct gpu *gpu = workshop_gpu(workshop, config.device, &e);
        if (gpu) tuning_forget(gpu);
        ok = gpu != NULL;
    }
    ok = ok && run_train(&config, workshop, &(struct run_options){.resume = resume}, &out, &e) == 0;
    if (json && out.last_line) puts(out.last_line);
    if (ok && out.interrupted) say("go on with --resume");
    else if (ok) say("done: the model is in %s", config.output_dir);
    status = !ok ? fail(&e) : out.interrupted ? STATUS_INTERRUPTED : STATUS_DONE;
    free(out.last_line);
    workshop_close(workshop);
    config_free(&config);
    free(sets.words);
    free(set);
    return status;
}
