using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The kernels that move tokens of one head size and element type into and within a cache.</summary>
internal sealed class CacheKernels(int headDim, ElementType storage)
{
    /// <summary>Threads of a block.</summary>
    public const int NumThreads = 256;

    /// <summary>Stores tokens; <see cref="ThreadsPerHead"/> threads store a head of a token.</summary>
    public KernelVariant Write { get; } = new("cache_write", AttentionKernels.Defines(headDim, storage), NumThreads, 0);

    /// <summary>Copies tokens between pages.</summary>
    public KernelVariant Copy { get; } = new("cache_copy", AttentionKernels.Defines(headDim, storage), NumThreads, 0);

    /// <summary>Finds largest magnitudes; not of bytes.</summary>
    public KernelVariant Largest { get; } = new("cache_largest", AttentionKernels.Defines(headDim, storage), NumThreads, 0);

    /// <summary>A warp with bytes, which have to find the largest magnitude; else a thread has 16 bytes.</summary>
    public int ThreadsPerHead { get; } = storage.IsByte() ? 32 : headDim * storage.SizeInBytes() / 16;
}
