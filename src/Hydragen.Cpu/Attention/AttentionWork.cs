using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// A plan compiled to work items. Keys are split every <see cref="KeysPerSplit"/> keys of a segment, wherever and with whatever else
/// it runs, so a row's partial results and their merge do not depend on the batch or on the number of threads. A row with one
/// partial result writes it straight to the output; the others' go to a workspace, in waves of rows that bound its size. In a wave,
/// items that many vectors share (prefixes, prefill), which are bound by arithmetic, stand before those that wait for memory
/// (suffixes): see <see cref="WorkerPool"/>.
/// </summary>
internal sealed class AttentionWork(long workspaceFloats, int numThreads)
{
    /// <summary>Pages of a split.</summary>
    public const int PagesPerSplit = 16;

    /// <summary>Keys of a split.</summary>
    public const int KeysPerSplit = PagesPerSplit * KvCache.PageSize;

    /// <summary>With at most so many vectors keys are passed in less time than memory takes to deliver the next.</summary>
    public const int MaxReadBoundVectors = 16;

    /// <summary>FP32 elements that the partial results of a wave may take: 64 MiB.</summary>
    public const long DefaultWorkspaceFloats = 16 << 20;

    // Items bound by arithmetic are made smaller for more of them, down to so many vectors.
    private const int MinVectors = 24;
    private const int MinItemsPerThread = 3;

    private long _planId;
    private long _generation;
    private int _numHeads, _numKvHeads, _headDim;
    private ItemLimits _limits, _prefixLimits;
    private KvCache? _mixed;
    private PageKind[] _kinds = [];
    private AttentionItem[] _items = [];
    private AttentionWave[] _waves = [];
    private int[] _segmentOffsets = [];
    private int[] _firstParts = [];
    private int[] _rowParts = [];
    private int[] _rowSlots = [];
    private int[] _numAssigned = [];
    private int[] _lastPositions = [];
    private int[] _mergeRows = [];
    private int _numItems, _numWaves, _numMergeRows;

    /// <summary>The plan.</summary>
    public AttentionPlan Plan { get; private set; } = null!;

    /// <summary>Waves in order.</summary>
    public ReadOnlySpan<AttentionWave> Waves => _waves.AsSpan(0, _numWaves);

    /// <summary>Items of all waves.</summary>
    public ReadOnlySpan<AttentionItem> Items => _items.AsSpan(0, _numItems);

    /// <summary>Rows that have no or several partial results, wave after wave.</summary>
    public ReadOnlySpan<int> MergeRows => _mergeRows.AsSpan(0, _numMergeRows);

    /// <summary>The largest page id that a segment uses; −1 without segments.</summary>
    public int MaxPage { get; private set; }

    /// <summary>Partial results (a head of a row each) that the largest wave keeps.</summary>
    public int NumSlots { get; private set; }

    /// <summary>Kind of the pages that a segment reads.</summary>
    public PageKind KindOf(int segment) => _mixed is null ? PageKind.Suffix : _kinds[segment];

    /// <summary>Partial results of a row.</summary>
    public int PartsOf(int row) => _rowParts[row];

    /// <summary>First workspace slot of a row: <c>[numHeads, parts]</c> follow. Only for rows with several parts.</summary>
    public int FirstSlotOf(int row) => _rowSlots[row];

    /// <summary>Which of a row's parts the first split of a segment is.</summary>
    public int FirstPartOf(int segment, int row) => _firstParts[_segmentOffsets[segment] + row - Plan.Segments[segment].FirstRow];

    /// <summary>Whether a split of a segment yields a partial result for a row at a position, even if an empty one.</summary>
    public static bool HasPart(in AttentionSegment segment, int split, int rowPosition) =>
        segment.Mask == AttentionMask.Full || SplitPosition(segment, split) <= rowPosition;

