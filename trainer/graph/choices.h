// SPDX-License-Identifier: MIT
//
// choices.h: which variant of a matrix product was found best on the device at hand, by shape. Without an entry the table
// of variants.c chooses. Pure C; who measures fills it, who plans reads it.
#ifndef PUMICE_CHOICES_H
#define PUMICE_CHOICES_H

#include "variants.h"

struct choices;
struct choices *choices_new(void);
void choices_free(struct choices *choices); // NULL does nothing
// The variant's name is copied; a shape set before is overwritten.
void choices_set(struct choices *choices, const struct matmul_shape *shape, const char *variant);
// The name set for exactly this shape, or NULL. `choices` may be NULL.
const char *choices_find(const struct choices *choices, const struct matmul_shape *shape);

#endif
