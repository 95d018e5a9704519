// SPDX-License-Identifier: MIT
#include "data/tokenizer_bpe.h"

#include "data/unicode.h"

#include <stdlib.h>
#include <string.h>

// A word of the cache is short; longer ones are rare and not worth the memory.
enum { CACHE_SLOTS = 1 << 14, CACHE_BYTES = 28, CACHE_TOKENS = 8 };

struct bpe_cached {
    uint8_t bytes, count; // count = 0: free
    char word[CACHE_BYTES];
    uint8_t ends[CACHE_TOKENS];
    uint32_t ids[CACHE_TOKENS];
};

// A part of a word; parts form a list by their numbers. A part that was merged into the one before has id BPE_NONE.
struct bpe_symbol {
    uint32_t id, end;
    uint32_t previous, next; // BPE_NONE at the ends of the word
};

// A merge that may be done: of the part at `at` with the one after it, to `id`.
struct bpe_entry {
    uint32_t rank, at, id;
};

void tokens_add(struct tokens *t, uint32_t id, uint32_t end)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->ids = mem_resize(t->ids, t->capacity * sizeof *t->ids);
        t->ends = mem_resize(t->ends, t->capacity * sizeof *t->ends);
    }
    t->ids[t->count] = id;
    t->ends[t->count] = end;
    t->count++;
}

// The character that byte b is written as.
static uint32_t character_of(uint8_t b)
{
    if ((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae) return b;
    return b <= 0x20 ? 0x100u + b : b <= 0xa0 ? 0x121u + (b - 0x7fu) : 0x143u;
}

void bpe_spell(struct text *out, const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        char c[4];
        text_add(out, c, utf8_write(c, character_of((uint8_t)data[i])));
    }
}

// The byte that character c stands for, or -1.
static int byte_of(uint32_t c)
{
    if (c < 0x100) return character_of((uint8_t)c) == c ? (int)c : -1;
    if (c <= 0x120) return (int)(c - 0x100);
    if (c <= 0x142) return (int)(c - 0x121 + 0x7f);
    return c == 0x143 ? 0xad : -1;
}

static size_t slots_for(size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    return slots;
}

void bpe_make(struct bpe *b, uint32_t size, size_t tokens, size_t merges)
{
    *b = (struct bpe){.size = size, .unknown = BPE_NONE};
    b->tokens = mem_zero(size ? size : 1, sizeof *b->tokens);
    b->slot_count = slots_for(tokens);
    b->slots = mem_alloc(b->slot_count * sizeof *b->slots);
    for (size_t i = 0; i < b->slot_count; i++) b->slots[i].id = BPE_NONE;
    b->merge_slot_count = slots_for(merges);
    b->merges = mem_alloc(b->merge_slot_count * sizeof *b->merges);
    for (size_t i = 0; i < b->merge_slot_count; i++) b->merges[i].left = BPE_NONE;
    for (int i = 0; i < 256; i++) b->byte_ids[i] = BPE_NONE;
}

void bpe_free(struct bpe *b)
{
    text_free(&b->spellings);
    text_free(&b->bytes);
    text_free(&b->joined);
    free(b->tokens);
    free(b->slots);
    free(b->merges);
    *b = (struct bpe){0};
}

// The slot where that spelling is, or would be.
static struct bpe_slot *slot_of(const struct bpe *b, uint32_t hash, const char *spelling, size_t bytes)
{
    for (size_t i = hash & (b->slot_count - 1);; i = (i + 1) & (b->slot_count - 1)) {
        struct bpe_slot *slot = &b->slots[i];
        if (slot->id == BPE_NONE) return slot;
        if (slot->hash != hash) continue;
        const struct bpe_token *t = &b->tokens[slot->id];
        if (t->spelling_bytes == bytes && memcmp(b->spellings.data + t->spelling, spelling, bytes) == 0) return slot;
    }
}

static uint32_t hash_of(const char *data, size_t bytes)
{
    uint64_t hash = fnv1a(FNV_START, data, bytes);
    return (uint32_t)(hash ^ hash >> 32);
}

