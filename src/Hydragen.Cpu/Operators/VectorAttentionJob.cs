using System.Runtime.CompilerServices;
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
/// <param name="halfTile">The generated product of FP32 rows with FP16 strips, with the bits of <see cref="Tile{S, V, T}"/>; null where there is none.</param>
internal sealed unsafe class VectorAttentionJob<S, V>(RegisterTile? halfTile = null) : AttentionJob
    where S : struct, ISimd<V>
    where V : struct
{
    // Strips that are widened at a time and stay in the first-level cache until they are multiplied.
    private const int StagedStrips = 4;

    private const int PageStripSize = KvCache.PageSize * TileShape.StripWidth;

    public override int MaxVectors => VectorBlock.MaxVectors;

    public override int VectorMultiple => TileShape.MaxRows;

    public override int ScratchPerWorker(int headDim) => VectorBlock.Size(headDim);

    public override string Describe(CpuPageLayout layout, ElementConverter converter) => layout.ElementType switch
    {
        ElementType.Float32 => "FP32 as it is",
        ElementType.Float16 => halfTile is null ? "widened to FP32 by shifts and a multiplication" : "widened to FP32 by vcvtph2ps in a generated tile",
        ElementType.BFloat16 => layout.IsPaired ? "pairs taken apart to FP32" : "widened to FP32 by a shift",
        _ => $"widened to FP32 {converter.Bytes.Way}",
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        float* scratch = Scratch + (nint)worker * ScratchPerWorker(Shape.HeadDim);
        ref readonly AttentionItem work = ref Work.Items[FirstItem + item];
        switch (Layout.ElementType)
        {
            case ElementType.Float32: Run<Float32Storage>(work, scratch); break;
            case ElementType.BFloat16: Run<BFloat16Storage>(work, scratch); break;
            case ElementType.Float16: Run<Float16Storage>(work, scratch); break;
            default: Run<Float32Storage>(work, scratch); break; // bytes are widened before they are multiplied
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Run<T>(in AttentionItem item, float* scratch)
        where T : struct, IStorage
    {
        AttentionPlan plan = Work.Plan;
        AttentionSegment segment = plan.Segments[item.Segment];
        VectorBlock block = new(item.NumVectors, Shape.HeadDim, scratch);
        LoadQueries(plan, item, segment, ref block);
        ReadOnlySpan<int> pages = plan.PageTable.Slice(segment.FirstPage, segment.NumPages);
        ReadOnlySpan<nuint> addresses = Cache.Pages;
        long headOffset = Layout.HeadOffset(Layer, item.KvHead);
        // Elements that take several instructions to widen, or are to be taken apart, are widened once for many vectors.
        bool widens = Layout.IsPaired || (typeof(T) == typeof(Float16Storage) && halfTile is null && item.NumVectors > VectorBlock.MaxTileVectors);
        bool isReadBound = item.NumVectors <= VectorBlock.MaxTileVectors;
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
            if (Layout.HasScales) LoadScales(keys, block);
            if (!widens)
            {
                PassPage<T>(block, segment.Mask, keys, keys + Layout.ValueOffset, false, ahead, position, low, high);
                continue;
            }
            if (isReadBound)
            {
                PassPage<Float32Storage>(block, segment.Mask, keys, keys + Layout.ValueOffset, true, ahead, position, low, high);
                continue;
            }
            Widen(keys, KvCache.PageSize * (Shape.HeadDim + block.SumStride), block.Page, 0);
            PassPage<Float32Storage>(block, segment.Mask, (byte*)block.Page, (byte*)(block.Page + KvCache.PageSize * Shape.HeadDim), false, 0, position, low, high);
        }
        for (int i = 0; i < item.NumVectors; i++)
            Finish(item, segment, i, block.Sums + (nint)i * block.SumStride, S.Sum(S.Load(block.Weights + i * TileShape.StripWidth)), block.Max[i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadQueries(AttentionPlan plan, in AttentionItem item, in AttentionSegment segment, ref VectorBlock block)
    {
        int headDim = Shape.HeadDim;
        int elementSize = QueryType.SizeInBytes();
        block.LogitScale = LogitScaleOf(item.KvHead);
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

    /// <summary>Widens stored elements to FP32; pairs are taken apart. Scales are left out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Widen(byte* source, nint count, float* destination, nint ahead)
    {
        if (Layout.ElementType.IsByte()) Converter.Bytes.PairsToSingle(source, Layout.ElementType, count, destination, ahead);
        else if (Layout.IsPaired) Converter.PairsToSingle((ushort*)source, destination, count, ahead);
        else Converter.ToSingle(source, Layout.ElementType, destination, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadScales(byte* head, in VectorBlock block) =>
        Converter.Bytes.ScalesToSingle((Half*)(head + Layout.ScaleOffset), 2 * KvCache.PageSize, block.Scales);

    /// <summary>Adds the keys of a page from low to high to the results of all vectors.</summary>
    /// <param name="block">The vectors.</param>
    /// <param name="mask">The segment's mask.</param>
    /// <param name="keys">The page's keys.</param>
    /// <param name="values">Its values.</param>
    /// <param name="isStaged">Whether they lie as in the cache and are to be widened strip by strip.</param>
    /// <param name="ahead">Bytes to what is worth fetching meanwhile.</param>
    /// <param name="position">Absolute position of slot 0.</param>
    /// <param name="low">First slot.</param>
    /// <param name="high">End of the slots.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PassPage<T>(in VectorBlock block, AttentionMask mask, byte* keys, byte* values, bool isStaged, nint ahead, int position, int low, int high)
        where T : struct, IStorage
    {
        int* lows = stackalloc int[VectorBlock.MaxTileVectors];
        int* highs = stackalloc int[VectorBlock.MaxTileVectors];
        bool ragged = mask == AttentionMask.Causal || Options.SlidingWindow is not null;
        int tileRows = block.NumVectors <= VectorBlock.MaxTileVectors ? VectorBlock.MaxTileVectors : TileShape.MaxRows;
        for (int first = 0; first < block.NumVectors; first += tileRows)
        {
            VectorTile tile = new() { First = first, Count = Math.Min(tileRows, block.NumVectors - first), Lows = lows, Highs = highs };
            (tile.FirstLow, tile.LastLow, tile.FirstHigh, tile.LastHigh) = (low, low, high, high);
            if (ragged) FindVisible(block, mask, position, low, high, ref tile);
            if (tile.FirstLow >= tile.LastHigh) continue;
            Score<T>(block, tile, keys, isStaged, ahead);
            Weigh(block, tile, ragged, position, low, high);
            AddValues<T>(block, tile, values, isStaged, ahead);
        }
    }

    /// <summary>What each vector, any of them and all of them see of a page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FindVisible(in VectorBlock block, AttentionMask mask, int position, int low, int high, ref VectorTile tile)
    {
        (tile.FirstLow, tile.LastLow, tile.FirstHigh, tile.LastHigh) = (KvCache.PageSize, 0, KvCache.PageSize, 0);
        for (int i = 0; i < tile.Count; i++)
        {
            (tile.Lows[i], tile.Highs[i]) = VisibleSlots(mask, block.Positions[tile.First + i], position, low, high);
            tile.LastLow = Math.Max(tile.LastLow, tile.Lows[i]);
            tile.FirstHigh = Math.Min(tile.FirstHigh, tile.Highs[i]);
            if (tile.Lows[i] >= tile.Highs[i]) continue;
            tile.FirstLow = Math.Min(tile.FirstLow, tile.Lows[i]);
            tile.LastHigh = Math.Max(tile.LastHigh, tile.Highs[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Score<T>(in VectorBlock block, in VectorTile tile, byte* keys, bool isStaged, nint ahead)
        where T : struct, IStorage
    {
        nint stripSize = Shape.HeadDim * TileShape.StripWidth, storedBytes = stripSize * Layout.ElementType.SizeInBytes();
        int end = tile.EndStrip, step = isStaged ? StagedStrips : end;
        for (int strip = tile.FirstStrip; strip < end; strip += step)
        {
            int count = Math.Min(step, end - strip);
            byte* source = keys + strip * stripSize * T.Size;
            if (isStaged)
            {
                Widen(keys + strip * storedBytes, count * stripSize, block.Page, ahead);
                source = (byte*)block.Page;
            }
            Multiply<T>(
                tile.Count, count, block.Queries + tile.First * Shape.HeadDim, Shape.HeadDim, source, stripSize,
                block.Scores + strip * TileShape.StripWidth, KvCache.PageSize, Shape.HeadDim, TileMode.Replace, isStaged ? 0 : ahead);
        }
        if (Layout.HasScales) Scale(block, tile, block.Scales);
    }

    /// <summary>Multiplies the scores, or the weights, of a tile by the scales of their keys, or values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(in VectorBlock block, in VectorTile tile, float* scales)
    {
        for (int key = tile.FirstStrip * TileShape.StripWidth; key < tile.EndStrip * TileShape.StripWidth; key += S.Lanes)
        {
            V factors = S.Load(scales + key);
            float* scores = block.Scores + key;
            for (int i = 0; i < tile.Count; i++, scores += KvCache.PageSize) S.Store(scores, S.Multiply(S.Load(scores), factors));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Weigh(in VectorBlock block, in VectorTile tile, bool ragged, int position, int low, int high)
    {
        bool isPlain = Options.LogitSoftCap is null && Options.AlibiSlopes.IsEmpty;
        if (isPlain && S.Lanes == TileShape.StripWidth && tile.FirstLow == 0 && tile.LastLow == 0 && tile.FirstHigh == KvCache.PageSize)
        {
            UpdateWhole(block, tile.First, tile.Count, block.LogitScale * Log2E);
        }
        else
        {
            int begin = tile.FirstStrip * TileShape.StripWidth, end = tile.EndStrip * TileShape.StripWidth;
            for (int i = 0; i < tile.Count; i++)
            {
                int from = ragged ? tile.Lows[i] : low, to = ragged ? tile.Highs[i] : high;
                if (from < to) Update(block, tile.First + i, block.Scores + i * KvCache.PageSize, begin, end, from, to, position);
            }
        }
        if (Layout.HasScales) Scale(block, tile, block.Scales + KvCache.PageSize);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddValues<T>(in VectorBlock block, in VectorTile tile, byte* values, bool isStaged, nint ahead)
        where T : struct, IStorage
    {
        nint sumStride = block.SumStride;
        int numStrips = (int)sumStride / TileShape.StripWidth, step = isStaged ? StagedStrips : numStrips;
        bool isUniform = tile.FirstLow == tile.LastLow && tile.FirstHigh == tile.LastHigh;
        if (!isUniform) new Span<float>(block.PageSums, tile.Count * (int)sumStride).Clear();
        for (int strip = 0; strip < numStrips; strip += step)
        {
            int count = Math.Min(step, numStrips - strip);
            byte* source = values + strip * PageStripSize * T.Size;
            if (isStaged)
            {
                WidenValues(values + strip * PageStripSize * Layout.ElementType.SizeInBytes(), count, tile, block.Page, ahead);
                source = (byte*)block.Page;
            }
            nint aheadOfThese = isStaged ? 0 : ahead;
            if (isUniform)
            {
                AddValues<T>(block.Sums + tile.First * sumStride + strip * TileShape.StripWidth, TileMode.Add, block, source, count, aheadOfThese, 0, tile.Count, tile.FirstLow, tile.FirstHigh);
                continue;
            }
            // Each vector sums its keys of the page in order, like a whole tile would: its own first ones, those that all see, its own last.
            float* sums = block.PageSums + strip * TileShape.StripWidth;
            bool hasCommon = tile.LastLow < tile.FirstHigh;
            for (int i = 0; i < tile.Count; i++)
                AddValues<T>(sums + i * sumStride, TileMode.Continue, block, source, count, aheadOfThese, i, 1, tile.Lows[i], hasCommon ? tile.LastLow : tile.Highs[i]);
            if (!hasCommon) continue;
            AddValues<T>(sums, TileMode.Continue, block, source, count, aheadOfThese, 0, tile.Count, tile.LastLow, tile.FirstHigh);
            for (int i = 0; i < tile.Count; i++)
                AddValues<T>(sums + i * sumStride, TileMode.Continue, block, source, count, aheadOfThese, i, 1, tile.FirstHigh, tile.Highs[i]);
        }
        if (!isUniform) AddPageSums(block.PageSums, block.Sums + tile.First * sumStride, tile.Count * (int)sumStride);
    }

    /// <summary>Widens what the vectors see of some strips of values, whose neighbours along the sum are tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WidenValues(byte* values, int numStrips, in VectorTile tile, float* destination, nint ahead)
    {
        int from = tile.FirstLow / 2 * 2, numTokens = (tile.LastHigh + 1) / 2 * 2 - from;
        nint stripBytes = PageStripSize * Layout.ElementType.SizeInBytes(), offset = from * TileShape.StripWidth;
        for (int strip = 0; strip < numStrips; strip++, values += stripBytes, destination += PageStripSize)
            Widen(values + offset * Layout.ElementType.SizeInBytes(), numTokens * TileShape.StripWidth, destination + offset, ahead);
    }

    private void AddValues<T>(
        float* sums, TileMode mode, in VectorBlock block, byte* values, int numStrips, nint ahead, int i, int count, int from, int to)
        where T : struct, IStorage
    {
        if (from >= to) return;
        Multiply<T>(
            count, numStrips, block.Scores + i * KvCache.PageSize + from, KvCache.PageSize, values + from * TileShape.StripWidth * T.Size,
            PageStripSize, sums, block.SumStride, to - from, mode, ahead);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Multiply<T>(
        int numRows, int numStrips, float* a, nint aStride, byte* b, nint stripStride, float* c, nint cStride, nint depth, TileMode mode, nint ahead)
        where T : struct, IStorage
    {
        if (typeof(T) == typeof(Float16Storage) && halfTile is not null && mode != TileMode.Continue)
        {
            halfTile.MultiplyStrips(
                numRows, numStrips, (byte*)a, aStride * sizeof(float), b, stripStride * T.Size, c, cStride * sizeof(float), depth, mode == TileMode.Add, ahead,
                streams: 1);
            return;
        }
        // What comes from memory comes fastest in one stream, strip after strip.
        int step = ahead != 0 ? 1 : numStrips;
        for (int strip = 0; strip < numStrips; strip += step, b += step * stripStride * T.Size, c += step * TileShape.StripWidth)
            Tile<S, V, T>.Multiply(numRows, step, a, aStride, b, TileShape.StripWidth, stripStride, c, cStride, depth, mode, ahead);
    }

    private static void AddPageSums(float* pageSums, float* sums, int count)
    {
        for (int i = 0; i < count; i += S.Lanes) S.Store(sums + i, S.Add(S.Load(sums + i), S.Load(pageSums + i)));
    }

    /// <summary>Turns a tile of scores of a whole page into weights 2^(logit − max): four vectors a row, in registers throughout.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void UpdateWhole(in VectorBlock block, int first, int count, float factor)
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
    private void Update(in VectorBlock block, int vector, float* scores, int begin, int end, int low, int high, int position)
    {
        V largest = S.Broadcast(float.NegativeInfinity);
        bool isPlain = Options.LogitSoftCap is null && Options.AlibiSlopes.IsEmpty;
        float scale = block.LogitScale;
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
    private static float Raise(in VectorBlock block, int vector, float candidate)
    {
        float max = block.Max[vector];
        if (!(candidate > max)) return max;
        if (!float.IsNegativeInfinity(max)) Shrink(block, vector, max - candidate);
        block.Max[vector] = candidate;
        return candidate;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Shrink(in VectorBlock block, int vector, float exponent)
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
}
