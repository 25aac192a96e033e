// Attention of few vectors over keys that nobody else reads: bound by memory, so keys stand where matrix instructions are wide
// and vectors where they are narrow. One block computes up to 8 vectors of one item and key/value head. Each warp streams the same 16
// slots of every page through a ring of its own, with its own softmax; the warps meet once, at the end.
// Grid (numItems, numKvHeads), block WARPS * 32. STORAGE is a 16-bit type, also that of the queries.
// Defines: STAGES (pages in flight), LOGIT_OPTIONS (ALiBi, soft-cap, or a scale that is not positive).
// Dynamic shared memory: the rings [WARPS][STAGES] of 16 slots of keys and values; at the end outputs FP32
// [WARPS, MAX_VECTORS, PADDED_DIM] and sums [WARPS, MAX_VECTORS, 4].
#include "common.cuh"

#define WARPS 4
#define MAX_VECTORS 8
#define SLOTS (PAGE_SIZE / WARPS)
#define SLICE_BYTES (SLOTS * PADDED_DIM * 2)
#define DIM_TILES (PADDED_DIM / 16)
#define SUMS_OFFSET (WARPS * MAX_VECTORS * PADDED_DIM * 4)

// Copies a warp's 16 slots of a page. Values outside the item are set to zero, because a weight of zero does not remove a NaN.
DEVICE void load_slice(const AttentionParameters& p, const AttentionItem& item, int kv_head, int page, int warp, int lane, u32 destination)
{
    const u8* source = (const u8*)p.pages[item.firstPage + page] + p.layerOffset + (u64)kv_head * (2 * IMAGE_BYTES);
    int first = item.firstSlot - page * PAGE_SIZE, end = first + item.numKeys;
#pragma unroll
    for (int i = 0; i < SLICE_BYTES / 16 / 32; i++)
    {
        int chunk = i * 32 + lane, row = chunk / (PADDED_DIM / 8), column = chunk % (PADDED_DIM / 8) * 8, slot = warp * SLOTS + row;
        u32 from = tile_offset<PAGE_SIZE>(slot, column / 16 * 16, column / 8 % 2);
        u32 to = tile_offset<SLOTS>(row, column / 16 * 16, column / 8 % 2);
        copy_async(destination + to, source + from, true);
        copy_async(destination + SLICE_BYTES + to, source + IMAGE_BYTES + from, slot >= first && slot < end);
    }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1) attention_sequence(const AttentionParameters p)
{
    const AttentionItem item = p.items[blockIdx.x];
    const int kv_head = blockIdx.y;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 ring = shared_address(shared_memory) + warp * (STAGES * 2 * SLICE_BYTES);

    // The operand of queries: lane l holds elements k * 16 + 2 * (l % 4) + {0, 1} and those 8 further of vector l / 4.
    u32 queries[PADDED_DIM / 16][2];
    {
        bool is_valid = lane / 4 < item.numVectors;
        int vector = item.firstVector + (is_valid ? lane / 4 : 0);
        long long row_head = (long long)(vector / p.groupSize) * p.numHeads + kv_head * p.groupSize + vector % p.groupSize;
        const u32* source = (const u32*)((const u16*)p.query + row_head * HEAD_DIM);
#pragma unroll
        for (int k = 0; k < PADDED_DIM / 16; k++)
        {
            queries[k][0] = is_valid ? source[k * 8 + lane % 4] : 0;
            queries[k][1] = is_valid && k * 16 + 8 < HEAD_DIM ? source[k * 8 + 4 + lane % 4] : 0;
        }
    }

    // Lane l holds, of each tile of scores or outputs, vectors 2 * (l % 4) and the next, keys or columns l / 4 and l / 4 + 8.
    KeyRange visible[2];
#if LOGIT_OPTIONS
    float slopes[2];
    int distances[2];  // position of the item's first key less the row's
#endif
    int first_key = item.numKeys, end_key = 0;
#pragma unroll
    for (int i = 0; i < MAX_VECTORS; i++)
    {
        int vector = item.firstVector + (i < item.numVectors ? i : 0);
        KeyRange keys = visible_keys(p, item, vector / p.groupSize);
        if (keys.first < keys.end)
        {
            first_key = min(first_key, keys.first);
            end_key = max(end_key, keys.end);
        }
        if (i / 2 != lane % 4) continue;
        visible[i % 2] = keys;
#if LOGIT_OPTIONS
        slopes[i % 2] = p.alibiSlopes ? p.alibiSlopes[kv_head * p.groupSize + vector % p.groupSize] : 0.0f;
        distances[i % 2] = item.firstPosition - p.rowPositions[vector / p.groupSize];
#endif
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
        if (first_page + stage < end_page)
            load_slice(p, item, kv_head, first_page + stage, warp, lane, ring + stage * (2 * SLICE_BYTES));
        copy_commit();
    }
    for (int page = first_page; page < end_page; page++)
    {
        int ahead = page + STAGES - 1;
        if (ahead < end_page)
            load_slice(p, item, kv_head, ahead, warp, lane, ring + (ahead - first_page) % STAGES * (2 * SLICE_BYTES));
        copy_commit();
        copy_wait<STAGES - 1>();
        warp_barrier();
        const u32 keys = ring + (page - first_page) % STAGES * (2 * SLICE_BYTES), values = keys + SLICE_BYTES;

        float scores[4] = {};
#pragma unroll
        for (int k = 0; k < PADDED_DIM / 16; k++)
        {
            u32 a[4];
            load_matrices(a, keys + tile_offset<SLOTS>(lane % 16, k * 16, lane / 16));
            multiply_add(scores, a, queries[k][0], queries[k][1]);
        }

        // scores[2 * half + j]: key lane_key + 8 * half, vector j of the lane's two.
        const int lane_key = page * PAGE_SIZE - item.firstSlot + warp * SLOTS + lane / 4;
        float corrections[2];
        u32 packed[2];
#pragma unroll
        for (int j = 0; j < 2; j++)
        {
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                int key = lane_key + 8 * half;
#if LOGIT_OPTIONS
                scores[2 * half + j] = logit_base2(p, scores[2 * half + j], slopes[j], distances[j] + key);
#endif
                if (key < visible[j].first || key >= visible[j].end) scores[2 * half + j] = -float_from_bits(INFINITY_BITS);
            }
            float maximum = fmaxf(maxima[j], fmaxf(scores[j], scores[2 + j]));
#pragma unroll
            for (int mask = 4; mask <= 16; mask *= 2) maximum = fmaxf(maximum, shuffle_xor(maximum, mask));
            // Without a visible key the maximum is -infinity, and infinity less infinity would be NaN.
            float reference = maximum == -float_from_bits(INFINITY_BITS) ? 0.0f : maximum;
            corrections[j] = exp2_approx((maxima[j] - reference) * factor);
            maxima[j] = maximum;
            scores[j] = exp2_approx((scores[j] - reference) * factor);
            scores[2 + j] = exp2_approx((scores[2 + j] - reference) * factor);
            sums[j] = sums[j] * corrections[j] + (scores[j] + scores[2 + j]);
        }
        // The product of weights and values takes 16-bit weights; dividing by the sum of those keeps their mean exact.
        packed[0] = pack(scores[0], scores[1], STORAGE);
        packed[1] = pack(scores[2], scores[3], STORAGE);
        weights[0] = weights[0] * corrections[0] + (widen((u16)packed[0], STORAGE) + widen((u16)packed[1], STORAGE));
        weights[1] = weights[1] * corrections[1] + (widen((u16)(packed[0] >> 16), STORAGE) + widen((u16)(packed[1] >> 16), STORAGE));
        const u32 b0 = transpose_matrix(packed[0]), b1 = transpose_matrix(packed[1]);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
#pragma unroll
            for (int i = 0; i < 4; i++) output[d][i] *= corrections[i % 2];
            u32 a[4];
            load_matrices_transposed(a, values + tile_offset<SLOTS>(lane % 8 + lane / 16 * 8, d * 16, lane / 8 % 2));
            multiply_add(output[d], a, b0, b1);
        }
        warp_barrier();
    }
    copy_wait<0>();
    __syncthreads();

    // The warps' results, one behind the other.
    float* outputs = (float*)shared_memory;
    float* all_sums = (float*)(shared_memory + SUMS_OFFSET);
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
#pragma unroll
        for (int mask = 4; mask <= 16; mask *= 2)
        {
            sums[j] += shuffle_xor(sums[j], mask);
            weights[j] += shuffle_xor(weights[j], mask);
        }
        int index = warp * MAX_VECTORS + lane % 4 * 2 + j;
        if (lane < 4)
        {
            all_sums[index * 4] = maxima[j] * factor;
            all_sums[index * 4 + 1] = sums[j];
            all_sums[index * 4 + 2] = weights[j];
        }
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            outputs[index * PADDED_DIM + d * 16 + lane / 4] = output[d][j];
            outputs[index * PADDED_DIM + d * 16 + 8 + lane / 4] = output[d][2 + j];
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < item.numVectors * HEAD_DIM; i += WARPS * 32)
    {
        int vector = i / HEAD_DIM, column = i % HEAD_DIM;
        float maximum = -float_from_bits(INFINITY_BITS), sum = 0.0f, weight = 0.0f, value = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
        {
            if (all_sums[(w * MAX_VECTORS + vector) * 4 + 1] != 0.0f) maximum = fmaxf(maximum, all_sums[(w * MAX_VECTORS + vector) * 4]);
        }
#pragma unroll
        for (int w = 0; w < WARPS; w++)
        {
            int index = w * MAX_VECTORS + vector;
            if (all_sums[index * 4 + 1] == 0.0f) continue;
            float share = exp2_approx(all_sums[index * 4] - maximum);
            sum += share * all_sums[index * 4 + 1];
            weight += share * all_sums[index * 4 + 2];
            value += share * outputs[index * PADDED_DIM + column];
        }
        Target target = target_of(p, item, kv_head, item.firstVector + vector);
        if (column == 0) store_sums(p, target, maximum, sum, weight);
        store_output(p, target, column, value, reciprocal_of(weight));
    }
}
