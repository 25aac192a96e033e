// Attention of few vectors over keys that nobody else, or few others, read: bound by memory, so keys stand where matrix instructions are wide
// and vectors where they are narrow. A task is an item of up to 8 vectors with those that it names as next, and a key/value head. TASK_WARPS
// warps share a task: they take turns at its slices of SLOTS slots, each with its own softmax, and meet once at the end. While they compute a
// slice the next one, be it of the next task, is on its way; single warps load ahead in their task only, or are so many that they need not.
// Grid: any number of blocks of WARPS * 32 threads, which share all tasks by tickets; single warps have a fixed share where all blocks start
// together, or do not load ahead. STORAGE is a 16-bit type, also that of the queries, or bytes, which meet 16-bit queries as FP16.
// Defines: WARPS (2 or 4), TASK_WARPS (WARPS or 1), STAGES (2; 1 for single warps that do not load ahead), HAS_NEXT (whether items may name a
// next), LOGIT_OPTIONS (ALiBi, soft-cap, or a scale that is not positive).
// Dynamic shared memory: for each warp STAGES slices of keys, values and their scales; a stage also holds results, outputs FP32
// [MAX_VECTORS, RESULT_STRIDE] and sums [MAX_VECTORS, 2].
#include "sequence.cuh"

// Puts a warp's results where others find them. results: a stage of its own that is free.
DEVICE void share_results(const AttentionParameters& p, const Task& task, const Vectors& v, int lane, u8* results)
{
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        int index = lane % 4 * 2 + j;
        if (index >= task.item.numVectors) continue;
        if (lane < 4) ((float2*)(results + SUMS_OFFSET))[index] = make_float2(v.maxima[j] * factor_of(p, v, j), v.sums[j]);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            ((float*)results)[index * RESULT_STRIDE + d * 16 + column_of(lane, 0)] = v.output[d][j];
            ((float*)results)[index * RESULT_STRIDE + d * 16 + column_of(lane, 1)] = v.output[d][2 + j];
        }
    }
}

// Stores the results of a warp that has the task for itself; they pass through its stage so that neighbouring lanes store neighbours.
DEVICE void store_warp(const AttentionParameters& p, const Task& task, const Vectors& v, int lane, u8* results)
{
    const float scale = head_scale(p, task.kv_head, 1);
    share_results(p, task, v, lane, results);
    warp_barrier();
    for (int i = 0; i < task.item.numVectors; i++)
    {
        const float2 sums = ((const float2*)(results + SUMS_OFFSET))[i];
        const Target target = target_of(p, task.item, task.kv_head, task.item.firstVector + i);
        if (lane == 0) store_sum(p, target, sums.x, sums.y);
        const float reciprocal = reciprocal_of(sums.y);
#pragma unroll
        for (int column = 0; column < HEAD_DIM; column += 128)
        {
            if (column + lane * 4 >= HEAD_DIM) continue;
            const float4 value = *(const float4*)(results + (i * RESULT_STRIDE + column + lane * 4) * 4);
            store_four(p, target, column + lane * 4, make_float4(value.x * scale, value.y * scale, value.z * scale, value.w * scale), reciprocal);
        }
    }
    warp_barrier();
}

// Merges and stores the results of the block's warps. results: of each warp.
DEVICE void store_block(const AttentionParameters& p, const Task& task, u8* const (&results)[WARPS])
{
    const float scale = head_scale(p, task.kv_head, 1);
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
            float2 part = *(const float2*)(results[w] + (vector * RESULT_STRIDE + column) * 4);
            sum += share * sums[w].y;
            value.x += share * part.x;
            value.y += share * part.y;
        }
        Target target = target_of(p, task.item, task.kv_head, task.item.firstVector + vector);
        if (column == 0) store_sum(p, target, maximum, sum);
        store_outputs(p, target, column, value.x * scale, value.y * scale, reciprocal_of(sum));
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

// Single warps that do not load ahead have a fixed share.
DEVICE bool takes_tickets(const AttentionParameters& p) { return TASK_WARPS > 1 || (STAGES > 1 && p.numFirstTasks == 0); }

DEVICE int take_ticket(const AttentionParameters& p) { return p.numFirstTasks + atomicAdd(p.tickets, 1); }

#if TASK_WARPS > 1
__shared__ int next_tickets[2];
__shared__ u8* shared_results[WARPS];

