// SPDX-License-Identifier: MIT
#include "study/report_figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct report_figure *new_figure(struct report_figures *f, enum figure_part part, char *title)
{
    f->figures = mem_resize(f->figures, (f->count + 1) * sizeof *f->figures);
    f->figures[f->count] = (struct report_figure){.part = part, .title = title};
    return &f->figures[f->count++];
}

static struct picture *new_picture(struct report_figure *f, char *title, const char *x_label, const char *y_label)
{
    f->pictures = mem_resize(f->pictures, (f->picture_count + 1) * sizeof *f->pictures);
    f->pictures[f->picture_count] =
        (struct picture){.title = title, .x_label = x_label, .y_label = y_label, .level = NAN};
    return &f->pictures[f->picture_count++];
}

// Takes the last picture away again if there is nothing in it.
static void end_picture(struct report_figure *f)
{
    if (f->pictures[f->picture_count - 1].series_count) return;
    picture_free(&f->pictures[--f->picture_count]);
}

static void add_legend(struct report_figure *f, unsigned color, const char *label)
{
    f->legend = mem_resize(f->legend, (f->legend_count + 1) * sizeof *f->legend);
    f->legend[f->legend_count++] = (struct figure_legend){color, mem_string(label)};
}

static void free_figure(struct report_figure *f)
{
    for (size_t i = 0; i < f->legend_count; i++) free(f->legend[i].label);
    for (size_t i = 0; i < f->picture_count; i++) picture_free(&f->pictures[i]);
    free(f->title);
    free(f->text);
    free(f->legend);
    free(f->pictures);
}

static void end_figure(struct report_figures *f)
{
    if (f->figures[f->count - 1].picture_count) return;
    free_figure(&f->figures[--f->count]);
}

// "Loss", or "Loss: settings 9 to 16 of 40" for groups or lines from `first`.
static char *part_title(const char *what, size_t first, size_t count, size_t all)
{
    return all <= PICTURE_COLORS ? mem_string(what)
                                 : mem_format("%s: settings %zu to %zu of %zu", what, first + 1, first + count, all);
}

static size_t part_size(size_t first, size_t all)
{
    return all - first < PICTURE_COLORS ? all - first : PICTURE_COLORS;
}

// ---- where stages end --------------------------------------------------------------------------------------------

static void add_rule(struct picture *p, double at, unsigned color)
{
    p->rules = mem_resize(p->rules, (p->rule_count + 1) * sizeof *p->rules);
    p->rules[p->rule_count++] = (struct picture_rule){at, color};
}

// Between the last step of a stage and the first of the next, by the group's run that went farthest.
static size_t stage_ends(double *ends, size_t most, const struct report *r, const struct report_group *g)
{
    size_t count = 0;
    const struct report_run *run = &r->runs[g->runs[0]];
    for (size_t i = 1; i < g->run_count; i++)
        if (r->runs[g->runs[i]].step_count > run->step_count) run = &r->runs[g->runs[i]];
    for (size_t i = 1; i < run->stage_count && count < most; i++)
        if (run->stages[i].first > 1) ends[count++] = (double)run->stages[i].first - 0.5;
    return count;
}

#define STAGES 16 // whose ends are shown

// Grey when they are the same for all groups first .. first + count, else each in its group's colour. Returns whether
// there are any.
static bool add_rules(struct picture *p, const struct report *r, size_t first, size_t count)
{
    double common[STAGES], ends[STAGES];
    size_t common_count = stage_ends(common, STAGES, r, &r->groups[first]);
    bool alike = true;
    for (size_t g = first + 1; g < first + count; g++) {
        size_t n = stage_ends(ends, STAGES, r, &r->groups[g]);
        alike = alike && n == common_count && memcmp(ends, common, n * sizeof *ends) == 0;
    }
    for (size_t g = first; g < first + (alike ? 1 : count); g++) {
        size_t n = stage_ends(ends, STAGES, r, &r->groups[g]);
        for (size_t i = 0; i < n; i++) add_rule(p, ends[i], alike ? PICTURE_GREY : (unsigned)(g - first));
    }
    return p->rule_count > 0;
}

// ---- training ----------------------------------------------------------------------------------------------------

