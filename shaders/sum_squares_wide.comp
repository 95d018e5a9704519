// SPDX-License-Identifier: MIT
//
// sum_squares for software drivers: gradients are read through addresses (row.glsl); counts are multiples of 4 GROUP.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "sum_squares.glsl"
