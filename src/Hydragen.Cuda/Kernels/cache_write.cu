// Stores keys and values of tokens in a KV cache, rounding to its element type. One thread writes 16 bytes of a key and of a value.
// Grid (ceil(numTokens * numKvHeads * CHUNKS / THREADS)), block THREADS.
#include "common.cuh"

#define THREADS 256
#define ELEMENTS_PER_CHUNK (STORAGE == FLOAT32 ? 4 : 8)
#define CHUNKS (HEAD_DIM / ELEMENTS_PER_CHUNK)

struct CacheWriteParameters
{
    const u64* tokens;   // [numTokens]: address of the token's page + its slot in it
    const float* key;    // [numTokens, numKvHeads, HEAD_DIM]
    const float* value;  // [numTokens, numKvHeads, HEAD_DIM]
    u64 layerOffset;     // bytes from the start of a page to the layer
    int numTokens;
    int numKvHeads;
};

DEVICE void store_chunk(u8* destination, const float* source)
{
    u32 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
#if STORAGE == FLOAT32
        words[i] = __float_as_uint(source[i]);
#else
        words[i] = pack(source[2 * i], source[2 * i + 1], STORAGE);
#endif
    }
    *(uint4*)destination = make_uint4(words[0], words[1], words[2], words[3]);
}

extern "C" __global__ void __launch_bounds__(THREADS) cache_write(const CacheWriteParameters p)
{
    long long index = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (long long)p.numTokens * p.numKvHeads * CHUNKS) return;
    int chunk = index % CHUNKS, kv_head = index / CHUNKS % p.numKvHeads;
    u64 token = p.tokens[index / CHUNKS / p.numKvHeads];
    u8* keys = (u8*)(token / PAGE_SIZE * PAGE_SIZE) + p.layerOffset + (u64)kv_head * (2 * IMAGE_BYTES);
    u32 offset = image_offset(token % PAGE_SIZE, chunk);
    store_chunk(keys + offset, p.key + index * ELEMENTS_PER_CHUNK);
    store_chunk(keys + IMAGE_BYTES + offset, p.value + index * ELEMENTS_PER_CHUNK);
}
