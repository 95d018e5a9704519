// SPDX-License-Identifier: MIT
//
// Reading tokenizer.json and the files beside it.
#include "data/tokenizer_parts.h"
#include "formats/json_file.h"

#include <stdlib.h>
#include <string.h>

const char *const tokenizer_file_names[FILES] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"};

// What a list or object holds first; NULL for what holds nothing.
static const cJSON *first_in(const cJSON *list)
{
    return list ? list->child : NULL;
}

static bool flag(const cJSON *object, const char *key, bool missing)
{
    const cJSON *item = json_member(object, key);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : missing;
}

// A token id, or BPE_NONE.
static uint32_t id_of(const cJSON *number)
{
    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0 && number->valuedouble < BPE_IDS)) return BPE_NONE;
    uint32_t id = (uint32_t)number->valuedouble;
    return number->valuedouble == id ? id : BPE_NONE;
}

static int read_normalizer(struct tokenizer *t, const cJSON *object, struct error *e)
{
    if (!object || cJSON_IsNull(object)) return 0;
    const char *type = json_text(object, "type");
    if (strcmp(type, "NFC") == 0) {
        t->nfc = true;
        return 0;
    }
    if (strcmp(type, "Sequence") == 0) {
        for (const cJSON *part = first_in(json_member(object, "normalizers")); part; part = part->next)
            if (read_normalizer(t, part, e)) return -1;
        return 0;
    }
    return error_set(e, "the normalizer \"%.60s\" is not known; NFC and none are", type);
}

static int read_split(struct split_stage *stage, const cJSON *object, struct error *e)
{
    const char *behavior = json_text(object, "behavior");
    enum split_behavior kind = SPLIT_ISOLATED;
    if (strcmp(behavior, "Contiguous") == 0)
        kind = SPLIT_CONTIGUOUS;
    else if (strcmp(behavior, "Removed") == 0)
        kind = SPLIT_REMOVED;
    else if (strcmp(behavior, "Isolated") != 0)
        return error_set(
            e, "a Split with behavior \"%.60s\" is not known; Isolated, Contiguous and Removed are", behavior);
    const cJSON *pattern = json_member(object, "pattern"), *regex = json_member(pattern, "Regex"), *literal = json_member(pattern, "String");
    bool invert = flag(object, "invert", false);
    if (cJSON_IsString(regex)) return split_make(stage, regex->valuestring, kind, invert, e);
    if (!cJSON_IsString(literal) || !*literal->valuestring)
        return error_set(e, "a Split has no pattern (an object with \"Regex\" or \"String\")");
    char *escaped = split_literal(literal->valuestring);
    int status = split_make(stage, escaped, kind, invert, e);
    free(escaped);
    return status;
}

// Adds the stages of a pre-tokenizer; *bytes becomes true with ByteLevel, which must be the last.
static int read_stages(struct tokenizer *t, const cJSON *object, bool *bytes, struct error *e)
{
    const char *type = json_text(object, "type");
    if (strcmp(type, "Sequence") == 0) {
        for (const cJSON *part = first_in(json_member(object, "pretokenizers")); part; part = part->next)
            if (read_stages(t, part, bytes, e)) return -1;
        return 0;
    }
    if (*bytes) return error_set(e, "the pre-tokenizer \"%.60s\" stands after ByteLevel, which is not known", type);
    if (t->stage_count == TOKENIZER_STAGES)
        return error_set(e, "the pre-tokenizer has more than %d stages", TOKENIZER_STAGES);
    struct split_stage *stage = &t->stages[t->stage_count++];
    if (strcmp(type, "Split") == 0) return read_split(stage, object, e);
    if (strcmp(type, "Digits") == 0) {
        bool each = flag(object, "individual_digits", false);
        return split_make(stage, "\\p{N}", each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, e);
    }
    if (strcmp(type, "ByteLevel") == 0) {
        static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
        *bytes = true;
        if (flag(object, "use_regex", true) && split_make(stage, gpt2, SPLIT_ISOLATED, false, e)) return -1;
        stage->prefix_space = flag(object, "add_prefix_space", true);
        return 0;
    }
    return error_set(e, "the pre-tokenizer \"%.60s\" is not known; ByteLevel, Digits, Split and Sequence are", type);
}

