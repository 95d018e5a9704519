// SPDX-License-Identifier: MIT
//
// freedreno.c: Mesa's fake Adreno devices, and what newer turnips ask of the kernel beside (for tools/vendor-lab).
#define drm_shim_driver_init mesa_driver_init
#include "freedreno/drm-shim/freedreno_noop.c"
#undef drm_shim_driver_init

#define HIGHEST_BANK_BIT 16 // the first parameter that Mesa 25 does not know
#define VM_BIND 0x0d

static ioctl_fn_t requests[VM_BIND + 1];

static int parameter(int fd, unsigned long request, void *arg)
{
   struct drm_msm_param *p = arg;
   if (p->param < HIGHEST_BANK_BIT) return msm_ioctl_get_param(fd, request, arg);
   p->value = p->param == HIGHEST_BANK_BIT ? 15 : 0; // 0: the feature is not there
   return 0;
}

void drm_shim_driver_init(void)
{
   mesa_driver_init();
   memcpy(requests, shim_device.driver_ioctls, sizeof *requests * (unsigned)shim_device.driver_ioctl_count);
   requests[DRM_MSM_GET_PARAM] = parameter;
   requests[VM_BIND] = msm_ioctl_noop;
   shim_device.driver_ioctls = requests;
   shim_device.driver_ioctl_count = VM_BIND + 1;
}
