// Reads memory as fast as it can be read, for nothing but the time that it takes or the caches that it fills: 16-byte loads, 8 under way
// a thread. Grid any, block THREADS, which is a define.
#include "ptx.cuh"

#define LOADS 8

struct MemoryReadParameters
{
    const uint4* data;  // [numChunks]
    u32* sink;          // [1]; written when the sum is one that is never expected, so that the loads are not left out
    u64 numChunks;      // a multiple of THREADS * LOADS
};

DEVICE uint4 load_once(const uint4* address)
{
    uint4 value;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(address));
    return value;
}

extern "C" __global__ void __launch_bounds__(THREADS) memory_read(const MemoryReadParameters p)
{
    u32 sum = 0;
    for (u64 first = (u64)blockIdx.x * (THREADS * LOADS); first < p.numChunks; first += (u64)gridDim.x * (THREADS * LOADS))
    {
        uint4 values[LOADS];
#pragma unroll
        for (int i = 0; i < LOADS; i++) values[i] = load_once(p.data + first + i * THREADS + threadIdx.x);
#pragma unroll
        for (int i = 0; i < LOADS; i++) sum ^= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
    }
    if (sum == 0x9e3779b9u) *p.sink = sum;
}
