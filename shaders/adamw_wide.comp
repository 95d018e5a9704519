// SPDX-License-Identifier: MIT
//
// adamw for software drivers: everything is read and written through addresses (row.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#include "adamw.glsl"
