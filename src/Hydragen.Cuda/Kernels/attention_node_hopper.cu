// attention_node for Hopper (sm_90a) and heads of 64, 128 and 256 elements: one warp copies keys, one values, two copy queries but the first, two groups
// of four warps multiply 64 vectors each. The groups take turns to start products, so that the softmax of one runs while the
// matrix unit works for the other; the product of values with the last weights runs while the next weights are computed.
// Bytes of a cache arrive in pieces, which the copying warps widen to FP16; queries are normalised to it.
// Grid: any number of blocks of 384 threads, which share all (item, key/value head) pairs. STORAGE is a 16-bit type, also that of the
// queries, or bytes, with 16-bit queries.
// Defines: STAGES (tiles in shared memory) and QUERY_BUFFERS, powers of two; LOGIT_OPTIONS.
// Dynamic shared memory: QUERY_BUFFERS tiles of queries [PADDED_DIM / 64][ROWS][64], STAGES tiles of keys and as many of values
// [PADDED_DIM / 64][KEYS][64], all swizzled; with bytes [2][RAW_SLOTS] pieces; barriers [4][STAGES], [2][QUERY_BUFFERS] and [2][RAW_SLOTS];
// with bytes FP32 scales of queries [QUERY_BUFFERS][ROWS].
#define ROWS 128
// Large outputs and the terms of the logit options leave registers for the scores of one page only.
#define KEYS (HEAD_DIM > 128 || LOGIT_OPTIONS ? 64 : 128)
#include "node.cuh"
#include "hopper.cuh"

#define THREADS 384
#define BLOCKS (HEAD_DIM / 64)
#define PAGES_PER_TILE (KEYS / PAGE_SIZE)
#define BLOCK_BYTES (PAGE_SIZE * 128)
#define QUERY_BYTES (ROWS * HEAD_DIM * 2)
#define TILE_BYTES (KEYS * HEAD_DIM * 2)
#define KEYS_OFFSET (QUERY_BUFFERS * QUERY_BYTES)
#define VALUES_OFFSET (KEYS_OFFSET + STAGES * TILE_BYTES)
#define RAW_OFFSET (VALUES_OFFSET + STAGES * TILE_BYTES)
// A piece of a page as it lies in the cache: images of RAW_ROWS rows, and their scales.
#define RAW_SLOTS 4
#define RAW_ROWS (HEAD_DIM > 128 ? 16 : 32)
#define RAW_BYTES (RAW_ROWS * HEAD_DIM + (STORAGE == INT8 ? RAW_ROWS * 2 : 0))
#define PIECES_PER_PAGE (PAGE_SIZE / RAW_ROWS)
#define BARRIERS_OFFSET (RAW_OFFSET + (IS_BYTE ? 2 * RAW_SLOTS * RAW_BYTES : 0))
#define QUERY_SCALES_OFFSET (BARRIERS_OFFSET + (4 * STAGES + 2 * QUERY_BUFFERS + 2 * RAW_SLOTS) * 8)
#define CONSUMER_THREADS 256
#define CONSUMER_WARPS 8
#define QUERY_WARPS 2
// Those that widen bytes need more. 128 times the former and 256 times the latter are what a block starts with: 384 times 168.
#define PRODUCER_REGISTERS (IS_BYTE ? HEAD_DIM > 128 ? 56 : 72 : 40)
#define CONSUMER_REGISTERS (IS_BYTE ? HEAD_DIM > 128 ? 224 : 216 : 232)

// Kinds of barriers. Of a stage: it holds keys, it holds values, its keys are read, its values are read. Of a buffer: it holds queries, they are read.
#define KEYS_FULL 0
#define VALUES_FULL 1
#define KEYS_EMPTY 2
#define VALUES_EMPTY 3
#define QUERY_FULL 0
#define QUERY_EMPTY 1

// Barriers in named_barrier: of all consumers, and whose turn it is.
#define CONSUMERS 1
#define TURN 2
#define QUERY_PRODUCERS 4

