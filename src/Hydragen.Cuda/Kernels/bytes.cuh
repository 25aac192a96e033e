// Bytes of a KV cache, widened to FP16. STORAGE: INT8, FLOAT8_E4M3 or FLOAT8_E5M2.
#pragma once
#include "common.cuh"

#define LARGEST_FLOAT 3.40282347e38f

// result[i] = source byte (selector >> 4 * i & 15): 0 to 3 of low, 4 to 7 of high.
DEVICE u32 select_bytes(u32 low, u32 high, u32 selector) { return __byte_perm(low, high, selector); }

DEVICE u32 subtract_halves(u32 a, u32 b)
{
    u32 result;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

DEVICE u32 multiply_halves(u32 a, u32 b)
{
    u32 result;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

// The number of a byte as FP16 times 2^-8 with the exponent of E4M3: fields in their place.
DEVICE u32 place_float8(u32 pair) { return (pair & 0x00800080u) << 8 | (pair & 0x007f007fu) << 7; }

// Widens four bytes to two pairs of FP16; exact. Levels of INT8 are without their scale.
DEVICE void widen_bytes(u32 bytes, u32& low, u32& high)
{
#if STORAGE == INT8
    // A byte below the byte 0x64 is 1024 + byte; levels lie 128 higher there.
    const u32 shifted = bytes ^ 0x80808080u, origin = 0x64806480u;
    low = subtract_halves(select_bytes(shifted, 0x64646464u, 0x4140), origin);
    high = subtract_halves(select_bytes(shifted, 0x64646464u, 0x4342), origin);
#elif STORAGE == FLOAT8_E5M2
    low = select_bytes(bytes, 0, 0x1404);
    high = select_bytes(bytes, 0, 0x3424);
#elif __CUDA_ARCH__ >= 890
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.rn.f16x2.e4m3x2 %0, l; cvt.rn.f16x2.e4m3x2 %1, h; }" : "=r"(low), "=r"(high) : "r"(bytes));
#else
    const u32 factor = 0x5c005c00u;  // 2^8, which also normalises subnormal numbers
    low = multiply_halves(place_float8(select_bytes(bytes, 0, 0x4140)), factor);
    high = multiply_halves(place_float8(select_bytes(bytes, 0, 0x4342)), factor);
    // NaN is what would be 480.
    const u32 magnitudes = ~bytes & 0x7f7f7f7fu;
    if (((magnitudes - 0x01010101u) & ~magnitudes & 0x80808080u) != 0)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            if ((bytes >> 8 * i & 0x7f) == 0x7f) (i < 2 ? low : high) |= 0x7fffu << i % 2 * 16;
        }
    }
#endif
}

// A scale for both halves.
DEVICE u32 both_halves(u16 scale) { return (u32)scale * 0x10001u; }

// 16 bytes of a slot, widened to two pieces of 8 FP16. scale: of the slot in both halves (INT8).
DEVICE void widen_chunk(uint4 bytes, u32 scale, uint4 (&pieces)[2])
{
    const u32 words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
    u32 pairs[8];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        widen_bytes(words[i], pairs[2 * i], pairs[2 * i + 1]);
#if STORAGE == INT8
        pairs[2 * i] = multiply_halves(pairs[2 * i], scale);
        pairs[2 * i + 1] = multiply_halves(pairs[2 * i + 1], scale);
#endif
    }
    pieces[0] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    pieces[1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
}

// A byte as FP32, without the scale of INT8.
DEVICE float widen_byte(u8 byte)
{
    u32 low, high;
    widen_bytes(byte, low, high);
    return widen_float16((u16)low);
}

// The scale of a slot's key (image 0) or value (image 1); 1 for types without. head: start of the head in the page.
DEVICE float scale_of(const u8* head, int image, int slot)
{
    return STORAGE == INT8 ? widen_float16(((const u16*)(head + SCALES_OFFSET))[image * PAGE_SIZE + slot]) : 1.0f;
}

// What all keys (image 0) or values (image 1) of a key/value head are multiplied with.
DEVICE float head_scale(const AttentionParameters& p, int kv_head, int image)
{
    return !HAS_SCALES ? 1.0f : image == 0 ? p.scales[kv_head].x : p.scales[kv_head].y;
}

// What products with keys as they are stored are multiplied with to be scores, given what queries were divided by. Finite, so that a product of
// zero stays zero.
DEVICE float score_scale(const AttentionParameters& p, int kv_head, float up)
{
    return HAS_SCALES ? fminf(up * head_scale(p, kv_head, 0), LARGEST_FLOAT) : up;
}

