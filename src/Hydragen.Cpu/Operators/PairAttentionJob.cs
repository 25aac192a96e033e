using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Attention of BF16 queries over a paired cache of BF16 or of bytes: scores and weighted values are products over BF16 pairs, sums and
/// softmax are FP32. Weights are rounded to BF16 before they meet the values, as the hardware multiplies nothing wider. Bytes are widened to
/// BF16, exactly: in the product for few vectors, once a page for many. Scales are multiplied into the scores and into the weights.
/// </summary>
/// <remarks>
/// A vector's result depends on nothing but its own query, keys, values and where its segment starts in a page: products add in order
/// of keys whatever the block, keys that a vector may not see have weight zero, and values that are not finite never meet such a zero.
/// </remarks>
/// <param name="product">The product of BF16 with BF16.</param>
/// <param name="byteProduct">The product of BF16 with the bytes of the cache, with the same bits; null where there is none.</param>
/// <param name="fused">The kernel for whole units of BF16, or null.</param>
internal sealed unsafe class PairAttentionJob(PairProduct product, PairProduct? byteProduct = null, AmxAttention? fused = null) : AttentionJob
{
    private const int BlocksPerItem = 8;
    private const int GroupKeys = 32;
    private const int PageStripSize = KvCache.PageSize * TileShape.StripWidth, PageStripBytes = PageStripSize * sizeof(ushort);

    private int UnitKeys => fused?.UnitKeys ?? PairSoftmax.UnitKeys(Shape.HeadDim);

    public override int MaxVectors => PairBlock.Rows * BlocksPerItem;

    public override bool ScalesExactly => true;

    public override int VectorMultiple => PairBlock.Rows;

    public override int ScratchPerWorker(int headDim) => PairBlock.Size(headDim, Layout.ElementType.IsByte()) / sizeof(float);

    public override string Describe(CpuPageLayout layout, ElementConverter converter)
    {
        bool isByte = layout.ElementType.IsByte(), isFused = IsFused(layout);
        string pairs = !isByte ? "BF16 pairs as they are"
            : byteProduct is null ? "pages widened to BF16 by a table in AVX-512 VBMI"
            : "widened to BF16 by a table in AVX-512 VBMI: for few vectors in a generated tile, for many a page at a time";
        return !isFused ? pairs : isByte ? pairs + "; many vectors in the fused kernel" : pairs + ", in the fused kernel";
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        ref readonly AttentionItem work = ref Work.Items[FirstItem + item];
        byte* scratch = (byte*)(Scratch + (nint)worker * ScratchPerWorker(Shape.HeadDim));
        product.Begin();
        // The whole units that the block before passed over, and the pages that were widened.
        (int Page, int Count) units = default;
        uint widened = 0;
        for (int first = 0; first < work.NumVectors; first += PairBlock.Rows)
        {
            AttentionItem block = work with { FirstVector = work.FirstVector + first, NumVectors = Math.Min(PairBlock.Rows, work.NumVectors - first) };
            Run(block, item + 1 < NumItems ? Work.Items[FirstItem + item + 1] : block, first / PairBlock.Rows, work.NumVectors, ref units, ref widened, scratch);
        }
        product.End();
    }

