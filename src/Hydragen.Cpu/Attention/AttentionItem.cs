namespace Hydragen.Cpu;

/// <summary>
/// One piece of attention work: some query vectors of a segment (a vector is a row and one of the query heads that share the
/// key/value head) against some of its pages.
/// </summary>
/// <param name="Segment">Index of the segment.</param>
/// <param name="Split">Which of the segment's splits of <see cref="AttentionWork.PagesPerSplit"/> pages.</param>
/// <param name="KvHead">Key/value head.</param>
/// <param name="FirstVector">First vector, counted from the segment's first row: row · groupSize + head in group.</param>
/// <param name="NumVectors">Vectors.</param>
internal readonly record struct AttentionItem(int Segment, int Split, int KvHead, int FirstVector, int NumVectors);

/// <summary>What bounds the items of some segments.</summary>
/// <param name="MaxVectors">Query vectors of an item at most.</param>
/// <param name="VectorMultiple">An item's vectors are a multiple of it, where there are enough.</param>
internal readonly record struct ItemLimits(int MaxVectors, int VectorMultiple);

/// <summary>Rows whose partial results are in the workspace at the same time.</summary>
/// <param name="FirstItem">First item.</param>
/// <param name="NumItems">Items.</param>
/// <param name="NumComputeBound">How many of them, the first ones, are bound by arithmetic rather than memory.</param>
/// <param name="FirstMergeRow">First entry of the rows to merge.</param>
/// <param name="NumMergeRows">Rows to merge.</param>
internal readonly record struct AttentionWave(int FirstItem, int NumItems, int NumComputeBound, int FirstMergeRow, int NumMergeRows);
