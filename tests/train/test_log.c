// SPDX-License-Identifier: MIT
//
// The log of a run, to the byte; what a resume cuts; full disks; progress on a terminal; the lock and claims of an
// output folder.
#define _GNU_SOURCE
#include "formats/json_file.h"
#include "test.h"
#include "train/log.h"
#include "train/output.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/pumice-test-XXXXXX";
static struct error e;

static void put(const char *name, const char *text)
{
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    free(path);
}

// A file's content; the caller frees.
static char *get(const char *name)
{
    char *path = path_join(folder, name);
    struct file_map f;
    struct error why;
    char *text = file_map(&f, path, &why) == 0 ? mem_string_n((const char *)f.data, f.bytes) : mem_string("(no file)");
    file_unmap(&f);
    free(path);
    return text;
}

static void check_file(const char *name, const char *want)
{
    char *text = get(name);
    CHECK_STRING(text, want);
    free(text);
}

static void empty_folder(void)
{
    CHECK(folder_remove(folder, &e) == 0 && folder_make(folder, &e) == 0);
}

// What the function says on stderr; the caller frees.
static int saved_stderr;
static void capture_begin(int fd)
{
    fflush(stderr);
    saved_stderr = dup(2);
    dup2(fd, 2);
}
static void capture_end(void)
{
    fflush(stderr);
    dup2(saved_stderr, 2);
    close(saved_stderr);
}
static FILE *quiet_begin(void)
{
    FILE *f = tmpfile();
    CHECK(f != NULL);
    capture_begin(fileno(f));
    return f;
}
static char *quiet_end(FILE *f)
{
    capture_end();
    struct text t = {0};
    char piece[4096];
    rewind(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, piece, n);
    fclose(f);
    return t.data ? t.data : mem_string("");
}

static const char *const names[] = {"math", "a \"b\"\n", "general"};
static const struct source_sum sums[] = {{3, 20, 50, 900}, {0, 0, 0, 0}, {1, 0, 0, 100}};

static struct log_step a_step(uint64_t step)
{
    return (struct log_step){.step = step,
        .total_steps = 300,
        .stage = "general",
        .epoch = 0.1,
        .loss = (double)2.3456789f,
        .grad_norm = 1.5,
        .learning_rate = 2e-5,
        .conversations = 4,
        .tokens = 1000,
        .trained_tokens = 20,
        .seconds = 0.25,
        .sources = sums,
        .source_names = names,
        .source_count = 3,
        .hash = UINT64_C(0x0123456789abcdef),
        .left = 56.3};
}

#define STEP(n)                                                                                                        \
    "{\"step\":" #n                                                                                                    \
    ",\"stage\":\"general\",\"epoch\":0.1,\"loss\":2.3456788,\"grad_norm\":1.5,\"learning_rate\":2e-05,"               \
    "\"conversations\":4,\"tokens\":1000,\"trained_tokens\":20,\"seconds\":0.25,\"tokens_per_second\":4000,"           \
    "\"sources\":{\"math\":{\"conversations\":3,\"tokens\":900,\"trained_tokens\":20,\"loss\":2.5},"                                  \
    "\"general\":{\"conversations\":1,\"tokens\":100,\"trained_tokens\":0,\"loss\":null}},\"hash\":\"0123456789abcdef\"}"

static struct log *open_log(uint64_t keep, uint64_t first)
{
    e = (struct error){0};
    struct log *l = log_open(folder, keep, first, &e);
    CHECK_SAY(l != NULL, "%s", e.text);
    return l;
}

static void write_steps(struct log *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        struct log_step s = a_step(i);
        CHECK(log_step(l, &s, true, &e) == 0);
    }
}

