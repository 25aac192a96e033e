namespace Hydragen.Cuda;

/// <summary>What the kernels cost, as far as <see cref="SegmentRoutes"/> needs to know; times in seconds.</summary>
/// <param name="GroupSize">Query heads of a key/value head.</param>
/// <param name="NumKvHeads">Key/value heads.</param>
/// <param name="VectorsPerSequence">Vectors that an item of the sequence kernel may have.</param>
/// <param name="MaxSequenceVectors">Vectors of a segment up to which the sequence kernel may compute it, in several items.</param>
/// <param name="VectorsPerNode">Vectors that an item of the node kernel may have.</param>
/// <param name="NumMultiprocessors">Multiprocessors; a block of the node kernel has one for itself.</param>
/// <param name="BlocksPerMultiprocessor">Blocks of the sequence kernel on one.</param>
/// <param name="SequencePage">A page, to a block of the sequence kernel.</param>
/// <param name="NodePage">A page, to a block of the node kernel.</param>
/// <param name="SequenceTask">What a task costs a block of the sequence kernel besides.</param>
/// <param name="NodeTask">What a task costs a block of the node kernel besides.</param>
/// <param name="Part">A partial result of a row, written and read.</param>
/// <param name="Rule">Which kernel computes sequences.</param>
internal readonly record struct KernelCosts(
    int GroupSize, int NumKvHeads, int VectorsPerSequence, int MaxSequenceVectors, int VectorsPerNode, int NumMultiprocessors,
    int BlocksPerMultiprocessor, double SequencePage, double NodePage, double SequenceTask, double NodeTask, double Part,
    SequenceRule Rule);
