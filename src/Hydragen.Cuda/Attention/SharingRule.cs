using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>From how many tokens on a GPU reads a shared prefix once for all its sequences, for people; shorter ones are read with each.</summary>
internal static class SharingRule
{
    private const int MaxPrefix = 1 << 20, NumOwnTokens = 128;

    private static readonly int[] Batches = [4, 16, 64, 256];

    /// <summary>What <see cref="SegmentRoutes"/> decides for a usual shape.</summary>
    /// <param name="rates">The GPU's.</param>
    /// <param name="hasHopper">Whether it has Hopper's matrix instructions.</param>
    public static KernelChoice Of(DeviceRates rates, bool hasHopper)
    {
        var shape = new AttentionShape(32, 8, 128);
        int[] vectorsPerItem = new AttentionKernels(shape.HeadDim, ElementType.BFloat16, int.MaxValue, hasHopper).VectorsPerItem;
        var planner = new TreePlanner();
        var work = new AttentionWork(rates, AttentionWork.DefaultWorkspaceBytes);
        string bounds = string.Join(", ", Batches.Select(batch => $"{FirstShared(batch)} tokens for {batch}"));
        return new KernelChoice(
            "shared prefixes", "read once for all sequences, or with each where that is faster",
            $"32/8 heads of {shape.HeadDim}, {NumOwnTokens} own tokens: once from {bounds} sequences on");

        int FirstShared(int batch)
        {
            int prefix = 16;
            while (prefix < MaxPrefix && !IsShared(batch, prefix)) prefix *= 2;
            return prefix;
        }

        bool IsShared(int batch, int prefix)
        {
            PlanNode[] nodes = [new PlanNode(-1, 0, prefix, new int[(prefix + KvCache.PageSize - 1) / KvCache.PageSize])];
            var sequences = new PlanSequence[batch];
            Array.Fill(sequences, new PlanSequence(0, 1, prefix, NumOwnTokens, new int[NumOwnTokens / KvCache.PageSize]));
            work.Compile(planner.Plan(nodes, sequences, SharingMode.Hydragen), shape, ElementType.BFloat16, vectorsPerItem, isScalar: false);
            return work.Sharing.NumShared > 0;
        }
    }
}
