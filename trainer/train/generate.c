// SPDX-License-Identifier: MIT
#include "train/generate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// ---- without a device ----------------------------------------------------------------------------------------------

#define SLOTS 32 // feed a device without taking much of its memory

static uint64_t cache_bytes(const struct model_config *c, enum storage storage, uint64_t slots, uint64_t capacity)
{
    return slots * capacity * c->kv_heads * c->head_dim * storage_bytes(storage);
}

uint32_t generation_fit(
    const struct model *model, const struct limits *limits, enum storage storage, uint32_t capacity, uint32_t slots)
{
    const struct model_config *c = &model->config;
    while (slots > 1 && (2 * c->layers * cache_bytes(c, storage, slots, capacity) > limits->heap / 4 ||
                            cache_bytes(c, storage, slots, capacity) > limits->max_range ||
                            4 * (uint64_t)slots * (c->vocabulary + 7) > limits->max_range))
        slots /= 2;
    return slots;
}

struct generation_options generation_choose(
    const struct model *model, const struct limits *limits, enum storage storage, uint32_t capacity, uint32_t most)
{
    uint32_t slots = generation_fit(model, limits, storage, capacity, most && most < SLOTS ? most : SLOTS);
    return (struct generation_options){.slots = slots,
        .capacity = capacity,
        .rows = limits->software ? 128 : 512,
        .positions = capacity,
        .storage = storage};
}

// Of a submission. A sequence has at most `together` of them; more make waiting for another submission rare.
static uint32_t most_draws(const struct generation_options *o)
{
    return 4 * (o->slots > o->together ? o->slots : o->together);
}

