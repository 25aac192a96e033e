namespace Hydragen.Cuda;

/// <summary>Decides how many warps compute a task of sequences: four that finish it soonest, or one of many, which wait less for each other.</summary>
/// <param name="NumMultiprocessors">Multiprocessors.</param>
/// <param name="HasBytes">Whether keys and values are bytes.</param>
/// <param name="HasLargeHeads">Whether a head has more than 128 elements, so that few warps fit.</param>
internal readonly record struct SequenceRule(int NumMultiprocessors, bool HasBytes, bool HasLargeHeads)
{
    /// <summary>Keys up to which one warp is nearly always faster.</summary>
    public const int ShortKeys = 96;

    /// <summary>Warps of a multiprocessor that compute a task each and load ahead.</summary>
    public const int WarpsAhead = 12;

    // Measured on an H200 with 128 to 16,384 tasks of 16 to 512 keys, heads of 128, BF16, FP8 and INT8: up to so many keys one warp is
    // faster, when there are fewer tasks than blocks of four warps; when all tasks find a warp at once, or are of bytes; otherwise; and beside
    // nodes, with some and with many tasks of bytes.
    private const int FewTasksKeys = 48, ManyWarpsKeys = 512, CrowdedKeys = 256, BesideKeys = 128, ManyBesideKeys = 256;

    // Of a multiprocessor: blocks of four warps, warps that do not load ahead, and tasks that are many beside nodes.
    private const int BlocksAtOnce = 3, WarpsAtOnce = 16, ManyTasks = 24;

    // A warp with far more keys than the others would finish long after them.
    private const double MostKeysOfMean = 2;

    /// <summary>The kernel of the sequences of a plan.</summary>
    /// <param name="numTasks">Items times key/value heads.</param>
    /// <param name="longest">Keys of the longest.</param>
    /// <param name="mean">Keys of the mean.</param>
    /// <param name="isBesideNodes">Whether the node kernel for many vectors runs as well.</param>
    public ItemClass ClassOf(double numTasks, int longest, double mean, bool isBesideNodes)
    {
        double ofMultiprocessor = numTasks / NumMultiprocessors;
        if (longest > MaxKeys(ofMultiprocessor, isBesideNodes) || (longest > ShortKeys && longest > MostKeysOfMean * mean)) return ItemClass.Sequence;
        return !HasLargeHeads && (HasBytes || ofMultiprocessor <= WarpsAhead) ? ItemClass.ShortSequence : ItemClass.CrowdedSequence;
    }

    private int MaxKeys(double tasksOfMultiprocessor, bool isBesideNodes)
    {
        if (HasLargeHeads) return ShortKeys;
        if (isBesideNodes) return !HasBytes || tasksOfMultiprocessor < WarpsAhead ? ShortKeys : tasksOfMultiprocessor < ManyTasks ? BesideKeys : ManyBesideKeys;
        if (tasksOfMultiprocessor < BlocksAtOnce) return FewTasksKeys;
        return HasBytes || tasksOfMultiprocessor <= WarpsAtOnce ? ManyWarpsKeys : CrowdedKeys;
    }
}
