// SPDX-License-Identifier: MIT
#include "data/rows.h"
#include "data/unicode.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ------------------------------------------------------------------------------------------------------------- files

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct row_reader *r)
{
    while (r->at < r->file.bytes && is_space(r->file.data[r->at])) r->at++;
}

int row_reader_open(struct row_reader *r, const char *path, struct error *e)
{
    *r = (struct row_reader){0};
    const char *dot = strrchr(path, '.');
    if (!dot || (strcasecmp(dot, ".jsonl") != 0 && strcasecmp(dot, ".json") != 0))
        return error_set(
            e, "%s: rows are read from .jsonl files (one JSON object a line) and .json files (an array)", path);
    if (file_map(&r->file, path, e) != 0) return -1;
    r->path = mem_string(path);
    const uint8_t *data = r->file.data;
    if (r->file.bytes >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff))) {
        row_reader_close(r);
        return error_set(e, "%s: this is UTF-16; save it as UTF-8", path);
    }
    if (r->file.bytes >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) r->at = 3;
    size_t start = r->at;
    skip_space(r);
    r->array = r->at < r->file.bytes && data[r->at] == '[';
    r->at = r->array ? r->at + 1 : start;
    return 0;
}

void row_reader_close(struct row_reader *r)
{
    file_unmap(&r->file);
    free(r->path);
    *r = (struct row_reader){0};
}

static int next_line(struct row_reader *r, const char **text, size_t *bytes)
{
    while (r->at < r->file.bytes) {
        const uint8_t *line = r->file.data + r->at, *newline = memchr(line, '\n', r->file.bytes - r->at);
        size_t size = newline ? (size_t)(newline - line) : r->file.bytes - r->at;
        r->at += size + (newline != NULL);
        r->number++;
        while (size && is_space(*line)) line++, size--;
        while (size && is_space(line[size - 1])) size--;
        if (!size) continue;
        *text = (const char *)line;
        *bytes = size;
        return 1;
    }
    return 0;
}

// Where the value at r->at ends: at the comma or bracket that belongs to the array, outside of strings.
static size_t element_end(const struct row_reader *r)
{
    const uint8_t *data = r->file.data;
    size_t depth = 0, at = r->at;
    bool string = false;
    for (; at < r->file.bytes; at++) {
        uint8_t c = data[at];
        if (string) {
            if (c == '\\')
                at++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == ',' || c == '}' || c == ']') {
            if (depth == 0) return at;
            depth -= c != ',';
        }
    }
    return r->file.bytes;
}

static int next_element(struct row_reader *r, const char **text, size_t *bytes, struct error *e)
{
    const uint8_t *data = r->file.data;
    skip_space(r);
    if (r->number == 0 && r->at < r->file.bytes && data[r->at] == ']') return 0;
    size_t start = r->at, end = element_end(r);
    if (end == r->file.bytes || data[end] == '}')
        return error_set(e, "%s: element %u: the array does not go on and is not closed", r->path, r->number + 1);
    r->number++;
    if (data[end] == ']') {
        r->at = end + 1;
        skip_space(r);
        if (r->at < r->file.bytes)
            return error_set(e, "%s: something follows the array, whose last element is number %u", r->path, r->number);
    }
    r->at = data[end] == ']' ? r->file.bytes : end + 1;
    while (end > start && is_space(data[end - 1])) end--;
    *text = (const char *)data + start;
    *bytes = end - start;
    return 1;
}

int row_reader_next(struct row_reader *r, const char **text, size_t *bytes, struct error *e)
{
    bool end = r->array && r->number && r->at == r->file.bytes;
    int more = end ? 0 : r->array ? next_element(r, text, bytes, e) : next_line(r, text, bytes);
    if (more == 0 && !r->any) return error_set(e, "%s holds no rows", r->path);
    r->any = r->any || more == 1;
    return more;
}

char *row_place(const char *path, bool array, uint32_t number)
{
    return array ? mem_format("%s: element %u", path, number) : mem_format("%s:%u", path, number);
}

// -------------------------------------------------------------------------------------------------- bytes to be JSON

