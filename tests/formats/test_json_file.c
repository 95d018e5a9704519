// SPDX-License-Identifier: MIT
#include "formats/json_file.h"
#include "test.h"

#include <unistd.h>

// Reads from memory of exactly that size, so that the sanitizer sees a read beyond it.
static cJSON *read_bytes(const void *text, size_t bytes, struct error *e)
{
    char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    cJSON *value = json_read_text("f.json", copy, bytes, e);
    free(copy);
    return value;
}

// A row says its place once.
static void row(void)
{
    struct error e = {0};
    CHECK(!json_read_row("f.jsonl:4", "{\"a\": b}", 8, &e));
    CHECK_STRING(e.text, "f.jsonl:4: at column 7: expected a value, near `b}`");
    CHECK(!json_read_row("f.json: element 2", "{\n1", 3, &e));
    CHECK_STRING(e.text, "f.json: element 2: in its line 2, at column 1: expected a key in double quotes, near `1`");
}

static void accepted(void)
{
    static const char *const texts[] = {"null", " true ", "false\n", "0", "-0", "-0.5e-7", "1E+2",
        "123456789012345678901", "\"\"", "[]", "{}", "[ ]", "{ }", "[1,[2,[3]]]",
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}", "[1e308]", "[1e-400]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", "\"\x7f \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"",
        "\xef\xbb\xbf{}", "\r\n\t [1 ,\r\n2 ]\t", "{\"\":1,\" \":2}", "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\"",
        "0.10000000000000000555111512312578270211815834045410156250000"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error e = {0};
        cJSON *value = read_bytes(texts[i], strlen(texts[i]), &e);
        CHECK_SAY(value && !*e.text, "%s: %s", texts[i], e.text);
        cJSON_Delete(value);
    }
    struct error e = {0};
    const char text[] = "{\"a\":[1,-2.5,\"\\ud83d\\ude00\\u20ac\\u00e9\\u007f\"],\"b\":true}";
    cJSON *value = read_bytes(text, sizeof text - 1, &e);
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(value, "a");
    CHECK(cJSON_GetArraySize(a) == 3 && a->child->valuedouble == 1 && a->child->next->valuedouble == -2.5);
    CHECK_STRING(cJSON_GetStringValue(cJSON_GetArrayItem(a, 2)), "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9\x7f");
    CHECK(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(value, "b")));
    cJSON_Delete(value);
}

