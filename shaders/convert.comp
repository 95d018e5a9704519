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
    uint n = args.count / 4, end = PIECE_END(n);
    for (uint i = PIECE_BEGIN(n); i < end; i += GROUP) STORE4(to, 2, i, LOAD4(from, 1, i));
}
