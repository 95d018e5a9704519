// SPDX-License-Identifier: MIT
//
// From messages to tokens and mask: the trained spans of every kind of template, overrides, special tokens' spellings
// in contents, templates that do not extend as a prefix, truncation, `text` and `input_ids` rows, prompts.
//
// Expectations are whole texts with the trained parts in brackets, as conversation_print shows them.
#include "data/conversation.h"
#include "test.h"

#include <unistd.h>

static struct error e;
static struct arena arena;
static struct tokenizer *bytes_tokenizer;

// A row's conversation as text, or the reason why there is none. `template` is a name or Jinja text.
static const char *show_with(const struct tokenizer *tokenizer, const char *template, const char *json,
    uint32_t max_length, bool as_is, struct conversation *out)
{
    static struct text text;
    struct conversation local, *c = out ? out : &local;
    struct template t;
    struct row row;
    text.bytes = 0;
    text_add(&text, "", 0);
    arena_reset(&arena);
    *c = (struct conversation){0};
    if (template_open_name(&t, template, tokenizer, &e) != 0) return e.text;
    struct conversation_maker maker = {
        .template = &t, .tokenizer = tokenizer, .max_length = max_length, .as_is = as_is};
    if (row_parse(&row, &arena, json, strlen(json), &e) != 0 || row_trainable(&row, &e) != 0 ||
        conversation_make(c, &maker, &arena, &row, &e) != 0) {
        text_print(&text, "%s", e.text);
    } else {
        uint32_t trained = 0;
        for (uint32_t i = 0; i < c->tokens; i++) trained += c->mask[i];
        CHECK(trained == c->trained && c->mask[0] == 0);
        CHECK(c->hash == fnv1a(fnv1a(FNV_START, c->ids, 4 * c->tokens), c->mask, c->tokens));
        conversation_print(&text, c, tokenizer, 0);
    }
    conversation_maker_free(&maker);
    template_close(&t);
    return text.data;
}

static const char *show(const char *template, const char *json)
{
    return show_with(bytes_tokenizer, template, json, 0, false, NULL);
}

#define CHAT(...) "{\"messages\": [" __VA_ARGS__ "]}"
#define SYSTEM(text) "{\"role\": \"system\", \"content\": \"" text "\"}"
#define USER(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define ASSISTANT(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
#define TRAINED(role, text, train) "{\"role\": \"" role "\", \"content\": \"" text "\", \"train\": " train "}"
#define TWO CHAT(USER("Q1") "," ASSISTANT("A1") "," USER("Q2") "," ASSISTANT("A2"))

