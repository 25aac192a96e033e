// Merges the partial results of rows: the exact merge of arXiv 2402.05099, equations 1-5, on undivided parts, always in the order of
// the plan. Empty parts change nothing; rows without any become zeros and -infinity. Factors and sums are FP64, so that cutting
// a row into parts costs no accuracy. HEAD_WARPS warps merge a head of a row: where parts are many, each takes every fourth.
// Grid (at least numMergeRows, ceil(numHeads / (WARPS / HEAD_WARPS))), block WARPS * 32.
// Defines: HEAD_WARPS (1 or WARPS).
#include "common.cuh"

#define WARPS 4
// Groups of 4 columns that a lane has.
#define GROUPS ((HEAD_DIM + 127) / 128)
// Parts that are read at a time: a part takes no time but that of the memory's answer.
#define BATCH 8

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

extern "C" __global__ void __launch_bounds__(WARPS * 32, HEAD_DIM > 128 ? 3 : 6) attention_merge(const MergeParameters p)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, member = warp % HEAD_WARPS;
    const int head = blockIdx.y * (WARPS / HEAD_WARPS) + warp / HEAD_WARPS;
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
    for (int first_part = member; first_part < num_parts; first_part += BATCH * HEAD_WARPS)
    {
        float2 sums[BATCH];
        float4 part_values[BATCH][GROUPS];
#pragma unroll
        for (int j = 0; j < BATCH; j++)
        {
            sums[j] = make_float2(0.0f, 0.0f);
            const int part = first_part + j * HEAD_WARPS;
            if (part >= num_parts) continue;
            const long long slot_head = first + (long long)part * p.numHeads;
            sums[j] = p.partSums[slot_head];
#pragma unroll
            for (int i = 0; i < GROUPS; i++)
            {
                const int column = i * 128 + lane * 4;
                if (column < HEAD_DIM) part_values[j][i] = *(const float4*)(p.partOutput + slot_head * HEAD_DIM + column);
            }
        }
#pragma unroll
        for (int j = 0; j < BATCH; j++)
        {
            // Not a product with zero: a part without visible keys may hold NaN.
            if (sums[j].y == 0.0f) continue;
            const double share = exp2_approx(sums[j].x - maximum);
            sum += share * sums[j].y;
#pragma unroll
            for (int i = 0; i < GROUPS; i++)
            {
                values[i][0] += share * part_values[j][i].x;
                values[i][1] += share * part_values[j][i].y;
                values[i][2] += share * part_values[j][i].z;
                values[i][3] += share * part_values[j][i].w;
            }
        }
    }
#if HEAD_WARPS > 1
    // The first warp adds what the others found, in their order.
    __shared__ double shared_sums[WARPS];
    __shared__ double shared_values[WARPS][GROUPS][4][32];
    if (lane == 0) shared_sums[warp] = sum;
#pragma unroll
    for (int i = 0; i < GROUPS; i++)
    {
#pragma unroll
        for (int j = 0; j < 4; j++) shared_values[warp][i][j][lane] = values[i][j];
    }
    __syncthreads();
    if (warp > 0) return;
#pragma unroll
    for (int other = 1; other < WARPS; other++)
    {
        sum += shared_sums[other];
#pragma unroll
        for (int i = 0; i < GROUPS; i++)
        {
#pragma unroll
            for (int j = 0; j < 4; j++) values[i][j] += shared_values[other][i][j][lane];
        }
    }
#endif
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
