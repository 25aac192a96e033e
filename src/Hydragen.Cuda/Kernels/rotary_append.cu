// Takes the joint projection of queries, keys and values: normalises and rotates the heads of queries and keys, stores the queries, and
// stores keys and values in a KV cache. LANES neighbouring lanes hold one head, 8 elements each.
// Grid (ceil(numRows * (numHeads + 2 * numKvHeads) / HEADS_PER_BLOCK)), block THREADS.
// Defines: HEAD_DIM, STORAGE as in common.cuh; INPUT, QUERY: element types of the projection and of the stored queries; NORM, ROTARY: 0 or 1.
#include "bytes.cuh"
#include "rows.cuh"

#define CHUNKS (HEAD_DIM / 8)
#define LANES (CHUNKS <= 1 ? 1 : CHUNKS <= 2 ? 2 : CHUNKS <= 4 ? 4 : CHUNKS <= 8 ? 8 : CHUNKS <= 16 ? 16 : 32)
#define HEADS_PER_BLOCK (THREADS / LANES)

struct RotaryAppendParameters
{
    const void* queryKeyValue;  // [numRows, numHeads + 2 * numKvHeads, HEAD_DIM], INPUT
    const u64* tokens;          // [numRows]: address of the token's page + its slot in it; 0 for a row that nobody needs
    const u64* factors;         // [numRows]: address of the cosines [rotaryDim / 2] and then the sines of the row's position
    const float* queryWeight;   // [HEAD_DIM]; null without NORM
    const float* keyWeight;     // [HEAD_DIM]; null without NORM
    void* query;                // [numRows, numHeads, HEAD_DIM], QUERY
    u64 layerOffset;            // bytes from the start of a page to the layer
    int numRows;
    int numHeads;
    int numKvHeads;
    int rotaryDim;
    float epsilon;
    const float2* scales;       // as in divide_by_scale
};

#if !IS_BYTE
DEVICE void store_in_page(u8* image, int slot, int chunk, const float (&values)[8])
{
#if STORAGE == FLOAT32
    store_elements<FLOAT32, 8>(image + image_offset(slot, 2 * chunk), 0, values);
#else
    store_elements<STORAGE, 8>(image + image_offset(slot, chunk), 0, values);
#endif
}
#endif

#if ROTARY
// Cosines and sines of the pairs that the elements of a chunk belong to; those of elements that are not rotated stay as they are. With whole
// chunks, both halves of what is rotated are whole numbers of chunks, so that pairs of neighbours are neighbours.
DEVICE void load_factors(const float* factors, int chunk, int half, bool has_whole_chunks, float (&cosines)[8], float (&sines)[8])
{
    if (has_whole_chunks)
    {
        const int first = chunk * 8 < half ? chunk * 8 : chunk * 8 - half;
        if (chunk * 8 >= 2 * half) return;
        load_elements<FLOAT32, 8>(cosines, factors, first);
        load_elements<FLOAT32, 8>(sines, factors, half + first);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
    {
        const int element = chunk * 8 + i, pair = element < half ? element : element - half;
        if (element >= 2 * half) break;
        cosines[i] = factors[pair];
        sines[i] = factors[half + pair];
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS) rotary_append(const RotaryAppendParameters p)
{
    const u32 heads_per_row = p.numHeads + 2 * p.numKvHeads, index = blockIdx.x * HEADS_PER_BLOCK + threadIdx.x / LANES;
    const int chunk = threadIdx.x % LANES, row = index / heads_per_row, head = index % heads_per_row;
    // Addresses and factors come from the host, so they are there before the kernels before are done.
    const u64 token = row < p.numRows && chunk < CHUNKS ? p.tokens[row] : 0;
    // All lanes of a warp take part in the sums.
    const bool is_valid = token != 0, is_value = head >= p.numHeads + p.numKvHeads;
#if ROTARY
    const int half = p.rotaryDim / 2;
    const bool has_whole_chunks = half % 8 == 0;
    float cosines[8] = {}, sines[8] = {};
    if (is_valid && !is_value) load_factors((const float*)p.factors[row], chunk, half, has_whole_chunks, cosines, sines);
#endif
    take_turn();
    float values[8] = {};
    if (is_valid) load_elements<INPUT, 8>(values, p.queryKeyValue, (long long)index * HEAD_DIM + chunk * 8);
#if NORM
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) squares += values[i] * values[i];
#pragma unroll
    for (int mask = LANES / 2; mask > 0; mask >>= 1) squares += shuffle_xor(squares, mask);
    if (is_valid && !is_value)
    {
        float factor = 1.0f / sqrtf(squares / HEAD_DIM + p.epsilon), weight[8];
        load_elements<FLOAT32, 8>(weight, head < p.numHeads ? p.queryWeight : p.keyWeight, chunk * 8);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] *= factor * weight[i];
    }
#endif
#if ROTARY
    // The partner of an element is rotaryDim / 2 elements away: in another lane, or, where that is no whole number of chunks, anywhere.
    float partners[8];
    if (has_whole_chunks)
    {
        const int lane = threadIdx.x % 32, distance = half / 8;
        const int source = chunk < distance ? lane + distance : chunk < 2 * distance ? lane - distance : lane;
#pragma unroll
        for (int i = 0; i < 8; i++) partners[i] = shuffle_from(values[i], source);
    }
    else
    {
        __shared__ float rotated[HEADS_PER_BLOCK][LANES * 8];
        float* own = rotated[threadIdx.x / LANES];
#pragma unroll
        for (int i = 0; i < 8; i++) own[chunk * 8 + i] = values[i];
        warp_barrier();
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            const int element = chunk * 8 + i;
            partners[i] = element >= p.rotaryDim ? 0.0f : own[element < half ? element + half : element - half];
        }
    }
    if (is_valid && !is_value)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            const int element = chunk * 8 + i;
            if (element >= p.rotaryDim) break;
            values[i] = values[i] * cosines[i] + partners[i] * (element < half ? -sines[i] : sines[i]);
        }
    }
#endif
    const bool is_query = head < p.numHeads;
    if (is_valid && is_query) store_elements<QUERY, 8>(p.query, ((long long)row * p.numHeads + head) * HEAD_DIM + chunk * 8, values);
#if !IS_BYTE
    if (!is_valid || is_query) return;
#endif
    // All lanes of a warp look for the largest magnitudes of bytes.
    const bool is_stored = is_valid && !is_query;
    int kv_head = is_stored ? head - p.numHeads - (is_value ? p.numKvHeads : 0) : 0;
    u8* page = (u8*)(token / PAGE_SIZE * PAGE_SIZE) + p.layerOffset + (u64)kv_head * HEAD_BYTES;
#if IS_BYTE
    divide_by_scale(p.scales, kv_head, is_value ? 1 : 0, values);
    store_bytes<LANES>(page, is_value ? 1 : 0, (int)(token % PAGE_SIZE), chunk, is_stored, values);
#else
    store_in_page(page + (is_value ? IMAGE_BYTES : 0), (int)(token % PAGE_SIZE), chunk, values);
#endif
}
