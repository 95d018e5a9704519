// SPDX-License-Identifier: MIT
//
// generate: text from a model, one answer a prompt.
#include "commands/common.h"
#include "commands/list.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

// What is asked, and the answers so far.
struct asking {
    struct generate_request *requests; // (count)
    struct generated *answers;         // (count)
    char **places;                     // (count) "rows.jsonl:3"; NULL for --prompt
    bool *ended;                       // (count)
    uint32_t count, printed, longest;
    size_t skipped;
    struct arena arena;
    struct progress progress;
    struct conversation_maker maker;
    struct stops stops;
    bool json;
};

// `place` becomes the request's. begin: the token that must stand in front, -1: none.
static void add_request(struct asking *a, const struct tokens *tokens, int32_t begin, char *place)
{
    size_t n = a->count + 1;
    a->requests = mem_resize(a->requests, n * sizeof *a->requests);
    a->places = mem_resize(a->places, n * sizeof *a->places);
    uint32_t *ids = arena_alloc(&a->arena, 4 * (tokens->count + 1)), count = 0;
    if (begin >= 0 && !(tokens->count && tokens->ids[0] == (uint32_t)begin)) ids[count++] = (uint32_t)begin;
    for (size_t i = 0; i < tokens->count; i++) ids[count++] = tokens->ids[i];
    a->requests[a->count] = (struct generate_request){ids, count};
    a->places[a->count++] = place;
    if (count > a->longest) a->longest = count;
}

// A text to be continued, special tokens recognised.
static int add_text(struct asking *a, const char *text, size_t bytes, char *place, struct error *e)
{
    const struct tokenizer *t = a->maker.tokenizer;
    a->maker.tokens.count = 0;
    if (tokenizer_encode(t, &a->maker.tokens, &(struct text_run){text, bytes, true}, 1, e)) return -1;
    add_request(a, &a->maker.tokens, tokenizer_adds_bos(t) ? tokenizer_bos(t) : -1, place);
    return 0;
}

// A question, or a row: its messages before the last assistant turn, or its text.
static int add_row(struct asking *a, const struct row *row, char *place, struct error *e)
{
    const char *reference;
    if (row->kind == ROW_TEXT) return add_text(a, row->text, row->bytes, place, e);
    if (conversation_prompt(&a->maker, &reference, row, e)) return -1;
    add_request(a, &a->maker.tokens, -1, place);
    return 0;
}

static int take_row(void *context, const struct row *row, const char *place, struct error *e)
{
    char *kept = mem_string(place);
    int status = add_row(context, row, kept, e);
    if (status) free(kept);
    return status;
}

static void print_answer(struct asking *a, uint32_t i)
{
    const struct generated *g = &a->answers[i];
    bool refused = g->finish == FINISH_REFUSED; // not to be taken for an empty answer
    struct text text = {0}, plain = {0};
    generated_text(&text, g, a->maker.tokenizer, &a->stops);
    for (size_t k = 0; k < text.bytes; k++) // a model may well say U+0000, where strings end
        if (text.data[k])
            text_add(&plain, &text.data[k], 1);
        else
            text_print(&plain, "\xef\xbf\xbd");
    text_add(&plain, "", 0);
    if (a->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "row", i);
        if (a->places[i]) cJSON_AddStringToObject(o, "place", a->places[i]);
        if (refused)
            cJSON_AddNullToObject(o, "text");
        else
            cJSON_AddStringToObject(o, "text", plain.data);
        cJSON *ids = cJSON_AddArrayToObject(o, "ids");
        for (uint32_t k = 0; k < g->count; k++) cJSON_AddItemToArray(ids, cJSON_CreateNumber(g->ids[k]));
        cJSON_AddNumberToObject(o, "tokens", g->count);
        cJSON_AddNumberToObject(o, "prompt_tokens", a->requests[i].tokens);
        cJSON_AddStringToObject(o, "finish", finish_name(g->finish));
        print_json(o);
    } else if (!refused) {
        if (a->places[i]) printf("--- %s\n", a->places[i]);
        puts(plain.data);
    }
    fflush(stdout);
    text_free(&text);
    text_free(&plain);
}

