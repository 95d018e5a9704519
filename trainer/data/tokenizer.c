// SPDX-License-Identifier: MIT
#include "data/tokenizer.h"

#include "data/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

// Part of the source text that lies in special runs: bytes start to end - 1.
struct special_range {
    uint32_t start, end;
};

// A stretch of text and where it comes from: it begins at source byte `base`; ends as in struct mapped, or NULL: byte i
// comes from source byte base + i.
struct view {
    const char *text; // (bytes)
    size_t bytes;
    const uint32_t *ends;
    uint32_t base;
};

// One call of tokenizer_encode.
struct encoding {
    const struct tokenizer *t;
    struct workspace *w;
    struct tokens *out;
    struct error *e;
};

void tokens_free(struct tokens *t)
{
    free(t->ids);
    free(t->ends);
    *t = (struct tokens){0};
}

struct tokenizer *tokenizer_new(void)
{
    struct tokenizer *t = mem_zero(1, sizeof *t);
    t->bos = t->eos = t->pad = -1;
    t->workspaces = mem_zero(1, sizeof *t->workspaces);
    atomic_flag_clear(&t->workspaces->busy);
    return t;
}

static void workspace_free(struct workspace *w)
{
    bpe_work_free(&w->bpe);
    split_work_free(&w->split);
    text_free(&w->joined);
    mapped_free(&w->repaired);
    mapped_free(&w->normal);
    mapped_free(&w->prefixed);
    free(w->ranges);
    free(w);
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t) return;
    bpe_free(&t->bpe);
    for (size_t i = 0; i < t->stage_count; i++) split_free(&t->stages[i]);
    split_free(&t->letter);
    for (size_t i = 0; i < t->added_count; i++) free(t->added[i].content), free(t->added[i].match);
    free(t->added);
    free(t->raw.sorted);
    free(t->normalized.sorted);
    free(t->added_of);
    free(t->chat_template);
    for (size_t i = 0; i < FILES; i++) text_free(&t->files[i]);
    for (struct workspace *w = t->workspaces->idle, *next; w; w = next) {
        next = w->next;
        workspace_free(w);
    }
    free(t->workspaces);
    free(t);
}

static int by_bytes(const void *a, const void *b)
{
    const struct added_token *x = *(const struct added_token *const *)a, *y = *(const struct added_token *const *)b;
    size_t shorter = x->match_bytes < y->match_bytes ? x->match_bytes : y->match_bytes;
    int order = memcmp(x->match, y->match, shorter);
    if (order) return order;
    return x->match_bytes < y->match_bytes ? -1 : x->match_bytes > y->match_bytes;
}

static void set_make(struct added_set *set, const struct tokenizer *t, bool normalized)
{
    set->sorted = mem_zero(t->added_count ? t->added_count : 1, sizeof *set->sorted);
    for (size_t i = 0; i < t->added_count; i++) {
        const struct added_token *a = &t->added[i];
        if (a->normalized != normalized) continue;
        set->sorted[set->count++] = a;
        set->first[(uint8_t)a->match[0]] = true;
    }
    qsort(set->sorted, set->count, sizeof *set->sorted, by_bytes);
}

int tokenizer_finish(struct tokenizer *t, struct error *e)
{
    t->size = t->bpe.size;
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].id >= t->size) t->size = t->added[i].id + 1;
    t->added_of = mem_alloc((t->size ? t->size : 1) * sizeof *t->added_of);
    for (uint32_t i = 0; i < t->size; i++) t->added_of[i] = -1;
    bool single_word = false;
    for (size_t i = 0; i < t->added_count; i++) {
        struct added_token *a = &t->added[i];
        t->added_of[a->id] = (int32_t)i;
        single_word |= a->single_word;
        struct mapped normal = {0};
        if (a->normalized && t->nfc)
            nfc(&normal, a->content, a->content_bytes, NULL, 0);
        else
            mapped_copy(&normal, a->content, a->content_bytes, NULL, 0);
        a->match = mem_string_n(normal.text.data, normal.text.bytes);
        a->match_bytes = normal.text.bytes;
        mapped_free(&normal);
    }
    set_make(&t->raw, t, false);
    set_make(&t->normalized, t, true);
    if (!single_word) return 0;
    // A word character as the `regex` crate has it: Alphabetic, marks, digits, connectors, joiners (U+200C, U+200D).
    // Alphabetic is letters, letter numbers, some marks, and circled and squared letters.
    return split_make(&t->letter,
        "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
        "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}]",
        SPLIT_ISOLATED, false, e);
}

// Source position of the border in front of byte i of the view (0 to v.bytes).
static uint32_t source_of(const struct view *v, size_t i)
{
    if (i == 0) return v->base;
    return v->ends ? v->ends[i - 1] : v->base + (uint32_t)i;
}

