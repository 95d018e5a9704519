// SPDX-License-Identifier: MIT
#include "study/report_page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char style[] =
    "body{margin:0;background:#fff;color:#1d1d1f;font:16px/1.5 system-ui,-apple-system,\"Segoe "
    "UI\",Roboto,sans-serif}\n"
    "main{max-width:1080px;margin:0 auto;padding:16px}\n"
    "h1{font-size:1.6em;line-height:1.25;margin:.4em 0;overflow-wrap:anywhere}\n"
    "h2{font-size:1.25em;margin:2em 0 .4em;padding-top:.4em;border-top:1px solid #d6d6d6}\n"
    "h3{font-size:1em;margin:1.4em 0 .3em}\n"
    "p{margin:.4em 0;max-width:46em;overflow-wrap:anywhere}\n"
    "p.small,figcaption,summary,.legend{font-size:.875em;color:#444}\n"
    "nav{display:flex;flex-wrap:wrap;gap:.2em 1em;margin:.8em 0}\n"
    "a{color:#0b5394}\n"
    ".box{overflow-x:auto;width:fit-content;max-width:100%;margin:.6em 0;border:1px solid #e2e2e2;border-radius:4px}\n"
    "table{border-collapse:separate;border-spacing:0;font-size:.875em;font-variant-numeric:tabular-nums;white-space:"
    "nowrap}\n"
    "th,td{padding:.3em .7em;text-align:right;border-bottom:1px solid #ececec}\n"
    "th{font-weight:600;background:#f6f6f6}\n"
    "tr:last-child>*{border-bottom:0}\n"
    "th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff;max-width:15em;"
    "white-space:normal;overflow-wrap:anywhere;min-width:8.5em}\n"
    "thead th:first-child{background:#f6f6f6}\n"
    "td.text,th.text{text-align:left}\n"
    ".best{font-weight:700}\n"
    ".spread,.note{color:#666}\n"
    "code,pre{font:.875em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\n"
    "pre{overflow-x:auto;margin:.4em 0;padding:.6em;background:#f6f6f6;border-radius:4px}\n"
    ".pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:12px;margin:.6em "
    "0}\n"
    "figure{margin:0;min-width:0}\n"
    "figcaption{font-weight:600;color:#1d1d1f;overflow-wrap:anywhere}\n"
    "svg{display:block;width:100%;height:auto}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.2em 1.2em;margin:.5em 0;padding:0;list-style:none}\n"
    ".legend li{overflow-wrap:anywhere}\n"
    ".legend i{display:inline-block;width:1.4em;height:.25em;margin-right:.5em;vertical-align:middle}\n"
    "details{margin:.5em 0}summary{cursor:pointer;overflow-wrap:anywhere}\n"
    "ul.notes{font-size:.875em;padding-left:1.2em;overflow-wrap:anywhere}\n";

// ---- words -------------------------------------------------------------------------------------------------------

static void add(struct text *t, const char *html)
{
    text_add(t, html, strlen(html));
}

// Plain text of any origin.
static void add_plain(struct text *t, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            add(t, "&lt;");
            break;
        case '>':
            add(t, "&gt;");
            break;
        case '&':
            add(t, "&amp;");
            break;
        case '"':
            add(t, "&quot;");
            break;
        case '\'':
            add(t, "&#39;");
            break;
        default:
            text_add(t, s, 1);
        }
    }
}

static void add_element(struct text *t, const char *name, const char *class, const char *s)
{
    text_print(t, class ? "<%s class=\"%s\">" : "<%s>", name, class);
    add_plain(t, s);
    text_print(t, "</%s>", name);
}

// The lines of a note as points of a list.
static void add_points(struct text *t, const char *who, const char *lines)
{
    while (lines && *lines) {
        size_t n = strcspn(lines, "\n");
        char *line = mem_string_n(lines, n);
        add(t, "<li>");
        if (who) {
            add_element(t, "b", NULL, who);
            add(t, ": ");
        }
        add_plain(t, line);
        add(t, "</li>\n");
        free(line);
        lines += n + (lines[n] == '\n');
    }
}

// 1,234,567
static void add_count(struct text *t, uint64_t n)
{
    char digits[32];
    int bytes = snprintf(digits, sizeof digits, "%" PRIu64, n);
    for (int i = 0; i < bytes; i++) {
        if (i && (bytes - i) % 3 == 0) add(t, ",");
        text_add(t, &digits[i], 1);
    }
}

