// SPDX-License-Identifier: MIT
//
// select: chooses data; the method is the first word.
#include "commands/list.h"

#include <string.h>

static const struct command methods[] = {
    {"select memory", "facts by how well a model remembers them: levels, balanced training rows, tests",
        "--model MODEL --facts FILE --templates FILE --output DIR [options]",
        "The model goes on with every template's sentence about a fact several times; the share of outputs that "
        "contain the fact's\n"
        "object is its memory level: 0, up to 1/4, 1/2, 3/4, 1 (Ye et al. 2024, \"60 data points are sufficient\").\n"
        "facts: a row each, {\"subject\", \"relation\", \"object\", \"synonyms\": [...], \"question\", \"split\": "
        "\"train\" or \"test\"}, the\n"
        "last three as wanted; templates: {relation: {\"question\": \"...\", \"templates\": [\"... {subject} ...\", "
        "...]}, ...}.\n"
        "DIR gets recall.jsonl (facts done: a stopped call goes on there), levels.jsonl, summary.json, "
        "test-LEVEL.jsonl\n"
        "(ood-LEVEL.jsonl: of relations that are not trained), and for each --size level-LEVEL-SIZE.jsonl: rows to "
        "train on.",
        "pumice select memory --model models/SmolLM2-135M-Instruct.Q4_1.gguf --facts configs/memory/facts-40.jsonl \\\n"
        "             --templates configs/memory/templates.json --max-new-tokens 8 --stop '\\n' --output runs/memory",
        select_memory},
    {0},
};

static int help(const struct command *c)
{
    printf("pumice %s: %s\n\nusage: pumice %s %s\n\n", c->name, c->summary, c->name, c->usage);
    for (const struct command *m = methods; m->name; m++) printf("  %-12s %s\n", strchr(m->name, ' ') + 1, m->summary);
    printf("\n`pumice select METHOD --help` explains a method.\n\nexample: %s\n", c->example);
    return STATUS_DONE;
}

int command_select(const struct command *c, int argc, char **argv)
{
    const char *names[8];
    size_t count = 0;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) return help(c);
    for (const struct command *m = methods; m->name; m++) {
        names[count] = strchr(m->name, ' ') + 1;
        if (argc > 1 && strcmp(argv[1], names[count]) == 0) return m->run(m, argc - 1, argv + 1);
        count++;
    }
    names[count] = NULL;
    const char *near = argc > 1 ? nearest_name(argv[1], names) : NULL;
    if (argc < 2)
        say("pumice select: a method is missing (pumice select --help)");
    else if (near)
        say("pumice select: there is no method %s; did you mean %s? (pumice select --help)", argv[1], near);
    else
        say("pumice select: there is no method %s (pumice select --help)", argv[1]);
    return STATUS_USAGE;
}
