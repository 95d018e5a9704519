// SPDX-License-Identifier: MIT
#include "train/log.h"

#include "formats/events.h"
#include "formats/json_file.h"
#include "train/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct log {
    char *path;
    int fd;
    uint64_t bytes;
    struct events *events;
    char *last;           // line of the last step
    bool terminal, shown; // stderr is one; progress stands on its last line
    double speed;         // tokens a second, smoothed; 0: none yet
    log_leading leading;  // or NULL
    void *context;
};

// ---- JSON --------------------------------------------------------------------------------------------------------

// The fewest digits that give back the same number: the same float if it is one, else the same double.
static void add_number(struct text *t, double x)
{
    char digits[40];
    if (!isfinite(x)) {
        text_print(t, "null");
        return;
    }
    bool narrow = (double)(float)x == x;
    for (int n = narrow ? 6 : 15; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (narrow ? strtof(digits, NULL) == (float)x : strtod(digits, NULL) == x) break;
    }
    text_print(t, "%s", digits);
}

static void add_string(struct text *t, const char *s)
{
    cJSON *item = cJSON_CreateStringReference(s);
    char *quoted = json_print(item, false);
    text_print(t, "%s", quoted);
    free(quoted);
    cJSON_Delete(item);
}

static void add_head(struct text *t, uint64_t step, const char *stage)
{
    text_print(t, "{\"step\":%" PRIu64 ",\"stage\":", step);
    add_string(t, stage);
}

static double rounded(double x, double unit)
{
    return isfinite(x) ? round(x / unit) * unit : x;
}

static double per_second(const struct log_step *s)
{
    return s->seconds > 0 ? (double)s->tokens / s->seconds : NAN;
}

static double mean(const struct source_sum *s)
{
    return s->trained ? s->loss / (double)s->trained : NAN;
}

static void add_step(struct text *t, const struct log_step *s)
{
    add_head(t, s->step, s->stage);
    text_print(t, ",\"epoch\":");
    add_number(t, s->epoch);
    text_print(t, ",\"loss\":");
    add_number(t, s->loss);
    text_print(t, ",\"grad_norm\":");
    add_number(t, s->grad_norm);
    text_print(t, ",\"learning_rate\":");
    add_number(t, s->learning_rate);
    text_print(t, ",\"conversations\":%" PRIu32 ",\"tokens\":%" PRIu64 ",\"trained_tokens\":%" PRIu64 ",\"seconds\":",
        s->conversations, s->tokens, s->trained_tokens);
    add_number(t, rounded(s->seconds, 1e-6));
    text_print(t, ",\"tokens_per_second\":");
    add_number(t, rounded(per_second(s), 1e-2));
    text_print(t, ",\"sources\":{");
    bool first = true;
    for (size_t i = 0; i < s->source_count; i++) {
        const struct source_sum *sum = &s->sources[i];
        if (!sum->conversations) continue;
        if (!first) text_print(t, ",");
        first = false;
        add_string(t, s->source_names[i]);
        text_print(t, ":{\"conversations\":%" PRIu32 ",\"tokens\":%" PRIu64 ",\"trained_tokens\":%" PRIu64 ",\"loss\":",
            sum->conversations, sum->tokens, sum->trained);
        add_number(t, (double)(float)mean(sum));
        text_print(t, "}");
    }
    text_print(t, "}");
    if (s->loss_scale > 0) text_print(t, ",\"loss_scale\":%.17g", s->loss_scale);
    text_print(t, ",\"hash\":\"%016" PRIx64 "\"%s}\n", s->hash, s->skipped ? ",\"skipped\":true" : "");
}

// ---- the file ----------------------------------------------------------------------------------------------------

static int io_error(const struct log *l, const char *what, struct error *e)
{
    return error_set(e, "%s: cannot be %s (%s)", l->path, what, strerror(errno));
}

static int append(struct log *l, const struct text *line, struct error *e)
{
    for (size_t done = 0; done < line->bytes;) {
        ssize_t n = write(l->fd, line->data + done, line->bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            io_error(l, "written", e);
            if (done && ftruncate(l->fd, (off_t)l->bytes) != 0) say("%s: ends with half a line", l->path);
            return -1;
        }
        done += (size_t)n;
    }
    l->bytes += line->bytes;
    return 0;
}