// Each text with the place of its fault and a part of the sentence.
static const struct refusal {
    const char *text, *want;
} refusals[] = {
    {"", "f.json:1:1: expected a JSON value, but the text ends here"},
    {" \n ", "f.json:2:2: expected a JSON value, but the text ends here"},
    {"\xef\xbb\xbf", "f.json:1:1: expected a JSON value"},
    {"{\"a\": 1,\n \"b\": 2\n \"c\": 3}", "f.json:3:2: expected ',' or '}', near `\"c\": 3}`"},
    {"{\"a\": 1,\n}", "f.json:2:1: expected a key (is there a comma too many before it?), near `}`"},
    {"[1,2,]", "f.json:1:6: expected a value (is there a comma too many before it?), near `]`"},
    {"[1,,2]", "f.json:1:4: expected a value, near `,2]`"}, {"[1 2]", "f.json:1:4: expected ',' or ']', near `2]`"},
    {"{a: 1}", "f.json:1:2: expected a key in double quotes, near `a: 1}`"},
    {"{'a': 1}", "f.json:1:2: expected a key in double quotes"},
    {"{1: 1}", "f.json:1:2: expected a key in double quotes"},
    {"{\"a\" 1}", "f.json:1:6: expected ':' after the key, near `1}`"},
    {"{\"a\"", "f.json:1:5: expected ':' after the key, but the text ends here"},
    {"{\"a\":", "f.json:1:6: expected a value, but the text ends here"},
    {"{", "f.json:1:2: expected a key in double quotes, but the text ends here"},
    {"[", "f.json:1:2: expected a value, but the text ends here"},
    {"[1", "f.json:1:3: expected ',' or ']', but the text ends here"}, {"]", "f.json:1:1: expected a value"},
    {"{} {}", "f.json:1:4: expected nothing after the value, near `{}`"},
    {"1 x", "f.json:1:3: expected nothing after the value, near `x`"},
    {"{}\n{}", "f.json:2:1: expected nothing after the value"},
    {"// no\n{}", "f.json:1:1: expected a value (JSON has no comments)"},
    {"[1, /* no */ 2]", "f.json:1:5: expected a value (JSON has no comments)"}, {"# no", "JSON has no comments"},
    {"[True]", "f.json:1:2: expected a value (write true)"}, {"[False]", "write false"}, {"[None]", "write null"},
    {"[NaN]", "JSON has finite numbers only"}, {"[Infinity]", "JSON has finite numbers only"},
    {"[-Infinity]", "f.json:1:2: expected a number after '-'"}, {"['x']", "strings stand in double quotes"},
    {"[tru]", "f.json:1:2: expected a value, near `tru]`"}, {"nul", "f.json:1:1: expected a value"},
    {"[truex]", "f.json:1:6: expected ',' or ']'"}, {"[01]", "f.json:1:2: a number must not begin with 0"},
    {"[-01]", "a number must not begin with 0"}, {"[+1]", "f.json:1:2: expected a value"},
    {"[.5]", "f.json:1:2: expected a value"}, {"[1.]", "a number needs a digit after its point"},
    {"[1.e5]", "a number needs a digit after its point"}, {"[1e]", "a number needs a digit in its exponent"},
    {"[1e+]", "a number needs a digit in its exponent"}, {"[0x10]", "f.json:1:3: expected ',' or ']'"},
    {"[-]", "expected a number after '-'"}, {"[1e309]", "f.json:1:2: the number is too large"},
    {"[-1e999]", "the number is too large"},
    {"[1,2222222222222222222222222222222222222222222222222222222222222222]", "a number of more than 63 characters"},
    {"\"abc", "f.json:1:1: this string has no closing quote"},
    {"[\"abc\n\"]", "f.json:1:2: this string has no closing quote on its line"},
    {"[\"a\tb\"]", "f.json:1:4: a control character (byte 0x09) in a string must be written as an escape"},
    {"[\"\\x41\"]", "f.json:1:3: a backslash in a string must be followed by one of"},
    {"[\"\\", "a backslash in a string must be followed by one of"},
    {"[\"\\u12g4\"]", "\\u must be followed by four hexadecimal digits"},
    {"[\"\\u12", "\\u must be followed by four hexadecimal digits"},
    {"[\"\\u0000\"]", "f.json:1:3: \\u0000 in a string cannot be kept"}, {"[\"\\ud83d\"]", "half of a surrogate pair"},
    {"[\"\\ud83dx\"]", "half of a surrogate pair"}, {"[\"\\ud83d\\u0041\"]", "half of a surrogate pair"},
    {"[\"\\ud83d\\ud83d\"]", "half of a surrogate pair"}, {"[\"\\ude00\"]", "half of a surrogate pair"},
    {"[\"\xff\"]", "f.json:1:3: invalid UTF-8, near `\\xff\"]`"}, {"[\"\xc3\"]", "invalid UTF-8"},
    {"[\"\xc0\xaf\"]", "invalid UTF-8"},         // two bytes where one would do
    {"[\"\xe0\x80\xaf\"]", "invalid UTF-8"},     // three
    {"[\"\xf0\x80\x80\xaf\"]", "invalid UTF-8"}, // four
    {"[\"\xed\xa0\x80\"]", "invalid UTF-8"},     // a surrogate
    {"[\"\xf4\x90\x80\x80\"]", "invalid UTF-8"}, // beyond U+10FFFF
    {"[\"\xe2\x82", "invalid UTF-8"}, {"\xff\xfe{", "f.json:1:1: expected a value"},
    {"{\"a\":1,\n\"b\":2,\n  \"a\":3}", "f.json:3:3: the key \"a\" stands twice in one object"},
    {"{\"a\":1,\"\\u0061\":2}", "f.json:1:8: the key \"a\" stands twice in one object"},
    {"[{\"x\":{\"k\":1,\"l\":1,\"m\":2,\"k\":3}}]", "the key \"k\" stands twice in one object"},
    {"{\"\":1,\"\":2}", "the key \"\" stands twice in one object"},
    {"[\"\xe2\x82\xac\xc3\xa9\", x]", "f.json:1:8: expected a value"}, // columns count characters
};

