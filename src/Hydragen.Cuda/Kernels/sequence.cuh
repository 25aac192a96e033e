// A warp's share of attention_sequence: tasks and their slices, queries, and the loop's body. Defines of the including kernel: see there.
#pragma once
#include "vectors.cuh"


#define MAX_VECTORS 8
#define SLOTS (IS_BYTE ? 32 : 16)
#define KEY_TILES (SLOTS / 16)
#define SLICE_BYTES (SLOTS * COLUMNS * 2)
#define SLICE_SCALES (2 * SLICE_BYTES)
#define STAGE_BYTES (2 * SLICE_BYTES + (STORAGE == INT8 ? 2 * SLOTS * 2 : 0))
// Rows of results that start in different banks.
#define RESULT_STRIDE (PADDED_DIM + 4)
#define SUMS_OFFSET (MAX_VECTORS * RESULT_STRIDE * 4)
#define DIM_TILES (PADDED_DIM / 16)
// Blocks of a multiprocessor; large heads need the registers of several.
#define MIN_BLOCKS (HEAD_DIM > 128 ? 1 : STAGES > 1 || LOGIT_OPTIONS || IS_BYTE || HEAD_DIM % 64 != 0 ? 3 : 4)

// An item of a task, and the slices of a warp in it, counted from the slice with slot 0 of the item's first page.
struct Task
{
    AttentionItem item;
    int next;  // the item that goes on with further keys of the same vectors; 0: the results are stored
    int kv_head;
    int first_slice;
    int end_slice;
};

DEVICE Task task_of(const AttentionParameters& p, int item, int kv_head, int member, int lane)
{
    Task task;
    task.item = load_item(p.items + item);
    task.next = 0;
#if HAS_NEXT
    // Both are in one word.
    task.next = task.item.firstSlot / PAGE_SIZE;
    task.item.firstSlot %= PAGE_SIZE;
#endif
    task.kv_head = kv_head;
    const KeyRange needed = needed_keys(p, task.item, lane);
    task.first_slice = (task.item.firstSlot + needed.first) / SLOTS;
    task.end_slice = needed.first < needed.end ? (task.item.firstSlot + needed.end - 1) / SLOTS + 1 : task.first_slice;
    task.first_slice += (member - task.first_slice) & (TASK_WARPS - 1);
    return task;
}

DEVICE u64 page_of(const AttentionParameters& p, const Task& task, int slice) { return p.pages[task.item.firstPage + slice / (PAGE_SIZE / SLOTS)]; }

// Copies a slice. What lies outside the item becomes zero: a weight of zero does not remove a NaN. page: page_of the slice.
DEVICE void load_slice(const AttentionParameters& p, const Task& task, int slice, u64 page, int lane, u32 destination)
{
    const u8* source = (const u8*)page + p.layerOffset + (u64)task.kv_head * HEAD_BYTES;
    const int first_key = slice * SLOTS - task.item.firstSlot, page_slot = slice % (PAGE_SIZE / SLOTS) * SLOTS;
#pragma unroll
    for (int i = 0; i < SLICE_BYTES / 16 / 32; i++)
    {
        const int chunk = i * 32 + lane, row = chunk / (COLUMNS / 8), column = chunk % (COLUMNS / 8) * 8;
        u32 from = tile_offset<PAGE_SIZE>(page_slot + row, column / 16 * 16, column / 8 % 2);
        u32 to = tile_offset<SLOTS>(row, column / 16 * 16, column / 8 % 2);
        bool is_inside = first_key + row >= 0 && first_key + row < task.item.numKeys;
        copy_async(destination + to, source + from, is_inside);
        copy_async(destination + SLICE_BYTES + to, source + IMAGE_BYTES + from, is_inside);
    }
#if STORAGE == INT8
    // The scales of keys, then of values; those outside the item are not used.
    if (lane < 2 * SLOTS / 8)
    {
        const int image = lane / (SLOTS / 8), first = lane % (SLOTS / 8) * 8;
        copy_async(destination + SLICE_SCALES + lane * 16, source + SCALES_OFFSET + (image * PAGE_SIZE + page_slot + first) * 2, true);
    }
#endif
}

// The operand of queries: of 16 elements lane l holds, of vector l / 4, elements 2 * (l % 4) + {0, 1} and those 8 further; with bytes
// 4 * (l % 4) + {0, 1} and {2, 3}, as a word of keys has them. scale: what scores must be multiplied with.
DEVICE void load_queries(const AttentionParameters& p, const Task& task, int lane, u32 (&queries)[PADDED_DIM / 16][2], float& scale)
{
    const int second = IS_BYTE ? 1 : 4, first = IS_BYTE ? lane % 4 * 2 : lane % 4;
    bool is_valid = lane / 4 < task.item.numVectors;
    int vector = task.item.firstVector + (is_valid ? lane / 4 : 0);
    const u32* source = (const u32*)((const u16*)p.query + ((long long)row_of(p, vector) * p.numHeads + head_of(p, task.kv_head, vector)) * HEAD_DIM);
#pragma unroll
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        queries[k][0] = is_valid && k * 16 + (IS_BYTE ? lane % 4 * 4 : 0) < HEAD_DIM ? source[k * 8 + first] : 0;
        queries[k][1] = is_valid && k * 16 + (IS_BYTE ? lane % 4 * 4 : 8) < HEAD_DIM ? source[k * 8 + first + second] : 0;
    }
