// SPDX-License-Identifier: MIT
//
// Facts, templates, levels, tests and balanced subsets, without a model.
#include "study/subsets.h"
#include "test.h"

#include "formats/json_file.h"

#include <unistd.h>

static char folder[] = "/tmp/pumice-test-XXXXXX";

// A file's path, with this content; the caller frees.
static char *file_of(const char *name, const char *content)
{
    struct error e = {0};
    char *path = path_join(folder, name);
    CHECK_SAY(file_write_atomic(path, content, strlen(content), &e) == 0, "%s", e.text);
    return path;
}

static void test_levels(void)
{
    // Every number of hits of 210 (21 templates, 10 samples) and of numbers that 4 does not divide, against the
    // definition in exact fractions: hits / n <= k / 4.
    static const uint32_t totals[] = {210, 1, 2, 3, 4, 5, 7, 8, 630};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        for (uint32_t n = totals[i], hits = 0; hits <= n; hits++) {
            int want = hits == 0 ? 0 : 4 * hits <= n ? 1 : 4 * hits <= 2 * n ? 2 : 4 * hits <= 3 * n ? 3 : 4;
            CHECK_SAY(memory_level(hits, n) == want, "%u of %u", hits, n);
        }
    CHECK(memory_level(52, 210) == 1 && memory_level(53, 210) == 2 && memory_level(105, 210) == 2 &&
          memory_level(106, 210) == 3);
    CHECK(memory_level(157, 210) == 3 && memory_level(158, 210) == 4 && memory_level(UINT32_MAX, UINT32_MAX) == 4);
}

