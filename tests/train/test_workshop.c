// SPDX-License-Identifier: MIT
//
// What runs share: the same model, rows and session when they ask for the same, others when they do not.
#include "formats/json_file.h"
#include "test.h"
#include "train/run.h"
#include "train/tuning.h"

#include <unistd.h>

static struct error e;
static char folder[] = "/tmp/pumice-workshop-XXXXXX";
static int opened;

static struct gpu *open_device(void *context, const char *choice, struct error *error)
{
    (void)context;
    opened++;
    return gpu_open(&(struct gpu_options){.device = choice}, error->text, sizeof error->text);
}

static void read_config(struct config *c, const char *set)
{
    static const char text[] =
        "{\"init\": {\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
        " \"intermediate_size\": 32, \"tokenizer\": \"bytes\"}, \"output_dir\": \"out\", \"strategy\": \"multi_task\", \"max_length\": 64,"
        " \"sources\": {\"a\": \"rows.jsonl\", \"b\": \"rows.jsonl\"}, \"eval\": {\"x\": {\"path\": \"rows.jsonl\", \"metric\": \"exact\"}}}";
    char *path = path_join(folder, "config.json");
    CHECK_SAY(config_read_text(c, text, sizeof text - 1, path, &set, set ? 1 : 0, &e) == 0, "%s", e.text);
    free(path);
}

static void test_bundles(struct workshop *w)
{
    struct config c, same, other;
    read_config(&c, NULL);
    read_config(&same, "seed=7");
    read_config(&other, "init.hidden_size=32");
    const struct bundle *b = workshop_bundle(w, &c, &e);
    CHECK(b && workshop_bundle(w, &same, &e) == b);
    CHECK(workshop_bundle(w, &other, &e) != b);
    config_free(&other);
    read_config(&other, "chat_template=alpaca");
    CHECK(workshop_bundle(w, &other, &e) != b && workshop_bundle(w, &c, &e) == b);
    config_free(&other);
    read_config(&other, "init.hidden_size=7");
    CHECK(workshop_bundle(w, &other, &e) == NULL && e.text[0]);
    config_free(&other);
    config_free(&same);
    config_free(&c);
}

static void test_rows(struct workshop *w)
{
    static const struct {
        const char *set;
        bool same;
    } cases[] = {{"learning_rate=1", true}, {"seed=9", true}, {"sources.b.max_rows=1", true}, {"sources.a.max_rows=1", false},
        {"max_length=60", false}, {"strict=true", false}, {"sources.a.chat_template=none", false}, {"sources.a.ability=math", false}};
    struct shelf *shelf = workshop_shelf(w);
    struct config c, other;
    read_config(&c, NULL);
    const struct bundle *b = workshop_bundle(w, &c, &e);
    const struct shelf_rows *rows = shelf_train(shelf, &c, 0, c.settings.max_length, b, &e);
    CHECK(rows && rows->source.count == 2);
    CHECK(shelf_train(shelf, &c, 1, c.settings.max_length, b, &e) != rows); // another name in what is said of them
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_config(&other, cases[i].set);
        const struct shelf_rows *again = shelf_train(shelf, &other, 0, other.settings.max_length, b, &e);
        CHECK_SAY(again && (again == rows) == cases[i].same, "%s", cases[i].set);
        config_free(&other);
    }
    const struct shelf_rows *eval = shelf_eval(shelf, &c, &c.settings.eval[0], 64, b, &e);
    CHECK(eval && eval->ability.rows == 2 && shelf_eval(shelf, &c, &c.settings.eval[0], 64, b, &e) == eval);
    read_config(&other, "eval.x.metric=none");
    const struct shelf_rows *plain = shelf_eval(shelf, &other, &other.settings.eval[0], 64, b, &e);
    CHECK(plain && plain != eval && plain->ability.rows == 0);
    config_free(&other);
    read_config(&other, "sources.a.path=nothing.jsonl");
    CHECK(shelf_train(shelf, &other, 0, 64, b, &e) == NULL);
    CHECK_ERROR(e, "nothing.jsonl");
    config_free(&other);
    config_free(&c);
}

// What nobody holds goes when there is too much of it, the longest released first; what is held stays.
static void test_shelf_room(struct workshop *w)
{
    struct config c, other;
    read_config(&c, NULL);
    read_config(&other, "max_length=60");
    const struct bundle *b = workshop_bundle(w, &c, &e);
    struct shelf *none = shelf_make(0);
    const struct shelf_rows *a = shelf_train(none, &c, 0, 64, b, &e);
    uint64_t one = shelf_bytes(none);
    CHECK(a && one > 0 && shelf_train(none, &c, 0, 64, b, &e) == a);
    shelf_release(none, a);
    CHECK(shelf_bytes(none) == one); // held once more
    shelf_release(none, a);
    CHECK(shelf_bytes(none) == 0);
    shelf_free(none);

    struct shelf *two = shelf_make(2 * one);
    a = shelf_train(two, &c, 0, 64, b, &e);
    const struct shelf_rows *second = shelf_train(two, &c, 1, 64, b, &e), *third = shelf_train(two, &other, 0, 60, b, &e);
    CHECK(second && third && shelf_bytes(two) == 3 * one);
    shelf_release(two, second);
    shelf_release(two, a);
    CHECK(shelf_bytes(two) == 3 * one);
    shelf_release(two, third); // the second one goes
    CHECK(shelf_bytes(two) == 2 * one);
    CHECK(shelf_train(two, &c, 0, 64, b, &e) == a && shelf_train(two, &other, 0, 60, b, &e) == third);
    CHECK(shelf_bytes(two) == 2 * one);
    CHECK(shelf_train(two, &c, 1, 64, b, &e) && shelf_bytes(two) == 3 * one);
    shelf_free(two);
    config_free(&other);
    config_free(&c);
}