// Answers are printed in the order of the prompts, each as soon as those before it are there.
static void answer_ended(void *context, uint32_t request, uint64_t tokens)
{
    struct asking *a = context;
    a->ended[request] = true;
    while (a->printed < a->count && a->ended[a->printed]) print_answer(a, a->printed++);
    if (a->count > 1) progress_ended(&a->progress, request, tokens);
}

static int answer(struct asking *a, struct bundle *bundle, const char *device, const char *precision, uint32_t batch,
    struct generate_settings *settings, struct error *e)
{
    // An answer that would leave the positions the model was made for ends there.
    uint32_t most = bundle->model.config.max_positions, room = settings->max_new_tokens;
    if (room > most) room = most;
    uint32_t capacity = a->longest + room < most ? a->longest + room : most;
    enum storage storage;
    struct writer w = {0};
    struct gpu *gpu = device_open(device, e);
    bool ok = gpu && precision_parse(&storage, precision, gpu_info(gpu), e) == 0 &&
              writer_open(&w, bundle, gpu, storage, capacity, batch && batch < a->count ? batch : a->count, e) == 0;
    if (ok) {
        settings->stops = &a->stops;
        settings->tokenizer = bundle->tokenizer;
        settings->ended = answer_ended;
        settings->context = a;
        a->answers = mem_zero(a->count, sizeof *a->answers);
        a->ended = mem_zero(a->count, sizeof *a->ended);
        a->progress = progress_begin(a->count);
        generator_run(w.generator, a->requests, a->count, settings, a->answers);
        double seconds = clock_seconds() - a->progress.began;
        uint64_t tokens = 0;
        uint32_t refused = 0;
        for (uint32_t i = 0; i < a->count; i++)
            tokens += a->answers[i].count, refused += a->answers[i].finish == FINISH_REFUSED;
        uint32_t answers = a->count - refused;
        struct text why = {0};
        if (refused)
            text_print(&why, "%u prompt%s refused: empty, or without room in the model's %u positions", refused, plural(refused), most);
        if (!answers)
            ok = error_set(e, "%s", why.data) == 0;
        else if (refused)
            say("%s", why.data);
        if (answers)
            say("%u answer%s, %llu token%s in %.1f s: %.1f tokens/s, %u at a time", answers, plural(answers),
                (unsigned long long)tokens, plural(tokens), seconds, (double)tokens / seconds, w.generation.options.slots);
        text_free(&why);
        generated_free(a->answers, a->count);
    }
    writer_close(&w);
    if (gpu) gpu_close(gpu);
    return ok ? 0 : -1;
}

