using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Dense elements in native memory.</summary>
internal sealed unsafe class CpuBuffer(NativeAllocator allocator, ElementConverter converter, ElementType elementType, long length)
    : DeviceBuffer(elementType, length)
{
    private readonly NativeBlock _block = allocator.Allocate(
        checked((nuint)Math.Max(1, length) * (nuint)elementType.SizeInBytes()), zeroed: false);

    /// <summary>The first element.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was freed.</exception>
    public byte* Pointer => _block.Pointer;

    public override void Upload(ReadOnlySpan<float> source, long offset = 0)
    {
        byte* pointer = Range(source.Length, offset);
        fixed (float* values = source) converter.FromSingle(values, pointer, ElementType, source.Length);
    }

    public override void Download(Span<float> destination, long offset = 0)
    {
        byte* pointer = Range(destination.Length, offset);
        fixed (float* values = destination) converter.ToSingle(pointer, ElementType, values, destination.Length);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _block.Dispose();
    }

    private byte* Range(int count, long offset)
    {
        byte* pointer = Pointer;
        if (offset < 0 || offset > Length - count)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), offset,
                $"Elements {offset} to {offset + count - 1} are not all inside a buffer of {Length}.");
        }
        return pointer + offset * ElementType.SizeInBytes();
    }
}
