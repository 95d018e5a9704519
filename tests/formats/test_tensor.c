// SPDX-License-Identifier: MIT
#include "formats/tensor.h"
#include "golden_blocks.h"
#include "test.h"

static const struct golden {
    enum dtype dtype;
    const uint8_t *data;
    size_t bytes;
    const uint32_t *values;
    size_t count;
} goldens[] = {
#define GOLDEN(dtype, name)                                                                                            \
    {                                                                                                                  \
        dtype, name##_bytes, sizeof name##_bytes, name##_values, sizeof name##_values / sizeof *name##_values          \
    }
    GOLDEN(DTYPE_F16, f16),
    GOLDEN(DTYPE_BF16, bf16),
    GOLDEN(DTYPE_Q8_0, q8_0),
    GOLDEN(DTYPE_Q4_0, q4_0),
    GOLDEN(DTYPE_Q4_1, q4_1),
    GOLDEN(DTYPE_Q5_0, q5_0),
    GOLDEN(DTYPE_Q5_1, q5_1),
    GOLDEN(DTYPE_Q4_K, q4_k),
    GOLDEN(DTYPE_Q5_K, q5_k),
    GOLDEN(DTYPE_Q6_K, q6_k),
};

static struct tensor_view view(enum dtype dtype, const uint8_t *data, uint64_t count)
{
    return (struct tensor_view){.name = "t",
        .dtype = dtype,
        .rank = 1,
        .shape = {count, 1, 1, 1},
        .data = data,
        .bytes = dtype_bytes(dtype, count)};
}

static void golden_values(void)
{
    for (size_t g = 0; g < sizeof goldens / sizeof *goldens; g++) {
        const struct golden *w = &goldens[g];
        struct tensor_view t = view(w->dtype, w->data, w->count);
        float got[256];
        struct error e = {0};
        CHECK(t.bytes == w->bytes);
        CHECK(tensor_read_f32(got, &t, 0, w->count, &e) == 0);
        for (size_t i = 0; i < w->count; i++)
            CHECK_SAY(f32_bits(got[i]) == w->values[i], "%s element %zu: %08x, want %08x", dtype_name(w->dtype), i,
                f32_bits(got[i]), w->values[i]);
    }
}

// The reference: bit n of a little-endian block; unsigned fields of any width; half precision from its definition.
static unsigned field(const uint8_t *block, size_t byte, unsigned bit, unsigned width)
{
    unsigned value = 0;
    for (unsigned i = 0; i < width; i++) value |= (unsigned)(block[byte + (bit + i) / 8] >> (bit + i) % 8 & 1) << i;
    return value;
}

static double half(const uint8_t *block, size_t byte)
{
    unsigned mantissa = field(block, byte, 0, 10), exponent = field(block, byte, 10, 5),
             sign = field(block, byte, 15, 1);
    double magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                       : exponent     ? ldexp(1024 + mantissa, (int)exponent - 25)
                                      : ldexp(mantissa, -24);
    return sign ? -magnitude : magnitude;
}

static int signed_byte(uint8_t b)
{
    return b < 128 ? b : b - 256;
}

// Element i of a block, exactly.
static double reference(enum dtype dtype, const uint8_t *b, unsigned i)
{
    unsigned byte16 = i % 16, nibble = 4 * (i / 16); // of the 32-element types
    unsigned group = i / 32, low, top;
    switch (dtype) {
    case DTYPE_Q8_0:
        return half(b, 0) * signed_byte(b[2 + i]);
    case DTYPE_Q4_0:
        return half(b, 0) * ((int)field(b, 2 + byte16, nibble, 4) - 8);
    case DTYPE_Q4_1:
        return half(b, 0) * field(b, 4 + byte16, nibble, 4) + half(b, 2);
    case DTYPE_Q5_0:
        return half(b, 0) * ((int)(field(b, 6 + byte16, nibble, 4) + 16 * field(b, 2, i, 1)) - 16);
    case DTYPE_Q5_1:
        return half(b, 0) * (field(b, 8 + byte16, nibble, 4) + 16 * field(b, 4, i, 1)) + half(b, 2);
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        // Scales: four 6-bit scales, four 6-bit offsets, whose bytes' top bits and four more bytes make the other four.
        if (group < 4)
            low = field(b, 4 + group, 0, 6), top = field(b, 8 + group, 0, 6);
        else
            low = field(b, 8 + group, 0, 4) + 16 * field(b, group, 6, 2),
            top = field(b, 8 + group, 4, 4) + 16 * field(b, 4 + group, 6, 2);
        if (dtype == DTYPE_Q4_K)
            return half(b, 0) * low * field(b, 16 + i / 64 * 32 + i % 32, group % 2 * 4, 4) - half(b, 2) * top;
        return half(b, 0) * low *
                   (field(b, 48 + i / 64 * 32 + i % 32, group % 2 * 4, 4) + 16 * field(b, 16 + i % 32, group, 1)) -
               half(b, 2) * top;
    case DTYPE_Q6_K:
        low = field(b, i / 128 * 64 + i % 64, i % 128 / 64 * 4, 4);
        top = field(b, 128 + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2);
        return half(b, 208) * signed_byte(b[192 + i / 16]) * ((int)(low + 16 * top) - 32);
    default:
        return NAN;
    }
}

