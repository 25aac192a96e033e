// Prepares rows for a matrix product whose operands must have one type and rows of whole 16-byte chunks: gathers chosen rows, pads them with
// zeros, and turns each number into PIECES numbers of the type of the weights whose sum it is (exactly, but for what is 2^-38 of the row's
// largest number or less). For FP16 weights a row is first scaled by a power of two, so that the pieces stay in range.
// Grid (numRows), block THREADS. Defines: INPUT: type of the rows; OUTPUT: type of the weights; PIECES; SCALED: 0 or 1.
#include "rows.cuh"

struct LinearInputParameters
{
    const void* input;  // [.., inputSize], INPUT
    const int* rows;    // [numRows]: which rows; null: all in order
    void* output;       // [PIECES, numOutputRows, pitch], OUTPUT
    float* scales;      // [numRows]: what the product of the row must be multiplied by; null without SCALED
    int inputSize;
    int pitch;
    int numOutputRows;
};

// The largest number of a row lands in [2^14, 2^15).
#define TARGET_EXPONENT 14

extern "C" __global__ void __launch_bounds__(THREADS) linear_input(const LinearInputParameters p)
{
    take_turn();
    long long source = (long long)(p.rows ? p.rows[blockIdx.x] : blockIdx.x) * p.inputSize, destination = (long long)blockIdx.x * p.pitch;
    float scale = 1.0f;
#if SCALED
    float largest = 0.0f;
    for (int column = threadIdx.x; column < p.inputSize; column += THREADS)
    {
        float value[1];
        load_elements<INPUT, 1>(value, p.input, source + column);
        largest = fmaxf(largest, fabsf(value[0]));
    }
    int biased = (__float_as_uint(block_reduce<Max>(largest)) >> 23) & 0xff;
    // Neither the scale nor its inverse may leave the range of normal numbers.
    int exponent = biased == 0 || biased == 0xff ? 0 : max(-126, min(126, TARGET_EXPONENT - (biased - 127)));
    scale = float_from_bits((u32)(127 + exponent) << 23);
    if (threadIdx.x == 0) p.scales[blockIdx.x] = float_from_bits((u32)(127 - exponent) << 23);
#endif
    for (int column = threadIdx.x; column < p.pitch; column += THREADS)
    {
        float rest[1] = {0.0f};
        if (column < p.inputSize) load_elements<INPUT, 1>(rest, p.input, source + column);
        rest[0] *= scale;
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++)
        {
            long long index = (long long)piece * p.numOutputRows * p.pitch + destination + column;
            store_elements<OUTPUT, 1>(p.output, index, rest);
#if PIECES > 1
            float rounded = from_bits16<OUTPUT>(to_bits16<OUTPUT>(rest[0], 0.0f) & 0xffff);
            // An infinity or a NaN is all in its first piece.
            rest[0] = fabsf(rounded) <= 3.4e38f ? rest[0] - rounded : 0.0f;
#endif
        }
    }
}
