// SPDX-License-Identifier: MIT
#include "train/generate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// ---- without a device ----------------------------------------------------------------------------------------------

static uint64_t cache_bytes(const struct model_config *c, enum storage storage, uint64_t slots, uint64_t capacity)
{
    return slots * capacity * c->kv_heads * c->head_dim * (storage == STORAGE_BF16 ? 2 : 4);
}

struct generation_options generation_choose(
    const struct model *model, const struct limits *limits, enum storage storage, uint32_t capacity, uint32_t most)
{
    const struct model_config *c = &model->config;
    uint32_t slots = limits->software ? 8 : 32;
    if (most && most < slots) slots = most;
    while (slots > 1 && (2 * c->layers * cache_bytes(c, storage, slots, capacity) > limits->heap / 4 ||
                            cache_bytes(c, storage, slots, capacity) > limits->max_range ||
                            4 * (uint64_t)slots * (c->vocabulary + 7) > limits->max_range))
        slots /= 2;
    return (struct generation_options){.slots = slots,
        .capacity = capacity,
        .rows = limits->software ? 128 : 512,
        .positions = capacity,
        .storage = storage};
}

int generation_make(struct generation *g, const struct model *model, const struct limits *limits,
    const struct generation_options *options, struct error *e)
{
    const struct generation_options *o = options;
    assert(o->slots && o->rows && o->positions >= o->capacity);
    *g = (struct generation){.options = *o};
    for (int i = 0; i < GENERATION_PROGRAMS; i++) {
        graph_init(&g->graph[i], i == GENERATION_READ ? o->rows : o->slots, o->storage);
        g->graph[i].cache_slots = o->slots;
        g->graph[i].cache_capacity = o->capacity;
        model_graph(model, &g->graph[i], MODEL_LOGITS, o->positions);
        program_make(&g->program[i], &g->graph[i], limits, false, false);
        if (plan_make(&g->plan[i], &g->program[i], e)) {
            generation_free(g);
            return -1;
        }
    }
    return 0;
}

void generation_free(struct generation *g)
{
    for (int i = 0; i < GENERATION_PROGRAMS; i++) {
        plan_free(&g->plan[i]);
        program_free(&g->program[i]);
        graph_free(&g->graph[i]);
    }
    *g = (struct generation){0};
}

// ---- on a device ---------------------------------------------------------------------------------------------------

// A sequence that grows in a slot.
struct sequence {
    bool busy;
    uint32_t request, prompt; // prompt: its tokens
    uint32_t *ids;            // (capacity) prompt, then answer
    uint32_t tokens, read;    // there; whose keys and values are in the cache or on their way
};

struct generator {
    const struct generation *plan;
    struct engine *engine;
    struct replay *replay[GENERATION_PROGRAMS];
    struct sequence *slots; // (slots)
    uint32_t *target;       // (slots) of each target of a submission, its slot
    // Of the run that is going on:
    const struct generate_request *requests;
    const struct generate_settings *settings;
    struct generated *out;
    uint32_t count, next; // requests; the first without a slot
    uint64_t tokens;      // generated so far
};

struct generator *generator_open(
    const struct generation *plan, const struct model *model, struct engine *engine, struct error *e)
{
    const struct generation_options *o = &plan->options;
    struct generator *g = mem_zero(1, sizeof *g);
    *g = (struct generator){.plan = plan, .engine = engine};
    g->slots = mem_zero(o->slots, sizeof *g->slots);
    g->target = mem_zero(o->slots, sizeof *g->target);
    for (uint32_t s = 0; s < o->slots; s++) g->slots[s].ids = mem_zero(o->capacity, sizeof(uint32_t));
    for (int i = 0; i < GENERATION_PROGRAMS; i++)
        if (!(g->replay[i] = replay_make(engine, &plan->program[i], &plan->plan[i], false, e))) {
            generator_close(g);
            return NULL;
        }
    model_fill_tables(model, g->replay[0], &plan->graph[0]); // the other one shares the table
    return g;
}

void generator_close(struct generator *g)
{
    if (!g) return;
    for (int i = 0; i < GENERATION_PROGRAMS; i++) replay_free(g->engine, g->replay[i]);
    for (uint32_t s = 0; s < g->plan->options.slots; s++) free(g->slots[s].ids);
    free(g->slots);
    free(g->target);
    free(g);
}

static void end_request(struct generator *g, uint32_t request, enum finish finish)
{
    g->out[request].finish = finish;
    if (g->settings->ended) g->settings->ended(g->settings->context, request, g->tokens);
}

