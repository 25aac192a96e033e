namespace Hydragen.Core;

/// <summary>
/// Memory of a backend, opaque to its users. Uninitialised when allocated. Operators read and write it in the order in which
/// they are called.
/// </summary>
public abstract class DeviceBuffer : IDisposable
{
    /// <summary>Creates a buffer description.</summary>
    /// <exception cref="ArgumentException">The type is one that only KV caches hold.</exception>
    protected DeviceBuffer(ElementType elementType, long length)
    {
        if (elementType.IsByte()) throw new ArgumentException($"Buffers hold f32, bf16 or f16; only KV caches hold {elementType.ShortName()}.", nameof(elementType));
        ElementType = elementType;
        Length = length;
    }

    /// <summary>How an element is stored.</summary>
    public ElementType ElementType { get; }

    /// <summary>Elements.</summary>
    public long Length { get; }

    /// <summary>Stores FP32 values from element <paramref name="offset"/> on, rounding to the buffer's type.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the buffer.</exception>
    public abstract void Upload(ReadOnlySpan<float> source, long offset = 0);

    /// <summary>Reads values from element <paramref name="offset"/> on, widened to FP32; waits for the operators that write them.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the buffer.</exception>
    public abstract void Download(Span<float> destination, long offset = 0);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the memory.</summary>
    protected abstract void Dispose(bool disposing);
}
