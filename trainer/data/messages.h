// SPDX-License-Identifier: MIT
//
// messages.h: a conversation before it is text: who says what.
#ifndef PUMICE_MESSAGES_H
#define PUMICE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL };

// Whether a message is trained: as its role says (assistant yes, others no), or as its row says.
enum train { TRAIN_BY_ROLE, TRAIN_NO, TRAIN_YES };

struct message {
    enum role role;
    enum train train;
    const char *text; // (bytes), UTF-8 without U+0000, ended by a 0
    size_t bytes;
};

// "system", "user", "assistant", "tool": as templates know them.
const char *role_name(enum role role);

// The role a data set means: the four names and the aliases human, prompter, developer, gpt, chatgpt, bing, bard, bot,
// model, observation, function, function_response, ipython, in any case. False if it is none of them.
bool role_find(enum role *role, const char *name);
// The known name nearest to `name`, or NULL.
const char *role_nearest(const char *name);

// Is this message trained: its own word, else its role's?
bool message_trained(const struct message *m);

#endif
