// SPDX-License-Identifier: MIT
//
// probe_compare: counts, workgroup by workgroup, the elements of a product of probe_fill's matrices that are not what
// they must be.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(constant_id = 2) const uint EPILOGUE = EPILOGUE_NONE;
layout(constant_id = 3) const uint ADD = ADD_NONE;
layout(push_constant) uniform Push {
    probe_args args;
};
TENSOR_IN(1, x)
layout(binding = 2, std430) writeonly buffer Wrong {
    uint wrong[];
};

// What is expected at row r of the four columns c.
vec4 expected(uint r, uvec4 c)
{
    vec4 v = vec4(PROBE_FACTOR(c.x, PROBE_V), PROBE_FACTOR(c.y, PROBE_V), PROBE_FACTOR(c.z, PROBE_V), PROBE_FACTOR(c.w, PROBE_V));
    v *= float(PROBE_FACTOR(r, PROBE_U)) * args.sum;
    uint e = EPILOGUE == EPILOGUE_BIAS ? 0 : r;
    if (EPILOGUE != EPILOGUE_NONE)
        v += float(PROBE_FACTOR(e, PROBE_E)) *
            vec4(PROBE_FACTOR(c.x, PROBE_E), PROBE_FACTOR(c.y, PROBE_E), PROBE_FACTOR(c.z, PROBE_E), PROBE_FACTOR(c.w, PROBE_E));
    if (ADD == ADD_ALWAYS)
        v += float(PROBE_FACTOR(r, PROBE_C)) *
            vec4(PROBE_FACTOR(c.x, PROBE_C), PROBE_FACTOR(c.y, PROBE_C), PROBE_FACTOR(c.z, PROBE_C), PROBE_FACTOR(c.w, PROBE_C));
    return IS_BF16(1) ? bf16_unpack(bf16_pack(v)) : v;
}

void main()
{
    uint wide = (args.columns + 3) / 4, n = args.rows * wide, end = PIECE_END(n), bad = 0;
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) {
        uint r = i / wide, column = 4 * (i % wide);
        uvec4 c = column + uvec4(0, 1, 2, 3);
        // By bits, so that no compiler may take a NaN for a number; a zero may have either sign.
        uvec4 found = floatBitsToUint(LOAD4(x, 1, r * (args.ld / 4) + column / 4)), right = floatBitsToUint(expected(r, c));
        for (uint j = 0; j < 4; j++)
            if (c[j] < args.columns && found[j] != right[j] && ((found[j] | right[j]) << 1) != 0) bad++;
    }
    // Counts beyond what a float holds exactly are still not zero.
    float all = group_sum(float(bad));
    if (LANE == 0) wrong[GROUP_INDEX] = uint(all);
}
