namespace Hydragen.Core;

/// <summary>
/// One rectangle or triangle of attention: a contiguous range of query rows against a contiguous range of cached keys.
/// </summary>
/// <param name="FirstRow">First query row.</param>
/// <param name="NumRows">Query rows, 0 allowed.</param>
/// <param name="FirstPage">Index into <see cref="AttentionPlan.PageTable"/> of the page that holds the first key.</param>
/// <param name="FirstSlot">Slot of the first key within that page, 0 … <see cref="KvCache.PageSize"/> − 1.</param>
/// <param name="NumKeys">Keys, 0 allowed; they fill slots and pages in order.</param>
/// <param name="FirstPosition">Absolute position of the first key; key k stands at <c>FirstPosition + k</c>.</param>
/// <param name="Mask">Which of the keys a row sees.</param>
public readonly record struct AttentionSegment(
    int FirstRow, int NumRows, int FirstPage, int FirstSlot, int NumKeys, int FirstPosition, AttentionMask Mask)
{
    /// <summary>Entries of the page table that the keys touch.</summary>
    public int NumPages => NumKeys == 0 ? 0 : (FirstSlot + NumKeys - 1) / KvCache.PageSize + 1;

    /// <summary>Whether several rows see all keys, as those of the sequences below a shared node do.</summary>
    public bool IsNode => NumRows > 1 && NumKeys > 0 && Mask == AttentionMask.Full;
}