// The pair of texts of a merge: "left right" or ["left", "right"].
static int read_merge(struct tokenizer *t, const cJSON *merge, uint32_t rank, struct error *e)
{
    const char *left = "", *right = NULL;
    size_t left_bytes = 0;
    if (cJSON_IsString(merge)) {
        left = merge->valuestring;
        left_bytes = strcspn(left, " ");
        right = left[left_bytes] ? left + left_bytes + 1 : NULL;
        if (right && strchr(right, ' ')) right = NULL;
    } else if (cJSON_IsArray(merge) && cJSON_GetArraySize(merge) == 2 && cJSON_IsString(merge->child) &&
               cJSON_IsString(merge->child->next)) {
        left = merge->child->valuestring;
        left_bytes = strlen(left);
        right = merge->child->next->valuestring;
    }
    if (!right) return error_set(e, "merge %u is not a pair of texts", (unsigned)rank);
    return bpe_add_merge(&t->bpe, rank, left, left_bytes, right, strlen(right), e);
}

static int read_vocabulary(struct tokenizer *t, const cJSON *vocabulary, struct error *e)
{
    for (const cJSON *item = first_in(vocabulary); item; item = item->next) {
        uint32_t id = id_of(item);
        if (t->bpe.tokens[id].spelling_bytes)
            return error_set(e, "two tokens of the vocabulary have the id %u", (unsigned)id);
        if (*item->string) bpe_add_token(&t->bpe, id, item->string, strlen(item->string));
    }
    bpe_find_bytes(&t->bpe);
    return 0;
}

static int read_merges(struct tokenizer *t, const cJSON *merges, struct error *e)
{
    uint32_t rank = 0;
    for (const cJSON *item = first_in(merges); item; item = item->next) {
        bool comment = cJSON_IsString(item) && strncmp(item->valuestring, "#version", 8) == 0;
        if (!comment && read_merge(t, item, rank++, e)) return -1;
    }
    return 0;
}

// Counts the tokens of a vocabulary and finds how far their ids go.
static int measure(size_t *count, uint32_t *size, const cJSON *vocabulary, struct error *e)
{
    for (const cJSON *item = first_in(vocabulary); item; item = item->next) {
        uint32_t id = id_of(item);
        if (id == BPE_NONE)
            return error_set(e, "the token \"%.60s\" has no id from 0 to %u", item->string, BPE_IDS - 1);
        if (id >= *size) *size = id + 1;
        (*count)++;
    }
    return 0;
}

// The id of an added token. `tokenizers` does not ask the file: it takes the id of the vocabulary or of the same token
// added before, or else the next that is free behind both.
static uint32_t number_added(const struct tokenizer *t, const char *content, size_t vocabulary_count)
{
    uint32_t known = bpe_find(&t->bpe, content, strlen(content)), next = (uint32_t)vocabulary_count;
    if (known != BPE_NONE) return known;
    for (size_t i = 0; i < t->added_count; i++) {
        if (strcmp(t->added[i].content, content) == 0) return t->added[i].id;
        if (t->added[i].id >= next) next = t->added[i].id + 1;
    }
    return next;
}

static void read_added(struct tokenizer *t, const cJSON *list, size_t vocabulary_count)
{
    size_t capacity = 0;
    for (const cJSON *item = first_in(list); item; item = item->next) {
        const char *content = json_text(item, "content");
        if (!*content) continue;
        bool special = flag(item, "special", false);
        struct added_token token = {
            .content = mem_string(content),
            .content_bytes = strlen(content),
            .id = number_added(t, content, vocabulary_count),
            .special = special,
            .normalized = flag(item, "normalized", !special),
            .single_word = flag(item, "single_word", false),
            .lstrip = flag(item, "lstrip", false),
            .rstrip = flag(item, "rstrip", false),
        };
        GROW(t->added, t->added_count, capacity);
        t->added[t->added_count++] = token;
    }
}

