// SPDX-License-Identifier: MIT
//
// tensor_index.h: finding one of many tensors by name; shared by the readers of safetensors and GGUF.
#ifndef PUMICE_TENSOR_INDEX_H
#define PUMICE_TENSOR_INDEX_H

#include "formats/tensor.h"

// Pointers to the views, sorted by name. Start from {0}.
struct tensor_index {
    const struct tensor_view **views; // (count) owned; the views are not
    size_t count;
};

// Indexes views (count), which must not move afterwards. -1 with a sentence when a name stands there twice.
int tensor_index_make(struct tensor_index *index, const struct tensor_view *views, size_t count, struct error *e);
// The view of that name, or NULL.
const struct tensor_view *tensor_index_find(const struct tensor_index *index, const char *name);
void tensor_index_free(struct tensor_index *index); // and back to {0}

#endif