// A dataset gives back what it has taken, also one that cannot be made.
static void test_dataset_room(struct workshop *w)
{
    static const char *const sets[] = {NULL, "eval.x.path=nothing.jsonl", "sources.b.path=nothing.jsonl", "seed=3"};
    struct shelf *shelf = shelf_make(0);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct config c;
        struct dataset d;
        read_config(&c, sets[i]);
        bool good = dataset_open(&d, &c, workshop_bundle(w, &c, &e), shelf, true, &e) == 0;
        CHECK_SAY(good == (i == 0 || i == 3) && (shelf_bytes(shelf) > 0) == good, "%zu: %s", i, e.text);
        if (good) dataset_close(&d);
        CHECK(shelf_bytes(shelf) == 0);
        config_free(&c);
    }
    shelf_free(shelf);
}

// The session of a config in that workshop, made as a run makes it.
static struct session *session_of(struct workshop *w, const char *set)
{
    struct config c;
    struct dataset d;
    read_config(&c, set);
    struct gpu *gpu = workshop_gpu(w, c.device, &e);
    const struct bundle *bundle = workshop_bundle(w, &c, &e);
    struct limits limits = limits_of(gpu_info(gpu));
    struct blueprint *b = mem_zero(1, sizeof *b);
    const struct blueprint *own = NULL;
    CHECK_SAY(dataset_open(&d, &c, bundle, workshop_shelf(w), true, &e) == 0, "%s", e.text);
    CHECK_SAY(run_blueprint(b, &c, &d, bundle, &limits, &e) == 0, "%s", e.text);
    struct choices *choices = tuning_blueprint(b, &bundle->model, gpu, NULL, &e);
    struct session *s = choices ? workshop_session(w, &own, b, choices, bundle, gpu, &e) : NULL;
    CHECK_SAY(s && own, "%s", e.text);
    dataset_close(&d);
    config_free(&c);
    return s;
}

static void test_sessions(struct workshop *w)
{
    struct session *first = session_of(w, NULL);
    float ones[16], back[16];
    for (int i = 0; i < 16; i++) ones[i] = 1;
    engine_write(session_engine(first), 0, STATE_MOMENT1, 0, 16, ones);
    CHECK(session_of(w, "seed=3") == first); // its moments zero again
    engine_read(session_engine(first), 0, STATE_MOMENT1, 0, 16, back);
    for (int i = 0; i < 16; i++) CHECK(back[i] == 0);
    struct session *dropout = session_of(w, "dropout=0.1"), *budget = session_of(w, "micro_batch_tokens=80");
    struct session *model = session_of(w, "init.hidden_size=32"), *sgd = NULL;
    CHECK(dropout != first && budget != first && model != first && budget != dropout && model != budget && model != dropout);
    CHECK(session_of(w, NULL) == first && session_of(w, "dropout=0.2") == dropout); // four are kept
    struct session *narrow = session_of(w, "gradient_dtype=bf16"); // precision auto, so bf16 storage
    CHECK(narrow != first && narrow != dropout && session_of(w, "gradient_dtype=bf16") == narrow);
    CHECK(session_of(w, "precision=bf16") != narrow && session_of(w, NULL) == first && session_of(w, "dropout=0.2") == dropout);
    sgd = session_of(w, "optim=sgd");
    CHECK(sgd != first && session_of(w, "learning_rate=1") == first && session_of(w, "dropout=0.3") == dropout);
    CHECK(opened == 1);
}

// No step of a seed has the masks of a step of another one near it: not within the first 2^20 steps.
static void test_dropout_keys(void)
{
    for (uint64_t a = 0; a < 64; a++)
        for (uint64_t b = 0; b < a; b++) CHECK(session_dropout_key(a) >> 20 != session_dropout_key(b) >> 20);
}

int main(void)
{
    test_dropout_keys();
    if (!mkdtemp(folder)) return 1;
    static const char rows[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
                               "{\"messages\":[{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n";
    char *path = path_join(folder, "rows.jsonl");
    CHECK(file_write_atomic(path, rows, sizeof rows - 1, &e) == 0);
    struct workshop *w = workshop_open(open_device, NULL);
    test_bundles(w);
    test_rows(w);
    test_shelf_room(w);
    test_dataset_room(w);
    test_sessions(w);
    workshop_close(w);
    CHECK(folder_remove(folder, &e) == 0);
    free(path);
    return test_end();
}
