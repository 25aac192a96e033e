// What the kernels for many vectors share: queries in shared memory, the keys that an item needs, softmax on score fragments, results.
// Defines of the including kernel: ROWS, vectors of a block; KEYS, columns of a score fragment; LOGIT_OPTIONS (ALiBi, soft-cap, or a
// scale that is not positive).
#pragma once
#include "vectors.cuh"

#define KEY_TILES (KEYS / 8)
// From this logit on, base 2, the rounding of its product with the factor is no longer a negligible exponent.
#define LARGE_LOGIT 4194304.0f
// With large heads and bytes registers are short; products of large heads are so long that they hide the search for maxima at each step.
#define IS_LAGGED (HEAD_DIM <= 128 && !IS_BYTE)
// A lane's sum of the weights of one step beyond which the reference must rise; no weight is larger, and FP16 ends at 65504.
#define MAX_SUM (OPERAND == FLOAT16 ? 32768.0f : 16777216.0f)
#define DIM_TILES (PADDED_DIM / 8)

// Byte offset in the image of queries.
DEVICE u32 query_offset(int row, int column16, int half) { return tile_offset<ROWS, PADDED_DIM>(row, column16, half); }

// Starts to copy the queries of an item to a swizzled image of ROWS rows; rows and columns that do not exist become zero. Threads
// thread ... of numThreads share the work. PADDED_DIM columns of 16 bits.
DEVICE void load_query(const AttentionParameters& p, const AttentionItem& item, int kv_head, u32 destination, int thread, int num_threads)
{
#pragma unroll 1
    for (int chunk = thread; chunk < ROWS * (PADDED_DIM / 8); chunk += num_threads)
    {
        int i = chunk / (PADDED_DIM / 8), column = chunk % (PADDED_DIM / 8) * 8;
        bool is_valid = i < item.numVectors && column < HEAD_DIM;
        int vector = item.firstVector + (is_valid ? i : 0);
        long long row_head = (long long)row_of(p, vector) * p.numHeads + head_of(p, kv_head, vector);
        const u16* source = (const u16*)p.query + row_head * HEAD_DIM + (is_valid ? column : 0);
        copy_async(destination + query_offset(i, column / 16 * 16, column / 8 % 2), source, is_valid);
    }
}

#if IS_BYTE
#define QUERY_LANES (PADDED_DIM <= 64 ? 8 : PADDED_DIM <= 128 ? 16 : 32)
// Turns queries that were copied into FP16 of moderate size. scales: receives for each row what its products must be multiplied with.
// All lanes of numThreads threads call it.
DEVICE void normalise_query(const AttentionParameters& p, int kv_head, u8* queries, float* scales, int thread, int num_threads)
{
    const int chunk = thread % QUERY_LANES;
    for (int row = thread / QUERY_LANES; row < ROWS; row += num_threads / QUERY_LANES)
    {
        uint4* place = (uint4*)(queries + query_offset(row, chunk / 2 * 16, chunk % 2));
        const bool is_valid = chunk < PADDED_DIM / 8;
        const uint4 four = is_valid ? *place : make_uint4(0, 0, 0, 0);
        u32 words[4] = {four.x, four.y, four.z, four.w};
        float largest = 0.0f, down, up;
#pragma unroll
        for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(widen((u16)(words[i / 2] >> i % 2 * 16), p.queryType)));
#pragma unroll
        for (int mask = 1; mask < QUERY_LANES; mask *= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
        query_scales(largest, down, up);
#pragma unroll
        for (int i = 0; i < 4; i++)
            words[i] = pack_float16(widen((u16)words[i], p.queryType) * down, widen((u16)(words[i] >> 16), p.queryType) * down);
        if (is_valid) *place = make_uint4(words[0], words[1], words[2], words[3]);
        if (chunk == 0) scales[row] = score_scale(p, kv_head, up);
    }
}
#endif

// The two vectors of which a lane holds elements in each 16 x 8 tile of scores and outputs: l / 4 and l / 4 + 8, and in them columns
// 2 * (l % 4) and the next. Fragments are [tile][4]: two columns of the first vector, two of the second.
struct VectorPair : TwoVectors
{
    float references[2];  // weights are 2^(logitBase2 - reference); an integer, so that a change rounds nothing; -infinity before the first key
    float sums[2];        // this lane's share of AttentionParameters.partSums
    bool is_settled;      // the warp's rows all have references, and keep them while they do
};

