using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>What holds for all prompts of one generation call. Immutable.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most new tokens of a completion.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Completions of each prompt; a <see cref="PromptNode.Samples"/> takes precedence.</summary>
    public int SamplesPerPrompt { get; init; } = 1;

    /// <summary>How tokens are chosen.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>
    /// Makes samples reproducible; null draws a fresh seed. The random stream of a sample depends on the seed, the prompt's tokens
    /// and the sample's number among equal prompts, not on the batch that it runs in.
    /// </summary>
    public ulong? Seed { get; init; }

    /// <summary>Strings that end a completion; they are not part of the text.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>Goes on after end-of-sequence tokens.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>Reports the natural-log probability that the model gave each chosen token (before penalties and temperature).</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>How prompts that share a prefix attend to it.</summary>
    public SharingMode Sharing { get; init; } = SharingMode.Hydragen;

    /// <summary>Allows <see cref="SharingMode.NoAttention"/>, whose output is meaningless: for benchmarks only.</summary>
    public bool AllowNoAttention { get; init; }

    /// <summary>Flat prompts share a common prefix only when it has at least so many tokens.</summary>
    public int MinSharedTokens { get; init; } = 16;

    /// <summary>Receives progress on the engine's thread; must be quick.</summary>
    public IProgress<GenerationProgress>? Progress { get; init; }

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ArgumentException">A value is outside its range; the message names it.</exception>
    public void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxNewTokens, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(SamplesPerPrompt, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MinSharedTokens, 1);
        ArgumentNullException.ThrowIfNull(Sampling);
        ArgumentNullException.ThrowIfNull(StopStrings);
        Sampling.Validate();
        if (!Enum.IsDefined(Sharing)) throw new ArgumentException($"{Sharing} is not a sharing mode.");
        if (Sharing == SharingMode.NoAttention && !AllowNoAttention)
            throw new ArgumentException($"Without attention the output is meaningless; benchmarks that want the ceiling set {nameof(AllowNoAttention)}.");
        foreach (string stop in StopStrings)
        {
            if (string.IsNullOrEmpty(stop)) throw new ArgumentException("A stop string must not be empty.");
        }
    }
}