static void test_lines(void)
{
    empty_folder();
    FILE *said = quiet_begin();
    struct log *l = open_log(0, 1);
    if (!l) return;
    CHECK(log_bytes(l) == 0 && log_last(l) == NULL);
    write_steps(l, 1, 1);
    check_file("log.jsonl", STEP(1) "\n"); // at once, not when closed
    CHECK(log_bytes(l) == strlen(STEP(1) "\n"));
    CHECK_STRING(log_last(l), STEP(1));

    struct log_step s = a_step(2);
    s.stage = "two\t\"\\";
    s.loss = NAN, s.grad_norm = INFINITY, s.skipped = true, s.seconds = 0, s.source_count = 2;
    s.loss_scale = 0x1p24, s.epoch = 1.0 / 3, s.learning_rate = 1e-5 / 3, s.hash = UINT64_MAX, s.tokens = UINT64_C(1) << 53;
    CHECK(log_step(l, &s, true, &e) == 0);
    const char *want =
        "{\"step\":2,\"stage\":\"two\\t\\\"\\\\\",\"epoch\":0.333333333333333,\"loss\":null,\"grad_norm\":null,"
        "\"learning_rate\":3.3333333333333333e-06,\"conversations\":4,\"tokens\":9007199254740992,"
        "\"trained_tokens\":20,\"seconds\":0,\"tokens_per_second\":null,\"sources\":{\"math\":{"
        "\"conversations\":3,\"tokens\":900,\"trained_tokens\":20,\"loss\":2.5}},\"loss_scale\":16777216,\"hash\":\"ffffffffffffffff\","
        "\"skipped\":true}";
    cJSON *json = json_read_text("line", log_last(l), strlen(log_last(l)), &e);
    CHECK_SAY(json != NULL, "%s", e.text);
    CHECK(json && cJSON_GetObjectItem(json, "epoch")->valuedouble == s.epoch);
    CHECK(json && cJSON_GetObjectItem(json, "learning_rate")->valuedouble == s.learning_rate);
    cJSON_Delete(json);
    CHECK_SAY(strstr(log_last(l), strstr(want, "\"conversations\"")) != NULL, "%s", log_last(l));
    CHECK_SAY(strstr(log_last(l), "\"loss\":null,\"grad_norm\":null,") != NULL, "%s", log_last(l));
    CHECK(strncmp(log_last(l), want, strlen("{\"step\":2,\"stage\":\"two\\t\\\"\\\\\",")) == 0);

    uint64_t before = log_bytes(l);
    s = a_step(3);
    CHECK(log_step(l, &s, false, &e) == 0 && log_bytes(l) > before); // not a step of logging_steps: nothing is said
    before = log_bytes(l);
    // a chance without a score is none
    static const struct log_score evals[] = {{"math", 1.25, 0.5, 0}, {"choice", 1.5, 0.25, 0.375}, {"code", NAN, NAN, 0.5}},
                                  alone[] = {{"math", 1.25, NAN, 0}};
    CHECK(log_eval(l, 3, "general", evals, 3, &e) == 0);
    CHECK(log_eval(l, 3, "general", alone, 1, &e) == 0);
    CHECK(strncmp(log_last(l), "{\"step\":3,", 10) == 0);
    char *text = get("log.jsonl");
    CHECK_STRING(text + before, "{\"step\":3,\"stage\":\"general\",\"eval\":{\"math\":{\"loss\":1.25,\"score\":0.5},"
                                "\"choice\":{\"loss\":1.5,\"score\":0.25,\"chance\":0.375},\"code\":{\"loss\":null}}}\n"
                                "{\"step\":3,\"stage\":\"general\",\"eval\":{\"math\":{\"loss\":1.25}}}\n");
    CHECK(log_bytes(l) == strlen(text));
    free(text);
    CHECK(log_sync(l, &e) == 0);
    log_close(l);
    text = quiet_end(said);
    CHECK_STRING(text,
        "step 1/300  general  epoch 0.10  loss 2.3457  grad_norm 1.5  learning_rate 2e-05  4000 tokens/s\n"
        "step 2/300  two\t\"\\  epoch 0.33  loss nan  grad_norm inf  learning_rate 3.33e-06  nan tokens/s  skipped: "
        "its "
        "gradient is not finite (loss scale 16777216)\n"
        "step 3  general  eval: math loss 1.2500 score 0.5, choice loss 1.5000 score 0.25, code loss nan\n"
        "step 3  general  eval: math loss 1.2500\n");
    free(text);
}