uint32_t bpe_find(const struct bpe *b, const char *spelling, size_t bytes)
{
    return bytes ? slot_of(b, hash_of(spelling, bytes), spelling, bytes)->id : BPE_NONE;
}

void bpe_add_token(struct bpe *b, uint32_t id, const char *spelling, size_t bytes)
{
    struct bpe_token *t = &b->tokens[id];
    t->spelling = (uint32_t)b->spellings.bytes;
    t->spelling_bytes = (uint32_t)bytes;
    text_add(&b->spellings, spelling, bytes);
    t->start = (uint32_t)b->bytes.bytes;
    bool alphabet = true;
    for (size_t i = 0, n; i < bytes && alphabet; i += n) {
        int byte = byte_of(utf8_read(spelling + i, &n));
        alphabet = byte >= 0;
        text_add(&b->bytes, &(char){(char)byte}, 1);
    }
    if (!alphabet) { // then it stands for itself
        b->bytes.bytes = t->start;
        text_add(&b->bytes, spelling, bytes);
    }
    t->bytes = (uint32_t)(b->bytes.bytes - t->start);
    uint32_t hash = hash_of(spelling, bytes);
    *slot_of(b, hash, spelling, bytes) = (struct bpe_slot){hash, id};
}

void bpe_find_bytes(struct bpe *b)
{
    for (int i = 0; i < 256; i++) {
        char c[4];
        b->byte_ids[i] = bpe_find(b, c, utf8_write(c, character_of((uint8_t)i)));
    }
}

static struct bpe_merge *merge_slot(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t hash = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (hash >> 32) & (b->merge_slot_count - 1);
    for (;; slot = (slot + 1) & (b->merge_slot_count - 1)) {
        struct bpe_merge *m = &b->merges[slot];
        if (m->left == BPE_NONE || (m->left == left && m->right == right)) return m;
    }
}

int bpe_add_merge(struct bpe *b, uint32_t rank, const char *left, size_t left_bytes, const char *right,
    size_t right_bytes, struct error *e)
{
    b->joined.bytes = 0;
    text_add(&b->joined, left, left_bytes);
    text_add(&b->joined, right, right_bytes);
    uint32_t l = bpe_find(b, left, left_bytes), r = bpe_find(b, right, right_bytes);
    uint32_t whole = bpe_find(b, b->joined.data, b->joined.bytes);
    if (l == BPE_NONE || r == BPE_NONE || whole == BPE_NONE)
        return error_set(e, "merge %u (\"%.*s\" and \"%.*s\") makes or needs a token that the vocabulary lacks",
            (unsigned)rank, (int)(left_bytes < 60 ? left_bytes : 60), left, (int)(right_bytes < 60 ? right_bytes : 60),
            right);
    *merge_slot(b, l, r) = (struct bpe_merge){l, r, rank, whole};
    return 0;
}

void bpe_work_free(struct bpe_work *work)
{
    free(work->symbols);
    free(work->heap);
    free(work->cache);
    text_free(&work->spelled);
    *work = (struct bpe_work){0};
}

