// SPDX-License-Identifier: MIT
//
// Chat templates: the exact bytes of each for one turn, several turns, a system turn and a prompt; objects of prefixes
// and suffixes; the choice of `auto`; refusals. The bytes tokenizer's tokens are <|bos|> and <|im_end|> (the end).
#include "data/template.h"
#include "test.h"

#include <cjson/cJSON.h>

static struct error e;
static struct arena scratch;
static struct jinja_output out;

#define MESSAGE(role, text)                                                                                            \
    {                                                                                                                  \
        (role), TRAIN_BY_ROLE, (text), sizeof(text) - 1                                                                \
    }
static const struct message chat[] = {MESSAGE(ROLE_SYSTEM, "S"), MESSAGE(ROLE_USER, " Q1"),
    MESSAGE(ROLE_ASSISTANT, "A1 "), MESSAGE(ROLE_USER, "Q2"), MESSAGE(ROLE_ASSISTANT, "A2")};

static const char *render(const struct template *t, const struct message *messages, size_t count, bool generation)
{
    struct jinja_input input = {messages, count, generation, t->bos, t->eos};
    return jinja_render(t->program, &out, &scratch, &input, &e) == 0 ? out.text.data : e.text;
}

#define VICUNA                                                                                                         \
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "  \
    "and polite answers to the user's questions. "
#define ALPACA                                                                                                         \
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
#define BOS "<|bos|>"
#define EOS "<|im_end|>"

