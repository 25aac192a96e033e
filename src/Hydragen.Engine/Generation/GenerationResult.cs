namespace Hydragen.Engine;

/// <summary>One finished completion.</summary>
public sealed record GenerationResult
{
    /// <summary>Which prompt: its index in the list given, or the index of its leaf in depth-first order.</summary>
    public required int InputIndex { get; init; }

    /// <summary>Which completion of the prompt.</summary>
    public required int SampleIndex { get; init; }

    /// <summary>Completions of the prompt, this one included.</summary>
    public required int SampleCount { get; init; }

    /// <summary>Child indexes from the roots to the prompt's last part; a flat prompt has its index alone.</summary>
    public required IReadOnlyList<int> Path { get; init; }

    /// <summary>The new tokens, an end-of-sequence token included.</summary>
    public required IReadOnlyList<int> TokenIds { get; init; }

    /// <summary>The new text without special tokens and without the stop string; null when the model has no tokenizer.</summary>
    public required string? Text { get; init; }

    /// <summary>Why it ended.</summary>
    public required FinishReason FinishReason { get; init; }

    /// <summary>Natural-log probability of each new token, when asked for.</summary>
    public IReadOnlyList<float>? LogProbabilities { get; init; }
}
