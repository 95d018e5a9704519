// SPDX-License-Identifier: MIT
#include "train/outcome.h"

#include "formats/json_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int outcome_write(const char *output_dir, const struct outcome *o, struct error *e)
{
    char *path = path_join(output_dir, OUTPUT_OUTCOME), *hash = mem_format("%016" PRIx64, o->hash);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "state", "done");
    cJSON_AddNumberToObject(json, "steps", (double)o->steps);
    cJSON_AddStringToObject(json, "hash", hash);
    int status = json_write_file(path, json, e);
    cJSON_Delete(json);
    free(hash);
    free(path);
    return status;
}

int outcome_remove(const char *output_dir, struct error *e)
{
    char *path = path_join(output_dir, OUTPUT_OUTCOME);
    int status = 0;
    if (unlink(path) == 0) status = folder_sync(output_dir, e);
    else if (errno != ENOENT) status = error_set(e, "%s: cannot be removed (%s)", path, strerror(errno));
    free(path);
    return status;
}

int outcome_read(struct outcome *o, const char *output_dir, struct error *e)
{
    char *path = path_join(output_dir, OUTPUT_OUTCOME);
    int status = 0;
    if (file_exists(path)) {
        cJSON *json = json_read_file(path, e);
        const cJSON *steps = cJSON_GetObjectItemCaseSensitive(json, "steps"),
                    *hash = cJSON_GetObjectItemCaseSensitive(json, "hash");
        bool good = cJSON_IsNumber(steps) && steps->valuedouble >= 0 && cJSON_IsString(hash) &&
                    sscanf(hash->valuestring, "%" SCNx64, &o->hash) == 1;
        if (good) o->steps = (uint64_t)steps->valuedouble;
        else if (json) error_set(e, "%s: is not what a finished run leaves; remove it to go on with the run", path);
        status = good ? 1 : -1;
        cJSON_Delete(json);
    }
    free(path);
    return status;
}

bool outcome_fits(const struct outcome *o, uint64_t steps, const char *hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, o->hash);
    return o->steps == steps && strcmp(text, hash) == 0;
}
