// Attention of many vectors over the same keys, on tensor cores: the flash-attention loop over pages, scores and outputs in registers.
// One block computes ROWS vectors of one item and key/value head; a warp owns 16 of them.
// Grid (numItems, numKvHeads), block WARPS * 32. STORAGE is a 16-bit type, also that of the queries.
// Defines: WARPS, STAGES (pages in shared memory), LOGIT_OPTIONS (ALiBi, soft-cap, or a scale that is not positive).
// Dynamic shared memory: queries [ROWS, PADDED_DIM], STAGES pages of keys and values, the range of keys (2 ints).
#include "common.cuh"

#define ROWS (WARPS * 16)
#define QUERY_BYTES (ROWS * PADDED_DIM * 2)
#define STAGE_BYTES (2 * IMAGE_BYTES)
// Keys whose scores are in registers at once; the outputs of large heads leave room for fewer.
#define KEYS (HEAD_DIM > 128 ? 32 : 64)
#define KEY_TILES (KEYS / 8)
#define DIM_TILES (PADDED_DIM / 8)

// The slot that 16 bytes of an image belong to, by their place in the image.
DEVICE int slot_of_chunk(int chunk)
{
    const int full = FULL_COLUMNS * PAGE_SIZE / 8, half = HALF_COLUMNS * PAGE_SIZE / 8;
    return chunk < full ? chunk / 8 % PAGE_SIZE : chunk < full + half ? (chunk - full) / 4 : (chunk - full - half) / 2;
}

DEVICE void load_query(const AttentionParameters& p, const AttentionItem& item, int kv_head, u32 destination)
{
    for (int chunk = threadIdx.x; chunk < ROWS * (PADDED_DIM / 8); chunk += WARPS * 32)
    {
        int i = chunk / (PADDED_DIM / 8), column = chunk % (PADDED_DIM / 8) * 8;
        bool is_valid = i < item.numVectors && column < HEAD_DIM;
        int vector = item.firstVector + (is_valid ? i : 0);
        long long row_head = (long long)(vector / p.groupSize) * p.numHeads + kv_head * p.groupSize + vector % p.groupSize;
        const u16* source = (const u16*)p.query + row_head * HEAD_DIM + (is_valid ? column : 0);
        copy_async(destination + tile_offset<ROWS>(i, column / 16 * 16, column / 8 % 2), source, is_valid);
    }
}