static void add_steps(struct picture *p, const struct report *r, size_t group, enum report_quantity quantity,
    uint32_t source, unsigned color, uint64_t *width)
{
    struct report_curve c;
    report_curve_steps(&c, r, group, quantity, source);
    if (c.width > *width) *width = c.width;
    picture_add(p, &c, color, false);
}

// A norm or a loss that falls by much is seen on a logarithmic axis only.
static bool wide(const struct picture *p)
{
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < p->series_count; i++)
        for (size_t k = 0; k < p->series[i].curve.count; k++) {
            double y = p->series[i].curve.points[k].y;
            if (!isfinite(y)) continue;
            if (!(y > 0)) return false;
            least = fmin(least, y);
            most = fmax(most, y);
        }
    return most > 30 * least;
}

// A picture with a line a group.
static struct picture *group_picture(struct report_figure *f, const struct report *r, size_t first, size_t count,
    enum report_quantity quantity, uint32_t source, char *title, const char *y_label, uint64_t *width)
{
    struct picture *p = new_picture(f, title, "step", y_label);
    for (size_t g = 0; g < count; g++) add_steps(p, r, first + g, quantity, source, (unsigned)g, width);
    p->y_log = quantity == REPORT_NORM && wide(p);
    p->y_from_zero = quantity == REPORT_SPEED;
    add_rules(p, r, first, count);
    return p;
}

static void say_how(struct report_figure *f, const struct report *r, size_t first, size_t count, uint64_t width)
{
    struct text t = {0};
    size_t most = 0;
    bool rules = false, own = false;
    for (size_t g = first; g < first + count; g++)
        if (r->groups[g].run_count > most) most = r->groups[g].run_count;
    for (size_t i = 0; i < f->picture_count; i++)
        for (size_t k = 0; k < f->pictures[i].rule_count; k++) {
            rules = true;
            own = own || f->pictures[i].rules[k].color != PICTURE_GREY;
        }
    text_add(&t, "", 0);
    if (most > 1) text_print(&t, "A line is the mean over the runs of a setting. ");
    if (width > 1)
        text_print(&t, "A point is the mean of up to %" PRIu64 " steps, for losses over their trained tokens. ", width);
    if (rules) text_print(&t, "Dotted upright lines: a stage ends%s. ", own ? " (in the colour of the setting)" : "");
    if (t.bytes) t.data[--t.bytes] = 0; // the last space
    f->text = t.data;
}

static void training_figure(struct report_figures *all, const struct report *r, size_t first, size_t count)
{
    struct report_figure *f = new_figure(all, FIGURE_TRAINING, part_title("Training", first, count, r->group_count));
    uint64_t width = 1;
    bool one = r->group_count == 1, together = one && r->sources.count < PICTURE_COLORS;
    if (together) {
        struct picture *p = new_picture(f, mem_string("loss"), "step", "loss");
        for (size_t s = 0; s < r->sources.count; s++) {
            add_steps(p, r, 0, REPORT_LOSS, (uint32_t)s, (unsigned)s, &width);
            add_legend(f, (unsigned)s, r->sources.names[s]);
        }
        add_steps(p, r, 0, REPORT_LOSS, REPORT_NONE, PICTURE_COLORS - 1, &width);
        add_legend(f, PICTURE_COLORS - 1, "all sources");
        add_rules(p, r, 0, 1);
        end_picture(f);
    } else {
        for (size_t g = 0; g < count && !one; g++) add_legend(f, (unsigned)g, r->groups[first + g].label);
        group_picture(f, r, first, count, REPORT_LOSS, REPORT_NONE, mem_string("loss, all sources"), "loss", &width);
        end_picture(f);
        for (size_t s = 0; s < r->sources.count; s++) {
            group_picture(f, r, first, count, REPORT_LOSS, (uint32_t)s, mem_format("loss, %s", r->sources.names[s]),
                "loss", &width);
            end_picture(f);
        }
    }
    static const struct {
        enum report_quantity quantity;
        const char *name;
    } rest[] = {{REPORT_RATE, "learning rate"}, {REPORT_NORM, "gradient norm"}, {REPORT_SPEED, "tokens/s"}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
        group_picture(
            f, r, first, count, rest[i].quantity, REPORT_NONE, mem_string(rest[i].name), rest[i].name, &width);
        // With a legend of sources, the only line of a setting is all of them.
        struct picture *p = &f->pictures[f->picture_count - 1];
        for (size_t k = 0; k < p->series_count && together; k++) p->series[k].color = PICTURE_COLORS - 1;
        end_picture(f);
    }
    say_how(f, r, first, count, width);
    end_figure(all);
}

