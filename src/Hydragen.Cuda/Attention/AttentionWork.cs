using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// A plan compiled to the work lists of the kernels. A segment's vectors are cut into tiles and its keys into splits, so that all
/// multiprocessors have work until the end; splits start at page borders. A row with one partial result writes it straight to
/// the output; the others' go to a workspace, in waves of rows that bound its size. Equal plans give equal lists.
/// </summary>
internal sealed partial class AttentionWork(DeviceRates rates, long maxWorkspaceBytes)
{
    /// <summary>The most lists of items: one for each class and kind of pages.</summary>
    public const int MaxLists = 2 * AttentionKernels.NumClasses;

    /// <summary>Bytes that the partial results of a wave may take.</summary>
    public const long DefaultWorkspaceBytes = 256 << 20;

    private const int BlocksPerMultiprocessor = 4, MinPagesPerSplit = 4, MinSequencePages = 2, MaxSequenceTiles = 32, NoPart = -1;

    // Blocks of the sequence kernel on a multiprocessor.
    private const int SequenceBlocks = 3;

    // What an item costs a block besides its pages, and what a page of 32 KiB costs a block of the sequence kernel when memory is not what
    // it waits for (measured on an H200).
    private const double SecondsPerNodeTask = 4e-6, SecondsPerSequenceTask = 1.6e-6, SecondsPerByte = 1.4e-6 / (32 << 10);

    private readonly int[] _pagesPerSplit = new int[MaxLists];
    private readonly List<AttentionItem> _items = [];
    private readonly List<AttentionWave> _waves = [];
    private readonly List<int> _mergeRows = [];
    private readonly List<AttentionItem>[] _waveItems = [.. Enumerable.Range(0, MaxLists).Select(_ => new List<AttentionItem>())];
    private readonly List<AttentionItem>[] _nextItems = [[], []];
    private readonly ItemClass[] _sequenceClasses = new ItemClass[2];
    private readonly bool[] _takesTickets = new bool[2];
    private readonly SegmentRoutes _routes = new();
    private int[] _numParts = [], _firstSlots = [], _numAssigned = [], _partSlots = [], _segmentParts = [];
    private AttentionPlan _plan = null!;
    private int _groupSize, _numKvHeads;
    private PageReading[] _readings = [];
    private KernelCosts[] _costs = [];
    private PageKind[] _kinds = [];
    private bool _isScalar;

    /// <summary>Waves in order.</summary>
    public IReadOnlyList<AttentionWave> Waves => _waves;

    /// <summary>Lists of items of each wave: one for each class, and so many again for pages of prefixes where these have a type of their own.</summary>
    public int NumLists => _readings.Length * AttentionKernels.NumClasses;

    /// <summary>How the shared nodes of the plan are computed.</summary>
    public NodeSharing Sharing
    {
        get
        {
            int numShared = 0, numFolded = 0;
            for (int i = 0; i < _plan.Segments.Length; i++)
            {
                if (!_plan.Segments[i].IsNode) continue;
                if (IsFolded(i)) numFolded++;
                else numShared++;
            }
            return new NodeSharing(numShared, numFolded);
        }
    }

    /// <summary>Items of all waves.</summary>
    public ReadOnlySpan<AttentionItem> Items => CollectionsMarshal.AsSpan(_items);

    /// <summary>(row, slot of its first part, parts) of the rows that have no or several partial results, wave after wave.</summary>
    public ReadOnlySpan<int> MergeRows => CollectionsMarshal.AsSpan(_mergeRows);

    /// <summary>For each segment and each of its rows the slot of the segment's first split; −1 when the row has no other part.</summary>
    public ReadOnlySpan<int> PartSlots => _partSlots.AsSpan(0, NumSegmentRows);

    /// <summary>Slots (partial results of all heads of a row) that the largest wave needs.</summary>
    public int NumSlots { get; private set; }

    /// <summary>The largest page id that a segment uses; −1 without segments.</summary>
    public int MaxPage { get; private set; }

    private int NumSegmentRows { get; set; }

    /// <summary>Bytes that the partial results of one row take.</summary>
    public static long BytesPerSlot(AttentionShape shape) => (long)shape.NumHeads * (shape.HeadDim + 2) * sizeof(float);

    /// <summary>The list of a class of items that read pages of a kind.</summary>
    public static int ListOf(ItemClass itemClass, PageKind kind) => (int)kind * AttentionKernels.NumClasses + (int)itemClass;

