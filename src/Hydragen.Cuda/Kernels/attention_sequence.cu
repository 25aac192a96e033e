// Attention of few vectors over keys that nobody else reads: bound by memory, so keys stand where matrix instructions are wide
// and vectors where they are narrow. A task is an item, up to 8 vectors, and a key/value head. TASK_WARPS warps share a task: they take
// turns at its slices of 16 slots, each with its own softmax, and meet once at the end. While they compute a slice the next one, be it of
// the next task, is on its way; single warps are so many that they need not.
// Grid: any number of blocks of WARPS * 32 threads, which share all tasks: whole blocks take tickets, single warps a fixed share, because
// tickets would take longer than their tasks. STORAGE is a 16-bit type, also that of the queries.
// Defines: WARPS (2 or 4), TASK_WARPS (WARPS or 1), LOGIT_OPTIONS (ALiBi, soft-cap, or a scale that is not positive).
// Dynamic shared memory: for each warp STAGES slices of keys and values; a stage also holds its results when warps meet, outputs FP32
// [MAX_VECTORS, PADDED_DIM] and sums [MAX_VECTORS, 2].
#include "common.cuh"

#define STAGES (TASK_WARPS > 1 ? 2 : 1)
#define MAX_VECTORS 8
#define SLOTS 16
#define SLICE_BYTES (SLOTS * PADDED_DIM * 2)
#define STAGE_BYTES (MAX_VECTORS * (PADDED_DIM + 2) * 4 > 2 * SLICE_BYTES ? MAX_VECTORS * (PADDED_DIM + 2) * 4 : 2 * SLICE_BYTES)
#define SUMS_OFFSET (MAX_VECTORS * PADDED_DIM * 4)
#define DIM_TILES (PADDED_DIM / 16)
// Blocks of a multiprocessor; large heads need the registers of several.
#define MIN_BLOCKS (HEAD_DIM > 128 ? 1 : TASK_WARPS > 1 || LOGIT_OPTIONS || HEAD_DIM % 64 != 0 ? 3 : 4)

// A task, and the slices of a warp in it, counted from the slice with slot 0 of the item's first page.
struct Task
{
    AttentionItem item;
    int kv_head;
    int first_slice;
    int end_slice;
};

DEVICE Task task_of(const AttentionParameters& p, int index, int member, int lane)
{
    Task task;
    task.item = load_item(p.items + index / p.numKvHeads);
    task.kv_head = index % p.numKvHeads;
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
    const u8* source = (const u8*)page + p.layerOffset + (u64)task.kv_head * (2 * IMAGE_BYTES);
    const int first_key = slice * SLOTS - task.item.firstSlot, page_slot = slice % (PAGE_SIZE / SLOTS) * SLOTS;
#pragma unroll
    for (int i = 0; i < SLICE_BYTES / 16 / 32; i++)
    {
        const int chunk = i * 32 + lane, row = chunk / (PADDED_DIM / 8), column = chunk % (PADDED_DIM / 8) * 8;
        u32 from = tile_offset<PAGE_SIZE>(page_slot + row, column / 16 * 16, column / 8 % 2);
        u32 to = tile_offset<SLOTS>(row, column / 16 * 16, column / 8 % 2);
        bool is_inside = first_key + row >= 0 && first_key + row < task.item.numKeys;
        copy_async(destination + to, source + from, is_inside);
        copy_async(destination + SLICE_BYTES + to, source + IMAGE_BYTES + from, is_inside);
    }
}

// The operand of queries: lane l holds elements k * 16 + 2 * (l % 4) + {0, 1} and those 8 further of vector l / 4.
DEVICE void load_queries(const AttentionParameters& p, const Task& task, int lane, u32 (&queries)[PADDED_DIM / 16][2])
{
    bool is_valid = lane / 4 < task.item.numVectors;
    int vector = task.item.firstVector + (is_valid ? lane / 4 : 0);
    long long row_head = (long long)(vector / p.groupSize) * p.numHeads + task.kv_head * p.groupSize + vector % p.groupSize;
    const u32* source = (const u32*)((const u16*)p.query + row_head * HEAD_DIM);
#pragma unroll
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        queries[k][0] = is_valid ? source[k * 8 + lane % 4] : 0;
        queries[k][1] = is_valid && k * 16 + 8 < HEAD_DIM ? source[k * 8 + 4 + lane % 4] : 0;
    }
}

