// SPDX-License-Identifier: MIT
//
// attention_dkv_wide that keeps the gradients of scores, P (dP - delta), for attention_dq_scores_wide. What a pair has that
// does not see each other is kept too, and is any number.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ADDRESSES
#define SCORES
#include "attention_dkv.glsl"
