// SPDX-License-Identifier: MIT
//
// Reading data files: every format of rows, every reason to refuse one, line ends and arrays, mutated rows.
#include "data/rows.h"
#include "test.h"

#include <unistd.h>

static struct arena arena;
static struct error e;

// Parses a row; the messages as "role: text / role: text", "+" before those trained and "-" before the others.
static const char *parse_bytes(const char *json, size_t bytes)
{
    static struct text t;
    struct row row;
    arena_reset(&arena);
    t.bytes = 0;
    e.text[0] = 0;
    if (row_parse(&row, &arena, json, bytes, &e) != 0) return e.text;
    text_add(&t, "", 0);
    for (size_t i = 0; row.kind == ROW_MESSAGES && i < row.count; i++) {
        CHECK(strlen(row.messages[i].text) == row.messages[i].bytes);
        text_print(&t, "%s%c%s: %s", i ? " / " : "", message_trained(&row.messages[i]) ? '+' : '-',
            role_name(row.messages[i].role), row.messages[i].text);
    }
    for (size_t i = 0; row.kind == ROW_IDS && i < row.count; i++)
        text_print(&t, "%s%u%s", i ? " " : "", row.ids[i], row.mask[i] ? "+" : "");
    if (row.kind == ROW_TEXT) text_print(&t, "text: %s", row.text);
    for (size_t i = 0; i < row.choice_count; i++) text_print(&t, " choice %s", row.choices[i]);
    if (row.answer) text_print(&t, " answer %s", row.answer);
    for (size_t i = 1; i < row.answer_count; i++) text_print(&t, " or %s", row.answers[i]);
    if (row.no_answer) text_print(&t, " no answer: %s", row.no_answer);
    return t.data;
}

static const char *parse(const char *json)
{
    return parse_bytes(json, strlen(json));
}