// Of the stage that a block uses for the n-th of all its tiles, and of the buffer for its n-th task.
DEVICE u32 stage_barrier(u32 memory, int kind, u32 tile) { return memory + BARRIERS_OFFSET + (kind * STAGES + tile % STAGES) * 8; }

DEVICE u32 query_barrier(u32 memory, int kind, u32 task) { return memory + BARRIERS_OFFSET + (4 * STAGES + kind * QUERY_BUFFERS + task % QUERY_BUFFERS) * 8; }

// Of the slot of keys (image 0) or values (image 1) that is used for the n-th piece.
DEVICE u32 raw_barrier(u32 memory, int image, u32 piece)
{
    return memory + BARRIERS_OFFSET + (4 * STAGES + 2 * QUERY_BUFFERS + image * RAW_SLOTS + piece % RAW_SLOTS) * 8;
}

DEVICE u32 raw_at(u32 memory, int image, u32 piece) { return memory + RAW_OFFSET + (image * RAW_SLOTS + piece % RAW_SLOTS) * RAW_BYTES; }

DEVICE u32 keys_at(u32 memory, u32 tile) { return memory + KEYS_OFFSET + tile % STAGES * TILE_BYTES; }

DEVICE u32 values_at(u32 memory, u32 tile) { return memory + VALUES_OFFSET + tile % STAGES * TILE_BYTES; }

DEVICE u32 queries_at(u32 memory, u32 task) { return memory + task % QUERY_BUFFERS * QUERY_BYTES; }

// The parity of the phase of a barrier that ends with the n-th use of its stage or buffer.
template <int COUNT>
DEVICE int parity_of(u32 use)
{
    return use / COUNT & 1;
}

// What a block does next, and the pages that it needs.
struct Task
{
    AttentionItem item;
    int kv_head;
    int first_page;
    int end_page;
    int num_tiles;
};

// Read whenever it is needed: registers are short.
DEVICE int num_tasks(const AttentionParameters& p) { return *p.numItems * p.numKvHeads; }

// The n-th task of the block.
DEVICE int index_of(int n) { return blockIdx.x + n * gridDim.x; }

DEVICE Task task_of(const AttentionParameters& p, int index, int lane)
{
    Task task;
    task.item = load_item(p.items + index / p.numKvHeads);
    task.kv_head = index % p.numKvHeads;
    const KeyRange needed = needed_keys(p, task.item, lane);
    task.first_page = (task.item.firstSlot + needed.first) / PAGE_SIZE;
    task.end_page = needed.first < needed.end ? (task.item.firstSlot + needed.end - 1) / PAGE_SIZE + 1 : task.first_page;
    task.num_tiles = (task.end_page - task.first_page + PAGES_PER_TILE - 1) / PAGES_PER_TILE;
    return task;
}

// The first key of a tile, counted from the item's first.
DEVICE int first_key_of(const Task& task, int tile) { return (task.first_page + tile * PAGES_PER_TILE) * PAGE_SIZE - task.item.firstSlot; }

#if IS_BYTE
// The pieces of the block's tasks in order.
struct Cursor
{
    int index;     // of the task
    int page;      // index into pages
    int end_page;  // of the task
    int number;    // of the page in the task
    int kv_head;
    int piece;     // of the page
    u64 address;   // of the page
    u64 next;      // of the task's next page, read before it is needed
};

// Goes to the first piece of the task, or of the next one that has any.
DEVICE void find_piece(const AttentionParameters& p, Cursor& cursor, int end_task, int lane)
{
    for (; cursor.index < end_task; cursor.index += gridDim.x)
    {
        const Task task = task_of(p, cursor.index, lane);
        cursor.page = task.item.firstPage + task.first_page;
        cursor.end_page = task.item.firstPage + task.end_page;
        cursor.number = cursor.piece = 0;
        cursor.kv_head = task.kv_head;
        if (cursor.page >= cursor.end_page) continue;
        cursor.address = p.pages[cursor.page];
        cursor.next = cursor.page + 1 < cursor.end_page ? p.pages[cursor.page + 1] : 0;
        return;
    }
}

