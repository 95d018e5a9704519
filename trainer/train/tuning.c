// SPDX-License-Identifier: MIT
#include "train/tuning.h"

#include "formats/json_file.h"
#include "graph/coopmat.h"
#include "graph/cost.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ---- as JSON -------------------------------------------------------------------------------------------------------

// Two variants of one name may differ between builds: only the same kernel with the same constants was tried.
static uint64_t fingerprint(const struct matmul_variant *v)
{
    const uint32_t words[] = {v->group, v->subgroup, v->constant_count, v->groups_x, v->groups_y, v->strips, v->split, v->step};
    uint64_t hash = fnv1a(FNV_START, v->kernel, strlen(v->kernel));
    hash = fnv1a(hash, words, sizeof words);
    return fnv1a(hash, v->constants, v->constant_count * sizeof *v->constants);
}

static cJSON *shape_json(const struct matmul_shape *s)
{
    cJSON *o = cJSON_CreateObject();
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"m", (double)s->m}, {"n", (double)s->n}, {"k", (double)s->k}, {"a_bf16", s->a_bf16}, {"b_bf16", s->b_bf16},
        {"c_bf16", s->c_bf16}, {"live_m", s->live_m}, {"live_k", s->live_k}, {"add", s->add}, {"epilogue", s->epilogue}};
    cJSON_AddStringToObject(o, "layout", layout_name(s->layout));
    cJSON_AddStringToObject(o, "products", products_name(s->products));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) cJSON_AddNumberToObject(o, numbers[i].key, numbers[i].value);
    return o;
}

static cJSON *attention_json(const struct attention_choice *c)
{
    char text[32];
    snprintf(text, sizeof text, "%016" PRIx64, c->fingerprint);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "attention", c->shape.head_dim);
    cJSON_AddStringToObject(o, "products", products_name(c->shape.products));
    cJSON_AddNumberToObject(o, "bf16", c->shape.bf16);
    cJSON_AddNumberToObject(o, "dropout", c->shape.dropout);
    cJSON_AddNumberToObject(o, "kernels", c->kernels);
    cJSON_AddNumberToObject(o, "right", c->right);
    cJSON_AddStringToObject(o, "fingerprint", text);
    return o;
}

struct cJSON *tuning_json(const struct choices *choices)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < choices_count(choices); i++) {
        const struct choice *c = choices_at(choices, i);
        char text[32];
        snprintf(text, sizeof text, "%016" PRIx64, fingerprint(&c->variant));
        cJSON *o = shape_json(&c->shape);
        cJSON_AddStringToObject(o, "variant", c->variant.name);
        cJSON_AddStringToObject(o, "fingerprint", text);
        cJSON_AddNumberToObject(o, "seconds", c->seconds);
        cJSON_AddItemToArray(list, o);
    }
    for (int i = 0; i < choices_attention_count(choices); i++)
        cJSON_AddItemToArray(list, attention_json(choices_attention_at(choices, i)));
    return list;
}

// A whole number of an object, or -1.
static int64_t whole(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    double x = cJSON_IsNumber(item) ? item->valuedouble : -1;
    return x >= 0 && x < 9e15 && x == (double)(int64_t)x ? (int64_t)x : -1;
}

static bool attention_read(struct choices *choices, const struct limits *limits, const cJSON *o)
{
    int64_t head = whole(o, "attention"), kernels = whole(o, "kernels"), right = whole(o, "right"), bf16 = whole(o, "bf16"),
            dropout = whole(o, "dropout");
    struct attention_choice c = {.kernels = (uint32_t)kernels, .right = right == 1,
        .shape = {.head_dim = (uint32_t)head, .bf16 = bf16 == 1, .dropout = dropout == 1}};
    char text[32];
    if (head < 1 || head > 65536 || kernels < 1 || kernels > UINT32_MAX || right < 0 || bf16 < 0 || dropout < 0) return false;
    if (!products_find(&c.shape.products, json_text(o, "products"))) return false;
    snprintf(text, sizeof text, "%016" PRIx64, c.fingerprint = attention_fingerprint(limits, &c.shape));
    if (strcmp(text, json_text(o, "fingerprint")) != 0) return false;
    choices_set_attention(choices, &c);
    return true;
}

