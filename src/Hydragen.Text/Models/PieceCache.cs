namespace Hydragen.Text.Models;

/// <summary>A bounded, lossy memory of the ids of short pieces: words repeat, merging them again is most of the work.</summary>
/// <remarks>
/// One entry a slot, the newest stays. Entries are immutable and published by one reference write, hence safe for concurrent
/// use without locks.
/// </remarks>
internal sealed class PieceCache
{
    private const int NumSlots = 1 << 13;
    private const int MaximumPieceLength = 32;

    private readonly Entry?[] _slots = new Entry?[NumSlots];

    /// <summary>Appends the ids of a piece seen before.</summary>
    public bool TryAppend(ReadOnlySpan<char> piece, List<int> output)
    {
        if (piece.Length > MaximumPieceLength)
            return false;
        Entry? entry = Volatile.Read(ref _slots[Slot(piece)]);
        if (entry is null || !piece.SequenceEqual(entry.Piece))
            return false;
        output.AddRange(entry.Ids);
        return true;
    }

    /// <summary>Remembers the ids of a piece.</summary>
    public void Add(ReadOnlySpan<char> piece, ReadOnlySpan<int> ids)
    {
        if (piece.Length <= MaximumPieceLength)
            Volatile.Write(ref _slots[Slot(piece)], new Entry(piece.ToString(), ids.ToArray()));
    }

    private static int Slot(ReadOnlySpan<char> piece) => string.GetHashCode(piece) & NumSlots - 1;

    private sealed record Entry(string Piece, int[] Ids);
}
