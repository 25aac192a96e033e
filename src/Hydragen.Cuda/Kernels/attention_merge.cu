// Merges the partial results of rows: the exact merge of arXiv 2402.05099, equations 1-5, on undivided parts, always in the order of
// the plan. Empty parts change nothing; rows without any become zeros and -infinity. Factors and sums are FP64, so that cutting
// a row into parts costs no accuracy. One warp merges one head of one row.
// Grid (numMergeRows, ceil(numHeads / WARPS)), block WARPS * 32.
#include "common.cuh"

#define WARPS 4

struct MergeParameters
{
    const int* rows;         // [numMergeRows, 3] of (row, slot of its first part, parts)
    const float* partOutput; // [numSlots, numHeads, HEAD_DIM]
    const float4* partSums;  // [numSlots, numHeads] of (maxBase2, sum, weight, unused)
    void* output;            // [numRows, numHeads, HEAD_DIM], outputType
    float* logSumExp;        // [numRows, numHeads], natural log, or null
    int numHeads;
    int outputType;
};

extern "C" __global__ void __launch_bounds__(WARPS * 32) attention_merge(const MergeParameters p)
{
    const int head = blockIdx.y * WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (head >= p.numHeads) return;
    const int row = p.rows[blockIdx.x * 3], first_slot = p.rows[blockIdx.x * 3 + 1], num_parts = p.rows[blockIdx.x * 3 + 2];
    const long long row_head = (long long)row * p.numHeads + head, first = (long long)first_slot * p.numHeads + head;
    float maximum = -float_from_bits(INFINITY_BITS);
    bool is_empty = true;
    for (int part = 0; part < num_parts; part++)
    {
        float4 sums = p.partSums[first + (long long)part * p.numHeads];
        if (sums.y == 0.0f) continue;
        is_empty = false;
        maximum = fmaxf(maximum, sums.x);
    }
    double sum = 0, weight = 0;
    for (int part = 0; part < num_parts; part++)
    {
        float4 sums = p.partSums[first + (long long)part * p.numHeads];
        if (sums.y == 0.0f) continue;
        double share = exp2_approx(sums.x - maximum);
        sum += share * sums.y;
        weight += share * sums.z;
    }
    if (lane == 0 && p.logSumExp)
        p.logSumExp[row_head] = is_empty ? -float_from_bits(INFINITY_BITS) : (maximum + log2_approx((float)sum)) * LN_2;
    const double reciprocal = is_empty ? 0 : 1 / weight;
    for (int column = lane; column < HEAD_DIM; column += 32)
    {
        double value = 0;
        for (int part = 0; part < num_parts; part++)
        {
            long long slot_head = first + (long long)part * p.numHeads;
            float4 sums = p.partSums[slot_head];
            if (sums.y == 0.0f) continue;
            value += (double)exp2_approx(sums.x - maximum) * p.partOutput[slot_head * HEAD_DIM + column];
        }
        store_element(p.output, p.outputType, row_head * HEAD_DIM + column, (float)(value * reciprocal));
    }
}
