// The logarithm of the probability that each row of logits gives to one of its tokens: its logit less log(sum of exp(logit)), summed in FP64.
// NaN for a row without a token. Grid (numRows), block THREADS.
#include "rows.cuh"

struct RowLogProbabilityParameters
{
    const float* rows;    // [numRows, rowSize]
    const int* tokenIds;  // [numRows]; negative: none
    float* results;       // [numRows]
    int rowSize;
};

extern "C" __global__ void __launch_bounds__(THREADS) row_log_probability(const RowLogProbabilityParameters p)
{
    __shared__ float largest_of_warp[THREADS / 32];
    __shared__ double sums[THREADS / 32];
    take_turn();
    const float* row = p.rows + (long long)blockIdx.x * p.rowSize;
    float largest = -float_from_bits(0x7f800000u);
    for (int i = threadIdx.x; i < p.rowSize; i += THREADS) largest = fmaxf(largest, row[i]);
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) largest = fmaxf(largest, shuffle_xor(largest, mask));
    if (threadIdx.x % 32 == 0) largest_of_warp[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int warp = 0; warp < THREADS / 32; warp++) largest = fmaxf(largest, largest_of_warp[warp]);
    double sum = 0.0;
    for (int i = threadIdx.x; i < p.rowSize; i += THREADS) sum += expf(row[i] - largest);
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) sum += __shfl_xor_sync(0xffffffff, sum, mask);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    sum = 0.0;
    for (int warp = 0; warp < THREADS / 32; warp++) sum += sums[warp];
    int token = p.tokenIds[blockIdx.x];
    p.results[blockIdx.x] = token < 0 ? float_from_bits(0x7fc00000u) : (float)(((double)row[token] - largest) - log(sum));
}
