// SPDX-License-Identifier: MIT
//
// nouveau.c: Mesa's fake NVIDIA devices, what NVK asks for beside, and the chips after Ampere (for tools/vendor-lab).
#define drm_shim_driver_init mesa_driver_init
#include "nouveau/drm-shim/nouveau_noop.c"
#undef drm_shim_driver_init

#define LIKE_AMPERE 0x172

// The classes of a chip's engines, as NVIDIA's open headers number them (clXXXX.h).
static const struct generation {
   unsigned chips, copy, graphics, compute; // chips: without the last digit
} generations[] = {
   {0x190, 0xc7b5, 0xc997, 0xc9c0}, // Ada
   {0x1b0, 0xcab5, 0xce97, 0xcec0}, // Blackwell
};

static int parameter(int fd, unsigned long request, void *arg)
{
   struct drm_nouveau_getparam *p = arg;
   switch (p->param) {
   case NOUVEAU_GETPARAM_EXEC_PUSH_MAX: p->value = 512; return 0;
   case NOUVEAU_GETPARAM_VRAM_BAR_SIZE: p->value = 3ull << 30; return 0;
   case NOUVEAU_GETPARAM_VRAM_USED: p->value = 1ull << 26; return 0;
   case 20: p->value = 1; return 0; // newer than Mesa 25: memory's tile modes
   }
   return nouveau_ioctl_get_param(fd, request, arg);
}

// Asked for its classes, a newer chip answers as Ampere does, with its own in their place.
static int interface(int fd, unsigned long request, void *arg)
{
   struct {
      struct nvif_ioctl_v0 head;
      struct nvif_ioctl_sclass_v0 list;
   } *ask = arg;
   const struct generation *g = NULL;
   for (unsigned i = 0; i < sizeof generations / sizeof *generations; i++)
      if ((device_info.chip_id & ~0xfu) == generations[i].chips) g = &generations[i];
   if (!g || ask->head.type != NVIF_IOCTL_V0_SCLASS) return nouveau_ioctl_nvif(fd, request, arg);
   unsigned chip = device_info.chip_id, sizes = ask->list.count == 0;
   device_info.chip_id = LIKE_AMPERE;
   int result = nouveau_ioctl_nvif(fd, request, arg);
   device_info.chip_id = chip;
   for (unsigned i = 0; !sizes && i < ask->list.count; i++) {
      int *class = &ask->list.oclass[i].oclass;
      *class = *class == AMPERE_DMA_COPY_A ? (int)g->copy
               : *class == GA102_3D_CLASS  ? (int)g->graphics
               : *class == GA102_COMPUTE_CLASS ? (int)g->compute : *class;
   }
   return result;
}

void drm_shim_driver_init(void)
{
   mesa_driver_init();
   driver_ioctls[DRM_NOUVEAU_GETPARAM] = parameter;
   driver_ioctls[DRM_NOUVEAU_NVIF] = interface;
}