    /// <summary>Compiles a plan over pages of one type.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="kvType">Type of keys and values.</param>
    /// <param name="vectorsPerItem">For each <see cref="ItemClass"/>, how many vectors an item may have.</param>
    /// <param name="isScalar">Whether everything is computed by the scalar kernel.</param>
    public void Compile(AttentionPlan plan, AttentionShape shape, ElementType kvType, int[] vectorsPerItem, bool isScalar) =>
        Compile(plan, shape, [new PageReading(kvType, vectorsPerItem, isScalar)], null);

    /// <summary>Compiles a plan.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="readings">Of each <see cref="PageKind"/>; one when all pages have one type.</param>
    /// <param name="mixed">The cache, when it has two kinds of pages.</param>
    /// <exception cref="ArgumentException">A segment reads pages of both kinds.</exception>
    public void Compile(AttentionPlan plan, AttentionShape shape, PageReading[] readings, KvCache? mixed)
    {
        if ((long)plan.NumRows * shape.GroupSize > (1L << 31) / Math.Max(128, shape.GroupSize))
            throw new ArgumentException($"{plan.NumRows} rows of {shape.GroupSize} heads a key/value head are too many for a step.", nameof(plan));
        (_plan, _groupSize, _numKvHeads, _readings, _isScalar) = (plan, shape.GroupSize, shape.NumKvHeads, readings, Array.TrueForAll(readings, reading => reading.IsScalar));
        _items.Clear();
        _waves.Clear();
        _mergeRows.Clear();
        NumSlots = 0;
        MaxPage = -1;
        HasNextItems = false;
        foreach (int page in plan.PageTable) MaxPage = Math.Max(MaxPage, page);
        if (mixed is not null) FindKinds(mixed);
        if (_costs.Length != readings.Length) _costs = new KernelCosts[readings.Length];
        for (int kind = 0; kind < readings.Length; kind++) _costs[kind] = CostsOf(shape, readings[kind]);
        if (!_isScalar) _routes.Decide(plan, _costs[0], _costs[^1], readings.Length == 1 ? [] : _kinds);
        for (int kind = 0; kind < readings.Length; kind++) ChooseSequenceClass(kind);
        ChooseSplits(shape);
        CountParts();
        Ensure(ref _firstSlots, plan.NumRows);
        Ensure(ref _numAssigned, plan.NumRows);
        int slotsPerWave = (int)Math.Clamp(maxWorkspaceBytes / BytesPerSlot(shape), 1, int.MaxValue);
        for (int firstRow = 0; firstRow < plan.NumRows;) firstRow = AddWave(firstRow, slotsPerWave);
    }

    /// <summary>Blocks of the node kernel that leave the other multiprocessors to the sequences, so that both together finish soonest.</summary>
    public int NumNodeBlocks { get; private set; }

    /// <summary>Whether any task goes on with another item.</summary>
    public bool HasNextItems { get; private set; }

    /// <summary>Whether blocks that compute sequences ask for each task, so that they may start when others make room.</summary>
    public bool TakesTickets(PageKind kind) => _takesTickets[(int)kind];

    private PageKind KindOf(int segment) => _readings.Length == 1 ? PageKind.Suffix : _kinds[segment];

    private void FindKinds(KvCache mixed)
    {
        if (_kinds.Length < _plan.Segments.Length) _kinds = new PageKind[Math.Max(_plan.Segments.Length, 2 * _kinds.Length)];
        for (int i = 0; i < _plan.Segments.Length; i++) _kinds[i] = mixed.KindOf(_plan, _plan.Segments[i]);
    }

    private ItemClass ClassOf(int segment) => _readings[(int)KindOf(segment)].IsScalar ? ItemClass.Scalar
        : _routes.IsSequence(segment) ? _sequenceClasses[(int)KindOf(segment)]
        : (long)_plan.Segments[segment].NumRows * _groupSize <= VectorsPerItem(segment, ItemClass.NarrowNode) ? ItemClass.NarrowNode
        : ItemClass.WideNode;

    private int VectorsPerItem(int segment, ItemClass itemClass) => _readings[(int)KindOf(segment)].VectorsPerItem[(int)itemClass];

    private bool IsFolded(int segment) => !_isScalar && _routes.IsFolded(segment);