static void test_spans(void)
{
    static const struct {
        const char *template, *json, *want;
    } cases[] = {
        {"chatml", TWO,
            "<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\n[+A1<|im_end|>+]\n<|im_start|>user\nQ2<|im_end|>\n"
            "<|im_start|>assistant\n[+A2<|im_end|>+]\n"},
        {"vicuna_v1.1", CHAT(SYSTEM("S") "," USER("Q1") "," ASSISTANT("A1") "," USER("Q2") "," ASSISTANT("A2")),
            "S USER: Q1 ASSISTANT:[+ A1</s>+]USER: Q2 ASSISTANT:[+ A2</s>+]"},
        {"alpaca", CHAT(SYSTEM("S") "," USER("Q") "," ASSISTANT("A\\n")),
            "S\n\n### Instruction:\nQ\n\n### Response:\n[+A\n<|im_end|>+]\n\n"},
        {"tulu", TWO, "<|user|>\nQ1\n<|assistant|>\n[+A1<|im_end|>+]\n<|user|>\nQ2\n<|assistant|>\n[+A2<|im_end|>+]\n"},
        {"zephyr", CHAT(USER("Q") "," ASSISTANT("A")), "<|user|>\nQ<|im_end|>\n<|assistant|>\n[+A<|im_end|>+]\n"},
        {"llama2", TWO, "<|bos|>[INST] Q1 [/INST][+ A1 <|im_end|>+]<|bos|>[INST] Q2 [/INST][+ A2 <|im_end|>+]"},
        {"llama3", CHAT(USER("Q") "," ASSISTANT(" A ")),
            "<|bos|><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|"
            ">\n\n[+A"
            "<|eot_id|>+]"},
        {"mistral", TWO, "<|bos|>[INST] Q1 [/INST][+ A1<|im_end|>+][INST] Q2 [/INST][+ A2<|im_end|>+]"},
        {"gemma", TWO,
            "<|bos|><start_of_turn>user\nQ1<end_of_turn>\n<start_of_turn>model\n[+A1<end_of_turn>+]\n<start_of_turn>"
            "user\nQ2"
            "<end_of_turn>\n<start_of_turn>model\n[+A2<end_of_turn>+]\n"},
        {"qa", TWO, "<|question|> Q1 <|answer|>[+ A1 <|im_end|>+]<|question|> Q2 <|answer|>[+ A2 <|im_end|>+]"},
        {"none", "{\"prompt\": \"P \", \"completion\": \"C\"}", "P [+C<|im_end|>+]"},
        // Turns in any order; a question at the end; turns without text.
        {"chatml", CHAT(ASSISTANT("A") "," USER("Q")),
            "<|im_start|>assistant\n[+A<|im_end|>+]\n<|im_start|>user\nQ<|im_end|>\n"},
        {"chatml", CHAT(USER("Q") "," ASSISTANT("A") "," ASSISTANT("B")),
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[+A<|im_end|>+]\n<|im_start|>assistant\n[+B<|im_end|"
            ">+]\n"},
        {"chatml", CHAT(USER("") "," ASSISTANT("") "," USER("Q") "," ASSISTANT("B")),
            "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n[+<|im_end|>+]\n<|im_start|>user\nQ<|im_end|>\n"
            "<|im_start|>assistant\n[+B<|im_end|>+]\n"},
        {"gemma", CHAT(USER("Q") "," ASSISTANT(" \\n ") "," USER("Q") "," ASSISTANT("B")),
            "<|bos|><start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\n[+<end_of_turn>+]\n<start_of_turn>"
            "user\nQ"
            "<end_of_turn>\n<start_of_turn>model\n[+B<end_of_turn>+]\n"},
        // What the row says goes before what the role says.
        {"chatml", CHAT(USER("Q") "," TRAINED("assistant", "A", "false") "," USER("R") "," ASSISTANT("B")),
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nR<|im_end|>\n"
            "<|im_start|>assistant\n[+B<|im_end|>+]\n"},
        {"chatml",
            CHAT(
                TRAINED("system", "S", "true") "," TRAINED("user", "Q", "true") "," TRAINED("assistant", "A", "false")),
            "<|im_start|>system\n[+S<|im_end|>+]\n<|im_start|>user\n[+Q<|im_end|>+]\n<|im_start|>assistant\nA<|im_end|>"
            "\n"},
        {"chatml", "{\"prompt\": [" USER("Q") "," ASSISTANT("A") "], \"completion\": [" ASSISTANT("B") "]}",
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>assistant\n[+B<|im_end|>+]"
            "\n"},
        // A reasoning block that the template puts in front of the answer is not trained.
        {"{% for m in messages %}{% if m.role == 'assistant' %}{{ 'A:\\n' }}{% if loop.last %}{{ "
         "'<think>\\n\\n</think>\\n\\n' }}"
         "{% endif %}{{ m.content + '<end>\\n' }}{% else %}{{ 'U:' + m.content + '\\n' }}{% endif %}{% endfor %}"
         "{% if add_generation_prompt %}{{ 'A:\\n' }}{% endif %}",
            CHAT(USER("Q") "," ASSISTANT("A")), "U:Q\nA:\n<think>\n\n</think>\n\n[+A<end>+]\n"},
        // A template without a generation prompt: the header is seen all the same.
        {"{% for m in messages %}{{ '<' + m.role + '>' + m.content + '.\\n' }}{% endfor %}",
            CHAT(USER("Q") "," ASSISTANT("A")), "<user>Q.\n<assistant>[+A.+]\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STRING(show(cases[i].template, cases[i].json), cases[i].want);
}

// Training on these would show contexts that never occur.
static void test_no_prefix(void)
{
    static const struct {
        const char *template, *json, *want;
    } cases[] = {
        // Turns are written differently once others follow.
        {"{% for m in messages %}{{ '<' + m.role[0] + '>' + ('!' if loop.last else '') + m.content }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<a>!' }}{% endif %}",
            TWO, "the chat template does not extend as a prefix: its prompt for message 2 differs"},
        // A tail that only the end has.
        {"{% for m in messages %}{{ '<' + m.role[0] + '>' + m.content }}{% endfor %}{{ '<a>' if add_generation_prompt "
         "else '<end>' }}",
            TWO, "the chat template does not extend as a prefix: its text up to message 2 differs"},
        // Consecutive turns of one role merged: what is asked for the second holds the end of the first.
        {"{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == m.role %}{{ ' ' + m.content "
         "}}"
         "{% else %}{{ '|' + m.role[0] + ':' + m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "
         "'|a:' }}{% endif %}",
            CHAT(USER("Q") "," ASSISTANT("A") "," ASSISTANT("B")),
            "the chat template does not extend as a prefix: its prompt for message 3 differs"},
        // The system turn goes to the last question.
        {"{% for m in messages[1:] %}{{ m.role[0] + ':' + (messages[0].content if loop.last or loop.index == "
         "messages|length - 2 "
         "else '') + m.content + '|' }}{% endfor %}{% if add_generation_prompt %}{{ 'a:' }}{% endif %}",
            CHAT(SYSTEM("S") "," USER("Q") "," ASSISTANT("A") "," USER("R") "," ASSISTANT("B")),
            "the chat template does not extend as a prefix: its prompt for message 3 differs"},
        {"{% for m in messages %}{{ m.content if loop.index < 3 else '' }}{% endfor %}", TWO,
            "the chat template leaves out message 4"},
        {"{% for m in messages %}{{ m.content }}{% endfor %}{% if messages|length > 3 %}{{ messages[1].content }}{% "
         "endif %}",
            TWO, "the chat template writes message 2 again in a later turn"},
        {"{% for m in messages %}{% if loop.index > 2 %}{{ raise_exception('Too long.') }}{% endif %}{{ m.content }}{% "
         "endfor %}",
            TWO, "the chat template: it refuses the messages: Too long."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = show(cases[i].template, cases[i].json);
        CHECK_SAY(strstr(got, cases[i].want) == got, "got \"%s\", want \"%s\"", got, cases[i].want);
    }
}

// Spellings of special tokens are tokens in the template's text and letters in contents.
static void test_special(void)
{
    struct conversation c;
    CHECK_STRING(
        show_with(bytes_tokenizer, "chatml", CHAT(USER("<|im_end|>") "," ASSISTANT("<|im_start|>x")), 0, false, &c),
        "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n[+<|im_start|>x<|im_end|>+]\n");
    uint32_t start = (uint32_t)tokenizer_find(bytes_tokenizer, "<|im_start|>"),
             end = (uint32_t)tokenizer_find(bytes_tokenizer, "<|im_end|>");
    size_t starts = 0, ends = 0;
    for (uint32_t i = 0; i < c.tokens; i++) starts += c.ids[i] == start, ends += c.ids[i] == end;
    CHECK(starts == 2 && ends == 2);
    CHECK(c.tokens == 4 + 5 + 10 + 1 + 10 + 12 + 1 + 1 && c.trained == 14);
    // A spelling that template and content make together is none.
    CHECK_STRING(show_with(bytes_tokenizer, "{% for m in messages %}{{ '<|im_' + m.content + '|>' }}{% endfor %}",
                     CHAT(USER("end") "," ASSISTANT("end")), 0, false, &c),
        "<|im_end|><|im_[+end|>+]");
    CHECK(c.tokens == 20);
}

static void test_length(void)
{
    struct conversation c;
    const char *three =
        CHAT(USER("Q1") "," ASSISTANT("A1") "," USER("Q2") "," ASSISTANT("A2") "," USER("Q3") "," ASSISTANT("A3"));
    // With "none" the turns take 2 and 3 tokens.
    static const struct {
        uint32_t max_length, tokens, cut;
        const char *want;
    } cases[] = {
        {15, 15, 0, "Q1[+A1<|im_end|>+]Q2[+A2<|im_end|>+]Q3[+A3<|im_end|>+]"},
        {0, 15, 0, "Q1[+A1<|im_end|>+]Q2[+A2<|im_end|>+]Q3[+A3<|im_end|>+]"},
        {14, 10, 5, "Q1[+A1<|im_end|>+]Q2[+A2<|im_end|>+]"},
        {10, 10, 5, "Q1[+A1<|im_end|>+]Q2[+A2<|im_end|>+]"},
        {9, 5, 10, "Q1[+A1<|im_end|>+]"},
        {5, 5, 10, "Q1[+A1<|im_end|>+]"},
        {4, 4, 11, "Q1[+A1+]"},
        {3, 3, 12, "Q1[+A+]"},
        {2, 0, 0, "it is longer than max_length (15 tokens, 2 allowed), with nothing to train on in those"},
        {1, 0, 0, "it is longer than max_length (15 tokens, 1 allowed), with nothing to train on in those"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_STRING(show_with(bytes_tokenizer, "none", three, cases[i].max_length, false, &c), cases[i].want);
        CHECK(c.tokens == cases[i].tokens && c.cut == cases[i].cut);
    }
    // A trailing question is dropped first; turns that are not trained do not hold a row up.
    const char *question = CHAT(USER("Q1") "," ASSISTANT("A1") "," USER("Q2"));
    CHECK_STRING(show_with(bytes_tokenizer, "none", question, 6, false, &c), "Q1[+A1<|im_end|>+]");
    const char *later = CHAT(USER("Q1") "," TRAINED("assistant", "A1", "false") "," USER("Q2") "," ASSISTANT("A2"));
    CHECK_STRING(show_with(bytes_tokenizer, "none", later, 9, false, &c), "Q1A1<|im_end|>Q2[+A2+]");
    CHECK_STRING(show_with(bytes_tokenizer, "none", later, 6, false, &c),
        "it is longer than max_length (10 tokens, 6 allowed), with nothing to train on in those");
    // What is kept is rendered anew: its last turn is the last one now.
    const char *last = "{% for m in messages %}{{ m.content + ('$\\n' if loop.last else '$\\n') }}{% endfor %}";
    CHECK_STRING(show_with(bytes_tokenizer, last, three, 20, false, &c), "Q1$\n[+A1$+]\nQ2$\n[+A2$+]\n");
    CHECK(c.tokens == 16 && c.cut == 8);
}

static void test_other_rows(void)
{
    struct conversation c;
    CHECK_STRING(show("chatml", "{\"text\": \"ab\"}"), "a[+b<|im_end|>+]");
    CHECK_STRING(show("chatml", "{\"text\": \"ab<|im_end|>\"}"), "a[+b<|im_end|>+]");
    CHECK_STRING(show_with(bytes_tokenizer, "chatml", "{\"text\": \"abc\"}", 3, false, &c), "a[+bc+]");
    CHECK(c.tokens == 3 && c.cut == 1);
    CHECK_STRING(
        show_with(bytes_tokenizer, "chatml", "{\"text\": \"<|im_start|>b\"}", 0, true, &c), "<|im_start|>[+b+]");
    CHECK(c.tokens == 2);
    CHECK_STRING(show_with(bytes_tokenizer, "chatml", "{\"text\": \"a\"}", 0, true, &c), "a");
    CHECK(c.tokens == 1);
    CHECK_STRING(show_with(bytes_tokenizer, "chatml", "{\"text\": \"ab\"}", 1, false, &c),
        "it is longer than max_length (1), with nothing to train on before");

    CHECK_STRING(show("chatml", "{\"text\": \"<|im_end|>\"}"), "its only token is not to be trained");
    CHECK_STRING(show("chatml", "{\"input_ids\": [97, 98, 99], \"labels\": [97, -100, 99]}"), "ab[+c+]");
    CHECK_STRING(show("chatml", "{\"input_ids\": [97, 98, 99]}"), "a[+bc+]");
    CHECK_STRING(show_with(bytes_tokenizer, "chatml", "{\"input_ids\": [97, 98, 99, 97]}", 3, false, &c), "a[+bc+]");
    CHECK(c.cut == 1);
    CHECK_STRING(
        show("chatml", "{\"input_ids\": [97, 98], \"labels\": [97, -100]}"), "none of its 2 tokens is to be trained");
    CHECK_STRING(show("chatml", "{\"input_ids\": [97, 5000]}"), "token 5000 is not one of the model's 260");
}

// The begin token stands in front once.
static void test_bos(void)
{
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    static const char config[] = "{\"bos_token\": \"<|bos|>\", \"eos_token\": \"<|im_end|>\", \"add_bos_token\": true}";
    char *path = path_join(folder, "tokenizer_config.json"), *main_path = path_join(folder, "tokenizer.json");
    CHECK(tokenizer_save(bytes_tokenizer, folder, &e) == 0);
    CHECK(file_write_atomic(path, config, sizeof config - 1, &e) == 0);
    struct tokenizer *t = tokenizer_open_json(main_path, &e);
    CHECK(t && tokenizer_adds_bos(t));
    const char *pair = CHAT(USER("Q") "," ASSISTANT("A"));
    CHECK_STRING(show_with(t, "none", pair, 0, false, NULL), "<|bos|>Q[+A<|im_end|>+]");
    CHECK_STRING(show_with(t, "mistral", pair, 0, false, NULL), "<|bos|>[INST] Q [/INST][+ A<|im_end|>+]");
    CHECK_STRING(show_with(t, "none", "{\"text\": \"ab\"}", 0, false, NULL), "<|bos|>[+ab<|im_end|>+]");
    CHECK_STRING(show_with(t, "none", "{\"text\": \"<|bos|>b\"}", 0, false, NULL), "<|bos|>[+b<|im_end|>+]");
    CHECK_STRING(show_with(t, "none", "{\"text\": \"ab\"}", 0, true, NULL), "a[+b+]");
    CHECK_STRING(show_with(t, "none", "{\"input_ids\": [97, 98]}", 0, false, NULL), "a[+b+]");
    // Contents cannot bring it.
    CHECK_STRING(show_with(t, "none", CHAT(USER("<|bos|>") "," ASSISTANT("A")), 0, false, NULL),
        "<|bos|><|bos|>[+A<|im_end|>+]");
    // It counts for max_length.
    struct conversation c;
    CHECK_STRING(show_with(t, "none", TWO, 10, false, &c), "<|bos|>Q1[+A1<|im_end|>+]");
    CHECK(c.tokens == 6 && c.cut == 5);
    tokenizer_close(t);
    free(path);
    free(main_path);
    CHECK(folder_remove(folder, &e) == 0);
}

static const char *show_prompt(const char *json)
{
    static struct text text;
    struct template t;
    struct row row;
    const char *reference = "";
    text.bytes = 0;
    CHECK(template_open_name(&t, "chatml", bytes_tokenizer, &e) == 0);
    struct conversation_maker maker = {.template = &t, .tokenizer = bytes_tokenizer};
    CHECK(row_parse(&row, &arena, json, strlen(json), &e) == 0);
    if (conversation_prompt(&maker, &reference, &row, &e) == 0) {
        tokenizer_decode(bytes_tokenizer, &text, maker.tokens.ids, maker.tokens.count, false);
        text_print(&text, "|%s", reference ? reference : "-");
    } else {
        text_print(&text, "%s", e.text);
    }
    conversation_maker_free(&maker);
    template_close(&t);
    return text.data;
}

static void test_prompts(void)
{
    CHECK_STRING(show_prompt(TWO),
        "<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n"
        "<|im_start|>assistant\n|A2");
    CHECK_STRING(show_prompt(CHAT(USER("Q") "," ASSISTANT("A") "," USER("R"))),
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n|A");
    CHECK_STRING(show_prompt("{\"prompt\": \"Q\"}"), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n|-");
    CHECK_STRING(show_prompt("{\"text\": \"Q\"}"), "it has no messages, so there is no prompt in it");
}

// A long row is shown by its ends.
static void test_print(void)
{
    struct conversation c;
    struct text text = {0};
    show_with(bytes_tokenizer, "none", "{\"prompt\": \"abcdefgh\", \"completion\": \"ijklmnop\"}", 0, false, &c);
    for (uint32_t limit = 0; limit <= 20; limit++) {
        text.bytes = 0;
        conversation_print(&text, &c, bytes_tokenizer, limit);
        if (limit == 0 || limit >= 17) CHECK_STRING(text.data, "abcdefgh[+ijklmnop<|im_end|>+]");
        if (limit == 1) CHECK_STRING(text.data, "a [... 16 tokens ...] ");
        if (limit == 5) CHECK_STRING(text.data, "abc [... 12 tokens ...] [+p<|im_end|>+]");
        if (limit == 16) CHECK_STRING(text.data, "abcdefgh [... 1 tokens ...] [+jklmnop<|im_end|>+]");
    }
    text_free(&text);
}

int main(void)
{
    bytes_tokenizer = tokenizer_open_bytes();
    test_spans();
    test_no_prefix();
    test_special();
    test_length();
    test_other_rows();
    test_bos();
    test_prompts();
    test_print();
    tokenizer_close(bytes_tokenizer);
    arena_free(&arena);
    return test_end();
}