static void test_formats(void)
{
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"Q\"}, "
         "{\"role\": "
         "\"assistant\", \"content\": \"A\"}]}",
            "-system: S / -user: Q / +assistant: A"},
        {"{\"messages\": []}", ""},
        {"{\"id\": 7, \"text\": \"no\", \"messages\": [{\"role\": \"User\", \"content\": \"Q\", \"name\": \"n\"}]}",
            "-user: Q"},
        {"{\"messages\": [{\"from\": \"human\", \"value\": \"Q\"}, {\"role\": \"gpt\", \"content\": [{\"type\": "
         "\"text\", "
         "\"text\": \"A\"}, \"B\", {\"text\": \"C\"}]}]}",
            "-user: Q / +assistant: ABC"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": []}]}", "-user: "},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"Q\", \"train\": true}, {\"role\": \"assistant\", "
         "\"content\": \"A\", "
         "\"train\": false}, {\"role\": \"assistant\", \"content\": \"B\", \"weight\": 0}, {\"role\": \"assistant\", "
         "\"content\": \"C\", \"weight\": 1, \"tool_calls\": [], \"reasoning_content\": null, \"train\": null}]}",
            "+user: Q / -assistant: A / -assistant: B / +assistant: C"},
        {"{\"conversations\": [{\"from\": \"human\", \"value\": \"Q\"}, {\"from\": \"gpt\", \"value\": \"A\"}, "
         "{\"from\": "
         "\"observation\", \"value\": \"O\"}, {\"from\": \"ChatGPT\", \"value\": \"B\"}], \"system\": \"S\", "
         "\"tools\": \"\"}",
            "-system: S / -user: Q / +assistant: A / -tool: O / +assistant: B"},
        {"{\"conversations\": [{\"from\": \"system\", \"value\": \"S\"}, {\"from\": \"bing\", \"value\": \"A\"}, "
         "{\"from\": \"bard\", "
         "\"value\": \"B\"}, {\"from\": \"function\", \"value\": \"F\"}], \"system\": \"T\"}",
            "-system: S / +assistant: A / +assistant: B / -tool: F"},
        {"{\"instruction\": \"I\", \"input\": \"\", \"output\": \"O\"}", "-user: I / +assistant: O"},
        {"{\"instruction\": \"I\", \"input\": \"N\", \"output\": \"O\", \"system\": \"S\", \"history\": [[\"a\", "
         "\"b\"], [\"c\", \"d\"]]}",
            "-system: S / -user: a / +assistant: b / -user: c / +assistant: d / -user: I\nN / +assistant: O"},
        {"{\"instruction\": \"I\", \"input\": null, \"history\": null}", "-user: I"},
        {"{\"prompt\": \"P\", \"completion\": \"C\"}", "-user: P / +assistant: C"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"P\"}, {\"role\": \"assistant\", \"content\": \"X\"}, "
         "{\"role\": "
         "\"assistant\", \"content\": \"Y\", \"train\": true}], \"completion\": [{\"role\": \"assistant\", "
         "\"content\": \"C\"}]}",
            "-user: P / -assistant: X / +assistant: Y / +assistant: C"},
        {"{\"prompt\": \"P\", \"choices\": [\"a\", \"b\"], \"answer\": \"b\"}", "-user: P choice a choice b answer b"},
        {"{\"prompt\": \"P\", \"choices\": {\"text\": []}, \"answer\": 12.5}", "-user: P answer 12.5"},
        {"{\"text\": \"T\", \"answer\": 3}", "text: T answer 3"},
        {"{\"prompt\": \"P\", \"answer\": [\"a\", 2, {}, \"b c\"]}", "-user: P answer a or 2 or b c"},
        {"{\"prompt\": \"P\", \"answer\": [true, null, false, {\"a\": 1}]}", "-user: P answer true or false no answer: an object"},
        {"{\"prompt\": \"P\", \"answer\": false}", "-user: P answer false"},
        {"{\"prompt\": \"P\", \"answer\": 1e999}", "-user: P no answer: a number beyond all bounds"},
        {"{\"prompt\": \"P\", \"answer\": [1e15, 1e21, 0.00005, -1.50, 0, 0.1, 123456789.125, 1e300, 3e-40]}",
            "-user: P answer 1000000000000000 or 1000000000000000000000 or 0.00005 or -1.5 or 0 or 0.1 or 123456789.125 or 1e+300 "
            "or 3e-40"},
        {"{\"prompt\": \"P\", \"answer\": []}", "-user: P"},
        {"{\"input_ids\": [5, 6, 7], \"labels\": [-100, 6, 7]}", "5 6+ 7+"},
        {"{\"input_ids\": [5, 6]}", "5+ 6+"},
        {"{\"input_ids\": [0, 0, 5, 6, 0], \"labels\": [-100, -100, -100, 6, -100], \"attention_mask\": [0, 0, 1, 1, "
         "0]}",
            "5 6+"},
        {"{\"input_ids\": [1], \"attention_mask\": [0]}", ""},
        {"{\"text\": \"first\", \"text\": \"last\"}", "text: last"},
        // Letters.
        {"{\"text\": \"\\u00e9\\ud83d\\ude00\\\\u0000\\n\"}", "text: \xc3\xa9\xf0\x9f\x98\x80\\u0000\n"},
        {"{\"text\": \"a\\ud83dz \\ude00 \\ud83d\\u0041 \\\\\\udc00\"}",
            "text: a\xef\xbf\xbdz \xef\xbf\xbd \xef\xbf\xbd"
            "A \\\xef\xbf\xbd"},
        {"{\"text\": \"a\xff"
         "b\xe2\x82"
         "c\xf0\x9f\x98\"}",
            "text: a\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "c\xef\xbf\xbd"},
        {"{\"text\": \"\xed\xa0\x80\"}", "text: \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) CHECK_STRING(parse(cases[i].json), cases[i].want);
}

static void test_refusals(void)
{
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"", "it is not JSON at column 1"},
        {"{\"text\": \"a\"} x", "it is not JSON at column 15"},
        {"{\"text\": \"a\"", "it is not JSON at column"},
        {"{\"text\": nan}", "it is not JSON at column 10"},
        {"[1]", "it is a list, not an object"},
        {"\"text\"", "it is a string, not an object"},
        {"{\"text\": \"a\\u0000b\"}", "it holds U+0000 at column 12, which no text may"},
        {"{\"text\": \"a\\\\\\u0000b\"}", "it holds U+0000 at column 14, which no text may"},
        {"{}", "its keys (none) are of no known format; known are messages, conversations, instruction with output, "
               "prompt "
               "with completion, text, input_ids"},
        {"{\"question\": 1, \"reply\": 2}", "its keys (question, reply) are of no known format"},
        {"{\"text\": 1}", "\"text\" is a number, not a string"},
        {"{\"messages\": {}}", "\"messages\" is an object, not a list of messages"},
        {"{\"messages\": [1]}", "message 1: it is a number, not an object"},
        {"{\"messages\": [{\"content\": \"x\"}]}", "message 1: \"role\" is missing"},
        {"{\"messages\": [{\"role\": 1, \"content\": \"x\"}]}", "message 1: \"role\" is a number, not a string"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "message 1: \"content\" is missing"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": null}]}", "message 1: \"content\" is null, not a string"},
        {"{\"conversations\": [{\"from\": \"gpt\", \"value\": 1}]}", "message 1: \"value\" is a number, not a string"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"asistant\", \"content\": \"x\"}]}",
            "message 2: the role \"asistant\" is not known; is \"assistant\" meant?"},
        {"{\"messages\": [{\"role\": \"zzz\", \"content\": \"x\"}]}",
            "message 1: the role \"zzz\" is not known; roles are system, user, assistant, tool"},
        {"{\"conversations\": [{\"from\": \"function_call\", \"value\": \"x\"}]}",
            "message 1: it is a \"function_call\"; tool calls are not trained on"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{}]}]}",
            "message 1: it has \"tool_calls\", which is not trained on"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"reasoning_content\": \"hm\"}]}",
            "message 1: it has \"reasoning_content\", which is not trained on"},
        {"{\"messages\": [], \"tools\": [{}]}", "it has \"tools\", which is not trained on"},
        {"{\"messages\": [], \"images\": [\"a.png\"]}", "it has \"images\", which is not trained on"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"x\"}, {\"type\": "
         "\"image_url\"}]}]}",
            "message 1: part 2 of \"content\" is of type \"image_url\"; only text is trained"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}",
            "message 1: part 1 of \"content\" has no text"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\", \"train\": \"yes\"}]}",
            "message 1: \"train\" is a string, not true or false"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\", \"weight\": 0.5}]}",
            "message 1: \"weight\" is not 0 or 1"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"system\": 1}",
            "\"system\" is a number, not a string"},
        {"{\"instruction\": 1, \"output\": \"x\"}", "\"instruction\" is a number, not a string"},
        {"{\"instruction\": \"x\", \"input\": 1}", "\"input\" is a number, not a string"},
        {"{\"instruction\": \"x\", \"output\": [\"x\"]}", "\"output\" is a list, not a string"},
        {"{\"instruction\": \"x\", \"history\": 1}", "\"history\" is a number, not a list of pairs"},
        {"{\"instruction\": \"x\", \"history\": [[\"a\"]]}", "\"history\" is not a list of pairs of strings"},
        {"{\"instruction\": \"x\", \"history\": [[\"a\", \"b\", \"c\"]]}",
            "\"history\" is not a list of pairs of strings"},
        {"{\"prompt\": 1}", "\"prompt\" is a number, not a string"},
        {"{\"prompt\": \"x\", \"completion\": []}", "\"completion\" is a list, not a string"},
        {"{\"prompt\": [], \"completion\": \"x\"}", "\"prompt\" is a list of messages and \"completion\" is a string"},
        {"{\"prompt\": [], \"completion\": [1]}", "\"completion\": message 1: it is a number, not an object"},
        {"{\"input_ids\": \"x\"}", "\"input_ids\" is a string, not a list of numbers"},
        {"{\"input_ids\": [1, -1]}", "entry 2 of \"input_ids\" is not a whole number from 0"},
        {"{\"input_ids\": [1.5]}", "entry 1 of \"input_ids\" is not a whole number from 0"},
        {"{\"input_ids\": [1e300]}", "entry 1 of \"input_ids\" is not a whole number from 0"},
        {"{\"input_ids\": [1], \"labels\": [1, 2]}", "there are 2 labels for 1 input_ids"},
        {"{\"input_ids\": [1], \"labels\": [2]}", "label 1 is neither -100 nor the token there"},
        {"{\"input_ids\": [1], \"attention_mask\": []}", "there are 0 entries of attention_mask for 1 input_ids"},
        {"{\"input_ids\": [1, 2, 3], \"attention_mask\": [1, 0, 1]}",
            "\"attention_mask\" hides token 2 between others"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = parse(cases[i].json);
        CHECK_SAY(strstr(got, cases[i].want) == got, "%s: got \"%s\", want \"%s\"", cases[i].json, got, cases[i].want);
    }
    static const char zero[] = "{\"text\": \"a\0b\"}";
    CHECK_STRING(parse_bytes(zero, sizeof zero - 1), "it holds a NUL byte at column 12");
}

