namespace Hydragen.Cuda;

/// <summary>Counts the memory that is allocated on a device. Thread-safe: finalizers free memory too.</summary>
internal sealed class MemoryUsage
{
    private long _bytes;

    /// <summary>Bytes.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Adds what was allocated, or subtracts what was freed.</summary>
    public void Add(long bytes) => Interlocked.Add(ref _bytes, bytes);
}
