using System.Text;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Finds <c>\w+|[^\w\s]+</c>: runs of word characters and runs of other visible characters.</summary>
internal sealed class WordPattern : SplitPattern
{
    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        start = from;
        while (start < text.Length && char.IsWhiteSpace(text[start]))
            start++;
        int end = start;
        bool isWord = false;
        while (end < text.Length && !char.IsWhiteSpace(text[end]))
        {
            _ = Rune.DecodeFromUtf16(text[end..], out Rune rune, out int consumed);
            if (end == start)
                isWord = UnicodeClasses.IsWord(rune);
            else if (isWord != UnicodeClasses.IsWord(rune))
                break;
            end += consumed;
        }

        length = end - start;
        return length > 0;
    }
}
