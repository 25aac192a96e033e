// Sums over ranks whose GPUs write into one another's memory. Each rank has an inbox: two turns of a box for each other rank. A rank sends
// its addends into its box at every other rank, waits for theirs in its own inbox, and adds all of them up in the order of ranks, in FP32.
//
// Words need no flags: an inbox is full of EMPTY, which is never sent, and whoever has read a word makes it EMPTY again. Calls take turns with
// the two halves of the inbox, counted in device memory, so that launches can be replayed. Nobody sends into a half before its reader has
// emptied it: a rank begins call n + 2 when it has got all addends of call n + 1, which others send when their call n is done.
//
// All blocks of a grid must be resident at once, and every block sends all that it has before it waits. It waits for the last of what it
// needs next with one thread: thousands that ask again and again slow down what is on its way. Who has to wait for long looks at a word of
// the host that says whether to go on; without it, numbers are wrong from there on.
// Defines: RANKS, THREADS.
#pragma once

#include "rows.cuh"

#define MAX_RANKS 8

// NaNs in every type, the second sent for the first.
#define EMPTY 0xffffffffu
#define SENT_FOR_EMPTY 0x7fff7fffu

struct Peers
{
    u8* inbox;                    // [2][RANKS - 1][boxBytes], boxes in the order of ranks
    u8* outboxes[MAX_RANKS - 1];  // this rank's box at every other rank; that of the second turn lies (RANKS - 1) * boxBytes behind
    u32* counts;                  // [2]: calls so far; blocks of this call that are done
    const u32* stop;              // [1], of the host: not 0 when nobody shall wait any longer
    u64 boxBytes;
    int rank;
};

DEVICE uint4 load_system(const void* address)
{
    uint4 value;
    asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "l"(address)
                 : "memory");
    return value;
}

DEVICE void store_system(void* address, uint4 value)
{
    asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
                 : "memory");
}

DEVICE u32 load_word(const u32* address)
{
    u32 value;
    asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
    return value;
}

// Brings the 32 bytes at an address into the last cache.
DEVICE void prefetch_sector(const void* address) { asm volatile("prefetch.global.L2 [%0];" ::"l"(address)); }

DEVICE bool has_arrived(uint4 words) { return words.x != EMPTY && words.y != EMPTY && words.z != EMPTY && words.w != EMPTY; }

DEVICE u32 sendable(u32 word) { return word == EMPTY ? SENT_FOR_EMPTY : word; }

// Bytes from the inbox, or a box, to that of this call's turn; asked for when the kernels before have ended.
DEVICE u64 turn_offset(const Peers& peers) { return (load_word(peers.counts) & 1) * (RANKS - 1) * peers.boxBytes; }

// Ends the call for this block; every thread must come here.
DEVICE void end_turn(const Peers& peers)
{
    __syncthreads();
    if (threadIdx.x > 0 || atomicAdd(peers.counts + 1, 1) + 1 < gridDim.x) return;
    peers.counts[1] = 0;
    peers.counts[0]++;
}

// A number as it would be read back from memory of the type.
template <int TYPE>
DEVICE float round_to(float value)
{
    if constexpr (TYPE == FLOAT32) return value;
    else return from_bits16<TYPE>(to_bits16<TYPE>(value, 0.0f) & 0xffff);
}

// Sends 8 addends.
template <int TYPE>
DEVICE void send_elements(const Peers& peers, u64 turn, const void* addends, long long index)
{
    long long offset = index * ELEMENT_BYTES(TYPE);
#pragma unroll
    for (int chunk = 0; chunk < ELEMENT_BYTES(TYPE) / 2; chunk++, offset += 16)
    {
        uint4 words = *(const uint4*)((const u8*)addends + offset);
        words = make_uint4(sendable(words.x), sendable(words.y), sendable(words.z), sendable(words.w));
#pragma unroll
        for (int i = 0; i < RANKS - 1; i++) store_system(peers.outboxes[i] + turn + offset, words);
    }
}

// Whether to stop waiting after so many tries.
DEVICE bool gives_up(const Peers& peers, int tries) { return tries % 1024 == 0 && load_word(peers.stop) != 0; }

// Waits for the last of the block's next addends from every rank; those before it have nearly always arrived then. end: bytes from a box's
// start to behind them. Every thread must come here.
DEVICE void wait_for_block(const Peers& peers, u64 turn, long long end)
{
    if (threadIdx.x == 0)
    {
        const u8* last = peers.inbox + turn + end - 16;
        for (int box = 0; box < RANKS - 1; box++, last += peers.boxBytes)
        {
            for (int tries = 1; !has_arrived(load_system(last)) && !gives_up(peers, tries); tries++) {}
        }
    }
    __syncthreads();
}

// 8 elements from a box, which are waited for, and of which nothing is left there.
template <int TYPE>
DEVICE void receive_elements(float (&values)[8], const Peers& peers, u8* address)
{
    constexpr int CHUNKS = ELEMENT_BYTES(TYPE) / 2;
    uint4 chunks[CHUNKS];
    for (int tries = 1;; tries++)
    {
        bool have_arrived = true;
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) chunks[i] = load_system(address + 16 * i);
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) have_arrived &= has_arrived(chunks[i]);
        if (have_arrived || gives_up(peers, tries)) break;
    }
#pragma unroll
    for (int i = 0; i < CHUNKS; i++)
    {
        *(uint4*)(address + 16 * i) = make_uint4(EMPTY, EMPTY, EMPTY, EMPTY);
        u32 words[4] = {chunks[i].x, chunks[i].y, chunks[i].z, chunks[i].w};
#pragma unroll
        for (int k = 0; k < 4; k++)
        {
            if constexpr (TYPE == FLOAT32) values[4 * i + k] = float_from_bits(words[k]);
            else values[2 * k] = from_bits16<TYPE>(words[k] & 0xffff), values[2 * k + 1] = from_bits16<TYPE>(words[k] >> 16);
        }
    }
}

// 8 sums: of this rank's addends and those that arrive.
template <int TYPE>
DEVICE void sum_elements(float (&sums)[8], const Peers& peers, u64 turn, const void* addends, long long index)
{
    u8* box = peers.inbox + turn + index * ELEMENT_BYTES(TYPE);
#pragma unroll 1
    for (int rank = 0; rank < RANKS; rank++)
    {
        float values[8];
        if (rank == peers.rank) load_elements<TYPE, 8>(values, addends, index);
        else
        {
            receive_elements<TYPE>(values, peers, box);
            box += peers.boxBytes;
        }
#pragma unroll
        for (int k = 0; k < 8; k++) sums[k] = rank == 0 ? values[k] : sums[k] + values[k];
    }
}
