// SPDX-License-Identifier: MIT
//
// gpu.h: the public face of the runtime. Below it is Vulkan; above it nobody knows Vulkan, and nothing here knows
// what the numbers mean. One thread uses a `struct gpu`.
//
// The way of use: look at the devices, open one, allocate memory, make every kernel, record lists once, submit them
// again and again, wait for tickets. What changes between submissions lies in memory, never in a list.
//
// Errors: what a user can cause (no such device, too little memory asked about politely) comes back as a sentence.
// A failing driver call is final: the runtime prints the call, its result, the last kernel recorded, the kernels of the
// first submission that is not done and the device, and exits with status 3. Misuse is an assert.
#ifndef PUMICE_GPU_H
#define PUMICE_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gpu_type { GPU_OTHER, GPU_INTEGRATED, GPU_DISCRETE, GPU_VIRTUAL, GPU_SOFTWARE };

// One shape of the device's matrix units (VK_KHR_cooperative_matrix, subgroup scope): C[m,n] += A[m,k] B[k,n].
enum gpu_element { GPU_F16, GPU_BF16, GPU_F32 };
struct gpu_matrix {
    uint32_t m, n, k;
    enum gpu_element ab, c;
};

#define GPU_MAX_DEVICES 16
#define GPU_MAX_MATRICES 32
#define GPU_MAX_BINDINGS 12

struct gpu_info {
    int index;        // as `--device INDEX` counts
    char name[256];   // the driver's name of the device
    char driver[288]; // driver name, its version text
    enum gpu_type type;
    uint32_t api_version, driver_version, vendor_id, device_id;
    uint8_t uuid[16], driver_uuid[16];
    uint64_t heap_bytes;      // memory for GPU_DEVICE in all (total, never what is free now)
    uint64_t max_allocation;  // bytes in one gpu_memory
    uint64_t max_range;       // bytes one binding may show (maxStorageBufferRange)
    uint32_t max_shared;      // bytes of workgroup memory
    uint32_t max_invocations; // of one workgroup
    uint32_t max_group_size;  // its x dimension
    uint32_t max_groups;      // workgroups in x and in y (the smaller of the two)
    uint32_t subgroup_size, subgroup_min, subgroup_max;
    uint32_t alignment;        // of binding offsets; at least 256 is always used
    double timestamp_seconds;  // of one tick; 0: no timestamps
    bool unified;              // device memory is host-visible: uploads are plain copies
    bool float16, storage16, subgroup_control, statistics;
    bool full_speed; // gpu_options.full_speed; false where nobody opened the device
    bool addresses; // kernels may read and write through addresses (offered on software devices only: see gpu_list_dispatch)
    uint32_t matrix_count;
    struct gpu_matrix matrices[GPU_MAX_MATRICES];
    const char *quirks[8]; // sentences from the table of known driver faults that apply here, NULL ended
};

// "discrete", "software", ...
const char *gpu_type_name(enum gpu_type type);

// Lists the devices that can run pumice, in the loader's order. Returns their number (0: none, and `error` says why,
// naming devices that were left out and the feature they lack). `error` may be NULL.
int gpu_list_devices(struct gpu_info *devices, int capacity, char *error, size_t error_bytes);

struct gpu_options {
    const char *device; // NULL or "auto": discrete before integrated before software; else an index or a part of a name
    const char *cache_folder; // where the pipeline cache lies (made when missing); NULL: none
    // Load the Khronos validation layer, with core and synchronization checks; for tests. What an old layer does not
    // know (matrix units, before 1.3.255) stays off then.
    bool validate;
    uint64_t max_range;      // when not 0: report and obey this lower limit (tests of row ranges)
    uint64_t max_allocation; // likewise
    bool staging;            // never map device memory, as on discrete devices; for tests
    bool full_speed;         // work need not end often, whatever the device draws meanwhile: gpu_info's
};

