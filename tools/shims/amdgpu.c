// SPDX-License-Identifier: MIT
//
// amdgpu.c: Mesa's fake AMD devices and more chips (for tools/vendor-lab, which says how these files are used). A further
// chip is one of Mesa's under another identity: what a compiler looks at (family, revision, version of the graphics core,
// vector registers) is the chip's, all else (units, clocks, memory) the older one's.
#define drm_shim_driver_init mesa_driver_init
#include "amd/drm-shim/amdgpu_noop_drm_shim.c"
#undef drm_shim_driver_init

#include <stdlib.h>
#include <strings.h>

static const struct chip {
   const char *name, *like;
   uint32_t family, revision, version, pci, registers; // version: graphics core, 0xMMmmrr
} chips[] = {
   {"vega20", "vega10", AMDGPU_FAMILY_AI, 0x28, 0x090400, 0x66af, 256},
   {"mi300", "vega10", AMDGPU_FAMILY_AI, 0x46, 0x090403, 0x74a1, 512},
   {"navi23", "navi21", AMDGPU_FAMILY_NV, 0x3c, 0x0a0304, 0x73ff, 1024},
   {"navi33", "navi31", AMDGPU_FAMILY_GC_11_0_0, 0x10, 0x0b0002, 0x7480, 1024},
   {"phoenix", "gfx1150", AMDGPU_FAMILY_GC_11_0_1, 0x01, 0x0b0001, 0x15bf, 1024},
   {"gfx1151", "gfx1150", AMDGPU_FAMILY_GC_11_5_0, 0xc0, 0x0b0501, 0x1586, 1536},
   {"gfx1200", "navi31", AMDGPU_FAMILY_GC_12_0_0, 0x40, 0x0c0000, 0x7590, 1536},
   {"gfx1201", "navi31", AMDGPU_FAMILY_GC_12_0_0, 0x50, 0x0c0001, 0x7550, 1536},
};
static struct amdgpu_device disguised;

static void set_version(struct drm_amdgpu_info_hw_ip *ip, uint32_t version)
{
   ip->hw_ip_version_major = version >> 16;
   ip->hw_ip_version_minor = version >> 8 & 0xff;
   ip->ip_discovery_version = version;
}

void drm_shim_driver_init(void)
{
   const char *wanted = getenv("AMDGPU_GPU_ID");
   const struct chip *c = chips, *end = chips + sizeof chips / sizeof *chips;
   while (c < end && (!wanted || strcasecmp(c->name, wanted) != 0)) c++;
   if (c < end) setenv("AMDGPU_GPU_ID", c->like, 1);
   mesa_driver_init();
   shim_device.version_minor = 64; // Mesa 26 wants a kernel newer than the one that Mesa 25 pretended to be
   if (c == end) return;
   setenv("AMDGPU_GPU_ID", c->name, 1);
   disguised = *amdgpu_dev;
   disguised.dev.family = c->family;
   disguised.dev.external_rev = c->revision;
   disguised.dev.device_id = c->pci;
   disguised.dev.num_shader_visible_vgprs = c->registers;
   set_version(&disguised.hw_ip_gfx, c->version);
   set_version(&disguised.hw_ip_compute, c->version);
   amdgpu_dev = &disguised;
}
