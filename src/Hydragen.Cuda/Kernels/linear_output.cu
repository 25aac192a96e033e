// Turns FP32 products into the result of a linear layer: adds the pieces' products, undoes the scale of the row, adds the bias, caps, rounds.
// Grid (numRows * blocksPerRow), block THREADS. Defines: OUTPUT: type of the result; PIECES.
#include "rows.cuh"

struct LinearOutputParameters
{
    const float* products;  // [PIECES, numProductRows, pitch]
    const float* scales;    // [numRows], or null
    const float* bias;      // [outputSize], or null
    void* output;           // [numRows, outputSize], OUTPUT; may be products when it has the same shape
    int outputSize;
    int pitch;
    int numProductRows;
    int blocksPerRow;
    float softCap;          // 0: none
};

extern "C" __global__ void __launch_bounds__(THREADS) linear_output(const LinearOutputParameters p)
{
    take_turn();
    int row = blockIdx.x / p.blocksPerRow, column = (blockIdx.x - row * p.blocksPerRow) * THREADS + threadIdx.x;
    if (column >= p.outputSize) return;
    long long index = (long long)row * p.pitch + column;
    float sum = 0.0f;
    // The smallest first.
#pragma unroll
    for (int piece = PIECES - 1; piece >= 0; piece--) sum += p.products[(long long)piece * p.numProductRows * p.pitch + index];
    if (p.scales) sum *= p.scales[row];
    if (p.bias) sum += p.bias[column];
    float result[1] = {p.softCap == 0.0f ? sum : p.softCap * tanhf(sum / p.softCap)};
    store_elements<OUTPUT, 1>(p.output, (long long)row * p.outputSize + column, result);
}
