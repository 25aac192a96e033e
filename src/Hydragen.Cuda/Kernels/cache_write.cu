// Stores keys and values of tokens in a KV cache, rounding to its element type. One thread writes 16 bytes of a key and of a value; with
// bytes 8, and a warp a token's head.
// Grid (ceil(numTokens * numKvHeads * LANES / THREADS)), block THREADS.
#include "bytes.cuh"

#define THREADS 256
#define ELEMENTS_PER_CHUNK (STORAGE == FLOAT32 ? 4 : 8)
#define CHUNKS (HEAD_DIM / ELEMENTS_PER_CHUNK)
#define LANES (IS_BYTE ? 32 : CHUNKS)

struct CacheWriteParameters
{
    const u64* tokens;   // [numTokens]: address of the token's page + its slot in it
    const float* key;    // [numTokens, numKvHeads, HEAD_DIM]
    const float* value;  // [numTokens, numKvHeads, HEAD_DIM]
    u64 layerOffset;     // bytes from the start of a page to the layer
    int numTokens;
    int numKvHeads;
    const float2* scales;  // as in divide_by_scale
};

#if !IS_BYTE
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
#endif

extern "C" __global__ void __launch_bounds__(THREADS) cache_write(const CacheWriteParameters p)
{
    long long index = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (long long)p.numTokens * p.numKvHeads * LANES) return;
    int chunk = index % LANES, kv_head = index / LANES % p.numKvHeads;
    u64 token = p.tokens[index / LANES / p.numKvHeads];
    u8* keys = (u8*)(token / PAGE_SIZE * PAGE_SIZE) + p.layerOffset + (u64)kv_head * HEAD_BYTES;
#if IS_BYTE
    const long long first = index / LANES * HEAD_DIM + chunk * 8;
#pragma unroll
    for (int image = 0; image < 2; image++)
    {
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = chunk < CHUNKS ? (image == 0 ? p.key : p.value)[first + i] : 0.0f;
        divide_by_scale(p.scales, kv_head, image, values);
        store_bytes<LANES>(keys, image, token % PAGE_SIZE, chunk, chunk < CHUNKS, values);
    }
#else
    u32 offset = image_offset(token % PAGE_SIZE, chunk);
    store_chunk(keys + offset, p.key + index * ELEMENTS_PER_CHUNK);
    store_chunk(keys + IMAGE_BYTES + offset, p.value + index * ELEMENTS_PER_CHUNK);
#endif
}
