// SPDX-License-Identifier: MIT
//
// adamw, as it is for GPUs (adamw.glsl).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "adamw.glsl"
