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
internal abstract partial class NativeAllocator
{
    /// <summary>Aligned memory of the C runtime.</summary>
    public static NativeAllocator Default { get; } = new AlignedAllocator();

    /// <summary>Allocates at least one byte.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="zeroed">Whether the content must be zero.</param>
    /// <exception cref="InsufficientMemoryException">There is not so much memory.</exception>
    public abstract NativeBlock Allocate(nuint size, bool zeroed);

    private sealed unsafe partial class AlignedAllocator : NativeAllocator
    {
        private const nuint Alignment = 64;

        // Blocks of this size and more are worth the large pages of the system, which spare most address translations.
        private const nuint HugePageSize = 2 << 20;
        private const int AdviseHugePages = 14;

        // Zeroed memory comes from calloc, so that large fresh blocks are not touched before their first use.
        public override NativeBlock Allocate(nuint size, bool zeroed)
        {
            nuint alignment = size >= HugePageSize && OperatingSystem.IsLinux() ? HugePageSize : Alignment;
            nuint padded = checked(size + alignment);
            byte* origin;
            try
            {
                origin = (byte*)(zeroed ? NativeMemory.AllocZeroed(padded) : NativeMemory.Alloc(padded));
            }
            catch (OutOfMemoryException)
            {
                throw new InsufficientMemoryException($"{size} bytes of memory could not be allocated.");
            }
            byte* start = (byte*)(((nuint)origin + alignment - 1) & ~(alignment - 1));
            if (alignment == HugePageSize) PreferHugePages(start, size);
            return new AlignedBlock(origin, start, size);
        }

        // Only advice: refusal changes nothing.
        private static void PreferHugePages(byte* start, nuint size)
        {
            try
            {
                _ = Advise((nint)start, size, AdviseHugePages);
            }
            catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
            {
            }
        }

        [LibraryImport("libc", EntryPoint = "madvise")]
        private static partial int Advise(nint address, nuint length, int advice);

        private sealed class AlignedBlock(byte* origin, byte* start, nuint size) : NativeBlock(start, size)
        {
            private readonly nuint _origin = (nuint)origin;

            protected override void Free(byte* pointer) => NativeMemory.Free((void*)_origin);
        }
    }
}
