// SPDX-License-Identifier: MIT
//
// Writing tokenizer files: those that were read as they were, the others generated.
#include "data/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static void add(struct text *out, const char *text)
{
    text_add(out, text, strlen(text));
}

// A JSON string; the text is UTF-8.
static void add_string(struct text *out, const char *text, size_t bytes)
{
    add(out, "\"");
    size_t plain = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        text_add(out, text + plain, i - plain);
        plain = i + 1;
        if (c == '\n')
            add(out, "\\n");
        else if (c < 0x20)
            text_print(out, "\\u%04x", c);
        else
            text_print(out, "\\%c", c);
    }
    text_add(out, text + plain, bytes - plain);
    add(out, "\"");
}

// What stands in front of a member of a list, on a line of its own.
static void add_comma(struct text *out, bool *first)
{
    add(out, *first ? "\n    " : ",\n    ");
    *first = false;
}

static void add_post_processor(struct text *out, const struct tokenizer_model *m)
{
    if (m->begin < 0) {
        add(out, "null");
        return;
    }
    struct text begin = {0};
    add_string(&begin, m->tokens[m->begin].data, m->tokens[m->begin].bytes);
    text_print(out,
        "{\"type\":\"TemplateProcessing\","
        "\"single\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
        "\"pair\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
        "{\"SpecialToken\":{\"id\":%s,\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
        "\"special_tokens\":{%s:{\"id\":%s,\"ids\":[%d],\"tokens\":[%s]}}}",
        begin.data, begin.data, begin.data, begin.data, begin.data, (int)m->begin, begin.data);
    text_free(&begin);
}

void tokenizer_write_model(struct text *out, const struct tokenizer_model *m)
{
    add(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    bool first = true;
    for (size_t i = 0; m->types && i < m->token_count; i++) {
        if (m->types[i] != TOKEN_CONTROL && m->types[i] != TOKEN_USER) continue;
        add_comma(out, &first);
        text_print(out, "{\"id\":%zu,\"content\":", i);
        add_string(out, m->tokens[i].data, m->tokens[i].bytes);
        text_print(out, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":%s}",
            m->types[i] == TOKEN_CONTROL ? "true" : "false");
    }
    text_print(out, "\n  ],\n  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n  \"post_processor\": ", m->normalizer,
        m->pre_tokenizer);
    add_post_processor(out, m);
    add(out, ",\n  \"decoder\": {\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
             "\"use_regex\":true},\n  \"model\": {\n   \"type\": \"BPE\",\n   \"dropout\": null,\n"
             "   \"unk_token\": null,\n   \"continuing_subword_prefix\": null,\n   \"end_of_word_suffix\": null,\n"
             "   \"fuse_unk\": false,\n   \"byte_fallback\": false,\n");
    text_print(out, "   \"ignore_merges\": %s,\n   \"vocab\": {", m->ignore_merges ? "true" : "false");
    first = true;
    for (size_t i = 0; i < m->token_count; i++) {
        add_comma(out, &first);
        add_string(out, m->tokens[i].data, m->tokens[i].bytes);
        text_print(out, ":%zu", i);
    }
    add(out, "\n   },\n   \"merges\": [");
    first = true;
    for (size_t i = 0; i < m->merge_count; i++) {
        const char *merge = m->merges[i].data, *space = memchr(merge, ' ', m->merges[i].bytes);
        size_t left = space ? (size_t)(space - merge) : m->merges[i].bytes;
        size_t right = space ? left + 1 : left;
        add_comma(out, &first);
        add(out, "[");
        add_string(out, merge, left);
        add(out, ",");
        add_string(out, merge + right, m->merges[i].bytes - right);
        add(out, "]");
    }
    add(out, "\n   ]\n  }\n}\n");
}

// "key": "token" for the begin, end and padding tokens there are.
static void add_special(struct text *out, const struct tokenizer *t, bool *first)
{
    static const char *const names[] = {"bos_token", "eos_token", "pad_token"};
    const int32_t ids[] = {t->bos, t->eos, t->pad};
    for (size_t i = 0; i < 3; i++) {
        if (ids[i] < 0) continue;
        int32_t number = t->added_of[ids[i]];
        add(out, *first ? "\n  " : ",\n  ");
        *first = false;
        text_print(out, "\"%s\": ", names[i]);
        if (number >= 0) {
            add_string(out, t->added[number].content, t->added[number].content_bytes);
        } else {
            const struct bpe_token *token = &t->bpe.tokens[ids[i]];
            add_string(out, t->bpe.spellings.data + token->spelling, token->spelling_bytes);
        }
    }
}

void tokenizer_write_missing(struct tokenizer *t)
{
    struct text *config = &t->files[FILE_CONFIG], *special = &t->files[FILE_SPECIAL];
    if (!config->data) {
        // The class that takes tokenizer.json as it stands; the others rebuild it from rules of their own.
        bool first = false;
        text_print(config,
            "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false,\n"
            "  \"add_bos_token\": %s",
            t->adds_bos ? "true" : "false");
        add_special(config, t, &first);
        if (t->chat_template && !t->files[FILE_TEMPLATE].data) {
            add(config, ",\n  \"chat_template\": ");
            add_string(config, t->chat_template, strlen(t->chat_template));
        }
        add(config, "\n}\n");
    }
    if (!special->data) {
        bool first = true;
        add(special, "{");
        add_special(special, t, &first);
        add(special, "\n}\n");
    }
}

int tokenizer_save(const struct tokenizer *t, const char *folder, struct error *e)
{
    int status = 0;
    for (size_t i = 0; i < FILES && status == 0; i++) {
        if (!t->files[i].data) continue;
        char *path = path_join(folder, tokenizer_file_names[i]);
        status = file_write_atomic(path, t->files[i].data, t->files[i].bytes, e);
        free(path);
    }
    return status;
}
