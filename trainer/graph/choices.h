// SPDX-License-Identifier: MIT
//
// choices.h: products by shape, each with the variant to use for it on the device at hand. Without an entry the table of
// variants.c chooses. Pure C; tune.h fills it on a device, who plans reads it.
#ifndef PUMICE_CHOICES_H
#define PUMICE_CHOICES_H

#include "variants.h"

struct choice {
    struct matmul_shape shape;
    struct matmul_variant variant;
    double seconds; // of one product, as measured; 0: the numbers were checked, no time taken
    double flop;    // of all calls that planned it (choices_meet); else 0
};

// Attention on matrix units (coopmat.h): its pipelines by what of a model they depend on, and whether their numbers are right.
struct attention_shape {
    uint32_t head_dim;
    bool bf16, dropout; // storage; is there a place for dropout in them?
    enum products products;
};

struct attention_choice {
    struct attention_shape shape;
    uint32_t kernels; // that were met, or tried: a mask by enum attention_kernel
    bool right;       // of those that were tried
    uint64_t fingerprint; // of their constants (coopmat.h)
};

struct choices;
struct choices *choices_new(void);
void choices_free(struct choices *choices); // NULL does nothing
// A shape set before is overwritten. The variant's `why` is replaced by how it was chosen.
void choices_set(struct choices *choices, const struct matmul_shape *shape, const struct matmul_variant *variant, double seconds);
// A product planned with this variant; adds its arithmetic to the shape's flop.
void choices_meet(struct choices *choices, const struct matmul_shape *shape, const struct matmul_variant *variant);
// What is set for exactly this shape, or NULL. `choices` may be NULL.
const struct choice *choices_find(const struct choices *choices, const struct matmul_shape *shape);
// Floating-point operations a second of all products that were timed; 0: none was. `choices` may be NULL.
double choices_speed(const struct choices *choices);
int choices_count(const struct choices *choices); // of products
const struct choice *choices_at(const struct choices *choices, int i);

// Adds a kernel to those met; overwrites what came of trying them.
void choices_meet_attention(struct choices *choices, const struct attention_shape *shape, enum attention_kernel kernel);
void choices_set_attention(struct choices *choices, const struct attention_choice *choice);
// What was tried for this shape: NULL where not all of `kernels` were. `choices` may be NULL.
const struct attention_choice *choices_find_attention(
    const struct choices *choices, const struct attention_shape *shape, uint32_t kernels);
int choices_attention_count(const struct choices *choices);
const struct attention_choice *choices_attention_at(const struct choices *choices, int i);

#endif
