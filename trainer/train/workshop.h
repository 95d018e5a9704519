// SPDX-License-Identifier: MIT
//
// workshop.h: what the runs of one process share, so that the second begins sooner than the first: devices, models, rows,
// and sessions (kernels, recorded lists, memory) where the blueprint is the same. What a run gives does not depend on
// what it shares: a session that is used again gets its weights and moments anew, and everything else in it is written
// before it is read, as from one step to the next.
#ifndef PUMICE_WORKSHOP_H
#define PUMICE_WORKSHOP_H

#include "train/bundle.h"
#include "train/session.h"
#include "train/shelf.h"

// Opens a device by a config's choice. NULL with the reason.
typedef struct gpu *(*workshop_device)(void *context, const char *choice, struct error *e);

struct workshop;
// Empty. `device` is called at the first use of each choice.
struct workshop *workshop_open(workshop_device device, void *context);
void workshop_close(struct workshop *w); // all of it, devices too; NULL is fine

// All handed out is the workshop's and, but for sessions, stays until workshop_close.
struct gpu *workshop_gpu(struct workshop *w, const char *choice, struct error *e);
const struct bundle *workshop_bundle(struct workshop *w, const struct config *c, struct error *e);
struct shelf *workshop_shelf(struct workshop *w);

// A session of that blueprint, its moments zero, its weights to be written by the caller. Takes *b (in memory of mem_alloc)
// and its choices over, whatever the result; *blueprint is the session's own, which is equal. Both stay until the next
// call. NULL with the reason.
struct session *workshop_session(struct workshop *w, const struct blueprint **blueprint, struct blueprint *b,
    struct choices *choices, const struct bundle *bundle, struct gpu *gpu, struct error *e);
// Closes all sessions, whose memory something else needs.
void workshop_make_room(struct workshop *w);

#endif
