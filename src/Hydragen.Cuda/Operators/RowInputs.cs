using System.Numerics;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Where each row of a step stores its keys and values and finds its rotation, in device memory. All layers of a step ask for the same, and
/// it is sent once.
/// </summary>
internal sealed class RowInputs(CudaDevice device) : IDisposable
{
    private readonly DeviceScratch _memory = new(device);
    private CudaKvCache? _cache;
    private DeviceRotaryTable? _table;
    private int[] _positions = [], _slots = [];
    private nint[] _addresses = [];
    private long _generation;
    private int _numRows = -1;

    /// <summary>Device address of <c>[numRows]</c> page addresses plus slots; 0 for rows that go nowhere. 0 when rows of a cache with two kinds of pages all go elsewhere.</summary>
    public nint Tokens { get; private set; }

    /// <summary>The same of rows that go to pages of prefixes, which <see cref="Tokens"/> leaves out; 0 when these have no type of their own, or there are none.</summary>
    public nint PrefixTokens { get; private set; }

    /// <summary>Device address of <c>[numRows]</c> addresses of factors.</summary>
    public nint Factors { get; private set; }

    /// <summary>Makes the arrays those of some rows; their arguments are checked.</summary>
    public void Prepare(ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, CudaKvCache cache, DeviceRotaryTable? table)
    {
        int numRows = positions.Length;
        if (ReferenceEquals(_cache, cache) && ReferenceEquals(_table, table) && numRows == _numRows && cache.Generation == _generation
            && positions.SequenceEqual(_positions.AsSpan(0, numRows)) && slots.SequenceEqual(_slots.AsSpan(0, numRows)))
        {
            return;
        }
        _numRows = -1;
        bool isMixed = cache.Shape.IsMixed, hasPrefixes = false, hasOthers = !isMixed;
        if (_positions.Length < numRows)
        {
            int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)numRows);
            _positions = new int[capacity];
            _slots = new int[capacity];
        }
        if (_addresses.Length < (isMixed ? 3 : 2) * _positions.Length) _addresses = new nint[(isMixed ? 3 : 2) * _positions.Length];
        for (int row = 0; row < numRows; row++)
        {
            // A page starts at a multiple of its slots, so one number holds its address and a slot.
            _addresses[row] = slots[row] < 0 ? 0 : cache.PageAddress(slots[row] / KvCache.PageSize) + slots[row] % KvCache.PageSize;
            _addresses[numRows + row] = table?.Factors(positions[row]) ?? 0;
            if (!isMixed) continue;
            _addresses[2 * numRows + row] = 0;
            if (slots[row] < 0) continue;
            bool isPrefix = cache.KindOf(slots[row] / KvCache.PageSize) == PageKind.Prefix;
            hasOthers |= !isPrefix;
            if (!isPrefix) continue;
            (_addresses[row], _addresses[2 * numRows + row]) = (0, _addresses[row]);
            hasPrefixes = true;
        }
        nint memory = _memory.Reserve((long)_addresses.Length * sizeof(ulong));
        Tokens = hasOthers ? memory : 0;
        Factors = memory + numRows * sizeof(ulong);
        PrefixTokens = hasPrefixes ? Factors + numRows * sizeof(ulong) : 0;
        device.Upload<nint>(memory, _addresses.AsSpan(0, (hasPrefixes ? 3 : 2) * numRows));
        positions.CopyTo(_positions);
        slots.CopyTo(_slots);
        (_cache, _table, _numRows, _generation) = (cache, table, numRows, cache.Generation);
    }

    public void Dispose() => _memory.Dispose();
}
