// SPDX-License-Identifier: MIT
#include "train/ability.h"

#include "train/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// While the rows are prepared.
struct making {
    struct ability *ability;
    const struct source *source;
    const struct ability_options *options;
    struct conversation_maker maker;
    long double chances; // sum over the rows; of a hundred thirds the mean is then a third
};

static bool same_text(const char *a, const char *b)
{
    while (*a == ' ' || (*a >= '\t' && *a <= '\r')) a++;
    while (*b == ' ' || (*b >= '\t' && *b <= '\r')) b++;
    size_t n = strlen(a), m = strlen(b);
    while (n && (a[n - 1] == ' ' || (a[n - 1] >= '\t' && a[n - 1] <= '\r'))) n--;
    while (m && (b[m - 1] == ' ' || (b[m - 1] >= '\t' && b[m - 1] <= '\r'))) m--;
    return n == m && memcmp(a, b, n) == 0;
}

// Messages before the last assistant turn (all of them without one), and that turn's text or NULL.
static size_t prompt_messages(const struct row *row, const char **turn)
{
    size_t count = row->count;
    while (count && row->messages[count - 1].role != ROLE_ASSISTANT) count--;
    *turn = count ? row->messages[count - 1].text : NULL;
    return count ? count - 1 : row->count;
}

// A conversation of which only the last trained tokens count, those of its last turn. Returns how many they are.
static uint32_t add_item(struct ability *a, const struct conversation *c)
{
    uint8_t *mask = arena_alloc(&a->arena, c->tokens);
    uint32_t end = c->tokens, begin;
    while (end && !c->mask[end - 1]) end--;
    for (begin = end; begin && c->mask[begin - 1];) begin--;
    memset(mask, 0, c->tokens);
    memset(mask + begin, 1, end - begin);
    GROW(a->items, a->item_count, a->item_capacity);
    a->items[a->item_count++] = (struct pack_item){c->ids, mask, c->tokens, 0};
    if (c->tokens > a->longest) a->longest = c->tokens;
    return end - begin;
}

// Of items from `first` on, only the first of the tokens that count goes on counting.
static void keep_first_token(struct ability *a, uint32_t first)
{
    for (uint32_t k = first; k < a->item_count; k++) {
        struct pack_item *item = &a->items[k];
        uint8_t *mask = arena_alloc(&a->arena, item->tokens);
        const uint8_t *one = memchr(item->mask, 1, item->tokens);
        memset(mask, 0, item->tokens);
        if (one) mask[one - item->mask] = 1;
        item->mask = mask;
    }
}

static int make_exact(struct making *m, size_t i, struct error *e)
{
    const struct conversation *c = &m->source->rows[i];
    if (!c->tokens) return error_set(e, "nothing in it is trained, so there is no answer to compare with");
    if (c->cut) return error_set(e, "it is longer than max_length");
    add_item(m->ability, c);
    return 0;
}

static int find_choice(const struct row *row, const char *text)
{
    for (size_t k = 0; text && k < row->choice_count; k++)
        if (same_text(text, row->choices[k])) return (int)k;
    return -1;
}

// Whether a text is written as a choice's place, a letter or a whole number; *place from 0, -1: before the first.
static bool is_place(long *place, const char *text)
{
    char *end;
    if (text[0] >= 'A' && text[0] <= 'Z' && !text[1]) return *place = text[0] - 'A', true;
    *place = strtol(text, &end, 10);
    if (*place < 0) *place = -1;
    return end != text && !*end;
}

// Whether a choice is written as a place itself, so that a text of that kind may be just another text.
static bool choices_are_places(const struct row *row)
{
    long place;
    for (size_t k = 0; k < row->choice_count; k++)
        if (is_place(&place, row->choices[k])) return true;
    return false;
}

// The choice that a text names by its place; -1: none.
static int find_place(const struct row *row, const char *text)
{
    long place;
    return text && is_place(&place, text) && place >= 0 && (size_t)place < row->choice_count ? (int)place : -1;
}

