// SPDX-License-Identifier: MIT
#include "base.h"
#include "data/pack.h"
#include "test.h"

#include <limits.h>

static void check_items(const struct pack *p, const uint32_t *want, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        CHECK_SAY(
            p->items[i] == want[i], "place %u: got %u, want %u", (unsigned)i, (unsigned)p->items[i], (unsigned)want[i]);
}

static void test_layout(void)
{
    static const uint32_t lengths[6] = {4, 8, 1, 4, 2, 1};
    struct pack p;
    pack_make(&p, lengths, 6, 10, true);
    // longest first: 8 and 2; 4, 4, 1 and 1; within a micro-batch in the order given
    CHECK(p.count == 2 && p.first[0] == 0 && p.first[1] == 2 && p.first[2] == 6);
    check_items(&p, (const uint32_t[]){1, 4, 0, 2, 3, 5}, 6);
    pack_free(&p);
    CHECK(p.items == NULL && p.first == NULL);

    pack_make(&p, lengths, 6, 10, false);
    CHECK(p.count == 6);
    for (uint32_t b = 0; b <= 6; b++) CHECK(p.first[b] == b);
    check_items(&p, (const uint32_t[]){0, 1, 2, 3, 4, 5}, 6);
    pack_free(&p);

    pack_make(&p, lengths, 0, 10, true);
    CHECK(p.count == 0 && p.first[0] == 0);
    pack_free(&p);

    // equal lengths: the order given
    static const uint32_t equal[5] = {3, 3, 3, 3, 3};
    pack_make(&p, equal, 5, 7, true);
    CHECK(p.count == 3 && p.first[1] == 2 && p.first[2] == 4);
    check_items(&p, (const uint32_t[]){0, 1, 2, 3, 4}, 5);
    pack_free(&p);

    // all fit exactly: one micro-batch
    pack_make(&p, equal, 5, 15, true);
    CHECK(p.count == 1);
    pack_free(&p);
}

static const uint8_t none[4] = {0};

static void test_targets(void)
{
    static const uint8_t mask[5] = {1, 0, 1, 1, 0};
    CHECK(pack_targets(mask, 5) == 2); // nothing predicts the first
    CHECK(pack_targets(mask, 1) == 0);
    CHECK(pack_targets(none, 4) == 0);
}

static void check_array(const char *name, const uint32_t *got, const uint32_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_SAY(got[i] == want[i], "%s[%zu]: got %u, want %u", name, i, (unsigned)got[i], (unsigned)want[i]);
}

