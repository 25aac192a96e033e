using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>One completion in the making: the tokens that belong to it alone, its random stream and its text.</summary>
internal sealed class Sequence : TokenSpan
{
    public Sequence(PrefixNode? parent, IReadOnlyCollection<int> promptTail, int maxNewTokens) : base(parent, promptTail.Count + maxNewTokens)
    {
        TokenIds.AddRange(promptTail);
        NumPromptTokens = promptTail.Count;
        MaxNewTokens = maxNewTokens;
    }

    public override PageKind Kind => PageKind.Suffix;

    public required int InputIndex { get; init; }

    public required int SampleIndex { get; init; }

    public required int SampleCount { get; init; }

    public required IReadOnlyList<int> Path { get; init; }

    /// <summary>Own tokens that belong to the prompt.</summary>
    public int NumPromptTokens { get; private set; }

    /// <summary>The most new tokens, the model's context considered.</summary>
    public int MaxNewTokens { get; }

    public int NumNewTokens => TokenIds.Count - NumPromptTokens;

    public SampleRandom Random { get; set; }

    public List<float>? LogProbabilities { get; init; }

    /// <summary>Null when nobody needs text before the end.</summary>
    public CompletionText? Text { get; init; }

    public bool IsFinished { get; set; }

    /// <summary>The row of the last step, when that has not handed over its token; −1 when all tokens are known.</summary>
    public int PendingRow { get; set; } = -1;

    /// <summary>
    /// Turns a sequence that shares nodes into one that owns all its tokens. The caller gives it pages, copies keys and values and
    /// ends its lease on the former parent.
    /// </summary>
    public void OwnPrefix()
    {
        int numShared = FirstPosition;
        TokenIds.EnsureCapacity(numShared + TokenIds.Capacity);
        for (PrefixNode? node = Parent; node is not null; node = node.Parent) TokenIds.InsertRange(0, node.TokenIds);
        Parent = null;
        FirstPosition = 0;
        NumPromptTokens += numShared;
    }
}
