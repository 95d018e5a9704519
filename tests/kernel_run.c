// SPDX-License-Identifier: MIT
//
// kernel_run.c: runs one kernel on small tensors and looks at every byte afterwards.
#include "kernel_run.h"
#include "reference.h"
#include "base.h"

#define GUARD 256

// A NaN as f32, two NaNs as bf16, out of range as an index; no two neighbours alike, since NaNs keep their bits through
// arithmetic and a wrong copy must show.
static uint32_t pattern(size_t i)
{
    return 0xffc0ffc0u | (uint32_t)(1 + i * 7 % 61) << 16 | (uint32_t)(1 + i * 11 % 61);
}

uint32_t run_group = 8;
const struct mutation *run_mutation;
int run_caught;

static struct gpu *gpu;
static bool layer;
static struct gpu_memory *memory;
static size_t memory_bytes;
static struct made {
    char name[40];
    uint32_t constants[24], count, subgroup;
    struct gpu_kernel *kernel;
} * made;
static size_t made_count, made_capacity;

bool run_open(void)
{
    char error[1024];
    struct gpu_options options = {.validate = true};
    gpu = gpu_open(&options, error, sizeof error);
    if (!gpu) {
        printf("no device: %s\n", error);
        return false;
    }
    layer = gpu_validation_messages(gpu) >= 0;
    printf("%s (%s)%s\n", gpu_info(gpu)->name, gpu_info(gpu)->driver, layer ? "" : ", no validation layer");
    return true;
}

void run_close(void)
{
    for (size_t i = 0; i < made_count; i++) gpu_kernel_free(gpu, made[i].kernel);
    free(made);
    if (memory) gpu_free(gpu, memory);
    gpu_close(gpu);
}

int run_validation_messages(void)
{
    return layer ? gpu_validation_messages(gpu) : 0;
}

struct gpu *run_gpu(void)
{
    return gpu;
}

const uint32_t *run_group_sizes(int *count, int argc, char **argv)
{
    static uint32_t sizes[16];
    *count = 0;
    for (int i = 1; i < argc && *count < 16; i++) sizes[(*count)++] = (uint32_t)atoi(argv[i]);
    if (*count) return sizes;
    // The smallest; what a software driver gets; what a GPU gets.
    sizes[(*count)++] = 4;
    if (gpu_info(gpu)->subgroup_size > 4) sizes[(*count)++] = gpu_info(gpu)->subgroup_size;
    sizes[(*count)++] = 128;
    return sizes;
}

// ---- describing a run --------------------------------------------------------------------------------------------

const char *run_row_form(const char *plain, const char *wide, uint32_t columns)
{
    const struct gpu_info *info = gpu_info(run_gpu());
    bool here = info->addresses && run_group == info->subgroup_size && (run_group == 8 || run_group == 16);
    return here && columns % (4 * run_group) == 0 ? wide : plain;
}

void run_row_rounds(struct run *r, uint32_t columns)
{
    if (!strstr(r->kernel, "_wide")) return;
    while (r->constant_count < ROW_ROUNDS) run_constant(r, 0);
    run_constant(r, columns / (4 * run_group));
}

void run_begin(struct run *r, const char *kernel, uint32_t store)
{
    *r = (struct run){.kernel = kernel, .constants = {run_group, store}, .constant_count = 2, .field_count = 1};
    r->live.loss_scale = r->live.gradient_scale = r->live.correction1 = r->live.correction2 = 1;
}

void run_constant(struct run *r, uint32_t value)
{
    r->constants[r->constant_count++] = value;
}

void run_args(struct run *r, const void *args, size_t bytes)
{
    memcpy(r->args, args, bytes);
    r->args_bytes = (uint32_t)bytes;
}

static struct field *add(struct run *r, enum stored stored, uint32_t rows, uint32_t columns, uint32_t ld)
{
    struct field *f = &r->fields[r->field_count++];
    size_t count = (size_t)rows * columns;
    *f = (struct field){.stored = stored, .rows = rows, .columns = columns, .ld = ld};
    f->value = mem_alloc(count * sizeof *f->value);
    f->want = mem_alloc(count * sizeof *f->want);
    f->bound = mem_alloc(count * sizeof *f->bound);
    for (size_t i = 0; i < count; i++) f->value[i] = f->bound[i] = NAN;
    return f;
}

struct field *run_tensor(struct run *r, uint32_t rows, uint32_t columns)
{
    uint32_t binding = r->field_count;
    uint32_t ld = (columns + 7) / 8 * 8 + 8 * (binding % 2); // more than needed for every other tensor
    return add(r, r->constants[1] >> binding & 1 ? STORED_BF16 : STORED_F32, rows, columns, ld);
}

