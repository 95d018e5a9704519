// SPDX-License-Identifier: MIT
#include "data/render.h"

#include <stdlib.h>
#include <string.h>

static int render(struct rendering *r, struct jinja_output *out, const struct template *t,
    const struct message *messages, size_t count, bool generation, struct error *e)
{
    struct jinja_input input = {messages, count, generation, t->bos, t->eos};
    if (jinja_render(t->program, out, &r->scratch, &input, e) == 0) return 0;
    return error_prefix(e, "the chat template: ");
}

static void make_runs(struct rendering *r)
{
    size_t from = 0;
    r->run_count = 0;
    for (size_t i = 0; i < r->full.count; i++) {
        const struct jinja_run *run = &r->full.runs[i];
        bool special = run->origin == 0;
        if (r->run_count && r->runs[r->run_count - 1].special == special) { // two contents side by side
            r->runs[r->run_count - 1].bytes += run->end - from;
        } else {
            GROW(r->runs, r->run_count, r->run_capacity);
            r->runs[r->run_count++] = (struct text_run){r->full.text.data + from, run->end - from, special};
        }
        from = run->end;
    }
}

// Renders a beginning of the messages into r->part, which must be a beginning of the whole text.
static int render_beginning(struct rendering *r, const struct template *t, const struct message *messages, size_t count,
    bool generation, struct error *e)
{
    if (render(r, &r->part, t, messages, count, generation, e) != 0) return -1;
    const struct text *full = &r->full.text, *part = &r->part.text;
    if (part->bytes <= full->bytes && memcmp(full->data, part->data, part->bytes) == 0) return 0;
    return error_set(e,
        "the chat template does not extend as a prefix: %s message %zu differs from the beginning of the "
        "whole text, so training would not show what the model is given when used; choose another chat_template",
        generation ? "its prompt for" : "its text up to", generation ? count + 1 : count);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool only_space(const char *s, size_t bytes)
{
    while (bytes && is_space(*s)) s++, bytes--;
    return bytes == 0;
}

// Where the content of message i begins and ends in the whole text; false if none of it is there.
static bool find_content(const struct rendering *r, size_t i, size_t *begin, size_t *end)
{
    bool found = false;
    size_t from = 0;
    for (size_t k = 0; k < r->full.count; from = r->full.runs[k++].end) {
        if (r->full.runs[k].origin != i + 1) continue;
        if (!found) *begin = from;
        *end = r->full.runs[k].end;
        found = true;
    }
    return found;
}

static int find_span(struct rendering *r, const struct template *t, const struct message *messages, size_t count,
    size_t i, struct error *e)
{
    const char *text = r->full.text.data;
    size_t begin = 0, end = 0;
    bool found = find_content(r, i, &begin, &end);
    if (!found && !only_space(messages[i].text, messages[i].bytes))
        return error_set(e, "the chat template leaves out message %zu", i + 1);
    if (messages[i].role == ROLE_ASSISTANT && i > 0) {
        if (render_beginning(r, t, messages, i, true, e) != 0) return -1;
        size_t given = r->part.text.bytes;
        if (!found) begin = end = given;
        if (given > begin)
            return error_set(
                e, "the chat template does not extend as a prefix: its prompt for message %zu holds some of it", i + 1);
        if (only_space(text + given, begin - given)) begin = given;
    } else if (!found) {
        return 0; // an empty turn whose place is not known
    }
    size_t turn_end = r->full.text.bytes;
    if (i + 1 < count) {
        if (render_beginning(r, t, messages, i + 1, false, e) != 0) return -1;
        turn_end = r->part.text.bytes;
    }
    if (turn_end < end) return error_set(e, "the chat template writes message %zu again in a later turn", i + 1);
    size_t content_end = end;
    end = turn_end;
    while (end > content_end && is_space(text[end - 1])) end--;
    if (r->span_count && r->spans[r->span_count - 1].turn_end > begin)
        return error_set(e, "the chat template does not keep message %zu apart from the one before", i + 1);
    GROW(r->spans, r->span_count, r->span_capacity);
    r->spans[r->span_count++] = (struct span){begin, end, turn_end, (uint32_t)i};
    return 0;
}

int render_messages(
    struct rendering *r, const struct template *t, const struct message *messages, size_t count, struct error *e)
{
    r->span_count = 0;
    if (render(r, &r->full, t, messages, count, false, e) != 0) return -1;
    make_runs(r);
    for (size_t i = 0; i < count; i++)
        if (message_trained(&messages[i]) && find_span(r, t, messages, count, i, e) != 0) return -1;
    return 0;
}

int render_prompt(
    struct rendering *r, const struct template *t, const struct message *messages, size_t count, struct error *e)
{
    r->span_count = 0;
    if (render(r, &r->full, t, messages, count, true, e) != 0) return -1;
    make_runs(r);
    return 0;
}

void rendering_free(struct rendering *r)
{
    jinja_output_free(&r->full);
    jinja_output_free(&r->part);
    arena_free(&r->scratch);
    free(r->runs);
    free(r->spans);
    *r = (struct rendering){0};
}
