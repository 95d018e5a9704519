// SPDX-License-Identifier: MIT
//
// lab-data: writes the data of the abilities lab (tools/lab): three abilities that a model of a few hundred thousand
// parameters can learn from bytes in a minute, and that share it with one another.
//
//   math      two steps of adding and taking away between 0 and 9, then GSM8K's mark
//             Ann has 8, eats 5, gets 3.          8-5=3 3+3=6 #### 6
//   code      Python's operations on a text
//             'kita'[::-1]                        'atik'
//   general   instructions about words; one kind of them asks what the words are
//             What is owl, and what is fig?       Owl is an animal, fig is a food.
//
// Each ability has a file to train on, one to test with, and one to pre-train on. A row has a key: the numbers and
// operations of a problem, the whole of the other questions. No two rows of all files have the same question, and no
// row has the key of one that is tested: whatever its words, it was never trained or pre-trained.
#include "data/draw.h"
#include "generator.h"

#include <stdlib.h>
#include <string.h>

static const char *pick(struct draw *draw, const char *const *words, uint32_t count)
{
    return words[draw_below(draw, count)];
}
#define PICK(draw, words) pick(draw, words, LENGTH(words))

// ---- math

enum { MOST = 9 }; // of anything

static void math_write(struct row *row, struct text *key, struct draw *draw)
{
    static const char *const names[] = {"Ann", "Ben", "Eva", "Ian", "Kim", "Leo", "Mia", "Tom"};
    static const char *const verbs[2][2] = {{"gets", "buys"}, {"eats", "gave"}};
    int sum = 1 + (int)draw_below(draw, MOST);
    text_print(&row->question, "%s has %d", PICK(draw, names), sum);
    for (int i = 0; i < 2; i++) {
        int minus, n, next;
        do { // nobody has less than nothing
            minus = (int)draw_below(draw, 2);
            n = 1 + (int)draw_below(draw, 9);
            next = minus ? sum - n : sum + n;
        } while (next < 0 || next > MOST);
        text_print(&row->question, ", %s %d", PICK(draw, verbs[minus]), n);
        text_print(&row->answer, "%d%c%d=%d ", sum, minus ? '-' : '+', n, next);
        sum = next;
    }
    text_print(&row->question, ".");
    text_print(key, "%s", row->answer.data);
    text_print(&row->answer, "#### %d", sum);
}

// ---- code

enum { LONGEST_VALUE = 32 };

struct operation {
    const char *spelling;
    void (*apply)(char *value); // (LONGEST_VALUE)
};

static void reverse(char *value)
{
    for (size_t i = 0, j = strlen(value); i + 1 < j; i++) {
        char c = value[i];
        value[i] = value[--j];
        value[j] = c;
    }
}

static void twice(char *value)
{
    size_t n = strlen(value);
    memcpy(value + n, value, n);
    value[2 * n] = 0;
}

static void skip_first(char *value)
{
    memmove(value, value + 1, strlen(value));
}

static void skip_last(char *value)
{
    value[strlen(value) - 1] = 0;
}

static void first_two(char *value)
{
    value[2] = 0;
}

static void upper(char *value)
{
    for (; *value; value++)
        if (*value >= 'a' && *value <= 'z') *value = (char)(*value - 'a' + 'A');
}

static void last(char *value)
{
    value[0] = value[strlen(value) - 1];
    value[1] = 0;
}

static void exclaim(char *value)
{
    strcpy(value + strlen(value), "!");
}

static const struct operation operations[] = {{"[::-1]", reverse}, {"*2", twice}, {"[1:]", skip_first},
    {"[:-1]", skip_last}, {"[:2]", first_two}, {"[-1]", last}, {".upper()", upper}, {"+'!'", exclaim}};

