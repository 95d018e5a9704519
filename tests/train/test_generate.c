// SPDX-License-Identifier: MIT
//
// Generation with a cache: each token is the arg max of a whole forward pass; slots, their number and the pieces in
// which prompts are read change nothing; seeds; what ends an answer; side by side with training.
#include "test.h"
#include "train/session.h"

#define REQUESTS 7
#define CAPACITY 56

static struct gpu *gpu;
static uint32_t prompts[REQUESTS][CAPACITY];
static struct generate_request requests[REQUESTS];
static uint32_t together; // of the rigs to come; 0: as many as slots

// Prompts of one token, of whole and nearly whole pieces, and of several pieces.
static void make_requests(uint32_t vocabulary)
{
    static const uint32_t lengths[REQUESTS] = {5, 1, 16, 17, 30, 3, 40};
    uint64_t seed = 7;
    for (int i = 0; i < REQUESTS; i++) {
        for (uint32_t t = 0; t < lengths[i]; t++) prompts[i][t] = test_random(&seed) % vocabulary;
        requests[i] = (struct generate_request){prompts[i], lengths[i]};
    }
}

struct rig {
    struct blueprint blueprint;
    struct session *session;
};

static bool rig_open(struct rig *r, const struct model *model, enum storage storage, enum optimizer optimizer,
    uint32_t slots, uint32_t rows)
{
    struct error e = {0};
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint_options o = {.budget = 64,
        .positions = 64,
        .storage = storage,
        .optimizer = optimizer,
        .generation = {.slots = slots, .together = together, .capacity = CAPACITY, .rows = rows}};
    *r = (struct rig){0};
    if (blueprint_make(&r->blueprint, model, &limits, &o, &e) ||
        !(r->session = session_open(&r->blueprint, model, gpu, &e)) ||
        model_load(model, session_engine(r->session), 0, &e)) {
        CHECK_SAY(false, "%s", e.text);
        return false;
    }
    uint64_t planned = r->blueprint.memory.total, got = gpu_allocated(gpu);
    CHECK_SAY(got == planned, "planned %llu, allocated %llu", (unsigned long long)planned, (unsigned long long)got);
    return true;
}

static void rig_close(struct rig *r)
{
    session_close(r->session);
    blueprint_free(&r->blueprint);
}

// How many of the answers' tokens the model's whole forward pass would not have chosen.
static uint32_t misses(struct rig *r, const struct generated *out)
{
    uint32_t wrong = 0;
    for (int i = 0; i < REQUESTS; i++) {
        uint32_t ids[CAPACITY], n = requests[i].tokens;
        uint8_t mask[CAPACITY] = {0};
        memcpy(ids, prompts[i], 4 * n);
        for (uint32_t k = 0; k < out[i].count; k++, n++) ids[n] = out[i].ids[k], mask[n] = 1;
        struct pack_item item = {ids, mask, n, 0};
        struct eval_outcome eval;
        session_eval(r->session, &item, 1, true, &eval);
        CHECK(eval.trained == out[i].count);
        wrong += eval.trained - eval.hits;
    }
    return wrong;
}

static bool same(const struct generated *a, const struct generated *b)
{
    return a->count == b->count && a->finish == b->finish && memcmp(a->ids, b->ids, 4 * a->count) == 0;
}

static uint32_t differing(const struct generated *a, const struct generated *b)
{
    uint32_t n = 0;
    for (int i = 0; i < REQUESTS; i++) n += !same(&a[i], &b[i]);
    return n;
}

// The logits after a prompt are those from which its first token is taken, in pieces and side by side.
struct firsts {
    uint32_t vocabulary, best[REQUESTS], calls;
};
static void take_first(void *context, uint32_t request, const float *logits)
{
    struct firsts *f = context;
    f->calls++;
    f->best[request] = 0;
    for (uint32_t i = 0; i < f->vocabulary; i++)
        if (logits[i] > logits[f->best[request]]) f->best[request] = i;
}

static void check_logits(struct rig *r, const struct generated *out)
{
    struct firsts first = {
        .vocabulary =
            (uint32_t)r->blueprint.generation.graph[0].tensors[r->blueprint.generation.graph[0].logits].columns};
    generator_logits(session_generator(r->session), requests, REQUESTS, take_first, &first);
    CHECK(first.calls == REQUESTS);
    for (int i = 0; i < REQUESTS; i++) CHECK(out[i].ids[0] == first.best[i]);
}