// What a warp knows of a task's vectors. Lane l holds, of each tile of scores or outputs, vectors 2 * (l % 4) and the next, keys or
// columns l / 4 and l / 4 + 8.
struct Vectors
{
    KeyRange visible[2];
#if LOGIT_OPTIONS
    float slopes[2];
    int distances[2];  // position of the item's first key less the row's
#endif
    float maxima[2];   // of scores before the factor
    float sums[2];
    float output[DIM_TILES][4];
};

DEVICE void start_vectors(const AttentionParameters& p, const Task& task, int lane, Vectors& v)
{
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        int i = lane % 4 * 2 + j, vector = task.item.firstVector + (i < task.item.numVectors ? i : 0);
        v.visible[j] = visible_keys(p, task.item, vector / p.groupSize);
#if LOGIT_OPTIONS
        v.slopes[j] = p.alibiSlopes ? p.alibiSlopes[task.kv_head * p.groupSize + vector % p.groupSize] : 0.0f;
        v.distances[j] = task.item.firstPosition - p.rowPositions[vector / p.groupSize];
#endif
        v.maxima[j] = -float_from_bits(INFINITY_BITS);
        v.sums[j] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++) v.output[d][0] = v.output[d][1] = v.output[d][2] = v.output[d][3] = 0.0f;
}

// first_key: of the slice, counted from the item's first.
DEVICE void add_slice(
    const AttentionParameters& p, Vectors& v, const u32 (&queries)[PADDED_DIM / 16][2], int first_key, float factor, int lane, u32 keys)
{
    const u32 values = keys + SLICE_BYTES;
    // Two sums, because each product waits for the one before.
    float scores[4] = {}, others[4] = {};
#pragma unroll
    for (int k = 0; k < PADDED_DIM / 16; k++)
    {
        u32 a[4];
        load_matrices(a, keys + tile_offset<SLOTS>(lane % 16, k * 16, lane / 16));
        multiply_add(k % 2 == 0 ? scores : others, a, queries[k][0], queries[k][1]);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) scores[i] += others[i];
    // scores[2 * half + j]: key lane_key + 8 * half, vector j of the lane's two.
    const int lane_key = first_key + lane / 4;
    float corrections[2];
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            int key = lane_key + 8 * half;
#if LOGIT_OPTIONS
            scores[2 * half + j] = logit_base2(p, scores[2 * half + j], v.slopes[j], v.distances[j] + key);
#endif
            if (key < v.visible[j].first || key >= v.visible[j].end) scores[2 * half + j] = -float_from_bits(INFINITY_BITS);
        }
        float maximum = fmaxf(v.maxima[j], fmaxf(scores[j], scores[2 + j]));
#pragma unroll
        for (int mask = 4; mask <= 16; mask *= 2) maximum = fmaxf(maximum, shuffle_xor(maximum, mask));
        // Without a visible key the maximum is -infinity, and infinity less infinity would be NaN.
        float reference = maximum == -float_from_bits(INFINITY_BITS) ? 0.0f : maximum;
        corrections[j] = exp2_approx((v.maxima[j] - reference) * factor);
        v.maxima[j] = maximum;
        scores[j] = exp2_approx((scores[j] - reference) * factor);
        scores[2 + j] = exp2_approx((scores[2 + j] - reference) * factor);
        v.sums[j] = v.sums[j] * corrections[j] + (scores[j] + scores[2 + j]);
    }
    const u32 b0 = transpose_matrix(pack(scores[0], scores[1], STORAGE)), b1 = transpose_matrix(pack(scores[2], scores[3], STORAGE));
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) v.output[d][i] *= corrections[i % 2];
        u32 a[4];
        load_matrices_transposed(a, values + tile_offset<SLOTS>(lane % 8 + lane / 16 * 8, d * 16, lane / 8 % 2));
        multiply_add(v.output[d], a, b0, b1);
    }
}

