// SPDX-License-Identifier: MIT
#include "data/template.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

// A template as prefixes and suffixes. NULL: absent.
struct shape {
    const char *name;
    const char *start, *default_system;
    const char *system_prefix, *system_suffix, *user_prefix, *user_suffix, *assistant_prefix, *assistant_suffix;
    const char *tool_prefix, *tool_suffix, *generation_prompt;
    bool system_in_user, trim;
};

static const struct shape shapes[] = {
    {.name = "chatml",
        .system_prefix = "<|im_start|>system\n",
        .system_suffix = "<|im_end|>\n",
        .user_prefix = "<|im_start|>user\n",
        .user_suffix = "<|im_end|>\n",
        .assistant_prefix = "<|im_start|>assistant\n",
        .assistant_suffix = "<|im_end|>\n",
        .tool_prefix = "<|im_start|>tool\n",
        .tool_suffix = "<|im_end|>\n"},
    {.name = "vicuna_v1.1",
        .default_system = "A chat between a curious user and an artificial intelligence assistant. "
                          "The assistant gives helpful, detailed, and polite answers to the user's questions.",
        .system_prefix = "",
        .system_suffix = " ",
        .user_prefix = "USER: ",
        .user_suffix = " ",
        .assistant_prefix = "ASSISTANT: ",
        .assistant_suffix = "</s>",
        .generation_prompt = "ASSISTANT:"},
    {.name = "alpaca",
        .default_system = "Below is an instruction that describes a task. "
                          "Write a response that appropriately completes the request.",
        .system_prefix = "",
        .system_suffix = "\n\n",
        .user_prefix = "### Instruction:\n",
        .user_suffix = "\n\n",
        .assistant_prefix = "### Response:\n",
        .assistant_suffix = "{eos}\n\n"},
    {.name = "tulu",
        .system_prefix = "<|system|>\n",
        .system_suffix = "\n",
        .user_prefix = "<|user|>\n",
        .user_suffix = "\n",
        .assistant_prefix = "<|assistant|>\n",
        .assistant_suffix = "{eos}\n"},
    {.name = "zephyr",
        .system_prefix = "<|system|>\n",
        .system_suffix = "{eos}\n",
        .user_prefix = "<|user|>\n",
        .user_suffix = "{eos}\n",
        .assistant_prefix = "<|assistant|>\n",
        .assistant_suffix = "{eos}\n"},
    {.name = "llama2",
        .system_prefix = "<<SYS>>\n",
        .system_suffix = "\n<</SYS>>\n\n",
        .user_prefix = "{bos}[INST] ",
        .user_suffix = " [/INST]",
        .assistant_prefix = " ",
        .assistant_suffix = " {eos}",
        .generation_prompt = "",
        .system_in_user = true,
        .trim = true},
    {.name = "llama3",
        .start = "{bos}",
        .system_prefix = "<|start_header_id|>system<|end_header_id|>\n\n",
        .system_suffix = "<|eot_id|>",
        .user_prefix = "<|start_header_id|>user<|end_header_id|>\n\n",
        .user_suffix = "<|eot_id|>",
        .assistant_prefix = "<|start_header_id|>assistant<|end_header_id|>\n\n",
        .assistant_suffix = "<|eot_id|>",
        .trim = true},
    {.name = "mistral",
        .start = "{bos}",
        .system_prefix = "",
        .system_suffix = "\n\n",
        .user_prefix = "[INST] ",
        .user_suffix = " [/INST]",
        .assistant_prefix = " ",
        .assistant_suffix = "{eos}",
        .generation_prompt = "",
        .system_in_user = true},
    {.name = "gemma",
        .start = "{bos}",
        .system_prefix = "",
        .system_suffix = "\n\n",
        .user_prefix = "<start_of_turn>user\n",
        .user_suffix = "<end_of_turn>\n",
        .assistant_prefix = "<start_of_turn>model\n",
        .assistant_suffix = "<end_of_turn>\n",
        .system_in_user = true,
        .trim = true},
    {.name = "qa",
        .user_prefix = "<|question|> ",
        .user_suffix = " ",
        .assistant_prefix = "<|answer|> ",
        .assistant_suffix = " {eos}",
        .generation_prompt = "<|answer|>"},
    {.name = "none", .system_prefix = "", .assistant_suffix = "{eos}", .tool_prefix = ""},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

const char *const template_names[] = {"auto", "chatml", "vicuna_v1.1", "alpaca", "tulu", "zephyr", "llama2", "llama3",
    "mistral", "gemma", "qa", "none", NULL};

#define CHOICES                                                                                                        \
    "chatml, vicuna_v1.1, alpaca, tulu, zephyr, llama2, llama3, mistral, gemma, qa, none, or an object of prefixes "   \
    "and suffixes"

// --------------------------------------------------------------------------------------------- prefixes into Jinja

// Adds an operand of a concatenation: the text as Jinja strings, {bos} and {eos} as the variables, which are left out
// where the model has no such token. Nothing is added for an empty text.
static void add_operands(struct text *out, const struct template *t, const char *text, bool *first)
{
    const char *plus = " + ";
    while (text && *text) {
        bool bos = strncmp(text, "{bos}", 5) == 0, eos = strncmp(text, "{eos}", 5) == 0;
        if (bos || eos) {
            if (bos ? t->bos : t->eos) {
                text_print(out, "%s%s", *first ? "" : plus, bos ? "bos_token" : "eos_token");
                *first = false;
            }
            text += 5;
            continue;
        }
        text_print(out, "%s'", *first ? "" : plus);
        *first = false;
        for (; *text && strncmp(text, "{bos}", 5) != 0 && strncmp(text, "{eos}", 5) != 0; text++) {
            if (*text == '\n')
                text_add(out, "\\n", 2);
            else if (*text == '\r')
                text_add(out, "\\r", 2);
            else if (*text == '\'' || *text == '\\')
                text_print(out, "\\%c", *text);
            else
                text_add(out, text, 1);
        }
        text_add(out, "'", 1);
    }
}

static void add_value(struct text *out, const char *value, bool *first)
{
    text_print(out, "%s%s", *first ? "" : " + ", value);
    *first = false;
}

// {{ prefix + value + suffix }}, or nothing when all are empty.
static void add_print(
    struct text *out, const struct template *t, const char *prefix, const char *value, const char *suffix)
{
    struct text inside = {0};
    bool first = true;
    add_operands(&inside, t, prefix, &first);
    if (value) add_value(&inside, value, &first);
    add_operands(&inside, t, suffix, &first);
    if (!first) text_print(out, "{{ %s }}", inside.data);
    text_free(&inside);
}

// {% set ns.system = prefix + value + suffix %} with the value as Jinja, or as a text of its own.
static void add_held_system(
    struct text *out, const struct template *t, const struct shape *s, const char *value, const char *text)
{
    bool first = true;
    text_print(out, "{%% set ns.system = ");
    add_operands(out, t, s->system_prefix, &first);
    if (value) add_value(out, value, &first);
    add_operands(out, t, text, &first);
    add_operands(out, t, s->system_suffix, &first);
    text_print(out, " %%}");
}

static char *shape_jinja(const struct template *t, const struct shape *s)
{
    static const char no_system[] = "{% if not messages or messages[0]['role'] != 'system' %}";
    const char *content = s->trim ? "message['content'] | trim" : "message['content']";
    bool system = s->system_prefix || s->system_suffix, tool = s->tool_prefix || s->tool_suffix, first = true;
    struct text out = {0};
    add_print(&out, t, s->start, NULL, NULL);
    if (s->system_in_user) text_print(&out, "{%% set ns = namespace(system='') %%}");
    if (s->default_system && *s->default_system) {
        text_add(&out, no_system, sizeof no_system - 1);
        if (s->system_in_user) {
            add_held_system(&out, t, s, NULL, s->default_system);
        } else {
            struct text inside = {0};
            add_operands(&inside, t, s->system_prefix, &first);
            add_operands(&inside, t, s->default_system, &first);
            add_operands(&inside, t, s->system_suffix, &first);
            text_print(&out, "{{ %s }}", inside.data);
            text_free(&inside);
        }
        text_print(&out, "{%% endif %%}");
    }
    text_print(&out, "{%% for message in messages %%}{%% if message['role'] == 'user' %%}");
    if (s->system_in_user) {
        struct text value = {0};
        text_print(&value, "ns.system + %s", content);
        add_print(&out, t, s->user_prefix, value.data, s->user_suffix);
        text_print(&out, "{%% set ns.system = '' %%}");
        text_free(&value);
    } else {
        add_print(&out, t, s->user_prefix, content, s->user_suffix);
    }
    text_print(&out, "{%% elif message['role'] == 'assistant' %%}");
    add_print(&out, t, s->assistant_prefix, content, s->assistant_suffix);
    if (system) {
        text_print(&out, "{%% elif message['role'] == 'system' %%}");
        if (s->system_in_user)
            add_held_system(&out, t, s, content, NULL);
        else
            add_print(&out, t, s->system_prefix, content, s->system_suffix);
    }
    if (tool) {
        text_print(&out, "{%% elif message['role'] == 'tool' %%}");
        add_print(&out, t, s->tool_prefix, content, s->tool_suffix);
    }
    text_print(&out, "{%% else %%}{{ raise_exception('the chat template %s has no ' + message['role'] + ' turns') }}",
        s->name);
    text_print(&out, "{%% endif %%}{%% endfor %%}{%% if add_generation_prompt %%}");
    add_print(&out, t, s->generation_prompt ? s->generation_prompt : s->assistant_prefix, NULL, NULL);
    text_print(&out, "{%% endif %%}");
    return out.data;
}

// ------------------------------------------------------------------------------------------------ the config's object

static int read_shape(struct shape *s, const cJSON *object, struct error *e)
{
    const struct {
        const char *key;
        const char **text;
        bool *flag;
    } keys[] = {
        {"start", &s->start, NULL},
        {"default_system", &s->default_system, NULL},
        {"system_prefix", &s->system_prefix, NULL},
        {"system_suffix", &s->system_suffix, NULL},
        {"user_prefix", &s->user_prefix, NULL},
        {"user_suffix", &s->user_suffix, NULL},
        {"assistant_prefix", &s->assistant_prefix, NULL},
        {"assistant_suffix", &s->assistant_suffix, NULL},
        {"tool_prefix", &s->tool_prefix, NULL},
        {"tool_suffix", &s->tool_suffix, NULL},
        {"generation_prompt", &s->generation_prompt, NULL},
        {"system_in_user", NULL, &s->system_in_user},
        {"trim", NULL, &s->trim},
    };
    enum { COUNT = sizeof keys / sizeof *keys };
    const char *names[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) names[i] = keys[i].key;
    *s = (struct shape){.name = "of this config"};
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t i = 0;
        while (i < COUNT && strcmp(keys[i].key, item->string) != 0) i++;
        if (i == COUNT) {
            const char *near = nearest_name(item->string, names);
            return error_set(e, "chat_template: the key \"%.60s\" is not known%s%s%s", item->string,
                near ? "; is \"" : "", near ? near : "", near ? "\" meant?" : "");
        }
        if (keys[i].text ? !cJSON_IsString(item) : !cJSON_IsBool(item))
            return error_set(
                e, "chat_template: \"%s\" must be %s", item->string, keys[i].text ? "a string" : "true or false");
        if (keys[i].text)
            *keys[i].text = item->valuestring;
        else
            *keys[i].flag = cJSON_IsTrue(item);
    }
    bool system = s->system_prefix || s->system_suffix;
    if (s->default_system && *s->default_system && !system)
        return error_set(e, "chat_template: \"default_system\" needs \"system_prefix\" or \"system_suffix\"");
    return 0;
}

