using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The kernels that move tokens of one head size and element type into and within a cache.</summary>
internal sealed class CacheKernels(int headDim, ElementType storage)
{
    /// <summary>Threads of a block.</summary>
    public const int NumThreads = 256;

    /// <summary>Stores tokens; a thread stores <see cref="ElementsPerThread"/> elements of a key and of a value.</summary>
    public KernelVariant Write { get; } = new("cache_write", AttentionKernels.Defines(headDim, storage), NumThreads, 0);

    /// <summary>Copies tokens between pages.</summary>
    public KernelVariant Copy { get; } = new("cache_copy", AttentionKernels.Defines(headDim, storage), NumThreads, 0);

    /// <summary>16 bytes.</summary>
    public int ElementsPerThread { get; } = 16 / storage.SizeInBytes();
}
