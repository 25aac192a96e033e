// The index of the largest number of each row, the lowest on ties; -1 for a row with a NaN or without a number above minus infinity.
// Grid (numRows), block THREADS.
#include "rows.cuh"

struct RowMaximumParameters
{
    const float* rows;  // [numRows, rowSize]
    int* indexes;       // [numRows]
    int rowSize;
};

// A number and its index; infinite indexes lose.
struct Candidate
{
    float value;
    int index;
};

#define NO_INDEX 0x7fffffff

DEVICE void take_better(Candidate& best, Candidate other)
{
    if (other.value > best.value || (other.value == best.value && other.index < best.index)) best = other;
}

DEVICE Candidate best_of_warp(Candidate best)
{
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1)
    {
        Candidate other;
        other.value = shuffle_xor(best.value, mask);
        other.index = (int)__float_as_uint(shuffle_xor(float_from_bits((u32)best.index), mask));
        take_better(best, other);
    }
    return best;
}

extern "C" __global__ void __launch_bounds__(THREADS) row_maximum(const RowMaximumParameters p)
{
    __shared__ Candidate warps[THREADS / 32];
    take_turn();
    const float* row = p.rows + (long long)blockIdx.x * p.rowSize;
    Candidate best = {-float_from_bits(0x7f800000u), NO_INDEX};
    int has_nan = 0;
#pragma unroll 8
    for (int i = threadIdx.x; i < p.rowSize; i += THREADS)
    {
        float value = row[i];
        has_nan |= value != value;
        // Later numbers of a thread have higher indexes. Minus infinity never wins.
        if (value > best.value) best.value = value, best.index = i;
    }
    has_nan = __syncthreads_or(has_nan);
    best = best_of_warp(best);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    Candidate none = {-float_from_bits(0x7f800000u), NO_INDEX};
    best = best_of_warp(threadIdx.x < THREADS / 32 ? warps[threadIdx.x] : none);
    if (threadIdx.x == 0) p.indexes[blockIdx.x] = has_nan || best.index == NO_INDEX ? -1 : best.index;
}
