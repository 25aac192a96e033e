using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The driver's <c>CUipcMemHandle</c>: what another process of the host knows an allocation by.</summary>
internal unsafe struct MemoryHandle
{
    /// <summary>Numbers of 64 bits that it consists of.</summary>
    public const int NumWords = 8;

    private fixed long _words[NumWords];

    /// <summary>All of it as numbers, and numbers as a handle.</summary>
    public static Span<long> WordsOf(ref MemoryHandle handle) => MemoryMarshal.Cast<MemoryHandle, long>(new Span<MemoryHandle>(ref handle));
}
