// SPDX-License-Identifier: MIT
//
// Tokenizers that no tokenizer.json came with: from the metadata of a GGUF file, and the one of bytes. Both are
// written as a tokenizer.json first and read from that, so what is used and what is saved cannot differ.
#include "data/tokenizer_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SPLIT(regex)                                                                                                   \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define BYTE_LEVEL(use_regex)                                                                                          \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" use_regex "}"
#define SEQUENCE(first, second) "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," second "]}"
// The patterns of Llama 3 and Qwen 2 differ in how many digits stand together.
#define WORDS(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                                     \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

// The values of tokenizer.ggml.pre that are known, and what the tokenizer.json of those models says.
static const struct {
    const char *names[4];
    const char *normalizer, *pre_tokenizer;
    bool ignore_merges, adds_bos;
} known[] = {
    {{"gpt-2", "gpt2"}, "null", BYTE_LEVEL("true"), false, false},
    {{"smollm"}, "null", SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}", BYTE_LEVEL("true")), false,
        false},
    {{"llama-bpe", "llama3", "llama-v3"}, "null", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), BYTE_LEVEL("false")), true,
        true},
    {{"qwen2", "deepseek-r1-qwen"}, "{\"type\":\"NFC\"}", SEQUENCE(SPLIT(WORDS("\\\\p{N}")), BYTE_LEVEL("false")),
        false, false},
};

static const char *const keys[] = {
    "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id"};

// The number in `known` of the file's pre-tokenizer, or -1.
static int pipeline_of(const struct gguf *g, struct error *e)
{
    const char *model, *pre;
    if (gguf_text(&model, g, "tokenizer.ggml.model", "", e) || gguf_text(&pre, g, "tokenizer.ggml.pre", "", e))
        return -1;
    if (!*model) return error_set(e, "the file has no tokenizer (tokenizer.ggml.model)");
    if (strcmp(model, "gpt2") != 0) {
        const char *kind = strcmp(model, "llama") == 0  ? " (SentencePiece)"
                           : strcmp(model, "t5") == 0   ? " (Unigram)"
                           : strcmp(model, "bert") == 0 ? " (WordPiece)"
                                                        : "";
        return error_set(
            e, "tokenizer.ggml.model is \"%.60s\"%s; byte-level BPE (\"gpt2\") is what can be read", model, kind);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t k = 0; k < 4 && known[i].names[k]; k++)
            if (strcmp(pre, known[i].names[k]) == 0) return (int)i;
    return error_set(e,
        "tokenizer.ggml.pre is \"%.60s\"; gpt-2, smollm, llama-bpe and qwen2 are known: use the model's folder from "
        "Hugging Face instead",
        pre);
}

// Text that a tokenizer.json can hold.
static int check_strings(const struct gguf_string *strings, size_t count, const char *what, struct error *e)
{
    for (size_t i = 0; i < count; i++)
        if (strings[i].bytes == 0 || memchr(strings[i].data, 0, strings[i].bytes) ||
            utf8_valid(strings[i].data, strings[i].bytes) < strings[i].bytes)
            return error_set(e, "%s %zu is empty, holds a NUL byte or is not UTF-8", what, i);
    return 0;
}

