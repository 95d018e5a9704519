// SPDX-License-Identifier: MIT
//
// tokenize: ids and training mask of rows or of a text, one line each.
#include "commands/common.h"
#include "commands/list.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

struct tokenizing {
    struct conversation_maker maker;
    struct arena arena;
    struct text line;
    bool show, strict;
    size_t rows, skipped;
};

static void print_array(struct text *out, const char *name, const struct conversation *c, bool mask)
{
    text_print(out, "\"%s\":[", name);
    for (uint32_t i = 0; i < c->tokens; i++) text_print(out, "%s%u", i ? "," : "", mask ? c->mask[i] : c->ids[i]);
    text_add(out, "]", 1);
}

static void print_line(struct tokenizing *t, const struct conversation *c)
{
    t->line.bytes = 0;
    if (t->show) {
        conversation_print(&t->line, c, t->maker.tokenizer, 0);
    } else {
        text_add(&t->line, "{", 1);
        print_array(&t->line, "ids", c, false);
        text_add(&t->line, ",", 1);
        print_array(&t->line, "mask", c, true);
        text_add(&t->line, "}", 1);
    }
    text_add(&t->line, "\n", 1);
    fwrite(t->line.data, 1, t->line.bytes, stdout);
    t->rows++;
}

// A text as it is: nothing added, special tokens recognised; every token but the first is predicted.
static int print_text(struct tokenizing *t, const char *text, size_t bytes, struct error *e)
{
    struct tokens *tokens = &t->maker.tokens;
    tokens->count = 0;
    if (tokenizer_encode(t->maker.tokenizer, tokens, &(struct text_run){text, bytes, true}, 1, e)) return -1;
    uint32_t limit = t->maker.max_length, count = (uint32_t)tokens->count;
    struct conversation c = {.ids = tokens->ids, .tokens = limit && count > limit ? limit : count};
    c.mask = arena_alloc(&t->arena, c.tokens + 1);
    for (uint32_t i = 0; i < c.tokens; i++) c.mask[i] = i > 0;
    print_line(t, &c);
    return 0;
}

static int print_row(struct tokenizing *t, const char *text, size_t bytes, struct error *e)
{
    struct row row;
    struct conversation c;
    arena_reset(&t->arena);
    if (row_parse(&row, &t->arena, text, bytes, e)) return -1;
    if (row_trainable(&row, e) || conversation_make(&c, &t->maker, &t->arena, &row, e)) return -1;
    print_line(t, &c);
    return 0;
}

static int print_file(struct tokenizing *t, const char *path, struct error *e)
{
    struct row_reader reader;
    const char *text;
    size_t bytes;
    int more, status = 0;
    if (row_reader_open(&reader, path, e)) return -1;
    while (status == 0 && (more = row_reader_next(&reader, &text, &bytes, e)) != 0) {
        struct error why;
        if (more < 0) {
            status = -1;
        } else if (print_row(t, text, bytes, &why)) {
            char *place = row_place(path, reader.array, reader.number);
            if (t->strict)
                status = error_set(e, "%s: %s", place, why.text);
            else if (t->skipped++ < SOURCE_PROBLEMS)
                say("skipped: %s: %s", place, why.text);
            free(place);
        }
    }
    row_reader_close(&reader);
    return status;
}

int command_tokenize(const struct command *c, int argc, char **argv)
{
    const char *model = NULL, *text = NULL, *template = "auto", *unused;
    uint64_t max_length = 0;
    struct option_list data = {0};
    struct tokenizing t = {0};
    bool json = false;
    const struct option options[] = {
        {"model", OPTION_TEXT, &model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"text", OPTION_TEXT, &text, "TEXT", "a text as it is, special tokens recognised"},
        {"data", OPTION_LIST, &data, "FILE...", "rows (.jsonl or .json)"},
        {"chat-template", OPTION_TEXT, &template, "NAME", "auto (the model's own), a name, none"},
        {"max-length", OPTION_COUNT, &max_length, "TOKENS", "longest row (default: no limit)"},
        {"strict", OPTION_FLAG, &t.strict, NULL, "stop at the first bad row"},
        {"show", OPTION_FLAG, &t.show, NULL, "the text instead of ids, in [+ +] what is trained"},
        {"device", OPTION_TEXT, &unused, "DEVICE", "taken as everywhere; tokens need no device"},
        {"precision", OPTION_TEXT, &unused, "WORD", "taken as everywhere; tokens are exact"},
        {"json", OPTION_FLAG, &json, NULL, "{\"ids\":[...],\"mask\":[...]}, as without it"}, {0}};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    if (status >= 0) return free(data.words), status;
    if (!model || !text == !data.count) {
        say("pumice tokenize: --model is needed, and either --text or --data (pumice tokenize --help)");
        free(data.words);
        return STATUS_USAGE;
    }
    struct error e = {0};
    struct bundle bundle = {0};
    cJSON *choice = cJSON_CreateString(template);
    bool ok = bundle_open(&bundle, model, choice, &e) == 0;
    t.maker = (struct conversation_maker){.template = &bundle.template,
        .tokenizer = bundle.tokenizer,
        .max_length = max_length > UINT32_MAX ? 0 : (uint32_t)max_length,
        .as_is = true};
    if (ok && text) ok = print_text(&t, text, strlen(text), &e) == 0;
    for (size_t i = 0; ok && i < data.count; i++) ok = print_file(&t, data.words[i], &e) == 0;
    if (ok) skipped_report("", t.skipped, t.rows + t.skipped, "row");
    if (ok && !t.rows) ok = error_set(&e, "none of the rows can be used") == 0;
    status = ok ? STATUS_DONE : fail(&e);
    conversation_maker_free(&t.maker);
    arena_free(&t.arena);
    text_free(&t.line);
    free(data.words);
    cJSON_Delete(choice);
    bundle_close(&bundle);
    return status;
}