// ---- evaluations -------------------------------------------------------------------------------------------------

static void add_evals(
    struct picture *p, const struct report *r, size_t group, uint32_t ability, bool score, unsigned color)
{
    struct report_curve c;
    report_curve_evals(&c, r, group, ability, score);
    for (size_t i = 0; i < c.count; i++) {
        c.points[i].stage = 0; // what an ability does from one stage to the next is what one looks for: one line
        if (score) c.points[i].y *= 100, c.points[i].deviation *= 100;
    }
    picture_add(p, &c, color, true);
}

static const char *const score_label = "score, %", *const loss_label = "loss";

// A name has one colour among sources and abilities.
static unsigned ability_color(const struct report *r, size_t ability)
{
    size_t others = r->sources.count;
    for (size_t a = 0; a <= ability; a++) {
        size_t s = 0;
        while (s < r->sources.count && strcmp(r->sources.names[s], r->abilities.names[a]) != 0) s++;
        if (a == ability) return (unsigned)((s < r->sources.count ? s : others) % PICTURE_COLORS);
        others += s == r->sources.count;
    }
    return 0;
}

// One setting: its abilities as lines.
static void add_abilities(struct report_figure *f, const struct report *r, bool score)
{
    struct picture *p =
        new_picture(f, mem_string(score ? "scores" : "losses"), "step", score ? score_label : loss_label);
    for (size_t a = 0; a < r->abilities.count; a++) add_evals(p, r, 0, (uint32_t)a, score, ability_color(r, a));
    add_rules(p, r, 0, 1);
    p->y_from_zero = score;
    end_picture(f);
}

// More: a picture an ability, a line a setting.
static void add_settings(struct report_figure *f, const struct report *r, size_t first, size_t count, bool score)
{
    for (size_t a = 0; a < r->abilities.count; a++) {
        struct picture *p = new_picture(f, mem_string(r->abilities.names[a]), "step", score ? score_label : loss_label);
        for (size_t g = 0; g < count; g++) add_evals(p, r, first + g, (uint32_t)a, score, (unsigned)g);
        add_rules(p, r, first, count);
        p->y_from_zero = score;
        end_picture(f);
    }
}

static bool few_abilities(const struct report *r)
{
    return r->group_count == 1 && r->sources.count + r->abilities.count <= PICTURE_COLORS;
}

static void eval_figure(struct report_figures *all, const struct report *r, size_t first, size_t count, bool score)
{
    bool together = few_abilities(r);
    const char *title = together ? "Evaluations" : score ? "Scores at evaluations" : "Losses at evaluations";
    struct report_figure *f = new_figure(all, FIGURE_EVALUATION, part_title(title, first, count, r->group_count));
    if (together) {
        for (size_t a = 0; a < r->abilities.count; a++) add_legend(f, ability_color(r, a), r->abilities.names[a]);
        add_abilities(f, r, true);
        add_abilities(f, r, false);
    } else {
        for (size_t g = 0; g < count && r->group_count > 1; g++) add_legend(f, (unsigned)g, r->groups[first + g].label);
        add_settings(f, r, first, count, score);
    }
    say_how(f, r, first, count, 1);
    end_figure(all);
}

// ---- over k and over the amount ----------------------------------------------------------------------------------

static void add_tick(struct picture *p, double at, const char *label)
{
    for (size_t i = 0; i < p->tick_count; i++)
        if (p->ticks[i].at == at) return;
    p->ticks = mem_resize(p->ticks, (p->tick_count + 1) * sizeof *p->ticks);
    p->ticks[p->tick_count++] = (struct picture_tick){at, mem_string(label)};
}

// k = 0 has no place on a logarithmic axis: it gets one of its own, a factor of 4 left of the least k.
static double zero_place(const struct report *r, const struct report_line *lines, size_t count)
{
    double least = 1;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lines[i].count; k++) {
            double x = r->groups[lines[i].groups[k]].k;
            if (x > 0 && x < least) least = x;
        }
    return least / 4;
}