// Free slots take the next requests.
static void admit(struct generator *g)
{
    uint32_t capacity = g->plan->options.capacity;
    for (uint32_t s = 0; s < g->plan->options.slots; s++) {
        struct sequence *q = &g->slots[s];
        while (!q->busy && g->next < g->count) {
            uint32_t i = g->next++;
            const struct generate_request *r = &g->requests[i];
            if (!r->tokens || r->tokens >= capacity) {
                end_request(g, i, FINISH_REFUSED);
            } else if (!g->settings->max_new_tokens) {
                end_request(g, i, FINISH_LENGTH);
            } else {
                *q = (struct sequence){
                    .busy = true, .request = i, .prompt = r->tokens, .ids = q->ids, .tokens = r->tokens};
                memcpy(q->ids, r->prompt, 4 * (size_t)r->tokens);
            }
        }
    }
}

static bool ends_in_text(const struct generator *g, const struct sequence *q)
{
    const struct stops *stops = g->settings->stops;
    if (!stops || !stops->text_count) return false;
    struct text text = {0};
    tokenizer_decode(g->settings->tokenizer, &text, q->ids + q->prompt, q->tokens - q->prompt, false);
    bool found = stops_before(stops, text.data, text.bytes) < text.bytes;
    text_free(&text);
    return found;
}

// A sequence gets its next token, and with it perhaps its end.
static void take(struct generator *g, struct sequence *q, uint32_t id)
{
    const struct generate_settings *set = g->settings;
    bool stop = set->stops && stops_at(set->stops, id);
    if (!stop) {
        q->ids[q->tokens++] = id;
        stop = ends_in_text(g, q);
    }
    g->tokens++;
    uint32_t made = q->tokens - q->prompt;
    if (!stop && made < set->max_new_tokens && q->tokens < g->plan->options.capacity) return;
    struct generated *out = &g->out[q->request];
    out->ids = mem_alloc(4 * (size_t)(made + 1));
    out->count = made;
    memcpy(out->ids, q->ids + q->prompt, 4 * (size_t)made);
    q->busy = false;
    end_request(g, q->request, stop ? FINISH_STOP : FINISH_LENGTH);
}

// One submission of a program: tokens that are not in the cache yet, as many as fit; a sequence that has none left
// after it gets its next token. False if there was nothing to do.
static bool advance(struct generator *g, int which)
{
    const struct generation_options *o = &g->plan->options;
    uint32_t rows = 0, targets = 0, most = which == GENERATION_READ ? o->rows : o->slots;
    struct replay_input in = {0};
    for (uint32_t s = 0; s < o->slots && rows < most; s++) {
        struct sequence *q = &g->slots[s];
        bool reading = q->read < q->prompt;
        if (!q->busy || reading != (which == GENERATION_READ)) continue;
        if (!rows) in = replay_begin(g->replay[which]);
        for (; q->read < q->tokens && rows < most; q->read++, rows++) {
            in.array[INPUT_IDS][rows] = q->ids[q->read];
            in.array[INPUT_POSITIONS][rows] = q->read;
            in.array[INPUT_SLOTS][rows] = s;
            in.array[INPUT_CONVERSATION][rows] = q->request;
        }
        if (q->read < q->tokens) continue;
        in.array[INPUT_TARGET_ROWS][targets] = rows - 1;
        g->target[targets++] = s;
    }
    if (!rows) return false;
    const struct generate_settings *set = g->settings;
    *in.live = (struct live_block){.tokens = rows,
        .targets = targets,
        .temperature = (float)set->temperature,
        .top_k = set->top_k,
        .top_p = (float)set->top_p,
        .seed_low = (uint32_t)set->seed,
        .seed_high = (uint32_t)(set->seed >> 32)};
    replay_submit(g->replay[which]);
    struct replay_output result = replay_wait(g->replay[which]);
    for (uint32_t i = 0; i < targets; i++) take(g, &g->slots[g->target[i]], result.sampled[i]);
    return true;
}

void generator_run(struct generator *g, const struct generate_request *requests, uint32_t count,
    const struct generate_settings *settings, struct generated *out)
{
    g->requests = requests;
    g->settings = settings;
    g->out = out;
    g->count = count;
    g->next = 0;
    g->tokens = 0;
    for (uint32_t i = 0; i < count; i++) out[i] = (struct generated){0};
    bool more = true;
    while (more) {
        admit(g);
        more = advance(g, GENERATION_READ) || advance(g, GENERATION_EXTEND);
    }
}

void generated_free(struct generated *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) free(all[i].ids);
}

const char *finish_name(enum finish finish)
{
    return finish == FINISH_STOP ? "stop" : finish == FINISH_LENGTH ? "length" : "refused";
}

void generated_text(
    struct text *out, const struct generated *g, const struct tokenizer *tokenizer, const struct stops *stops)
{
    size_t from = out->bytes;
    tokenizer_decode(tokenizer, out, g->ids, g->count, true);
    size_t bytes = out->bytes - from;
    if (!stops || !bytes) return;
    out->bytes = from + stops_before(stops, out->data + from, bytes);
    out->data[out->bytes] = 0;
}