// Two conversations by hand, in a micro-batch that was full of others before.
static void test_fill(void)
{
    static const uint32_t a[4] = {70000, 5, 300, 5}, b[3] = {5, 70000, 2}, full[9] = {9, 9, 8, 8, 7, 7, 6, 6, 5};
    static const uint8_t mask_a[4] = {1, 0, 1, 1}, mask_b[3] = {1, 1, 0}, mask_full[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct pack_item items[3] = {{full, mask_full, 9, 0}, {b, mask_b, 3, 4}, {a, mask_a, 4, 1}};
    struct micro_batch m;
    micro_batch_make(&m, 9);
    micro_batch_fill(&m, items, (const uint32_t[]){0}, 1);
    CHECK(m.tokens == 9 && m.documents == 1 && m.targets == 8 && m.distinct == 5);
    micro_batch_fill(&m, items, (const uint32_t[]){2, 1}, 2);
    CHECK(m.tokens == 7 && m.documents == 2 && m.targets == 3 && m.distinct == 4);
    check_array("ids", m.ids, (const uint32_t[]){70000, 5, 300, 5, 5, 70000, 2, 0, 0}, 9);
    check_array("positions", m.positions, (const uint32_t[]){0, 1, 2, 3, 0, 1, 2, 0, 0}, 9);
    check_array("starts", m.starts, (const uint32_t[]){0, 0, 0, 0, 4, 4, 4, 0, 0}, 9);
    check_array("ends", m.ends, (const uint32_t[]){4, 4, 4, 4, 7, 7, 7, 0, 0}, 9);
    check_array("conversation", m.conversation, (const uint32_t[]){2, 2, 2, 2, 1, 1, 1, 0, 0}, 9);
    check_array("target_rows", m.target_rows, (const uint32_t[]){1, 2, 4, 0, 0, 0, 0, 0, 0}, 9);
    check_array("target_ids", m.target_ids, (const uint32_t[]){300, 5, 70000, 0, 0, 0, 0, 0, 0}, 9);
    check_array("target_source", m.target_source, (const uint32_t[]){1, 1, 4, 0, 0, 0, 0, 0, 0}, 9);
    check_array("sorted_rows", m.sorted_rows, (const uint32_t[]){6, 1, 3, 4, 2, 0, 5, 0, 0}, 9);
    check_array("group_first", m.group_first, (const uint32_t[]){0, 1, 4, 5, 7, 0, 0, 0, 0, 0}, 10);
    check_array("group_ids", m.group_ids, (const uint32_t[]){2, 5, 300, 70000, 0, 0, 0, 0, 0}, 9);
    micro_batch_free(&m);
    CHECK(m.ids == NULL && m.budget == 0);
}

static void test_fill_edges(void)
{
    static const uint32_t one[1] = {0}, large[3] = {UINT32_MAX, 0, UINT32_MAX};
    static const uint8_t mask[3] = {1, 1, 1};
    const struct pack_item items[2] = {{one, mask, 1, 0}, {large, mask, 3, 0}};
    struct micro_batch m;
    micro_batch_make(&m, 1); // one token: nothing to predict
    micro_batch_fill(&m, items, (const uint32_t[]){0}, 1);
    CHECK(m.tokens == 1 && m.documents == 1 && m.targets == 0 && m.distinct == 1 && m.group_first[1] == 1);
    CHECK(m.starts[0] == 0 && m.ends[0] == 1);
    micro_batch_fill(&m, items, NULL, 0);
    CHECK(m.tokens == 0 && m.documents == 0 && m.distinct == 0 && m.group_first[0] == 0 && m.ends[0] == 0);
    micro_batch_free(&m);
    micro_batch_make(&m, 3);
    micro_batch_fill(&m, items, (const uint32_t[]){1}, 1);
    CHECK(m.targets == 2 && m.distinct == 2 && m.group_ids[0] == 0 && m.group_ids[1] == UINT32_MAX);
    check_array("sorted_rows", m.sorted_rows, (const uint32_t[]){1, 0, 2}, 3);
    micro_batch_free(&m);
}

struct step {
    struct pack_item items[200];
    uint32_t lengths[200], count;
    uint64_t tokens, targets;
};

static struct step step_random(uint64_t *state, uint32_t count, uint32_t longest, uint32_t vocabulary)
{
    struct step s = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = 1 + test_random(state) % longest, *ids = mem_alloc(n * sizeof *ids);
        if (test_random(state) % 8 == 0)
            n = test_random(state) % 2 ? 1 : longest, ids = mem_resize(ids, n * sizeof *ids);
        uint8_t *mask = mem_alloc(n);
        for (uint32_t t = 0; t < n; t++) {
            ids[t] = test_random(state) % vocabulary;
            mask[t] = test_random(state) % 3 == 0;
            s.targets += t > 0 && mask[t];
        }
        s.items[i] = (struct pack_item){ids, mask, n, test_random(state) % 5};
        s.lengths[i] = n;
        s.tokens += n;
    }
    return s;
}

static void step_free(struct step *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        free((void *)(uintptr_t)s->items[i].ids);
        free((void *)(uintptr_t)s->items[i].mask);
    }
}

// Every property of one filled micro-batch, from its definition. Adds its targets to those seen of each conversation.
static void check_micro_batch(const struct micro_batch *m, const struct step *s, const uint32_t *which, uint32_t count)
{
    uint32_t row = 0, target = 0, wrong = 0;
    for (uint32_t d = 0; d < count; d++) {
        const struct pack_item *item = &s->items[which[d]];
        uint32_t start = row;
        for (uint32_t t = 0; t < item->tokens; t++, row++) {
            wrong += m->ids[row] != item->ids[t] || m->positions[row] != t || m->starts[row] != start ||
                     m->ends[row] != start + item->tokens || m->conversation[row] != which[d];
            if (t + 1 == item->tokens || !item->mask[t + 1]) continue; // nothing across the seam
            wrong += m->target_rows[target] != row || m->target_ids[target] != item->ids[t + 1] ||
                     m->target_source[target] != item->source;
            target++;
        }
    }
    CHECK(wrong == 0 && m->tokens == row && m->targets == target && m->documents == count);
    CHECK(m->group_first[0] == 0 && m->group_first[m->distinct] == m->tokens);
    for (uint32_t g = 0; g < m->distinct; g++) {
        wrong += m->group_first[g] >= m->group_first[g + 1] || (g > 0 && m->group_ids[g] <= m->group_ids[g - 1]);
        for (uint32_t i = m->group_first[g]; i < m->group_first[g + 1]; i++)
            wrong += m->sorted_rows[i] >= m->tokens || m->ids[m->sorted_rows[i]] != m->group_ids[g] ||
                     (i > m->group_first[g] && m->sorted_rows[i] <= m->sorted_rows[i - 1]);
    }
    for (uint32_t i = m->tokens; i < m->budget; i++)
        wrong += m->ids[i] | m->positions[i] | m->starts[i] | m->ends[i] | m->conversation[i] | m->sorted_rows[i];
    for (uint32_t i = m->targets; i < m->budget; i++)
        wrong += m->target_rows[i] | m->target_ids[i] | m->target_source[i];
    CHECK(wrong == 0);
}