static bool before(struct bpe_entry a, struct bpe_entry b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(struct bpe_work *w, struct bpe_entry x)
{
    GROW(w->heap, w->heap_count, w->heap_capacity);
    size_t i = w->heap_count++;
    for (; i > 0 && before(x, w->heap[(i - 1) / 2]); i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = x;
}

static struct bpe_entry heap_pop(struct bpe_work *w)
{
    struct bpe_entry top = w->heap[0], x = w->heap[--w->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && before(w->heap[child + 1], w->heap[child])) child++;
        if (!before(w->heap[child], x)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = x;
    return top;
}

// Notes that part `at` may be merged with the one after it, if a merge says so.
static void consider(const struct bpe *b, struct bpe_work *w, uint32_t at)
{
    uint32_t next = at == BPE_NONE ? BPE_NONE : w->symbols[at].next;
    if (next == BPE_NONE) return;
    const struct bpe_merge *m = merge_slot(b, w->symbols[at].id, w->symbols[next].id);
    if (m->left != BPE_NONE) heap_push(w, (struct bpe_entry){m->rank, at, m->id});
}

// Fills the parts of the word: a byte each. Returns their number.
static uint32_t symbols_make(const struct bpe *b, struct bpe_work *w, const char *word, size_t bytes)
{
    if (bytes > w->symbol_capacity) {
        w->symbol_capacity = 2 * bytes;
        w->symbols = mem_resize(w->symbols, w->symbol_capacity * sizeof *w->symbols);
    }
    uint32_t count = 0;
    bool unknown = false; // the part before is the unknown token
    for (size_t i = 0; i < bytes; i++) {
        uint32_t id = b->byte_ids[(uint8_t)word[i]];
        if (id == BPE_NONE && b->unknown == BPE_NONE) continue;
        if (id == BPE_NONE && unknown && b->fuse_unknown) {
            w->symbols[count - 1].end = (uint32_t)i + 1;
            continue;
        }
        unknown = id == BPE_NONE;
        w->symbols[count] =
            (struct bpe_symbol){unknown ? b->unknown : id, (uint32_t)i + 1, count ? count - 1 : BPE_NONE, count + 1};
        count++;
    }
    if (count) w->symbols[count - 1].next = BPE_NONE;
    return count;
}

static void merge_word(const struct bpe *b, struct bpe_work *w, struct tokens *out, const char *word, size_t bytes)
{
    if (b->ignore_merges) {
        w->spelled.bytes = 0;
        bpe_spell(&w->spelled, word, bytes);
        uint32_t id = bpe_find(b, w->spelled.data, w->spelled.bytes);
        if (id != BPE_NONE) {
            tokens_add(out, id, (uint32_t)bytes);
            return;
        }
    }
    uint32_t count = symbols_make(b, w, word, bytes);
    for (uint32_t i = 0; i < count; i++) consider(b, w, i);
    while (w->heap_count) {
        struct bpe_entry top = heap_pop(w);
        struct bpe_symbol *s = &w->symbols[top.at];
        if (s->id == BPE_NONE || s->next == BPE_NONE) continue;
        struct bpe_symbol *right = &w->symbols[s->next];
        const struct bpe_merge *m = merge_slot(b, s->id, right->id);
        // The parts may have changed since. (As in `tokenizers`, what counts is that they still make the same token.)
        if (m->left == BPE_NONE || m->id != top.id) continue;
        *s = (struct bpe_symbol){top.id, right->end, s->previous, right->next};
        right->id = BPE_NONE;
        if (s->next != BPE_NONE) w->symbols[s->next].previous = top.at;
        consider(b, w, s->previous);
        consider(b, w, top.at);
    }
    for (uint32_t i = count ? 0 : BPE_NONE; i != BPE_NONE; i = w->symbols[i].next)
        tokens_add(out, w->symbols[i].id, w->symbols[i].end);
}

void bpe_word(const struct bpe *b, struct bpe_work *work, struct tokens *out, const char *word, size_t bytes)
{
    if (bytes > CACHE_BYTES) {
        merge_word(b, work, out, word, bytes);
        return;
    }
    if (!work->cache) work->cache = mem_zero(CACHE_SLOTS, sizeof *work->cache);
    struct bpe_cached *c = &work->cache[hash_of(word, bytes) & (CACHE_SLOTS - 1)];
    if (c->count && c->bytes == bytes && memcmp(c->word, word, bytes) == 0) {
        for (size_t i = 0; i < c->count; i++) tokens_add(out, c->ids[i], c->ends[i]);
        return;
    }
    size_t first = out->count;
    merge_word(b, work, out, word, bytes);
    size_t count = out->count - first;
    if (count == 0 || count > CACHE_TOKENS) return;
    c->bytes = (uint8_t)bytes;
    c->count = (uint8_t)count;
    memcpy(c->word, word, bytes);
    for (size_t i = 0; i < count; i++) {
        c->ids[i] = out->ids[first + i];
        c->ends[i] = (uint8_t)out->ends[first + i];
    }
}
