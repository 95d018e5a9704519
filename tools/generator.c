// SPDX-License-Identifier: MIT
#include "generator.h"

#include <stdlib.h>
#include <string.h>

void row_free(struct row *row)
{
    text_free(&row->question);
    text_free(&row->answer);
}

void text_fill(struct text *to, const char *template, const struct field *fields)
{
    while (*template) {
        size_t plain = strcspn(template, "{");
        text_add(to, template, plain);
        template += plain;
        if (!*template) break;
        size_t length = strcspn(template, "}") - 1;
        const struct field *f = fields;
        while (f->name && (strlen(f->name) != length || memcmp(f->name, template + 1, length) != 0)) f++;
        text_print(to, "%s", f->name ? f->value : "?");
        template += length + 2;
    }
}

static void add_escaped(struct text *to, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            text_print(to, "\\n");
        } else {
            text_print(to, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
        }
    }
}

static void add_message(struct text *to, const char *role, const char *content)
{
    text_print(to, "{\"role\": \"%s\", \"content\": \"", role);
    add_escaped(to, content);
    text_print(to, "\"}");
}

void text_add_chat(struct text *to, const struct row *row)
{
    text_print(to, "{\"messages\": [");
    add_message(to, "user", row->question.data);
    text_print(to, ", ");
    add_message(to, "assistant", row->answer.data);
    text_print(to, "]}\n");
}

bool number_read(uint64_t *number, const char *text, uint64_t most)
{
    char *end;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *number <= most;
}
