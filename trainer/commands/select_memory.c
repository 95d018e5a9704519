// SPDX-License-Identifier: MIT
//
// select memory: levels of facts, and training and test rows by level.
#include "commands/common.h"
#include "commands/list.h"
#include "formats/json_file.h"
#include "study/recall.h"
#include "study/subsets.h"
#include "train/interrupt.h"
#include "train/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct choice {
    const char *model, *facts, *templates, *output, *device, *precision;
    uint64_t samples, new_tokens, seed, batch;
    double temperature, test;
    struct option_list stop, sizes, relations;
    bool alone, strict, json;
};

// What is selected, by what.
struct selection {
    const struct choice *choice;
    struct bundle bundle;
    struct memory memory;
    struct stops stops;
    cJSON *settings;
    bool *trains;     // (relations)
    size_t *order;    // (facts)
    size_t known;     // facts that had been asked before
    bool interrupted; // by ctrl-C, while the model was asked
    cJSON *files;     // of subsets and tests
    uint32_t missing; // subsets that could not be made
    double seconds, said, began;
    struct generation_work work;
};

// ---- what is asked for ---------------------------------------------------------------------------------------------

// "\n", "\t" and "\\" as they are written in C, since shells do not.
static char *unescape(const char *word)
{
    char *text = mem_string(word), *to = text;
    for (const char *at = word; *at; at++) {
        char next = at[0] == '\\' ? at[1] : 0;
        *to++ = next == 'n' ? '\n' : next == 't' ? '\t' : *at;
        at += next == 'n' || next == 't' || next == '\\';
    }
    *to = 0;
    return text;
}

static int parse_sizes(const struct option_list *list, struct error *e)
{
    for (size_t i = 0; i < list->count; i++) {
        char *end;
        errno = 0;
        unsigned long long n =
            list->words[i][0] >= '1' && list->words[i][0] <= '9' ? strtoull(list->words[i], &end, 10) : 0;
        if (!n || *end || errno || n > UINT32_MAX)
            return error_set(e, "--size is %s; it is a number of rows", list->words[i]);
    }
    return 0;
}

static int choose_relations(struct selection *s, struct error *e)
{
    const struct option_list *list = &s->choice->relations;
    struct memory *m = &s->memory;
    s->trains = mem_zero(m->relation_count, sizeof *s->trains);
    for (size_t i = 0; i < m->fact_count; i++)
        if (!list->count) s->trains[m->facts[i].relation] = true;
    for (size_t i = 0; i < list->count; i++) {
        const char **names = mem_zero(m->relation_count + 1, sizeof *names);
        bool found = false;
        for (size_t r = 0; r < m->relation_count; r++) {
            names[r] = m->relations[r].name;
            if (strcmp(names[r], list->words[i]) == 0) found = s->trains[r] = true;
        }
        const char *near = found ? NULL : nearest_name(list->words[i], names);
        free(names);
        if (!found)
            return error_set(e, "--relations names %s, for which there are no templates%s%s", list->words[i],
                near ? "; did you mean " : "", near ? near : "");
    }
    return 0;
}

static int make_settings(struct selection *s, enum storage storage, struct error *e)
{
    const struct choice *c = s->choice;
    char text[17];
    if (model_fingerprint(text, &s->bundle.model, e)) return -1;
    s->settings = cJSON_CreateObject();
    cJSON_AddStringToObject(s->settings, "pumice", "recall");
    cJSON_AddStringToObject(s->settings, "model", text);
    cJSON_AddNumberToObject(s->settings, "samples", (double)c->samples);
    cJSON_AddNumberToObject(s->settings, "temperature", c->temperature);
    cJSON_AddNumberToObject(s->settings, "max_new_tokens", (double)c->new_tokens);
    cJSON_AddNumberToObject(s->settings, "seed", (double)c->seed);
    cJSON_AddStringToObject(s->settings, "precision", storage_name(storage));
    cJSON *stop = cJSON_AddArrayToObject(s->settings, "stop");
    for (size_t i = 0; i < s->stops.text_count; i++) cJSON_AddItemToArray(stop, cJSON_CreateString(s->stops.texts[i]));
    return 0;
}

