namespace Hydragen.Cli.Bench;

/// <summary>All samples of all problems in one mode.</summary>
/// <param name="AtOnce">Problems of a call.</param>
/// <param name="Mode">Name of the mode.</param>
/// <param name="Rounds">Seconds of all calls together, a round each; empty when it did not run.</param>
/// <param name="KvBytes">The most KV memory in use, the header's included.</param>
/// <param name="LargestBatch">The most sequences that were decoded at once.</param>
/// <param name="State">The processor around the rounds; null when it did not run or another device computed.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
internal sealed record TreeRow(
    int AtOnce, string Mode, IReadOnlyList<CallTimes> Rounds, long KvBytes, int LargestBatch, MachineState? State, string? Skipped)
{
    public Spread Seconds => Spread.Of(Rounds.Select(round => round.All));

    public Spread PrefillSeconds => Spread.Of(Rounds.Select(round => round.Prefill));

    public Spread DecodeSeconds => Spread.Of(Rounds.Select(round => round.Decode));
}
