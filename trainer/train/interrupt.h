// SPDX-License-Identifier: MIT
//
// interrupt.h: ctrl-C (SIGINT), SIGTERM and a terminal that goes away (SIGHUP) as a request to end after what is being done, a step say, which is said at once.
// A second one ends the program at once.
#ifndef PUMICE_INTERRUPT_H
#define PUMICE_INTERRUPT_H

#include <stdbool.h>

// From now on the signals are requests; what they did before comes back with interrupt_end. Pairs may be nested: the
// outermost one counts, and a request stands until its end.
void interrupt_begin(void);
void interrupt_end(void);
bool interrupt_asked(void);

#endif
