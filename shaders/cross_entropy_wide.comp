// SPDX-License-Identifier: MIT
//
// cross_entropy for software drivers: rows are read through addresses (row.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "cross_entropy.glsl"