static bool shape_read(struct matmul_shape *s, const cJSON *o)
{
    int64_t v[10];
    static const char *const keys[] = {"m", "n", "k", "a_bf16", "b_bf16", "c_bf16", "live_m", "live_k", "add", "epilogue"};
    bool good = true, layout = false;
    for (int i = 0; i < 10; i++) good = (v[i] = whole(o, keys[i])) >= 0 && good;
    *s = (struct matmul_shape){.m = (uint64_t)v[0], .n = (uint64_t)v[1], .k = (uint64_t)v[2], .a_bf16 = v[3] == 1,
        .b_bf16 = v[4] == 1, .c_bf16 = v[5] == 1, .live_m = (uint32_t)v[6], .live_k = (uint32_t)v[7], .add = (uint32_t)v[8],
        .epilogue = (uint32_t)v[9]};
    for (uint32_t i = 0; i < 3 && !layout; i++)
        if ((layout = strcmp(layout_name(i), json_text(o, "layout")) == 0)) s->layout = i;
    return products_find(&s->products, json_text(o, "products")) && good && layout && v[0] > 0 && v[1] > 0 && v[2] > 0;
}

int tuning_read(struct choices *choices, const struct limits *limits, const struct cJSON *list)
{
    int count = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, list)
    {
        struct matmul_shape shape;
        struct matmul_variant v;
        char text[32];
        if (cJSON_GetObjectItemCaseSensitive(o, "attention")) {
            count += attention_read(choices, limits, o);
            continue;
        }
        if (!shape_read(&shape, o) || !matmul_find(limits, &shape, json_text(o, "variant"), &v)) continue;
        snprintf(text, sizeof text, "%016" PRIx64, fingerprint(&v));
        const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(o, "seconds");
        if (strcmp(text, json_text(o, "fingerprint")) != 0 || !cJSON_IsNumber(seconds)) continue;
        choices_set(choices, &shape, &v, seconds->valuedouble);
        count++;
    }
    return count;
}

bool tuning_lost(const cJSON *list, const struct limits *limits)
{
    struct choices *choices = choices_new();
    struct limits bare = *limits;
    bare.choices = NULL;
    bool lost = tuning_read(choices, &bare, list) < cJSON_GetArraySize(list);
    choices_free(choices);
    return lost;
}

// ---- the cache -----------------------------------------------------------------------------------------------------

// One file a device, driver and build; NULL where nothing is kept. The caller frees.
static char *cache_path(const struct gpu *gpu, const char *folder)
{
    return folder ? mem_format("%s/products-%016" PRIx64 ".json", folder, gpu_key(gpu)) : NULL;
}

struct choices *tuning_cached(const struct gpu *gpu, const char *folder, const struct limits *limits)
{
    struct choices *choices = choices_new();
    char *path = cache_path(gpu, folder);
    struct error e = {0};
    cJSON *json = path && file_exists(path) ? json_read_file(path, &e) : NULL;
    if (e.text[0]) say("%s; it will be written anew", e.text);
    tuning_read(choices, limits, cJSON_GetObjectItemCaseSensitive(json, "products"));
    cJSON_Delete(json);
    free(path);
    return choices;
}

// What is new goes in, what is there for other shapes stays. Nothing depends on the file: it is no error if it cannot be written.
static void cache_write(const struct gpu *gpu, const struct limits *limits, const struct choices *found)
{
    char *path = cache_path(gpu, gpu_cache_folder(gpu));
    if (!path) return;
    struct choices *all = tuning_cached(gpu, gpu_cache_folder(gpu), limits);
    for (int i = 0; i < choices_count(found); i++) {
        const struct choice *c = choices_at(found, i);
        choices_set(all, &c->shape, &c->variant, c->seconds);
    }
    for (int i = 0; i < choices_attention_count(found); i++) choices_set_attention(all, choices_attention_at(found, i));
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "device", gpu_info(gpu)->name);
    cJSON_AddStringToObject(json, "driver", gpu_info(gpu)->driver);
    cJSON_AddItemToObject(json, "products", tuning_json(all));
    struct error e = {0};
    if (json_write_file(path, json, &e)) say("what was chosen for the products is not kept: %s", e.text);
    cJSON_Delete(json);
    choices_free(all);
    free(path);
}

// ---- choosing ------------------------------------------------------------------------------------------------------

void tuning_print(struct text *out, const struct choices *choices, const struct choices *met)
{
    struct {
        const char *name, *kernel;
        int count;
    } names[64];
    int n = 0, others = 0;
    for (int i = 0; i < choices_count(met); i++) {
        const struct choice *c = choices_find(choices, &choices_at(met, i)->shape);
        if (!c) continue;
        int k = 0;
        while (k < n && (strcmp(names[k].name, c->variant.name) != 0 || strcmp(names[k].kernel, c->variant.kernel) != 0)) k++;
        if (k == 64) others++;
        else if (k < n) names[k].count++;
        else names[n].name = c->variant.name, names[n].kernel = c->variant.kernel, names[n++].count = 1;
    }
    for (int shown = 0; shown < n; shown++) {
        int most = 0;
        for (int k = 1; k < n; k++)
            if (names[k].count > names[most].count) most = k;
        text_print(out, "%s%s (%d%s)", shown ? ", " : "", names[most].name, names[most].count, shown ? "" : " products");
        names[most].count = 0;
    }
    if (others) text_print(out, ", others (%d)", others);
    for (int i = 0; i < choices_attention_count(choices); i++) {
        const struct attention_choice *c = choices_attention_at(choices, i);
        if (!c->right) text_print(out, "; no matrix units for attention, heads of %u: wrong or refused", c->shape.head_dim);
    }
}