static void test_matches(void)
{
    char object[] = "New York", nyc[] = "NYC", apple[] = " the Big Apple ", *synonyms[] = {nyc, apple};
    struct memory_fact f = {.object = object, .synonyms = synonyms, .synonym_count = 2};
    static const struct {
        const char *text;
        bool found;
    } cases[] = {{" New York City.", true}, {"in NYC", true}, {"the Big Apple", true}, {"new york", false},
        {"NewYork", false}, {"", false}, {"New Yor", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_SAY(memory_matches(&f, cases[i].text, strlen(cases[i].text)) == cases[i].found, "%s", cases[i].text);
}

static const char templates_text[] = "{\"why\": \"a test\", \"capital\": {\"question\": \"Capital of {subject}?\", "
                                     "\"templates\": [\"The capital of {subject} is\", \"{subject}, {subject}:\"]},"
                                     "\"author\": [\"{subject} is by\"]}";

static void test_templates(void)
{
    struct error e = {0};
    struct memory m = {0}, rows = {0};
    char *path = file_of("templates.json", templates_text);
    CHECK_SAY(memory_read_templates(&m, path, &e) == 0, "%s", e.text);
    CHECK(m.relation_count == 2 && m.relations[0].template_count == 2 && m.relations[1].template_count == 1);
    free(path);
    char a[] = "A", question[] = "Which is {subject}'s?";
    struct memory_fact own = {.subject = a, .question = question}, plain = {.subject = a},
                       book = {.subject = a, .relation = 1};
    char *texts[] = {memory_prompt(&m, &plain, 0), memory_prompt(&m, &plain, 1), memory_question(&m, &plain),
        memory_question(&m, &own), memory_question(&m, &book)};
    static const char *const want[] = {"The capital of A is", "A, A:", "Capital of A?", "Which is A's?", "A is by"};
    for (int i = 0; i < 5; i++) {
        CHECK_STRING(texts[i], want[i]);
        free(texts[i]);
    }
    // The same as rows.
    path = file_of("templates.jsonl",
        "{\"relation\": \"capital\", \"templates\": [\"The capital of {subject} is\"]}\n"
        "{\"relation\": \"author\", \"question\": \"Who wrote {subject}?\", \"templates\": [\"{subject} is by\"]}\n");
    CHECK_SAY(memory_read_templates(&rows, path, &e) == 0, "%s", e.text);
    CHECK(rows.relation_count == 2);
    CHECK_STRING(rows.relations[1].question, "Who wrote {subject}?");
    CHECK(!rows.relations[0].question);
    free(path);
    memory_free(&m);
    memory_free(&rows);
    static const struct {
        const char *text, *error;
    } bad[] = {{"{\"a\": [\"no subject\"]}", "relation a: its template \"no subject\" has no {subject}"},
        {"{\"a\": [\"{subject} \"]}", "ends in white space"},
        {"{\"a\": [\"{subject}\", \"x {subject}\", \"{subject}\"]}", "templates 1 and 3 are the same"},
        {"{\"a\": []}", "relation a: it has no \"templates\""},
        {"{\"a\": {\"question\": \"q?\", \"templates\": [\"{subject}\"]}}", "its question \"q?\" has no {subject}"},
        {"{\"a\": [3]}", "template 1 is no text"}, {"{}", "there is no relation"},
        {"{\"a\": [\"{subject}\"]", "templates.json:1:"},
        {"[{\"templates\": [\"{subject}\"]}]", "element 1: it has no \"relation\""},
        {"[{\"relation\": \"a\", \"templates\": [\"{subject}\"]}, {\"relation\": \"a\", \"templates\": "
         "[\"{subject}\"]}]",
            "relation a: it is there twice"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        path = file_of("templates.json", bad[i].text);
        CHECK_SAY(memory_read_templates(&m, path, &e) == -1, "%s", bad[i].text);
        CHECK_ERROR(e, bad[i].error);
        memory_free(&m);
        free(path);
    }
}

static void open_memory(struct memory *m, const char *facts, bool strict, int want)
{
    struct error e = {0};
    *m = (struct memory){0};
    char *path = file_of("templates.json", templates_text), *rows = file_of("facts.jsonl", facts);
    CHECK(memory_read_templates(m, path, &e) == 0);
    int status = memory_read_facts(m, rows, strict, &e);
    CHECK_SAY(status == want, "%s", e.text);
    if (want) CHECK(e.text[0]);
    free(path);
    free(rows);
}

static void test_facts(void)
{
    struct memory m;
    static const char text[] =
        "{\"subject\": \"France\", \"relation\": \"capital\", \"object\": \"Paris\", \"synonyms\": [\"Lutetia\"]}\n"
        "{\"subject\": \"Spain\", \"relation\": \"capital\"}\n"
        "{\"subject\": \"Spain\", \"relation\": \"capitol\", \"object\": \"Madrid\"}\n"
        "not JSON\n"
        "{\"subject\": \"Spain\", \"relation\": \"capital\", \"object\": \" \"}\n"
        "{\"subject\": \"Dune\", \"relation\": \"author\", \"object\": \"Frank Herbert\", \"question\": \"Whose is "
        "{subject}?\"}\n"
        "{\"subject\": \"France\", \"relation\": \"capital\", \"object\": \"Paris\"}\n"
        "{\"subject\": 3, \"relation\": \"capital\", \"object\": \"Madrid\"}\n"
        "{\"subject\": \"Spain\", \"relation\": \"capital\", \"object\": \"Madrid\", \"synonyms\": [\"\"]}\n"
        "{\"subject\": \"Spain\", \"relation\": \"capital\", \"object\": \"Madrid\", \"split\": \"dev\"}\n";
    open_memory(&m, text, false, 0);
    CHECK(m.fact_count == 2 && m.skipped == 8 && !m.test_marked);
    CHECK_STRING(m.facts[0].object, "Paris");
    CHECK_STRING(m.facts[0].synonyms[0], "Lutetia");
    CHECK(m.facts[0].relation == 0 && m.facts[1].relation == 1);
    memory_free(&m);
    open_memory(&m, text, true, -1);
    memory_free(&m);
    open_memory(&m, "{\"subject\": \"Spain\", \"relation\": \"capital\"}\n", false, -1);
    memory_free(&m);
    open_memory(&m,
        "{\"subject\": \"a\", \"relation\": \"capital\", \"object\": \"b\", \"split\": \"test\"}\n"
        "{\"subject\": \"c\", \"relation\": \"capital\", \"object\": \"d\"}\n",
        false, 0);
    CHECK(m.test_marked && m.facts[0].test && !m.facts[1].test);
    memory_split(&m, 1, 1); // the facts have said so
    CHECK(m.facts[0].test && !m.facts[1].test);
    memory_free(&m);
}

// `count` facts of each relation, the subjects counted from `first`; reversed: the other way round.
static void many_facts(struct memory *m, int count, bool reversed)
{
    struct text t = {0};
    for (int k = 0; k < 2 * count; k++) {
        int i = reversed ? 2 * count - 1 - k : k;
        text_print(&t, "{\"subject\": \"s%d\", \"relation\": \"%s\", \"object\": \"o%d\"}\n", i,
            i % 2 ? "author" : "capital", i);
    }
    open_memory(m, t.data, true, 0);
    text_free(&t);
}

static void test_split_and_keys(void)
{
    struct memory m, r;
    many_facts(&m, 50, false);
    many_facts(&r, 50, true);
    memory_split(&m, 0.29, 7);
    memory_split(&r, 0.29, 7);
    uint32_t tests[2] = {0}, same = 0;
    for (size_t i = 0; i < 100; i++) {
        tests[m.facts[i].relation] += m.facts[i].test;
        CHECK(m.facts[i].test == r.facts[99 - i].test); // whatever the order of the file
        CHECK(memory_fact_key(&m, &m.facts[i]) == memory_fact_key(&r, &r.facts[99 - i]));
        same += i && memory_fact_key(&m, &m.facts[i]) == memory_fact_key(&m, &m.facts[i - 1]);
    }
    CHECK(tests[0] == 14 && tests[1] == 14 && same == 0); // 14.5
    bool before[100];
    for (size_t i = 0; i < 100; i++) before[i] = m.facts[i].test;
    memory_split(&m, 0.4, 7); // nested
    for (size_t i = 0; i < 100; i++) CHECK(!before[i] || m.facts[i].test);
    memory_split(&m, 0.29, 8);
    uint32_t moved = 0;
    for (size_t i = 0; i < 100; i++) moved += before[i] != m.facts[i].test;
    CHECK(moved > 10);
    memory_split(&m, 0, 7);
    for (size_t i = 0; i < 100; i++) CHECK(!m.facts[i].test);
    CHECK(memory_sample_key("a", 0) != memory_sample_key("a", 1) &&
          memory_sample_key("a", 0) != memory_sample_key("b", 0));
    CHECK(memory_sample_key("The capital of France is", 3) == memory_sample_key("The capital of France is", 3));
    // What a number of hits depends on is in a fact's key: objects, synonyms, templates.
    uint64_t key = memory_fact_key(&m, &m.facts[0]);
    char *synonym = mem_string("x");
    m.facts[0].synonyms = mem_alloc(sizeof(char *));
    m.facts[0].synonyms[m.facts[0].synonym_count++] = synonym;
    CHECK(memory_fact_key(&m, &m.facts[0]) != key);
    key = memory_fact_key(&m, &m.facts[0]);
    m.relations[0].template_count--;
    CHECK(memory_fact_key(&m, &m.facts[0]) != key);
    m.relations[0].template_count++;
    memory_free(&m);
    memory_free(&r);
}

// A subject with several objects is one question: all of it is trained, or tested.
static void test_split_of_subjects(void)
{
    struct text t = {0};
    struct memory m;
    for (int i = 0; i < 120; i++) // 30 subjects of 3 facts and 30 of 1
        text_print(&t, "{\"subject\": \"s%d\", \"relation\": \"author\", \"object\": \"o%d\"}\n", i < 90 ? i % 30 : i, i);
    open_memory(&m, t.data, true, 0);
    text_free(&t);
    bool before[120] = {false};
    for (int share = 0; share <= 10; share++) {
        memory_split(&m, share / 10.0, 7);
        int tests = 0;
        for (int i = 0; i < 120; i++) {
            tests += (i < 30 || i >= 90) && m.facts[i].test; // subjects
            if (i < 90) CHECK(m.facts[i].test == m.facts[i % 30].test);
            CHECK(!before[i] || m.facts[i].test); // nested
            before[i] = m.facts[i].test;
        }
        CHECK_SAY(tests == 6 * share, "%d of 60 subjects at share %.1f", tests, share / 10.0);
    }
    memory_free(&m);
}

static void test_subsets(void)
{
    struct memory m;
    struct error e = {0};
    many_facts(&m, 40, false);
    for (size_t i = 0; i < 80; i++) {
        m.facts[i].samples = 8;
        m.facts[i].hits = i < 60 ? 2 : 8; // levels 1 and 4
        m.facts[i].test = i < 10;
    }
    size_t *order = memory_order(&m, 3), small[20], large[50];
    bool both[] = {true, true}, one[] = {false, true};
    CHECK_SAY(memory_subset(small, 20, &m, order, 1, both, &e) == 0, "%s", e.text);
    CHECK_SAY(memory_subset(large, 49, &m, order, 1, both, &e) == 0, "%s", e.text);
    CHECK(memcmp(small, large, sizeof small) == 0); // nested
    int of[2] = {0};
    for (int i = 0; i < 49; i++) {
        const struct memory_fact *f = &m.facts[large[i]];
        CHECK(!f->test && memory_level(f->hits, f->samples) == 1 && f->relation == (size_t)i % 2);
        for (int k = 0; k < i; k++) CHECK(large[k] != large[i]);
        of[f->relation]++;
    }
    CHECK(of[0] == 25 && of[1] == 24);
    CHECK(memory_subset(small, 20, &m, order, 4, both, &e) == 0);
    CHECK(memory_subset(large, 22, &m, order, 4, both, &e) == -1);
    CHECK_STRING(e.text, "level 4 has too few facts for 22 rows: capital has 10 of 11, author has 10 of 11");
    CHECK(memory_subset(large, 21, &m, order, 4, both, &e) == -1);
    CHECK_STRING(e.text, "level 4 has too few facts for 21 rows: capital has 10 of 11");
    CHECK(memory_subset(large, 1, &m, order, 2, both, &e) == -1);
    CHECK(memory_subset(small, 10, &m, order, 4, one, &e) == 0);
    for (int i = 0; i < 10; i++) CHECK(m.facts[small[i]].relation == 1);
    size_t *other = memory_order(&m, 4);
    CHECK(memcmp(order, other, 80 * sizeof *order) != 0);
    free(order);
    free(other);

    struct memory_counts counts;
    memory_counts_make(&counts, &m);
    CHECK(counts.training[0][1] == 25 && counts.test[0][1] == 5 && counts.training[1][4] == 10 &&
          counts.training[1][0] == 0);
    memory_counts_free(&counts);
    cJSON *o = memory_summary(&m);
    char *text = json_print(o, false);
    CHECK_STRING(text, "{\"facts\":80,\"skipped\":0,\"levels\":[0,60,0,0,20],\"relations\":{"
                       "\"capital\":{\"facts\":40,\"training\":[0,25,0,0,10],\"test\":[0,5,0,0,0]},"
                       "\"author\":{\"facts\":40,\"training\":[0,25,0,0,10],\"test\":[0,5,0,0,0]}}}");
    free(text);
    cJSON_Delete(o);
    // Rows.
    m.facts[1].synonyms = mem_alloc(sizeof(char *));
    m.facts[1].synonyms[m.facts[1].synonym_count++] = mem_string("or so");
    char *path = path_join(folder, "rows.jsonl");
    struct file_map f;
    CHECK(memory_write_rows(&m, (size_t[]){60, 1}, 2, path, &e) == 0 && file_map(&f, path, &e) == 0);
    static const char want[] =
        "{\"prompt\":\"Capital of "
        "s60?\",\"completion\":\"o60\",\"answer\":\"o60\",\"subject\":\"s60\",\"relation\":\"capital\",\"level\":4}\n"
        "{\"prompt\":\"s1 is by\",\"completion\":\"o1\",\"answer\":[\"o1\",\"or "
        "so\"],\"subject\":\"s1\",\"relation\":\"author\",\"level\":1}\n";
    CHECK_SAY(
        f.bytes == strlen(want) && memcmp(f.data, want, f.bytes) == 0, "%.*s", (int)f.bytes, (const char *)f.data);
    file_unmap(&f);
    CHECK(memory_write_levels(&m, path, &e) == 0 && file_map(&f, path, &e) == 0);
    static const char line[] =
        "{\"subject\":\"s0\",\"relation\":\"capital\",\"object\":\"o0\",\"split\":\"test\",\"hits\":2,\"samples\":8,"
        "\"share\":0.25,\"level\":1}\n";
    CHECK(f.bytes > strlen(line) && memcmp(f.data, line, strlen(line)) == 0);
    file_unmap(&f);
    free(path);
    memory_free(&m);
}

int main(void)
{
    struct error e = {0};
    if (!mkdtemp(folder)) return 1;
    test_levels();
    test_matches();
    test_templates();
    test_facts();
    test_split_and_keys();
    test_split_of_subjects();
    test_subsets();
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