static int read_input(struct selection *s, struct error *e)
{
    const struct choice *c = s->choice;
    const char *taken = output_holds(c->output);
    if (taken)
        return error_set(e, "%s: holds what is no selection's (%s); take another --output", c->output, taken);
    if (output_check(c->output, 0, e)) return -1;
    if (parse_sizes(&c->sizes, e)) return -1;
    if (memory_read_templates(&s->memory, c->templates, e) || memory_read_facts(&s->memory, c->facts, c->strict, e))
        return -1;
    memory_split(&s->memory, c->test, c->seed);
    s->order = memory_order(&s->memory, c->seed);
    if (choose_relations(s, e)) return -1;
    cJSON *none = cJSON_CreateString("none"); // sentences are not chats
    int status = bundle_open(&s->bundle, c->model, none, e);
    cJSON_Delete(none);
    if (status == 0) status = stops_make(&s->stops, &s->bundle, &s->bundle.template, e);
    for (size_t i = 0; status == 0 && i < c->stop.count; i++) {
        char *text = unescape(c->stop.words[i]);
        stops_add_text(&s->stops, text);
        free(text);
    }
    return status;
}

// ---- asking --------------------------------------------------------------------------------------------------------

#define SAY_SECONDS 5
#define SLOTS 64 // a fact has about as many different beginnings of answers

static size_t known_facts(const struct memory *m)
{
    size_t known = 0;
    for (size_t i = 0; i < m->fact_count; i++) known += m->facts[i].samples > 0;
    return known;
}

static void say_progress(void *context, uint64_t done, uint64_t all, uint64_t tokens)
{
    struct selection *s = context;
    double now = clock_seconds(), spent = now - s->began;
    if (now - s->said < SAY_SECONDS) return;
    s->said = now;
    double left = spent / (double)done * (double)(all - done);
    say("%" PRIu64 " of %" PRIu64 " samples, %.1f tokens/s, about %.0f min %02.0f s left", done, all,
        (double)tokens / spent, (double)((int)left / 60), (double)((int)left % 60));
}

// Asks the model for the facts that the file does not know.
static int ask(struct selection *s, struct gpu *gpu, enum storage storage, struct recall_file *file, struct error *e)
{
    const struct choice *c = s->choice;
    struct recall_size size;
    struct writer w = {0};
    uint32_t positions = s->bundle.model.config.max_positions;
    if (recall_measure(&size, &s->memory, &s->bundle, (uint32_t)c->samples, e)) return -1;
    if (!size.together) return 0;
    if (size.longest + c->new_tokens > positions)
        return error_set(e,
            "a sentence has %u tokens, with %" PRIu64
            " new ones more than the model's %u positions; lower --max-new-tokens",
            size.longest, c->new_tokens, positions);
    struct generation_options o = {.slots = c->batch && c->batch < SLOTS ? (uint32_t)c->batch : SLOTS,
        .capacity = size.longest + (uint32_t)c->new_tokens,
        .together = c->alone ? 1 : size.together};
    if (writer_open_with(&w, &s->bundle, gpu, storage, &o, 0, e)) return -1;
    const struct recall_settings settings = {.samples = (uint32_t)c->samples,
        .max_new_tokens = (uint32_t)c->new_tokens,
        .temperature = c->temperature,
        .seed = c->seed,
        .stops = &s->stops,
        .progress = say_progress,
        .context = s};
    s->began = s->said = clock_seconds();
    interrupt_begin();
    int status = recall_run(&s->memory, &s->bundle, w.generator, &settings, file, &s->work, e);
    // Asked to stop while the last fact was at hand, all is done.
    s->interrupted = interrupt_asked() && known_facts(&s->memory) < s->memory.fact_count;
    interrupt_end();
    s->seconds = clock_seconds() - s->began;
    if (status == 0)
        say("%" PRIu64 " tokens in %.1f s: %.1f tokens/s; computed: %" PRIu64 " rows of sentences, %" PRIu64
            " of answers, %u at a time",
            s->work.tokens, s->seconds, (double)s->work.tokens / s->seconds, s->work.read, s->work.extended,
            w.generation.options.slots);
    writer_close(&w);
    return status;
}

