// attention_node for Hopper (sm_90a) and heads of 64, 128 and 256 elements: one warp copies keys and values, two groups of four warps
// multiply 64 vectors each; the product of values with the last weights runs while the next weights are computed.
// Grid (numItems, numKvHeads), block 384. STORAGE is a 16-bit type, also that of the queries.
// Defines: STAGES (tiles in shared memory), LOGIT_OPTIONS.
// Dynamic shared memory: queries [PADDED_DIM / 64][ROWS][64], STAGES tiles of keys and as many of values [PADDED_DIM / 64][KEYS][64], all swizzled;
// barriers [4][STAGES]; the range of keys (2 ints).
#define ROWS 128
#define THREADS 384
// Large outputs and the terms of the logit options leave registers for the scores of one page only.
#define KEYS (HEAD_DIM > 128 || LOGIT_OPTIONS ? 64 : 128)
#include "node.cuh"
#include "hopper.cuh"

#define BLOCKS (HEAD_DIM / 64)
#define PAGES_PER_TILE (KEYS / PAGE_SIZE)
#define BLOCK_BYTES (PAGE_SIZE * 128)
#define QUERY_BYTES (ROWS * HEAD_DIM * 2)
#define TILE_BYTES (KEYS * HEAD_DIM * 2)
#define BARRIERS_OFFSET (QUERY_BYTES + 2 * STAGES * TILE_BYTES)
#define RANGE_OFFSET (BARRIERS_OFFSET + 4 * STAGES * 8)
#define CONSUMER_THREADS 256
#define CONSUMER_WARPS 8

// Which barrier of a stage: it holds keys, it holds values, its keys are read, its values are read.
#define KEYS_FULL 0
#define VALUES_FULL 1
#define KEYS_EMPTY 2
#define VALUES_EMPTY 3

struct Tiles
{
    u32 query;
    u32 keys;
    u32 values;
    u32 barriers;
    int first_page;
    int end_page;
};

DEVICE u32 barrier_of(const Tiles& tiles, int which, int tile) { return tiles.barriers + (which * STAGES + tile % STAGES) * 8; }

DEVICE int phase_of(int tile) { return tile / STAGES % 2; }

// Copies the keys or the values of a tile: page after page in each block of 64 columns, so that the rows of a block follow each other.
DEVICE void load_tile(
    const AttentionParameters& p, const AttentionItem& item, int kv_head, const Tiles& tiles, int tile, int image, u32 destination, u32 barrier)
{
    int page = tiles.first_page + tile * PAGES_PER_TILE, count = min(PAGES_PER_TILE, tiles.end_page - page);
    barrier_arrive_expect(barrier, count * IMAGE_BYTES);
    for (int i = 0; i < count; i++)
    {
        const u8* source = (const u8*)p.pages[item.firstPage + page + i] + p.layerOffset + (u64)kv_head * (2 * IMAGE_BYTES) + image * IMAGE_BYTES;
#pragma unroll
        for (int block = 0; block < BLOCKS; block++)
            copy_bulk(destination + block * (KEYS * 128) + i * BLOCK_BYTES, source + block * BLOCK_BYTES, BLOCK_BYTES, barrier);
    }
}

DEVICE void produce(const AttentionParameters& p, const AttentionItem& item, int kv_head, const Tiles& tiles, int num_tiles)
{
    for (int tile = 0; tile < num_tiles; tile++)
    {
        u32 offset = tile % STAGES * TILE_BYTES;
        barrier_wait(barrier_of(tiles, KEYS_EMPTY, tile), phase_of(tile) ^ 1);
        load_tile(p, item, kv_head, tiles, tile, 0, tiles.keys + offset, barrier_of(tiles, KEYS_FULL, tile));
        barrier_wait(barrier_of(tiles, VALUES_EMPTY, tile), phase_of(tile) ^ 1);
        load_tile(p, item, kv_head, tiles, tile, 1, tiles.values + offset, barrier_of(tiles, VALUES_FULL, tile));
    }
}

// The first key of a tile, counted from the item's first.
DEVICE int first_key_of(const AttentionItem& item, const Tiles& tiles, int tile)
{
    return (tiles.first_page + tile * PAGES_PER_TILE) * PAGE_SIZE - item.firstSlot;
}

// Sets values of a tile that lie outside the item or were not copied to zero, because a weight of zero does not remove a NaN. All consumers call it.
DEVICE void clear_outside(const AttentionItem& item, const Tiles& tiles, int tile)
{
    const int first_key = first_key_of(item, tiles, tile), end_key = min(item.numKeys, tiles.end_page * PAGE_SIZE - item.firstSlot);
    if (first_key >= 0 && first_key + KEYS <= end_key) return;
    u8* values = shared_memory + (tiles.values - tiles.query) + tile % STAGES * TILE_BYTES;
    for (int chunk = threadIdx.x - (THREADS - CONSUMER_THREADS); chunk < TILE_BYTES / 16; chunk += CONSUMER_THREADS)
    {
        int key = first_key + chunk / 8 % KEYS;
        if (key < 0 || key >= end_key) *(uint4*)(values + chunk * 16) = make_uint4(0, 0, 0, 0);
    }
    async_fence();
    named_barrier(1, CONSUMER_THREADS);
}

