// SPDX-License-Identifier: MIT
//
// rmsnorm_dw for software drivers: rows are read through addresses (row.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "rmsnorm_dw.glsl"