// The value of four hexadecimal digits, or -1.
static int hex4(const char *s)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = s[i] | 0x20;
        int d = s[i] >= '0' && s[i] <= '9' ? s[i] - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0) return -1;
        value = value * 16 + d;
    }
    return value;
}

// Goes through the escapes. U+0000 is an error; a surrogate without its partner is written over in `copy`, which is
// made when the first one is met.
static int check_escapes(struct arena *a, const char **text, size_t bytes, struct error *e)
{
    const char *s = *text;
    char *copy = NULL;
    for (size_t i = 0; i < bytes; i += 2) {
        const char *found = memchr(s + i, '\\', bytes - i);
        if (!found) break;
        i = (size_t)(found - s);
        int code = bytes - i >= 6 && s[i + 1] == 'u' ? hex4(s + i + 2) : -1;
        if (code == 0) return error_set(e, "it holds U+0000 at column %zu, which no text may", i + 1);
        if (code < 0xd800 || code > 0xdfff) continue;
        int partner = code < 0xdc00 && bytes - i >= 12 && s[i + 6] == '\\' && s[i + 7] == 'u' ? hex4(s + i + 8) : -1;
        if (partner >= 0xdc00 && partner <= 0xdfff) {
            i += 6;
            continue;
        }
        if (!copy) s = copy = arena_copy(a, s, bytes);
        memcpy(copy + i + 2, "fffd", 4);
    }
    *text = s;
    return 0;
}

// -------------------------------------------------------------------------------------------------------- JSON values

static const char *kind_name(const cJSON *v)
{
    if (!v) return "missing";
    if (cJSON_IsNull(v)) return "null";
    if (cJSON_IsBool(v)) return "true or false";
    if (cJSON_IsNumber(v)) return "a number";
    if (cJSON_IsArray(v)) return "a list";
    if (cJSON_IsObject(v)) return "an object";
    return "a string";
}

// Null, false, "", [] and {}: as good as absent.
static bool is_empty(const cJSON *v)
{
    return !v || cJSON_IsNull(v) || cJSON_IsFalse(v) || (cJSON_IsString(v) && !*v->valuestring) ||
           ((cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child);
}

// The first of `names` (NULL ended) that the object holds and is not empty, or NULL.
static const char *first_present(const cJSON *object, const char *const *names)
{
    for (const cJSON *item = object->child; item; item = item->next)
        for (const char *const *name = names; *name; name++)
            if (strcmp(item->string, *name) == 0 && !is_empty(item)) return *name;
    return NULL;
}

// The last value under a key, as Python's json keeps it.
static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *found = NULL;
    for (const cJSON *item = object->child; item; item = item->next)
        if (strcmp(item->string, key) == 0) found = item;
    return found;
}

// ---------------------------------------------------------------------------------------------------------- messages

struct builder {
    struct arena *arena;
    struct row *row;
    size_t capacity;
};

static struct message *add_message(struct builder *b, enum role role, const char *text, size_t bytes)
{
    struct row *row = b->row;
    if (row->count == b->capacity) {
        b->capacity = b->capacity ? 2 * b->capacity : 8;
        struct message *messages = arena_alloc(b->arena, b->capacity * sizeof *messages);
        if (row->count) memcpy(messages, row->messages, row->count * sizeof *messages);
        row->messages = messages;
    }
    row->messages[row->count] = (struct message){role, TRAIN_BY_ROLE, arena_copy(b->arena, text, bytes), bytes};
    return &row->messages[row->count++];
}

// A string under a key as a turn; NULL and null give none.
static int add_string(struct builder *b, enum role role, const char *key, const cJSON *v, struct error *e)
{
    if (!v || cJSON_IsNull(v)) return 0;
    if (!cJSON_IsString(v)) return error_set(e, "\"%s\" is %s, not a string", key, kind_name(v));
    add_message(b, role, v->valuestring, strlen(v->valuestring));
    return 0;
}