    private KernelCosts CostsOf(AttentionShape shape, PageReading reading)
    {
        // Narrow nodes have a kernel of their own where they may have more vectors than sequences. No sequence kernel reads what the scalar one does.
        int perSequence = reading.IsScalar ? 0 : reading.VectorsPerItem[(int)ItemClass.Sequence];
        bool hasNarrowNodes = reading.VectorsPerItem[(int)ItemClass.NarrowNode] > perSequence;
        return new KernelCosts(
            shape.GroupSize, shape.NumKvHeads, perSequence, hasNarrowNodes ? perSequence : MaxSequenceTiles * perSequence,
            reading.VectorsPerItem[(int)ItemClass.WideNode], rates.NumMultiprocessors, SequenceBlocks, reading.BytesPerPage(shape) * SecondsPerByte,
            reading.NodeSeconds(shape, rates), SecondsPerSequenceTask, SecondsPerNodeTask, SecondsPerPart(shape),
            new SequenceRule(rates.NumMultiprocessors, reading.Type.IsByte(), shape.HeadDim > 128));
    }

    private double SecondsPerPart(AttentionShape shape) => 2 * BytesPerSlot(shape) / rates.Bytes;

    private long CountTiles(int segment, ItemClass itemClass)
    {
        int perItem = VectorsPerItem(segment, itemClass);
        return ((long)_plan.Segments[segment].NumRows * _groupSize + perItem - 1) / perItem;
    }

    private (int Keys, int Pages) CountFolded(int segment)
    {
        int keys = 0, pages = 0;
        if (_isScalar) return (keys, pages);
        for (int link = _routes.FirstLink(segment); link >= 0; link = _routes.LinkAt(link).Next)
        {
            AttentionSegment folded = _plan.Segments[_routes.LinkAt(link).Segment];
            keys += folded.NumKeys;
            pages += folded.NumPages;
        }
        return (keys, pages);
    }

    private int CountSplits(int index)
    {
        if (IsFolded(index)) return 0;
        AttentionSegment segment = _plan.Segments[index];
        int pagesPerSplit = _pagesPerSplit[ListOf(ClassOf(index), KindOf(index))];
        return segment.NumPages / pagesPerSplit + (segment.NumPages % pagesPerSplit == 0 ? 0 : 1);
    }

    private void CountParts()
    {
        Ensure(ref _numParts, _plan.NumRows);
        Array.Clear(_numParts, 0, _plan.NumRows);
        Ensure(ref _segmentParts, _plan.Segments.Length);
        NumSegmentRows = 0;
        for (int i = 0; i < _plan.Segments.Length; i++)
        {
            AttentionSegment segment = _plan.Segments[i];
            _segmentParts[i] = NumSegmentRows;
            NumSegmentRows += segment.NumRows;
            int numSplits = CountSplits(i);
            foreach (ref int count in _numParts.AsSpan(segment.FirstRow, segment.NumRows)) count += numSplits;
        }
        Ensure(ref _partSlots, NumSegmentRows);
    }

    private int AddWave(int firstRow, int maxSlots)
    {
        int endRow = firstRow, numSlots = 0, firstMergeRow = _mergeRows.Count / 3, maxParts = 0;
        for (; endRow < _plan.NumRows; endRow++)
        {
            int slots = _numParts[endRow] > 1 ? _numParts[endRow] : 0;
            if (endRow > firstRow && numSlots + slots > maxSlots) break;
            _firstSlots[endRow] = numSlots;
            _numAssigned[endRow] = 0;
            if (_numParts[endRow] != 1) _mergeRows.AddRange([endRow, numSlots, _numParts[endRow]]);
            maxParts = Math.Max(maxParts, _numParts[endRow]);
            numSlots += slots;
        }
        NumSlots = Math.Max(NumSlots, numSlots);
        foreach (List<AttentionItem> items in _waveItems) items.Clear();
        foreach (List<AttentionItem> items in _nextItems) items.Clear();
        for (int i = 0; i < _plan.Segments.Length; i++)
        {
            AttentionSegment segment = _plan.Segments[i];
            int first = Math.Max(firstRow, segment.FirstRow), end = Math.Min(endRow, segment.FirstRow + segment.NumRows);
            if (first >= end || segment.NumKeys == 0 || IsFolded(i)) continue;
            AssignParts(i, segment, first, end);
            AddItems(i, segment, first, end);
        }
        var ranges = new ItemRange[NumLists];
        for (int i = 0; i < ranges.Length; i++) ranges[i] = PlaceItems(i);
        _waves.Add(new AttentionWave(ranges, firstMergeRow, _mergeRows.Count / 3 - firstMergeRow, maxParts));
        return endRow;
    }