// first: the vector of row 0 of the lane's tile, counted from the item's first.
DEVICE VectorPair make_pair(const AttentionParameters& p, const AttentionItem& item, int kv_head, int first, int lane)
{
    VectorPair pair;
    pair.is_settled = false;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        int i = first + half * 8 + lane / 4;
        int vector = item.firstVector + (i < item.numVectors ? i : 0);
        set_keys(p, item, vector, pair, half);
        set_slope(p, kv_head, vector, pair, half);
        pair.references[half] = -float_from_bits(INFINITY_BITS);
        pair.sums[half] = 0.0f;
    }
    return pair;
}

// Applies the logit options to the scores of 8 keys. key: of this lane's first column, counted from the item's first.
DEVICE void apply_options(const AttentionParameters& p, const VectorPair& pair, float (&scores)[4], int key)
{
#if LOGIT_OPTIONS
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
#if IS_BYTE
        scores[i] *= pair.scales[i / 2];
#endif
        scores[i] = logit_base2(p, scores[i], pair.slopes[i / 2], pair.distances[i / 2] + key + i % 2);
    }
#endif
}

// Hides from each row what it must not see.
DEVICE void hide_keys(const VectorPair& pair, float (&scores)[4], int key)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        if (key + i % 2 < pair.visible[i / 2].first || key + i % 2 >= pair.visible[i / 2].end) scores[i] = -float_from_bits(INFINITY_BITS);
    }
}

// The reference that a row's weights get, given the largest score of a step.
DEVICE float reference_for(float factor, float maximum) { return ceilf(multiply_rounded(maximum, factor)); }

// How weights follow from a row's scores: 2^((score - base) * factor - offset). The base is 0 but for scores so large that their product with
// the factor would be off.
struct Exponent
{
    float base;
    float offset;
};

DEVICE Exponent exponent_of(float factor, float reference, float maximum)
{
    // Without a visible key both are -infinity, and their difference would be NaN.
    Exponent result = {0.0f, reference == -float_from_bits(INFINITY_BITS) ? 0.0f : reference};
    const float logit = multiply_rounded(maximum, factor);
    if (!LOGIT_OPTIONS && fabsf(logit) > LARGE_LOGIT && maximum != -float_from_bits(INFINITY_BITS))
    {
        result.base = maximum;
        result.offset = reference - logit;
    }
    return result;
}

DEVICE float quad_max(float value)
{
    value = fmaxf(value, shuffle_xor(value, 1));
    return fmaxf(value, shuffle_xor(value, 2));
}

// Sets the references of rows that have none, or all to what they should be, from the maxima of the scores of this step, and tells by how much
// to scale what was summed before.
DEVICE void raise_references(
    const AttentionParameters& p, VectorPair& pair, float (&scores)[KEY_TILES][4], float (&corrections)[2], float (&offsets)[2])
{
    bool has_keys = true;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float maximum = fmaxf(scores[0][2 * half], scores[0][2 * half + 1]);
#pragma unroll
        for (int n = 1; n < KEY_TILES; n++) maximum = fmaxf(maximum, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        maximum = quad_max(maximum);
        const float before = pair.references[half];
        const float reference = IS_LAGGED && before != -float_from_bits(INFINITY_BITS) ? before : fmaxf(before, reference_for(factor_of(p, pair, half), maximum));
        corrections[half] = reference == before ? 1.0f : exp2_approx(before - reference);
        pair.references[half] = reference;
        pair.sums[half] *= corrections[half];
        has_keys &= reference != -float_from_bits(INFINITY_BITS);
        const Exponent exponent = exponent_of(factor_of(p, pair, half), reference, maximum);
        offsets[half] = exponent.offset;
        if (warp_any(exponent.base != 0.0f))
        {
#pragma unroll
            for (int n = 0; n < KEY_TILES; n++)
            {
                scores[n][2 * half] -= exponent.base;
                scores[n][2 * half + 1] -= exponent.base;
            }
        }
    }
    pair.is_settled = IS_LAGGED && !warp_any(!has_keys);
}

