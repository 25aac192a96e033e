using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// A plan compiled to work items. Keys are split every <see cref="KeysPerSplit"/> keys of a segment, wherever and with whatever else
/// it runs, so a row's partial results and their merge do not depend on the batch or on the number of threads. A row with one
/// partial result writes it straight to the output; the others' go to a workspace, in waves of rows that bound its size.
/// </summary>
internal sealed class AttentionWork(long workspaceFloats)
{
    /// <summary>Pages of a split.</summary>
    public const int PagesPerSplit = 16;

    /// <summary>Keys of a split.</summary>
    public const int KeysPerSplit = PagesPerSplit * KvCache.PageSize;

    /// <summary>FP32 elements that the partial results of a wave may take: 64 MiB.</summary>
    public const long DefaultWorkspaceFloats = 16 << 20;

    private long _planId;
    private int _numHeads, _numKvHeads, _headDim, _maxVectors;
    private AttentionItem[] _items = [];
    private long[] _costs = [];
    private AttentionWave[] _waves = [];
    private int[] _segmentOffsets = [];
    private int[] _firstParts = [];
    private int[] _rowParts = [];
    private int[] _rowSlots = [];
    private int[] _numAssigned = [];
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
    /// <param name="maxVectors">Query vectors of an item at most.</param>
    public void Compile(AttentionPlan plan, AttentionShape shape, int maxVectors)
    {
        if (plan.Id == _planId && ReferenceEquals(plan, Plan) && shape.NumHeads == _numHeads && shape.NumKvHeads == _numKvHeads
            && shape.HeadDim == _headDim && maxVectors == _maxVectors)
        {
            return;
        }
        _planId = 0;
        Plan = plan;
        (_numHeads, _numKvHeads, _headDim, _maxVectors) = (shape.NumHeads, shape.NumKvHeads, shape.HeadDim, maxVectors);
        _numItems = _numWaves = _numMergeRows = NumSlots = 0;
        MaxPage = -1;
        foreach (int page in plan.PageTable) MaxPage = Math.Max(MaxPage, page);
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
            if (first >= end || segment.NumKeys == 0) continue;
            AssignParts(i, segment, first, end);
            AddItems(i, segment, first - segment.FirstRow, end - segment.FirstRow);
        }
        // The dearest first, so that the threads finish together.
        _costs.AsSpan(firstItem, _numItems - firstItem).Sort(_items.AsSpan(firstItem, _numItems - firstItem));
        Ensure(ref _waves, _numWaves + 1);
        _waves[_numWaves++] = new AttentionWave(firstItem, _numItems - firstItem, firstMergeRow, _numMergeRows - firstMergeRow);
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

    private void AddItems(int index, in AttentionSegment segment, int firstRow, int endRow)
    {
        int group = _numHeads / _numKvHeads;
        int numVectors = (endRow - firstRow) * group;
        int numBlocks = (numVectors + _maxVectors - 1) / _maxVectors;
        int block = (numVectors + numBlocks - 1) / numBlocks;
        block = (block + TileShape.MaxRows - 1) / TileShape.MaxRows * TileShape.MaxRows;
        int numSplits = CountSplits(segment);
        for (int first = 0; first < numVectors; first += block)
        {
            int count = Math.Min(block, numVectors - first);
            int lastPosition = int.MaxValue;
            if (segment.Mask == AttentionMask.Causal)
            {
                int firstBlockRow = segment.FirstRow + firstRow + first / group, lastBlockRow = segment.FirstRow + firstRow + (first + count - 1) / group;
                lastPosition = -1;
                foreach (int position in Plan.RowPositions[firstBlockRow..(lastBlockRow + 1)]) lastPosition = Math.Max(lastPosition, position);
            }
            for (int split = 0; split < numSplits && HasPart(segment, split, lastPosition); split++)
            {
                long end = Math.Min((long)segment.FirstPosition + segment.NumKeys, (long)SplitPosition(segment, split) + KeysPerSplit);
                long keys = Math.Min(end, lastPosition + 1L) - SplitPosition(segment, split);
                // A key costs some vectors' worth of time to read, however few use it.
                long cost = keys * (count + 8);
                for (int kvHead = 0; kvHead < _numKvHeads; kvHead++)
                {
                    Ensure(ref _items, _numItems + 1);
                    Ensure(ref _costs, _numItems + 1);
                    _costs[_numItems] = (-cost << 24) + _numItems;
                    _items[_numItems++] = new AttentionItem(index, split, kvHead, firstRow * group + first, count);
                }
            }
        }
    }

    private static void Ensure<E>(ref E[] array, int length)
    {
        if (array.Length < length) Array.Resize(ref array, Math.Max(length, Math.Max(16, array.Length * 2)));
    }
}