// Which of the choices the row says is right, or -1. An "answer" may be a place among numbers too; a turn is what is
// written in it.
static int find_right(const struct row *row, const char *turn)
{
    int right = find_choice(row, row->answer);
    if (right < 0) right = find_place(row, row->answer);
    if (right < 0) right = find_choice(row, turn);
    if (right < 0 && !row->answer && !choices_are_places(row)) right = find_place(row, turn);
    return right;
}

// A place that is none of the row's, among choices that are no places themselves.
static bool is_beyond(const struct row *row, const char *text)
{
    long place;
    return text && is_place(&place, text) && !choices_are_places(row);
}

// The texts to choose from become items: the row's messages before its last assistant turn, and each as that turn.
static int add_candidates(struct making *m, const struct row *row, size_t before, const char *const *texts, size_t count,
    struct error *e)
{
    struct ability *a = m->ability;
    struct message *messages = mem_alloc((before + 1) * sizeof *messages);
    memcpy(messages, row->messages, before * sizeof *messages);
    struct row candidate = {.kind = ROW_MESSAGES, .messages = messages, .count = before + 1};
    uint32_t first = a->item_count;
    bool single = true; // each is one token
    int status = 0;
    for (size_t k = 0; k < count && status == 0; k++) {
        struct conversation c;
        messages[before] = (struct message){ROLE_ASSISTANT, TRAIN_YES, texts[k], strlen(texts[k])};
        status = conversation_make(&c, &m->maker, &a->arena, &candidate, e);
        if (status == 0 && c.cut) status = error_set(e, "with choice %zu it is longer than max_length", k + 1);
        if (status == 0) single = add_item(a, &c) == 1 + a->stops.closing && single;
    }
    free(messages);
    if (status) {
        a->item_count = first;
        return -1;
    }
    if (single && a->metric != METRIC_RANK) keep_first_token(a, first);
    m->chances += 1 / (long double)count;
    return 0;
}

static int make_candidates(struct making *m, size_t i, struct error *e)
{
    struct ability *a = m->ability;
    const struct row *row = &m->source->raw[i];
    bool rank = a->metric == METRIC_RANK;
    if (row->kind != ROW_MESSAGES || row->choice_count == 0)
        return error_set(e, "it has no messages with \"choices\" (a list of texts)");
    const char *turn;
    size_t before = prompt_messages(row, &turn), count = row->choice_count;
    int right = find_right(row, turn);
    const char *said = row->answer ? row->answer : turn, *further = right < 0 && rank ? said : NULL;
    if (right < 0 && is_beyond(row, said))
        return error_set(e, "its answer is %s, but it has only %zu choice%s, A or 0 being the first", said, row->choice_count,
            plural(row->choice_count));
    if (further) right = (int)count++;
    if (right < 0 && rank) right = 0;
    if (right < 0)
        return error_set(e, "which of its choices is right is said neither by \"answer\" nor by an assistant turn");
    if (count < 2) return error_set(e, "it has only one choice");
    const char **texts = mem_alloc(count * sizeof *texts);
    for (size_t k = 0; k < count; k++) texts[k] = k < row->choice_count ? row->choices[k] : further;
    int status = add_candidates(m, row, before, texts, count, e);
    free(texts);
    a->right[a->rows] = (uint32_t)right;
    return status;
}

