using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The work lists of a plan in device memory; compiled and sent when the plan, the heads or the cache change.</summary>
internal sealed class DeviceWork(CudaDevice device, long maxWorkspaceBytes) : IDisposable
{
    private const int Alignment = 256;

    // Two counters for each class of items, which the kernels leave at zero.
    private const int TicketsPerClass = 2;

    private readonly DeviceScratch _lists = new(device), _parts = new(device), _slopes = new(device);
    private readonly DeviceMemory _tickets = ClearTickets(device);
    private float[] _sentSlopes = [];
    private (long PlanId, AttentionShape? Shape, bool IsScalar, CudaKvCache? Cache) _key;
    private byte[] _staging = [];

    /// <summary>The host's side.</summary>
    public AttentionWork Work { get; } = new(device.Rates, maxWorkspaceBytes);

    public nint Items { get; private set; }

    /// <summary>For each wave and <see cref="ItemClass"/> the number of items.</summary>
    public nint NumItems { get; private set; }

    public nint Pages { get; private set; }

    public nint RowPositions { get; private set; }

    public nint PartSlots { get; private set; }

    public nint MergeRows { get; private set; }

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

        ReadOnlySpan<byte> items = MemoryMarshal.AsBytes(Work.Items), positions = MemoryMarshal.AsBytes(plan.RowPositions);
        ReadOnlySpan<byte> slots = MemoryMarshal.AsBytes(Work.PartSlots), rows = MemoryMarshal.AsBytes(Work.MergeRows);
        int pagesOffset = Align(items.Length), positionsOffset = pagesOffset + Align(plan.PageTable.Length * sizeof(ulong));
        int slotsOffset = positionsOffset + Align(positions.Length), rowsOffset = slotsOffset + Align(slots.Length);
        int countsOffset = rowsOffset + Align(rows.Length), size = countsOffset + Work.Waves.Count * AttentionKernels.NumClasses * sizeof(int);
        if (_staging.Length < size) _staging = new byte[Math.Max(size, _staging.Length * 2)];
        items.CopyTo(_staging);
        Span<nint> pages = MemoryMarshal.Cast<byte, nint>(_staging.AsSpan(pagesOffset))[..plan.PageTable.Length];
        for (int i = 0; i < pages.Length; i++) pages[i] = cache.PageAddress(plan.PageTable[i]);
        positions.CopyTo(_staging.AsSpan(positionsOffset));
        slots.CopyTo(_staging.AsSpan(slotsOffset));
        rows.CopyTo(_staging.AsSpan(rowsOffset));
        Span<int> counts = MemoryMarshal.Cast<byte, int>(_staging.AsSpan(countsOffset));
        for (int wave = 0; wave < Work.Waves.Count; wave++)
        {
            for (int i = 0; i < AttentionKernels.NumClasses; i++) counts[wave * AttentionKernels.NumClasses + i] = Work.Waves[wave].Items[i].Count;
        }

        nint lists = _lists.Reserve(size);
        device.Upload<byte>(lists, _staging.AsSpan(0, size));
        (Items, Pages, RowPositions, PartSlots, MergeRows) =
            (lists, lists + pagesOffset, lists + positionsOffset, lists + slotsOffset, lists + rowsOffset);
        NumItems = lists + countsOffset;
        PartOutput = _parts.Reserve(AttentionWork.BytesPerSlot(shape) * Work.NumSlots);
        PartSums = PartOutput + (nint)((long)Work.NumSlots * shape.NumHeads * shape.HeadDim * sizeof(float));
        _key = (plan.Id, shape, isScalar, cache);
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

    private static int Align(int bytes) => checked(bytes + Alignment - 1) / Alignment * Alignment;
}
