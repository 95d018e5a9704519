// SPDX-License-Identifier: MIT
#include "train/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t asked;
static struct sigaction old_int, old_term, old_hup;
static int depth;

static void ask(int number)
{
    static const char words[] =
        "\npumice: stopping when what is at hand is done (a step, an evaluation, a check, a token); once more ends the program at once\n";
    asked = 1;
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    signal(number, SIG_DFL); // a second ctrl-C ends the program at once; the last checkpoint stays whole
}

void interrupt_begin(void)
{
    if (depth++) return;
    asked = 0;
    struct sigaction action = {.sa_handler = ask};
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    sigaction(SIGHUP, NULL, &old_hup);
    if (old_hup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL); // a terminal that goes away, unless nohup said otherwise
}

void interrupt_end(void)
{
    if (--depth) return;
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigaction(SIGHUP, &old_hup, NULL);
}

bool interrupt_asked(void)
{
    return asked != 0;
}
