// What a lane knows of two vectors while they meet the keys of an item. Defines of the including kernel: LOGIT_OPTIONS (ALiBi, soft-cap, or a
// scale that is not positive).
#pragma once
#include "bytes.cuh"

struct TwoVectors
{
    KeyRange visible[2];
#if IS_BYTE
    float scales[2];   // from products to scores
#endif
#if LOGIT_OPTIONS
    float slopes[2];
    int distances[2];  // position of the item's first key less the row's
#endif
};

// From what a kernel compares, products or with LOGIT_OPTIONS logits, to logits, base 2.
DEVICE float factor_of(const AttentionParameters& p, const TwoVectors& v, int j)
{
#if LOGIT_OPTIONS
    return 1.0f;
#elif IS_BYTE
    return p.scaleBase2 * v.scales[j];
#else
    return p.scaleBase2;
#endif
}

// What a vector sees of the keys of an item.
DEVICE void set_keys(const AttentionParameters& p, const AttentionItem& item, int vector, TwoVectors& v, int j)
{
    const int row = row_of(p, vector);
    v.visible[j] = visible_keys(p, item, row);
#if LOGIT_OPTIONS
    v.distances[j] = item.firstPosition - p.rowPositions[row];
#endif
}

DEVICE void set_slope(const AttentionParameters& p, int kv_head, int vector, TwoVectors& v, int j)
{
#if LOGIT_OPTIONS
    v.slopes[j] = p.alibiSlopes ? p.alibiSlopes[head_of(p, kv_head, vector)] : 0.0f;
#endif
}
