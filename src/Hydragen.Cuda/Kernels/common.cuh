// What the kernels share: element types, the layout of a KV page, the parameters of attention, visible keys and results.
// Defines: HEAD_DIM, a multiple of 8 up to 256; STORAGE, the element type of keys and values; HAS_SCALES, whether attention multiplies FP8 with scales
// of its heads (not when missing).
#pragma once

// Element types, numbered as on the host.
#define FLOAT32 0
#define BFLOAT16 1
#define FLOAT16 2
#define INT8 3
#define FLOAT8_E4M3 4
#define FLOAT8_E5M2 5

// Bytes are widened to FP16 where they are used; all that they stand for is exact in it, but for the scales of INT8.
#define IS_BYTE (STORAGE >= INT8)
#ifndef HAS_SCALES
#define HAS_SCALES 0
#endif
#define OPERAND (IS_BYTE ? FLOAT16 : STORAGE)

#include "ptx.cuh"

#define PAGE_SIZE 64
#define ALL_POSITIONS 0x7fffffff
#define NO_PART -1

#define INFINITY_BITS 0x7f800000u
#define LN_2 0.693147180559945309f
#define LOG2_E 1.44269504088896341f

// Elements of a head in shared memory and in pages that are not FP32: the padding is zero.
#define PADDED_DIM (IS_BYTE ? (HEAD_DIM + 31) / 32 * 32 : (HEAD_DIM + 15) / 16 * 16)

// --- Page layout -----------------------------------------------------------------------------------------------------------
// A page of a head is the image of its keys, then that of its values, and for INT8 the scales of its keys, then of its values (FP16
// [slot]). 16-bit images are what shared memory holds while they are used: blocks of columns, [block][slot][width], 64 columns wide as
// long as they last, then 32, then 16; the 16-byte chunks of a row are permuted so that 8 rows of a column of chunks lie in different
// banks. Images of bytes are the same with two elements a column. FP32 images are [slot][HEAD_DIM].

// 16-bit columns of a row.
#define COLUMNS (IS_BYTE ? PADDED_DIM / 2 : PADDED_DIM)

#if STORAGE == FLOAT32
#define IMAGE_BYTES (PAGE_SIZE * HEAD_DIM * 4)
#else
#define IMAGE_BYTES (PAGE_SIZE * COLUMNS * 2)
#endif
#define SCALES_OFFSET (2 * IMAGE_BYTES)
#define HEAD_BYTES (STORAGE == INT8 ? SCALES_OFFSET + 2 * PAGE_SIZE * 2 : SCALES_OFFSET)

// Byte offset of 8 columns in a swizzled image of so many rows. column16: the multiple of 16 at or below them; half: whether the upper 8.
// IMAGE_COLUMNS: what a row of the image has.
template <int IMAGE_ROWS, int IMAGE_COLUMNS = COLUMNS>
DEVICE u32 tile_offset(int row, int column16, int half)
{
    const int full = IMAGE_COLUMNS / 64 * 64, halves = full + IMAGE_COLUMNS % 64 / 32 * 32;
    int start = column16 < full ? column16 & ~63 : column16 < halves ? full : halves;
    int width = column16 < full ? 64 : column16 < halves ? 32 : 16;
    u32 offset = row * width * 2 + (column16 - start) * 2 + half * 16;
    return start * IMAGE_ROWS * 2 + (offset ^ (((offset >> 7) & (width / 8 - 1)) << 4));
}

// Byte offset of 16 bytes of a slot in an image. chunk: which 16 bytes of its row.
DEVICE u32 image_offset(int slot, int chunk)
{
#if STORAGE == FLOAT32
    return slot * (HEAD_DIM * 4) + chunk * 16;
#else
    return tile_offset<PAGE_SIZE>(slot, chunk / 2 * 16, chunk % 2);
#endif
}

// --- Elements --------------------------------------------------------------------------------------------------------------

DEVICE float widen(u16 bits, int type) { return type == BFLOAT16 ? float_from_bits((u32)bits << 16) : widen_float16(bits); }

DEVICE u32 pack(float low, float high, int type) { return type == BFLOAT16 ? pack_bfloat16(low, high) : pack_float16(low, high); }

DEVICE float load_element(const void* source, int type, long long index)
{
    return type == FLOAT32 ? ((const float*)source)[index] : widen(((const u16*)source)[index], type);
}

DEVICE void store_element(void* destination, int type, long long index, float value)
{
    if (type == FLOAT32) ((float*)destination)[index] = value;
    else ((u16*)destination)[index] = (u16)pack(value, 0.0f, type);
}

