// SPDX-License-Identifier: MIT
//
// tensor.h: element types as files store them, and reading any of them as float. A tensor_view points into a mapped
// file (safetensors.h, gguf.h) and owns nothing; it is valid until that file is closed.
#ifndef PUMICE_TENSOR_H
#define PUMICE_TENSOR_H

#include "base.h"

#include <string.h>

// The types of safetensors and GGUF. Those before DTYPE_READABLE can be read as float; the others are recognised by
// name and size only.
enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q8_0,
    DTYPE_Q4_0,
    DTYPE_Q4_1,
    DTYPE_Q5_0,
    DTYPE_Q5_1,
    DTYPE_Q4_K,
    DTYPE_Q5_K,
    DTYPE_Q6_K,
    DTYPE_READABLE,
    DTYPE_F64 = DTYPE_READABLE,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U64,
    DTYPE_U32,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_F8_E4M3,
    DTYPE_F8_E5M2,
    DTYPE_Q2_K,
    DTYPE_Q3_K,
    DTYPE_IQ1_S,
    DTYPE_IQ1_M,
    DTYPE_IQ2_XXS,
    DTYPE_IQ2_XS,
    DTYPE_IQ2_S,
    DTYPE_IQ3_XXS,
    DTYPE_IQ3_S,
    DTYPE_IQ4_NL,
    DTYPE_IQ4_XS,
    DTYPE_TQ1_0,
    DTYPE_TQ2_0,
    DTYPE_MXFP4,
    DTYPE_NVFP4,
    DTYPE_Q1_0,
    DTYPE_COUNT
};

const char *dtype_name(enum dtype dtype);     // "F32", "Q4_1": as the formats spell it
uint64_t dtype_block(enum dtype dtype);       // elements in a block: 1 to 256
uint64_t dtype_block_bytes(enum dtype dtype); // bytes of a block
bool dtype_readable(enum dtype dtype);        // tensor_read_f32 can read it
// Bytes of `count` elements. `count` must be a multiple of the block; the product must fit (both asserted).
uint64_t dtype_bytes(enum dtype dtype, uint64_t count);

#define TENSOR_RANK 4

struct tensor_view {
    const char *name;
    enum dtype dtype;
    int rank;                    // 0 (one element) to TENSOR_RANK
    uint64_t shape[TENSOR_RANK]; // (rank) outermost first, as in Hugging Face, for GGUF too; the rest is 1
    const uint8_t *data;         // (bytes) of any alignment
    uint64_t bytes;
};

uint64_t tensor_count(const struct tensor_view *t); // elements
// For readers of files: fills t->bytes from dtype and shape and sets the shape beyond the rank to 1. -1 with a sentence
// when the number of bytes overflows or rows (the innermost dimension) are not whole blocks.
int tensor_measure(struct tensor_view *t, struct error *e);
// "[49152, 576]" into out; cut when it does not fit. Returns out.
const char *tensor_shape_text(char *out, size_t bytes, const struct tensor_view *t);

// Reads elements first to first + count of the flattened tensor as float into out (count). Both numbers are multiples
// of the type's block, and first + count is at most tensor_count(t) (asserted). Reading piece by piece gives the same
// bits as reading at once. Returns 0, or -1 with a sentence that names tensor and type when the type is not readable.
//
// Block formats are those of ggml (ggml-org/ggml, ggml-common.h): value = scale * q (+ or -) offset, evaluated in f32
// in the order of ggml's own reference, so that the floats are the same bits.
int tensor_read_f32(float *out, const struct tensor_view *t, uint64_t first, uint64_t count, struct error *e);

static inline uint32_t f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float f32_from_bf16(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

// To nearest, ties to even; beyond the largest bf16 infinity; a NaN stays a NaN (quiet, sign kept).
static inline uint16_t bf16_from_f32(float x)
{
    uint32_t u = f32_bits(x);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? (u >> 16) | 0x40 : rounded);
}

static inline float f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = (uint32_t)(h & 0x7fff);
    // The bits moved into place are the value times 2^-112, subnormals included; infinity and NaN need their exponent.
    uint32_t u = f32_bits(f32_from_bits(magnitude << 13) * 0x1p112f);
    return f32_from_bits((magnitude >= 0x7c00 ? 0x7f800000 | magnitude << 13 : u) | sign);
}

// To nearest, ties to even, subnormals included; from 65520 on infinity; a NaN stays a NaN (quiet, sign kept).
static inline uint16_t f16_from_f32(float x)
{
    uint32_t u = f32_bits(x), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    // Below 2^-14: adding 0.5 moves the f16's last bit to the f32's last bit, and the addition rounds.
    if (magnitude < 0x38800000) return (uint16_t)(sign | (f32_bits(f32_from_bits(magnitude) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

#endif