// The text of a content: a string, or text parts one after the other.
static int read_content(struct text *out, const char *key, const cJSON *v, struct error *e)
{
    if (cJSON_IsString(v)) {
        text_add(out, v->valuestring, strlen(v->valuestring));
        return 0;
    }
    if (!cJSON_IsArray(v)) {
        if (!v) return error_set(e, "\"content\" is missing");
        return error_set(e, "\"%s\" is %s, not a string", key, kind_name(v));
    }
    size_t number = 1;
    text_add(out, "", 0);
    for (const cJSON *part = v->child; part; part = part->next, number++) {
        const cJSON *type = cJSON_IsObject(part) ? get(part, "type") : NULL,
                    *text = cJSON_IsObject(part) ? get(part, "text") : part;
        if (type && (!cJSON_IsString(type) || strcmp(type->valuestring, "text") != 0))
            return error_set(e, "part %zu of \"%s\" is of type \"%.40s\"; only text is trained", number, key,
                cJSON_IsString(type) ? type->valuestring : kind_name(type));
        if (!cJSON_IsString(text)) return error_set(e, "part %zu of \"%s\" has no text", number, key);
        text_add(out, text->valuestring, strlen(text->valuestring));
    }
    return 0;
}

static int read_train(enum train *train, const cJSON *object, struct error *e)
{
    const cJSON *v = get(object, "train"), *weight = get(object, "weight");
    if (v && !cJSON_IsNull(v)) {
        if (!cJSON_IsBool(v)) return error_set(e, "\"train\" is %s, not true or false", kind_name(v));
        *train = cJSON_IsTrue(v) ? TRAIN_YES : TRAIN_NO;
    } else if (weight && !cJSON_IsNull(weight)) {
        if (!cJSON_IsNumber(weight) || (weight->valuedouble != 0 && weight->valuedouble != 1))
            return error_set(e, "\"weight\" is not 0 or 1; whether a message is trained is all that can be said");
        *train = weight->valuedouble == 0 ? TRAIN_NO : TRAIN_BY_ROLE;
    }
    return 0;
}

static int read_message(struct builder *b, const cJSON *object, struct error *e)
{
    static const char *const refused[] = {"tool_calls", "function_call", "reasoning_content", "reasoning", "thinking",
        "images", "image", "videos", "video", "audios", "audio", NULL};
    if (!cJSON_IsObject(object)) return error_set(e, "it is %s, not an object", kind_name(object));
    const char *lost = first_present(object, refused);
    if (lost) return error_set(e, "it has \"%s\", which is not trained on", lost);
    const cJSON *role = get(object, "role"), *content = get(object, "content");
    const char *role_key = role ? "role" : "from", *content_key = content ? "content" : "value";
    if (!role) role = get(object, "from");
    if (!content) content = get(object, "value");
    if (!cJSON_IsString(role)) {
        if (!role) return error_set(e, "\"role\" is missing");
        return error_set(e, "\"%s\" is %s, not a string", role_key, kind_name(role));
    }
    enum role known;
    if (!role_find(&known, role->valuestring)) {
        const char *near = role_nearest(role->valuestring);
        if (strcasecmp(role->valuestring, "function_call") == 0 || strcasecmp(role->valuestring, "tool_call") == 0)
            return error_set(e, "it is a \"%s\"; tool calls are not trained on", role->valuestring);
        return error_set(e, "the role \"%.60s\" is not known; %s%s%s", role->valuestring, near ? "is \"" : "roles are ",
            near ? near : "system, user, assistant, tool", near ? "\" meant?" : "");
    }
    struct text t = {0};
    enum train train = TRAIN_BY_ROLE;
    int failed = read_content(&t, content_key, content, e) || read_train(&train, object, e);
    if (!failed) add_message(b, known, t.data, t.bytes)->train = train;
    text_free(&t);
    return failed ? -1 : 0;
}

// A list of messages; those of a prompt are not trained unless they say so.
static int read_messages(struct builder *b, const char *key, const cJSON *list, bool prompt, struct error *e)
{
    if (!cJSON_IsArray(list)) return error_set(e, "\"%s\" is %s, not a list of messages", key, kind_name(list));
    size_t number = 1;
    for (const cJSON *item = list->child; item; item = item->next, number++) {
        if (read_message(b, item, e) != 0) return error_prefix(e, "message %zu: ", number);
        struct message *m = &b->row->messages[b->row->count - 1];
        if (prompt && m->train == TRAIN_BY_ROLE) m->train = TRAIN_NO;
    }
    return 0;
}