static void add_count_cell(struct text *t, bool known, uint64_t n)
{
    add(t, "<td>");
    if (known)
        add_count(t, n);
    else
        add(t, "–");
    add(t, "</td>");
}

static void add_percent_cell(struct text *t, uint64_t part, uint64_t all)
{
    if (all)
        text_print(t, "<td>%.2f</td>", 100.0 * (double)part / (double)all);
    else
        add(t, "<td>–</td>");
}

static void add_hash_cell(struct text *t, bool known, uint64_t hash)
{
    if (known)
        text_print(t, "<td class=\"text\"><code>%016" PRIx64 "</code></td>", hash);
    else
        add(t, "<td class=\"text\">–</td>");
}

static void begin_table(struct text *t)
{
    add(t, "<div class=\"box\"><table><thead><tr>");
}

static void end_table(struct text *t)
{
    add(t, "</tbody></table></div>\n");
}

static void begin_section(struct text *t, const char *id, const char *title)
{
    text_print(t, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

// ---- figures -----------------------------------------------------------------------------------------------------

static size_t part_count(const struct report_figures *f, enum figure_part part)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) n += f->figures[i].part == part;
    return n;
}

static void add_figures(struct text *t, const struct report_figures *f, enum figure_part part)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct report_figure *figure = &f->figures[i];
        if (figure->part != part || f->problem.text[0]) continue;
        if (part_count(f, part) > 1) add_element(t, "h3", NULL, figure->title);
        if (figure->text) add_element(t, "p", "small", figure->text);
        if (figure->legend_count) add(t, "<ul class=\"legend\">");
        for (size_t k = 0; k < figure->legend_count; k++) {
            text_print(t, "<li><i style=\"background:%s\"></i>", picture_colors[figure->legend[k].color]);
            add_plain(t, figure->legend[k].label);
            add(t, "</li>");
        }
        if (figure->legend_count) add(t, "</ul>\n");
        add(t, "<div class=\"pictures\">\n");
        for (size_t k = 0; k < figure->picture_count; k++) {
            const struct picture *p = &figure->pictures[k];
            add(t, "<figure>");
            add_element(t, "figcaption", NULL, p->title);
            if (p->svg) add(t, p->svg);
            add(t, "</figure>\n");
        }
        add(t, "</div>\n");
    }
}

// ---- abilities ---------------------------------------------------------------------------------------------------

// What a table of abilities shows.
enum column { COLUMN_SCORE, COLUMN_LOSS, COLUMN_FORGOTTEN, COLUMN_LOSS_RISEN };

static struct report_spread spread_of(const struct report_summary *s, enum column column)
{
    return column == COLUMN_SCORE       ? s->score
           : column == COLUMN_LOSS      ? s->loss
           : column == COLUMN_FORGOTTEN ? s->forgotten
                                        : s->loss_risen;
}

static bool shown(const struct report *r, const struct report_tables *t, enum column column, size_t ability)
{
    for (size_t g = 0; g < r->group_count; g++)
        if (spread_of(report_cell(t, r, g, ability), column).count) return true;
    return false;
}

static void add_ability_heads(
    struct text *out, const struct report *r, const struct report_tables *t, enum column column)
{
    for (size_t a = 0; a < r->abilities.count; a++)
        if (shown(r, t, column, a)) add_element(out, "th", NULL, r->abilities.names[a]);
    add(out, "</tr></thead><tbody>\n");
}

// runs: of the setting; a mean over fewer says so.
static void add_spread_cell(struct text *out, struct report_spread s, enum column column, size_t runs, bool best)
{
    bool percent = column == COLUMN_SCORE || column == COLUMN_FORGOTTEN;
    int digits = percent ? 1 : 4;
    double unit = percent ? 100 : 1;
    if (!s.count) {
        add(out, "<td>–</td>");
        return;
    }
    text_print(out, best ? "<td class=\"best\">%.*f" : "<td>%.*f", digits, s.mean * unit);
    if (s.count > 1) text_print(out, " <span class=\"spread\">± %.*f</span>", digits, s.deviation * unit);
    if (s.count != runs) text_print(out, " <span class=\"note\">(n = %zu)</span>", s.count);
    add(out, "</td>");
}