#if IS_BYTE
    float largest = 0.0f, down;
#pragma unroll
    for (int i = 0; i < PADDED_DIM / 4; i++)
        largest = fmaxf(largest, fabsf(widen((u16)(queries[i / 4][i / 2 % 2] >> i % 2 * 16), p.queryType)));
    largest = fmaxf(largest, shuffle_xor(largest, 1));
    largest = fmaxf(largest, shuffle_xor(largest, 2));
    query_scales(largest, down, scale);
    scale = score_scale(p, task.kv_head, scale);
#pragma unroll
    for (int i = 0; i < PADDED_DIM / 8; i++)
    {
        const u32 pair = queries[i / 2][i % 2];
        queries[i / 2][i % 2] = pack_float16(widen((u16)pair, p.queryType) * down, widen((u16)(pair >> 16), p.queryType) * down);
    }
#endif
}

// What a warp knows of a task's vectors. Lane l holds, of each tile of scores or outputs, vectors 2 * (l % 4) and the next, keys l / 4
// and l / 4 + 8 or the columns column_of tells.
struct Vectors : TwoVectors
{
    float maxima[2];   // of products, or of logits with LOGIT_OPTIONS
    float sums[2];
    float output[DIM_TILES][4];
};

// The column of a tile of 16 that a lane holds; pairs of bytes are transposed together, so bytes have neighbours.
DEVICE int column_of(int lane, int half) { return IS_BYTE ? lane / 4 * 2 + half : lane / 4 + half * 8; }

// The vectors of a lane, those that do not exist for the first.
DEVICE int vector_of(const Task& task, int lane, int j)
{
    const int i = lane % 4 * 2 + j;
    return task.item.firstVector + (i < task.item.numVectors ? i : 0);
}

// What they see of the keys of an item.
DEVICE void set_keys(const AttentionParameters& p, const Task& task, int lane, Vectors& v)
{
#pragma unroll
    for (int j = 0; j < 2; j++) set_keys(p, task.item, vector_of(task, lane, j), v, j);
}

// query_scale: that of vector lane / 4.
DEVICE void start_vectors(const AttentionParameters& p, const Task& task, int lane, float query_scale, Vectors& v)
{
    set_keys(p, task, lane, v);
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        set_slope(p, task.kv_head, vector_of(task, lane, j), v, j);
#if IS_BYTE
        v.scales[j] = shuffle_from(query_scale, (lane % 4 * 2 + j) * 4);
#endif
        v.maxima[j] = -float_from_bits(INFINITY_BITS);
        v.sums[j] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++) v.output[d][0] = v.output[d][1] = v.output[d][2] = v.output[d][3] = 0.0f;
}

#if IS_BYTE
// Two scales of INT8, zero for keys that the item does not have: first and second are indices in the item.
DEVICE u32 scales_of(u32 pair, int first, int second, int num_keys)
{
    return (first >= 0 && first < num_keys ? pair & 0xffff : 0) | (second >= 0 && second < num_keys ? pair & 0xffff0000u : 0);
}

DEVICE u32 load_scales(u32 address)
{
    u32 result;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(result) : "r"(address) : "memory");
    return result;
}

// Products of 16 slots' keys with the vectors.
DEVICE void multiply_keys(float (&scores)[4], const u32 (&queries)[PADDED_DIM / 16][2], u32 keys, int tile, int lane)
{
#if STORAGE == INT8
    const u32 even = load_scales(keys + SLICE_SCALES + (tile * 16 + lane / 4 & ~1) * 2), odd = load_scales(keys + SLICE_SCALES + (tile * 16 + 8 + lane / 4 & ~1) * 2);
    const u32 upper = both_halves((u16)(even >> lane / 4 % 2 * 16)), lower = both_halves((u16)(odd >> lane / 4 % 2 * 16));
#endif
#pragma unroll
    for (int k = 0; k < COLUMNS / 16; k++)
    {
        u32 words[4];
        load_matrices(words, keys + tile_offset<SLOTS>(tile * 16 + lane % 16, k * 16, lane / 16));
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            u32 a[4];
            widen_bytes(words[2 * half], a[0], a[2]);
            widen_bytes(words[2 * half + 1], a[1], a[3]);
#if STORAGE == INT8
            a[0] = multiply_halves(a[0], upper);
            a[2] = multiply_halves(a[2], upper);
            a[1] = multiply_halves(a[1], lower);
            a[3] = multiply_halves(a[3], lower);
#endif
            multiply_add(scores, a, queries[2 * k + half][0], queries[2 * k + half][1]);
        }
    }
}

