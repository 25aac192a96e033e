// Attention of many vectors over the same keys, on tensor cores: the flash-attention loop over pages, scores and outputs in registers.
// One block computes ROWS vectors of one item and key/value head; a warp owns 16 of them.
// Grid (at least numItems, numKvHeads), block WARPS * 32. STORAGE is a 16-bit type, also that of the queries, or bytes, which are widened on the way.
// Defines: WARPS, STAGES (pages in shared memory), LOGIT_OPTIONS.
// Dynamic shared memory: queries [ROWS, PADDED_DIM], STAGES pages of keys and values, all of 16 bits; with bytes FP32 scales of queries [ROWS].
#define ROWS (WARPS * 16)
#define THREADS (WARPS * 32)
// The outputs of large heads leave registers for the scores of fewer keys.
#define KEYS (HEAD_DIM > 128 ? 32 : 64)
#include "node.cuh"

#define QUERY_BYTES (ROWS * PADDED_DIM * 2)
#define STAGE_IMAGE_BYTES (PAGE_SIZE * PADDED_DIM * 2)
#define STAGE_BYTES (2 * STAGE_IMAGE_BYTES)

DEVICE u32 stage_offset(int slot, int column16, int half) { return tile_offset<PAGE_SIZE, PADDED_DIM>(slot, column16, half); }

#if IS_BYTE
// Values outside the item are set to zero, because a weight of zero does not remove a NaN; keys outside are masked.
DEVICE void load_page(const AttentionParameters& p, const AttentionItem& item, int kv_head, int page, u32 destination)
{
    const u8* head = (const u8*)p.pages[item.firstPage + page] + p.layerOffset + (u64)kv_head * HEAD_BYTES;
    int first = item.firstSlot - page * PAGE_SIZE, end = first + item.numKeys;
#pragma unroll 2
    for (int i = threadIdx.x; i < 2 * PAGE_SIZE * (PADDED_DIM / 16); i += THREADS)
    {
        const int image = i / (PAGE_SIZE * (PADDED_DIM / 16)), chunk = i % (PADDED_DIM / 16), slot = i / (PADDED_DIM / 16) % PAGE_SIZE;
        const bool is_inside = slot >= first && slot < end;
        uint4 halves[2] = {};
        if (is_inside)
        {
            const u32 scale = STORAGE == INT8 ? both_halves(((const u16*)(head + SCALES_OFFSET))[image * PAGE_SIZE + slot]) : 0;
            widen_chunk(*(const uint4*)(head + image * IMAGE_BYTES + image_offset(slot, chunk)), scale, halves);
        }
#pragma unroll
        for (int half = 0; half < 2; half++) store_shared(destination + image * STAGE_IMAGE_BYTES + stage_offset(slot, chunk * 16, half), halves[half]);
    }
}
#else
// The slot that 16 bytes of an image belong to, by their place in the image.
DEVICE int slot_of_chunk(int chunk)
{
    const int full = COLUMNS / 64 * 64 * PAGE_SIZE / 8, half = COLUMNS % 64 / 32 * 32 * PAGE_SIZE / 8;
    return chunk < full ? chunk / 8 % PAGE_SIZE : chunk < full + half ? (chunk - full) / 4 : (chunk - full - half) / 2;
}

// Values outside the item are set to zero, because a weight of zero does not remove a NaN; keys outside are masked.
DEVICE void load_page(const AttentionParameters& p, const AttentionItem& item, int kv_head, int page, u32 destination)
{
    const u8* source = (const u8*)p.pages[item.firstPage + page] + p.layerOffset + (u64)kv_head * HEAD_BYTES;
    int first = item.firstSlot - page * PAGE_SIZE, end = first + item.numKeys;
#pragma unroll 4
    for (int chunk = threadIdx.x; chunk < IMAGE_BYTES / 16; chunk += THREADS)
    {
        int slot = slot_of_chunk(chunk);
        copy_async(destination + chunk * 16, source + chunk * 16, true);
        copy_async(destination + IMAGE_BYTES + chunk * 16, source + IMAGE_BYTES + chunk * 16, slot >= first && slot < end);
    }
}
#endif

// scores = queries * keys' for a warp's 16 rows and KEYS slots of a page.
DEVICE void multiply_keys(float (&scores)[KEY_TILES][4], u32 query, int first_row, u32 keys, int first_slot, int lane)
{
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++) scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        u32 a[4];
        load_matrices(a, query + query_offset(first_row + lane % 16, k * 16, lane / 16));