// Stores the results of a warp that has the task for itself.
DEVICE void store_warp(const AttentionParameters& p, const Task& task, const Vectors& v, float factor, int lane)
{
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        int i = lane % 4 * 2 + j;
        if (i >= task.item.numVectors) continue;
        Target target = target_of(p, task.item, task.kv_head, task.item.firstVector + i);
        if (lane < 4) store_sum(p, target, v.maxima[j] * factor, v.sums[j]);
        float reciprocal = reciprocal_of(v.sums[j]);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            store_output(p, target, d * 16 + lane / 4, v.output[d][j], reciprocal);
            if (d * 16 + 8 < HEAD_DIM) store_output(p, target, d * 16 + 8 + lane / 4, v.output[d][2 + j], reciprocal);
        }
    }
}

// Puts a warp's results where the others find them. results: a stage of its own that is free.
DEVICE void share_results(const Vectors& v, float factor, int lane, u8* results)
{
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        int index = lane % 4 * 2 + j;
        if (lane < 4) ((float2*)(results + SUMS_OFFSET))[index] = make_float2(v.maxima[j] * factor, v.sums[j]);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            ((float*)results)[index * PADDED_DIM + d * 16 + lane / 4] = v.output[d][j];
            ((float*)results)[index * PADDED_DIM + d * 16 + 8 + lane / 4] = v.output[d][2 + j];
        }
    }
}

// Merges and stores the results of the block's warps. results: of each warp.
DEVICE void store_block(const AttentionParameters& p, const Task& task, u8* const (&results)[WARPS])
{
    for (int i = threadIdx.x; i < task.item.numVectors * (HEAD_DIM / 2); i += WARPS * 32)
    {
        int vector = i / (HEAD_DIM / 2), column = i % (HEAD_DIM / 2) * 2;
        float maximum = -float_from_bits(INFINITY_BITS), sum = 0.0f;
        float2 value = make_float2(0.0f, 0.0f), sums[WARPS];
#pragma unroll
        for (int w = 0; w < WARPS; w++)
        {
            sums[w] = ((const float2*)(results[w] + SUMS_OFFSET))[vector];
            if (sums[w].y != 0.0f) maximum = fmaxf(maximum, sums[w].x);
        }
#pragma unroll
        for (int w = 0; w < WARPS; w++)
        {
            if (sums[w].y == 0.0f) continue;
            float share = exp2_approx(sums[w].x - maximum);
            float2 part = *(const float2*)(results[w] + (vector * PADDED_DIM + column) * 4);
            sum += share * sums[w].y;
            value.x += share * part.x;
            value.y += share * part.y;
        }
        Target target = target_of(p, task.item, task.kv_head, task.item.firstVector + vector);
        if (column == 0) store_sum(p, target, maximum, sum);
        store_outputs(p, target, column, value.x, value.y, reciprocal_of(sum));
    }
}

DEVICE void add_lanes(Vectors& v)
{
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
#pragma unroll
        for (int mask = 4; mask <= 16; mask *= 2) v.sums[j] += shuffle_xor(v.sums[j], mask);
    }
}

#if TASK_WARPS > 1
__shared__ int next_tickets[2];
__shared__ u8* shared_results[WARPS];

