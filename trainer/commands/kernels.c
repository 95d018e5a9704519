// SPDX-License-Identifier: MIT
//
// kernels: every pipeline that a config's plan uses, made on the device at hand, with what its driver says of each. Nothing
// runs and no memory of the device is taken, so that it also works where a driver only compiles (tools/vendor-lab).
#include "commands/common.h"
#include "commands/list.h"
#include "graph/coopmat.h"
#include "train/kernel_table.h"
#include "train/run.h"
#include "train/tuning.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

// A kernel as the driver made it.
struct made {
    struct gpu_shader shader;
    int executable_count;
    struct gpu_executable executables[GPU_MAX_EXECUTABLES];
};

// ---- what the driver says --------------------------------------------------------------------------------------------

// The figures that matter, under the names that drivers give them; the first name that is there counts.
enum { REGISTERS, SPILLS, SCRATCH, INSTRUCTIONS, OCCUPANCY, CYCLES, FIGURES };
static const struct figure {
    const char *name, *head; // in JSON, in the table
    const char *drivers[7];
} figures[FIGURES] = {
    [REGISTERS] = {"registers", "registers",
        {"VGPRs", "Number of GPRs", "Max live registers", "Registers used", "GPRs", "GRF registers"}},
    // To memory. NVIDIA's spills to other registers and AMD's of scalars (to lanes of a vector register) are not.
    [SPILLS] = {"spills", "spills", {"Spilled VGPRs", "Spills to memory", "Spills", "Spill Count", "STP Count"}},
    [SCRATCH] = {"scratch", "scratch", {"Scratch size", "Scratch Memory Size", "SLM size", "Scratch"}},
    [INSTRUCTIONS] = {"instructions", "instr.", {"Instructions", "Instruction Count", "Instruction count"}},
    [OCCUPANCY] = {"occupancy", "occup.", {"Subgroups per SIMD", "Max warps/SM", "Max Waves Per Core", "Threads", "Max dispatch width"}},
    [CYCLES] = {"cycles", "cycles", {"Inverse Throughput", "Static cycle count", "Cycles", "Cycle Count", "Latency"}},
};

static bool executable_figure(const struct gpu_executable *x, int figure, double *value)
{
    for (int n = 0; n < 7 && figures[figure].drivers[n]; n++)
        for (int i = 0; i < x->count; i++)
            if (strcmp(x->statistics[i].name, figures[figure].drivers[n]) == 0) {
                *value = x->statistics[i].value;
                return true;
            }
    return false;
}

// The worst over the executables. False where the driver does not say.
static bool made_figure(const struct made *m, int figure, double *worst)
{
    bool found = false;
    for (int i = 0; i < m->executable_count; i++) {
        double value;
        if (!executable_figure(&m->executables[i], figure, &value)) continue;
        if (!found || (figure == OCCUPANCY ? value < *worst : value > *worst)) *worst = value;
        found = true;
    }
    return found;
}

// The executable of the widest subgroups does the most at a time: it stands for a kernel that has several.
static const struct gpu_executable *made_main(const struct made *m)
{
    const struct gpu_executable *best = m->executables;
    for (int i = 1; i < m->executable_count; i++)
        if (m->executables[i].subgroup > best->subgroup) best = &m->executables[i];
    return m->executable_count ? best : NULL;
}

static void print_code(const struct kernel_spec *s, const struct gpu_shader *shader, const char *code)
{
    printf("==== %s", s->name);
    for (uint32_t i = 0; i < s->count; i++)
        if (shader->constants[i][0]) printf(" %s=%u", shader->constants[i], s->constants[i]);
    printf("\n%s", code);
}

