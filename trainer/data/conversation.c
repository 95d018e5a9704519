// SPDX-License-Identifier: MIT
#include "data/conversation.h"

#include <stdlib.h>
#include <string.h>

void conversation_maker_free(struct conversation_maker *m)
{
    rendering_free(&m->rendering);
    tokens_free(&m->tokens);
    free(m->mask);
    *m = (struct conversation_maker){0};
}

static void tokens_insert(struct tokens *t, size_t at, uint32_t id, uint32_t end)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        t->ids = mem_resize(t->ids, t->capacity * sizeof *t->ids);
        t->ends = mem_resize(t->ends, t->capacity * sizeof *t->ends);
    }
    memmove(t->ids + at + 1, t->ids + at, (t->count - at) * sizeof *t->ids);
    memmove(t->ends + at + 1, t->ends + at, (t->count - at) * sizeof *t->ends);
    t->ids[at] = id;
    t->ends[at] = end;
    t->count++;
}

// Tokens of the runs into m->tokens, the begin token once.
static int encode(
    struct conversation_maker *m, const struct text_run *runs, size_t count, bool with_bos, struct error *e)
{
    struct tokens *t = &m->tokens;
    int32_t bos = tokenizer_bos(m->tokenizer);
    t->count = 0;
    if (tokenizer_encode(m->tokenizer, t, runs, count, e) != 0) return -1;
    if (with_bos && bos >= 0 && tokenizer_adds_bos(m->tokenizer) && !(t->count && t->ids[0] == (uint32_t)bos))
        tokens_insert(t, 0, (uint32_t)bos, 0);
    return 0;
}

// Marks the tokens whose last byte lies in a span; returns how many of the first `limit` are.
static size_t mark(struct conversation_maker *m, size_t limit)
{
    const struct tokens *t = &m->tokens;
    const struct rendering *r = &m->rendering;
    size_t span = 0, trained = 0;
    if (m->mask_capacity < t->count) {
        m->mask_capacity = 2 * t->count;
        m->mask = mem_resize(m->mask, m->mask_capacity);
    }
    for (size_t i = 0; i < t->count; i++) {
        size_t end = t->ends[i]; // the last byte is the one before
        while (span < r->span_count && end > r->spans[span].end) span++;
        m->mask[i] = i > 0 && span < r->span_count && end > r->spans[span].begin;
        trained += m->mask[i] && i < limit;
    }
    return trained;
}

// How many tokens the text up to byte `end` takes.
static size_t tokens_until(const struct tokens *t, size_t end)
{
    size_t low = 0, high = t->count; // ends never fall
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->ends[middle] < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low + 1 < t->count ? low + 1 : t->count;
}

static int encode_messages(struct conversation_maker *m, const struct row *row, size_t count, struct error *e)
{
    struct rendering *r = &m->rendering;
    if (render_messages(r, m->template, row->messages, count, e) != 0) return -1;
    return encode(m, r->runs, r->run_count, true, e);
}

// Drops trailing turns until the rest fits and something in it is trained. False if that cannot be; the tokens are
// then those of the whole conversation.
static bool drop_turns(struct conversation_maker *m, const struct row *row)
{
    struct rendering *r = &m->rendering;
    struct error ignored;
    for (size_t k = r->span_count; k-- > 0;) {
        size_t messages = r->spans[k].message + 1;
        if (messages == row->count || tokens_until(&m->tokens, r->spans[k].turn_end) > m->max_length) continue;
        // Shorter conversations may be rendered differently at their end, so this one is made anew.
        if (encode_messages(m, row, messages, &ignored) == 0 && m->tokens.count <= m->max_length && mark(m, SIZE_MAX))
            return true;
        if (encode_messages(m, row, row->count, &ignored) != 0) return false;
    }
    return false;
}

static int make_messages(struct conversation_maker *m, const struct row *row, size_t *cut, struct error *e)
{
    if (encode_messages(m, row, row->count, e) != 0) return -1;
    size_t whole = m->tokens.count;
    if (!m->max_length || whole <= m->max_length) {
        mark(m, SIZE_MAX);
        return 0;
    }
    if (!drop_turns(m, row)) {
        if (!mark(m, m->max_length))
            return error_set(e,
                "it is longer than max_length (%zu tokens, %u allowed), with nothing to train on in those", whole,
                m->max_length);
        m->tokens.count = m->max_length;
    }
    *cut = whole - m->tokens.count;
    return 0;
}