static void test_trainable(void)
{
    static const struct {
        const char *json, *want; // NULL: yes
    } cases[] = {
        {"{\"messages\": []}", "it has no messages"},
        {"{\"prompt\": \"x\"}", "it has no assistant message"},
        {"{\"prompt\": \"x\", \"completion\": \"\"}", "what would be trained has no text"},
        {"{\"prompt\": [], \"completion\": [{\"role\": \"assistant\", \"content\": \"x\", \"train\": false}]}",
            "nothing in it is to be trained (\"train\": false)"},
        {"{\"prompt\": \"x\", \"completion\": \"y\"}", NULL},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\", \"train\": true}]}", NULL},
        {"{\"text\": \"\"}", "its text is empty"},
        {"{\"text\": \"x\"}", NULL},
        {"{\"input_ids\": []}", "its input_ids are empty"},
        {"{\"input_ids\": [1]}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row row;
        e.text[0] = 0;
        CHECK(row_parse(&row, &arena, cases[i].json, strlen(cases[i].json), &e) == 0);
        CHECK((row_trainable(&row, &e) == 0) == !cases[i].want);
        CHECK_STRING(e.text, cases[i].want ? cases[i].want : "");
    }
}

// The rows of a file as "number:bytes number:bytes", then the error if there is one.
static const char *read_all(const char *folder, const char *name, const char *data, size_t bytes)
{
    static struct text t;
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
    t.bytes = 0;
    text_add(&t, "", 0);
    struct row_reader r;
    e.text[0] = 0;
    if (row_reader_open(&r, path, &e) == 0) {
        const char *row;
        size_t size;
        int more;
        while ((more = row_reader_next(&r, &row, &size, &e)) == 1) text_print(&t, "%u:%.*s ", r.number, (int)size, row);
        if (more < 0) text_print(&t, "! ");
        row_reader_close(&r);
    }
    if (e.text[0]) text_print(&t, "%s", e.text + (strstr(e.text, name) ? strstr(e.text, name) - e.text : 0));
    unlink(path);
    free(path);
    return t.data;
}

