// SPDX-License-Identifier: MIT
#include "train/bundle.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

// A tokenizer by path: a folder with tokenizer.json, that file, a .gguf file, or "bytes".
static struct tokenizer *open_tokenizer(const char *path, struct error *e)
{
    if (strcmp(path, "bytes") == 0) return tokenizer_open_bytes();
    size_t n = strlen(path);
    if (n > 5 && strcmp(path + n - 5, ".gguf") == 0) {
        struct gguf *g = gguf_open(path, e);
        struct tokenizer *t = g ? tokenizer_open_gguf(g, e) : NULL;
        gguf_close(g);
        return t;
    }
    char *file = folder_exists(path) ? path_join(path, "tokenizer.json") : mem_string(path);
    struct tokenizer *t = tokenizer_open_json(file, e);
    free(file);
    return t;
}

static int finish(struct bundle *b, const cJSON *chat_template, struct error *e)
{
    uint32_t V = b->model.config.vocabulary;
    if (tokenizer_size(b->tokenizer) > V)
        return error_set(e, "the tokenizer has %u ids, but the model only %u rows for them; they do not belong together",
            tokenizer_size(b->tokenizer), V);
    if (template_open(&b->template, chat_template, b->tokenizer, e)) return -1;
    if (b->template.note) say("%s", b->template.note);
    // What was trained with another template than the model's own is to be prompted with that one.
    if (strcmp(b->template.name, "checkpoint") != 0) tokenizer_set_saved_template(b->tokenizer, b->template.source);
    return 0;
}

int bundle_open(struct bundle *b, const char *path, const cJSON *chat_template, struct error *e)
{
    *b = (struct bundle){0};
    int status = model_open(&b->model, path, e);
    if (status == 0) {
        b->tokenizer = b->model.gguf ? tokenizer_open_gguf(b->model.gguf, e) : open_tokenizer(b->model.path, e);
        status = b->tokenizer ? finish(b, chat_template, e) : -1;
    }
    if (status) bundle_close(b);
    return status;
}

int bundle_open_config(struct bundle *b, const struct config *c, struct error *e)
{
    if (c->model_name_or_path && bundle_open(b, c->model_name_or_path, c->chat_template, e))
        return config_missing(c, (const char *const[]){c->model_name_or_path}, 1, e);
    if (c->model_name_or_path) return 0;
    *b = (struct bundle){0};
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(c->init, "tokenizer");
    b->tokenizer = open_tokenizer(cJSON_IsString(name) ? name->valuestring : "bytes", e);
    int status = b->tokenizer ? 0 : -1;
    if (status) error_prefix(e, "init.tokenizer (\"bytes\", a tokenizer.json, a folder that has one, a .gguf file): ");
    cJSON *json = cJSON_Duplicate(c->init, true);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "tokenizer");
    // What the tokenizer knows need not be written twice.
    if (status == 0 && !cJSON_GetObjectItemCaseSensitive(json, "vocab_size"))
        cJSON_AddNumberToObject(json, "vocab_size", tokenizer_size(b->tokenizer));
    if (status == 0 && !cJSON_GetObjectItemCaseSensitive(json, "eos_token_id") && tokenizer_eos(b->tokenizer) >= 0)
        cJSON_AddNumberToObject(json, "eos_token_id", tokenizer_eos(b->tokenizer));
    if (status == 0) status = model_open_init(&b->model, json, "init", e);
    cJSON_Delete(json);
    if (status == 0) status = finish(b, c->chat_template, e);
    if (status) bundle_close(b);
    return status;
}

void bundle_close(struct bundle *b)
{
    template_close(&b->template);
    tokenizer_close(b->tokenizer);
    model_close(&b->model);
    *b = (struct bundle){0};
}

void bundle_say_positions(const struct bundle *b, uint32_t tokens)
{
    uint32_t positions = b->model.config.max_positions;
    if (tokens > positions)
        say("warning: the longest row has %u tokens, its answer included, and the model was made for %u positions; lower max_length, or do not trust what it "
            "says beyond", tokens, positions);
}
