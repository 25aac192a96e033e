namespace Hydragen.Cuda;

/// <summary>A GPU that the driver sees.</summary>
/// <param name="Name">As its maker calls it.</param>
/// <param name="ComputeCapability">Generation and revision, such as <c>9.0</c>.</param>
/// <param name="NumMultiprocessors">Streaming multiprocessors.</param>
/// <param name="MemoryBytes">Memory in all.</param>
public sealed record CudaGpu(string Name, Version ComputeCapability, int NumMultiprocessors, long MemoryBytes);
