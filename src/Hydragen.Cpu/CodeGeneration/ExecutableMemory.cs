using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>
/// Machine code in memory of its own. Never writable and executable at once: it is mapped writable, filled, then made executable for
/// good. Unmapped by <see cref="SafeHandle.Dispose()"/> or, when forgotten, by the finalizer.
/// </summary>
internal sealed unsafe partial class ExecutableMemory : SafeHandle
{
    private const int Read = 1, Write = 2, Execute = 4, PrivateAnonymous = 0x22;

    private readonly nuint _size;

    /// <summary>Copies machine code.</summary>
    /// <exception cref="PlatformNotSupportedException">The system does not hand out executable memory.</exception>
    public ExecutableMemory(ReadOnlySpan<byte> code)
        : base(-1, ownsHandle: true)
    {
        if (!IsSupported) throw new PlatformNotSupportedException("generated code runs on Linux on x64 only");
        _size = (nuint)Math.Max(1, code.Length);
        SetHandle(Map(0, _size, Read | Write, PrivateAnonymous, -1, 0));
        if (IsInvalid) throw new PlatformNotSupportedException($"{_size} bytes could not be mapped (errno {Marshal.GetLastPInvokeError()})");
        code.CopyTo(new Span<byte>((void*)handle, code.Length));
        if (Protect(handle, _size, Read | Execute) == 0) return;
        int error = Marshal.GetLastPInvokeError();
        Dispose();
        throw new PlatformNotSupportedException($"the system refuses executable memory (errno {error})");
    }

    /// <summary>Whether this kind of system is known.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    public override bool IsInvalid => handle == -1;

    /// <summary>The first instruction.</summary>
    /// <exception cref="ObjectDisposedException">The code was freed.</exception>
    public nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed || IsInvalid, this);
            return handle;
        }
    }

    protected override bool ReleaseHandle() => Unmap(handle, _size) == 0;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);
}
