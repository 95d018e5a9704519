// SPDX-License-Identifier: MIT
//
// abilities-data: writes ten small abilities for experiments on how each grows with the rows it is given (Song et al.,
// "Dynamics of instruction fine-tuning", arXiv 2310.19651), small enough for a model of half a million weights:
//
//   role      rank        reply as a pirate, a king, ...      compare   true_false  47 > 23
//   letter    rank        invite somebody to something        logic     true_false  all a are b, all b are c
//   category  choice      which of four words is an animal    add       numeric     12+7=
//   plural    cloze       one box, two ___                    sort      exact       four letters
//   sequence  cloze       3 7 11 ___                          reverse   exact       four letters
//
// Questions are drawn until there are enough that differ: the first ones are for testing, the next ones for validation,
// the others for training, so that nothing tested was trained. `base` is plain text for a model to begin with: the same
// matters in other words, ability by ability in turn, none of them about a question of testing or validation (but the
// fifty words of category are the same everywhere). `base_valid` is such text about questions of validation.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "data/draw.h"
#include "formats/json_file.h"
#include "generator.h"

struct item {
    char question[120], answer[80];
    char fact[160];      // the same in other words
    char key[120];       // what it is about, whatever is asked of it; "": the question says it all
    char choices[4][80]; // (choice_count); rank: the answer and others that are worse
    uint32_t choice_count;
};

#define PRINT(to, ...) ((void)snprintf((to), sizeof(to), __VA_ARGS__))

// ---- words ---------------------------------------------------------------------------------------------------------

static const char consonants[] = "bdfgklmnprstvz", vowels[] = "aeiou";

static char any_letter(struct draw *d, const char *letters)
{
    return letters[draw_below(d, (uint32_t)strlen(letters))];
}

// A made-up word of so many syllables, "kalo"; to holds 2 * syllables + 1 bytes.
static void make_word(char *to, uint32_t syllables, struct draw *d)
{
    for (uint32_t i = 0; i < syllables; i++) {
        *to++ = any_letter(d, consonants);
        *to++ = any_letter(d, vowels);
    }
    *to = 0;
}

static void make_name(char to[5], struct draw *d)
{
    make_word(to, 2, d);
    to[0] = (char)(to[0] - 'a' + 'A');
}

// `count` different ones of 0 .. n-1.
static void pick(uint32_t *to, uint32_t count, uint32_t n, struct draw *d)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        to[i] = draw_below(d, n);
        while (k < i && to[k] != to[i]) k++;
        if (k < i) i--;
    }
}

// ---- the abilities -------------------------------------------------------------------------------------------------

static void role_make(struct item *out, struct draw *d)
{
    static const struct {
        const char *name, *before, *after;
    } roles[] = {{"pirate", "arr, ", ", matey!"}, {"king", "hear us: ", "."}, {"child", "um ", " hihi"},
        {"robot", "beep. ", ". beep."}, {"poet", "o ", ", my muse"}, {"judge", "order! ", "!"}};
    static const char *const acts[][2] = {{"greet", "hello"}, {"thank", "thanks"}, {"warn", "beware"}};
    char name[5];
    uint32_t act = draw_below(d, LENGTH(acts)), role[3];
    make_name(name, d);
    pick(role, 3, LENGTH(roles), d);
    PRINT(out->question, "%s, %s %s: ", roles[role[0]].name, acts[act][0], name);
    for (uint32_t i = 0; i < 3; i++)
        PRINT(out->choices[i], "%s%s %s%s", roles[role[i]].before, acts[act][1], name, roles[role[i]].after);
    out->choice_count = 3;
    PRINT(out->answer, "%s", out->choices[0]);
    PRINT(out->fact, "a %s says %s", roles[role[0]].name, out->choices[0]);
}

static void letter_make(struct item *out, struct draw *d)
{
    static const char *const things[] = {"tea", "lunch", "chess", "golf", "a dance", "a film"};
    static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
    char name[5], other[5];
    uint32_t thing[2], day = draw_below(d, LENGTH(days));
    make_name(name, d);
    do make_name(other, d);
    while (strcmp(name, other) == 0);
    pick(thing, 2, LENGTH(things), d);
    PRINT(out->question, "%s to %s on %s: ", name, things[thing[0]], days[day]);
    PRINT(out->choices[0], "Dear %s, come to %s on %s.", name, things[thing[0]], days[day]);
    PRINT(out->choices[1], "Dear %s, come to %s on %s.", other, things[thing[0]], days[day]);
    PRINT(out->choices[2], "Dear %s, come to %s on %s.", name, things[thing[1]], days[day]);
    out->choice_count = 3;
    PRINT(out->answer, "%s", out->choices[0]);
    PRINT(out->fact, "%s came to %s on %s", name, things[thing[0]], days[day]);
}

