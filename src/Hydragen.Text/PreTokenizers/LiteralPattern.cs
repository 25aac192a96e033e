namespace Hydragen.Text.PreTokenizers;

/// <summary>Finds a fixed text.</summary>
internal sealed class LiteralPattern(string literal) : SplitPattern
{
    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        int offset = text[from..].IndexOf(literal, StringComparison.Ordinal);
        start = from + offset;
        length = literal.Length;
        return offset >= 0;
    }
}
