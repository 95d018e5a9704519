// SPDX-License-Identifier: MIT
#include "formats/tensor.h"

#include <assert.h>
#include <inttypes.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "files are read as they lie in memory: little-endian machines only"
#endif

// Readers: `count` elements, whole blocks, from data. Each block's layout stands above its reader; f16 numbers lie at
// any alignment.

static float f16_at(const uint8_t *p)
{
    return f32_from_f16((uint16_t)(p[0] | p[1] << 8));
}

static void read_f32(float *out, const uint8_t *data, uint64_t count)
{
    memcpy(out, data, count * sizeof *out);
}

static void read_f16(float *out, const uint8_t *data, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) out[i] = f16_at(data + 2 * i);
}

static void read_bf16(float *out, const uint8_t *data, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) out[i] = f32_from_bf16((uint16_t)(data[2 * i] | data[2 * i + 1] << 8));
}

// f16 scale, int8 q[32]: scale q
static void read_q8_0(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 32, out += 32, data += 34) {
        float scale = f16_at(data);
        const int8_t *q = (const int8_t *)data + 2;
        for (int i = 0; i < 32; i++) out[i] = (float)q[i] * scale;
    }
}

// f16 scale, 16 bytes: low halves are elements 0 to 15, high halves 16 to 31: scale (q - 8)
static void read_q4_0(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 32, out += 32, data += 18) {
        float scale = f16_at(data);
        const uint8_t *q = data + 2;
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((q[i] & 15) - 8) * scale;
            out[i + 16] = (float)((q[i] >> 4) - 8) * scale;
        }
    }
}

// f16 scale, f16 least, 16 bytes as in Q4_0: scale q + least
static void read_q4_1(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 32, out += 32, data += 20) {
        float scale = f16_at(data), least = f16_at(data + 2);
        const uint8_t *q = data + 4;
        for (int i = 0; i < 16; i++) {
            out[i] = (float)(q[i] & 15) * scale + least;
            out[i + 16] = (float)(q[i] >> 4) * scale + least;
        }
    }
}

// The fifth bits of 32 elements, element i at bit i of a little-endian word, spread to 0 or 16 each.
static void fifth_bits(int8_t *high, const uint8_t *bits)
{
    for (int i = 0; i < 32; i++) high[i] = (int8_t)((bits[i / 8] >> i % 8 & 1) << 4);
}

// f16 scale, 4 bytes of fifth bits, 16 bytes as in Q4_0: scale (q - 16)
static void read_q5_0(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 32, out += 32, data += 22) {
        float scale = f16_at(data);
        const uint8_t *q = data + 6;
        int8_t high[32];
        fifth_bits(high, data + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((q[i] & 15) + high[i] - 16) * scale;
            out[i + 16] = (float)((q[i] >> 4) + high[i + 16] - 16) * scale;
        }
    }
}

// f16 scale, f16 least, 4 bytes of fifth bits, 16 bytes as in Q4_0: scale q + least
static void read_q5_1(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 32, out += 32, data += 24) {
        float scale = f16_at(data), least = f16_at(data + 2);
        const uint8_t *q = data + 8;
        int8_t high[32];
        fifth_bits(high, data + 4);
        for (int i = 0; i < 16; i++) {
            out[i] = (float)((q[i] & 15) + high[i]) * scale + least;
            out[i + 16] = (float)((q[i] >> 4) + high[i + 16]) * scale + least;
        }
    }
}

// The 6-bit scale and least of group g of 8 in 12 bytes: groups 0 to 3 are the low six bits of bytes g and g + 4;
// groups 4 to 7 have their low four bits in byte g + 4 and their high two on top of bytes g - 4 and g.
static void group_scale(float *scale, float *least, const uint8_t *packed, int g)
{
    const uint8_t *p = packed + g;
    int s = g < 4 ? p[0] & 63 : (p[4] & 15) | p[-4] >> 6 << 4;
    int m = g < 4 ? p[4] & 63 : p[4] >> 4 | p[0] >> 6 << 4;
    *scale = (float)s, *least = (float)m;
}