// Things a BPE model may have that byte-level vocabularies do not have.
static int check_model(const cJSON *model, struct error *e)
{
    static const char *const absent[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = json_text(model, "type");
    if (!cJSON_IsObject(model)) return error_set(e, "there is no \"model\"");
    if (*type && strcmp(type, "BPE") != 0)
        return error_set(e, "the model is a %.60s model; byte-level BPE is what can be read", type);
    if (flag(model, "byte_fallback", false))
        return error_set(e, "the model is a BPE of SentencePiece (byte_fallback); byte-level BPE is what can be read");
    for (size_t i = 0; i < 2; i++)
        if (*json_text(model, absent[i])) return error_set(e, "the model has a \"%s\", which is not known", absent[i]);
    const cJSON *dropout = json_member(model, "dropout");
    if (cJSON_IsNumber(dropout) && dropout->valuedouble != 0)
        return error_set(e, "the model drops merges at random (\"dropout\"); set it to null");
    if (!cJSON_IsObject(json_member(model, "vocab")) || !cJSON_IsArray(json_member(model, "merges")))
        return error_set(e, "the model has no \"vocab\" and \"merges\" (is it byte-level BPE?)");
    return 0;
}

static int read_bpe(struct tokenizer *t, const cJSON *model, const cJSON *added, struct error *e)
{
    if (check_model(model, e)) return -1;
    const cJSON *vocabulary = json_member(model, "vocab"), *merges = json_member(model, "merges");
    size_t count = 0;
    uint32_t size = 0;
    if (measure(&count, &size, vocabulary, e)) return -1;
    bpe_make(&t->bpe, size, count, (size_t)cJSON_GetArraySize(merges));
    if (read_vocabulary(t, vocabulary, e) || read_merges(t, merges, e)) return -1;
    t->bpe.ignore_merges = flag(model, "ignore_merges", false);
    t->bpe.fuse_unknown = flag(model, "fuse_unk", false);
    const char *unknown = json_text(model, "unk_token");
    if (*unknown) {
        t->bpe.unknown = bpe_find(&t->bpe, unknown, strlen(unknown));
        if (t->bpe.unknown == BPE_NONE)
            return error_set(e, "the unk_token \"%.60s\" is not in the vocabulary", unknown);
    }
    read_added(t, added, count);
    return 0;
}

// Looks for a TemplateProcessing whose text begins with a special token: that is a begin token.
static void read_post_processor(struct tokenizer *t, const cJSON *object)
{
    for (const cJSON *part = first_in(json_member(object, "processors")); part; part = part->next) read_post_processor(t, part);
    if (strcmp(json_text(object, "type"), "TemplateProcessing") != 0) return;
    const cJSON *single = json_member(object, "single");
    const char *begin = single ? json_text(json_member(single->child, "SpecialToken"), "id") : "";
    if (!*begin) return;
    t->bos = tokenizer_find(t, begin);
    t->adds_bos = t->bos >= 0;
}

int tokenizer_read_model(struct tokenizer *t, const char *name, struct error *e)
{
    const struct text *file = &t->files[FILE_TOKENIZER];
    if (file->bytes >= UINT32_MAX) return error_set(e, "%s: is larger than 4 GiB", name);
    cJSON *root = json_read_text(name, file->data, file->bytes, e);
    if (!root) return -1;
    bool bytes = false;
    int status = read_bpe(t, json_member(root, "model"), json_member(root, "added_tokens"), e);
    if (status == 0) status = read_normalizer(t, json_member(root, "normalizer"), e);
    if (status == 0) status = read_stages(t, json_member(root, "pre_tokenizer"), &bytes, e);
    if (status == 0 && !bytes)
        status = error_set(e, "the pre-tokenizer has no ByteLevel stage; byte-level BPE is what can be read");
    if (status == 0) status = tokenizer_finish(t, e);
    if (status == 0) read_post_processor(t, json_member(root, "post_processor"));
    cJSON_Delete(root);
    return status ? error_prefix(e, "%s: ", name) : 0;
}

// The token that `key` names in a configuration, as text or as an object; -1 when it names none that exists.
static int32_t named(const struct tokenizer *t, const cJSON *config, const char *key)
{
    const cJSON *item = json_member(config, key);
    const char *content = cJSON_IsObject(item) ? json_text(item, "content") : json_text(config, key);
    return *content ? tokenizer_find(t, content) : -1;
}

// The id under `key`, the first where there are several; -1 when there is none.
static int32_t numbered(const struct tokenizer *t, const cJSON *config, const char *key)
{
    const cJSON *item = json_member(config, key);
    uint32_t id = id_of(cJSON_IsArray(item) ? item->child : item);
    bool exists = id < t->size && (t->added_of[id] >= 0 || t->bpe.tokens[id].spelling_bytes);
    return exists ? (int32_t)id : -1;
}

// The template called "default" or the first, where there are several.
static const char *template_of(const cJSON *config)
{
    const cJSON *item = json_member(config, "chat_template");
    if (cJSON_IsString(item)) return item->valuestring;
    const char *found = json_text(first_in(item), "template");
    for (const cJSON *one = first_in(item); one; one = one->next)
        if (strcmp(json_text(one, "name"), "default") == 0) found = json_text(one, "template");
    return *found ? found : NULL;
}

static void read_config(struct tokenizer *t, const cJSON *config, const cJSON *special, const cJSON *generation)
{
    static const char *const names[] = {"bos_token", "eos_token", "pad_token"};
    static const char *const numbers[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    int32_t *const ids[] = {&t->bos, &t->eos, &t->pad};
    for (size_t i = 0; i < 3; i++) {
        int32_t id = named(t, config, names[i]);
        if (id < 0) id = named(t, special, names[i]);
        if (id < 0 && *ids[i] < 0) id = numbered(t, generation, numbers[i]);
        if (id >= 0) *ids[i] = id;
    }
    t->adds_bos = flag(config, "add_bos_token", t->adds_bos) && t->bos >= 0;
    const struct text *file = &t->files[FILE_TEMPLATE];
    const char *template = file->data ? file->data : template_of(config);
    if (template) t->chat_template = mem_string(template);
}

// Reads a file of the folder if it is there.
static int read_beside(struct text *out, const char *folder, const char *name, struct error *e)
{
    char *path = path_join(folder, name);
    struct file_map f;
    int status = 0;
    if (file_exists(path) && (status = file_map(&f, path, e)) == 0) {
        text_add(out, f.data, f.bytes);
        file_unmap(&f);
    }
    free(path);
    return status;
}

// The value of a JSON file that was read, NULL without an error when there was none.
static int parse(cJSON **out, const struct text *file, const char *folder, const char *name, struct error *e)
{
    *out = NULL;
    if (!file->data) return 0;
    char *path = path_join(folder, name);
    *out = json_read_text(path, file->data, file->bytes, e);
    free(path);
    return *out ? 0 : -1;
}

static int read_folder(struct tokenizer *t, const char *folder, struct error *e)
{
    static const char generation_name[] = "generation_config.json";
    struct text generation_file = {0};
    cJSON *config = NULL, *special = NULL, *generation = NULL;
    int status = read_beside(&generation_file, folder, generation_name, e);
    for (int i = FILE_CONFIG; i < FILES && status == 0; i++)
        status = read_beside(&t->files[i], folder, tokenizer_file_names[i], e);
    if (status == 0) status = parse(&config, &t->files[FILE_CONFIG], folder, tokenizer_file_names[FILE_CONFIG], e);
    if (status == 0) status = parse(&special, &t->files[FILE_SPECIAL], folder, tokenizer_file_names[FILE_SPECIAL], e);
    if (status == 0) status = parse(&generation, &generation_file, folder, generation_name, e);
    const struct text *template = &t->files[FILE_TEMPLATE];
    if (status == 0 && template->data && strlen(template->data) < template->bytes)
        status = error_set(e, "%s/%s: holds a NUL byte", folder, tokenizer_file_names[FILE_TEMPLATE]);
    if (status == 0) read_config(t, config, special, generation);
    cJSON_Delete(config);
    cJSON_Delete(special);
    cJSON_Delete(generation);
    text_free(&generation_file);
    return status;
}

struct tokenizer *tokenizer_open_json(const char *path, struct error *e)
{
    struct file_map f;
    if (file_map(&f, path, e)) return NULL;
    struct tokenizer *t = tokenizer_new();
    text_add(&t->files[FILE_TOKENIZER], f.data, f.bytes);
    file_unmap(&f);
    char *folder = path_folder(path);
    int status = tokenizer_read_model(t, path, e);
    if (status == 0) status = read_folder(t, folder, e);
    if (status == 0) tokenizer_write_missing(t);
    free(folder);
    if (status == 0) return t;
    tokenizer_close(t);
    return NULL;
}
