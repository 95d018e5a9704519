// SPDX-License-Identifier: MIT
//
// matmul_register: the matrix product by register tiles, for any device and workgroup size; see matmul_tile.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "matmul_tile.glsl"