// Keeps the last step's line and checks that it comes before `first_step`.
static int read_last(struct log *l, uint64_t first_step, struct error *e)
{
    struct file_map f;
    if (file_map(&f, l->path, e)) return -1;
    int status = 0;
    for (size_t end = f.bytes; end > 0 && !l->last && status == 0;) {
        size_t begin = end - 1; // of the line that ends with the newline before `end`
        while (begin > 0 && f.data[begin - 1] != '\n') begin--;
        cJSON *line = json_read_text(l->path, (const char *)f.data + begin, end - begin, e);
        const cJSON *step = cJSON_GetObjectItemCaseSensitive(line, "step");
        if (!cJSON_IsNumber(step))
            status = error_set(e,
                "%s: its line at byte %zu is no step's; it has been changed: move it away to go on "
                "without it",
                l->path, begin);
        else if (step->valuedouble >= (double)first_step)
            status = error_set(e,
                "%s: says that step %.0f is done, but the checkpoint goes on with step %" PRIu64
                "; it has been changed: move it away to go on without it",
                l->path, step->valuedouble, first_step);
        else if (!cJSON_GetObjectItemCaseSensitive(line, "eval"))
            l->last = mem_string_n((const char *)f.data + begin, end - 1 - begin);
        cJSON_Delete(line);
        end = begin;
    }
    file_unmap(&f);
    return status;
}

static int cut(struct log *l, uint64_t keep_bytes, uint64_t first_step, struct error *e)
{
    struct stat st;
    if (fstat(l->fd, &st) != 0) return io_error(l, "read", e);
    uint64_t size = (uint64_t)st.st_size;
    if (size == 0 && keep_bytes > 0) {
        say("%s: is gone; the log begins again with step %" PRIu64, l->path, first_step);
        keep_bytes = 0;
    }
    char end = '\n';
    if (size < keep_bytes || (keep_bytes && pread(l->fd, &end, 1, (off_t)(keep_bytes - 1)) != 1) || end != '\n')
        return error_set(e,
            "%s: had %" PRIu64 " bytes when the checkpoint was written and has been changed since; move "
            "it away to go on without its lines",
            l->path, keep_bytes);
    if (ftruncate(l->fd, (off_t)keep_bytes) != 0) return io_error(l, "cut", e);
    l->bytes = keep_bytes;
    return read_last(l, first_step, e);
}