static void add_line(struct picture *p, const struct report *r, const struct report_tables *t,
    const struct report_line *line, enum report_axis axis, size_t ability, bool score, double zero, unsigned color)
{
    struct report_curve c = {0};
    for (size_t i = 0; i < line->count; i++) {
        const struct report_summary *s = report_cell(t, r, line->groups[i], ability);
        struct report_spread y = score ? s->score : s->loss;
        double x = report_x(&r->groups[line->groups[i]], axis), unit = score ? 100 : 1;
        bool none = axis == REPORT_K && x == 0;
        struct text label = {0};
        if (axis == REPORT_K)
            report_fraction(&label, x);
        else
            text_print(&label, "%.0f", x);
        if (y.count && (axis == REPORT_K || p->tick_count < 12)) add_tick(p, none ? zero : x, label.data);
        text_free(&label);
        GROW(c.points, c.count, c.capacity);
        c.points[c.count++] = (struct report_point){none ? zero : x, y.mean * unit, y.deviation * unit, !none};
        if (score && axis == REPORT_AMOUNT && !isnan(s->chance)) p->level = s->chance * 100;
    }
    picture_add(p, &c, color, true);
}

static void line_figure(struct report_figures *all, const struct report *r, const struct report_tables *t,
    const struct report_line *lines, size_t first, size_t line_count, enum report_axis axis)
{
    bool k_axis = axis == REPORT_K, level = false;
    size_t count = part_size(first, line_count);
    double zero = k_axis ? zero_place(r, lines, line_count) : 0;
    struct report_figure *f = new_figure(all, k_axis ? FIGURE_K : FIGURE_GROWTH,
        part_title(k_axis ? "Abilities against k" : "Growth of abilities", first, count, line_count));
    for (size_t i = 0; i < count && line_count > 1; i++) add_legend(f, (unsigned)i, lines[first + i].label);
    for (size_t a = 0; a < r->abilities.count; a++) {
        bool score = false;
        for (size_t g = 0; g < r->group_count; g++) score = score || report_cell(t, r, g, a)->score.count;
        struct picture *p = new_picture(f, mem_string(r->abilities.names[a]),
            k_axis ? "k, the share of specialised rows replayed" : "rows in the mix (log4)",
            score ? score_label : loss_label);
        p->x_base = 4;
        p->y_from_zero = score;
        for (size_t i = 0; i < count; i++) add_line(p, r, t, &lines[first + i], axis, a, score, zero, (unsigned)i);
        level = level || !isnan(p->level);
        end_picture(f);
    }
    f->text = mem_format("Final evaluation: mean over the runs of a setting, bars one standard deviation.%s%s",
        k_axis ? " k = 0, which has no place on a logarithmic axis, stands at the left: mixed_sequential." : "",
        level ? " Dashed: the score of guessing." : "");
    end_figure(all);
}

// ---- the whole ---------------------------------------------------------------------------------------------------

static void draw(struct report_figures *f)
{
    struct picture **all = NULL;
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++)
        for (size_t k = 0; k < f->figures[i].picture_count; k++) {
            all = mem_resize(all, (count + 1) * sizeof *all);
            all[count++] = &f->figures[i].pictures[k];
        }
    pictures_draw(all, count, &f->problem);
    free(all);
}

void report_figures_make(struct report_figures *f, const struct report *r, const struct report_tables *t)
{
    *f = (struct report_figures){0};
    for (size_t g = 0; g < r->group_count; g += PICTURE_COLORS) training_figure(f, r, g, part_size(g, r->group_count));
    for (int score = 1; score >= (few_abilities(r) ? 1 : 0); score--) // one figure has both where they are few
        for (size_t g = 0; g < r->group_count; g += PICTURE_COLORS)
            eval_figure(f, r, g, part_size(g, r->group_count), score);
    for (enum report_axis axis = REPORT_K; axis <= REPORT_AMOUNT; axis++) {
        struct report_line *lines;
        size_t count = report_lines(&lines, r, axis);
        for (size_t i = 0; i < count; i += PICTURE_COLORS) line_figure(f, r, t, lines, i, count, axis);
        report_lines_free(lines, count);
    }
    draw(f);
}

void report_figures_free(struct report_figures *f)
{
    for (size_t i = 0; i < f->count; i++) free_figure(&f->figures[i]);
    free(f->figures);
    *f = (struct report_figures){0};
}