// What is left to do, rarely, for rows whose weights became too large: references from the maxima of this step's scores, and weights anew.
// multiply(n, scores) makes the scores of 8 keys once more. Rows that need no change keep theirs, so no row depends on another.
template <class Multiply>
DEVICE void raise_rows(
    const AttentionParameters& p, VectorPair& pair, float (&weights)[KEY_TILES][4], int lane_key, float (&corrections)[2], float (&sums)[2],
    const Multiply& multiply)
{
    float scores[4], maxima[2] = {-float_from_bits(INFINITY_BITS), -float_from_bits(INFINITY_BITS)};
#pragma unroll 1
    for (int n = 0; n < KEY_TILES; n++)
    {
        multiply(n, scores);
        apply_options(p, pair, scores, lane_key + n * 8);
        hide_keys(pair, scores, lane_key + n * 8);
#pragma unroll
        for (int i = 0; i < 4; i++) maxima[i / 2] = fmaxf(maxima[i / 2], scores[i]);
    }
    bool rises[2];
    Exponent exponents[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        // Some lane of the row, which is one of four; NaN counts.
        float largest = sums[half] <= MAX_SUM ? 0.0f : 1.0f;
        rises[half] = quad_max(largest) != 0.0f;
        const float maximum = quad_max(maxima[half]), before = pair.references[half];
        const float reference = fmaxf(before, reference_for(factor_of(p, pair, half), maximum)), correction = reference == before ? 1.0f : exp2_approx(before - reference);
        if (!rises[half]) continue;
        corrections[half] *= correction;
        pair.references[half] = reference;
        pair.sums[half] *= correction;
        exponents[half] = exponent_of(factor_of(p, pair, half), reference, maximum);
        sums[half] = 0.0f;
    }
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++)
    {
        multiply(n, scores);
        apply_options(p, pair, scores, lane_key + n * 8);
        hide_keys(pair, scores, lane_key + n * 8);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            if (!rises[i / 2]) continue;
            weights[n][i] = exp2_approx((scores[i] - exponents[i / 2].base) * factor_of(p, pair, i / 2) - exponents[i / 2].offset);
            sums[i / 2] += weights[n][i];
        }
    }
}

// One step of online softmax: turns the scores of KEYS keys into weights. The references of the steps before are taken, whose maximum
// they were; only where weights become too large, and at a row's first keys, they are raised. Whether what was summed before must be scaled
// by corrections: the same for all lanes of the warp, and rare. multiply as in raise_rows.
// first_key: the key of column 0, counted from the item's first.
template <class Multiply>
DEVICE bool softmax_step(
    const AttentionParameters& p, VectorPair& pair, float (&scores)[KEY_TILES][4], int first_key, int lane, float (&corrections)[2],
    const Multiply& multiply)
{
    const int lane_key = first_key + lane % 4 * 2;
#if LOGIT_OPTIONS
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++) apply_options(p, pair, scores[n], lane_key + n * 8);
#endif
    if (first_key < max(pair.visible[0].first, pair.visible[1].first) || first_key + KEYS > min(pair.visible[0].end, pair.visible[1].end))
    {
#pragma unroll
        for (int n = 0; n < KEY_TILES; n++) hide_keys(pair, scores[n], lane_key + n * 8);
    }
    bool is_scaled = !pair.is_settled;
    float offsets[2] = {pair.references[0], pair.references[1]};
    if (is_scaled) raise_references(p, pair, scores, corrections, offsets);
    const float factors[2] = {factor_of(p, pair, 0), factor_of(p, pair, 1)};
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) scores[n][i] = exp2_approx(scores[n][i] * factors[i / 2] - offsets[i / 2]);
    }
    float parts[4] = {};
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) parts[i] += scores[n][i];
    }
    float sums[2] = {parts[0] + parts[1], parts[2] + parts[3]};
    if (IS_LAGGED && warp_any(!(sums[0] <= MAX_SUM) || !(sums[1] <= MAX_SUM)))
    {
        if (!is_scaled) corrections[0] = corrections[1] = 1.0f;
        raise_rows(p, pair, scores, lane_key, corrections, sums, multiply);
        is_scaled = true;
    }
    pair.sums[0] += sums[0];
    pair.sums[1] += sums[1];
    return is_scaled;
}

// Rounds weights to 16 bits and packs them as operands of the product with values.
DEVICE void pack_weights(const float (&weights)[KEY_TILES][4], u32 (&packed)[KEY_TILES][2])
{
#pragma unroll
    for (int n = 0; n < KEY_TILES; n++)
    {
        packed[n][0] = pack(weights[n][0], weights[n][1], OPERAND);
        packed[n][1] = pack(weights[n][2], weights[n][3], OPERAND);
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

// All lanes of a warp store what they hold. first: as in make_pair.
DEVICE void store_pair(
    const AttentionParameters& p, const AttentionItem& item, int kv_head, int first, const VectorPair& pair, const float (&output)[DIM_TILES][4], int lane)
{
    const float scale = head_scale(p, kv_head, 1);
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        float sum = pair.sums[half];
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        int i = first + half * 8 + lane / 4;
        if (i >= item.numVectors) continue;
        Target target = target_of(p, item, kv_head, item.firstVector + i);
        if (lane % 4 == 0) store_sum(p, target, pair.references[half], sum);
        float reciprocal = reciprocal_of(sum);
#pragma unroll
        for (int d = 0; d < DIM_TILES; d++)
        {
            if (d * 8 < HEAD_DIM) store_outputs(p, target, d * 8 + lane % 4 * 2, output[d][2 * half] * scale, output[d][2 * half + 1] * scale, reciprocal);
        }
    }
}
