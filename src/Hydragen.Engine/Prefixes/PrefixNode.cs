using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// A node of the prefix tree: tokens that several sequences may share, computed once. It lives as long as somebody holds a lease:
/// a <see cref="PrefixHandle"/>, a child node or a sequence of a running call.
/// </summary>
internal sealed class PrefixNode(PrefixNode? parent, IReadOnlyCollection<int> tokenIds) : TokenSpan(parent, tokenIds.Count)
{
    public override PageKind Kind => PageKind.Prefix;

    /// <summary>How many shared nodes lie above, this one included.</summary>
    public int Depth { get; } = (parent?.Depth ?? 0) + 1;

    /// <summary>Hash of all tokens from position 0 to the end of this node; does not depend on how they are cut into nodes.</summary>
    public ulong PromptHash { get; private init; }

    /// <summary>Holders; at 0 the pages go back.</summary>
    public int LeaseCount { get; set; }

    /// <summary>Whether a running <see cref="Prefill"/> will compute the node.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Whether somebody will sample directly behind this node.</summary>
    public bool NeedsLastLogits { get; set; }

    /// <summary>Logits behind the last token, <c>[vocabularySize]</c>, once computed and if needed.</summary>
    public float[]? LastLogits { get; set; }

    /// <summary>Scratch of <see cref="StepBuilder"/>: the step that last used the node and its index there.</summary>
    public long Step { get; set; }

    /// <inheritdoc cref="Step"/>
    public int StepIndex { get; set; }

    public static PrefixNode Create(PrefixNode? parent, IReadOnlyCollection<int> tokenIds)
    {
        var node = new PrefixNode(parent, tokenIds) { PromptHash = SampleRandom.Hash(tokenIds, parent?.PromptHash ?? 0) };
        node.TokenIds.AddRange(tokenIds);
        return node;
    }
}