struct field *run_floats(struct run *r, uint32_t count)
{
    return add(r, STORED_F32, count, 1, 1);
}

struct field *run_words(struct run *r, uint32_t count)
{
    return add(r, STORED_WORD, count, 1, 1);
}

struct field *run_shared(struct run *r, uint32_t binding)
{
    struct field *f = &r->fields[r->field_count++];
    *f = r->fields[binding];
    f->shared = true;
    return f;
}

double field_set(struct field *f, uint32_t row, uint32_t column, double x)
{
    if (f->stored == STORED_F32) x = (float)x;
    if (f->stored == STORED_BF16) x = reference_bf16((float)x);
    return f->value[(size_t)row * f->columns + column] = x;
}

void field_random(struct field *f, uint32_t first, uint32_t rows, double amplitude, uint64_t *seed)
{
    for (uint32_t t = first; t < first + rows; t++)
        for (uint32_t c = 0; c < f->columns; c++) field_set(f, t, c, amplitude * test_uniform(seed));
}

void field_want(struct field *f, uint32_t row, uint32_t column, double want, double bound)
{
    f->want[(size_t)row * f->columns + column] = want;
    f->bound[(size_t)row * f->columns + column] = bound;
}

double run_sum_steps(uint32_t columns)
{
    double lane = ceil(columns / (4.0 * run_group)), last = run_group <= 16 ? run_group : run_group / 16.0 + 16;
    return lane + 2 + last;
}

// ---- running it --------------------------------------------------------------------------------------------------

static size_t element_bytes(const struct field *f)
{
    return f->stored == STORED_BF16 ? 2 : 4;
}

static void element_put(uint8_t *at, const struct field *f, double x)
{
    uint32_t word = (uint32_t)x;
    if (f->stored != STORED_WORD) {
        float value = (float)x;
        memcpy(&word, &value, sizeof word);
    }
    if (f->stored == STORED_BF16) word >>= 16;
    memcpy(at, &word, element_bytes(f)); // little-endian hosts
}

