// SPDX-License-Identifier: MIT
#include "formats/tensor_index.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    const struct tensor_view *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int tensor_index_make(struct tensor_index *index, const struct tensor_view *views, size_t count, struct error *e)
{
    index->views = mem_zero(count ? count : 1, sizeof *index->views);
    index->count = count;
    for (size_t i = 0; i < count; i++) index->views[i] = &views[i];
    qsort(index->views, count, sizeof *index->views, compare_names);
    for (size_t i = 1; i < count; i++)
        if (compare_names(&index->views[i - 1], &index->views[i]) == 0)
            return error_set(e, "tensor '%.200s' is there twice", index->views[i]->name);
    return 0;
}

const struct tensor_view *tensor_index_find(const struct tensor_index *index, const char *name)
{
    const struct tensor_view wanted = {.name = name}, *key = &wanted;
    const struct tensor_view **found =
        index->count ? bsearch(&key, index->views, index->count, sizeof *index->views, compare_names) : NULL;
    return found ? *found : NULL;
}

void tensor_index_free(struct tensor_index *index)
{
    free(index->views);
    *index = (struct tensor_index){0};
}
