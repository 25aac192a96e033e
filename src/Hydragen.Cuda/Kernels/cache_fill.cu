// Fills tokens of a KV cache with numbers that depend only on the token, the head, the layer and the element (CacheNumbers is the same on
// the host): measurements need many gigabytes that are neither zero nor alike. One thread writes 16 bytes at a time; with
// bytes 8, and a warp a token's.
// Grid (numRuns, 2 * numKvHeads), block THREADS.
#include "bytes.cuh"

#define THREADS 256
#define ELEMENTS_PER_CHUNK (STORAGE == FLOAT32 ? 4 : 8)
#define CHUNKS (HEAD_DIM / ELEMENTS_PER_CHUNK)

// Consecutive tokens of a stream in one page.
struct CacheRun
{
    u64 page;       // address
    int firstSlot;
    int numTokens;
    u32 stream;
    u32 firstToken;
};

struct CacheFillParameters
{
    const CacheRun* runs;  // [numRuns]
    u64 layerOffset;       // bytes from the start of a page to the layer
    u32 layer;
};

DEVICE u32 mix(u32 x)
{
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

// The sum of four uniform bytes: about normal, with mean 0 and standard deviation 1.15. Exact in FP32.
DEVICE float number(u32 row, int column)
{
    u32 bits = mix(row + column * 0x85ebca77u);
    int sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24);
    return (sum - 510) * 0.0078125f;
}

extern "C" __global__ void __launch_bounds__(THREADS) cache_fill(const CacheFillParameters p)
{
    CacheRun run = p.runs[blockIdx.x];
    int kv_head = blockIdx.y >> 1, kind = blockIdx.y & 1;
    u8* head = (u8*)run.page + p.layerOffset + (u64)kv_head * HEAD_BYTES;
#if IS_BYTE
    const int lane = threadIdx.x % 32;
    for (int token = threadIdx.x / 32; token < run.numTokens; token += THREADS / 32)
    {
        u32 row = mix(mix(run.firstToken + token + run.stream * 0x9e3779b9u) + (p.layer * 1024 + kv_head) * 4 + kind);
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = lane < CHUNKS ? number(row, lane * 8 + i) : 0.0f;
        store_bytes<32>(head, kind, run.firstSlot + token, lane, lane < CHUNKS, values);
    }
#else
    u8* image = head + kind * IMAGE_BYTES;
    for (int i = threadIdx.x; i < run.numTokens * CHUNKS; i += THREADS)
    {
        int token = i / CHUNKS, chunk = i % CHUNKS;
        u32 row = mix(mix(run.firstToken + token + run.stream * 0x9e3779b9u) + (p.layer * 1024 + kv_head) * 4 + kind);
        u32 words[4];
#pragma unroll
        for (int word = 0; word < 4; word++)
        {
#if STORAGE == FLOAT32
            words[word] = __float_as_uint(number(row, chunk * 4 + word));
#else
            int column = chunk * 8 + word * 2;
            words[word] = pack(number(row, column), number(row, column + 1), STORAGE);
#endif
        }
        *(uint4*)(image + image_offset(run.firstSlot + token, chunk)) = make_uint4(words[0], words[1], words[2], words[3]);
    }
#endif
}
