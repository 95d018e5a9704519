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

static bool number_read(const struct number *n, const char *text)
{
    char *end;
    *n->value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *n->value >= n->least && *n->value <= n->most;
}

// The program's name, the second word of its usage. The caller frees.
static char *name_of(const char *usage)
{
    const char *name = usage + strlen("usage: ");
    return mem_string_n(name, strcspn(name, " "));
}

int arguments_read(const char **folder, const struct number *numbers, const char *usage, int count, char **arguments)
{
    *folder = NULL;
    for (int i = 1; i < count; i++) {
        const char *argument = arguments[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        const struct number *n = numbers;
        while (n->name && strcmp(n->name, argument) != 0) n++;
        bool good = n->name ? i + 1 < count && number_read(n, arguments[++i]) : argument[0] != '-' && !*folder;
        if (!good) {
            char *name = name_of(usage);
            say("%s: \"%s\" is no option, or its value is none; see %s --help", name, argument, name);
            free(name);
            return 2;
        }
        if (!n->name) *folder = argument;
    }
    if (*folder) return -1;
    fputs(usage, stderr);
    return 2;
}

int program_end(int status, const char *usage, const struct error *e)
{
    char *name = name_of(usage);
    if (status) say("%s: %s", name, e->text);
    free(name);
    return status ? 1 : 0;
}