static bool is_best(
    const struct report *r, const struct report_tables *t, size_t group, size_t ability, enum column column)
{
    if (r->group_count < 2 || (column != COLUMN_SCORE && column != COLUMN_LOSS)) return false;
    double mean = spread_of(report_cell(t, r, group, ability), column).mean;
    for (size_t g = 0; g < r->group_count; g++) {
        double other = spread_of(report_cell(t, r, g, ability), column).mean;
        if (column == COLUMN_SCORE ? other > mean : other < mean) return false;
    }
    return !isnan(mean);
}

static void ability_table(struct text *out, const struct report *r, const struct report_tables *t, enum column column)
{
    bool chance = false;
    begin_table(out);
    add(out, "<th>setting</th><th>runs</th>");
    add_ability_heads(out, r, t, column);
    for (size_t g = 0; g < r->group_count; g++) {
        add(out, "<tr><td>");
        add_plain(out, r->groups[g].label);
        if (t->so_far[g]) add(out, " <span class=\"note\">(so far)</span>");
        text_print(out, "</td><td>%zu</td>", r->groups[g].run_count);
        for (size_t a = 0; a < r->abilities.count; a++) {
            const struct report_summary *s = report_cell(t, r, g, a);
            if (!shown(r, t, column, a)) continue;
            add_spread_cell(out, spread_of(s, column), column, r->groups[g].run_count, is_best(r, t, g, a, column));
            chance = chance || !isnan(s->chance);
        }
        add(out, "</tr>\n");
    }
    if (chance && column == COLUMN_SCORE) {
        add(out, "<tr><td class=\"note\">by guessing</td><td></td>");
        for (size_t a = 0; a < r->abilities.count; a++) {
            double level = NAN;
            for (size_t g = 0; g < r->group_count && isnan(level); g++) level = report_cell(t, r, g, a)->chance;
            if (!shown(r, t, column, a)) continue;
            if (isnan(level))
                add(out, "<td class=\"note\">–</td>");
            else
                text_print(out, "<td class=\"note\">%.1f</td>", level * 100);
        }
        add(out, "</tr>\n");
    }
    end_table(out);
}

static void add_abilities(struct text *out, const struct report *r, const struct report_tables *t)
{
    if (!t->any_score && !t->any_loss) return;
    begin_section(out, "abilities", "Abilities");
    add(out,
        "<p class=\"small\">The last evaluation of each run: mean ± sample standard deviation over the runs of a "
        "setting, which differ in nothing but the seed. Best of a column in bold. Unfinished runs count only where "
        "a setting has no other (so far).</p>\n");
    if (t->any_score) {
        add(out, "<h3>Score, %</h3>\n");
        ability_table(out, r, t, COLUMN_SCORE);
    }
    if (t->any_loss) {
        add(out, "<h3>Loss</h3>\n");
        ability_table(out, r, t, COLUMN_LOSS);
    }
}

static void add_forgetting(struct text *out, const struct report *r, const struct report_tables *t)
{
    if (!t->any_forgotten && !t->any_loss_risen) return;
    begin_section(out, "forgetting", "Forgetting");
    add(out, "<p class=\"small\">The best evaluation of an earlier stage against the final one. Positive numbers are "
             "forgotten, negative ones gained.</p>\n");
    if (t->any_forgotten) {
        add(out, "<h3>Score lost, points</h3>\n");
        ability_table(out, r, t, COLUMN_FORGOTTEN);
    }
    if (t->any_loss_risen) {
        add(out, "<h3>Loss risen</h3>\n");
        ability_table(out, r, t, COLUMN_LOSS_RISEN);
    }
}

// ---- over k and over the amount ----------------------------------------------------------------------------------

static void line_table(struct text *out, const struct report *r, const struct report_tables *t,
    const struct report_line *lines, size_t count, enum report_axis axis)
{
    enum column column = t->any_score ? COLUMN_SCORE : COLUMN_LOSS;
    add(out, t->any_score ? "<h3>Score, %</h3>\n" : "<h3>Loss</h3>\n");
    begin_table(out);
    text_print(out, "%s<th>%s</th>", count > 1 ? "<th>setting</th>" : "", axis == REPORT_K ? "k" : "rows");
    add_ability_heads(out, r, t, column);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < lines[i].count; k++) {
            const struct report_group *g = &r->groups[lines[i].groups[k]];
            add(out, "<tr>");
            if (count > 1) add_element(out, "td", NULL, lines[i].label);
            add(out, "<td>");
            if (axis == REPORT_K)
                report_fraction(out, g->k);
            else
                add_count(out, g->rows);
            if (t->so_far[lines[i].groups[k]]) add(out, " <span class=\"note\">(so far)</span>");
            add(out, "</td>");
            for (size_t a = 0; a < r->abilities.count; a++)
                if (shown(r, t, column, a))
                    add_spread_cell(
                        out, spread_of(report_cell(t, r, lines[i].groups[k], a), column), column, g->run_count, false);
            add(out, "</tr>\n");
        }
    end_table(out);
}

