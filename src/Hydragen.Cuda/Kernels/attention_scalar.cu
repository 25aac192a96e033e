// Attention in FP32 arithmetic without matrix instructions, for FP32 caches and for queries of another type than the cache. One warp
// computes one vector; the warps of a block share an item, so they find its keys and values in the L1 cache.
// Grid (at least numItems, numKvHeads), block WARPS * 32, at most WARPS vectors an item. STORAGE and the type of the queries are any.
// Dynamic shared memory: queries FP32 [WARPS, HEAD_DIM].
#include "bytes.cuh"

#define WARPS 8
#define ELEMENTS_PER_CHUNK (STORAGE == FLOAT32 ? 4 : 8)
#define COLUMNS_PER_LANE ((HEAD_DIM + 31) / 32)

// Some elements as FP32 numbers. place: which of the slot's chunks.
DEVICE void load_chunk(const u8* image, int slot, int place, float (&result)[ELEMENTS_PER_CHUNK])
{
#if IS_BYTE
    const uint2 chunk = *(const uint2*)(image + image_offset(slot, place / 2) + place % 2 * 8);
    u32 pairs[4];
    widen_bytes(chunk.x, pairs[0], pairs[1]);
    widen_bytes(chunk.y, pairs[2], pairs[3]);
#pragma unroll
    for (int i = 0; i < 8; i++) result[i] = widen_float16((u16)(pairs[i / 2] >> i % 2 * 16));
#else
    const u8* source = image + image_offset(slot, place);
    uint4 chunk = *(const uint4*)source;
    u32 words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
#if STORAGE == FLOAT32
        result[i] = float_from_bits(words[i]);
#else
        result[2 * i] = widen((u16)words[i], STORAGE);
        result[2 * i + 1] = widen((u16)(words[i] >> 16), STORAGE);
#endif
    }
#endif
}

DEVICE float value_element(const u8* image, int slot, int column)
{
#if IS_BYTE
    return widen_byte(image[image_offset(slot, column / 16) + column % 16]);
#else
    u32 offset = image_offset(slot, column / ELEMENTS_PER_CHUNK);
#if STORAGE == FLOAT32
    return ((const float*)(image + offset))[column % ELEMENTS_PER_CHUNK];
#else
    return widen(((const u16*)(image + offset))[column % ELEMENTS_PER_CHUNK], STORAGE);
#endif
#endif
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1) attention_scalar(const AttentionParameters p)
{
    if (blockIdx.x >= *p.numItems) return;
    const AttentionItem item = p.items[blockIdx.x];
    const int kv_head = blockIdx.y;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (warp >= item.numVectors) return;
    const int vector = item.firstVector + warp, row = row_of(p, vector), head = head_of(p, kv_head, vector);
    float* query = (float*)shared_memory + warp * HEAD_DIM;
    for (int column = lane; column < HEAD_DIM; column += 32)
        query[column] = load_element(p.query, p.queryType, ((long long)row * p.numHeads + head) * HEAD_DIM + column);
    warp_barrier();

    const KeyRange visible = visible_keys(p, item, row);
    const float slope = p.alibiSlopes ? p.alibiSlopes[head] : 0.0f;
    const int distance = item.firstPosition - p.rowPositions[row];
    const float key_scale = head_scale(p, kv_head, 0), value_scale = head_scale(p, kv_head, 1);
    float output[COLUMNS_PER_LANE] = {};
    float maximum = -float_from_bits(INFINITY_BITS), sum = 0.0f;
    // 32 keys at a time, all of one page: a lane scores a key, then adds its columns of all 32 values.
    for (int slot = (item.firstSlot + visible.first) / 32 * 32; slot < item.firstSlot + visible.end; slot += 32)
    {
        const u8* keys = (const u8*)p.pages[item.firstPage + slot / PAGE_SIZE] + p.layerOffset + (u64)kv_head * HEAD_BYTES;
        const u8* values = keys + IMAGE_BYTES;
        const int key = slot + lane - item.firstSlot, page_slot = slot % PAGE_SIZE;
        float logit = -float_from_bits(INFINITY_BITS);
        if (key >= visible.first && key < visible.end)
        {
            float product = 0.0f;
            for (int chunk = 0; chunk < HEAD_DIM / ELEMENTS_PER_CHUNK; chunk++)
            {
                float elements[ELEMENTS_PER_CHUNK];
                load_chunk(keys, page_slot + lane, chunk, elements);
#pragma unroll
                for (int i = 0; i < ELEMENTS_PER_CHUNK; i++) product += query[chunk * ELEMENTS_PER_CHUNK + i] * elements[i];
            }
            logit = logit_base2(p, product * scale_of(keys, 0, page_slot + lane) * key_scale, slope, distance + key);
        }
        float larger = fmaxf(maximum, logit);
#pragma unroll
        for (int mask = 1; mask <= 16; mask *= 2) larger = fmaxf(larger, shuffle_xor(larger, mask));
        float reference = larger == -float_from_bits(INFINITY_BITS) ? 0.0f : larger;
        float correction = exp2_approx(maximum - reference), weight = exp2_approx(logit - reference);
        maximum = larger;
        sum = sum * correction + weight;
#pragma unroll
        for (int i = 0; i < COLUMNS_PER_LANE; i++) output[i] *= correction;
        for (int j = 0; j < 32; j++)
        {
            // With the scale of the value; 1 for types without.
            float share = shuffle_from(weight, j) * (STORAGE == INT8 ? scale_of(keys, 1, page_slot + j) : 1.0f);
            // Not a product with zero: the key may be outside the item, or its value NaN.
            if (key - lane + j < visible.first || key - lane + j >= visible.end) continue;
#pragma unroll
            for (int i = 0; i < COLUMNS_PER_LANE; i++)
            {
                int column = i * 32 + lane;
                if (column < HEAD_DIM) output[i] += share * value_element(values, page_slot + j, column);
            }
        }
    }
#pragma unroll
    for (int mask = 1; mask <= 16; mask *= 2) sum += shuffle_xor(sum, mask);
    Target target = target_of(p, item, kv_head, vector);
    if (lane == 0) store_sum(p, target, maximum, sum);
#pragma unroll
    for (int i = 0; i < COLUMNS_PER_LANE; i++)
    {
        int column = i * 32 + lane;
        if (column < HEAD_DIM) store_output(p, target, column, output[i] * value_scale, reciprocal_of(sum));
    }
}
