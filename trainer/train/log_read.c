// SPDX-License-Identifier: MIT
#include "train/log_read.h"

#include "formats/json_file.h"
#include "train/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int log_reader_open(struct log_reader *r, const char *output_dir, struct error *e)
{
    *r = (struct log_reader){.path = path_join(output_dir, OUTPUT_LOG)};
    if (file_exists(r->path) && file_map(&r->file, r->path, e) == 0) return 1;
    int status = file_exists(r->path) ? -1 : 0;
    log_reader_close(r);
    return status;
}

void log_reader_close(struct log_reader *r)
{
    if (r->file.data) file_unmap(&r->file);
    cJSON_Delete(r->json);
    free(r->path);
    *r = (struct log_reader){0};
}

double log_score_read(const cJSON *item)
{
    return cJSON_IsNull(json_member(item, "loss")) ? NAN : json_number(item, "score");
}

static void parse(struct log_line *line)
{
    const cJSON *step = json_member(line->json, "step"), *stage = json_member(line->json, "stage");
    const cJSON *hash = json_member(line->json, "hash");
    if (!cJSON_IsNumber(step) || step->valuedouble < 0 || step->valuedouble > 0x1p53 || !cJSON_IsString(stage)) return;
    line->step = (uint64_t)step->valuedouble;
    line->stage = stage->valuestring;
    line->eval = json_member(line->json, "eval");
    if (line->eval) {
        line->kind = cJSON_IsObject(line->eval) ? LOG_EVAL : LOG_OTHER;
    } else if (line->step) {
        line->kind = LOG_STEP;
        line->hash = cJSON_IsString(hash) ? hash->valuestring : "";
        line->loss = json_number(line->json, "loss");
        line->seconds = json_number(line->json, "seconds");
    }
}

bool log_reader_next(struct log_reader *r, struct log_line *line)
{
    cJSON_Delete(r->json);
    r->json = NULL;
    const char *text = (const char *)r->file.data + r->at;
    size_t left = r->file.bytes - r->at;
    const char *end = left ? memchr(text, '\n', left) : NULL;
    r->torn = left && !end;
    if (!end) return false;
    r->line++;
    r->at += (size_t)(end - text) + 1;
    r->json = json_read_row(r->path, text, (size_t)(end - text), NULL);
    *line = (struct log_line){.json = r->json};
    parse(line);
    return true;
}
