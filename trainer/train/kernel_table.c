// SPDX-License-Identifier: MIT
#include "train/kernel_table.h"

#include <stdlib.h>
#include <string.h>

static void add_call(struct kernel_table *t, const char *work, const struct graph *g, const struct call *c)
{
    struct kernel_spec spec = kernel_spec_of(g, c);
    int count = t->set.count, i = kernel_set_add(&t->set, &spec);
    if (i == count) {
        t->rows = mem_resize(t->rows, (size_t)t->set.count * sizeof *t->rows);
        t->rows[i] = (struct kernel_row){0};
    }
    struct kernel_row *row = &t->rows[i];
    struct kernel_use use = {.work = work, .why = c->why};
    call_shape(use.shape, sizeof use.shape, c);
    int k = 0;
    while (k < row->use_count && (strcmp(row->uses[k].work, work) != 0 || strcmp(row->uses[k].shape, use.shape) != 0)) k++;
    if (k == row->use_count) {
        GROW(row->uses, row->use_count, row->use_capacity);
        row->uses[row->use_count++] = use;
    }
    row->uses[k].calls++;
    row->uses[k].flop += c->flop;
    row->calls++;
}

static void add_program(struct kernel_table *t, const char *work, const struct program *p)
{
    for (int i = 0; i < p->call_count; i++) add_call(t, work, p->graph, &p->calls[i]);
}

static void add_update(struct kernel_table *t, const struct blueprint *b, enum optimizer optimizer)
{
    struct update update;
    update_make(&update, &b->layout, &b->limits, b->options.storage, optimizer);
    for (int i = 0; i < update.count; i++) add_call(t, "update", NULL, &update.calls[i].call);
    update_free(&update);
}

void kernel_table_make(struct kernel_table *t, const struct blueprint *b)
{
    *t = (struct kernel_table){0};
    enum optimizer optimizer = b->options.optimizer;
    if (optimizer != OPTIMIZER_NONE) {
        add_program(t, "train", &b->train);
        add_update(t, b, optimizer);
        if (optimizer == OPTIMIZER_ADAMW) add_update(t, b, OPTIMIZER_SGD); // as session_open does
    }
    add_program(t, "eval", &b->eval);
    for (int i = 0; b->options.generation.slots && i < GENERATION_PROGRAMS; i++)
        add_program(t, "generate", &b->generation.program[i]);
}

void kernel_table_free(struct kernel_table *t)
{
    for (int i = 0; i < t->set.count; i++) free(t->rows[i].uses);
    free(t->rows);
    kernel_set_free(&t->set);
    *t = (struct kernel_table){0};
}
