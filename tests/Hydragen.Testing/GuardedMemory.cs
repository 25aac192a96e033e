using System.Runtime.InteropServices;

namespace Hydragen.Testing;

/// <summary>
/// Memory with an inaccessible page before and one behind it, flush against one of them, so that an access outside ends the process.
/// Linux only.
/// </summary>
public sealed unsafe partial class GuardedMemory : IDisposable
{
    private const int NoAccess = 0, ReadWrite = 3, PrivateAnonymous = 0x22;
    private const int BadAddress = 14;

    private readonly nuint _mappedSize;
    private byte* _mapping;

    /// <summary>Maps fresh memory of zeros.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="flushToEnd">Whether the last byte (or else the first) borders on a guard page.</param>
    public GuardedMemory(nuint size, bool flushToEnd)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint inner = (Math.Max(1, size) + page - 1) / page * page;
        _mappedSize = inner + 2 * page;
        _mapping = (byte*)Map(0, _mappedSize, NoAccess, PrivateAnonymous, -1, 0);
        if ((nint)_mapping == -1) throw new InsufficientMemoryException($"{_mappedSize} bytes could not be mapped.");
        if (Protect((nint)(_mapping + page), inner, ReadWrite) != 0) throw new InvalidOperationException("The protection could not be changed.");
        Pointer = _mapping + page + (flushToEnd ? inner - size : 0);
    }

    /// <summary>Whether this system can guard memory; otherwise say so and skip the test.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux();

    /// <summary>The first byte.</summary>
    public byte* Pointer { get; }

    /// <summary>Asks the kernel whether a byte can be read.</summary>
    public static bool IsReadable(byte* address) => Access((nint)address, 0) == 0 || Marshal.GetLastPInvokeError() != BadAddress;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_mapping == null) return;
        _ = Unmap((nint)_mapping, _mappedSize);
        _mapping = null;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "access", SetLastError = true)]
    private static partial int Access(nint path, int mode);
}