static void add_lines(struct text *out, const struct report *r, const struct report_tables *t,
    const struct report_figures *f, enum report_axis axis)
{
    struct report_line *lines;
    size_t count = report_lines(&lines, r, axis);
    if (count && (t->any_score || t->any_loss)) {
        if (axis == REPORT_K)
            begin_section(out, "k", "Abilities against k");
        else
            begin_section(out, "growth", "Growth of abilities");
        add_figures(out, f, axis == REPORT_K ? FIGURE_K : FIGURE_GROWTH);
        line_table(out, r, t, lines, count, axis);
    }
    report_lines_free(lines, count);
}

// ---- shares ------------------------------------------------------------------------------------------------------

// The shares of a stage, added up over the runs of a group, in the order of the first.
static size_t sum_shares(struct report_share *sums, const struct report *r, const struct report_group *g, size_t stage)
{
    size_t count = 0;
    for (size_t i = 0; i < g->run_count; i++) {
        const struct report_run *run = &r->runs[g->runs[i]];
        if (stage >= run->stage_count) continue;
        for (size_t k = 0; k < run->stages[stage].share_count; k++) {
            const struct report_share *s = &run->stages[stage].shares[k];
            size_t at = 0;
            while (at < count && sums[at].source != s->source) at++;
            if (at == count) sums[count++] = (struct report_share){.source = s->source};
            sums[at].asked_rows += s->asked_rows;
            sums[at].asked_tokens += s->asked_tokens;
            sums[at].asked_trained += s->asked_trained;
            sums[at].rows += s->rows;
            sums[at].tokens += s->tokens;
            sums[at].trained += s->trained;
        }
    }
    return count;
}

// The run of a group that has the most stages: one that was killed early may know none.
static const struct report_run *longest_run(const struct report *r, const struct report_group *g)
{
    const struct report_run *longest = &r->runs[g->runs[0]];
    for (size_t i = 1; i < g->run_count; i++)
        if (r->runs[g->runs[i]].stage_count > longest->stage_count) longest = &r->runs[g->runs[i]];
    return longest;
}

static void share_rows(struct text *out, const struct report *r, const struct report_group *g, size_t stage)
{
    const struct report_run *run = longest_run(r, g);
    struct report_share *sums = mem_zero(r->sources.count + 1, sizeof *sums), all = {0};
    size_t count = sum_shares(sums, r, g, stage);
    for (size_t i = 0; i < count; i++) {
        all.asked_tokens += sums[i].asked_tokens;
        all.asked_trained += sums[i].asked_trained;
        all.tokens += sums[i].tokens;
        all.trained += sums[i].trained;
    }
    for (size_t i = 0; i < count; i++) {
        const struct report_share *s = &sums[i];
        add(out, "<tr><td>");
        add_plain(out, run->stages[stage].name);
        add(out, "</td><td class=\"text\">");
        add_plain(out, r->sources.names[s->source]);
        add(out, "</td>");
        add_count_cell(out, run->staged, s->asked_rows);
        add_count_cell(out, run->planned, s->asked_tokens);
        add_percent_cell(out, s->asked_tokens, all.asked_tokens);
        add_count_cell(out, run->planned, s->asked_trained);
        add_percent_cell(out, s->asked_trained, all.asked_trained);
        add_count_cell(out, true, s->rows);
        add_count_cell(out, all.tokens > 0 || !all.trained, s->tokens);
        add_percent_cell(out, s->tokens, all.tokens);
        add_count_cell(out, true, s->trained);
        add_percent_cell(out, s->trained, all.trained);
        add(out, "</tr>\n");
    }
    free(sums);
}