int command_generate(const struct command *c, int argc, char **argv)
{
    const char *model = NULL, *prompt = NULL, *device = NULL, *precision = NULL, *template = "auto";
    uint64_t new_tokens = 128, top_k = 0, seed = 42, batch = 0;
    double temperature = 0, top_p = 1;
    struct option_list data = {0}, stop = {0};
    bool raw = false, strict = false, json = false;
    const struct option options[] = {
        {"model", OPTION_TEXT, &model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"prompt", OPTION_TEXT, &prompt, "TEXT", "a question, put to the model in its chat template"},
        {"raw", OPTION_FLAG, &raw, NULL, "the prompt is a text to be continued, as `text` rows are"},
        {"data", OPTION_LIST, &data, "FILE...", "rows (.jsonl or .json): what stands before their last answer"},
        {"max-new-tokens", OPTION_COUNT, &new_tokens, "TOKENS", "longest answer (default 128)"},
        {"temperature", OPTION_NUMBER, &temperature, "T", "0 (default): the most probable token; else drawn"},
        {"top-k", OPTION_COUNT, &top_k, "K", "drawn from the K most probable tokens (default: all)"},
        {"top-p", OPTION_NUMBER, &top_p, "P", "drawn from the fewest that reach this probability (default 1)"},
        {"seed", OPTION_COUNT, &seed, "N", "of the draws (default 42)"},
        {"stop", OPTION_LIST, &stop, "TEXT...", "texts that end an answer"},
        {"batch", OPTION_COUNT, &batch, "N", "at most so many at a time; answers do not depend on it"},
        {"chat-template", OPTION_TEXT, &template, "NAME", "auto (the model's own), a name, none"},
        {"precision", OPTION_TEXT, &precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &device, "DEVICE", "index, part of a name, auto"},
        FULL_SPEED_OPTION,
        {"strict", OPTION_FLAG, &strict, NULL, "stop at the first bad row"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object a prompt on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    const char *wrong = NULL;
    if (status < 0 && (!model || !prompt == !data.count))
        wrong = "--model is needed, and either --prompt or --data";
    else if (raw && !prompt)
        wrong = "--raw goes with --prompt";
    else if (!new_tokens)
        wrong = "--max-new-tokens is 1 or more";
    else if (temperature < 0)
        wrong = "--temperature is 0 or more";
    else if (!(top_p > 0 && top_p <= 1))
        wrong = "--top-p is above 0 and at most 1";
    if (status < 0 && wrong) {
        say("pumice generate: %s (pumice generate --help)", wrong);
        status = STATUS_USAGE;
    }
    if (status >= 0) {
        free(data.words);
        free(stop.words);
        return status;
    }

    struct error e = {0};
    struct bundle bundle = {0};
    struct asking a = {.json = json};
    cJSON *choice = cJSON_CreateString(template);
    bool ok = bundle_open(&bundle, model, choice, &e) == 0;
    a.maker = (struct conversation_maker){.template = &bundle.template, .tokenizer = bundle.tokenizer};
    ok = ok && stops_make(&a.stops, &bundle, &bundle.template, &e) == 0;
    for (size_t i = 0; i < stop.count; i++) stops_add_text(&a.stops, stop.words[i]);
    if (ok && prompt) {
        struct message question = {ROLE_USER, TRAIN_BY_ROLE, prompt, strlen(prompt)};
        struct row row = {.kind = ROW_MESSAGES, .messages = &question, .count = 1};
        ok = (raw ? add_text(&a, prompt, strlen(prompt), NULL, &e) : add_row(&a, &row, NULL, &e)) == 0;
    }
    for (size_t i = 0; ok && i < data.count; i++) ok = rows_walk(data.words[i], strict, take_row, &a, &a.skipped, &e) == 0;
    if (ok) skipped_report("", a.skipped, a.count + a.skipped, "row");
    if (ok && !a.count) ok = error_set(&e, "there is no row with a prompt in %s", data.words[0]) == 0;
    if (ok && prompt && !a.longest) ok = error_set(&e, "the prompt is empty") == 0;
    if (ok) {
        struct generate_settings settings = {
            .max_new_tokens = new_tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)new_tokens,
            .temperature = temperature,
            .top_k = top_k > UINT32_MAX ? 0 : (uint32_t)top_k,
            .top_p = top_p,
            .seed = seed};
        ok = answer(&a, &bundle, device, precision, batch > UINT32_MAX ? 0 : (uint32_t)batch, &settings, &e) == 0;
    }
    status = ok ? STATUS_DONE : fail(&e);
    for (uint32_t i = 0; i < a.count; i++) free(a.places[i]);
    free(a.places);
    free(a.requests);
    free(a.answers);
    free(a.ended);
    arena_free(&a.arena);
    conversation_maker_free(&a.maker);
    stops_free(&a.stops);
    free(data.words);
    free(stop.words);
    cJSON_Delete(choice);
    bundle_close(&bundle);
    return status;
}