// Adds the weights of 16 slots times their values. first_key: of the slots; num_keys: the item's.
DEVICE void multiply_values(Vectors& v, u32 b0, u32 b1, u32 values, int tile, int first_key, int num_keys, int lane)
{
#if STORAGE == INT8
    const int slot = lane % 4 * 2, key = first_key + slot;
    const u32 scales = values + SLICE_SCALES - SLICE_BYTES + (SLOTS + tile * 16 + slot) * 2;
    const u32 low = scales_of(load_scales(scales), key, key + 1, num_keys), high = scales_of(load_scales(scales + 16), key + 8, key + 9, num_keys);
#endif
#pragma unroll
    for (int d = 0; d < COLUMNS / 16; d++)
    {
        u32 words[4];
        load_matrices_transposed(words, values + tile_offset<SLOTS>(tile * 16 + lane % 8 + lane / 16 * 8, d * 16, lane / 8 % 2));
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            u32 a[4];
            widen_bytes(select_bytes(words[half], 0, 0x3120), a[0], a[1]);
            widen_bytes(select_bytes(words[2 + half], 0, 0x3120), a[2], a[3]);
#if STORAGE == INT8
            a[0] = multiply_halves(a[0], low);
            a[1] = multiply_halves(a[1], low);
            a[2] = multiply_halves(a[2], high);
            a[3] = multiply_halves(a[3], high);
#endif
            multiply_add(v.output[2 * d + half], a, b0, b1);
        }
    }
}
#else
DEVICE void multiply_keys(float (&scores)[4], const u32 (&queries)[PADDED_DIM / 16][2], u32 keys, int tile, int lane)
{
#pragma unroll
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        u32 a[4];
        load_matrices(a, keys + tile_offset<SLOTS>(tile * 16 + lane % 16, k * 16, lane / 16));
        multiply_add(scores, a, queries[k][0], queries[k][1]);
    }
}

DEVICE void multiply_values(Vectors& v, u32 b0, u32 b1, u32 values, int tile, int first_key, int num_keys, int lane)
{
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++)
    {
        u32 a[4];
        load_matrices_transposed(a, values + tile_offset<SLOTS>(tile * 16 + lane % 8 + lane / 16 * 8, d * 16, lane / 8 % 2));
        multiply_add(v.output[d], a, b0, b1);
    }
}
#endif

// first_key: of the slice, counted from the item's first; num_keys: the item's.
DEVICE void add_slice(
    const AttentionParameters& p, Vectors& v, const u32 (&queries)[PADDED_DIM / 16][2], int first_key, int num_keys, int lane, u32 keys)
{
    // scores[tile][2 * half + j]: key lane_key + 16 * tile + 8 * half, vector j of the lane's two.
    float scores[KEY_TILES][4] = {};
#pragma unroll
    for (int tile = 0; tile < KEY_TILES; tile++) multiply_keys(scores[tile], queries, keys, tile, lane);
    const int lane_key = first_key + lane / 4;
    float corrections[2];
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        const float factor = factor_of(p, v, j);
        float maximum = v.maxima[j];
#pragma unroll
        for (int i = 0; i < 2 * KEY_TILES; i++)
        {
            float& score = scores[i / 2][i % 2 * 2 + j];
            const int key = lane_key + 8 * i;
#if LOGIT_OPTIONS && IS_BYTE
            score *= v.scales[j];
#endif
#if LOGIT_OPTIONS
            score = logit_base2(p, score, v.slopes[j], v.distances[j] + key);
#endif
            if (key < v.visible[j].first || key >= v.visible[j].end) score = -float_from_bits(INFINITY_BITS);
            maximum = fmaxf(maximum, score);
        }
#pragma unroll
        for (int mask = 4; mask <= 16; mask *= 2) maximum = fmaxf(maximum, shuffle_xor(maximum, mask));
        // Without a visible key the maximum is -infinity, and infinity less infinity would be NaN.
        float reference = maximum == -float_from_bits(INFINITY_BITS) ? 0.0f : maximum;
        corrections[j] = exp2_approx((v.maxima[j] - reference) * factor);
        v.maxima[j] = maximum;
        v.sums[j] *= corrections[j];
#pragma unroll
        for (int i = 0; i < KEY_TILES; i++)
        {
            scores[i][j] = exp2_approx((scores[i][j] - reference) * factor);
            scores[i][2 + j] = exp2_approx((scores[i][2 + j] - reference) * factor);
            v.sums[j] += scores[i][j] + scores[i][2 + j];
        }
    }
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) v.output[d][i] *= corrections[i % 2];
    }
#pragma unroll
    for (int tile = 0; tile < KEY_TILES; tile++)
    {
        const u32 b0 = transpose_matrix(pack(scores[tile][0], scores[tile][1], OPERAND)), b1 = transpose_matrix(pack(scores[tile][2], scores[tile][3], OPERAND));
        multiply_values(v, b0, b1, keys + SLICE_BYTES, tile, first_key + tile * 16, num_keys, lane);
    }
}
