namespace Hydragen.Engine;

/// <summary>
/// One part of a tree of prompts: a prompt is the concatenation of the parts from a root to a node. A part is given as text or as
/// token ids, never both. The parts are tokenized one by one, so no token spans the border of two parts; special tokens (such as
/// a beginning-of-sequence token) are added to roots only.
/// </summary>
public sealed record PromptNode
{
    /// <summary>The part as text; null when <see cref="TokenIds"/> is given.</summary>
    public string? Text { get; init; }

    /// <summary>The part as token ids; null when <see cref="Text"/> is given.</summary>
    public IReadOnlyList<int>? TokenIds { get; init; }

    /// <summary>Parts that continue this one; empty for a leaf.</summary>
    public IReadOnlyList<PromptNode> Children { get; init; } = [];

    /// <summary>Completions of the prompt that ends here; null means 1 for a leaf and 0 for an inner part.</summary>
    public int? Samples { get; init; }

    /// <summary>A part given as text.</summary>
    public static implicit operator PromptNode(string text) => new() { Text = text };

    /// <summary>A part given as text.</summary>
    public static PromptNode FromText(string text, params IReadOnlyList<PromptNode> children) => new() { Text = text, Children = children };

    /// <summary>A part given as token ids.</summary>
    public static PromptNode FromTokenIds(IReadOnlyList<int> tokenIds, params IReadOnlyList<PromptNode> children) =>
        new() { TokenIds = tokenIds, Children = children };
}
