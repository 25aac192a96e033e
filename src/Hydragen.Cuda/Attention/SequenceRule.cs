namespace Hydragen.Cuda;

/// <summary>Decides how many warps compute a task of sequences: four that finish it soonest, or one of many, which waits less for others.</summary>
/// <param name="NumMultiprocessors">Multiprocessors.</param>
/// <param name="HasBytes">Whether keys and values are bytes.</param>
/// <param name="HasLargeHeads">Whether a head has more than 128 elements, so that few warps fit.</param>
internal readonly record struct SequenceRule(int NumMultiprocessors, bool HasBytes, bool HasLargeHeads)
{
    // Measured on an H200 with 128 to 16,384 tasks of 16 to 512 keys, heads of 128, BF16, FP8 and INT8: up to so many keys one warp is
    // faster, when there are fewer tasks than blocks of four warps, when all tasks find a warp at once, or are of bytes, and otherwise.
    private const int FewTasksKeys = 48, ShortKeys = 512, CrowdedKeys = 256, LargeHeadKeys = 96;

    // Blocks of four warps, and warps that do not load ahead, on a multiprocessor.
    private const int BlocksAtOnce = 3, WarpsAtOnce = 16;

    // A warp with far more keys than the others would finish long after them.
    private const double MostKeysOfMean = 2;

    /// <summary>Warps of a multiprocessor that compute a task each and load ahead.</summary>
    public const int WarpsAhead = 12;

    /// <summary>The kernel of the sequences of a plan.</summary>
    /// <param name="numTasks">Items times key/value heads.</param>
    /// <param name="longest">Keys of the longest.</param>
    /// <param name="mean">Keys of the mean.</param>
    public ItemClass ClassOf(double numTasks, int longest, double mean)
    {
        if (HasLargeHeads) return longest <= LargeHeadKeys ? ItemClass.CrowdedSequence : ItemClass.Sequence;
        if (numTasks < NumMultiprocessors * BlocksAtOnce) return longest <= FewTasksKeys ? ItemClass.ShortSequence : ItemClass.Sequence;
        int maxKeys = HasBytes || numTasks <= NumMultiprocessors * WarpsAtOnce ? ShortKeys : CrowdedKeys;
        if (longest > maxKeys || (longest > LargeHeadKeys && longest > MostKeysOfMean * mean)) return ItemClass.Sequence;
        return HasBytes || numTasks <= NumMultiprocessors * WarpsAhead ? ItemClass.ShortSequence : ItemClass.CrowdedSequence;
    }
}