// Values outside the item are set to zero, because a weight of zero does not remove a NaN; keys outside are masked.
DEVICE void load_page(const AttentionParameters& p, const AttentionItem& item, int kv_head, int page, u32 destination)
{
    const u8* source = (const u8*)p.pages[item.firstPage + page] + p.layerOffset + (u64)kv_head * STAGE_BYTES;
    int first = item.firstSlot - page * PAGE_SIZE, end = first + item.numKeys;
#pragma unroll 4
    for (int chunk = threadIdx.x; chunk < IMAGE_BYTES / 16; chunk += WARPS * 32)
    {
        int slot = slot_of_chunk(chunk);
        copy_async(destination + chunk * 16, source + chunk * 16, true);
        copy_async(destination + IMAGE_BYTES + chunk * 16, source + IMAGE_BYTES + chunk * 16, slot >= first && slot < end);
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1) attention_node(const AttentionParameters p)
{
    const AttentionItem item = p.items[blockIdx.x];
    const int kv_head = blockIdx.y;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 query_tile = shared_address(shared_memory), stages = query_tile + QUERY_BYTES;
    int* range = (int*)(shared_memory + QUERY_BYTES + STAGES * STAGE_BYTES);
    load_query(p, item, kv_head, query_tile);

    // Lane l holds, of each 16 x 8 tile of scores or outputs, vectors l / 4 and l / 4 + 8.
    int vectors[2];
    KeyRange visible[2];
#if LOGIT_OPTIONS
    float slopes[2];
    int distances[2];  // position of the item's first key less the row's
#endif
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        int i = warp * 16 + half * 8 + lane / 4;
        int vector = item.firstVector + (i < item.numVectors ? i : 0);
        vectors[half] = i < item.numVectors ? vector : -1;
        visible[half] = visible_keys(p, item, vector / p.groupSize);
#if LOGIT_OPTIONS
        slopes[half] = p.alibiSlopes ? p.alibiSlopes[kv_head * p.groupSize + vector % p.groupSize] : 0.0f;
        distances[half] = item.firstPosition - p.rowPositions[vector / p.groupSize];
#endif
    }

    // The keys that any of the block's rows sees.
    int first_key = 0, end_key = item.numKeys;
    if ((item.splitAndMask & 1) != 0 || p.window != ALL_POSITIONS)
    {
        if (threadIdx.x == 0)
        {
            range[0] = item.numKeys;
            range[1] = 0;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < item.numVectors; i += WARPS * 32)
        {
            KeyRange keys = visible_keys(p, item, (item.firstVector + i) / p.groupSize);
            if (keys.first < keys.end)
            {
                atomicMin(range, keys.first);
                atomicMax(range + 1, keys.end);
            }
        }
        __syncthreads();
        first_key = range[0];
        end_key = range[1];
    }
    const int first_page = (item.firstSlot + first_key) / PAGE_SIZE;
    const int end_page = first_key < end_key ? (item.firstSlot + end_key - 1) / PAGE_SIZE + 1 : first_page;

    float output[DIM_TILES][4] = {};
    float maxima[2], sums[2] = {}, weights[2] = {};
    maxima[0] = maxima[1] = -float_from_bits(INFINITY_BITS);
    const float factor = LOGIT_OPTIONS ? 1.0f : p.scale * LOG2_E;

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
        const u32 keys = stages + (page - first_page) % STAGES * STAGE_BYTES, values = keys + IMAGE_BYTES;

#pragma unroll 1
        for (int part = 0; part < PAGE_SIZE; part += KEYS)
        {
            float scores[KEY_TILES][4] = {};
#pragma unroll
            for (int k = 0; k < PADDED_DIM / 16; k++)
            {
                u32 a[4];
                load_matrices(a, query_tile + tile_offset<ROWS>(warp * 16 + lane % 16, k * 16, lane / 16));
#pragma unroll
                for (int n = 0; n < KEY_TILES / 2; n++)
                {
                    u32 b[4];
                    load_matrices(b, keys + tile_offset<PAGE_SIZE>(part + n * 16 + lane % 8 + lane / 16 * 8, k * 16, lane / 8 % 2));
                    multiply_add(scores[2 * n], a, b[0], b[1]);
                    multiply_add(scores[2 * n + 1], a, b[2], b[3]);
                }
            }

            u32 packed[KEY_TILES][2];
            // Column j of this lane's scores belongs to key part_key + j, counted from the item's first.
            const int part_key = page * PAGE_SIZE + part - item.firstSlot, lane_key = part_key + lane % 4 * 2;
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                KeyRange seen = visible[half];
#if LOGIT_OPTIONS
#pragma unroll
                for (int n = 0; n < KEY_TILES; n++)
                {
#pragma unroll
                    for (int j = 0; j < 2; j++)
                    {
                        float& score = scores[n][2 * half + j];
                        score = logit_base2(p, score, slopes[half], distances[half] + lane_key + n * 8 + j);
                    }
                }
#endif
                if (part_key < seen.first || part_key + KEYS > seen.end)
                {
#pragma unroll
                    for (int n = 0; n < KEY_TILES; n++)
                    {
#pragma unroll
                        for (int j = 0; j < 2; j++)
                        {
                            int key = lane_key + n * 8 + j;
                            if (key < seen.first || key >= seen.end) scores[n][2 * half + j] = -float_from_bits(INFINITY_BITS);
                        }
                    }
                }
                float maximum = maxima[half];
#pragma unroll
                for (int n = 0; n < KEY_TILES; n++) maximum = fmaxf(maximum, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
                maximum = fmaxf(maximum, shuffle_xor(maximum, 1));
                maximum = fmaxf(maximum, shuffle_xor(maximum, 2));
                // Without a visible key the maximum is -infinity, and infinity less infinity would be NaN.
                float reference = maximum == -float_from_bits(INFINITY_BITS) ? 0.0f : multiply_rounded(maximum, factor);
                float correction = exp2_approx(multiply_rounded(maxima[half], factor) - reference);
                maxima[half] = maximum;
                sums[half] *= correction;
                weights[half] *= correction;
#pragma unroll
                for (int d = 0; d < DIM_TILES; d++)
                {
                    output[d][2 * half] *= correction;
                    output[d][2 * half + 1] *= correction;
                }
#pragma unroll
                for (int n = 0; n < KEY_TILES; n++)
                {
                    float first = exp2_approx(scores[n][2 * half] * factor - reference);
                    float second = exp2_approx(scores[n][2 * half + 1] * factor - reference);
                    sums[half] += first + second;
                    // The product of weights and values takes 16-bit weights; dividing by the sum of those keeps their mean exact.
                    packed[n][half] = pack(first, second, STORAGE);
                    weights[half] += widen((u16)packed[n][half], STORAGE) + widen((u16)(packed[n][half] >> 16), STORAGE);
                }
            }

            // Two key tiles of weights side by side are one operand.
#pragma unroll
            for (int k = 0; k < KEY_TILES / 2; k++)
            {
                u32 a[4] = {packed[2 * k][0], packed[2 * k][1], packed[2 * k + 1][0], packed[2 * k + 1][1]};
#pragma unroll
                for (int d = 0; d < DIM_TILES / 2; d++)
                {
                    u32 b[4];
                    load_matrices_transposed(b, values + tile_offset<PAGE_SIZE>(part + k * 16 + lane % 16, d * 16, lane / 16));
                    multiply_add(output[2 * d], a, b[0], b[1]);
                    multiply_add(output[2 * d + 1], a, b[2], b[3]);
                }
            }
        }
        __syncthreads();
    }
    copy_wait<0>();

#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = sums[half], weight = weights[half];
#pragma unroll
        for (int mask = 1; mask <= 2; mask *= 2)
        {
            sum += shuffle_xor(sum, mask);
            weight += shuffle_xor(weight, mask);
        }
        if (vectors[half] < 0) continue;
        Target target = target_of(p, item, kv_head, vectors[half]);
        if (lane % 4 == 0) store_sums(p, target, multiply_rounded(maxima[half], factor), sum, weight);
        float reciprocal = reciprocal_of(weight);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            int column = d * 8 + lane % 4 * 2;
            if (d * 8 >= HEAD_DIM) continue;
            store_output(p, target, column, output[d][2 * half], reciprocal);
            store_output(p, target, column + 1, output[d][2 * half + 1], reciprocal);
        }
    }
}
