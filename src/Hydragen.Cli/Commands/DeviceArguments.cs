using System.CommandLine;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;

namespace Hydragen.Cli.Commands;

/// <summary>The option that says what computes.</summary>
internal static class DeviceArguments
{
    /// <summary>Names of devices.</summary>
    public const string Cpu = "cpu", Cuda = "cuda";

    public static Option<string> MakeDevice() => Values.Choice("--device", "What computes: the processor, or an NVIDIA GPU.", Cpu, Cpu, Cuda);

    /// <summary>Opens the backend of a device.</summary>
    /// <exception cref="PlatformNotSupportedException">This machine has no such device; the message says what is missing.</exception>
    public static IAttentionBackend CreateBackend(string device, int? numThreads) =>
        device == Cuda ? new CudaBackend() : new CpuBackend(new CpuOptions { NumThreads = numThreads });
}
