namespace Hydragen.Text.PreTokenizers;

/// <summary>Finds the places at which a text is split. Immutable, unless prepared.</summary>
internal abstract class SplitPattern
{
    /// <summary>The pattern with scratch memory of its own, for one caller at a time; by default the pattern itself.</summary>
    public virtual SplitPattern Prepare() => this;

    /// <summary>The first match that starts at or behind <paramref name="from"/>.</summary>
    /// <param name="text">The whole piece, so that look-ahead sees its end.</param>
    /// <param name="from">Where the search starts.</param>
    /// <param name="start">Start of the match.</param>
    /// <param name="length">Length of the match, at least 1.</param>
    /// <returns>Whether there is a match.</returns>
    public abstract bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length);
}