// A text of four letters, consonants and vowels in turn.
static void code_write(struct row *row, struct text *key, struct draw *draw)
{
    char value[LONGEST_VALUE];
    for (uint32_t i = 0; i < 4; i++) value[i] = (i % 2 ? "aeiou" : "bdfgklmnprst")[draw_below(draw, i % 2 ? 5 : 12)];
    value[4] = 0;
    const struct operation *operation = &operations[draw_below(draw, LENGTH(operations))];
    text_print(&row->question, "'%s'%s", value, operation->spelling);
    operation->apply(value);
    text_print(&row->answer, "'%s'", value);
    text_print(key, "%s", row->question.data);
}

// ---- general

static const struct {
    const char *name; // with its article
    const char *words[8];
} kinds[] = {
    {"an animal", {"cat", "cow", "dog", "fox", "hen", "owl", "pig", "rat"}},
    {"a food", {"bun", "egg", "fig", "ham", "jam", "nut", "pea", "yam"}},
    {"a tool", {"axe", "awl", "fan", "hoe", "mop", "pen", "rod", "saw"}},
    {"a plant", {"ash", "elm", "fir", "hop", "ivy", "oak", "rye", "yew"}},
};
enum { KINDS = LENGTH(kinds), WORDS = LENGTH(kinds->words) };

static void general_write(struct row *row, struct text *key, struct draw *draw)
{
    // {a}, {b}, {c}: different words; {X} is {a} with a capital, {kind} and {other} are those of {a} and {b}.
    static const struct {
        const char *question, *answer;
    } forms[] = {
        {"What is {a}, and what is {b}?", "{X} is {kind}, {b} is {other}."},
        {"List {a}, {b}, {c}.", "1 {a} 2 {b} 3 {c}"},
        {"Say {a} and {b} the other way round.", "{b} and {a}"},
        {"Put {a} between {b} and {c}.", "{b}, {a}, {c}"},
        {"Greet {a} and {b}.", "Hello {a}, hello {b}!"},
    };
    uint32_t word[3];
    const char *words[3], *kind[3];
    for (int i = 0; i < 3; i++) {
        do {
            word[i] = draw_below(draw, KINDS * WORDS);
        } while ((i > 0 && word[i] == word[0]) || (i > 1 && word[i] == word[1]));
        words[i] = kinds[word[i] / WORDS].words[word[i] % WORDS];
        kind[i] = kinds[word[i] / WORDS].name;
    }
    char capital[LONGEST_VALUE];
    snprintf(capital, sizeof capital, "%s", words[0]);
    capital[0] = (char)(capital[0] - 'a' + 'A');
    const struct field fields[] = {{"a", words[0]}, {"b", words[1]}, {"c", words[2]}, {"X", capital}, {"kind", kind[0]},
        {"other", kind[1]}, {NULL, NULL}};
    uint32_t form = draw_below(draw, LENGTH(forms));
    text_fill(&row->question, forms[form].question, fields);
    text_fill(&row->answer, forms[form].answer, fields);
    text_print(key, "%s", row->question.data);
}

// ---- files

// A set of texts: open addressing, at most half full.
struct set {
    char **texts; // (capacity), owned
    size_t count, capacity;
};

// The place of a text, or the empty one where it would be.
static char **set_place(const struct set *set, const char *text)
{
    size_t i = fnv1a(FNV_START, text, strlen(text)) % set->capacity;
    while (set->texts[i] && strcmp(set->texts[i], text) != 0) i = (i + 1) % set->capacity;
    return &set->texts[i];
}

static bool set_has(const struct set *set, const char *text)
{
    return set->capacity && *set_place(set, text);
}

// The text is not there yet.
static void set_add(struct set *set, const char *text)
{
    if (2 * set->count >= set->capacity) {
        struct set larger = {.count = set->count, .capacity = set->capacity ? 2 * set->capacity : 1024};
        larger.texts = mem_zero(larger.capacity, sizeof *larger.texts);
        for (size_t i = 0; i < set->capacity; i++)
            if (set->texts[i]) *set_place(&larger, set->texts[i]) = set->texts[i];
        free(set->texts);
        *set = larger;
    }
    *set_place(set, text) = mem_string(text);
    set->count++;
}

static void set_free(struct set *set)
{
    for (size_t i = 0; i < set->capacity; i++) free(set->texts[i]);
    free(set->texts);
}