// f16 scale, f16 least, 12 bytes of group scales, 128 bytes: bytes 32 k to 32 k + 31 hold groups 2 k (low halves)
// and 2 k + 1 (high halves) of 32 elements: scale group_scale q - least group_least
static void read_q4_k(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 256, out += 256, data += 144) {
        float scale = f16_at(data), least = f16_at(data + 2);
        for (int g = 0; g < 8; g++) {
            const uint8_t *q = data + 16 + g / 2 * 32;
            float s, m, *y = out + 32 * g;
            group_scale(&s, &m, data + 4, g);
            s *= scale, m *= least;
            int shift = g % 2 * 4;
            for (int i = 0; i < 32; i++) y[i] = s * (float)(q[i] >> shift & 15) - m;
        }
    }
}

// As Q4_K with 32 bytes before the 128: bit g of byte i is the fifth bit of element i of group g.
static void read_q5_k(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 256, out += 256, data += 176) {
        float scale = f16_at(data), least = f16_at(data + 2);
        const uint8_t *high = data + 16;
        for (int g = 0; g < 8; g++) {
            const uint8_t *q = data + 48 + g / 2 * 32;
            float s, m, *y = out + 32 * g;
            group_scale(&s, &m, data + 4, g);
            s *= scale, m *= least;
            int shift = g % 2 * 4;
            for (int i = 0; i < 32; i++) y[i] = s * (float)((q[i] >> shift & 15) + (high[i] >> g & 1) * 16) - m;
        }
    }
}

// 128 bytes of low four bits, 64 bytes of high two bits, int8 scales of 16 groups of 16 elements, f16 scale:
// scale group_scale (q - 32). In each half of 128 elements, element 32 k + i has its low bits in byte 32 (k % 2) + i,
// low half of the byte for k < 2, and its high bits in byte i from bit 2 k on.
static void read_q6_k(float *out, const uint8_t *data, uint64_t count)
{
    for (; count; count -= 256, out += 256, data += 210) {
        float scale = f16_at(data + 208);
        const int8_t *scales = (const int8_t *)data + 192;
        for (int g = 0; g < 16; g++) {
            int half = g / 8, k = g % 8 / 2, i0 = g % 2 * 16;
            const uint8_t *low = data + 64 * half + k % 2 * 32 + i0, *high = data + 128 + 32 * half + i0;
            float s = scale * (float)scales[g], *y = out + 16 * g;
            int low_shift = k / 2 * 4, high_shift = 2 * k;
            for (int i = 0; i < 16; i++)
                y[i] = s * (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
        }
    }
}

static const struct {
    const char *name;
    uint16_t block, bytes;
    void (*read)(float *out, const uint8_t *data, uint64_t count);
} table[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 1, 4, read_f32},
    [DTYPE_F16] = {"F16", 1, 2, read_f16},
    [DTYPE_BF16] = {"BF16", 1, 2, read_bf16},
    [DTYPE_Q8_0] = {"Q8_0", 32, 34, read_q8_0},
    [DTYPE_Q4_0] = {"Q4_0", 32, 18, read_q4_0},
    [DTYPE_Q4_1] = {"Q4_1", 32, 20, read_q4_1},
    [DTYPE_Q5_0] = {"Q5_0", 32, 22, read_q5_0},
    [DTYPE_Q5_1] = {"Q5_1", 32, 24, read_q5_1},
    [DTYPE_Q4_K] = {"Q4_K", 256, 144, read_q4_k},
    [DTYPE_Q5_K] = {"Q5_K", 256, 176, read_q5_k},
    [DTYPE_Q6_K] = {"Q6_K", 256, 210, read_q6_k},
    [DTYPE_F64] = {"F64", 1, 8, NULL},
    [DTYPE_I64] = {"I64", 1, 8, NULL},
    [DTYPE_I32] = {"I32", 1, 4, NULL},
    [DTYPE_I16] = {"I16", 1, 2, NULL},
    [DTYPE_I8] = {"I8", 1, 1, NULL},
    [DTYPE_U64] = {"U64", 1, 8, NULL},
    [DTYPE_U32] = {"U32", 1, 4, NULL},
    [DTYPE_U16] = {"U16", 1, 2, NULL},
    [DTYPE_U8] = {"U8", 1, 1, NULL},
    [DTYPE_BOOL] = {"BOOL", 1, 1, NULL},
    [DTYPE_F8_E4M3] = {"F8_E4M3", 1, 1, NULL},
    [DTYPE_F8_E5M2] = {"F8_E5M2", 1, 1, NULL},
    [DTYPE_Q2_K] = {"Q2_K", 256, 84, NULL},
    [DTYPE_Q3_K] = {"Q3_K", 256, 110, NULL},
    [DTYPE_IQ1_S] = {"IQ1_S", 256, 50, NULL},
    [DTYPE_IQ1_M] = {"IQ1_M", 256, 56, NULL},
    [DTYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66, NULL},
    [DTYPE_IQ2_XS] = {"IQ2_XS", 256, 74, NULL},
    [DTYPE_IQ2_S] = {"IQ2_S", 256, 82, NULL},
    [DTYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98, NULL},
    [DTYPE_IQ3_S] = {"IQ3_S", 256, 110, NULL},
    [DTYPE_IQ4_NL] = {"IQ4_NL", 32, 18, NULL},
    [DTYPE_IQ4_XS] = {"IQ4_XS", 256, 136, NULL},
    [DTYPE_TQ1_0] = {"TQ1_0", 256, 54, NULL},
    [DTYPE_TQ2_0] = {"TQ2_0", 256, 66, NULL},
    [DTYPE_MXFP4] = {"MXFP4", 32, 17, NULL},
    [DTYPE_NVFP4] = {"NVFP4", 64, 36, NULL},
    [DTYPE_Q1_0] = {"Q1_0", 128, 18, NULL},
};

