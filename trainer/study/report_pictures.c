// SPDX-License-Identifier: MIT
#include "study/report_pictures.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *const picture_colors[PICTURE_COLORS + 1] = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f4f24", "#000000", "#808080"};

#define WIDTH 440
#define HEIGHT 270

void picture_free(struct picture *p)
{
    for (size_t i = 0; i < p->series_count; i++) report_curve_free(&p->series[i].curve);
    for (size_t i = 0; i < p->tick_count; i++) free(p->ticks[i].label);
    free(p->title);
    free(p->series);
    free(p->rules);
    free(p->ticks);
    free(p->svg);
    *p = (struct picture){0};
}

static bool shown(const struct picture *p, const struct report_point *point)
{
    return isfinite(point->x) && isfinite(point->y) && (!p->y_log || point->y > 0) &&
           (!(p->x_base > 0) || point->x > 0);
}

void picture_add(struct picture *p, struct report_curve *curve, unsigned color, bool marks)
{
    bool any = false;
    for (size_t i = 0; i < curve->count; i++) any = any || shown(p, &curve->points[i]);
    if (!any) {
        report_curve_free(curve);
        return;
    }
    p->series = mem_resize(p->series, (p->series_count + 1) * sizeof *p->series);
    p->series[p->series_count++] = (struct picture_series){.curve = *curve, .color = color, .marks = marks};
    *curve = (struct report_curve){0};
}

// ---- the script --------------------------------------------------------------------------------------------------

static bool has_deviations(const struct picture *p, const struct picture_series *s)
{
    for (size_t i = 0; s->marks && i < s->curve.count; i++)
        if (shown(p, &s->curve.points[i]) && isfinite(s->curve.points[i].deviation)) return true;
    return false;
}

// Whether the line breaks between two points, one after the other.
static bool breaks(const struct report_point *a, const struct report_point *b)
{
    return !a || !b || a->stage != b->stage;
}

// Blocks of data: $d<index> the points, broken into lines; $e<index> those with a deviation; $p<index> those that are
// alone between two breaks, which a line would not show. Returns whether there are any of the last kind.
static bool add_data(struct text *t, const struct picture *p, size_t index)
{
    const struct picture_series *s = &p->series[index];
    const struct report_point *before = NULL;
    struct text alone = {0};
    text_print(t, "$d%zu <<END\n", index);
    for (size_t i = 0; i < s->curve.count; i++) {
        const struct report_point *point = &s->curve.points[i], *after = NULL;
        if (!shown(p, point)) continue;
        for (size_t k = i + 1; k < s->curve.count && !after; k++)
            if (shown(p, &s->curve.points[k])) after = &s->curve.points[k];
        if (before && breaks(before, point)) text_print(t, "\n");
        text_print(t, "%.7g %.7g\n", point->x, point->y);
        if (breaks(before, point) && breaks(point, after)) text_print(&alone, "%.7g %.7g\n", point->x, point->y);
        before = point;
    }
    text_print(t, "END\n");
    bool any = alone.bytes > 0;
    if (any) text_print(t, "$p%zu <<END\n%sEND\n", index, alone.data);
    text_free(&alone);
    if (!has_deviations(p, s)) return any;
    text_print(t, "$e%zu <<END\n", index);
    for (size_t i = 0; i < s->curve.count; i++) {
        const struct report_point *point = &s->curve.points[i];
        if (shown(p, point) && isfinite(point->deviation))
            text_print(t, "%.7g %.7g %.7g\n", point->x, point->y, point->deviation);
    }
    text_print(t, "END\n");
    return any;
}

