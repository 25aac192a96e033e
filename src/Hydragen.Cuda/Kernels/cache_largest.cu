// Finds the largest finite magnitudes of the keys and of the values of each head among some tokens of a layer.
// Grid (2 * numKvHeads), block THREADS: block 2 * h is for the keys of head h, the next for its values. STORAGE is not a type of bytes.
#include "common.cuh"

#define THREADS 256

struct CacheLargestParameters
{
    const u64* tokens;  // [numTokens]: address of the token's page + its slot in it
    float* largest;     // [numKvHeads, 2]: of keys, of values
    u64 layerOffset;    // bytes from the start of a page to the layer
    int numTokens;
};

extern "C" __global__ void __launch_bounds__(THREADS) cache_largest(const CacheLargestParameters p)
{
    const int kv_head = blockIdx.x / 2, image = blockIdx.x % 2, per_chunk = STORAGE == FLOAT32 ? 4 : 8;
    // As integers, magnitudes are in order; those of infinities and NaN come last.
    u32 largest = 0;
    for (long long i = threadIdx.x; i < (long long)p.numTokens * HEAD_DIM; i += THREADS)
    {
        const u64 token = p.tokens[i / HEAD_DIM];
        const int element = i % HEAD_DIM;
        const u8* source = (const u8*)(token / PAGE_SIZE * PAGE_SIZE) + p.layerOffset + (u64)kv_head * HEAD_BYTES + image * IMAGE_BYTES;
        const float value = load_element(source + image_offset(token % PAGE_SIZE, element / per_chunk), STORAGE, element % per_chunk);
        const u32 magnitude = __float_as_uint(value) & 0x7fffffff;
        if (magnitude < INFINITY_BITS) largest = max(largest, magnitude);
    }
    __shared__ u32 shared[THREADS];
    shared[threadIdx.x] = largest;
    for (int half = THREADS / 2; half > 0; half /= 2)
    {
        __syncthreads();
        if (threadIdx.x < half) shared[threadIdx.x] = max(shared[threadIdx.x], shared[threadIdx.x + half]);
    }
    if (threadIdx.x == 0) p.largest[blockIdx.x] = float_from_bits(shared[0]);
}
