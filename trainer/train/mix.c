// SPDX-License-Identifier: MIT
#include "train/mix.h"

#include "data/draw.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void mix_spread(uint64_t *given, const uint64_t *most, size_t count, uint64_t total)
{
    memset(given, 0, count * sizeof *given);
    while (total) {
        size_t open = 0;
        for (size_t i = 0; i < count; i++) open += given[i] < most[i];
        assert(open); // total is at most the sum
        uint64_t each = total / open;
        for (size_t i = 0; i < count && total; i++) {
            uint64_t room = most[i] - given[i], more = each ? each : 1;
            if (more > room) more = room;
            given[i] += more;
            total -= more;
        }
    }
}

// How many rows an amount of a source is, taken by itself.
static uint64_t amount_rows(const struct config_mix *mix, uint32_t available, uint64_t mix_rows)
{
    switch (mix->amount) {
    case AMOUNT_FRACTION:
        return draw_fraction(available, mix->value);
    case AMOUNT_PASSES:
        return (uint64_t)available * (uint64_t)mix->value;
    case AMOUNT_ROWS:
        return (uint64_t)mix->value;
    case AMOUNT_AT_MOST:
        return mix->value < available ? (uint64_t)mix->value : available;
    case AMOUNT_SHARE:
        return (uint64_t)floor((double)mix_rows * mix->value + 1e-9);
    }
    assert(!"an amount that exists");
    return 0;
}

static bool is_exact(const struct config_mix *mix)
{
    return mix->amount == AMOUNT_ROWS || mix->amount == AMOUNT_SHARE;
}

// Sources of the same group are of the same ability.
static bool same_ability(const struct config *c, const struct config_mix *a, const struct config_mix *b)
{
    const char *x = c->sources[a->source].ability, *y = c->sources[b->source].ability;
    return a->source == b->source || (x && y && strcmp(x, y) == 0);
}

// Divides `total` among the sources that are not exact; rows holds the most of each, and then its part.
static void spread(uint64_t *rows, const struct config *c, const struct config_stage *stage, uint64_t total)
{
    size_t n = stage->mix_count, abilities = 0;
    size_t *ability = mem_zero(n, sizeof *ability);
    uint64_t *most = mem_zero(n, sizeof *most), *given = mem_zero(n, sizeof *given), *part = mem_zero(n, sizeof *part),
             *inner = mem_zero(n, sizeof *inner);
    for (size_t i = 0; i < n; i++) {
        if (is_exact(&stage->mix[i])) continue;
        size_t k = 0;
        while (k < i && (is_exact(&stage->mix[k]) || !same_ability(c, &stage->mix[k], &stage->mix[i]))) k++;
        ability[i] = k < i ? ability[k] : abilities++;
        most[ability[i]] += rows[i];
    }
    mix_spread(given, most, abilities, total);
    for (size_t a = 0; a < abilities; a++) {
        size_t count = 0;
        for (size_t i = 0; i < n; i++)
            if (!is_exact(&stage->mix[i]) && ability[i] == a) inner[count++] = rows[i];
        mix_spread(part, inner, count, given[a]);
        count = 0;
        for (size_t i = 0; i < n; i++)
            if (!is_exact(&stage->mix[i]) && ability[i] == a) rows[i] = part[count++];
    }
    free(ability);
    free(most);
    free(given);
    free(part);
    free(inner);
}

static int check_exact(const struct config *c, const struct config_stage *stage, const struct config_mix *mix,
    uint64_t rows, uint32_t available, struct error *e)
{
    const char *name = c->sources[mix->source].name;
    if (!is_exact(mix) || rows <= available) return 0;
    if (mix->amount == AMOUNT_SHARE)
        return error_set(e,
            "stage \"%s\" asks for %" PRIu64 " rows of source \"%s\" (the share %g of mix_rows), which has %" PRIu32
            ": lower mix_rows or the share",
            stage->name, rows, name, mix->value, available);
    return error_set(e,
        "stage \"%s\" asks for %" PRIu64 " rows of source \"%s\", which has %" PRIu32 ": ask for "
        "fewer, or for whole passes (2, 3, ...)",
        stage->name, rows, name, available);
}

// With mix_rows: what is left of it after the exact amounts goes to the others.
static int divide(uint64_t *rows, const struct config *c, const struct config_stage *stage, struct error *e)
{
    uint64_t wanted = stage->settings.mix_rows, exact = 0, most = 0;
    bool free_rows = false; // some source's rows are not exact
    for (size_t i = 0; i < stage->mix_count; i++) {
        *(is_exact(&stage->mix[i]) ? &exact : &most) += rows[i];
        free_rows = free_rows || !is_exact(&stage->mix[i]);
    }
    if (exact > wanted)
        return error_set(e,
            "stage \"%s\" has mix_rows %" PRIu64 ", but its shares and rows make %" PRIu64 ": lower them, or raise "
            "mix_rows",
            stage->name, wanted, exact);
    if (exact < wanted && !free_rows)
        return error_set(e,
            "stage \"%s\" has mix_rows %" PRIu64 ", but its shares and rows make only %" PRIu64 ", rounded down: raise them, let one "
            "source give what is left (1), or lower mix_rows",
            stage->name, wanted, exact);
    if (exact + most < wanted)
        return error_set(e,
            "stage \"%s\" is to draw %" PRIu64 " rows (mix_rows), but its sources give %" PRIu64
            " at most: lower mix_rows, or let sources give more (1: all that there are)",
            stage->name, wanted, exact + most);
    spread(rows, c, stage, wanted - exact);
    return 0;
}

int mix_count(uint32_t *rows, const struct config *c, const struct config_stage *stage, const uint32_t *available,
    struct error *e)
{
    uint64_t total = 0, *counts = mem_zero(stage->mix_count, sizeof *counts);
    int status = 0;
    for (size_t i = 0; i < stage->mix_count && status == 0; i++) {
        const struct config_mix *mix = &stage->mix[i];
        counts[i] = amount_rows(mix, available[mix->source], stage->settings.mix_rows);
        status = check_exact(c, stage, mix, counts[i], available[mix->source], e);
    }
    if (status == 0 && stage->settings.mix_rows) status = divide(counts, c, stage, e);
    for (size_t i = 0; i < stage->mix_count && status == 0; i++) {
        total += counts[i];
        rows[i] = (uint32_t)counts[i];
        if (total > INT32_MAX)
            status = error_set(e,
                "stage \"%s\" has more than %d rows an epoch with source \"%s\": ask for fewer passes", stage->name,
                INT32_MAX, c->sources[stage->mix[i].source].name);
    }
    if (status == 0 && total == 0)
        status = error_set(
            e, "stage \"%s\" has no rows: its sources are empty, or the fractions too small for them", stage->name);
    free(counts);
    return status;
}
