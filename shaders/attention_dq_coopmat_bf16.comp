// SPDX-License-Identifier: MIT
//
// attention_dq on matrix units that multiply bf16.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "half_bf16.glsl"
#include "attention_dq_coopmat.glsl"
