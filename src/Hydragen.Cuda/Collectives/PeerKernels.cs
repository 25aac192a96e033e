using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The variants of the kernels that add ranks up.</summary>
internal static class PeerKernels
{
    /// <summary>Elements that a thread has at a time.</summary>
    public const int VectorLength = 8;

    private const int NumThreads = 512, MaxThreads = 1024, NormThreads = 1280;

    /// <summary>Adds numbers up.</summary>
    public static KernelVariant Sum(ElementType type, int numRanks) =>
        new("peer_sum", $"NUMBERS={(int)type} RANKS={numRanks} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Adds numbers up, then adds them to the residual stream and normalises that.</summary>
    public static KernelVariant Norm(ElementType input, ElementType output, int hiddenSize, int numRanks)
    {
        int numVectors = hiddenSize / VectorLength, numThreads = Math.Min(MaxThreads, (numVectors + 31) / 32 * 32);
        int items = (numVectors + numThreads - 1) / numThreads;
        return new KernelVariant(
            "peer_norm", $"INPUT={(int)input} OUTPUT={(int)output} ITEMS={items} RANKS={numRanks} THREADS={numThreads}", numThreads, 0);
    }

    /// <summary>
    /// Blocks of <see cref="Norm"/> that a multiprocessor has at most: with many rows each sends several before it waits for the first, so that
    /// rows are normalised while others are on their way.
    /// </summary>
    public static int NormBlocks(int numThreads) => Math.Max(2, NormThreads / numThreads);
}
