using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// The attention kernels of one head size and element type, compiled when they are first needed: block sizes and pages in flight
/// follow from the shared memory that a block may have.
/// </summary>
internal sealed class AttentionKernels
{
    /// <summary>Classes of items; one kernel each.</summary>
    public const int NumClasses = 6;

    /// <summary>Partial results of a row from which on a block merges a head.</summary>
    public const int ManyParts = 12;

    private const int MergeWarps = 4, MaxSequenceWarps = 4, SequenceStages = 2, SequenceSlots = 16, ScalarWarps = 8, MaxNodeStages = 2;

    // Shared memory besides the dynamic.
    private const int SequenceStaticBytes = 1024;

    // One warp copies keys, one values, two queries; two groups of four multiply 64 vectors each.
    private const int HopperWarps = 12, HopperVectors = 128, BarriersPerStage = 4, BarriersPerQuery = 2;

    // Pieces of keys, and of values, that wait to be widened, and their rows.
    private const int RawSlots = 4, RawRows = 32;

    /// <param name="headDim">Elements of a head.</param>
    /// <param name="storage">Element type of keys and values; queries have it too, but for bytes, which meet 16-bit ones, and the scalar kernel.</param>
    /// <param name="maxSharedBytes">Shared memory that a block may have.</param>
    /// <param name="hasHopper">Whether Hopper's matrix instructions may be used.</param>
    /// <param name="isScaled">Whether heads have scales; FP8 only.</param>
    public AttentionKernels(int headDim, ElementType storage, int maxSharedBytes, bool hasHopper, bool isScaled = false)
    {
        // Where there are no scales, kernels are as if there never were.
        string defines = Defines(headDim, storage) + (isScaled ? " HAS_SCALES=1" : "");
        Scalar = new KernelVariant("attention_scalar", defines, ScalarWarps * 32, ScalarWarps * headDim * sizeof(float));
        Merge = MergeOf(1);
        MergeOfMany = MergeOf(MergeWarps);
        VectorsPerItem = [8, 8, 8, 64, 128, ScalarWarps];
        Sequences = [];
        Narrow = Wide = [];
        if (storage == ElementType.Float32) return;

        // Bytes are widened to 16 bits for many vectors, and as they are for few.
        int paddedDim = PageLayout.PaddedHeadDim(headDim, storage), slotBytes = 2 * paddedDim * sizeof(ushort), pageBytes = KvCache.PageSize * slotBytes;
        int sliceBytes = (storage.IsByte() ? 2 * SequenceSlots : SequenceSlots) * (PageLayout.SlotBytes(headDim, storage) + 2 * storage.ScaleSizeInBytes());
        TasksPerShortBlock = MaxSequenceWarps * SequenceStages * sliceBytes + SequenceStaticBytes <= maxSharedBytes ? MaxSequenceWarps : MaxSequenceWarps / 2;
        Sequences = [.. ((int[])[0, 1]).Select(hasNext => (KernelVariant[][])
            [SequenceOf(TasksPerShortBlock, SequenceStages, hasNext), SequenceOf(1, SequenceStages, hasNext), SequenceOf(1, 1, hasNext)])];
        Narrow = Node(4) ?? throw new PlatformNotSupportedException($"A head of {headDim} elements needs more shared memory than the {maxSharedBytes} bytes of this GPU.");
        Wide = Node(8) ?? Narrow;
        if (ReferenceEquals(Wide, Narrow)) VectorsPerItem[(int)ItemClass.WideNode] = VectorsPerItem[(int)ItemClass.NarrowNode];
        if (hasHopper && headDim is 64 or 128 or 256)
        {
            // The logit options of the largest heads leave too few registers.
            Wide = [Hopper(0), headDim > 128 ? Wide[1] : Hopper(1)];
            // Keys that nobody else reads come as fast for few vectors as for many.
            VectorsPerItem[(int)ItemClass.NarrowNode] = VectorsPerItem[(int)ItemClass.Sequence];
        }

        KernelVariant[] SequenceOf(int taskWarps, int stages, int hasNext) =>
            WithOptions(
                "attention_sequence",
                $"{defines} WARPS={TasksPerShortBlock} TASK_WARPS={taskWarps} STAGES={stages} HAS_NEXT={hasNext}", TasksPerShortBlock,
                TasksPerShortBlock * stages * sliceBytes, sharesTasks: true);

        KernelVariant MergeOf(int headWarps) =>
            new("attention_merge", $"{Defines(headDim, ElementType.Float32)} HEAD_WARPS={headWarps}", MergeWarps * 32, 0);

        KernelVariant Hopper(int options)
        {
            int numKeys = headDim > 128 || options == 1 ? KvCache.PageSize : 2 * KvCache.PageSize;
            int stageBytes = numKeys / KvCache.PageSize * pageBytes + BarriersPerStage * sizeof(long);
            int queryBytes = HopperVectors * headDim * sizeof(ushort) + BarriersPerQuery * sizeof(long), maxBytes = maxSharedBytes;
            if (storage.IsByte())
            {
                int rawRows = headDim > 128 ? RawRows / 2 : RawRows;
                maxBytes -= 2 * RawSlots * (rawRows * (headDim + storage.ScaleSizeInBytes()) + sizeof(long));
                queryBytes += HopperVectors * sizeof(float);
            }
            int numQueries = 2 * queryBytes + 2 * stageBytes <= maxBytes ? 2 : 1, numStages = 2;
            if (numQueries * queryBytes + 4 * stageBytes <= maxBytes) numStages = 4;
            return new KernelVariant(
                "attention_node_hopper", $"{defines} STAGES={numStages} QUERY_BUFFERS={numQueries} LOGIT_OPTIONS={options}", HopperWarps * 32,
                numQueries * queryBytes + numStages * stageBytes + maxSharedBytes - maxBytes, SharesTasks: true);
        }

        KernelVariant[]? Node(int warps)
        {
            for (int nodeStages = MaxNodeStages; nodeStages > 0; nodeStages--)
            {
                int bytes = warps * 16 * (paddedDim * sizeof(ushort) + (storage.IsByte() ? sizeof(float) : 0)) + nodeStages * pageBytes;
                if (bytes <= maxSharedBytes) return WithOptions("attention_node", $"{defines} WARPS={warps} STAGES={nodeStages}", warps, bytes);
            }
            return null;
        }
    }