// ----------------------------------------------------------------------------------------------------------- formats

static int read_alpaca(struct builder *b, const cJSON *object, struct error *e)
{
    const cJSON *instruction = get(object, "instruction"), *input = get(object, "input"),
                *history = get(object, "history");
    if (!cJSON_IsString(instruction))
        return error_set(e, "\"instruction\" is %s, not a string", kind_name(instruction));
    if (input && !cJSON_IsNull(input) && !cJSON_IsString(input))
        return error_set(e, "\"input\" is %s, not a string", kind_name(input));
    if (history && !cJSON_IsNull(history) && !cJSON_IsArray(history))
        return error_set(e, "\"history\" is %s, not a list of pairs", kind_name(history));
    for (const cJSON *pair = history ? history->child : NULL; pair; pair = pair->next) {
        const cJSON *question = pair->child, *answer = question ? question->next : NULL;
        if (!cJSON_IsArray(pair) || !cJSON_IsString(question) || !cJSON_IsString(answer) || answer->next)
            return error_set(e, "\"history\" is not a list of pairs of strings");
        add_message(b, ROLE_USER, question->valuestring, strlen(question->valuestring));
        add_message(b, ROLE_ASSISTANT, answer->valuestring, strlen(answer->valuestring));
    }
    struct text t = {0};
    text_add(&t, instruction->valuestring, strlen(instruction->valuestring));
    if (!is_empty(input)) text_print(&t, "\n%s", input->valuestring);
    add_message(b, ROLE_USER, t.data, t.bytes);
    text_free(&t);
    return add_string(b, ROLE_ASSISTANT, "output", get(object, "output"), e);
}

static int read_prompt(struct builder *b, const cJSON *object, struct error *e)
{
    const cJSON *prompt = get(object, "prompt"), *completion = get(object, "completion");
    if (cJSON_IsArray(prompt)) {
        if (completion && !cJSON_IsArray(completion))
            return error_set(e, "\"prompt\" is a list of messages and \"completion\" is %s", kind_name(completion));
        if (read_messages(b, "prompt", prompt, true, e) != 0) return error_prefix(e, "\"prompt\": ");
        if (completion && read_messages(b, "completion", completion, false, e) != 0)
            return error_prefix(e, "\"completion\": ");
        return 0;
    }
    if (!cJSON_IsString(prompt)) return error_set(e, "\"prompt\" is %s, not a string", kind_name(prompt));
    add_string(b, ROLE_USER, "prompt", prompt, e);
    return add_string(b, ROLE_ASSISTANT, "completion", completion, e);
}

// A list of whole numbers from `low` up, and its length.
static int64_t *read_integers(
    struct arena *a, size_t *count, const char *key, const cJSON *list, int64_t low, struct error *e)
{
    if (!cJSON_IsArray(list)) {
        error_set(e, "\"%s\" is %s, not a list of numbers", key, kind_name(list));
        return NULL;
    }
    *count = (size_t)cJSON_GetArraySize(list);
    int64_t *out = arena_alloc(a, *count * sizeof *out);
    size_t i = 0;
    for (const cJSON *item = list->child; item; item = item->next, i++) {
        double v = cJSON_IsNumber(item) ? item->valuedouble : -1e9;
        if (!(v >= (double)low && v <= INT32_MAX && v == (double)(int64_t)v)) {
            error_set(e, "entry %zu of \"%s\" is not a whole number from %d", i + 1, key, (int)low);
            return NULL;
        }
        out[i] = (int64_t)v;
    }
    return out;
}

