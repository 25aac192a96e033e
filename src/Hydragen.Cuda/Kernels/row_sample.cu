// Draws an index from each row of logits: index i has the weight exp((logit[i] - largest) * inverseTemperature), or none when that is less
// than minWeight, and the first index wins whose weight and those before it add up to more than random * (sum of all weights).
// -1 for a row with a NaN or without a number above minus infinity; an infinite logit wins at once.
// Grid (numRows), block THREADS.
#include "rows.cuh"

struct RowSampleParameters
{
    const float* rows;      // [numRows, rowSize]
    const double* randoms;  // [numRows], from 0 to less than 1
    int* indexes;           // [numRows]
    int rowSize;
    float inverseTemperature;
    float minWeight;
};

#define MINUS_INFINITY (-float_from_bits(0x7f800000u))

DEVICE float weight_of(const RowSampleParameters& p, float logit, float largest)
{
    float weight = expf((logit - largest) * p.inverseTemperature);
    return weight >= p.minWeight ? weight : 0.0f;
}

// The sum of what the threads before this one have.
DEVICE double sum_before(double value, double& total)
{
    __shared__ double sums[2][THREADS];
    int from = 0;
    sums[0][threadIdx.x] = value;
    __syncthreads();
#pragma unroll
    for (int step = 1; step < THREADS; step *= 2)
    {
        double sum = sums[from][threadIdx.x];
        if (threadIdx.x >= step) sum += sums[from][threadIdx.x - step];
        from ^= 1;
        sums[from][threadIdx.x] = sum;
        __syncthreads();
    }
    total = sums[from][THREADS - 1];
    return threadIdx.x == 0 ? 0.0 : sums[from][threadIdx.x - 1];
}

extern "C" __global__ void __launch_bounds__(THREADS) row_sample(const RowSampleParameters p)
{
    __shared__ float largest_of_warp[THREADS / 32];
    __shared__ int chosen, last;
    const float* row = p.rows + (long long)blockIdx.x * p.rowSize;
    float largest = MINUS_INFINITY;
    int has_nan = 0;
    for (int i = threadIdx.x; i < p.rowSize; i += THREADS)
    {
        float value = row[i];
        has_nan |= value != value;
        largest = fmaxf(largest, value);
    }
    if (threadIdx.x == 0) chosen = last = -1;
    has_nan = __syncthreads_or(has_nan);
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) largest = fmaxf(largest, shuffle_xor(largest, mask));
    if (threadIdx.x % 32 == 0) largest_of_warp[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int warp = 0; warp < THREADS / 32; warp++) largest = fmaxf(largest, largest_of_warp[warp]);
    if (has_nan || largest == MINUS_INFINITY)
    {
        if (threadIdx.x == 0) p.indexes[blockIdx.x] = -1;
        return;
    }

    // Each thread has neighbouring indexes, so that the order of threads is that of indexes.
    int length = (p.rowSize + THREADS - 1) / THREADS, first = threadIdx.x * length, end = min(first + length, p.rowSize);
    bool is_infinite = largest == -MINUS_INFINITY;
    double sum = 0.0, total;
    int own_last = -1;
    for (int i = first; i < end; i++)
    {
        float weight = is_infinite ? (row[i] == largest ? 1.0f : 0.0f) : weight_of(p, row[i], largest);
        sum += weight;
        if (weight > 0.0f) own_last = i;
    }
    double before = sum_before(sum, total);
    double threshold = is_infinite ? 0.0 : p.randoms[blockIdx.x] * total;
    if (own_last >= 0) atomicMax(&last, own_last);
    if (own_last >= 0 && before <= threshold && threshold < before + sum)
    {
        int found = own_last;
        double reached = before;
        for (int i = first; i < end; i++)
        {
            reached += is_infinite ? (row[i] == largest ? 1.0f : 0.0f) : weight_of(p, row[i], largest);
            if (reached > threshold)
            {
                found = i;
                break;
            }
        }
        // Rounding could let two neighbours claim the threshold; the first of them has it.
        atomicMax(&chosen, 0x7fffffff - found);
    }
    __syncthreads();
    // Rounding may leave the threshold at the very end.
    if (threadIdx.x == 0) p.indexes[blockIdx.x] = chosen < 0 ? last : 0x7fffffff - chosen;
}