// --- Attention -------------------------------------------------------------------------------------------------------------

// The vectors firstVector ... of a step against some keys of a segment. A vector is a head of a row; those that share a key/value head
// are packed: vector v of key/value head h is head h * groupSize + v % groupSize of row v / groupSize.
struct AttentionItem
{
    int firstPage;      // index into pages of the page with the first key
    int firstSlot;      // slot of the first key in it; in attention_sequence + PAGE_SIZE * the next item
    int numKeys;
    int firstPosition;  // absolute position of the first key
    int firstVector;
    int numVectors;
    int firstPart;      // index into partSlots of the row of firstVector
    int splitAndMask;   // 2 * (number of the split in its segment) + (1 when causal)
};

struct AttentionParameters
{
    const AttentionItem* items;  // [numItems], and behind them those that others go on with
    const int* numItems;         // of this kernel
    int* tickets;                // of this kernel: (the next task, blocks that are done), zeros before and after
    const u64* pages;            // [pageTableLength], addresses
    const int* rowPositions;     // [numRows]
    const int* partSlots;        // slot of a segment's first split for each of its rows; NO_PART: the row has no other part
    const float* alibiSlopes;    // [numHeads], or null
    const void* query;           // [numRows, numHeads, HEAD_DIM], queryType
    void* output;                // [numRows, numHeads, HEAD_DIM], outputType
    float* logSumExp;            // [numRows, numHeads], natural log, or null
    float* partOutput;           // [numSlots, numHeads, HEAD_DIM], not divided by the sum
    float2* partSums;            // [numSlots, numHeads] of (referenceBase2, sum of 2^(logitBase2 - referenceBase2)); sum 0: no visible key
    u64 layerOffset;             // bytes from the start of a page to the layer
    int numHeads;
    int numKvHeads;
    int groupSize;
    u32 groupReciprocal;         // 2^31 / groupSize, rounded up
    int queryType;
    int outputType;
    int window;                  // ALL_POSITIONS: none
    float scale;
    float softCap;               // 0: none
    float scaleBase2;            // scale * log2 e
    int numFirstTasks;           // blocks whose first task is that of their number; the others take tickets from the start; single warps: 0 or all
    const float2* scales;        // [numKvHeads] with HAS_SCALES: what the keys and what the values of a head are multiplied with, powers of two
};

// The row of a vector: vector / groupSize, exact below 2^24 as long as groups are at most 128.
DEVICE int row_of(const AttentionParameters& p, int vector) { return (int)__umulhi((u32)vector * 2, p.groupReciprocal); }

// Its head, given the key/value head that it shares.
DEVICE int head_of(const AttentionParameters& p, int kv_head, int vector)
{
    return kv_head * p.groupSize + vector - row_of(p, vector) * p.groupSize;
}

// Which keys of an item a row sees: first <= key < end, counted from the item's first key.
struct KeyRange
{
    int first;
    int end;
};

DEVICE KeyRange visible_keys(const AttentionParameters& p, const AttentionItem& item, int row)
{
    KeyRange range = {0, item.numKeys};
    bool is_causal = (item.splitAndMask & 1) != 0;
    if (!is_causal && p.window == ALL_POSITIONS) return range;
    long long distance = (long long)p.rowPositions[row] - item.firstPosition;
    if (is_causal && distance + 1 < range.end) range.end = distance < 0 ? 0 : (int)distance + 1;
    long long first = distance - p.window + 1;
    if (first > 0) range.first = first < item.numKeys ? (int)first : item.numKeys;
    return range;
}

// The keys that any of the item's vectors sees. All lanes of a warp call it.
DEVICE KeyRange needed_keys(const AttentionParameters& p, const AttentionItem& item, int lane)
{
    KeyRange range = {0, item.numKeys};
    if ((item.splitAndMask & 1) == 0 && p.window == ALL_POSITIONS) return range;
    range.first = item.numKeys;
    range.end = 0;
    const int first_row = row_of(p, item.firstVector), end_row = row_of(p, item.firstVector + item.numVectors - 1) + 1;
    for (int row = first_row + lane; row < end_row; row += 32)
    {
        KeyRange keys = visible_keys(p, item, row);
        if (keys.first >= keys.end) continue;
        range.first = min(range.first, keys.first);
        range.end = max(range.end, keys.end);
    }
    range.first = warp_min(range.first);
    range.end = warp_max(range.end);
    return range;
}

