using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// The attention kernels of one head size and element type, compiled when they are first needed: block sizes and pages in flight
/// follow from the shared memory that a block may have.
/// </summary>
internal sealed class AttentionKernels
{
    /// <summary>Classes of items; one kernel each.</summary>
    public const int NumClasses = 4;

    private const int MergeWarps = 4, SequenceWarps = 4, ScalarWarps = 8, MaxNodeStages = 2;

    // One warp copies, the rest of its group of four gives its registers to two groups that multiply 64 vectors each.
    private const int HopperWarps = 12, HopperVectors = 128, MaxHopperStages = 3, BarriersPerStage = 4;

    // Two blocks of this size fit on one multiprocessor of the largest GPUs.
    private const int SequenceRingBytes = 96 << 10;

    /// <param name="headDim">Elements of a head.</param>
    /// <param name="storage">Element type of keys, values and, but for the scalar kernel, queries.</param>
    /// <param name="maxSharedBytes">Shared memory that a block may have.</param>
    /// <param name="hasHopper">Whether Hopper's matrix instructions may be used.</param>
    public AttentionKernels(int headDim, ElementType storage, int maxSharedBytes, bool hasHopper)
    {
        string defines = Defines(headDim, storage);
        Scalar = new KernelVariant("attention_scalar", defines, ScalarWarps * 32, ScalarWarps * headDim * sizeof(float));
        Merge = new KernelVariant("attention_merge", Defines(headDim, ElementType.Float32), MergeWarps * 32, 0);
        VectorsPerItem = [8, 64, 128, ScalarWarps];
        Sequence = Narrow = Wide = [];
        if (storage == ElementType.Float32) return;

        int pageBytes = (int)PageLayout.HeadBytes(headDim, storage);
        int stages = Math.Clamp(SequenceRingBytes / pageBytes, 2, 6);
        while (stages > 1 && stages * pageBytes > maxSharedBytes) stages--;
        Sequence = WithOptions("attention_sequence", $"{defines} STAGES={stages}", SequenceWarps, stages * pageBytes);
        Narrow = Node(4) ?? throw new PlatformNotSupportedException($"A head of {headDim} elements needs more shared memory than the {maxSharedBytes} bytes of this GPU.");
        Wide = (hasHopper && headDim is (64 or 128 or 256) ? Hopper() : null) ?? Node(8) ?? Narrow;
        if (ReferenceEquals(Wide, Narrow)) VectorsPerItem[(int)ItemClass.WideNode] = VectorsPerItem[(int)ItemClass.NarrowNode];

        KernelVariant[]? Hopper()
        {
            var variants = new KernelVariant[2];
            for (int options = 0; options < 2; options++)
            {
                int numKeys = headDim > 128 || options == 1 ? KvCache.PageSize : 2 * KvCache.PageSize;
                int stageBytes = numKeys / KvCache.PageSize * pageBytes + BarriersPerStage * sizeof(long);
                int bytes = HopperVectors * headDim * sizeof(ushort) + 2 * sizeof(int);
                int numStages = Math.Min(MaxHopperStages, (maxSharedBytes - bytes) / stageBytes);
                if (numStages < 1) return null;
                variants[options] = new KernelVariant(
                    "attention_node_hopper", $"{defines} STAGES={numStages} LOGIT_OPTIONS={options}", HopperWarps * 32, bytes + numStages * stageBytes);
            }
            return variants;
        }

        KernelVariant[]? Node(int warps)
        {
            for (int nodeStages = MaxNodeStages; nodeStages > 0; nodeStages--)
            {
                int bytes = warps * 16 * PageLayout.PaddedHeadDim(headDim) * sizeof(ushort) + nodeStages * pageBytes + 2 * sizeof(int);
                if (bytes <= maxSharedBytes) return WithOptions("attention_node", $"{defines} WARPS={warps} STAGES={nodeStages}", warps, bytes);
            }
            return null;
        }
    }

    /// <summary>Vectors that an item of a class may have.</summary>
    public int[] VectorsPerItem { get; }

    /// <summary>Heads that a block of <see cref="Merge"/> merges.</summary>
    public static int HeadsPerMergeBlock => MergeWarps;

    /// <summary>Merges partial results.</summary>
    public KernelVariant Merge { get; }

    /// <summary>FP32 arithmetic.</summary>
    public KernelVariant Scalar { get; }

    private KernelVariant[] Sequence { get; }

    private KernelVariant[] Narrow { get; }

    private KernelVariant[] Wide { get; }

    /// <summary>All kernels that this head size and type may run.</summary>
    public IEnumerable<KernelVariant> All => ((KernelVariant[])[.. Sequence, .. Narrow, .. Wide, Scalar, Merge]).Distinct();

    /// <summary>The constants that every kernel has.</summary>
    public static string Defines(int headDim, ElementType storage) => $"HEAD_DIM={headDim} STORAGE={(int)storage}";

    /// <summary>The kernel of a class.</summary>
    /// <param name="itemClass">The class.</param>
    /// <param name="hasLogitOptions">Whether logits are more than a positive factor times the dot product.</param>
    public KernelVariant Of(ItemClass itemClass, bool hasLogitOptions) => itemClass switch
    {
        ItemClass.Sequence => Sequence[hasLogitOptions ? 1 : 0],
        ItemClass.NarrowNode => Narrow[hasLogitOptions ? 1 : 0],
        ItemClass.WideNode => Wide[hasLogitOptions ? 1 : 0],
        _ => Scalar,
    };

    private static KernelVariant[] WithOptions(string name, string defines, int warps, int sharedBytes) =>
        [.. ((int[])[0, 1]).Select(value => new KernelVariant(name, $"{defines} LOGIT_OPTIONS={value}", warps * 32, sharedBytes))];
}