static void category_make(struct item *out, struct draw *d)
{
    static const struct {
        const char *name, *words[10];
    } kinds[] = {{"animal", {"cat", "dog", "cow", "pig", "hen", "fox", "owl", "bee", "ant", "elk"}},
        {"color", {"red", "blue", "green", "black", "white", "pink", "gray", "gold", "brown", "teal"}},
        {"tool", {"saw", "axe", "drill", "nail", "rake", "spade", "file", "clamp", "hoe", "level"}},
        {"food", {"rice", "soup", "bread", "egg", "jam", "nut", "corn", "pie", "tofu", "leek"}},
        {"body", {"arm", "leg", "ear", "nose", "hand", "toe", "chin", "knee", "hip", "lip"}}};
    uint32_t kind[4], right = draw_below(d, 4);
    pick(kind, 4, LENGTH(kinds), d);
    const char *word[4];
    for (uint32_t i = 0; i < 4; i++) word[i] = kinds[kind[i]].words[draw_below(d, 10)];
    PRINT(out->question, "%s? A %s B %s C %s D %s: ", kinds[kind[right]].name, word[0], word[1], word[2], word[3]);
    for (uint32_t i = 0; i < 4; i++) PRINT(out->choices[i], "%c", (char)('A' + i));
    out->choice_count = 4;
    PRINT(out->answer, "%s", out->choices[right]);
    PRINT(out->fact, "the word %s means %s", word[right], kinds[kind[right]].name);
}

static void plural_make(struct item *out, struct draw *d)
{
    static const struct {
        const char *one, *two;
    } ends[] = {{"n", "ns"}, {"k", "ks"}, {"lt", "lts"}, {"s", "ses"}, {"x", "xes"}, {"ch", "ches"}, {"ry", "ries"}, {"f", "ves"}};
    char stem[5];
    uint32_t end = draw_below(d, LENGTH(ends));
    make_word(stem, 1 + draw_below(d, 2), d);
    PRINT(out->question, "one %s%s, two ___: ", stem, ends[end].one);
    PRINT(out->answer, "%s%s", stem, ends[end].two);
    PRINT(out->fact, "here is a %s%s and there are %s", stem, ends[end].one, out->answer);
}

static void sequence_make(struct item *out, struct draw *d)
{
    uint32_t a = draw_below(d, 100), step = 1 + draw_below(d, 25);
    PRINT(out->question, "%" PRIu32 " %" PRIu32 " %" PRIu32 " ___: ", a, a + step, a + 2 * step);
    PRINT(out->answer, "%" PRIu32, a + 3 * step);
    PRINT(out->fact, "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32, a, a + step, a + 2 * step, a + 3 * step);
}

static void compare_make(struct item *out, struct draw *d)
{
    uint32_t n[2];
    pick(n, 2, 100, d);
    bool more = draw_below(d, 2);
    PRINT(out->question, "%" PRIu32 " %c %" PRIu32 ", true or false? ", n[0], more ? '>' : '<', n[1]);
    PRINT(out->answer, "%s", (n[0] > n[1]) == more ? "true" : "false");
    PRINT(out->key, "%" PRIu32 " %" PRIu32, n[n[0] > n[1]], n[n[0] < n[1]]);
    PRINT(out->fact, "%" PRIu32 " is %s than %" PRIu32, n[0], n[0] > n[1] ? "more" : "less", n[1]);
}

static void logic_make(struct item *out, struct draw *d)
{
    char word[3][3];
    bool yes = draw_below(d, 2);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t k = 0;
        make_word(word[i], 1, d);
        while (k < i && strcmp(word[k], word[i]) != 0) k++;
        if (k < i) i--;
    }
    PRINT(out->question, "all %s are %s. all %s are %s. all %s are %s? ", word[0], word[1], word[1], word[2],
        word[yes ? 0 : 2], word[yes ? 2 : 0]);
    PRINT(out->answer, "%s", yes ? "yes" : "no");
    PRINT(out->key, "%s %s %s", word[0], word[1], word[2]);
    PRINT(out->fact, "all %s are %s, all %s are %s, so all %s are %s", word[0], word[1], word[1], word[2], word[0], word[2]);
}