static void add_axes(struct text *t, const struct picture *p)
{
    text_print(t, "set xlabel '%s' offset 0,0.4\nset ylabel '%s'\n", p->x_label, p->y_label);
    if (p->y_log) text_print(t, "set logscale y\n");
    if (p->y_from_zero) text_print(t, "set yrange [0:*]\n");
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < p->series_count; i++)
        for (size_t k = 0; k < p->series[i].curve.count; k++) {
            const struct report_point *point = &p->series[i].curve.points[k];
            if (!shown(p, point)) continue;
            least = fmin(least, point->x);
            most = fmax(most, point->x);
        }
    if (p->x_base > 0)
        text_print(t, "set logscale x %g\nset xrange [%.7g:%.7g]\n", p->x_base, least / sqrt(p->x_base),
            most * sqrt(p->x_base));
    else
        text_print(t, "set xrange [0:%.7g]\n%s", most > 0 ? most : 1, most <= 6 ? "set xtics 1\n" : "");
    if (p->tick_count) {
        text_print(t, "set xtics (");
        for (size_t i = 0; i < p->tick_count; i++)
            text_print(t, "%s'%s' %.7g", i ? ", " : "", p->ticks[i].label, p->ticks[i].at);
        text_print(t, ")\n");
    }
    for (size_t i = 0; i < p->rule_count; i++)
        text_print(t, "set arrow from first %.7g, graph 0 to first %.7g, graph 1 nohead back dt 3 lw 1.2 lc rgb '%s'\n",
            p->rules[i].at, p->rules[i].at, picture_colors[p->rules[i].color]);
}

static void add_script(struct text *t, const struct picture *p, size_t number)
{
    text_print(t,
        "reset\nset terminal svg size %d,%d dynamic font 'sans-serif,13' name 'picture%zu'\nset output\n"
        "set border 3 back lc rgb '#888888'\nset grid ytics lt 1 lw 1 lc rgb '#e4e4e4'\n"
        "set tics nomirror out textcolor rgb '#333333'\nunset key\n"
        "set format '%%g'\nset tics scale 0.6\n",
        WIDTH, HEIGHT, number);
    add_axes(t, p);
    struct text plots = {0};
    if (isfinite(p->level)) text_print(&plots, ", %.7g notitle with lines lw 1.2 dt 2 lc rgb '#808080'", p->level);
    for (size_t i = 0; i < p->series_count; i++) {
        const struct picture_series *s = &p->series[i];
        const char *color = picture_colors[s->color];
        bool alone = add_data(t, p, i);
        // Bars as vectors: gnuplot's own error bars blank out what is around their points.
        if (has_deviations(p, s))
            text_print(&plots,
                ", $e%zu using 1:($2-$3):(0):(2*$3) notitle with vectors heads size screen 0.008,90 lw 1 lc rgb '%s'",
                i, color);
        text_print(&plots, ", $d%zu using 1:2 notitle with %s lw 1.7 lc rgb '%s'", i,
            s->marks ? "linespoints pt 7 ps 0.6" : "lines", color);
        if (alone && !s->marks)
            text_print(&plots, ", $p%zu using 1:2 notitle with points pt 7 ps 0.3 lc rgb '%s'", i, color);
    }
    text_print(t, "plot %s\n", plots.data + 2);
    text_free(&plots);
    text_print(t, "unset output\n");
}

// ---- gnuplot -----------------------------------------------------------------------------------------------------

// All that a file or a pipe holds.
static void take_all(struct text *t, int fd)
{
    char piece[65536];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text_add(t, piece, (size_t)n);
    }
}

