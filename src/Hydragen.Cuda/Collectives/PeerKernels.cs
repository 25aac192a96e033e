using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The variants of the kernels that add ranks up.</summary>
internal static class PeerKernels
{
    /// <summary>Elements that a thread has at a time.</summary>
    public const int VectorLength = 8;

    /// <summary>
    /// Blocks of <see cref="Norm"/> that a multiprocessor has at a time: each sends several rows before it waits for the first, so that rows are
    /// normalised while others are on their way.
    /// </summary>
    public const int NormBlocks = 2;

    // Vectors that a thread has of a row, unless it is longer.
    private const int NormItems = 1;

    private const int NumThreads = 512, MaxThreads = 1024;

    /// <summary>Adds numbers up.</summary>
    public static KernelVariant Sum(ElementType type, int numRanks) =>
        new("peer_sum", $"NUMBERS={(int)type} RANKS={numRanks} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Adds numbers up, then adds them to the residual stream and normalises that.</summary>
    public static KernelVariant Norm(ElementType input, ElementType output, int hiddenSize, int numRanks)
    {
        int numVectors = hiddenSize / VectorLength, numWarps = (numVectors + 32 * NormItems - 1) / (32 * NormItems), numThreads = Math.Min(MaxThreads, 32 * numWarps);
        int items = (numVectors + numThreads - 1) / numThreads;
        return new KernelVariant(
            "peer_norm", $"INPUT={(int)input} OUTPUT={(int)output} ITEMS={items} RANKS={numRanks} THREADS={numThreads}", numThreads, 0);
    }
}