static void test_files(const char *folder)
{
#define READ(name, data) read_all(folder, name, data, sizeof(data) - 1)
    CHECK_STRING(READ("a.jsonl", "{1}\n{2}\n"), "1:{1} 2:{2} ");
    CHECK_STRING(READ("a.jsonl", "\xef\xbb\xbf{1}\r\n\r\n \t\n  {2}  \n{3}"), "1:{1} 4:{2} 5:{3} ");
    CHECK_STRING(READ("a.jsonl", "{1}\n[2]\nx"), "1:{1} 2:[2] 3:x ");
    CHECK_STRING(READ("a.jsonl", ""), "! a.jsonl holds no rows");
    CHECK_STRING(READ("a.jsonl", "\n\n"), "! a.jsonl holds no rows");
    CHECK_STRING(READ("a.JSON", "{1}\n{2}"), "1:{1} 2:{2} ");
    CHECK_STRING(READ("a.json", "[]"), "! a.json holds no rows");
    CHECK_STRING(READ("a.json", " \n[ ] \n"), "! a.json holds no rows");
    CHECK_STRING(READ("a.json", "\xef\xbb\xbf\n[{\"a\": \"],\\\"}[\"},\n {\"b\": [1, {}]} , 3\n]\n"),
        "1:{\"a\": \"],\\\"}[\"} 2:{\"b\": [1, {}]} 3:3 ");
    CHECK_STRING(READ("a.jsonl", "[1,2]"), "1:1 2:2 ");
    CHECK_STRING(READ("a.json", "[1,,2,]"), "1:1 2: 3:2 4: ");
    CHECK_STRING(
        READ("a.json", "[1, {\"a\": 2"), "1:1 ! a.json: element 2: the array does not go on and is not closed");
    CHECK_STRING(READ("a.json", "[1, \"x]"), "1:1 ! a.json: element 2: the array does not go on and is not closed");
    CHECK_STRING(READ("a.json", "["), "! a.json: element 1: the array does not go on and is not closed");
    CHECK_STRING(READ("a.json", "[1}, 2]"), "! a.json: element 1: the array does not go on and is not closed");
    CHECK_STRING(
        READ("a.json", "[1] {\"x\": 2}"), "! a.json: something follows the array, whose last element is number 1");
    CHECK_STRING(READ("a.jsonl", "\xff\xfe{\0}\0"), "a.jsonl: this is UTF-16; save it as UTF-8");
    CHECK_STRING(READ("a.csv", "x"),
        "a.csv: rows are read from .jsonl files (one JSON object a line) and .json files (an array)");
#undef READ
    struct row_reader r;
    CHECK(row_reader_open(&r, "nowhere/rows.jsonl", &e) == -1);
    CHECK_ERROR(e, "nowhere/rows.jsonl");
    char *place = row_place("f.jsonl", false, 12), *element = row_place("f.json", true, 3);
    CHECK_STRING(place, "f.jsonl:12");
    CHECK_STRING(element, "f.json: element 3");
    free(place);
    free(element);
}

