using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>A piece of native memory, freed by <see cref="Dispose()"/> or, when forgotten, by the finalizer.</summary>
internal abstract unsafe class NativeBlock : IDisposable
{
    private byte* _pointer;

    /// <summary>Takes ownership of memory.</summary>
    protected NativeBlock(byte* pointer, nuint size)
    {
        _pointer = pointer;
        Size = size;
    }

    ~NativeBlock() => Release();

    /// <summary>Bytes.</summary>
    public nuint Size { get; }

    /// <summary>The first byte.</summary>
    /// <exception cref="ObjectDisposedException">The block was freed.</exception>
    public byte* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_pointer == null, this);
            return _pointer;
        }
    }

    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Returns the memory to where it came from.</summary>
    protected abstract void Free(byte* pointer);

    private void Release()
    {
        byte* pointer = _pointer;
        _pointer = null;
        if (pointer != null) Free(pointer);
    }
}

/// <summary>Where the backend gets all of its native memory; tests put another in its place.</summary>
internal abstract class NativeAllocator
{
    /// <summary>Aligned memory of the C runtime.</summary>
    public static NativeAllocator Default { get; } = new AlignedAllocator();

    /// <summary>Allocates at least one byte.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="zeroed">Whether the content must be zero.</param>
    /// <exception cref="InsufficientMemoryException">There is not so much memory.</exception>
    public abstract NativeBlock Allocate(nuint size, bool zeroed);

    private sealed unsafe class AlignedAllocator : NativeAllocator
    {
        private const nuint Alignment = 64;

        // Zeroed memory comes from calloc, so that large fresh blocks are not touched before their first use.
        public override NativeBlock Allocate(nuint size, bool zeroed)
        {
            nuint padded = checked(size + Alignment);
            byte* origin;
            try
            {
                origin = (byte*)(zeroed ? NativeMemory.AllocZeroed(padded) : NativeMemory.Alloc(padded));
            }
            catch (OutOfMemoryException)
            {
                throw new InsufficientMemoryException($"{size} bytes of memory could not be allocated.");
            }
            return new AlignedBlock(origin, size);
        }

        private sealed class AlignedBlock(byte* origin, nuint size)
            : NativeBlock((byte*)(((nuint)origin + Alignment - 1) & ~(Alignment - 1)), size)
        {
            private readonly nuint _origin = (nuint)origin;

            protected override void Free(byte* pointer) => NativeMemory.Free((void*)_origin);
        }
    }
}
