// SPDX-License-Identifier: MIT
//
// sweep: many runs from one config.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"
#include "study/sweep.h"

#include <stdlib.h>

// What would be made: a line a run, or JSON.
static void print_list(const struct sweep *s, bool json)
{
    cJSON *all = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(all, "runs");
    for (size_t i = 0; i < s->grid.count; i++) {
        const struct grid_run *run = &s->grid.runs[i];
        char *set = json_print(run->set, false);
        if (!json) printf("%-8s %s  %s\n", sweep_state_name(s->runs[i].state), run->name, set);
        free(set);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(runs, o);
        cJSON_AddStringToObject(o, "name", run->name);
        cJSON_AddStringToObject(o, "state", sweep_state_name(s->runs[i].state));
        cJSON_AddItemToObject(o, "set", cJSON_Duplicate(run->set, true));
    }
    if (json) print_json(all);
    else cJSON_Delete(all);
}

static void print_results(const struct sweep *s, bool json)
{
    if (json) {
        print_json(sweep_json(s));
        return;
    }
    struct text table = {0};
    sweep_table(&table, s);
    fputs(table.data, stdout);
    text_free(&table);
}

// The failed runs in one sentence; the number of them.
static size_t failed_runs(const struct sweep *s, struct error *e)
{
    size_t failed = 0, first = 0;
    for (size_t i = 0; i < s->grid.count; i++)
        if (s->runs[i].state == SWEEP_FAILED && failed++ == 0) first = i;
    if (failed)
        error_set(e, "%zu of %zu run%s failed%s %s: %s", failed, s->grid.count, plural(s->grid.count), failed > 1 ? "; the first," : ":",
            s->grid.runs[first].name, s->runs[first].why);
    return failed;
}

int command_sweep(const struct command *c, int argc, char **argv)
{
    const char *path = NULL, *device = NULL, *precision = NULL;
    struct option_list sets = {0}, axes = {0};
    bool json = false, list = false, resume = false;
    const struct option options[] = {{"list", OPTION_FLAG, &list, NULL, "only print the runs: state, name, what each sets"},
        {"axis", OPTION_PAIRS, &axes, "KEY=V,V...",
            "an axis more, other values for one of the config, or some of its labels (--axis seed=1,2,3)"},
        {"set", OPTION_PAIRS, &sets, "KEY=VALUE...", "overrides of the base config's keys"},
        {"resume", OPTION_FLAG, &resume, NULL, "go on: what a sweep always does, accepted because train asks for it"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16 (default: the config's)"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto (default: the config's)"},
        FULL_SPEED_OPTION,
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout: results.json, with --list the runs"}, {0}};
    int status = options_parse(c, options, argc, argv, &path, 1, 1);
    if (status >= 0) return free(sets.words), free(axes.words), status;

    struct error e = {0};
    struct sweep sweep = {0};
    bool interrupted = false;
    char *set = precision_set(&sets, precision);
    bool ok = sweep_open(&sweep, path, sets.words, sets.count, axes.words, axes.count, &e) == 0;
    if (ok && list) {
        print_list(&sweep, json);
    } else if (ok) {
        struct workshop *workshop = workshop_open(device_choose, (void *)device);
        ok = sweep_train(&sweep, workshop, &interrupted, &e) == 0;
        workshop_close(workshop);
        if (ok) {
            print_results(&sweep, json);
            say("%s/results.csv and results.json hold all evaluations", sweep.folder);
            if (sweep.earlier_count)
                say("%zu run%s of earlier grids among them (asked: false)", sweep.earlier_count, plural(sweep.earlier_count));
            if (interrupted) say("interrupted: the same command goes on");
            else ok = failed_runs(&sweep, &e) == 0;
        }
    }
    status = !ok ? fail(&e) : interrupted ? STATUS_INTERRUPTED : STATUS_DONE;
    sweep_close(&sweep);
    free(sets.words);
    free(axes.words);
    free(set);
    return status;
}
