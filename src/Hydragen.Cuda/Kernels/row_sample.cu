// Draws an index from each row of logits: index i has the weight exp((logit[i] - largest) * inverseTemperature). Weights are kept that are
// among the topK largest, then those of the largest that together have the share topP of what is left, the lowest indexes where weights are
// equal, then those of at least minWeight; and the first index wins whose weight and those before it add up to more than random * (sum of
// all that are left). -1 for a row with a NaN or without a number above minus infinity; an infinite logit wins at once.
// Grid (numRows), block THREADS. Sums are FP64, each in a fixed order.
#include "rows.cuh"

struct RowChoice
{
    double random;  // from 0 to less than 1
    float inverseTemperature;
    float minWeight;
    float topP;     // 1: all
    int topK;       // 0: all; 1: the first of the largest logits
};

struct RowSampleParameters
{
    const float* rows;         // [numRows, rowSize]
    const RowChoice* choices;  // [numRows]
    int* indexes;              // [numRows]
    int rowSize;
};

#define WARPS (THREADS / 32)
#define MINUS_INFINITY (-float_from_bits(0x7f800000u))
#define ALL 0x7fffffff
#define ONE_BITS 0x3f800000u

// Weights that a row is searched with at a time, by their bits, which have the order of the weights.
#define PROBES 7

// What is kept of a row: weights whose bits are above `bits`, and the first `num_equal` of those that equal it.
struct Cut
{
    u32 bits;
    int num_equal;
};

struct Row
{
    const float* logits;
    int size;
    float largest;
    float inverseTemperature;
    bool takes_largest;  // only the largest logits have weights

    DEVICE float weight(int i) const
    {
        if (takes_largest) return logits[i] == largest ? 1.0f : 0.0f;
        return expf((logits[i] - largest) * inverseTemperature);
    }
};

// Sums of what all threads have; every thread gets them.
template <typename T, int COUNT>
DEVICE void add_threads(T (&values)[COUNT])
{
    __shared__ T sums[COUNT][WARPS];
#pragma unroll
    for (int j = 0; j < COUNT; j++)
    {
#pragma unroll
        for (int mask = 16; mask > 0; mask >>= 1) values[j] += __shfl_xor_sync(0xffffffff, values[j], mask);
        if (threadIdx.x % 32 == 0) sums[j][threadIdx.x / 32] = values[j];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < COUNT; j++)
    {
        values[j] = sums[j][threadIdx.x % WARPS];
#pragma unroll
        for (int mask = WARPS / 2; mask > 0; mask >>= 1) values[j] += __shfl_xor_sync(0xffffffff, values[j], mask);
    }
    __syncthreads();
}

// How many weights there are, and what they add up to.
struct Number
{
    typedef int Value;
    static DEVICE int of(float) { return 1; }
};

struct Weight
{
    typedef double Value;
    static DEVICE double of(float weight) { return weight; }
};

// The largest bits from `low` on for which the weights of at least these bits measure `wanted` or more; above: what those beyond them measure.
// At `low` they do.
template <typename MEASURE>
DEVICE u32 search(const Row& row, u32 low, typename MEASURE::Value wanted, typename MEASURE::Value& above)
{
    typedef typename MEASURE::Value Value;
    // At least `wanted` at low, less at end.
    u32 end = ONE_BITS + 1;
    above = 0;
    while (end - low > 1)
    {
        const u32 step = max((end - low) / (PROBES + 1), 1u);
        Value values[PROBES] = {};
        for (int i = threadIdx.x; i < row.size; i += THREADS)
        {
            float weight = row.weight(i);
            u32 bits = __float_as_uint(weight);
#pragma unroll
            for (int j = 0; j < PROBES; j++) values[j] += bits >= low + (j + 1) * step ? MEASURE::of(weight) : Value(0);
        }
        add_threads(values);
        u32 next = low;
#pragma unroll
        for (int j = 0; j < PROBES; j++)
        {
            u32 probe = low + (j + 1) * step;
            if (probe >= end) continue;
            if (values[j] >= wanted) next = probe;
            else
            {
                end = probe;
                above = values[j];
            }
        }
        low = next;
    }
    return low;
}

// The sum of what the threads before this one have.
template <typename T>
DEVICE T sum_before(T value, T& total)
{
    __shared__ T sums[2][THREADS];
    int from = 0;
    sums[0][threadIdx.x] = value;
    __syncthreads();
#pragma unroll
    for (int step = 1; step < THREADS; step *= 2)
    {
        T sum = sums[from][threadIdx.x];
        if (threadIdx.x >= step) sum += sums[from][threadIdx.x - step];
        from ^= 1;
        sums[from][threadIdx.x] = sum;
        __syncthreads();
    }
    total = sums[from][THREADS - 1];
    return threadIdx.x == 0 ? T(0) : sums[from][threadIdx.x - 1];
}

