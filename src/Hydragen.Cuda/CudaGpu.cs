namespace Hydragen.Cuda;

/// <summary>A GPU that the driver sees.</summary>
/// <param name="Name">As its maker calls it.</param>
/// <param name="ComputeCapability">Generation and revision, such as <c>9.0</c>.</param>
/// <param name="NumMultiprocessors">Streaming multiprocessors.</param>
/// <param name="MemoryBytes">Memory in all.</param>
public sealed record CudaGpu(string Name, Version ComputeCapability, int NumMultiprocessors, long MemoryBytes)
{
    /// <summary>How fast it works, for plans; an H200 of that size unless something else is known.</summary>
    internal DeviceRates Rates { get; init; } = new(NumMultiprocessors, 5.5e12, 4.4e12);
}