// 2^-n and 2^n for queries whose largest magnitude is in [2^n, 2^(n + 1)): multiplied with the former they lie well within the range of FP16.
DEVICE void query_scales(float largest, float& down, float& up)
{
    const u32 exponent = min(max(__float_as_uint(largest) >> 23, 1u), 253u);
    up = float_from_bits(exponent << 23);
    down = float_from_bits((254u - exponent) << 23);
}

// --- Rounding, bit for bit as the host does it ----------------------------------------------------------------------------------

// Divides a key (image 0) or value (image 1) of FP8 by the scale of its head, exactly. scales: [numKvHeads] of keys and of values; null: all are 1.
DEVICE void divide_by_scale(const float2* scales, int kv_head, int image, float (&values)[8])
{
    if (STORAGE == INT8 || !scales) return;
    const float2 scale = scales[kv_head];
    const float inverse = float_from_bits(0x7f000000u - __float_as_uint(image == 0 ? scale.x : scale.y));
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] *= inverse;
}

// FP8 by round to nearest, ties to even; saturates, and keeps NaN.
DEVICE u32 encode_float8(float value)
{
    const int fraction_bits = STORAGE == FLOAT8_E4M3 ? 3 : 2, bias = STORAGE == FLOAT8_E4M3 ? 7 : 15, shift = 23 - fraction_bits;
    const u32 largest = STORAGE == FLOAT8_E4M3 ? 0x7e : 0x7b;
    const u32 bits = __float_as_uint(value), magnitude = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
    if (magnitude > INFINITY_BITS) return sign | 0x7f;
    u32 rounded;
    if (magnitude >= (u32)(127 - bias + 1) << 23)
        rounded = ((magnitude + (1u << (shift - 1)) - 1 + (magnitude >> shift & 1)) >> shift) - ((u32)(127 - bias) << fraction_bits);
    else
    {
        // Added to a number whose last place is that of subnormal numbers, the sum is rounded.
        const float origin = float_from_bits((u32)(127 + 23 + 1 - bias - fraction_bits) << 23);
        rounded = __float_as_uint(__fadd_rn(float_from_bits(magnitude), origin)) - __float_as_uint(origin);
    }
    return sign | min(rounded, largest);
}

// The largest number that INT8 stores: 127 times a half, so that all levels times scales fit into FP16.
#define LARGEST_INT8 (127 * 515.5f)

// The scale of a vector of INT8 whose largest magnitude has these bits.
DEVICE u16 scale_for(u32 largest)
{
    if (largest > INFINITY_BITS) return 0x7e00;
    const float wanted = fminf(float_from_bits(largest), LARGEST_INT8) / 127.0f;
    const u16 scale = (u16)pack_float16(wanted, 0.0f);
    return widen_float16(scale) < wanted ? scale + 1 : scale;
}

// Rounds a token's key (image 0) or value (image 1) and stores it. GROUP neighbouring lanes hold it, 8 elements each; all lanes of the group call
// it, those of numbers that do not exist with zeros. head: start of the head in the page.
template <int GROUP>
DEVICE void store_bytes(u8* head, int image, int slot, int lane, bool is_valid, const float (&values)[8])
{
    u32 words[2] = {0, 0};
#if STORAGE == INT8
    u32 largest = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) largest = max(largest, __float_as_uint(values[i]) & 0x7fffffff);
#pragma unroll
    for (int mask = 1; mask < GROUP; mask *= 2) largest = max(largest, __float_as_uint(shuffle_xor(float_from_bits(largest), mask)));
    const u16 scale = scale_for(largest);
    // NaN compares as not greater.
    const float inverse = widen_float16(scale) > 0.0f ? 1.0f / widen_float16(scale) : 0.0f;
    if (is_valid && lane == 0) ((u16*)(head + SCALES_OFFSET))[image * PAGE_SIZE + slot] = scale;
#endif
    if (!is_valid) return;
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
#if STORAGE == INT8
        const u32 byte = inverse == 0.0f ? 0 : __float2int_rn(fminf(fmaxf(values[i], -LARGEST_INT8), LARGEST_INT8) * inverse) & 0xff;
#else
        const u32 byte = encode_float8(values[i]);
#endif
        words[i / 4] |= byte << i % 4 * 8;
    }
    *(uint2*)(head + image * IMAGE_BYTES + image_offset(slot, lane / 2) + lane % 2 * 8) = make_uint2(words[0], words[1]);
}
