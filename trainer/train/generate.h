// SPDX-License-Identifier: MIT
//
// generate.h: text from a model, many sequences at a time, with a cache of their keys and values.
//
// Two programs share weights, caches and results. One reads prompts: many tokens of some sequences, laid end to end,
// long prompts in pieces. The other adds one token to every sequence: one row each. A sequence has a slot while it
// grows; when it ends, the next one takes the slot. What a request gives depends on its prompt, its key and the
// seed: neither on its slot nor on what else is being generated, because a row's sums do not depend on the other rows
// and a draw is keyed by (seed, key, position). (Where a device's kernels for few and for many rows sum in
// different orders, another number of slots may round differently.)
//
// Requests are alike as long as their tokens are the same, in the prompt and beyond: they are then one sequence,
// computed once, from whose logits each draws its own next token. Where they part, one goes on in the slot; the others
// wait there, the last to come on top, for it to end, or for a free slot, which begins with a copy of the keys and
// values they share. So the samples of one prompt read it once, and prompts that begin alike read their beginning once.
#ifndef PUMICE_GENERATE_H
#define PUMICE_GENERATE_H

#include "data/tokenizer.h"
#include "model/model.h"
#include "train/stops.h"

struct generation_options {
    uint32_t slots;     // sequences at a time
    uint32_t together;  // requests looked at together for what they have in common; 0: slots; 1: none
    uint32_t capacity;  // tokens of a sequence, prompt and answer together
    uint32_t rows;      // prompt tokens read at a time
    uint32_t positions; // rows of the rotary table, at least capacity
    enum storage storage;
};
// As many slots of `capacity` tokens as wanted, or half of them, a quarter, ...: whose caches take at most a quarter of
// the device's memory. Depends on total limits, never on what is free.
uint32_t generation_fit(
    const struct model *model, const struct limits *limits, enum storage storage, uint32_t capacity, uint32_t slots);
// Options for sequences of `capacity` tokens: 32 slots, or at most `most` (0: no limit), if they fit.
struct generation_options generation_choose(
    const struct model *model, const struct limits *limits, enum storage storage, uint32_t capacity, uint32_t most);

// The two programs and their memory, without a device.
enum { GENERATION_READ, GENERATION_EXTEND, GENERATION_PROGRAMS };
struct generation {
    struct generation_options options;
    struct graph graph[GENERATION_PROGRAMS];
    struct program program[GENERATION_PROGRAMS];
    struct plan plan[GENERATION_PROGRAMS];
};
// -1 and a sentence when the device's limits cannot hold it. `model` is only read.
int generation_make(struct generation *g, const struct model *model, const struct limits *limits,
    const struct generation_options *options, struct error *e);
void generation_free(struct generation *g); // zeros are fine

struct generate_request {
    const uint32_t *prompt; // (tokens), the caller's
    uint32_t tokens;
};
enum finish {
    FINISH_STOP,    // a stop token, or a stop text
    FINISH_LENGTH,  // max_new_tokens, or the capacity
    FINISH_REFUSED, // the prompt is empty or leaves no room within the capacity: nothing was generated
};
struct generated {
    uint32_t *ids; // (count), owned; without the stop token
    uint32_t count;
    enum finish finish;
};
const char *finish_name(enum finish finish);

struct generate_settings {
    uint32_t max_new_tokens;
    double temperature; // 0: the most probable token
    uint32_t top_k;     // of the most probable so many; 0: all
    double top_p;       // of those the fewest whose probability reaches this; 1: all
    uint64_t seed;
    const uint64_t *keys;              // (requests) of their draws; NULL: their numbers
    const struct stops *stops;         // NULL: none
    const struct tokenizer *tokenizer; // for stop texts; NULL without any
    // Called when a request has ended, in the order in which they end; `tokens`: generated so far by all. NULL: not.
    void (*ended)(void *context, uint32_t request, uint64_t tokens);
    void *context;
    // Asked before each submission: true ends the run, and requests that have not ended by then have no tokens. NULL: not.
    bool (*stopped)(void);
};

struct generator;
// On an engine that holds the weights and for which both plans have been reserved. `g` and `engine` outlive the
// generator. NULL with the reason.
struct generator *generator_open(
    const struct generation *g, const struct model *model, struct engine *engine, struct error *e);
void generator_close(struct generator *g); // NULL is fine

// Generates for requests[0 .. count) into out[0 .. count). The caller frees with generated_free.
void generator_run(struct generator *g, const struct generate_request *requests, uint32_t count,
    const struct generate_settings *settings, struct generated *out);
// The logits of the first token after each prompt: calls `row` with every request's (vocabulary), which are gone after
// it. Prompts have at least one token and at most the capacity.
void generator_logits(struct generator *g, const struct generate_request *requests, uint32_t count,
    void (*row)(void *context, uint32_t request, const float *logits), void *context);

// What the last run computed.
struct generation_work {
    uint64_t tokens;         // drawn, stop tokens included: what all requests got
    uint64_t read, extended; // rows of the two programs: of prompts, of drawn tokens
    uint64_t submissions, forks;
};
struct generation_work generator_work(const struct generator *g);
void generated_free(struct generated *all, uint32_t count); // the elements' ids, not the array

// Adds the text of an answer, without special tokens, up to its first stop text.
void generated_text(
    struct text *out, const struct generated *g, const struct tokenizer *tokenizer, const struct stops *stops);

#endif
