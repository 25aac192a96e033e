namespace Hydragen.Cpu;

/// <summary>A native block that grows to what its users ask for; the content does not survive growth.</summary>
internal sealed unsafe class Scratch(NativeAllocator allocator) : IDisposable
{
    private NativeBlock? _block;

    /// <summary>At least so many FP32 elements, uninitialised.</summary>
    public float* Floats(long count) => (float*)Bytes(count * sizeof(float));

    /// <summary>At least so many bytes, uninitialised.</summary>
    public byte* Bytes(long count)
    {
        if (_block is null || _block.Size < (nuint)count)
        {
            _block?.Dispose();
            _block = null;
            _block = allocator.Allocate((nuint)Math.Max(count, 64), zeroed: false);
        }
        return _block.Pointer;
    }

    public void Dispose() => _block?.Dispose();
}
