// SPDX-License-Identifier: MIT
#include "commands/common.h"
#include "graph/coopmat.h"
#include "formats/json_file.h"
#include "train/tuning.h"

#include <stdlib.h>
#include <string.h>

// Where pipelines and what was found out of devices are kept; NULL without a home. The caller frees.
static char *cache_folder(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    return xdg && *xdg ? path_join(xdg, "pumice/pipelines") : home ? path_join(home, ".cache/pumice/pipelines") : NULL;
}

struct choices *device_choices(const struct gpu *gpu, const struct limits *limits)
{
    char *folder = cache_folder();
    struct choices *choices = tuning_cached(gpu, folder, limits);
    free(folder);
    return choices;
}

// Where the loader found only an old software driver, the faster one is one command away.
static void say_faster(const struct gpu_info *info)
{
    if (strstr(info->name, "llvmpipe") && info->driver_version < (26u << 22))
        say("a faster software driver is at hand: tools/with-driver lavapipe-26 build/pumice ... (about four times as fast)");
}

int device_missing(struct error *e)
{
    char *why = mem_string(*e->text ? e->text : "no Vulkan device was found");
    error_set(e, "%s; install a Vulkan driver (Debian: mesa-vulkan-drivers), or use tools/with-driver lavapipe-26 COMMAND", why);
    e->device = true;
    free(why);
    return -1;
}

struct gpu *device_open_with(const struct gpu_options *options, struct error *e)
{
    struct gpu *gpu = gpu_open(options, e->text, sizeof e->text);
    if (!gpu) {
        struct gpu_info first;
        if (gpu_list_devices(&first, 1, NULL, 0) == 0) device_missing(e);
        return NULL;
    }
    const struct gpu_info *info = gpu_info(gpu);
    say("device: %s (%s, %s)", info->name, gpu_type_name(info->type), info->driver);
    for (int i = 0; info->quirks[i]; i++) say("  %s", info->quirks[i]);
    if (info->type == GPU_SOFTWARE) {
        say("this is a software device: it computes on the CPU");
        say_faster(info);
    }
    return gpu;
}

bool device_full_speed;

struct gpu *device_open(const char *choice, struct error *e)
{
    char *folder = cache_folder();
    struct gpu *gpu = device_open_with(&(struct gpu_options){.device = choice, .cache_folder = folder, .full_speed = device_full_speed}, e);
    free(folder);
    return gpu;
}

struct gpu *device_choose(void *flag, const char *choice, struct error *e)
{
    return device_open(flag ? flag : choice, e);
}

static const char *element_name(enum gpu_element e)
{
    return e == GPU_F16 ? "f16" : e == GPU_BF16 ? "bf16" : "f32";
}

cJSON *device_matrices(const struct gpu_info *info)
{
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < info->matrix_count; i++) {
        const struct gpu_matrix *m = &info->matrices[i];
        char text[64];
        snprintf(text, sizeof text, "%ux%ux%u %s->%s", m->m, m->n, m->k, element_name(m->ab), element_name(m->c));
        cJSON_AddItemToArray(list, cJSON_CreateString(text));
    }
    return list;
}

int precision_parse(enum storage *storage, const char *word, const struct gpu_info *info, struct error *e)
{
    if (!word || strcmp(word, "auto") == 0) *storage = info->type == GPU_SOFTWARE ? STORAGE_F32 : STORAGE_BF16;
    else if (strcmp(word, "f32") == 0) *storage = STORAGE_F32;
    else if (strcmp(word, "bf16") == 0) *storage = STORAGE_BF16;
    else return error_set(e, "--precision is %s; it is one of auto, f32, bf16", word);
    return 0;
}

char *precision_set(struct option_list *sets, const char *word)
{
    if (!word) return NULL;
    char *set = mem_format("precision=%s", word);
    sets->words = mem_resize(sets->words, (sets->count + 1) * sizeof *sets->words);
    sets->words[sets->count++] = set;
    return set;
}

int evaluator_open(struct evaluator *v, struct bundle *bundle, struct gpu *gpu, enum storage storage, uint32_t longest,
    struct error *e)
{
    *v = (struct evaluator){.bundle = bundle, .gpu = gpu};
    struct limits limits = limits_of(gpu_info(gpu));
    limits.products = products_best(gpu_info(gpu));
    struct blueprint_options o = {.positions = longest, .storage = storage, .optimizer = OPTIMIZER_NONE};
    if (blueprint_choose(&v->blueprint, &bundle->model, &limits, &o, false, 0, e)) return -1;
    v->choices = tuning_blueprint(&v->blueprint, &bundle->model, gpu, NULL, e);
    v->session = NULL;
    if (v->choices) v->session = session_open(&v->blueprint, &bundle->model, gpu, e);
    if (v->session && model_load(&bundle->model, session_engine(v->session), 0, e) == 0) return 0;
    evaluator_close(v);
    return -1;
}