static void add_make(struct item *out, struct draw *d)
{
    uint32_t a = draw_below(d, 50), b = draw_below(d, 50);
    PRINT(out->question, "%" PRIu32 "+%" PRIu32 "=", a, b);
    PRINT(out->answer, "%" PRIu32, a + b);
    PRINT(out->fact, "%" PRIu32 " and %" PRIu32 " make %" PRIu32, a, b, a + b);
}

static void sort_make(struct item *out, struct draw *d)
{
    uint32_t letter[4];
    char word[5] = "", sorted[5] = "";
    pick(letter, 4, 10, d);
    for (uint32_t i = 0, n = 0; i < 10; i++)
        for (uint32_t k = 0; k < 4; k++)
            if (letter[k] == i) sorted[n++] = (char)('a' + i);
    for (uint32_t k = 0; k < 4; k++) word[k] = (char)('a' + letter[k]);
    PRINT(out->question, "sort %s: ", word);
    PRINT(out->answer, "%s", sorted);
    PRINT(out->fact, "the letters of %s in order are %s", word, sorted);
}

static void reverse_make(struct item *out, struct draw *d)
{
    char word[5] = "", back[5] = "";
    for (uint32_t k = 0; k < 4; k++) word[k] = back[3 - k] = (char)('a' + draw_below(d, 26));
    PRINT(out->question, "reverse %s: ", word);
    PRINT(out->answer, "%s", back);
    PRINT(out->fact, "%s read from the end is %s", word, back);
}

static const struct ability {
    const char *name;
    uint32_t rows; // to train on
    void (*make)(struct item *item, struct draw *draw);
} abilities[] = {{"role", 1000, role_make}, {"letter", 1000, letter_make}, {"category", 1000, category_make},
    {"plural", 1042, plural_make}, {"sequence", 1500, sequence_make}, {"compare", 2000, compare_make},
    {"logic", 2500, logic_make}, {"add", 2000, add_make}, {"sort", 4000, sort_make}, {"reverse", 4000, reverse_make}};

enum { HELD_OUT = 100, FACTS = 1000, FACTS_VALID = 20 }; // rows of each ability: of testing, and as many of validation; base

// ---- files ---------------------------------------------------------------------------------------------------------

// What there is already: hashes of its keys, in the order in which they came.
struct seen {
    uint64_t *hashes; // (count)
    uint32_t count, capacity;
};

static uint64_t hash_of(const struct item *item)
{
    const char *key = item->key[0] ? item->key : item->question;
    return fnv1a(FNV_START, key, strlen(key));
}

static bool is_seen(const struct seen *s, uint32_t among, uint64_t hash)
{
    for (uint32_t i = 0; i < among; i++)
        if (s->hashes[i] == hash) return true;
    return false;
}

static void add_line(struct text *to, cJSON *row)
{
    char *line = json_print(row, false);
    text_print(to, "%s\n", line);
    free(line);
    cJSON_Delete(row);
}

static cJSON *message(const char *role, const char *text)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "role", role);
    cJSON_AddStringToObject(object, "content", text);
    return object;
}

static void add_row(struct text *to, const struct item *item)
{
    cJSON *row = cJSON_CreateObject(), *messages = cJSON_AddArrayToObject(row, "messages");
    cJSON_AddItemToArray(messages, message("user", item->question));
    cJSON_AddItemToArray(messages, message("assistant", item->answer));
    if (item->choice_count) {
        cJSON *choices = cJSON_AddArrayToObject(row, "choices");
        for (uint32_t i = 0; i < item->choice_count; i++)
            cJSON_AddItemToArray(choices, cJSON_CreateString(item->choices[i]));
    }
    add_line(to, row);
}

static int write_file(const char *folder, const char *name, const char *suffix, struct text *text, struct error *e)
{
    char *file = mem_format("%s%s.jsonl", name, suffix), *path = path_join(folder, file);
    int status = file_write_atomic(path, text->data, text->bytes, e);
    free(path);
    free(file);
    text_free(text);
    return status;
}

static void add_fact(struct text *to, const struct item *item)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "text", item->fact);
    add_line(to, row);
}

