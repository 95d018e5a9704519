// SPDX-License-Identifier: MIT
//
// demo-data: writes three small data sets to try the trainer out with, each with rows to train on and rows to test
// with.
//
//   math      word problems, solved in a fixed way: one equation a line, then "#### " and the number
//   code      Python functions of one line, in one spelling
//   general   small facts, answered in one sentence and a courtesy
//
// Every row has a key: what it is about, whatever its words (the numbers and operation of a problem, the operation and
// constant of a function, the fact). The seed shuffles the keys of an ability; the first ones are for testing, the
// others for training, so that nothing tested was trained. Rows of one key differ in their words.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "data/draw.h"
#include "generator.h"

enum { WORDINGS = 3 }; // ways to ask for each key: at most so many rows of it

struct ability {
    const char *name;
    uint32_t keys;
    void (*write)(struct row *row, uint32_t key, uint32_t wording, struct draw *draw);
};

// ---- math: a + b, a - b, a * b, and a + b - c in two steps

enum operation { ADD, SUBTRACT, MULTIPLY, ADD_SUBTRACT };

struct problem {
    enum operation operation;
    uint32_t a, b, c;
};

// The key-th of all problems, each of which is there once: a >= b where their order does not matter, and no result
// below 1. The numbers are such that a model of a hundred million parameters can learn to be right. False: there are
// fewer.
static bool problem_find(struct problem *problem, uint32_t key)
{
    for (uint32_t a = 2; a <= 12; a++) {
        for (uint32_t b = 2; b <= a; b++) {
            uint32_t two_steps = a > 9 ? 0 : 1 + (a + b > 4) + (a + b > 7); // c = 1, 4, 7
            uint32_t counts[] = {[ADD] = 1, [SUBTRACT] = b < a, [MULTIPLY] = a <= 10, [ADD_SUBTRACT] = two_steps};
            for (enum operation o = ADD; o <= ADD_SUBTRACT; o++) {
                if (key < counts[o]) {
                    *problem = (struct problem){o, a, b, 1 + 3 * key};
                    return true;
                }
                key -= counts[o];
            }
        }
    }
    return false;
}