// Makes every kernel and reads what the driver says of it into made[set->count]. With `code`: only the kernels of that name,
// whose texts are printed.
static int make_kernels(const struct kernel_set *set, struct made *made, struct gpu *gpu, const char *code, struct error *e)
{
    bool found = false, printed = false;
    gpu_want_statistics(gpu, code != NULL);
    for (int i = 0; i < set->count; i++) {
        const struct kernel_spec *s = &set->specs[i];
        if (code && strcmp(code, s->name) != 0) continue;
        gpu_shader_read(&made[i].shader, s->name);
        struct gpu_kernel *kernel = gpu_kernel_make(gpu, s->name, s->constants, s->count, s->subgroup);
        made[i].executable_count = gpu_kernel_executables(gpu, kernel, made[i].executables, GPU_MAX_EXECUTABLES);
        char *text = gpu_kernel_code(gpu, kernel);
        if (text) print_code(s, &made[i].shader, text);
        found = true;
        printed = printed || text;
        free(text);
        gpu_kernel_free(gpu, kernel);
    }
    if (code && !found) return error_set(e, "the plan has no kernel %s; `pumice kernels` lists those it has", code);
    if (code && !printed) return error_set(e, "%s gives no text of its kernels", gpu_info(gpu)->driver);
    return 0;
}

// ---- results -----------------------------------------------------------------------------------------------------------

static cJSON *executable_result(const struct gpu_executable *x)
{
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; x && i < x->count; i++) cJSON_AddNumberToObject(o, x->statistics[i].name, x->statistics[i].value);
    return o;
}

static cJSON *kernel_result(const struct kernel_spec *s, const struct kernel_row *row, const struct made *m)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", s->name);
    cJSON_AddStringToObject(o, "variant", kernel_variant(s, &m->shader));
    cJSON *constants = cJSON_AddObjectToObject(o, "constants");
    for (uint32_t i = 0; i < s->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s", m->shader.constants[i]);
        if (name[0]) cJSON_AddNumberToObject(constants, name, s->constants[i]); // else the shader has no such constant
    }
    if (s->subgroup) cJSON_AddNumberToObject(o, "subgroup", s->subgroup);
    cJSON_AddNumberToObject(o, "calls", row->calls);
    cJSON *uses = cJSON_AddArrayToObject(o, "uses");
    for (int i = 0; i < row->use_count; i++) {
        const struct kernel_use *u = &row->uses[i];
        cJSON *x = cJSON_CreateObject();
        cJSON_AddStringToObject(x, "work", u->work);
        cJSON_AddStringToObject(x, "shape", u->shape);
        cJSON_AddNumberToObject(x, "calls", u->calls);
        cJSON_AddNumberToObject(x, "flop", u->flop);
        if (u->why) cJSON_AddStringToObject(x, "why", u->why);
        cJSON_AddItemToArray(uses, x);
    }
    cJSON *summary = cJSON_AddObjectToObject(o, "figures");
    for (int i = 0; i < FIGURES; i++) {
        double value;
        if (made_figure(m, i, &value)) cJSON_AddNumberToObject(summary, figures[i].name, value);
    }
    const struct gpu_executable *best = made_main(m);
    cJSON_AddItemToObject(o, "statistics", executable_result(best));
    cJSON *executables = m->executable_count > 1 ? cJSON_AddArrayToObject(o, "executables") : NULL;
    for (int i = 0; executables && i < m->executable_count; i++) {
        cJSON *x = cJSON_CreateObject();
        cJSON_AddStringToObject(x, "name", m->executables[i].name);
        cJSON_AddNumberToObject(x, "subgroup", m->executables[i].subgroup);
        cJSON_AddItemToObject(x, "statistics", executable_result(&m->executables[i]));
        cJSON_AddItemToArray(executables, x);
    }
    return o;
}

static void print_result(const struct kernel_table *t, const struct made *made, struct gpu *gpu, const struct blueprint *b)
{
    const struct gpu_info *info = gpu_info(gpu);
    cJSON *out = cJSON_CreateObject(), *device = cJSON_AddObjectToObject(out, "device");
    cJSON_AddStringToObject(device, "name", info->name);
    cJSON_AddStringToObject(device, "driver", info->driver);
    cJSON_AddStringToObject(device, "type", gpu_type_name(info->type));
    cJSON_AddNumberToObject(device, "subgroup_size", info->subgroup_size);
    cJSON_AddItemToObject(device, "matrix_units", device_matrices(info));
    cJSON_AddBoolToObject(device, "statistics", info->statistics);
    cJSON_AddStringToObject(out, "precision", storage_name(b->options.storage));
    cJSON_AddStringToObject(out, "matmul_precision", products_name(b->limits.products));
    cJSON_AddStringToObject(out, "gradient_dtype", storage_name(b->options.gradients));
    cJSON_AddNumberToObject(out, "micro_batch_tokens", b->options.budget);
    if (gpu_validation_messages(gpu)) cJSON_AddNumberToObject(out, "validation_messages", gpu_validation_messages(gpu));
    cJSON *kernels = cJSON_AddArrayToObject(out, "kernels");
    for (int i = 0; i < t->set.count; i++)
        cJSON_AddItemToArray(kernels, kernel_result(&t->set.specs[i], &t->rows[i], &made[i]));
    print_json(out);
}

