// SPDX-License-Identifier: MIT
//
// pack.h: the conversations of one optimizer step, laid end to end into micro-batches.
//
// A micro-batch has room for `budget` tokens (rows of the activations). A conversation is never split, and nothing
// reaches from one to the next: attention has its bounds (`starts`, `ends`), positions begin at 0 in each, the last
// token of one predicts nothing of the next. So what a step computes does not depend on the layout, only its speed
// does. The layout depends on the lengths and the budget and on nothing else.
#ifndef PUMICE_PACK_H
#define PUMICE_PACK_H

#include <stdbool.h>
#include <stdint.h>

// One conversation as tokens. The arrays stay the caller's.
struct pack_item {
    const uint32_t *ids; // (tokens)
    const uint8_t *mask; // (tokens) 1: trained, the model learns to predict this token
    uint32_t tokens;     // 1 or more
    uint32_t source;     // which source it came from, for the loss of each
};

// How many of a conversation's tokens are trained: those with mask 1 except a first one, which nothing predicts. The
// one definition of "trained tokens": the loss is divided by it, plan and log count it.
uint32_t pack_targets(const uint8_t *mask, uint32_t tokens);

// Which conversations lie in which micro-batch: micro-batch b holds items[first[b] .. first[b+1]), indices into the
// step's conversations, ascending.
struct pack {
    uint32_t count;  // micro-batches
    uint32_t *first; // (count + 1)
    uint32_t *items; // (conversations)
};

// Lays out conversations of lengths[0 .. count), each from 1 to `budget` (asserted). With `packing`: first fit, longest
// first, equal ones in the order given: at most 11/9 of the fewest possible micro-batches plus 6/9 (Dosa 2007),
// usually exactly the fewest; time O(count * micro-batches). Without: one conversation a micro-batch, in the order
// given. No conversations give none.
void pack_make(struct pack *p, const uint32_t *lengths, uint32_t count, uint32_t budget, bool packing);
void pack_free(struct pack *p);

// One micro-batch as the device reads it. Rows 0 .. tokens-1 are live, the rows up to the budget are 0 in every array
// (their `starts` and `ends` too). Made once for a budget and filled again and again.
struct micro_batch {
    uint32_t budget;
    uint32_t tokens;    // live rows
    uint32_t documents; // conversations
    uint32_t targets;   // trained tokens
    uint32_t distinct;  // different token ids among the live rows

    uint32_t *ids;          // (budget)
    uint32_t *positions;    // (budget) from 0 in each conversation
    uint32_t *starts;       // (budget) first row of the row's conversation
    uint32_t *ends;         // (budget) one past its last row
    uint32_t *conversation; // (budget) index of the conversation within the step: keys of dropout

    uint32_t *target_rows;   // (targets of budget) row whose output predicts the target: the one before it; ascending
    uint32_t *target_ids;    // (targets of budget) the token to predict
    uint32_t *target_source; // (targets of budget) the source of its conversation

    // The live rows sorted by token id, for a gradient of the embedding with a fixed order of its sums: id group_ids[g]
    // stands in rows sorted_rows[group_first[g] .. group_first[g+1]), ascending; group_ids ascend.
    uint32_t *sorted_rows; // (tokens of budget)
    uint32_t *group_first; // (distinct + 1 of budget + 1)
    uint32_t *group_ids;   // (distinct of budget)

    uint32_t *scratch; // (budget) of the sort
};

void micro_batch_make(struct micro_batch *m, uint32_t budget);
void micro_batch_free(struct micro_batch *m);
// Fills it with the conversations items[which[0 .. count)], all within one step's `items`, laid out in that order.
// Their lengths together must not exceed the budget (asserted). Takes time O(budget).
void micro_batch_fill(struct micro_batch *m, const struct pack_item *items, const uint32_t *which, uint32_t count);

#endif
