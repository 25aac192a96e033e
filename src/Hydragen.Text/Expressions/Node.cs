namespace Hydragen.Text.Expressions;

/// <summary>A part of a parsed regular expression.</summary>
/// <param name="IsNullable">Whether it can match the empty text.</param>
internal abstract record Node(bool IsNullable)
{
    /// <summary>One code point of a class.</summary>
    public sealed record One(CharacterClass Class) : Node(false);

    /// <summary>Parts one after another.</summary>
    public sealed record Sequence(List<Node> Parts) : Node(Parts.TrueForAll(p => p.IsNullable));

    /// <summary>The first of several parts that leads to a match.</summary>
    public sealed record Choice(List<Node> Parts) : Node(Parts.Exists(p => p.IsNullable));

    /// <summary>A part several times; no upper bound is <see cref="int.MaxValue"/>.</summary>
    public sealed record Repeat(Node Part, int Minimum, int Maximum, bool IsLazy) : Node(Minimum == 0 || Part.IsNullable);

    /// <summary>A look at the next code point; the end of the text is in no class.</summary>
    public sealed record LookAhead(CharacterClass Class, bool IsNegated) : Node(true);
}
