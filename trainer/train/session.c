// SPDX-License-Identifier: MIT
#include "train/session.h"
#include "data/draw.h"
#include "graph/choices.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- blueprint ---------------------------------------------------------------------------------------------------

// One rotary table serves all.
static uint32_t positions_of(const struct blueprint_options *o)
{
    return o->positions > o->generation.capacity ? o->positions : o->generation.capacity;
}

static int moments_of(const struct blueprint_options *o)
{
    return o->optimizer == OPTIMIZER_ADAMW ? 2 : 0;
}

// The model's forward graph.
static void graph_make(struct graph *g, const struct model *model, const struct blueprint_options *o)
{
    graph_init(g, o->budget, o->storage);
    g->gradients = o->gradients;
    g->dropout = o->dropout && o->optimizer != OPTIMIZER_NONE;
    model_graph(model, g, MODEL_LOSS, positions_of(o));
}

int blueprint_make(struct blueprint *b, const struct model *model, const struct limits *limits,
    const struct blueprint_options *options, struct error *e)
{
    *b = (struct blueprint){.options = *options, .limits = *limits};
    bool training = options->optimizer != OPTIMIZER_NONE;
    struct generation_options generation = options->generation;
    bool generates = generation.slots > 0;
    generation.positions = positions_of(options);
    generation.storage = options->storage;
    graph_make(&b->graph, model, options);
    if (training) program_make(&b->train, &b->graph, limits, true, options->checkpoint);
    program_make(&b->eval, &b->graph, limits, false, false);
    int status = weight_layout_make(&b->layout, &b->graph, limits, e);
    if (status == 0 && training) status = plan_make(&b->train_plan, &b->train, e);
    if (status == 0) status = plan_make(&b->eval_plan, &b->eval, e);
    if (status == 0 && generates) status = generation_make(&b->generation, model, limits, &generation, e);
    if (status) {
        blueprint_free(b);
        return -1;
    }
    const struct plan *plans[2 + GENERATION_PROGRAMS] = {&b->eval_plan};
    int count = 1;
    if (training) plans[count++] = &b->train_plan;
    for (int i = 0; generates && i < GENERATION_PROGRAMS; i++) plans[count++] = &b->generation.plan[i];
    b->memory = memory_sum_of(&b->layout, plans, count, training, moments_of(options), options->storage);
    return 0;
}

void blueprint_free(struct blueprint *b)
{
    plan_free(&b->train_plan);
    plan_free(&b->eval_plan);
    program_free(&b->train);
    program_free(&b->eval);
    generation_free(&b->generation);
    weight_layout_free(&b->layout);
    graph_free(&b->graph);
}

bool blueprint_equal(const struct blueprint *a, const struct blueprint *b)
{
    const struct blueprint_options *x = &a->options, *y = &b->options;
    const struct generation_options *g = &x->generation, *h = &y->generation;
    return x->budget == y->budget && x->positions == y->positions && x->storage == y->storage && x->gradients == y->gradients &&
           x->checkpoint == y->checkpoint && x->dropout == y->dropout && x->optimizer == y->optimizer &&
           g->slots == h->slots && g->capacity == h->capacity && g->rows == h->rows && g->together == h->together &&
           program_equal(&a->train, &b->train) && program_equal(&a->eval, &b->eval) &&
           (!g->slots || (program_equal(&a->generation.program[GENERATION_READ], &b->generation.program[GENERATION_READ]) &&
                             program_equal(&a->generation.program[GENERATION_EXTEND], &b->generation.program[GENERATION_EXTEND])));
}

static uint32_t up32(uint64_t x, uint32_t multiple)
{
    return (uint32_t)((x + multiple - 1) / multiple * multiple);
}

// A device's memory is never planned to the last byte: the driver and, on laptops, the screen need some of it.
static uint64_t usable(const struct limits *limits)
{
    return limits->heap / 100 * 92;
}

// What no choice of micro-batches makes smaller, before anything is planned: a plan of many large layers takes seconds.
static int check_weights(
    const struct model *model, const struct limits *limits, const struct blueprint_options *options, struct error *e)
{
    struct graph g;
    struct weight_layout layout = {0};
    bool training = options->optimizer != OPTIMIZER_NONE;
    graph_make(&g, model, options);
    int status = weight_layout_make(&layout, &g, limits, e);
    uint64_t bytes = status ? 0 : memory_sum_of(&layout, NULL, 0, training, moments_of(options), options->storage).total;
    weight_layout_free(&layout);
    graph_free(&g);
    if (bytes > usable(limits))
        status = error_set(e, "%.2f GB are needed for its weights%s, and the device has %.2f GB", (double)bytes * 1e-9,
            training ? ", gradients and optimizer" : "", (double)usable(limits) * 1e-9);
    return status;
}

