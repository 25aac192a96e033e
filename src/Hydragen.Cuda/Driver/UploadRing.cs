namespace Hydragen.Cuda;

/// <summary>
/// Pinned memory through which small copies travel to the device, so that the host does not wait for the stream. Each copy gets the next
/// piece; the host waits only when it comes round again.
/// </summary>
internal sealed class UploadRing(CudaDevice device) : IDisposable
{
    /// <summary>The largest copy.</summary>
    public const int MaxBytes = 1 << 20;

    private const int RingBytes = 8 << 20, Alignment = 256;

    private HostMemory? _memory;
    private int _next;

    /// <summary>Pinned memory that stays untouched until a copy from it, put into the stream before the next call, is done.</summary>
    public Span<byte> Take(int bytes)
    {
        _memory ??= new HostMemory(device.Context, RingBytes);
        if (_next > RingBytes - bytes)
        {
            device.Synchronize();
            _next = 0;
        }
        Span<byte> piece = _memory.Span.Slice(_next, bytes);
        _next += (bytes + Alignment - 1) / Alignment * Alignment;
        return piece;
    }

    public void Dispose() => _memory?.Dispose();
}
