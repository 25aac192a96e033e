using System.Runtime.InteropServices;

namespace Hydragen.Cli.Bench;

/// <summary>Arrays on large pages, as the CPU backend's own memory lies, so that reads of both pay the same for address translation.</summary>
internal static class LargeArray
{
    private const long PageBytes = 2 << 20;
    private const int AdviseHugePages = 14;

    /// <summary>An array that nobody has touched yet and that never moves.</summary>
    public static float[] Allocate(int length)
    {
        float[] array = GC.AllocateUninitializedArray<float>(length, pinned: true);
        if (OperatingSystem.IsLinux())
        {
            long start = Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
            long first = (start + PageBytes - 1) / PageBytes * PageBytes;
            long bytes = start + (long)length * sizeof(float) - first;

            // Only advice: refusal changes nothing.
            if (bytes > 0) _ = Advise((nint)first, (nint)bytes, AdviseHugePages);
        }
        return array;
    }

    [DllImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Advise(nint address, nint length, int advice);
}