static void print_table(const struct kernel_table *t, const struct made *made, struct gpu *gpu, const struct blueprint *b)
{
    const struct gpu_info *info = gpu_info(gpu);
    printf("%d kernels for micro-batches of %u tokens, storage %s, gradients %s\n", t->set.count, b->options.budget,
        storage_name(b->options.storage), storage_name(b->options.gradients));
    printf("%-18s %-8s %6s", "kernel", "variant", "calls");
    for (int f = 0; f < FIGURES; f++) printf(" %9s", figures[f].head);
    printf("   used for\n");
    int spilled = 0;
    for (int i = 0; i < t->set.count; i++) {
        const struct kernel_spec *s = &t->set.specs[i];
        const struct kernel_row *row = &t->rows[i];
        const struct made *m = &made[i];
        printf("%-18s %-8s %6d", s->name, kernel_variant(s, &m->shader), row->calls);
        for (int f = 0; f < FIGURES; f++) {
            double value;
            char text[24] = "-";
            bool known = made_figure(m, f, &value), bad = known && f == SPILLS && value > 0;
            if (known) snprintf(text, sizeof text, "%.0f%s", value, bad ? " !" : "");
            printf(" %9s", text);
            spilled += bad;
        }
        printf("   %s: %s", row->uses[0].work, row->uses[0].shape);
        if (row->use_count > 1) printf(" and %d more", row->use_count - 1);
        printf("%s%s\n", row->uses[0].why ? "; " : "", row->uses[0].why ? row->uses[0].why : "");
    }
    if (!info->statistics) printf("%s gives no figures of its kernels; all of them were made\n", info->driver);
    else printf("%d of %d kernels spill registers to memory\n", spilled, t->set.count);
}

// ---- the plan ----------------------------------------------------------------------------------------------------------

#define BUILTIN_TOKENS 512         // of a conversation, and of a software device's micro-batch
#define BUILTIN_TOKENS_GPU 4096    // of a GPU's
static const char builtin[] = "{\"init\": {\"tokenizer\": \"bytes\"}, \"output_dir\": \"none\", \"strategy\": \"multi_task\","
                              "\"sources\": {\"rows\": {\"path\": \"none.jsonl\"}}}";

// The plan that training would make. Where it does not fit the device, that of a device of the same kind with more memory:
// the kernels are the same, and none of the memory is taken.
static int make_plan(struct blueprint *b, const char *path, const struct option_list *sets, uint64_t tokens, struct bundle *bundle,
    struct limits *limits, struct error *e)
{
    struct config config = {0};
    struct dataset data = {0}, none = {.requests = 64};
    if (tokens > MOST_TOKENS)
        return error_set(e, "--tokens is %llu; it is from 1 to %u", (unsigned long long)tokens, MOST_TOKENS);
    int status = path ? config_read(&config, path, sets->words, sets->count, e)
                      : config_read_text(&config, builtin, sizeof builtin - 1, "the built-in plan", sets->words, sets->count, e);
    if (status) return -1;
    if (path) {
        status = bundle_open_config(bundle, &config, e);
        if (status == 0) status = dataset_open(&data, &config, bundle, NULL, true, e);
    } else {
        model_open_builtin(&bundle->model);
        limits->heap = UINT64_MAX / 100; // none is taken: what the device has must not change what is looked at
        none.longest = none.capacity = BUILTIN_TOKENS;
        if (!tokens && !config.micro_batch_tokens) tokens = limits->software ? BUILTIN_TOKENS : BUILTIN_TOKENS_GPU;
    }
    if (tokens) config.micro_batch_tokens = tokens;
    struct error why = {0};
    if (status == 0 && run_blueprint(b, &config, path ? &data : &none, bundle, limits, &why)) {
        limits->heap = UINT64_MAX / 100;
        status = run_blueprint(b, &config, path ? &data : &none, bundle, limits, e);
        if (status == 0) say("planned for more memory than this device has: %s", why.text);
    }
    dataset_close(&data);
    config_free(&config);
    return status;
}

