// SPDX-License-Identifier: MIT
#include "train/plan_file.h"

#include "formats/json_file.h"
#include "train/output.h"

#include <stdlib.h>
#include <string.h>

cJSON *plan_stages_json(const struct config *c, const struct stages *all)
{
    cJSON *stages = cJSON_CreateArray();
    for (size_t k = 0; k < all->count; k++) {
        const struct stage *s = &all->stages[k];
        cJSON *o = cJSON_CreateObject(), *sources = cJSON_CreateArray();
        cJSON_AddStringToObject(o, "name", s->name);
        cJSON_AddNumberToObject(o, "rows", s->row_count);
        cJSON_AddNumberToObject(o, "steps_per_epoch", (double)s->steps_per_epoch);
        cJSON_AddNumberToObject(o, "steps", (double)s->steps);
        for (size_t i = 0; i < s->share_count; i++) {
            const struct stage_share *share = &s->shares[i];
            const char *ability = c->sources[share->source].ability;
            cJSON *p = cJSON_CreateObject();
            cJSON_AddStringToObject(p, "name", share->name);
            if (ability) cJSON_AddStringToObject(p, "ability", ability);
            cJSON_AddNumberToObject(p, "available", share->available);
            cJSON_AddNumberToObject(p, "rows", share->rows);
            cJSON_AddNumberToObject(p, "tokens", (double)share->tokens);
            cJSON_AddNumberToObject(p, "trained_tokens", (double)share->trained_tokens);
            cJSON_AddItemToArray(sources, p);
        }
        cJSON_AddItemToObject(o, "sources", sources);
        cJSON_AddItemToArray(stages, o);
    }
    return stages;
}

int plan_save(
    const struct config *c, const struct stages *s, const struct run_state *state, const char *model, struct error *e)
{
    cJSON *plan = cJSON_CreateObject();
    cJSON_AddItemToObject(plan, "stages", plan_stages_json(c, s));
    cJSON_AddStringToObject(plan, "device", state->device);
    cJSON_AddStringToObject(plan, "driver", state->driver);
    cJSON_AddStringToObject(plan, "precision", state->storage);
    cJSON_AddStringToObject(plan, "matmul_precision", state->products);
    cJSON_AddStringToObject(plan, "gradient_dtype", state->gradients);
    cJSON_AddNumberToObject(plan, "micro_batch_tokens", state->budget);
    if (model) cJSON_AddStringToObject(plan, "model", model);
    char *path = path_join(c->output_dir, OUTPUT_PLAN);
    int status = json_write_file(path, plan, e);
    free(path);
    cJSON_Delete(plan);
    return status;
}

bool plan_model(char model[17], const char *folder)
{
    char *path = path_join(folder, OUTPUT_PLAN);
    cJSON *plan = file_exists(path) ? json_read_file(path, NULL) : NULL;
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(plan, "model"));
    bool known = text && strlen(text) == 16;
    if (known) memcpy(model, text, 17);
    cJSON_Delete(plan);
    free(path);
    return known;
}
