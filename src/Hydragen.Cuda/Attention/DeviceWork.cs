using System.Numerics;
using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// The work lists of a plan in device memory; compiled and sent when the plan, the heads or the cache change. Lists have room for more
/// than they hold, and kernels read there how much that is, so that launches of one plan often suit the next one.
/// </summary>
internal sealed class DeviceWork(CudaDevice device, long maxWorkspaceBytes) : IDisposable
{
    private const int Alignment = 256;

    // Two counters for each list of items, which the kernels leave at zero.
    private const int TicketsPerList = 2;

    private readonly DeviceScratch _lists = new(device), _parts = new(device), _slopes = new(device);
    private readonly DeviceMemory _tickets = ClearTickets(device);
    private float[] _sentSlopes = [];
    private (long PlanId, AttentionShape? Shape, bool IsScalar, bool IsScalarPrefix, CudaKvCache? Cache, long Generation) _key;
    private int[] _itemOffsets = [];
    private byte[] _staging = [];
    private nint _items, _counts, _mergeRows;

    /// <summary>The host's side.</summary>
    public AttentionWork Work { get; } = new(device.Rates, maxWorkspaceBytes);

    public nint Pages { get; private set; }

    public nint RowPositions { get; private set; }

    public nint PartSlots { get; private set; }

    public nint PartOutput { get; private set; }

    public nint PartSums { get; private set; }

    // Of each list of a wave how many items start a task, and how many rows are merged.
    private int CountsPerWave => Work.NumLists + 1;

    /// <summary>Makes the lists those of a plan.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="readings">How pages of each kind are read; one when all have one type.</param>
    /// <param name="cache">The pages.</param>
    /// <exception cref="ArgumentException">The plan uses a page that the cache does not have, or a segment reads pages of both kinds.</exception>
    public void Prepare(AttentionPlan plan, AttentionShape shape, PageReading[] readings, CudaKvCache cache)
    {
        if (Holds(plan, shape, readings, cache)) return;
        _key = default;
        Work.Compile(plan, shape, readings, cache.Shape.IsMixed ? cache : null);
        if (Work.MaxPage >= cache.NumPages)
            throw new ArgumentException($"The plan uses page {Work.MaxPage}, but the cache has {cache.NumPages} pages.", nameof(plan));

        ReadOnlySpan<byte> positions = MemoryMarshal.AsBytes(plan.RowPositions);
        ReadOnlySpan<byte> slots = MemoryMarshal.AsBytes(Work.PartSlots), rows = MemoryMarshal.AsBytes(Work.MergeRows);
        int pagesOffset = PlaceItems(), positionsOffset = pagesOffset + Room(plan.PageTable.Length * sizeof(ulong));
        int slotsOffset = positionsOffset + Room(positions.Length), rowsOffset = slotsOffset + Room(slots.Length);
        // Blocks of the merge, of which there may be nearly twice as many as rows, read theirs before they know whether it exists.
        int countsOffset = rowsOffset + Room(2 * rows.Length), size = countsOffset + Room(Work.Waves.Count * CountsPerWave * sizeof(int));
        if (_staging.Length < size) _staging = new byte[size];
        Span<nint> pages = MemoryMarshal.Cast<byte, nint>(_staging.AsSpan(pagesOffset))[..plan.PageTable.Length];
        for (int i = 0; i < pages.Length; i++) pages[i] = cache.PageAddress(plan.PageTable[i]);
        positions.CopyTo(_staging.AsSpan(positionsOffset));
        slots.CopyTo(_staging.AsSpan(slotsOffset));
        rows.CopyTo(_staging.AsSpan(rowsOffset));
        Span<int> counts = MemoryMarshal.Cast<byte, int>(_staging.AsSpan(countsOffset));
        for (int index = 0; index < Work.Waves.Count; index++)
        {
            AttentionWave wave = Work.Waves[index];
            for (int i = 0; i < Work.NumLists; i++)
            {
                ItemRange range = wave.Items[i];
                MemoryMarshal.AsBytes(Work.Items.Slice(range.First, range.Count)).CopyTo(_staging.AsSpan(_itemOffsets[index * Work.NumLists + i]));
                counts[index * CountsPerWave + i] = range.NumTasks;
            }
            counts[(index + 1) * CountsPerWave - 1] = wave.NumMergeRows;
        }

        nint lists = _lists.Reserve(size);
        device.Upload<byte>(lists, _staging.AsSpan(0, size));
        (_items, Pages, RowPositions, PartSlots) = (lists, lists + pagesOffset, lists + positionsOffset, lists + slotsOffset);
        (_mergeRows, _counts) = (lists + rowsOffset, lists + countsOffset);
        int numSlots = (int)Math.Min(BitOperations.RoundUpToPowerOf2((uint)Work.NumSlots), int.MaxValue / 2);
        numSlots = (long)numSlots * AttentionWork.BytesPerSlot(shape) <= maxWorkspaceBytes ? numSlots : Work.NumSlots;
        PartOutput = _parts.Reserve(AttentionWork.BytesPerSlot(shape) * numSlots);
        PartSums = PartOutput + (nint)((long)numSlots * shape.NumHeads * shape.HeadDim * sizeof(float));
        _key = KeyOf(plan, shape, readings, cache);
    }

