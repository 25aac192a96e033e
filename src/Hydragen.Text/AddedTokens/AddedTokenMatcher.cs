using System.Buffers;
using System.Text;

namespace Hydragen.Text.AddedTokens;

/// <summary>Finds added tokens in a text: leftmost first, and of those that start there the longest.</summary>
/// <remarks>
/// A trie walked only at characters that can begin a token. Time is the text's length times the longest content, which the
/// reader of the file bounds. Immutable, hence safe for concurrent use.
/// </remarks>
internal sealed class AddedTokenMatcher
{
    private readonly Dictionary<ulong, int> _edges = [];
    private readonly List<AddedToken?> _nodes = [null];
    private readonly SearchValues<char> _firstCharacters;

    /// <param name="tokens">Tokens with the text each is to match; of two with the same text the first wins.</param>
    public AddedTokenMatcher(IEnumerable<(string Pattern, AddedToken Token)> tokens)
    {
        HashSet<char> firstCharacters = [];
        foreach ((string pattern, AddedToken token) in tokens)
        {
            if (pattern.Length == 0)
                continue;
            firstCharacters.Add(pattern[0]);
            int node = 0;
            foreach (char c in pattern)
            {
                ulong edge = Edge(node, c);
                if (!_edges.TryGetValue(edge, out int child))
                {
                    child = _nodes.Count;
                    _nodes.Add(null);
                    _edges.Add(edge, child);
                }

                node = child;
            }

            _nodes[node] ??= token;
        }

        IsEmpty = firstCharacters.Count == 0;
        _firstCharacters = SearchValues.Create([.. firstCharacters]);
    }

    public bool IsEmpty { get; }

    /// <summary>Appends the text's tokens and the stretches between them, in order; no stretch is empty.</summary>
    public void Split(ReadOnlySpan<char> text, bool parseSpecialTokens, List<AddedTokenMatch> output)
    {
        int unmatched = 0;
        int strippedUpTo = 0;
        for (int position = 0; TryFind(text, position, out int start, out int length, out AddedToken? token);)
        {
            int stop = start + length;
            position = stop;
            if (token.IsSpecial && !parseSpecialTokens)
                continue;
            if (token.IsSingleWord && (EndsWithWord(text[..start]) || StartsWithWord(text[stop..])))
                continue;
            if (token.StripsLeft)
            {
                while (start > unmatched && char.IsWhiteSpace(text[start - 1]))
                    start--;
            }

            if (token.StripsRight)
            {
                // White space that an earlier token has swallowed is not walked again: the scan stays linear.
                if (strippedUpTo > stop)
                    stop = strippedUpTo;
                while (stop < text.Length && char.IsWhiteSpace(text[stop]))
                    stop++;
                strippedUpTo = stop;
            }

            if (unmatched < start)
                output.Add(new AddedTokenMatch(unmatched, start - unmatched, -1));
            output.Add(new AddedTokenMatch(start, stop - start, token.Id));
            unmatched = stop;
        }

        if (unmatched < text.Length)
            output.Add(new AddedTokenMatch(unmatched, text.Length - unmatched, -1));
    }

    private bool TryFind(
        ReadOnlySpan<char> text, int from, out int start, out int length, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out AddedToken? token)
    {
        for (start = from; start < text.Length; start++)
        {
            int skip = text[start..].IndexOfAny(_firstCharacters);
            if (skip < 0)
                break;
            start += skip;
            token = LongestAt(text[start..], out length);
            if (token is not null)
                return true;
        }

        token = null;
        length = 0;
        return false;
    }

    private AddedToken? LongestAt(ReadOnlySpan<char> text, out int length)
    {
        AddedToken? longest = null;
        length = 0;
        int node = 0;
        for (int i = 0; i < text.Length && _edges.TryGetValue(Edge(node, text[i]), out node); i++)
        {
            if (_nodes[node] is { } token)
            {
                longest = token;
                length = i + 1;
            }
        }

        return longest;
    }

    private static ulong Edge(int node, char c) => (ulong)(uint)node << 16 | c;

    private static bool EndsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeLastFromUtf16(text, out Rune rune, out _) == OperationStatus.Done && UnicodeClasses.IsWord(rune);

    private static bool StartsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeFromUtf16(text, out Rune rune, out _) == OperationStatus.Done && UnicodeClasses.IsWord(rune);
}