// The same float comes back, with few digits.
static void test_numbers(void)
{
    uint64_t seed = 7;
    FILE *said = quiet_begin();
    empty_folder();
    struct log *l = open_log(0, 1);
    for (uint64_t i = 1; l && i <= 300; i++) {
        uint32_t bits = test_random(&seed);
        float x, back;
        memcpy(&x, &bits, 4);
        if (!isfinite(x)) continue;
        struct log_step s = a_step(i);
        s.loss = (double)x;
        CHECK(log_step(l, &s, true, &e) == 0);
        const char *at = strstr(log_last(l), "\"loss\":") + 7;
        back = strtof(at, NULL);
        CHECK_SAY(memcmp(&x, &back, 4) == 0, "%a came back as %a", (double)x, (double)back);
        CHECK(strcspn(at, ",") <= 15);
    }
    log_close(l);
    free(quiet_end(said));
}

static void test_resume(void)
{
    FILE *said = quiet_begin();
    empty_folder();
    struct log *l = open_log(0, 1);
    write_steps(l, 1, 3);
    uint64_t keep = log_bytes(l);
    CHECK(log_eval(l, 3, "general", &(struct log_score){names[0], 1, NAN, 0}, 1, &e) == 0);
    uint64_t evaluated = log_bytes(l);
    write_steps(l, 4, 5);
    log_close(l);

    char *text = get("log.jsonl");
    char *torn = mem_format("%s{\"step\":6,\"sta", text);
    put("log.jsonl", torn); // as a power cut may leave it
    l = open_log(evaluated, 4);
    CHECK(log_bytes(l) == evaluated);
    CHECK_STRING(log_last(l), STEP(3)); // the last step's line, past the evaluation's
    write_steps(l, 4, 4);
    log_close(l);
    char *again = get("log.jsonl");
    CHECK(strncmp(again, text, strlen(again)) == 0 && strlen(again) == evaluated + strlen(STEP(4) "\n"));
    free(again);

    l = open_log(keep, 4);
    CHECK(log_bytes(l) == keep);
    log_close(l);
    check_file("log.jsonl", STEP(1) "\n" STEP(2) "\n" STEP(3) "\n");

    CHECK(log_open(folder, keep, 3, &e) == NULL); // a checkpoint of another run
    CHECK_ERROR(e, "says that step 3 is done, but the checkpoint goes on with step 3");
    CHECK(log_open(folder, keep + 1, 4, &e) == NULL);
    CHECK_ERROR(e, "has been changed since");
    CHECK_ERROR(e, "move it away");
    CHECK(log_open(folder, keep - 1, 4, &e) == NULL);
    CHECK_ERROR(e, "has been changed since");
    check_file("log.jsonl", STEP(1) "\n" STEP(2) "\n" STEP(3) "\n"); // a refusal changes nothing
    put("log.jsonl", "not JSON\n");
    CHECK(log_open(folder, 9, 4, &e) == NULL);
    CHECK_ERROR(e, "log.jsonl");
    CHECK_ERROR(e, "is no step's");

    char *path = path_join(folder, OUTPUT_LOG);
    CHECK(unlink(path) == 0);
    free(path);
    l = open_log(keep, 4);
    CHECK(log_bytes(l) == 0 && log_last(l) == NULL);
    write_steps(l, 4, 4);
    log_close(l);
    check_file("log.jsonl", STEP(4) "\n");
    l = open_log(0, 1); // afresh
    CHECK(log_bytes(l) == 0);
    log_close(l);
    check_file("log.jsonl", "");
    free(text);
    free(torn);
    text = quiet_end(said);
    CHECK_SAY(strstr(text, "log.jsonl: is gone; the log begins again with step 4\n") != NULL, "%s", text);
    free(text);

    CHECK(log_open("/dev/null/x", 0, 1, &e) == NULL);
    CHECK_ERROR(e, "/dev/null/x/log.jsonl: cannot be opened");
}

