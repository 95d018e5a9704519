// SPDX-License-Identifier: MIT
//
// attention_dkv for software drivers: streamed rows are read through addresses (wide.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "attention_dkv.glsl"