DEVICE Cut find_cut(const Row& row, const RowChoice& choice)
{
    Cut cut = {0, ALL};
    if (choice.topK > 0 && choice.topK < row.size)
    {
        int above;
        cut.bits = search<Number>(row, 0, choice.topK, above);
        cut.num_equal = choice.topK - above;
    }
    if (choice.topP < 1.0f)
    {
        double sum[1] = {}, above;
        for (int i = threadIdx.x; i < row.size; i += THREADS)
        {
            float weight = row.weight(i);
            if (__float_as_uint(weight) > cut.bits) sum[0] += weight;
        }
        add_threads(sum);
        if (cut.num_equal != ALL) sum[0] += (double)cut.num_equal * float_from_bits(cut.bits);
        const double wanted = choice.topP * sum[0];
        u32 bits = search<Weight>(row, cut.bits, wanted, above);
        int num_equal = (int)fmin(ceil((wanted - above) / float_from_bits(bits)), (double)ALL);
        // Rounding must not keep more than there was.
        if (bits != cut.bits) cut.num_equal = ALL;
        cut.num_equal = min(cut.num_equal, max(num_equal, 1));
        cut.bits = bits;
    }
    return cut;
}

extern "C" __global__ void __launch_bounds__(THREADS) row_sample(const RowSampleParameters p)
{
    __shared__ float largest_of_warp[WARPS];
    __shared__ int chosen, last;
    take_turn();
    const RowChoice choice = p.choices[blockIdx.x];
    Row row = {p.rows + (long long)blockIdx.x * p.rowSize, p.rowSize, MINUS_INFINITY, choice.inverseTemperature, false};
    int has_nan = 0;
    for (int i = threadIdx.x; i < row.size; i += THREADS)
    {
        float value = row.logits[i];
        has_nan |= value != value;
        row.largest = fmaxf(row.largest, value);
    }
    if (threadIdx.x == 0) chosen = last = -1;
    has_nan = __syncthreads_or(has_nan);
#pragma unroll
    for (int mask = 16; mask > 0; mask >>= 1) row.largest = fmaxf(row.largest, shuffle_xor(row.largest, mask));
    if (threadIdx.x % 32 == 0) largest_of_warp[threadIdx.x / 32] = row.largest;
    __syncthreads();
    for (int warp = 0; warp < WARPS; warp++) row.largest = fmaxf(row.largest, largest_of_warp[warp]);
    if (has_nan || row.largest == MINUS_INFINITY)
    {
        if (threadIdx.x == 0) p.indexes[blockIdx.x] = -1;
        return;
    }
    row.takes_largest = row.largest == -MINUS_INFINITY || choice.topK == 1;
    const bool cuts = !row.takes_largest && (choice.topK > 0 || choice.topP < 1.0f);
    Cut cut = {0, ALL};
    if (cuts) cut = find_cut(row, choice);

    // Each thread has neighbouring indexes, so that the order of threads is that of indexes.
    const int length = (row.size + THREADS - 1) / THREADS, first = min(threadIdx.x * length, row.size), end = min(first + length, row.size);
    int num_equal_before = 0;
    if (cuts && cut.num_equal != ALL)
    {
        int num_equal = 0, total;
        for (int i = first; i < end; i++) num_equal += __float_as_uint(row.weight(i)) == cut.bits ? 1 : 0;
        num_equal_before = sum_before(num_equal, total);
    }
    int rank = num_equal_before;
    auto kept = [&](int i) {
        float weight = row.weight(i);
        const u32 bits = __float_as_uint(weight);
        const bool is_equal = bits == cut.bits;
        bool is_kept = bits > cut.bits || (is_equal && rank < cut.num_equal);
        if (is_equal) rank++;
        return is_kept && weight >= choice.minWeight ? weight : 0.0f;
    };
    double sum = 0.0, total;
    int own_last = -1;
    for (int i = first; i < end; i++)
    {
        float weight = kept(i);
        sum += weight;
        if (weight > 0.0f) own_last = i;
    }
    double before = sum_before(sum, total);
    double threshold = row.takes_largest ? 0.0 : choice.random * total;
    if (own_last >= 0) atomicMax(&last, own_last);
    if (own_last >= 0 && before <= threshold && threshold < before + sum)
    {
        int found = own_last;
        double reached = before;
        rank = num_equal_before;
        for (int i = first; i < end; i++)
        {
            reached += kept(i);
            if (reached > threshold)
            {
                found = i;
                break;
            }
        }
        // Rounding could let two neighbours claim the threshold; the first of them has it.
        atomicMax(&chosen, ALL - found);
    }
    __syncthreads();
    // Rounding may leave the threshold at the very end.
    if (threadIdx.x == 0) p.indexes[blockIdx.x] = chosen < 0 ? last : ALL - chosen;
}
