namespace Hydragen.Text.PreTokenizers;

/// <summary>What becomes of the matches of a split pattern.</summary>
internal enum SplitBehavior
{
    /// <summary>They are dropped.</summary>
    Removed,

    /// <summary>Each is a piece of its own.</summary>
    Isolated,

    /// <summary>Each joins the stretch before it.</summary>
    MergedWithPrevious,

    /// <summary>Each joins the stretch behind it.</summary>
    MergedWithNext,

    /// <summary>Matches that touch form one piece.</summary>
    Contiguous,
}
