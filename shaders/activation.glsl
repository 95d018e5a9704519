// SPDX-License-Identifier: MIT
//
// activation.glsl: SiLU and GELU (its tanh form) are both x sigmoid(k(x)): k = x, or
// k = 2 sqrt(2/pi) (x + 0.044715 x^3), since (1 + tanh u) / 2 = sigmoid(2u). Constant 2 chooses.
layout(constant_id = 2) const uint ACTIVATION = ACTIVATION_SILU;
#define GELU_K 1.5957691216057308 // 2 sqrt(2 / pi)
#define GELU_CUBIC 0.044715

// s = sigmoid(k); the exponent is clamped where s is below 1e-34, and s is then 0. e = exp(-k): 1 - s is e s.
vec4 sigmoid(vec4 k, out vec4 e)
{
    e = exp(-clamp(k, -80.0, 80.0));
    return mix(1.0 / (1.0 + e), vec4(0), lessThan(k, vec4(-80)));
}

// Beyond |x| = 16 the sigmoid of GELU is 0 or 1, but the cube could overflow.
vec4 gate_k(vec4 x)
{
    if (ACTIVATION == ACTIVATION_SILU) return x;
    x = clamp(x, -16.0, 16.0);
    return GELU_K * x * (1.0 + GELU_CUBIC * x * x);
}

// dk/dx
vec4 gate_slope(vec4 x)
{
    if (ACTIVATION == ACTIVATION_SILU) return vec4(1);
    x = clamp(x, -16.0, 16.0);
    return GELU_K * (1.0 + 3.0 * GELU_CUBIC * x * x);
}
