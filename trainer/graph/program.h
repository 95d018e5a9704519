// SPDX-License-Identifier: MIT
//
// program.h: a graph turned into a sequence of kernel calls: forward, and in training the derived backward pass. Pure C.
//
// The backward pass walks the nodes in reverse. Gradients of activations are tensors of their own; a residual's gradient is
// the same tensor as the sum's. An activation that was not kept is made again by its own node's forward calls, from what was
// kept (Chen et al. 2016), which covers cheap operators always and whole layers with `checkpoint`.
#ifndef PUMICE_PROGRAM_H
#define PUMICE_PROGRAM_H

#include "graph.h"
#include "runtime/gpu.h"

// What matrix products multiply in; their sums are f32 always.
enum products { PRODUCTS_F32, PRODUCTS_FP16, PRODUCTS_BF16 };

// What of the device shapes the calls: limits and good workgroup sizes.
struct limits {
    uint64_t max_range, max_allocation, heap;
    uint32_t max_groups; // of one dimension: fold_groups
    uint32_t group;        // lanes of a row kernel's workgroup: the subgroup on software devices, 128 on GPUs
    bool software;
    // A careful guess of the device's speed, to cut lists and dispatches by time (watchdogs); never changes a sum.
    double flop_per_second, bytes_per_second;
    // Of one submission at most, CUT_SECONDS; less on a device whose users look at what it draws meanwhile, more on a
    // software one.
    double cut_seconds;
    // Of one dispatch at most, DISPATCH_SECONDS; 0: nothing watches (products keep to it all the same).
    double dispatch_seconds;
    const struct gpu_info *info; // for the variant tables; owned by the caller
    enum products products;
    const struct choices *choices; // variants chosen on the device (choices.h), or NULL: the tables choose; the caller's
    bool lean; // no variants of products that want memory of their own (split sums)
    struct choices *met; // if not NULL: gets every product that is planned, with the variant it was planned with
};
#define CUT_SECONDS 0.1
#define CUT_SECONDS_SOFTWARE 1 // nothing watches, and Mesa's command buffers take some 100 KB each
#define CUT_SECONDS_INTEGRATED 0.016 // a frame: such a device mostly drives a display, which waits for a submission's end
#define DISPATCH_SECONDS 0.05
static inline uint64_t divide_up(uint64_t x, uint64_t y)
{
    return (x + y - 1) / y;
}
// A grid of at least so many workgroups of which no dimension passes the device's limit.
void fold_groups(const struct limits *limits, uint64_t groups, uint32_t *x, uint32_t *y);
// From a device, or (info NULL) a plain GPU of today for `plan` on a machine without a device.
struct limits limits_of(const struct gpu_info *info);

enum part { PART_VALUE, PART_GRADIENT }; // of a weight; everything else has only a value

struct use {
    tensor_id tensor;
    enum part part;
    uint64_t first_row, rows; // the bound row range
    bool reads, writes;
};

#define CALL_USES 10
#define CALL_CONSTANTS 24
struct call {
    const char *kernel; // shader name
    uint32_t constants[CALL_CONSTANTS], constant_count; // 0: workgroup size, 1: STORE (filled from the uses), 2..: the kernel's
    uint32_t subgroup;  // required size, or 0
    struct use uses[CALL_USES]; // bindings 1 .. use_count
    int use_count;
    uint8_t args[128];
    uint32_t args_bytes;
    uint32_t groups_x, groups_y;
    double flop, bytes; // of a full micro-batch
    double seconds;     // by what was measured on the device; 0: nothing was
    int layer;
    bool backward;
    const char *why; // this variant was chosen, in a few words; NULL: there is no other
};

struct program {
    struct graph *graph;
    struct limits limits;
    struct call *calls;
    int call_count, call_capacity;
    bool training, checkpoint;
    // While the backward pass is derived:
    tensor_id *gradient, *remade; // by tensor: its gradient, its copy made again (NO_TENSOR: none yet)
    int map_capacity;
    int layer;
    bool backward;
};

// Calls of the forward pass (training false: also evaluation and generation), or forward and backward. `checkpoint`: keep
// only what crosses layers. Adds scratch and gradient tensors to the graph.
void program_make(struct program *p, struct graph *g, const struct limits *limits, bool training, bool checkpoint);
// Without calls, for callers that build them one by one.
void program_begin(struct program *p, struct graph *g, const struct limits *limits);
void program_free(struct program *p);
bool program_equal(const struct program *a, const struct program *b); // the same calls, of two graphs that are the same
double program_flop(const struct program *p);
double call_seconds(const struct limits *limits, const struct call *c); // measured, else by the guess above
// What a call works on, for people: "NT 512 x 960 x 576", "512 rows, 9 heads of 64", "512 groups".
void call_shape(char *text, size_t bytes, const struct call *c);

// ---- for ops.c: building calls ---------------------------------------------------------------------------------

struct call *call_begin(struct program *p, const char *kernel);
void call_constant(struct call *c, uint32_t value); // the next one, from id 2 on
void call_read(struct call *c, tensor_id t);
void call_write(struct call *c, tensor_id t);
void call_update(struct call *c, tensor_id t); // reads and writes
void call_use(struct call *c, tensor_id t, enum part part, uint64_t first_row, uint64_t rows, bool reads, bool writes);
void call_args(struct call *c, const void *args, size_t bytes);
// `groups` workgroups, folded so that no dimension passes the device's limit.
void call_groups(const struct program *p, struct call *c, uint64_t groups);

tensor_id program_scratch(struct program *p, enum storage storage, uint64_t rows, uint64_t columns, const char *name);
// The tensor to read an activation from in the backward pass: itself when kept, else made again (once a layer).
tensor_id program_need(struct program *p, tensor_id t);
// The gradient of an activation, or NO_TENSOR when nothing has contributed yet.
tensor_id program_gradient(const struct program *p, tensor_id t);
void program_set_gradient(struct program *p, tensor_id t, tensor_id gradient);
// Rows that one binding can show of a tensor: all, or a multiple of RANGE_ROWS, at which every tensor's offset is a multiple
// of 256 bytes (rows are multiples of 8 elements, so at least 16 bytes).
#define RANGE_ROWS 16
uint64_t program_range_rows(const struct program *p, tensor_id t, enum part part);
enum storage tensor_storage(const struct graph *g, tensor_id t, enum part part);
uint64_t tensor_row_bytes(const struct graph *g, tensor_id t, enum part part);
tensor_id tensor_root(const struct graph *g, tensor_id t); // through aliases

// ops.c: the operator table. Forward calls write `out` (the node's outputs or fresh copies of them) from `in`.
struct operator {
    const char *name;
    void (*forward)(struct program *p, const struct node *n, const tensor_id *in, const tensor_id *out);
    void (*backward)(struct program *p, const struct node *n); // NULL: no gradient (generation)
};
extern const struct operator operators[OP_COUNT];

#endif
