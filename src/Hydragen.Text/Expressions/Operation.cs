namespace Hydragen.Text.Expressions;

/// <summary>The kinds of <see cref="Instruction"/>.</summary>
internal enum Operation
{
    /// <summary>The expression has matched.</summary>
    Match,

    /// <summary>Takes one code point of the class.</summary>
    Consume,

    /// <summary>Goes both ways, the first preferred.</summary>
    Fork,

    /// <summary>Goes on if the next code point is in the class.</summary>
    Require,

    /// <summary>Goes on unless the next code point is in the class.</summary>
    Forbid,
}