// Whether an earlier call's summary lies in the folder.
static bool is_ours(const char *output)
{
    char *summary = path_join(output, "summary.json");
    cJSON *o = file_exists(summary) ? json_read_file(summary, NULL) : NULL;
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(o, "settings");
    bool ours = cJSON_IsString(cJSON_GetObjectItemCaseSensitive(settings, "pumice"));
    cJSON_Delete(o);
    free(summary);
    return ours;
}

static int recall(struct selection *s, struct error *e)
{
    const struct choice *c = s->choice;
    enum storage storage;
    struct recall_file file = {0};
    struct gpu *gpu = device_open(c->device, e);
    if (!gpu) return -1;
    int status = precision_parse(&storage, c->precision, gpu_info(gpu), e);
    if (status == 0) status = make_settings(s, storage, e);
    if (status == 0) status = folder_make(c->output, e);
    if (status == 0) {
        char *path = path_join(c->output, "recall.jsonl"), *line = json_print(s->settings, false);
        char *levels = path_join(c->output, "levels.jsonl");
        if (!file_exists(path) && file_exists(levels) && !is_ours(c->output))
            status = error_set(
                e, "%s: it holds another's levels.jsonl and no recall.jsonl; take another --output", c->output);
        else
            status = recall_file_open(&file, path, line, &s->memory, &s->known, e);
        free(levels);
        free(path);
        free(line);
    }
    if (status == 0) {
        if (s->known) say("known from an earlier call: %zu of %zu facts", s->known, s->memory.fact_count);
        status = ask(s, gpu, storage, &file, e);
        recall_file_close(&file);
    }
    gpu_close(gpu);
    return status;
}

// ---- results -------------------------------------------------------------------------------------------------------

// Names of the files that a call may write.
static void tests_name(char name[64], int level, bool trained)
{
    snprintf(name, 64, "%s-%d.jsonl", trained ? "test" : "ood", level);
}

static void subset_name(char name[64], int level, size_t size)
{
    snprintf(name, 64, "level-%d-%zu.jsonl", level, size);
}

static size_t size_at(const struct choice *c, size_t i)
{
    return strtoull(c->sizes.words[i], NULL, 10);
}

static int write_rows(struct selection *s, const char *name, const size_t *facts, size_t count, struct error *e)
{
    char *path = path_join(s->choice->output, name);
    int status = memory_write_rows(&s->memory, facts, count, path, e);
    if (status == 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(s->files, name);
        cJSON_AddNumberToObject(s->files, name, (double)count);
    }
    free(path);
    return status;
}

// The tests of a level: of relations that are trained, or of the others. No file for none.
static int write_tests(struct selection *s, int level, bool trained, struct error *e)
{
    const struct memory *m = &s->memory;
    size_t *facts = mem_alloc((m->fact_count + 1) * sizeof *facts), count = 0;
    char name[64];
    for (size_t i = 0; i < m->fact_count; i++) {
        const struct memory_fact *f = &m->facts[i];
        if (f->test && s->trains[f->relation] == trained && memory_level(f->hits, f->samples) == level)
            facts[count++] = i;
    }
    tests_name(name, level, trained);
    int status = count ? write_rows(s, name, facts, count, e) : 0;
    free(facts);
    return status;
}

