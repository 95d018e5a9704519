// SPDX-License-Identifier: MIT
//
// attention_delta for software drivers: rows are read through addresses (row.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "attention_delta.glsl"
