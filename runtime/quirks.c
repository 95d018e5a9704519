// SPDX-License-Identifier: MIT
//
// quirks.c: drivers and what not to use on them. A row stands here only with its evidence, and goes when the fault is
// fixed in all versions that people have. What merely is slow on a driver is found by measuring, not listed.
#include "vulkan_private.h"

struct quirk {
    VkDriverId driver;
    bool (*applies)(const struct gpu_info *info); // NULL: to every device and version of that driver
    enum { NOTHING, MATRICES, ADDRESSES } off;
    const char *sentence;
};

static bool integrated(const struct gpu_info *info)
{
    return info->type == GPU_INTEGRATED;
}

static bool not_8_wide(const struct gpu_info *info)
{
    return info->subgroup_size != 8;
}

static bool before_mesa_25(const struct gpu_info *info)
{
    return info->driver_version >> 22 < 25;
}

static bool before_mesa_26(const struct gpu_info *info)
{
    return info->driver_version >> 22 < 26;
}

static const struct quirk quirks[] = {
    // Measured with Mesa 22.3.6: a nested loop that counts its rounds stops at 65,535; 25.0 and 26.1 go on.
    {VK_DRIVER_ID_MESA_LLVMPIPE, before_mesa_25, NOTHING,
        "this lavapipe silently ends a kernel's loops after 65,535 rounds: rows of many thousand elements may come out wrong; "
        "tools/with-driver lavapipe-26 has none of that"},
    // A product of 512 x 576 x 1536 through addresses: 1.9 GFLOP/s and 10 s to make the pipeline with Mesa 25.0.7 (LLVM
    // 15), 41 to 75 GFLOP/s and 0.5 s with 26.1.6 (LLVM 19), which makes vector loads of what lies side by side.
    {VK_DRIVER_ID_MESA_LLVMPIPE, before_mesa_26, ADDRESSES,
        "this lavapipe makes slow code of the fastest kernels, which are not used: tools/with-driver lavapipe-26 is several times as fast"},
    // Measured with Mesa 26.1.6 and 26.2.6: at vector widths of 512 and 1024 bits making the pipeline crashes.
    {VK_DRIVER_ID_MESA_LLVMPIPE, not_8_wide, MATRICES,
        "lavapipe crashes on matrix units unless its vectors are 256 bits wide: they are not used"},
    // GPUOpen-Drivers/AMDVLK issue 422: asking a Radeon 860M for its matrix shapes crashes (driver 26.3.1).
    {VK_DRIVER_ID_AMD_PROPRIETARY, integrated, MATRICES,
        "AMD's own driver crashes when asked about the matrix units of integrated devices: they are not used"},
    {VK_DRIVER_ID_AMD_OPEN_SOURCE, integrated, MATRICES,
        "AMDVLK crashes when asked about the matrix units of integrated devices: they are not used"},
    // IGCIT issue 1487 and ggml-org/llama.cpp issue 24005: device lost on Arc Pro B70 with driver 101.8826; no fixed
    // version is known.
    {VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS, NULL, MATRICES,
        "Intel's driver for Windows loses the device when matrix units are used: they are not used"},
};

// Not rows, for what is known is of another program's kernels. On NVIDIA's Turing llama.cpp keeps one of its own off the matrix units
// (ggml-org/llama.cpp pull request 19290: that of 19075 comes out wrong; no driver's version is named): ours of that kind are
// tried on the device, and do without where a number is wrong. Two GB10 stood still in the test of a branch's products (pull request
// 25773, 2026-08-24; no version): nothing says that ours share anything with them.

void quirks_apply(struct gpu_info *info, bool *matrices, VkDriverId driver)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        const struct quirk *q = &quirks[i];
        if (q->driver != driver || (q->applies && !q->applies(info))) continue;
        if (q->off != NOTHING) {
            bool *feature = q->off == MATRICES ? matrices : &info->addresses;
            if (!*feature) continue;
            *feature = false;
        }
        info->quirks[count++] = q->sentence;
    }
}