static void check_step(const struct step *s, uint32_t budget, bool packing)
{
    struct pack p, again;
    struct micro_batch m;
    uint32_t seen[200] = {0};
    uint64_t tokens = 0, targets = 0;
    pack_make(&p, s->lengths, s->count, budget, packing);
    pack_make(&again, s->lengths, s->count, budget, packing);
    CHECK(p.count == again.count && memcmp(p.items, again.items, s->count * sizeof *p.items) == 0);
    micro_batch_make(&m, budget);
    for (uint32_t b = 0; b < p.count; b++) {
        uint32_t count = p.first[b + 1] - p.first[b], *which = p.items + p.first[b];
        CHECK(p.first[b] < p.first[b + 1] && (packing || count == 1));
        for (uint32_t i = 0; i < count; i++) seen[which[i]]++;
        for (uint32_t i = 1; i < count; i++) CHECK(which[i] > which[i - 1]);
        micro_batch_fill(&m, s->items, which, count);
        check_micro_batch(&m, s, which, count);
        tokens += m.tokens;
        targets += m.targets;
    }
    CHECK(p.first[p.count] == s->count && tokens == s->tokens && targets == s->targets);
    for (uint32_t i = 0; i < s->count; i++) CHECK(seen[i] == 1);
    // first fit leaves at most one micro-batch half empty, so count - 1 of them are more than half full
    if (packing && p.count > 1) CHECK((uint64_t)(p.count - 1) * budget < 2 * s->tokens);
    CHECK(!packing || (uint64_t)p.count * budget >= s->tokens);
    micro_batch_free(&m);
    pack_free(&again);
    pack_free(&p);
}

static void test_properties(void)
{
    static const struct {
        uint32_t count, longest, budget, vocabulary;
    } cases[] = {{1, 1, 1, 1}, {7, 1, 3, 2}, {31, 13, 13, 3}, {31, 13, 14, 300}, {128, 97, 256, 49152},
        {127, 64, 65, 257}, {200, 300, 1021, 256}, {5, 4096, 16384, 151936}, {64, 50, 16384, 49152},
        {3, 17, 17, 1u << 24}};
    uint64_t state = 11;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int repeat = 0; repeat < 5; repeat++) {
            struct step s = step_random(&state, cases[i].count, cases[i].longest, cases[i].vocabulary);
            check_step(&s, cases[i].budget, true);
            check_step(&s, cases[i].budget, false);
            step_free(&s);
        }
}

// On small cases, as few micro-batches as any arrangement has, found by trying all; the bound is first fit
// decreasing's.
static uint32_t fewest(const uint32_t *lengths, uint32_t count, uint32_t budget, uint32_t *room, uint32_t used)
{
    if (count == 0) return used;
    uint32_t best = UINT32_MAX;
    for (uint32_t b = 0; b <= used; b++) {
        if (b == used) room[b] = budget;
        if (room[b] < lengths[0]) continue;
        room[b] -= lengths[0];
        uint32_t n = fewest(lengths + 1, count - 1, budget, room, used + (b == used));
        room[b] += lengths[0];
        if (n < best) best = n;
    }
    return best;
}

static void test_fewest(void)
{
    uint64_t state = 3;
    unsigned best = 0, cases = 300;
    for (unsigned i = 0; i < cases; i++) {
        uint32_t lengths[7], room[8];
        for (int k = 0; k < 7; k++) lengths[k] = 1 + test_random(&state) % 20;
        struct pack p;
        pack_make(&p, lengths, 7, 20, true);
        uint32_t least = fewest(lengths, 7, 20, room, 0);
        CHECK(p.count >= least && 9 * p.count <= 11 * least + 6);
        best += p.count == least;
        pack_free(&p);
    }
    CHECK_SAY(best >= cases * 98 / 100, "%u of %u", best, cases);
}

int main(void)
{
    test_layout();
    test_targets();
    test_fill();
    test_fill_edges();
    test_properties();
    test_fewest();
    return test_end();
}