static void report_say(const struct gpu *gpu, const struct tune_report *r, bool measured, const struct choices *choices,
    const struct choices *met)
{
    struct text text = {0};
    tuning_print(&text, choices, met);
    if (r->products && measured)
        say("%d product%s tried on %s by %d variant%s, %d wrong, in %.1f s (%.2f s of them running)", r->products,
            plural((uint64_t)r->products), gpu_info(gpu)->name, r->tried, plural((uint64_t)r->tried), r->wrong,
            r->seconds, r->device_seconds);
    else if (r->products)
        say("%d product%s checked on %s in %.1f s, %d variant%s wrong", r->products, plural((uint64_t)r->products), gpu_info(gpu)->name,
            r->seconds, r->wrong, plural((uint64_t)r->wrong));
    if (r->attentions) say("attention on matrix units was tried on %s, too", gpu_info(gpu)->name);
    say("products: %s", text.bytes ? text.data : "none");
    text_free(&text);
}

// What is known of the products in `met`: by the run itself, else by the cache.
static struct choices *known(const struct gpu *gpu, const struct limits *limits, const struct choices *met, const cJSON *own)
{
    struct choices *cached = tuning_cached(gpu, gpu_cache_folder(gpu), limits), *choices = choices_new();
    tuning_read(cached, limits, own);
    for (int i = 0; i < choices_count(met); i++) {
        const struct choice *c = choices_find(cached, &choices_at(met, i)->shape);
        if (c && !(limits->lean && c->variant.split > 1)) choices_set(choices, &c->shape, &c->variant, c->seconds);
    }
    for (int i = 0; i < choices_attention_count(met); i++) {
        const struct attention_choice *m = choices_attention_at(met, i), *c = choices_find_attention(cached, &m->shape, m->kernels);
        if (c) choices_set_attention(choices, c);
    }
    choices_free(cached);
    return choices;
}

struct choices *tuning_choose(
    struct gpu *gpu, const struct limits *limits, const struct choices *met, const struct cJSON *own, struct error *e)
{
    struct limits bare = *limits;
    bare.choices = NULL;
    bare.met = NULL;
    struct choices *choices = known(gpu, &bare, met, own);
    bool measure = !limits->software;
    struct tune_report report;
    if (tune(choices, gpu, &bare, met, measure, &report, e)) {
        choices_free(choices);
        return NULL;
    }
    if ((report.products || report.attentions) && !bare.lean) cache_write(gpu, &bare, choices); // lean ones are this run's own
    report_say(gpu, &report, measure, choices, met);
    return choices;
}

// Choices for what the blueprint meets; *fits: it is made with them.
static struct choices *choose_for(
    struct blueprint *b, const struct model *model, struct gpu *gpu, const cJSON *own, bool *fits, struct error *e)
{
    struct choices *met = choices_new();
    blueprint_meet(b, model, met);
    struct choices *choices = tuning_choose(gpu, &b->limits, met, own, e);
    choices_free(met);
    *fits = choices && blueprint_choose_variants(b, model, choices);
    return choices;
}

struct choices *tuning_blueprint(
    struct blueprint *b, const struct model *model, struct gpu *gpu, const struct cJSON *own, struct error *e)
{
    bool fits;
    struct choices *choices = choose_for(b, model, gpu, own, &fits, e);
    if (!choices || fits) return choices;
    // Never back to what was not tried: what was found wrong would come with it.
    say("the variants of the products chosen on this device need more memory than it has: others are chosen that need none");
    choices_free(choices);
    b->limits.lean = true;
    choices = choose_for(b, model, gpu, own, &fits, e);
    if (!choices || fits) return choices;
    choices_free(choices);
    error_set(e, "the variants of the products that are right on %s need more memory than it has: lower micro_batch_tokens", gpu_info(gpu)->name);
    return NULL;
}

void tuning_forget(const struct gpu *gpu)
{
    char *path = cache_path(gpu, gpu_cache_folder(gpu));
    if (path) remove(path);
    free(path);
}