static void test_names(void)
{
    static const struct {
        const char *name;
        const char *one;    // a question and its answer, no system turn
        const char *many;   // system turn and two of each
        const char *prompt; // the question alone, asked
    } cases[] = {
        {"chatml", "<|im_start|>user\n Q1<|im_end|>\n<|im_start|>assistant\nA1 <|im_end|>\n",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n Q1<|im_end|>\n<|im_start|>assistant\nA1 <|im_end|>\n"
            "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
            "<|im_start|>user\n Q1<|im_end|>\n<|im_start|>assistant\n"},
        {"vicuna_v1.1", VICUNA "USER:  Q1 ASSISTANT: A1 </s>",
            "S USER:  Q1 ASSISTANT: A1 </s>USER: Q2 ASSISTANT: A2</s>", VICUNA "USER:  Q1 ASSISTANT:"},
        {"vicuna", VICUNA "USER:  Q1 ASSISTANT: A1 </s>", "S USER:  Q1 ASSISTANT: A1 </s>USER: Q2 ASSISTANT: A2</s>",
            VICUNA "USER:  Q1 ASSISTANT:"},
        {"alpaca", ALPACA "### Instruction:\n Q1\n\n### Response:\nA1 " EOS "\n\n",
            "S\n\n### Instruction:\n Q1\n\n### Response:\nA1 " EOS "\n\n### Instruction:\nQ2\n\n### Response:\nA2" EOS
            "\n\n",
            ALPACA "### Instruction:\n Q1\n\n### Response:\n"},
        {"tulu", "<|user|>\n Q1\n<|assistant|>\nA1 " EOS "\n",
            "<|system|>\nS\n<|user|>\n Q1\n<|assistant|>\nA1 " EOS "\n<|user|>\nQ2\n<|assistant|>\nA2" EOS "\n",
            "<|user|>\n Q1\n<|assistant|>\n"},
        {"zephyr", "<|user|>\n Q1" EOS "\n<|assistant|>\nA1 " EOS "\n",
            "<|system|>\nS" EOS "\n<|user|>\n Q1" EOS "\n<|assistant|>\nA1 " EOS "\n<|user|>\nQ2" EOS
            "\n<|assistant|>\nA2" EOS "\n",
            "<|user|>\n Q1" EOS "\n<|assistant|>\n"},
        {"llama2", BOS "[INST] Q1 [/INST] A1 " EOS,
            BOS "[INST] <<SYS>>\nS\n<</SYS>>\n\nQ1 [/INST] A1 " EOS BOS "[INST] Q2 [/INST] A2 " EOS,
            BOS "[INST] Q1 [/INST]"},
        {"llama3",
            BOS "<|start_header_id|>user<|end_header_id|>\n\nQ1<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
                "\n\nA1<|eot_id|>",
            BOS
            "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ1"
            "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user"
            "<|end_header_id|>\n\nQ2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA2<|eot_id|>",
            BOS "<|start_header_id|>user<|end_header_id|>\n\nQ1<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
                "\n\n"},
        {"mistral", BOS "[INST]  Q1 [/INST] A1 " EOS, BOS "[INST] S\n\n Q1 [/INST] A1 " EOS "[INST] Q2 [/INST] A2" EOS,
            BOS "[INST]  Q1 [/INST]"},
        {"gemma", BOS "<start_of_turn>user\nQ1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n",
            BOS
            "<start_of_turn>user\nS\n\nQ1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n<start_of_turn>user\nQ2"
            "<end_of_turn>\n<start_of_turn>model\nA2<end_of_turn>\n",
            BOS "<start_of_turn>user\nQ1<end_of_turn>\n<start_of_turn>model\n"},
        {"qa", "<|question|>  Q1 <|answer|> A1  " EOS,
            "it refuses the messages: the chat template qa has no system turns", "<|question|>  Q1 <|answer|>"},
        {"none", " Q1A1 " EOS, "S Q1A1 " EOS "Q2A2" EOS, " Q1"},
    };
    struct tokenizer *tokenizer = tokenizer_open_bytes();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct template t;
        CHECK(template_open_name(&t, cases[i].name, tokenizer, &e) == 0);
        CHECK_STRING(t.name, strcmp(cases[i].name, "vicuna") == 0 ? "vicuna_v1.1" : cases[i].name);
        CHECK(t.note == NULL);
        CHECK_STRING(render(&t, chat + 1, 2, false), cases[i].one);
        CHECK_STRING(render(&t, chat, 5, false), cases[i].many);
        CHECK_STRING(render(&t, chat + 1, 1, true), cases[i].prompt);
        // What is saved with the model says the same.
        struct template again;
        CHECK(template_open_name(&again, t.source, tokenizer, &e) == 0);
        CHECK_STRING(again.name, "jinja");
        CHECK_STRING(render(&again, chat, 5, false), cases[i].many);
        template_close(&again);
        template_close(&t);
    }
    for (const char *const *name = template_names; *name; name++) {
        struct template t;
        CHECK(template_open_name(&t, *name, tokenizer, &e) == 0);
        template_close(&t);
    }
    static const struct message tool[] = {MESSAGE(ROLE_USER, "Q"), MESSAGE(ROLE_TOOL, "T")};
    struct template t;
    CHECK(template_open_name(&t, "chatml", tokenizer, &e) == 0);
    CHECK_STRING(render(&t, tool, 2, false), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>tool\nT<|im_end|>\n");
    template_close(&t);
    CHECK(template_open_name(&t, "tulu", tokenizer, &e) == 0);
    CHECK_STRING(render(&t, tool, 2, false), "it refuses the messages: the chat template tulu has no tool turns");
    template_close(&t);
    tokenizer_close(tokenizer);
}

// Opens an object; its rendering of the system turn and the first pair, or the error.
static const char *render_object(const char *json, size_t from, size_t count)
{
    static struct text text;
    struct tokenizer *tokenizer = tokenizer_open_bytes();
    cJSON *object = cJSON_Parse(json);
    struct template t;
    text.bytes = 0;
    if (template_open(&t, object, tokenizer, &e) == 0) {
        CHECK_STRING(t.name, "custom");
        text_print(&text, "%s|%s", render(&t, chat + from, count, false), t.note ? t.note : "");
        template_close(&t);
    } else {
        text_print(&text, "%s", e.text);
    }
    cJSON_Delete(object);
    tokenizer_close(tokenizer);
    return text.data;
}

