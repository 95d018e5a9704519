// SPDX-License-Identifier: MIT
//
// pumice: fine-tunes language models on any Vulkan device. This file is the table of commands.
#include "commands/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"devices", "lists the devices, their limits and what would be chosen", "[options]", NULL, "pumice devices --json",
        command_devices},
    {"plan", "stages, rows, tokens, steps and memory of a config, before anything runs", "CONFIG [options]",
        "Needs no GPU: without a device the memory is planned for a common one.\n"
        "The keys of a config, with their values and defaults: pumice plan --keys.", "pumice plan configs/demo.json", command_plan},
    {"kernels", "every kernel of a plan, as the device's compiler makes it: registers, spills, instructions", "[CONFIG] [options]",
        "Makes every pipeline and prints the driver's own figures. Runs nothing and allocates nothing. Without CONFIG: the shapes of\n"
        "SmolLM2-135M. A spilled register is a kernel that waits for memory: the table marks it with !.", "pumice kernels --json",
        command_kernels},
    {"train", "fine-tunes as a config says", "CONFIG [options]",
        "The keys of a config, with their values and defaults: pumice plan --keys.",
        "pumice train configs/demo.json --set learning_rate=1e-5", command_train},
    {"sweep", "trains every combination of values that a config's \"sweep\" names", "CONFIG [options]",
        "\"sweep\" is an object of axes; the runs are all combinations of their values, the first axis slowest:\n"
        "  \"learning_rate\": [1e-5, 2e-5]              a key of the config, or a path as in --set, with its values\n"
        "  \"method\": {\"multi\": {\"strategy\": \"multi_task\"},\n"
        "             \"dmt\": {\"strategy\": \"dmt\", \"dmt_k\": 0.25}}    variants that set several keys together\n"
        "Each run is what `pumice train` makes of its config, in output_dir/NAME. Finished runs are skipped, those broken off go on,\n"
        "failed ones are named. Results of all runs in the folder: output_dir/results.csv and results.json, after each run; a table at the end.",
        "pumice sweep configs/demo.json --axis dmt_k=0,0.25,1 seed=1,2 --list", command_sweep},
    {"eval", "loss of a model on the trained tokens of data files", "--model MODEL --data FILE... [options]", NULL,
        "pumice eval --model runs/demo --data data/math_test.jsonl", command_eval},
    {"score", "an ability's score: the share of rows that a model gets right",
        "--model MODEL --data FILE... --metric METRIC [options]",
        "metrics:\n"
        "  exact      greedy decoding gives a row's last trained turn word for word (one teacher-forced pass)\n"
        "  numeric    a greedy answer's number (after its last ####, else its last) is the reference's, within 1e-4\n"
        "  contains   the reference stands in a greedy answer\n"
        "  cloze      the reference's words stand in the answer, whatever case and punctuation\n"
        "  true_false what the answer says; else the more probable of the two words\n"
        "  choice     of \"choices\" the right one is the most probable\n"
        "  rank       of \"choices\" the right one has the lowest perplexity\n"
        "The reference is a row's \"answer\" (a text; for choices also a letter, A the first, or a number, 0 the first),\n"
        "else its last assistant turn.",
        "pumice score --model runs/demo --data data/math_test.jsonl --metric numeric", command_score},
    {"generate", "text from a model, greedy or sampled", "--model MODEL (--prompt TEXT | --data FILE) [options]", NULL,
        "pumice generate --model runs/demo --prompt \"What is 3 + 4?\"", command_generate},
    {"tokenize", "ids and training mask of rows or of a text", "--model MODEL (--text TEXT | --data FILE) [options]", NULL,
        "pumice tokenize --model runs/demo --text \"Hello\"", command_tokenize},
    {"report", "runs side by side as one HTML page: tables and curves", "RUN... [options]",
        "RUN is a run's output_dir, a sweep's, or a folder that holds runs; runs that are still going or were broken off are shown\n"
        "as far as they went. Runs that differ in nothing but the seed are one setting: tables and curves show its mean and spread.\n"
        "Curves are drawn by gnuplot; without it the page has its tables only.",
        "pumice report runs/demo", command_report},
    {"bench", "speed of a training step, kernel by kernel, beside what the device can do", "[CONFIG] [options]",
        "Without a CONFIG the model is SmolLM2-135M's shapes with random weights, and a step is random tokens; with one, its\n"
        "model and the conversations of its first step.", "pumice bench --tokens 2048 --documents 16 --json > before.json",
        command_bench},
    {"diff", "what training changed in a model; sets the most changed parameters back", "--before MODEL --after MODEL [options]",
        "A parameter's change is |after - before| / |before|; the largest come first. With --data: KL(after || before) over the ten\n"
        "likeliest first tokens of each answer, as the tuned model sees them (arXiv 2509.16596); with --restore the restored model's,\n"
        "in place of --after's. Models saved in bf16 differ from their f32 originals everywhere by rounding: train with save_dtype\n"
        "f32 to see what training did.",
        "pumice diff --before models/SmolLM2-135M-Instruct.Q4_1.gguf --after runs/memory-60 --restore 0.2 --output runs/restored",
        command_diff},
    {"select", "chooses data: by how well a model remembers facts", "METHOD [options]", NULL, "pumice select memory --help",
        command_select},
    {0},
};

static int help(void)
{
    printf("pumice fine-tunes language models on any Vulkan device.\n\nusage: pumice COMMAND [options]\n\n");
    for (const struct command *c = commands; c->name; c++) printf("  %-10s %s\n", c->name, c->summary);
    printf("\n`pumice COMMAND --help` explains a command and shows an example.\n"
           "exit status: 0 done, 1 the input is at fault, 2 wrong usage, 3 the device or its driver failed, 130 interrupted\n");
    return STATUS_DONE;
}

// Results that did not reach their reader are no success.
static int written(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    say("pumice: the results could not be written to standard output (%s)", errno ? strerror(errno) : "an earlier error");
    return status == STATUS_DONE ? STATUS_USER : status;
}

int main(int argc, char **argv)
{
    if (argc < 2) return help(), STATUS_USAGE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) return help();
    const char *names[32];
    size_t n = 0;
    for (const struct command *c = commands; c->name; c++) {
        if (strcmp(argv[1], c->name) == 0) return written(c->run(c, argc - 1, argv + 1));
        names[n++] = c->name;
    }
    names[n] = NULL;
    const char *near = nearest_name(argv[1], names);
    if (near) say("pumice: there is no command %s; did you mean %s? (pumice --help)", argv[1], near);
    else say("pumice: there is no command %s (pumice --help)", argv[1]);
    return STATUS_USAGE;
}
