namespace Hydragen.Cuda;

/// <summary>
/// Pinned memory through which small copies travel to the device, so that the host does not wait for the stream. Each copy gets the next
/// piece; the host waits only when it comes to a part whose copies of the round before are not done.
/// </summary>
internal sealed class UploadRing(CudaDevice device) : IDisposable
{
    /// <summary>The largest copy.</summary>
    public const int MaxBytes = 1 << 20;

    private const int NumParts = 4, PartBytes = 2 << 20, Alignment = 256;

    private readonly CudaEvent?[] _sent = new CudaEvent?[NumParts];
    private HostMemory? _memory;
    private int _part, _next;

    /// <summary>Pinned memory that stays untouched until a copy from it, put into the stream before the next call, is done.</summary>
    public Span<byte> Take(int bytes)
    {
        _memory ??= new HostMemory(device.Context, NumParts * PartBytes);
        if (_next > PartBytes - bytes)
        {
            (_sent[_part] ??= new CudaEvent(device.Context)).Record(device.Stream);
            _part = (_part + 1) % NumParts;
            _next = 0;
            _sent[_part]?.Synchronize();
        }
        Span<byte> piece = _memory.Span.Slice(_part * PartBytes + _next, bytes);
        _next += (bytes + Alignment - 1) / Alignment * Alignment;
        return piece;
    }

    public void Dispose()
    {
        _memory?.Dispose();
        foreach (CudaEvent? sent in _sent) sent?.Dispose();
    }
}