static int read_ids(struct builder *b, const cJSON *object, struct error *e)
{
    struct row *row = b->row;
    const cJSON *labels = get(object, "labels"), *attention = get(object, "attention_mask");
    size_t label_count = 0, attention_count = 0, first = 0;
    int64_t *ids = read_integers(b->arena, &row->count, "input_ids", get(object, "input_ids"), 0, e), *label = NULL,
            *live = NULL;
    if (!ids) return -1;
    if (labels && !cJSON_IsNull(labels)) {
        label = read_integers(b->arena, &label_count, "labels", labels, -100, e);
        if (!label) return -1;
        if (label_count != row->count)
            return error_set(e, "there are %zu labels for %zu input_ids", label_count, row->count);
    }
    if (attention && !cJSON_IsNull(attention)) {
        live = read_integers(b->arena, &attention_count, "attention_mask", attention, 0, e);
        if (!live) return -1;
        if (attention_count != row->count)
            return error_set(
                e, "there are %zu entries of attention_mask for %zu input_ids", attention_count, row->count);
        while (row->count && !live[row->count - 1]) row->count--; // padding at the end, then at the beginning
        while (first < row->count && !live[first]) first++;
    }
    row->kind = ROW_IDS;
    row->ids = arena_alloc(b->arena, row->count * sizeof *row->ids);
    row->mask = arena_alloc(b->arena, row->count);
    for (size_t i = first; i < row->count; i++) {
        if (live && !live[i]) return error_set(e, "\"attention_mask\" hides token %zu between others", i + 1);
        if (label && label[i] != -100 && label[i] != ids[i])
            return error_set(e, "label %zu is neither -100 nor the token there", i + 1);
        row->ids[i - first] = (uint32_t)ids[i];
        row->mask[i - first] = !label || label[i] != -100;
    }
    row->count -= first;
    return 0;
}

static int read_format(struct builder *b, const cJSON *object, struct error *e)
{
    const cJSON *text = get(object, "text"), *messages = get(object, "messages"), *share = get(object, "conversations");
    if (messages) return read_messages(b, "messages", messages, false, e);
    if (share) return read_messages(b, "conversations", share, false, e);
    if (get(object, "instruction")) return read_alpaca(b, object, e);
    if (get(object, "prompt")) return read_prompt(b, object, e);
    if (text) {
        if (!cJSON_IsString(text)) return error_set(e, "\"text\" is %s, not a string", kind_name(text));
        b->row->kind = ROW_TEXT;
        b->row->bytes = strlen(text->valuestring);
        b->row->text = arena_copy(b->arena, text->valuestring, b->row->bytes);
        return 0;
    }
    if (get(object, "input_ids")) return read_ids(b, object, e);
    struct text keys = {0};
    for (const cJSON *item = object->child; item && keys.bytes < 200; item = item->next)
        text_print(&keys, "%s%.40s", item == object->child ? "" : ", ", item->string);
    error_set(e,
        "its keys (%s) are of no known format; known are messages, conversations, instruction with output, "
        "prompt with completion, text, input_ids",
        keys.data ? keys.data : "none");
    text_free(&keys);
    return -1;
}

// A number as people write it, with all its digits and no exponent unless that takes more than 21 of them on a side.
static void number_text(char out[64], double x)
{
    int digits = 1;
    do snprintf(out, 64, "%.*e", digits - 1, x);
    while (strtod(out, NULL) != x && digits++ < 17);
    int exponent = atoi(strchr(out, 'e') + 1), after = digits - 1 - exponent;
    if (exponent <= 21 && after <= 21) snprintf(out, 64, "%.*f", after > 0 ? after : 0, x);
}

static void add_answer(struct builder *b, const cJSON *item)
{
    char number[64];
    const char *text = cJSON_GetStringValue(item);
    if (cJSON_IsBool(item)) text = cJSON_IsTrue(item) ? "true" : "false";
    if (cJSON_IsNumber(item) && isfinite(item->valuedouble)) {
        number_text(number, item->valuedouble);
        text = number;
    }
    if (text)
        b->row->answers[b->row->answer_count++] = arena_copy(b->arena, text, strlen(text));
    else if (!is_empty(item))
        b->row->no_answer = cJSON_IsNumber(item) ? "a number beyond all bounds" : kind_name(item);
}