#pragma unroll
        for (int n = 0; n < KEY_TILES / 2; n++)
        {
            u32 b[4];
            load_matrices(b, keys + stage_offset(first_slot + n * 16 + lane % 8 + lane / 16 * 8, k * 16, lane / 8 % 2));
            multiply_add(scores[2 * n], a, b[0], b[1]);
            multiply_add(scores[2 * n + 1], a, b[2], b[3]);
        }
    }
}

// The same for 8 slots.
DEVICE void multiply_eight(float (&scores)[4], u32 query, int first_row, u32 keys, int first_slot, int lane)
{
    scores[0] = scores[1] = scores[2] = scores[3] = 0.0f;
#pragma unroll 1
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        u32 a[4], b[4];
        load_matrices(a, query + query_offset(first_row + lane % 16, k * 16, lane / 16));
        load_matrices(b, keys + stage_offset(first_slot + lane % 8, k * 16, lane / 8 % 2));
        multiply_add(scores, a, b[0], b[1]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_node(const AttentionParameters p)
{
    if (blockIdx.x >= *p.numItems) return;
    const AttentionItem item = p.items[blockIdx.x];
    const int kv_head = blockIdx.y;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 query_tile = shared_address(shared_memory), stages = query_tile + QUERY_BYTES;
    load_query(p, item, kv_head, query_tile, threadIdx.x, THREADS);
    VectorPair pair = make_pair(p, item, kv_head, warp * 16, lane);
#if IS_BYTE
    float* query_scales = (float*)(shared_memory + QUERY_BYTES + STAGES * STAGE_BYTES);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    normalise_query(p, kv_head, shared_memory, query_scales, threadIdx.x, THREADS);
    __syncthreads();
    pair.scales[0] = query_scales[warp * 16 + lane / 4];
    pair.scales[1] = query_scales[warp * 16 + lane / 4 + 8];
#endif
    const KeyRange needed = needed_keys(p, item, lane);
    const int first_page = (item.firstSlot + needed.first) / PAGE_SIZE;
    const int end_page = needed.first < needed.end ? (item.firstSlot + needed.end - 1) / PAGE_SIZE + 1 : first_page;
    float output[DIM_TILES][4] = {};

#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++)
    {
        if (first_page + stage < end_page) load_page(p, item, kv_head, first_page + stage, stages + stage * STAGE_BYTES);
        copy_commit();
    }
    for (int page = first_page; page < end_page; page++)
    {
        int ahead = page + STAGES - 1;
        if (ahead < end_page) load_page(p, item, kv_head, ahead, stages + (ahead - first_page) % STAGES * STAGE_BYTES);
        copy_commit();
        copy_wait<STAGES - 1>();
        __syncthreads();
        const u32 keys = stages + (page - first_page) % STAGES * STAGE_BYTES, values = keys + STAGE_IMAGE_BYTES;
#pragma unroll 1
        for (int part = 0; part < PAGE_SIZE; part += KEYS)
        {
            float scores[KEY_TILES][4], corrections[2];
            multiply_keys(scores, query_tile, warp * 16, keys, part, lane);
            auto multiply = [&](int n, float (&eight)[4]) { multiply_eight(eight, query_tile, warp * 16, keys, part + n * 8, lane); };
            if (softmax_step(p, pair, scores, page * PAGE_SIZE + part - item.firstSlot, lane, corrections, multiply)) scale_output(output, corrections);
            u32 packed[KEY_TILES][2];
            pack_weights(scores, packed);
            // Two key tiles of weights side by side are one operand.
#pragma unroll
            for (int k = 0; k < KEY_TILES / 2; k++)
            {
                u32 a[4] = {packed[2 * k][0], packed[2 * k][1], packed[2 * k + 1][0], packed[2 * k + 1][1]};
#pragma unroll
                for (int d = 0; d < DIM_TILES / 2; d++)
                {
                    u32 b[4];
                    load_matrices_transposed(b, values + stage_offset(part + k * 16 + lane % 16, d * 16, lane / 16));
                    multiply_add(output[2 * d], a, b[0], b[1]);
                    multiply_add(output[2 * d + 1], a, b[2], b[3]);
                }
            }
        }
        __syncthreads();
    }
    copy_wait<0>();
    store_pair(p, item, kv_head, warp * 16, pair, output, lane);
}
