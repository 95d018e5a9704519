// SPDX-License-Identifier: MIT
#include "train/stops.h"

#include "data/render.h"
#include "formats/json_file.h"

#include <stdlib.h>
#include <string.h>

static void add_id(struct stops *s, double id)
{
    if (!(id >= 0 && id < UINT32_MAX) || stops_at(s, (uint32_t)id)) return;
    s->ids = mem_resize(s->ids, (s->id_count + 1) * sizeof *s->ids);
    s->ids[s->id_count++] = (uint32_t)id;
}

void stops_add_text(struct stops *s, const char *text)
{
    if (!*text) return;
    s->texts = mem_resize(s->texts, (s->text_count + 1) * sizeof *s->texts);
    s->texts[s->text_count++] = mem_string(text);
}

static void add_ids(struct stops *s, const cJSON *json)
{
    const cJSON *id, *eos = cJSON_GetObjectItemCaseSensitive(json, "eos_token_id");
    if (cJSON_IsNumber(eos)) add_id(s, eos->valuedouble);
    if (!cJSON_IsArray(eos)) return;
    cJSON_ArrayForEach(id, eos) if (cJSON_IsNumber(id)) add_id(s, id->valuedouble);
}

static int add_generation_config(struct stops *s, const char *folder, struct error *e)
{
    char *path = path_join(folder, "generation_config.json");
    int status = 0;
    if (file_exists(path)) {
        cJSON *json = json_read_file(path, e);
        if (json)
            add_ids(s, json);
        else
            status = -1;
        cJSON_Delete(json);
    }
    free(path);
    return status;
}

// Renders one turn of each side: what follows the assistant's text within its trained span closes the turn.
static void add_closing(struct stops *s, const struct tokenizer *tokenizer, const struct template *template)
{
    const struct message messages[] = {{ROLE_USER, TRAIN_BY_ROLE, "a", 1}, {ROLE_ASSISTANT, TRAIN_BY_ROLE, "b", 1}};
    struct rendering r = {0};
    struct tokens tokens = {0};
    struct error refused; // a template that cannot show this closes nothing
    if (render_messages(&r, template, messages, 2, &refused) == 0 && r.span_count == 1 &&
        tokenizer_encode(tokenizer, &tokens, r.runs, r.run_count, &refused) == 0) {
        size_t begin = 0, end = r.spans[0].end;
        for (size_t i = 0; i < r.full.count; i++)
            if (r.full.runs[i].origin == 2) begin = r.full.runs[i].end;
        uint32_t last = 0;
        for (size_t i = 0; i < tokens.count; i++)
            if (tokens.ends[i] > begin && tokens.ends[i] <= end) last = tokens.ids[i], s->closing++;
        char *text = mem_string_n(r.full.text.data + begin, end - begin);
        if (s->closing == 1 && tokenizer_is_special(tokenizer, last))
            add_id(s, last);
        else
            stops_add_text(s, text);
        free(text);
    }
    tokens_free(&tokens);
    rendering_free(&r);
}

int stops_make(struct stops *s, const struct bundle *b, const struct template *template, struct error *e)
{
    *s = (struct stops){0};
    add_id(s, tokenizer_eos(b->tokenizer));
    add_id(s, b->model.config.eos);
    if (b->model.json) add_ids(s, b->model.json);
    if (b->model.path && folder_exists(b->model.path) && add_generation_config(s, b->model.path, e)) {
        stops_free(s);
        return -1;
    }
    add_closing(s, b->tokenizer, template);
    return 0;
}

void stops_free(struct stops *s)
{
    for (size_t i = 0; i < s->text_count; i++) free(s->texts[i]);
    free(s->texts);
    free(s->ids);
    *s = (struct stops){0};
}

bool stops_at(const struct stops *s, uint32_t id)
{
    for (size_t i = 0; i < s->id_count; i++)
        if (s->ids[i] == id) return true;
    return false;
}

size_t stops_before(const struct stops *s, const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        for (size_t i = 0; i < s->text_count; i++) {
            size_t n = strlen(s->texts[i]);
            if (n <= bytes - at && memcmp(text + at, s->texts[i], n) == 0) return at;
        }
    return bytes;
}
