// SPDX-License-Identifier: MIT
//
// tokenizer_bpe.h: the vocabulary of a byte-level BPE model and the merging of one word. Used by tokenizer*.c only.
//
// A spelling is a token as it stands in tokenizer.json and GGUF: every byte is written as one character, printable
// bytes as themselves, the other 68 as U+0100 and on (the byte-to-character table of GPT-2).
#ifndef PUMICE_TOKENIZER_BPE_H
#define PUMICE_TOKENIZER_BPE_H

#include "data/tokenizer.h"

#define BPE_NONE UINT32_MAX
#define BPE_IDS (1u << 22) // ids are smaller; what is larger is taken for a damaged file

struct bpe_token {
    uint32_t spelling, spelling_bytes; // where it stands in `spellings`; 0 bytes: no token has this id
    uint32_t start, bytes;             // what it stands for, in `bytes`
};

struct bpe_slot {
    uint32_t hash, id; // of the spelling; id = BPE_NONE: free
};

struct bpe_merge {
    uint32_t left, right, rank, id; // left = BPE_NONE: a free slot
};

struct bpe {
    struct text spellings, bytes, joined; // joined: room to work in
    struct bpe_token *tokens;             // (size), by id
    struct bpe_slot *slots;               // (slot_count)
    struct bpe_merge *merges;             // (merge_slot_count): by hash of left and right
    size_t slot_count, merge_slot_count;
    uint32_t size;          // one more than the greatest id
    uint32_t byte_ids[256]; // BPE_NONE where the vocabulary lacks the byte
    uint32_t unknown;       // the token for such bytes, BPE_NONE to drop them
    bool fuse_unknown;      // one for a run of them
    bool ignore_merges;     // a word that is a token is that token, whatever the merges say
};

// What the merging of words needs besides; one to a thread. Start from {0}.
struct bpe_work {
    struct bpe_symbol *symbols; // (symbol_capacity)
    struct bpe_entry *heap;     // (heap_capacity)
    struct bpe_cached *cache;   // words met before
    struct text spelled;
    size_t symbol_capacity, heap_count, heap_capacity;
};

// Makes an empty vocabulary with room for ids below `size`, and for `tokens` and `merges` of them.
void bpe_make(struct bpe *b, uint32_t size, size_t tokens, size_t merges);
void bpe_free(struct bpe *b);
// Adds a token; the spelling must be new and not empty, id < size.
void bpe_add_token(struct bpe *b, uint32_t id, const char *spelling, size_t bytes);
// After all tokens: finds the tokens of the bytes.
void bpe_find_bytes(struct bpe *b);
// Adds the merge with the next rank. -1 with a sentence when one of the tokens is missing.
int bpe_add_merge(struct bpe *b, uint32_t rank, const char *left, size_t left_bytes, const char *right,
    size_t right_bytes, struct error *e);
// The token with that spelling, or BPE_NONE.
uint32_t bpe_find(const struct bpe *b, const char *spelling, size_t bytes);
// Adds the tokens of one word to `out`; their ends count from the start of the word.
void bpe_word(const struct bpe *b, struct bpe_work *work, struct tokens *out, const char *word, size_t bytes);
void bpe_work_free(struct bpe_work *work);

void tokens_add(struct tokens *t, uint32_t id, uint32_t end);

// Adds the spelling of bytes.
void bpe_spell(struct text *out, const char *data, size_t bytes);

#endif