// Starts it with `script` to read and `said` for its messages; *out is where its pictures come from.
static int start(pid_t *pid, int *out, FILE *script, FILE *said, struct error *e)
{
    char *const words[] = {(char *)(uintptr_t) "gnuplot", (char *)(uintptr_t) "-d", (char *)(uintptr_t) "-", NULL};
    int ends[2];
    if (pipe(ends) != 0) return error_set(e, "no pipe can be made (%s)", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(script), 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(said), 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    int code = posix_spawnp(pid, "gnuplot", &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = ends[0];
    if (code == 0) return 0;
    close(ends[0]);
    return code == ENOENT ? error_set(e, "gnuplot is not installed")
                          : error_set(e, "gnuplot cannot be started (%s)", strerror(code));
}

static int run_gnuplot(struct text *out, const struct text *script, struct error *e)
{
    FILE *in = tmpfile(), *said = tmpfile();
    pid_t pid = 0;
    int pipe_end = -1, state = 0, status = -1;
    if (!in || !said || fwrite(script->data, 1, script->bytes, in) != script->bytes || fflush(in) != 0)
        error_set(e, "gnuplot's script cannot be written to a temporary file (%s)", strerror(errno));
    else if (lseek(fileno(in), 0, SEEK_SET) == 0)
        status = start(&pid, &pipe_end, in, said, e);
    if (status == 0) {
        take_all(out, pipe_end);
        close(pipe_end);
        while (waitpid(pid, &state, 0) < 0 && errno == EINTR) continue;
        if (!WIFEXITED(state) || WEXITSTATUS(state) != 0) {
            struct text words = {0};
            text_add(&words, "", 0);
            lseek(fileno(said), 0, SEEK_SET);
            take_all(&words, fileno(said));
            // It shows the line and a caret below it first; the reason comes last.
            while (words.bytes && strchr("\n\r ", words.data[words.bytes - 1])) words.data[--words.bytes] = 0;
            const char *line = strrchr(words.data, '\n');
            status = error_set(e, "gnuplot failed (%s)", line ? line + 1 : words.data);
            text_free(&words);
        }
    }
    if (in) fclose(in);
    if (said) fclose(said);
    return status;
}

// Adds from `from` up to `to` without the elements <name>...</name>.
static void add_without(struct text *t, const char *from, const char *to, const char *name)
{
    char open[32], close_tag[32];
    snprintf(open, sizeof open, "<%s>", name);
    snprintf(close_tag, sizeof close_tag, "</%s>", name);
    while (from < to) {
        const char *begin = strstr(from, open), *end = begin ? strstr(begin, close_tag) : NULL;
        if (!begin || begin >= to || !end || end >= to) break;
        text_add(t, from, (size_t)(begin - from));
        from = end + strlen(close_tag);
    }
    text_add(t, from, (size_t)(to - from));
}

// From one document of gnuplot's to what may stand in a page: no header, no title that would show as a tooltip, the
// definitions of its marks (which are always the same, and found anywhere in a page) in the first only.
static char *inline_svg(const char *document, const char *end, bool first)
{
    struct text body = {0}, out = {0};
    const char *canvas = strstr(document, "<g id=\"gnuplot_canvas\">");
    if (!canvas || canvas >= end) return NULL;
    add_without(&body, canvas, end, "title");
    text_print(&out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n<g>", WIDTH, HEIGHT);
    const char *from = body.data + strlen("<g id=\"gnuplot_canvas\">"), *to = body.data + body.bytes;
    if (first)
        text_add(&out, from, (size_t)(to - from));
    else
        add_without(&out, from, to, "defs");
    text_free(&body);
    return out.data;
}

int pictures_draw(struct picture *const *pictures, size_t count, struct error *e)
{
    struct text script = {0}, out = {0};
    size_t asked = 0, made = 0;
    for (size_t i = 0; i < count; i++)
        if (pictures[i]->series_count) add_script(&script, pictures[i], ++asked);
    int status = asked ? run_gnuplot(&out, &script, e) : 0;
    const char *at = out.data ? out.data : "";
    for (size_t i = 0; i < count && status == 0; i++) {
        if (!pictures[i]->series_count) continue;
        const char *end = strstr(at, "</svg>");
        if (end) end += strlen("</svg>");
        pictures[i]->svg = end ? inline_svg(at, end, made == 0) : NULL;
        if (!pictures[i]->svg) status = error_set(e, "gnuplot drew %zu of %zu pictures", made, asked);
        made++;
        at = end;
    }
    for (size_t i = 0; i < count && status; i++) {
        free(pictures[i]->svg);
        pictures[i]->svg = NULL;
    }
    text_free(&script);
    text_free(&out);
    return status;
}
