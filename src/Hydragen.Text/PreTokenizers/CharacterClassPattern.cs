using System.Text;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Finds single characters of a class.</summary>
/// <param name="isMember">Whether a code point belongs to the class.</param>
internal sealed class CharacterClassPattern(Predicate<Rune> isMember) : SplitPattern
{
    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        for (start = from; start < text.Length; start += length)
        {
            _ = Rune.DecodeFromUtf16(text[start..], out Rune rune, out length);
            if (isMember(rune))
                return true;
        }

        length = 0;
        return false;
    }
}
