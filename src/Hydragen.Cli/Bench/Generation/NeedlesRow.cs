using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>So many questions about the document, answered in one mode.</summary>
/// <param name="NumQuestions">Questions.</param>
/// <param name="Mode">The mode.</param>
/// <param name="Rounds">What each round cost; empty when it did not run.</param>
/// <param name="Correct">Answers that name what the document says, for each tenth of the document.</param>
/// <param name="Asked">Questions about each tenth.</param>
/// <param name="KvBytes">The most KV memory in use, the document's included.</param>
/// <param name="LargestBatch">The most questions that were answered at once.</param>
/// <param name="State">The processor around the rounds; null when it did not run or another device computed.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
internal sealed record NeedlesRow(
    int NumQuestions, SharingMode Mode, IReadOnlyList<CallTimes> Rounds, IReadOnlyList<int> Correct, IReadOnlyList<int> Asked, long KvBytes, int LargestBatch,
    MachineState? State, string? Skipped)
{
    /// <summary>Seconds of the whole call: prompts of the questions and all new tokens.</summary>
    public Spread Seconds => Spread.Of(Rounds.Select(round => round.All));

    public Spread PrefillSeconds => Spread.Of(Rounds.Select(round => round.Prefill));

    public Spread DecodeSeconds => Spread.Of(Rounds.Select(round => round.Decode));

    /// <summary>Correct answers as a share of all.</summary>
    public double Accuracy => (double)Correct.Sum() / NumQuestions;

    /// <summary>Time of another row as a multiple of this one's, round by round; null when either did not run.</summary>
    public Spread? TimeOf(NeedlesRow? other) => other is null || other.Rounds.Count == 0 || Rounds.Count == 0 ? null
        : Spread.OfRatios(other.Rounds.Select(round => round.All), Rounds.Select(round => round.All));
}