struct gpu;
// NULL when there is no such device; `error` then lists those there are.
struct gpu *gpu_open(const struct gpu_options *options, char *error, size_t error_bytes);
// Writes the pipeline cache if pipelines were made since it was read or written and its content is new. gpu_close does so too;
// to be called once all are made, for a program may end without closing anything.
void gpu_save_cache(struct gpu *gpu);
void gpu_close(struct gpu *gpu); // saves the pipeline cache; frees what is left, all lists and kernels must be freed
const struct gpu_info *gpu_info(const struct gpu *gpu);
// Of device, driver and the kernels of this build: what was found out under another key may not hold.
uint64_t gpu_key(const struct gpu *gpu);
// gpu_options.cache_folder, which exists; NULL: nothing is kept. The device's.
const char *gpu_cache_folder(const struct gpu *gpu);
// Messages of the validation layer so far (0 without `validate`); each is also printed on stderr. Returns -1 when
// `validate` was asked for and no layer was found.
int gpu_validation_messages(const struct gpu *gpu);

// ---- memory ---------------------------------------------------------------------------------------------------

enum gpu_place {
    GPU_DEVICE, // fastest for kernels; mapped only on unified devices
    GPU_HOST,   // always mapped, coherent: written by the host, copied to the device by a list, or read back
};
struct gpu_memory;
// A part of a memory. Kernels see exactly it: offset a multiple of 256, bytes a multiple of 4, at most max_range.
struct gpu_range {
    struct gpu_memory *memory;
    uint64_t offset, bytes;
};

// Bytes beyond max_allocation are a misuse. NULL when the driver has no memory left (the caller says what would fit).
// New memory holds zeros.
struct gpu_memory *gpu_alloc(struct gpu *gpu, uint64_t bytes, enum gpu_place place);
void gpu_free(struct gpu *gpu, struct gpu_memory *memory);
uint64_t gpu_allocated(const struct gpu *gpu);  // bytes of GPU_DEVICE memory now allocated through gpu_alloc
void *gpu_map(const struct gpu_memory *memory); // host pointer to its first byte, or NULL where it is not mapped
// Copies to or from the device and waits; in pieces through a staging buffer where the memory is not mapped. Waits
// for all submitted work first. Any offset and size (offset and bytes multiples of 4).
void gpu_upload(struct gpu *gpu, struct gpu_range to, const void *from);
void gpu_download(struct gpu *gpu, void *to, struct gpu_range from);

// ---- kernels --------------------------------------------------------------------------------------------------

struct gpu_kernel;
// A pipeline from the embedded shader `name`. Specialization constants have ids 0 .. count-1; id 0 is always the
// workgroup size (x). `subgroup` 0: the driver chooses; else the required subgroup size, with full subgroups (the
// caller has checked subgroup_control and the range). Bindings are storage buffers 0 .. n-1 of set 0, as many as the
// shader declares; push constants at most 128 bytes. What the shader uses (16-bit types, subgroup sums, matrices) the
// caller has checked in gpu_info. The same kernel made again while the first lives is that one, and freed as often.
struct gpu_kernel *gpu_kernel_make(
    struct gpu *gpu, const char *name, const uint32_t *constants, uint32_t count, uint32_t subgroup);
// The same, but NULL where the driver makes no pipeline of it, which else is final.
struct gpu_kernel *gpu_kernel_try(
    struct gpu *gpu, const char *name, const uint32_t *constants, uint32_t count, uint32_t subgroup);
void gpu_kernel_free(struct gpu *gpu, struct gpu_kernel *kernel);
// What a shader's own code says: the names of its specialization constants by id ("" where it has none of that id; the id in
// digits where its code was stripped of names; id 0 is always GROUP), whether it uses workgroup memory, and whether it uses
// matrix units (VK_KHR_cooperative_matrix, VK_NV_cooperative_matrix2).
#define GPU_MAX_CONSTANTS 32
struct gpu_shader {
    char constants[GPU_MAX_CONSTANTS][32];
    bool shared, matrices, matrices2;
};
void gpu_shader_read(struct gpu_shader *shader, const char *name);