// Adds `count` rows that are about something new, and the facts of the first of them to facts[].
static int add_rows(struct text *to, const struct ability *a, uint32_t count, struct seen *seen, struct draw *d,
    struct text *facts, uint32_t fact_count, struct error *e)
{
    for (uint32_t tries = 0, n = 0; n < count; tries++) {
        struct item item = {0};
        if (tries == 1000000) return error_set(e, "%s has not so many different questions: ask for fewer rows", a->name);
        a->make(&item, d);
        uint64_t hash = hash_of(&item);
        if (is_seen(seen, seen->count, hash)) continue;
        GROW(seen->hashes, seen->count, seen->capacity);
        seen->hashes[seen->count++] = hash;
        add_row(to, &item);
        if (n < fact_count) add_fact(&facts[n], &item);
        n++;
    }
    return 0;
}

// base (FACTS), base_valid (FACTS_VALID): one text for each place, so that the abilities take turns in the files.
static int write_ability(const char *folder, const struct ability *a, uint32_t rows, uint64_t seed, struct text *base,
    struct text *base_valid, struct error *e)
{
    struct draw d = draw_start("abilities", a->name, seed, 0, 0);
    struct seen seen = {0};
    struct text test = {0}, valid = {0}, train = {0};
    int status = add_rows(&test, a, HELD_OUT, &seen, &d, NULL, 0, e);
    if (status == 0) status = add_rows(&valid, a, HELD_OUT, &seen, &d, base_valid, FACTS_VALID, e);
    uint32_t held_out = seen.count;
    if (status == 0) status = add_rows(&train, a, rows, &seen, &d, NULL, 0, e);
    for (uint32_t n = 0; n < FACTS && status == 0;) {
        struct item item = {0};
        a->make(&item, &d);
        if (!is_seen(&seen, held_out, hash_of(&item))) add_fact(&base[n++], &item);
    }
    if (status == 0) status = write_file(folder, a->name, "_test", &test, e);
    if (status == 0) status = write_file(folder, a->name, "_valid", &valid, e);
    if (status == 0) status = write_file(folder, a->name, "", &train, e);
    text_free(&test);
    text_free(&valid);
    text_free(&train);
    free(seen.hashes);
    return status;
}

// Joins the parts (count) to a file, and frees them.
static int write_parts(const char *folder, const char *suffix, struct text *parts, uint32_t count, int status, struct error *e)
{
    struct text all = {0};
    for (uint32_t i = 0; i < count; i++) {
        text_add(&all, parts[i].data ? parts[i].data : "", parts[i].bytes);
        text_free(&parts[i]);
    }
    if (status == 0) status = write_file(folder, "base", suffix, &all, e);
    text_free(&all);
    return status;
}

static const char usage[] =
    "usage: abilities-data [--train ROWS] [--seed N] FOLDER\n"
    "\n"
    "Writes ten small abilities: NAME.jsonl to train on (1,000 to 4,000 rows, or as many as --train says), NAME_valid.jsonl\n"
    "and NAME_test.jsonl (100 rows each, none of them trained), and plain text to train a model on first: base.jsonl\n"
    "(10,000 rows) and base_valid.jsonl (200).\n"
    "The names and their metrics: role rank, letter rank, category choice, plural cloze, sequence cloze, compare\n"
    "true_false, logic true_false, add numeric, sort exact, reverse exact. The same numbers give the same files.\n"
    "\n"
    "example: build/abilities-data runs/abilities-data\n";

int main(int count, char **arguments)
{
    uint64_t train = 0, seed = 42;
    const char *folder;
    const struct number numbers[] = {{"--train", &train, 1, 100000}, {"--seed", &seed, 0, UINT64_MAX}, {0}};
    int status = arguments_read(&folder, numbers, usage, count, arguments);
    if (status >= 0) return status;
    struct error e = {0};
    struct text *base = mem_zero(FACTS, sizeof *base), *base_valid = mem_zero(FACTS_VALID, sizeof *base_valid);
    status = folder_make(folder, &e);
    for (uint32_t i = 0; status == 0 && i < LENGTH(abilities); i++) {
        const struct ability *a = &abilities[i];
        status = write_ability(folder, a, train ? (uint32_t)train : a->rows, seed, base, base_valid, &e);
    }
    status = write_parts(folder, "", base, FACTS, status, &e);
    status = write_parts(folder, "_valid", base_valid, FACTS_VALID, status, &e);
    free(base);
    free(base_valid);
    return program_end(status, usage, &e);
}