// Mutated rows are read or refused; their text is valid and has no NUL.
static void test_mutations(void)
{
    static const char *const seeds[] = {
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\\u00e9\\ud83d\\ude00\xc3\xa9\"}, {\"role\": "
        "\"assistant\", "
        "\"content\": [{\"type\": \"text\", \"text\": \"b\\n\"}], \"train\": true}], \"answer\": 1e3}",
        "{\"instruction\": \"x\\u0041\", \"input\": \"y\", \"output\": \"z\", \"history\": [[\"a\", \"b\"]], "
        "\"system\": \"s\"}",
        "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, 3], \"attention_mask\": [1, 1, 0], \"choices\": [\"a\", "
        "\"b\"]}",
    };
    static const char alphabet[] = "{}[]\",:\\u0dn\x00\xff\xc3\xe2\x80 -1";
    uint64_t state = 11;
    size_t read = 0;
    for (int round = 0; round < 20000; round++) {
        char json[512];
        size_t bytes = strlen(seeds[round % 3]);
        memcpy(json, seeds[round % 3], bytes);
        for (uint32_t edits = 1 + test_random(&state) % 2; edits > 0; edits--) {
            size_t at = test_random(&state) % bytes;
            char c = alphabet[test_random(&state) % (sizeof alphabet - 1)];
            if (test_random(&state) % 3 == 0 && bytes > 1)
                memmove(json + at, json + at + 1, --bytes - at);
            else if (test_random(&state) % 2)
                json[at] = c;
            else
                memmove(json + at + 1, json + at, bytes++ - at), json[at] = c;
        }
        char *exact = mem_alloc(bytes); // so that a sanitizer sees the first byte too many
        struct row row;
        memcpy(exact, json, bytes);
        arena_reset(&arena);
        if (row_parse(&row, &arena, exact, bytes, &e) == 0) {
            read++;
            for (size_t i = 0; row.kind == ROW_MESSAGES && i < row.count; i++)
                CHECK(strlen(row.messages[i].text) == row.messages[i].bytes);
        }
        free(exact);
    }
    CHECK_SAY(read > 3000 && read < 15000, "%zu", read);
}

static void test_mutated_arrays(const char *folder)
{
    static const char seed[] = "[{\"a\": \"]\\\"\"}, {\"b\": [1, {}]}, 3]";
    uint64_t state = 13;
    size_t whole = 0;
    for (int round = 0; round < 600; round++) {
        char data[sizeof seed];
        memcpy(data, seed, sizeof seed);
        data[test_random(&state) % (sizeof seed - 1)] = "{}[]\",\\"[test_random(&state) % 7];
        whole += !strstr(read_all(folder, "a.json", data, sizeof seed - 1), "! ");
    }
    CHECK_SAY(whole > 100 && whole < 590, "%zu", whole);
}

int main(void)
{
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    test_formats();
    test_refusals();
    test_trainable();
    test_files(folder);
    test_mutations();
    test_mutated_arrays(folder);
    CHECK(folder_remove(folder, &e) == 0);
    arena_free(&arena);
    return test_end();
}
