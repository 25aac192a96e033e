using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>
/// Whether this process may use the tile unit: the processor has it (CPUID), and the kernel grants it. Without permission the first
/// tile instruction would kill the process, so nothing emits or runs one before <see cref="WhyNot"/> was asked.
/// </summary>
internal static partial class AmxSupport
{
    private const int ArchPrctl = 158, RequestPermission = 0x1023, TileData = 18;

    private static readonly Lazy<string?> Process = new(Find);

    /// <summary>Why tiles cannot be used, or null. Asks the kernel for permission on first use; threads made before and after have it.</summary>
    public static string? WhyNot => Process.Value;

    private static string? Find()
    {
        if (!ExecutableMemory.IsSupported) return "generated code runs on Linux on x64 only";
        if (!ProcessorFeatures.HasAvx512Bf16 || !ProcessorFeatures.HasAmxBf16) return "the processor has no AMX with BF16";
        try
        {
            return SystemCall(ArchPrctl, RequestPermission, TileData) == 0
                ? null : $"the kernel does not permit AMX (errno {Marshal.GetLastPInvokeError()})";
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
            return "the C library has no entry for system calls";
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint code, nint feature);
}