struct log *log_open(const char *output_dir, uint64_t keep_bytes, uint64_t first_step, struct error *e)
{
    struct log *l = mem_zero(1, sizeof *l);
    char *events = path_join(output_dir, OUTPUT_EVENTS);
    l->path = path_join(output_dir, OUTPUT_LOG);
    l->terminal = isatty(STDERR_FILENO);
    l->fd = open(l->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int status = l->fd < 0 ? io_error(l, "opened", e) : cut(l, keep_bytes, first_step, e);
    if (status == 0) status = log_sync(l, e);
    if (status == 0) status = folder_sync(output_dir, e);
    if (status == 0 && !(l->events = events_open(events, (int64_t)first_step, e))) status = -1;
    free(events);
    if (status == 0) return l;
    log_close(l);
    return NULL;
}

void log_close(struct log *l)
{
    if (!l) return;
    if (l->shown) fputc('\n', stderr);
    events_close(l->events, NULL);
    if (l->fd >= 0) close(l->fd);
    free(l->last);
    free(l->path);
    free(l);
}

void log_lead(struct log *l, log_leading leading, void *context)
{
    l->leading = leading;
    l->context = context;
}

uint64_t log_bytes(const struct log *l)
{
    return l->bytes;
}

int log_sync(struct log *l, struct error *e)
{
    return fsync(l->fd) == 0 ? 0 : io_error(l, "synced", e);
}

const char *log_last(const struct log *l)
{
    return l->last;
}

// ---- progress ----------------------------------------------------------------------------------------------------

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

// Bytes of the longest beginning that takes at most `columns`, a column a character of UTF-8; *columns: those it takes.
static size_t fitting(const struct text *t, int *columns)
{
    int used = 0;
    size_t i = 0;
    for (; i < t->bytes; i++) {
        if ((t->data[i] & 0xc0) == 0x80) continue;
        if (used == *columns) break;
        used++;
    }
    *columns = used;
    return i;
}

// Redraws the terminal's last line. The last column stays free: some terminals begin a new line there.
static void draw(struct log *l, const struct text *line)
{
    int width = terminal_width() - 1, columns = width;
    size_t bytes = fitting(line, &columns);
    fprintf(stderr, "\r%.*s%*s\r", (int)bytes, line->data ? line->data : "", width - columns, "");
    fflush(stderr);
    l->shown = line->bytes > 0;
}

void log_clear(struct log *l)
{
    if (l->shown) draw(l, &(struct text){0});
}

void log_add_time(struct text *t, double seconds)
{
    uint64_t s = seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 1000000000;
    text_print(t, "%" PRIu64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
}

static void progress(struct log *l, const struct log_step *s)
{
    struct text line = {0};
    if (l->leading) l->leading(l->context, s, &line);
    text_print(&line, "%" PRIu64 "/%" PRIu64 "  ", s->step, s->total_steps);
    if (s->skipped)
        text_print(&line, "skipped");
    else
        text_print(&line, "loss %.4f", s->loss);
    text_print(&line, "  %.0f tokens/s  ", l->speed);
    if (!isnan(s->left)) {
        log_add_time(&line, s->left);
        text_print(&line, " left  ");
    }
    text_print(&line, "%s", s->stage);
    // What the words leave free, up to a handy length, shows the share done.
    int room = terminal_width() - 1 - (int)line.bytes - 4;
    if (room > 40) room = 40;
    if (room >= 10) {
        double share = s->total_steps ? (double)s->step / (double)s->total_steps : 1;
        text_print(&line, "  [");
        for (int i = 0; i < room; i++) text_print(&line, "%c", i < (int)(share * room) ? '#' : '.');
        text_print(&line, "]");
    }
    draw(l, &line);
    text_free(&line);
}

static void plain(const struct log_step *s)
{
    char scale[64] = "";
    if (s->skipped && s->loss_scale > 0) snprintf(scale, sizeof scale, " (loss scale %.0f)", s->loss_scale);
    say("step %" PRIu64 "/%" PRIu64 "  %s  epoch %.2f  loss %.4f  grad_norm %.3g  learning_rate %.3g  %.0f tokens/s%s%s",
        s->step, s->total_steps, s->stage, s->epoch, s->loss, s->grad_norm, s->learning_rate, per_second(s),
        s->skipped ? "  skipped: its gradient is not finite" : "", scale);
}

// ---- TensorBoard -------------------------------------------------------------------------------------------------

static int point(struct log *l, uint64_t step, double value, struct error *e, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static int point(struct log *l, uint64_t step, double value, struct error *e, const char *format, ...)
{
    char tag[600];
    va_list args;
    va_start(args, format);
    vsnprintf(tag, sizeof tag, format, args);
    va_end(args);
    return events_scalar(l->events, tag, (int64_t)step, value, e);
}

static int step_points(struct log *l, const struct log_step *s, struct error *e)
{
    int status = point(l, s->step, s->loss, e, "train/loss");
    if (status == 0) status = point(l, s->step, s->grad_norm, e, "train/grad_norm");
    if (status == 0) status = point(l, s->step, s->learning_rate, e, "train/learning_rate");
    if (status == 0) status = point(l, s->step, s->epoch, e, "train/epoch");
    if (status == 0) status = point(l, s->step, per_second(s), e, "train/tokens_per_second");
    if (status == 0 && s->loss_scale > 0) status = point(l, s->step, s->loss_scale, e, "train/loss_scale");
    for (size_t i = 0; i < s->source_count && status == 0; i++) {
        const struct source_sum *sum = &s->sources[i];
        if (!sum->conversations) continue;
        const char *name = s->source_names[i];
        status = point(l, s->step, mean(sum), e, "data/%s/loss", name);
        if (status == 0) status = point(l, s->step, sum->conversations, e, "data/%s/conversations", name);
        if (status == 0) status = point(l, s->step, (double)sum->trained, e, "data/%s/trained_tokens", name);
    }
    if (status == 0) status = events_flush(l->events, e);
    return status;
}

// ---- what is logged ----------------------------------------------------------------------------------------------

int log_step(struct log *l, const struct log_step *s, bool show, struct error *e)
{
    // A tenth of the newest step: steady.
    if (s->seconds > 0) l->speed += (l->speed > 0 ? 0.1 : 1) * (per_second(s) - l->speed);
    if (l->terminal) progress(l, s);
    else if (l->leading) l->leading(l->context, s, NULL);
    else if (show) plain(s);
    struct text line = {0};
    add_step(&line, s);
    int status = append(l, &line, e);
    if (status == 0) {
        free(l->last);
        l->last = mem_string_n(line.data, line.bytes - 1);
        if (show) status = step_points(l, s, e);
    }
    text_free(&line);
    return status;
}

int log_eval(struct log *l, uint64_t step, const char *stage, const struct log_score *scores, size_t count, struct error *e)
{
    struct text line = {0}, words = {0};
    int status = 0;
    add_head(&line, step, stage);
    text_print(&line, ",\"eval\":{");
    for (size_t i = 0; i < count && status == 0; i++) {
        const struct log_score *s = &scores[i];
        text_print(&line, "%s", i ? "," : "");
        add_string(&line, s->name);
        text_print(&line, ":{\"loss\":");
        add_number(&line, s->loss);
        text_print(&words, "%s%s loss %.4f", i ? ", " : "", s->name, s->loss);
        status = point(l, step, s->loss, e, "eval/%s_loss", s->name);
        if (!isnan(s->score)) {
            text_print(&line, ",\"score\":");
            add_number(&line, s->score);
            text_print(&words, " score %.4g", s->score);
            if (status == 0) status = point(l, step, s->score, e, "eval/%s_score", s->name);
        }
        if (!isnan(s->score) && s->chance > 0) {
            text_print(&line, ",\"chance\":");
            add_number(&line, s->chance);
        }
        text_print(&line, "}");
    }
    text_print(&line, "}}\n");
    log_clear(l);
    say("step %" PRIu64 "  %s  eval: %s", step, stage, words.data ? words.data : "nothing");
    if (status == 0) status = append(l, &line, e);
    if (status == 0) status = events_flush(l->events, e);
    text_free(&line);
    text_free(&words);
    return status;
}