static int make_if_fits(struct blueprint *b, const struct model *model, const struct limits *limits,
    const struct blueprint_options *options, struct error *e)
{
    if (check_weights(model, limits, options, e) || blueprint_make(b, model, limits, options, e)) return -1;
    if (b->memory.total <= usable(limits)) return 0;
    error_set(e, "%.2f GB are needed for micro-batches of %u tokens%s, and the device has %.2f GB",
        (double)b->memory.total * 1e-9, options->budget, options->checkpoint ? " with gradient_checkpointing" : "",
        (double)usable(limits) * 1e-9);
    blueprint_free(b);
    return -1;
}

int blueprint_choose(struct blueprint *b, const struct model *model, const struct limits *limits,
    const struct blueprint_options *options, bool checkpoint_auto, uint64_t step_tokens, struct error *e)
{
    struct blueprint_options o = *options;
    uint32_t least = up32(o.positions < 16 ? 16 : o.positions, 16);
    // Larger micro-batches feed wide devices; a software device is as fast at 512 rows, and its memory is the host's.
    uint32_t most = options->budget ? options->budget : limits->software ? 512 : 16384;
    if (step_tokens && !options->budget && most > step_tokens) most = up32(step_tokens, 16);
    if (most < least) most = least;
    struct error why = {0};
    for (uint32_t budget = most;; budget = budget / 2 > least ? up32(budget / 2, 16) : least) {
        o.budget = budget;
        o.checkpoint = checkpoint_auto ? false : options->checkpoint;
        if (make_if_fits(b, model, limits, &o, &why) == 0) return 0;
        // Recomputation costs a third of the step: worth it before micro-batches get small.
        o.checkpoint = true;
        if (checkpoint_auto && (budget <= 2048 || budget == least) && make_if_fits(b, model, limits, &o, &why) == 0)
            return 0;
        if (budget == least || options->budget) break;
    }
    struct blueprint_options small = o;
    small.storage = STORAGE_BF16;
    small.checkpoint = true;
    small.budget = least;
    struct blueprint try;
    struct text fits = {0};
    if ((o.storage != STORAGE_BF16 || options->budget > least || (!checkpoint_auto && !options->checkpoint)) &&
        make_if_fits(&try, model, limits, &small, NULL) == 0) {
        text_print(&fits, "precision bf16 with gradient_checkpointing and micro_batch_tokens %u would fit (%.2f GB)",
            least, (double)try.memory.total * 1e-9);
        blueprint_free(&try);
    } else if (check_weights(model, limits, &small, NULL)) {
        text_print(&fits, "nothing does on this device: use a smaller model, optim sgd or another device");
    } else {
        text_print(&fits,
            "nothing does on this device at max_length %u: lower max_length, or use a smaller model, optim sgd or another device",
            o.positions);
    }
    // Older software drivers offer a part of the memory only.
    if (limits->software && limits->heap < UINT64_C(4) << 30) text_print(&fits, " (tools/with-driver lavapipe-26 offers all memory)");
    error_set(e, "the model does not fit: %s; %s", why.text, fits.data);
    text_free(&fits);
    return -1;
}

void blueprint_meet(const struct blueprint *b, const struct model *model, struct choices *met)
{
    struct limits limits = b->limits;
    limits.met = met;
    struct blueprint again;
    struct error e;
    int status = blueprint_make(&again, model, &limits, &b->options, &e);
    assert(status == 0); // it was made before
    (void)status;
    blueprint_free(&again);
}

bool blueprint_choose_variants(struct blueprint *b, const struct model *model, const struct choices *choices)
{
    if (choices_count(choices) == 0) return true;
    struct limits before = b->limits, limits = before;
    struct blueprint_options options = b->options;
    limits.choices = choices;
    blueprint_free(b);
    if (make_if_fits(b, model, &limits, &options, NULL) == 0) return true;
    struct error e;
    int status = blueprint_make(b, model, &before, &options, &e);
    assert(status == 0); // it was made before
    (void)status;
    return false;
}