void evaluator_close(struct evaluator *v)
{
    session_close(v->session);
    blueprint_free(&v->blueprint);
    choices_free(v->choices);
    *v = (struct evaluator){0};
}

int writer_open_with(struct writer *w, struct bundle *bundle, struct gpu *gpu, enum storage storage,
    const struct generation_options *options, uint32_t most, struct error *e)
{
    *w = (struct writer){0};
    struct limits limits = limits_of(gpu_info(gpu));
    limits.products = products_best(gpu_info(gpu));
    struct generation_options o = generation_choose(&bundle->model, &limits, storage, options->capacity, most);
    if (options->slots) o.slots = generation_fit(&bundle->model, &limits, storage, o.capacity, options->slots);
    if (options->together) o.together = options->together;
    struct choices *met = limits.met = choices_new();
    int status = generation_make(&w->generation, &bundle->model, &limits, &o, e);
    limits.met = NULL;
    if (status == 0) limits.choices = w->choices = tuning_choose(gpu, &limits, met, NULL, e);
    choices_free(met);
    generation_free(&w->generation);
    if (!w->choices || generation_make(&w->generation, &bundle->model, &limits, &o, e)) {
        writer_close(w);
        return -1;
    }
    w->engine = engine_open(gpu, &w->generation.graph[GENERATION_READ], OPTIMIZER_NONE, e);
    bool ok = w->engine != NULL;
    for (int i = 0; ok && i < GENERATION_PROGRAMS; i++) engine_reserve(w->engine, &w->generation.plan[i]);
    ok = ok && (w->generator = generator_open(&w->generation, &bundle->model, w->engine, e));
    if (ok && model_load(&bundle->model, w->engine, 0, e) == 0) return 0;
    writer_close(w);
    return -1;
}

int writer_open(struct writer *w, struct bundle *bundle, struct gpu *gpu, enum storage storage, uint32_t capacity, uint32_t most,
    struct error *e)
{
    return writer_open_with(w, bundle, gpu, storage, &(struct generation_options){.capacity = capacity}, most, e);
}

void writer_close(struct writer *w)
{
    generator_close(w->generator);
    engine_close(w->engine);
    generation_free(&w->generation);
    choices_free(w->choices);
    *w = (struct writer){0};
}

#define PROGRESS_SECONDS 5

struct progress progress_begin(size_t count)
{
    double now = clock_seconds();
    return (struct progress){.count = (uint32_t)count, .began = now, .said = now};
}

void progress_ended(void *context, uint32_t request, uint64_t tokens)
{
    (void)request;
    struct progress *p = context;
    double now = clock_seconds();
    p->done++;
    if (now - p->said < PROGRESS_SECONDS) return;
    p->said = now;
    say("%u of %u rows, %.1f tokens/s", p->done, p->count, (double)tokens / (now - p->began));
}

struct pack_item *source_items(const struct source *s)
{
    struct pack_item *items = mem_zero(s->count + 1, sizeof *items);
    for (size_t i = 0; i < s->count; i++)
        items[i] = (struct pack_item){s->rows[i].ids, s->rows[i].mask, s->rows[i].tokens, 0};
    return items;
}

int rows_walk(const char *path, bool strict, row_taker take, void *context, size_t *skipped, struct error *e)
{
    struct row_reader reader;
    struct arena arena = {0};
    const char *text;
    size_t bytes;
    int more, status = 0;
    if (row_reader_open(&reader, path, e)) return -1;
    while (status == 0 && (more = row_reader_next(&reader, &text, &bytes, e)) != 0) {
        struct row row;
        struct error why;
        if (more < 0) {
            status = -1;
            continue;
        }
        arena_reset(&arena);
        char *place = row_place(path, reader.array, reader.number);
        if (row_parse(&row, &arena, text, bytes, &why) || take(context, &row, place, &why)) {
            if (strict) status = error_set(e, "%s: %s", place, why.text);
            else if ((*skipped)++ < SOURCE_PROBLEMS) say("skipped: %s: %s", place, why.text);
        }
        free(place);
    }
    row_reader_close(&reader);
    arena_free(&arena);
    return status;
}

void print_json(cJSON *value)
{
    char *text = json_print(value, false);
    puts(text);
    free(text);
    cJSON_Delete(value);
}