static int make_prompt(struct making *m, size_t i, struct error *e)
{
    struct ability *a = m->ability;
    const struct row *row = &m->source->raw[i];
    const char *reference;
    double number;
    if (conversation_prompt(&m->maker, &reference, row, e)) return -1;
    if (row->answer) reference = row->answer;
    if (!reference) return error_set(e, "it has neither an \"answer\" nor an assistant turn to compare with");
    if (a->metric == METRIC_NUMERIC && !metric_number(&number, reference, strlen(reference)))
        return error_set(e, "there is no number in its answer");
    if (a->metric == METRIC_CONTAINS && same_text(reference, "")) return error_set(e, "its answer is empty");
    if (a->metric == METRIC_CLOZE && !metric_cloze(reference, strlen(reference), reference))
        return error_set(e, "there is no word in its answer");
    uint32_t tokens = (uint32_t)m->maker.tokens.count, limit = m->options->max_length;
    if (limit && tokens > limit) return error_set(e, "its prompt has %u tokens, and max_length is %u", tokens, limit);
    if (!tokens) return error_set(e, "its prompt is empty");
    uint32_t *ids = arena_alloc(&a->arena, 4 * (size_t)tokens);
    memcpy(ids, m->maker.tokens.ids, 4 * (size_t)tokens);
    a->requests[a->rows] = (struct generate_request){ids, tokens};
    a->references[a->rows] = reference;
    if (row->answer_count > 1) {
        const char **others = a->others[a->rows] = arena_alloc(&a->arena, row->answer_count * sizeof *others);
        for (size_t k = 1; k < row->answer_count; k++) others[k - 1] = row->answers[k];
        others[row->answer_count - 1] = NULL;
    }
    if (tokens + a->max_new_tokens > a->capacity) a->capacity = tokens + a->max_new_tokens;
    return 0;
}

// The prompt to answer, and the two words for answers that say neither.
static int make_true_false(struct making *m, size_t i, struct error *e)
{
    struct ability *a = m->ability;
    const struct row *row = &m->source->raw[i];
    char words[2][16];
    const char *turn, *const texts[2] = {words[0], words[1]};
    if (make_prompt(m, i, e)) return -1;
    const char *reference = a->references[a->rows];
    enum verdict verdict = metric_verdict(reference, strlen(reference));
    if (verdict == VERDICT_NONE || !metric_verdict_words(words, reference))
        return error_set(e, "its answer says neither true nor false (yes, no, correct, ...), or both");
    a->right[a->rows] = verdict == VERDICT_FALSE;
    size_t before = prompt_messages(row, &turn);
    return add_candidates(m, row, before, texts, 2, e);
}

static int make_any(struct making *m, size_t i, struct error *e)
{
    const char *kind = m->ability->metric == METRIC_EXACT ? NULL : m->source->raw[i].no_answer;
    if (kind) return error_set(e, "its \"answer\" is or holds %s; it is a text, a number, true or false, or a list of them", kind);
    switch (m->ability->metric) {
    case METRIC_EXACT:
        return make_exact(m, i, e);
    case METRIC_CHOICE:
    case METRIC_RANK:
        return make_candidates(m, i, e);
    case METRIC_TRUE_FALSE:
        return make_true_false(m, i, e);
    default:
        return make_prompt(m, i, e);
    }
}

static void make_row(struct making *m, size_t i)
{
    struct ability *a = m->ability;
    struct error why;
    int status = make_any(m, i, &why);
    if (status == 0) {
        a->first[++a->rows] = a->item_count;
        return;
    }
    if (a->skipped++) return;
    char *place = source_place(m->source, i);
    a->problem = mem_format("%s: %s", place, why.text);
    free(place);
}

int ability_make(struct ability *a, const struct source *s, const struct bundle *bundle,
    const struct ability_options *options, struct error *e)
{
    assert(s->raw && options->metric != METRIC_NONE);
    const struct template *template = options->template ? options->template : &bundle->template;
    *a = (struct ability){
        .metric = options->metric, .max_new_tokens = options->max_new_tokens, .tokenizer = bundle->tokenizer};
    if (stops_make(&a->stops, bundle, template, e)) return -1;
    a->first = mem_zero(s->count + 1, sizeof *a->first);
    a->right = mem_zero(s->count, sizeof *a->right);
    a->requests = mem_zero(s->count, sizeof *a->requests);
    a->references = mem_zero(s->count, sizeof *a->references);
    a->others = mem_zero(s->count, sizeof *a->others);
    struct making m = {.ability = a,
        .source = s,
        .options = options,
        .maker = {.template = template, .tokenizer = bundle->tokenizer, .max_length = options->max_length}};
    for (size_t i = 0; i < s->count; i++) make_row(&m, i);
    conversation_maker_free(&m.maker);
    if (a->rows) {
        a->chance = (double)(m.chances / a->rows);
        return 0;
    }
    if (s->count == 1) error_set(e, "%s: its only row cannot be scored: %s", s->name, a->problem);
    else error_set(e, "%s: none of its %zu rows can be scored; the first: %s", s->name, s->count, a->problem);
    ability_free(a);
    return -1;
}

