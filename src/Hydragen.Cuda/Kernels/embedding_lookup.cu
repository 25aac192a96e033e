// output[r] = table[tokenIds[r]] * scale. One block a row.
// Grid (numRows), block THREADS. Defines: TABLE: type of the table, VECTOR: 8 when hiddenSize and pitch are multiples of it, else 1.
#include "rows.cuh"

struct EmbeddingParameters
{
    const void* table;    // [vocabularySize, pitch], TABLE
    const int* tokenIds;  // [numRows]
    float* output;        // [numRows, hiddenSize]
    int hiddenSize;
    int pitch;            // elements from one row of the table to the next
    float scale;
};

extern "C" __global__ void __launch_bounds__(THREADS) embedding_lookup(const EmbeddingParameters p)
{
    long long source = (long long)p.tokenIds[blockIdx.x] * p.pitch, destination = (long long)blockIdx.x * p.hiddenSize;
    for (int column = threadIdx.x * VECTOR; column < p.hiddenSize; column += THREADS * VECTOR)
    {
        float values[VECTOR];
        load_elements<TABLE, VECTOR>(values, p.table, source + column);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) values[i] *= p.scale;
        store_elements<FLOAT32, VECTOR>(p.output, destination + column, values);
    }
}