// Every element is one rounding away from the exact value: scale times factors have at most 25 bits and are exact but
// for Q6_K's last product, sums round once.
static void random_blocks(void)
{
    static const enum dtype dtypes[] = {
        DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
    uint64_t seed = 1;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        enum { BLOCKS = 300 };
        size_t block = dtype_block(dtypes[d]), bytes = dtype_block_bytes(dtypes[d]), count = BLOCKS * block;
        uint8_t *data = malloc(BLOCKS * bytes); // exactly, for the sanitizer to see a read beyond it
        float *got = malloc(count * sizeof *got), *pieces = malloc(count * sizeof *pieces);
        for (size_t i = 0; i < BLOCKS * bytes; i++) data[i] = (uint8_t)test_random(&seed);
        struct tensor_view t = view(dtypes[d], data, count);
        struct error e = {0};
        CHECK(tensor_read_f32(got, &t, 0, count, &e) == 0);
        int wrong = 0;
        for (size_t i = 0; i < count; i++) {
            double exact = reference(dtypes[d], data + i / block * bytes, (unsigned)(i % block));
            wrong += isnan(exact) ? !isnan(got[i]) : got[i] != (float)exact;
        }
        CHECK_SAY(wrong == 0, "%s: %d of %zu elements differ", dtype_name(dtypes[d]), wrong, count);
        for (size_t first = 0, n; first < count; first += n) {
            n = block * (1 + test_random(&seed) % 7);
            if (n > count - first) n = count - first;
            CHECK(tensor_read_f32(pieces + first, &t, first, n, &e) == 0);
        }
        CHECK(memcmp(got, pieces, count * sizeof *got) == 0);
        CHECK(tensor_read_f32(pieces, &t, count, 0, &e) == 0);
        free(data), free(got), free(pieces);
    }
}

static void plain_types(void)
{
    float in[5] = {1.5f, -0.0f, INFINITY, 1e-42f, -3e38f}, got[5];
    uint8_t unaligned[21];
    memcpy(unaligned + 1, in, sizeof in);
    struct tensor_view t = view(DTYPE_F32, unaligned + 1, 5);
    struct error e = {0};
    CHECK(tensor_read_f32(got, &t, 0, 5, &e) == 0 && memcmp(got, in, sizeof in) == 0);
    CHECK(tensor_read_f32(got, &t, 3, 2, &e) == 0 && memcmp(got, in + 3, 8) == 0);
}

static void half_numbers(void)
{
    // Every f16: its value, and back to the same bits.
    for (unsigned h = 0; h < 65536; h++) {
        uint8_t bytes[2] = {(uint8_t)h, (uint8_t)(h >> 8)};
        double exact = half(bytes, 0);
        float x = f32_from_f16((uint16_t)h);
        if (isnan(exact)) {
            CHECK(isnan(x) && f16_from_f32(x) == (h | 0x200));
            continue;
        }
        CHECK((double)x == exact && !signbit(x) == !(h >> 15));
        CHECK(f16_from_f32(x) == h);
        // Half way to the next magnitude: to the even one of both; a bit beyond or before it: to the nearer one.
        if ((h & 0x7fff) >= 0x7bff) continue;
        float middle = 0.5f * (x + f32_from_f16((uint16_t)(h + 1)));
        CHECK(f16_from_f32(middle) == h + (h & 1));
        CHECK(f16_from_f32(nextafterf(middle, copysignf(INFINITY, x))) == h + 1);
        CHECK(f16_from_f32(nextafterf(middle, 0)) == h);
    }
    CHECK(f16_from_f32(65519.996f) == 0x7bff && f16_from_f32(65520) == 0x7c00 && f16_from_f32(-1e30f) == 0xfc00);
    CHECK(f16_from_f32(1e-30f) == 0 && f16_from_f32(-1e-45f) == 0x8000 && f16_from_f32(INFINITY) == 0x7c00);
    CHECK(f16_from_f32(f32_from_bits(0x7f800001)) == 0x7e00 && f16_from_f32(f32_from_bits(0xffffffff)) == 0xffff);
}