// Tasks of all warps of the block.
DEVICE void run(const AttentionParameters& p, int num_tasks, float factor, int warp, int lane)
{
    u8* const ring = shared_memory + warp * (STAGES * STAGE_BYTES);
    if (threadIdx.x == 0) next_tickets[0] = atomicAdd(p.tickets, 1);
    __syncthreads();
    int index = next_tickets[0], num_done = 0;
    if (index >= num_tasks) return;
    Task task = task_of(p, index, warp, lane);
    u32 queries[PADDED_DIM / 16][2];
    Vectors v;
    int slice = task.first_slice;
    if (slice < task.end_slice) load_slice(p, task, slice, page_of(p, task, slice), lane, shared_address(ring));
    copy_commit();
    u64 page = slice + TASK_WARPS < task.end_slice ? page_of(p, task, slice + TASK_WARPS) : 0;
    load_queries(p, task, lane, queries);
    start_vectors(p, task, lane, v);
    // Only now, when all blocks that can run have their first.
    if (threadIdx.x == 0) next_tickets[1] = atomicAdd(p.tickets, 1);
    __syncthreads();
    for (int step = 0;; step ^= 1)
    {
        Task next = task;
        u32 next_queries[PADDED_DIM / 16][2];
        int next_slice = slice + TASK_WARPS;
        const bool is_last = next_slice >= task.end_slice;
        if (is_last)
        {
            index = next_tickets[(num_done + 1) % 2];
            if (index < num_tasks)
            {
                next = task_of(p, index, warp, lane);
                next_slice = next.first_slice;
                if (next_slice < next.end_slice) page = page_of(p, next, next_slice);
                load_queries(p, next, lane, next_queries);
            }
        }
        if (next_slice < next.end_slice && index < num_tasks)
            load_slice(p, next, next_slice, page, lane, shared_address(ring + (step ^ 1) * STAGE_BYTES));
        copy_commit();
        // The address of what is copied in the next step, so that the copy need not wait for it.
        if (next_slice + TASK_WARPS < next.end_slice) page = page_of(p, next, next_slice + TASK_WARPS);
        if (slice < task.end_slice)
        {
            copy_wait<1>();
            warp_barrier();
            add_slice(p, v, queries, slice * SLOTS - task.item.firstSlot, factor, lane, shared_address(ring + step * STAGE_BYTES));
        }
        warp_barrier();
        if (is_last)
        {
            add_lanes(v);
            share_results(v, factor, lane, ring + step * STAGE_BYTES);
            if (lane == 0) shared_results[warp] = ring + step * STAGE_BYTES;
            int ticket;
            if (threadIdx.x == 0) ticket = atomicAdd(p.tickets, 1);
            __syncthreads();
            u8* results[WARPS];
#pragma unroll
            for (int w = 0; w < WARPS; w++) results[w] = shared_results[w];
            store_block(p, task, results);
            if (threadIdx.x == 0) next_tickets[num_done % 2] = ticket;
            __syncthreads();
            num_done++;
            if (index >= num_tasks) return;
#pragma unroll
            for (int k = 0; k < PADDED_DIM / 16; k++)
            {
                queries[k][0] = next_queries[k][0];
                queries[k][1] = next_queries[k][1];
            }
            start_vectors(p, next, lane, v);
        }
        task = next;
        slice = next_slice;
    }
}
#else
// Tasks of one warp; others of the multiprocessor compute while it waits.
DEVICE void run(const AttentionParameters& p, int num_tasks, float factor, int warp, int lane)
{
    const u32 stage = shared_address(shared_memory + warp * STAGE_BYTES);
    for (int index = blockIdx.x * WARPS + warp; index < num_tasks; index += gridDim.x * WARPS)
    {
        const Task task = task_of(p, index, 0, lane);
        u32 queries[PADDED_DIM / 16][2];
        Vectors v;
        load_queries(p, task, lane, queries);
        start_vectors(p, task, lane, v);
        for (int slice = task.first_slice; slice < task.end_slice; slice++)
        {
            load_slice(p, task, slice, page_of(p, task, slice), lane, stage);
            copy_commit();
            copy_wait<0>();
            warp_barrier();
            add_slice(p, v, queries, slice * SLOTS - task.item.firstSlot, factor, lane, stage);
            warp_barrier();
        }
        add_lanes(v);
        store_warp(p, task, v, factor, lane);
    }
}
#endif

extern "C" __global__ void __launch_bounds__(WARPS * 32, MIN_BLOCKS) attention_sequence(const AttentionParameters p)
{
    run(p, *p.numItems * p.numKvHeads, LOGIT_OPTIONS ? 1.0f : p.scaleBase2, threadIdx.x / 32, threadIdx.x % 32);
#if TASK_WARPS > 1
    // The last block leaves the counters as it found them.
    if (threadIdx.x == 0 && atomicInc((u32*)p.tickets + 1, gridDim.x - 1) == gridDim.x - 1) p.tickets[0] = 0;
#endif
    launch_dependents();
    // Whatever follows this kernel follows the nodes' too.
    wait_for_dependency();
}
