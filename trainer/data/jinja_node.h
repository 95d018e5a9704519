// SPDX-License-Identifier: MIT
//
// jinja_node.h: the tree between jinja_parse.c and jinja.c.
#ifndef PUMICE_JINJA_NODE_H
#define PUMICE_JINJA_NODE_H

#include "data/arena.h"

#include <stdint.h>

enum node_kind {
    // Statements, chained by `next`.
    NODE_TEXT,  // text
    NODE_PRINT, // a: expression
    NODE_IF,    // a: condition, b: then, c: else
    NODE_FOR,   // a: what to go through, b: body, c: condition or NULL, d: else, targets: NODE_NAMEs
    NODE_SET,   // a: value, or b: body whose output is the value; targets: NODE_NAMEs, or a NODE_ATTRIBUTE
    NODE_MACRO, // text: name, targets: NODE_NAMEs, each with its default in `a` or NULL; b: body
    NODE_BREAK,
    NODE_CONTINUE,
    // Expressions; a list of them is chained by `next`.
    NODE_STRING,  // text
    NODE_INTEGER, // integer
    NODE_FLOAT,   // real
    NODE_TRUE,
    NODE_FALSE,
    NODE_NONE,
    NODE_NAME,      // text
    NODE_LIST,      // a: elements
    NODE_DICT,      // a: key, value, key, value, ...
    NODE_OR,        // a, b
    NODE_AND,       // a, b
    NODE_NOT,       // a
    NODE_COMPARE,   // a op b
    NODE_MATH,      // a op b
    NODE_NEGATE,    // a
    NODE_CHOICE,    // a if b else c; c may be NULL
    NODE_ATTRIBUTE, // a . text
    NODE_ITEM,      // a [ b ]
    NODE_SLICE,     // a [ b : c : d ], each of them NULL when absent
    NODE_CALL,      // a ( b: arguments )
    NODE_FILTER,    // a | text ( b: arguments )
    NODE_TEST,      // a is text ( b: arguments )
    NODE_KEYWORD,   // in arguments: text = a
};

// The operators of two letters in `op`; the others are their own character ('+', '<', '~', ...).
enum {
    OP_EQUAL = 'E',
    OP_DIFFERENT = 'D',
    OP_AT_MOST = 'L',
    OP_AT_LEAST = 'G',
    OP_IN = 'I',
    OP_NOT_IN = 'N',
    OP_FLOOR = 'F',
    OP_POWER = 'P'
};

struct node {
    enum node_kind kind;
    uint32_t line;
    char op;
    const char *text; // (bytes), ended by a 0
    size_t bytes;
    int64_t integer;
    double real;
    struct node *a, *b, *c, *d, *targets, *next;
};

struct jinja {
    struct arena arena; // the nodes and their texts
    struct node *body;
};

#endif