static void add_shares(struct text *out, const struct report *r)
{
    begin_section(out, "shares", "Shares of the sources");
    add(out,
        "<p class=\"small\">Asked: what the mix takes in an epoch. Realised: what the steps in the log have trained "
        "on, all epochs together. Both are sums over the runs of a setting; % is the share of the stage's "
        "tokens.</p>\n");
    for (size_t g = 0; g < r->group_count; g++) {
        const struct report_group *group = &r->groups[g];
        text_print(out, "<details%s><summary>", r->group_count <= 3 ? " open" : "");
        add_plain(out, group->label);
        if (group->run_count > 1) text_print(out, ", sums over %zu runs", group->run_count);
        add(out, "</summary>\n");
        begin_table(out);
        add(out, "<th>stage</th><th class=\"text\">source</th><th>asked rows</th><th>tokens</th><th>%</th>"
                 "<th>trained tokens</th><th>%</th><th>realised rows</th><th>tokens</th><th>%</th>"
                 "<th>trained tokens</th><th>%</th></tr></thead><tbody>\n");
        for (size_t k = 0; k < longest_run(r, group)->stage_count; k++) share_rows(out, r, group, k);
        end_table(out);
        add(out, "</details>\n");
    }
}

// ---- the runs ----------------------------------------------------------------------------------------------------

static void add_state(struct text *out, const struct report_run *run)
{
    add(out, "<td class=\"text\">");
    if (run->why) {
        add(out, "failed");
    } else {
        add(out, run->state == REPORT_DONE ? "done" : run->state == REPORT_RUNNING ? "still going" : "stopped");
    }
    add(out, "</td><td>");
    add_count(out, run->step_count ? run->steps[run->step_count - 1].step : 0);
    if (run->staged) {
        add(out, " / ");
        add_count(out, run->total_steps);
    }
    add(out, "</td>");
}

static void add_run(struct text *out, const struct report *r, const struct report_run *run)
{
    add_element(out, "td", NULL, run->name);
    add_element(out, "td", "text", r->groups[run->group].label);
    add_state(out, run);
    add_count_cell(out, true, run->tokens);
    add_count_cell(out, true, run->trained);
    text_print(out, "<td>%.1f</td>", run->seconds);
    if (run->seconds > 0)
        text_print(out, "<td>%.1f</td>", (double)run->tokens / run->seconds);
    else
        add(out, "<td>–</td>");
    if (run->step_count && isfinite(run->steps[run->step_count - 1].loss))
        text_print(out, "<td>%.4f</td>", run->steps[run->step_count - 1].loss);
    else
        add(out, "<td>–</td>");
    text_print(out, "<td>%" PRIu64 "</td><td class=\"text\">", run->skipped);
    add_plain(out, run->device ? run->device : "–");
    add(out, "</td><td class=\"text\">");
    add_plain(out, run->driver ? run->driver : "–");
    add(out, "</td><td class=\"text\">");
    add_plain(out, run->precision ? run->precision : "–");
    add(out, " / ");
    add_plain(out, run->products ? run->products : "–");
    add(out, "</td><td class=\"text\"><code>");
    add_plain(out, run->hash[0] ? run->hash : "–");
    add(out, "</code></td>");
    add_hash_cell(out, run->config_text != NULL, run->config_hash);
}

static void add_runs(struct text *out, const struct report *r)
{
    size_t stages = 0;
    begin_section(out, "runs", "Runs");
    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i].stage_count > stages) stages = r->runs[i].stage_count;
    add(out, "<p class=\"small\">Loss is that of the last step. Hashes are FNV-1a 64: the run's over the bits of every "
             "step's loss and gradient norm, those of the config and of each stage's manifest (which rows were trained "
             "on, in order) over the file.</p>\n");
    begin_table(out);
    add(out, "<th>run</th><th class=\"text\">setting</th><th class=\"text\">state</th><th>steps</th><th>tokens</th>"
             "<th>trained tokens</th><th>seconds</th><th>tokens/s</th><th>loss</th><th>skipped steps</th>"
             "<th class=\"text\">device</th><th class=\"text\">driver</th><th class=\"text\">storage / products</th>"
             "<th class=\"text\">run's hash</th><th class=\"text\">config</th>");
    for (size_t k = 0; k < stages; k++) text_print(out, "<th class=\"text\">manifest %zu</th>", k + 1);
    add(out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < r->run_count; i++) {
        const struct report_run *run = &r->runs[i];
        add(out, "<tr>");
        add_run(out, r, run);
        for (size_t k = 0; k < stages; k++)
            add_hash_cell(out, k < run->stage_count && run->stages[k].has_manifest,
                k < run->stage_count ? run->stages[k].manifest : 0);
        add(out, "</tr>\n");
    }
    end_table(out);
}

