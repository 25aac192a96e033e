using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Expressions;

/// <summary>Finds the matches of a regular expression that has no scanner. Immutable.</summary>
/// <remarks>
/// Leftmost match, alternatives in order, code point by code point, as in a backtracking engine but without backtracking:
/// a search takes time linear in what it reads (the method of Thompson and Pike). An expression that must read far ahead
/// to settle each short match, such as <c>a+b|a</c>, still reads far ahead for each.
/// </remarks>
internal sealed class ExpressionPattern : SplitPattern
{
    private readonly Instruction[] _instructions;

    /// <exception cref="FormatException">The expression is not supported; the message says why.</exception>
    public ExpressionPattern(string pattern)
    {
        _instructions = ExpressionCompiler.Compile(ExpressionParser.Parse(pattern));
    }

    public override SplitPattern Prepare() => new ExpressionSearch(_instructions);

    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length) =>
        Prepare().TryFind(text, from, out start, out length);
}