    /// <summary>Whether the lists are those of a plan; parameters as in <see cref="Prepare"/>.</summary>
    public bool Holds(AttentionPlan plan, AttentionShape shape, PageReading[] readings, CudaKvCache cache) => _key == KeyOf(plan, shape, readings, cache);

    /// <summary>Device address of the items of a list.</summary>
    public nint Items(int wave, int list) => _items + _itemOffsets[wave * Work.NumLists + list];

    /// <summary>Device address of their number.</summary>
    public nint NumItems(int wave, int list) => _counts + (wave * CountsPerWave + list) * sizeof(int);

    /// <summary>Device address of the rows that a wave merges.</summary>
    public nint MergeRows(int wave) => _mergeRows + Work.Waves[wave].FirstMergeRow * 3 * sizeof(int);

    /// <summary>Device address of their number.</summary>
    public nint NumMergeRows(int wave) => _counts + ((wave + 1) * CountsPerWave - 1) * sizeof(int);

    /// <summary>What a launch counts with instead of some items or rows: at least as many, and often the same in the next plan.</summary>
    public static long Bound(long count) => (long)BitOperations.RoundUpToPowerOf2((ulong)count);

    /// <summary>Adds to a key what the launches of attention depend on.</summary>
    public void AddTo(List<long> key)
    {
        key.AddRange([_items, Pages, RowPositions, PartSlots, _mergeRows, _counts, PartOutput, PartSums, Work.Waves.Count, Work.NumNodeBlocks, Work.HasNextItems ? 1 : 0]);
        for (int kind = 0; kind < Work.NumLists / AttentionKernels.NumClasses; kind++) key.Add(Work.TakesTickets((PageKind)kind) ? 1 : 0);
        for (int wave = 0; wave < Work.Waves.Count; wave++)
        {
            for (int i = 0; i < Work.NumLists; i++)
            {
                key.Add(Bound(Work.Waves[wave].Items[i].NumTasks));
                key.Add(_itemOffsets[wave * Work.NumLists + i]);
            }
            key.Add(Bound(Work.Waves[wave].NumMergeRows));
            key.Add(Work.Waves[wave].FirstMergeRow);
            key.Add(Work.Waves[wave].MergesMany ? 1 : 0);
        }
    }

    /// <summary>Which kernels compute the plan: a bit for each list of items, two for the merge, and one for tasks of several items.</summary>
    public long UsedKernels
    {
        get
        {
            long used = Work.HasNextItems ? 1L << AttentionWork.MaxLists + 2 : 0;
            foreach (AttentionWave wave in Work.Waves)
            {
                for (int i = 0; i < Work.NumLists; i++)
                {
                    if (wave.Items[i].Count > 0) used |= 1L << i;
                }
                if (wave.NumMergeRows > 0) used |= 1L << AttentionWork.MaxLists + (wave.MergesMany ? 1 : 0);
            }
            return used;
        }
    }

    /// <summary>The counters of a list.</summary>
    public nint Tickets(int list) => _tickets.Value + list * TicketsPerList * sizeof(int);

    /// <summary>The slopes in device memory; 0 when there are none.</summary>
    public nint Slopes(ReadOnlySpan<float> slopes)
    {
        if (slopes.IsEmpty) return 0;
        nint address = _slopes.Reserve(slopes.Length * sizeof(float));
        if (!slopes.SequenceEqual(_sentSlopes))
        {
            device.Upload(address, slopes);
            _sentSlopes = slopes.ToArray();
        }
        return address;
    }

    public void Dispose()
    {
        _lists.Dispose();
        _parts.Dispose();
        _slopes.Dispose();
        _tickets.Dispose();
    }

    private static (long PlanId, AttentionShape? Shape, bool IsScalar, bool IsScalarPrefix, CudaKvCache? Cache, long Generation) KeyOf(
        AttentionPlan plan, AttentionShape shape, PageReading[] readings, CudaKvCache cache) =>
        (plan.Id, shape, readings[0].IsScalar, readings[^1].IsScalar, cache, cache.Generation);

    private static DeviceMemory ClearTickets(CudaDevice device)
    {
        DeviceMemory memory = device.Allocate(AttentionWork.MaxLists * TicketsPerList * sizeof(int));
        device.Clear(memory);
        return memory;
    }

    /// <summary>Gives each list of items of each wave its place; returns the end.</summary>
    private unsafe int PlaceItems()
    {
        int numLists = Work.NumLists;
        if (_itemOffsets.Length < Work.Waves.Count * numLists) _itemOffsets = new int[Work.Waves.Count * numLists];
        int end = 0;
        for (int i = 0; i < Work.Waves.Count * numLists; i++)
        {
            _itemOffsets[i] = end;
            int count = Work.Waves[i / numLists].Items[i % numLists].Count;
            if (count > 0) end = checked(end + Room(count * sizeof(AttentionItem)));
        }
        return end;
    }

    /// <summary>Room for so many bytes and often for more.</summary>
    private static int Room(int bytes) => checked((int)Math.Max(Alignment, BitOperations.RoundUpToPowerOf2((uint)bytes)));
}