static void math_write(struct row *row, uint32_t key, uint32_t wording, struct draw *draw)
{
    static const char *const names[] = {"Ana", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ida",
        "Jonas", "Kim", "Leo", "Maya", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Yusuf"};
    static const char *const things[] = {"apples", "books", "coins", "eggs", "marbles", "pencils", "shells", "stamps",
        "stickers", "tickets", "toys", "cards", "nuts", "plums", "stones", "buttons"};
    static const char *const questions[][WORDINGS] = {
        [ADD] = {"{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
            "There are {a} {things} in one box and {b} in another. How many {things} are there in all?",
            "{name} found {a} {things} on Monday and {b} on Tuesday. How many {things} did {name} find?"},
        [SUBTRACT] = {"{name} has {a} {things} and gives away {b}. How many {things} are left?",
            "There were {a} {things} on the table. {name} took {b} of them. How many {things} are still there?",
            "{name} needs {a} {things} and has {b}. How many {things} are missing?"},
        [MULTIPLY] = {"{name} has {a} bags with {b} {things} in each. How many {things} does {name} have?",
            "There are {a} rows of {b} {things}. How many {things} are there?",
            "{name} buys {b} {things} on each of {a} days. How many {things} does {name} buy?"},
        [ADD_SUBTRACT] = {"{name} had {a} {things}, got {b} more and lost {c}. How many {things} does {name} have now?",
            "There were {a} {things} in a box. {name} put in {b} and took out {c}. How many {things} are in the box?",
            "{name} has {a} red and {b} blue {things} and sells {c} of them. How many {things} are left?"},
    };
    static const char *const answers[] = {
        [ADD] = "{a} + {b} = {sum}\n#### {sum}",
        [SUBTRACT] = "{a} - {b} = {rest}\n#### {rest}",
        [MULTIPLY] = "{a} * {b} = {product}\n#### {product}",
        [ADD_SUBTRACT] = "{a} + {b} = {sum}\n{sum} - {c} = {rest}\n#### {rest}",
    };
    struct problem p;
    problem_find(&p, key);
    if (p.operation != SUBTRACT && draw_below(draw, 2)) {
        uint32_t a = p.a;
        p.a = p.b, p.b = a;
    }
    char a[16], b[16], c[16], sum[16], rest[16], product[16];
    snprintf(a, sizeof a, "%" PRIu32, p.a);
    snprintf(b, sizeof b, "%" PRIu32, p.b);
    snprintf(c, sizeof c, "%" PRIu32, p.c);
    snprintf(sum, sizeof sum, "%" PRIu32, p.a + p.b);
    snprintf(rest, sizeof rest, "%" PRIu32, p.operation == SUBTRACT ? p.a - p.b : p.a + p.b - p.c);
    snprintf(product, sizeof product, "%" PRIu32, p.a * p.b);
    struct field fields[] = {{"name", names[draw_below(draw, LENGTH(names))]},
        {"things", things[draw_below(draw, LENGTH(things))]}, {"a", a}, {"b", b}, {"c", c}, {"sum", sum},
        {"rest", rest}, {"product", product}, {NULL, NULL}};
    text_fill(&row->question, questions[p.operation][wording], fields);
    text_fill(&row->answer, answers[p.operation], fields);
}

// ---- code: an operation with a constant, from 2 on

enum { CONSTANTS = 19 };

static const struct {
    const char *function, *does, *value;
} functions[] = {
    {"add_{n}", "adds {n} to x", "x + {n}"},
    {"subtract_{n}", "subtracts {n} from x", "x - {n}"},
    {"times_{n}", "multiplies x by {n}", "x * {n}"},
    {"divide_by_{n}", "divides x by {n}", "x / {n}"},
    {"remainder_{n}", "gives the remainder of x divided by {n}", "x % {n}"},
    {"power_{n}", "raises x to the power of {n}", "x ** {n}"},
    {"above_{n}", "tells whether x is greater than {n}", "x > {n}"},
    {"below_{n}", "tells whether x is less than {n}", "x < {n}"},
    {"equals_{n}", "tells whether x is equal to {n}", "x == {n}"},
    {"multiple_of_{n}", "tells whether x is a multiple of {n}", "x % {n} == 0"},
    {"first_{n}", "gives the first {n} items of the list x", "x[:{n}]"},
    {"last_{n}", "gives the last {n} items of the list x", "x[-{n}:]"},
    {"skip_{n}", "gives the list x without its first {n} items", "x[{n}:]"},
    {"repeat_{n}", "repeats the text x {n} times", "x * {n}"},
    {"longer_than_{n}", "tells whether the list x has more than {n} items", "len(x) > {n}"},
    {"at_least_{n}", "gives x, but never less than {n}", "max(x, {n})"},
};

static void code_write(struct row *row, uint32_t key, uint32_t wording, struct draw *draw)
{
    static const char *const questions[WORDINGS] = {"Write a Python function {f} that {does}.",
        "Define {f} in Python, a function that {does}.", "I need a Python function {f} that {does}."};
    (void)draw;
    uint32_t f = key / CONSTANTS;
    char n[16];
    snprintf(n, sizeof n, "%" PRIu32, 2 + key % CONSTANTS);
    struct field constant[] = {{"n", n}, {NULL, NULL}};
    struct text function = {0}, does = {0};
    text_fill(&function, functions[f].function, constant);
    text_fill(&does, functions[f].does, constant);
    struct field fields[] = {{"f", function.data}, {"does", does.data}, {NULL, NULL}};
    text_fill(&row->question, questions[wording], fields);
    text_fill(&row->answer, "def {f}(x):\n    return ", fields);
    text_fill(&row->answer, functions[f].value, constant);
    text_free(&function);
    text_free(&does);
}

// ---- general: facts of a few kinds

struct fact {
    const char *x, *y;
};

static const struct fact capitals[] = {{"France", "Paris"}, {"Germany", "Berlin"}, {"Italy", "Rome"},
    {"Spain", "Madrid"}, {"Portugal", "Lisbon"}, {"Greece", "Athens"}, {"Austria", "Vienna"}, {"Poland", "Warsaw"},
    {"Hungary", "Budapest"}, {"Norway", "Oslo"}, {"Sweden", "Stockholm"}, {"Finland", "Helsinki"},
    {"Denmark", "Copenhagen"}, {"Ireland", "Dublin"}, {"Belgium", "Brussels"}, {"Russia", "Moscow"},
    {"Ukraine", "Kyiv"}, {"Japan", "Tokyo"}, {"China", "Beijing"}, {"India", "New Delhi"}, {"Thailand", "Bangkok"},
    {"Egypt", "Cairo"}, {"Kenya", "Nairobi"}, {"Canada", "Ottawa"}, {"Mexico", "Mexico City"}, {"Cuba", "Havana"},
    {"Peru", "Lima"}, {"Chile", "Santiago"}, {"Argentina", "Buenos Aires"}, {"Australia", "Canberra"},
    {"Iraq", "Baghdad"}, {"Iran", "Tehran"}, {"Turkey", "Ankara"}, {"Vietnam", "Hanoi"}, {"South Korea", "Seoul"},
    {"Romania", "Bucharest"}};

static const struct fact opposites[] = {{"hot", "cold"}, {"big", "small"}, {"tall", "short"}, {"fast", "slow"},
    {"old", "young"}, {"light", "dark"}, {"happy", "sad"}, {"rich", "poor"}, {"strong", "weak"}, {"hard", "soft"},
    {"wet", "dry"}, {"full", "empty"}, {"open", "closed"}, {"early", "late"}, {"near", "far"}, {"high", "low"},
    {"loud", "quiet"}, {"clean", "dirty"}, {"thick", "thin"}, {"wide", "narrow"}, {"deep", "shallow"},
    {"sharp", "blunt"}, {"true", "false"}, {"right", "wrong"}, {"good", "bad"}, {"first", "last"}, {"up", "down"},
    {"in", "out"}, {"day", "night"}, {"summer", "winter"}, {"north", "south"}, {"east", "west"}, {"love", "hate"},
    {"win", "lose"}, {"buy", "sell"}, {"push", "pull"}};

static const struct fact plurals[] = {{"child", "children"}, {"man", "men"}, {"woman", "women"}, {"foot", "feet"},
    {"tooth", "teeth"}, {"mouse", "mice"}, {"goose", "geese"}, {"leaf", "leaves"}, {"knife", "knives"},
    {"wife", "wives"}, {"life", "lives"}, {"wolf", "wolves"}, {"half", "halves"}, {"city", "cities"},
    {"baby", "babies"}, {"box", "boxes"}, {"bus", "buses"}, {"watch", "watches"}, {"potato", "potatoes"},
    {"hero", "heroes"}, {"fox", "foxes"}, {"dish", "dishes"}, {"story", "stories"}, {"lady", "ladies"}};

static const struct fact pasts[] = {{"go", "went"}, {"see", "saw"}, {"eat", "ate"}, {"drink", "drank"}, {"run", "ran"},
    {"write", "wrote"}, {"take", "took"}, {"give", "gave"}, {"come", "came"}, {"know", "knew"}, {"think", "thought"},
    {"buy", "bought"}, {"bring", "brought"}, {"teach", "taught"}, {"catch", "caught"}, {"speak", "spoke"},
    {"break", "broke"}, {"drive", "drove"}, {"sing", "sang"}, {"swim", "swam"}, {"begin", "began"}, {"fly", "flew"},
    {"grow", "grew"}, {"draw", "drew"}, {"sleep", "slept"}, {"keep", "kept"}, {"feel", "felt"}, {"leave", "left"},
    {"lose", "lost"}, {"sell", "sold"}, {"tell", "told"}, {"find", "found"}, {"hold", "held"}, {"make", "made"},
    {"build", "built"}, {"send", "sent"}};

static const struct {
    const char *subject; // of the question and of the answer
    const struct fact *facts;
    uint32_t count;
} kinds[] = {
    {"capital of {x}", capitals, LENGTH(capitals)},
    {"opposite of \"{x}\"", opposites, LENGTH(opposites)},
    {"plural of \"{x}\"", plurals, LENGTH(plurals)},
    {"past tense of \"{x}\"", pasts, LENGTH(pasts)},
};

static void general_write(struct row *row, uint32_t key, uint32_t wording, struct draw *draw)
{
    static const char *const questions[WORDINGS] = {
        "What is the {subject}?", "Please tell me the {subject}.", "Do you know the {subject}?"};
    (void)draw;
    uint32_t kind = 0;
    for (; key >= kinds[kind].count; kind++) key -= kinds[kind].count;
    struct fact fact = kinds[kind].facts[key];
    struct field x[] = {{"x", fact.x}, {NULL, NULL}};
    struct text subject = {0};
    text_fill(&subject, kinds[kind].subject, x);
    struct field fields[] = {{"subject", subject.data}, {"y", fact.y}, {NULL, NULL}};
    text_fill(&row->question, questions[wording], fields);
    text_fill(&row->answer, "The {subject} is {y}. Glad to help!", fields);
    text_free(&subject);
}

// ---- files

// Writes `rows` rows of the `count` keys to a file: each key in its first words, then each in its second ones, ...
static int file_write(const char *folder, const struct ability *ability, const char *suffix, const uint32_t *keys,
    uint32_t count, uint32_t rows, uint64_t seed, struct error *e)
{
    struct text file = {0};
    for (uint32_t i = 0; i < rows; i++) {
        struct row row = {0};
        uint32_t key = keys[i % count];
        struct draw draw = draw_start("demo", ability->name, seed, key, i / count);
        ability->write(&row, key, (key + i / count) % WORDINGS, &draw);
        text_add_chat(&file, &row);
        row_free(&row);
    }
    char *name = mem_format("%s%s.jsonl", ability->name, suffix), *path = path_join(folder, name);
    int status = file_write_atomic(path, file.data, file.bytes, e);
    free(path);
    free(name);
    text_free(&file);
    return status;
}

static int ability_write(
    const char *folder, const struct ability *ability, uint32_t train, uint32_t test, uint64_t seed, struct error *e)
{
    if (test >= ability->keys || train > (ability->keys - test) * WORDINGS) {
        return error_set(e,
            "%s has %" PRIu32 " keys of up to %d rows each: not enough for %" PRIu32 " test keys and %" PRIu32
            " rows of other keys; ask for fewer",
            ability->name, ability->keys, WORDINGS, test, train);
    }
    uint32_t *keys = mem_alloc(ability->keys * sizeof *keys);
    for (uint32_t i = 0; i < ability->keys; i++) keys[i] = i;
    struct draw draw = draw_start("demo keys", ability->name, seed, 0, 0);
    for (uint32_t i = 0; i + 1 < ability->keys; i++) {
        uint32_t j = i + draw_below(&draw, ability->keys - i), key = keys[i];
        keys[i] = keys[j];
        keys[j] = key;
    }
    int status = file_write(folder, ability, "_test", keys, test, test, seed, e);
    if (status == 0) status = file_write(folder, ability, "", keys + test, ability->keys - test, train, seed, e);
    free(keys);
    return status;
}

static const char usage[] =
    "usage: demo-data [--train ROWS] [--test ROWS] [--seed N] FOLDER\n"
    "\n"
    "Writes math.jsonl, code.jsonl and general.jsonl to train on (128 rows each, or as many as --train says), and\n"
    "math_test.jsonl, code_test.jsonl and general_test.jsonl to test with (48, or --test). No test row is about\n"
    "what a training row is about. The same numbers give the same files, on every machine.\n"
    "\n"
    "example: build/demo-data --train 200 data\n";

int main(int count, char **arguments)
{
    uint64_t train = 128, test = 48, seed = 42;
    const char *folder;
    const struct number numbers[] = {
        {"--train", &train, 1, 1000000}, {"--test", &test, 1, 1000000}, {"--seed", &seed, 0, UINT64_MAX}, {0}};
    int status = arguments_read(&folder, numbers, usage, count, arguments);
    if (status >= 0) return status;
    uint32_t problems = 0, facts = 0;
    struct problem problem;
    while (problem_find(&problem, problems)) problems++;
    for (uint32_t i = 0; i < LENGTH(kinds); i++) facts += kinds[i].count;
    const struct ability abilities[] = {{"math", problems, math_write},
        {"code", LENGTH(functions) * CONSTANTS, code_write}, {"general", facts, general_write}};
    struct error e = {0};
    status = folder_make(folder, &e);
    for (uint32_t i = 0; status == 0 && i < LENGTH(abilities); i++) {
        status = ability_write(folder, &abilities[i], (uint32_t)train, (uint32_t)test, seed, &e);
    }
    return program_end(status, usage, &e);
}
