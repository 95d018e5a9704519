// SPDX-License-Identifier: MIT
//
// sum_squares, as it is for GPUs (sum_squares.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sum_squares.glsl"