static void refused(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct error e = {0};
        cJSON *value = read_bytes(refusals[i].text, strlen(refusals[i].text), &e);
        CHECK_SAY(value == NULL, "accepted: %s", refusals[i].text);
        CHECK_SAY(strstr(e.text, refusals[i].want) != NULL, "error is \"%s\", want \"%s\"", e.text, refusals[i].want);
        CHECK(strchr(e.text, '\n') == NULL);
        cJSON_Delete(value);
    }
    struct error e = {0};
    CHECK(read_bytes("[1\0]", 4, &e) == NULL);
    CHECK_ERROR(e, "f.json:1:3: expected ',' or ']', near `\\x00]`");
    CHECK(read_bytes("[\"a\0b\"]", 7, &e) == NULL);
    CHECK_ERROR(e, "f.json:1:4: a control character (byte 0x00)");
    CHECK(read_bytes("[1]\0", 4, &e) == NULL);
    CHECK_ERROR(e, "f.json:1:4: expected nothing after the value");
}

static void depth(void)
{
    for (int extra = 0; extra < 2; extra++) {
        struct text t = {0};
        for (int i = 0; i < JSON_DEPTH + extra; i++) text_print(&t, i % 2 ? "[" : "{\"k\":");
        text_print(&t, "1");
        for (int i = JSON_DEPTH + extra; i-- > 0;) text_print(&t, i % 2 ? "]" : "}");
        struct error e = {0};
        cJSON *value = read_bytes(t.data, t.bytes, &e);
        CHECK((value != NULL) == (extra == 0));
        if (extra) CHECK_ERROR(e, "nested more than 200 levels deep");
        cJSON_Delete(value);
        text_free(&t);
    }
    // A million brackets must not be followed to their end.
    char *deep = malloc(1000000);
    memset(deep, '[', 1000000);
    struct error e = {0};
    CHECK(read_bytes(deep, 1000000, &e) == NULL);
    CHECK_ERROR(e, "f.json:1:201: nested more than 200 levels deep");
    free(deep);
}

// An object as large as a vocabulary, with and without a repeated key at its ends.
static void vocabulary(void)
{
    struct text t = {0};
    text_print(&t, "{");
    for (int i = 0; i < 200000; i++) text_print(&t, "\"token%d\": %d,\n", i, i);
    size_t before = t.bytes;
    text_print(&t, "\"last\": 1}");
    struct error e = {0};
    double start = clock_seconds();
    cJSON *value = read_bytes(t.data, t.bytes, &e);
    CHECK(value != NULL);
    int i = 0;
    for (const cJSON *item = value ? value->child : NULL; item; item = item->next)
        if (i < 200000) CHECK(item->valuedouble == i++);
    CHECK(i == 200000);
    cJSON_Delete(value);
    t.bytes = before;
    text_print(&t, "\"token0\": 1}");
    CHECK(read_bytes(t.data, t.bytes, &e) == NULL);
    CHECK_ERROR(e, "f.json:200001:1: the key \"token0\" stands twice in one object");
    CHECK_SAY(clock_seconds() - start < 20, "two vocabularies took %g s", clock_seconds() - start); // not quadratic
    text_free(&t);
}