// Every step stands in the log once, wherever a process was killed that makes it a line at a time.
static void test_kill(void)
{
    uint64_t seed = 3, keep = 0, done = 0;
    empty_folder();
    for (int round = 0; round < 8; round++) {
        int pipes[2];
        CHECK(pipe(pipes) == 0);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            dup2(open("/dev/null", O_WRONLY), 2);
            struct log *l = log_open(folder, keep, done + 1, &e);
            uint64_t saved[2];
            for (uint64_t i = done + 1; l; i++) {
                struct log_step s = a_step(i);
                if (log_step(l, &s, true, &e)) break;
                if (i % 5) continue;
                saved[0] = i, saved[1] = log_bytes(l); // "a checkpoint"
                if (log_sync(l, &e) || write(pipes[1], saved, sizeof saved) != sizeof saved) break;
            }
            _exit(1);
        }
        close(pipes[1]);
        usleep(2000 + test_random(&seed) % 20000);
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        uint64_t saved[2];
        while (read(pipes[0], saved, sizeof saved) == sizeof saved) done = saved[0], keep = saved[1];
        close(pipes[0]);
    }
    CHECK_SAY(done >= 5, "%d steps", (int)done);
    FILE *said = quiet_begin();
    struct log *l = open_log(keep, done + 1);
    log_close(l);
    free(quiet_end(said));
    char *text = get("log.jsonl"), *line = text;
    uint64_t lines = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        char want[32];
        snprintf(want, sizeof want, "{\"step\":%d,", (int)++lines);
        CHECK_SAY(strncmp(line, want, strlen(want)) == 0, "line %d is %.30s", (int)lines, line);
    }
    CHECK(lines == done && *line == 0);
    free(text);
}

static void test_full_disk(void)
{
    FILE *said = quiet_begin();
    struct rlimit old, low;
    empty_folder();
    struct log *l = open_log(0, 1);
    write_steps(l, 1, 3);
    uint64_t bytes = log_bytes(l);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low = old;
    low.rlim_cur = bytes + 100; // the next line fits in part
    setrlimit(RLIMIT_FSIZE, &low);
    struct log_step s = a_step(4);
    CHECK(log_step(l, &s, true, &e) == -1);
    CHECK_ERROR(e, "log.jsonl: cannot be written (File too large)");
    CHECK(log_bytes(l) == bytes && strncmp(log_last(l), "{\"step\":3,", 10) == 0);
    low.rlim_cur = bytes + 10;
    setrlimit(RLIMIT_FSIZE, &low);
    CHECK(log_eval(l, 3, "general", &(struct log_score){names[0], 1, NAN, 0}, 1, &e) == -1);
    setrlimit(RLIMIT_FSIZE, &old);
    check_file("log.jsonl", STEP(1) "\n" STEP(2) "\n" STEP(3) "\n");
    log_close(l);
    low.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &low);
    CHECK(log_open(folder, bytes, 4, &e) == NULL); // no room for TensorBoard's file
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_ERROR(e, "cannot be written");
    free(quiet_end(said));
}

// The tags in the events files: every event's payload holds its tag as text.
static void test_events(void)
{
    static const char *const tags[] = {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch",
        "train/tokens_per_second", "data/math/loss", "data/math/conversations", "data/math/trained_tokens",
        "data/general/trained_tokens", "eval/math_loss", "eval/math_score"};
    FILE *said = quiet_begin();
    empty_folder();
    struct log *l = open_log(0, 1);
    write_steps(l, 1, 1);
    CHECK(log_eval(l, 1, "general", &(struct log_score){names[0], 1, 0.5, 0}, 1, &e) == 0);
    char *runs = path_join(folder, OUTPUT_EVENTS);
    DIR *dir = opendir(runs);
    int files = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.') continue;
        struct file_map f;
        char *path = path_join(runs, d->d_name);
        CHECK(file_map(&f, path, &e) == 0); // before it is closed: what was logged can be seen
        for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
            CHECK_SAY(memmem(f.data, f.bytes, tags[i], strlen(tags[i])) != NULL, "%s", tags[i]);
        file_unmap(&f);
        free(path);
        files++;
    }
    if (dir) closedir(dir);
    CHECK(files == 1);
    log_close(l);
    free(runs);
    free(quiet_end(said));
}

