// SPDX-License-Identifier: MIT
//
// matmul_lanes: the matrix product by register tiles, A dealt out by subgroup broadcasts; the workgroup is one full
// subgroup; see matmul_tile.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#define LANES
#include "matmul_tile.glsl"