static int write_subset(struct selection *s, int level, size_t size, struct error *e)
{
    struct error lack = {0};
    char name[64];
    size_t count = s->memory.fact_count;
    size_t *facts = mem_alloc((size < count ? size : count) * sizeof *facts); // more than there are is too many
    int status = 0;
    subset_name(name, level, size);
    if (memory_subset(facts, size, &s->memory, s->order, level, s->trains, &lack) == 0) {
        status = write_rows(s, name, facts, size, e);
    } else {
        say("%s is not written: %s", name, lack.text);
        s->missing++;
    }
    free(facts);
    return status;
}

// Which facts there are, what is asked of each, which of them are tests, and which relations are trained.
static cJSON *split_of(const struct selection *s)
{
    uint64_t hash = FNV_START;
    char text[17];
    for (size_t i = 0; i < s->memory.fact_count; i++) {
        uint64_t key = memory_fact_key(&s->memory, &s->memory.facts[i]);
        char *question = memory_question(&s->memory, &s->memory.facts[i]);
        hash = fnv1a(fnv1a(hash, &key, sizeof key), s->memory.facts[i].test ? "t" : "f", 1);
        hash = fnv1a(hash, question, strlen(question) + 1);
        free(question);
    }
    cJSON *o = cJSON_CreateObject();
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    cJSON_AddStringToObject(o, "facts", text);
    cJSON *list = cJSON_AddArrayToObject(o, "relations");
    for (size_t r = 0; r < s->memory.relation_count; r++)
        if (s->trains[r]) cJSON_AddItemToArray(list, cJSON_CreateString(s->memory.relations[r].name));
    return o;
}

// The summary. Without a split it says that its files are perhaps being written: none of them is believed later.
static int write_summary(const struct selection *s, const char *path, const cJSON *split, const cJSON *files, struct error *e)
{
    cJSON *o = memory_summary(&s->memory);
    cJSON_AddStringToObject(o, "model", s->choice->model);
    cJSON_AddItemToObject(o, "settings", cJSON_Duplicate(s->settings, true));
    if (split) cJSON_AddItemToObject(o, "split", cJSON_Duplicate(split, true));
    cJSON_AddItemToObject(o, "files", cJSON_Duplicate(files, true));
    int status = json_write_file(path, o, e);
    cJSON_Delete(o);
    return status;
}

static void add_name(cJSON *names, const char *name)
{
    if (!cJSON_GetObjectItemCaseSensitive(names, name)) cJSON_AddNullToObject(names, name);
}

// The names of all files that there may be when this call is stopped while it writes; with the rows of those that stay as they are.
static cJSON *names_at_work(const struct selection *s, const cJSON *earlier, bool same)
{
    cJSON *names = same && earlier ? cJSON_Duplicate(earlier, true) : cJSON_CreateObject();
    char name[64];
    for (const cJSON *f = earlier ? earlier->child : NULL; f; f = f->next) add_name(names, f->string);
    for (int l = 0; l < MEMORY_LEVELS; l++) {
        for (int trained = 0; trained < 2; trained++) {
            tests_name(name, l, trained);
            add_name(names, name);
        }
        for (size_t i = 0; i < s->choice->sizes.count; i++) {
            subset_name(name, l, size_at(s->choice, i));
            add_name(names, name);
        }
    }
    return names;
}

// Subsets of an earlier call with the same settings and split stay. Others go: a test fact among them may be trained now.
static int take_earlier(struct selection *s, const char *summary, const cJSON *split, struct error *e)
{
    s->files = cJSON_CreateObject();
    cJSON *o = file_exists(summary) ? json_read_file(summary, e) : cJSON_CreateObject();
    if (!o) return -1;
    bool same = cJSON_Compare(cJSON_GetObjectItemCaseSensitive(o, "split"), split, true) &&
                cJSON_Compare(cJSON_GetObjectItemCaseSensitive(o, "settings"), s->settings, true);
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(o, "files");
    cJSON *names = names_at_work(s, files, same);
    int status = write_summary(s, summary, same ? split : NULL, names, e); // before the first file changes
    cJSON_Delete(names);
    for (const cJSON *f = files && status == 0 ? files->child : NULL; f; f = f->next) {
        if (strchr(f->string, '/')) continue; // no name of ours
        char *path = path_join(s->choice->output, f->string);
        bool stays = same && cJSON_IsNumber(f);
        if (stays && file_exists(path)) cJSON_AddNumberToObject(s->files, f->string, f->valuedouble);
        if (!stays && unlink(path) == 0)
            say("%s: removed, it is of other settings, facts, tests or relations, or of a call that was stopped", path);
        free(path);
    }
    cJSON_Delete(o);
    return status;
}

