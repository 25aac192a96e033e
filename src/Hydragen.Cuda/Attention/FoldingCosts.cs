namespace Hydragen.Cuda;

/// <summary>What the kernels cost, as far as <see cref="NodeFolding"/> needs to know; times in seconds.</summary>
/// <param name="GroupSize">Query heads of a key/value head.</param>
/// <param name="NumKvHeads">Key/value heads.</param>
/// <param name="VectorsPerSequence">Vectors that an item of the sequence kernel may have.</param>
/// <param name="VectorsPerNode">Vectors that an item of the node kernel may have.</param>
/// <param name="NumReaders">Blocks of the sequence kernel that run at a time.</param>
/// <param name="NumNodeBlocks">Blocks of the node kernel that run at a time.</param>
/// <param name="SequencePage">A page, to a block of the sequence kernel.</param>
/// <param name="CachedPage">A page, to the L2 cache.</param>
/// <param name="NodePage">A page, to a block of the node kernel.</param>
/// <param name="SequenceTask">What a task costs a block of the sequence kernel besides.</param>
/// <param name="NodeTask">What a task costs a block of the node kernel besides.</param>
/// <param name="Part">A partial result of a row, which is written, read and merged.</param>
internal readonly record struct FoldingCosts(
    int GroupSize, int NumKvHeads, int VectorsPerSequence, int VectorsPerNode, int NumReaders, int NumNodeBlocks, double SequencePage,
    double CachedPage, double NodePage, double SequenceTask, double NodeTask, double Part);
