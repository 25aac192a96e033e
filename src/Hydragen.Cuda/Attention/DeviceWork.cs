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

    // Two counters for each class of items, which the kernels leave at zero.
    private const int TicketsPerClass = 2;

    // Of each class of a wave how many items start a task, and how many rows are merged.
    private const int CountsPerWave = AttentionKernels.NumClasses + 1;

    private readonly DeviceScratch _lists = new(device), _parts = new(device), _slopes = new(device);
    private readonly DeviceMemory _tickets = ClearTickets(device);
    private float[] _sentSlopes = [];
    private (long PlanId, AttentionShape? Shape, bool IsScalar, CudaKvCache? Cache) _key;
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

    /// <summary>Makes the lists those of a plan.</summary>
    /// <exception cref="ArgumentException">The plan uses a page that the cache does not have.</exception>
    public void Prepare(AttentionPlan plan, AttentionShape shape, int[] vectorsPerItem, bool isScalar, CudaKvCache cache)
    {
        if (_key == (plan.Id, shape, isScalar, cache)) return;
        _key = default;
        Work.Compile(plan, shape, cache.Shape.ElementType, vectorsPerItem, isScalar);
        if (Work.MaxPage >= cache.NumPages)
            throw new ArgumentException($"The plan uses page {Work.MaxPage}, but the cache has {cache.NumPages} pages.", nameof(plan));

        ReadOnlySpan<byte> positions = MemoryMarshal.AsBytes(plan.RowPositions);
        ReadOnlySpan<byte> slots = MemoryMarshal.AsBytes(Work.PartSlots), rows = MemoryMarshal.AsBytes(Work.MergeRows);
        int pagesOffset = PlaceItems(), positionsOffset = pagesOffset + Room(plan.PageTable.Length * sizeof(ulong));
        int slotsOffset = positionsOffset + Room(positions.Length), rowsOffset = slotsOffset + Room(slots.Length);
        int countsOffset = rowsOffset + Room(rows.Length), size = countsOffset + Room(Work.Waves.Count * CountsPerWave * sizeof(int));
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
            for (int i = 0; i < AttentionKernels.NumClasses; i++)
            {
                ItemRange range = wave.Items[i];
                MemoryMarshal.AsBytes(Work.Items.Slice(range.First, range.Count)).CopyTo(_staging.AsSpan(_itemOffsets[index * AttentionKernels.NumClasses + i]));
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
        _key = (plan.Id, shape, isScalar, cache);
    }

    /// <summary>Device address of the items of a class.</summary>
    public nint Items(int wave, ItemClass itemClass) => _items + _itemOffsets[wave * AttentionKernels.NumClasses + (int)itemClass];

    /// <summary>Device address of their number.</summary>
    public nint NumItems(int wave, ItemClass itemClass) => _counts + (wave * CountsPerWave + (int)itemClass) * sizeof(int);

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
        for (int wave = 0; wave < Work.Waves.Count; wave++)
        {
            for (int i = 0; i < AttentionKernels.NumClasses; i++)
            {
                key.Add(Bound(Work.Waves[wave].Items[i].NumTasks));
                key.Add(_itemOffsets[wave * AttentionKernels.NumClasses + i]);
            }
            key.Add(Bound(Work.Waves[wave].NumMergeRows));
            key.Add(Work.Waves[wave].FirstMergeRow);
            key.Add(Work.Waves[wave].MergesMany ? 1 : 0);
        }
    }

    /// <summary>Which kernels compute the plan: a bit for each class of items, and two for the merge.</summary>
    public long UsedKernels
    {
        get
        {
            long used = 0;
            foreach (AttentionWave wave in Work.Waves)
            {
                for (int i = 0; i < AttentionKernels.NumClasses; i++)
                {
                    if (wave.Items[i].Count > 0) used |= 1L << i;
                }
                if (wave.NumMergeRows > 0) used |= 1L << AttentionKernels.NumClasses + (wave.MergesMany ? 1 : 0);
            }
            return used;
        }
    }

    /// <summary>The counters of a class.</summary>
    public nint Tickets(ItemClass itemClass) => _tickets.Value + (int)itemClass * TicketsPerClass * sizeof(int);

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

    private static DeviceMemory ClearTickets(CudaDevice device)
    {
        DeviceMemory memory = device.Allocate(AttentionKernels.NumClasses * TicketsPerClass * sizeof(int));
        device.Clear(memory);
        return memory;
    }

    /// <summary>Gives each class of items of each wave its place; returns the end.</summary>
    private unsafe int PlaceItems()
    {
        if (_itemOffsets.Length < Work.Waves.Count * AttentionKernels.NumClasses) _itemOffsets = new int[Work.Waves.Count * AttentionKernels.NumClasses];
        int end = 0;
        for (int i = 0; i < Work.Waves.Count * AttentionKernels.NumClasses; i++)
        {
            _itemOffsets[i] = end;
            int count = Work.Waves[i / AttentionKernels.NumClasses].Items[i % AttentionKernels.NumClasses].Count;
            if (count > 0) end = checked(end + Room(count * sizeof(AttentionItem)));
        }
        return end;
    }

    /// <summary>Room for so many bytes and often for more.</summary>
    private static int Room(int bytes) => checked((int)Math.Max(Alignment, BitOperations.RoundUpToPowerOf2((uint)bytes)));
}
