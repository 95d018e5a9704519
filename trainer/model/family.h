// SPDX-License-Identifier: MIT
//
// family.h: what a model family provides: its weights by name and its forward pass. model.c picks the family.
#ifndef PUMICE_FAMILY_H
#define PUMICE_FAMILY_H

#include "model/model.h"

#include <math.h>

void llama_weights(struct model *m);
void llama_graph(const struct model *m, struct graph *g, enum model_use use);

#endif