DEVICE void advance(const AttentionParameters& p, Cursor& cursor, int end_task, int lane)
{
    if (++cursor.piece < PIECES_PER_PAGE) return;
    cursor.piece = 0;
    cursor.number++;
    if (++cursor.page < cursor.end_page)
    {
        cursor.address = cursor.next;
        if (cursor.page + 1 < cursor.end_page) cursor.next = p.pages[cursor.page + 1];
        return;
    }
    cursor.index += gridDim.x;
    find_piece(p, cursor, end_task, lane);
}

DEVICE void load_piece(const AttentionParameters& p, const Cursor& cursor, int image, u32 destination, u32 barrier)
{
    const u8* head = (const u8*)cursor.address + p.layerOffset + (u64)cursor.kv_head * HEAD_BYTES;
    const u8* source = head + image * IMAGE_BYTES;
    const int row_bytes = HEAD_DIM < 128 ? HEAD_DIM : 128, first_row = cursor.piece * RAW_ROWS;
    barrier_arrive_expect(barrier, RAW_BYTES);
#pragma unroll
    for (int block = 0; block < HEAD_DIM / row_bytes; block++)
        copy_bulk(destination + block * (RAW_ROWS * row_bytes), source + (block * PAGE_SIZE + first_row) * row_bytes, RAW_ROWS * row_bytes, barrier);
#if STORAGE == INT8
    copy_bulk(destination + RAW_ROWS * HEAD_DIM, head + SCALES_OFFSET + (image * PAGE_SIZE + first_row) * 2, RAW_ROWS * 2, barrier);
#endif
}

// Chunks that a lane reads before it widens them, since a warp waits for each answer.
#define BATCH (HEAD_DIM > 128 ? 2 : 4)

// Widens a piece. tile: where its first row goes.
DEVICE void widen_piece(u32 piece, u32 tile, int lane)
{
    // 8 rows side by side, so that neighbouring lanes use different banks; rows 8 further lie alike.
    const int row = lane % 8, chunk = lane / 8, row_bytes = HEAD_DIM < 128 ? HEAD_DIM : 128;
    u32 sources[BLOCKS];
#pragma unroll
    for (int block = 0; block < BLOCKS; block++) sources[block] = piece + tile_offset<RAW_ROWS>(row, block * 32 + chunk / 2 * 16, chunk % 2);
    const u32 target = tile + tile_offset<KEYS, HEAD_DIM>(row, chunk * 16, 0);
    const u16* scales = (const u16*)(shared_memory + (piece - shared_address(shared_memory)) + RAW_ROWS * HEAD_DIM);
#pragma unroll
    for (int first = 0; first < RAW_ROWS / 8 * BLOCKS; first += BATCH)
    {
        uint4 chunks[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) chunks[i] = load_shared(sources[(first + i) % BLOCKS] + (first + i) / BLOCKS * 8 * row_bytes);
#pragma unroll
        for (int i = 0; i < BATCH; i++)
        {
            const int block = (first + i) % BLOCKS, first_row = (first + i) / BLOCKS * 8;
            uint4 halves[2];
            widen_chunk(chunks[i], STORAGE == INT8 ? both_halves(scales[first_row + row]) : 0, halves);
            store_shared(target + block * (KEYS * 128) + first_row * 128, halves[0]);
            store_shared((target ^ 16) + block * (KEYS * 128) + first_row * 128, halves[1]);
        }
    }
}