static struct view part(const struct view *v, size_t start, size_t end)
{
    return (struct view){v->text + start, end - start, v->ends ? v->ends + start : NULL, source_of(v, start)};
}

// A piece of text on its way through the stages of the pre-tokenizer.
struct piece {
    const struct encoding *c;
    struct view v;
    size_t stage; // the next
};

static int cut_piece(const struct piece *p, struct error *e);

static int next_stage(void *context, size_t start, size_t end, struct error *e)
{
    const struct piece *whole = context;
    return cut_piece(&(struct piece){whole->c, part(&whole->v, start, end), whole->stage + 1}, e);
}

static int cut_piece(const struct piece *p, struct error *e)
{
    const struct encoding *c = p->c;
    if (p->stage == c->t->stage_count) {
        size_t first = c->out->count;
        bpe_word(&c->t->bpe, &c->w->bpe, c->out, p->v.text, p->v.bytes);
        for (size_t i = first; i < c->out->count; i++) c->out->ends[i] = source_of(&p->v, c->out->ends[i]);
        return 0;
    }
    const struct split_stage *s = &c->t->stages[p->stage];
    struct piece whole = *p;
    if (s->prefix_space && p->v.text[0] != ' ') { // only the last stage has it: the buffer is used once at a time
        struct mapped *m = &c->w->prefixed;
        mapped_clear(m);
        mapped_add(m, " ", 1, p->v.base);
        mapped_copy(m, p->v.text, p->v.bytes, p->v.ends, p->v.base);
        whole.v = (struct view){m->text.data, m->text.bytes, m->ends, p->v.base};
    }
    return split_text(s, &c->w->split, whole.v.text, whole.v.bytes, next_stage, &whole, e);
}

// Whether source bytes start to end - 1 all lie in special runs.
static bool in_special(const struct workspace *w, uint32_t start, uint32_t end)
{
    size_t low = 0, high = w->range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (w->ranges[middle].end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < w->range_count && w->ranges[low].start <= start && end <= w->ranges[low].end;
}

// The first of set->sorted[low .. high - 1] whose byte number `depth` is not below c; all of them have that byte.
static size_t bound(const struct added_set *set, size_t low, size_t high, size_t depth, int c)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uint8_t)set->sorted[middle]->match[depth] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The longest added token that the text has at byte `at` and that counts there, or NULL.
static const struct added_token *added_at(
    const struct encoding *c, const struct added_set *set, const struct view *v, size_t at)
{
    const struct added_token *longest = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; low < high && at + depth < v->bytes; depth++) {
        int byte = (uint8_t)v->text[at + depth];
        low = bound(set, low, high, depth, byte);
        high = bound(set, low, high, depth, byte + 1);
        for (; low < high && set->sorted[low]->match_bytes == depth + 1; low++) {
            const struct added_token *a = set->sorted[low];
            if (!a->special || in_special(c->w, source_of(v, at), source_of(v, at + depth + 1))) longest = a;
        }
    }
    return longest;
}

// Start of the character before byte i > 0.
static size_t back(const char *text, size_t i)
{
    do i--;
    while (i > 0 && ((uint8_t)text[i] & 0xc0) == 0x80);
    return i;
}

static bool letter_at(const struct encoding *c, const struct view *v, size_t start)
{
    size_t n;
    utf8_read(v->text + start, &n);
    return split_matches(&c->t->letter, &c->w->split, v->text + start, n);
}

// The next token of the set from byte `from` on and what it takes of the text; NULL and the end of the text when there
// is none.
static const struct added_token *next_added(const struct encoding *c, const struct added_set *set, const struct view *v,
    size_t from, size_t *start, size_t *end)
{
    for (size_t at = from, n; at < v->bytes; at++) {
        const struct added_token *a = set->first[(uint8_t)v->text[at]] ? added_at(c, set, v, at) : NULL;
        if (!a) continue;
        *start = at, *end = at + a->match_bytes;
        if (a->single_word &&
            ((*start > 0 && letter_at(c, v, back(v->text, *start))) || (*end < v->bytes && letter_at(c, v, *end)))) {
            at = *end - 1; // as the reference does: not even a part of it is looked at again
            continue;
        }
        while (a->lstrip && *start > from && white_space(utf8_read(v->text + back(v->text, *start), &n))) *start -= n;
        while (a->rstrip && *end < v->bytes && white_space(utf8_read(v->text + *end, &n))) *end += n;
        return a;
    }
    *start = *end = v->bytes;
    return NULL;
}

// Makes tokens of a text between two tokens that were found before it was normalised.
static int encode_between(const struct encoding *c, struct view v);