// Reads an item, in instructions of its own each time: where registers are short the compiler must not keep it.
DEVICE AttentionItem load_item(const AttentionItem* source)
{
    AttentionItem item;
    asm volatile("ld.global.nc.v4.s32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(item.firstPage), "=r"(item.firstSlot), "=r"(item.numKeys), "=r"(item.firstPosition) : "l"(source));
    asm volatile("ld.global.nc.v4.s32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(item.firstVector), "=r"(item.numVectors), "=r"(item.firstPart), "=r"(item.splitAndMask) : "l"((const int*)source + 4));
    return item;
}

// tanh x within a few units in the last place: a series near 0, where the other form cancels.
DEVICE float tanh_accurate(float x)
{
    float square = x * x;
    float series = x * (1.0f + square * (-1.0f / 3 + square * (2.0f / 15 + square * (-17.0f / 315 + square * (62.0f / 2835)))));
    float rational = 1.0f - 2.0f / (1.0f + exp2_approx(2.0f * LOG2_E * x));
    return square < 0.0625f ? series : rational;
}

// The logit of a dot product, times log2 e. distance: the key's position less the row's.
DEVICE float logit_base2(const AttentionParameters& p, float product, float slope, int distance)
{
    float logit = product * p.scale;
    if (p.softCap != 0.0f) logit = p.softCap * tanh_accurate(logit / p.softCap);
    return (logit + slope * distance) * LOG2_E;
}

// Where the result of a vector goes.
struct Target
{
    long long rowHead;  // row * numHeads + head
    long long slotHead; // slot * numHeads + head; negative: straight to the output
};

DEVICE Target target_of(const AttentionParameters& p, const AttentionItem& item, int kv_head, int vector)
{
    int row = row_of(p, vector);
    int head = head_of(p, kv_head, vector);
    int slot = p.partSlots[item.firstPart + row - row_of(p, item.firstVector)];
    Target target;
    target.rowHead = (long long)row * p.numHeads + head;
    target.slotHead = slot == NO_PART ? -1 : (long long)(slot + (item.splitAndMask >> 1)) * p.numHeads + head;
    return target;
}

// One thread of a vector stores its sum.
DEVICE void store_sum(const AttentionParameters& p, Target target, float reference_base2, float sum)
{
    if (target.slotHead >= 0) p.partSums[target.slotHead] = make_float2(reference_base2, sum);
    else if (p.logSumExp) p.logSumExp[target.rowHead] = sum == 0.0f ? -float_from_bits(INFINITY_BITS) : (reference_base2 + log2_approx(sum)) * LN_2;
}

// Stores two elements of a vector's weighted sum of values, the first at an even column; reciprocal: 1 / sum, or 0 for a vector that
// sees no key.
DEVICE void store_outputs(const AttentionParameters& p, Target target, int column, float first, float second, float reciprocal)
{
    if (target.slotHead >= 0) *(float2*)(p.partOutput + target.slotHead * HEAD_DIM + column) = make_float2(first, second);
    else if (p.outputType == FLOAT32)
        *(float2*)((float*)p.output + target.rowHead * HEAD_DIM + column) = make_float2(first * reciprocal, second * reciprocal);
    else *(u32*)((u16*)p.output + target.rowHead * HEAD_DIM + column) = pack(first * reciprocal, second * reciprocal, p.outputType);
}

// Stores four, the first at a multiple of 4.
DEVICE void store_four(const AttentionParameters& p, Target target, int column, float4 value, float reciprocal)
{
    if (target.slotHead >= 0)
    {
        *(float4*)(p.partOutput + target.slotHead * HEAD_DIM + column) = value;
        return;
    }
    const long long index = target.rowHead * HEAD_DIM + column;
    value = make_float4(value.x * reciprocal, value.y * reciprocal, value.z * reciprocal, value.w * reciprocal);
    if (p.outputType == FLOAT32) *(float4*)((float*)p.output + index) = value;
    else *(uint2*)((u16*)p.output + index) = make_uint2(pack(value.x, value.y, p.outputType), pack(value.z, value.w, p.outputType));
}

// Stores one.
DEVICE void store_output(const AttentionParameters& p, Target target, int column, float value, float reciprocal)
{
    if (target.slotHead >= 0) p.partOutput[target.slotHead * HEAD_DIM + column] = value;
    else store_element(p.output, p.outputType, target.rowHead * HEAD_DIM + column, value * reciprocal);
}

DEVICE float reciprocal_of(float sum) { return sum == 0.0f ? 0.0f : 1.0f / sum; }
