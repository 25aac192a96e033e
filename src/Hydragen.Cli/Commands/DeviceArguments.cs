using System.CommandLine;
using Hydragen.Cli.Ranks;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;

namespace Hydragen.Cli.Commands;

/// <summary>The option that says what computes.</summary>
internal static class DeviceArguments
{
    /// <summary>Names of devices.</summary>
    public const string Cpu = "cpu", Cuda = "cuda";

    /// <summary>The option for the type of prefixes.</summary>
    public const string PrefixKvTypeName = "--prefix-kv-type";

    private const string Automatic = "auto";

    public static Option<string> MakeDevice() => Values.Choice("--device", "What computes: the processor, or an NVIDIA GPU.", Cpu, Cpu, Cuda);

    public static Option<string> MakeComputeType() => Values.Choice(
        "--compute-type", "Type of activations; auto is f32 on the processor, and the type of the weights on a GPU.", Automatic,
        [Automatic, .. ElementTypes.Dense.Select(type => type.ShortName())]);

    public static Option<string> MakeKvType() => Values.Choice(
        "--kv-type", "Type of KV memory; auto is that of the activations. int8 and fp8 take half of the memory of bf16, and logits differ a little.", Automatic,
        [Automatic, .. ElementTypes.All.Select(type => type.ShortName())]);

    /// <param name="copied">How copies are asked for, which have no prefixes of their own.</param>
    public static Option<string> MakePrefixKvType(string copied = "--sharing copied") => Values.Choice(
        PrefixKvTypeName, $"Type of the keys and values of prefixes, which all sequences read; auto is that of all others. Does not go with {copied}.", Automatic,
        [Automatic, .. ElementTypes.All.Select(type => type.ShortName())]);

    /// <param name="source">What the scales follow from.</param>
    public static Option<string> MakeKvScaling(string source = "the beginning of the first prompt") => Values.Choice(
        "--kv-scaling", $"Scales of fp8 keys and values, for models with numbers beyond its range: powers of two, for each head, that follow from {source}.",
        KvScaling.None.Name(), KvScaling.None.Name(), KvScaling.Calibrated.Name());

    /// <summary>The scaling that was asked for.</summary>
    public static KvScaling ParseKvScaling(string? name) => name == KvScaling.Calibrated.Name() ? KvScaling.Calibrated : KvScaling.None;

    /// <summary>The type that was asked for, or null for that of the activations, or of all KV memory.</summary>
    public static ElementType? ParseKvType(string? name) => name is null or Automatic ? null : ElementTypes.Parse(name);

    /// <summary>The type that was asked for, or null to leave the choice to the backend.</summary>
    public static ElementType? ParseComputeType(string? name) => name is null or Automatic ? null : ElementTypes.Dense.First(type => type.ShortName() == name);

    /// <summary>Refuses weights that a device cannot keep.</summary>
    /// <exception cref="InputException">It cannot.</exception>
    public static void CheckWeightType(string device, WeightType weightType)
    {
        if (IsCuda(device) && weightType != WeightType.Model)
            throw new InputException($"--weight-type {weightType.Name()} needs --device {Cpu}; on a GPU, weights stay as the model stores them.");
    }

    public static bool IsCuda(string? device) => device == Cuda;

    /// <summary>Opens the backend of a device.</summary>
    /// <exception cref="PlatformNotSupportedException">This machine has no such device; the message says what is missing.</exception>
    public static IComputeBackend CreateBackend(string device, int? numThreads) =>
        IsCuda(device) ? new CudaBackend(new CudaOptions { DeviceIndex = RankSession.DeviceIndex })
            : new CpuBackend(new CpuOptions { NumThreads = RankSession.NumThreads(numThreads) });
}