// ---- session -----------------------------------------------------------------------------------------------------

struct session {
    const struct blueprint *blueprint;
    const struct model *model;
    struct engine *engine;
    struct replay *train, *eval, *update[OPTIMIZER_ADAMW + 1]; // updates by optimizer
    struct replay *timed, *timed_update[OPTIMIZER_ADAMW + 1];   // for bench, made at the first use
    struct generator *generator;
    struct micro_batch batch;
};

struct session *session_open(const struct blueprint *b, const struct model *model, struct gpu *gpu, struct error *e)
{
    struct session *s = mem_zero(1, sizeof *s);
    s->blueprint = b;
    s->model = model;
    bool training = b->options.optimizer != OPTIMIZER_NONE, generates = b->options.generation.slots > 0;
    micro_batch_make(&s->batch, b->options.budget);
    bool ok = (s->engine = engine_open(gpu, &b->graph, b->options.optimizer, e)) != NULL;
    if (ok) {
        engine_reserve(s->engine, &b->eval_plan);
        if (training) engine_reserve(s->engine, &b->train_plan);
        for (int i = 0; generates && i < GENERATION_PROGRAMS; i++) engine_reserve(s->engine, &b->generation.plan[i]);
    }
    ok = ok && (!training || (s->train = replay_make(s->engine, &b->train, &b->train_plan, false, e)));
    enum optimizer update = b->options.optimizer;
    ok = ok && (!training || (s->update[update] = replay_make_update(s->engine, update, false, e)));
    ok = ok && (update != OPTIMIZER_ADAMW || (s->update[OPTIMIZER_SGD] = replay_make_update(s->engine, OPTIMIZER_SGD, false, e)));
    ok = ok && (s->eval = replay_make(s->engine, &b->eval, &b->eval_plan, false, e));
    ok = ok && (!generates || (s->generator = generator_open(&b->generation, model, s->engine, e)));
    if (ok) {
        model_fill_tables(model, s->eval, &b->graph); // the training replay shares the table
        mem_trim(); // of what making the pipelines took
        gpu_save_cache(gpu); // a run may be killed
        return s;
    }
    session_close(s);
    return NULL;
}

void session_close(struct session *s)
{
    if (!s) return;
    generator_close(s->generator);
    if (s->engine) {
        replay_free(s->engine, s->train);
        replay_free(s->engine, s->eval);
        for (int i = 0; i <= OPTIMIZER_ADAMW; i++) {
            replay_free(s->engine, s->update[i]);
            replay_free(s->engine, s->timed_update[i]);
        }
        replay_free(s->engine, s->timed);
    }
    engine_close(s->engine);
    micro_batch_free(&s->batch);
    free(s);
}

struct engine *session_engine(struct session *s)
{
    return s->engine;
}

int session_cuts(const struct session *s)
{
    return replay_cuts(s->train);
}

struct generator *session_generator(struct session *s)
{
    return s->generator;
}