    protected override void Divide(float* sums, float divisor)
    {
        for (int i = 0; i < Shape.HeadDim; i += TileShape.StripWidth) Vector512.Store(Vector512.Load(sums + i) / Vector512.Create(divisor), sums + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Run(
        in AttentionItem item, in AttentionItem nextItem, int blockIndex, int numVectors, ref (int Page, int Count) units, ref uint widened, byte* scratch)
    {
        AttentionPlan plan = Work.Plan;
        AttentionSegment segment = plan.Segments[item.Segment];
        PairBlock block = new(item.NumVectors, Shape.HeadDim, scratch);
        LoadQueries(item, segment, ref block);
        ReadOnlySpan<int> pages = plan.PageTable.Slice(segment.FirstPage, segment.NumPages);
        int endPage = Math.Min(pages.Length, (item.Split + 1) * AttentionWork.PagesPerSplit);
        int unitPages = UnitKeys / KvCache.PageSize;
        bool isReadBound = item.NumVectors <= AttentionWork.MaxReadBoundVectors;
        bool isByte = Layout.ElementType.IsByte(), widens = isByte && (byteProduct is null || numVectors > AttentionWork.MaxReadBoundVectors);
        bool isFused = IsFused(Layout) && (widens ? !isReadBound : !isByte);
        Span<nuint> wholeUnits = stackalloc nuint[AttentionWork.PagesPerSplit], ahead = stackalloc nuint[AttentionWork.PagesPerSplit];
        for (int page = item.Split * AttentionWork.PagesPerSplit; page < endPage; page += unitPages)
        {
            if (isFused)
            {
                int numWhole = CountWholeUnits(block, segment, endPage, page);
                // One unit of a few vectors gains nothing: there is no unit beside whose values it could be weighed.
                if (numWhole > (isReadBound ? 1 : 0))
                {
                    int numPages = numWhole * unitPages;
                    for (int i = 0; i < numPages; i++) wholeUnits[i] = widens ? Widened(block, page + i, Address(pages[page + i], item.KvHead), 0, ref widened) : Address(pages[page + i], item.KvHead);
                    Span<nuint> fetched = ahead[..(isReadBound ? unitPages : numPages)];
                    if (widens) wholeUnits[..fetched.Length].CopyTo(fetched);
                    else FindAhead(item, nextItem, pages[..endPage], page + numPages, fetched);
                    int numDone = fused!.Run(
                        block.State, block.Fused, block.Sums, block.Lanes, item.NumVectors, wholeUnits[..numPages], fetched, blockIndex,
                        isFirst: units != (page, numWhole), KvCache.PageSize * Shape.HeadDim * sizeof(ushort), block.LogitScale * Log2E);
                    units = (page, numWhole);
                    page += unitPages * numDone;
                    if (page >= endPage) break;
                }
            }
            PairUnit unit = new() { IsByte = isByte && !widens, NumPages = Math.Min(unitPages, endPage - page), Position = segment.FirstPosition - segment.FirstSlot + page * KvCache.PageSize };
            int low = page == 0 ? segment.FirstSlot : 0;
            int high = Math.Min(unit.NumPages * KvCache.PageSize, segment.FirstSlot + segment.NumKeys - page * KvCache.PageSize);
            if (segment.Mask == AttentionMask.Causal && unit.Position + low > block.LastPosition) break;
            FindVisible(block, segment.Mask, low, high, ref unit);
            if (unit.Low >= unit.High) continue;
            for (int i = 0; i < unit.NumPages; i++) unit.Pages[i] = Address(pages[page + i], item.KvHead);
            // With few vectors, the matching line of what is read next is fetched with each line.
            if (isReadBound)
            {
                FindAhead(item, nextItem, pages[..endPage], page + unitPages, ahead[..unit.NumPages]);
                for (int i = 0; i < unit.NumPages; i++) unit.Ahead[i] = (nint)(ahead[i] - unit.Pages[i]);
            }
            if (Layout.HasScales) LoadScales(block, unit);
            for (int i = 0; widens && i < unit.NumPages; i++)
            {
                unit.Pages[i] = Widened(block, page + i, unit.Pages[i], unit.Ahead[i], ref widened);
                unit.Ahead[i] = 0;
            }
            Score(block, unit);
            Weigh(block, unit);
            AddValues(block, unit);
        }
        for (int i = 0; i < item.NumVectors; i++)
            Finish(item, segment, i, block.Sums + i * block.SumSize, Vector512.Sum(Vector512.Load(block.Lanes + i * TileShape.StripWidth)), block.References[i]);
    }

    /// <summary>How many units from a page on all vectors see whole, without anything added to their logits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int CountWholeUnits(in PairBlock block, in AttentionSegment segment, int endPage, int firstPage)
    {
        if (Options.LogitSoftCap is not null || !Options.AlibiSlopes.IsEmpty || (firstPage == 0 && segment.FirstSlot > 0)) return 0;
        int count = 0, unitKeys = UnitKeys, unitPages = unitKeys / KvCache.PageSize;
        for (int page = firstPage; page + unitPages <= endPage; page += unitPages, count++)
        {
            int position = segment.FirstPosition - segment.FirstSlot + page * KvCache.PageSize;
            if (page * KvCache.PageSize + unitKeys > segment.FirstSlot + segment.NumKeys) break;
            if (segment.Mask == AttentionMask.Causal && position + unitKeys - 1 > block.FirstPosition) break;
            if (Options.SlidingWindow is int window && position <= (long)block.LastPosition - window) break;
        }
        return count;
    }

    /// <summary>The pages from one on that are read next: what is left of the item's, then those of the next item, which mostly runs on the same thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FindAhead(in AttentionItem item, in AttentionItem nextItem, ReadOnlySpan<int> pages, int page, Span<nuint> ahead)
    {
        AttentionSegment next = Work.Plan.Segments[nextItem.Segment];
        int nextPage = nextItem.Split * AttentionWork.PagesPerSplit, lastPage = next.NumPages - 1;
        for (int i = 0; i < ahead.Length; i++, page++)
        {
            ahead[i] = page < pages.Length ? Address(pages[page], item.KvHead)
                : Address(Work.Plan.PageTable[next.FirstPage + Math.Min(nextPage++, lastPage)], nextItem.KvHead);
        }
    }

    /// <summary>A page of bytes as BF16, in the worker's memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private nuint Widened(in PairBlock block, int page, nuint address, nint ahead, ref uint widened)
    {
        int index = page % AttentionWork.PagesPerSplit;
        int size = KvCache.PageSize * (Shape.HeadDim + block.SumSize);
        ushort* copy = block.Pages + index * size;
        if ((widened & (1u << index)) == 0) ByteTable.ToPairs((byte*)address, Layout.ElementType, size, copy, ahead);
        widened |= 1u << index;
        return (nuint)copy;
    }

    /// <summary>Scales of the keys of a unit, then of the values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadScales(in PairBlock block, in PairUnit unit)
    {
        for (int page = 0; page < unit.NumPages; page++)
        {
            var scales = (Half*)((byte*)unit.Pages[page] + Layout.ScaleOffset);
            float* widened = block.Scales + page * KvCache.PageSize;
            Converter.Bytes.ScalesToSingle(scales, KvCache.PageSize, widened);
            Converter.Bytes.ScalesToSingle(scales + KvCache.PageSize, KvCache.PageSize, widened + PairSoftmax.MaxUnitKeys);
        }
    }

    /// <summary>Whether whole units are computed by the fused kernel, which knows no scales.</summary>
    private bool IsFused(CpuPageLayout layout) => fused is not null && !layout.HasScales;

    private nuint Address(int page, int kvHead) => Cache.Pages[page] + (nuint)Layout.HeadOffset(Layer, kvHead);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void LoadQueries(in AttentionItem item, in AttentionSegment segment, ref PairBlock block)
    {
        int headDim = Shape.HeadDim;
        ReadOnlySpan<float> slopes = Options.AlibiSlopes.Span;
        for (int i = 0; i < item.NumVectors; i++)
        {
            (int row, int head) = Locate(item, segment, i);
            nint source = ((nint)row * Shape.NumHeads + head) * headDim;
            Unsafe.CopyBlockUnaligned(block.Queries + i * block.QueryStride, (ushort*)Query + source, (uint)headDim * sizeof(ushort));
            int position = Work.Plan.RowPositions[row];
            block.Positions[i] = position;
            block.FirstPosition = Math.Min(block.FirstPosition, position);
            block.LastPosition = Math.Max(block.LastPosition, position);
            block.Slopes[i] = slopes.IsEmpty ? 0 : slopes[head];
        }
        block.LogitScale = LogitScaleOf(item.KvHead);
        new Span<float>(block.References, PairBlock.Rows).Fill(float.NegativeInfinity);
        int padded = (item.NumVectors + product.RowMultiple - 1) / product.RowMultiple * product.RowMultiple;
        new Span<byte>(block.Queries + item.NumVectors * block.QueryStride, (padded - item.NumVectors) * block.QueryStride).Clear();
        new Span<float>(block.Sums, padded * block.SumSize).Clear();
        new Span<float>(block.Lanes, padded * TileShape.StripWidth).Clear();
    }

    /// <summary>What each vector, any of them and all of them see of a unit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FindVisible(in PairBlock block, AttentionMask mask, int low, int high, ref PairUnit unit)
    {
        if (mask == AttentionMask.Full && Options.SlidingWindow is null)
        {
            (unit.Low, unit.High, unit.CommonLow, unit.CommonHigh) = (low, high, low, high);
            new Span<int>(block.Lows, block.NumVectors).Fill(low);
            new Span<int>(block.Highs, block.NumVectors).Fill(high);
            return;
        }
        (unit.Low, unit.High, unit.CommonLow, unit.CommonHigh) = (int.MaxValue, 0, 0, int.MaxValue);
        for (int i = 0; i < block.NumVectors; i++)
        {
            (int first, int end) = VisibleSlots(mask, block.Positions[i], unit.Position, low, high);
            (block.Lows[i], block.Highs[i]) = (first, end);
            unit.CommonLow = Math.Max(unit.CommonLow, first);
            unit.CommonHigh = Math.Min(unit.CommonHigh, end);
            if (first >= end) continue;
            unit.Low = Math.Min(unit.Low, first);
            unit.High = Math.Max(unit.High, end);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Score(in PairBlock block, in PairUnit unit)
    {
        nint stripBytes = Shape.HeadDim * TileShape.StripWidth * unit.ElementSize;
        PairProduct unitProduct = unit.IsByte ? byteProduct! : product;
        const int stripsPerPage = KvCache.PageSize / TileShape.StripWidth;
        int first = unit.Low / TileShape.StripWidth, end = (unit.High + TileShape.StripWidth - 1) / TileShape.StripWidth;
        for (int page = 0; page < unit.NumPages; page++)
        {
            int from = Math.Max(first, page * stripsPerPage), to = Math.Min(end, (page + 1) * stripsPerPage);
            if (from >= to) continue;
            unitProduct.Multiply(
                block.NumVectors, to - from, block.Queries, block.QueryStride, (byte*)unit.Pages[page] + (from - page * stripsPerPage) * stripBytes, stripBytes,
                block.Scores + from * TileShape.StripWidth, PairSoftmax.MaxUnitKeys * sizeof(float), Shape.HeadDim, adds: false, unit.Ahead[page]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Weigh(in PairBlock block, in PairUnit unit)
    {
        bool isPlain = Options.LogitSoftCap is null && Options.AlibiSlopes.IsEmpty;
        float scale = block.LogitScale;
        for (int i = 0; i < block.NumVectors; i++)
        {
            float* scores = block.Scores + i * PairSoftmax.MaxUnitKeys;
            if (Layout.HasScales) Scale(scores, block.Lows[i], block.Highs[i], block.Scales);
            if (!isPlain) Bias(scores, block.Lows[i], block.Highs[i], scale, block.Slopes[i], unit.Position - block.Positions[i]);
            PairSoftmax.Update(
                scores, isPlain ? scale * Log2E : 1, block.Lows[i], block.Highs[i], GroupDown(unit.Low), GroupUp(unit.High),
                block.Weights + i * PairSoftmax.MaxUnitKeys, ref block.References[i], block.Lanes + i * TileShape.StripWidth,
                block.Sums + i * block.SumSize, block.SumSize, Layout.HasScales ? block.Scales + PairSoftmax.MaxUnitKeys : null);
        }
    }

    private static void Scale(float* scores, int low, int high, float* scales)
    {
        for (int i = low / TileShape.StripWidth * TileShape.StripWidth; i < high; i += TileShape.StripWidth)
            Vector512.Store(Vector512.Load(scores + i) * Vector512.Load(scales + i), scores + i);
    }

    private void Bias(float* scores, int low, int high, float scale, float slope, int distance)
    {
        for (int i = low / TileShape.StripWidth * TileShape.StripWidth; i < high; i += TileShape.StripWidth)
        {
            Vector512<float> logit = Vector512.Load(scores + i) * scale;
            if (Options.LogitSoftCap is float cap) logit = SimdMath<Simd512, Vector512<float>>.SoftCap(logit, Vector512.Create(cap));
            if (slope != 0) logit = Simd512.MultiplyAdd(Vector512.Create(slope), Simd512.Indices + Vector512.Create((float)(distance + i)), logit);
            Vector512.Store(logit * Log2E, scores + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddValues(in PairBlock block, in PairUnit unit)
    {
        for (int page = 0; page < unit.NumPages; page++)
        {
            int offset = page * KvCache.PageSize;
            int low = Math.Max(0, unit.Low - offset), high = Math.Min(KvCache.PageSize, unit.High - offset);
            if (low >= high) continue;
            int from = GroupDown(low), to = GroupUp(high);
            byte* values = (byte*)unit.Pages[page] + (nint)KvCache.PageSize * Shape.HeadDim * unit.ElementSize;
            nint ahead = unit.Ahead[page];
            ushort* weights = block.Weights + offset + from;
            bool isUniform = unit.CommonLow - offset <= low && unit.CommonHigh - offset >= high, isWhole = isUniform && low == from && high == to;
            if (unit.IsByte && isWhole)
            {
                byteProduct!.Multiply(
                    block.NumVectors, block.SumSize / TileShape.StripWidth, (byte*)weights, PairSoftmax.MaxUnitKeys * sizeof(ushort),
                    values + from * TileShape.StripWidth, PageStripSize, block.Sums, block.SumSize * sizeof(float), to - from, adds: true, ahead);
                continue;
            }
            if (unit.IsByte)
            {
                values = (byte*)WidenedValues(block, values, from, to, ahead);
                ahead = 0;
            }
            if (!isWhole)
            {
                bool isFinite = CopyVisible(values, block.Values, from, to, low, high, ahead);
                ahead = 0;
                if (!isUniform && !isFinite)
                {
                    AddValuesByVector(block, values, offset, from, to);
                    continue;
                }
                values = block.Values;
            }
            product.Multiply(
                block.NumVectors, block.SumSize / TileShape.StripWidth, (byte*)weights, PairSoftmax.MaxUnitKeys * sizeof(ushort),
                values + from * TileShape.StripWidth * sizeof(ushort), PageStripBytes, block.Sums, block.SumSize * sizeof(float), to - from, adds: true, ahead);
        }
    }

    /// <summary>The values from one token to another as BF16, in the worker's memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private ushort* WidenedValues(in PairBlock block, byte* values, int from, int to, nint ahead)
    {
        int offset = from * TileShape.StripWidth;
        for (int strip = 0; strip < block.SumSize / TileShape.StripWidth; strip++, offset += PageStripSize)
            ByteTable.ToPairs(values + offset, Layout.ElementType, (to - from) * TileShape.StripWidth, block.Pages + offset, ahead);
        return block.Pages;
    }

    /// <summary>Copies the values from one token to another, those outside of low to high as zeros; returns whether the rest is finite. Fetches the lines so many bytes ahead.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool CopyVisible(byte* values, byte* destination, int from, int to, int low, int high, nint ahead)
    {
        Vector512<ushort> exponent = Vector512.Create((ushort)0x7F80), special = default;
        for (int strip = 0; strip < Layout.PaddedHeadDim / TileShape.StripWidth; strip++, values += PageStripBytes, destination += PageStripBytes)
        {
            for (int token = from; token < to; token += 2)
            {
                uint mask = (token >= low && token < high ? 0xFFFFu : 0) | (token + 1 >= low && token + 1 < high ? 0xFFFF0000u : 0);
                nint line = token * TileShape.StripWidth * sizeof(ushort);
                Vector512<ushort> pairs = (Vector512.Load((uint*)(values + line)) & Vector512.Create(mask)).AsUInt16();
                if (ahead != 0) Sse.Prefetch1(values + line + ahead);
                special |= Vector512.Equals(pairs & exponent, exponent);
                Vector512.Store(pairs, (ushort*)(destination + line));
            }
        }
        return special == default;
    }

    // A zero weight times infinity would be NaN: each vector gets its own copy of the values, with zeros where it does not see.
    private void AddValuesByVector(in PairBlock block, byte* values, int offset, int from, int to)
    {
        for (int i = 0; i < block.NumVectors; i++)
        {
            int low = Math.Max(from, block.Lows[i] - offset), high = Math.Min(to, block.Highs[i] - offset);
            if (low >= high) continue;
            CopyVisible(values, block.Values, from, to, low, high, 0);
            float* sums = block.Sums + i * block.SumSize;
            Unsafe.CopyBlock(block.VectorWeights, block.Weights + i * PairSoftmax.MaxUnitKeys + offset, KvCache.PageSize * sizeof(ushort));
            Unsafe.CopyBlock(block.VectorSums, sums, (uint)block.SumSize * sizeof(float));
            product.Multiply(
                1, block.SumSize / TileShape.StripWidth, (byte*)(block.VectorWeights + from), KvCache.PageSize * sizeof(ushort),
                block.Values + from * TileShape.StripWidth * sizeof(ushort), PageStripBytes, block.VectorSums, block.SumSize * sizeof(float), to - from, adds: true, 0);
            Unsafe.CopyBlock(sums, block.VectorSums, (uint)block.SumSize * sizeof(float));
        }
    }

    private static int GroupDown(int key) => key / GroupKeys * GroupKeys;

    private static int GroupUp(int key) => (key + GroupKeys - 1) / GroupKeys * GroupKeys;
}
