// SPDX-License-Identifier: MIT
//
// bundle.h: what belongs together to use a model: its weights on disk, its tokenizer, the chat template.
#ifndef PUMICE_BUNDLE_H
#define PUMICE_BUNDLE_H

#include "data/template.h"
#include "data/tokenizer.h"
#include "model/model.h"
#include "train/config.h"

struct bundle {
    struct model model;
    struct tokenizer *tokenizer;
    struct template template;
};

// From a path (model_open's rules). chat_template: the config's value, NULL for auto. -1 with a sentence; then nothing is
// held. Warns on stderr when the tokenizer has more ids than the model has rows.
int bundle_open(struct bundle *b, const char *path, const struct cJSON *chat_template, struct error *e);
// From a config: its model_name_or_path, or its init.
int bundle_open_config(struct bundle *b, const struct config *c, struct error *e);
void bundle_close(struct bundle *b);

// Warns on stderr when the longest row or prompt has more tokens than the model has positions.
void bundle_say_positions(const struct bundle *b, uint32_t tokens);

#endif