    /// <summary>Puts the items of a list behind those of others: the longest tasks first, so that the last blocks to start are short ones.</summary>
    private ItemRange PlaceItems(int list)
    {
        int kind = list / AttentionKernels.NumClasses;
        List<AttentionItem> tasks = _waveItems[list], nextItems = _nextItems[kind];
        int first = _items.Count, numTasks = tasks.Count;
        _items.AddRange(tasks.OrderByDescending(CountKeys).Select(Moved));
        if (numTasks > 0 && list == ListOf(_sequenceClasses[kind], (PageKind)kind))
            _items.AddRange(nextItems.Select(Moved));
        return new ItemRange(first, numTasks, _items.Count - first);

        // Items that others name as the next were counted from 1.
        AttentionItem Moved(AttentionItem item) => item.Next == 0 ? item : item.WithNext(item.Next - 1 + numTasks);

        int CountKeys(AttentionItem item)
        {
            int keys = item.NumKeys;
            for (; item.Next > 0; keys += item.NumKeys) item = nextItems[item.Next - 1];
            return keys;
        }
    }

    private void AssignParts(int index, in AttentionSegment segment, int first, int end)
    {
        int numSplits = CountSplits(index);
        for (int row = first; row < end; row++)
        {
            _partSlots[_segmentParts[index] + row - segment.FirstRow] = _numParts[row] == 1 ? NoPart : _firstSlots[row] + _numAssigned[row];
            _numAssigned[row] += numSplits;
        }
    }

    private void AddItems(int index, in AttentionSegment segment, int firstRow, int endRow)
    {
        ItemClass itemClass = ClassOf(index);
        int list = ListOf(itemClass, KindOf(index)), pagesPerSplit = _pagesPerSplit[list], vectorsPerItem = VectorsPerItem(index, itemClass);
        int numVectors = checked((endRow - firstRow) * _groupSize), numSplits = CountSplits(index);
        int firstPart = _segmentParts[index] + firstRow - segment.FirstRow;
        for (int split = 0; split < numSplits; split++)
        {
            int page = split * pagesPerSplit;
            int firstSlot = split == 0 ? segment.FirstSlot : 0;
            int firstKey = split == 0 ? 0 : page * KvCache.PageSize - segment.FirstSlot;
            int numKeys = (int)Math.Min(segment.NumKeys - firstKey, (long)pagesPerSplit * KvCache.PageSize - firstSlot);
            // Tiles that read the same keys stand side by side, so that all but one find them in the L2 cache.
            for (int vector = 0; vector < numVectors; vector += vectorsPerItem)
            {
                var item = new AttentionItem(
                    segment.FirstPage + page, firstSlot, numKeys, segment.FirstPosition + firstKey, checked(firstRow * _groupSize + vector),
                    Math.Min(vectorsPerItem, numVectors - vector), firstPart + vector / _groupSize, 2 * split + MaskBit(segment));
                _waveItems[list].Add(split == 0 && !_isScalar ? BehindFolded(_routes.FirstLink(index), item, _nextItems[(int)KindOf(index)]) : item);
            }
        }
    }

    /// <summary>The first item of a task that reads the segments of some links, and then an item.</summary>
    private AttentionItem BehindFolded(int link, AttentionItem item, List<AttentionItem> nextItems)
    {
        if (link < 0) return item;
        HasNextItems = true;
        (int segment, int next) = _routes.LinkAt(link);
        AttentionSegment folded = _plan.Segments[segment];
        nextItems.Add(BehindFolded(next, item, nextItems));
        return (item with
        {
            FirstPage = folded.FirstPage,
            SlotAndNext = folded.FirstSlot,
            NumKeys = folded.NumKeys,
            FirstPosition = folded.FirstPosition,
            SplitAndMask = MaskBit(folded),
        }).WithNext(nextItems.Count);
    }

    private static int MaskBit(in AttentionSegment segment) => segment.Mask == AttentionMask.Causal ? 1 : 0;

    private static void Ensure(ref int[] array, int length)
    {
        if (array.Length < length) array = new int[Math.Max(length, Math.Max(16, array.Length * 2))];
    }
}
