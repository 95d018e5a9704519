// SPDX-License-Identifier: MIT
#include "data/messages.h"

#include "base.h"

#include <strings.h>

static const struct {
    const char *name;
    enum role role;
} aliases[] = {
    {"system", ROLE_SYSTEM},
    {"user", ROLE_USER},
    {"assistant", ROLE_ASSISTANT},
    {"tool", ROLE_TOOL},
    {"developer", ROLE_SYSTEM},
    {"human", ROLE_USER},
    {"prompter", ROLE_USER},
    {"gpt", ROLE_ASSISTANT},
    {"chatgpt", ROLE_ASSISTANT},
    {"bing", ROLE_ASSISTANT},
    {"bard", ROLE_ASSISTANT},
    {"bot", ROLE_ASSISTANT},
    {"model", ROLE_ASSISTANT},
    {"observation", ROLE_TOOL},
    {"function", ROLE_TOOL},
    {"function_response", ROLE_TOOL},
    {"ipython", ROLE_TOOL},
};
#define ALIASES (sizeof aliases / sizeof *aliases)

const char *role_name(enum role role)
{
    return aliases[role].name; // the first four stand in the order of the enum
}

bool role_find(enum role *role, const char *name)
{
    for (size_t i = 0; i < ALIASES; i++)
        if (strcasecmp(name, aliases[i].name) == 0) {
            *role = aliases[i].role;
            return true;
        }
    return false;
}

const char *role_nearest(const char *name)
{
    const char *names[ALIASES + 1] = {NULL};
    for (size_t i = 0; i < ALIASES; i++) names[i] = aliases[i].name;
    return nearest_name(name, names);
}

bool message_trained(const struct message *m)
{
    return m->train == TRAIN_BY_ROLE ? m->role == ROLE_ASSISTANT : m->train == TRAIN_YES;
}
