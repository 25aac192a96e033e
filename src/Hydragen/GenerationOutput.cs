using Hydragen.Engine;

namespace Hydragen;

/// <summary>All completions of one call.</summary>
/// <param name="Results">The completions, ordered by prompt and sample.</param>
/// <param name="Statistics">What the call did and what it cost.</param>
public sealed record GenerationOutput(IReadOnlyList<GenerationResult> Results, GenerationStatistics Statistics);
