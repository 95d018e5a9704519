// SPDX-License-Identifier: MIT
//
// asahi.c: a fake Apple device (for tools/vendor-lab) for Mesa's drm-shim, which has none. It answers the requests of
// drm/asahi_drm.h (Linux 6.16 and later): buffers are memory of the host, whatever is submitted is done. ASAHI_GPU names
// the chip as Apple does: g13g is the M1, g13s the M1 Pro, g14g the M2.
#include "drm-shim/drm_shim.h"

#include <drm/asahi_drm.h>

#include <stdlib.h>
#include <string.h>

bool drm_shim_driver_prefers_first_render_node = true;

static struct drm_asahi_params_global chip = {
   .gpu_generation = 13,
   .gpu_variant = 'G',
   .num_dies = 1,
   .num_clusters_total = 1,
   .num_cores_per_cluster = 8,
   .max_frequency_khz = 1000000,
   .vm_start = 1ull << 14,
   .vm_end = 1ull << 39,
   .vm_kernel_min_size = 1ull << 35,
   .max_commands_per_submission = 64,
   .max_attachments = 16,
   .command_timestamp_frequency_hz = 24000000,
};

static int done(int fd, unsigned long request, void *arg)
{
   return 0;
}

static int tell_chip(int fd, unsigned long request, void *arg)
{
   struct drm_asahi_get_params *ask = arg;
   size_t bytes = ask->size < sizeof chip ? ask->size : sizeof chip;
   memcpy((void *)(uintptr_t)ask->pointer, &chip, bytes);
   return 0;
}

static int make_buffer(int fd, unsigned long request, void *arg)
{
   struct drm_asahi_gem_create *make = arg;
   struct shim_bo *buffer = calloc(1, sizeof *buffer);
   int result = drm_shim_bo_init(buffer, make->size);
   if (result) return result;
   make->handle = drm_shim_bo_get_handle(drm_shim_fd_lookup(fd), buffer);
   drm_shim_bo_put(buffer);
   return 0;
}

static int place_buffer(int fd, unsigned long request, void *arg)
{
   struct drm_asahi_gem_mmap_offset *place = arg;
   struct shim_fd *client = drm_shim_fd_lookup(fd);
   struct shim_bo *buffer = drm_shim_bo_lookup(client, place->handle);
   if (!buffer) return -1;
   place->offset = drm_shim_bo_get_mmap_offset(client, buffer);
   drm_shim_bo_put(buffer);
   return 0;
}

// There is one address space, one queue and one bound object, all of them number 1.
static int make_space(int fd, unsigned long request, void *arg)
{
   ((struct drm_asahi_vm_create *)arg)->vm_id = 1;
   return 0;
}

static int make_queue(int fd, unsigned long request, void *arg)
{
   ((struct drm_asahi_queue_create *)arg)->queue_id = 1;
   return 0;
}

static int bind_object(int fd, unsigned long request, void *arg)
{
   ((struct drm_asahi_gem_bind_object *)arg)->object_handle = 1;
   return 0;
}

static ioctl_fn_t requests[] = {
   [DRM_ASAHI_GET_PARAMS] = tell_chip,
   [DRM_ASAHI_GET_TIME] = done,
   [DRM_ASAHI_VM_CREATE] = make_space,
   [DRM_ASAHI_VM_DESTROY] = done,
   [DRM_ASAHI_VM_BIND] = done,
   [DRM_ASAHI_GEM_CREATE] = make_buffer,
   [DRM_ASAHI_GEM_MMAP_OFFSET] = place_buffer,
   [DRM_ASAHI_GEM_BIND_OBJECT] = bind_object,
   [DRM_ASAHI_QUEUE_CREATE] = make_queue,
   [DRM_ASAHI_QUEUE_DESTROY] = done,
   [DRM_ASAHI_SUBMIT] = done,
};

void drm_shim_driver_init(void)
{
   const char *name = getenv("ASAHI_GPU");
   if (name && strlen(name) == 4) {
      chip.gpu_generation = 10 * (name[1] - '0') + name[2] - '0';
      chip.gpu_variant = name[3] - 'a' + 'A';
      chip.num_clusters_total = chip.gpu_variant == 'G' ? 1 : 2;
   }
   for (unsigned i = 0; i < chip.num_clusters_total; i++) chip.core_masks[i] = 0xff;
   shim_device.bus_type = DRM_BUS_PLATFORM;
   shim_device.driver_name = "asahi";
   shim_device.driver_ioctls = requests;
   shim_device.driver_ioctl_count = sizeof requests / sizeof *requests;
   shim_device.version_major = 1;
   drm_shim_override_file("DRIVER=asahi\nOF_FULLNAME=/soc/gpu\nOF_COMPATIBLE_N=1\nOF_COMPATIBLE_0=apple,gpu\n",
      "/sys/dev/char/%d:%d/device/uevent", DRM_MAJOR, render_node_minor);
}