static void add_configs(struct text *out, const struct report *r)
{
    begin_section(out, "configs", "Configs");
    for (size_t i = 0; i < r->run_count; i++) {
        const struct report_run *run = &r->runs[i];
        if (!run->config_text) continue;
        add(out, "<details><summary>");
        add_plain(out, run->name);
        text_print(out, " <code>%016" PRIx64 "</code></summary>\n<pre>", run->config_hash);
        add_plain(out, run->config_text);
        add(out, "</pre></details>\n");
    }
}

static void add_notes(struct text *out, const struct report *r)
{
    bool any = r->notes != NULL;
    for (size_t i = 0; i < r->run_count; i++) any = any || r->runs[i].notes || r->runs[i].why;
    if (!any) return;
    begin_section(out, "notes", "Notes");
    add(out, "<ul class=\"notes\">\n");
    add_points(out, NULL, r->notes);
    for (size_t i = 0; i < r->run_count; i++) {
        const struct report_run *run = &r->runs[i];
        if (run->why) {
            char *failed = mem_format("failed: %s", run->why);
            add_points(out, run->name, failed);
            free(failed);
        }
        add_points(out, run->name, run->notes);
    }
    add(out, "</ul>\n");
}

// ---- the page ----------------------------------------------------------------------------------------------------

static void add_lead(struct text *out, const struct report *r, const struct report_figures *f)
{
    size_t states[3] = {0}, failed = 0;
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(date, sizeof date, "%Y-%m-%d %H:%M", &utc);
    for (size_t i = 0; i < r->run_count; i++) {
        states[r->runs[i].state]++;
        failed += r->runs[i].why != NULL;
    }
    text_print(out, "<p>%zu run%s in %zu setting%s: %zu done", r->run_count, plural(r->run_count),
        r->group_count, plural(r->group_count), states[REPORT_DONE]);
    if (states[REPORT_RUNNING]) text_print(out, ", %zu still going", states[REPORT_RUNNING]);
    if (states[REPORT_STOPPED]) text_print(out, ", %zu stopped before the end", states[REPORT_STOPPED]);
    if (failed) text_print(out, " (%zu failed)", failed);
    text_print(out, ". Written by pumice, %s UTC.</p>\n", date);
    if (!f->problem.text[0]) return;
    add(out, "<p>There are no pictures: ");
    add_plain(out, f->problem.text);
    add(out, ". With gnuplot (Debian and Ubuntu: the package gnuplot-nox) a report has its curves.</p>\n");
}

static void add_link(struct text *out, bool there, const char *id, const char *word)
{
    if (there) text_print(out, "<a href=\"#%s\">%s</a>", id, word);
}

void report_page(struct text *out, const struct report *r, const struct report_tables *t,
    const struct report_figures *f, const char *title)
{
    bool training = part_count(f, FIGURE_TRAINING) && !f->problem.text[0];
    bool evaluation = part_count(f, FIGURE_EVALUATION) && !f->problem.text[0];
    struct text sections = {0};
    add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" REPORT_MARK
             "\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" "
             "href=\"data:,\">\n");
    add_element(out, "title", NULL, title);
    text_print(out, "\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", style);
    add_element(out, "h1", NULL, title);
    add_lead(out, r, f);
    add_abilities(&sections, r, t);
    add_forgetting(&sections, r, t);
    add_lines(&sections, r, t, f, REPORT_K);
    add_lines(&sections, r, t, f, REPORT_AMOUNT);
    if (evaluation) {
        begin_section(&sections, "evaluation", "Evaluation");
        add_figures(&sections, f, FIGURE_EVALUATION);
    }
    if (training) {
        begin_section(&sections, "training", "Training");
        add_figures(&sections, f, FIGURE_TRAINING);
    }
    add_shares(&sections, r);
    add_notes(&sections, r);
    add_runs(&sections, r);
    add_configs(&sections, r);
    add(out, "<nav>");
    static const char *const links[][2] = {{"abilities", "Abilities"}, {"forgetting", "Forgetting"}, {"k", "k"},
        {"growth", "Growth"}, {"evaluation", "Evaluation"}, {"training", "Training"}, {"shares", "Shares"},
        {"notes", "Notes"}, {"runs", "Runs"}, {"configs", "Configs"}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char mark[64];
        snprintf(mark, sizeof mark, "<h2 id=\"%s\">", links[i][0]);
        add_link(out, strstr(sections.data, mark) != NULL, links[i][0], links[i][1]);
    }
    add(out, "</nav>\n");
    text_add(out, sections.data, sections.bytes);
    add(out, "</main>\n</body>\n</html>\n");
    text_free(&sections);
}