// Copies a filled micro-batch into a replay's input arrays; rows that are not live keep what they held.
static void write_inputs(const struct replay_input *in, const struct micro_batch *m)
{
    const struct {
        enum input input;
        const uint32_t *from;
        uint32_t count;
    } arrays[] = {{INPUT_IDS, m->ids, m->tokens}, {INPUT_POSITIONS, m->positions, m->tokens},
        {INPUT_STARTS, m->starts, m->tokens}, {INPUT_ENDS, m->ends, m->tokens},
        {INPUT_CONVERSATION, m->conversation, m->tokens}, {INPUT_TARGET_ROWS, m->target_rows, m->targets},
        {INPUT_TARGET_IDS, m->target_ids, m->targets}, {INPUT_SORTED_ROWS, m->sorted_rows, m->tokens},
        {INPUT_GROUP_FIRST, m->group_first, m->distinct + 1}, {INPUT_GROUP_IDS, m->group_ids, m->distinct}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        memcpy(in->array[arrays[i].input], arrays[i].from, 4 * (size_t)arrays[i].count);
    uint32_t *row_target = in->array[INPUT_ROW_TARGET];
    for (uint32_t t = 0; t < m->tokens; t++) row_target[t] = NO_TARGET;
    for (uint32_t i = 0; i < m->targets; i++) row_target[m->target_rows[i]] = i;
}

static void live_batch(struct live_block *live, const struct micro_batch *m)
{
    *live = (struct live_block){.tokens = m->tokens,
        .documents = m->documents,
        .targets = m->targets,
        .distinct = m->distinct,
        .gradient_scale = 1};
}

static double scale_of(const struct step_settings *settings)
{
    return settings->loss_scale > 0 ? settings->loss_scale : 1;
}

uint64_t session_dropout_key(uint64_t seed)
{
    return draw_start("dropout", "", seed, 0, 0).key;
}

// The live block of a training micro-batch; `trained` tokens of the whole step.
static void live_train(struct live_block *live, const struct micro_batch *m, const struct step_settings *settings, bool first,
    uint64_t trained)
{
    live_batch(live, m);
    live->first = first;
    live->loss_scale = (float)(scale_of(settings) / (double)(trained ? trained : 1));
    uint64_t key = session_dropout_key(settings->seed);
    live->seed_low = (uint32_t)key;
    live->seed_high = (uint32_t)(key >> 32);
    live->step = (uint32_t)settings->step;
    live->dropout = (float)settings->dropout;
}

static void live_update(struct live_block *live, const struct step_settings *settings)
{
    double t = (double)settings->update;
    *live = (struct live_block){.gradient_scale = (float)(1 / scale_of(settings)),
        .learning_rate = (float)settings->learning_rate,
        .beta1 = (float)settings->beta1,
        .beta2 = (float)settings->beta2,
        .rest1 = (float)(1 - settings->beta1),
        .rest2 = (float)(1 - settings->beta2),
        .epsilon = (float)settings->epsilon,
        .weight_decay = (float)settings->weight_decay,
        .max_norm = (float)settings->max_norm,
        .correction1 = (float)(1 / (1 - pow(settings->beta1, t))),
        .correction2 = (float)(1 / (1 - pow(settings->beta2, t)))};
}

// Seconds since *clock, which goes on to now.
static double lap(double *clock)
{
    double before = *clock;
    return (*clock = clock_seconds()) - before;
}

// What a submission waits for room in the queue is the device's time.
static void submit(struct session *s, struct replay *r, double *clock, struct step_outcome *out)
{
    double before = gpu_queue_seconds(engine_gpu(s->engine));
    replay_submit(r);
    double waited = gpu_queue_seconds(engine_gpu(s->engine)) - before;
    out->submit_seconds += lap(clock) - waited;
    out->wait_seconds += waited;
}

// Waits for the oldest micro-batch and adds its losses up, in the order of its targets; `which` are the sources of
// them.
static void collect(
    struct replay *r, const uint32_t *which, uint32_t targets, double *total, struct source_sum *sources)
{
    struct replay_output out = replay_wait(r);
    for (uint32_t i = 0; i < targets; i++) {
        *total += (double)out.loss[i];
        sources[which[i]].loss += (double)out.loss[i];
    }
}

void session_step(struct session *s, const struct pack_item *items, uint32_t count,
    const struct step_settings *settings, struct step_outcome *out, struct source_sum *sources)
{
    uint32_t budget = s->blueprint->options.budget, *lengths = mem_alloc(4 * (size_t)(count + 1)), targets[2] = {0};
    double clock = clock_seconds();
    *out = (struct step_outcome){0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t trained = pack_targets(items[i].mask, items[i].tokens);
        lengths[i] = items[i].tokens;
        out->tokens += items[i].tokens;
        out->trained += trained;
        sources[items[i].source].conversations++;
        sources[items[i].source].trained += trained;
        sources[items[i].source].tokens += items[i].tokens;
    }
    struct pack pack;
    pack_make(&pack, lengths, count, budget, settings->packing);
    out->micro_batches = pack.count;
    uint32_t *which[2] = {
        mem_alloc(4 * (size_t)budget), mem_alloc(4 * (size_t)budget)}; // sources of the pending targets
    double loss = 0;
    for (uint32_t b = 0; b < pack.count; b++) {
        micro_batch_fill(&s->batch, items, pack.items + pack.first[b], pack.first[b + 1] - pack.first[b]);
        out->fill_seconds += lap(&clock);
        if (replay_pending(s->train) == 2) collect(s->train, which[b % 2], targets[b % 2], &loss, sources);
        out->wait_seconds += lap(&clock);
        struct replay_input in = replay_begin(s->train);
        live_train(in.live, &s->batch, settings, b == 0, out->trained);
        write_inputs(&in, &s->batch);
        out->fill_seconds += lap(&clock);
        submit(s, s->train, &clock, out);
        memcpy(which[b % 2], s->batch.target_source, 4 * (size_t)s->batch.targets);
        targets[b % 2] = s->batch.targets;
    }
    struct replay *update = s->update[settings->optimizer];
    struct replay_input in = replay_begin(update);
    live_update(in.live, settings);
    out->fill_seconds += lap(&clock);
    submit(s, update, &clock, out);
    for (uint32_t b = pack.count - (uint32_t)replay_pending(s->train); b < pack.count; b++)
        collect(s->train, which[b % 2], targets[b % 2], &loss, sources);
    struct step_result result = replay_wait(update).result;
    out->wait_seconds += lap(&clock);
    out->loss = (float)(loss / (double)(out->trained ? out->trained : 1));
    out->grad_norm = result.norm;
    out->skipped = result.skip != 0;
    free(which[0]);
    free(which[1]);
    free(lengths);
    pack_free(&pack);
}

void session_eval(
    struct session *s, const struct pack_item *items, uint32_t count, bool packing, struct eval_outcome *out)
{
    uint32_t budget = s->blueprint->options.budget, *lengths = mem_alloc(4 * (size_t)(count + 1)), targets[2] = {0};
    for (uint32_t i = 0; i < count; i++) {
        lengths[i] = items[i].tokens;
        out[i] = (struct eval_outcome){0};
    }
    struct pack pack;
    pack_make(&pack, lengths, count, budget, packing);
    uint32_t *which[2] = {
        mem_alloc(4 * (size_t)budget), mem_alloc(4 * (size_t)budget)}; // conversations of the pending targets
    for (uint32_t b = 0, done = 0; done < pack.count;) {
        if (b < pack.count && replay_pending(s->eval) < 2) {
            const uint32_t *chosen = pack.items + pack.first[b];
            micro_batch_fill(&s->batch, items, chosen, pack.first[b + 1] - pack.first[b]);
            struct replay_input in = replay_begin(s->eval);
            live_batch(in.live, &s->batch);
            write_inputs(&in, &s->batch);
            replay_submit(s->eval);
            for (uint32_t i = 0; i < s->batch.targets; i++)
                which[b % 2][i] = s->batch.conversation[s->batch.target_rows[i]];
            targets[b % 2] = s->batch.targets;
            b++;
            continue;
        }
        struct replay_output result = replay_wait(s->eval);
        for (uint32_t i = 0; i < targets[done % 2]; i++) {
            struct eval_outcome *o = &out[which[done % 2][i]];
            o->loss += (double)result.loss[i];
            o->hits += result.hit[i];
            o->trained++;
        }
        done++;
    }
    free(which[0]);
    free(which[1]);
    free(lengths);
    pack_free(&pack);
}

int session_time_batch(struct session *s, const struct pack_item *items, const uint32_t *which, uint32_t count, bool first,
    const struct step_settings *settings, struct live_counts *live, double *seconds, int capacity, struct error *e)
{
    const struct blueprint *b = s->blueprint;
    if (!s->timed && !(s->timed = replay_make(s->engine, &b->train, &b->train_plan, true, e))) return -1;
    micro_batch_fill(&s->batch, items, which, count);
    *live = (struct live_counts){.tokens = s->batch.tokens, .targets = s->batch.targets, .first = first};
    for (uint32_t i = 0; i < count; i++) live->pairs += (double)items[which[i]].tokens * items[which[i]].tokens;
    struct replay_input in = replay_begin(s->timed);
    live_train(in.live, &s->batch, settings, first, s->batch.targets);
    write_inputs(&in, &s->batch);
    replay_submit(s->timed);
    replay_wait(s->timed);
    return replay_times(s->timed, seconds, capacity);
}

int session_time_update(
    struct session *s, const struct step_settings *settings, double *seconds, int capacity, struct error *e)
{
    struct replay **timed = &s->timed_update[settings->optimizer];
    if (!*timed && !(*timed = replay_make_update(s->engine, settings->optimizer, true, e))) return -1;
    struct replay_input in = replay_begin(*timed);
    live_update(in.live, settings);
    replay_submit(*timed);
    replay_wait(*timed);
    return replay_times(*timed, seconds, capacity);
}
