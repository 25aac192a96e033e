// output[r, i] = activation(gateUp[r, i]) * gateUp[r, intermediateSize + i].
// Grid (numRows * blocksPerRow), block THREADS. Defines: INPUT, OUTPUT: element types; ACTIVATION: 0 SiLU, 1 GELU, 2 GELU by tanh;
// VECTOR: 8 when intermediateSize is a multiple of it, else 1.
#include "rows.cuh"

struct ActivationParameters
{
    const void* gateUp;  // [numRows, 2 * intermediateSize], INPUT
    void* output;        // [numRows, intermediateSize], OUTPUT
    int intermediateSize;
    int blocksPerRow;
};

// x / (1 + e^-y). Where the result is rounded to 16 bits, approximations within 2^-17 do.
DEVICE float sigmoid_part(float x, float y)
{
    if constexpr (OUTPUT == FLOAT32) return x / (1.0f + expf(-y));
    return x * reciprocal_approx(1.0f + exp2_approx(-1.4426950408889634f * y));
}

DEVICE float activate(float x)
{
#if ACTIVATION == 0
    return sigmoid_part(x, x);
#elif ACTIVATION == 1
    return x * normcdff(x);
#else
    // (1 + tanh u) / 2 = 1 / (1 + e^-2u); sqrt(8 / pi) = 1.5957691216...
    return sigmoid_part(x, 1.595769121605731f * (x + 0.044715f * x * x * x));
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) gated_activation(const ActivationParameters p)
{
    int row = blockIdx.x / p.blocksPerRow;
    int column = ((blockIdx.x - row * p.blocksPerRow) * THREADS + threadIdx.x) * VECTOR;
    take_turn();
    if (column >= p.intermediateSize) return;
    float gate[VECTOR], up[VECTOR];
    long long source = 2LL * row * p.intermediateSize + column;
    load_elements<INPUT, VECTOR>(gate, p.gateUp, source);
    load_elements<INPUT, VECTOR>(up, p.gateUp, source + p.intermediateSize);
#pragma unroll
    for (int i = 0; i < VECTOR; i++) gate[i] = activate(gate[i]) * up[i];
    store_elements<OUTPUT, VECTOR>(p.output, (long long)row * p.intermediateSize + column, gate);
}
