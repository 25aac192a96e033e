using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Attention in FP32 over any cache: an online softmax over pages of 64 keys, for tiles of up to six query vectors. All sums are FP32,
/// logits are kept in base 2.
/// </summary>
/// <remarks>
/// A vector's result depends on nothing but its own query, keys, values and where its segment starts in a page: the tile kernel
/// adds in order of keys whatever the tile, and keys that a vector may not see are never multiplied into it.
/// </remarks>
internal sealed unsafe class VectorAttentionJob<S, V> : AttentionJob
    where S : struct, ISimd<V>
    where V : struct
{
    // A vector of summed weights, the maximum, the slope and the position.
    private const int StatePerVector = TileShape.StripWidth + 3;

    private const int MaxItemVectors = 96;

    public override int MaxVectors => MaxItemVectors;

    public override int VectorMultiple => TileShape.MaxRows;

    // Queries, sums, states, a tile of scores, a tile of sums and a widened page.
    public override int ScratchPerWorker(int headDim) =>
        MaxItemVectors * (headDim + TileShape.PadToStrips(headDim) + StatePerVector)
        + KvCache.PageSize * (TileShape.MaxRows + headDim + TileShape.PadToStrips(headDim)) + TileShape.MaxRows * TileShape.PadToStrips(headDim);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        float* scratch = Scratch + (nint)worker * ScratchPerWorker(Shape.HeadDim);
        ref readonly AttentionItem work = ref Work.Items[FirstItem + item];
        switch (Cache.Shape.ElementType)
        {
            case ElementType.Float32: Run<Float32Storage>(work, scratch); break;
            case ElementType.BFloat16: Run<BFloat16Storage>(work, scratch); break;
            default: Run<Float16Storage>(work, scratch); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Run<T>(in AttentionItem item, float* scratch)
        where T : struct, IStorage
    {
        AttentionPlan plan = Work.Plan;
        AttentionSegment segment = plan.Segments[item.Segment];
        Block block = new(item.NumVectors, Shape.HeadDim, scratch);
        LoadQueries(plan, item, segment, ref block);
        ReadOnlySpan<int> pages = plan.PageTable.Slice(segment.FirstPage, segment.NumPages);
        ReadOnlySpan<nuint> addresses = Cache.Pages;
        long headOffset = Cache.HeadOffset(Layer, item.KvHead);
        // Widening halves takes several instructions, so many vectors share it; pairs are taken apart.
        bool widens = Cache.IsPaired || (typeof(T) == typeof(Float16Storage) && item.NumVectors > 2 * TileShape.MaxRows);
        bool isReadBound = item.NumVectors <= AttentionWork.MaxReadBoundVectors;
        int endPage = Math.Min(pages.Length, (item.Split + 1) * AttentionWork.PagesPerSplit);
        for (int page = item.Split * AttentionWork.PagesPerSplit; page < endPage; page++)
        {
            int position = segment.FirstPosition - segment.FirstSlot + page * KvCache.PageSize;
            int low = page == 0 ? segment.FirstSlot : 0;
            int high = Math.Min(KvCache.PageSize, segment.FirstSlot + segment.NumKeys - page * KvCache.PageSize);
            if (segment.Mask == AttentionMask.Causal && position + low > block.LastPosition) break;
            if (Options.SlidingWindow is int window && position + high <= (long)block.FirstPosition - window + 1) continue;
            byte* keys = (byte*)addresses[pages[page]] + headOffset;
            // The matching line of the next page is fetched with each line of this one.
            nint ahead = isReadBound && page + 1 < endPage
                ? (nint)(addresses[pages[page + 1]] - addresses[pages[page]]) : 0;
            if (widens)
            {
                nint pageSize = KvCache.PageSize * (Shape.HeadDim + block.SumStride);
                if (Cache.IsPaired) Converter.PairsToSingle((ushort*)keys, block.Page, pageSize);
                else Converter.ToSingle(keys, Cache.Shape.ElementType, block.Page, pageSize);
                PassPage<Float32Storage>(block, segment.Mask, (byte*)block.Page, (byte*)(block.Page + KvCache.PageSize * Shape.HeadDim), 0, position, low, high);
                continue;
            }
            PassPage<T>(block, segment.Mask, keys, keys + Cache.ValueOffset, ahead, position, low, high);
        }
        for (int i = 0; i < item.NumVectors; i++)
            Finish(item, segment, i, block.Sums + (nint)i * block.SumStride, S.Sum(S.Load(block.Weights + i * TileShape.StripWidth)), block.Max[i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadQueries(AttentionPlan plan, in AttentionItem item, in AttentionSegment segment, ref Block block)
    {
        int headDim = Shape.HeadDim;
        int elementSize = QueryType.SizeInBytes();
        ReadOnlySpan<float> slopes = Options.AlibiSlopes.Span;
        for (int i = 0; i < item.NumVectors; i++)
        {
            (int row, int head) = Locate(item, segment, i);
            byte* query = Query + ((nint)row * Shape.NumHeads + head) * headDim * elementSize;
            Converter.ToSingle(query, QueryType, block.Queries + (nint)i * headDim, headDim);
            int position = plan.RowPositions[row];
            block.Positions[i] = position;
            block.FirstPosition = Math.Min(block.FirstPosition, position);
            block.LastPosition = Math.Max(block.LastPosition, position);
            block.Slopes[i] = slopes.IsEmpty ? 0 : slopes[head];
            block.Max[i] = float.NegativeInfinity;
        }
        new Span<float>(block.Sums, item.NumVectors * block.SumStride).Clear();
        new Span<float>(block.Weights, item.NumVectors * TileShape.StripWidth).Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PassPage<T>(in Block block, AttentionMask mask, byte* keys, byte* values, nint ahead, int position, int low, int high)
        where T : struct, IStorage
    {
        const int tileRows = TileShape.MaxRows;
        int* lows = stackalloc int[tileRows];
        int* highs = stackalloc int[tileRows];
        nint headDim = Shape.HeadDim, sumStride = block.SumStride;
        bool ragged = mask == AttentionMask.Causal || Options.SlidingWindow is not null;
        bool isPlain = Options.LogitSoftCap is null && Options.AlibiSlopes.IsEmpty;
        float scale = Options.ScaleFor(Shape.HeadDim);
        for (int first = 0; first < block.NumVectors; first += tileRows)
        {
            int count = Math.Min(tileRows, block.NumVectors - first);
            int firstLow = low, lastLow = low, firstHigh = high, lastHigh = high;
            if (ragged)
            {
                (firstLow, lastLow, firstHigh, lastHigh) = (KvCache.PageSize, 0, KvCache.PageSize, 0);
                for (int i = 0; i < count; i++)
                {
                    (lows[i], highs[i]) = VisibleSlots(mask, block.Positions[first + i], position, low, high);
                    lastLow = Math.Max(lastLow, lows[i]);
                    firstHigh = Math.Min(firstHigh, highs[i]);
                    if (lows[i] >= highs[i]) continue;
                    firstLow = Math.Min(firstLow, lows[i]);
                    lastHigh = Math.Max(lastHigh, highs[i]);
                }
                if (firstLow >= lastHigh) continue;
            }
            int strip = firstLow / TileShape.StripWidth, endStrip = (lastHigh + TileShape.StripWidth - 1) / TileShape.StripWidth;
            Tile<S, V, T>.Multiply(count, endStrip - strip, block.Queries + first * headDim, headDim,
                keys + strip * headDim * TileShape.StripWidth * T.Size, TileShape.StripWidth, headDim * TileShape.StripWidth,
                block.Scores + strip * TileShape.StripWidth, KvCache.PageSize, headDim, TileMode.Replace, ahead);
            if (isPlain && S.Lanes == TileShape.StripWidth && firstLow == 0 && lastLow == 0 && firstHigh == KvCache.PageSize)
            {
                UpdateWhole(block, first, count, scale * Log2E);
            }
            else
            {
                for (int i = 0; i < count; i++)
                {
                    int from = ragged ? lows[i] : low, to = ragged ? highs[i] : high;
                    if (from < to)
                        Update(block, first + i, block.Scores + i * KvCache.PageSize, strip * TileShape.StripWidth, endStrip * TileShape.StripWidth, from, to, position);
                }
            }
            if (firstLow == lastLow && firstHigh == lastHigh)
            {
                AddValues<T>(block.Sums + first * sumStride, TileMode.Add, block, values, ahead, 0, count, firstLow, firstHigh);
                continue;
            }
            // Each vector sums its keys of the page in order, like a whole tile would: its own first ones, those that all see, its own last.
            new Span<float>(block.PageSums, count * (int)sumStride).Clear();
            for (int i = 0; i < count; i++)
                AddValues<T>(block.PageSums + i * sumStride, TileMode.Continue, block, values, ahead, i, 1, lows[i], lastLow < firstHigh ? lastLow : highs[i]);
            if (lastLow < firstHigh)
            {
                AddValues<T>(block.PageSums, TileMode.Continue, block, values, ahead, 0, count, lastLow, firstHigh);
                for (int i = 0; i < count; i++) AddValues<T>(block.PageSums + i * sumStride, TileMode.Continue, block, values, ahead, i, 1, firstHigh, highs[i]);
            }
            AddPageSums(block.PageSums, block.Sums + first * sumStride, count * (int)sumStride);
        }
    }

    private static void AddValues<T>(
        float* sums, TileMode mode, in Block block, byte* values, nint ahead, int i, int count, int from, int to)
        where T : struct, IStorage
    {
        if (from >= to) return;
        nint stride = block.SumStride;
        Tile<S, V, T>.Multiply(count, (int)stride / TileShape.StripWidth, block.Scores + i * KvCache.PageSize + from, KvCache.PageSize,
            values + from * TileShape.StripWidth * T.Size, TileShape.StripWidth, KvCache.PageSize * TileShape.StripWidth, sums, stride, to - from, mode, ahead);
    }

    private static void AddPageSums(float* pageSums, float* sums, int count)
    {
        for (int i = 0; i < count; i += S.Lanes) S.Store(sums + i, S.Add(S.Load(sums + i), S.Load(pageSums + i)));
    }

    /// <summary>Turns a tile of scores of a whole page into weights 2^(logit − max): four vectors a row, in registers throughout.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void UpdateWhole(in Block block, int first, int count, float factor)
    {
        V factors = S.Broadcast(factor);
        float* scores = block.Scores;
        float* weights = block.Weights + first * TileShape.StripWidth;
        for (int i = 0; i < count; i++, scores += KvCache.PageSize, weights += TileShape.StripWidth)
        {
            V logit0 = S.Multiply(S.Load(scores), factors);
            V logit1 = S.Multiply(S.Load(scores + S.Lanes), factors);
            V logit2 = S.Multiply(S.Load(scores + 2 * S.Lanes), factors);
            V logit3 = S.Multiply(S.Load(scores + 3 * S.Lanes), factors);
            float max = Raise(block, first + i, S.MaxAcross(S.Max(S.Max(logit0, logit1), S.Max(logit2, logit3))));
            V shift = S.Broadcast(max);
            V weight0 = SimdMath<S, V>.Exp2(S.Subtract(logit0, shift));
            V weight1 = SimdMath<S, V>.Exp2(S.Subtract(logit1, shift));
            V weight2 = SimdMath<S, V>.Exp2(S.Subtract(logit2, shift));
            V weight3 = SimdMath<S, V>.Exp2(S.Subtract(logit3, shift));
            S.Store(scores, weight0);
            S.Store(scores + S.Lanes, weight1);
            S.Store(scores + 2 * S.Lanes, weight2);
            S.Store(scores + 3 * S.Lanes, weight3);
            S.Store(weights, S.Add(S.Load(weights), S.Add(S.Add(S.Add(weight0, weight1), weight2), weight3)));
        }
    }

    /// <summary>The same for a row of some strips, with masks and biases.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Update(in Block block, int vector, float* scores, int begin, int end, int low, int high, int position)
    {
        V largest = S.Broadcast(float.NegativeInfinity);
        bool isPlain = Options.LogitSoftCap is null && Options.AlibiSlopes.IsEmpty;
        float scale = Options.ScaleFor(Shape.HeadDim);
        V factor = S.Broadcast(isPlain ? scale * Log2E : scale);
        bool isPartial = low > begin || high < end;
        for (int i = begin; i < end; i += S.Lanes)
        {
            V logit = S.Multiply(S.Load(scores + i), factor);
            if (!isPlain) logit = Bias(logit, block.Slopes[vector], position + i - block.Positions[vector]);
            if (isPartial) logit = SimdMath<S, V>.MaskOutside(logit, i, low, high);
            S.Store(scores + i, logit);
            largest = S.Max(largest, logit);
        }
        V shift = S.Broadcast(Raise(block, vector, S.MaxAcross(largest)));
        V sum = default;
        for (int i = begin; i < end; i += S.Lanes)
        {
            V weight = SimdMath<S, V>.Exp2(S.Subtract(S.Load(scores + i), shift));
            S.Store(scores + i, weight);
            sum = S.Add(sum, weight);
        }
        float* weights = block.Weights + vector * TileShape.StripWidth;
        S.Store(weights, S.Add(S.Load(weights), sum));
    }

    /// <summary>The maximum so far; when it grows, what was summed under the old one shrinks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Raise(in Block block, int vector, float candidate)
    {
        float max = block.Max[vector];
        if (!(candidate > max)) return max;
        if (!float.IsNegativeInfinity(max)) Shrink(block, vector, max - candidate);
        block.Max[vector] = candidate;
        return candidate;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Shrink(in Block block, int vector, float exponent)
    {
        V factor = SimdMath<S, V>.Exp2(S.Broadcast(exponent));
        float* weights = block.Weights + vector * TileShape.StripWidth;
        S.Store(weights, S.Multiply(S.Load(weights), factor));
        float* sums = block.Sums + (nint)vector * block.SumStride;
        for (int i = 0; i < block.SumStride; i += S.Lanes) S.Store(sums + i, S.Multiply(S.Load(sums + i), factor));
    }

    private V Bias(V logit, float slope, int distance)
    {
        if (Options.LogitSoftCap is float cap) logit = SimdMath<S, V>.SoftCap(logit, S.Broadcast(cap));
        if (slope != 0) logit = S.MultiplyAdd(S.Broadcast(slope), S.Add(S.Indices, S.Broadcast(distance)), logit);
        return S.Multiply(logit, S.Broadcast(Log2E));
    }

    protected override void Divide(float* sums, float divisor)
    {
        V divisors = S.Broadcast(divisor);
        for (int i = 0; i < Shape.HeadDim; i += S.Lanes) S.Store(sums + i, S.Divide(S.Load(sums + i), divisors));
    }

    /// <summary>A worker's scratch memory, divided up.</summary>
    private struct Block
    {
        public readonly float* Scores, Sums, Weights, Queries, Max, Slopes, Page, PageSums;
        public readonly int* Positions;
        public readonly int NumVectors, SumStride;
        public int FirstPosition = int.MaxValue, LastPosition = -1;

        public Block(int numVectors, int headDim, float* scratch)
        {
            NumVectors = numVectors;
            SumStride = TileShape.PadToStrips(headDim);
            Scores = scratch;
            Sums = Scores + TileShape.MaxRows * KvCache.PageSize;
            Weights = Sums + MaxItemVectors * SumStride;
            Queries = Weights + MaxItemVectors * TileShape.StripWidth;
            Max = Queries + MaxItemVectors * headDim;
            Slopes = Max + MaxItemVectors;
            Positions = (int*)(Slopes + MaxItemVectors);
            PageSums = Slopes + 2 * MaxItemVectors;
            Page = PageSums + TileShape.MaxRows * SumStride;
        }
    }
}