void ability_free(struct ability *a)
{
    stops_free(&a->stops);
    arena_free(&a->arena);
    free(a->items);
    free(a->first);
    free(a->right);
    free(a->requests);
    free(a->references);
    free(a->others);
    free(a->problem);
    *a = (struct ability){0};
}

static bool contains_one(const struct ability *a, uint32_t row, const char *text, size_t bytes)
{
    bool found = metric_contains(text, bytes, a->references[row]);
    for (const char **other = a->others[row]; other && *other && !found; other++) found = metric_contains(text, bytes, *other);
    return found;
}

// Of a row's candidates the most probable one (rank: that of the lowest perplexity); of losses that are not finite none.
static uint32_t best_candidate(const struct ability *a, uint32_t row, const struct eval_outcome *out)
{
    const struct eval_outcome *all = out + a->first[row];
    uint32_t best = UINT32_MAX;
    double least = INFINITY;
    for (uint32_t k = 0; k < a->first[row + 1] - a->first[row]; k++) {
        double loss = a->metric == METRIC_RANK ? all[k].loss / (all[k].trained ? all[k].trained : 1) : all[k].loss;
        if (loss < least) least = loss, best = k;
    }
    return best;
}

// outcomes: of the items, where the metric has any; text (bytes): the generated answer, where it has one.
static bool is_right(
    const struct ability *a, uint32_t row, const struct eval_outcome *outcomes, const char *text, size_t bytes)
{
    enum verdict verdict;
    switch (a->metric) {
    case METRIC_NONE:
        break;
    case METRIC_EXACT:
        outcomes += a->first[row];
        return outcomes->trained && outcomes->hits == outcomes->trained;
    case METRIC_NUMERIC:
        return metric_numeric(text, bytes, a->references[row]);
    case METRIC_CONTAINS:
        return contains_one(a, row, text, bytes);
    case METRIC_CLOZE:
        return metric_cloze(text, bytes, a->references[row]);
    case METRIC_TRUE_FALSE:
        verdict = metric_verdict(text, bytes);
        if (verdict != VERDICT_NONE) return a->right[row] == (verdict == VERDICT_FALSE ? 1 : 0);
    // fall through
    case METRIC_CHOICE:
    case METRIC_RANK:
        return best_candidate(a, row, outcomes) == a->right[row];
    }
    assert(!"a metric that exists");
    return false;
}

void ability_run(const struct ability *a, struct session *session, struct generator *generator,
    void (*ended)(void *context, uint32_t request, uint64_t tokens), void *context, struct ability_score *out)
{
    *out = (struct ability_score){.rows = a->rows};
    struct eval_outcome *outcomes = a->longest ? mem_zero(a->item_count, sizeof *outcomes) : NULL;
    struct generated *answers = a->capacity ? mem_zero(a->rows, sizeof *answers) : NULL;
    if (outcomes) session_eval(session, a->items, a->item_count, true, outcomes);
    const struct generate_settings settings = {.max_new_tokens = a->max_new_tokens,
        .top_p = 1,
        .stops = &a->stops,
        .tokenizer = a->tokenizer,
        .ended = ended,
        .context = context};
    if (answers) generator_run(generator, a->requests, a->rows, &settings, answers);
    for (uint32_t i = 0; i < a->rows; i++) {
        struct text text = {0};
        text_add(&text, "", 0);
        if (answers) generated_text(&text, &answers[i], a->tokenizer, &a->stops);
        out->correct += is_right(a, i, outcomes, text.data, text.bytes);
        text_free(&text);
    }
    if (answers) generated_free(answers, a->rows);
    free(answers);
    free(outcomes);
    out->score = (double)out->correct / a->rows;
}
