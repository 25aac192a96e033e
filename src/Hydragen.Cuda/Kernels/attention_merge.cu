// Merges the partial results of rows: the exact merge of arXiv 2402.05099, equations 1-5, on undivided parts, always in the order of
// the plan. Empty parts change nothing; rows without any become zeros and -infinity. Factors and sums are FP64, so that cutting
// a row into parts costs no accuracy. One warp merges one head of one row.
// Grid (at least numMergeRows, ceil(numHeads / WARPS)), block WARPS * 32.
#include "common.cuh"

#define WARPS 4
// Groups of 4 columns that a lane has.
#define GROUPS ((HEAD_DIM + 127) / 128)

struct MergeParameters
{
    const int* numRows;      // how many there are
    const int* rows;         // [numMergeRows, 3] of (row, slot of its first part, parts)
    const float* partOutput; // [numSlots, numHeads, HEAD_DIM]
    const float2* partSums;  // [numSlots, numHeads] of (referenceBase2, sum)
    void* output;            // [numRows, numHeads, HEAD_DIM], outputType
    float* logSumExp;        // [numRows, numHeads], natural log, or null
    int numHeads;
    int outputType;
};

extern "C" __global__ void __launch_bounds__(WARPS * 32) attention_merge(const MergeParameters p)
{
    const int head = blockIdx.y * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    const bool is_valid = blockIdx.x < *p.numRows && head < p.numHeads;
    const int row = p.rows[blockIdx.x * 3], first_slot = p.rows[blockIdx.x * 3 + 1], num_parts = p.rows[blockIdx.x * 3 + 2];
    wait_for_dependency();
    if (!is_valid) return;
    const long long row_head = (long long)row * p.numHeads + head, first = (long long)first_slot * p.numHeads + head;
    float maximum = -float_from_bits(INFINITY_BITS);
    for (int part = lane; part < num_parts; part += 32)
    {
        float2 sums = p.partSums[first + (long long)part * p.numHeads];
        if (sums.y != 0.0f) maximum = fmaxf(maximum, sums.x);
    }
#pragma unroll
    for (int mask = 1; mask <= 16; mask *= 2) maximum = fmaxf(maximum, shuffle_xor(maximum, mask));
    double sum = 0, values[GROUPS][4] = {};
#pragma unroll 2
    for (int part = 0; part < num_parts; part++)
    {
        const long long slot_head = first + (long long)part * p.numHeads;
        const float2 sums = p.partSums[slot_head];
        const double share = sums.y == 0.0f ? 0.0 : (double)exp2_approx(sums.x - maximum);
        sum += share * sums.y;
#pragma unroll
        for (int i = 0; i < GROUPS; i++)
        {
            int column = i * 128 + lane * 4;
            if (column >= HEAD_DIM) continue;
            float4 part_values = *(const float4*)(p.partOutput + slot_head * HEAD_DIM + column);
            // Not a product with zero: a part without visible keys may hold NaN.
            if (share == 0.0) continue;
            values[i][0] += share * part_values.x;
            values[i][1] += share * part_values.y;
            values[i][2] += share * part_values.z;
            values[i][3] += share * part_values.w;
        }
    }
    const bool is_empty = sum == 0.0;
    if (lane == 0 && p.logSumExp)
        p.logSumExp[row_head] = is_empty ? -float_from_bits(INFINITY_BITS) : (maximum + log2_approx((float)sum)) * LN_2;
    const double reciprocal = is_empty ? 0 : 1 / sum;
#pragma unroll
    for (int i = 0; i < GROUPS; i++)
    {
        int column = i * 128 + lane * 4;
        if (column >= HEAD_DIM) continue;
        float results[4];
#pragma unroll
        for (int j = 0; j < 4; j++) results[j] = (float)(values[i][j] * reciprocal);
        long long index = row_head * HEAD_DIM + column;
        if (p.outputType == FLOAT32) *(float4*)((float*)p.output + index) = make_float4(results[0], results[1], results[2], results[3]);
        else
            *(uint2*)((u16*)p.output + index) = make_uint2(pack(results[0], results[1], p.outputType), pack(results[2], results[3], p.outputType));
    }
}