    /// <summary>Compiles a plan unless that is what it holds already.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="limits">Bounds of items.</param>
    /// <param name="prefixLimits">Bounds of items that read prefixes from <paramref name="mixed"/>.</param>
    /// <param name="mixed">The cache, when it has two kinds of pages.</param>
    /// <exception cref="ArgumentException">A segment reads pages of both kinds.</exception>
    public void Compile(AttentionPlan plan, AttentionShape shape, ItemLimits limits, ItemLimits prefixLimits = default, KvCache? mixed = null)
    {
        if (plan.Id == _planId && ReferenceEquals(plan, Plan) && shape.NumHeads == _numHeads && shape.NumKvHeads == _numKvHeads
            && shape.HeadDim == _headDim && limits == _limits && prefixLimits == _prefixLimits && ReferenceEquals(mixed, _mixed)
            && (mixed is null || mixed.Generation == _generation))
        {
            return;
        }
        _planId = 0;
        Plan = plan;
        (_numHeads, _numKvHeads, _headDim) = (shape.NumHeads, shape.NumKvHeads, shape.HeadDim);
        (_limits, _prefixLimits, _mixed, _generation) = (limits, prefixLimits, mixed, mixed?.Generation ?? 0);
        _numItems = _numWaves = _numMergeRows = NumSlots = 0;
        MaxPage = -1;
        foreach (int page in plan.PageTable) MaxPage = Math.Max(MaxPage, page);
        if (mixed is not null) FindKinds(mixed);
        CountParts();
        Ensure(ref _rowSlots, plan.NumRows);
        Ensure(ref _numAssigned, plan.NumRows);
        Ensure(ref _mergeRows, plan.NumRows);
        int slotsPerWave = (int)Math.Max(1, workspaceFloats / (shape.HeadDim + 2));
        for (int firstRow = 0; firstRow < plan.NumRows;) firstRow = AddWave(firstRow, slotsPerWave);
        _planId = plan.Id;
    }

    private static int SplitPosition(in AttentionSegment segment, int split) =>
        split == 0 ? segment.FirstPosition : segment.FirstPosition + split * KeysPerSplit - segment.FirstSlot;

    private static int CountSplits(in AttentionSegment segment) => (segment.NumPages + PagesPerSplit - 1) / PagesPerSplit;

    private static int CountSplits(in AttentionSegment segment, int rowPosition)
    {
        int count = CountSplits(segment);
        while (count > 0 && !HasPart(segment, count - 1, rowPosition)) count--;
        return count;
    }

    private void FindKinds(KvCache mixed)
    {
        Ensure(ref _kinds, Plan.Segments.Length);
        for (int i = 0; i < Plan.Segments.Length; i++) _kinds[i] = mixed.KindOf(Plan, Plan.Segments[i]);
    }

    private ItemLimits LimitsOf(int segment) => KindOf(segment) == PageKind.Prefix ? _prefixLimits : _limits;

    private void CountParts()
    {
        Ensure(ref _rowParts, Plan.NumRows);
        Array.Clear(_rowParts, 0, Plan.NumRows);
        Ensure(ref _segmentOffsets, Plan.Segments.Length);
        int offset = 0;
        for (int i = 0; i < Plan.Segments.Length; i++)
        {
            AttentionSegment segment = Plan.Segments[i];
            _segmentOffsets[i] = offset;
            offset += segment.NumRows;
            for (int row = segment.FirstRow; row < segment.FirstRow + segment.NumRows; row++)
                _rowParts[row] += CountSplits(segment, Plan.RowPositions[row]);
        }
        Ensure(ref _firstParts, offset);
    }

    private int AddWave(int firstRow, int maxSlots)
    {
        int endRow = firstRow, numSlots = 0, firstMergeRow = _numMergeRows, firstItem = _numItems;
        for (; endRow < Plan.NumRows; endRow++)
        {
            int slots = _rowParts[endRow] > 1 ? _rowParts[endRow] * _numHeads : 0;
            if (endRow > firstRow && numSlots + slots > maxSlots) break;
            _rowSlots[endRow] = numSlots;
            _numAssigned[endRow] = 0;
            numSlots += slots;
            if (_rowParts[endRow] != 1) _mergeRows[_numMergeRows++] = endRow;
        }
        NumSlots = Math.Max(NumSlots, numSlots);
        for (int i = 0; i < Plan.Segments.Length; i++)
        {
            AttentionSegment segment = Plan.Segments[i];
            int first = Math.Max(firstRow, segment.FirstRow), end = Math.Min(endRow, segment.FirstRow + segment.NumRows);
            if (first < end && segment.NumKeys > 0) AssignParts(i, segment, first, end);
        }
        int blockVectors = Math.Max(_limits.MaxVectors, _prefixLimits.MaxVectors);
        while (numThreads > 1 && blockVectors >= 2 * MinVectors && CountComputeBound(firstRow, endRow, blockVectors) < MinItemsPerThread * numThreads)
            blockVectors /= 2;
        AddItems(firstRow, endRow, readBound: false, blockVectors);
        int numComputeBound = _numItems - firstItem;
        AddItems(firstRow, endRow, readBound: true, blockVectors);
        Ensure(ref _waves, _numWaves + 1);
        _waves[_numWaves++] = new AttentionWave(
            firstItem, _numItems - firstItem, numComputeBound, firstMergeRow, _numMergeRows - firstMergeRow);
        return endRow;
    }

