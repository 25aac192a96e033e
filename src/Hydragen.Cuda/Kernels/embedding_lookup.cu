// output[r] = table[tokenIds[r]] * scale. One block a row.
// Grid (numRows), block THREADS. Defines: TABLE: type of the table, VECTOR: 8 when hiddenSize and pitch are multiples of it, else 1.
#include "rows.cuh"

struct EmbeddingParameters
{
    const void* table;    // [vocabularySize, pitch], TABLE
    const int* tokenIds;  // [numRows]; -1 - i: chosen[i]
    const int* chosen;    // tokens that were chosen; negative where there was none
    float* output;        // [numRows, hiddenSize]
    int hiddenSize;
    int pitch;            // elements from one row of the table to the next
    float scale;
};

extern "C" __global__ void __launch_bounds__(THREADS) embedding_lookup(const EmbeddingParameters p)
{
    take_turn();
    int id = p.tokenIds[blockIdx.x];
    if (id < 0) id = max(p.chosen[~id], 0);
    long long source = (long long)id * p.pitch, destination = (long long)blockIdx.x * p.hiddenSize;
    for (int column = threadIdx.x * VECTOR; column < p.hiddenSize; column += THREADS * VECTOR)
    {
        float values[VECTOR];
        load_elements<TABLE, VECTOR>(values, p.table, source + column);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) values[i] *= p.scale;
        store_elements<FLOAT32, VECTOR>(p.output, destination + column, values);
    }
}
