namespace Hydragen.Cpu;

/// <summary>
/// Items that nobody has taken yet: the owner takes the first, thieves take the last. First and end share one word, so whoever
/// changes the word has the item and nobody else has, whatever happened since the word was read.
/// </summary>
internal struct ItemRange
{
    // End in the upper half, first in the lower.
    private long _word;

    /// <summary>Fills the range, which must be empty, and publishes everything that was written before.</summary>
    public void Fill(int first, int end) => Volatile.Write(ref _word, (long)end << 32 | (uint)first);

    /// <summary>Takes an item if one is left.</summary>
    /// <param name="fromEnd">Whether to take the last one.</param>
    /// <param name="item">The item.</param>
    public bool TryTake(bool fromEnd, out int item)
    {
        long word = Volatile.Read(ref _word);
        while (true)
        {
            int first = (int)word, end = (int)(word >> 32);
            if (first >= end)
            {
                item = -1;
                return false;
            }
            item = fromEnd ? end - 1 : first;
            long found = Interlocked.CompareExchange(ref _word, fromEnd ? word - (1L << 32) : word + 1, word);
            if (found == word) return true;
            word = found;
        }
    }
}