    private void AssignParts(int index, in AttentionSegment segment, int first, int end)
    {
        for (int row = first; row < end; row++)
        {
            _firstParts[_segmentOffsets[index] + row - segment.FirstRow] = _numAssigned[row];
            _numAssigned[row] += CountSplits(segment, Plan.RowPositions[row]);
        }
    }

    private int CountComputeBound(int firstRow, int endRow, int blockVectors)
    {
        int count = 0;
        for (int i = 0; i < Plan.Segments.Length; i++)
        {
            ref readonly AttentionSegment segment = ref Plan.Segments[i];
            int numVectors = CountVectors(segment, firstRow, endRow), size = Math.Min(blockVectors, LimitsOf(i).MaxVectors);
            if (numVectors > MaxReadBoundVectors) count += (numVectors + size - 1) / size * CountSplits(segment) * _numKvHeads;
        }
        return count;
    }

    private int CountVectors(in AttentionSegment segment, int firstRow, int endRow) =>
        (Math.Min(endRow, segment.FirstRow + segment.NumRows) - Math.Max(firstRow, segment.FirstRow)) * (_numHeads / _numKvHeads);

    private void AddItems(int firstRow, int endRow, bool readBound, int blockVectors)
    {
        for (int i = 0; i < Plan.Segments.Length; i++)
        {
            AttentionSegment segment = Plan.Segments[i];
            int numVectors = CountVectors(segment, firstRow, endRow);
            if (numVectors <= 0 || segment.NumKeys == 0 || numVectors <= MaxReadBoundVectors != readBound) continue;
            AddItems(i, segment, Math.Max(0, firstRow - segment.FirstRow) * (_numHeads / _numKvHeads), numVectors, blockVectors);
        }
    }

    /// <summary>The blocks of vectors that read the same keys stand side by side, since neighbours mostly run on one core.</summary>
    private void AddItems(int index, in AttentionSegment segment, int firstVector, int numVectors, int blockVectors)
    {
        ItemLimits limits = LimitsOf(index);
        blockVectors = Math.Min(blockVectors, limits.MaxVectors);
        int numBlocks = (numVectors + blockVectors - 1) / blockVectors;
        int blockSize = (numVectors + numBlocks - 1) / numBlocks;
        blockSize = Math.Min(blockVectors, (blockSize + limits.VectorMultiple - 1) / limits.VectorMultiple * limits.VectorMultiple);
        numBlocks = (numVectors + blockSize - 1) / blockSize;
        Ensure(ref _lastPositions, numBlocks);
        for (int block = 0; block < numBlocks; block++)
            _lastPositions[block] = LastPosition(segment, firstVector + block * blockSize, Math.Min(blockSize, numVectors - block * blockSize));
        int numSplits = CountSplits(segment);
        for (int split = 0; split < numSplits; split++)
        {
            for (int kvHead = 0; kvHead < _numKvHeads; kvHead++)
            {
                for (int block = 0; block < numBlocks; block++)
                {
                    if (!HasPart(segment, split, _lastPositions[block])) continue;
                    Ensure(ref _items, _numItems + 1);
                    _items[_numItems++] = new AttentionItem(
                        index, split, kvHead, firstVector + block * blockSize, Math.Min(blockSize, numVectors - block * blockSize));
                }
            }
        }
    }

    private int LastPosition(in AttentionSegment segment, int firstVector, int numVectors)
    {
        if (segment.Mask == AttentionMask.Full) return int.MaxValue;
        int group = _numHeads / _numKvHeads, last = -1;
        int firstRow = segment.FirstRow + firstVector / group, lastRow = segment.FirstRow + (firstVector + numVectors - 1) / group;
        foreach (int position in Plan.RowPositions[firstRow..(lastRow + 1)]) last = Math.Max(last, position);
        return last;
    }

    private static void Ensure<E>(ref E[] array, int length)
    {
        if (array.Length < length) Array.Resize(ref array, Math.Max(length, Math.Max(16, array.Length * 2)));
    }
}
