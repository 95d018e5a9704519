// SPDX-License-Identifier: MIT
//
// deal.glsl: how a number that all lanes need reaches them. Either every lane loads it itself (one load and a broadcast
// on most devices), or (a kernel's constant DEAL) the lanes share the loads, each takes another vec4, and a subgroup
// broadcast deals each out to all. The latter is for software drivers, which check every load against the buffer's
// size, with branches where all lanes load the same: about ten instructions a number. The workgroup is then one full
// subgroup of at most 16 lanes. A broadcast's lane must be a literal, hence the list.
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require

#define DEAL_LANE (DEAL != 0u ? gl_SubgroupInvocationID : LANE)
#define EACH_LANE(ACTION, WITH)                                                                                        \
    ACTION(WITH, 0) ACTION(WITH, 1) ACTION(WITH, 2) ACTION(WITH, 3) ACTION(WITH, 4) ACTION(WITH, 5) ACTION(WITH, 6)    \
    ACTION(WITH, 7) ACTION(WITH, 8) ACTION(WITH, 9) ACTION(WITH, 10) ACTION(WITH, 11) ACTION(WITH, 12)                 \
    ACTION(WITH, 13) ACTION(WITH, 14) ACTION(WITH, 15)
