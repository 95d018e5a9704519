// SPDX-License-Identifier: MIT
//
// adamw: one update of every parameter (Loshchilov and Hutter 2019). `precise` keeps the compiler from contracting to
// fma, so that only division and square root differ from device to device.
layout(constant_id = 2) const uint COPY = 0;
// row.glsl; bf16 gradients come as neighbours. No && and ||: glslang makes nonsense of nested ones of constants.
#define NEIGHBOURS (((GROUP != 8 ? COPY : 0u) | (STORE & 4u)) != 0u)
#include "row.glsl"

layout(push_constant) uniform Push {
    optimizer_args args;
    PUSH_ADDRESSES
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
    EACH_OF_PIECE(i, args.count / 4) {
        precise vec4 gradient = ROW4(g, 2, 0, i) * scale, old = ROW4(p, 3, 0, i);
        precise vec4 decayed = old - decay * old;
        precise vec4 first = beta1 * ROW4(m, 4, 0, i) + rest1 * gradient;
        precise vec4 second = beta2 * ROW4(v, 5, 0, i) + rest2 * gradient * gradient;
        precise vec4 root = sqrt(second * correction2) + epsilon;
        precise vec4 updated = decayed - rate * (first * correction1) / root;
        SET_ROW4(m, 4, 0, i, first);
        SET_ROW4(v, 5, 0, i, second);
        SET_ROW4(p, 3, 0, i, updated);
        if (COPY != 0) SET_ROW4_BF16(narrow, 6, 0, i, updated);
    }
}