static void test_greedy(const struct model *model, bool other_shapes)
{
    struct generate_settings settings = {.max_new_tokens = 12, .top_p = 1};
    struct generated first[REQUESTS], again[REQUESTS];
    struct rig r;
    if (!rig_open(&r, model, STORAGE_F32, OPTIMIZER_NONE, 3, 16)) return;
    generator_run(session_generator(r.session), requests, REQUESTS, &settings, first);
    for (int i = 0; i < REQUESTS; i++) CHECK(first[i].count == 12 && first[i].finish == FINISH_LENGTH);
    CHECK(misses(&r, first) == 0);
    check_logits(&r, first);
    generator_run(session_generator(r.session), requests, REQUESTS, &settings, again); // over a used cache
    CHECK(differing(first, again) == 0);
    generated_free(again, REQUESTS);
    // An answer that is taken for another's is seen: the check can fail.
    struct generated swapped[REQUESTS];
    memcpy(swapped, first, sizeof first);
    swapped[0] = first[3], swapped[3] = first[0];
    CHECK(misses(&r, swapped) > 0);
    rig_close(&r);
    static const uint32_t shapes[][2] = {{8, 128}, {1, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && other_shapes; i++) {
        if (!rig_open(&r, model, STORAGE_F32, OPTIMIZER_NONE, shapes[i][0], shapes[i][1])) return;
        generator_run(session_generator(r.session), requests, REQUESTS, &settings, again);
        CHECK_SAY(differing(first, again) == 0, "%u slots, %u rows", shapes[i][0], shapes[i][1]);
        check_logits(&r, again);
        generated_free(again, REQUESTS);
        rig_close(&r);
    }
    generated_free(first, REQUESTS);
}

static void test_sampling(const struct model *model, enum storage storage)
{
    struct generate_settings settings = {.max_new_tokens = 10, .temperature = 1.5, .top_p = 1, .seed = 3};
    struct generated first[REQUESTS], again[REQUESTS], greedy[REQUESTS];
    struct rig r;
    if (!rig_open(&r, model, storage, OPTIMIZER_NONE, 3, 16)) return;
    struct generator *g = session_generator(r.session);
    generator_run(g, requests, REQUESTS, &settings, first);
    settings.seed = 4;
    generator_run(g, requests, REQUESTS, &settings, again);
    CHECK(differing(first, again) == REQUESTS);
    generated_free(again, REQUESTS);
    settings.seed = 3 + (UINT64_C(1) << 32);
    generator_run(g, requests, REQUESTS, &settings, again);
    CHECK(differing(first, again) == REQUESTS);
    generated_free(again, REQUESTS);
    settings.seed = 3;
    // One prompt several times: each request draws for itself, and the first as it did among others.
    struct generate_request equal[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) equal[i] = requests[0];
    generator_run(g, equal, REQUESTS, &settings, again);
    CHECK(same(&first[0], &again[0]));
    for (int i = 1; i < REQUESTS; i++) CHECK(!same(&again[0], &again[i]));
    generated_free(again, REQUESTS);
    // The most probable token alone, three ways.
    generator_run(g, requests, REQUESTS, &(struct generate_settings){.max_new_tokens = 10, .top_p = 1}, greedy);
    settings.top_k = 1;
    generator_run(g, requests, REQUESTS, &settings, again);
    CHECK(differing(greedy, again) == 0 && differing(first, again) > 0);
    generated_free(again, REQUESTS);
    settings.top_k = 0, settings.top_p = 1e-9;
    generator_run(g, requests, REQUESTS, &settings, again);
    CHECK(differing(greedy, again) == 0);
    generated_free(again, REQUESTS);
    rig_close(&r);
    settings.top_p = 1;
    if (!rig_open(&r, model, storage, OPTIMIZER_NONE, 8, 7)) return;
    generator_run(session_generator(r.session), requests, REQUESTS, &settings, again);
    CHECK(differing(first, again) == 0);
    generated_free(again, REQUESTS);
    rig_close(&r);
    generated_free(first, REQUESTS);
    generated_free(greedy, REQUESTS);
}

// Whether two requests have the same tokens up to position p, of prompts or of answers alike.
static bool alike_to(const struct generate_request *r, const struct generated *out, uint32_t i, uint32_t j, uint32_t p)
{
    for (uint32_t k = 0; k <= p; k++) {
        bool prompt = k < r[i].tokens;
        if (prompt != (k < r[j].tokens) || k >= r[j].tokens + out[j].count - 1) return false;
        if ((prompt ? r[i].prompt[k] : out[i].ids[k - r[i].tokens]) !=
            (prompt ? r[j].prompt[k] : out[j].ids[k - r[j].tokens]))
            return false;
    }
    return true;
}

// Requests with prompts that are the same, begin alike, or are the beginning of others: each gets the tokens it gets
// alone, however many are looked at together, in however many slots; and what is alike is computed once.
#define KIN 24
static void test_sharing(const struct model *model)
{
    static const uint32_t lengths[] = {9, 9, 9, 9, 9, 9, 4, 4, 9, 20, 20, 20, 20, 7, 7, 1, 1, 9, 9, 9, 30, 30, 31, 31};
    static const uint32_t shapes[][3] = {{4, 1, 64}, {1, 24, 64}, {3, 24, 5}, {4, 5, 64}, {40, 24, 64}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    uint32_t ids[KIN][CAPACITY];
    uint64_t keys[KIN], seed = 3, rows[2][SHAPES];
    struct generate_request kin[KIN];
    struct generated alone[2][KIN], out[KIN]; // greedy, drawn
    for (int i = 0; i < KIN; i++) {
        for (uint32_t t = 0; t < lengths[i]; t++) // alike but for the end of some, and the second token of two
            ids[i][t] = (t * 7 + (i == 8 && t == 8) + (i >= 9 && i < 13 && t > 12 ? (uint32_t)i / 11 : 0) +
                            (i >= 22 && t == 1)) %
                        model->config.vocabulary;
        kin[i] = (struct generate_request){ids[i], lengths[i]};
        keys[i] = (uint64_t)test_random(&seed) << 32 | test_random(&seed);
    }
    keys[1] = keys[0]; // the same request twice
    struct generate_settings settings = {.max_new_tokens = 11, .top_p = 1, .seed = 3, .keys = keys};
    for (int s = 0; s < SHAPES; s++) {
        struct rig r;
        together = shapes[s][1];
        if (!rig_open(&r, model, STORAGE_F32, OPTIMIZER_NONE, shapes[s][0], shapes[s][2])) return;
        struct generator *g = session_generator(r.session);
        for (int drawn = 0; drawn < 2; drawn++) {
            settings.temperature = drawn ? 0.4 : 0;
            generator_run(g, kin, KIN, &settings, s ? out : alone[drawn]);
            struct generation_work w = generator_work(g);
            rows[drawn][s] = w.read + w.extended;
            CHECK(w.tokens == 11 * KIN);
            for (int i = 0; i < KIN && s; i++)
                CHECK_SAY(same(&alone[drawn][i], &out[i]), "request %d, %u slots, %u together", i, shapes[s][0],
                    shapes[s][1]);
            if (s) generated_free(out, KIN);
        }
        if (s == 1) { // a slot for all; ends by a stop token
            uint32_t id = alone[1][12].ids[3];
            struct stops stops = {.ids = &id, .id_count = 1};
            settings.stops = &stops;
            generator_run(g, kin, KIN, &settings, out);
            settings.stops = NULL;
            for (int i = 0; i < KIN; i++) {
                uint32_t at = 0;
                while (at < 11 && alone[1][i].ids[at] != id) at++;
                CHECK(out[i].count == at && memcmp(out[i].ids, alone[1][i].ids, 4 * at) == 0);
            }
            generated_free(out, KIN);
        }
        rig_close(&r);
    }
    together = 0;
    // A row for each token but the last, or for each that differs, itself or before it, from those of the requests
    // before.
    for (int drawn = 0; drawn < 2; drawn++) {
        uint64_t each = 0, distinct = 0;
        for (uint32_t i = 0; i < KIN; i++)
            for (uint32_t p = 0; p < lengths[i] + 10; p++) {
                uint32_t j = 0;
                while (j < i && !alike_to(kin, alone[drawn], i, j, p)) j++;
                each++;
                distinct += j == i;
            }
        const uint64_t *n = rows[drawn];
        CHECK(n[0] == each && n[3] > distinct && n[3] < each);
        CHECK_SAY(
            n[1] == distinct && n[2] == distinct && n[4] == distinct, "%d rows, %d distinct", (int)n[1], (int)distinct);
        CHECK(same(&alone[drawn][0], &alone[drawn][1]) && same(&alone[drawn][0], &alone[drawn][2]) == !drawn);
        generated_free(alone[drawn], KIN);
    }
}

static uint32_t ended_order[REQUESTS], ended_count;
static void note_end(void *context, uint32_t request, uint64_t tokens)
{
    CHECK(context == prompts && ended_count < REQUESTS && tokens <= 100);
    ended_order[ended_count++] = request;
}

static int steps_left;
static bool stop_soon(void)
{
    return steps_left-- == 0;
}

static void test_ends(const struct model *model)
{
    struct rig r;
    if (!rig_open(&r, model, STORAGE_F32, OPTIMIZER_NONE, 2, 16)) return;
    struct generator *g = session_generator(r.session);
    struct tokenizer *tokenizer = tokenizer_open_bytes(); // ids below 256 are bytes
    struct generate_settings settings = {.max_new_tokens = 12, .top_p = 1, .ended = note_end, .context = prompts};
    struct generated whole[REQUESTS], out[REQUESTS];
    generator_run(g, requests, REQUESTS, &settings, whole);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < ended_count; i++) seen |= 1u << ended_order[i];
    CHECK(ended_count == REQUESTS && seen == (1 << REQUESTS) - 1);
    CHECK(ended_order[0] == 0 && ended_order[1] == 1); // the two that began
    settings.ended = NULL;

    // A stop token ends an answer where it first occurs, and is not part of it; every slot goes on with another
    // request.
    uint32_t id = whole[2].ids[4];
    struct stops stops = {.ids = &id, .id_count = 1};
    settings.stops = &stops;
    settings.tokenizer = tokenizer;
    generator_run(g, requests, REQUESTS, &settings, out);
    for (int i = 0; i < REQUESTS; i++) {
        uint32_t at = 0;
        while (at < 12 && whole[i].ids[at] != id) at++;
        CHECK(out[i].count == at && out[i].finish == (at < 12 ? FINISH_STOP : FINISH_LENGTH));
        CHECK(memcmp(out[i].ids, whole[i].ids, 4 * at) == 0);
    }
    CHECK(out[2].count <= 4);
    generated_free(out, REQUESTS);

    // A stop text of two bytes: the answer ends with it, its text before it.
    struct text all = {0}, cut = {0};
    generated_text(&all, &whole[4], tokenizer, NULL);
    CHECK(all.bytes == 12);
    char ending[3] = {all.data[5], all.data[6], 0};
    stops = (struct stops){0};
    stops_add_text(&stops, "not in it");
    stops_add_text(&stops, "");
    stops_add_text(&stops, ending);
    CHECK(stops.text_count == 2);
    size_t begin = stops_before(&stops, all.data, all.bytes);
    CHECK(begin <= 5);
    generator_run(g, requests, REQUESTS, &settings, out);
    CHECK(out[4].finish == FINISH_STOP && out[4].count == begin + 2);
    generated_text(&cut, &out[4], tokenizer, &stops);
    CHECK(cut.bytes == begin && memcmp(cut.data, all.data, begin) == 0);
    generated_free(out, REQUESTS);
    text_free(&all);
    text_free(&cut);
    stops_free(&stops);

    // The capacity ends an answer; prompts that leave no room for one, or are empty, are refused.
    settings = (struct generate_settings){.max_new_tokens = 1000, .top_p = 1};
    uint32_t full[CAPACITY] = {0};
    struct generate_request odd[] = {
        {full, CAPACITY}, {full, CAPACITY - 1}, {full, 0}, requests[6], {full, CAPACITY + 1}};
    generator_run(g, odd, 5, &settings, out);
    CHECK(out[0].finish == FINISH_REFUSED && out[0].count == 0 && out[2].finish == FINISH_REFUSED &&
          out[4].finish == FINISH_REFUSED);
    CHECK(out[1].finish == FINISH_LENGTH && out[1].count == 1);
    CHECK(out[3].finish == FINISH_LENGTH && out[3].count == CAPACITY - 40);
    CHECK(memcmp(out[3].ids, whole[6].ids, 4 * 12) == 0);
    generated_free(out, 5);
    settings.max_new_tokens = 0;
    generator_run(g, requests, REQUESTS, &settings, out);
    for (int i = 0; i < REQUESTS; i++) CHECK(out[i].count == 0 && out[i].finish == FINISH_LENGTH);
    generated_free(out, REQUESTS);
    generator_run(g, requests, 0, &settings, out);

    // A run that is stopped: what has ended is whole, the rest is empty, and the next run is as if it had not been.
    settings = (struct generate_settings){.max_new_tokens = 12, .top_p = 1, .stopped = stop_soon};
    bool some = false;
    for (int steps = 0; steps < 40; steps += 9) {
        uint32_t done = 0;
        steps_left = steps;
        generator_run(g, requests, REQUESTS, &settings, out);
        for (int i = 0; i < REQUESTS; i++) {
            CHECK(out[i].count ? same(&out[i], &whole[i]) : !out[i].ids);
            done += out[i].count > 0;
        }
        some = some || (done > 0 && done < REQUESTS);
        generated_free(out, REQUESTS);
    }
    CHECK(some);
    settings.stopped = NULL;
    generator_run(g, requests, REQUESTS, &settings, out);
    for (int i = 0; i < REQUESTS; i++) CHECK(same(&out[i], &whole[i]));
    generated_free(out, REQUESTS);
    generated_free(whole, REQUESTS);
    tokenizer_close(tokenizer);
    rig_close(&r);
}

// Generation between two steps changes neither; a step changes what is generated.
static void test_training(const struct model *model)
{
    struct generate_settings settings = {.max_new_tokens = 8, .top_p = 1};
    struct step_settings step = {.optimizer = OPTIMIZER_ADAMW,
        .learning_rate = 1e-2,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .packing = true};
    uint8_t mask[CAPACITY];
    memset(mask, 1, sizeof mask);
    struct pack_item items[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) items[i] = (struct pack_item){prompts[i], mask, requests[i].tokens, 0};
    float norms[2][3];
    for (int generate = 0; generate < 2; generate++) {
        struct rig r;
        if (!rig_open(&r, model, STORAGE_F32, OPTIMIZER_ADAMW, generate ? 4 : 0, 16)) return;
        struct generated before[REQUESTS], after[REQUESTS];
        CHECK(!session_generator(r.session) == !generate);
        for (int k = 0; k < 3; k++) {
            struct step_outcome out;
            struct source_sum sum = {0};
            if (generate) generator_run(session_generator(r.session), requests, REQUESTS, &settings, before);
            step.update = (uint64_t)k + 1;
            session_step(r.session, items, REQUESTS, &step, &out, &sum);
            norms[generate][k] = out.grad_norm;
            if (!generate) continue;
            generator_run(session_generator(r.session), requests, REQUESTS, &settings, after);
            CHECK(differing(before, after) > 0 && misses(&r, after) == 0);
            generated_free(before, REQUESTS);
            generated_free(after, REQUESTS);
        }
        rig_close(&r);
    }
    CHECK(memcmp(norms[0], norms[1], sizeof norms[0]) == 0);
}

static void test_choice(const struct model *model)
{
    struct limits limits = limits_of(NULL);
    limits.heap = 1 << 30;
    struct generation_options o = generation_choose(model, &limits, STORAGE_F32, 100, 0), one;
    CHECK(o.slots == 32 && o.capacity == 100 && o.positions == 100 && o.rows == 512);
    CHECK(generation_choose(model, &limits, STORAGE_F32, 100, 5).slots == 5);
    // All caches in a quarter of the memory: of 64 bytes a token and head, times layers, keys and values.
    const struct model_config *c = &model->config;
    uint64_t token = 2 * (uint64_t)c->layers * c->kv_heads * c->head_dim * 4;
    limits.heap = 4 * token * 100 * 8;
    CHECK(generation_choose(model, &limits, STORAGE_F32, 100, 0).slots == 8);
    CHECK(generation_choose(model, &limits, STORAGE_F32, 101, 0).slots == 4);
    CHECK(generation_choose(model, &limits, STORAGE_BF16, 100, 0).slots == 16);
    limits.heap = 1;
    one = generation_choose(model, &limits, STORAGE_F32, 100, 0);
    CHECK(one.slots == 1);
}

int main(void)
{
    const char *names[] = {"tests/golden/llama-tied", "tests/golden/llama-untied", "tests/golden/llama-rope3"};
    char text[1024];
    gpu = gpu_open(&(struct gpu_options){.validate = true}, text, sizeof text);
    if (!gpu) return printf("%s\n", text), 1;
    for (int i = 0; i < 3; i++) {
        struct error e = {0};
        struct model model;
        if (model_open(&model, names[i], &e)) return printf("%s\n", e.text), 1;
        make_requests(model.config.vocabulary);
        test_greedy(&model, i == 0);
        if (i == 0) {
            test_sampling(&model, STORAGE_F32);
            test_sampling(&model, STORAGE_BF16);
            test_sharing(&model);
            test_ends(&model);
            test_training(&model);
            test_choice(&model);
        }
        model_close(&model);
    }
    CHECK(gpu_validation_messages(gpu) <= 0);
    gpu_close(gpu);
    return test_end();
}
