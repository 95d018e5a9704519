// SPDX-License-Identifier: MIT
//
// events.h: TensorBoard event files: TFRecord frames (length, masked CRC-32C, payload, masked CRC-32C) around protocol
// buffers of type tensorflow.Event (tensorflow/core/util/event.proto), written by hand.
//
// A folder may hold several event files; TensorBoard reads them in the order of their names as one run. Each file
// begins with file_version "brain.Event:2" and then a session log START at `first_step`, by which TensorBoard forgets
// what earlier files said of steps from there on, so a resumed run replaces the steps that it does again. (Its fast
// loader goes tag by tag instead: the first new point of a tag removes the old ones from that step on.) The new file's
// name is always after those in the folder, even when the clock went back.
#ifndef PUMICE_EVENTS_H
#define PUMICE_EVENTS_H

#include "base.h"

struct events;

// Makes the folder and a new file events.out.tfevents.TIME.HOST.pumice in it. `first_step` is the first step that this
// process will write. NULL with the reason.
struct events *events_open(const char *folder, int64_t first_step, struct error *e);
// One point of the curve `tag` ("train/loss"); the value may be NaN or infinite. It may stay in a buffer until flush.
int events_scalar(struct events *w, const char *tag, int64_t step, double value, struct error *e);
int events_flush(struct events *w, struct error *e);
// Flushes and frees w, in failure too. NULL is fine.
int events_close(struct events *w, struct error *e);

#endif
