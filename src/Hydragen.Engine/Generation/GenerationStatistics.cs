using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>What one call did and what it cost.</summary>
public sealed record GenerationStatistics
{
    /// <summary>Completions produced.</summary>
    public required int Completions { get; init; }

    /// <summary>Prompt tokens as the sequences see them: a shared token counts once for every sequence.</summary>
    public required long PromptTokens { get; init; }

    /// <summary>Prompt tokens that this call computed: a shared token counts once, one from an existing prefix not at all.</summary>
    public required long ComputedPromptTokens { get; init; }

    /// <summary>Tokens that were shared: those of nodes with at least two sequences below them, counted once.</summary>
    public required long SharedTokens { get; init; }

    /// <summary>Depth of the tree of shared nodes.</summary>
    public required int SharingLevels { get; init; }

    /// <summary>How the first decode step computed the shared nodes: once for all their sequences, or with each of them.</summary>
    public NodeSharing Nodes { get; init; }

    /// <summary>Tokens generated.</summary>
    public required long NewTokens { get; init; }

    /// <summary>Decode steps.</summary>
    public required int DecodeSteps { get; init; }

    /// <summary>The most sequences that one decode step computed.</summary>
    public required int PeakBatchSize { get; init; }

    /// <summary>Time to compute prompts (copies of prefixes included).</summary>
    public required TimeSpan PrefillTime { get; init; }

    /// <summary>Time to generate all tokens but the first of each completion, sampling included.</summary>
    public required TimeSpan DecodeTime { get; init; }

    /// <summary>The most KV memory in use at once, in bytes.</summary>
    public required long PeakKvBytes { get; init; }

    /// <summary>The scales of FP8 keys and values; null when there are none.</summary>
    public KvCalibration? Calibration { get; init; }

    /// <summary>The mode that ran.</summary>
    public required SharingMode Sharing { get; init; }

    /// <summary>One line: why prefixes were or were not shared.</summary>
    public required string SharingReason { get; init; }

    /// <summary>Tokens generated a second of <see cref="DecodeTime"/>, the first token of each completion excluded.</summary>
    public double DecodeTokensPerSecond =>
        DecodeTime > TimeSpan.Zero ? (NewTokens - Completions) / DecodeTime.TotalSeconds : 0;
}