// Starts scores = queries * keys'. query: descriptor of the group's 64 rows.
DEVICE void start_scores(float (&scores)[KEY_TILES][4], u64 query, const Tiles& tiles, int tile)
{
    const u64 keys = matrix_descriptor(tiles.keys + tile % STAGES * TILE_BYTES, 16);
    products_begin();
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++)
        multiply_shared(scores, advance(query, k / 4 * (ROWS * 128) + k % 4 * 32), advance(keys, k / 4 * (KEYS * 128) + k % 4 * 32), k > 0);
    products_commit();
}

// Starts output += weights * values.
DEVICE void start_output(float (&output)[DIM_TILES][4], const u32 (&packed)[KEY_TILES][2], const Tiles& tiles, int tile)
{
    const u64 values = matrix_descriptor(tiles.values + tile % STAGES * TILE_BYTES, KEYS * 128);
    products_begin();
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++)
        multiply_registers(output, packed[2 * k][0], packed[2 * k][1], packed[2 * k + 1][0], packed[2 * k + 1][1], advance(values, k * 16 * 128));
    products_commit();
}

DEVICE void consume(const AttentionParameters& p, const AttentionItem& item, int kv_head, const Tiles& tiles, int num_tiles)
{
    const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
    const u64 query = matrix_descriptor(tiles.query + group * (64 * 128), 16);
    VectorPair pair = make_pair(p, item, kv_head, group * 64 + warp * 16, lane);
    float output[DIM_TILES][4] = {}, scores[KEY_TILES][4], corrections[2];
    u32 packed[KEY_TILES][2];
    if (num_tiles > 0)
    {
        barrier_wait(barrier_of(tiles, KEYS_FULL, 0), 0);
        start_scores(scores, query, tiles, 0);
        products_wait<0>();
        pin(scores);
        if (lane == 0) barrier_arrive(barrier_of(tiles, KEYS_EMPTY, 0));
        softmax_step(p, pair, scores, first_key_of(item, tiles, 0), lane, corrections);
        pack_weights(pair, scores, packed);
    }
    for (int tile = 1; tile < num_tiles; tile++)
    {
        const int last = tile - 1;
        barrier_wait(barrier_of(tiles, VALUES_FULL, last), phase_of(last));
        clear_outside(item, tiles, last);
        barrier_wait(barrier_of(tiles, KEYS_FULL, tile), phase_of(tile));
        start_scores(scores, query, tiles, tile);
        start_output(output, packed, tiles, last);
        products_wait<1>();
        pin(scores);
        if (lane == 0) barrier_arrive(barrier_of(tiles, KEYS_EMPTY, tile));
        softmax_step(p, pair, scores, first_key_of(item, tiles, tile), lane, corrections);
        products_wait<0>();
        pin(output);
        if (lane == 0) barrier_arrive(barrier_of(tiles, VALUES_EMPTY, last));
        scale_output(output, corrections);
        pack_weights(pair, scores, packed);
    }
    if (num_tiles > 0)
    {
        const int last = num_tiles - 1;
        barrier_wait(barrier_of(tiles, VALUES_FULL, last), phase_of(last));
        clear_outside(item, tiles, last);
        start_output(output, packed, tiles, last);
        products_wait<0>();
        pin(output);
    }
    store_pair(p, item, kv_head, pair, output, lane);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) attention_node_hopper(const AttentionParameters p)
{
    const AttentionItem item = p.items[blockIdx.x];
    const int kv_head = blockIdx.y;
    Tiles tiles;
    tiles.query = shared_address(shared_memory);
    tiles.keys = tiles.query + QUERY_BYTES;
    tiles.values = tiles.keys + STAGES * TILE_BYTES;
    tiles.barriers = tiles.query + BARRIERS_OFFSET;
    load_query(p, item, kv_head, tiles.query);
    copy_commit();
    if (threadIdx.x == 0)
    {
        for (int tile = 0; tile < STAGES; tile++)
        {
            barrier_init(barrier_of(tiles, KEYS_FULL, tile), 1);
            barrier_init(barrier_of(tiles, VALUES_FULL, tile), 1);
            barrier_init(barrier_of(tiles, KEYS_EMPTY, tile), CONSUMER_WARPS);
            barrier_init(barrier_of(tiles, VALUES_EMPTY, tile), CONSUMER_WARPS);
        }
        barrier_init_fence();
    }
    const KeyRange needed = block_keys(p, item, (int*)(shared_memory + RANGE_OFFSET));
    tiles.first_page = (item.firstSlot + needed.first) / PAGE_SIZE;
    tiles.end_page = needed.first < needed.end ? (item.firstSlot + needed.end - 1) / PAGE_SIZE + 1 : tiles.first_page;
    const int num_tiles = (tiles.end_page - tiles.first_page + PAGES_PER_TILE - 1) / PAGES_PER_TILE;
    copy_wait<0>();
    async_fence();
    __syncthreads();
    if (threadIdx.x < 128)
    {
        release_registers<40>();
        if (threadIdx.x == 0) produce(p, item, kv_head, tiles, num_tiles);
    }
    else
    {
        claim_registers<232>();
        consume(p, item, kv_head, tiles, num_tiles);
    }
}
