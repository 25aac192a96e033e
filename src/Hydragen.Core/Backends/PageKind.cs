namespace Hydragen.Core;

/// <summary>What a page of a cache holds, which decides its element type.</summary>
public enum PageKind
{
    /// <summary>Tokens of one sequence.</summary>
    Suffix,

    /// <summary>Tokens of a prefix, which several sequences may read.</summary>
    Prefix,
}
