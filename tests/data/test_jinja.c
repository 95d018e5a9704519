// SPDX-License-Identifier: MIT
//
// The Jinja that chat templates are written in: its language case by case (the expected texts are those of Jinja2 3.1
// with transformers' settings), the origin of every byte, what it refuses, and mutated templates.
#include "data/jinja.h"
#include "test.h"

static struct arena scratch;
static struct jinja_output out;

#define MESSAGE(role, text)                                                                                            \
    {                                                                                                                  \
        (role), TRAIN_BY_ROLE, (text), sizeof(text) - 1                                                                \
    }
static const struct message three[] = {
    MESSAGE(ROLE_SYSTEM, "Be kind."), MESSAGE(ROLE_USER, "  Hi \n"), MESSAGE(ROLE_ASSISTANT, "Yo")};

// The rendering of the three messages, or the error's text.
static const char *render(const char *source, bool generation)
{
    static struct error e;
    e.text[0] = 0;
    struct jinja *program = jinja_open(source, strlen(source), &e);
    struct jinja_input input = {three, 3, generation, "<s>", "</s>"};
    int failed = program ? jinja_render(program, &out, &scratch, &input, &e) : -1;
    jinja_close(program);
    return failed ? e.text : out.text.data;
}

static void test_language(void)
{
    static const struct {
        const char *source, *want;
    } cases[] = {
        // White space: one newline after a block, indents before one, signs, the last newline.
        {"a\n", "a"},
        {"a\n\n", "a\n"},
        {"a\r\nb\rc", "a\nb\nc"},
        {"{% if true %}\nx\n{% endif %}\ny", "x\ny"},
        {"a\n  {% if true %}\n  x\n  {% endif %}\nb", "a\n  x\nb"},
        {"  {{ 1 }}\n  {{ 2 }}", "  1\n  2"},
        {"a  {%- if true -%}  x  {%- endif %}  b", "ax  b"},
        {"a \n {{- 1 -}} \n b", "a1b"},
        {"a\n  {%+ if true %}x{% endif +%}\nb", "a\n  x\nb"},
        {"a\n {# note #}\nb{#- c -#} d", "a\nbd"},
        {"  {% if true %} {% endif %}|", " |"},
        {"{ {x} % {#}#}#", "{ {x} % #"},
        // Values and operators.
        {"{{ 'a' ~ 1 ~ none ~ true ~ missing }}", "a1NoneTrue"},
        {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 - 5 }} {{ 3 * 4 }} {{ -(2) }}", "3 -4 2 -3 12 -2"},
        {"{{ 'x' if 1 < 2 < 3 else 'y' }}{{ 'x' if 1 < 2 < 2 else 'y' }}{{ 'z' if false }}", "xy"},
        {"{{ 1 == 1.0 }} {{ '1' == 1 }} {{ 'a' < 'b' }} {{ 'b' >= 'ba' }} {{ none == none }}",
            "True False True False True"},
        {"{{ not true or 1 and 2 }} {{ '' or 'e' }} {{ 'a' and '' }}|", "2 e |"},
        {"{{ 'b' in 'abc' }} {{ 'x' not in 'abc' }} {{ 2 in [1, 2] }} {{ 'role' in messages[0] }}",
            "True True True True"},
        {"{{ 'it\\'s' + \"\\n\" 'x' + '\\u00e9\\x41\\q' }}", "it's\nx\xc3\xa9"
                                                             "A\\q"},
        {"{{ 'a' + ' b ' | trim + 'c' }}", "abc"},
        {"{{ ('a' + ' b ') | trim | length }}", "3"},
        {"{{ {'a': {'b': 'c'}}.a['b'] }}{{ [1, [2, 3]][1][-1] }}{{ (4, 5)[0] }}{{ [6].0 }}", "c346"},
        {"{{ missing }}{{ messages[7] }}{{ messages[0].missing }}{{ none.x }}|", "|"},
        {"{{ 'h\xc3\xa9llo'[1] }}{{ 'h\xc3\xa9llo'[:2] }}{{ 'h\xc3\xa9llo'[-2:] }}{{ 'h\xc3\xa9' | length }}",
            "\xc3\xa9h\xc3\xa9lo2"},
        {"{{ [1, 2, 3][::-1] | join('') }}{{ [1, 2, 3][1:] | join }}{{ [1, 2, 3][:-1] | join(',') }}", "321231,2"},
        // Statements.
        {"{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role }};{% endfor %}",
            "1/3 system;2/3 user;3/3 assistant;"},
        {"{% for m in messages if m.role != 'user' %}{{ loop.index0 }}{{ m['role'][0] }}{{ loop.last }}{% endfor %}",
            "0sFalse1aTrue"},
        {"{% for x in [1, 2, 3] %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }};{% endfor %}", "<1<2;1<2<3;2<3<;"},
        {"{% for x in [] %}x{% else %}none{% endfor %}", "none"},
        {"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i > 4 %}{% break %}{% else %}{{ i }}{% endif "
         "%}{% endfor %}",
            "0134"},
        {"{% for k, v in messages[2].items() %}{{ k }}={{ v }},{% endfor %}", "role=assistant,content=Yo,"},
        {"{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "12131"},
        {"{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"},
        {"{% set a, b = 'x', 'y' %}{{ b ~ a }}{% set c %}<{{ a }}>{% endset %}{{ c | length }}", "yx3"},
        {"{% macro f(a, b='B') %}[{{ a }}{{ b }}{{ x }}]{% endmacro %}{% set x = 1 %}{{ f('A') + f(b=2, a=1) }}",
            "[AB1][121]"},
        {"{% for i in [1, 2] %}{% for j in [1] %}{% set i = 9 %}{{ i }}{% endfor %}{{ i }}{% endfor %}", "9192"},
        {"{% generation %}{{ 1 }}{% endgeneration %}", "1"},
        // Tests, filters, methods.
        {"{{ tools is none }} {{ x is defined }} {{ x is not defined }} {{ strftime_now is defined }} {{ 3 is odd }}",
            "True False True False True"},
        {"{{ 'a' is string and messages is iterable and messages[0] is mapping and 1 is number }}", "True"},
        {"{{ 'a' is equalto 'a' }} {{ 'a' is in ['a'] }} {{ true is true }} {{ false is boolean }}",
            "True True True True"},
        {"{{ x | default('d') }}{{ '' | default('e', true) }}{{ none | default('f') }}", "deNone"},
        {"{{ 'aB c' | upper }}{{ 'aB c' | lower }}{{ 'aB c' | capitalize }}{{ 'aB c' | title }}", "AB Cab cAb cAb C"},
        {"{{ ' \xc2\xa0\xe3\x80\x80x\xe2\x80\xa8\x1f' | trim }}|{{ 'xxaxx'.strip('x') }}|{{ '\n\na\n'.lstrip('\n') }}|",
            "x|a|a\n|"},
        {"{{ 'a</t>b</t>c'.split('</t>')[-1] }}{{ 'a,b,c'.split(',', 1) | join('-') }}{{ 'aXbX'.replace('X', '') }}",
            "ca-b,cab"},
        {"{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'bc')) }}{{ 'h\xc3\xa9y'.find('y') }}", "TrueTrue2"},
        {"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | map(attribute='role') | "
         "join('+') }}",
            "1system+user+assistant"},
        {"{{ (messages | rejectattr('role', 'in', ['user', 'system']) | first).content }}{{ messages | last == "
         "messages[-1] }}",
            "YoTrue"},
        {"{{ messages[0].get('name', 'n') }}{{ messages[0].get('name') is none }}{{ messages[0].keys() | join }}",
            "nTruerolecontent"},
        {"{{ 'a\"\\n<' | tojson }}{{ none | tojson }}{{ true | tojson }}{{ 3 | tojson }}", "\"a\\\"\\n<\"nulltrue3"},
        {"{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"},
        {"{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}", "<s></s>False"},
        {"{{ raise_exception('never') if false else 'fine' }}", "fine"},
        {"{% if false %}{{ x | nosuch | other(1) }}{{ y.method(a=1) }}{% endif %}fine", "fine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STRING(render(cases[i].source, false), cases[i].want);
    CHECK_STRING(render("{{ add_generation_prompt }}", true), "True");
}

static void test_refusals(void)
{
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"{{ raise_exception('No ' + messages[0].role) }}", "it refuses the messages: No system"},
        {"a\n{{ 'x' + 1 }}", "line 2: a string and a number cannot be added"},
        {"{{ missing.x }}", "line 1: \"x\" is asked of an undefined value"},
        {"{{ 'a' | nosuch }}", "line 1: the filter \"nosuch\" of a string is not known here"},
        {"{{ 'a'.nosuch() }}", "line 1: the method \"nosuch\" of a string is not known here"},
        {"{{ 1 is nosuch }}", "line 1: the test \"nosuch\" is not known here"},
        {"{{ nosuch(1) }}", "line 1: the function \"nosuch\" is not known here"},
        {"{{ [1] }}", "line 1: a list cannot be printed"},
        {"{% for x in 'abc' %}{% endfor %}", "line 1: a string cannot be gone through"},
        {"{% for a, b in [[1]] %}{% endfor %}", "line 1: a list cannot be shared out to 2 names"},
        {"{{ 1 < 'a' }}", "line 1: a number and a string have no order"},
        {"{{ 1 in 2 }}", "line 1: a number cannot be looked for in a number"},
        {"{{ 1 / 2 }}", "line 1: this arithmetic on a number and a number is not known here"},
        {"{{ 5 // 0 }}", "line 1: this arithmetic on a number and a number is not known here"},
        {"{{ 999999999999999999 * 999999999999999999 }}", "line 1: this arithmetic on"},
        {"{{ 'abc'.split('') }}", "line 1: split with an empty separator"},
        {"{{ 'abc'.replace('', 'x') }}", "line 1: replace of an empty string"},
        {"{{ range(99999999) }}", "line 1: range goes too far"},
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "it does not come to an end"},
        {"{% set ns = namespace(s='ab') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "it does not come to an end"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "it is nested too deeply"},
        {"{% if x %}", "line 1: \"elif\" is missing"},
        {"a\n{% for x in y %}b\n", "line 2: \"else\" is missing"},
        {"{{ 'abc }}", "line 1: a string is not closed"},
        {"{{ (1 }}", "line 1: \")\" is missing"},
        {"{{ 1 2 }}", "line 1: the end of the tag is expected"},
        {"{{ }}", "line 1: a value is missing"},
        {"{{ 1", "line 1: a tag is not closed"},
        {"{# note", "line 1: a comment is not closed"},
        {"{% call f() %}{% endcall %}", "line 1: the statement \"call\" is not known here"},
        {"{{ a ? b }}", "line 1: a character does not belong into a tag"},
        {"{{ '\\ud83d' }}", "line 1: an escape in a string is not one that can be text"},
        {"{{ 12345678901234567890 }}", "line 1: a number is too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = render(cases[i].source, false);
        CHECK_SAY(strstr(got, cases[i].want), "%s: got \"%s\", want \"%s\"", cases[i].source, got, cases[i].want);
    }
    struct text deep = {0};
    text_print(&deep, "{{ ");
    for (int i = 0; i < 100000; i++) text_print(&deep, "(");
    CHECK_STRING(render(deep.data, false), "line 1: it is nested too deeply");
    text_free(&deep);
}

// Every byte knows whether it is a message's.
static void test_origins(void)
{
    render(
        "{{ '<' + (messages[1].content + '|' + messages[0].content) | trim + '>' }}{{ messages[2].content }}", false);
    CHECK_STRING(out.text.data, "<Hi \n|Be kind.>Yo");
    static const struct jinja_run want[] = {{1, 0}, {5, 2}, {6, 0}, {14, 1}, {15, 0}, {17, 3}};
    CHECK(out.count == 6);
    for (size_t i = 0; i < 6 && i < out.count; i++)
        CHECK(out.runs[i].end == want[i].end && out.runs[i].origin == want[i].origin);

    render(
        "{{ messages[0].content.split(' ')[1] | upper }}{{ messages[0].content.replace('kind', '<s>')[3:] }}", false);
    CHECK_STRING(out.text.data, "KIND.<s>.");
    CHECK(out.count == 3 && out.runs[0].origin == 1 && out.runs[0].end == 5 && out.runs[1].origin == 0 &&
          out.runs[1].end == 8 && out.runs[2].origin == 1);

    render("{% set x %}{{ messages[2].content | tojson }}{% endset %}{{ x }}", false);
    CHECK_STRING(out.text.data, "\"Yo\"");
    CHECK(out.count == 3 && out.runs[1].origin == 3);

    render("", false);
    CHECK(out.count == 0 && out.text.bytes == 0);
}

// Mutated templates are refused or rendered, and nothing worse.
static void test_mutations(void)
{
    static const char *const seeds[] = {
        "{%- for m in messages %}\n  {%- if m['role'] == 'user' -%}\n[{{ m.content | trim }}]{% else %}{{ '<' ~ m.role "
        "}}"
        "{% endif %}\n{% endfor %}{% if add_generation_prompt %}{{- 'A: ' }}{% endif %}\n",
        "{% set ns = namespace(a=0, s='') %}{% macro f(x, y='1') %}{{ x[1:] + y }}{% endmacro %}{% for i in range(3) %}"
        "{% set ns.a = ns.a + i %}{{ f('abc', y='z') }}{{ loop.index0 }}{% endfor %}{{ messages | selectattr('role', "
        "'equalto', 'user') | map(attribute='content') | join(', ') }}{{ {'k': [1, 2.5, none]}['k'][0] }}",
        "{{ bos_token }}{%- set x = messages[0]['content'].split(' ')[::-1] %}{{ x | join('-') | replace('e', "
        "eos_token) }}"
        "{# c #}{{ 'y' if x is defined and not x is none else \"n\\u0041\" }}{{ messages[1:][0].content[:-1] | tojson "
        "}}",
    };
    static const char alphabet[] = "{}%#-+|.,:()[]'\"\\ \n=<>~*/abefimnorst019";
    uint64_t state = 7;
    size_t rendered = 0;
    for (int round = 0; round < 6000; round++) {
        const char *seed = seeds[round % 3];
        char text[1024];
        size_t bytes = strlen(seed);
        memcpy(text, seed, bytes);
        for (uint32_t edits = 1 + test_random(&state) % 2; edits > 0; edits--) {
            size_t at = test_random(&state) % bytes;
            char c = alphabet[test_random(&state) % (sizeof alphabet - 1)];
            switch (test_random(&state) % 4) {
            case 0:
                text[at] = c;
                break;
            case 1:
                if (bytes > 1) memmove(text + at, text + at + 1, --bytes - at);
                break;
            case 2:
                memmove(text + at + 1, text + at, bytes++ - at);
                text[at] = c;
                break;
            default:
                bytes = at ? at : 1;
            }
        }
        struct error e;
        struct jinja *program = jinja_open(text, bytes, &e);
        struct jinja_input input = {three, test_random(&state) % 4, round & 1, "<s>", NULL};
        if (program && jinja_render(program, &out, &scratch, &input, &e) == 0) {
            rendered++;
            CHECK(out.count == 0 || out.runs[out.count - 1].end == out.text.bytes);
        }
        jinja_close(program);
    }
    CHECK_SAY(rendered > 500 && rendered < 5500, "%zu", rendered);
}

int main(void)
{
    test_language();
    test_refusals();
    test_origins();
    test_mutations();
    jinja_output_free(&out);
    arena_free(&scratch);
    return test_end();
}