const char *dtype_name(enum dtype dtype)
{
    return table[dtype].name;
}

uint64_t dtype_block(enum dtype dtype)
{
    return table[dtype].block;
}

uint64_t dtype_block_bytes(enum dtype dtype)
{
    return table[dtype].bytes;
}

bool dtype_readable(enum dtype dtype)
{
    return dtype < DTYPE_READABLE;
}

uint64_t dtype_bytes(enum dtype dtype, uint64_t count)
{
    uint64_t block = table[dtype].block, bytes;
    assert(count % block == 0);
    bool overflow = __builtin_mul_overflow(count / block, table[dtype].bytes, &bytes);
    assert(!overflow);
    (void)overflow;
    return bytes;
}

uint64_t tensor_count(const struct tensor_view *t)
{
    uint64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->shape[i];
    return count;
}

int tensor_measure(struct tensor_view *t, struct error *e)
{
    uint64_t block = table[t->dtype].block, count = 1;
    char shape[128];
    for (int i = t->rank; i < TENSOR_RANK; i++) t->shape[i] = 1;
    uint64_t row = t->rank ? t->shape[t->rank - 1] : 1;
    if (row % block)
        return error_set(e, "tensor '%s' %s: rows of %" PRIu64 " elements are not whole blocks of %s (%" PRIu64 ")",
            t->name, tensor_shape_text(shape, sizeof shape, t), row, table[t->dtype].name, block);
    // Zeros come last in this product, so that a shape like [0, 2^40, 2^40] is refused too.
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(count, t->shape[i] ? t->shape[i] : 1, &count)) goto too_large;
    if (__builtin_mul_overflow(count, table[t->dtype].bytes, &count)) goto too_large;
    t->bytes = dtype_bytes(t->dtype, tensor_count(t));
    return 0;
too_large:
    return error_set(
        e, "tensor '%s' %s: the shape is impossibly large", t->name, tensor_shape_text(shape, sizeof shape, t));
}

const char *tensor_shape_text(char *out, size_t bytes, const struct tensor_view *t)
{
    size_t n = (size_t)snprintf(out, bytes, "[");
    for (int i = 0; i < t->rank && n < bytes; i++)
        n += (size_t)snprintf(out + n, bytes - n, "%s%" PRIu64, i ? ", " : "", t->shape[i]);
    if (n < bytes) snprintf(out + n, bytes - n, "]");
    return out;
}

int tensor_read_f32(float *out, const struct tensor_view *t, uint64_t first, uint64_t count, struct error *e)
{
    if (!dtype_readable(t->dtype))
        return error_set(e,
            "tensor '%s' is of type %s, which cannot be read as numbers to train (F32, F16, BF16, "
            "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K can)",
            t->name, dtype_name(t->dtype));
    uint64_t block = table[t->dtype].block, all = tensor_count(t);
    assert(first % block == 0 && count % block == 0 && first <= all && count <= all - first);
    table[t->dtype].read(out, t->data + dtype_bytes(t->dtype, first), count);
    return 0;
}