static void files(void)
{
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *path = path_join(folder, "x.json");
    struct error e = {0};
    CHECK(json_read_file(path, &e) == NULL);
    CHECK_ERROR(e, "x.json: cannot be opened");
    CHECK(json_read_file(folder, &e) == NULL);
    CHECK(file_write_atomic(path, "", 0, &e) == 0 && json_read_file(path, &e) == NULL);
    CHECK_ERROR(e, "x.json:1:1: expected a JSON value, but the text ends here");

    cJSON *value = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(value, "numbers");
    const double numbers[] = {0.1, 1.0 / 3, 0.1 + 0.2, 1e300, 5e-324, -2e-5, 9007199254740991, 4294967296, 1, -0.0};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    for (int i = 0; i < COUNT; i++) cJSON_AddItemToArray(list, cJSON_CreateNumber(numbers[i]));
    cJSON_AddStringToObject(value, "text \"\n", "tab\t \xe2\x82\xac \\ /");
    cJSON_AddNumberToObject(value, "nan", NAN);
    CHECK(json_write_file(path, value, &e) == 0);
    cJSON *back = json_read_file(path, &e);
    CHECK_SAY(back != NULL, "%s", e.text);
    const cJSON *read = cJSON_GetObjectItemCaseSensitive(back, "numbers");
    CHECK(cJSON_GetArraySize(read) == COUNT);
    for (int i = 0; i < COUNT; i++) CHECK(cJSON_GetArrayItem(read, i)->valuedouble == numbers[i]);
    CHECK_STRING(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(back, "text \"\n")), "tab\t \xe2\x82\xac \\ /");
    CHECK(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(back, "nan")));
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0 && f.data[f.bytes - 1] == '\n');
    file_unmap(&f);
    CHECK(json_write_file("/nowhere/at/all.json", value, &e) == -1);
    CHECK_ERROR(e, "/nowhere/at/all.json");
    cJSON_Delete(value), cJSON_Delete(back);
    CHECK(folder_remove(folder, &e) == 0);
    free(path);
}

// Whatever comes of mutations: an error of one line, or a tree that prints and reads again as itself.
static void mutations(void)
{
    static const char base[] =
        "{\"model_type\": \"llama\", \"rope\": {\"theta\": 1e4, \"list\": [1, -2.5, true, null]},\n"
        " \"t\\u00e9xt\": \"\xe2\x82\xac \\ud83d\\ude00 \\n\", \"e\": {}, \"f\": [[], [\"a\"]]}";
    uint64_t seed = 7;
    int good = 0;
    for (int round = 0; round < 20000; round++) {
        char text[2 * sizeof base];
        size_t bytes = sizeof base - 1;
        memcpy(text, base, bytes);
        for (uint32_t n = 1 + test_random(&seed) % 3; n; n--) {
            size_t at = test_random(&seed) % bytes, kind = test_random(&seed) % 4;
            if (kind == 0)
                text[at] = (char)test_random(&seed);
            else if (kind == 1)
                text[at] = "{}[]\",:\\u0e9-. tfn"[test_random(&seed) % 18];
            else if (kind == 2 && bytes > 1)
                memmove(text + at, text + at + 1, --bytes - at);
            else
                bytes = at + 1;
        }
        struct error e = {0};
        cJSON *value = read_bytes(text, bytes, &e);
        if (!value) {
            CHECK(strncmp(e.text, "f.json:", 7) == 0 && strchr(e.text, '\n') == NULL);
            continue;
        }
        good++;
        char *print = cJSON_Print(value);
        cJSON *again = read_bytes(print, strlen(print), &e);
        CHECK_SAY(again && cJSON_Compare(value, again, 1), "%s %s", print, e.text);
        free(print);
        cJSON_Delete(value), cJSON_Delete(again);
    }
    CHECK_SAY(good > 1000, "%d of 20000 mutations were still JSON", good);
    for (size_t n = 0; n < sizeof base - 1; n++) {
        struct error e = {0};
        CHECK(read_bytes(base, n, &e) == NULL && *e.text);
    }
}

int main(void)
{
    row();
    accepted();
    refused();
    depth();
    vocabulary();
    files();
    mutations();
    return test_end();
}