// Each product by the Nth variant that a device's table guesses for it; the last but the reference where there are fewer.
static struct choices *guesses(const struct blueprint *b, const struct model *model, uint64_t n)
{
    struct choices *met = choices_new(), *choices = choices_new();
    blueprint_meet(b, model, met);
    for (int i = 0; i < choices_count(met); i++) {
        struct matmul_variant v[MATMUL_CANDIDATES];
        const struct matmul_shape *shape = &choices_at(met, i)->shape;
        int last = matmul_candidates(&b->limits, shape, v, MATMUL_CANDIDATES) - 2;
        if (last >= 0) choices_set(choices, shape, &v[n - 1 < (uint64_t)last ? (int)n - 1 : last], 0);
    }
    choices_free(met);
    return choices;
}

int command_kernels(const struct command *c, int argc, char **argv)
{
    const char *path = NULL, *device = NULL, *precision = NULL, *code = NULL;
    struct option_list sets = {0};
    uint64_t tokens = 0, guess = 0;
    bool json = false, validate = false;
    const struct option options[] = {{"set", OPTION_PAIRS, &sets, "KEY=VALUE...", "overrides of config keys"},
        {"tokens", OPTION_COUNT, &tokens, "TOKENS", "of a micro-batch (default: as training chooses)"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16 (default: the config's)"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto"},
        {"code", OPTION_TEXT, &code, "KERNEL", "print the driver's texts of this kernel instead: its instructions"},
        {"guess", OPTION_COUNT, &guess, "N", "each product by the Nth of its variants (default: as training does)"},
        {"validate", OPTION_FLAG, &validate, NULL, "under the Khronos validation layer; a message is a failure (exit 3)"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, &path, 0, 1);
    if (status >= 0) return free(sets.words), status;

    struct error e = {0};
    struct bundle bundle = {0};
    struct blueprint blueprint = {0};
    struct choices *choices = NULL;
    struct kernel_table table = {0};
    struct made *made = NULL;
    char *set = precision_set(&sets, precision);
    struct gpu *gpu = device_open_with(&(struct gpu_options){.device = device, .validate = validate}, &e);
    bool ok = gpu != NULL;
    if (ok && gpu_validation_messages(gpu) < 0) {
        e.device = true;
        ok = error_set(&e, "--validate: the Khronos validation layer is not installed (tools/with-driver system --layers has it)") == 0;
    }
    if (ok) {
        struct limits limits = limits_of(gpu_info(gpu));
        ok = make_plan(&blueprint, path, &sets, tokens, &bundle, &limits, &e) == 0;
        if (ok) {
            choices = guess ? guesses(&blueprint, &bundle.model, guess) : device_choices(gpu, &blueprint.limits);
            blueprint_choose_variants(&blueprint, &bundle.model, choices);
        }
        if (ok) kernel_table_make(&table, &blueprint);
        if (ok) made = mem_zero((size_t)table.set.count, sizeof *made);
        ok = ok && make_kernels(&table.set, made, gpu, code, &e) == 0;
    }
    if (ok && json && !code) print_result(&table, made, gpu, &blueprint);
    else if (ok && !code) print_table(&table, made, gpu, &blueprint);
    status = !ok ? fail(&e) : gpu_validation_messages(gpu) ? STATUS_DEVICE : STATUS_DONE;
    kernel_table_free(&table);
    free(made);
    blueprint_free(&blueprint);
    choices_free(choices);
    bundle_close(&bundle);
    if (gpu) gpu_close(gpu);
    free(sets.words);
    free(set);
    return status;
}
