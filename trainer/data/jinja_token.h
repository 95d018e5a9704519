// SPDX-License-Identifier: MIT
//
// jinja_token.h: the source of a template cut into tokens, for jinja_parse.c: names, literals and signs inside tags,
// and the white space that goes with the ends of tags and comments.
#ifndef PUMICE_JINJA_TOKEN_H
#define PUMICE_JINJA_TOKEN_H

#include "base.h"

#include "data/arena.h"

enum token_kind { TOKEN_NAME, TOKEN_STRING, TOKEN_INTEGER, TOKEN_FLOAT, TOKEN_SIGN, TOKEN_TAG_END, TOKEN_NOTHING };

struct token {
    enum token_kind kind;
    const char *text; // TOKEN_NAME, TOKEN_STRING: (bytes); TOKEN_SIGN: its one or two characters
    size_t bytes;
    int64_t integer;
    double real;
    uint32_t line;
};

struct parser {
    struct arena *arena;
    const char *at, *end;
    uint32_t line;
    bool line_start; // `at` stands after a newline that a tag took, or at the beginning
    char closing;    // '}' inside {{ }}, '%' inside {% %}
    int brackets;    // open in the tag: while there are any, "}}" is two of them
    struct token token;
    int depth;
    bool failed;
    struct error *e;
};

bool token_is_space(char c);

// Remembers the first failure; from then on the current token is TOKEN_NOTHING.
void token_fail(struct parser *p, uint32_t line, const char *why);
// One character on, counting lines.
void token_step(struct parser *p);
// The next token of the tag into p->token. At the end of the tag nothing is taken yet: token_leave_tag does that.
void token_next(struct parser *p);

// Is the current token this sign or name? Those that take it go on to the next when it is.
bool token_at_sign(const struct parser *p, const char *sign);
bool token_at_name(const struct parser *p, const char *name);
bool token_take_sign(struct parser *p, const char *sign);
bool token_take_name(struct parser *p, const char *name);
void token_want_sign(struct parser *p, const char *sign); // fails when it is not

// Takes the end of the tag and the white space that goes with it: all of it after "-", one newline after "%}".
void token_leave_tag(struct parser *p);
// Takes the rest of a comment, over at the first "#}", likewise.
void token_skip_comment(struct parser *p);

#endif