static int write_results(struct selection *s, struct error *e)
{
    const struct choice *c = s->choice;
    char *levels = path_join(c->output, "levels.jsonl"), *summary = path_join(c->output, "summary.json");
    cJSON *split = split_of(s);
    int status = memory_write_levels(&s->memory, levels, e);
    if (status == 0) status = take_earlier(s, summary, split, e);
    for (int l = 0; l < MEMORY_LEVELS && status == 0; l++) {
        status = write_tests(s, l, true, e);
        if (status == 0) status = write_tests(s, l, false, e);
        for (size_t i = 0; i < c->sizes.count && status == 0; i++) status = write_subset(s, l, size_at(c, i), e);
    }
    if (status == 0) status = write_summary(s, summary, split, s->files, e);
    cJSON_Delete(split);
    free(levels);
    free(summary);
    return status;
}

static void print_table(const struct selection *s)
{
    const struct memory *m = &s->memory;
    struct memory_counts counts;
    uint32_t sums[2][MEMORY_LEVELS] = {0};
    memory_counts_make(&counts, m);
    printf("%-24s", "facts by level");
    for (int l = 0; l < MEMORY_LEVELS; l++) printf(" %7d", l);
    puts("    training + test");
    for (size_t r = 0; r <= m->relation_count; r++) {
        const uint32_t *row[2] = {sums[0], sums[1]};
        uint32_t all = 0;
        if (r < m->relation_count) row[0] = counts.training[r], row[1] = counts.test[r];
        for (int l = 0; l < MEMORY_LEVELS; l++) all += row[0][l] + row[1][l];
        if (!all) continue;
        printf("%-24s", r < m->relation_count ? m->relations[r].name : "all");
        for (int l = 0; l < MEMORY_LEVELS; l++) {
            printf(" %4u+%-2u", row[0][l], row[1][l]);
            if (r < m->relation_count) sums[0][l] += row[0][l], sums[1][l] += row[1][l];
        }
        puts("");
    }
    memory_counts_free(&counts);
    for (const cJSON *f = s->files->child; f; f = f->next)
        printf("%s/%s: %.0f row%s\n", s->choice->output, f->string, f->valuedouble, plural((uint64_t)f->valuedouble));
}

static void print_results(const struct selection *s)
{
    if (!s->choice->json) {
        print_table(s);
        return;
    }
    cJSON *o = memory_summary(&s->memory), *work = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "files", cJSON_Duplicate(s->files, true));
    cJSON_AddNumberToObject(o, "missing", s->missing);
    cJSON_AddNumberToObject(o, "known", (double)s->known);
    cJSON_AddNumberToObject(work, "tokens", (double)s->work.tokens);
    cJSON_AddNumberToObject(work, "rows_read", (double)s->work.read);
    cJSON_AddNumberToObject(work, "rows_extended", (double)s->work.extended);
    cJSON_AddNumberToObject(work, "submissions", (double)s->work.submissions);
    cJSON_AddNumberToObject(work, "forks", (double)s->work.forks);
    cJSON_AddNumberToObject(work, "seconds", s->seconds);
    cJSON_AddNumberToObject(work, "tokens_per_second", s->seconds > 0 ? (double)s->work.tokens / s->seconds : 0);
    cJSON_AddItemToObject(o, "work", work);
    print_json(o);
}