int generation_make(struct generation *g, const struct model *model, const struct limits *limits,
    const struct generation_options *options, struct error *e)
{
    *g = (struct generation){.options = *options};
    struct generation_options *o = &g->options;
    assert(o->slots && o->rows && o->positions >= o->capacity);
    if (!o->together) o->together = o->slots;
    for (int i = 0; i < GENERATION_PROGRAMS; i++) {
        graph_init(&g->graph[i], i == GENERATION_READ ? o->rows : o->slots, o->storage);
        g->graph[i].cache_slots = o->slots;
        g->graph[i].cache_capacity = o->capacity;
        g->graph[i].draws = most_draws(o);
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

// Requests that are alike so far.
struct branch {
    uint32_t *members;      // (count), owned
    uint32_t count, length; // length: their first tokens whose keys and values are in the slot's cache or on their way
};
// A slot: the branch that grows in it, and those that wait for the slot. A branch is never longer than those above it,
// so that what grows at the top leaves the rows of all below it as they are.
struct slot {
    struct branch now;      // count 0: free
    struct branch *waiting; // (waiting_count)
    uint32_t waiting_count, waiting_capacity;
};
// A request that is being answered.
struct growing {
    uint32_t *ids;   // prompt, then answer; NULL: not begun, or ended
    uint32_t tokens; // there
};

struct generator {
    const struct generation *plan;
    struct engine *engine;
    struct replay *replay[GENERATION_PROGRAMS];
    struct slot *slots; // (slots)
    uint32_t *forks;    // (3 slots) for the next submission, as args.h has them
    uint32_t fork_count;
    uint32_t *drawing; // (draws) requests of a submission's draws
    bool *moved;       // (slots) of a submission
    // Of the run that is going on:
    const struct generate_request *requests;
    const struct generate_settings *settings;
    struct generated *out;
    struct growing *growing; // (count)
    uint32_t count, next;    // requests; the first that has not begun
    uint32_t begun;          // requests that have begun and not ended
    struct generation_work work;
};

struct generator *generator_open(
    const struct generation *plan, const struct model *model, struct engine *engine, struct error *e)
{
    const struct generation_options *o = &plan->options;
    struct generator *g = mem_zero(1, sizeof *g);
    *g = (struct generator){.plan = plan, .engine = engine};
    g->slots = mem_zero(o->slots, sizeof *g->slots);
    g->forks = mem_zero(3 * (size_t)o->slots, sizeof *g->forks);
    g->drawing = mem_zero(most_draws(o), sizeof *g->drawing);
    g->moved = mem_zero(o->slots, sizeof *g->moved);
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
    for (uint32_t s = 0; s < g->plan->options.slots; s++) free(g->slots[s].waiting);
    free(g->slots);
    free(g->forks);
    free(g->drawing);
    free(g->moved);
    free(g);
}

static void end_request(struct generator *g, uint32_t request, enum finish finish)
{
    g->out[request].finish = finish;
    if (g->settings->ended) g->settings->ended(g->settings->context, request, g->work.tokens);
}

// ---- branches ------------------------------------------------------------------------------------------------------

static bool in_prompt(const struct generator *g, uint32_t request, uint32_t position)
{
    return position < g->requests[request].tokens;
}

// Whether two requests, alike before `position`, are alike there too. Prompts and answers are computed by different
// programs, so a token of a prompt is not like a drawn one.
static bool alike(const struct generator *g, uint32_t a, uint32_t b, uint32_t position)
{
    return g->growing[a].ids[position] == g->growing[b].ids[position] &&
           in_prompt(g, a, position) == in_prompt(g, b, position);
}

static void wait_in(struct slot *s, struct branch b)
{
    GROW(s->waiting, s->waiting_count, s->waiting_capacity);
    s->waiting[s->waiting_count++] = b;
}

// Gives a slot whose branch has grown, or is new, to those of its requests that are alike in their next token, by the
// first of them; the others wait, the next in the order of requests on top.
static void settle(struct generator *g, struct slot *s)
{
    struct branch b = s->now;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b.count; i++)
        if (g->growing[b.members[i]].ids) b.members[kept++] = b.members[i];
    b.count = kept;
    uint32_t parts = 0, *part = mem_alloc(4 * (size_t)(b.count + 1)), *first = mem_alloc(4 * (size_t)(b.count + 1));
    for (uint32_t i = 0; i < b.count; i++) {
        uint32_t p = 0;
        while (p < parts && !alike(g, b.members[first[p]], b.members[i], b.length)) p++;
        if (p == parts) first[parts++] = i;
        part[i] = p;
    }
    s->now = (struct branch){0};
    for (uint32_t p = parts; p-- > 0;) {
        struct branch one = {.members = mem_alloc(4 * (size_t)b.count), .length = b.length};
        for (uint32_t i = 0; i < b.count; i++)
            if (part[i] == p) one.members[one.count++] = b.members[i];
        if (p)
            wait_in(s, one);
        else
            s->now = one;
    }
    free(b.members);
    free(part);
    free(first);
}

// The next requests, as many as are looked at together, begin in a slot.
static void begin(struct generator *g, struct slot *s)
{
    uint32_t capacity = g->plan->options.capacity, most = g->plan->options.together;
    struct branch b = {.members = mem_alloc(4 * (size_t)most)};
    while (b.count < most && g->next < g->count) {
        uint32_t i = g->next++;
        const struct generate_request *r = &g->requests[i];
        if (!r->tokens || r->tokens >= capacity) {
            end_request(g, i, FINISH_REFUSED);
        } else if (!g->settings->max_new_tokens) {
            end_request(g, i, FINISH_LENGTH);
        } else {
            uint32_t room = capacity - r->tokens;
            if (room > g->settings->max_new_tokens) room = g->settings->max_new_tokens;
            struct growing *q = &g->growing[i];
            *q = (struct growing){mem_alloc(4 * ((size_t)r->tokens + room)), r->tokens};
            memcpy(q->ids, r->prompt, 4 * (size_t)r->tokens);
            b.members[b.count++] = i;
            g->begun++;
        }
    }
    s->now = b;
    settle(g, s);
}

static bool reads(const struct generator *g, const struct slot *s)
{
    return s->now.count && in_prompt(g, s->now.members[0], s->now.length);
}

// The slot in whose stack most branches wait, or NULL.
static struct slot *most_waiting(const struct generator *g)
{
    struct slot *best = NULL;
    for (uint32_t s = 0; s < g->plan->options.slots; s++)
        if (g->slots[s].waiting_count > (best ? best->waiting_count : 0)) best = &g->slots[s];
    return best;
}

// Free slots take what waits in them; then the bottom of another's stack, which has the most before it; then requests
// that have not begun, but not while there will be branches as soon as a common beginning has been read.
static void fill_slots(struct generator *g)
{
    uint32_t slots = g->plan->options.slots, reading = 0;
    for (uint32_t i = 0; i < slots; i++) {
        struct slot *s = &g->slots[i];
        if (!s->now.count && s->waiting_count) s->now = s->waiting[--s->waiting_count];
        reading += reads(g, s);
    }
    for (uint32_t i = 0; i < slots; i++) {
        struct slot *s = &g->slots[i], *from;
        if (s->now.count) continue;
        if ((from = most_waiting(g))) {
            s->now = from->waiting[0];
            memmove(from->waiting, from->waiting + 1, --from->waiting_count * sizeof *from->waiting);
            reading += reads(g, s);
            if (!s->now.length) continue;
            memcpy(g->forks + 3 * (size_t)g->fork_count++, (uint32_t[]){(uint32_t)(from - g->slots), i, s->now.length},
                12);
            g->work.forks++;
        } else if (g->next < g->count && (!reading || g->begun < slots)) {
            begin(g, s);
            reading += reads(g, s);
        }
    }
}

// ---- submissions ---------------------------------------------------------------------------------------------------

static bool ends_in_text(const struct generator *g, uint32_t request)
{
    const struct stops *stops = g->settings->stops;
    if (!stops || !stops->text_count) return false;
    const struct growing *q = &g->growing[request];
    uint32_t prompt = g->requests[request].tokens;
    struct text text = {0};
    tokenizer_decode(g->settings->tokenizer, &text, q->ids + prompt, q->tokens - prompt, false);
    bool found = stops_before(stops, text.data, text.bytes) < text.bytes;
    text_free(&text);
    return found;
}

// A request gets its next token, and with it perhaps its end.
static void take(struct generator *g, uint32_t request, uint32_t id)
{
    const struct generate_settings *set = g->settings;
    struct growing *q = &g->growing[request];
    bool stop = set->stops && stops_at(set->stops, id);
    if (!stop) {
        q->ids[q->tokens++] = id;
        stop = ends_in_text(g, request);
    }
    g->work.tokens++;
    uint32_t prompt = g->requests[request].tokens, made = q->tokens - prompt;
    if (!stop && made < set->max_new_tokens && q->tokens < g->plan->options.capacity) return;
    struct generated *out = &g->out[request];
    out->ids = mem_alloc(4 * (size_t)(made + 1));
    out->count = made;
    memcpy(out->ids, q->ids + prompt, 4 * (size_t)made);
    free(q->ids);
    q->ids = NULL;
    g->begun--;
    end_request(g, request, stop ? FINISH_STOP : FINISH_LENGTH);
}

// Whether all requests of a branch, alike before `position`, have the same token of a prompt there.
static bool read_on(const struct generator *g, const struct branch *b, uint32_t position)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (!in_prompt(g, b->members[i], position) || !alike(g, b->members[0], b->members[i], position)) return false;
    return true;
}