// The driver's own figures for a compiled kernel (VK_KHR_pipeline_executable_properties), under the driver's own names.
// A driver may compile a kernel more than once, as Intel's for subgroups of 8, 16 and 32 lanes, and choose among them at a
// dispatch: each is an executable.
#define GPU_MAX_STATISTICS 48
#define GPU_MAX_EXECUTABLES 8
struct gpu_statistic {
    char name[64];
    double value;
};
struct gpu_executable {
    char name[64];     // the driver's
    uint32_t subgroup; // lanes; 0: not said
    int count;
    struct gpu_statistic statistics[GPU_MAX_STATISTICS];
};
// Kernels made from now on keep their figures and, with `code`, the driver's texts of what it made of them.
void gpu_want_statistics(struct gpu *gpu, bool code);
// Returns the number of executables: 0 where the driver tells nothing or the kernel was made before gpu_want_statistics.
int gpu_kernel_executables(
    struct gpu *gpu, const struct gpu_kernel *kernel, struct gpu_executable *executables, int capacity);
// The driver's representations of the kernel as one text, in the driver's order (usually from its own intermediate language
// to the device's instructions); the caller frees it. NULL where there is none.
char *gpu_kernel_code(struct gpu *gpu, const struct gpu_kernel *kernel);

// ---- lists ----------------------------------------------------------------------------------------------------

// A list is recorded once and submitted many times, as one or more submissions (cuts) that follow each other in order.
struct gpu_list;
struct gpu_list *gpu_list_begin(struct gpu *gpu, bool timed); // timed: a timestamp before and after each dispatch
// Ranges in the order of the shader's bindings; `push` is copied, its size the one that the shader declares. Groups at
// most max_groups in x and y, z small. A shader whose push constants go on beyond byte 64 has there an array of eight
// addresses: those of its bindings 1 to 8, filled in here; `push` is then what comes before, at most 64 bytes. Through addresses
// a kernel may read on for GPU_BEYOND bytes behind a memory (not write): whole vectors, of which it uses a part.
#define GPU_BEYOND 256
void gpu_list_dispatch(struct gpu_list *list, const struct gpu_kernel *kernel, const struct gpu_range *ranges,
    uint32_t count, const void *push, uint32_t push_bytes, uint32_t x, uint32_t y, uint32_t z);
void gpu_list_copy(struct gpu_list *list, struct gpu_range to, struct gpu_range from); // equal bytes
void gpu_list_fill(struct gpu_list *list, struct gpu_range to, uint32_t word);
// Everything recorded before is finished and visible to everything after (kernels and copies, and the host for the
// last one of a list, which gpu_list_end adds by itself).
void gpu_list_barrier(struct gpu_list *list);
void gpu_list_cut(struct gpu_list *list); // what follows is another submission; implies a barrier
void gpu_list_end(struct gpu_list *list);
void gpu_list_free(struct gpu *gpu, struct gpu_list *list); // not while pending
// Seconds of each dispatch in the last completed submission of a timed list; returns their number.
int gpu_list_times(struct gpu *gpu, const struct gpu_list *list, double *seconds, int capacity);
int gpu_list_cuts(const struct gpu_list *list); // submissions one gpu_submit makes
uint32_t gpu_set_count(const struct gpu *gpu);   // descriptor sets made so far; lists that show the same ranges share them

// Submits all of a list, after everything submitted before (memory effects included). A list that is still pending must
// not be submitted again: record two and alternate. Returns a ticket; tickets grow. Returns when no more than the list's last
// few cuts wait for the device or are being worked on: a queue is kept short.
uint64_t gpu_submit(struct gpu *gpu, struct gpu_list *list);
bool gpu_done(struct gpu *gpu, uint64_t ticket);
void gpu_wait(struct gpu *gpu, uint64_t ticket);
double gpu_queue_seconds(const struct gpu *gpu); // that gpu_submit has waited in all for room in the queue
// Waits for all submitted work and asks the driver whether the device is still there: Vulkan lets a wait for lost work
// succeed. To be called before what was computed is published. Ends the program as any failing call does.
void gpu_check(struct gpu *gpu);

#endif
