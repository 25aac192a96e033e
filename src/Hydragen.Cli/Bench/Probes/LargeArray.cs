using System.Runtime.InteropServices;

namespace Hydragen.Cli.Bench;

/// <summary>
/// Arrays that begin with a cache line and lie on large pages, as the CPU backend's own memory does, so that reads of both pay the
/// same for address translation.
/// </summary>
internal static class LargeArray
{
    private const long LineBytes = 64;
    private const long PageBytes = 2 << 20;
    private const int AdviseHugePages = 14;

    /// <summary>Memory that nobody has touched yet and that never moves.</summary>
    public static Memory<float> Allocate(int length)
    {
        const int Padding = (int)LineBytes / sizeof(float);
        float[] array = GC.AllocateUninitializedArray<float>(length + Padding, pinned: true);
        long start = Marshal.UnsafeAddrOfPinnedArrayElement(array, 0), bytes = (long)array.Length * sizeof(float);
        if (OperatingSystem.IsLinux()) PreferHugePages(start, bytes);
        return array.AsMemory((int)((RoundUp(start, LineBytes) - start) / sizeof(float)), length);
    }

    private static long RoundUp(long address, long multiple) => (address + multiple - 1) / multiple * multiple;

    // Only advice: refusal changes nothing.
    private static void PreferHugePages(long start, long bytes)
    {
        long first = RoundUp(start, PageBytes), end = start + bytes;
        if (first >= end) return;
        try
        {
            _ = Advise((nint)first, (nint)(end - first), AdviseHugePages);
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
        }
    }

    [DllImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Advise(nint address, nint length, int advice);
}
