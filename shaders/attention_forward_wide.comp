// SPDX-License-Identifier: MIT
//
// attention_forward for software drivers: streamed rows are read through addresses (wide.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "attention_forward.glsl"