static const char *wrong_choice(const struct choice *c)
{
    if (!c->model || !c->facts || !c->templates || !c->output)
        return "--model, --facts, --templates and --output are needed";
    if (!c->samples || c->samples > 1 << 20) return "--samples is at least 1 and at most 1048576";
    if (!c->new_tokens || c->new_tokens > 1 << 20) return "--max-new-tokens is at least 1 and at most 1048576";
    if (c->temperature < 0) return "--temperature is 0 or more";
    if (!(c->test >= 0 && c->test <= 1)) return "--test is a share from 0 to 1";
    if (c->seed > UINT64_C(1) << 53) return "--seed is at most 2^53";
    return NULL;
}

int select_memory(const struct command *c, int argc, char **argv)
{
    struct choice o = {.samples = 10, .new_tokens = 32, .seed = 42, .temperature = 0.7, .test = 0.25};
    const struct option options[] = {
        {"model", OPTION_TEXT, &o.model, "MODEL", "Hugging Face folder, .gguf file or hub id in the cache"},
        {"facts", OPTION_TEXT, &o.facts, "FILE", "facts (.jsonl or .json)"},
        {"templates", OPTION_TEXT, &o.templates, "FILE", "unfinished sentences by relation (.json or .jsonl)"},
        {"output", OPTION_TEXT, &o.output, "DIR", "where the results go"},
        {"size", OPTION_LIST, &o.sizes, "ROWS...", "training rows of each level, balanced over relations; nested"},
        {"relations", OPTION_LIST, &o.relations, "NAME...", "relations to train on (default: all that have facts)"},
        {"test", OPTION_NUMBER, &o.test, "SHARE",
            "of a relation's subjects kept for tests, where no fact says \"split\" (0.25)"},
        {"samples", OPTION_COUNT, &o.samples, "N", "of each template (default 10)"},
        {"temperature", OPTION_NUMBER, &o.temperature, "T", "of the draws (default 0.7)"},
        {"max-new-tokens", OPTION_COUNT, &o.new_tokens, "TOKENS", "longest output (default 32)"},
        {"stop", OPTION_LIST, &o.stop, "TEXT...", "texts that end an output; \\n is a line's end"},
        {"seed", OPTION_COUNT, &o.seed, "N", "of draws, tests and subsets (default 42)"},
        {"batch", OPTION_COUNT, &o.batch, "N", "at most so many sequences at a time"},
        {"alone", OPTION_FLAG, &o.alone, NULL, "each sample by itself, nothing shared: the same numbers, slower"},
        {"precision", OPTION_TEXT, &o.precision, "WORD", "storage: auto, f32, bf16"},
        {"device", OPTION_TEXT, &o.device, "DEVICE", "index, part of a name, auto"},
        FULL_SPEED_OPTION,
        {"strict", OPTION_FLAG, &o.strict, NULL, "stop at the first bad fact"},
        {"json", OPTION_FLAG, &o.json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    const char *wrong = status < 0 ? wrong_choice(&o) : NULL;
    if (wrong) {
        say("pumice select memory: %s (pumice select memory --help)", wrong);
        status = STATUS_USAGE;
    }
    if (status < 0) {
        struct error e = {0};
        struct selection s = {.choice = &o};
        bool ok = read_input(&s, &e) == 0 && recall(&s, &e) == 0;
        ok = ok && (s.interrupted || write_results(&s, &e) == 0);
        if (ok && s.interrupted)
            say("interrupted: %zu of %zu facts known; the same command goes on", known_facts(&s.memory), s.memory.fact_count);
        else if (ok)
            print_results(&s);
        status = !ok ? fail(&e) : s.interrupted ? STATUS_INTERRUPTED : s.missing ? STATUS_USER : STATUS_DONE;
        cJSON_Delete(s.settings);
        cJSON_Delete(s.files);
        free(s.trains);
        free(s.order);
        stops_free(&s.stops);
        memory_free(&s.memory);
        bundle_close(&s.bundle);
    }
    free(o.sizes.words);
    free(o.relations.words);
    free(o.stop.words);
    return status;
}