// ---- a terminal ----------------------------------------------------------------------------------------------------

static int master;

static void resize(int columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
}

// What was written to the terminal so far. It comes some time after it was written, but in order: up to a mark.
static void terminal_read(char *out, size_t bytes)
{
    size_t n = 0;
    CHECK(write(2, "\x01", 1) == 1);
    while (n + 1 < bytes && read(master, out + n, 1) == 1 && out[n] != 1) n++;
    out[n] = 0;
}

// What the terminal's bottom line shows, as a terminal would after these bytes; columns used at most in *most.
static void screen(char *line, int columns, int *most)
{
    char bytes[8192];
    int at = 0;
    terminal_read(bytes, sizeof bytes);
    memset(line, ' ', (size_t)columns);
    line[columns] = 0;
    *most = 0;
    for (size_t i = 0; bytes[i]; i++) {
        if (bytes[i] == '\r') {
            at = 0;
        } else if (bytes[i] == '\n') {
            memset(line, ' ', (size_t)columns);
        } else {
            if ((bytes[i] & 0xc0) == 0x80) continue;
            if (at < columns) line[at] = bytes[i];
            if (++at > *most) *most = at;
        }
    }
    for (int i = columns; i > 0 && line[i - 1] == ' '; i--) line[i - 1] = 0;
}

static void test_terminal(void)
{
    char line[300];
    int most;
    empty_folder();
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0);
    if (slave < 0) return;
    resize(100);
    capture_begin(slave);
    struct log *l = open_log(0, 1);
    struct log_step s = a_step(75);
    CHECK(log_step(l, &s, false, &e) == 0 && log_bytes(l) > 0);
    screen(line, 100, &most);
    CHECK_STRING(
        line, "75/300  loss 2.3457  4000 tokens/s  0:00:56 left  general  [#########.............................]");
    CHECK(most == 99);
    s = a_step(76);
    s.seconds = 36000, s.skipped = true, s.stage = "\xc3\xa9t\xc3\xa9";
    resize(30);
    CHECK(log_step(l, &s, true, &e) == 0);
    screen(line, 30, &most);
    CHECK_STRING(line, "76/300  skipped  3600 tokens/");
    CHECK(most == 29);
    resize(60);
    CHECK(log_step(l, &s, true, &e) == 0);
    screen(line, 60, &most);
    CHECK_SAY(strstr(line, " left  ") != NULL, "%s", line);
    s.left = NAN; // not known yet: no word of it
    CHECK(log_step(l, &s, true, &e) == 0);
    screen(line, 60, &most);
    CHECK_SAY(strstr(line, "tokens/s  \xc3") && !strstr(line, "left"), "%s", line);
    log_clear(l);
    screen(line, 60, &most);
    CHECK_STRING(line, "");
    CHECK(log_step(l, &s, true, &e) == 0);
    CHECK(log_eval(l, 76, "s", &(struct log_score){names[0], 1, NAN, 0}, 1, &e) == 0);
    terminal_read(line, sizeof line);
    CHECK_SAY(strstr(line, "\rstep 76  s  eval: math loss 1.0000\r\n") != NULL, "%s", line);
    CHECK(log_step(l, &s, false, &e) == 0);
    log_close(l);
    terminal_read(line, sizeof line);
    CHECK(*line && line[strlen(line) - 1] == '\n'); // the prompt does not write over it
    capture_end();
    close(slave);
    close(master);
}

// ---- the folder ----------------------------------------------------------------------------------------------------

static void refused(bool resume, const char *part)
{
    bool resumable;
    e = (struct error){0};
    struct output *o = output_open(folder, resume, &resumable, &e);
    CHECK_SAY(o == NULL, "not refused: %s", part);
    CHECK_ERROR(e, part);
    output_close(o);
}

static void accepted(bool resume, bool want)
{
    bool resumable = !want;
    struct output *o = output_open(folder, resume, &resumable, &e);
    CHECK_SAY(o != NULL, "%s", e.text);
    CHECK(resumable == want);
    output_close(o);
}