static void test_objects(void)
{
    CHECK_STRING(
        render_object("{\"start\": \"{bos}\", \"user_prefix\": \"it's \\\\n {{x}} {%y%} {#z#}\\n\", \"user_suffix\": "
                      "\"}}\\r\\n\", \"assistant_prefix\": \"A: \", \"assistant_suffix\": \"{eos}'{eos}\\n\"}",
            1, 2),
        "<|bos|>it's \\n {{x}} {%y%} {#z#}\n Q1}}\r\nA: A1 <|im_end|>'<|im_end|>\n|");
    CHECK_STRING(render_object("{\"default_system\": \"D\", \"system_prefix\": \"<\", \"system_suffix\": \">\"}", 1, 2),
        "<D> Q1A1 |it writes nothing after an answer, so nothing teaches the model to stop");
    CHECK_STRING(
        render_object("{\"default_system\": \"D\", \"system_prefix\": \"<\", \"assistant_suffix\": \".\"}", 0, 3),
        "<S Q1A1 .|");
    CHECK_STRING(
        render_object(
            "{\"default_system\": \"D\", \"system_suffix\": \">\", \"system_in_user\": true, \"user_prefix\": \"U:\", "
            "\"assistant_suffix\": \".\", \"trim\": true}",
            1, 4),
        "U:D>Q1A1.U:Q2A2.|");
    CHECK_STRING(render_object("{\"assistant_suffix\": \".\"}", 0, 3),
        "it refuses the messages: the chat template of this config has no system turns|");
    CHECK_STRING(render_object("{\"user_prefx\": \"U\"}", 0, 3),
        "chat_template: the key \"user_prefx\" is not known; is \"user_prefix\" meant?");
    CHECK_STRING(render_object("{\"user_prefix\": 1}", 0, 3), "chat_template: \"user_prefix\" must be a string");
    CHECK_STRING(render_object("{\"trim\": \"yes\"}", 0, 3), "chat_template: \"trim\" must be true or false");
    CHECK_STRING(render_object("{\"default_system\": \"D\"}", 0, 3),
        "chat_template: \"default_system\" needs \"system_prefix\" or \"system_suffix\"");
    CHECK(strstr(render_object("3", 0, 3), "chat_template must be auto, chatml, vicuna_v1.1, "));
    CHECK_STRING(render_object("{\"generation_prompt\": \"G\", \"assistant_suffix\": \".\"}", 1, 2), " Q1A1 .|");
}

// A tokenizer of bytes whose tokenizer_config.json is the given one.
static struct tokenizer *open_with(const char *folder, const char *config)
{
    struct tokenizer *bytes = tokenizer_open_bytes();
    char *path = path_join(folder, "tokenizer_config.json"), *main_path = path_join(folder, "tokenizer.json");
    CHECK(tokenizer_save(bytes, folder, &e) == 0);
    CHECK(file_write_atomic(path, config, strlen(config), &e) == 0);
    struct tokenizer *t = tokenizer_open_json(main_path, &e);
    CHECK_SAY(t != NULL, "%s", e.text);
    tokenizer_close(bytes);
    free(path);
    free(main_path);
    return t;
}

