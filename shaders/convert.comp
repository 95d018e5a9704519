// SPDX-License-Identifier: MIT
//
// convert: from one storage type to another.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lang.glsl"

layout(push_constant) uniform Push {
    convert_args args;
};
TENSOR_IN(1, from)
TENSOR(2, to)

void main()
{
    for (uint i = GRID_LANE; i < args.count / 4; i += GRID_LANES) STORE4(to, 2, i, LOAD4(from, 1, i));
}
