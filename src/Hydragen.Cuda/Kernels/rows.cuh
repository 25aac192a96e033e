// What the kernels over rows of activations share: loads and stores of elements of any type, and sums over a block.
// Defines: THREADS, the threads of a block.
#pragma once

// Element types, numbered as on the host.
#ifndef FLOAT32
#define FLOAT32 0
#define BFLOAT16 1
#define FLOAT16 2
#endif

#include "ptx.cuh"

#define ELEMENT_BYTES(TYPE) ((TYPE) == FLOAT32 ? 4 : 2)

template <int TYPE>
DEVICE float from_bits16(u32 bits)
{
    return TYPE == BFLOAT16 ? float_from_bits(bits << 16) : widen_float16((u16)bits);
}

template <int TYPE>
DEVICE u32 to_bits16(float low, float high)
{
    return TYPE == BFLOAT16 ? pack_bfloat16(low, high) : pack_float16(low, high);
}

// COUNT elements from element index on, 1 or 8; 8 lie at a multiple of 16 bytes.
template <int TYPE, int COUNT>
DEVICE void load_elements(float (&values)[COUNT], const void* source, long long index)
{
    if constexpr (COUNT == 1)
    {
        if constexpr (TYPE == FLOAT32) values[0] = ((const float*)source)[index];
        else values[0] = from_bits16<TYPE>(((const u16*)source)[index]);
    }
    else if constexpr (TYPE == FLOAT32)
    {
        const float4* chunk = (const float4*)((const float*)source + index);
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            float4 four = chunk[i];
            values[4 * i] = four.x, values[4 * i + 1] = four.y, values[4 * i + 2] = four.z, values[4 * i + 3] = four.w;
        }
    }
    else
    {
        uint4 chunk = *(const uint4*)((const u16*)source + index);
        u32 words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int i = 0; i < 4; i++) values[2 * i] = from_bits16<TYPE>(words[i] & 0xffff), values[2 * i + 1] = from_bits16<TYPE>(words[i] >> 16);
    }
}

// The counterpart, rounding to nearest even.
template <int TYPE, int COUNT>
DEVICE void store_elements(void* destination, long long index, const float (&values)[COUNT])
{
    if constexpr (COUNT == 1)
    {
        if constexpr (TYPE == FLOAT32) ((float*)destination)[index] = values[0];
        else ((u16*)destination)[index] = (u16)to_bits16<TYPE>(values[0], 0.0f);
    }
    else if constexpr (TYPE == FLOAT32)
    {
        float4* chunk = (float4*)((float*)destination + index);
#pragma unroll
        for (int i = 0; i < 2; i++) chunk[i] = make_float4(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
    }
    else
    {
        u32 words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) words[i] = to_bits16<TYPE>(values[2 * i], values[2 * i + 1]);
        *(uint4*)((u16*)destination + index) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

struct Sum
{
    static DEVICE float join(float a, float b) { return a + b; }
};

// Of numbers that are not negative; NaN loses against them.
struct Max
{
    static DEVICE float join(float a, float b) { return fmaxf(a, b); }
};

// Joins a value of every thread of the block, in a fixed order; every thread gets the result. JOIN(0, x) is x.
template <typename JOIN>
DEVICE float block_reduce(float value)
{
    __shared__ float warps[32];
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) value = JOIN::join(value, shuffle_xor(value, mask));
    if (THREADS == 32) return value;
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x % 32 < THREADS / 32 ? warps[threadIdx.x % 32] : 0.0f;
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) value = JOIN::join(value, shuffle_xor(value, mask));
    return value;
}

// Stores what a block holds of a row over the root of its mean square, times the weights; squares: the sum of a thread's. Items of WIDTH
// elements, those of a thread THREADS apart. Every thread must come here.
template <int TYPE, int COUNT, int WIDTH>
DEVICE void store_normalised(
    void* output, long long first, const float (&values)[COUNT][WIDTH], float squares, const float* weights, int size, float epsilon)
{
    float factor = 1.0f / sqrtf(block_reduce<Sum>(squares) / size + epsilon);
#pragma unroll
    for (int item = 0; item < COUNT; item++)
    {
        int column = (item * THREADS + threadIdx.x) * WIDTH;
        if (column >= size) break;
        float weight[WIDTH];
        load_elements<FLOAT32, WIDTH>(weight, weights, column);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) weight[i] *= values[item][i] * factor;
        store_elements<TYPE, WIDTH>(output, first + column, weight);
    }
}
