// SPDX-License-Identifier: MIT
//
// adamw: one update of every parameter (Loshchilov and Hutter 2019). `precise` keeps the compiler from contracting to
// fma, so that only division and square root differ from device to device.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint COPY = 0;
layout(push_constant) uniform Push {
    optimizer_args args;
};
layout(binding = 1, std430) readonly buffer Result {
    step_result result;
};
TENSOR_IN(2, g)
TENSOR(3, p)
TENSOR(4, m)
TENSOR(5, v)
TENSOR(6, narrow)

void main()
{
    if (result.skip != 0) return;
    float scale = live.gradient_scale * result.clip, rate = live.learning_rate, epsilon = live.epsilon;
    float decay = args.decay != 0 ? rate * live.weight_decay : 0.0;
    float beta1 = live.beta1, beta2 = live.beta2, rest1 = live.rest1, rest2 = live.rest2;
    float correction1 = live.correction1, correction2 = live.correction2;
    uint n = args.count / 4, end = PIECE_END(n);
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) {
        precise vec4 gradient = g_f32[i] * scale, old = p_f32[i];
        precise vec4 decayed = old - decay * old;
        precise vec4 first = beta1 * m_f32[i] + rest1 * gradient;
        precise vec4 second = beta2 * v_f32[i] + rest2 * gradient * gradient;
        precise vec4 root = sqrt(second * correction2) + epsilon;
        precise vec4 updated = decayed - rate * (first * correction1) / root;
        m_f32[i] = first;
        v_f32[i] = second;
        p_f32[i] = updated;
        if (COPY != 0) narrow_bf16[i] = bf16_pack(updated);
    }
}
