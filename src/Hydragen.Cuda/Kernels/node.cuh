// What the kernels for many vectors share: queries in shared memory, the keys that a block needs, softmax on score fragments, results.
// Defines of the including kernel: ROWS, vectors of a block; THREADS, threads of a block; KEYS, columns of a score fragment;
// LOGIT_OPTIONS (ALiBi, soft-cap, or a scale that is not positive).
#pragma once
#include "common.cuh"

#define KEY_TILES (KEYS / 8)
// From this logit on, base 2, the rounding of its product with the factor is no longer a negligible exponent.
#define LARGE_LOGIT 8192.0f
#define DIM_TILES (PADDED_DIM / 8)

// Starts to copy the queries of an item to a swizzled image of ROWS rows; rows and columns that do not exist become zero.
DEVICE void load_query(const AttentionParameters& p, const AttentionItem& item, int kv_head, u32 destination)
{
    for (int chunk = threadIdx.x; chunk < ROWS * (PADDED_DIM / 8); chunk += THREADS)
    {
        int i = chunk / (PADDED_DIM / 8), column = chunk % (PADDED_DIM / 8) * 8;
        bool is_valid = i < item.numVectors && column < HEAD_DIM;
        int vector = item.firstVector + (is_valid ? i : 0);
        long long row_head = (long long)(vector / p.groupSize) * p.numHeads + kv_head * p.groupSize + vector % p.groupSize;
        const u16* source = (const u16*)p.query + row_head * HEAD_DIM + (is_valid ? column : 0);
        copy_async(destination + tile_offset<ROWS>(i, column / 16 * 16, column / 8 % 2), source, is_valid);
    }
}

// The keys that any of the block's rows sees. All threads of the block call it; range is shared memory of two ints.
DEVICE KeyRange block_keys(const AttentionParameters& p, const AttentionItem& item, int* range)
{
    KeyRange all = {0, item.numKeys};
    if ((item.splitAndMask & 1) == 0 && p.window == ALL_POSITIONS) return all;
    if (threadIdx.x == 0)
    {
        range[0] = item.numKeys;
        range[1] = 0;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < item.numVectors; i += THREADS)
    {
        KeyRange keys = visible_keys(p, item, (item.firstVector + i) / p.groupSize);
        if (keys.first < keys.end)
        {
            atomicMin(range, keys.first);
            atomicMax(range + 1, keys.end);
        }
    }
    __syncthreads();
    KeyRange result = {range[0], range[1]};
    return result;
}

// The two vectors of which a lane holds elements in each 16 x 8 tile of scores and outputs: l / 4 and l / 4 + 8, and in them columns
// 2 * (l % 4) and the next. Fragments are [tile][4]: two columns of the first vector, two of the second.
struct VectorPair
{
    int vectors[2];  // -1: does not exist
    KeyRange visible[2];
#if LOGIT_OPTIONS
    float slopes[2];
    int distances[2];  // position of the item's first key less the row's
#endif
    float maxima[2];   // of scores before the factor
    float sums[2];     // this lane's share of sum and weight of AttentionParameters.partSums
    float weights[2];
    float factor;      // from scores to logits, base 2
};

// first: the vector of row 0 of the lane's tile, counted from the item's first.
DEVICE VectorPair make_pair(const AttentionParameters& p, const AttentionItem& item, int kv_head, int first, int lane)
{
    VectorPair pair;
    pair.factor = LOGIT_OPTIONS ? 1.0f : p.scale * LOG2_E;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        int i = first + half * 8 + lane / 4;
        int vector = item.firstVector + (i < item.numVectors ? i : 0);
        pair.vectors[half] = i < item.numVectors ? vector : -1;
        pair.visible[half] = visible_keys(p, item, vector / p.groupSize);
#if LOGIT_OPTIONS
        pair.slopes[half] = p.alibiSlopes ? p.alibiSlopes[kv_head * p.groupSize + vector % p.groupSize] : 0.0f;
        pair.distances[half] = item.firstPosition - p.rowPositions[vector / p.groupSize];
#endif
        pair.maxima[half] = -float_from_bits(INFINITY_BITS);
        pair.sums[half] = pair.weights[half] = 0.0f;
    }
    return pair;
}