// Prompts wait until there are enough of them: reading is the dearer program to begin with.
static bool time_to_read(const struct generator *g)
{
    uint32_t reading = 0, extending = 0, idle = 0, rows = 0;
    for (uint32_t i = 0; i < g->plan->options.slots; i++) {
        const struct slot *s = &g->slots[i];
        if (!s->now.count) {
            idle++;
        } else if (reads(g, s)) {
            reading++;
            rows += g->requests[s->now.members[0]].tokens - s->now.length;
        } else {
            extending++;
        }
    }
    return reading && (4 * (reading + idle) >= extending || rows >= g->plan->options.rows);
}

// One submission of a program: tokens that are not in the cache yet, as many as fit; requests that have none left
// after it get their next one. False if there was nothing to do.
static bool advance(struct generator *g, int which)
{
    const struct generation_options *o = &g->plan->options;
    const struct generate_settings *set = g->settings;
    uint32_t rows = 0, targets = 0, draws = 0, most = which == GENERATION_READ ? o->rows : o->slots;
    struct replay_input in = {0};
    memset(g->moved, 0, o->slots * sizeof *g->moved);
    for (uint32_t i = 0; i < o->slots && rows < most; i++) {
        struct branch *b = &g->slots[i].now;
        if (!b->count || reads(g, &g->slots[i]) != (which == GENERATION_READ)) continue;
        if (draws + b->count > most_draws(o)) continue;
        if (!rows) in = replay_begin(g->replay[which]);
        do {
            in.array[INPUT_IDS][rows] = g->growing[b->members[0]].ids[b->length];
            in.array[INPUT_POSITIONS][rows] = b->length++;
            in.array[INPUT_SLOTS][rows++] = i;
        } while (rows < most && read_on(g, b, b->length));
        g->moved[i] = true;
        uint32_t first = draws;
        for (uint32_t k = 0; k < b->count; k++) {
            uint32_t request = b->members[k];
            if (g->growing[request].tokens > b->length) continue;
            uint64_t key = set->keys ? set->keys[request] : request;
            in.array[INPUT_DRAW_KEYS][2 * draws] = (uint32_t)key;
            in.array[INPUT_DRAW_KEYS][2 * draws + 1] = (uint32_t)(key >> 32);
            g->drawing[draws++] = request;
        }
        if (draws == first) continue;
        in.array[INPUT_TARGET_ROWS][targets] = rows - 1;
        in.array[INPUT_DRAW_FIRST][targets++] = first;
    }
    if (!rows) return false;
    in.array[INPUT_DRAW_FIRST][targets] = draws;
    memcpy(in.array[INPUT_FORKS], g->forks, 12 * (size_t)g->fork_count);
    *in.live = (struct live_block){.tokens = rows,
        .targets = targets,
        .forks = g->fork_count,
        .temperature = (float)set->temperature,
        .top_k = set->top_k,
        .top_p = (float)set->top_p,
        .seed_low = (uint32_t)set->seed,
        .seed_high = (uint32_t)(set->seed >> 32)};
    g->fork_count = 0;
    replay_submit(g->replay[which]);
    g->work.submissions++;
    *(which == GENERATION_READ ? &g->work.read : &g->work.extended) += rows;
    struct replay_output result = replay_wait(g->replay[which]);
    for (uint32_t i = 0; i < draws; i++) take(g, g->drawing[i], result.sampled[i]);
    for (uint32_t i = 0; i < o->slots; i++)
        if (g->moved[i]) settle(g, &g->slots[i]);
    return true;
}