// What is to be known of a piece when it is widened: its place in the tile, and whether it is the tile's last.
DEVICE u32 note_of(const Cursor& cursor)
{
    const bool ends = cursor.piece == PIECES_PER_PAGE - 1 && (cursor.number % PAGES_PER_TILE == PAGES_PER_TILE - 1 || cursor.page + 1 == cursor.end_page);
    return cursor.number % PAGES_PER_TILE * PIECES_PER_PAGE + cursor.piece | (ends ? 128 : 0);
}

// One warp copies and widens all keys (image 0), another all values (image 1) of the block.
DEVICE void produce(const AttentionParameters& p, u32 memory, int image, int lane)
{
    const int end_task = num_tasks(p);
    Cursor ahead;
    ahead.index = blockIdx.x;
    find_piece(p, ahead, end_task, lane);
    const u32 stages = image == 0 ? memory + KEYS_OFFSET : memory + VALUES_OFFSET;
    u32 num_loaded = 0, notes = 0, tile = 0;
#pragma unroll 1
    for (u32 piece = 0;; piece++)
    {
        for (; num_loaded < piece + RAW_SLOTS && ahead.index < end_task; num_loaded++)
        {
            const int shift = num_loaded % RAW_SLOTS * 8;
            notes = notes & ~(255u << shift) | note_of(ahead) << shift;
            if (lane == 0) load_piece(p, ahead, image, raw_at(memory, image, num_loaded), raw_barrier(memory, image, num_loaded));
            advance(p, ahead, end_task, lane);
        }
        if (piece == num_loaded) return;
        const u32 note = notes >> piece % RAW_SLOTS * 8 & 255;
        barrier_wait(raw_barrier(memory, image, piece), parity_of<RAW_SLOTS>(piece));
        barrier_wait(stage_barrier(memory, KEYS_EMPTY + image, tile), parity_of<STAGES>(tile) ^ 1);
        widen_piece(raw_at(memory, image, piece), stages + tile % STAGES * TILE_BYTES + (note & 127) * (RAW_ROWS * 128), lane);
        if ((note & 128) != 0) async_fence();
        warp_barrier();
        if ((note & 128) == 0) continue;
        if (lane == 0) barrier_arrive(stage_barrier(memory, KEYS_FULL + image, tile));
        tile++;
    }
}
#else
// Copies the keys (image 0) or the values (image 1) of a tile: page after page in each block of 64 columns, so that the rows of a block
// follow each other.
DEVICE void load_tile(const AttentionParameters& p, const Task& task, int tile, int image, u32 destination, u32 barrier)
{
    int page = task.first_page + tile * PAGES_PER_TILE, count = min(PAGES_PER_TILE, task.end_page - page);
    barrier_arrive_expect(barrier, count * IMAGE_BYTES);
#pragma unroll 1
    for (int i = 0; i < count; i++)
    {
        const u8* source = (const u8*)p.pages[task.item.firstPage + page + i] + p.layerOffset + (u64)task.kv_head * HEAD_BYTES + image * IMAGE_BYTES;
#pragma unroll
        for (int block = 0; block < BLOCKS; block++)
            copy_bulk(destination + block * (KEYS * 128) + i * BLOCK_BYTES, source + block * BLOCK_BYTES, BLOCK_BYTES, barrier);
    }
}

// One warp copies all keys (image 0), another all values (image 1) of the block.
DEVICE void produce(const AttentionParameters& p, u32 memory, int image, int lane)
{
    const int full = image == 0 ? KEYS_FULL : VALUES_FULL, empty = image == 0 ? KEYS_EMPTY : VALUES_EMPTY;
    int use = 0;
    for (int index = blockIdx.x; index < num_tasks(p); index += gridDim.x)
    {
        const Task task = task_of(p, index, lane);
        for (int tile = 0; lane == 0 && tile < task.num_tiles; tile++)
        {
            const int stage = use + tile;
            barrier_wait(stage_barrier(memory, empty, stage), parity_of<STAGES>(stage) ^ 1);
            load_tile(p, task, tile, image, image == 0 ? keys_at(memory, stage) : values_at(memory, stage), stage_barrier(memory, full, stage));
        }
        use += task.num_tiles;
    }
}
#endif

