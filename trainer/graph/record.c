// SPDX-License-Identifier: MIT
#include "record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct state_entry {
    char name[56];
    uint64_t bytes;
    struct gpu_memory *memory;
};

struct engine {
    struct gpu *gpu;
    struct limits limits;
    struct weight_layout layout;
    enum storage storage;
    enum optimizer optimizer;
    struct gpu_memory *master[ARENA_BLOCKS], *copy[ARENA_BLOCKS], *gradient[ARENA_BLOCKS], *moment[2][ARENA_BLOCKS];
    struct gpu_memory *partial, *result, *unused;
    struct gpu_memory *arena[ARENA_BLOCKS];
    struct footprint reserved;
    struct kernel_set set;
    struct gpu_kernel **kernels; // (set.count)
    struct state_entry *states;
    int state_count, state_capacity;
};

static uint64_t up(uint64_t x, uint64_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

// ---- engine ------------------------------------------------------------------------------------------------------

static struct gpu_memory *device_memory(struct engine *g, uint64_t bytes, const char *what, struct error *e)
{
    struct gpu_memory *m = gpu_alloc(g->gpu, up(bytes, PLAN_ALIGNMENT), GPU_DEVICE);
    if (!m)
        error_set(e, "%s: no memory left for %s (%.0f MB, after %.0f MB); `pumice plan` shows what is needed: lower "
            "micro_batch_tokens, set gradient_checkpointing or precision bf16, or close what else uses the device",
            gpu_info(g->gpu)->name, what, (double)bytes * 1e-6, (double)gpu_allocated(g->gpu) * 1e-6);
    return m;
}

struct engine *engine_open(struct gpu *gpu, const struct graph *graph, enum optimizer optimizer, struct error *e)
{
    struct engine *g = mem_zero(1, sizeof *g);
    g->gpu = gpu;
    g->limits = limits_of(gpu_info(gpu));
    g->storage = graph->storage;
    g->optimizer = optimizer;
    bool training = optimizer != OPTIMIZER_NONE, ok = weight_layout_make(&g->layout, graph, &g->limits, e) == 0;
    for (int b = 0; ok && b < g->layout.blocks; b++) {
        const struct weight_block *w = &g->layout.block[b];
        uint64_t bytes = 4 * w->elements;
        if (block_has_master(w, g->storage, training)) ok = (g->master[b] = device_memory(g, bytes, "the weights", e)) != NULL;
        if (ok && block_has_copy(w, g->storage)) ok = (g->copy[b] = device_memory(g, bytes / 2, "the bf16 weights", e)) != NULL;
        if (!training || !w->trainable) continue;
        ok = ok && (g->gradient[b] = device_memory(g, storage_bytes(w->gradient) * w->elements, "the gradients", e));
        for (int i = 0; ok && i < (optimizer == OPTIMIZER_ADAMW ? 2 : 0); i++)
            ok = (g->moment[i][b] = device_memory(g, bytes, "the optimizer's moments", e)) != NULL;
    }
    ok = ok && (g->partial = device_memory(g, 4 * norm_partials(&g->layout) + 4, "partial sums", e));
    ok = ok && (g->result = device_memory(g, sizeof(struct step_result), "results", e));
    ok = ok && (g->unused = device_memory(g, PLAN_ALIGNMENT, "results", e));
    if (ok) return g;
    engine_close(g);
    return NULL;
}

void engine_close(struct engine *g)
{
    if (!g) return;
    struct gpu_memory **arrays[] = {g->master, g->copy, g->gradient, g->moment[0], g->moment[1], g->arena};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        for (int b = 0; b < ARENA_BLOCKS; b++)
            if (arrays[i][b]) gpu_free(g->gpu, arrays[i][b]);
    struct gpu_memory *single[] = {g->partial, g->result, g->unused};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (single[i]) gpu_free(g->gpu, single[i]);
    for (int i = 0; i < g->state_count; i++) gpu_free(g->gpu, g->states[i].memory);
    for (int i = 0; i < g->set.count; i++) gpu_kernel_free(g->gpu, g->kernels[i]);
    kernel_set_free(&g->set);
    weight_layout_free(&g->layout);
    free(g->states);
    free(g->kernels);
    free(g);
}

const struct limits *engine_limits(const struct engine *g)
{
    return &g->limits;
}

const struct weight_layout *engine_layout(const struct engine *g)
{
    return &g->layout;
}

struct gpu *engine_gpu(const struct engine *g)
{
    return g->gpu;
}

const struct kernel_set *engine_kernels(const struct engine *g)
{
    return &g->set;
}

void engine_reserve(struct engine *g, const struct plan *plan)
{
    for (int b = 0; b < plan->arena.blocks; b++)
        if (plan->arena.bytes[b] > g->reserved.bytes[b]) {
            assert(!g->arena[b]);
            g->reserved.bytes[b] = plan->arena.bytes[b];
        }
    if (plan->arena.blocks > g->reserved.blocks) g->reserved.blocks = plan->arena.blocks;
}

static uint16_t bf16_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static struct gpu_memory *state_memory(const struct engine *g, int block, enum state state)
{
    switch (state) {
    case STATE_VALUE: return g->master[block];
    case STATE_GRADIENT: return g->gradient[block];
    case STATE_MOMENT1: return g->moment[0][block];
    case STATE_MOMENT2: return g->moment[1][block];
    }
    return NULL;
}

#define PIECE 1048576u // elements of host scratch at a time

// Elements of an arena in bf16, from or to the host's f32.
static void write_narrow(struct engine *g, struct gpu_memory *m, uint64_t at, uint64_t count, const float *from)
{
    assert(at % 2 == 0 && count % 2 == 0);
    uint16_t *narrow = mem_alloc(2 * (count < PIECE ? count : PIECE));
    for (uint64_t i = 0; i < count; i += PIECE) {
        uint64_t n = count - i < PIECE ? count - i : PIECE;
        for (uint64_t k = 0; k < n; k++) narrow[k] = bf16_of(from[i + k]);
        gpu_upload(g->gpu, (struct gpu_range){m, 2 * (at + i), 2 * n}, narrow);
    }
    free(narrow);
}

static void read_narrow(struct engine *g, struct gpu_memory *m, uint64_t at, uint64_t count, float *to)
{
    assert(at % 2 == 0 && count % 2 == 0);
    uint16_t *narrow = mem_alloc(2 * (count < PIECE ? count : PIECE));
    for (uint64_t i = 0; i < count; i += PIECE) {
        uint64_t n = count - i < PIECE ? count - i : PIECE;
        gpu_download(g->gpu, narrow, (struct gpu_range){m, 2 * (at + i), 2 * n});
        for (uint64_t k = 0; k < n; k++) {
            uint32_t u = (uint32_t)narrow[k] << 16;
            memcpy(&to[i + k], &u, 4);
        }
    }
    free(narrow);
}

static bool is_narrow(const struct engine *g, int block, enum state state)
{
    return state == STATE_GRADIENT && g->layout.block[block].gradient == STORAGE_BF16;
}

void engine_write(struct engine *g, int index, enum state state, uint64_t first, uint64_t count, const float *from)
{
    const struct weight_place *w = &g->layout.weights[index];
    assert(first + count <= w->elements);
    uint64_t at = w->first + first;
    struct gpu_memory *m = state_memory(g, w->block, state);
    if (is_narrow(g, w->block, state)) write_narrow(g, m, at, count, from);
    else if (m) gpu_upload(g->gpu, (struct gpu_range){m, 4 * at, 4 * count}, from);
    if (state == STATE_VALUE && g->copy[w->block]) write_narrow(g, g->copy[w->block], at, count, from);
}

void engine_read(struct engine *g, int index, enum state state, uint64_t first, uint64_t count, float *to)
{
    const struct weight_place *w = &g->layout.weights[index];
    assert(first + count <= w->elements);
    uint64_t at = w->first + first;
    struct gpu_memory *m = state_memory(g, w->block, state);
    if (is_narrow(g, w->block, state)) {
        read_narrow(g, m, at, count, to);
    } else if (m) {
        gpu_download(g->gpu, to, (struct gpu_range){m, 4 * at, 4 * count});
    } else {
        assert(state == STATE_VALUE);
        read_narrow(g, g->copy[w->block], at, count, to);
    }
}

void engine_zero_moments(struct engine *g)
{
    struct gpu_list *list = gpu_list_begin(g->gpu, false);
    for (int i = 0; i < 2; i++)
        for (int b = 0; b < g->layout.blocks; b++)
            if (g->moment[i][b])
                gpu_list_fill(list, (struct gpu_range){g->moment[i][b], 0, 4 * g->layout.block[b].elements}, 0);
    gpu_list_end(list);
    gpu_wait(g->gpu, gpu_submit(g->gpu, list));
    gpu_list_free(g->gpu, list);
}

static struct gpu_kernel *engine_kernel(struct engine *g, const struct graph *graph, const struct call *c)
{
    struct kernel_spec spec = kernel_spec_of(graph, c);
    int count = g->set.count, i = kernel_set_add(&g->set, &spec);
    if (i == count) {
        g->kernels = mem_resize(g->kernels, (size_t)g->set.count * sizeof(struct gpu_kernel *));
        g->kernels[i] = gpu_kernel_make(g->gpu, spec.name, spec.constants, spec.count, spec.subgroup);
    }
    return g->kernels[i];
}

// Memory of a TENSOR_STATE tensor: shared by all replays that ask for the same name and size.
static struct gpu_memory *engine_state(struct engine *g, const struct tensor *t, uint64_t bytes, struct error *e)
{
    for (int i = 0; i < g->state_count; i++)
        if (g->states[i].bytes == bytes && strcmp(g->states[i].name, t->name) == 0) return g->states[i].memory;
    struct gpu_memory *m = device_memory(g, bytes, t->name, e);
    if (!m) return NULL;
    GROW(g->states, g->state_count, g->state_capacity);
    struct state_entry *s = &g->states[g->state_count++];
    *s = (struct state_entry){.bytes = bytes, .memory = m};
    memcpy(s->name, t->name, sizeof s->name);
    return m;
}

// ---- recording -----------------------------------------------------------------------------------------------------

// Ranges touched since the last barrier.
struct touched {
    struct touch {
        const struct gpu_memory *memory;
        uint64_t first, end;
        bool writes;
    } *all;
    int count, capacity;
};

// Whether `range` must wait for something touched before.
static bool depends(const struct touched *t, struct gpu_range range, bool writes)
{
    for (int i = 0; i < t->count; i++)
        if (t->all[i].memory == range.memory && (writes || t->all[i].writes) && t->all[i].first < range.offset + range.bytes &&
            range.offset < t->all[i].end)
            return true;
    return false;
}

static void touch(struct touched *t, struct gpu_range range, bool writes)
{
    GROW(t->all, t->count, t->capacity);
    t->all[t->count++] = (struct touch){range.memory, range.offset, range.offset + range.bytes, writes};
}

#define SLOTS 2
#define RESULTS 4 // what a list brings back: loss, hit, sampled, result

struct replay {
    struct engine *engine;
    const struct program *program; // NULL: an update
    struct update update;          // else empty
    const struct plan *plan;
    struct gpu_memory *input;         // on the device: live block, then the input arrays
    uint64_t input_at[INPUT_COUNT], input_bytes;
    struct gpu_memory *stage[SLOTS], *back[SLOTS];
    struct gpu_range results[RESULTS]; // on the device; bytes 0: none
    uint64_t back_at[RESULTS], back_bytes;
    struct gpu_memory **states;       // by tensor
    struct gpu_list *lists[SLOTS];
    uint64_t tickets[SLOTS];
    int begun, submitted, waited; // replays so far
};

static struct gpu_range range_of(const struct replay *r, const struct use *u)
{
    const struct engine *g = r->engine;
    const struct graph *graph = r->program->graph;
    const struct tensor *t = graph_at(graph, u->tensor);
    uint64_t row = tensor_row_bytes(graph, u->tensor, u->part), rows = u->rows ? u->rows : t->rows;
    uint64_t offset = u->first_row * row, bytes = rows * row;
    switch (t->kind) {
    case TENSOR_WEIGHT: {
        const struct weight_place *w = &g->layout.weights[t->index];
        enum storage stored = tensor_storage(graph, u->tensor, u->part);
        struct gpu_memory *value = stored == STORAGE_BF16 ? g->copy[w->block] : g->master[w->block];
        struct gpu_memory *m = u->part == PART_GRADIENT ? g->gradient[w->block] : value;
        return (struct gpu_range){m, storage_bytes(stored) * w->first + offset, bytes};
    }
    case TENSOR_INPUT: return (struct gpu_range){r->input, r->input_at[t->index], 4 * t->columns};
    case TENSOR_STATE: return (struct gpu_range){r->states[u->tensor], offset, bytes};
    case TENSOR_ACTIVATION: {
        const struct place *p = &r->plan->places[u->tensor];
        return (struct gpu_range){g->arena[p->block], p->offset + offset, bytes};
    }
    }
    return (struct gpu_range){0};
}

// Records one call with the ranges of its bindings, after a barrier where one is needed.
static void record_call(struct replay *r, struct gpu_list *list, struct touched *touched, const struct call *c,
    const struct gpu_range *ranges, const bool *writes, int count)
{
    struct gpu_range all[CALL_USES + 1] = {{r->input, 0, sizeof(struct live_block)}};
    bool wait = false;
    for (int i = 0; i < count; i++) {
        all[i + 1] = ranges[i];
        wait = wait || depends(touched, ranges[i], writes[i]);
    }
    if (wait) {
        gpu_list_barrier(list);
        touched->count = 0;
    }
    for (int i = 0; i < count; i++) touch(touched, ranges[i], writes[i]);
    const struct graph *graph = r->program ? r->program->graph : NULL;
    gpu_list_dispatch(list, engine_kernel(r->engine, graph, c), all, (uint32_t)count + 1, c->args, c->args_bytes, c->groups_x,
        c->groups_y, 1);
}

// A submission's end before a call that would make it too long; *seconds are those of the calls in it.
static void cut_before(
    struct gpu_list *list, struct touched *touched, const struct limits *limits, const struct call *c, double *seconds)
{
    double cost = call_seconds(limits, c);
    if (*seconds > 0 && *seconds + cost > limits->cut_seconds) {
        gpu_list_cut(list);
        touched->count = 0;
        *seconds = 0;
    }
    *seconds += cost;
}

static void record_program(struct replay *r, struct gpu_list *list, struct touched *touched)
{
    double seconds = 0;
    for (int i = 0; i < r->program->call_count; i++) {
        const struct call *c = &r->program->calls[i];
        struct gpu_range ranges[CALL_USES];
        bool writes[CALL_USES];
        for (int u = 0; u < c->use_count; u++) {
            ranges[u] = range_of(r, &c->uses[u]);
            writes[u] = c->uses[u].writes;
        }
        cut_before(list, touched, &r->program->limits, c, &seconds);
        record_call(r, list, touched, c, ranges, writes, c->use_count);
    }
}

static struct gpu_range update_range(const struct engine *g, const struct update_call *c, enum update_part part)
{
    int b = c->block;
    uint64_t at = 4 * c->first, bytes = 4 * c->count, each = storage_bytes(g->layout.block[b].gradient);
    switch (part) {
    case UPDATE_RESULT: return (struct gpu_range){g->result, 0, sizeof(struct step_result)};
    case UPDATE_PARTIALS: return (struct gpu_range){g->partial, 0, 4 * norm_partials(&g->layout)};
    case UPDATE_UNUSED: return (struct gpu_range){g->unused, 0, PLAN_ALIGNMENT};
    case UPDATE_GRADIENT: return (struct gpu_range){g->gradient[b], each * c->first, each * c->count};
    case UPDATE_MASTER: return (struct gpu_range){g->master[b], at, bytes};
    case UPDATE_MOMENT1: return (struct gpu_range){g->moment[0][b], at, bytes};
    case UPDATE_MOMENT2: return (struct gpu_range){g->moment[1][b], at, bytes};
    case UPDATE_COPY: return (struct gpu_range){g->copy[b], at / 2, bytes / 2};
    }
    return (struct gpu_range){0};
}

static void record_update(struct replay *r, struct gpu_list *list, struct touched *touched)
{
    double seconds = 0;
    for (int i = 0; i < r->update.count; i++) {
        const struct update_call *c = &r->update.calls[i];
        struct gpu_range ranges[CALL_USES];
        bool writes[CALL_USES];
        for (int u = 0; u < c->use_count; u++) {
            ranges[u] = update_range(r->engine, c, c->uses[u].part);
            writes[u] = c->uses[u].writes;
        }
        cut_before(list, touched, &r->engine->limits, &c->call, &seconds);
        record_call(r, list, touched, &c->call, ranges, writes, c->use_count);
    }
}

static void record_slot(struct replay *r, int slot, bool timed)
{
    struct touched touched = {0};
    struct gpu_list *list = gpu_list_begin(r->engine->gpu, timed);
    gpu_list_copy(list, (struct gpu_range){r->input, 0, r->input_bytes}, (struct gpu_range){r->stage[slot], 0, r->input_bytes});
    gpu_list_barrier(list);
    if (r->program) record_program(r, list, &touched);
    else record_update(r, list, &touched);
    gpu_list_barrier(list);
    for (int i = 0; i < RESULTS; i++)
        if (r->results[i].bytes)
            gpu_list_copy(list, (struct gpu_range){r->back[slot], r->back_at[i], r->results[i].bytes}, r->results[i]);
    gpu_list_end(list);
    free(touched.all);
    r->lists[slot] = list;
}

static void add_result(struct replay *r, int i, struct gpu_range range)
{
    r->results[i] = range;
    r->back_at[i] = r->back_bytes;
    r->back_bytes += up(range.bytes, PLAN_ALIGNMENT);
}

// Memory for inputs and results, then both slots' lists.
static struct replay *replay_finish(struct replay *r, bool timed, struct error *e)
{
    struct engine *g = r->engine;
    bool ok = (r->input = device_memory(g, r->input_bytes, "the inputs", e)) != NULL;
    for (int s = 0; ok && s < SLOTS; s++) {
        r->stage[s] = gpu_alloc(g->gpu, r->input_bytes, GPU_HOST);
        r->back[s] = r->back_bytes ? gpu_alloc(g->gpu, r->back_bytes, GPU_HOST) : NULL;
        ok = r->stage[s] && (r->back[s] || !r->back_bytes);
        if (!ok) error_set(e, "%s: no host memory left that the device can read", gpu_info(g->gpu)->name);
    }
    for (int s = 0; ok && s < SLOTS; s++) record_slot(r, s, timed);
    if (ok) return r;
    replay_free(g, r);
    return NULL;
}

struct replay *replay_make(struct engine *g, const struct program *p, const struct plan *plan, bool timed, struct error *e)
{
    const struct graph *graph = p->graph;
    struct replay *r = mem_zero(1, sizeof *r);
    *r = (struct replay){.engine = g, .program = p, .plan = plan, .input_bytes = PLAN_ALIGNMENT};
    for (int i = 0; i < INPUT_COUNT; i++) {
        r->input_at[i] = r->input_bytes;
        r->input_bytes += up(4 * graph_at(graph, graph->input[i])->columns, PLAN_ALIGNMENT);
    }
    r->states = mem_zero((size_t)graph->tensor_count, sizeof *r->states);
    bool ok = true;
    for (int i = 0; ok && i < graph->tensor_count; i++)
        if (graph->tensors[i].kind == TENSOR_STATE) {
            uint64_t bytes = graph->tensors[i].rows * tensor_row_bytes(graph, i, PART_VALUE);
            ok = (r->states[i] = engine_state(g, &graph->tensors[i], bytes, e)) != NULL;
        }
    for (int b = 0; ok && b < plan->arena.blocks; b++) {
        assert(plan->arena.bytes[b] <= g->reserved.bytes[b]); // engine_reserve was called with this plan
        if (!g->arena[b]) ok = (g->arena[b] = device_memory(g, g->reserved.bytes[b], "the activations", e)) != NULL;
    }
    if (!ok) {
        replay_free(g, r);
        return NULL;
    }
    const tensor_id back[3] = {graph->loss, graph->hit, graph->sampled};
    for (int i = 0; i < 3; i++)
        if (back[i] >= 0) add_result(r, i, (struct gpu_range){r->states[back[i]], 0, 4 * graph_at(graph, back[i])->columns});
    return replay_finish(r, timed, e);
}

struct replay *replay_make_update(struct engine *g, enum optimizer optimizer, bool timed, struct error *e)
{
    assert(optimizer == OPTIMIZER_SGD || optimizer == g->optimizer);
    struct replay *r = mem_zero(1, sizeof *r);
    *r = (struct replay){.engine = g, .input_bytes = PLAN_ALIGNMENT};
    update_make(&r->update, &g->layout, &g->limits, g->storage, optimizer);
    add_result(r, 3, (struct gpu_range){g->result, 0, sizeof(struct step_result)});
    return replay_finish(r, timed, e);
}

void replay_free(struct engine *g, struct replay *r)
{
    if (!r) return;
    while (replay_pending(r)) replay_wait(r);
    for (int s = 0; s < SLOTS; s++) {
        if (r->lists[s]) gpu_list_free(g->gpu, r->lists[s]);
        if (r->stage[s]) gpu_free(g->gpu, r->stage[s]);
        if (r->back[s]) gpu_free(g->gpu, r->back[s]);
    }
    if (r->input) gpu_free(g->gpu, r->input);
    free(r->states);
    update_free(&r->update);
    free(r);
}

// ---- replaying -----------------------------------------------------------------------------------------------------

struct replay_input replay_begin(struct replay *r)
{
    assert(r->begun == r->submitted && replay_pending(r) < SLOTS);
    int slot = r->begun++ % SLOTS;
    uint8_t *stage = gpu_map(r->stage[slot]);
    struct replay_input in = {.live = (struct live_block *)stage};
    for (int i = 0; r->program && i < INPUT_COUNT; i++) in.array[i] = (uint32_t *)(stage + r->input_at[i]);
    return in;
}

void replay_submit(struct replay *r)
{
    assert(r->begun == r->submitted + 1);
    int slot = r->submitted++ % SLOTS;
    r->tickets[slot] = gpu_submit(r->engine->gpu, r->lists[slot]);
}

struct replay_output replay_wait(struct replay *r)
{
    assert(replay_pending(r) > 0);
    int slot = r->waited++ % SLOTS;
    gpu_wait(r->engine->gpu, r->tickets[slot]);
    struct replay_output out = {0};
    if (!r->back[slot]) return out;
    const uint8_t *back = gpu_map(r->back[slot]);
    if (r->results[0].bytes) out.loss = (const float *)(back + r->back_at[0]);
    if (r->results[1].bytes) out.hit = (const uint32_t *)(back + r->back_at[1]);
    if (r->results[2].bytes) out.sampled = (const uint32_t *)(back + r->back_at[2]);
    if (r->results[3].bytes) memcpy(&out.result, back + r->back_at[3], sizeof out.result);
    return out;
}

int replay_pending(const struct replay *r)
{
    return r->submitted - r->waited;
}

void replay_state_write(struct replay *r, tensor_id t, const void *data, uint64_t bytes)
{
    gpu_upload(r->engine->gpu, (struct gpu_range){r->states[t], 0, bytes}, data);
}

void replay_state_read(struct replay *r, tensor_id t, void *data, uint64_t first_byte, uint64_t bytes)
{
    gpu_download(r->engine->gpu, data, (struct gpu_range){r->states[t], first_byte, bytes});
}

int replay_times(struct replay *r, double *seconds, int capacity)
{
    assert(r->waited > 0);
    return gpu_list_times(r->engine->gpu, r->lists[(r->waited - 1) % SLOTS], seconds, capacity);
}

int replay_cuts(const struct replay *r)
{
    return gpu_list_cuts(r->lists[0]);
}