// Tasks of all warps of the block.
DEVICE void run(const AttentionParameters& p, int num_tasks, int warp, int lane)
{
    u8* const ring = shared_memory + warp * (STAGES * STAGE_BYTES);
    int index = blockIdx.x, num_done = 0;
    if (index >= p.numFirstTasks)
    {
        if (threadIdx.x == 0) next_tickets[0] = take_ticket(p);
        __syncthreads();
        index = next_tickets[0];
    }
    if (index >= num_tasks) return;
    Task task = task_of(p, index / p.numKvHeads, index % p.numKvHeads, warp, lane);
    u32 queries[PADDED_DIM / 16][2];
    float query_scale = 1.0f;
    Vectors v;
    int slice = task.first_slice;
    if (slice < task.end_slice) load_slice(p, task, slice, page_of(p, task, slice), lane, shared_address(ring));
    copy_commit();
    load_queries(p, task, lane, queries, query_scale);
    start_vectors(p, task, lane, query_scale, v);
    // Only now, when all blocks that can run have their first.
    if (threadIdx.x == 0) next_tickets[1] = take_ticket(p);
    __syncthreads();
    for (int step = 0;; step ^= 1)
    {
        Task next = task;
        u32 next_queries[PADDED_DIM / 16][2];
        int next_slice = slice + TASK_WARPS;
        const bool ends_item = next_slice >= task.end_slice, is_last = ends_item && task.next == 0;
        if (is_last)
        {
            index = next_tickets[(num_done + 1) % 2];
            if (index < num_tasks)
            {
                next = task_of(p, index / p.numKvHeads, index % p.numKvHeads, warp, lane);
                next_slice = next.first_slice;
                load_queries(p, next, lane, next_queries, query_scale);
            }
        }
        else if (ends_item)
        {
            next = task_of(p, task.next, task.kv_head, warp, lane);
            next_slice = next.first_slice;
        }
        if (next_slice < next.end_slice && index < num_tasks)
            load_slice(p, next, next_slice, page_of(p, next, next_slice), lane, shared_address(ring + (step ^ 1) * STAGE_BYTES));
        copy_commit();
        if (slice < task.end_slice)
        {
            copy_wait<1>();
            warp_barrier();
            add_slice(p, v, queries, slice * SLOTS - task.item.firstSlot, task.item.numKeys, lane, shared_address(ring + step * STAGE_BYTES));
        }
        warp_barrier();
        if (is_last)
        {
            add_lanes(v);
            share_results(p, task, v, lane, ring + step * STAGE_BYTES);
            if (lane == 0) shared_results[warp] = ring + step * STAGE_BYTES;
            int ticket;
            if (threadIdx.x == 0) ticket = take_ticket(p);
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
            start_vectors(p, next, lane, query_scale, v);
        }
        else if (ends_item) set_keys(p, next, lane, v);
        task = next;
        slice = next_slice;
    }
}
#else
// Tasks of one warp; others of the multiprocessor compute while it waits.
DEVICE void run(const AttentionParameters& p, int num_tasks, int warp, int lane)
{
    u8* const ring = shared_memory + warp * (STAGES * STAGE_BYTES);
    const bool has_tickets = takes_tickets(p);
    int index = has_tickets && lane == 0 ? take_ticket(p) : blockIdx.x * WARPS + warp, next = 0;
    if (has_tickets) index = shuffle_from(index, 0);
    for (; index < num_tasks; index = next)
    {
        if (has_tickets && lane == 0) next = take_ticket(p);
        Task task = task_of(p, index / p.numKvHeads, index % p.numKvHeads, 0, lane);
        u32 queries[PADDED_DIM / 16][2];
        float query_scale = 1.0f;
        Vectors v;
        load_queries(p, task, lane, queries, query_scale);
        start_vectors(p, task, lane, query_scale, v);
        while (true)
        {
            for (int ahead = task.first_slice; ahead < task.end_slice + STAGES - 1; ahead++)
            {
                if (STAGES == 1 || ahead < task.end_slice)
                    load_slice(p, task, ahead, page_of(p, task, ahead), lane, shared_address(ring + ahead % STAGES * STAGE_BYTES));
                copy_commit();
                const int slice = ahead - (STAGES - 1);
                if (STAGES > 1 && slice < task.first_slice) continue;
                copy_wait<STAGES - 1>();
                warp_barrier();
                add_slice(
                    p, v, queries, slice * SLOTS - task.item.firstSlot, task.item.numKeys, lane, shared_address(ring + slice % STAGES * STAGE_BYTES));
                warp_barrier();
            }
            if (task.next == 0) break;
            task = task_of(p, task.next, task.kv_head, 0, lane);
            set_keys(p, task, lane, v);
        }
        add_lanes(v);
        store_warp(p, task, v, lane, ring);
        next = has_tickets ? shuffle_from(next, 0) : index + gridDim.x * WARPS;
    }
}
#endif

extern "C" __global__ void __launch_bounds__(WARPS * 32, MIN_BLOCKS) attention_sequence(const AttentionParameters p)
{
    run(p, *p.numItems * p.numKvHeads, threadIdx.x / 32, threadIdx.x % 32);
#if TASK_WARPS == 1
    if (takes_tickets(p)) __syncthreads();
#endif
    // The last block leaves the counters as it found them.
    if (takes_tickets(p) && threadIdx.x == 0 && atomicInc((u32*)p.tickets + 1, gridDim.x - 1) == gridDim.x - 1) p.tickets[0] = 0;
    launch_dependents();
    // Whatever follows this kernel follows the nodes' too.
    wait_for_dependency();
}