// ----------------------------------------------------------------------------------------------------------- opening

static char *token_spelling(const struct tokenizer *tokenizer, int32_t id)
{
    if (id < 0) return NULL;
    struct text t = {0};
    tokenizer_decode(tokenizer, &t, &(uint32_t){(uint32_t)id}, 1, false);
    return t.data;
}

static void add_note(struct template *t, const char *note)
{
    char *old = t->note;
    t->note = old ? mem_format("%s; %s", old, note) : mem_string(note);
    free(old);
}

// Renders a question with its answer and looks for both: a template that fails here would fail every row.
static int probe(struct template *t, struct error *e)
{
    const struct message messages[] = {
        {.role = ROLE_USER, .text = "question", .bytes = 8}, {.role = ROLE_ASSISTANT, .text = "answer", .bytes = 6}};
    struct jinja_output out = {0};
    struct arena scratch = {0};
    bool seen[2] = {false, false};
    int failed = jinja_render(t->program, &out, &scratch, &(struct jinja_input){messages, 2, false, t->bos, t->eos}, e);
    size_t answer_end = 0;
    for (size_t i = 0; !failed && i < out.count; i++) {
        if (out.runs[i].origin) seen[out.runs[i].origin - 1] = true;
        if (out.runs[i].origin == 2) answer_end = out.runs[i].end;
    }
    if (!failed && (!seen[0] || !seen[1]))
        failed = error_set(e, "it leaves out the %s's words", seen[0] ? "assistant" : "user");
    if (!failed && strspn(out.text.data + answer_end, " \t\r\n") == out.text.bytes - answer_end)
        add_note(t, "it writes nothing after an answer, so nothing teaches the model to stop");
    if (!failed && strstr(t->source, "strftime_now"))
        add_note(t, "it asks for the date and is told 26 July 2024, so that a run does not depend on the day");
    jinja_output_free(&out);
    arena_free(&scratch);
    return failed;
}

