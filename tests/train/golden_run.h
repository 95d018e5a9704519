// SPDX-License-Identifier: MIT
//
// golden_run.h: the tiny Llamas of tests/golden on a device: what tools/golden.py wrote of them, and sessions.
#ifndef PUMICE_GOLDEN_RUN_H
#define PUMICE_GOLDEN_RUN_H

#include "formats/json_file.h"
#include "formats/safetensors.h"
#include "test.h"
#include "train/session.h"

struct golden {
    struct model model;
    cJSON *json;
    struct safetensors *tensors;
    struct pack_item items[16];
    uint32_t count;
};

static inline int golden_open(struct golden *g, const char *name)
{
    struct error e = {0};
    char path[256];
    *g = (struct golden){0};
    snprintf(path, sizeof path, "tests/golden/%s", name);
    if (model_open(&g->model, path, &e)) return printf("%s\n", e.text), -1;
    snprintf(path, sizeof path, "tests/golden/%s/golden.json", name);
    if (!(g->json = json_read_file(path, &e))) return printf("%s\n", e.text), -1;
    snprintf(path, sizeof path, "tests/golden/%s/golden.safetensors", name);
    if (!(g->tensors = safetensors_open(path, &e))) return printf("%s\n", e.text), -1;
    const cJSON *d;
    cJSON_ArrayForEach(d, cJSON_GetObjectItem(g->json, "documents"))
    {
        const cJSON *ids = cJSON_GetObjectItem(d, "ids"), *mask = cJSON_GetObjectItem(d, "mask"), *x;
        uint32_t n = (uint32_t)cJSON_GetArraySize(ids), *id = mem_alloc(4 * n), i = 0;
        uint8_t *m = mem_alloc(n);
        cJSON_ArrayForEach(x, ids) id[i++] = (uint32_t)x->valueint;
        i = 0;
        cJSON_ArrayForEach(x, mask) m[i++] = (uint8_t)x->valueint;
        g->items[g->count++] = (struct pack_item){id, m, n, 0};
    }
    return 0;
}

static inline void golden_close(struct golden *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        free((void *)(uintptr_t)g->items[i].ids), free((void *)(uintptr_t)g->items[i].mask);
    cJSON_Delete(g->json);
    safetensors_close(g->tensors);
    model_close(&g->model);
}

static inline double scalar(const cJSON *json, const char *key)
{
    return cJSON_GetObjectItem(json, key)->valuedouble;
}

static inline struct step_settings settings_of(const struct golden *g, uint64_t update, double rate)
{
    const cJSON *o = cJSON_GetObjectItem(g->json, "optimizer");
    return (struct step_settings){.optimizer = OPTIMIZER_ADAMW, .learning_rate = rate < 0 ? scalar(o, "learning_rate") : rate,
        .beta1 = scalar(o, "adam_beta1"),
        .beta2 = scalar(o, "adam_beta2"),
        .epsilon = scalar(o, "adam_epsilon"),
        .weight_decay = scalar(o, "weight_decay"),
        .max_norm = scalar(o, "max_grad_norm"),
        .update = update,
        .packing = true};
}

// What is allocated is what was planned.
static inline struct session *start_within(const struct limits *limits, const struct golden *g, struct gpu *gpu,
    struct blueprint *b, uint32_t budget, bool checkpoint, enum storage storage, enum storage gradients)
{
    struct error e = {0};
    struct blueprint_options o = {.budget = budget, .positions = 64, .storage = storage, .gradients = gradients,
        .checkpoint = checkpoint, .optimizer = OPTIMIZER_ADAMW};
    uint64_t others = gpu_allocated(gpu);
    if (blueprint_make(b, &g->model, limits, &o, &e)) return printf("%s\n", e.text), NULL;
    struct session *s = session_open(b, &g->model, gpu, &e);
    if (!s) return printf("%s\n", e.text), NULL;
    if (model_load(&g->model, session_engine(s), 0, &e)) return printf("%s\n", e.text), NULL;
    CHECK_SAY(gpu_allocated(gpu) - others == b->memory.total, "planned %llu, allocated %llu", (unsigned long long)b->memory.total,
        (unsigned long long)(gpu_allocated(gpu) - others));
    return s;
}

// A loss in bf16 storage against float64's, relative: 8 bits of every activation, some tens of roundings in a row.
#define BF16_LOSS 1e-2

#endif