static void read_metrics(struct builder *b, const cJSON *object)
{
    const cJSON *choices = get(object, "choices"), *answer = get(object, "answer");
    size_t count = 0;
    for (const cJSON *item = cJSON_IsArray(choices) ? choices->child : NULL; item; item = item->next) {
        if (!cJSON_IsString(item)) count = SIZE_MAX / 2; // not ours
        count++;
    }
    if (count && count < SIZE_MAX / 2) {
        b->row->choices = arena_alloc(b->arena, count * sizeof *b->row->choices);
        for (const cJSON *item = choices->child; item; item = item->next)
            b->row->choices[b->row->choice_count++] =
                arena_copy(b->arena, item->valuestring, strlen(item->valuestring));
    }
    bool list = cJSON_IsArray(answer);
    b->row->answers = arena_alloc(b->arena, ((list ? (size_t)cJSON_GetArraySize(answer) : 1) + 1) * sizeof *b->row->answers);
    for (const cJSON *item = list ? answer->child : answer; item; item = list ? item->next : NULL) add_answer(b, item);
    b->row->answer = b->row->answer_count ? b->row->answers[0] : NULL;
}

// "system" beside the messages is a first turn, unless there is one.
static int add_system(struct builder *b, const cJSON *object, struct error *e)
{
    const cJSON *system = get(object, "system");
    struct row *row = b->row;
    if (is_empty(system) || row->kind != ROW_MESSAGES || !row->count || row->messages[0].role == ROLE_SYSTEM) return 0;
    if (add_string(b, ROLE_SYSTEM, "system", system, e) != 0) return -1;
    struct message first = row->messages[row->count - 1];
    memmove(row->messages + 1, row->messages, (row->count - 1) * sizeof first);
    row->messages[0] = first;
    return 0;
}

static int read_row(struct row *row, struct arena *a, const cJSON *object, struct error *e)
{
    static const char *const refused[] = {"tools", "functions", "tool_calls", "function_call", "images", "image",
        "videos", "video", "audios", "audio", NULL};
    struct builder b = {.arena = a, .row = row};
    if (!cJSON_IsObject(object)) return error_set(e, "it is %s, not an object", kind_name(object));
    const char *lost = first_present(object, refused);
    if (lost) return error_set(e, "it has \"%s\", which is not trained on", lost);
    if (read_format(&b, object, e) != 0 || add_system(&b, object, e) != 0) return -1;
    read_metrics(&b, object);
    return 0;
}

int row_parse(struct row *row, struct arena *a, const char *text, size_t bytes, struct error *e)
{
    *row = (struct row){0};
    const char *zero = memchr(text, 0, bytes), *end = NULL;
    if (zero) return error_set(e, "it holds a NUL byte at column %zu", (size_t)(zero - text) + 1);
    if (utf8_valid(text, bytes) != bytes) {
        struct text repaired = {0};
        utf8_repair(&repaired, text, bytes);
        text = arena_copy(a, repaired.data, repaired.bytes);
        bytes = repaired.bytes;
        text_free(&repaired);
    }
    if (check_escapes(a, &text, bytes, e) != 0) return -1;
    cJSON *object = cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    while (object && end < text + bytes && is_space((uint8_t)*end)) end++;
    int failed;
    if (object && end == text + bytes)
        failed = read_row(row, a, object, e);
    else
        failed = error_set(e, "it is not JSON at column %zu", end >= text ? (size_t)(end - text) + 1 : 1);
    cJSON_Delete(object);
    return failed;
}

int row_trainable(const struct row *row, struct error *e)
{
    if (row->kind == ROW_TEXT) return row->bytes ? 0 : error_set(e, "its text is empty");
    if (row->kind == ROW_IDS) return row->count ? 0 : error_set(e, "its input_ids are empty");
    if (!row->count) return error_set(e, "it has no messages");
    size_t assistants = 0, trained = 0;
    for (size_t i = 0; i < row->count; i++) {
        assistants += row->messages[i].role == ROLE_ASSISTANT;
        trained += message_trained(&row->messages[i]);
        if (message_trained(&row->messages[i]) && row->messages[i].bytes) return 0;
    }
    if (trained) return error_set(e, "what would be trained has no text");
    return error_set(
        e, assistants ? "nothing in it is to be trained (\"train\": false)" : "it has no assistant message");
}