static int compile(struct template *t, struct error *e)
{
    t->program = jinja_open(t->source, strlen(t->source), e);
    if (t->program && probe(t, e) == 0) return 0;
    return error_prefix(e, "%s cannot be used: ",
        strcmp(t->name, "checkpoint") == 0 ? "the checkpoint's chat template" : "the chat template");
}

static void use_shape(struct template *t, const struct shape *s)
{
    t->source = shape_jinja(t, s);
}

static const struct shape *find_shape(const char *name)
{
    if (strcmp(name, "vicuna") == 0) name = "vicuna_v1.1";
    for (size_t i = 0; i < SHAPES; i++)
        if (strcmp(name, shapes[i].name) == 0) return &shapes[i];
    return NULL;
}

static int open_auto(struct template *t, const struct tokenizer *tokenizer, struct error *e)
{
    const char *own = tokenizer_chat_template(tokenizer);
    if (own) {
        t->name = mem_string("checkpoint");
        t->source = mem_string(own);
        struct error why;
        if (compile(t, &why) == 0) return 0;
        return error_set(e, "%s; set \"chat_template\" to %s", why.text, CHOICES);
    }
    bool tokens = tokenizer_find(tokenizer, "<|im_start|>") >= 0 && tokenizer_find(tokenizer, "<|im_end|>") >= 0;
    t->name = mem_string(tokens ? "chatml" : "tulu");
    use_shape(t, find_shape(t->name));
    t->note = mem_format("the checkpoint has no chat template; %s was chosen%s", t->name,
        tokens ? ", whose <|im_start|> and <|im_end|> it knows" : "");
    return compile(t, e);
}

