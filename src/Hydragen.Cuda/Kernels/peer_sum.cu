// Replaces numbers by their sums over the ranks, rounded to their type.
// Grid any that is resident at once, block THREADS. Defines: NUMBERS: element type; RANKS; THREADS.
#include "peers.cuh"

struct PeerSumParameters
{
    Peers peers;
    void* numbers;         // [8 * numVectors], NUMBERS
    long long numVectors;  // at most peers.boxBytes / (8 * element bytes)
};

extern "C" __global__ void __launch_bounds__(THREADS, 1024 / THREADS) peer_sum(const PeerSumParameters p)
{
    take_turn();
    u64 turn = turn_offset(p.peers);
    const long long step = (long long)gridDim.x * THREADS;
#pragma unroll 4
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < p.numVectors; i += step) send_elements<NUMBERS>(p.peers, turn, p.numbers, 8 * i);
    for (long long first = (long long)blockIdx.x * THREADS; first < p.numVectors; first += step)
    {
        wait_for_block(p.peers, turn, min(first + THREADS, p.numVectors) * 8 * ELEMENT_BYTES(NUMBERS));
        const long long i = first + threadIdx.x;
        if (i >= p.numVectors) break;
        float sums[8];
        sum_elements<NUMBERS>(sums, p.peers, turn, p.numbers, 8 * i);
        store_elements<NUMBERS, 8>(p.numbers, 8 * i, sums);
    }
    end_turn(p.peers);
}
