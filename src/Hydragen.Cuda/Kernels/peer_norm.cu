// Adds the sums of what the ranks have, rounded to its type, to the residual stream, and normalises that: peer_sum and rms_norm in one, so
// that numbers travel while others are normalised.
// Grid any that is resident at once, block THREADS. Defines: INPUT, OUTPUT: element types; ITEMS: vectors of 8 elements that a thread holds
// of a row; RANKS; THREADS.
#include "peers.cuh"

struct PeerNormParameters
{
    Peers peers;
    const void* delta;    // [numRows, hiddenSize], INPUT
    float* residual;      // [numRows, hiddenSize]
    const float* weight;  // [hiddenSize]
    void* output;         // [numRows, hiddenSize], OUTPUT; not the delta
    int numRows;
    int hiddenSize;  // a multiple of 8
    float epsilon;
    float deltaScale;
};

extern "C" __global__ void __launch_bounds__(THREADS, 1024 / THREADS) peer_norm(const PeerNormParameters p)
{
    // Lets no kernel start early: products follow, which never do.
    wait_for_dependency();
    u64 turn = turn_offset(p.peers);
    for (int row = blockIdx.x; row < p.numRows; row += gridDim.x)
    {
#pragma unroll
        for (int item = 0; item < ITEMS; item++)
        {
            int column = (item * THREADS + threadIdx.x) * 8;
            if (column >= p.hiddenSize) break;
            send_elements<INPUT>(p.peers, turn, p.delta, (long long)row * p.hiddenSize + column);
            prefetch_sector(p.residual + (long long)row * p.hiddenSize + column);
        }
    }
    for (int row = blockIdx.x; row < p.numRows; row += gridDim.x)
    {
        long long first = (long long)row * p.hiddenSize;
        float values[ITEMS][8];
        float squares = 0.0f;
        wait_for_block(p.peers, turn, (first + p.hiddenSize) * ELEMENT_BYTES(INPUT));
#pragma unroll
        for (int item = 0; item < ITEMS; item++)
        {
            int column = (item * THREADS + threadIdx.x) * 8;
            if (column >= p.hiddenSize) break;
            sum_elements<INPUT>(values[item], p.peers, turn, p.delta, first + column);
            float residual[8];
            load_elements<FLOAT32, 8>(residual, p.residual, first + column);
#pragma unroll
            for (int i = 0; i < 8; i++)
            {
                values[item][i] = residual[i] + round_to<INPUT>(values[item][i]) * p.deltaScale;
                squares += values[item][i] * values[item][i];
            }
            store_elements<FLOAT32, 8>(p.residual, first + column, values[item]);
        }
        store_normalised<OUTPUT>(p.output, first, values, squares, p.weight, p.hiddenSize, p.epsilon);
        __syncthreads();  // block_reduce uses its shared memory again.
    }
    end_turn(p.peers);
}
