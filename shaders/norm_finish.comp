// SPDX-License-Identifier: MIT
//
// norm_finish: one workgroup; the gradient's norm, the factor that clips it, and whether the step must be skipped.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    norm_args args;
};
layout(binding = 1, std430) readonly buffer Partial {
    float partial[];
};
layout(binding = 2, std430) writeonly buffer Result {
    step_result result;
};

void main()
{
    if (GROUP_INDEX != 0) return;
    float sum = 0;
    for (uint i = LANE; i < args.count; i += 16 * GROUP) {
        float few = 0;
        for (uint k = i; k < min(args.count, i + 16 * GROUP); k += GROUP) few += partial[k];
        sum += few;
    }
    float norm = sqrt(group_sum(sum));
    if (LANE != 0) return;
    bool finite = is_finite(norm);
    result.norm = norm;
    result.clip = finite && live.max_norm > 0 ? min(1.0, live.max_norm / (norm + 1e-6)) : 1.0;
    result.skip = finite ? 0u : 1u;
    result.reserved = 0;
}
