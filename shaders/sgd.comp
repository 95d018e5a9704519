// SPDX-License-Identifier: MIT
//
// sgd: one update of every parameter, without momentum.
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
TENSOR(4, narrow)

void main()
{
    if (result.skip != 0) return;
    float scale = live.gradient_scale * result.clip, rate = live.learning_rate;
    float decay = args.decay != 0 ? live.weight_decay : 0.0;
    uint n = args.count / 4, end = PIECE_END(n);
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) {
        precise vec4 old = p_f32[i];
        precise vec4 gradient = LOAD4(g, 2, i) * scale + decay * old;
        precise vec4 updated = old - rate * gradient;
        p_f32[i] = updated;
        if (COPY != 0) narrow_bf16[i] = bf16_pack(updated);
    }
}