DEVICE float* query_scales_at(u32 task) { return (float*)(shared_memory + QUERY_SCALES_OFFSET) + task % QUERY_BUFFERS * ROWS; }

// Copies the queries of the block's later tasks.
DEVICE void produce_queries(const AttentionParameters& p, u32 memory, int thread)
{
    int use = 1;
    if (thread % 32 == 0) barrier_arrive(query_barrier(memory, QUERY_FULL, 0));
    for (int index = index_of(use); index < num_tasks(p); index += gridDim.x, use++)
    {
        barrier_wait(query_barrier(memory, QUERY_EMPTY, use), parity_of<QUERY_BUFFERS>(use) ^ 1);
        load_query(p, p.items[index / p.numKvHeads], index % p.numKvHeads, queries_at(memory, use), thread, QUERY_WARPS * 32);
        copy_commit();
        copy_wait<0>();
#if IS_BYTE
        named_barrier(QUERY_PRODUCERS, QUERY_WARPS * 32);
        normalise_query(p, index % p.numKvHeads, shared_memory + (queries_at(memory, use) - memory), query_scales_at(use), thread, QUERY_WARPS * 32);
#endif
        async_fence();
        warp_barrier();
        if (thread % 32 == 0) barrier_arrive(query_barrier(memory, QUERY_FULL, use));
    }
}

// Sets values of a tile that lie outside the item or were not copied to zero, because a weight of zero does not remove a NaN. first_key: of
// the tile; end_key: of what was copied and belongs to the item; both counted from the item's first. All consumers call it.
DEVICE void clear_outside(int first_key, int end_key, u32 memory, u32 destination)
{
    if (first_key >= 0 && first_key + KEYS <= end_key) return;
    u8* values = shared_memory + (destination - memory);
    for (int chunk = threadIdx.x - (THREADS - CONSUMER_THREADS); chunk < TILE_BYTES / 16; chunk += CONSUMER_THREADS)
    {
        int key = first_key + chunk / 8 % KEYS;
        if (key < 0 || key >= end_key) *(uint4*)(values + chunk * 16) = make_uint4(0, 0, 0, 0);
    }
    async_fence();
    named_barrier(CONSUMERS, CONSUMER_THREADS);
}

// Starts scores = queries * keys'. query: the group's 64 rows.
DEVICE void start_scores(float (&scores)[KEY_TILES][4], Matrix query, u32 key_tile)
{
    const Matrix keys = matrix_at(key_tile, 16);
    products_begin();
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++)
        multiply_shared(scores, operand(query, k / 4 * (ROWS * 128) + k % 4 * 32), operand(keys, k / 4 * (KEYS * 128) + k % 4 * 32), k > 0);
    products_commit();
}

// Starts output += weights * values.
DEVICE void start_output(float (&output)[DIM_TILES][4], const u32 (&packed)[KEY_TILES][2], u32 value_tile)
{
    const Matrix values = matrix_at(value_tile, KEYS * 128);
    products_begin();
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++)
        multiply_registers(output, packed[2 * k][0], packed[2 * k][1], packed[2 * k + 1][0], packed[2 * k + 1][1], operand(values, k * 16 * 128));
    products_commit();
}

