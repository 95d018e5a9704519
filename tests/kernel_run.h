// SPDX-License-Identifier: MIT
//
// kernel_run.h: runs one kernel on small tensors and looks at every byte afterwards. All tensors of a run lie in one
// memory, which is first filled with a pattern that is a NaN as f32 and as bf16 and a huge number as an index: padding
// columns, rows never set and a guard zone around each tensor hold it. After the run each element that the test named
// must be what it wanted, and everything else must still hold the bits it held.
//
// A mutation runs a test with one wrong number in its arguments, constants or live block; the test must then fail.
#ifndef PUMICE_KERNEL_RUN_H
#define PUMICE_KERNEL_RUN_H

#include "test.h"
#include "args.h"
#include "runtime/gpu.h"

#include <stdbool.h>
#include <stddef.h>

// One unit in the last place of an f32 result, relative: what Vulkan allows for + - *, since the direction of rounding
// is the driver's. Its other bounds, in the same unit: division 2.5, inversesqrt 2, sqrt 4.5 (1 / inversesqrt), exp 3 +
// 2 |x|, log 3 outside [0.5, 2] and 2^-21 absolute inside.
#define ULP 0x1p-23
#define ULP_DIVIDE (2.5 * ULP)
#define ULP_INVERSE_SQRT (2 * ULP)
#define ULP_SQRT (4.5 * ULP)
#define TINY 0x1p-100       // covers results flushed to 0 and sums of them
#define EXACT -1.0      // as a bound: the very bits (a NaN: any NaN)
#define NON_FINITE -2.0 // as a bound: any NaN or infinity
#define ANYTHING -3.0   // as a bound: may change

enum stored { STORED_F32, STORED_BF16, STORED_WORD };

struct field { // a tensor of a run
    enum stored stored;
    uint32_t rows, columns, ld;
    double *value;        // [rows, columns] as stored; NaN: still the pattern
    double *want, *bound; // [rows, columns]; bound NaN: must not change
    size_t offset;        // bytes, in the run's memory
    bool shared;          // a view of an earlier field
};

#define RUN_MAX_FIELDS 12
struct run {
    const char *kernel;
    uint32_t constants[24], constant_count;
    uint32_t subgroup; // the size required, or 0
    struct live_block live;
    uint8_t args[128];
    uint32_t args_bytes;
    struct field fields[RUN_MAX_FIELDS]; // binding b is fields[b]; 0 is the live block and not used here
    uint32_t field_count;
};

enum mutation_where { IN_ARGS, IN_LIVE, IN_CONSTANTS };
enum mutation_how { ADD, TIMES, SET, SET_FLOAT }; // ADD and SET words, TIMES and SET_FLOAT floats
struct mutation {
    void (*test)(void);
    const char *what;
    enum mutation_where where;
    size_t word; // index: WORD(struct, member), or the constant's id
    enum mutation_how how;
    double number;
};
#define WORD(type, member) (offsetof(struct type, member) / 4)
#define WRONG(test, where, word, how, number)                                                                          \
    {                                                                                                                  \
        test, #test ": " #word " " #how " " #number, where, word, how, number                                          \
    }

extern uint32_t run_group;                  // workgroup size of the runs to come
extern const struct mutation *run_mutation; // applied to the runs to come, or NULL
extern int run_caught;                      // wrong elements seen under the mutation

// Opens the device with validation (where there is a layer). Returns false after saying why when there is no device.
bool run_open(void);
void run_close(void);              // prints the device; checks need run_validation_messages before
int run_validation_messages(void); // 0 where there is no layer
struct gpu *run_gpu(void);
// Workgroup sizes worth testing here: *count of them; arguments of the program, if any, else a default set.
const uint32_t *run_group_sizes(int *count, int argc, char **argv);

// The form of a kernel that reads through addresses, where device and width allow it, as row_variant would say.
const char *run_row_form(const char *plain, const char *wide, uint32_t columns);
// The last constant of such a run, after all others, as row_rounds would set it.
void run_row_rounds(struct run *r, uint32_t columns);

// A run; `store` is the STORE mask. The live block begins with tokens, documents, targets and distinct 0, and 1 for
// scales. Everything a run owns is freed by run_execute.
void run_begin(struct run *r, const char *kernel, uint32_t store);
void run_constant(struct run *r, uint32_t value); // the next one, from id 2 on
void run_args(struct run *r, const void *args, size_t bytes);
// The next binding: a matrix, f32 or bf16 as the mask says, whose ld is a multiple of 8 (a weight vector is one row);
// an array of f32 or of uint, element after element (rows = count, columns = 1); a view of an earlier binding.
struct field *run_tensor(struct run *r, uint32_t rows, uint32_t columns);
struct field *run_floats(struct run *r, uint32_t count);
struct field *run_words(struct run *r, uint32_t count);
struct field *run_shared(struct run *r, uint32_t binding);
// Sets an element and returns it as stored.
double field_set(struct field *f, uint32_t row, uint32_t column, double x);
// Sets rows first .. first + rows - 1 to numbers in [-amplitude, amplitude).
void field_random(struct field *f, uint32_t first, uint32_t rows, double amplitude, uint64_t *seed);
void field_want(struct field *f, uint32_t row, uint32_t column, double want, double bound);
// f32 additions on the longest way of a term through a row's sum: vec4 groups dealt to the lanes, then group_sum.
double run_sum_steps(uint32_t columns);
// Runs with `groups` workgroups (folded to two dimensions) and returns the number of wrong elements; the first are
// printed unless a mutation is on.
int run_execute(struct run *r, uint32_t groups);

// What a run's wrong elements mean: failures, or under a mutation what there should be.
static inline void run_judge(const char *kernel, int wrong)
{
    if (run_mutation)
        run_caught += wrong;
    else
        CHECK_SAY(wrong == 0, "%s, workgroup %u: %d wrong", kernel, run_group, wrong);
}

static inline void run_check(struct run *r, uint32_t groups)
{
    char name[64];
    snprintf(name, sizeof name, "%s", r->kernel);
    run_judge(name, run_execute(r, groups));
}

// Runs each mutation of the table; its test must see something wrong.
static inline void run_mutations(const struct mutation *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        run_mutation = &table[i];
        run_caught = 0;
        table[i].test();
        CHECK_SAY(run_caught > 0, "not caught: %s", table[i].what);
    }
    run_mutation = NULL;
}

#endif
