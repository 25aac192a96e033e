using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>A stretch of tokens at consecutive positions with its own KV pages: a shared node or the tail of one sequence.</summary>
internal abstract class TokenSpan(PrefixNode? parent, int capacity)
{
    /// <summary>Kind of its pages.</summary>
    public abstract PageKind Kind { get; }

    /// <summary>The node that this span continues; null at position 0.</summary>
    public PrefixNode? Parent { get; protected set; } = parent;

    public int FirstPosition { get; protected set; } = parent?.End ?? 0;

    public List<int> TokenIds { get; } = new(capacity);

    /// <summary>Reserved pages in token order, the first <see cref="NumPages"/> taken; the first token lies in slot 0 of the first.</summary>
    public int[] Pages { get; set; } = [];

    /// <summary>Pages taken from the reservation.</summary>
    public int NumPages { get; set; }

    /// <summary>Tokens whose keys and values are in the cache.</summary>
    public int NumComputed { get; set; }

    /// <summary>The position behind the last token.</summary>
    public int End => FirstPosition + TokenIds.Count;

    public int NumPending => TokenIds.Count - NumComputed;

    public int SlotOf(int token) => Pages[token / KvCache.PageSize] * KvCache.PageSize + token % KvCache.PageSize;
}