static int read_gguf(struct tokenizer *t, const struct gguf *g, int32_t **types, struct error *e)
{
    int pipeline = pipeline_of(g, e);
    if (pipeline < 0) return -1;
    struct tokenizer_model m = {.normalizer = known[pipeline].normalizer,
        .pre_tokenizer = known[pipeline].pre_tokenizer,
        .ignore_merges = known[pipeline].ignore_merges,
        .begin = -1};
    size_t type_count;
    if (gguf_strings(&m.tokens, &m.token_count, g, "tokenizer.ggml.tokens", e) ||
        gguf_strings(&m.merges, &m.merge_count, g, "tokenizer.ggml.merges", e) ||
        gguf_i32s(types, &type_count, g, "tokenizer.ggml.token_type", e))
        return -1;
    if (m.token_count == 0 || m.token_count > BPE_IDS)
        return error_set(e, "tokenizer.ggml.tokens has %zu tokens", m.token_count);
    if (m.merge_count == 0) return error_set(e, "the file has no merges (tokenizer.ggml.merges)");
    if (*types && type_count != m.token_count)
        return error_set(e, "tokenizer.ggml.token_type has %zu entries for %zu tokens", type_count, m.token_count);
    m.types = *types;
    if (check_strings(m.tokens, m.token_count, "tokenizer.ggml.tokens: token", e) ||
        check_strings(m.merges, m.merge_count, "tokenizer.ggml.merges: merge", e))
        return -1;
    int32_t ids[3];
    for (size_t i = 0; i < 3; i++) {
        uint32_t id;
        if (gguf_u32(&id, g, keys[i], UINT32_MAX, e)) return -1;
        if (id != UINT32_MAX && id >= m.token_count)
            return error_set(e, "%s is %u, but there are %zu tokens", keys[i], (unsigned)id, m.token_count);
        ids[i] = id == UINT32_MAX ? -1 : (int32_t)id;
    }
    bool adds_bos;
    const char *template;
    if (gguf_bool(&adds_bos, g, "tokenizer.ggml.add_bos_token", known[pipeline].adds_bos, e) ||
        gguf_text(&template, g, "tokenizer.chat_template", NULL, e))
        return -1;
    if (template && utf8_valid(template, strlen(template)) < strlen(template))
        return error_set(e, "tokenizer.chat_template is not UTF-8");
    if (adds_bos) m.begin = ids[0];
    tokenizer_write_model(&t->files[FILE_TOKENIZER], &m);
    if (tokenizer_read_model(t, "the tokenizer in the GGUF file", e)) return -1;
    t->bos = ids[0], t->eos = ids[1], t->pad = ids[2];
    t->adds_bos = adds_bos && t->bos >= 0;
    t->chat_template = template ? mem_string(template) : NULL;
    tokenizer_write_missing(t);
    return 0;
}

struct tokenizer *tokenizer_open_gguf(const struct gguf *g, struct error *e)
{
    struct tokenizer *t = tokenizer_new();
    int32_t *types = NULL;
    int status = read_gguf(t, g, &types, e);
    free(types);
    if (status == 0) return t;
    tokenizer_close(t);
    return NULL;
}

struct tokenizer *tokenizer_open_bytes(void)
{
    static const char *const special[] = {"<|bos|>", "<|im_start|>", "<|im_end|>", "<|pad|>"};
    enum { BYTES = 256, ALL = 260 };
    struct gguf_string tokens[ALL];
    int32_t types[ALL];
    struct text spelled[BYTES] = {0};
    for (int i = 0; i < ALL; i++) {
        if (i < BYTES) bpe_spell(&spelled[i], &(char){(char)i}, 1);
        tokens[i] = i < BYTES ? (struct gguf_string){spelled[i].data, spelled[i].bytes}
                              : (struct gguf_string){special[i - BYTES], strlen(special[i - BYTES])};
        types[i] = i < BYTES ? TOKEN_NORMAL : TOKEN_CONTROL;
    }
    struct tokenizer_model m = {.normalizer = "null",
        .pre_tokenizer = BYTE_LEVEL("false"),
        .tokens = tokens,
        .types = types,
        .token_count = ALL,
        .begin = -1};
    struct tokenizer *t = tokenizer_new();
    tokenizer_write_model(&t->files[FILE_TOKENIZER], &m);
    int status = tokenizer_read_model(t, "bytes", NULL);
    assert(status == 0);
    (void)status;
    t->bos = 256, t->eos = 258, t->pad = 259;
    t->chat_template = mem_string(
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
        "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
    tokenizer_write_missing(t);
    for (int i = 0; i < BYTES; i++) text_free(&spelled[i]);
    return t;
}