// One step of online softmax: turns the scores of KEYS keys into weights, and tells by how much to scale what was summed before.
// first_key: the key of column 0, counted from the item's first.
DEVICE void softmax_step(
    const AttentionParameters& p, VectorPair& pair, float (&scores)[KEY_TILES][4], int first_key, int lane, float (&corrections)[2])
{
    const int lane_key = first_key + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        KeyRange seen = pair.visible[half];
#if LOGIT_OPTIONS
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++)
        {
#pragma unroll
            for (int j = 0; j < 2; j++)
            {
                float& score = scores[n][2 * half + j];
                score = logit_base2(p, score, pair.slopes[half], pair.distances[half] + lane_key + n * 8 + j);
            }
        }
#endif
        if (first_key < seen.first || first_key + KEYS > seen.end)
        {
#pragma unroll
            for (int n = 0; n < KEY_TILES; n++)
            {
#pragma unroll
                for (int j = 0; j < 2; j++)
                {
                    int key = lane_key + n * 8 + j;
                    if (key < seen.first || key >= seen.end) scores[n][2 * half + j] = -float_from_bits(INFINITY_BITS);
                }
            }
        }
        float maximum = pair.maxima[half];
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++) maximum = fmaxf(maximum, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        maximum = fmaxf(maximum, shuffle_xor(maximum, 1));
        maximum = fmaxf(maximum, shuffle_xor(maximum, 2));
        // Without a visible key the maximum is -infinity, and infinity less infinity would be NaN.
        float reference = maximum == -float_from_bits(INFINITY_BITS) ? 0.0f : multiply_rounded(maximum, pair.factor);
        corrections[half] = exp2_approx(multiply_rounded(pair.maxima[half], pair.factor) - reference);
        pair.maxima[half] = maximum;
        float factor = pair.factor;
#if !LOGIT_OPTIONS
        // One fused multiply-add a score leaves that rounding in the exponent, where it scales all weights of a row alike.
        if (fabsf(reference) > LARGE_LOGIT)
        {
#pragma unroll
            for (int n = 0; n < KEY_TILES; n++)
            {
#pragma unroll
                for (int j = 0; j < 2; j++) scores[n][2 * half + j] = (scores[n][2 * half + j] - maximum) * factor;
            }
            factor = 1.0f;
            reference = 0.0f;
        }
#endif
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++)
        {
#pragma unroll
            for (int j = 0; j < 2; j++)
            {
                float& score = scores[n][2 * half + j];
                score = exp2_approx(score * factor - reference);
                sum += score;
            }
        }
        pair.sums[half] = pair.sums[half] * corrections[half] + sum;
        pair.weights[half] *= corrections[half];
    }
}

// Rounds weights to 16 bits and packs them as operands of the product with values. The output is divided by the sum of these: that keeps the
// mean of the values exact.
DEVICE void pack_weights(VectorPair& pair, const float (&weights)[KEY_TILES][4], u32 (&packed)[KEY_TILES][2])
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++)
        {
            packed[n][half] = pack(weights[n][2 * half], weights[n][2 * half + 1], STORAGE);
            sum += widen((u16)packed[n][half], STORAGE) + widen((u16)(packed[n][half] >> 16), STORAGE);
        }
        pair.weights[half] += sum;
    }
}

DEVICE void scale_output(float (&output)[DIM_TILES][4], const float (&corrections)[2])
{
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) output[d][i] *= corrections[i / 2];
    }
}

// All lanes of a warp store what they hold.
DEVICE void store_pair(
    const AttentionParameters& p, const AttentionItem& item, int kv_head, const VectorPair& pair, const float (&output)[DIM_TILES][4], int lane)
{
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = pair.sums[half], weight = pair.weights[half];
#pragma unroll
        for (int mask = 1; mask <= 2; mask *= 2)
        {
            sum += shuffle_xor(sum, mask);
            weight += shuffle_xor(weight, mask);
        }
        if (pair.vectors[half] < 0) continue;
        Target target = target_of(p, item, kv_head, pair.vectors[half]);
        if (lane % 4 == 0) store_sums(p, target, multiply_rounded(pair.maxima[half], pair.factor), sum, weight);
        float reciprocal = reciprocal_of(weight);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            if (d * 8 >= HEAD_DIM) continue;
            int column = d * 8 + lane % 4 * 2;
            store_output(p, target, column, output[d][2 * half], reciprocal);
            store_output(p, target, column + 1, output[d][2 * half + 1], reciprocal);
        }
    }
}