static double element_get(const uint8_t *at, const struct field *f)
{
    uint32_t word = 0;
    memcpy(&word, at, element_bytes(f));
    if (f->stored == STORED_WORD) return word;
    if (f->stored == STORED_BF16) word <<= 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static bool right(double got, double want, double bound, enum stored stored)
{
    if (bound == ANYTHING) return true;
    if (bound == NON_FINITE) return !isfinite(got);
    if (bound == EXACT || stored == STORED_WORD) return isnan(want) ? isnan(got) : memcmp(&got, &want, sizeof got) == 0;
    if (stored == STORED_BF16) bound += (fabs(want) + bound) * 0x1p-8; // rounding to nearest
    return fabs(got - want) <= bound;
}

static uint32_t mutated(uint32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    value = (float)(run_mutation->how == TIMES ? value * run_mutation->number : run_mutation->number);
    switch (run_mutation->how) {
    case ADD:
        return word + (uint32_t)(int32_t)run_mutation->number;
    case SET:
        return (uint32_t)run_mutation->number;
    default:
        memcpy(&word, &value, sizeof word);
        return word;
    }
}

static void mutate(struct run *r)
{
    void *block[] = {[IN_ARGS] = r->args, [IN_LIVE] = &r->live, [IN_CONSTANTS] = r->constants};
    uint8_t *at = (uint8_t *)block[run_mutation->where] + 4 * run_mutation->word;
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word = mutated(word);
    memcpy(at, &word, sizeof word);
}

static struct gpu_kernel *kernel_of(const struct run *r)
{
    for (size_t i = 0; i < made_count; i++)
        if (strcmp(made[i].name, r->kernel) == 0 && made[i].count == r->constant_count && made[i].subgroup == r->subgroup &&
            memcmp(made[i].constants, r->constants, sizeof made[i].constants) == 0)
            return made[i].kernel;
    GROW(made, made_count, made_capacity);
    struct made *m = &made[made_count++];
    *m = (struct made){.count = r->constant_count, .subgroup = r->subgroup};
    snprintf(m->name, sizeof m->name, "%s", r->kernel);
    memcpy(m->constants, r->constants, sizeof m->constants);
    m->kernel = gpu_kernel_make(gpu, r->kernel, r->constants, r->constant_count, r->subgroup);
    return m->kernel;
}

static void dispatch(const struct run *r, uint8_t *image, size_t bytes, uint32_t groups)
{
    if (bytes > memory_bytes) {
        if (memory) gpu_free(gpu, memory);
        memory = gpu_alloc(gpu, bytes, GPU_DEVICE);
        memory_bytes = bytes;
        if (!memory) printf("no memory\n"), exit(1);
    }
    struct gpu_range ranges[RUN_MAX_FIELDS] = {{memory, GUARD, sizeof r->live}};
    for (uint32_t b = 1; b < r->field_count; b++) {
        const struct field *f = &r->fields[b];
        size_t size = (size_t)f->rows * f->ld * element_bytes(f);
        ranges[b] = (struct gpu_range){memory, f->offset, (size + 3) / 4 * 4};
    }
    uint32_t x = groups > 3 ? 3 : groups; // folded, with groups beyond the work
    struct gpu_list *list = gpu_list_begin(gpu, false);
    gpu_list_dispatch(
        list, kernel_of(r), ranges, r->field_count, r->args, r->args_bytes, x ? x : 1, x ? (groups + x - 1) / x : 1, 1);
    gpu_list_end(list);
    struct gpu_range whole = {memory, 0, bytes};
    gpu_upload(gpu, whole, image);
    gpu_wait(gpu, gpu_submit(gpu, list));
    gpu_download(gpu, image, whole);
    gpu_list_free(gpu, list);
}

// Compares one field; what is as wanted becomes part of `before`, so that in the end both images must be equal.
static int compare(const struct run *r, uint32_t binding, uint8_t *before, const uint8_t *after)
{
    const struct field *f = &r->fields[binding];
    int wrong = 0;
    for (uint32_t t = 0; t < f->rows; t++)
        for (uint32_t c = 0; c < f->columns; c++) {
            size_t i = (size_t)t * f->columns + c, at = f->offset + ((size_t)t * f->ld + c) * element_bytes(f);
            if (isnan(f->bound[i])) continue;
            double got = element_get(after + at, f);
            if (!right(got, f->want[i], f->bound[i], f->stored) && wrong++ < 3 && !run_mutation)
                printf("  %s, workgroup %u, binding %u [%u, %u] of [%u, %u]: %.9g, want %.9g +- %.3g\n", r->kernel,
                    run_group, binding, t, c, f->rows, f->columns, got, f->want[i], f->bound[i]);
            memcpy(before + at, after + at, element_bytes(f));
            static const uint8_t zero[2];
            bool half = f->stored == STORED_BF16 && c + 1 == f->columns && c % 2 == 0 && f->columns < f->ld;
            if (half && memcmp(after + at + 2, zero, 2) == 0) memcpy(before + at + 2, zero, 2);
        }
    return wrong;
}

int run_execute(struct run *r, uint32_t groups)
{
    if (run_mutation) mutate(r);
    size_t bytes = 2 * GUARD + sizeof r->live; // guard, live block, guard
    for (uint32_t b = 1; b < r->field_count; b++) {
        struct field *f = &r->fields[b];
        if (f->shared) continue;
        bytes = (bytes + 255) / 256 * 256;
        f->offset = bytes;
        bytes += (size_t)f->rows * f->ld * element_bytes(f) + GUARD;
    }
    bytes = (bytes + 3) / 4 * 4;
    for (uint32_t b = 1; b < r->field_count; b++)
        for (uint32_t k = 1; r->fields[b].shared && k < b; k++)
            if (r->fields[k].value == r->fields[b].value) r->fields[b].offset = r->fields[k].offset;

    uint8_t *before = mem_alloc(bytes), *after = mem_alloc(bytes);
    for (size_t i = 0; i < bytes / 4; i++) memcpy(before + 4 * i, &(uint32_t){pattern(i)}, 4);
    memcpy(before + GUARD, &r->live, sizeof r->live);
    for (uint32_t b = 1; b < r->field_count; b++) {
        const struct field *f = &r->fields[b];
        for (uint32_t t = 0; t < f->rows && !f->shared; t++)
            for (uint32_t c = 0; c < f->columns; c++) {
                double x = f->value[(size_t)t * f->columns + c];
                if (!isnan(x)) element_put(before + f->offset + ((size_t)t * f->ld + c) * element_bytes(f), f, x);
            }
    }
    memcpy(after, before, bytes);
    dispatch(r, after, bytes, groups);
    int wrong = 0;
    for (uint32_t b = 1; b < r->field_count; b++)
        if (!r->fields[b].shared) wrong += compare(r, b, before, after);
    int touched = 0;
    for (size_t i = 0; i < bytes / 4; i++) touched += memcmp(before + 4 * i, after + 4 * i, 4) != 0;
    if (touched && !run_mutation)
        printf("  %s, workgroup %u: %d words changed that must not\n", r->kernel, run_group, touched);
    for (uint32_t b = 1; b < r->field_count; b++) {
        struct field *f = &r->fields[b];
        if (!f->shared) free(f->value), free(f->want), free(f->bound);
    }
    free(before);
    free(after);
    return wrong + touched;
}
