using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>One block's work for each key/value head; laid out as <c>load_item</c> of <c>common.cuh</c> reads it, where the fields are described.</summary>
/// <param name="FirstPage">Index into the page table.</param>
/// <param name="SlotAndNext">Slot of the first key in its page + the page size · the index of the item that goes on with the same vectors; 0: none does.</param>
/// <param name="NumKeys">Keys.</param>
/// <param name="FirstPosition">Of the first key.</param>
/// <param name="FirstVector">Of the step.</param>
/// <param name="NumVectors">How many.</param>
/// <param name="FirstPart">Index into the slots of partial results; of the last item of a task.</param>
/// <param name="SplitAndMask">2 · the number of the split + (1 when causal).</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct AttentionItem(
    int FirstPage, int SlotAndNext, int NumKeys, int FirstPosition, int FirstVector, int NumVectors, int FirstPart, int SplitAndMask)
{
    /// <summary>Slot of the first key in its page.</summary>
    public int FirstSlot => SlotAndNext % Core.KvCache.PageSize;

    /// <summary>The item that goes on with the same vectors; 0: none does.</summary>
    public int Next => SlotAndNext / Core.KvCache.PageSize;

    /// <summary>The same with another item behind it.</summary>
    public AttentionItem WithNext(int next) => this with { SlotAndNext = checked(FirstSlot + next * Core.KvCache.PageSize) };
}