static int make_text(struct conversation_maker *m, const struct row *row, size_t *cut, struct error *e)
{
    struct text_run run = {row->text, row->bytes, true};
    struct tokens *t = &m->tokens;
    int32_t eos = tokenizer_eos(m->tokenizer);
    if (encode(m, &run, 1, !m->as_is, e) != 0) return -1;
    if (!m->as_is && eos >= 0 && !(t->count && t->ids[t->count - 1] == (uint32_t)eos))
        tokens_insert(t, t->count, (uint32_t)eos, (uint32_t)row->bytes);
    if (m->max_length && t->count > m->max_length) {
        *cut = t->count - m->max_length;
        t->count = m->max_length;
    }
    m->rendering.span_count = 0;
    mark(m, 0); // for the room
    for (size_t i = 0; i < t->count; i++) m->mask[i] = i > 0;
    return 0;
}

static int make_ids(struct conversation_maker *m, const struct row *row, size_t *cut, struct error *e)
{
    struct tokens *t = &m->tokens;
    size_t count = m->max_length && row->count > m->max_length ? m->max_length : row->count;
    uint32_t size = tokenizer_size(m->tokenizer);
    t->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (row->ids[i] >= size) return error_set(e, "token %u is not one of the model's %u", row->ids[i], size);
        tokens_insert(t, i, row->ids[i], 0);
    }
    m->rendering.span_count = 0;
    mark(m, 0); // for the room
    for (size_t i = 0; i < count; i++) m->mask[i] = row->mask[i] && i > 0;
    *cut = row->count - count;
    return 0;
}

int conversation_make(
    struct conversation *out, struct conversation_maker *m, struct arena *keep, const struct row *row, struct error *e)
{
    size_t cut = 0, trained = 0;
    int failed = row->kind == ROW_MESSAGES ? make_messages(m, row, &cut, e)
                 : row->kind == ROW_TEXT   ? make_text(m, row, &cut, e)
                                           : make_ids(m, row, &cut, e);
    if (failed) return -1;
    size_t count = m->tokens.count;
    for (size_t i = 0; i < count; i++) trained += m->mask[i];
    if (!trained && !(m->as_is && count)) {
        if (cut)
            return error_set(e, "it is longer than max_length (%u), with nothing to train on before", m->max_length);
        if (count == 1) return error_set(e, "its only token is not to be trained");
        return error_set(e, "none of its %zu tokens is to be trained", count);
    }
    *out = (struct conversation){.tokens = (uint32_t)count, .trained = (uint32_t)trained, .cut = (uint32_t)cut};
    out->ids = arena_alloc(keep, count * sizeof *out->ids);
    out->mask = arena_alloc(keep, count);
    memcpy(out->ids, m->tokens.ids, count * sizeof *out->ids);
    memcpy(out->mask, m->mask, count);
    out->hash = fnv1a(fnv1a(FNV_START, out->ids, count * sizeof *out->ids), out->mask, count);
    return 0;
}

int conversation_prompt(struct conversation_maker *m, const char **reference, const struct row *row, struct error *e)
{
    struct rendering *r = &m->rendering;
    if (row->kind != ROW_MESSAGES) return error_set(e, "it has no messages, so there is no prompt in it");
    size_t count = row->count;
    while (count && row->messages[count - 1].role != ROLE_ASSISTANT) count--;
    *reference = count ? row->messages[count - 1].text : NULL;
    count = count ? count - 1 : row->count;
    if (render_prompt(r, m->template, row->messages, count, e) != 0) return -1;
    return encode(m, r->runs, r->run_count, true, e);
}

void conversation_print(
    struct text *out, const struct conversation *c, const struct tokenizer *tokenizer, uint32_t limit)
{
    uint32_t shown = limit && limit < c->tokens ? limit : c->tokens, head = shown - shown / 2;
    for (uint32_t i = 0; i < c->tokens;) {
        if (i == head && shown < c->tokens) {
            text_print(out, " [... %u tokens ...] ", c->tokens - shown);
            i = c->tokens - shown / 2;
            if (i == c->tokens) break;
        }
        uint32_t stop = shown < c->tokens && i < head ? head : c->tokens, n = 1;
        while (i + n < stop && c->mask[i + n] == c->mask[i]) n++;
        if (c->mask[i]) text_add(out, "[+", 2);
        tokenizer_decode(tokenizer, out, c->ids + i, n, false);
        if (c->mask[i]) text_add(out, "+]", 2);
        i += n;
    }
}