// Finds the tokens of the set in the text; what lies between them goes on: to normalisation when they were the tokens
// of the raw text, to the pre-tokenizer when they were those of the normalised one.
static int encode_added(const struct encoding *c, struct view v, bool normalized)
{
    const struct added_set *set = normalized ? &c->t->normalized : &c->t->raw;
    for (size_t done = 0, start, end;; done = end) {
        const struct added_token *a = next_added(c, set, &v, done, &start, &end);
        if (done < start) {
            struct view between = part(&v, done, start);
            int status = normalized ? cut_piece(&(struct piece){c, between, 0}, c->e) : encode_between(c, between);
            if (status) return status;
        }
        if (!a) return 0;
        tokens_add(c->out, a->id, source_of(&v, end));
    }
}

static int encode_between(const struct encoding *c, struct view v)
{
    if (c->t->nfc && nfc_wanted(v.text, v.bytes)) {
        struct mapped *m = &c->w->normal;
        mapped_clear(m);
        nfc(m, v.text, v.bytes, v.ends, v.base);
        v = (struct view){m->text.data, m->text.bytes, m->ends, v.base};
    }
    return encode_added(c, v, true);
}

static void lock(struct workspaces *all)
{
    while (atomic_flag_test_and_set(&all->busy)) continue;
}

static struct workspace *workspace_take(const struct tokenizer *t)
{
    lock(t->workspaces);
    struct workspace *w = t->workspaces->idle;
    if (w) t->workspaces->idle = w->next;
    atomic_flag_clear(&t->workspaces->busy);
    if (w) return w;
    w = mem_zero(1, sizeof *w);
    split_work_make(&w->split);
    return w;
}

static void workspace_return(const struct tokenizer *t, struct workspace *w)
{
    lock(t->workspaces);
    w->next = t->workspaces->idle;
    t->workspaces->idle = w;
    atomic_flag_clear(&t->workspaces->busy);
}

// Joins the runs and notes where they are special.
static struct view join(struct workspace *w, const struct text_run *runs, size_t count)
{
    w->joined.bytes = w->range_count = 0;
    text_add(&w->joined, "", 0);
    for (size_t i = 0; i < count; i++) {
        uint32_t start = (uint32_t)w->joined.bytes, end = start + (uint32_t)runs[i].bytes;
        text_add(&w->joined, runs[i].text, runs[i].bytes);
        if (!runs[i].special) continue;
        if (w->range_count && w->ranges[w->range_count - 1].end == start) {
            w->ranges[w->range_count - 1].end = end;
        } else {
            GROW(w->ranges, w->range_count, w->range_capacity);
            w->ranges[w->range_count++] = (struct special_range){start, end};
        }
    }
    return (struct view){w->joined.data, w->joined.bytes, NULL, 0};
}

int tokenizer_encode(
    const struct tokenizer *t, struct tokens *out, const struct text_run *runs, size_t count, struct error *e)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (runs[i].bytes >= UINT32_MAX - bytes)
            return error_set(e, "a text of 4 GiB or more cannot be tokenised at once: cut it into several rows");
        bytes += runs[i].bytes;
    }
    struct workspace *w = workspace_take(t);
    struct view v = join(w, runs, count);
    if (utf8_valid(v.text, v.bytes) < v.bytes) {
        mapped_clear(&w->repaired);
        utf8_repair_mapped(&w->repaired, v.text, v.bytes);
        v = (struct view){w->repaired.text.data, w->repaired.text.bytes, w->repaired.ends, 0};
    }
    size_t first = out->count;
    int status = encode_added(&(struct encoding){t, w, out, e}, v, false);
    if (status) out->count = first;
    workspace_return(t, w);
    return status;
}

void tokenizer_decode(const struct tokenizer *t, struct text *out, const uint32_t *ids, size_t count, bool skip_special)
{
    struct text bytes = {0};
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= t->size || (skip_special && tokenizer_is_special(t, ids[i]))) continue;
        int32_t added = t->added_of[ids[i]];
        if (added >= 0) {
            text_add(&bytes, t->added[added].content, t->added[added].content_bytes);
        } else if (ids[i] < t->bpe.size) {
            const struct bpe_token *token = &t->bpe.tokens[ids[i]];
            if (token->bytes) text_add(&bytes, t->bpe.bytes.data + token->start, token->bytes);
        }
    }
    utf8_repair(out, bytes.data, bytes.bytes);
    text_free(&bytes);
}

uint32_t tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int32_t tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *spelling)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (strcmp(t->added[i].content, spelling) == 0) return (int32_t)t->added[i].id;
    uint32_t id = bpe_find(&t->bpe, spelling, strlen(spelling));
    return id == BPE_NONE ? -1 : (int32_t)id;
}

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id)
{
    return id < t->size && t->added_of[id] >= 0 && t->added[t->added_of[id]].special;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
    return t->chat_template;
}

void tokenizer_set_saved_template(struct tokenizer *t, const char *jinja)
{
    text_free(&t->files[FILE_TEMPLATE]);
    text_add(&t->files[FILE_TEMPLATE], jinja, strlen(jinja));
}