struct ability {
    const char *name;
    void (*write)(struct row *row, struct text *key, struct draw *draw);
    uint64_t rows;     // to train on
    uint64_t pretrain; // to pre-train on
};

// What an ability's files hold so far.
struct drawn {
    struct set questions, tested; // of all rows; the keys of those to test with
};

// Adds `rows` rows to `file`: of new keys when they are to test with, else of keys that are not tested.
static int rows_add(struct text *file, bool test, uint64_t rows, const struct ability *ability, struct drawn *drawn,
    struct draw *draw, struct error *e)
{
    for (uint64_t misses = 0; rows && misses < 10000; misses++) {
        struct row row = {0};
        struct text key = {0};
        ability->write(&row, &key, draw);
        if (!set_has(&drawn->tested, key.data) && !set_has(&drawn->questions, row.question.data)) {
            set_add(&drawn->questions, row.question.data);
            if (test) set_add(&drawn->tested, key.data);
            text_add_chat(file, &row);
            rows--;
            misses = 0;
        }
        row_free(&row);
        text_free(&key);
    }
    if (!rows) return 0;
    return error_set(e, "%s has about %zu different questions; ask for fewer", ability->name, drawn->questions.count);
}

static int file_write(
    const char *folder, const char *name, const char *suffix, const struct text *file, struct error *e)
{
    char *base = mem_format("%s%s.jsonl", name, suffix), *path = path_join(folder, base);
    int status = file_write_atomic(path, file->data, file->bytes, e);
    free(path);
    free(base);
    return status;
}

// Rows to test with are drawn first, so that they stay the same whatever the other numbers are.
static int ability_write(
    const char *folder, const struct ability *ability, uint64_t test, uint64_t seed, struct error *e)
{
    const struct {
        const char *suffix;
        bool test;
        uint64_t rows;
    } files[] = {{"_test", true, test}, {"", false, ability->rows}, {"_pretrain", false, ability->pretrain}};
    struct drawn drawn = {0};
    struct draw draw = draw_start("lab", ability->name, seed, 0, 0);
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < LENGTH(files); i++) {
        struct text file = {0};
        status = rows_add(&file, files[i].test, files[i].rows, ability, &drawn, &draw, e);
        if (status == 0) status = file_write(folder, ability->name, files[i].suffix, &file, e);
        text_free(&file);
    }
    set_free(&drawn.questions);
    set_free(&drawn.tested);
    return status;
}

static const char usage[] =
    "usage: lab-data [--math ROWS] [--code ROWS] [--general ROWS] [--test ROWS] [--seed N] FOLDER\n"
    "\n"
    "Writes the abilities lab's rows, for each of math, code and general: ABILITY.jsonl to train on, "
    "ABILITY_test.jsonl\n"
    "to test with, ABILITY_pretrain.jsonl to pre-train on. No question stands in two places. The same numbers "
    "give the same\n"
    "files, on every machine; without any they are those of the lab: 2,048, 1,024 and 2,048 rows, 200 to test "
    "with.\n"
    "\n"
    "example: build/lab-data runs/lab-data\n";

int main(int count, char **arguments)
{
    struct ability abilities[] = {
        {"math", math_write, 2048, 1536}, {"code", code_write, 1024, 1536}, {"general", general_write, 2048, 2048}};
    uint64_t test = 200, seed = 42;
    const char *folder;
    const struct number numbers[] = {{"--math", &abilities[0].rows, 0, 1000000}, {"--code", &abilities[1].rows, 0, 1000000},
        {"--general", &abilities[2].rows, 0, 1000000}, {"--test", &test, 0, 1000000}, {"--seed", &seed, 0, UINT64_MAX}, {0}};
    int status = arguments_read(&folder, numbers, usage, count, arguments);
    if (status >= 0) return status;
    struct error e = {0};
    status = folder_make(folder, &e);
    for (uint32_t i = 0; status == 0 && i < LENGTH(abilities); i++)
        status = ability_write(folder, &abilities[i], test, seed, &e);
    return program_end(status, usage, &e);
}