static void test_auto(void)
{
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    struct template t;
    // The checkpoint's own, with its default system turn (as SmolLM2's).
    struct tokenizer *tokenizer = open_with(folder,
        "{\"chat_template\": \"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou are a test.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + "
        "'\\n' "
        "+ message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\\n' }}{% endif %}\"}");
    CHECK(template_open(&t, NULL, tokenizer, &e) == 0);
    CHECK_STRING(t.name, "checkpoint");
    CHECK(t.note == NULL);
    CHECK_STRING(render(&t, chat + 1, 1, true),
        "<|im_start|>system\nYou are a test.<|im_end|>\n<|im_start|>user\n Q1<|im_end|>\n<|im_start|>assistant\n");
    CHECK_STRING(render(&t, chat, 2, false), "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n Q1<|im_end|>\n");
    template_close(&t);
    tokenizer_close(tokenizer);

    tokenizer = open_with(
        folder, "{\"chat_template\": \"{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}{% endfor %}\"}");
    CHECK(template_open_name(&t, "auto", tokenizer, &e) == 0);
    CHECK_STRING(render(&t, chat, 2, false), "2024S Q1");
    CHECK_STRING(t.note,
        "it writes nothing after an answer, so nothing teaches the model to stop; it asks for the date and is "
        "told 26 July 2024, so that a run does not depend on the day");
    template_close(&t);
    tokenizer_close(tokenizer);

    // Those that cannot be used.
    static const struct {
        const char *config, *want;
    } cases[] = {
        {"{\"chat_template\": \"a\\n{% nosuch %}\"}", "line 2: the statement \"nosuch\" is not known here"},
        {"{\"chat_template\": \"{{ raise_exception('only tools') }}\"}", "it refuses the messages: only tools"},
        {"{\"chat_template\": \"{{ messages[0].content }}\"}", "it leaves out the assistant's words"},
        {"{\"chat_template\": \"plain\"}", "it leaves out the user's words"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tokenizer = open_with(folder, cases[i].config);
        CHECK(template_open(&t, NULL, tokenizer, &e) == -1);
        char *want = mem_format(
            "the checkpoint's chat template cannot be used: %s; set \"chat_template\" to chatml, ", cases[i].want);
        CHECK_ERROR(e, want);
        free(want);
        tokenizer_close(tokenizer);
    }

    // None: chatml, because the two tokens are there.
    tokenizer = open_with(folder, "{}");
    CHECK(template_open(&t, NULL, tokenizer, &e) == 0);
    CHECK_STRING(t.name, "chatml");
    CHECK_STRING(
        t.note, "the checkpoint has no chat template; chatml was chosen, whose <|im_start|> and <|im_end|> it knows");
    template_close(&t);
    tokenizer_close(tokenizer);

    // None, and no such tokens: tulu, without an end token when the model has none.
    char *path = path_join(folder, "tokenizer.json");
    struct file_map file;
    CHECK(file_map(&file, path, &e) == 0);
    char *json = mem_string_n((const char *)file.data, file.bytes), *at;
    while ((at = strstr(json, "<|im_"))) memcpy(at, "<|xx_", 5);
    CHECK(file_write_atomic(path, json, file.bytes, &e) == 0);
    file_unmap(&file);
    tokenizer = tokenizer_open_json(path, &e);
    CHECK(tokenizer && tokenizer_eos(tokenizer) < 0);
    CHECK(template_open(&t, NULL, tokenizer, &e) == 0);
    CHECK_STRING(t.name, "tulu");
    CHECK_STRING(render(&t, chat + 1, 2, false), "<|user|>\n Q1\n<|assistant|>\nA1 \n");
    CHECK_STRING(t.note, "the checkpoint has no chat template; tulu was chosen; it writes nothing after an answer, so "
                         "nothing teaches the model to stop");
    template_close(&t);
    CHECK(template_open_name(&t, "none", tokenizer, &e) == 0);
    CHECK_STRING(render(&t, chat + 1, 2, false), " Q1A1 ");
    CHECK_STRING(t.note, "it writes nothing after an answer, so nothing teaches the model to stop");
    template_close(&t);
    tokenizer_close(tokenizer);
    free(json);
    free(path);
    CHECK(folder_remove(folder, &e) == 0);
}

static void test_refusals(void)
{
    struct tokenizer *tokenizer = tokenizer_open_bytes();
    struct template t;
    CHECK(template_open_name(&t, "lama3", tokenizer, &e) == -1);
    CHECK_ERROR(
        e, "the chat_template \"lama3\" is not known; is \"llama3\" meant? there are auto, chatml, vicuna_v1.1");
    CHECK(template_open_name(&t, "{{ x", tokenizer, &e) == -1);
    CHECK_ERROR(e, "the chat template cannot be used: line 1: ");
    tokenizer_close(tokenizer);
}

int main(void)
{
    test_names();
    test_objects();
    test_auto();
    test_refusals();
    jinja_output_free(&out);
    arena_free(&scratch);
    return test_end();
}
