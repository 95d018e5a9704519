// SPDX-License-Identifier: MIT
#include "commands/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct command *c, const struct option *options)
{
    printf("pumice %s: %s\n\nusage: pumice %s %s\n", c->name, c->summary, c->name, c->usage);
    if (c->text) printf("\n%s\n", c->text);
    printf("\n");
    for (const struct option *o = options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->word ? " " : "", o->word ? o->word : "");
        printf("  %-26s %s\n", left, o->help);
    }
    printf("  %-26s %s\n\nexample: %s\n", "--help", "this text", c->example);
}

static int usage_error(const struct command *c, const char *sentence, const char *word)
{
    say("pumice %s: %s%s (pumice %s --help)", c->name, sentence, word, c->name);
    return STATUS_USAGE;
}

static const struct option *find(const struct option *options, const char *name, size_t bytes)
{
    for (; options->name; options++)
        if (strlen(options->name) == bytes && strncmp(options->name, name, bytes) == 0) return options;
    return NULL;
}

static int unknown(const struct command *c, const struct option *options, const char *word)
{
    const char *names[64];
    size_t n = 0;
    for (const struct option *o = options; o->name && n < 62; o++) names[n++] = o->name;
    names[n++] = "help";
    names[n] = NULL;
    char bare[128];
    snprintf(bare, sizeof bare, "%s", word + 2);
    bare[strcspn(bare, "=")] = 0;
    const char *near = nearest_name(bare, names);
    if (near) say("pumice %s: there is no flag --%s; did you mean --%s? (pumice %s --help)", c->name, bare, near, c->name);
    else say("pumice %s: there is no flag --%s (pumice %s --help)", c->name, bare, c->name);
    return STATUS_USAGE;
}

int options_parse(const struct command *c, const struct option *options, int argc, char **argv, const char **positional,
    int positional_least, int positional_most)
{
    int count = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || word[1] == 0) {
            if (count == positional_most) return usage_error(c, "one word too many: ", word);
            positional[count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(c, options);
            return STATUS_DONE;
        }
        if (word[1] != '-') return usage_error(c, "flags begin with two dashes: ", word);
        size_t bytes = strcspn(word + 2, "=");
        const struct option *o = find(options, word + 2, bytes);
        if (!o) return unknown(c, options, word);
        const char *value = word[2 + bytes] == '=' ? word + 3 + bytes : NULL;
        if (o->kind == OPTION_FLAG) {
            if (value) return usage_error(c, "this flag takes no value: ", word);
            *(bool *)o->value = true;
            continue;
        }
        if (!value && i + 1 < argc && (strncmp(argv[i + 1], "--", 2) != 0 || o->kind == OPTION_TEXT)) value = argv[++i];
        if (!value) return usage_error(c, "a value is missing after ", word);
        char *end = NULL;
        switch (o->kind) {
        case OPTION_TEXT: *(const char **)o->value = value; break;
        case OPTION_LIST:
        case OPTION_PAIRS: {
            struct option_list *list = o->value;
            for (;;) {
                if (o->kind == OPTION_PAIRS && (*value == '=' || !strchr(value, '=')))
                    return say("pumice %s: --%s wants %s, not %s (pumice %s --help)", c->name, o->name, o->word, value, c->name),
                           STATUS_USAGE;
                list->words = mem_resize(list->words, (list->count + 1) * sizeof *list->words);
                list->words[list->count++] = value;
                if (i + 1 >= argc || strncmp(argv[i + 1], "--", 2) == 0) break;
                value = argv[++i];
            }
            break;
        }
        case OPTION_COUNT:
            if (value[0] < '0' || value[0] > '9') return usage_error(c, "a whole number is expected, not ", value);
            *(uint64_t *)o->value = strtoull(value, &end, 10);
            if (*end) return usage_error(c, "a whole number is expected, not ", value);
            break;
        case OPTION_NUMBER:
            *(double *)o->value = strtod(value, &end);
            if (end == value || *end || !isfinite(*(double *)o->value)) return usage_error(c, "a number is expected, not ", value);
            break;
        case OPTION_FLAG: break;
        }
    }
    return count < positional_least ? options_missing(c) : -1;
}

int options_missing(const struct command *c)
{
    say("pumice %s: something is missing: usage: pumice %s %s (pumice %s --help)", c->name, c->name, c->usage, c->name);
    return STATUS_USAGE;
}

int fail(const struct error *e)
{
    say("pumice: %s", e->text);
    return e->device ? STATUS_DEVICE : STATUS_USER;
}
