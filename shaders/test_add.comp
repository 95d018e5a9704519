// SPDX-License-Identifier: MIT
//
// test_add: out[i] = a[i] + factor * b[0] + push.plus for i < count. For the runtime's own tests.
#version 450
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FACTOR = 1;

layout(binding = 0, std430) readonly buffer A { uint a[]; };
layout(binding = 1, std430) readonly buffer B { uint b[]; };
layout(binding = 2, std430) buffer Out { uint o[]; };
struct add_args {
    uint count, plus;
};
layout(push_constant) uniform Push { add_args push; };

void main()
{
    uint i = gl_GlobalInvocationID.x + gl_GlobalInvocationID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x;
    if (i < push.count) o[i] = a[i] + FACTOR * b[0] + push.plus;
}
