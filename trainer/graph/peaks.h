// SPDX-License-Identifier: MIT
//
// peaks.h: what a device can do at most, measured by small kernels of our own: the roof over every other kernel's speed
// (Williams, Waterman and Patterson 2009).
#ifndef PUMICE_PEAKS_H
#define PUMICE_PEAKS_H

#include "program.h"

// All of them the best of several tries.
struct peaks {
    double flops;      // per second, f32 fma (2 each), 12 independent chains a lane
    double flops16;    // likewise in f16; 0: the device has none
    double matrix[3];  // of the matrix units, by enum products: fp16 and bf16 operands, f32 sums; 0: the device has
                       // none, or is software, whose compiler sees through fragments that stay the same
    double copy, read; // bytes per second: read and written by a copy; read by a sum
    double dispatch;   // seconds of one dispatch without work and the barrier after it
    double submit;     // seconds from submitting an empty list to the end of waiting for it
    bool timestamps;   // kernels were timed by the device; else by the host, less `submit`
};
// Takes a few seconds, and memory for two arrays of up to 128 MiB, freed before it returns. -1 and a sentence when there
// is not so much memory.
int peaks_measure(struct peaks *peaks, struct gpu *gpu, struct error *e);

#endif
