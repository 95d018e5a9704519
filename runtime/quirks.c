// SPDX-License-Identifier: MIT
//
// quirks.c: drivers and what not to use on them. A row stands here only with its evidence.
#include "vulkan_private.h"

#include <string.h>

struct quirk {
    VkDriverId driver;
    bool (*applies)(const struct gpu_info *info); // NULL: to every version and device of that driver
    bool no_matrices;
    const char *sentence;
};

// lavapipe 26.1 and 26.2 list cooperative matrices at vector widths of 512 and 1024 bits too, where making the pipeline
// crashes the process; at 256 bits (subgroups of 8) they work.
static bool not_8_wide(const struct gpu_info *info)
{
    return info->subgroup_size != 8;
}

static const struct quirk quirks[] = {
    {VK_DRIVER_ID_MESA_LLVMPIPE, not_8_wide, true,
        "lavapipe crashes on matrix units unless its vectors are 256 bits wide; they are not used"},
};

void quirks_apply(struct gpu_info *info, VkDriverId driver)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        const struct quirk *q = &quirks[i];
        if (q->driver != driver || (q->applies && !q->applies(info))) continue;
        if (q->no_matrices && info->matrix_count == 0) continue;
        if (q->no_matrices) info->matrix_count = 0;
        info->quirks[count++] = q->sentence;
    }
}