static void test_output(void)
{
    char *checkpoint = path_join(folder, "checkpoint-20"), *old = path_join(folder, "checkpoint-20.old"),
         *temporary = path_join(folder, "checkpoint-20.tmp");
    CHECK(folder_remove(folder, &e) == 0);
    accepted(false, false);
    accepted(true, false);
    put("pumice_config.json", "{}");
    put("notes.txt", "mine");
    put("log.jsonl", "");
    CHECK(folder_make(temporary, &e) == 0);
    accepted(false, false); // never started
    accepted(true, false);
    put("log.jsonl", "{}\n");
    refused(false, "holds another run (log.jsonl); use --resume to go on with it, or another output_dir");
    accepted(true, false);
    put("model.safetensors", "");
    accepted(true, false); // ours: there is a log
    CHECK(folder_make(checkpoint, &e) == 0);
    refused(false, "holds another run (checkpoint-20)");
    accepted(true, true);
    CHECK(rename(checkpoint, old) == 0);
    refused(false, "holds another run (checkpoint-20.old)");
    accepted(true, true); // a kill between two renames: checkpoint_latest brings it back
    empty_folder();
    put("config.json", "{}");
    refused(false, "holds a model that is not of this run (config.json)");
    refused(true, "holds a model that is not of this run (config.json)");
    empty_folder();
    put("model-00001-of-00002.safetensors", "");
    refused(true, "(model-00001-of-00002.safetensors)");
    free(checkpoint);
    free(old);
    free(temporary);

    static const struct {
        const char *name;
        enum output_name kind;
        uint64_t step;
    } cases[] = {{"checkpoint-0", OUTPUT_CHECKPOINT, 0}, {"checkpoint-120", OUTPUT_CHECKPOINT, 120},
        {"checkpoint-9999999999999999999", OUTPUT_CHECKPOINT, UINT64_C(9999999999999999999)},
        {"checkpoint-99999999999999999999", OUTPUT_OTHER, 0}, {"checkpoint-", OUTPUT_OTHER, 0},
        {"checkpoint-020", OUTPUT_OTHER, 0}, {"checkpoint--1", OUTPUT_OTHER, 0}, {"checkpoint-1x", OUTPUT_OTHER, 0},
        {"checkpoint-1.old", OUTPUT_REPLACED, 1}, {"checkpoint-1.tmp", OUTPUT_TEMPORARY, 0},
        {"model.tmp", OUTPUT_TEMPORARY, 0}, {"checkpoint-x.tmp", OUTPUT_OTHER, 0}, {"log.jsonl.tmp", OUTPUT_OTHER, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t step = 0;
        CHECK_SAY(output_name(cases[i].name, &step) == cases[i].kind && step == cases[i].step, "%s", cases[i].name);
    }

    empty_folder();
    put("file", "");
    bool resumable;
    char *file = path_join(folder, "file/x");
    CHECK(output_open(file, false, &resumable, &e) == NULL);
    CHECK_ERROR(e, "file");
    free(file);
}

static void test_lock(void)
{
    int ready[2];
    bool resumable;
    char byte, want[64];
    empty_folder();
    CHECK(pipe(ready) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct output *o = output_open(folder, false, &resumable, &e);
        if (write(ready[1], o ? "y" : "n", 1) != 1) _exit(1);
        pause();
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1 && byte == 'y');
    snprintf(want, sizeof want, "in use by process %ld on ", (long)child);
    refused(false, want);
    refused(true, want);
    put("log.jsonl", "{}\n");
    refused(false, want); // rather than that it holds another run
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    accepted(true, false); // the lock died with its process
    struct output *o = output_open(folder, true, &resumable, &e);
    refused(true, "in use by process ");
    output_close(o);
    output_close(NULL);
    accepted(true, false);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL);
    test_lines();
    test_numbers();
    test_resume();
    test_kill();
    test_full_disk();
    test_events();
    test_terminal();
    test_output();
    test_lock();
    CHECK(folder_remove(folder, &e) == 0);
    return test_end();
}
