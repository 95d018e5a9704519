// SPDX-License-Identifier: MIT
//
// attention_dkv on matrix units that multiply fp16.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "half_fp16.glsl"
#include "attention_dkv_coopmat.glsl"
