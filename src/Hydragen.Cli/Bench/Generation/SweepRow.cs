using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One mode of one cell.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Mode">The mode.</param>
/// <param name="PrefillTokens">Prompt tokens that a round computed.</param>
/// <param name="PrefillTimes">Seconds that they took, a round each; empty when it did not run.</param>
/// <param name="DecodeTimes">Seconds that all new tokens but the first of each sequence took; rounds of different modes belong together.</param>
/// <param name="KvBytes">KV memory at the end, in bytes.</param>
/// <param name="State">The processor around the rounds; null when it did not run or another device computed.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
internal sealed record SweepRow(
    GenerationCell Cell, SharingMode Mode, long PrefillTokens, IReadOnlyList<double> PrefillTimes, IReadOnlyList<double> DecodeTimes, long KvBytes,
    MachineState? State, string? Skipped)
{
    /// <summary>Seconds of whole calls for all new tokens, when <see cref="DecodeTimes"/> are differences to <see cref="OneTokenTimes"/>.</summary>
    public IReadOnlyList<double> AllTokensTimes { get; init; } = [];

    /// <summary>Seconds of whole calls for one new token a sequence.</summary>
    public IReadOnlyList<double> OneTokenTimes { get; init; } = [];

    /// <summary>Shares of the time of decoding in which the GPU had a step to run, a round each; empty where another device computed.</summary>
    public IReadOnlyList<double> BusyShares { get; init; } = [];

    public Spread PrefillSeconds => Spread.Of(PrefillTimes);

    public Spread DecodeSeconds => Spread.Of(DecodeTimes);

    /// <summary>Prompt tokens a second; the shared prompt counts once, own prompts as well.</summary>
    public Spread PrefillSpeed => Spread.Of(PrefillTimes.Select(seconds => PrefillTokens / seconds));

    /// <summary>New tokens of all sequences a second, the first of each excluded.</summary>
    public Spread DecodeSpeed => Spread.Of(DecodeTimes.Select(seconds => Cell.Batch * (Cell.NewTokens - 1.0) / seconds));

    /// <summary>Decode speed as a multiple of another mode's, round by round; null when either did not run.</summary>
    public Spread? SpeedRelativeTo(SweepRow? other) => other is null || other.DecodeTimes.Count == 0 || DecodeTimes.Count == 0 ? null
        : Spread.OfRatios(other.DecodeTimes, DecodeTimes);
}