// What a run that was stopped has begun and not ended.
static void drop_rest(struct generator *g)
{
    for (uint32_t i = 0; i < g->count; i++) free(g->growing[i].ids);
    for (uint32_t i = 0; i < g->plan->options.slots; i++) {
        struct slot *s = &g->slots[i];
        free(s->now.members);
        s->now = (struct branch){0};
        while (s->waiting_count) free(s->waiting[--s->waiting_count].members);
    }
    g->fork_count = g->begun = 0;
}

void generator_run(struct generator *g, const struct generate_request *requests, uint32_t count,
    const struct generate_settings *settings, struct generated *out)
{
    g->requests = requests;
    g->settings = settings;
    g->out = out;
    g->count = count;
    g->next = 0;
    g->work = (struct generation_work){0};
    g->growing = mem_zero((size_t)count + 1, sizeof *g->growing);
    for (uint32_t i = 0; i < count; i++) out[i] = (struct generated){0};
    bool more = true;
    while (more && !(settings->stopped && settings->stopped())) {
        fill_slots(g);
        int which = time_to_read(g) ? GENERATION_READ : GENERATION_EXTEND;
        more = advance(g, which) || g->next < g->count;
    }
    drop_rest(g);
    free(g->growing);
    g->growing = NULL;
}

// Submits the rows written; then the logits of `targets` requests from `first` on are there.
static void read_logits(struct generator *g, uint32_t rows, uint32_t targets, uint32_t first, float *logits,
    void (*row)(void *context, uint32_t request, const float *logits), void *context, struct replay_input in)
{
    struct replay *replay = g->replay[GENERATION_READ];
    const struct graph *graph = &g->plan->graph[GENERATION_READ];
    const struct tensor *t = graph_at(graph, graph->logits);
    memset(in.array[INPUT_DRAW_FIRST], 0, 4 * ((size_t)targets + 1)); // nothing is drawn
    *in.live = (struct live_block){.tokens = rows, .targets = targets, .top_p = 1};
    replay_submit(replay);
    replay_wait(replay);
    for (uint32_t i = 0; i < targets; i++) {
        replay_state_read(replay, graph->logits, logits, 4 * (uint64_t)i * t->ld, 4 * t->columns);
        row(context, first + i, logits);
    }
}

void generator_logits(struct generator *g, const struct generate_request *requests, uint32_t count,
    void (*row)(void *context, uint32_t request, const float *logits), void *context)
{
    const struct generation_options *o = &g->plan->options;
    const struct graph *graph = &g->plan->graph[GENERATION_READ];
    float *logits = mem_alloc(4 * graph_at(graph, graph->logits)->columns);
    uint32_t i = 0, read = 0; // the request, and its tokens that are read
    while (i < count) {
        struct replay_input in = replay_begin(g->replay[GENERATION_READ]);
        uint32_t rows = 0, targets = 0, first = i;
        // Whole prompts, or a piece of one that is longer than a submission.
        while (i < count && targets < o->slots && rows < o->rows && (!rows || rows + requests[i].tokens <= o->rows)) {
            const struct generate_request *r = &requests[i];
            assert(r->tokens && r->tokens <= o->capacity);
            for (; read < r->tokens && rows < o->rows; read++, rows++) {
                in.array[INPUT_IDS][rows] = r->prompt[read];
                in.array[INPUT_POSITIONS][rows] = read;
                in.array[INPUT_SLOTS][rows] = targets;
            }
            if (read < r->tokens) break;
            in.array[INPUT_TARGET_ROWS][targets++] = rows - 1;
            read = 0;
            i++;
        }
        read_logits(g, rows, targets, first, logits, row, context, in);
    }
    free(logits);
}

struct generation_work generator_work(const struct generator *g)
{
    return g->work;
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
