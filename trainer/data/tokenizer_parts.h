// SPDX-License-Identifier: MIT
//
// tokenizer_parts.h: what a tokenizer is made of. Used by tokenizer*.c only.
#ifndef PUMICE_TOKENIZER_PARTS_H
#define PUMICE_TOKENIZER_PARTS_H

#include "data/tokenizer_bpe.h"
#include "data/tokenizer_split.h"
#include "data/unicode.h"

#include <stdatomic.h>

#define TOKENIZER_STAGES 16

// An added token: found in the text before it is cut into words.
struct added_token {
    char *content; // owned
    char *match;   // owned: what is looked for, the content or its NFC
    size_t content_bytes, match_bytes;
    uint32_t id;
    bool special;
    bool normalized;     // looked for in the normalised text, not in the text as it is
    bool single_word;    // only where no letter or digit stands beside it
    bool lstrip, rstrip; // takes the white space before or after it with it
};

// Added tokens sorted by their bytes, to find the longest one that a text begins with.
struct added_set {
    const struct added_token **sorted; // (count)
    size_t count;
    bool first[256]; // bytes that one of them begins with
};

// Everything an encode call writes to besides its result; kept for the next call.
struct workspace {
    struct workspace *next;
    struct bpe_work bpe;
    struct split_work split;
    struct text joined;
    struct mapped repaired, normal, prefixed;
    struct special_range *ranges; // (range_count)
    size_t range_count, range_capacity;
};

struct workspaces {
    atomic_flag busy;
    struct workspace *idle;
};

// A file as it is written by tokenizer_save; data = NULL: there is none.
enum tokenizer_file { FILE_TOKENIZER, FILE_CONFIG, FILE_SPECIAL, FILE_TEMPLATE, FILES };
extern const char *const tokenizer_file_names[FILES];

struct tokenizer {
    struct bpe bpe;
    bool nfc;
    struct split_stage stages[TOKENIZER_STAGES]; // the last is the one of ByteLevel
    size_t stage_count;
    struct split_stage letter; // matches a letter, mark, digit or connector, for single_word
    struct added_token *added; // (added_count)
    size_t added_count;
    struct added_set raw, normalized;
    int32_t *added_of; // (size): number in `added` of the token with that id, or -1
    uint32_t size;     // one more than the greatest id
    int32_t bos, eos, pad;
    bool adds_bos;
    char *chat_template; // owned, or NULL
    struct text files[FILES];
    struct workspaces *workspaces;
};

// An empty tokenizer, filled from t->files[FILE_TOKENIZER] by tokenizer_read_model (`name` stands in errors), which
// also takes a begin token from the template of the post-processor. The rest follows from other files or metadata.
struct tokenizer *tokenizer_new(void);
int tokenizer_read_model(struct tokenizer *t, const char *name, struct error *e);
// Builds what encoding needs from `added`, `bpe`, `nfc` and `stages`.
int tokenizer_finish(struct tokenizer *t, struct error *e);

// What a generated tokenizer.json is made of; the JSON texts are its members of those names.
struct tokenizer_model {
    const char *normalizer, *pre_tokenizer;
    bool ignore_merges;
    const struct gguf_string *tokens; // (token_count) spellings by id
    const int32_t *types;             // (token_count) TOKEN_..., or NULL: all normal
    const struct gguf_string *merges; // (merge_count) "left right"
    size_t token_count, merge_count;
    int32_t begin; // the token in front of every text, or -1
};
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE }; // GGUF's numbers
void tokenizer_write_model(struct text *out, const struct tokenizer_model *m);
// Generates the tokenizer_config.json and special_tokens_map.json that the tokenizer does not have.
void tokenizer_write_missing(struct tokenizer *t);

#endif