// The scores of a warp's 16 rows and 8 keys once more, rarely needed, and not with bytes: the keys come from the cache, since their tile may be gone. first_key:
// counted from the item's first.
DEVICE void multiply_eight(
    const AttentionParameters& p, const AttentionItem* item, int kv_head, float (&scores)[4], u32 query, int first_row, int first_key, int lane)
{
    // Slots behind the item are hidden afterwards; their page may not exist.
    const int slot = item->firstSlot + min(first_key + lane / 4, item->numKeys - 1);
    const u8* keys = (const u8*)p.pages[item->firstPage + slot / PAGE_SIZE] + p.layerOffset + (u64)kv_head * HEAD_BYTES + lane % 4 * 4;
    scores[0] = scores[1] = scores[2] = scores[3] = 0.0f;
#pragma unroll 1
    for (int k = 0; k < HEAD_DIM / 16; k++)
    {
        u32 a[4];
        load_matrices(a, query + query_offset(first_row + lane % 16, k * 16, lane / 16));
        const u32 b0 = *(const u32*)(keys + image_offset(slot % PAGE_SIZE, 2 * k)), b1 = *(const u32*)(keys + image_offset(slot % PAGE_SIZE, 2 * k + 1));
        multiply_add(scores, a, b0, b1);
    }
}

// The consumers copy the first queries themselves: they are many, and would only wait.
DEVICE void load_first_queries(const AttentionParameters& p, u32 memory)
{
    const int thread = threadIdx.x - (THREADS - CONSUMER_THREADS);
    load_query(p, load_item(p.items + blockIdx.x / p.numKvHeads), blockIdx.x % p.numKvHeads, queries_at(memory, 0), thread, CONSUMER_THREADS);
    copy_commit();
    copy_wait<0>();
#if IS_BYTE
    named_barrier(CONSUMERS, CONSUMER_THREADS);
    normalise_query(p, blockIdx.x % p.numKvHeads, shared_memory + (queries_at(memory, 0) - memory), query_scales_at(0), thread, CONSUMER_THREADS);
#endif
    async_fence();
    named_barrier(CONSUMERS, CONSUMER_THREADS);
}

// The first of the 16 rows of a consuming warp.
DEVICE int first_row_of_warp() { return threadIdx.x / 32 * 16 - (THREADS - CONSUMER_THREADS) / 32 * 16; }

