// output = x / sqrt(mean(x^2) + epsilon) * weight for each row x: of the input, or with ADD of residual + input * deltaScale, which becomes
// the residual. One block a row, which it holds in registers, so the output may be the input.
// Grid (numRows), block THREADS. Defines: INPUT, OUTPUT: element types; ADD: 0 or 1; VECTOR: 8 when hiddenSize is a multiple of it, else 1;
// ITEMS: vectors that a thread holds.
#include "rows.cuh"

struct RmsNormParameters
{
    const void* input;    // [numRows, hiddenSize], INPUT
    float* residual;      // [numRows, hiddenSize], or null without ADD
    const float* weight;  // [hiddenSize]
    void* output;         // [numRows, hiddenSize], OUTPUT
    int hiddenSize;
    float epsilon;
    float deltaScale;
};

extern "C" __global__ void __launch_bounds__(THREADS) rms_norm(const RmsNormParameters p)
{
    long long first = (long long)blockIdx.x * p.hiddenSize;
    float values[ITEMS][VECTOR];
    float squares = 0.0f;
    // Lets no kernel start early: products follow, which never do.
    wait_for_dependency();
#pragma unroll
    for (int item = 0; item < ITEMS; item++)
    {
        int column = (item * THREADS + threadIdx.x) * VECTOR;
        if (column >= p.hiddenSize) break;
        load_elements<INPUT, VECTOR>(values[item], p.input, first + column);
#if ADD
        float residual[VECTOR];
        load_elements<FLOAT32, VECTOR>(residual, p.residual, first + column);
#pragma unroll
        for (int i = 0; i < VECTOR; i++) values[item][i] = residual[i] + values[item][i] * p.deltaScale;
        store_elements<FLOAT32, VECTOR>(p.residual, first + column, values[item]);
#endif
#pragma unroll
        for (int i = 0; i < VECTOR; i++) squares += values[item][i] * values[item][i];
    }
    store_normalised<OUTPUT>(p.output, first, values, squares, p.weight, p.hiddenSize, p.epsilon);
}