static int open_string(struct template *t, const char *name, const struct tokenizer *tokenizer, struct error *e)
{
    const struct shape *s = find_shape(name);
    if (strcmp(name, "auto") == 0) return open_auto(t, tokenizer, e);
    t->name = mem_string(s ? s->name : "jinja");
    if (s) {
        use_shape(t, s);
    } else if (strstr(name, "{{") || strstr(name, "{%")) {
        t->source = mem_string(name);
    } else {
        const char *near = nearest_name(name, template_names);
        return error_set(e, "the chat_template \"%.60s\" is not known; %s%s%sthere are auto, %s", name,
            near ? "is \"" : "", near ? near : "", near ? "\" meant? " : "", CHOICES);
    }
    return compile(t, e);
}

static int open_choice(struct template *t, const cJSON *choice, const struct tokenizer *tokenizer, struct error *e)
{
    if (!choice) return open_auto(t, tokenizer, e);
    if (cJSON_IsString(choice)) return open_string(t, choice->valuestring, tokenizer, e);
    if (!cJSON_IsObject(choice)) return error_set(e, "chat_template must be auto, %s", CHOICES);
    struct shape s;
    if (read_shape(&s, choice, e) != 0) return -1;
    t->name = mem_string("custom");
    use_shape(t, &s);
    return compile(t, e);
}

static void begin(struct template *t, const struct tokenizer *tokenizer)
{
    *t = (struct template){.bos = token_spelling(tokenizer, tokenizer_bos(tokenizer)),
        .eos = token_spelling(tokenizer, tokenizer_eos(tokenizer))};
}

int template_open(struct template *t, const cJSON *choice, const struct tokenizer *tokenizer, struct error *e)
{
    begin(t, tokenizer);
    if (open_choice(t, choice, tokenizer, e) == 0) return 0;
    template_close(t);
    return -1;
}

int template_open_name(struct template *t, const char *name, const struct tokenizer *tokenizer, struct error *e)
{
    begin(t, tokenizer);
    if (open_string(t, name, tokenizer, e) == 0) return 0;
    template_close(t);
    return -1;
}

void template_close(struct template *t)
{
    jinja_close(t->program);
    free(t->name);
    free(t->source);
    free(t->note);
    free(t->bos);
    free(t->eos);
    *t = (struct template){0};
}