DEVICE void consume(const AttentionParameters& p, u32 memory, int lane)
{
    const int group = uniform(threadIdx.x / 128) - 1;
    int use = 0, tile = 0;
    if (index_of(0) < num_tasks(p)) load_first_queries(p, memory);
    if (group == 1) named_barrier_arrive(TURN, CONSUMER_THREADS);
    for (; index_of(use) < num_tasks(p); use++)
    {
        const Task task = task_of(p, index_of(use), lane);
        int first_key = first_key_of(task, 0);
        const int end_key = min(task.item.numKeys, task.end_page * PAGE_SIZE - task.item.firstSlot), end_tile = tile + task.num_tiles;
        const Matrix query = matrix_at(queries_at(memory, use) + group * (64 * 128), 16);
        VectorPair pair = make_pair(p, task.item, task.kv_head, first_row_of_warp(), lane);
        float output[DIM_TILES][4] = {}, scores[KEY_TILES][4], corrections[2];
        u32 packed[KEY_TILES][2];
        auto multiply = [&](int n, float (&eight)[4]) {
            // Ends the use of registers by the products with the weights before.
            products_wait<0>();
            multiply_eight(
                p, p.items + index_of(use) / p.numKvHeads, index_of(use) % p.numKvHeads, eight, queries_at(memory, use), first_row_of_warp(),
                first_key + n * 8, lane);
        };
        barrier_wait(query_barrier(memory, QUERY_FULL, use), parity_of<QUERY_BUFFERS>(use));
#if IS_BYTE
        pair.scales[0] = query_scales_at(use)[first_row_of_warp() + lane / 4];
        pair.scales[1] = query_scales_at(use)[first_row_of_warp() + lane / 4 + 8];
#endif
        if (tile < end_tile)
        {
            barrier_wait(stage_barrier(memory, KEYS_FULL, tile), parity_of<STAGES>(tile));
            named_barrier(TURN + group, CONSUMER_THREADS);
            start_scores(scores, query, keys_at(memory, tile));
            named_barrier_arrive(TURN + 1 - group, CONSUMER_THREADS);
            products_wait<0>();
            pin(scores);
            if (lane == 0) barrier_arrive(stage_barrier(memory, KEYS_EMPTY, tile));
            softmax_step(p, pair, scores, first_key, lane, corrections, multiply);
            pack_weights(scores, packed);
        }
        for (tile++; tile < end_tile; tile++)
        {
            barrier_wait(stage_barrier(memory, VALUES_FULL, tile - 1), parity_of<STAGES>(tile - 1));
            clear_outside(first_key, end_key, memory, values_at(memory, tile - 1));
            barrier_wait(stage_barrier(memory, KEYS_FULL, tile), parity_of<STAGES>(tile));
            named_barrier(TURN + group, CONSUMER_THREADS);
            start_scores(scores, query, keys_at(memory, tile));
            start_output(output, packed, values_at(memory, tile - 1));
            named_barrier_arrive(TURN + 1 - group, CONSUMER_THREADS);
            first_key += KEYS;
            products_wait<1>();
            pin(scores);
            if (lane == 0) barrier_arrive(stage_barrier(memory, KEYS_EMPTY, tile));
            const bool is_scaled = softmax_step(p, pair, scores, first_key, lane, corrections, multiply);
            pin(scores);
            products_wait<0>();
            pin(output);
            if (lane == 0) barrier_arrive(stage_barrier(memory, VALUES_EMPTY, tile - 1));
            if (is_scaled) scale_output(output, corrections);
            pack_weights(scores, packed);
        }
        tile = end_tile;
        if (lane == 0) barrier_arrive(query_barrier(memory, QUERY_EMPTY, use));
        if (task.num_tiles > 0)
        {
            barrier_wait(stage_barrier(memory, VALUES_FULL, tile - 1), parity_of<STAGES>(tile - 1));
            clear_outside(first_key, end_key, memory, values_at(memory, tile - 1));
            start_output(output, packed, values_at(memory, tile - 1));
            products_wait<0>();
            pin(output);
            if (lane == 0) barrier_arrive(stage_barrier(memory, VALUES_EMPTY, tile - 1));
        }
        // Read again: meanwhile the registers are needed.
        store_pair(p, load_item(p.items + index_of(use) / p.numKvHeads), index_of(use) % p.numKvHeads, first_row_of_warp(), pair, output, lane);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_node_hopper(const AttentionParameters p)
{
    const u32 memory = shared_address(shared_memory);
    const int lane = threadIdx.x % 32;
    if (threadIdx.x == 0)
    {
        for (int stage = 0; stage < STAGES; stage++)
        {
            barrier_init(stage_barrier(memory, KEYS_FULL, stage), 1);
            barrier_init(stage_barrier(memory, VALUES_FULL, stage), 1);
            barrier_init(stage_barrier(memory, KEYS_EMPTY, stage), CONSUMER_WARPS);
            barrier_init(stage_barrier(memory, VALUES_EMPTY, stage), CONSUMER_WARPS);
        }
        for (int buffer = 0; buffer < QUERY_BUFFERS; buffer++)
        {
            barrier_init(query_barrier(memory, QUERY_FULL, buffer), QUERY_WARPS);
            barrier_init(query_barrier(memory, QUERY_EMPTY, buffer), CONSUMER_WARPS);
        }
        for (int slot = 0; IS_BYTE && slot < 2 * RAW_SLOTS; slot++) barrier_init(raw_barrier(memory, slot / RAW_SLOTS, slot), 1);
        barrier_init_fence();
    }
    __syncthreads();
    // Sequences that start beside this kernel do not wait, so what it waits for is done before.
    take_turn();
    if (threadIdx.x < THREADS - CONSUMER_THREADS)
    {
        release_registers<PRODUCER_REGISTERS>();
        if (threadIdx.x < 64) produce(p, memory, threadIdx.x / 32, lane);
        else produce_queries(p, memory, threadIdx.x - 64);
    }
    else
    {
        claim_registers<CONSUMER_REGISTERS>();
        consume(p, memory, lane);
    }
}
