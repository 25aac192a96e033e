namespace Hydragen.Engine;

/// <summary>Limits of an engine. Immutable.</summary>
public sealed record InferenceEngineOptions
{
    /// <summary>The most KV memory that prefixes and sequences may take together, in bytes; null means what the backend proposes: half of the memory, or what is free on a GPU.</summary>
    public long? MaxKvBytes { get; init; }

    /// <summary>The most sequences that one decode step computes; further ones wait.</summary>
    public int MaxBatchSize { get; init; } = 4096;

    /// <summary>Whether a step starts before the tokens of the one before are known; null leaves it to the backend.</summary>
    internal bool? RunsAhead { get; init; }
}