    /// <summary>Vectors that an item of a class may have.</summary>
    public int[] VectorsPerItem { get; }

    /// <summary>Tasks that a block computes at a time where one warp computes each.</summary>
    public int TasksPerShortBlock { get; }

    /// <summary>Heads that a block of <see cref="Merge"/> merges.</summary>
    public static int HeadsPerMergeBlock => MergeWarps;

    /// <summary>Merges partial results; a head a warp.</summary>
    public KernelVariant Merge { get; }

    /// <summary>The same; a head a block.</summary>
    public KernelVariant MergeOfMany { get; }

    /// <summary>FP32 arithmetic.</summary>
    public KernelVariant Scalar { get; }

    // [tasks of several items][class][logit options]
    private KernelVariant[][][] Sequences { get; }

    private KernelVariant[] Narrow { get; }

    private KernelVariant[] Wide { get; }

    /// <summary>All kernels that this head size and type may run.</summary>
    public IEnumerable<KernelVariant> All => ((KernelVariant[])[.. Sequences.SelectMany(classes => classes).SelectMany(options => options), .. Narrow, .. Wide, Scalar, Merge, MergeOfMany]).Distinct();

    /// <summary>The constants that every kernel has.</summary>
    public static string Defines(int headDim, ElementType storage) => $"HEAD_DIM={headDim} STORAGE={(int)storage}";

    /// <summary>The kernel of a class.</summary>
    /// <param name="itemClass">The class.</param>
    /// <param name="hasLogitOptions">Whether logits are more than a positive factor times the dot product.</param>
    /// <param name="hasNextItems">Whether any task goes on with another item.</param>
    public KernelVariant Of(ItemClass itemClass, bool hasLogitOptions, bool hasNextItems) => itemClass switch
    {
        ItemClass.Sequence or ItemClass.ShortSequence or ItemClass.CrowdedSequence => Sequences[hasNextItems ? 1 : 0][(int)itemClass][hasLogitOptions ? 1 : 0],
        ItemClass.NarrowNode => Narrow[hasLogitOptions ? 1 : 0],
        ItemClass.WideNode => Wide[hasLogitOptions ? 1 : 0],
        _ => Scalar,
    };

    private static KernelVariant[] WithOptions(string name, string defines, int warps, int sharedBytes, bool sharesTasks = false) =>
        [.. ((int[])[0, 1]).Select(value => new KernelVariant(name, $"{defines} LOGIT_OPTIONS={value}", warps * 32, sharedBytes, sharesTasks))];
}
