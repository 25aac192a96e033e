using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>One mode of one cell.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Mode">The mode.</param>
/// <param name="Rounds">What each round cost; rounds of different modes belong together. Empty when it did not run.</param>
/// <param name="State">The processor around the rounds; null when it did not run or another device computed.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
internal sealed record GenerationMeasurement(
    GenerationCell Cell, SharingMode Mode, IReadOnlyList<GenerationStatistics> Rounds, MachineState? State, string? Skipped)
{
    public Spread PrefillSeconds => Spread.Of(Rounds.Select(round => round.PrefillTime.TotalSeconds));

    public Spread DecodeSeconds => Spread.Of(Rounds.Select(round => round.DecodeTime.TotalSeconds));

    /// <summary>Prompt tokens a second; the shared prompt counts once, own prompts as well.</summary>
    public Spread PrefillSpeed => Spread.Of(Rounds.Select(round => round.ComputedPromptTokens / round.PrefillTime.TotalSeconds));

    /// <summary>New tokens of all sequences a second, the first of each excluded.</summary>
    public Spread DecodeSpeed => Spread.Of(Rounds.Select(round => round.DecodeTokensPerSecond));

    /// <summary>Decode speed as a multiple of another mode's, round by round; null when either did not run.</summary>
    public Spread? SpeedRelativeTo(GenerationMeasurement? other) => other is null || other.Rounds.Count == 0 || Rounds.Count == 0 ? null
        : Spread.OfRatios(Rounds.Select(round => round.DecodeTokensPerSecond), other.Rounds.Select(round => round.DecodeTokensPerSecond));
}
