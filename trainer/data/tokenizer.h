// SPDX-License-Identifier: MIT
//
// tokenizer.h: text to token ids and back, for byte-level BPE vocabularies.
//
// Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909, on the bytes of UTF-8 as in GPT-2): text is cut into words by
// the stages of a pre-tokenizer; in each word, neighbours are merged in the order in which the merges were learned.
// Read are Hugging Face's `tokenizer.json` and the metadata of GGUF files with tokenizer.ggml.model = "gpt2" and the
// pre-tokenizers gpt-2, smollm, llama-bpe and qwen2. The ids are those of Hugging Face's `tokenizers` library for the
// model's original tokenizer.json. Unicode's letters and numbers (\p{L}, \p{N}) are those of the PCRE2 that is
// installed (10.42: Unicode 14), its normal form NFC that of Unicode 9, by which that library goes.
//
// What is not byte-level BPE (SentencePiece, Unigram, WordPiece), and every stage that is not known, is refused with a
// sentence that names it.
#ifndef PUMICE_TOKENIZER_H
#define PUMICE_TOKENIZER_H

#include "base.h"
#include "formats/gguf.h"

struct tokenizer;

// Opens a tokenizer.json. tokenizer_config.json, special_tokens_map.json, generation_config.json and
// chat_template.jinja in the same folder tell the begin, end and padding tokens and the chat template; each may be
// missing. NULL with the reason.
struct tokenizer *tokenizer_open_json(const char *path, struct error *e);
// Opens the tokenizer of a GGUF file, which may be closed afterwards. NULL with the reason.
struct tokenizer *tokenizer_open_gguf(const struct gguf *g, struct error *e);
// A tokenizer for tiny models: ids 0 to 255 are bytes, then <|bos|>, <|im_start|>, <|im_end|> (which is the end token)
// and <|pad|>; the chat template is ChatML; no begin token is added. Never fails.
struct tokenizer *tokenizer_open_bytes(void);
void tokenizer_close(struct tokenizer *t); // NULL is fine

// A stretch of text. Where `special` is true the spellings of special tokens (<|im_end|>) become those tokens;
// elsewhere they are plain text, so that nothing that stands in a user's data can end a turn. Added tokens that are
// not special (Qwen's <tool_call>) are words of the vocabulary and are recognised everywhere.
struct text_run {
    const char *text; // (bytes), any bytes
    size_t bytes;
    bool special;
};

// ends[i] is the offset just past token i's last byte in the text that the caller gave: all runs one after another,
// with invalid UTF-8 as it was. A token of a composed or replaced character ends where its source ends, a token made
// only of a space that the tokenizer puts in front of the text ends where that text begins. Start from {0}.
struct tokens {
    uint32_t *ids;  // (count), owned
    uint32_t *ends; // (count), owned
    size_t count, capacity;
};
void tokens_free(struct tokens *t); // and back to {0}

// Adds the tokens of the whole text of all runs to `out`: words may go on from one run to the next; a special token's
// spelling counts when all of it lies in special runs. Nothing is added at the begin or end. Invalid UTF-8 is read as
// U+FFFD, as Python's bytes.decode(errors="replace") does. Bytes that the vocabulary lacks are dropped, as by
// `tokenizers`, or become its unknown token. Several threads may encode with one tokenizer. 0, or -1 with the reason
// (4 GiB of text or more; a pattern of an unusual tokenizer.json that gives up on the text).
int tokenizer_encode(
    const struct tokenizer *t, struct tokens *out, const struct text_run *runs, size_t count, struct error *e);

// Adds the text of the tokens to `out`; what is not valid UTF-8 in the joined bytes becomes U+FFFD. Ids without a
// token are passed over, and so are special tokens when `skip_special` is true.
void tokenizer_decode(
    const struct tokenizer *t, struct text *out, const uint32_t *ids, size_t count, bool skip_special);

// One more than the greatest id. A model may have more rows than that.
uint32_t tokenizer_size(const struct tokenizer *t);
// Ids of the tokens that begin and end a text and fill a row up; -1 where there is none.
int32_t tokenizer_bos(const struct tokenizer *t);
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_pad(const struct tokenizer *t);
// Whether the model expects its begin token in front of every text.
bool tokenizer_adds_bos(const struct tokenizer *t);
// The id of an added token by its text, or of a token of the vocabulary by its spelling there (a space is written
// "\u0120"); -1 when there is none.
int32_t tokenizer_find(const struct tokenizer *t, const char *spelling);
// Whether the id is a special token.
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);
// The chat template, in Jinja; NULL when there is none.
const char *tokenizer_chat_template(const struct tokenizer *t);
// The chat template that tokenizer_save writes, as chat_template.jinja, which goes before what tokenizer_config.json says.
void tokenizer_set_saved_template(struct tokenizer *t, const char *jinja);

// Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json (and chat_template.jinja, if there was one)
// into an existing folder, from which transformers' AutoTokenizer gives the same ids. Files that were read are written
// byte for byte; what a GGUF file or the bytes tokenizer has no file for is generated. 0, or -1 with the reason.
int tokenizer_save(const struct tokenizer *t, const char *folder, struct error *e);

#endif
