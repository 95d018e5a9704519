// SPDX-License-Identifier: MIT
//
// cache.c: the pipeline cache on disk. Drivers have crashed on damaged or foreign caches, so the file carries a header
// of ours: it is used only if its checksum is right and it was written by this build's shaders on this driver version.
#include "vulkan_private.h"
#include "spirv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[8];
    uint64_t key;   // driver and shaders
    uint64_t bytes; // of the driver's data, which follow
    uint64_t hash;  // of those
};
static const char magic[8] = "pumice1";

static uint64_t cache_key(const struct gpu *gpu)
{
    uint64_t key = gpu_hash(HASH_START, gpu->info.driver, strlen(gpu->info.driver));
    key = gpu_hash(key, &gpu->info.driver_version, sizeof gpu->info.driver_version);
    key = gpu_hash(key, &gpu->info.api_version, sizeof gpu->info.api_version);
    for (const struct spirv *s = spirv_table; s->name; s++) key = gpu_hash(key, s->words, s->bytes);
    return key;
}

uint64_t gpu_key(const struct gpu *gpu)
{
    uint64_t key = gpu_hash(cache_key(gpu), gpu->info.uuid, sizeof gpu->info.uuid);
    return gpu_hash(key, gpu->info.driver_uuid, sizeof gpu->info.driver_uuid);
}

const char *gpu_cache_folder(const struct gpu *gpu)
{
    return gpu->cache_folder;
}

// Makes a folder and those above it.
static bool folder_make(const char *folder)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path) return false;
    for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(path, 0777) < 0 && errno != EEXIST) return false;
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

// The driver's data out of the file, or NULL. A file that is damaged is worth a message, one that is outdated is not.
static void *cache_read(const struct gpu *gpu, size_t *bytes)
{
    FILE *file = fopen(gpu->cache_path, "rb");
    if (!file) return NULL;
    struct header header;
    struct stat status;
    void *data = NULL;
    bool good = fread(&header, sizeof header, 1, file) == 1 && memcmp(header.magic, magic, sizeof magic) == 0 &&
                fstat(fileno(file), &status) == 0 && (uint64_t)status.st_size == sizeof header + header.bytes;
    bool current = good && header.key == cache_key(gpu);
    if (current) {
        data = gpu_room(NULL, header.bytes + 1);
        *bytes = header.bytes;
        good = fread(data, 1, header.bytes, file) == header.bytes &&
               gpu_hash(HASH_START, data, header.bytes) == header.hash;
    }
    fclose(file);
    if (!good) {
        gpu_say("the pipeline cache %s is damaged and will be written anew", gpu->cache_path);
        free(data);
        *bytes = 0;
        return NULL;
    }
    return data;
}

void cache_open(struct gpu *gpu, const char *folder)
{
    void *data = NULL;
    size_t bytes = 0;
    if (folder) {
        uint64_t device = gpu_hash(HASH_START, gpu->info.uuid, sizeof gpu->info.uuid);
        device = gpu_hash(device, gpu->info.driver_uuid, sizeof gpu->info.driver_uuid);
        size_t room = strlen(folder) + 64;
        gpu->cache_path = gpu_room(NULL, room);
        snprintf(gpu->cache_path, room, "%s/pipelines-%016llx", folder, (unsigned long long)device);
        if (folder_make(folder)) {
            gpu->cache_folder = gpu_room(NULL, strlen(folder) + 1);
            strcpy(gpu->cache_folder, folder);
            data = cache_read(gpu, &bytes);
        } else {
            gpu_say("pipelines are not kept: the folder %s cannot be made: %s", folder, strerror(errno));
            free(gpu->cache_path);
            gpu->cache_path = NULL;
        }
    }
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = bytes, .pInitialData = data};
    VK(gpu, vkCreatePipelineCache(gpu->device, &info, NULL, &gpu->cache));
    if (data) gpu->cache_content = gpu_hash(HASH_START, data, bytes);
    free(data);
}

// A temporary name, then a rename: another process may read or write the same file.
static bool cache_write(const char *path, const struct header *header, const void *data)
{
    size_t room = strlen(path) + 32;
    char *temporary = gpu_room(NULL, room);
    snprintf(temporary, room, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    bool good =
        file && fwrite(header, sizeof *header, 1, file) == 1 && fwrite(data, 1, header->bytes, file) == header->bytes;
    if (file) good = fclose(file) == 0 && good;
    good = good && rename(temporary, path) == 0;
    if (!good && file) remove(temporary);
    free(temporary);
    return good;
}

void gpu_save_cache(struct gpu *gpu)
{
    size_t bytes = 0;
    if (!gpu->cache_new) return;
    gpu->cache_new = false;
    if (gpu->cache_path && vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, NULL) == VK_SUCCESS && bytes > 0) {
        void *data = gpu_room(NULL, bytes);
        if (vkGetPipelineCacheData(gpu->device, gpu->cache, &bytes, data) == VK_SUCCESS) {
            struct header header = {.key = cache_key(gpu), .bytes = bytes, .hash = gpu_hash(HASH_START, data, bytes)};
            memcpy(header.magic, magic, sizeof magic);
            if (header.hash != gpu->cache_content && !cache_write(gpu->cache_path, &header, data))
                gpu_say("the pipeline cache %s cannot be written: %s", gpu->cache_path, strerror(errno));
            gpu->cache_content = header.hash;
        }
        free(data);
    }
}

void cache_close(struct gpu *gpu)
{
    gpu_save_cache(gpu);
    free(gpu->cache_folder);
    free(gpu->cache_path);
    vkDestroyPipelineCache(gpu->device, gpu->cache, NULL);
}
