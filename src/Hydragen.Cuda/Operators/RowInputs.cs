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
    private int _numRows = -1;

    /// <summary>Device address of <c>[numRows]</c> page addresses plus slots.</summary>
    public nint Tokens { get; private set; }

    /// <summary>Device address of <c>[numRows]</c> addresses of factors.</summary>
    public nint Factors { get; private set; }

    /// <summary>Makes the arrays those of some rows; their arguments are checked.</summary>
    public void Prepare(ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, CudaKvCache cache, DeviceRotaryTable? table)
    {
        int numRows = positions.Length;
        if (ReferenceEquals(_cache, cache) && ReferenceEquals(_table, table) && numRows == _numRows
            && positions.SequenceEqual(_positions.AsSpan(0, numRows)) && slots.SequenceEqual(_slots.AsSpan(0, numRows)))
        {
            return;
        }
        _numRows = -1;
        if (_positions.Length < numRows)
        {
            int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)numRows);
            _positions = new int[capacity];
            _slots = new int[capacity];
            _addresses = new nint[2 * capacity];
        }
        for (int row = 0; row < numRows; row++)
        {
            // A page starts at a multiple of its slots, so one number holds its address and a slot.
            _addresses[row] = slots[row] < 0 ? 0 : cache.PageAddress(slots[row] / KvCache.PageSize) + slots[row] % KvCache.PageSize;
            _addresses[numRows + row] = table?.Factors(positions[row]) ?? 0;
        }
        Tokens = _memory.Reserve((long)_addresses.Length * sizeof(ulong));
        Factors = Tokens + numRows * sizeof(ulong);
        device.Upload<nint>(Tokens, _addresses.AsSpan(0, 2 * numRows));
        positions.CopyTo(_positions);
        slots.CopyTo(_slots);
        (_cache, _table, _numRows) = (cache, table, numRows);
    }

    public void Dispose() => _memory.Dispose();
}
