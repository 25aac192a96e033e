using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The variants of the kernels that add ranks up.</summary>
internal static class PeerKernels
{
    /// <summary>Elements that a thread has at a time.</summary>
    public const int VectorLength = 8;

    private const int NumThreads = 512, MaxThreads = 1024;

    /// <summary>Adds numbers up.</summary>
    public static KernelVariant Sum(ElementType type, int numRanks) =>
        new("peer_sum", $"NUMBERS={(int)type} RANKS={numRanks} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Adds numbers up, then adds them to the residual stream and normalises that.</summary>
    public static KernelVariant Norm(ElementType input, ElementType output, int hiddenSize, int numRanks)
    {
        // Two vectors a thread: blocks small enough that those of all rows are resident, four a multiprocessor with 512 rows on 132 of them.
        int numVectors = hiddenSize / VectorLength, numThreads = Math.Min(MaxThreads, (numVectors + 63) / 64 * 32);
        int items = (numVectors + numThreads - 1) / numThreads;
        return new KernelVariant(
            "peer_norm", $"INPUT={(int)input} OUTPUT={(int)output} ITEMS={items} RANKS={numRanks} THREADS={numThreads}", numThreads, 0);
    }
}