static void brain_numbers(void)
{
    for (unsigned h = 0; h < 65536; h++) {
        float x = f32_from_bf16((uint16_t)h);
        CHECK(f32_bits(x) == h << 16);
        if (isnan(x)) {
            CHECK(bf16_from_f32(x) == (h | 0x40));
            continue;
        }
        CHECK(bf16_from_f32(x) == h);
        if (isinf(x)) continue;
        // The bits below the half, at it, above it. Beyond the largest number the next one is infinity.
        CHECK(bf16_from_f32(f32_from_bits(h << 16 | 0x7fff)) == h);
        CHECK(bf16_from_f32(f32_from_bits(h << 16 | 0x8000)) == h + (h & 1));
        CHECK(bf16_from_f32(f32_from_bits(h << 16 | 0x8001)) == h + 1);
    }
    CHECK(bf16_from_f32(f32_from_bits(0x7f800001)) == 0x7fc0 && bf16_from_f32(f32_from_bits(0xff80ffff)) == 0xffc0);
}

static void refusals(void)
{
    struct error e = {0};
    float out[1];
    for (int d = DTYPE_READABLE; d < DTYPE_COUNT; d++) {
        struct tensor_view t = {.name = "blk.0.x", .dtype = (enum dtype)d, .rank = 1, .shape = {0}};
        CHECK(!dtype_readable(t.dtype) && tensor_read_f32(out, &t, 0, 0, &e) == -1);
        CHECK_ERROR(e, "blk.0.x");
        CHECK_ERROR(e, dtype_name(t.dtype));
    }
    for (int d = 0; d < DTYPE_READABLE; d++) CHECK(dtype_readable((enum dtype)d));

    struct tensor_view t = {.name = "t", .dtype = DTYPE_Q4_K, .rank = 2, .shape = {3, 128}};
    CHECK(tensor_measure(&t, &e) == -1);
    CHECK_ERROR(e, "tensor 't' [3, 128]: rows of 128 elements are not whole blocks of Q4_K (256)");
    t.shape[1] = 512;
    CHECK(tensor_measure(&t, &e) == 0 && t.bytes == 6 * 144 && t.shape[2] == 1 && tensor_count(&t) == 1536);
    t = (struct tensor_view){.name = "t", .dtype = DTYPE_F32, .rank = 2, .shape = {UINT64_C(1) << 40, 1 << 24}};
    CHECK(tensor_measure(&t, &e) == -1);
    CHECK_ERROR(e, "impossibly large");
    t.shape[1] = 1 << 22; // 2^62 elements, 2^64 bytes
    CHECK(tensor_measure(&t, &e) == -1);
    t.shape[1] = 1 << 21;
    CHECK(tensor_measure(&t, &e) == 0 && t.bytes == UINT64_C(1) << 63);
    t = (struct tensor_view){.name = "t", .dtype = DTYPE_F32, .rank = 3, .shape = {0, UINT64_MAX, UINT64_MAX}};
    CHECK(tensor_measure(&t, &e) == -1);
    t = (struct tensor_view){.name = "t", .dtype = DTYPE_F64, .rank = 0};
    CHECK(tensor_measure(&t, &e) == 0 && t.bytes == 8 && tensor_count(&t) == 1);
    char text[100], tiny[6];
    CHECK_STRING(tensor_shape_text(text, sizeof text, &t), "[]");
    t = (struct tensor_view){.rank = 4, .shape = {1, 22, 333, 4444}};
    CHECK_STRING(tensor_shape_text(text, sizeof text, &t), "[1, 22, 333, 4444]");
    CHECK_STRING(tensor_shape_text(tiny, sizeof tiny, &t), "[1, 2");
}

int main(void)
{
    golden_values();
    random_blocks();
    plain_types();
    half_numbers();
    brain_numbers();
    refusals();
    return test_end();
}
