// Copies tokens of all layers and heads from one KV page to another or to itself; a block reads all of an image's rows before it writes.
// Grid (numLayers * numKvHeads * 2), block THREADS.
#include "common.cuh"

#define THREADS 256
#define CHUNKS (IMAGE_BYTES / PAGE_SIZE / 16)
#define CHUNKS_PER_THREAD ((PAGE_SIZE * CHUNKS + THREADS - 1) / THREADS)

struct CacheCopyParameters
{
    u64 source;       // address of the page
    u64 destination;  // address of the page
    int sourceSlot;
    int destinationSlot;
    int numTokens;
};

extern "C" __global__ void __launch_bounds__(THREADS) cache_copy(const CacheCopyParameters p)
{
    const u64 head = (u64)(blockIdx.x / 2) * HEAD_BYTES, image = head + blockIdx.x % 2 * IMAGE_BYTES;
#if STORAGE == INT8
    // At most as many scales as threads.
    const u64 scales = head + SCALES_OFFSET + blockIdx.x % 2 * (PAGE_SIZE * 2);
    u16 scale = 0;
    if (threadIdx.x < p.numTokens) scale = ((const u16*)(p.source + scales))[p.sourceSlot + threadIdx.x];
#endif
    uint4 chunks[CHUNKS_PER_THREAD];
#pragma unroll
    for (int i = 0; i < CHUNKS_PER_THREAD; i++)
    {
        int index = i * THREADS + threadIdx.x;
        if (index < p.numTokens * CHUNKS)
            chunks[i] = *(const uint4*)(p.source + image + image_offset(p.sourceSlot + index / CHUNKS, index % CHUNKS));
    }
    __syncthreads();
#if STORAGE == INT8
    if (threadIdx.x < p.numTokens) ((u16*)(p.destination + scales))[p.destinationSlot + threadIdx.x] = scale;
#endif
#pragma unroll
    for (int i = 0; i < CHUNKS_PER_THREAD; i++)
    {
        int index = i * THREADS + threadIdx.x;
        if (index < p.numTokens * CHUNKS)
            *(uint4*)(p.destination + image + image_offset(p.destinationSlot + index / CHUNKS, index % CHUNKS)) = chunks[i];
    }
}
